/**
 * Checks of `listPrincipals()`.
 *
 * @module
 */
import { isPrincipalListStore, type PrincipalListStore } from "../../admin_store.ts";
import { newSessionId } from "../../cookie/session_id.ts";
import { type Check, skipped, type StorePair } from "../check.ts";
import { Clock } from "../clock.ts";
import { expect, expectEqual, show } from "../expect.ts";
import { settleAll } from "../fixtures.ts";
import type { TestedStores } from "../harness.ts";
import { PRINCIPALS } from "../principal_store/principal_checks.ts";
import { createRecord, createSessionOf } from "../record_store/record_fixtures.ts";

/** Checks that `listPrincipals()` lists exactly the users with a live session, page by page. */
export function principalListChecks(stores: TestedStores): Check[] {
  const pairs = stores.pairsWith(isPrincipalListStore);
  if (pairs.length > 0) return pairs.flatMap(checksOfPair);
  return [skipped(
    "users who are signed in",
    "the store is not a PrincipalListStore, it has no listPrincipals(); without it middleware.sessions.users() rejects",
  )];
}

/** A limit that no page of these checks reaches. */
const NO_LIMIT = 1000;

/** Fails unless these users are listed, each with the number of its sessions. */
async function expectUsers(store: PrincipalListStore, expected: Record<string, number>, when: string): Promise<void> {
  const listed = await store.listPrincipals({ limit: NO_LIMIT });
  const counts = listed.map(({ principal, sessions }): [string, number] => [principal, sessions]);
  expectEqual(new Map(counts), new Map(Object.entries(expected)), `listPrincipals() ${when}`);
  expectEqual(counts.length, Object.keys(expected).length, `number of users in listPrincipals() ${when}`);
}

/** Lists all users in pages. */
async function listInPages(store: PrincipalListStore, limit: number): Promise<string[]> {
  const users: string[] = [];
  for (;;) {
    const after = users.at(-1);
    const page = await store.listPrincipals(after === undefined ? { limit } : { after, limit });
    expect(page.length <= limit, `listPrincipals(): expected at most ${limit} users, got ${page.length}`);
    for (const { principal } of page) {
      expect(
        !users.includes(principal),
        `listPrincipals({ after }): expected only users that follow, got ${show(principal.slice(0, 20))} again`,
      );
      users.push(principal);
    }
    if (page.length < limit) return users;
  }
}

