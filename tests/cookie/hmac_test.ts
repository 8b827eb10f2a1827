import { assertEquals } from "../helpers/assert.ts";
import { createHmac } from "node:crypto";
import { HmacSha256 } from "../../src/cookie/hmac.ts";

/** Creates bytes that differ from one another. */
function bytes(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 167 + seed * 31) & 0xff);
}

Deno.test("HmacSha256.digest() equals Node's HMAC-SHA-256 for messages and keys of every length", () => {
  for (const keyLength of [1, 16, 31, 32, 33, 63, 64, 65, 100, 200]) {
    const key = bytes(keyLength);
    const hash = new HmacSha256(key);
    // Up and down, because a shorter message must not contain bytes of a longer one.
    const lengths = Array.from({ length: 130 }, (_, i) => i);
    for (const length of [...lengths, ...lengths.toReversed()]) {
      const message = bytes(length, 7);
      const expected = createHmac("sha256", key).update(message).digest("hex");
      assertEquals(hash.digest(message).toHex(), expected, `a message of ${length} bytes, a key of ${keyLength}`);
    }
  }
});

Deno.test("HmacSha256.digest() returns the test vectors of RFC 4231", () => {
  const text = (text: string): Uint8Array => new TextEncoder().encode(text);
  const cases: [Uint8Array, Uint8Array, string][] = [
    [
      new Uint8Array(20).fill(0x0b),
      text("Hi There"),
      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
    ],
    [
      text("Jefe"),
      text("what do ya want for nothing?"),
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ],
    [
      new Uint8Array(131).fill(0xaa),
      text("Test Using Larger Than Block-Size Key - Hash Key First"),
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ],
  ];
  for (const [key, message, expected] of cases) assertEquals(new HmacSha256(key).digest(message).toHex(), expected);
});

Deno.test("HmacSha256 copies the key", () => {
  const key = bytes(32);
  const hash = new HmacSha256(key);
  const long = bytes(100);
  const [short, whole] = [hash.digest(bytes(9)).toHex(), hash.digest(long).toHex()];
  key.fill(0);
  assertEquals([hash.digest(bytes(9)).toHex(), hash.digest(long).toHex()], [short, whole]);
});
