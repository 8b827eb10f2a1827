/**
 * Which values a store has to keep, and how.
 *
 * @module
 */
import type { SessionStore } from "../session_store.ts";
import type { Check, OpenBench } from "./bench.ts";
import { expect, expectEqual, messageOf, show } from "./expect.ts";
import { createWith, valuesOf } from "./steps.ts";

/** What JSON knows. */
const JSON_VALUES: [string, unknown][] = [
  ["null", null],
  ["true", true],
  ["false", false],
  ["0", 0],
  ["-1", -1],
  ["0.1", 0.1],
  ["the largest safe integer", Number.MAX_SAFE_INTEGER],
  ["the smallest safe integer", Number.MIN_SAFE_INTEGER],
  ["the largest number", Number.MAX_VALUE],
  ["the smallest number above 0", Number.MIN_VALUE],
  ["an empty string", ""],
  ["a string", "value"],
  ["a string that looks like a number", "1"],
  ["a string that looks like JSON", '{"a":[1]}'],
  ["a string that looks like a date", "2030-01-01T00:00:00.000Z"],
  ["spaces and line breaks", " \t\r\n a \n"],
  ["quotes and backslashes", "' \" ` \\ \\\\ \\n \\u0000"],
  ["NUL characters", "\0a\0\0"],
  ["control characters", Array.from({ length: 32 }, (_, code) => String.fromCharCode(code)).join("") + "\x7f"],
  ["letters of many scripts", "é e\u{301} ß Ω ж 日本語 العربية \u{2028}\u{2029}\u{feff}\u{ffff}"],
  ["emoji", "🍪 👩‍👩‍👧‍👦"],
  ["half a surrogate pair", "\ud83c a \udf6a"],
  ["an empty array", []],
  ["an empty object", {}],
  ["an array of everything", [null, true, 1, "a", [], {}, [[1, [2]]]]],
  ["an object of everything", { null: null, yes: true, one: 1, a: "a", list: [1, { two: 2 }], empty: {}, none: [] }],
  [
    "odd property names",
    JSON.parse('{"":1,"__proto__":2,"constructor":3,"toString":4,"\\u0000":5,"\\ud800":6,"$a.b":7}'),
  ],
  ["a property `__proto__` that holds an object", JSON.parse('{"__proto__":{"admin":true}}')],
  ["a property `toJSON` that is none", { toJSON: 1 }],
  ["an array of 10,000 numbers", Array.from({ length: 10_000 }, (_, n) => n)],
  ["100 levels of nesting", Array.from({ length: 100 }).reduce((inner: unknown) => ({ inner: [inner] }), 1)],
];

/** What JSON loses or changes. */
const OTHER_VALUES: [string, unknown][] = [
  ["undefined in an object", { a: undefined, b: 1 }],
  ["undefined in an array", [1, undefined, 2]],
  ["-0", -0],
  ["NaN", NaN],
  ["Infinity", [Infinity, -Infinity]],
  ["a bigint", 2n ** 100n],
  ["bigints in an object", { a: 0n, b: -1n }],
  ["a Date", new Date(1_700_000_000_123)],
  ["a Date before 1970, and an invalid one", [new Date(-1), new Date(NaN)]],
  ["a Map", new Map<unknown, unknown>([["a", 1], [2, { b: new Map() }], [{ object: true }, undefined], [NaN, null]])],
  ["a Map with the key `__proto__`", new Map([["__proto__", 1], ["constructor", 2]])],
  ["a Set", new Set<unknown>([1, "1", { a: new Set() }, undefined, null])],
  ["an ArrayBuffer", new Uint8Array([0, 1, 127, 128, 255]).buffer],
  ["empty ones", [new Map(), new Set(), new ArrayBuffer(0), new Uint8Array(0)]],
  ["a Uint8Array", Uint8Array.from({ length: 256 }, (_, n) => n)],
  ["part of a larger buffer", new Uint8Array([9, 1, 2, 3, 9]).subarray(1, 4)],
  [
    "every kind of typed array",
    [
      new Int8Array([-1, 1]),
      new Uint8ClampedArray([0, 255]),
      new Int16Array([-1, 1]),
      new Uint16Array([65_535]),
      new Int32Array([-1, 1]),
      new Uint32Array([4_294_967_295]),
      new Float32Array([0.5, -0, NaN]),
      new Float64Array([0.1, Infinity]),
      new BigInt64Array([-1n]),
      new BigUint64Array([2n ** 64n - 1n]),
    ],
  ],
  ["all of them together", {
    at: new Date(0),
    of: new Map([["list", [new Set([1n, undefined]), new Uint8Array([1])]]]),
  }],
];

class Instance {
  readonly x = 1;
}

