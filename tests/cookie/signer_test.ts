import { assert, assertEquals, assertNotEquals, assertStrictEquals, assertThrows } from "../helpers/assert.ts";
import { timingSafeEqual } from "../../deps.ts";
import { Signer } from "../../src/cookie/signer.ts";
import { createHmac } from "node:crypto";
import { timingSafeEqual as stdTimingSafeEqual } from "jsr:@std/crypto@1.0.5/timing-safe-equal";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const KEY = bytes("0123456789abcdef0123456789abcdef");
const ID = "abcdefghijklmnopqrstuvwx";

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

Deno.test("Signer needs a key", () => {
  assertThrows(() => new Signer("sid", []), TypeError, "no secret");
});
