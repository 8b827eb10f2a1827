/**
 * Checks of `listSessions()`.
 *
 * @module
 */
import { newSessionId } from "../../cookie/session_id.ts";
import { isPrincipalStore, type PrincipalStore } from "../../session_store.ts";
import { type Check, skipped, type StorePair } from "../check.ts";
import { Clock } from "../clock.ts";
import { expectEqual, show } from "../expect.ts";
import { settleAll } from "../fixtures.ts";
import type { TestedStores } from "../harness.ts";
import {
  buildRecord,
  createRecord,
  createSessionOf,
  definedMembers,
  META,
  readLiveRecord,
} from "../record_store/record_fixtures.ts";

/** Names of users that a store may confuse with each other or with the syntax of its backend. */
export const PRINCIPALS: readonly string[] = [
  "ada",
  "ADA",
  "ad",
  "ada ",
  "ada:",
  "ada:1",
  "{ada}",
  "ada\0",
  "ada\\0",
  "\0",
  "\\",
  "*",
  "ad?",
  "%",
  "ad_",
  "'; --",
  "__proto__",
  "constructor",
  "undefined",
  " ",
  "é",
  "e\u{301}",
  "日本語",
  "🍪",
  "u".repeat(512),
  "u".repeat(511),
  "€".repeat(512),
];

/** Checks that `listSessions()` finds exactly the live sessions of a user. */
export function principalChecks(stores: TestedStores): Check[] {
  const pairs = stores.pairsWith(isPrincipalStore);
  if (pairs.length > 0) return pairs.flatMap((pair) => [...bindingChecks(pair), ...completenessChecks(pair)]);
  return [skipped(
    "sessions of a user",
    "the store is not a PrincipalStore, it has no listSessions(); without it middleware.sessions cannot list or revoke " +
      "the sessions of a user, and the option maxSessionsPerPrincipal is rejected",
  )];
}

/** Fails unless exactly these sessions of a user are listed. */
async function expectSessions(store: PrincipalStore, principal: string, sids: string[], when: string): Promise<void> {
  const listed = (await store.listSessions(principal)).map(({ sid }) => sid).sort();
  expectEqual(listed, sids.toSorted(), `listSessions() of ${show(principal.slice(0, 20))} ${when}`);
}

function bindingChecks({ where, a, b }: StorePair<PrincipalStore>): Check[] {
  return [{
    name: `listSessions() lists the sessions that createRecord() bound to a user, with deadline and meta, ${where}`,
    run: async () => {
      await expectSessions(b, "ada", [], "before she has one");
      await createRecord(a);
      await createSessionOf(a, "bob");
      const meta = { ...META, principal: "ada", boundAt: 4, sentAt: 5, csrfSeed: "a seed", label: "Firefox" };
      const sids = [await createRecord(a, { x: 1 }, { meta }), await createRecord(b, {}, { meta })];
      await expectSessions(b, "ada", sids, "after createRecord()");
      for (const session of await b.listSessions("ada")) {
        expectEqual(definedMembers(session.meta), meta, "meta in listSessions()");
        const { expiresAt } = await readLiveRecord(a, session.sid);
        expectEqual(session.expiresAt, expiresAt, "expiresAt in listSessions()");
        session.meta.seenAt = 0;
      }
      for (const session of await b.listSessions("ada")) {
        const what = "meta.seenAt in listSessions() after the caller changed what it had returned before";
        expectEqual(session.meta.seenAt, META.seenAt, what);
      }
    },
  }, {
    name: `listSessions() follows changeRecord() that binds a session to a user, to another user and to none, ${where}`,
    run: async () => {
      const sid = await createRecord(a);
      const bobsSid = await createSessionOf(a, "bob");
      await a.changeRecord(sid, { meta: { principal: "ada" } });
      await expectSessions(b, "ada", [sid], "after changeRecord() bound a session to her");
      await a.changeRecord(sid, { meta: { seenAt: 9 } });
      await a.setValue(sid, "x", 1);
      await a.changeRecord(sid, { clear: true, set: new Map([["x", 1]]) });
      await expectSessions(b, "ada", [sid], "after changes without `principal`");
      await a.changeRecord(sid, { meta: { principal: "bob" } });
      await expectSessions(b, "ada", [], "after changeRecord() bound her session to another user");
      await expectSessions(b, "bob", [sid, bobsSid], "after changeRecord() bound another session to him");
      await a.changeRecord(sid, { meta: { principal: undefined } });
      await expectSessions(b, "bob", [bobsSid], "after changeRecord() unbound one session");
    },
  }, {
    name: `listSessions() ignores a change or move with an outdated version, ${where}`,
    run: async () => {
      const sid = await createSessionOf(a, "ada");
      await a.setValue(sid, "x", 1);
      await b.changeRecord(sid, { ifVersion: -1, meta: { principal: "bob" } });
      await b.moveRecord(sid, newSessionId(), { ifVersion: -1, meta: { principal: "bob" }, graceUntil: 0 });
      await expectSessions(b, "ada", [sid], "after changes with an outdated version");
      await expectSessions(b, "bob", [], "after changes with an outdated version");
    },
  }, {
    name: `listSessions() follows a session to its new id, ${where}`,
    run: async () => {
      const [first, second, third] = [await createSessionOf(a, "ada"), newSessionId(), newSessionId()];
      await a.moveRecord(first, second, { meta: {}, graceUntil: Date.now() + 5000 });
      await expectSessions(b, "ada", [second], "after moveRecord()");
      await b.moveRecord(second, third, { meta: { principal: "bob" }, graceUntil: 0 });
      await expectSessions(b, "ada", [], "after moveRecord() bound her session to another user");
      await expectSessions(b, "bob", [third], "after moveRecord() bound a session to him");
      const fourth = newSessionId();
      await a.moveRecord(third, fourth, { meta: { principal: undefined }, graceUntil: 0 });
      await expectSessions(b, "bob", [], "after moveRecord() unbound his session");
      const fifth = newSessionId();
      await a.moveRecord(fourth, fifth, { meta: { principal: "ada" }, graceUntil: 0 });
      await expectSessions(b, "ada", [fifth], "after moveRecord() bound a session to her");
      await a.delete(fourth);
      await expectSessions(b, "ada", [fifth], "after delete() of a replaced id");
    },
  }, {
    name: `users with similar, unusual or long names are distinct, ${where}`,
    run: async () => {
      const sids = await Promise.all(PRINCIPALS.map((principal) => createSessionOf(a, principal)));
      for (const [n, principal] of PRINCIPALS.entries()) {
        const sessions = await b.listSessions(principal);
        const what = `listSessions() of ${show(principal.slice(0, 20))}`;
        expectEqual(sessions.map(({ sid }) => sid), [sids[n]], what);
        expectEqual(sessions[0]?.meta.principal, principal, `meta.principal in ${what}`);
      }
    },
  }];
}