/** What no store can give back as it was. */
const NO_VALUES: [string, unknown][] = [
  ["a function", () => 1],
  ["a function in an object", { a: 1, f: (): number => 1 }],
  ["a symbol", Symbol("a symbol")],
  ["a symbol in an array", [Symbol("a symbol")]],
  ["a promise", Promise.resolve(1)],
  ["an instance of a class", new Instance()],
  ["an instance of a class in a list", [[new Instance()]]],
];

/** Checks of which values come back. */
export function values({ store, reader, options, maxValueBytes }: OpenBench): Check[] {
  const keepsAll = options.values === "all";
  const small = JSON_VALUES.filter(([, value]) => JSON.stringify(value).length <= maxValueBytes);
  const kept = keepsAll ? [...small, ...OTHER_VALUES] : small;
  const checks: Check[] = [{
    name: keepsAll ? "every value that a session can hold comes back equal" : "what JSON knows comes back equal",
    run: async () => {
      const sid = await createWith(store);
      for (const [name, value] of kept) await store.setValue(sid, name, value);
      const all = await valuesOf(reader, sid);
      for (const [name, value] of kept) {
        expectEqual(await reader.getValue(sid, name), value, `getValue() of ${name}`);
        expectEqual(all.get(name), value, `${name}, in get()`);
      }
      expectEqual(all.size, kept.length, "how many values there are in get()");
    },
  }];
  if (keepsAll) {
    checks.push({
      name: "the same object twice, and cycles, come back as such",
      run: async () => {
        const sid = await createWith(store);
        const shared = { a: 1 };
        const list: unknown[] = [shared, shared];
        list.push(list, new Map([["list", list]]), new Set([list]));
        await store.setValue(sid, "key", list);
        for (const read of [await reader.getValue(sid, "key"), (await valuesOf(reader, sid)).get("key")]) {
          const isEqual = Array.isArray(read) && read.length === 5 && read[0] === read[1] && read[0]?.a === 1 &&
            read[2] === read && read[3]?.get("list") === read && read[4]?.has(read) === true;
          expect(isEqual, `an object that holds itself: expected it back as such, got ${show(read)}`);
        }
      },
    });
  } else {
    checks.push({
      name: "a value that JSON does not know comes back equal, or is refused with an error that names the key",
      run: async () => {
        const cycle: unknown[] = [];
        cycle.push(cycle);
        for (const [name, value] of [...OTHER_VALUES, ["a cycle", cycle] as const]) {
          await expectKeptOrRefused(store, reader, name, value);
        }
      },
    });
  }
  checks.push({
    name: keepsAll
      ? "a value that no store can keep is refused with a TypeError that names the key, and nothing is changed"
      : "a value that no store can keep is refused with an error that names the key, and nothing is changed",
    run: async () => {
      for (const [name, value] of NO_VALUES) {
        const error = await expectKeptOrRefused(store, reader, name, value);
        if (!keepsAll) continue;
        expect(
          error instanceof TypeError,
          `setValue() of ${name}: expected it to reject with a TypeError, got ${show(error)}`,
        );
      }
    },
  });
  return checks;
}

/** Fails where a store changes a value in silence; returns the error if it refuses. */
async function expectKeptOrRefused(
  store: SessionStore,
  reader: SessionStore,
  name: string,
  value: unknown,
): Promise<unknown> {
  const sid = await createWith(store, { "the key": "before", other: 1 });
  try {
    await store.setValue(sid, "the key", value);
  } catch (error) {
    expect(
      messageOf(error).includes("the key"),
      `setValue() of ${name} under "the key": expected an error that names the key, got ${messageOf(error)}`,
    );
    const expected = new Map<string, unknown>([["the key", "before"], ["other", 1]]);
    expectEqual(await valuesOf(reader, sid), expected, `get() after setValue() refused ${name}`);
    return error;
  }
  const what = `which setValue() took: it must come back equal, or be refused`;
  expectEqual(await reader.getValue(sid, "the key"), value, `getValue() of ${name}, ${what}`);
  expectEqual((await valuesOf(reader, sid)).get("the key"), value, `${name} in get(), ${what}`);
  return undefined;
}

/** A text of so many bytes in which no part is like another. */
function textOf(bytes: number): string {
  let text = "";
  for (let n = 0; text.length < bytes; n++) text += `${n.toString(36)} `;
  return text.slice(0, bytes);
}

