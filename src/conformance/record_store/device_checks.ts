/**
 * Checks of binding a session to the key of a device.
 *
 * @module
 */
import { newSessionId } from "../../cookie/session_id.ts";
import type { RecordChange, RecordStore } from "../../session_store.ts";
import type { Check, StorePair } from "../check.ts";
import { Clock } from "../clock.ts";
import { expectEqual } from "../expect.ts";
import { expectMissing, readValues, settleAll } from "../fixtures.ts";
import {
  buildRecord,
  createRecord,
  expectGone,
  expectNoRecord,
  expectRecord,
  FULL_META,
  HOUR,
  META,
  readLiveRecord,
} from "./record_fixtures.ts";

/** The members of meta that bind a session to a device. */
const DEVICE = { deviceKey: '{"kty":"EC","crv":"P-256","x":"first","y":"first"}', deviceBoundAt: 1_700_000_000_010 };

/** The same for another device, with a key of the greatest length. */
const OTHER_DEVICE = {
  deviceKey: `${'{"kty":"RSA","n":"'.padEnd(1022, "n")}"}`,
  deviceBoundAt: 1_700_000_000_011,
};

/** Binds a session to a device, unless it is bound already. */
const BIND: RecordChange = { ifNoDevice: true, meta: DEVICE };

/** Checks of `RecordChange.ifNoDevice`, and that nothing else changes the key of a device. */
export function deviceChecks(pair: StorePair<RecordStore>): Check[] {
  return [...bindingChecks(pair), ...refusalChecks(pair), ...concurrencyChecks(pair)];
}

function bindingChecks({ where, a, b }: StorePair<RecordStore>): Check[] {
  return [{
    name: `changeRecord() with \`ifNoDevice\` changes a record that has no key of a device, ${where}`,
    run: async () => {
      for (const [device, clear] of [[DEVICE, false], [OTHER_DEVICE, true]] as const) {
        const sid = await createRecord(a, { x: 1, y: 1 });
        const set = new Map([["y", 2]]);
        const expiresAt = Date.now() + 2 * HOUR;
        const changed = await b.changeRecord(sid, { ifNoDevice: true, clear, set, expiresAt, meta: device });
        expectEqual(changed, true, "changeRecord() with `ifNoDevice` of a record without the key of a device");
        const values = clear ? { y: 2 } : { x: 1, y: 2 };
        const expected = buildRecord(values, { expiresAt, meta: { ...META, ...device } });
        await expectRecord(a, sid, expected, "after changeRecord() with `ifNoDevice`");
      }
    },
  }, {
    name: `a session keeps the key of its device until it is deleted, ${where}`,
    run: async () => {
      const { deviceKey: _, deviceBoundAt: __, ...unbound } = FULL_META;
      const sid = await createRecord(a, { x: 1 }, { meta: unbound });
      await b.changeRecord(sid, BIND);
      const changes: [string, () => Promise<unknown>][] = [
        ["setValue()", () => a.setValue(sid, "x", 2)],
        ["changeRecord() with `set`", () => b.changeRecord(sid, { set: new Map([["y", 1]]) })],
        ["changeRecord() with `meta`", () => a.changeRecord(sid, { meta: { seenAt: 9, principal: undefined } })],
        ["changeRecord() with `clear`", () => b.changeRecord(sid, { clear: true, meta: { clearedAt: 9 } })],
        ["changeRecord() with `expiresAt`", () => a.changeRecord(sid, { expiresAt: Date.now() + 2 * HOUR })],
      ];
      const expectKey = async (sid: string, what: string): Promise<void> => {
        const { deviceKey, deviceBoundAt } = (await readLiveRecord(b, sid)).meta;
        expectEqual({ deviceKey, deviceBoundAt }, DEVICE, `members of meta in readRecord() after ${what}`);
      };
      for (const [what, change] of changes) {
        await change();
        await expectKey(sid, what);
      }
      const newSid = newSessionId();
      await a.moveRecord(sid, newSid, { meta: { renewedAt: 9 }, graceUntil: 0, set: new Map([["z", 1]]) });
      await expectKey(newSid, "moveRecord()");
      const refused = await b.changeRecord(newSid, { ifNoDevice: true, meta: OTHER_DEVICE });
      expectEqual(refused, false, "changeRecord() with `ifNoDevice` after moveRecord()");
      await expectKey(newSid, "changeRecord() with `ifNoDevice` returned false");
      await b.delete(newSid);
      const next = buildRecord();
      await a.createRecord(newSid, next);
      await expectRecord(b, newSid, next, "after delete() and createRecord() with the same id");
    },
  }];
}

