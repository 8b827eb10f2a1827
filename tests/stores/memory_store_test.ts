import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "../_assert.ts";
import { FakeClock } from "../_clock.ts";
import { MemoryStore, SessionGoneError, SessionStoreError } from "../../mod.ts";

const record = (
  expiresAt: number,
  values: [string, unknown][] = [],
): { expiresAt: number; values: Map<string, unknown> } => ({
  expiresAt,
  values: new Map(values),
});

Deno.test("MemoryStore answers for a missing session", async () => {
  const store = new MemoryStore();
  await store.init();
  await store.init();
  assertEquals(await store.exist("a"), false);
  assertEquals(await store.get("a"), undefined);
  assertEquals(await store.getValue("a", "k"), undefined);
  assertEquals(await store.readRecord("a"), undefined);
  await store.delete("a");
  await assertRejects(() => store.setValue("a", "k", 1), SessionGoneError);
  await assertRejects(() => store.rename("a", "b"), SessionGoneError);
  assertEquals(store.size, 0);
});

Deno.test("MemoryStore answers for an expired session as for a missing one, to the millisecond", async () => {
  using clock = new FakeClock();
  const store = new MemoryStore();
  const asks: [string, (sid: string) => Promise<unknown>][] = [
    ["exist", (sid) => store.exist(sid)],
    ["get", (sid) => store.get(sid)],
    ["getValue", (sid) => store.getValue(sid, "k")],
    ["readRecord", (sid) => store.readRecord(sid)],
    ["setValue", (sid) => store.setValue(sid, "k", 2)],
    ["rename", (sid) => store.rename(sid, `${sid} renamed`)],
  ];
  for (const [sid] of asks) await store.createRecord(sid, record(clock.now + 1000, [["k", 1]]));
  clock.tick(999);
  for (const [sid] of asks) assertEquals(await store.exist(sid), true);
  clock.tick(1);
  for (const [sid, ask] of asks) {
    if (sid === "setValue" || sid === "rename") await assertRejects(() => ask(sid), SessionGoneError);
    else assert([undefined, false].includes(await ask(sid) as undefined));
  }
  // Whoever meets an expired record removes it.
  assertEquals(store.size, 0);
});

Deno.test("MemoryStore.create() makes an empty record, and refuses an id in use", async () => {
  const store = new MemoryStore();
  await store.create("a");
  assertEquals({ ...await store.get("a") }, {});
  await store.setValue("a", "k", 1);
  await assertRejects(() => store.create("a"), SessionStoreError, "in use");
  await assertRejects(() => store.createRecord("a", record(Infinity)), SessionStoreError, "in use");
  assertEquals(await store.getValue("a", "k"), 1);
});

Deno.test("MemoryStore.create() takes the place of an expired record", async () => {
  using clock = new FakeClock();
  const store = new MemoryStore();
  await store.createRecord("a", record(clock.now + 1, [["k", 1]]));
  clock.tick(1);
  await store.create("a");
  assertEquals({ ...await store.get("a") }, {});
});

Deno.test("MemoryStore.setValue() writes one key, and undefined removes it", async () => {
  const store = new MemoryStore();
  await store.create("a");
  await Promise.all(["x", "y", "__proto__", "\0"].map((key) => store.setValue("a", key, key)));
  await store.setValue("a", "x", undefined);
  const values = await store.get("a");
  assertEquals(Object.keys(values ?? {}).sort(), ["\0", "__proto__", "y"]);
  assertEquals(Object.getPrototypeOf(values), null);
  assertEquals(await store.getValue("a", "__proto__"), "__proto__");
});

Deno.test("MemoryStore copies values in and out", async () => {
  const store = new MemoryStore();
  const list = [1];
  await store.createRecord("a", record(Infinity, [["list", list]]));
  list.push(2);
  (await store.getValue("a", "list")).push(3);
  ((await store.get("a"))?.list as number[]).push(4);
  ((await store.readRecord("a"))?.values.get("list") as number[]).push(5);
  assertEquals(await store.getValue("a", "list"), [1]);
  await store.setValue("a", "list", list);
  list.push(6);
  assertEquals(await store.getValue("a", "list"), [1, 2]);
});