/** Checks of how large they may be. */
export function sizes({ store, reader, maxValueBytes, options }: OpenBench): Check[] {
  const steps = [1, 2, 255, 256, 1023, 1024, 4095, 4096, 65_535, 65_536, 65_537, 102_400, 262_144].filter((n) =>
    n < maxValueBytes
  );
  const expectText = (actual: unknown, expected: string, what: string): void =>
    expect(
      actual === expected,
      `${what}: expected a string of ${expected.length} characters, got ${
        typeof actual === "string" ? `another, of ${actual.length}` : show(actual)
      }`,
    );
  return [{
    name: `a value of 1 to ${maxValueBytes} bytes comes back whole`,
    run: async () => {
      for (const size of [...steps, maxValueBytes]) {
        const sid = await createWith(store);
        await store.setValue(sid, "key", textOf(size));
        expectText(await reader.getValue(sid, "key"), textOf(size), `getValue() of ${size} bytes`);
        expectText((await valuesOf(reader, sid)).get("key"), textOf(size), `get() of ${size} bytes`);
      }
    },
  }, {
    name: `${maxValueBytes} bytes of characters that take three`,
    run: async () => {
      const text = "€".repeat(Math.floor(maxValueBytes / 3));
      const sid = await createWith(store, { key: text });
      expectText(await reader.getValue(sid, "key"), text, `getValue() of ${maxValueBytes} bytes`);
    },
  }, {
    name: "a value takes the place of a larger or smaller one, and leaves the others",
    run: async () => {
      const sid = await createWith(store, { other: textOf(1000) });
      for (const size of [10, maxValueBytes, 1000, Math.ceil(maxValueBytes / 2), maxValueBytes, 1]) {
        await store.setValue(sid, "key", textOf(size));
        expectText(await reader.getValue(sid, "key"), textOf(size), `getValue() of ${size} bytes, after another size`);
      }
      await store.setValue(sid, "key", textOf(maxValueBytes));
      await store.setValue(sid, "key", undefined);
      const left = new Map([["other", textOf(1000)]]);
      expectEqual(await valuesOf(reader, sid), left, "get() after a large value was removed");
      await store.setValue(sid, "key", textOf(maxValueBytes));
      await store.delete(sid);
      await store.create(sid);
      expectEqual(await valuesOf(reader, sid), new Map(), "get() of a session made anew after one with a large value");
    },
  }, {
    name:
      `a value of more than ${maxValueBytes} bytes comes back whole, or is refused with an error that names the key`,
    run: async () => {
      const value = textOf(maxValueBytes * 2);
      const error = await expectKeptOrRefused(store, reader, `${value.length} bytes`, value);
      expect(
        error === undefined || !messageOf(error).includes(value.slice(0, 1000)),
        "the error of a large value repeats the value: expected it to name the key alone",
      );
    },
  }, {
    name: "bytes, where the store keeps them: every size up to the largest",
    run: async () => {
      for (const size of [1, 2, 3, 1000, maxValueBytes]) {
        const value = Uint8Array.from({ length: size }, (_, n) => n * 31);
        const error = await expectKeptOrRefused(store, reader, `a Uint8Array of ${size} bytes`, value);
        expect(options.values !== "all" || error === undefined, `setValue() of ${size} bytes: ${messageOf(error)}`);
      }
    },
  }];
}

/** Checks that nobody shares them. */
export function copies({ store }: OpenBench): Check[] {
  return [{
    name: "a value is copied in: changing it after setValue() changes nothing",
    run: async () => {
      const sid = await createWith(store);
      const value = { list: [1], inner: { n: 1 } };
      await store.setValue(sid, "key", value);
      value.list.push(2);
      value.inner.n = 2;
      expectEqual(
        await store.getValue(sid, "key"),
        { list: [1], inner: { n: 1 } },
        "getValue() after the caller changed what it had set",
      );
    },
  }, {
    name: "a value is copied at the call, before setValue() is done",
    run: async () => {
      const sid = await createWith(store);
      const value = { list: [1], inner: { n: 1 } };
      const done = store.setValue(sid, "key", value);
      value.list.push(2);
      value.inner.n = 2;
      await done;
      expectEqual(
        await store.getValue(sid, "key"),
        { list: [1], inner: { n: 1 } },
        "getValue() after the caller changed what it was setting while setValue() was under way",
      );
    },
  }, {
    name: "a value is copied out: changing what get() and getValue() returned changes nothing",
    run: async () => {
      const sid = await createWith(store, { key: { list: [1], inner: { n: 1 } } });
      const read = await store.getValue(sid, "key");
      read.list.push(2);
      read.inner.n = 2;
      const all = await store.get(sid);
      all.key.list.push(3);
      all.key.inner.n = 3;
      all.key = "another";
      all.more = 1;
      const expected = new Map([["key", { list: [1], inner: { n: 1 } }]]);
      expectEqual(await valuesOf(store, sid), expected, "get() after the caller changed what it had read");
      expectEqual(await store.getValue(sid, "key"), expected.get("key"), "getValue() after the caller changed it");
    },
  }];
}
