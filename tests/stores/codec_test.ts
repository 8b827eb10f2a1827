import { assert, assertEquals, assertThrows } from "../_assert.ts";
import { decodeKey, decodeValue, encodeKey, encodeValue } from "../../src/stores/_codec.ts";

const cyclic: Record<string, unknown> = { name: "circle" };
cyclic.self = cyclic;
const proto: Record<string, unknown> = JSON.parse('{"__proto__":{"__proto__":1,"__proto___":2,"__proto__x":3},"a":[]}');
(proto.a as unknown[]).push(proto);

Deno.test("encodeValue() writes text from which decodeValue() makes an equal value", async (t) => {
  const values: [string, unknown][] = [
    ["null", null],
    ["-0", -0],
    ["NaN and the infinities", [NaN, Infinity, -Infinity]],
    ["undefined, alone and within", [undefined, { a: undefined }]],
    ["every character of a string", "\0\u2028\ud83d\ude00\ud800a\udc00 \\u0000 \"'<"],
    ["an array of half pairs", ["\udc00", "\ud800", "\ud83d", "\ude00"]],
    ["bigint", [0n, -(2n ** 200n)]],
    ["dates", [new Date(0), new Date(NaN), new Date(8.64e15)]],
    ["maps and sets", new Map<unknown, unknown>([[{ a: 1 }, new Set([1, "1"])], ["__proto__", new Map()]])],
    ["typed arrays", [
      new Uint8Array([1, 255]),
      new Uint8ClampedArray([300]),
      new Int8Array([-1]),
      new Int16Array([-1]),
      new Uint16Array([1]),
      new Int32Array([-1]),
      new Uint32Array([1]),
      new Float16Array([0.5]),
      new Float32Array([0.5]),
      new Float64Array([Math.PI, NaN]),
      new BigInt64Array([-1n]),
      new BigUint64Array([2n ** 63n]),
      new Uint8Array(0),
    ]],
    ["an ArrayBuffer", new Uint8Array([1, 2, 3]).buffer],
    ["a cycle", cyclic],
    ["__proto__, and a cycle through it", proto],
  ];
  for (const [name, value] of values) {
    await t.step(name, () => {
      const text = encodeValue("k", value);
      assert(text.isWellFormed() && !text.includes("\0"), text);
      assertEquals(decodeValue(text), value);
    });
  }
});

Deno.test("decodeValue() gives __proto__ back as a property and never as a prototype", () => {
  const value = decodeValue(encodeValue("k", proto)) as object;
  assertEquals(Object.getPrototypeOf(value), Object.prototype);
  assertEquals(Object.keys(value), ["__proto__", "a"]);
  const inner = Object.getOwnPropertyDescriptor(value, "__proto__")?.value;
  assertEquals(Object.entries(inner), [["__proto__", 1], ["__proto___", 2], ["__proto__x", 3]]);
});

Deno.test("encodeValue() keeps one object that is met twice one object", () => {
  const shared = { a: 1 };
  const [first, second] = decodeValue(encodeValue("k", [shared, shared])) as object[];
  assert(first === second);
});

Deno.test("encodeValue() refuses what no session keeps, naming the key", () => {
  assertThrows(() => encodeValue("k", () => 1), TypeError, '"k"');
});

Deno.test("encodeKey() writes text without NUL from which decodeKey() makes the key", () => {
  for (const key of ["", "a", "\0", "\\", "\\0", "\\\0\\", "a\\\\0\0b", "__proto__", "\ud83d\ude00\n"]) {
    assert(!encodeKey(key).includes("\0"));
    assertEquals(decodeKey(encodeKey(key)), key);
  }
});
