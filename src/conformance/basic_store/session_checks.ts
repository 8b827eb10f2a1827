/**
 * Checks of `create()`, `delete()` and `clear()`, of errors, and of other applications' sessions.
 *
 * @module
 */
import { isCountingStore, isPrincipalListStore } from "../../admin_store.ts";
import { newSessionId } from "../../cookie/session_id.ts";
import { isPrincipalStore, isRecordStore, type SessionStore } from "../../session_store.ts";
import { close } from "../../util/close.ts";
import { type Check, skipped } from "../check.ts";
import { expectEqual, expectRejects } from "../expect.ts";
import { createSession, expectMissing, expectNoSecrets, readValues, settleAll } from "../fixtures.ts";
import type { TestedStores } from "../harness.ts";
import { buildRecord, META } from "../record_store/record_fixtures.ts";

/** Checks that sessions are created and removed, and independent of other sessions. */
export function sessionChecks(stores: TestedStores): Check[] {
  const checks = stores.pairs.flatMap(({ where, a, b }): Check[] => [{
    name: `create() creates an empty session, ${where}`,
    run: async () => {
      const sid = await createSession(a);
      expectEqual(await b.exist(sid), true, "exist() after create()");
      expectEqual(await readValues(b, sid), new Map(), "get() after create()");
      expectEqual(await b.getValue(sid, "key"), undefined, "getValue() after create()");
    },
  }, {
    name: `create() rejects an id that is in use and keeps its record, ${where}`,
    run: async () => {
      const sid = await createSession(a, { key: "value" });
      const why = "it would empty another visitor's session";
      await expectRejects("create() with an id that is in use", () => b.create(sid), why);
      expectEqual(await readValues(a, sid), new Map([["key", "value"]]), "get() after create() rejected");
    },
  }, {
    name: `delete() removes a session with all its values, and no other session, ${where}`,
    run: async () => {
      const sid = await createSession(a, { key: "value", other: 1 });
      const otherSid = await createSession(a, { key: "other value" });
      await b.delete(sid);
      await expectMissing(a, sid, "a deleted session");
      expectEqual(await a.getValue(otherSid, "key"), "other value", "getValue() of a session that was not deleted");
      await a.create(sid);
      expectEqual(await readValues(b, sid), new Map(), "get() of a new session under the id of a deleted one");
    },
  }, {
    name: `clear() removes every session with all its values, ${where}`,
    run: async () => {
      const sids = await Promise.all([1, 2, 3].map((n) => createSession(a, { n })));
      // More than one page of a backend that lists its keys in pages, such as Redis with SCAN.
      sids.push(...await Promise.all(Array.from({ length: 250 }, () => createSession(a))));
      await b.clear();
      for (const sid of sids) await expectMissing(a, sid, "a session after clear()");
      const [first = newSessionId()] = sids;
      await a.create(first);
      expectEqual(await readValues(b, first), new Map(), "get() of a new session under an id from before clear()");
    },
  }, {
    name: `ids that differ in one or two characters, or in case, are different sessions, ${where}`,
    run: async () => {
      const stem = newSessionId().slice(0, -2);
      const sids = ["aa", "aA", "Aa", "AA", "__", "--", "_-", "00"].map((suffix) => stem + suffix);
      for (const [n, sid] of sids.entries()) {
        expectEqual(await b.exist(sid), false, "exist() of an id that is similar to those in use");
        await a.create(sid);
        await a.setValue(sid, "n", n);
      }
      for (const [n, sid] of sids.entries()) {
        expectEqual(await b.getValue(sid, "n"), n, "getValue() of a session whose id is similar to others");
        await b.delete(sid);
        await expectMissing(a, sid, "a deleted session whose id is similar to others");
      }
    },
  }]);
  return [...checks, noSecretsInErrors(stores), otherApplication(stores)];
}

function noSecretsInErrors({ store }: TestedStores): Check {
  return {
    name: "no error contains a session id or a value",
    run: async () => {
      const sid = await createSession(store);
      const usedSid = await createSession(store);
      const missingSid = newSessionId();
      const value = `a secret value ${newSessionId()}`;
      const results = await settleAll<unknown>([
        () => store.create(sid),
        () => store.setValue(missingSid, "key", value),
        () => store.setValue(sid, "key", { value, unsupported: () => value }),
        ...(isRecordStore(store)
          ? [
            () => store.changeRecord(missingSid, { set: new Map([["key", value]]) }),
            () => store.moveRecord(missingSid, newSessionId(), { meta: {}, graceUntil: 0 }),
            () => store.moveRecord(sid, usedSid, { meta: {}, graceUntil: 0 }),
          ]
          : []),
      ]);
      for (const result of results) {
        if (result.status === "fulfilled") continue;
        expectNoSecrets(result.reason, {
          "a session id": sid,
          "the id of a missing session": missingSid,
          "a new session id": usedSid,
          "a value": value,
        });
      }
    },
  };
}

/** Fails unless a store counts one session without a user, and lists no users. */
async function expectNoUsers(store: SessionStore): Promise<void> {
  const where = "while another application has sessions in the same backend";
  if (isCountingStore(store)) {
    expectEqual(await store.countSessions(), { total: 1, signedIn: 0 }, `countSessions() ${where}`);
  }
  if (isPrincipalListStore(store)) {
    expectEqual(await store.listPrincipals({ limit: 10 }), [], `listPrincipals() ${where}`);
  }
}

function otherApplication({ store, options: { neighbour } }: TestedStores): Check {
  if (neighbour === undefined) {
    return skipped("clear() keeps other applications' sessions", "option `neighbour` not given");
  }
  return {
    name: "another application's sessions in the same backend are not found, and clear() keeps them",
    run: async () => {
      const other = await neighbour();
      try {
        await other.init();
        const [sid, userSid] = [newSessionId(), newSessionId()];
        await other.create(sid);
        await other.setValue(sid, "key", "value");
        await expectMissing(store, sid, "another application's session");
        await store.create(sid);
        const listsSessions = isPrincipalStore(store) && isPrincipalStore(other);
        if (listsSessions) {
          await other.createRecord(userSid, buildRecord({}, { meta: { ...META, principal: "a user" } }));
          const what = "listSessions() of a user who has a session in another application only";
          expectEqual(await store.listSessions("a user"), [], what);
          await expectNoUsers(store);
        }
        await store.clear();
        expectEqual(await other.getValue(sid, "key"), "value", "getValue() of another application after clear()");
        if (listsSessions) {
          const { length } = await other.listSessions("a user");
          expectEqual(length, 1, "number of sessions that another application lists after clear()");
        }
        await other.delete(sid);
        await other.delete(userSid);
      } finally {
        await close(other);
      }
    },
  };
}
