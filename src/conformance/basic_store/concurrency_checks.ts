/**
 * Checks of concurrent calls.
 *
 * @module
 */
import { newSessionId } from "../../cookie/session_id.ts";
import { type Check, skipped } from "../check.ts";
import { expect, expectEqual, expectRejects, show } from "../expect.ts";
import { countFulfilled, createSession, expectMissing, NO_SUCH_SESSION, readValues, settleAll } from "../fixtures.ts";
import type { TestedStores } from "../harness.ts";

/** Checks that concurrent writes, creations and deletions do not undo each other. */
export function concurrencyChecks(stores: TestedStores): Check[] {
  const checks = stores.pairs.flatMap(({ where, a, b }): Check[] => [{
    name: `100 concurrent writes to different keys are all kept, ${where}`,
    run: async () => {
      const sid = await createSession(a, { before: true });
      const numbers = Array.from({ length: 100 }, (_, n) => n);
      await Promise.all(numbers.map((n) => (n % 2 === 0 ? a : b).setValue(sid, `key ${n}`, n)));
      const expected = new Map<string, unknown>([["before", true]]);
      for (const n of numbers) expected.set(`key ${n}`, n);
      const values = await readValues(b, sid);
      const lost = [...expected.keys()].filter((key) => values.get(key) !== expected.get(key));
      expectEqual(lost, [], "keys that are lost after 100 concurrent writes were acknowledged");
      expectEqual(values.size, expected.size, "number of keys after 100 concurrent writes");
    },
  }, {
    name: `concurrent writes and removals of different keys all take effect, ${where}`,
    run: async () => {
      const numbers = Array.from({ length: 20 }, (_, n) => n);
      const sid = await createSession(a, Object.fromEntries(numbers.map((n) => [`old ${n}`, n])));
      await Promise.all(numbers.flatMap((n) => [
        a.setValue(sid, `old ${n}`, undefined),
        b.setValue(sid, `new ${n}`, n),
      ]));
      const expected = new Map(numbers.map((n) => [`new ${n}`, n]));
      expectEqual(await readValues(b, sid), expected, "get() after 20 concurrent removals and 20 writes");
    },
  }, {
    name: `concurrent writes to one key leave one of the values, whole, ${where}`,
    run: async () => {
      const sid = await createSession(a);
      const texts = Array.from({ length: 20 }, (_, n) => String.fromCharCode(97 + n).repeat(1000));
      await Promise.all(texts.map((text, n) => (n % 2 === 0 ? a : b).setValue(sid, "key", text)));
      const read: unknown = await a.getValue(sid, "key");
      expect(
        texts.some((text) => text === read),
        `getValue() after 20 concurrent writes to one key: expected one of the values, whole, got ${show(read)}`,
      );
      expectEqual(await b.getValue(sid, "key"), read, "second getValue() after concurrent writes to one key");
    },
  }, {
    name: `of 20 concurrent create() with one id exactly one succeeds, ${where}`,
    run: async () => {
      for (let round = 0; round < 5; round++) {
        const sid = newSessionId();
        const calls = Array.from({ length: 20 }, (_, n) => () => (n % 2 ? b : a).create(sid));
        expectEqual(await countFulfilled(calls), 1, "number of 20 concurrent create() with one id that succeeded");
        expectEqual(await readValues(b, sid), new Map(), "get() after concurrent create() with one id");
      }
    },
  }, {
    name: `create() with an id that is in use never empties the session during concurrent writes, ${where}`,
    run: async () => {
      const sid = await createSession(a, { key: "value" });
      const calls = Array.from(
        { length: 20 },
        (_, n) => () => n % 2 ? b.create(sid) : a.setValue(sid, `key ${n}`, n),
      );
      const what = "number of successful calls of 10 writes and 10 create() with the id in use";
      expectEqual(await countFulfilled(calls), 10, what);
      expectEqual((await readValues(b, sid)).size, 11, "number of values after create() with the id in use");
    },
  }, {
    name: `a session that is deleted during concurrent writes does not come back, ${where}`,
    run: async () => {
      for (let round = 0; round < 20; round++) {
        const sid = await createSession(a, { key: "value" });
        const write = (_: unknown, n: number) => (): Promise<void> => b.setValue(sid, `key ${n}`, round);
        const writes = Array.from({ length: 10 }, write);
        await settleAll([...writes.slice(0, round % 5), () => a.delete(sid), ...writes.slice(5)]);
        await expectMissing(b, sid, "a session that was deleted during concurrent writes");
        await expectRejects("setValue() of a deleted session", () => b.setValue(sid, "key", 1), NO_SUCH_SESSION);
      }
    },
  }, {
    name: `sessions that are cleared during concurrent writes do not come back, ${where}`,
    run: async () => {
      for (let round = 0; round < 20; round++) {
        const sids = [await createSession(a, { key: "value" }), await createSession(b)];
        const write = (_: unknown, n: number) => (): Promise<void> => b.setValue(sids[n % 2] ?? "", `key ${n}`, round);
        const writes = Array.from({ length: 10 }, write);
        await settleAll([...writes.slice(0, round % 5), () => a.clear(), ...writes.slice(5)]);
        for (const sid of sids) await expectMissing(b, sid, "a session that was cleared during concurrent writes");
      }
    },
  }]);
  if (stores.other !== undefined) return checks;
  return [...checks, skipped("concurrent calls across two instances", "option `shared` is false")];
}
