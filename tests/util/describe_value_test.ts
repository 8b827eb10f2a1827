import { assertEquals } from "jsr:@std/assert@1.0.13";
import { describeOption, describeType, nameOf, STORE_NAME } from "../../src/util/describe_value.ts";

class Cart {}

const TYPES: [value: unknown, description: string][] = [
  [undefined, "undefined"],
  [null, "null"],
  ["secret", "a string"],
  [1, "a number"],
  [1n, "a bigint"],
  [true, "a boolean"],
  [Symbol("secret"), "a symbol"],
  [() => {}, "a function"],
  [[], "an empty array"],
  [["secret"], "an array"],
  [{ secret: 1 }, "an object"],
  [Object.create(null), "an object"],
  [{ constructor: { name: "secret" } }, "an object"],
  ["\ud800", "a string with a lone surrogate"],
  [new Date(), "a Date"],
  [new Uint8Array(1), "a Uint8Array"],
  [new Cart(), "a Cart"],
];

Deno.test("describeType() names the type, and nothing of the value", () => {
  for (const [value, description] of TYPES) assertEquals(describeType(value), description);
});

Deno.test("describeOption() shows texts, numbers and booleans, and the type of everything else", () => {
  const shown: typeof TYPES = [
    ["lax", '"lax"'],
    ['a"b', '"a\\"b"'],
    ["", '""'],
    ["x".repeat(65), "a string of 65 characters"],
    [-1, "-1"],
    [NaN, "NaN"],
    [new Date(0), "1970-01-01T00:00:00.000Z"],
    [new Date(NaN), "an invalid Date"],
    [false, "false"],
  ];
  const others = TYPES.filter(([value]) =>
    !["string", "number", "boolean"].includes(typeof value) && !(value instanceof Date)
  );
  for (const [value, description] of [...shown, ...others]) assertEquals(describeOption(value), description);
});

Deno.test("nameOf() returns the name of a store, or of its class", () => {
  class UserStore extends Map {}
  const named: [object, string][] = [
    [new Cart(), "Cart"],
    // A Map has the tag "Map".
    [new UserStore(), "UserStore"],
    [Object.assign(new Cart(), { [STORE_NAME]: "EncryptedStore over UserStore" }), "EncryptedStore over UserStore"],
    [Object.create(null), "SessionStore"],
    [{}, "SessionStore"],
  ];
  for (const [store, name] of named) assertEquals(nameOf(store), name);
});
