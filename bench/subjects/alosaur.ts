/**
 * This project, on the Alosaur that `alosaur/` is mapped to.
 *
 * @module
 */
import type { MemoryStore } from "../../mod.ts";
import { newSessionId } from "../../src/cookie/session_id.ts";
import { createApp, noop, plainPages, sessionPages } from "../application.ts";
import { overFetch, type Subject } from "./subject.ts";

type SessionModule = Pick<typeof import("../../mod.ts"), "MemoryStore" | "SecurityContext" | "SessionMiddleware">;

/** @param entryPoint the URL of the `mod.ts` to measure, which may be that of another checkout */
export async function alosaur(entryPoint = import.meta.resolve("../../mod.ts")): Promise<Subject<Response>> {
  const { MemoryStore, SecurityContext, SessionMiddleware }: SessionModule = await import(entryPoint);
  const store = new MemoryStore();
  await store.init();
  // All applications of a process share one list of routes and middlewares. Therefore one
  // application serves both sides, under two paths, and the list costs both the same.
  const app = createApp([sessionPages("/a"), plainPages("/b")], SecurityContext);
  app.use(/^\/a\//, new SessionMiddleware(store, { secret: SessionMiddleware.generateSecret() }));
  app.use(/^\/b\//, noop);
  const handler = await handlerOf(app);
  const subject = overFetch({ with: handler, without: handler }, () => void store.clear(), {
    with: "/a",
    without: "/b",
  });
  const otherStore = new MemoryStore();
  return { ...subject, fill: (sessions, elsewhere) => fill(elsewhere ? otherStore : store, sessions) };
}

/** Stores sessions as the middleware creates them, with one small value and a lifetime of a day. */
export async function fill(store: MemoryStore, sessions: number): Promise<void> {
  for (let n = 0; n < sessions; n++) {
    const now = Date.now();
    const meta = { createdAt: now, seenAt: now, renewedAt: now };
    await store.createRecord(newSessionId(), { values: new Map([["n", n]]), expiresAt: now + 86_400_000, meta });
  }
}

/**
 * This project with visitors who are signed in.
 *
 * @param devices whether there is a `DeviceBoundMiddleware`, and whether the sessions are bound
 */
export async function alosaurDevices(devices: "none" | "unbound" | "bound"): Promise<Subject<Response>> {
  const { MemoryStore, SecurityContext, SessionMiddleware } = await import("../../mod.ts");
  const { DeviceBoundMiddleware } = await import("../../src/device_bound_middleware.ts");
  const isBound = devices === "bound";
  const { BoundCookie } = await import("../../src/dbsc/bound_cookie.ts");
  const store = new MemoryStore();
  await store.init();
  const secret = crypto.getRandomValues(new Uint8Array(32));
  const sessions = new SessionMiddleware(store, { secret });
  const cookie = new BoundCookie([secret], "sid", "Lax", 600);
  const deviceKey = JSON.stringify({ crv: "P-256", kty: "EC", x: "x".repeat(43), y: "y".repeat(43) });
  const app = createApp([sessionPages("/a"), plainPages("/b")], SecurityContext);
  app.use(/^\/a\//, sessions);
  app.use(/^\/a\//, devices === "none" ? noop : new DeviceBoundMiddleware(sessions));
  // As many middlewares as on the other side. Alosaur takes the same time for each of them.
  for (let i = 0; i < 2; i++) app.use(/^\/b\//, { ...noop });
  const handler = await handlerOf(app);
  const signIn = async (request: Request): Promise<Response> => {
    const response = await handler(request);
    const [line = ""] = response.headers.getSetCookie();
    if (line === "") return response;
    const now = Date.now();
    const meta = { principal: "ada", boundAt: now, ...(isBound && { deviceKey, deviceBoundAt: now - 60_000 }) };
    await store.changeRecord(line.slice("sid=".length, line.indexOf(".")), { meta });
    if (!isBound) return response;
    // First, because a forged cookie is changed at its end, and that should be the session's.
    const headers = new Headers([["set-cookie", cookie.serialize(deviceKey)], ...response.headers]);
    return new Response(response.body, { status: response.status, headers });
  };
  const isWrite = (request: Request): boolean => request.url.endsWith("/a/write");
  const serve: Handler = (request) => isWrite(request) ? signIn(request) : handler(request);
  return overFetch({ with: serve, without: serve }, () => void store.clear(), { with: "/a", without: "/b" });
}

type Handler = (request: Request) => Response | Promise<Response>;

/**
 * Returns the handler that the application passes to `Deno.serve()`. Alosaur does not export it.
 */
async function handlerOf(app: { listen(options: Deno.ListenOptions): Promise<unknown> }): Promise<Handler> {
  const serve = Deno.serve;
  const served = Promise.withResolvers<Handler>();
  Object.assign(Deno, {
    serve: (_options: unknown, handler: Handler) => {
      served.resolve(handler);
      return { finished: Promise.resolve() };
    },
  });
  try {
    await app.listen({ port: 0 });
    return await served.promise;
  } finally {
    Object.assign(Deno, { serve });
  }
}
