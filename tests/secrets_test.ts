import { assert, assertEquals, assertMatch, assertThrows } from "./helpers/assert.ts";
import { generateSecret, readSecrets } from "../src/secrets.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const one = (secret: Parameters<typeof readSecrets>[0]): number[] => Array.from(readSecrets(secret).keys[0] ?? []);

Deno.test("readSecrets() converts every kind of secret into bytes", () => {
  assertEquals(one("é"), [0xc3, 0xa9]);
  assertEquals(one(new Uint8Array([0, 1])), [0, 1]);
  assertEquals(one(0x0102), [1, 2]);
  assertEquals(one(255), [255]);
  assertEquals(one(0x010000000000000000n), [1, 0, 0, 0, 0, 0, 0, 0, 0]);
  assertEquals(one(Number.MAX_SAFE_INTEGER), [0x1f, 255, 255, 255, 255, 255, 255]);
  assertEquals(readSecrets(["a", 1n]).keys.map((key) => Array.from(key)), [[97], [1]]);
});

Deno.test("readSecrets() copies bytes, so that the application may overwrite them", () => {
  const secret = new Uint8Array([1, 2, 3]);
  const { keys } = readSecrets(secret);
  secret.fill(0);
  assertEquals(Array.from(keys[0] ?? []), [1, 2, 3]);
});

Deno.test("readSecrets() recognises short and published secrets as weak", () => {
  const strong = "x".repeat(16);
  assertEquals(readSecrets(strong).weak, false);
  assertEquals(readSecrets("x".repeat(15)).weak, true);
  assertEquals(readSecrets(2n ** 127n).weak, false);
  assertEquals(readSecrets(2n ** 119n).weak, true);
  assertEquals(readSecrets("6b911fd37cdf5c81d4c0adb1ab7fa822ed253ab0ad9aa18d77257c88b29b718e").weak, true);
  const published = "6b911fd37cdf5c81d4c0adb1ab7fa822ed253ab0ad9aa18d77257c88b29b718e";
  for (
    const secret of [bytes(published), Uint8Array.fromHex(published), BigInt(`0x${published}`), [strong, published]]
  ) {
    assertEquals(readSecrets(secret).weak, true);
  }
  assertEquals(readSecrets([strong, "short"]).weak, true);
  assertEquals(readSecrets([strong, strong + "2"]).weak, false);
});

Deno.test("readSecrets() throws without the secret in the message", async (t) => {
  // deno-lint-ignore no-explicit-any -- what JavaScript can pass
  const cases: [string, any, typeof RangeError | typeof TypeError][] = [
    ["an empty string", "", RangeError],
    ["no bytes", new Uint8Array(), RangeError],
    ["zeros", new Uint8Array(32), RangeError],
    ["a string of NUL characters", "\0\0", RangeError],
    ["zero", 0, RangeError],
    ["zero as a bigint", 0n, RangeError],
    ["a negative number", -77701, RangeError],
    ["minus one", -1, RangeError],
    ["minus one as a bigint", -1n, RangeError],
    ["a negative bigint", -77701n, RangeError],
    ["a fraction", 77701.5, RangeError],
    ["an unsafe number", 2 ** 53, RangeError],
    ["NaN", NaN, RangeError],
    ["infinity", Infinity, RangeError],
    ["an empty array", [], TypeError],
    ["an empty secret in an array", ["x".repeat(32), ""], RangeError],
    ["undefined", undefined, TypeError],
    ["null", null, TypeError],
    ["a boolean", true, TypeError],
    ["an object", {}, TypeError],
    ["an array in an array", [["x"]], TypeError],
  ];
  for (const [name, secret, errorClass] of cases) {
    await t.step(name, () => {
      const error = assertThrows(() => readSecrets(secret), errorClass, "secret");
      assert(!error.message.includes("77701"));
    });
  }
});

Deno.test("generateSecret() returns secrets that cause no warning", () => {
  const secrets = Array.from({ length: 100 }, generateSecret);
  assertEquals(new Set(secrets).size, 100);
  for (const secret of secrets) {
    assertMatch(secret, /^[\w-]{43}$/);
    assertEquals(readSecrets(secret).weak, false);
  }
});
