/**
 * Checks of a store that cannot reach its backend.
 *
 * @module
 */
import { AssertionError } from "node:assert/strict";
import { isCountingStore, isPrincipalListStore } from "../../admin_store.ts";
import { newSessionId } from "../../cookie/session_id.ts";
import { SessionGoneError, SessionStoreError } from "../../errors.ts";
import { SessionMiddleware } from "../../session_middleware.ts";
import { isPingableStore, isPrincipalStore, isRecordStore, type SessionStore } from "../../session_store.ts";
import { close } from "../../util/close.ts";
import { withTimeout } from "../../util/timeout.ts";
import { isWatchedStore } from "../../watched_store.ts";
import { type Check, skipped } from "../check.ts";
import { expect, expectRejects, show } from "../expect.ts";
import { expectNoSecrets } from "../fixtures.ts";
import type { TestedStores } from "../harness.ts";
import { Visitor } from "../middleware/visitor.ts";
import { buildRecord } from "../record_store/record_fixtures.ts";

/** Checks that a failure never looks like a missing session. */
export function unreachableBackendChecks({ store: healthyStore, harness, options }: TestedStores): Check[] {
  const { broken } = options;
  const { rejectTimeout } = harness;
  if (broken === undefined) {
    return [skipped("a failure of the backend never looks like a missing session", "option `broken` not given")];
  }
  /** Returns a check of a store whose backend cannot be reached. */
  const checkBroken = (name: string, run: (store: SessionStore) => Promise<void>): Check => ({
    name,
    run: async () => {
      // The store may fail when it is created, in `init()` or at the first call.
      const store = await Promise.try(broken).catch(() => undefined);
      if (store === undefined) return;
      const tooLate = (): Error => new Error("too late");
      try {
        await withTimeout(Promise.try(() => store.init()), rejectTimeout, tooLate).catch(() => {});
        await run(store);
      } finally {
        await withTimeout(close(store), rejectTimeout / 2, tooLate).catch(() => {});
      }
    },
  });
  const expectFailure = (call: string, run: () => Promise<unknown>): Promise<unknown> => {
    const what = `${call} with an unreachable backend`;
    const tooLate = (): AssertionError =>
      new AssertionError({
        message: `${what}: expected it to reject within ${rejectTimeout} seconds, got no answer`,
      });
    const why = "a failure must not look like an answer";
    return withTimeout(expectRejects(what, run, why), rejectTimeout, tooLate);
  };
  return [
    checkBroken("every method rejects, and no error contains the session id", async (store) => {
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
          ["createRecord()", () => store.createRecord(sid, buildRecord())],
          ["readRecord()", async () => await store.readRecord(sid)],
          ["changeRecord()", () => store.changeRecord(sid, { clear: true })],
          ["moveRecord()", () => store.moveRecord(sid, newSessionId(), { meta: {}, graceUntil: 0 })],
        );
      }
      if (isPrincipalStore(store)) calls.push(["listSessions()", () => store.listSessions("a user")]);
      if (isPingableStore(store)) calls.push(["ping()", () => store.ping()]);
      if (isWatchedStore(store)) calls.push(["watch()", () => store.watch(() => {})]);
      if (isCountingStore(store)) calls.push(["countSessions()", () => store.countSessions()]);
      if (isPrincipalListStore(store)) {
        calls.push(["listPrincipals()", () => store.listPrincipals({ after: "a user", limit: 1 })]);
      }
      await Promise.all(calls.map(async ([call, run]) => {
        const error = await expectFailure(call, run);
        expect(
          !(error instanceof SessionGoneError),
          `${call} with an unreachable backend: expected the backend's error, got a SessionGoneError`,
        );
        expectNoSecrets(error, { "the session id": sid });
      }));
    }),
    checkBroken(
      "a request with a live session's cookie fails, and its visitor does not get a new session",
      async (store) => {
        const options = { secret: SessionMiddleware.generateSecret(), onEvent: (): void => {} };
        const { cookie } = await Visitor.signUp(new SessionMiddleware(healthyStore, options));
        const visitor = new Visitor(new SessionMiddleware(store, options), cookie);
        const error = await expectFailure("a request", () => visitor.visit((session) => session.get("key")));
        expect(
          error instanceof SessionStoreError,
          `a request with an unreachable backend: expected a SessionStoreError, got ${show(error)}`,
        );
      },
    ),
  ];
}
