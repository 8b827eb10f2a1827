import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { newSessionId } from "../../src/cookie/session_id.ts";

Deno.test("newSessionId() returns 144 random bits in characters that need no quoting in a cookie", () => {
  const ids = Array.from({ length: 1000 }, newSessionId);
  for (const id of ids) assertMatch(id, /^[A-Za-z0-9_-]{24}$/);
  assertEquals(new Set(ids).size, ids.length);
  // Every position takes many values, so no part of the id is constant or a counter.
  for (let i = 0; i < 24; i++) assert(new Set(ids.map((id) => id[i])).size > 32);
});

Deno.test("newSessionId() takes every id from crypto.getRandomValues()", () => {
  const real = crypto.getRandomValues;
  let drawn = "";
  crypto.getRandomValues = <T extends Parameters<typeof real>[0]>(array: T): T => {
    real.call(crypto, array);
    if (array instanceof Uint8Array) drawn += array.toBase64({ alphabet: "base64url" });
    return array;
  };
  try {
    const ids = Array.from({ length: 500 }, newSessionId);
    // The first ids may come from bytes that were drawn before.
    for (const id of ids.slice(-250)) assert(drawn.includes(id));
  } finally {
    crypto.getRandomValues = real;
  }
});
