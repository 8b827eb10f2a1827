/**
 * Checks of creating, reading and changing records.
 *
 * @module
 */
import { newSessionId } from "../../cookie/session_id.ts";
import type { RecordStore, SessionMeta } from "../../session_store.ts";
import type { Check, StorePair } from "../check.ts";
import { Clock } from "../clock.ts";
import { expect, expectEqual, expectRejects, show } from "../expect.ts";
import { expectMissing, readValues } from "../fixtures.ts";
import {
  buildRecord,
  createRecord,
  definedMembers,
  expectGone,
  expectRecord,
  FULL_META,
  HOUR,
  META,
  readLiveRecord,
} from "./record_fixtures.ts";

/** Checks of `createRecord()`, `readRecord()` and `changeRecord()`. */
export function recordChecks(pair: StorePair<RecordStore>): Check[] {
  return [...creationChecks(pair), ...changeChecks(pair), ...versionChecks(pair), ...copyAndRejectionChecks(pair)];
}

function creationChecks({ where, a, b }: StorePair<RecordStore>): Check[] {
  return [{
    name: `createRecord() keeps values, deadline and meta exactly as given, ${where}`,
    run: async () => {
      for (const meta of [META, FULL_META, { ...META, principal: "a user" }, { ...META, csrfSeed: "\0 {a}:🍪" }]) {
        const record = buildRecord({ x: 1, list: [1, { two: 2 }] }, { meta });
        record.values.set("__proto__", "odd").set("\0", "odd");
        const sid = newSessionId();
        await a.createRecord(sid, { ...record, values: new Map([...record.values, ["absent", undefined]]) });
        await expectRecord(b, sid, record, "after createRecord()");
        expectEqual(await readValues(b, sid), record.values, "get() after createRecord()");
        expectEqual(await b.getValue(sid, "list"), [1, { two: 2 }], "getValue() after createRecord()");
        expectEqual(typeof (await readLiveRecord(b, sid)).version, "number", "type of `version` in readRecord()");
      }
    },
  }, {
    name: `createRecord() rejects an id that is in use and keeps its record, ${where}`,
    run: async () => {
      const record = buildRecord({ x: 1 }, { meta: FULL_META });
      const sid = newSessionId();
      await a.createRecord(sid, record);
      const why = "it would replace another visitor's session";
      const create = (): Promise<void> => b.createRecord(sid, buildRecord({ y: 1 }));
      await expectRejects("createRecord() with an id that is in use", create, why);
      await expectRejects("create() with an id that is in use", () => b.create(sid), why);
      await expectRecord(a, sid, record, "after createRecord() rejected");
    },
  }, {
    name: `create() creates a record without a deadline, whose times in meta are the current time, ${where}`,
    run: async () => {
      using clock = new Clock();
      const sid = newSessionId();
      await a.create(sid);
      const meta = { createdAt: clock.now, seenAt: clock.now, renewedAt: clock.now };
      await expectRecord(b, sid, { values: new Map(), expiresAt: Infinity, meta }, "after create()");
      clock.tick(100 * 365 * 24 * HOUR);
      expectEqual(await b.exist(sid), true, "exist() of a session without a deadline, a hundred years later");
    },
  }, {
    name: `readRecord() returns undefined for a session that never existed or was deleted, ${where}`,
    run: async () => {
      const sid = newSessionId();
      expectEqual(await b.readRecord(sid), undefined, "readRecord() of a session that never existed");
      await a.createRecord(sid, buildRecord({ x: 1 }));
      await a.delete(sid);
      expectEqual(await b.readRecord(sid), undefined, "readRecord() of a deleted session");
    },
  }];
}

