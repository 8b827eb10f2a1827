import { assert, assertEquals } from "../helpers/assert.ts";
import { countIterators } from "../helpers/iterators.ts";
import { newSessionId } from "../../src/cookie/session_id.ts";
import { MemoryStore } from "../../mod.ts";
import { ShardedMap } from "../../src/util/sharded_map.ts";

for (const max of [10, 1_000_000]) {
  Deno.test(`ShardedMap stores entries as a Map does (${max} expected)`, () => {
    const map = new ShardedMap<number>(max);
    const model = new Map<string, number>();
    const keys = ["", "a", "ab", "abc", ...Array.from({ length: 500 }, newSessionId)];
    for (const [i, key] of keys.entries()) {
      map.set(key, i);
      model.set(key, i);
    }
    for (const key of keys.filter((_, i) => i % 3 === 0)) {
      map.delete(key);
      map.delete(key);
      model.delete(key);
    }
    map.set("abc", -1);
    model.set("abc", -1);
    assertEquals(map.size, model.size);
    for (const key of keys) assertEquals(map.get(key), model.get(key));
    map.clear();
    assertEquals([map.size, map.get("abc"), map.nextForSweep(), map.evictOldest()], [
      0,
      undefined,
      undefined,
      undefined,
    ]);
  });

  Deno.test(`ShardedMap.nextForSweep() returns every entry once a round (${max} expected)`, () => {
    const map = new ShardedMap<number>(max);
    for (let i = 0; i < 500; i++) map.set(newSessionId(), i);
    for (let round = 0; round < 3; round++) {
      const seen = new Set<number>();
      for (let next = map.nextForSweep(); next !== undefined; next = map.nextForSweep()) seen.add(next[1]);
      assertEquals(seen.size, map.size);
      map.set(newSessionId(), 1000 + round);
    }
  });

  Deno.test(`ShardedMap.evictOldest() removes the oldest entry, or one of the oldest (${max} expected)`, () => {
    const map = new ShardedMap<number>(max);
    const count = 32_000;
    for (let i = 0; i < count; i++) map.set(newSessionId(), i);
    for (let i = 0; i < count; i++) {
      const value = map.evictOldest()?.[1] ?? NaN;
      // The 32 shards have about 1000 entries each, with a standard deviation of 3 %.
      assert(max === 10 ? value === i : Math.abs(value - i) < count / 4, `${value} after ${i}`);
    }
    assertEquals([map.size, map.evictOldest()], [0, undefined]);
    map.set("later", 1);
    assertEquals(map.evictOldest(), ["later", 1]);
  });
}

Deno.test("ShardedMap keeps the order of all entries if fewer than 100,000 are expected", () => {
  const ids = Array.from({ length: 1000 }, newSessionId);
  for (const [max, isOrdered] of [[99_999, true], [100_000, false]] as const) {
    const map = new ShardedMap<number>(max);
    for (const [i, id] of ids.entries()) map.set(id, i);
    const evicted = ids.map(() => map.evictOldest()?.[0]);
    assertEquals(evicted.every((id, i) => id === ids[i]), isOrdered, `${max}`);
  }
});

Deno.test("ShardedMap drops the iterators over the oldest entries of all shards", async (t) => {
  const ways: Record<string, (map: ShardedMap<number>) => void> = {
    "releaseIterator()": (map) => {
      for (let i = 0; i < 32; i++) map.releaseIterator();
    },
    "a round of nextForSweep()": (map) => {
      while (map.nextForSweep() !== undefined);
    },
  };
  for (const [name, release] of Object.entries(ways)) {
    await t.step(name, async () => {
      const map = new ShardedMap<number>(1_000_000);
      for (let i = 0; i < 3200; i++) map.set(newSessionId(), i);
      const evictions = (): void => {
        for (let i = 0; i < 32; i++) map.evictOldest();
      };
      assertEquals(await countIterators(evictions), 32);
      assertEquals(await countIterators(evictions), 0);
      release(map);
      assertEquals(await countIterators(evictions), 32);
    });
  }
});

Deno.test("MemoryStore.create() evicts one of the oldest of 100,000 sessions", async () => {
  const store = new MemoryStore({ maxSessions: 100_000 });
  const ids = Array.from({ length: 101_000 }, newSessionId);
  for (const id of ids) await store.create(id);
  assertEquals(store.size, 100_000);
  const gone: number[] = [];
  for (const [i, id] of ids.entries()) if (store.readRecord(id) === undefined) gone.push(i);
  assertEquals(gone.length, 1000);
  assert(Math.max(...gone) < 10_000, `session ${Math.max(...gone)} of 101000 was evicted`);
});
