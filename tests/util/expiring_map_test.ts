import { assert, assertEquals } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { ExpiringMap } from "../../src/util/expiring_map.ts";

Deno.test("ExpiringMap.get() returns an entry until it expires", () => {
  using clock = new FakeClock();
  const map = new ExpiringMap<{ expiresAt: number }>(10);
  const entry = { expiresAt: clock.now + 2 };
  map.set("a", entry);
  clock.tick(1);
  assertEquals(map.get("a"), entry);
  clock.tick(1);
  assertEquals([map.get("a"), map.get("b")], [undefined, undefined]);
});

Deno.test("ExpiringMap.set() evicts the oldest entry of a full map", () => {
  const map = new ExpiringMap<{ expiresAt: number; n: number }>(3);
  for (let n = 0; n < 10; n++) map.set(`${n}`, { expiresAt: Infinity, n });
  map.delete("8");
  map.set("10", { expiresAt: Infinity, n: 10 });
  assertEquals(["6", "7", "8", "9", "10"].map((key) => map.get(key)?.n), [undefined, 7, undefined, 9, 10]);
  map.clear();
  map.set("a", { expiresAt: Infinity, n: 0 });
  assertEquals([map.get("10"), map.get("a")?.n], [undefined, 0]);
});

Deno.test("ExpiringMap.set() removes expired entries", () => {
  using clock = new FakeClock();
  const map = new ExpiringMap<{ expiresAt: number }>(1_000_000);
  let held = 0;
  const deleted = Map.prototype.delete;
  Map.prototype.delete = function (this: Map<unknown, unknown>, key: unknown): boolean {
    const was = deleted.call(this, key);
    if (was) held--;
    return was;
  };
  try {
    let most = 0;
    for (let i = 0; i < 10_000; i++) {
      map.set(`${i}`, { expiresAt: clock.now + 100 });
      held++;
      clock.tick(1);
      most = Math.max(most, held);
    }
    assert(most <= 150, `${most} entries for 100 live ones`);
  } finally {
    Map.prototype.delete = deleted;
  }
});

Deno.test("ExpiringMap calls back for each entry that it removes, except by clear()", () => {
  using clock = new FakeClock();
  const removed: string[] = [];
  const map = new ExpiringMap<{ expiresAt: number; name: string }>(2, ({ name }) => removed.push(name));
  const add = (name: string, expiresAt = Infinity): void => map.set(name, { expiresAt, name });
  add("a");
  add("b");
  add("c");
  map.delete("b");
  map.delete("b");
  add("d", clock.now + 1);
  clock.tick(1);
  add("e");
  assertEquals(removed, ["a", "b", "d"]);
  map.clear();
  assertEquals(removed.length, 3);
});
