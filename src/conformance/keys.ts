/**
 * Which keys every store has to keep apart.
 *
 * @module
 */
import type { Check, OpenBench } from "./bench.ts";
import { expectEqual, show } from "./expect.ts";
import { createWith, valuesOf } from "./steps.ts";

const KEYS = [
  "key",
  "KEY",
  "Key",
  "ke",
  "keyy",
  "key ",
  " key",
  "",
  " ",
  "0",
  "-1",
  "length",
  "__proto__",
  "__proto___",
  "constructor",
  "prototype",
  "toString",
  "hasOwnProperty",
  "valueOf",
  "then",
  "__session",
  "__session:",
  "__session:key",
  "undefined",
  "null",
  "\0",
  "\0\0",
  "a\0b",
  "a\\0b",
  "\\",
  "\\\\",
  "\\0",
  "'",
  '"',
  "`",
  "a'; DROP TABLE sessions; --",
  "a.b",
  "a/b",
  "../a",
  "a:b",
  "{a}",
  "$set",
  "%",
  "_",
  "*",
  "a?b",
  "[a]",
  "\n",
  "\r\n",
  "\t",
  "\u{7f}",
  "\u{feff}",
  "\u{2028}",
  "\u{ffff}",
  "é",
  "e\u{301}",
  "ß",
  "Ω",
  "日本語",
  "\u{202e}key",
  "🍪",
  "👩‍👩‍👧‍👦",
  "k".repeat(512),
  "\0".repeat(512),
  "\\".repeat(512),
  "€".repeat(512),
  "🍪".repeat(256),
];

/** Checks of keys. */
export function keys({ store, reader }: OpenBench): Check[] {
  const name = (key: string): string => key.length > 40 ? `512 characters of ${show(key.slice(0, 2))}` : show(key);
  return [{
    name: "every key is kept apart from every other: odd ones, names that objects have, 512 characters",
    run: async () => {
      const sid = await createWith(store);
      for (const key of KEYS) {
        expectEqual(await reader.getValue(sid, key), undefined, `getValue() of ${name(key)} before it is written`);
      }
      for (const [n, key] of KEYS.entries()) await store.setValue(sid, key, n);
      const values = await valuesOf(reader, sid);
      for (const [n, key] of KEYS.entries()) {
        expectEqual(await reader.getValue(sid, key), n, `getValue() of the key ${name(key)}`);
        expectEqual(values.get(key), n, `the value of the key ${name(key)} in get()`);
      }
      const unknown = [...values.keys()].filter((key) => !KEYS.includes(key));
      expectEqual(unknown, [], "keys in get() that nobody wrote");
    },
  }, {
    name: "setValue() with undefined removes that key alone",
    run: async () => {
      const sid = await createWith(store);
      for (const [n, key] of KEYS.entries()) await store.setValue(sid, key, n);
      const kept = new Map(KEYS.map((key, n) => [key, n]));
      for (const key of KEYS.filter((_, n) => n % 2 === 0)) {
        await store.setValue(sid, key, undefined);
        kept.delete(key);
        expectEqual(await reader.getValue(sid, key), undefined, `getValue() of the removed key ${name(key)}`);
      }
      await store.setValue(sid, "never written", undefined);
      expectEqual(await valuesOf(reader, sid), kept, "get() after every other key was removed");
    },
  }, {
    name: "a key that is written again has the last value",
    run: async () => {
      const sid = await createWith(store);
      for (const key of ["key", "__proto__", "\0"]) {
        for (const value of [1, { two: 2 }, undefined, "three", null]) {
          await store.setValue(sid, key, value);
          expectEqual(await reader.getValue(sid, key), value, `getValue() of ${name(key)} after one more setValue()`);
        }
      }
    },
  }];
}