function checksOfPair({ where, a, b }: StorePair<PrincipalListStore>): Check[] {
  return [{
    name: `listPrincipals() lists each user once, with the number of sessions, ${where}`,
    run: async () => {
      await expectUsers(b, {}, "of an empty store");
      const sid = await createRecord(a);
      await createSessionOf(a, "ada");
      await createSessionOf(b, "bob");
      await createSessionOf(a, "ada");
      await expectUsers(b, { ada: 2, bob: 1 }, "after createRecord()");
      await a.changeRecord(sid, { meta: { principal: "eve" } });
      await expectUsers(b, { ada: 2, bob: 1, eve: 1 }, "after changeRecord() bound a session to a user");
      await a.changeRecord(sid, { meta: { principal: "bob" } });
      await expectUsers(b, { ada: 2, bob: 2 }, "after changeRecord() bound it to another user");
      await a.changeRecord(sid, { meta: { principal: undefined } });
      await expectUsers(b, { ada: 2, bob: 1 }, "after changeRecord() unbound it");
    },
  }, {
    name: `listPrincipals() follows sessions to new ids, and omits removed ones, ${where}`,
    run: async () => {
      const [first, second, third] = [await createSessionOf(a, "ada"), newSessionId(), newSessionId()];
      await a.moveRecord(first, second, { meta: {}, graceUntil: Date.now() + 5000 });
      await expectUsers(b, { ada: 1 }, "after moveRecord()");
      await b.moveRecord(second, third, { meta: { principal: "bob" }, graceUntil: 0 });
      await expectUsers(a, { bob: 1 }, "after moveRecord() bound the session to another user");
      await createSessionOf(a, "eve");
      await b.delete(third);
      await expectUsers(a, { eve: 1 }, "after delete()");
      await b.clear();
      await expectUsers(a, {}, "after clear()");
      await createSessionOf(a, "ada");
      await expectUsers(b, { ada: 1 }, "after createRecord() that follows clear()");
    },
  }, {
    name: `listPrincipals() lists users with similar, unusual or long names, in pages of any size, ${where}`,
    run: async () => {
      await Promise.all(PRINCIPALS.map((principal) => createSessionOf(a, principal)));
      const all = (await b.listPrincipals({ limit: NO_LIMIT })).map(({ principal }) => principal);
      expectEqual(all.toSorted(), PRINCIPALS.toSorted(), "users in listPrincipals()");
      for (const limit of [1, 4, PRINCIPALS.length]) {
        expectEqual(await listInPages(a, limit), all, `users in pages of ${limit}`);
      }
    },
  }, {
    name: `listPrincipals() continues after a user who has signed out, whoever signs in meanwhile, ${where}`,
    run: async () => {
      const names = Array.from({ length: 12 }, (_, n) => `user ${n}`);
      const sids = new Map<string, string>();
      for (const name of names) sids.set(name, await createSessionOf(a, name));
      const order = await listInPages(b, 5);
      const after = order[4] ?? "";
      await a.delete(sids.get(after) ?? "");
      // Some come before the position, some after it.
      const joined = Array.from({ length: 8 }, (_, n) => `another user ${n}`);
      for (const name of joined) await createSessionOf(a, name);
      const rest = (await b.listPrincipals({ after, limit: NO_LIMIT })).map(({ principal }) => principal);
      const what = "users after one who has signed out";
      expectEqual(rest.filter((name) => !joined.includes(name)), order.slice(5), what);
      const all = await listInPages(b, 3);
      expectEqual(rest, all.slice(all.length - rest.length), `${what}, and those who signed in meanwhile`);
      await createSessionOf(a, after);
      const again = (await listInPages(b, 3)).filter((name) => !joined.includes(name));
      expectEqual(again, order, "order of the users after one has signed out and in again");
    },
  }, {
    name: `listPrincipals() omits a session from its deadline on, ${where}`,
    run: async () => {
      using clock = new Clock();
      await createSessionOf(a, "ada", clock.now + 1000);
      await createSessionOf(a, "ada", clock.now + 60_000);
      await createSessionOf(a, "bob", clock.now + 1000);
      const prolonged = await createSessionOf(a, "eve", clock.now + 1000);
      await a.changeRecord(prolonged, { expiresAt: clock.now + 120_000 });
      clock.tick(999);
      await expectUsers(b, { ada: 2, bob: 1, eve: 1 }, "a millisecond before the first deadline");
      clock.tick(1);
      await expectUsers(b, { ada: 1, eve: 1 }, "at the first deadline");
      expectEqual((await b.listPrincipals({ limit: 1 })).length, 1, "users in a page of 1, at the first deadline");
      clock.tick(59_000);
      await expectUsers(b, { eve: 1 }, "at the second deadline");
    },
  }, {
    name: `listPrincipals() lists 100 users and 150 sessions of one of them, ${where}`,
    run: async () => {
      const names = Array.from({ length: 100 }, (_, n) => `user ${n}`);
      const owners = [...names, ...Array<string>(149).fill("user 50")];
      await Promise.all(owners.map((name, n) => createSessionOf(n % 2 === 0 ? a : b, name)));
      const expected = Object.fromEntries(names.map((name) => [name, name === "user 50" ? 150 : 1]));
      await expectUsers(b, expected, "after 249 concurrent createRecord()");
      expectEqual((await listInPages(b, 30)).toSorted(), names.toSorted(), "users in pages of 30");
    },
  }, {
    name:
      `listPrincipals() lists exactly the users of live sessions after concurrent moves, changes and deletions, ${where}`,
    run: async () => {
      const sids = await Promise.all(Array.from({ length: 20 }, () => createSessionOf(a, "ada")));
      const newSids = sids.map(() => newSessionId());
      await settleAll<unknown>(sids.flatMap((sid, n) => [
        () => a.moveRecord(sid, newSids[n] ?? "", { meta: n % 3 === 0 ? { principal: "bob" } : {}, graceUntil: 0 }),
        n % 2 === 0 ? () => b.delete(sid) : () => b.changeRecord(sid, { meta: { principal: `user ${n}` } }),
      ]));
      const expected: Record<string, number> = {};
      for (const sid of [...sids, ...newSids]) {
        const read = await a.readRecord(sid);
        if (read === undefined || !("values" in read) || read.meta.principal === undefined) continue;
        expected[read.meta.principal] = (expected[read.meta.principal] ?? 0) + 1;
      }
      await expectUsers(b, expected, "after concurrent moves, changes and deletions");
    },
  }];
}
