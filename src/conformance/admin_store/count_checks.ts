/**
 * Checks of `countSessions()`.
 *
 * @module
 */
import { type CountingStore, isCountingStore } from "../../admin_store.ts";
import { newSessionId } from "../../cookie/session_id.ts";
import { type Check, skipped, type StorePair } from "../check.ts";
import { Clock } from "../clock.ts";
import { expectEqual } from "../expect.ts";
import { settleAll } from "../fixtures.ts";
import type { TestedStores } from "../harness.ts";
import { createRecord, createSessionOf } from "../record_store/record_fixtures.ts";

/** Checks that `countSessions()` counts exactly the live sessions. */
export function countChecks(stores: TestedStores): Check[] {
  const pairs = stores.pairsWith(isCountingStore);
  if (pairs.length > 0) return pairs.flatMap(checksOfPair);
  return [skipped(
    "number of sessions",
    "the store is not a CountingStore, it has no countSessions(); without it middleware.sessions.count() rejects",
  )];
}

/** Fails unless a store counts this many sessions. */
async function expectCount(store: CountingStore, total: number, signedIn: number, when: string): Promise<void> {
  expectEqual(await store.countSessions(), { total, signedIn }, `countSessions() ${when}`);
}

function checksOfPair({ where, a, b }: StorePair<CountingStore>): Check[] {
  return [{
    name: `countSessions() counts all sessions, and those of users, ${where}`,
    run: async () => {
      await expectCount(b, 0, 0, "of an empty store");
      const sid = await createRecord(a, { x: 1 });
      await a.create(newSessionId());
      await expectCount(b, 2, 0, "after createRecord() and create() without a user");
      await createSessionOf(a, "ada");
      await createSessionOf(b, "ada");
      await createSessionOf(a, "bob");
      await expectCount(b, 5, 3, "after three createRecord() with a user");
      await a.setValue(sid, "x", 2);
      await a.changeRecord(sid, { meta: { principal: "eve" } });
      await expectCount(b, 5, 4, "after changeRecord() bound a session to a user");
      await a.changeRecord(sid, { clear: true, meta: { principal: undefined } });
      await expectCount(b, 5, 3, "after changeRecord() unbound it");
    },
  }, {
    name: `countSessions() counts a session with a new id once, and no removed one, ${where}`,
    run: async () => {
      const [first, second, third] = [await createSessionOf(a, "ada"), newSessionId(), newSessionId()];
      const other = await createRecord(a);
      await a.moveRecord(first, second, { meta: {}, graceUntil: Date.now() + 5000 });
      await expectCount(b, 2, 1, "after moveRecord() with a grace period");
      await b.moveRecord(second, third, { meta: { principal: undefined }, graceUntil: 0 });
      await expectCount(a, 2, 0, "after moveRecord() that unbound the session");
      await b.delete(third);
      await expectCount(a, 1, 0, "after delete()");
      await a.delete(other);
      await createSessionOf(a, "ada");
      await b.clear();
      await expectCount(a, 0, 0, "after clear()");
      await createSessionOf(a, "ada");
      await expectCount(b, 1, 1, "after createRecord() that follows clear()");
    },
  }, {
    name: `countSessions() omits a session from its deadline on, ${where}`,
    run: async () => {
      using clock = new Clock();
      await createSessionOf(a, "ada", clock.now + 1000);
      await createRecord(a, {}, { expiresAt: clock.now + 60_000 });
      const prolonged = await createSessionOf(a, "ada", clock.now + 1000);
      await a.changeRecord(prolonged, { expiresAt: clock.now + 120_000 });
      clock.tick(999);
      await expectCount(b, 3, 2, "a millisecond before the first deadline");
      clock.tick(1);
      await expectCount(b, 2, 1, "at the first deadline");
      clock.tick(59_000);
      await expectCount(b, 1, 1, "at the second deadline");
    },
  }, {
    name: `countSessions() counts 250 sessions that were created concurrently, ${where}`,
    run: async () => {
      await Promise.all(Array.from({ length: 250 }, (_, n) => {
        const store = n % 2 === 0 ? a : b;
        return n % 5 === 0 ? createRecord(store) : createSessionOf(store, `user ${n}`);
      }));
      await expectCount(b, 250, 200, "after 250 concurrent createRecord()");
    },
  }, {
    name: `countSessions() counts exactly the live sessions after concurrent moves, changes and deletions, ${where}`,
    run: async () => {
      const sids = await Promise.all(Array.from({ length: 20 }, () => createSessionOf(a, "ada")));
      const newSids = sids.map(() => newSessionId());
      await settleAll<unknown>(sids.flatMap((sid, n) => [
        () => a.moveRecord(sid, newSids[n] ?? "", { meta: {}, graceUntil: 0 }),
        n % 2 === 0 ? () => b.delete(sid) : () => b.changeRecord(sid, { meta: { principal: undefined } }),
      ]));
      const live = { total: 0, signedIn: 0 };
      for (const sid of [...sids, ...newSids]) {
        const read = await a.readRecord(sid);
        if (read === undefined || !("values" in read)) continue;
        live.total++;
        if (read.meta.principal !== undefined) live.signedIn++;
      }
      await expectCount(b, live.total, live.signedIn, "after concurrent moves, changes and deletions");
    },
  }];
}
