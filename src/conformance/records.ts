/**
 * What a `RecordStore` has to do with records.
 *
 * @module
 */
import type { RecordStore, SessionMeta } from "../session_store.ts";
import { newSessionId } from "../cookie/session_id.ts";
import type { Check, Pair } from "./bench.ts";
import { Clock } from "./clock.ts";
import { expect, expectEqual, expectRejects, show } from "./expect.ts";
import {
  createRecord,
  expectGone,
  expectRecord,
  FULL_META,
  HOUR,
  membersOf,
  META,
  readLive,
  recordOf,
} from "./record_steps.ts";
import { expectMissing, valuesOf } from "./steps.ts";

/** Checks of making, reading and changing records. */
export function changes({ where, a, b }: Pair<RecordStore>): Check[] {
  return [{
    name: `createRecord() keeps values, deadline and meta exactly as given, ${where}`,
    run: async () => {
      for (const meta of [META, FULL_META, { ...META, principal: "a user" }, { ...META, csrfSeed: "\0 {a}:🍪" }]) {
        const record = recordOf({ x: 1, list: [1, { two: 2 }], "__proto__": 0 }, { meta });
        record.values.set("__proto__", "odd").set("\0", "odd");
        const sid = newSessionId();
        await a.createRecord(sid, { ...record, values: new Map([...record.values, ["absent", undefined]]) });
        await expectRecord(b, sid, record, "after createRecord()");
        expectEqual(await valuesOf(b, sid), record.values, "get() after createRecord()");
        expectEqual(await b.getValue(sid, "list"), [1, { two: 2 }], "getValue() after createRecord()");
        expectEqual(typeof (await readLive(b, sid)).version, "number", "the type of `version` in readRecord()");
      }
    },
  }, {
    name: `createRecord() refuses an id in use, and leaves the record there as it is, ${where}`,
    run: async () => {
      const record = recordOf({ x: 1 }, { meta: FULL_META });
      const sid = newSessionId();
      await a.createRecord(sid, record);
      const why = "it would replace somebody's session";
      await expectRejects("createRecord() of an id in use", () => b.createRecord(sid, recordOf({ y: 1 })), why);
      await expectRejects("create() of an id in use", () => b.create(sid), why);
      await expectRecord(a, sid, record, "after a refused createRecord()");
    },
  }, {
    name: `create() makes a record that begins now and has no deadline, ${where}`,
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
    name: `readRecord() is undefined for a session that never was, or was deleted, ${where}`,
    run: async () => {
      const sid = newSessionId();
      expectEqual(await b.readRecord(sid), undefined, "readRecord() of a session that never was");
      await a.createRecord(sid, recordOf({ x: 1 }));
      await a.delete(sid);
      expectEqual(await b.readRecord(sid), undefined, "readRecord() of a deleted session");
    },
  }, {
    name: `changeRecord() writes and removes values, and leaves the others, ${where}`,
    run: async () => {
      const sid = await createRecord(a, { x: 1, y: 1, z: 1 });
      const set = new Map<string, unknown>([["x", 2], ["y", undefined], ["__proto__", 3], ["none", undefined]]);
      expectEqual(await b.changeRecord(sid, { set }), true, "changeRecord()");
      const expected = new Map<string, unknown>([["x", 2], ["z", 1], ["__proto__", 3]]);
      expectEqual(await valuesOf(a, sid), expected, "get() after changeRecord()");
      expectEqual(await b.changeRecord(sid, {}), true, "changeRecord() with nothing to change");
      expectEqual(await valuesOf(a, sid), expected, "get() after changeRecord() with nothing to change");
    },
  }, {
    name: `changeRecord() with \`clear\` removes all values, before it writes, ${where}`,
    run: async () => {
      const sid = await createRecord(a, { x: 1, y: 1 }, { meta: FULL_META });
      expectEqual(await b.changeRecord(sid, { clear: true, set: new Map([["x", 2]]) }), true, "changeRecord()");
      expectEqual(await valuesOf(a, sid), new Map([["x", 2]]), "get() after changeRecord() with `clear` and `set`");
      expectEqual(await b.changeRecord(sid, { clear: true, meta: { principal: undefined } }), true, "changeRecord()");
      const { principal: _, ...meta } = FULL_META;
      const { values, meta: read } = await readLive(a, sid);
      expectEqual([values, membersOf(read)], [new Map(), meta], "values and meta after changeRecord() with `clear`");
    },
  }, {
    name: `changeRecord() writes and removes members of meta, and leaves the others, ${where}`,
    run: async () => {
      const record = recordOf({ x: 1 }, { meta: META });
      const sid = newSessionId();
      await a.createRecord(sid, record);
      let meta: SessionMeta = META;
      const steps: Partial<SessionMeta>[] = [
        { seenAt: 1_800_000_000_000 },
        { sentAt: 7 },
        { principal: "a user", boundAt: 8 },
        { csrfSeed: "a seed", renewedAt: 9 },
        { principal: "another user" },
        { sentAt: undefined },
        { csrfSeed: undefined },
        { principal: undefined, boundAt: undefined },
        { principal: "a user", createdAt: 10 },
      ];
      for (const step of steps) {
        expectEqual(await b.changeRecord(sid, { meta: step }), true, "changeRecord()");
        const changed = Object.entries({ ...meta, ...step }).filter(([, value]) => value !== undefined);
        meta = Object.fromEntries(changed) as unknown as SessionMeta;
        await expectRecord(a, sid, { ...record, meta }, `after changeRecord() with meta ${show(step)}`);
      }
    },
  }, {
    name: `changeRecord() moves the deadline, later and earlier, ${where}`,
    run: async () => {
      using clock = new Clock();
      const sid = await createRecord(a, { x: 1 });
      for (const expiresAt of [clock.now + 2 * HOUR, clock.now + 1000, clock.now + 24 * HOUR, clock.now + 5000]) {
        expectEqual(await b.changeRecord(sid, { expiresAt }), true, "changeRecord()");
        expectEqual((await readLive(a, sid)).expiresAt, expiresAt, "expiresAt after changeRecord()");
      }
      clock.tick(4999);
      expectEqual(await a.exist(sid), true, "exist() a millisecond before the deadline that changeRecord() wrote");
      clock.tick(1);
      await expectMissing(a, sid, "a session at the deadline that changeRecord() wrote");
    },
  }, {
    name: `changeRecord() takes all of a change or nothing where the version is another, ${where}`,
    run: async () => {
      const record = recordOf({ x: 1, y: 1 }, { meta: FULL_META });
      const sid = newSessionId();
      await a.createRecord(sid, record);
      const { version } = await readLive(b, sid);
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
        const what = `changeRecord() of ${Object.keys(part).join(", ")} with the version from before a setValue()`;
        expectEqual(await b.changeRecord(sid, { ...part, ifVersion: version }), false, what);
        await expectRecord(a, sid, record, `after ${what}`);
      }
      const current = (await readLive(b, sid)).version;
      expectEqual(
        await b.changeRecord(sid, { ...change, ifVersion: current }),
        true,
        "changeRecord() with the present version",
      );
      const { principal: _, ...meta } = { ...FULL_META, seenAt: 0 };
      const expected = { values: change.set, expiresAt: change.expiresAt, meta };
      await expectRecord(a, sid, expected, "after changeRecord() answered true");
    },
  }, {
    name: `every change of values makes another version, ${where}`,
    run: async () => {
      const sid = await createRecord(a, { x: 1 });
      const steps: [string, () => Promise<unknown>][] = [
        ["setValue()", () => a.setValue(sid, "x", 2)],
        ["setValue() of the same value", () => a.setValue(sid, "x", 2)],
        ["setValue() of another key", () => a.setValue(sid, "y", 2)],
        ["setValue() with undefined", () => a.setValue(sid, "y", undefined)],
        ["changeRecord() with `set`", () => a.changeRecord(sid, { set: new Map([["z", 1]]) })],
        ["changeRecord() with `set` to undefined", () => a.changeRecord(sid, { set: new Map([["z", undefined]]) })],
        ["changeRecord() with `clear`", () => a.changeRecord(sid, { clear: true })],
      ];
      const seen = [(await readLive(b, sid)).version];
      for (const [what, step] of steps) {
        await step();
        const { version } = await readLive(b, sid);
        expect(!seen.includes(version), `${what}: expected another version than each before, got ${version} again`);
        seen.push(version);
      }
    },
  }, {
    name: `values are copied in at the call, and copied out, ${where}`,
    run: async () => {
      const sid = newSessionId();
      const list = [1];
      const record = recordOf({ list }, { meta: { ...META } });
      const { expiresAt } = record;
      const made = a.createRecord(sid, record);
      list.push(2);
      record.values.set("more", 1);
      record.meta.seenAt = 0;
      record.expiresAt = 0;
      await made;
      const expected = { values: new Map<string, unknown>([["list", [1]]]), expiresAt, meta: META };
      await expectRecord(b, sid, expected, "after the caller changed what it gave to createRecord()");
      const read = await readLive(b, sid);
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
      await expectRecord(b, sid, expected, "after the caller changed what it gave to changeRecord()");
    },
  }, {
    name: `a value that cannot be kept is refused by its key, and nothing of the record or change is written, ${where}`,
    run: async () => {
      const values = new Map<string, unknown>([["good", 1], ["the key", (): number => 1]]);
      const expectRefusal = async (what: string, call: () => Promise<unknown>): Promise<void> => {
        const error = await expectRejects(`${what} with a function`, call, "a function cannot be kept");
        expect(
          `${error}`.includes("the key"),
          `${what} with a function: expected an error that names the key, got ${error}`,
        );
      };
      const sid = newSessionId();
      await expectRefusal("createRecord()", () => a.createRecord(sid, { ...recordOf(), values }));
      await expectMissing(b, sid, "a session whose createRecord() was refused");
      const record = recordOf({ x: 1 }, { meta: FULL_META });
      await a.createRecord(sid, record);
      const change = { set: values, clear: true, meta: { seenAt: 0 }, expiresAt: record.expiresAt + HOUR };
      await expectRefusal("changeRecord()", () => a.changeRecord(sid, change));
      await expectRecord(b, sid, record, "after changeRecord() was refused");
      const newSid = newSessionId();
      await expectRefusal("moveRecord()", () => a.moveRecord(sid, newSid, { meta: {}, graceUntil: 0, set: values }));
      await expectRecord(b, sid, record, "after moveRecord() was refused");
      await expectMissing(b, newSid, "a session whose moveRecord() was refused");
    },
  }, {
    name: `changeRecord() rejects for a missing session, and creates nothing, ${where}`,
    run: async () => {
      const deleted = await createRecord(a);
      await a.delete(deleted);
      for (const sid of [newSessionId(), deleted]) {
        for (
          const change of [{}, { set: new Map([["x", 1]]) }, { clear: true, ifVersion: 0 }, { expiresAt: Infinity }]
        ) {
          await expectGone(
            `changeRecord() with ${show(change)} of a missing session`,
            () => b.changeRecord(sid, change),
          );
        }
        await expectGone("setValue() of a missing session", () => b.setValue(sid, "x", 1));
        await expectMissing(a, sid, "a missing session, after changeRecord() was refused");
        expectEqual(await a.readRecord(sid), undefined, "readRecord() after changeRecord() of a missing session");
      }
    },
  }];
}
