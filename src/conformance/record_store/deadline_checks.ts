/**
 * Checks of deadlines.
 *
 * @module
 */
import { newSessionId } from "../../cookie/session_id.ts";
import type { RecordStore } from "../../session_store.ts";
import type { Check, StorePair } from "../check.ts";
import { Clock } from "../clock.ts";
import { expectEqual, messageOf } from "../expect.ts";
import { expectMissing, readValues } from "../fixtures.ts";
import {
  buildRecord,
  createRecord,
  expectGone,
  expectNoRecord,
  expectRecord,
  FULL_META,
  HOUR,
  readLiveRecord,
} from "./record_fixtures.ts";

/** A frequent cause of failures here, added to each message. */
const HINT = "(the suite fakes Date.now(); compare deadlines with Date.now() and call it at each use)";

/** Checks that a session is live before its deadline, and missing from the deadline on. */
export function deadlineChecks(pair: StorePair<RecordStore>): Check[] {
  return checksWithoutHint(pair).map(({ name, run }) => ({
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

function checksWithoutHint({ where, a, b }: StorePair<RecordStore>): Check[] {
  /** Creates a session that expires after a second, and moves the clock. */
  const createAndWait = async (clock: Clock, milliseconds: number): Promise<string> => {
    const sid = await createRecord(a, { key: "value" }, { expiresAt: clock.now + 1000 });
    clock.tick(milliseconds);
    return sid;
  };
  return [{
    name: `a session is live until a millisecond before its deadline, ${where}`,
    run: async () => {
      using clock = new Clock();
      const sid = await createAndWait(clock, 999);
      expectEqual(await b.exist(sid), true, "exist() a millisecond before the deadline");
      expectEqual(await readValues(b, sid), new Map([["key", "value"]]), "get() a millisecond before the deadline");
      expectEqual(await b.getValue(sid, "key"), "value", "getValue() a millisecond before the deadline");
      await b.setValue(sid, "key", 2);
      const changed = await b.changeRecord(sid, { set: new Map([["x", 1]]) });
      expectEqual(changed, true, "changeRecord() a millisecond before the deadline");
      const { values } = await readLiveRecord(b, sid);
      expectEqual(values, new Map([["key", 2], ["x", 1]]), "readRecord() a millisecond before the deadline");
      const moved = await b.moveRecord(sid, newSessionId(), { meta: {}, graceUntil: 0 });
      expectEqual(moved, true, "moveRecord() a millisecond before the deadline");
    },
  }, {
    name: `from its deadline on a session is missing to every method, ${where}`,
    run: async () => {
      using clock = new Clock();
      for (const milliseconds of [1000, 1001, HOUR]) {
        await expectMissing(b, await createAndWait(clock, milliseconds), "an expired session");
        const writes: [string, (sid: string) => Promise<unknown>][] = [
          ["setValue()", (sid) => b.setValue(sid, "key", 2)],
          ["changeRecord()", (sid) => b.changeRecord(sid, { set: new Map([["key", 2]]) })],
          ["changeRecord() with a later deadline", (sid) => b.changeRecord(sid, { expiresAt: clock.now + HOUR })],
          ["changeRecord() with an outdated version", (sid) => b.changeRecord(sid, { ifVersion: -1 })],
          ["moveRecord()", (sid) => b.moveRecord(sid, newSessionId(), { meta: {}, graceUntil: clock.now + HOUR })],
        ];
        for (const [what, write] of writes) {
          const sid = await createAndWait(clock, milliseconds);
          await expectGone(`${what} of an expired session`, () => write(sid));
          await expectMissing(a, sid, `an expired session, after ${what}`);
          await expectNoRecord(a, sid, `an expired session, after ${what}`);
        }
        const sid = await createAndWait(clock, milliseconds);
        await b.delete(sid);
        await expectMissing(a, sid, "an expired session, after delete()");
      }
    },
  }, {
    name: `readRecord() of an expired session returns { expired: true }, or undefined if it was removed, ${where}`,
    run: async () => {
      using clock = new Clock();
      const sid = await createAndWait(clock, 1000);
      const read = await b.readRecord(sid);
      if (read !== undefined) expectEqual({ ...read }, { expired: true }, "readRecord() of an expired session");
    },
  }, {
    name: `create() and createRecord() replace an expired session and keep nothing of it, ${where}`,
    run: async () => {
      using clock = new Clock();
      const first = await createAndWait(clock, 1000);
      await b.create(first);
      expectEqual(await readValues(a, first), new Map(), "get() after create() with the id of an expired session");
      const second = await createRecord(a, { key: 1 }, { expiresAt: clock.now + 1000, meta: FULL_META });
      clock.tick(1000);
      const record = buildRecord({ other: 1 });
      await b.createRecord(second, record);
      await expectRecord(a, second, record, "after createRecord() with the id of an expired session");
    },
  }, {
    name: `a session keeps its deadline under a new id, ${where}`,
    run: async () => {
      using clock = new Clock();
      const sid = await createAndWait(clock, 500);
      const newSid = newSessionId();
      await b.moveRecord(sid, newSid, { meta: {}, graceUntil: 0 });
      clock.tick(499);
      expectEqual(await a.exist(newSid), true, "exist() of a moved session a millisecond before its deadline");
      clock.tick(1);
      await expectMissing(a, newSid, "a moved session at its deadline");
    },
  }, {
    name: `a session whose deadline is years away is live until then, ${where}`,
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