function refusalChecks({ where, a, b }: StorePair<RecordStore>): Check[] {
  return [{
    name: `changeRecord() with \`ifNoDevice\` changes nothing in a record that has the key of a device, ${where}`,
    run: async () => {
      const record = buildRecord({ x: 1, y: 1 }, { meta: { ...META, ...DEVICE } });
      const created = newSessionId();
      await a.createRecord(created, record);
      const bound = await createRecord(a, { x: 1, y: 1 });
      await a.changeRecord(bound, BIND);
      const changes: RecordChange[] = [
        {},
        { meta: OTHER_DEVICE },
        { meta: DEVICE },
        { meta: { deviceKey: undefined, seenAt: 9 } },
        { clear: true },
        { set: new Map([["x", 2]]) },
        { set: new Map(Array.from({ length: 50 }, (_, n) => [`key ${n}`, n])) },
        { expiresAt: record.expiresAt + HOUR },
        { clear: true, set: new Map([["z", 1]]), meta: OTHER_DEVICE, expiresAt: record.expiresAt + HOUR },
      ];
      for (const sid of [created, bound]) {
        const { expiresAt } = await readLiveRecord(b, sid);
        for (const change of changes) {
          const what = `changeRecord() of ${Object.keys(change).join(", ") || "nothing"} with \`ifNoDevice\``;
          expectEqual(await b.changeRecord(sid, { ...change, ifNoDevice: true }), false, what);
          await expectRecord(a, sid, { ...record, expiresAt }, `after ${what} returned false`);
        }
      }
    },
  }, {
    name: `changeRecord() with \`ifNoDevice\` and \`ifVersion\` needs both, ${where}`,
    run: async () => {
      const sid = await createRecord(a, { x: 1 });
      const { version: outdated } = await readLiveRecord(b, sid);
      await a.setValue(sid, "x", 2);
      const bind = (ifVersion: number): Promise<boolean> => b.changeRecord(sid, { ...BIND, ifVersion });
      expectEqual(await bind(outdated), false, "changeRecord() with `ifNoDevice` and an outdated version");
      const { version: current, meta } = await readLiveRecord(a, sid);
      expectEqual(meta.deviceKey, undefined, "deviceKey after changeRecord() with an outdated version");
      expectEqual(await bind(current), true, "changeRecord() with `ifNoDevice` and the current version");
      expectEqual(await bind(current), false, "the same changeRecord() again");
      const { version: last } = await readLiveRecord(a, sid);
      const change = { ifNoDevice: true, ifVersion: last, meta: OTHER_DEVICE };
      const what = "changeRecord() with `ifNoDevice` and the current version of a record that has the key of a device";
      expectEqual(await b.changeRecord(sid, change), false, what);
      const read = await readLiveRecord(a, sid);
      expectEqual(
        [read.meta.deviceKey, read.values.get("x")],
        [DEVICE.deviceKey, 2],
        `deviceKey and value after ${what}`,
      );
    },
  }, {
    name: `changeRecord() with \`ifNoDevice\` rejects for a session that is missing, expired or moved, ${where}`,
    run: async () => {
      using clock = new Clock();
      const create = (expiresAt = clock.now + HOUR): Promise<string> =>
        createRecord(a, {}, { expiresAt, meta: { ...META, ...DEVICE } });
      const [deleted, moved, expired, unbound] = [
        await create(),
        await create(),
        await create(clock.now + 1000),
        await createRecord(a, {}, { expiresAt: clock.now + 1000 }),
      ];
      await a.delete(deleted);
      await a.moveRecord(moved, newSessionId(), { meta: {}, graceUntil: 0 });
      clock.tick(1000);
      const missing = { "missing": newSessionId(), deleted, expired, "expired and unbound": unbound, moved };
      for (const [state, sid] of Object.entries(missing)) {
        for (const change of [BIND, { ...BIND, ifVersion: 0 }, { ...BIND, expiresAt: Infinity }]) {
          const what = `changeRecord() with ${Object.keys(change).join(", ")} of a session that is ${state}`;
          await expectGone(what, () => b.changeRecord(sid, change));
          await expectMissing(a, sid, `a session that is ${state}, after changeRecord() rejected`);
          await expectNoRecord(a, sid, `a session that is ${state}, after changeRecord() rejected`);
        }
      }
    },
  }];
}

