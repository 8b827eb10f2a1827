import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertStrictEquals,
  assertThrows,
} from "../helpers/assert.ts";
import { timingSafeEqual } from "../../deps.ts";
import { newSessionId } from "../../src/cookie/session_id.ts";
import { readSecrets } from "../../src/secrets.ts";
import { Signer } from "../../src/cookie/signer.ts";
import { createHmac } from "node:crypto";
import { timingSafeEqual as stdTimingSafeEqual } from "jsr:@std/crypto@1.0.5/timing-safe-equal";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const KEY = bytes("0123456789abcdef0123456789abcdef");
const ID = "abcdefghijklmnopqrstuvwx";
const one = (secret: Parameters<typeof readSecrets>[0]): number[] => Array.from(readSecrets(secret).keys[0] ?? []);

Deno.test("newSessionId() has 144 random bits in characters that a cookie need not quote", () => {
  const ids = Array.from({ length: 1000 }, newSessionId);
  for (const id of ids) assertMatch(id, /^[A-Za-z0-9_-]{24}$/);
  assertEquals(new Set(ids).size, ids.length);
  // Every position takes many values: no part of the id is fixed or counts.
  for (let i = 0; i < 24; i++) assert(new Set(ids.map((id) => id[i])).size > 32);
});

Deno.test("newSessionId() takes every id from the system's random numbers", () => {
  const real = crypto.getRandomValues;
  let drawn = "";
  crypto.getRandomValues = <T extends Parameters<typeof real>[0]>(array: T): T => {
    real.call(crypto, array);
    if (array instanceof Uint8Array) drawn += array.toBase64({ alphabet: "base64url" });
    return array;
  };
  try {
    const ids = Array.from({ length: 500 }, newSessionId);
    // The first may be from what was drawn before.
    for (const id of ids.slice(-250)) assert(drawn.includes(id));
  } finally {
    crypto.getRandomValues = real;
  }
});

Deno.test("Signer.sign() is base64url(HMAC-SHA-256(key, name=id))", () => {
  for (const name of ["sid", "__Host-session"]) {
    const expected = createHmac("sha256", KEY).update(`${name}=${ID}`).digest("base64url");
    assertEquals(new Signer(name, [KEY]).sign(ID), `${ID}.${expected}`);
  }
});

Deno.test("Signer.sign() works with keys longer than a block", () => {
  const key = new Uint8Array(200).fill(7);
  const expected = createHmac("sha256", key).update(`sid=${ID}`).digest("base64url");
  assertEquals(new Signer("sid", [key]).sign(ID), `${ID}.${expected}`);
});

Deno.test("Signer.verify() accepts its own signature, again and again", () => {
  const signer = new Signer("sid", [KEY]);
  const value = signer.sign(ID);
  for (let i = 0; i < 3; i++) assertEquals(signer.verify(`sid=${value}`), { id: ID, needsResign: false });
});

Deno.test("Signer.verify() refuses", async (t) => {
  const signer = new Signer("sid", [KEY]);
  const value = signer.sign(ID);
  const last = value.at(-1) ?? "";
  // The last character of 43 holds two bits that decoding drops: its neighbours decode alike.
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const neighbour = alphabet[alphabet.indexOf(last) ^ 1] ?? "";
  const cases: [string, string][] = [
    ["a signature of another key", new Signer("sid", [bytes("another key of 32 bytes, really.")]).sign(ID)],
    ["a signature for another cookie's name", new Signer("sie", [KEY]).sign(ID)],
    ["another id under the same signature", "b" + value.slice(1)],
    ["another spelling of the same bytes", value.slice(0, -1) + neighbour],
    ["a signature in other case", ID + "." + value.slice(25).toLowerCase()],
    ["a signature of nothing", `${ID}.${"A".repeat(43)}`],
  ];
  for (const [name, wrong] of cases) {
    await t.step(name, () => {
      assertNotEquals(wrong, value);
      assertEquals(signer.verify(`sid=${wrong}`), "signature");
    });
  }
});

