/**
 * What a `RecordStore` has to do with new ids.
 *
 * @module
 */
import type { RecordStore } from "../session_store.ts";
import { newSessionId } from "../cookie/session_id.ts";
import { type Check, note, type OpenBench, type Pair } from "./bench.ts";
import { Clock } from "./clock.ts";
import { expectEqual, expectRejects } from "./expect.ts";
import {
  createRecord,
  expectGone,
  expectNoRecord,
  expectRecord,
  expectTrace,
  FULL_META,
  HOUR,
  readLive,
  recordOf,
} from "./record_steps.ts";
import { expectMissing, valuesOf } from "./steps.ts";

/** Checks of giving a record a new id. */
export function moves({ where, a, b }: Pair<RecordStore>, { options, maxValueBytes }: OpenBench): Check[] {
  const notClaimed = a === b
    ? [note(
      "not claimed that a replaced id is remembered until the session's deadline: presented after its grace it may pass for unknown",
    )]
    : [];
  return [
    {
      name: `moveRecord() gives the record a new id, with all that is in it, ${where}`,
      run: async () => {
        const record = recordOf({ x: 1, "\0": { list: [1] } }, { meta: FULL_META });
        record.values.set("__proto__", 1).set("large", "x".repeat(maxValueBytes));
        const sid = newSessionId();
        const newSid = newSessionId();
        await a.createRecord(sid, record);
        const graceUntil = Date.now() + 5000;
        const moved = await a.moveRecord(sid, newSid, { meta: { renewedAt: 9, csrfSeed: undefined }, graceUntil });
        expectEqual(moved, true, "moveRecord()");
        const { csrfSeed: _, ...meta } = { ...FULL_META, renewedAt: 9 };
        await expectRecord(b, newSid, { ...record, meta }, "of the new id after moveRecord()");
        expectEqual(await b.exist(newSid), true, "exist() of the new id after moveRecord()");
        await expectTrace(b, sid, newSid, graceUntil, "after moveRecord()");
        await b.setValue(newSid, "x", 2);
        expectEqual(await a.getValue(newSid, "x"), 2, "getValue() of the new id");
        await a.delete(newSid);
        await expectMissing(b, newSid, "a session that was deleted under its new id");
      },
    },
    {
      name: `a replaced id is missing to every other method, and delete() leaves where it went, ${where}`,
      run: async () => {
        const sid = await createRecord(a, { x: 1 });
        const newSid = newSessionId();
        const graceUntil = Date.now() + 5000;
        await a.moveRecord(sid, newSid, { meta: {}, graceUntil });
        const nowhere = newSessionId();
        for (const store of [a, b]) {
          await expectMissing(store, sid, "a replaced id");
          await expectGone("setValue() of a replaced id", () => store.setValue(sid, "x", 2));
          await expectGone("changeRecord() of a replaced id", () => store.changeRecord(sid, { clear: true }));
          const move = { meta: {}, graceUntil };
          await expectGone("moveRecord() of a replaced id", () => store.moveRecord(sid, nowhere, move));
          await store.delete(sid);
          await expectTrace(store, sid, newSid, graceUntil, "after delete() of it");
        }
        await expectMissing(b, nowhere, "an id to which a replaced id was to be moved");
        expectEqual(
          await valuesOf(b, newSid),
          new Map([["x", 1]]),
          "get() of the new id after calls with the replaced one",
        );
      },
    },
    {
      name: `ids that are replaced one after the other lead on, ${where}`,
      run: async () => {
        const sids = [await createRecord(a, { x: 1 }), newSessionId(), newSessionId(), newSessionId()];
        const [first = "", second = "", third = "", fourth = ""] = sids;
        const graceUntil = Date.now() + 5000;
        const move = { meta: {}, graceUntil };
        await a.moveRecord(first, second, move);
        await b.moveRecord(second, third, move);
        await a.moveRecord(third, fourth, move);
        await expectTrace(b, first, second, graceUntil, "that was replaced first");
        await expectTrace(b, second, third, graceUntil, "that was replaced second");
        await expectTrace(b, third, fourth, graceUntil, "that was replaced last");
        expectEqual(await b.getValue(fourth, "x"), 1, "getValue() of the id after three moves");
      },
    },
    {
      name: `moveRecord() writes values with the move, ${where}`,
      run: async () => {
        const sid = await createRecord(a, { x: 1, y: 1, z: 1 });
        const newSid = newSessionId();
        const set = new Map<string, unknown>([["x", 2], ["y", undefined], ["w", [1]]]);
        const { version } = await readLive(b, sid);
        const moved = await b.moveRecord(sid, newSid, { meta: {}, graceUntil: 0, set, ifVersion: version });
        expectEqual(moved, true, "moveRecord() with the present version");
        const expected = new Map<string, unknown>([["x", 2], ["z", 1], ["w", [1]]]);
        expectEqual(await valuesOf(a, newSid), expected, "get() after moveRecord() with `set`");
      },
    },
    {
      name: `moveRecord() moves nothing where the version is another, ${where}`,
      run: async () => {
        const record = recordOf({ x: 1 });
        const sid = newSessionId();
        const newSid = newSessionId();
        await a.createRecord(sid, record);
        const { version } = await readLive(b, sid);
        await a.setValue(sid, "x", 2);
        record.values.set("x", 2);
        for (const set of [new Map([["y", 1]]), undefined]) {
          const moved = await b.moveRecord(sid, newSid, {
            meta: { seenAt: 0 },
            graceUntil: 0,
            set,
            ifVersion: version,
          });
          expectEqual(moved, false, "moveRecord() with the version from before a setValue()");
          await expectRecord(a, sid, record, "after moveRecord() answered false");
          await expectMissing(a, newSid, "the new id after moveRecord() answered false");
        }
      },
    },
    {
      name: `the version goes on under the new id: one from before is not the present one, ${where}`,
      run: async () => {
        const sid = await createRecord(a, { x: 1 });
        const newSid = newSessionId();
        const { version } = await readLive(a, sid);
        await a.moveRecord(sid, newSid, { meta: {}, graceUntil: 0, set: new Map([["x", 2]]) });
        const stale = await b.changeRecord(newSid, { ifVersion: version, set: new Map([["x", 3]]) });
        expectEqual(stale, false, "changeRecord() with the version from before a moveRecord() that wrote values");
        expectEqual(await a.getValue(newSid, "x"), 2, "getValue() after changeRecord() answered false");
      },
    },
    {
      name: `a session without a deadline has none under its new id, ${where}`,
      run: async () => {
        using clock = new Clock();
        const sid = await createRecord(a, { x: 1 });
        const newSid = newSessionId();
        await b.changeRecord(sid, { expiresAt: Infinity });
        await a.moveRecord(sid, newSid, { meta: {}, graceUntil: 0 });
        clock.tick(100 * 365 * 24 * HOUR);
        await expectRecord(b, newSid, recordOf({ x: 1 }, { expiresAt: Infinity }), "a hundred years later");
      },
    },
    {
      name: `clear() leaves nothing of a replaced id either, ${where}`,
      run: async () => {
        const sid = await createRecord(a, { x: 1 });
        const newSid = newSessionId();
        await a.moveRecord(sid, newSid, { meta: {}, graceUntil: Date.now() + 5000 });
        await b.clear();
        expectEqual(await a.readRecord(sid), undefined, "readRecord() of a replaced id after clear()");
        expectEqual(await a.readRecord(newSid), undefined, "readRecord() of the new id after clear()");
      },
    },
    {
      name: `moveRecord() refuses a new id in use, and moves nothing, ${where}`,
      run: async () => {
        const sid = await createRecord(a, { x: 1 });
        const taken = await createRecord(a, { its: "own" });
        const why = "it would replace somebody's session";
        await expectRejects(
          "moveRecord() to an id in use",
          () => b.moveRecord(sid, taken, { meta: {}, graceUntil: 0, set: new Map([["x", 2]]) }),
          why,
        );
        expectEqual(await valuesOf(a, sid), new Map([["x", 1]]), "get() after moveRecord() was refused");
        expectEqual(await valuesOf(a, taken), new Map([["its", "own"]]), "get() of the id in use");
      },
    },
    {
      name: `moveRecord() rejects for a missing session, and creates nothing, ${where}`,
      run: async () => {
        const newSid = newSessionId();
        const move = { meta: {}, graceUntil: Date.now() + 5000, set: new Map([["x", 1]]) };
        const sid = newSessionId();
        await expectGone("moveRecord() of a missing session", () => b.moveRecord(sid, newSid, move));
        await expectGone(
          "moveRecord() of a missing session",
          () => b.moveRecord(sid, newSid, { ...move, ifVersion: 0 }),
        );
        expectEqual(await a.readRecord(sid), undefined, "readRecord() of a missing session after moveRecord()");
        await expectMissing(a, newSid, "the new id after moveRecord() of a missing session");
      },
    },
    {
      name: `a replaced id is remembered until its grace is over, however soon the session ends, ${where}`,
      run: async () => {
        using clock = new Clock();
        const graceUntil = clock.now + 5000;
        for (const expiresAt of [clock.now + HOUR, clock.now + 1000]) {
          const sid = await createRecord(a, {}, { expiresAt });
          const newSid = newSessionId();
          await a.moveRecord(sid, newSid, { meta: {}, graceUntil });
          await expectTrace(b, sid, newSid, graceUntil, "in its grace");
          if (expiresAt > graceUntil) continue;
          clock.tick(4999);
          await expectMissing(b, newSid, "a session after its deadline, in the grace of an older id");
          await expectTrace(b, sid, newSid, graceUntil, "a millisecond before its grace is over");
          clock.tick(HOUR);
          await expectNoRecord(b, sid, "a replaced id long after its grace");
        }
      },
    },
    {
      name: `a replaced id is never again a session, ${where}`,
      run: async () => {
        using clock = new Clock();
        const sid = await createRecord(a, { x: 1 });
        const newSid = newSessionId();
        await a.moveRecord(sid, newSid, { meta: {}, graceUntil: 0 });
        for (const time of [0, 5000, HOUR - 5001, 1, HOUR]) {
          clock.tick(time);
          await expectMissing(b, sid, "a replaced id");
          await expectNoRecord(b, sid, "a replaced id");
        }
        await expectMissing(b, newSid, "a moved session after its deadline");
      },
    },
    ...(options.traces === "deadline"
      ? [{
        name: `a replaced id is remembered until the session's deadline, ${where}`,
        run: async () => {
          using clock = new Clock();
          const sid = await createRecord(a);
          const newSid = newSessionId();
          const last = newSessionId();
          await a.moveRecord(sid, newSid, { meta: {}, graceUntil: 0 });
          clock.tick(HOUR / 2);
          await b.moveRecord(newSid, last, { meta: {}, graceUntil: 0 });
          clock.tick(HOUR / 2 - 1);
          await expectTrace(b, sid, newSid, 0, "a millisecond before the session's deadline");
          await expectTrace(a, newSid, last, 0, "a millisecond before the session's deadline");
          await a.delete(last);
          await expectTrace(b, sid, newSid, 0, "after the session was deleted under its new id");
        },
      }]
      : notClaimed),
  ];
}