function concurrencyChecks({ where, a, b }: StorePair<RecordStore>): Check[] {
  const deviceOf = (n: number): { deviceKey: string; deviceBoundAt: number } => ({
    deviceKey: `{"kty":"EC","x":"${n}"}`,
    deviceBoundAt: n,
  });
  return [{
    name: `of 20 concurrent changes with \`ifNoDevice\` exactly one is made, and no other write is lost, ${where}`,
    run: async () => {
      for (let round = 0; round < 5; round++) {
        const sid = await createRecord(a);
        const numbers = Array.from({ length: 20 }, (_, n) => n);
        const writes = numbers.map((n) => async (): Promise<boolean> => {
          const [store, other] = n % 2 ? [a, b] : [b, a];
          const set = new Map([[`bound ${n}`, n]]);
          const [bound] = await Promise.all([
            store.changeRecord(sid, { ifNoDevice: true, set, meta: deviceOf(n) }),
            other.setValue(sid, `written ${n}`, n),
          ]);
          return bound;
        });
        const bound = await Promise.all(writes.map((write) => write()));
        const what = "number of 20 concurrent changeRecord() with `ifNoDevice` that returned true";
        expectEqual(bound.filter(Boolean).length, 1, what);
        const first = bound.indexOf(true);
        const { values, meta } = await readLiveRecord(b, sid);
        const { deviceKey, deviceBoundAt } = meta;
        expectEqual({ deviceKey, deviceBoundAt }, deviceOf(first), "members of meta after one of them returned true");
        const expected = new Map(numbers.map((n) => [`written ${n}`, n])).set(`bound ${first}`, first);
        expectEqual(values, expected, "values after 40 concurrent writes");
      }
    },
  }, {
    name: `a session that is bound to a device during a move is bound under the new id, or the call rejects, ${where}`,
    run: async () => {
      for (let round = 0; round < 10; round++) {
        const sid = await createRecord(a, { x: 1 });
        const newSid = newSessionId();
        const move = (): Promise<boolean> => a.moveRecord(sid, newSid, { meta: { renewedAt: 9 }, graceUntil: 0 });
        const bind = (): Promise<boolean> => b.changeRecord(sid, BIND);
        const results = await settleAll(round % 2 ? [move, bind] : [bind, move]);
        const bound = results[round % 2];
        const what = "changeRecord() with `ifNoDevice` during a move";
        const hasRejected = bound?.status === "rejected";
        if (hasRejected) await expectGone(what, () => Promise.reject(bound.reason));
        else expectEqual(bound?.value, true, what);
        const { deviceKey } = (await readLiveRecord(b, newSid)).meta;
        const outcome = hasRejected ? "rejected" : "returned true";
        expectEqual(deviceKey, hasRejected ? undefined : DEVICE.deviceKey, `deviceKey after ${what} ${outcome}`);
        expectEqual(await readValues(a, newSid), new Map([["x", 1]]), "get() of the new id");
      }
    },
  }];
}
