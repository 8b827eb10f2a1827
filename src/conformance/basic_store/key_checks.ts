/**
 * Checks of keys.
 *
 * @module
 */
import type { Check } from "../check.ts";
import { expectEqual, show } from "../expect.ts";
import { createSession, readValues } from "../fixtures.ts";
import type { TestedStores } from "../harness.ts";

/** Keys that a store may confuse with each other, with its own or with its backend's syntax. */
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

/** Checks that every key is kept as it is. */
export function keyChecks({ store, reader }: TestedStores): Check[] {
  const describeKey = (key: string): string =>
    key.length > 40 ? `512 characters of ${show(key.slice(0, 2))}` : show(key);
  return [{
    name: "every key is distinct: unusual characters, names of object properties, 512 characters",
    run: async () => {
      const sid = await createSession(store);
      for (const key of KEYS) {
        expectEqual(
          await reader.getValue(sid, key),
          undefined,
          `getValue() of the key ${describeKey(key)} before setValue()`,
        );
      }
      for (const [n, key] of KEYS.entries()) await store.setValue(sid, key, n);
      const values = await readValues(reader, sid);
      for (const [n, key] of KEYS.entries()) {
        expectEqual(await reader.getValue(sid, key), n, `getValue() of the key ${describeKey(key)}`);
        expectEqual(values.get(key), n, `the value of the key ${describeKey(key)} in get()`);
      }
      const unknown = [...values.keys()].filter((key) => !KEYS.includes(key));
      expectEqual(unknown, [], "keys in get() that were never written");
    },
  }, {
    name: "setValue() with undefined removes that key only",
    run: async () => {
      const sid = await createSession(store);
      for (const [n, key] of KEYS.entries()) await store.setValue(sid, key, n);
      const kept = new Map(KEYS.map((key, n) => [key, n]));
      for (const key of KEYS.filter((_, n) => n % 2 === 0)) {
        await store.setValue(sid, key, undefined);
        kept.delete(key);
        expectEqual(await reader.getValue(sid, key), undefined, `getValue() of the removed key ${describeKey(key)}`);
      }
      await store.setValue(sid, "never written", undefined);
      expectEqual(await readValues(reader, sid), kept, "get() after every second key was removed");
    },
  }, {
    name: "setValue() replaces the value of a key",
    run: async () => {
      const sid = await createSession(store);
      for (const key of ["key", "__proto__", "\0"]) {
        for (const value of [1, { two: 2 }, undefined, "three", null]) {
          await store.setValue(sid, key, value);
          expectEqual(
            await reader.getValue(sid, key),
            value,
            `getValue() of the key ${describeKey(key)} after setValue()`,
          );
        }
      }
    },
  }];
}
