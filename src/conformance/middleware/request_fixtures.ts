/**
 * Helpers for checks that send requests through the middleware.
 *
 * @module
 */
import type { SessionOptions } from "../../options.ts";
import type { Session } from "../../session.ts";
import { SessionMiddleware } from "../../session_middleware.ts";
import type { SessionStore } from "../../session_store.ts";
import { expectEqual } from "../expect.ts";
import type { Visitor } from "./visitor.ts";

/** All servers share one secret, as the processes of one application do. */
const SECRET = SessionMiddleware.generateSecret();

/**
 * Returns a server for each of two stores. If both are the same store, returns the same server
 * twice.
 */
export function serveBoth(
  a: SessionStore,
  b: SessionStore,
  options: Partial<SessionOptions> = {},
): [SessionMiddleware, SessionMiddleware] {
  const serve = (store: SessionStore): SessionMiddleware =>
    new SessionMiddleware(store, { secret: SECRET, maxAge: 3600, onEvent: () => {}, ...options });
  const first = serve(a);
  return [first, a === b ? first : serve(b)];
}

/** Fails unless a request gets a new session despite its cookie. */
export async function expectNewSession(visitor: Visitor, what: string): Promise<void> {
  const read = await visitor.visit(async (session) => ({ isNew: session.isNew, key: await session.get("key") }));
  expectEqual(read, { isNew: true, key: undefined }, `a request with the cookie of ${what}`);
}

/** Fails unless a request reads this value. */
export async function expectValue(visitor: Visitor, value: unknown, when: string): Promise<void> {
  expectEqual(await visitor.visit((session) => session.get("key")), value, `session.get() ${when}`);
}

/** Every way to write to a session. */
export const WRITES: readonly [string, (session: Session) => Promise<unknown>][] = [
  ["set()", (session) => session.set("key", "too late")],
  ["delete()", (session) => session.delete("key")],
  ["update()", (session) => session.update("key", () => "too late")],
  ["take()", (session) => session.take("key")],
  ["clear()", (session) => session.clear()],
  ["touch()", (session) => session.touch()],
  ["setLabel()", (session) => session.setLabel("A device")],
  ["setMaxAge()", (session) => session.setMaxAge(60)],
  ["set() of several values", (session) => session.set({ key: "too late", other: 1 })],
  ["regenerate()", (session) => session.regenerate()],
  ["regenerate() with a grace period", (session) => session.regenerate({ graceSeconds: 60 })],
  ["csrfToken() after set()", (session) => session.set("key", "too late").then(() => session.csrfToken())],
];
