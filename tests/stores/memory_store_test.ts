import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { countIterators } from "../helpers/iterators.ts";
import { MemoryStore, type SessionMeta, type SessionRecord, SessionStoreError } from "../../mod.ts";
import { ShardedMap } from "../../src/util/sharded_map.ts";
import { testSessionStore } from "../../src/testing.ts";

const META = { createdAt: 1, seenAt: 2, renewedAt: 3 };
const MOVE = { meta: {}, graceUntil: 0 };

function record(expiresAt: number): SessionRecord {
  return { expiresAt, values: new Map(), meta: META };
}

testSessionStore("MemoryStore", () => new MemoryStore(), { shared: false, values: "all", traces: "deadline" });

Deno.test("MemoryStore refuses an id that is in use", async () => {
  const store = new MemoryStore();
  await store.create("a");
  await store.create("b");
  await assertRejects(
    () => store.create("a"),
    SessionStoreError,
    "Cannot create: MemoryStore already has a session with this session id",
  );
  await assertRejects(() => store.createRecord("a", record(Infinity)), SessionStoreError, "Cannot create");
  await assertRejects(
    () => store.moveRecord("a", "b", MOVE),
    SessionStoreError,
    "Cannot regenerate: MemoryStore already has a session with the new session id",
  );
});

Deno.test("MemoryStore.get() returns an object without prototype", async () => {
  const store = new MemoryStore();
  await store.create("a");
  assertEquals(Object.getPrototypeOf(await store.get("a")), null);
});

Deno.test("MemoryStore removes an expired record when it is read", async () => {
  using clock = new FakeClock();
  const store = new MemoryStore();
  for (const sid of ["a", "b", "c"]) await store.createRecord(sid, record(clock.now + 1000));
  clock.tick(1000);
  await store.exist("a");
  await store.get("b");
  await store.readRecord("c");
  assertEquals(store.size, 0);
});

Deno.test("MemoryStore.clear() removes every session", async () => {
  const store = new MemoryStore();
  await store.create("a");
  await store.clear();
  assertEquals(store.size, 0);
});

Deno.test("MemoryStore remembers a replaced id until the session expires, or its grace period ends", async () => {
  using clock = new FakeClock();
  const store = new MemoryStore();
  await store.createRecord("a", record(clock.now + 1000));
  await store.moveRecord("a", "b", MOVE);
  await store.moveRecord("b", "c", { meta: {}, graceUntil: clock.now + 9000 });
  await store.changeRecord("c", { expiresAt: clock.now + 5000 });
  const movedTo = async (sid: string): Promise<unknown> => Reflect.get({ ...await store.readRecord(sid) }, "movedTo");
  clock.tick(4999);
  assertEquals(await movedTo("a"), "b");
  clock.tick(1);
  assertEquals(await store.readRecord("a"), undefined);
  // The grace period outlasts the session.
  assertEquals(await movedTo("b"), "c");
  clock.tick(4000);
  assertEquals(await store.readRecord("b"), undefined);
});

Deno.test("MemoryStore remembers at most maxSessions replaced ids", async () => {
  using clock = new FakeClock();
  const store = new MemoryStore({ maxSessions: 10 });
  await store.createRecord("0", record(clock.now + 1000));
  for (let i = 0; i < 100; i++) await store.moveRecord(`${i}`, `${i + 1}`, MOVE);
  const known = await Promise.all(Array.from({ length: 100 }, (_, i) => store.readRecord(`${i}`)));
  assertEquals(known.filter((trace) => trace !== undefined).length, 10);
  assertEquals(known.at(-1), { movedTo: "100", graceUntil: 0 });
});

Deno.test("MemoryStore.readRecord() returns a copy of the trace of a replaced id", async () => {
  const store = new MemoryStore();
  await store.create("a");
  await store.moveRecord("a", "b", MOVE);
  Object.assign(store.readRecord("a") ?? {}, { movedTo: "c" });
  assertEquals(store.readRecord("a"), { movedTo: "b", graceUntil: 0 });
});