Deno.test("Signer.verify() compares in constant time", async () => {
  // Nothing that a test could measure reliably: that the comparison is std's, and the only one, is read from the source.
  const source = await Deno.readTextFile(new URL("../../src/cookie/signer.ts", import.meta.url));
  const [, body = ""] = /\n {2}#check\(.*?\{\n(.*?)\n {2}\}\n/s.exec(source) ?? [];
  assertEquals(body.match(/timingSafeEqual\(this\.#presented, this\.#expected\)/g)?.length, 1);
  assertEquals(body.match(/===?|!==?|includes|startsWith|indexOf/g), null);
  assertStrictEquals(timingSafeEqual, stdTimingSafeEqual);
});

Deno.test("Signer.verify() remembers what it has verified, and nothing that it has refused", () => {
  const signer = new Signer("sid", [KEY]);
  const value = signer.sign(ID);
  const forged = `${ID}.${"A".repeat(43)}`;
  const hashes = (verify: () => void): number => {
    const real = Uint8Array.prototype.toBase64;
    let count = 0;
    Uint8Array.prototype.toBase64 = function (...options): string {
      count++;
      return real.apply(this, options);
    };
    try {
      verify();
      return count;
    } finally {
      Uint8Array.prototype.toBase64 = real;
    }
  };
  assertEquals([value, value, value].map((again) => hashes(() => signer.verify(`sid=${again}`))), [1, 0, 0]);
  assertEquals(
    [forged, forged].map((again) => hashes(() => assertEquals(signer.verify(`sid=${again}`), "signature"))),
    [1, 1],
  );
  // What differs from a remembered value in its last character alone is another value.
  const last = value.endsWith("A") ? "B" : "A";
  assertEquals(signer.verify(`sid=${value.slice(0, -1) + last}`), "signature");
  // Another secret's signer, as after a rotation, knows nothing of it.
  assertEquals(new Signer("sid", [bytes("another key of 32 bytes, really.")]).verify(`sid=${value}`), "signature");
});

Deno.test("Signer.verify() accepts older secrets and says that they are", () => {
  const old = bytes("the secret of last year, 32 long");
  const value = new Signer("sid", [old]).sign(ID);
  const both = new Signer("sid", [KEY, old]);
  for (let i = 0; i < 2; i++) assertEquals(both.verify(`sid=${value}`), { id: ID, needsResign: true });
  assertEquals(new Signer("sid", [KEY]).verify(`sid=${value}`), "signature");
  assertEquals(new Signer("sid", [KEY, old]).sign(ID), new Signer("sid", [KEY]).sign(ID));
});

Deno.test("Signer.verify() accepts every one of three secrets, and only the first is up to date", () => {
  const keys = ["a", "b", "c"].map((letter) => bytes(letter.repeat(32)));
  const signer = new Signer("sid", keys);
  for (const [age, key] of keys.entries()) {
    assertEquals(signer.verify(`sid=${new Signer("sid", [key]).sign(ID)}`), { id: ID, needsResign: age > 0 });
  }
});

Deno.test("Signer.verify() knows our form alone", () => {
  const signer = new Signer("sid", [KEY]);
  const value = signer.sign(ID);
  for (const pair of [value, `=${value}`, `sie=${value}`, ` sid=${value}`, `sid=${value} `]) {
    assertEquals(signer.verify(pair), "malformed", pair);
  }
  for (
    const wrong of [
      "",
      ".",
      ID,
      value + "A",
      value.slice(1),
      value.replace(".", "A"),
      "." + value.replace(".", ""),
      value.replace(/.$/, "="),
      `"${value.slice(2)}"`,
      value.replace("a", "%"),
    ]
  ) {
    assertEquals(signer.verify(`sid=${wrong}`), "malformed", wrong);
    assertEquals(signer.verify(wrong), "malformed", wrong);
  }
});

Deno.test("Signer.eventHash() is keyed by a derived key, and is not the signature", () => {
  const derived = createHmac("sha256", KEY).update("session/event/1").digest();
  const expected = createHmac("sha256", derived).update(ID).digest().subarray(0, 16).toString("base64url");
  const signer = new Signer("sid", [KEY]);
  assertEquals(signer.eventHash(ID), expected);
  assertEquals(signer.eventHash(ID), signer.eventHash(ID));
  assertNotEquals(signer.eventHash(ID), signer.eventHash("b" + ID.slice(1)));
  assert(!signer.sign(ID).includes(signer.eventHash(ID)));
});

Deno.test("readSecrets() turns every kind of secret into its bytes", () => {
  assertEquals(one("é"), [0xc3, 0xa9]);
  assertEquals(one(new Uint8Array([0, 1])), [0, 1]);
  assertEquals(one(0x0102), [1, 2]);
  assertEquals(one(255), [255]);
  assertEquals(one(0x010000000000000000n), [1, 0, 0, 0, 0, 0, 0, 0, 0]);
  assertEquals(one(Number.MAX_SAFE_INTEGER), [0x1f, 255, 255, 255, 255, 255, 255]);
  assertEquals(readSecrets(["a", 1n]).keys.map((key) => Array.from(key)), [[97], [1]]);
});

Deno.test("readSecrets() copies bytes, so that wiping them later changes nothing", () => {
  const secret = new Uint8Array([1, 2, 3]);
  const { keys } = readSecrets(secret);
  secret.fill(0);
  assertEquals(Array.from(keys[0] ?? []), [1, 2, 3]);
});

Deno.test("readSecrets() knows the secrets that are too easily guessed", () => {
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

Deno.test("readSecrets() throws, without the secret in the message", async (t) => {
  // deno-lint-ignore no-explicit-any -- what JavaScript can pass
  const cases: [string, any, typeof RangeError | typeof TypeError][] = [
    ["an empty string", "", RangeError],
    ["no bytes", new Uint8Array(), RangeError],
    ["zeros", new Uint8Array(32), RangeError],
    ["a string of NUL characters", "\0\0", RangeError],
    ["zero", 0, RangeError],
    ["zero as a bigint", 0n, RangeError],
    ["a negative number", -77701, RangeError],
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

Deno.test("Signer needs a key", () => {
  assertThrows(() => new Signer("sid", []), TypeError, "no secret");
});
