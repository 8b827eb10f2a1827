/**
 * Checks of concurrent calls on records.
 *
 * @module
 */
import { newSessionId } from "../../cookie/session_id.ts";
import type { RecordStore } from "../../session_store.ts";
import type { Check, StorePair } from "../check.ts";
import { Clock } from "../clock.ts";
import { expect, expectEqual } from "../expect.ts";
import { countFulfilled, expectMissing, readValues, settleAll } from "../fixtures.ts";
import {
  createRecord,
  expectGone,
  expectRecord,
  expectTrace,
  FULL_META,
  HOUR,
  META,
  readLiveRecord,
} from "./record_fixtures.ts";

/** Checks that concurrent changes, moves and deletions are atomic. */
export function recordConcurrencyChecks(pair: StorePair<RecordStore>): Check[] {
  return [...concurrentChanges(pair), ...concurrentMoves(pair), ...concurrentDeletions(pair)];
}

function concurrentChanges({ where, a, b }: StorePair<RecordStore>): Check[] {
  return [{
    name: `100 concurrent increments that retry with the current version all count, ${where}`,
    run: async () => {
      const sid = await createRecord(a, { n: 0 });
      const increment = async (store: RecordStore): Promise<void> => {
        for (let tries = 0; tries < 1000; tries++) {
          const { values, version } = await readLiveRecord(store, sid);
          const set = new Map([["n", Number(values.get("n")) + 1]]);
          if (await store.changeRecord(sid, { ifVersion: version, set })) return;
          // Without a random delay, all increments would collide again and need up to 100 tries
          // each.
          await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
        }
        expect(
          false,
          "changeRecord() with the version just read: expected true within 1,000 tries, got false each time",
        );
      };
      await Promise.all(Array.from({ length: 100 }, (_, n) => increment(n % 2 === 0 ? a : b)));
      expectEqual(await a.getValue(sid, "n"), 100, "sum of 100 concurrent increments");
    },
  }, {
    name: `of 20 concurrent changes with one version exactly one is made, ${where}`,
    run: async () => {
      const sid = await createRecord(a, { x: 0 });
      const { version: ifVersion } = await readLiveRecord(a, sid);
      const stores = Array.from({ length: 20 }, (_, n) => n % 2 ? a : b);
      const changed = await Promise.all(
        stores.map((store, n) => store.changeRecord(sid, { ifVersion, set: new Map([["x", n]]) })),
      );
      const what = "number of 20 concurrent changeRecord() with one version that returned true";
      expectEqual(changed.filter(Boolean).length, 1, what);
      expectEqual(
        await a.getValue(sid, "x"),
        changed.indexOf(true),
        "getValue() after one changeRecord() returned true",
      );
    },
  }, {
    name: `concurrent changes of different keys, of meta and of the deadline are all kept, ${where}`,
    run: async () => {
      using clock = new Clock();
      const sid = await createRecord(a);
      const numbers = Array.from({ length: 30 }, (_, n) => n);
      const expiresAt = clock.now + 2 * HOUR;
      await Promise.all(numbers.flatMap((n) => [
        a.setValue(sid, `a ${n}`, n),
        b.changeRecord(sid, { set: new Map([[`b ${n}`, n]]) }),
        b.changeRecord(sid, { meta: { seenAt: 5 }, expiresAt }),
      ]));
      const values = new Map(numbers.flatMap((n) => [[`a ${n}`, n], [`b ${n}`, n]] as const));
      const expected = { values, expiresAt, meta: { ...META, seenAt: 5 } };
      await expectRecord(a, sid, expected, "after 90 concurrent changes");
    },
  }];
}

