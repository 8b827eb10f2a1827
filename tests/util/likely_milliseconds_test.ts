import { assertEquals } from "../helpers/assert.ts";
import { Captured } from "../helpers/console.ts";
import { warnIfMilliseconds } from "../../src/util/likely_milliseconds.ts";

const TEN_YEARS = 10 * 365 * 24 * 60 * 60;

Deno.test("warnIfMilliseconds() warns about more than ten years, once for each option", () => {
  using warnings = new Captured("warn");
  for (const seconds of [undefined, 1, TEN_YEARS, NaN, -Infinity]) warnIfMilliseconds("maxAge", seconds);
  assertEquals(warnings.lines, []);

  for (const seconds of [TEN_YEARS + 1, 2_592_000_000]) warnIfMilliseconds("maxAge", seconds);
  warnIfMilliseconds("idleTimeout", 2_592_000_000);
  assertEquals(warnings.lines, [
    "[session] `maxAge` is 315360001; expected seconds. That is more than ten years, so these are probably milliseconds: " +
    "divide them by 1000.",
    "[session] `idleTimeout` is 2592000000; expected seconds. That is more than ten years, so these are probably milliseconds: " +
    "divide them by 1000.",
  ]);
});
