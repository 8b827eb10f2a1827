import { assertEquals, assertMatch, assertThrows } from "../helpers/assert.ts";
import { TimedTokens } from "../../src/cookie/timed_token.ts";

const [KEY, OTHER] = [1, 2].map((byte) => new Uint8Array(32).fill(byte)) as [Uint8Array, Uint8Array];

Deno.test("TimedTokens verifies its own tokens, and returns when they expire", () => {
  const tokens = new TimedTokens([KEY], "a");
  const token = tokens.sign("subject", 1_700_000_000_999);
  assertMatch(token, /^1700000000\.[\w-]{43}$/);
  assertEquals(tokens.verify("subject", token), 1_700_000_000_000);
});

Deno.test("TimedTokens refuses tokens of other subjects, purposes and keys, and changed ones", () => {
  const tokens = new TimedTokens([KEY], "a");
  const token = tokens.sign("subject", 1_700_000_000_000);
  assertEquals(tokens.verify("subject2", token), undefined);
  assertEquals(new TimedTokens([KEY], "b").verify("subject", token), undefined);
  assertEquals(new TimedTokens([OTHER], "a").verify("subject", token), undefined);
  // The digits of the time cannot move into the subject.
  assertEquals(tokens.verify("0.subject", token.replace("1700000000", "170000000")), undefined);
  for (let i = 0; i < token.length; i++) {
    for (const character of "A0.-é") {
      if (character === token[i]) continue;
      assertEquals(tokens.verify("subject", token.slice(0, i) + character + token.slice(i + 1)), undefined);
    }
  }
  for (const text of ["", ".", "a.b", `${token}A`, token.slice(0, -1), ` ${token}`, `${token}\n`, "9".repeat(400)]) {
    assertEquals(tokens.verify("subject", text), undefined);
  }
});

Deno.test("TimedTokens signs with the first key, and verifies with all", () => {
  const before = new TimedTokens([OTHER], "a").sign("subject", 5000);
  const tokens = new TimedTokens([KEY, OTHER], "a");
  assertEquals(tokens.verify("subject", before), 5000);
  assertEquals(new TimedTokens([KEY], "a").verify("subject", tokens.sign("subject", 5000)), 5000);
  assertThrows(() => new TimedTokens([], "a"), TypeError, "there is no secret");
});
