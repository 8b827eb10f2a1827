/**
 * The values that the checks write.
 *
 * @module
 */

/** Values that JSON represents. */
export const JSON_VALUES: [string, unknown][] = [
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
  ["a property `toJSON` that is not a function", { toJSON: 1 }],
  ["an array of 10,000 numbers", Array.from({ length: 10_000 }, (_, n) => n)],
  ["100 levels of nesting", Array.from({ length: 100 }).reduce((inner: unknown) => ({ inner: [inner] }), 1)],
];

/** Values that JSON loses or changes. A store with the option `values: "all"` keeps them. */
export const OTHER_VALUES: [string, unknown][] = [
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
  ["an empty Map, Set, ArrayBuffer and Uint8Array", [new Map(), new Set(), new ArrayBuffer(0), new Uint8Array(0)]],
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
  ["several of these in one object", {
    at: new Date(0),
    of: new Map([["list", [new Set([1n, undefined]), new Uint8Array([1])]]]),
  }],
];

class Instance {
  readonly x = 1;
}

/** Values that no store can keep. */
export const UNSUPPORTED_VALUES: [string, unknown][] = [
  ["a function", () => 1],
  ["a function in an object", { a: 1, f: (): number => 1 }],
  ["a symbol", Symbol("a symbol")],
  ["a symbol in an array", [Symbol("a symbol")]],
  ["a promise", Promise.resolve(1)],
  ["an instance of a class", new Instance()],
  ["an instance of a class in a list", [[new Instance()]]],
];
