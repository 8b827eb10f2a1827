/**
 * Checks of moving a record to a new session id.
 *
 * @module
 */
import { newSessionId } from "../../cookie/session_id.ts";
import type { RecordStore } from "../../session_store.ts";
import { type Check, skipped, type StorePair } from "../check.ts";
import { Clock } from "../clock.ts";
import { expectEqual, expectRejects } from "../expect.ts";
import { expectMissing, readValues } from "../fixtures.ts";
import type { TestedStores } from "../harness.ts";
import {
  buildRecord,
  createRecord,
  expectGone,
  expectNoRecord,
  expectRecord,
  expectTrace,
  FULL_META,
  HOUR,
  readLiveRecord,
} from "./record_fixtures.ts";

/** Checks of `moveRecord()`, and of the trace that it leaves under the replaced id. */
export function moveChecks(pair: StorePair<RecordStore>, { options }: TestedStores): Check[] {
  return [
    ...successfulMoves(pair, options.maxValueBytes),
    ...refusedMoves(pair),
    ...traceChecks(pair, options.traces === "deadline"),
  ];
}

function successfulMoves({ where, a, b }: StorePair<RecordStore>, maxValueBytes: number): Check[] {
  return [{
    name: `moveRecord() moves the whole record to the new id, ${where}`,
    run: async () => {
      const record = buildRecord({ x: 1, "\0": { list: [1] } }, { meta: FULL_META });
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
  }, {
    name: `moveRecord() writes values together with the move, ${where}`,
    run: async () => {
      const sid = await createRecord(a, { x: 1, y: 1, z: 1 });
      const newSid = newSessionId();
      const set = new Map<string, unknown>([["x", 2], ["y", undefined], ["w", [1]]]);
      const { version } = await readLiveRecord(b, sid);
      const moved = await b.moveRecord(sid, newSid, { meta: {}, graceUntil: 0, set, ifVersion: version });
      expectEqual(moved, true, "moveRecord() with the current version");
      const expected = new Map<string, unknown>([["x", 2], ["z", 1], ["w", [1]]]);
      expectEqual(await readValues(a, newSid), expected, "get() after moveRecord() with `set`");
    },
  }, {
    name: `a version from before moveRecord() is outdated under the new id, ${where}`,
    run: async () => {
      const sid = await createRecord(a, { x: 1 });
      const newSid = newSessionId();
      const { version } = await readLiveRecord(a, sid);
      await a.moveRecord(sid, newSid, { meta: {}, graceUntil: 0, set: new Map([["x", 2]]) });
      const changed = await b.changeRecord(newSid, { ifVersion: version, set: new Map([["x", 3]]) });
      expectEqual(changed, false, "changeRecord() with the version from before moveRecord() with `set`");
      expectEqual(await a.getValue(newSid, "x"), 2, "getValue() after changeRecord() with an outdated version");
    },
  }, {
    name: `moveRecord() writes a new deadline together with the move, ${where}`,
    run: async () => {
      using clock = new Clock();
      const deadlines = [clock.now + 1000, clock.now + 3 * HOUR, Infinity];
      const sids = await Promise.all(deadlines.map(() => createRecord(a, { x: 1 })));
      const newSids = sids.map(() => newSessionId());
      for (const [n, expiresAt] of deadlines.entries()) {
        await a.moveRecord(sids[n] ?? "", newSids[n] ?? "", { meta: {}, expiresAt, graceUntil: 0 });
        await expectRecord(
          b,
          newSids[n] ?? "",
          buildRecord({ x: 1 }, { expiresAt }),
          "after moveRecord() with `expiresAt`",
        );
      }
      const [short = "", long = "", endless = ""] = newSids;
      clock.tick(1000);
      await expectMissing(b, short, "a session at the earlier deadline that moveRecord() wrote");
      clock.tick(2 * HOUR);
      expectEqual(
        await a.exist(long),
        true,
        "exist() after the first deadline, before the one that moveRecord() wrote",
      );
      clock.tick(HOUR);
      await expectMissing(a, long, "a session at the later deadline that moveRecord() wrote");
      expectEqual(await b.exist(endless), true, "exist() of a session whose deadline moveRecord() removed");
      const refused = await createRecord(a, { x: 1 }, { expiresAt: clock.now + HOUR });
      await a.moveRecord(refused, newSessionId(), { ifVersion: -1, meta: {}, expiresAt: 0, graceUntil: 0 });
      expectEqual(await b.exist(refused), true, "exist() after moveRecord() with an outdated version and `expiresAt`");
    },
  }, {
    name: `a session without a deadline has none under its new id, ${where}`,
    run: async () => {
      using clock = new Clock();
      const sid = await createRecord(a, { x: 1 });
      const newSid = newSessionId();
      await b.changeRecord(sid, { expiresAt: Infinity });
      await a.moveRecord(sid, newSid, { meta: {}, graceUntil: 0 });
      clock.tick(100 * 365 * 24 * HOUR);
      await expectRecord(b, newSid, buildRecord({ x: 1 }, { expiresAt: Infinity }), "a hundred years later");
    },
  }];
}

function refusedMoves({ where, a, b }: StorePair<RecordStore>): Check[] {
  return [{
    name: `moveRecord() with an outdated version moves nothing, ${where}`,
    run: async () => {
      const record = buildRecord({ x: 1 });
      const sid = newSessionId();
      const newSid = newSessionId();
      await a.createRecord(sid, record);
      const { version: ifVersion } = await readLiveRecord(b, sid);
      await a.setValue(sid, "x", 2);
      record.values.set("x", 2);
      for (const set of [new Map([["y", 1]]), undefined]) {
        const moved = await b.moveRecord(sid, newSid, { meta: { seenAt: 0 }, graceUntil: 0, set, ifVersion });
        expectEqual(moved, false, "moveRecord() with an outdated version");
        await expectRecord(a, sid, record, "after moveRecord() with an outdated version");
        await expectMissing(a, newSid, "the new id after moveRecord() with an outdated version");
      }
    },
  }, {
    name: `moveRecord() rejects a new id that is in use and moves nothing, ${where}`,
    run: async () => {
      const sid = await createRecord(a, { x: 1 });
      const usedSid = await createRecord(a, { other: 1 });
      const move = { meta: {}, graceUntil: 0, set: new Map([["x", 2]]) };
      const why = "it would replace another visitor's session";
      await expectRejects("moveRecord() to an id that is in use", () => b.moveRecord(sid, usedSid, move), why);
      expectEqual(await readValues(a, sid), new Map([["x", 1]]), "get() after moveRecord() rejected");
      expectEqual(await readValues(a, usedSid), new Map([["other", 1]]), "get() of the id that is in use");
    },
  }, {
    name: `moveRecord() rejects for a missing session, and creates nothing, ${where}`,
    run: async () => {
      const sid = newSessionId();
      const newSid = newSessionId();
      const move = { meta: {}, graceUntil: Date.now() + 5000, set: new Map([["x", 1]]) };
      const what = "moveRecord() of a missing session";
      await expectGone(what, () => b.moveRecord(sid, newSid, move));
      await expectGone(`${what} with ifVersion`, () => b.moveRecord(sid, newSid, { ...move, ifVersion: 0 }));
      expectEqual(await a.readRecord(sid), undefined, `readRecord() after ${what}`);
      await expectMissing(a, newSid, `the new id after ${what}`);
    },
  }];
}

function traceChecks({ where, a, b }: StorePair<RecordStore>, keptUntilDeadline: boolean): Check[] {
  const checks: Check[] = [{
    name: `a replaced id is missing to every method but readRecord(), also after delete() of it, ${where}`,
    run: async () => {
      const sid = await createRecord(a, { x: 1 });
      const newSid = newSessionId();
      const graceUntil = Date.now() + 5000;
      const move = { meta: {}, graceUntil };
      await a.moveRecord(sid, newSid, move);
      const thirdSid = newSessionId();
      for (const store of [a, b]) {
        await expectMissing(store, sid, "a replaced id");
        await expectGone("setValue() of a replaced id", () => store.setValue(sid, "x", 2));
        await expectGone("changeRecord() of a replaced id", () => store.changeRecord(sid, { clear: true }));
        await expectGone("moveRecord() of a replaced id", () => store.moveRecord(sid, thirdSid, move));
        await store.delete(sid);
        await expectTrace(store, sid, newSid, graceUntil, "after delete() of it");
      }
      await expectMissing(b, thirdSid, "the new id after moveRecord() of a replaced id");
      const what = "get() of the new id after calls with the replaced one";
      expectEqual(await readValues(b, newSid), new Map([["x", 1]]), what);
    },
  }, {
    name: `each id of a session that moved three times leads to the next one, ${where}`,
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
  }, {
    name: `clear() removes the trace of a replaced id, ${where}`,
    run: async () => {
      const sid = await createRecord(a, { x: 1 });
      const newSid = newSessionId();
      await a.moveRecord(sid, newSid, { meta: {}, graceUntil: Date.now() + 5000 });
      await b.clear();
      expectEqual(await a.readRecord(sid), undefined, "readRecord() of a replaced id after clear()");
      expectEqual(await a.readRecord(newSid), undefined, "readRecord() of the new id after clear()");
    },
  }, {
    name: `a replaced id is remembered for its grace period, even if the session expires earlier, ${where}`,
    run: async () => {
      using clock = new Clock();
      const graceUntil = clock.now + 5000;
      for (const expiresAt of [clock.now + HOUR, clock.now + 1000]) {
        const sid = await createRecord(a, {}, { expiresAt });
        const newSid = newSessionId();
        await a.moveRecord(sid, newSid, { meta: {}, graceUntil });
        await expectTrace(b, sid, newSid, graceUntil, "in its grace period");
        if (expiresAt > graceUntil) continue;
        clock.tick(4999);
        await expectMissing(b, newSid, "an expired session, in the grace period of its replaced id");
        await expectTrace(b, sid, newSid, graceUntil, "a millisecond before its grace period ends");
        clock.tick(HOUR);
        await expectNoRecord(b, sid, "a replaced id long after its grace period");
      }
    },
  }, {
    name: `a replaced id never leads to a record again, ${where}`,
    run: async () => {
      using clock = new Clock();
      const sid = await createRecord(a, { x: 1 });
      const newSid = newSessionId();
      await a.moveRecord(sid, newSid, { meta: {}, graceUntil: 0 });
      for (const milliseconds of [0, 5000, HOUR - 5001, 1, HOUR]) {
        clock.tick(milliseconds);
        await expectMissing(b, sid, "a replaced id");
        await expectNoRecord(b, sid, "a replaced id");
      }
      await expectMissing(b, newSid, "a moved session after its deadline");
    },
  }];
  const name = "a replaced id is remembered until the session's deadline";
  if (!keptUntilDeadline) {
    // Shown for one pair of stores only, because the option applies to both pairs.
    return a === b ? [...checks, skipped(name, 'option `traces` is not "deadline"')] : checks;
  }
  return [...checks, {
    name: `${name}, ${where}`,
    run: async () => {
      using clock = new Clock();
      const sid = await createRecord(a);
      const newSid = newSessionId();
      const lastSid = newSessionId();
      await a.moveRecord(sid, newSid, { meta: {}, graceUntil: 0 });
      clock.tick(HOUR / 2);
      await b.moveRecord(newSid, lastSid, { meta: {}, graceUntil: 0 });
      clock.tick(HOUR / 2 - 1);
      await expectTrace(b, sid, newSid, 0, "a millisecond before the session's deadline");
      await expectTrace(a, newSid, lastSid, 0, "a millisecond before the session's deadline");
      await a.delete(lastSid);
      await expectTrace(b, sid, newSid, 0, "after the session was deleted under its new id");
    },
  }];
}