function completenessChecks({ where, a, b }: StorePair<PrincipalStore>): Check[] {
  return [{
    name: `listSessions() omits sessions that delete() or clear() removed, ${where}`,
    run: async () => {
      const [first, second] = [await createSessionOf(a, "ada"), await createSessionOf(a, "ada")];
      await b.delete(first);
      await expectSessions(a, "ada", [second], "after delete() of one session");
      await b.clear();
      await expectSessions(a, "ada", [], "after clear()");
      await a.createRecord(first, buildRecord());
      await expectSessions(b, "ada", [], "after the deleted id was used again without a user");
    },
  }, {
    name: `listSessions() omits a session from its deadline on, ${where}`,
    run: async () => {
      using clock = new Clock();
      const short = await createSessionOf(a, "ada", clock.now + 1000);
      const long = await createSessionOf(a, "ada", clock.now + 60_000);
      const prolonged = await createSessionOf(a, "ada", clock.now + 1000);
      await a.changeRecord(prolonged, { expiresAt: clock.now + 120_000 });
      const moved = newSessionId();
      await a.moveRecord(long, moved, { meta: {}, expiresAt: clock.now + 90_000, graceUntil: 0 });
      const deadlines = new Map((await b.listSessions("ada")).map(({ sid, expiresAt }) => [sid, expiresAt]));
      const expected = new Map([[short, clock.now + 1000], [prolonged, clock.now + 120_000], [
        moved,
        clock.now + 90_000,
      ]]);
      expectEqual(deadlines, expected, "the deadlines in listSessions() after changeRecord() and moveRecord()");
      clock.tick(999);
      await expectSessions(b, "ada", [short, moved, prolonged], "a millisecond before the first deadline");
      clock.tick(1);
      await expectSessions(b, "ada", [moved, prolonged], "at the first deadline");
      await b.create(short);
      await expectSessions(b, "ada", [moved, prolonged], "after create() with the id of an expired session");
      clock.tick(89_000);
      await expectSessions(b, "ada", [prolonged], "at the second deadline");
    },
  }, {
    name: `listSessions() lists 100 sessions of a user that were created concurrently, ${where}`,
    run: async () => {
      const stores = Array.from({ length: 100 }, (_, n) => n % 2 === 0 ? a : b);
      const sids = await Promise.all(stores.map((store) => createSessionOf(store, "ada")));
      await expectSessions(b, "ada", sids, "after 100 concurrent createRecord()");
      await Promise.all(sids.slice(0, 50).map((sid, n) => (n % 2 === 0 ? b : a).delete(sid)));
      await expectSessions(a, "ada", sids.slice(50), "after 50 concurrent delete()");
    },
  }, {
    name: `listSessions() lists exactly the live sessions after concurrent moves, changes and deletions, ${where}`,
    run: async () => {
      const sids = await Promise.all(Array.from({ length: 20 }, () => createSessionOf(a, "ada")));
      const newSids = sids.map(() => newSessionId());
      const principals = ["ada", "bob"];
      await settleAll<unknown>(sids.flatMap((sid, n) => [
        () => a.moveRecord(sid, newSids[n] ?? "", { meta: n % 3 === 0 ? { principal: "bob" } : {}, graceUntil: 0 }),
        n % 2 === 0
          ? () => b.delete(sid)
          : () => b.changeRecord(sid, { meta: { principal: principals[n % 4 === 1 ? 0 : 1] } }),
      ]));
      const live = new Map<string, string[]>(principals.map((principal) => [principal, []]));
      for (const sid of [...sids, ...newSids]) {
        const read = await a.readRecord(sid);
        if (read !== undefined && "values" in read) live.get(read.meta.principal ?? "")?.push(sid);
      }
      for (const [principal, expected] of live) {
        await expectSessions(b, principal, expected, "after concurrent moves, changes and deletions");
      }
    },
  }];
}
