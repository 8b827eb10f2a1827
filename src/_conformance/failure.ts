/**
 * What a store has to do that cannot reach its backend.
 *
 * @module
 */
import { SessionGoneError, SessionStoreError } from "../errors.ts";
import { SessionMiddleware } from "../session_middleware.ts";
import type { SessionStore } from "../session_store.ts";
import { newSessionId } from "../signature.ts";
import { type Check, dispose, isPrincipalStore, isRecordStore, LATE, note, type OpenBench, within } from "./bench.ts";
import { expect, expectRejects, show } from "./expect.ts";
import { expectSilent } from "./steps.ts";
import { Visitor } from "./visitor.ts";

/** Checks of a store that fails. */
export function failure({ store: healthy, patience, options: { broken } }: OpenBench): Check[] {
  if (broken === undefined) {
    return [note("not shown that a failure never looks like a missing session: the option `broken` was not given")];
  }
  /** Runs a check on a store whose backend cannot be reached. */
  const onBroken = (name: string, run: (store: SessionStore) => Promise<void>): Check => ({
    name,
    run: async () => {
      const store = await broken();
      try {
        // Whether it tells now or at the first call is its own choice.
        await within(patience, store.init()).catch(() => {});
        await run(store);
      } finally {
        await within(patience, dispose(store)).catch(() => {});
      }
    },
  });
  /** Fails unless a call rejects in time. */
  const expectFailure = async (call: string, made: () => Promise<unknown>): Promise<unknown> => {
    const what = `${call} of a store whose backend cannot be reached`;
    const why = "it could not look, and that must never look like an answer";
    const error = await within(patience, expectRejects(what, made, why));
    expect(error !== LATE, `${what}: expected it to reject within ${patience / 1000} seconds`);
    return error;
  };
  const meta = { createdAt: 1, seenAt: 1, renewedAt: 1 };
  return [
    onBroken("every method rejects where the backend cannot be reached, and tells no session id", async (store) => {
      const sid = newSessionId();
      const calls: [string, () => Promise<unknown>][] = [
        ["exist()", () => store.exist(sid)],
        ["create()", () => store.create(sid)],
        ["delete()", () => store.delete(sid)],
        ["get()", () => store.get(sid)],
        ["setValue()", () => store.setValue(sid, "key", 1)],
        ["getValue()", () => store.getValue(sid, "key")],
        ["clear()", () => store.clear()],
      ];
      if (isRecordStore(store)) {
        const record = { values: new Map(), expiresAt: Date.now() + 60_000, meta };
        calls.push(
          ["createRecord()", () => store.createRecord(sid, record)],
          ["readRecord()", async () => await store.readRecord(sid)],
          ["changeRecord()", () => store.changeRecord(sid, { clear: true })],
          ["moveRecord()", () => store.moveRecord(sid, newSessionId(), { meta: {}, graceUntil: 0 })],
        );
      }
      if (isPrincipalStore(store)) calls.push(["listSessions()", () => store.listSessions("a user")]);
      await Promise.all(calls.map(async ([what, call]) => {
        const error = await expectFailure(what, call);
        expect(
          !(error instanceof SessionGoneError),
          `${what} of a store whose backend cannot be reached rejected with a SessionGoneError: expected the error of the backend`,
        );
        expectSilent(error, { "the session id": sid });
      }));
    }),
    onBroken(
      "a request with a live session's cookie fails, and its visitor does not become a new one",
      async (store) => {
        const options = { secret: SessionMiddleware.generateSecret(), onEvent: (): void => {} };
        const { cookie } = await Visitor.signUp(new SessionMiddleware(healthy, options));
        const visitor = new Visitor(new SessionMiddleware(store, options), cookie);
        const error = await expectFailure("a request", () => visitor.visit((session) => session.get("key")));
        expect(
          error instanceof SessionStoreError,
          `a request on a store whose backend cannot be reached: expected a SessionStoreError, got ${show(error)}`,
        );
      },
    ),
  ];
}