function changeChecks({ where, a, b }: StorePair<RecordStore>): Check[] {
  return [{
    name: `changeRecord() writes and removes values, and keeps the others, ${where}`,
    run: async () => {
      const sid = await createRecord(a, { x: 1, y: 1, z: 1 });
      const set = new Map<string, unknown>([["x", 2], ["y", undefined], ["__proto__", 3], ["none", undefined]]);
      expectEqual(await b.changeRecord(sid, { set }), true, "changeRecord()");
      const expected = new Map<string, unknown>([["x", 2], ["z", 1], ["__proto__", 3]]);
      expectEqual(await readValues(a, sid), expected, "get() after changeRecord()");
      expectEqual(await b.changeRecord(sid, {}), true, "changeRecord() with an empty change");
      expectEqual(await readValues(a, sid), expected, "get() after changeRecord() with an empty change");
    },
  }, {
    name: `changeRecord() with \`clear\` removes all values before it writes, ${where}`,
    run: async () => {
      const sid = await createRecord(a, { x: 1, y: 1 }, { meta: FULL_META });
      expectEqual(await b.changeRecord(sid, { clear: true, set: new Map([["x", 2]]) }), true, "changeRecord()");
      expectEqual(await readValues(a, sid), new Map([["x", 2]]), "get() after changeRecord() with `clear` and `set`");
      expectEqual(await b.changeRecord(sid, { clear: true, meta: { principal: undefined } }), true, "changeRecord()");
      const { principal: _, ...meta } = FULL_META;
      const { values, meta: read } = await readLiveRecord(a, sid);
      const what = "values and meta after changeRecord() with `clear`";
      expectEqual([values, definedMembers(read)], [new Map(), meta], what);
    },
  }, {
    name: `changeRecord() writes and removes members of meta, and keeps the others, ${where}`,
    run: async () => {
      const record = buildRecord({ x: 1 }, { meta: META });
      const sid = newSessionId();
      await a.createRecord(sid, record);
      let meta: SessionMeta = META;
      const patches: Partial<SessionMeta>[] = [
        { seenAt: 1_800_000_000_000 },
        { sentAt: 7 },
        { principal: "a user", boundAt: 8 },
        { csrfSeed: "a seed", renewedAt: 9 },
        { encrypted: 1 },
        { principal: "another user" },
        { sentAt: undefined },
        { csrfSeed: undefined },
        { principal: undefined, boundAt: undefined },
        { principal: "a user", createdAt: 10 },
      ];
      for (const patch of patches) {
        expectEqual(await b.changeRecord(sid, { meta: patch }), true, "changeRecord()");
        const changed = Object.entries({ ...meta, ...patch }).filter(([, value]) => value !== undefined);
        meta = Object.fromEntries(changed) as unknown as SessionMeta;
        await expectRecord(a, sid, { ...record, meta }, `after changeRecord() with meta ${show(patch)}`);
      }
    },
  }, {
    name: `changeRecord() moves the deadline later and earlier, ${where}`,
    run: async () => {
      using clock = new Clock();
      const sid = await createRecord(a, { x: 1 });
      for (const expiresAt of [clock.now + 2 * HOUR, clock.now + 1000, clock.now + 24 * HOUR, clock.now + 5000]) {
        expectEqual(await b.changeRecord(sid, { expiresAt }), true, "changeRecord()");
        expectEqual((await readLiveRecord(a, sid)).expiresAt, expiresAt, "expiresAt after changeRecord()");
      }
      clock.tick(4999);
      expectEqual(await a.exist(sid), true, "exist() a millisecond before the deadline from changeRecord()");
      clock.tick(1);
      await expectMissing(a, sid, "a session at the deadline from changeRecord()");
    },
  }, {
    name: `changeRecord() rejects for a missing session, and creates nothing, ${where}`,
    run: async () => {
      const deleted = await createRecord(a);
      await a.delete(deleted);
      const changes = [{}, { set: new Map([["x", 1]]) }, { clear: true, ifVersion: 0 }, { expiresAt: Infinity }];
      for (const sid of [newSessionId(), deleted]) {
        for (const change of changes) {
          const what = `changeRecord() with ${show(change)} of a missing session`;
          await expectGone(what, () => b.changeRecord(sid, change));
        }
        await expectGone("setValue() of a missing session", () => b.setValue(sid, "x", 1));
        await expectMissing(a, sid, "a missing session, after changeRecord() rejected");
        expectEqual(await a.readRecord(sid), undefined, "readRecord() after changeRecord() of a missing session");
      }
    },
  }];
}