Deno.test("MemoryStore.create() evicts the oldest of more than maxSessions sessions", async () => {
  const store = new MemoryStore({ maxSessions: 3 });
  for (const sid of ["a", "b", "c", "d", "e"]) {
    await store.create(sid);
    // The order is that of creation, not of use.
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

Deno.test("MemoryStore keeps many sessions by default", async () => {
  const store = new MemoryStore();
  for (let i = 0; i <= 100; i++) await store.create(`${i}`);
  assertEquals([store.size, await store.exist("0")], [101, true]);
});

Deno.test("MemoryStore finds the oldest session without a new iterator each time", async () => {
  const store = new MemoryStore({ maxSessions: 100 });
  for (let i = 0; i < 100; i++) await store.create(`${i}`);
  const iterators = await countIterators(async () => {
    for (let i = 100; i < 1000; i++) await store.create(`${i}`);
  });
  assertEquals(iterators, 1);
  assertEquals(await store.exist("899"), false);
  assertEquals(await store.exist("900"), true);
  await store.clear();
  for (let i = 0; i < 200; i++) await store.create(`after ${i}`);
  assertEquals([store.size, await store.exist("after 99"), await store.exist("after 100")], [100, false, true]);
});

Deno.test("MemoryStore drops the iterator over the oldest sessions when a new id evicts none", async (t) => {
  const replacements: Record<string, (store: MemoryStore) => Promise<unknown>> = {
    "createRecord()": async (store) => {
      await store.delete("4");
      await store.create("new");
    },
    "moveRecord()": (store) => store.moveRecord("4", "new", MOVE),
  };
  for (const [name, replace] of Object.entries(replacements)) {
    await t.step(name, async () => {
      const store = new MemoryStore({ maxSessions: 3 });
      for (let i = 0; i < 5; i++) await store.create(`${i}`);
      assertEquals(await countIterators(() => store.create("5")), 0);
      await replace(store);
      assertEquals(await countIterators(() => store.create("6")), 1);
    });
  }
});

Deno.test("MemoryStore refuses options out of range", () => {
  for (const maxSessions of [0, -1, 1.5, NaN, Infinity]) {
    assertThrows(() => new MemoryStore({ maxSessions }), RangeError, "maxSessions");
  }
  // @ts-expect-error -- JavaScript can pass a string
  assertThrows(() => new MemoryStore({ maxSessions: "10" }), TypeError, "maxSessions");
});

Deno.test("MemoryStore.createRecord() removes expired sessions, a few at a time", async (t) => {
  await t.step("if all sessions have the same lifetime", async () => {
    using clock = new FakeClock();
    const store = new MemoryStore();
    let most = 0;
    // A session a second, each with a lifetime of 100 seconds.
    for (let i = 0; i < 10_000; i++) {
      await store.createRecord(`${i}`, record(clock.now + 100_000));
      clock.tick(1000);
      most = Math.max(most, store.size);
    }
    assert(most <= 140, `${most} records for 100 live sessions`);
  });
  await t.step("if the oldest sessions never expire", async () => {
    using clock = new FakeClock();
    const store = new MemoryStore();
    for (let i = 0; i < 1000; i++) await store.create(`permanent ${i}`);
    let most = 0;
    for (let i = 0; i < 10_000; i++) {
      await store.createRecord(`${i}`, record(clock.now + 100_000));
      clock.tick(1000);
      most = Math.max(most, store.size);
    }
    assert(most <= 1400, `${most} records for 1100 live sessions`);
  });
  await t.step("and never many in one call", async () => {
    using clock = new FakeClock();
    const store = new MemoryStore();
    for (let i = 0; i < 20_000; i++) await store.createRecord(`${i}`, record(clock.now + 1000));
    clock.tick(1000);
    const before = store.size;
    assertEquals(before, 20_000);
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

Deno.test("MemoryStore.readRecord() returns an immutable record", async () => {
  const store = new MemoryStore();
  await store.createRecord("a", { values: new Map([["k", [1]]]), expiresAt: 9e15, meta: META });
  const read = store.readRecord("a");
  assert(read !== undefined && "values" in read);
  assertThrows(() => Object.assign(read, { expiresAt: 0 }), TypeError);
  read.values.set("k", [2]);
  read.meta.createdAt = 0;
  await store.setValue("a", "k", [3]);
  assertEquals([read.values, read.expiresAt, read.meta], [new Map([["k", [1]]]), 9e15, META]);
  assertEquals(await store.getValue("a", "k"), [3]);
});

Deno.test("MemoryStore.moveRecord() removes expired sessions", async () => {
  using clock = new FakeClock();
  const store = new MemoryStore();
  await store.createRecord("0", record(Infinity));
  for (let i = 0; i < 100; i++) await store.createRecord(`short ${i}`, record(clock.now + 1));
  clock.tick(1);
  for (let i = 0; i < 100; i++) await store.moveRecord(`${i}`, `${i + 1}`, MOVE);
  assertEquals(store.size, 1);
});

Deno.test("MemoryStore checks for expired sessions only if one can have expired", async () => {
  using clock = new FakeClock();
  const store = new MemoryStore();
  const real = ShardedMap.prototype.nextForSweep;
  let checks = 0;
  ShardedMap.prototype.nextForSweep = function <V>(this: ShardedMap<V>): [string, V] | undefined {
    checks++;
    return real.call(this) as [string, V] | undefined;
  };
  try {
    for (let i = 0; i < 1000; i++) await store.createRecord(`a ${i}`, record(clock.now + 1000));
    assertEquals(checks, 0);
    // A session whose expiry was brought forward is removed too.
    await store.changeRecord("a 500", { expiresAt: clock.now + 10 });
    clock.tick(10);
    for (let i = 0; i < 1000; i++) await store.createRecord(`b ${i}`, record(clock.now + 1000));
    assertEquals(store.size, 1999);
    checks = 0;
    for (let i = 0; i < 1000; i++) await store.createRecord(`c ${i}`, record(clock.now + 1000));
    assertEquals(checks, 0);
    clock.tick(1000);
    for (let i = 0; i < 1000; i++) await store.createRecord(`d ${i}`, record(clock.now + 1000));
    assertEquals(store.size, 1000);
  } finally {
    ShardedMap.prototype.nextForSweep = real;
  }
});

Deno.test("MemoryStore removes a session whose expiry is brought forward after the sweep has checked it", async () => {
  using clock = new FakeClock();
  const store = new MemoryStore({ maxSessions: 1000 });
  for (let i = 0; i < 10; i++) await store.create(`${i}`);
  await store.createRecord("short", record(clock.now + 1));
  clock.tick(1);
  // The sweep checks 0 to 3 now, and the others before the expiry of 0.
  await store.create("10");
  await store.changeRecord("0", { expiresAt: clock.now + 10 });
  for (let i = 11; i < 20; i++) await store.create(`${i}`);
  clock.tick(10);
  for (let i = 20; i < 40; i++) await store.create(`${i}`);
  assertEquals(store.size, 39);
});

Deno.test("MemoryStore.readRecord() returns timestamps exactly", () => {
  using _clock = new FakeClock();
  const now = Date.now();
  const expiries = [now + 1, now + 999.25, now + 86_400_000, 2 ** 31 * 1000, 2 ** 32 * 1000 + 7, 8.64e15, Infinity];
  const store = new MemoryStore();
  for (const expiresAt of expiries) {
    for (const createdAt of [now, now + 0.5, 0, -1, -1000]) {
      const sid = `${expiresAt} ${createdAt}`;
      const meta = { createdAt, seenAt: createdAt, renewedAt: createdAt };
      store.createRecord(sid, { values: new Map(), expiresAt, meta });
      const read = store.readRecord(sid);
      if (read === undefined || !("values" in read)) throw new Error(`${sid} is missing`);
      assertEquals([read.expiresAt, read.meta], [expiresAt, meta]);
    }
  }
});

Deno.test("MemoryStore.readRecord() returns the metadata exactly", async () => {
  using clock = new FakeClock();
  const now = clock.now;
  const created = { createdAt: now, seenAt: now, renewedAt: now };
  const store = new MemoryStore();
  const metas: SessionMeta[] = [
    created,
    { ...created, seenAt: now + 1 },
    { ...created, renewedAt: now + 1 },
    { ...created, sentAt: now },
    { ...created, principal: "ada" },
    { ...created, boundAt: now },
    { ...created, csrfSeed: "seed" },
    { ...created, replaces: "an older id" },
  ];
  for (const [i, meta] of metas.entries()) {
    await store.createRecord(`${i}`, { values: new Map(), expiresAt: now + 86_400_000, meta });
    const read = store.readRecord(`${i}`);
    assert(read !== undefined && "meta" in read);
    assertEquals(read.meta, meta);
  }
});

Deno.test("MemoryStore has no key for a value or a metadata field that was removed", async () => {
  const store = new MemoryStore();
  await store.createRecord("a", { ...record(Infinity), meta: { ...META, principal: "ada" } });
  await store.setValue("a", "missing", undefined);
  await store.changeRecord("a", { meta: { principal: undefined } });
  const read = store.readRecord("a");
  assert(read !== undefined && "values" in read);
  assertEquals([[...read.values.keys()], Object.keys(read.meta)], [[], Object.keys(META)]);
});

Deno.test("MemoryStore.changeRecord() gives only a change of values a new version", async () => {
  const store = new MemoryStore();
  await store.create("a");
  const version = (): unknown => Reflect.get(store.readRecord("a") ?? {}, "version");
  const created = version();
  await store.changeRecord("a", { meta: { seenAt: 1 }, expiresAt: 9e15 });
  assertEquals(version(), created);
  await store.changeRecord("a", { clear: true });
  assertNotEquals(version(), created);
});

Deno.test("MemoryStore.listSessions() returns no session whose id belonged to the user before", async (t) => {
  const bound = { ...record(Infinity), meta: { ...META, principal: "ada" } };
  const ends: Record<string, (store: MemoryStore) => Promise<void>> = {
    "clear()": (store) => store.clear(),
    "an eviction": (store) => store.create("b"),
    "delete()": (store) => store.delete("a"),
  };
  for (const [name, end] of Object.entries(ends)) {
    await t.step(`after ${name}`, async () => {
      const store = new MemoryStore({ maxSessions: 1 });
      await store.createRecord("a", bound);
      await end(store);
      await store.create("a");
      assertEquals(await store.listSessions("ada"), []);
    });
  }
});

Deno.test("MemoryStore keeps nothing for a user without sessions", async () => {
  const store = new MemoryStore();
  for (const sid of ["a", "b"]) {
    await store.createRecord(sid, { ...record(Infinity), meta: { ...META, principal: "ada" } });
  }
  const real = Map.prototype.delete;
  const deleted: unknown[] = [];
  Map.prototype.delete = function (this: Map<unknown, unknown>, key: unknown): boolean {
    deleted.push(key);
    return real.call(this, key);
  };
  try {
    await store.delete("a");
    await store.delete("b");
  } finally {
    Map.prototype.delete = real;
  }
  assertEquals(deleted, ["a", "b", "ada"]);
});

Deno.test("MemoryStore treats an expiry that is negative or not a number as expired", () => {
  const store = new MemoryStore();
  for (const expiresAt of [0, -1, -999, -1000, -1001, -Infinity, NaN]) {
    const meta = { createdAt: 0, seenAt: 0, renewedAt: 0 };
    store.createRecord(String(expiresAt), { values: new Map(), expiresAt, meta });
    assertEquals(store.readRecord(String(expiresAt)), { expired: true }, String(expiresAt));
  }
});

Deno.test("MemoryStore.watch() reports every write before the call returns, and evicted sessions", async () => {
  const store = new MemoryStore({ maxSessions: 2 });
  const reported: (string | undefined)[] = [];
  await using watch = await store.watch((sid) => reported.push(sid));
  assertEquals([store.reportsAll, watch.keyOf("a")], [true, "a"]);
  const calls: [() => unknown, (string | undefined)[]][] = [
    [() => store.create("a"), ["a"]],
    [() => store.setValue("a", "k", 1), ["a"]],
    [() => store.changeRecord("a", { expiresAt: 8.64e15 }), ["a"]],
    [() => store.moveRecord("a", "b", MOVE), ["a", "b"]],
    [() => store.create("c"), ["c"]],
    [() => store.create("d"), ["b", "d"]],
    [() => store.delete("c"), ["c"]],
    [() => store.clear(), [undefined]],
  ];
  for (const [call, expected] of calls) {
    reported.length = 0;
    const returned = call();
    assertEquals(reported, expected, call.toString());
    await returned;
  }
});

Deno.test("MemoryStore.watch() reports no read and no write that was refused", async () => {
  const store = new MemoryStore();
  await store.create("a");
  await store.create("b");
  const reported: (string | undefined)[] = [];
  await using _ = await store.watch((sid) => reported.push(sid));
  await Promise.allSettled([
    store.exist("a"),
    store.readRecord("a"),
    store.create("a"),
    store.setValue("missing", "k", 1),
    store.changeRecord("a", { ifVersion: 5 }),
    store.moveRecord("a", "b", MOVE),
  ]);
  assertEquals(reported, []);
});

Deno.test("MemoryStore ends its watches when it is disposed of", async () => {
  const store = new MemoryStore();
  const reported: (string | undefined)[] = [];
  const watch = await store.watch((sid) => reported.push(sid));
  await store[Symbol.asyncDispose]();
  await store.create("a");
  assertEquals(reported, []);
  await watch[Symbol.asyncDispose]();
});
