/**
 * What a `RecordStore` has to do with calls at once.
 *
 * @module
 */
import type { RecordStore } from "../session_store.ts";
import { newSessionId } from "../cookie/session_id.ts";
import type { Check, Pair } from "./bench.ts";
import { Clock } from "./clock.ts";
import { expect, expectEqual } from "./expect.ts";
import {
  createRecord,
  expectGone,
  expectRecord,
  expectTrace,
  FULL_META,
  HOUR,
  META,
  readLive,
} from "./record_steps.ts";
import { countFulfilled, expectMissing, settle, valuesOf } from "./steps.ts";

/** Checks of changes, new ids and deletions at once. */
export function recordRaces({ where, a, b }: Pair<RecordStore>): Check[] {
  return [{
    name: `100 increments at once, each tried again where the version is another: none is lost, ${where}`,
    run: async () => {
      const sid = await createRecord(a, { n: 0 });
      const increment = async (store: RecordStore): Promise<void> => {
        for (let tries = 0; tries < 1000; tries++) {
          const { values, version } = await readLive(store, sid);
          const set = new Map([["n", Number(values.get("n")) + 1]]);
          if (await store.changeRecord(sid, { ifVersion: version, set })) return;
          // Who lost steps back: 100 that always met again would try 100 times each.
          await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
        }
        expect(false, "changeRecord() with the version just read answered false a thousand times");
      };
      await Promise.all(Array.from({ length: 100 }, (_, n) => increment(n % 2 === 0 ? a : b)));
      expectEqual(await a.getValue(sid, "n"), 100, "the sum of 100 increments at once");
    },
  }, {
    name: `of changes at once with one version, one is made, ${where}`,
    run: async () => {
      const sid = await createRecord(a, { x: 0 });
      const { version: ifVersion } = await readLive(a, sid);
      const changed = await Promise.all(
        Array.from(
          { length: 20 },
          (_, n) => (n % 2 ? a : b).changeRecord(sid, { ifVersion, set: new Map([["x", n]]) }),
        ),
      );
      expectEqual(changed.filter(Boolean).length, 1, "how many of 20 changeRecord() with one version answered true");
      expectEqual(await a.getValue(sid, "x"), changed.indexOf(true), "the value of the one that answered true");
    },
  }, {
    name: `writes to different keys beside changes of meta and deadline: none is lost, ${where}`,
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
      await expectRecord(a, sid, { values, expiresAt, meta: { ...META, seenAt: 5 } }, "after 90 changes at once");
    },
  }, {
    name: `of two new ids given at once one is the session's, ${where}`,
    run: async () => {
      for (let round = 0; round < 10; round++) {
        const sid = await createRecord(a, { x: round });
        const newSids = [newSessionId(), newSessionId()];
        const graceUntil = Date.now() + 5000;
        const results = await settle(
          newSids.map((newSid, n) => () => (n === 0 ? a : b).moveRecord(sid, newSid, { meta: {}, graceUntil })),
        );
        const won = newSids.filter((_, n) => results[n]?.status === "fulfilled");
        const lost = newSids.filter((newSid) => !won.includes(newSid));
        expectEqual(won.length, 1, "how many of two moveRecord() of one id at once were fulfilled");
        const [refused] = results.filter((result) => result.status === "rejected");
        await expectGone("the other of two moveRecord() at once", () => Promise.reject(refused?.reason));
        for (const newSid of lost) await expectMissing(b, newSid, "the new id of the moveRecord() that was refused");
        for (const newSid of won) {
          expectEqual(await valuesOf(b, newSid), new Map([["x", round]]), "get() of the new id");
          await expectTrace(b, sid, newSid, graceUntil, "that two wanted to move");
        }
      }
    },
  }, {
    name: `of two sessions moved to one id at once, one gets it and the other stays, ${where}`,
    run: async () => {
      for (let round = 0; round < 10; round++) {
        const sids = [await createRecord(a, { n: 0 }), await createRecord(b, { n: 1 })];
        const newSid = newSessionId();
        const move = { meta: {}, graceUntil: 0 };
        const moved = sids.map((sid, n) => () => (n === 0 ? a : b).moveRecord(sid, newSid, move));
        expectEqual(await countFulfilled(moved), 1, "how many of two moveRecord() to one id at once were fulfilled");
        const n: unknown = await a.getValue(newSid, "n");
        const stayed = sids[1 - Number(n)] ?? "";
        expectEqual(
          await b.getValue(stayed, "n"),
          1 - Number(n),
          "getValue() of the session whose moveRecord() was refused",
        );
      }
    },
  }, {
    name: `a write beside a new id reaches the session, or is refused, ${where}`,
    run: async () => {
      for (let round = 0; round < 10; round++) {
        const sid = await createRecord(a);
        const newSid = newSessionId();
        const keys = Array.from({ length: 6 }, (_, n) => `key ${n}`);
        const [, ...writes] = await settle<unknown>([
          () => a.moveRecord(sid, newSid, { meta: {}, graceUntil: 0 }),
          ...keys.map((key, n) => () =>
            n % 2 ? b.setValue(sid, key, n) : b.changeRecord(sid, { set: new Map([[key, n]]) })
          ),
        ]);
        const written = keys.filter((_, n) => writes[n]?.status === "fulfilled");
        const read = await valuesOf(b, newSid);
        expectEqual(
          [...read.keys()].sort(),
          written,
          "the keys under the new id, beside the writes that were fulfilled",
        );
        await expectMissing(b, sid, "a replaced id");
      }
    },
  }, {
    name: `delete() beside a new id: the session is gone, or lives under the new id alone, ${where}`,
    run: async () => {
      for (let round = 0; round < 10; round++) {
        const sid = await createRecord(a, { x: 1 });
        const newSid = newSessionId();
        const move = (): Promise<unknown> => a.moveRecord(sid, newSid, { meta: {}, graceUntil: 0 });
        const remove = (): Promise<unknown> => b.delete(sid);
        const results = await settle(round % 2 ? [move, remove] : [remove, move]);
        const moved = round % 2 ? results[0] : results[1];
        await expectMissing(b, sid, "an id that was replaced and deleted at once");
        expectEqual(
          await b.exist(newSid),
          moved?.status === "fulfilled",
          "exist() of the new id, beside what moveRecord() said",
        );
      }
    },
  }, {
    name: `delete() beside changes: nothing comes back, ${where}`,
    run: async () => {
      for (let round = 0; round < 10; round++) {
        const sid = await createRecord(a, { x: 1 }, { meta: FULL_META });
        const change = { set: new Map([["x", 2]]), meta: { seenAt: 5 }, expiresAt: Date.now() + 2 * HOUR };
        const changes = Array.from({ length: 6 }, () => () => b.changeRecord(sid, change));
        await settle<unknown>([...changes.slice(0, round % 6), () => a.delete(sid), ...changes]);
        await expectMissing(b, sid, "a session that was deleted while it was changed");
        expectEqual(
          await b.readRecord(sid),
          undefined,
          "readRecord() of a session that was deleted while it was changed",
        );
      }
    },
  }];
}
