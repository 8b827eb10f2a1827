/**
 * What every store has to do with calls at once.
 *
 * @module
 */
import { newSessionId } from "../cookie/session_id.ts";
import { type Check, isStore, note, type OpenBench } from "./bench.ts";
import { expect, expectEqual, expectRejects, show } from "./expect.ts";
import { countFulfilled, createWith, expectMissing, GONE, settle, valuesOf } from "./steps.ts";

/** Checks of writes, creations and deletions at once. */
export function races(bench: OpenBench): Check[] {
  const notShared = bench.other === undefined
    ? [note("instances do not share their sessions: nothing is shown across them")]
    : [];
  return [
    ...bench.pairs(isStore).flatMap(({ where, a, b }): Check[] => [{
      name: `100 writes to different keys at once: none is lost, ${where}`,
      run: async () => {
        const sid = await createWith(a, { before: true });
        const numbers = Array.from({ length: 100 }, (_, n) => n);
        await Promise.all(numbers.map((n) => (n % 2 === 0 ? a : b).setValue(sid, `key ${n}`, n)));
        const expected = new Map<string, unknown>([["before", true]]);
        for (const n of numbers) expected.set(`key ${n}`, n);
        const values = await valuesOf(b, sid);
        const lost = [...expected.keys()].filter((key) => values.get(key) !== expected.get(key));
        expect(
          lost.length === 0,
          `${lost.length} of 100 acknowledged writes to different keys are lost: ${show(lost)}`,
        );
        expectEqual(values.size, expected.size, "how many keys there are after 100 writes at once");
      },
    }, {
      name: `writes and removals of different keys at once: each counts, ${where}`,
      run: async () => {
        const numbers = Array.from({ length: 20 }, (_, n) => n);
        const sid = await createWith(a, Object.fromEntries(numbers.map((n) => [`old ${n}`, n])));
        await Promise.all(numbers.flatMap((n) => [
          a.setValue(sid, `old ${n}`, undefined),
          b.setValue(sid, `new ${n}`, n),
        ]));
        const expected = new Map(numbers.map((n) => [`new ${n}`, n]));
        expectEqual(await valuesOf(b, sid), expected, "get() after 20 removals and 20 writes at once");
      },
    }, {
      name: `writes to one key at once: one of them is there, whole, ${where}`,
      run: async () => {
        const sid = await createWith(a);
        const texts = Array.from({ length: 20 }, (_, n) => String.fromCharCode(97 + n).repeat(1000));
        await Promise.all(texts.map((text, n) => (n % 2 === 0 ? a : b).setValue(sid, "key", text)));
        const read: unknown = await a.getValue(sid, "key");
        expect(
          texts.some((text) => text === read),
          `20 writes to one key at once: expected one of the values, whole, got ${show(read)}`,
        );
        expectEqual(await b.getValue(sid, "key"), read, "getValue() asked twice after writes to one key");
      },
    }, {
      name: `create() of one id at once: one of them makes it, ${where}`,
      run: async () => {
        for (let round = 0; round < 5; round++) {
          const sid = newSessionId();
          const made = await countFulfilled(Array.from({ length: 20 }, (_, n) => () => (n % 2 ? b : a).create(sid)));
          expectEqual(made, 1, "how many of 20 create() of one id at once were fulfilled");
          expectEqual(await valuesOf(b, sid), new Map(), "get() after create() of one id at once");
        }
      },
    }, {
      name: `create() beside writes: a session that is there is never emptied, ${where}`,
      run: async () => {
        const sid = await createWith(a, { key: "value" });
        const calls = Array.from(
          { length: 20 },
          (_, n) => () => n % 2 ? b.create(sid) : a.setValue(sid, `key ${n}`, n),
        );
        expectEqual(
          await countFulfilled(calls),
          10,
          "how many of 10 writes and 10 create() of an id in use were fulfilled",
        );
        expectEqual((await valuesOf(b, sid)).size, 11, "how many values there are after create() of an id in use");
      },
    }, {
      name: `delete() beside writes: nothing comes back, ${where}`,
      run: async () => {
        for (let round = 0; round < 20; round++) {
          const sid = await createWith(a, { key: "value" });
          const write = (_: unknown, n: number) => (): Promise<void> => b.setValue(sid, `key ${n}`, round);
          const writes = Array.from({ length: 10 }, write);
          await settle([...writes.slice(0, round % 5), () => a.delete(sid), ...writes.slice(5)]);
          await expectMissing(b, sid, "a session that was deleted while it was written to");
          await expectRejects("setValue() of a deleted session", () => b.setValue(sid, "key", 1), GONE);
        }
      },
    }]),
    ...notShared,
  ];
}
