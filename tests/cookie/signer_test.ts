import { assert, assertEquals, assertNotEquals, assertStrictEquals, assertThrows } from "../helpers/assert.ts";
import { timingSafeEqual } from "../../deps.ts";
import { Signer } from "../../src/cookie/signer.ts";
import { createHmac } from "node:crypto";
import { timingSafeEqual as stdTimingSafeEqual } from "jsr:@std/crypto@1.0.5/timing-safe-equal";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const KEY = bytes("0123456789abcdef0123456789abcdef");
const ID = "abcdefghijklmnopqrstuvwx";

Deno.test("Signer.sign() returns base64url(HMAC-SHA-256(key, name=id))", () => {
  for (const name of ["sid", "__Host-session"]) {
    const expected = createHmac("sha256", KEY).update(`${name}=${ID}`).digest("base64url");
    assertEquals(new Signer(name, [KEY]).sign(ID), `${ID}.${expected}`);
  }
});

Deno.test("Signer.sign() accepts keys longer than a block", () => {
  const key = new Uint8Array(200).fill(7);
  const expected = createHmac("sha256", key).update(`sid=${ID}`).digest("base64url");
  assertEquals(new Signer("sid", [key]).sign(ID), `${ID}.${expected}`);
});

Deno.test("Signer.verify() accepts its own signature repeatedly", () => {
  const signer = new Signer("sid", [KEY]);
  const value = signer.sign(ID);
  for (let i = 0; i < 3; i++) assertEquals(signer.verify(`sid=${value}`), { id: ID, needsResign: false });
});

Deno.test("Signer.verify() refuses", async (t) => {
  const signer = new Signer("sid", [KEY]);
  const value = signer.sign(ID);
  const last = value.at(-1) ?? "";
  // Decoding drops two bits of the last of 43 characters, so its neighbour decodes to the same
  // bytes.
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const neighbour = alphabet[alphabet.indexOf(last) ^ 1] ?? "";
  const cases: [string, string][] = [
    ["a signature of another key", new Signer("sid", [bytes("another key of 32 bytes, really.")]).sign(ID)],
    ["a signature for another cookie name", new Signer("sie", [KEY]).sign(ID)],
    ["another id with the same signature", "b" + value.slice(1)],
    ["another base64url spelling of the same bytes", value.slice(0, -1) + neighbour],
    ["a signature in lower case", ID + "." + value.slice(25).toLowerCase()],
    ["an all-zero signature", `${ID}.${"A".repeat(43)}`],
  ];
  for (const [name, wrong] of cases) {
    await t.step(name, () => {
      assertNotEquals(wrong, value);
      assertEquals(signer.verify(`sid=${wrong}`), "signature");
    });
  }
});