Deno.test("MemoryStore refuses a value that it cannot keep, naming the key, and changes nothing", async () => {
  const store = new MemoryStore();
  await store.create("a");
  await store.setValue("a", "k", 1);
  await assertRejects(() => store.setValue("a", "k", () => 1), TypeError, '"k"');
  await assertRejects(() => store.createRecord("b", record(Infinity, [["k", Symbol()]])), TypeError, '"k"');
  assertEquals(await store.getValue("a", "k"), 1);
  assertEquals(await store.exist("b"), false);
});

Deno.test("MemoryStore.rename() moves a record with its deadline", async () => {
  using clock = new FakeClock();
  const store = new MemoryStore();
  await store.createRecord("a", record(clock.now + 1000, [["k", 1]]));
  await store.create("taken");
  await assertRejects(() => store.rename("a", "taken"), SessionStoreError, "in use");
  await store.rename("a", "b");
  assertEquals(await store.exist("a"), false);
  assertEquals(await store.readRecord("b"), record(clock.now + 1000, [["k", 1]]));
});

Deno.test("MemoryStore.clear() removes every session", async () => {
  const store = new MemoryStore();
  await store.create("a");
  await store.create("b");
  await store.clear();
  assertEquals([store.size, await store.exist("a")], [0, false]);
  await store.create("a");
});

Deno.test("MemoryStore keeps at most maxSessions: the oldest leaves first", async () => {
  const store = new MemoryStore({ maxSessions: 3 });
  for (const sid of ["a", "b", "c", "d", "e"]) {
    await store.create(sid);
    // Using a session does not make it younger.
    await store.get("a");
  }
  assertEquals(store.size, 3);
  assertEquals(await Promise.all(["a", "b", "c", "d", "e"].map((sid) => store.exist(sid))), [
    false,
    false,
    true,
    true,
    true,
  ]);
});

Deno.test("MemoryStore refuses options out of range", () => {
  for (const maxSessions of [0, -1, 1.5, NaN, Infinity]) {
    assertThrows(() => new MemoryStore({ maxSessions }), RangeError, "maxSessions");
  }
  // @ts-expect-error -- what JavaScript can pass
  assertThrows(() => new MemoryStore({ maxSessions: "10" }), TypeError, "maxSessions");
});

Deno.test("MemoryStore gives the memory of expired sessions back, little by little", async (t) => {
  await t.step("where all sessions live equally long", async () => {
    using clock = new FakeClock();
    const store = new MemoryStore();
    let most = 0;
    // A session a second, each of 100 seconds, for a long time.
    for (let i = 0; i < 10_000; i++) {
      await store.createRecord(`${i}`, record(clock.now + 100_000));
      clock.tick(1000);
      most = Math.max(most, store.size);
    }
    assert(most <= 130, `${most} records for 100 live sessions`);
  });
  await t.step("where long ones stand before short ones", async () => {
    using clock = new FakeClock();
    const store = new MemoryStore();
    for (let i = 0; i < 1000; i++) await store.create(`for ever ${i}`);
    let most = 0;
    for (let i = 0; i < 10_000; i++) {
      await store.createRecord(`${i}`, record(clock.now + 100_000));
      clock.tick(1000);
      most = Math.max(most, store.size);
    }
    assert(most <= 1400, `${most} records for 1100 live sessions`);
  });
  await t.step("and never many at once", async () => {
    using clock = new FakeClock();
    const store = new MemoryStore();
    for (let i = 0; i < 20_000; i++) await store.createRecord(`${i}`, record(clock.now + 1000));
    clock.tick(1000);
    const before = store.size;
    await store.create("next");
    const gone = before + 1 - store.size;
    assertNotEquals(gone, 0);
    assert(gone <= 1000, `${gone} in one call`);
    for (let i = 0; store.size > 1000; i++) {
      assert(i < 100, `${store.size} are left`);
      await store.create(`next ${i}`);
    }
  });
});