function concurrentMoves({ where, a, b }: StorePair<RecordStore>): Check[] {
  return [{
    name: `of two concurrent moves of one session exactly one succeeds, ${where}`,
    run: async () => {
      for (let round = 0; round < 10; round++) {
        const sid = await createRecord(a, { x: round });
        const newSids = [newSessionId(), newSessionId()];
        const graceUntil = Date.now() + 5000;
        const results = await settleAll(
          newSids.map((newSid, n) => () => (n === 0 ? a : b).moveRecord(sid, newSid, { meta: {}, graceUntil })),
        );
        const won = newSids.filter((_, n) => results[n]?.status === "fulfilled");
        const lost = newSids.filter((newSid) => !won.includes(newSid));
        expectEqual(won.length, 1, "number of two concurrent moveRecord() of one session that succeeded");
        const [rejected] = results.filter((result) => result.status === "rejected");
        await expectGone("the other of two concurrent moveRecord()", () => Promise.reject(rejected?.reason));
        for (const newSid of lost) await expectMissing(b, newSid, "the new id of the moveRecord() that rejected");
        for (const newSid of won) {
          expectEqual(await readValues(b, newSid), new Map([["x", round]]), "get() of the new id");
          await expectTrace(b, sid, newSid, graceUntil, "after two concurrent moveRecord()");
        }
      }
    },
  }, {
    name: `of two sessions moved concurrently to one id exactly one moves, and the other one stays, ${where}`,
    run: async () => {
      for (let round = 0; round < 10; round++) {
        const sids = [await createRecord(a, { n: 0 }), await createRecord(b, { n: 1 })];
        const newSid = newSessionId();
        const move = { meta: {}, graceUntil: 0 };
        const moves = sids.map((sid, n) => () => (n === 0 ? a : b).moveRecord(sid, newSid, move));
        expectEqual(await countFulfilled(moves), 1, "number of two concurrent moveRecord() to one id that succeeded");
        const moved = Number(await a.getValue(newSid, "n"));
        const stayed = await b.getValue(sids[1 - moved] ?? "", "n");
        expectEqual(stayed, 1 - moved, "getValue() of the session whose moveRecord() rejected");
      }
    },
  }, {
    name: `a write during a move reaches the session or rejects, ${where}`,
    run: async () => {
      for (let round = 0; round < 10; round++) {
        const sid = await createRecord(a);
        const newSid = newSessionId();
        const keys = Array.from({ length: 6 }, (_, n) => `key ${n}`);
        const [, ...writes] = await settleAll<unknown>([
          () => a.moveRecord(sid, newSid, { meta: {}, graceUntil: 0 }),
          ...keys.map((key, n) => () =>
            n % 2 ? b.setValue(sid, key, n) : b.changeRecord(sid, { set: new Map([[key, n]]) })
          ),
        ]);
        const written = keys.filter((_, n) => writes[n]?.status === "fulfilled");
        const read = await readValues(b, newSid);
        expectEqual([...read.keys()].sort(), written, "keys under the new id, of the writes that succeeded");
        await expectMissing(b, sid, "a replaced id");
      }
    },
  }];
}

function concurrentDeletions({ where, a, b }: StorePair<RecordStore>): Check[] {
  return [{
    name: `a session that is deleted during a move is gone, or live under the new id only, ${where}`,
    run: async () => {
      for (let round = 0; round < 10; round++) {
        const sid = await createRecord(a, { x: 1 });
        const newSid = newSessionId();
        const move = (): Promise<unknown> => a.moveRecord(sid, newSid, { meta: {}, graceUntil: 0 });
        const remove = (): Promise<unknown> => b.delete(sid);
        const results = await settleAll(round % 2 ? [move, remove] : [remove, move]);
        const moved = round % 2 ? results[0] : results[1];
        await expectMissing(b, sid, "an id that was replaced and deleted concurrently");
        const succeeded = moved?.status === "fulfilled";
        const what = `exist() of the new id after moveRecord() ${succeeded ? "succeeded" : "rejected"}`;
        expectEqual(await b.exist(newSid), succeeded, what);
      }
    },
  }, {
    name: `a session that is deleted during concurrent changes does not come back, ${where}`,
    run: async () => {
      for (let round = 0; round < 10; round++) {
        const sid = await createRecord(a, { x: 1 }, { meta: FULL_META });
        const change = { set: new Map([["x", 2]]), meta: { seenAt: 5 }, expiresAt: Date.now() + 2 * HOUR };
        const changes = Array.from({ length: 6 }, () => () => b.changeRecord(sid, change));
        await settleAll<unknown>([...changes.slice(0, round % 6), () => a.delete(sid), ...changes]);
        const what = "a session that was deleted during concurrent changes";
        await expectMissing(b, sid, what);
        expectEqual(await b.readRecord(sid), undefined, `readRecord() of ${what}`);
      }
    },
  }];
}
