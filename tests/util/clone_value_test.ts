import { assertEquals, assertNotEquals, assertStringIncludes, assertThrows } from "../helpers/assert.ts";
import { cloneValue, toObject } from "../../src/util/clone_value.ts";
import { runInNewContext } from "node:vm";

class Point {
  x = 1;
}

const shared = { n: 1 };
const SUPPORTED: [string, unknown][] = [
  ["null", null],
  ["a string", "x"],
  ["an empty string", ""],
  ["a number", 1.5],
  ["minus zero", -0],
  ["not a number", NaN],
  ["infinity", -Infinity],
  ["a boolean", false],
  ["a bigint", 12345678901234567890n],
  ["undefined within", { a: undefined, b: [undefined] }],
  ["a date", new Date(0)],
  ["an invalid date", new Date(NaN)],
  ["a map", new Map<unknown, unknown>([["a", { b: 1 }], [2, new Set([3])]])],
  ["a set", new Set([1, "x", null])],
  ["bytes", new Uint8Array([1, 2, 255])],
  ["floats", new Float64Array([1.5, -0])],
  ["big integers", new BigInt64Array([1n, -1n])],
  ["a buffer", new Uint8Array([1, 2]).buffer],
  ["an object without prototype", Object.assign(Object.create(null), { a: 1 })],
  ["nested", { a: [{ b: new Date(1) }, [[]]], "": 1, "__proto__x": 2 }],
  ["the same object twice", [shared, shared]],
];

Deno.test("cloneValue() copies", async (t) => {
  for (const [name, value] of SUPPORTED) {
    await t.step(name, () => {
      assertEquals(cloneValue("k", value), value);
    });
  }
});

const UNSUPPORTED: [string, unknown, string][] = [
  ["a function", () => 1, "a function"],
  ["a class", Point, "a function"],
  ["a symbol", Symbol("s"), "a symbol"],
  ["a promise", Promise.resolve(1), "a promise"],
  ["an instance", new Point(), "an instance of Point"],
  ["an error", new Error("x"), "an instance of Error"],
  ["a regular expression", /x/, "an instance of RegExp"],
  ["a weak map", new WeakMap(), "an instance of WeakMap"],
  ["a boxed string", new String("x"), "an instance of String"],
  ["a response", new Response("x"), "an instance of Response"],
  ["a data view", new DataView(new ArrayBuffer(1)), "an instance of DataView"],
  ["an object of an object", Object.create(Object.create({ a: 1 })), "its own prototype"],
  ["an object of an anonymous class", new (class {})(), "its own prototype"],
];

Deno.test("cloneValue() refuses a value and names its key", async (t) => {
  for (const [name, value, what] of UNSUPPORTED) {
    for (
      const [where, wrapped] of [["", value], [" in an object", { a: value }], [" in a map", new Map([[1, [value]]])]]
    ) {
      await t.step(name + where, () => {
        const error = assertThrows(() => cloneValue("cart", wrapped), TypeError, what);
        assertStringIncludes(error.message, '"cart"');
      });
    }
  }
});

Deno.test("cloneValue() shares nothing mutable with the original", () => {
  const bytes = new Uint8Array([1, 2, 3]);
  const value = { list: [1], date: new Date(0), map: new Map([["a", { n: 1 }]]), set: new Set([1]), bytes };
  const copy = cloneValue("k", value);
  value.list.push(2);
  value.date.setTime(1);
  value.map.set("b", { n: 2 });
  const key = [1];
  const [keyCopy] = cloneValue("k", new Map([[key, 1]])).keys();
  key.push(2);
  assertEquals(keyCopy, [1]);
  value.set.add(2);
  bytes[0] = 9;
  assertEquals(copy.list, [1]);
  assertEquals(copy.date, new Date(0));
  assertEquals(copy.map, new Map([["a", { n: 1 }]]));
  assertEquals(copy.set, new Set([1]));
  assertEquals(copy.bytes, new Uint8Array([1, 2, 3]));
});

Deno.test("cloneValue() copies a view of a larger buffer without the rest of it", () => {
  const copy = cloneValue("k", new Uint8Array([1, 2, 3, 4]).subarray(1, 2));
  assertEquals(copy.buffer.byteLength, 1);
});

Deno.test("cloneValue() preserves cycles and identity", () => {
  const value: Record<string, unknown> = {};
  value.self = value;
  const copy = cloneValue("k", value);
  assertEquals(copy.self === copy, true);
  for (const part of [{}, [], new Date(0), new Map(), new Set(), new Uint8Array(1), new ArrayBuffer(1)]) {
    const [a, b] = cloneValue("k", [part, part]);
    assertEquals(a === b, true, String(part));
    assertNotEquals(a === part, true, String(part));
  }
});

Deno.test("cloneValue() copies a plain object of another realm", () => {
  assertEquals(cloneValue("k", runInNewContext("({ a: { b: 1 } })")), { a: { b: 1 } });
});

Deno.test("cloneValue() copies __proto__ as an ordinary property", () => {
  const value = JSON.parse('{"__proto__": {"admin": true}, "constructor": 1}');
  const real = Object.getOwnPropertyDescriptor(Object.prototype, "__proto__") ?? {};
  // The accessor of ECMA-262 section B.2.2.1, which Deno has with `--unstable-unsafe-proto`.
  const set = function (this: object, prototype: object): void {
    Object.setPrototypeOf(this, prototype);
  };
  Object.defineProperty(Object.prototype, "__proto__", { configurable: true, set });
  try {
    const copy = cloneValue("k", value);
    assertEquals(Object.keys(copy), ["__proto__", "constructor"]);
    assertEquals(copy.admin, undefined);
    assertEquals(Object.getPrototypeOf(copy), Object.prototype);
  } finally {
    Object.defineProperty(Object.prototype, "__proto__", real);
  }
});

Deno.test("cloneValue() refuses a value that would exhaust the stack", () => {
  let value: unknown = 1;
  for (let i = 0; i < 100_000; i++) value = [value];
  assertThrows(() => cloneValue("deep", value), TypeError, "nested deeper");
});

Deno.test("cloneValue() copies a value with 500 levels below the first", () => {
  let value: unknown = [];
  for (let i = 0; i < 500; i++) value = [value];
  cloneValue("deep", value);
  assertThrows(() => cloneValue("deep", [value]), TypeError, "nested deeper than 500 levels");
});

Deno.test("toObject() returns an object without prototype", () => {
  const object = toObject([["__proto__", { a: 1 }], ["b", 2]]);
  assertEquals(Object.getPrototypeOf(object), null);
  assertEquals(Object.keys(object), ["__proto__", "b"]);
  assertEquals(object["a"], undefined);
});
