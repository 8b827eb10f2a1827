import { assertEquals } from "../helpers/assert.ts";
import { TwoGenerationCache } from "../../src/util/two_generation_cache.ts";

Deno.test("TwoGenerationCache keeps a bounded number of entries: what is asked for stays, the rest is forgotten", () => {
  const map = new TwoGenerationCache<number>(10);
  map.set("asked for", 0);
  map.set("not asked for", 0);
  const known = (key: string): boolean => map.get(key) !== undefined;
  for (let i = 0; i < 1000; i++) {
    map.set(`${i}`, i);
    assertEquals(map.get("asked for"), 0);
  }
  assertEquals([known("not asked for"), known("999"), known("0")], [false, true, false]);
  const kept = Array.from({ length: 1000 }, (_, i) => `${i}`).filter(known).length;
  assertEquals(kept <= 10, true, `${kept} are kept`);
});

Deno.test("TwoGenerationCache.get() keeps the entry's key, not the string that it was asked with", () => {
  const map = new TwoGenerationCache<number>(2);
  map.set("a", 1);
  map.set("b", 2);
  assertEquals([map.get("a"), map.get("b"), map.get("c")], [1, 2, undefined]);
});
