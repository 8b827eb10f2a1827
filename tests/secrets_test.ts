import { assertEquals, assertMatch } from "./helpers/assert.ts";
import { SessionMiddleware } from "../mod.ts";

Deno.test("SessionMiddleware.generateSecret() returns secrets that cause no warning", () => {
  const secrets = Array.from({ length: 100 }, () => SessionMiddleware.generateSecret());
  assertEquals(new Set(secrets).size, 100);
  for (const secret of secrets) assertMatch(secret, /^[\w-]{43}$/);
});