function versionChecks({ where, a, b }: StorePair<RecordStore>): Check[] {
  return [{
    name: `changeRecord() with an outdated version changes nothing, with the current version everything, ${where}`,
    run: async () => {
      const record = buildRecord({ x: 1, y: 1 }, { meta: FULL_META });
      const sid = newSessionId();
      await a.createRecord(sid, record);
      const { version: outdated } = await readLiveRecord(b, sid);
      await a.setValue(sid, "x", 2);
      record.values.set("x", 2);
      const change = {
        clear: true,
        set: new Map<string, unknown>([["z", 1]]),
        meta: { principal: undefined, seenAt: 0 },
        expiresAt: record.expiresAt + HOUR,
      };
      const { clear, meta: patch, expiresAt } = change;
      for (const part of [change, { clear }, { meta: patch }, { expiresAt }]) {
        const what = `changeRecord() of ${Object.keys(part).join(", ")} with an outdated version`;
        expectEqual(await b.changeRecord(sid, { ...part, ifVersion: outdated }), false, what);
        await expectRecord(a, sid, record, `after ${what}`);
      }
      const { version: current } = await readLiveRecord(b, sid);
      const what = "changeRecord() with the current version";
      expectEqual(await b.changeRecord(sid, { ...change, ifVersion: current }), true, what);
      const { principal: _, ...meta } = { ...FULL_META, seenAt: 0 };
      await expectRecord(a, sid, { values: change.set, expiresAt: change.expiresAt, meta }, `after ${what}`);
    },
  }, {
    name: `every change of values sets a version that the record has not had, ${where}`,
    run: async () => {
      const sid = await createRecord(a, { x: 1 });
      const changes: [string, () => Promise<unknown>][] = [
        ["setValue()", () => a.setValue(sid, "x", 2)],
        ["setValue() with the same value", () => a.setValue(sid, "x", 2)],
        ["setValue() with another key", () => a.setValue(sid, "y", 2)],
        ["setValue() with undefined", () => a.setValue(sid, "y", undefined)],
        ["changeRecord() with `set`", () => a.changeRecord(sid, { set: new Map([["z", 1]]) })],
        ["changeRecord() with `set` to undefined", () => a.changeRecord(sid, { set: new Map([["z", undefined]]) })],
        ["changeRecord() with `clear`", () => a.changeRecord(sid, { clear: true })],
      ];
      const seen = [(await readLiveRecord(b, sid)).version];
      for (const [what, change] of changes) {
        await change();
        const { version } = await readLiveRecord(b, sid);
        expect(!seen.includes(version), `version after ${what}: expected a new one, got ${version} again`);
        seen.push(version);
      }
    },
  }];
}

function copyAndRejectionChecks({ where, a, b }: StorePair<RecordStore>): Check[] {
  return [{
    name: `createRecord() and changeRecord() copy synchronously, readRecord() returns a copy, ${where}`,
    run: async () => {
      const sid = newSessionId();
      const list = [1];
      const record = buildRecord({ list }, { meta: { ...META } });
      const { expiresAt } = record;
      const created = a.createRecord(sid, record);
      list.push(2);
      record.values.set("more", 1);
      record.meta.seenAt = 0;
      record.expiresAt = 0;
      await created;
      const expected = { values: new Map<string, unknown>([["list", [1]]]), expiresAt, meta: META };
      await expectRecord(b, sid, expected, "after the caller changed what it had passed to createRecord()");
      const read = await readLiveRecord(b, sid);
      (read.values.get("list") as number[]).push(3);
      read.values.set("more", 1);
      read.meta.seenAt = 0;
      await expectRecord(b, sid, expected, "after the caller changed what readRecord() returned");
      const other = { n: 1 };
      const set = new Map<string, unknown>([["other", other]]);
      const meta: Partial<SessionMeta> = { seenAt: 5 };
      const changed = a.changeRecord(sid, { set, meta });
      other.n = 2;
      set.set("more", 1);
      meta.seenAt = 6;
      await changed;
      expected.values.set("other", { n: 1 });
      expected.meta = { ...META, seenAt: 5 };
      await expectRecord(b, sid, expected, "after the caller changed what it had passed to changeRecord()");
    },
  }, {
    name: `a value that cannot be kept is rejected with an error that names the key, and nothing is written, ${where}`,
    run: async () => {
      const values = new Map<string, unknown>([["good", 1], ["the key", (): number => 1]]);
      const expectRejection = async (call: string, run: () => Promise<unknown>): Promise<void> => {
        const what = `${call} with a function as a value`;
        const error = await expectRejects(what, run, "a function cannot be kept");
        expect(`${error}`.includes("the key"), `${what}: expected an error that names the key "the key", got ${error}`);
      };
      const sid = newSessionId();
      await expectRejection("createRecord()", () => a.createRecord(sid, { ...buildRecord(), values }));
      await expectMissing(b, sid, "a session whose createRecord() rejected");
      const record = buildRecord({ x: 1 }, { meta: FULL_META });
      await a.createRecord(sid, record);
      const change = { set: values, clear: true, meta: { seenAt: 0 }, expiresAt: record.expiresAt + HOUR };
      await expectRejection("changeRecord()", () => a.changeRecord(sid, change));
      await expectRecord(b, sid, record, "after changeRecord() rejected");
      const newSid = newSessionId();
      await expectRejection("moveRecord()", () => a.moveRecord(sid, newSid, { meta: {}, graceUntil: 0, set: values }));
      await expectRecord(b, sid, record, "after moveRecord() rejected");
      await expectMissing(b, newSid, "the new id after moveRecord() rejected");
    },
  }];
}
