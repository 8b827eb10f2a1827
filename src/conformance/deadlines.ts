/**
 * What a `RecordStore` has to do with deadlines.
 *
 * @module
 */
import type { RecordStore } from "../session_store.ts";
import { newSessionId } from "../cookie/session_id.ts";
import type { Check, Pair } from "./bench.ts";
import { Clock } from "./clock.ts";
import { expectEqual, messageOf } from "./expect.ts";
import {
  createRecord,
  expectGone,
  expectNoRecord,
  expectRecord,
  FULL_META,
  HOUR,
  readLive,
  recordOf,
} from "./record_steps.ts";
import { expectMissing, valuesOf } from "./steps.ts";

/** What else a failure may mean. */
const HINT = "(the suite fakes Date.now(): the store must compare deadlines with it, and call it at each use)";

/** Checks of deadlines, to the millisecond. */
export function deadlines(pair: Pair<RecordStore>): Check[] {
  return checksOf(pair).map(({ name, run }) => ({
    name,
    run: async () => {
      try {
        await run();
      } catch (error) {
        throw new Error(`${messageOf(error)} ${HINT}`, { cause: error });
      }
    },
  }));
}

function checksOf({ where, a, b }: Pair<RecordStore>): Check[] {
  /** Makes a session that ends in a second, and lets so many milliseconds pass. */
  const after = async (clock: Clock, milliseconds: number): Promise<string> => {
    const sid = await createRecord(a, { key: "value" }, { expiresAt: clock.now + 1000 });
    clock.tick(milliseconds);
    return sid;
  };
  return [{
    name: `a session lives until a millisecond before its deadline, ${where}`,
    run: async () => {
      using clock = new Clock();
      const sid = await after(clock, 999);
      expectEqual(await b.exist(sid), true, "exist() a millisecond before the deadline");
      expectEqual(await valuesOf(b, sid), new Map([["key", "value"]]), "get() a millisecond before the deadline");
      expectEqual(await b.getValue(sid, "key"), "value", "getValue() a millisecond before the deadline");
      await b.setValue(sid, "key", 2);
      expectEqual(await b.changeRecord(sid, { set: new Map([["x", 1]]) }), true, "changeRecord()");
      expectEqual((await readLive(b, sid)).values, new Map([["key", 2], ["x", 1]]), "readRecord()");
      expectEqual(await b.moveRecord(sid, newSessionId(), { meta: {}, graceUntil: 0 }), true, "moveRecord()");
    },
  }, {
    name: `from its deadline on a session is missing to every method, to the millisecond, ${where}`,
    run: async () => {
      using clock = new Clock();
      for (const late of [1000, 1001, HOUR]) {
        await expectMissing(b, await after(clock, late), "an expired session");
        const asks: [string, (sid: string) => Promise<unknown>][] = [
          ["setValue()", (sid) => b.setValue(sid, "key", 2)],
          ["changeRecord()", (sid) => b.changeRecord(sid, { set: new Map([["key", 2]]) })],
          ["changeRecord() with a later deadline", (sid) => b.changeRecord(sid, { expiresAt: clock.now + HOUR })],
          ["changeRecord() with another version", (sid) => b.changeRecord(sid, { ifVersion: -1 })],
          ["moveRecord()", (sid) => b.moveRecord(sid, newSessionId(), { meta: {}, graceUntil: clock.now + HOUR })],
        ];
        for (const [what, ask] of asks) {
          const sid = await after(clock, late);
          await expectGone(`${what} of an expired session`, () => ask(sid));
          await expectMissing(a, sid, `an expired session, after ${what}`);
          await expectNoRecord(a, sid, `an expired session, after ${what}`);
        }
        const sid = await after(clock, late);
        await b.delete(sid);
        await expectMissing(a, sid, "an expired session, after delete()");
      }
    },
  }, {
    name: `readRecord() of an expired session is { expired: true }, or undefined where it was removed, ${where}`,
    run: async () => {
      using clock = new Clock();
      const sid = await after(clock, 1000);
      const read = await b.readRecord(sid);
      if (read !== undefined) expectEqual({ ...read }, { expired: true }, "readRecord() of an expired session");
    },
  }, {
    name: `create() and createRecord() take the place of an expired session, and nothing of it is left, ${where}`,
    run: async () => {
      using clock = new Clock();
      const first = await after(clock, 1000);
      await b.create(first);
      expectEqual(await valuesOf(a, first), new Map(), "get() after create() in the place of an expired session");
      const second = await createRecord(a, { key: 1 }, { expiresAt: clock.now + 1000, meta: FULL_META });
      clock.tick(1000);
      const record = recordOf({ other: 1 });
      await b.createRecord(second, record);
      await expectRecord(a, second, record, "after createRecord() in the place of an expired session");
    },
  }, {
    name: `a session keeps its deadline under a new id, ${where}`,
    run: async () => {
      using clock = new Clock();
      const sid = await after(clock, 500);
      const newSid = newSessionId();
      await b.moveRecord(sid, newSid, { meta: {}, graceUntil: 0 });
      clock.tick(499);
      expectEqual(await a.exist(newSid), true, "exist() of a moved session a millisecond before its deadline");
      clock.tick(1);
      await expectMissing(a, newSid, "a moved session at its deadline");
    },
  }, {
    name: `a session whose deadline is years away lives until then, ${where}`,
    run: async () => {
      using clock = new Clock();
      const years = 10 * 365 * 24 * HOUR;
      const sid = await createRecord(a, { x: 1 }, { expiresAt: clock.now + years });
      clock.tick(years - 1);
      expectEqual(await b.getValue(sid, "x"), 1, "getValue() years later, a millisecond before the deadline");
      clock.tick(1);
      await expectMissing(b, sid, "a session at its deadline, years later");
    },
  }];
}
