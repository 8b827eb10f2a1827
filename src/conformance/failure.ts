/**
 * What a store has to do that cannot reach its backend.
 *
 * @module
 */
import { SessionGoneError, SessionStoreError } from "../errors.ts";
import { SessionMiddleware } from "../session_middleware.ts";
import type { SessionStore } from "../session_store.ts";
import { newSessionId } from "../cookie/session_id.ts";
import { AssertionError } from "node:assert/strict";
import { isPrincipalStore, isRecordStore } from "../session_store.ts";
import { withTimeout } from "../util/timeout.ts";
import { type Check, dispose, note, type OpenBench } from "./bench.ts";
import { expect, expectRejects, show } from "./expect.ts";
import { recordOf } from "./record_steps.ts";
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
      // Whether it tells when it is made, when it is opened or at the first call is its own choice.
      const store = await Promise.try(broken).catch(() => undefined);
      if (store === undefined) return;
      const late = (): Error => new Error("late");
      try {
        await withTimeout(Promise.try(() => store.init()), patience, late).catch(() => {});
        await run(store);
      } finally {
        await withTimeout(dispose(store), patience / 2, late).catch(() => {});
      }
    },
  });
  /** Fails unless a call rejects in time. */
  const expectFailure = (call: string, made: () => Promise<unknown>): Promise<unknown> => {
    const what = `${call} of a store whose backend cannot be reached`;
    const why = "it could not look, and that must never look like an answer";
    const message = `${what}: expected it to reject within ${patience} seconds`;
    return withTimeout(expectRejects(what, made, why), patience, () => new AssertionError({ message }));
  };
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
        calls.push(
          ["createRecord()", () => store.createRecord(sid, recordOf())],
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