Deno.test("Signer.verify() compares in constant time", async () => {
  // A test cannot measure this reliably. So it reads in the source that the only comparison is that
  // of std.
  const source = await Deno.readTextFile(new URL("../../src/cookie/signer.ts", import.meta.url));
  const [, body = ""] = /\n {2}#verifySignature\(.*?\{\n(.*?)\n {2}\}\n/s.exec(source) ?? [];
  assertEquals(body.match(/timingSafeEqual\(this\.#presented, this\.#expected\)/g)?.length, 1);
  assertEquals(body.match(/===?|!==?|includes|startsWith|indexOf/g), null);
  assertStrictEquals(timingSafeEqual, stdTimingSafeEqual);
});

Deno.test("Signer.verify() caches verified cookies, and no refused ones", () => {
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
  // A value that differs from a cached one in its last character is another value.
  const last = value.endsWith("A") ? "B" : "A";
  assertEquals(signer.verify(`sid=${value.slice(0, -1) + last}`), "signature");
  // The signer of another secret does not share the cache.
  assertEquals(new Signer("sid", [bytes("another key of 32 bytes, really.")]).verify(`sid=${value}`), "signature");
});

Deno.test("Signer.verify() accepts older secrets and reports them as outdated", () => {
  const old = bytes("the secret of last year, 32 long");
  const value = new Signer("sid", [old]).sign(ID);
  const both = new Signer("sid", [KEY, old]);
  for (let i = 0; i < 2; i++) assertEquals(both.verify(`sid=${value}`), { id: ID, needsResign: true });
  assertEquals(new Signer("sid", [KEY]).verify(`sid=${value}`), "signature");
  assertEquals(new Signer("sid", [KEY, old]).sign(ID), new Signer("sid", [KEY]).sign(ID));
});

Deno.test("Signer.verify() accepts each of three secrets, and only the first is not outdated", () => {
  const keys = ["a", "b", "c"].map((letter) => bytes(letter.repeat(32)));
  const signer = new Signer("sid", keys);
  for (const [age, key] of keys.entries()) {
    assertEquals(signer.verify(`sid=${new Signer("sid", [key]).sign(ID)}`), { id: ID, needsResign: age > 0 });
  }
});

Deno.test("Signer.verify() reports any other form as malformed", () => {
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

Deno.test("Signer.handle() differs from the signature, and by the id", () => {
  const signer = new Signer("sid", [KEY]);
  assertEquals(signer.handle(ID), signer.handle(ID));
  assertNotEquals(signer.handle(ID), signer.handle("b" + ID.slice(1)));
  assert(!signer.sign(ID).includes(signer.handle(ID)));
});

Deno.test("Signer.handle() and Signer.csrfToken() each use a key of their own", () => {
  const signer = new Signer("sid", [KEY]);
  const keyed = (purpose: string): Uint8Array => {
    const key = createHmac("sha256", KEY).update(`session/${purpose}/1`).digest();
    return createHmac("sha256", key).update(ID).digest();
  };
  const encode = (bytes: Uint8Array): string => bytes.toBase64({ alphabet: "base64url", omitPadding: true });
  assertEquals(signer.handle(ID), encode(keyed("handle").subarray(0, 16)));
  const bytes = Uint8Array.fromBase64(signer.csrfToken(ID), { alphabet: "base64url" });
  const [pad, masked] = [bytes.subarray(0, 32), bytes.subarray(32)];
  assertEquals(masked.map((byte, i) => byte ^ (pad[i] ?? 0)), new Uint8Array(keyed("csrf")));
});

Deno.test("Signer.csrfToken() uses a new pad for every token", () => {
  const signer = new Signer("sid", [KEY]);
  const tokens = Array.from({ length: 1_000 }, () => signer.csrfToken(ID));
  assertEquals(new Set(tokens.map((token) => token.slice(0, 42))).size, 1_000);
  assert(tokens.every((token) => signer.verifyCsrfToken(ID, token)));
});

Deno.test("Signer.verifyCsrfToken() refuses a token that differs in any character", () => {
  const signer = new Signer("sid", [KEY]);
  const token = signer.csrfToken(ID);
  // The last 4 of its 6 bits are not part of the 64 bytes, so the last character may differ.
  for (let i = 0; i < token.length - 1; i++) {
    const other = token[i] === "A" ? "B" : "A";
    assertEquals(signer.verifyCsrfToken(ID, token.slice(0, i) + other + token.slice(i + 1)), false, `character ${i}`);
  }
});

Deno.test("Signer.verifyCsrfToken() refuses characters whose low byte is that of the token", () => {
  const signer = new Signer("sid", [KEY]);
  const token = signer.csrfToken(ID);
  assertEquals(signer.verifyCsrfToken(ID, token), true);
  const shifted = String.fromCharCode(token.charCodeAt(0) + 256) + token.slice(1);
  assertEquals(signer.verifyCsrfToken(ID, shifted), false);
});

Deno.test("new Signer() needs a key", () => {
  assertThrows(() => new Signer("sid", []), TypeError, "no secret");
});
