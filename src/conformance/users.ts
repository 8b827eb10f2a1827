/**
 * What a `PrincipalStore` has to do beyond a `RecordStore`.
 *
 * @module
 */
import type { PrincipalStore } from "../session_store.ts";
import { newSessionId } from "../cookie/session_id.ts";
import { isPrincipalStore } from "../session_store.ts";
import { type Check, note, type OpenBench, type Pair } from "./bench.ts";
import { Clock } from "./clock.ts";
import { expectEqual, show } from "./expect.ts";
import { createRecord, membersOf, META, recordOf } from "./record_steps.ts";
import { settle } from "./steps.ts";

/** Users who must not be taken for one another. */
const PRINCIPALS = [
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

/** Checks of finding the sessions of a user; of a store that cannot it is said. */
export function users(bench: OpenBench): Check[] {
  const pairs = bench.pairs(isPrincipalStore);
  if (pairs.length > 0) return pairs.flatMap(check);
  return [note(
    "does not have PrincipalStore (listSessions()): middleware.sessions cannot list or revoke the sessions of a user, and " +
      "maxSessionsPerPrincipal is refused",
  )];
}

/** Makes a session of a user. */
function createOf(store: PrincipalStore, principal: string, expiresAt = Date.now() + 60_000): Promise<string> {
  return createRecord(store, {}, { expiresAt, meta: { ...META, principal } });
}

/** Fails unless these are the sessions of a user. */
async function expectSessions(store: PrincipalStore, principal: string, sids: string[], when: string): Promise<void> {
  const listed = (await store.listSessions(principal)).map(({ sid }) => sid).sort();
  expectEqual(listed, sids.toSorted(), `listSessions() of ${show(principal.slice(0, 20))} ${when}`);
}

function check({ where, a, b }: Pair<PrincipalStore>): Check[] {
  return [{
    name: `listSessions() finds the sessions that were made for a user, with their meta, ${where}`,
    run: async () => {
      await expectSessions(b, "ada", [], "before there is one");
      await createRecord(a);
      await createOf(a, "bob");
      const meta = { ...META, principal: "ada", boundAt: 4, sentAt: 5, csrfSeed: "a seed" };
      const sids = [await createRecord(a, { x: 1 }, { meta }), await createRecord(b, {}, { meta })];
      await expectSessions(b, "ada", sids, "after createRecord()");
      for (const session of await b.listSessions("ada")) {
        expectEqual(membersOf(session.meta), meta, "meta in listSessions()");
        session.meta.seenAt = 0;
      }
      for (const session of await b.listSessions("ada")) {
        expectEqual(
          session.meta.seenAt,
          META.seenAt,
          "meta in listSessions() after the caller changed what it returned before",
        );
      }
    },
  }, {
    name: `listSessions() follows a session that is bound to a user, to another and to none, ${where}`,
    run: async () => {
      const sid = await createRecord(a);
      const other = await createOf(a, "bob");
      await a.changeRecord(sid, { meta: { principal: "ada" } });
      await expectSessions(b, "ada", [sid], "after changeRecord() bound it");
      await a.changeRecord(sid, { meta: { seenAt: 9 } });
      await a.setValue(sid, "x", 1);
      await a.changeRecord(sid, { clear: true, set: new Map([["x", 1]]) });
      await expectSessions(b, "ada", [sid], "after changes that say nothing of the user");
      await a.changeRecord(sid, { meta: { principal: "bob" } });
      await expectSessions(b, "ada", [], "after changeRecord() bound it to another user");
      await expectSessions(b, "bob", [sid, other], "after changeRecord() bound it to that user");
      await a.changeRecord(sid, { meta: { principal: undefined } });
      await expectSessions(b, "bob", [other], "after changeRecord() unbound one session");
    },
  }, {
    name: `listSessions() leaves as it was what a refused change would have bound, ${where}`,
    run: async () => {
      const sid = await createOf(a, "ada");
      await a.setValue(sid, "x", 1);
      await b.changeRecord(sid, { ifVersion: -1, meta: { principal: "bob" } });
      await b.moveRecord(sid, newSessionId(), { ifVersion: -1, meta: { principal: "bob" }, graceUntil: 0 });
      await expectSessions(b, "ada", [sid], "after changes that answered false");
      await expectSessions(b, "bob", [], "after changes that answered false");
    },
  }, {
    name: `listSessions() follows a session to its new id, ${where}`,
    run: async () => {
      const [first, second, third] = [await createOf(a, "ada"), newSessionId(), newSessionId()];
      await a.moveRecord(first, second, { meta: {}, graceUntil: Date.now() + 5000 });
      await expectSessions(b, "ada", [second], "after moveRecord()");
      await b.moveRecord(second, third, { meta: { principal: "bob" }, graceUntil: 0 });
      await expectSessions(b, "ada", [], "after moveRecord() bound it to another user");
      await expectSessions(b, "bob", [third], "after moveRecord() bound it to that user");
      const fourth = newSessionId();
      await a.moveRecord(third, fourth, { meta: { principal: undefined }, graceUntil: 0 });
      await expectSessions(b, "bob", [], "after moveRecord() unbound it");
      const fifth = newSessionId();
      await a.moveRecord(fourth, fifth, { meta: { principal: "ada" }, graceUntil: 0 });
      await expectSessions(b, "ada", [fifth], "after moveRecord() bound it");
      await a.delete(fourth);
      await expectSessions(b, "ada", [fifth], "after delete() of a replaced id");
    },
  }, {
    name: `listSessions() forgets what delete() and clear() remove, ${where}`,
    run: async () => {
      const sids = [await createOf(a, "ada"), await createOf(a, "ada")];
      const [first = "", second = ""] = sids;
      await b.delete(first);
      await expectSessions(a, "ada", [second], "after delete() of one session");
      await b.clear();
      await expectSessions(a, "ada", [], "after clear()");
      await a.createRecord(first, recordOf());
      await expectSessions(b, "ada", [], "after a session was made anew without a user");
    },
  }, {
    name: `listSessions() finds no session from its deadline on, to the millisecond, ${where}`,
    run: async () => {
      using clock = new Clock();
      const short = await createOf(a, "ada", clock.now + 1000);
      const long = await createOf(a, "ada", clock.now + 60_000);
      const kept = await createOf(a, "ada", clock.now + 1000);
      await a.changeRecord(kept, { expiresAt: clock.now + 120_000 });
      clock.tick(999);
      await expectSessions(b, "ada", [short, long, kept], "a millisecond before one's deadline");
      clock.tick(1);
      await expectSessions(b, "ada", [long, kept], "at one's deadline");
      await b.create(short);
      await expectSessions(b, "ada", [long, kept], "after create() took the place of an expired session");
      clock.tick(59_000);
      await expectSessions(b, "ada", [kept], "at the next one's deadline");
    },
  }, {
    name: `users are told apart, whatever their names, to 512 characters, ${where}`,
    run: async () => {
      const sids = await Promise.all(PRINCIPALS.map((principal) => createOf(a, principal)));
      for (const [n, principal] of PRINCIPALS.entries()) {
        const [session, ...more] = await b.listSessions(principal);
        const what = `listSessions() of ${show(principal.slice(0, 20))}`;
        expectEqual([session?.sid, more.length], [sids[n], 0], `${what}: its session, and how many more`);
        expectEqual(session?.meta.principal, principal, `meta.principal in ${what}`);
      }
    },
  }, {
    name: `listSessions() finds 100 sessions of a user, made at once, ${where}`,
    run: async () => {
      const stores = Array.from({ length: 100 }, (_, n) => n % 2 === 0 ? a : b);
      const sids = await Promise.all(stores.map((store) => createOf(store, "ada")));
      await expectSessions(b, "ada", sids, "after 100 createRecord() at once");
      await Promise.all(sids.slice(0, 50).map((sid, n) => (n % 2 === 0 ? b : a).delete(sid)));
      await expectSessions(a, "ada", sids.slice(50), "after 50 delete() at once");
    },
  }, {
    name: `listSessions() finds exactly what lives after changes at once, ${where}`,
    run: async () => {
      const sids = await Promise.all(Array.from({ length: 20 }, () => createOf(a, "ada")));
      const newSids = sids.map(() => newSessionId());
      const principals = ["ada", "bob"];
      await settle<unknown>(sids.flatMap((sid, n) => [
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
      for (const [principal, expected] of live) await expectSessions(b, principal, expected, "after changes at once");
    },
  }];
}
