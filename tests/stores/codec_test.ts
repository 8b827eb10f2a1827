import { assert, assertEquals, assertThrows } from "../helpers/assert.ts";
import { UnreadableRecordError } from "../../mod.ts";
import { decodeKey, decodeValue, decodeValues, encodeKey, encodeValue, encodeValues } from "../../src/stores/_codec.ts";

const cyclic: Record<string, unknown> = { name: "circle" };
cyclic.self = cyclic;
const proto: Record<string, unknown> = JSON.parse('{"__proto__":{"__proto__":1,"__proto___":2,"__proto__x":3},"a":[]}');
(proto.a as unknown[]).push(proto);

Deno.test("decodeValue() returns a value equal to the one that encodeValue() was given", async (t) => {
  const values: [string, unknown][] = [
    ["null", null],
    ["-0", -0],
    ["NaN and the infinities", [NaN, Infinity, -Infinity]],
    ["undefined, in an array and in an object", [undefined, { a: undefined }]],
    ["escapes, pairs and lone surrogates in a string", "\0\u2028\ud83d\ude00\ud800a\udc00 \\u0000 \"'<"],
    ["lone surrogates in an array", ["\udc00", "\ud800", "\ud83d", "\ude00"]],
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
      assertEquals(decodeValue(text, "SqliteStore"), value);
    });
  }
});

Deno.test("decodeValue() returns __proto__ as a property and never sets the prototype", () => {
  const value = decodeValue(encodeValue("k", proto), "SqliteStore") as object;
  assertEquals(Object.getPrototypeOf(value), Object.prototype);
  assertEquals(Object.keys(value), ["__proto__", "a"]);
  const inner = Object.getOwnPropertyDescriptor(value, "__proto__")?.value;
  assertEquals(Object.entries(inner), [["__proto__", 1], ["__proto___", 2], ["__proto__x", 3]]);
});

Deno.test("encodeValue() keeps the identity of an object that occurs twice", () => {
  const shared = { a: 1 };
  const [first, second] = decodeValue(encodeValue("k", [shared, shared]), "SqliteStore") as object[];
  assert(first === second);
});

Deno.test("encodeValue() rejects a value that no session can hold, and names the key", () => {
  assertThrows(() => encodeValue("k", () => 1), TypeError, '"k"');
});

Deno.test("encodeKey() returns text that JSON does not escape, and decodeKey() returns the key", () => {
  const keys = [
    "",
    "a",
    "%",
    "%0025",
    "\0",
    "\\",
    "\\0",
    "\\\0\\",
    "a\\\\0\0b",
    '"',
    "\n",
    "__proto__",
    "\ud83d\ude00\n",
    "\ud83d\n",
  ];
  for (let code = 0; code < 0x10000; code += code < 0x300 ? 1 : 101) keys.push(`a${String.fromCharCode(code)}b`);
  for (const key of keys) {
    const text = encodeKey(key);
    assertEquals(JSON.stringify(text), `"${text}"`);
    assert(text.isWellFormed());
    assertEquals(decodeKey(text), key);
  }
  assertEquals(encodeKey("caf\u00e9 \ud83d\ude00"), "caf\u00e9 \ud83d\ude00");
});

// V8 may take the beginning of a name, escapes included, for the name that it has parsed in this
// place before: `JSON.parse('{"a":1,"\\\\0b":1}')` returns the property `\\\\0` after {a: 1,
// "\\\\0": 1} was parsed. See https://issues.chromium.org/issues/521080746.
Deno.test("decodeValue() and decodeValues() distinguish names that begin alike as JSON", () => {
  const pairs = [["\\\\0", "\\0b"], ["\\n", "\nb"], ['\\"', '"b'], ["\\u0", "\0bc"], ["__proto__:", "__proto__"], [
    "%0000",
    "\0",
  ]];
  for (const [first = "", second = ""] of pairs) {
    for (const name of [first, second, first, second]) {
      const value = { [`before ${first}`]: 1, [name]: 1 };
      assertEquals(decodeValue(encodeValue("k", value), "SqliteStore"), value);
      const values = new Map(Object.entries(value));
      assertEquals(decodeValues(encodeValues(values), "SqliteStore"), values);
    }
  }
});

Deno.test("decodeValues() returns values equal to those that encodeValues() was given", () => {
  const values = new Map<string, unknown>([["", 1], ["__proto__", proto], ["1", [undefined]], ["cyclic", cyclic], [
    "\0",
    "\0",
  ]]);
  assertEquals(decodeValues(encodeValues(values), "SqliteStore"), values);
  assertEquals(decodeValues(encodeValues([]), "SqliteStore"), new Map());
  assertEquals(encodeValues([["a", undefined], ["b", null], ["c", "x"]]), '{"a":null,"b":[null],"c":["x"]}');
  assertThrows(() => encodeValues([["a", 1], ["b", Symbol()]]), TypeError, '"b"');
});

const unreadable = (operation: string) =>
  `Cannot ${operation}: RedisStore found a stored session that it cannot read; the session counts as ended; check ` +
  "whether another program, or a later version of this one, writes to the backend of RedisStore";

Deno.test("decodeValue() and decodeValues() reject other text, and repeat nothing of it", () => {
  const texts = ["", "secret", '"secret"', "{}", "null", "true", "1", '{"a":', '[["Secret",1]]', '[{"a":7}', "\0"];
  for (const text of texts) {
    const error = assertThrows(() => decodeValue(text, "RedisStore", "list"), UnreadableRecordError);
    assertEquals([error.operation, error.cause], ["list", undefined]);
    assertEquals(error.message, unreadable("list"));
  }
  for (const text of ["", "secret", '"secret"', "[]", "[[1],2]", "null", "1", '{"a":', '{"a":"secret"}', '{"a":{}}']) {
    const error = assertThrows(() => decodeValues(text, "RedisStore"), UnreadableRecordError);
    assertEquals([error.operation, error.cause], ["get", undefined]);
    assertEquals(error.message, unreadable("get"));
  }
});
