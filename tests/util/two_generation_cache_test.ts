import { assert, assertEquals } from "../helpers/assert.ts";
import { TwoGenerationCache } from "../../src/util/two_generation_cache.ts";

Deno.test("TwoGenerationCache keeps the entries that are used, and a bounded number", () => {
  const map = new TwoGenerationCache<number>(10);
  map.set("used", 0);
  map.set("unused", 0);
  const known = (key: string): boolean => map.get(key) !== undefined;
  for (let i = 0; i < 1000; i++) {
    map.set(`${i}`, i);
    assertEquals(map.get("used"), 0);
  }
  assertEquals([known("unused"), known("999"), known("0")], [false, true, false]);
  const kept = Array.from({ length: 1000 }, (_, i) => `${i}`).filter(known).length;
  assertEquals(kept <= 10, true, `${kept} are kept`);
});

Deno.test("TwoGenerationCache.get() returns entries of both generations", () => {
  const map = new TwoGenerationCache<number>(2);
  map.set("a", 1);
  map.set("b", 2);
  assertEquals([map.get("a"), map.get("b"), map.get("c")], [1, 2, undefined]);
});

Deno.test("TwoGenerationCache holds at most max entries, the newest ones", () => {
  for (let count = 0; count <= 30; count++) {
    const keys = Array.from({ length: count }, (_, i) => `${i}`);
    // A lookup can evict entries, so each has a cache of its own.
    const held = keys.filter((key) => {
      const cache = new TwoGenerationCache<boolean>(10);
      for (const key of keys) cache.set(key, true);
      return cache.get(key);
    });
    assert(held.length >= Math.min(count, 6) && held.length <= 10, `${held.length} of ${count}`);
    assertEquals(held, keys.slice(-held.length || count));
  }
});
