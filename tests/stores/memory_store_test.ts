import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "../_assert.ts";
import { FakeClock } from "../_clock.ts";
import { MemoryStore, type RecordAnswer, SessionGoneError, type SessionRecord, SessionStoreError } from "../../mod.ts";

const META = { createdAt: 1, seenAt: 2, renewedAt: 3 };
const MOVE = { meta: {}, graceUntil: 0 };

function record(expiresAt: number, values: [string, unknown][] = [], principal?: string): SessionRecord {
  return { expiresAt, values: new Map(values), meta: principal === undefined ? META : { ...META, principal } };
}

/** What was read, for a comparison. */
function plain(read: RecordAnswer): RecordAnswer {
  if (read === undefined || !("values" in read)) return read;
  const { values, expiresAt, meta, version } = read;
  return { values, expiresAt, meta, version };
}

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
  await assertRejects(() => store.moveRecord("a", "b", MOVE), SessionGoneError);
  assertEquals(store.size, 0);
});

Deno.test("MemoryStore answers for an expired session as for a missing one, to the millisecond", async () => {
  using clock = new FakeClock();
  const store = new MemoryStore();
  const asks: [string, (sid: string) => Promise<unknown>][] = [
    ["exist", (sid) => store.exist(sid)],
    ["get", (sid) => store.get(sid)],
    ["getValue", (sid) => store.getValue(sid, "k")],
    ["readRecord", async (sid) => await store.readRecord(sid)],
    ["setValue", (sid) => store.setValue(sid, "k", 2)],
    ["changeRecord", (sid) => store.changeRecord(sid, { clear: true })],
    ["moveRecord", (sid) => store.moveRecord(sid, `${sid} moved`, MOVE)],
  ];
  for (const [sid] of asks) await store.createRecord(sid, record(clock.now + 1000, [["k", 1]]));
  clock.tick(999);
  for (const [sid] of asks) assertEquals(await store.exist(sid), true);
  clock.tick(1);
  for (const [sid, ask] of asks) {
    if (["setValue", "changeRecord", "moveRecord"].includes(sid)) await assertRejects(() => ask(sid), SessionGoneError);
    else if (sid === "readRecord") assertEquals(await ask(sid), { expired: true });
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
  const read = await store.readRecord("a");
  assert(read !== undefined && "values" in read);
  (read.values.get("list") as number[]).push(5);
  read.meta.seenAt = 9;
  read.values.set("more", 1);
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

Deno.test("MemoryStore.moveRecord() moves a record, and remembers where it went until the session's deadline", async () => {
  using clock = new FakeClock();
  const store = new MemoryStore();
  const expiresAt = clock.now + 1000;
  await store.createRecord("a", record(expiresAt, [["k", 1]]));
  await store.create("taken");
  await assertRejects(() => store.moveRecord("a", "taken", MOVE), SessionStoreError, "in use");
  await store.moveRecord("a", "b", { meta: { renewedAt: 9 }, graceUntil: 7 });
  assertEquals(plain(store.readRecord("b")), {
    ...record(expiresAt, [["k", 1]]),
    meta: { ...META, renewedAt: 9 },
    version: 0,
  });
  // To everything else the old id is missing.
  assertEquals([await store.exist("a"), await store.get("a"), await store.getValue("a", "k")], [
    false,
    undefined,
    undefined,
  ]);
  await assertRejects(() => store.setValue("a", "k", 2), SessionGoneError);
  assertEquals({ ...await store.readRecord("a") }, { movedTo: "b", graceUntil: 7, expiresAt });
  clock.tick(1000);
  assertEquals(await store.readRecord("a"), undefined);
});

Deno.test("MemoryStore.moveRecord() writes values with the move, and moves nothing where the version is another", async () => {
  const store = new MemoryStore();
  await store.createRecord("a", record(Infinity, [["x", 1], ["y", 1]]));
  await store.setValue("a", "x", 2);
  const set = new Map<string, unknown>([["x", 3], ["y", undefined]]);
  assertEquals(await store.moveRecord("a", "b", { ...MOVE, ifVersion: 0, set }), false);
  assertEquals([await store.exist("a"), await store.exist("b")], [true, false]);
  await assertRejects(() => store.moveRecord("a", "b", { ...MOVE, set: new Map([["f", () => 1]]) }), TypeError, '"f"');
  assertEquals(await store.moveRecord("a", "b", { ...MOVE, ifVersion: 1, set }), true);
  assertEquals({ ...await store.get("b") }, { x: 3 });
  await store.delete("a");
  assertEquals({ ...await store.readRecord("a") }, { movedTo: "b", graceUntil: 0, expiresAt: Infinity });
});

Deno.test("MemoryStore remembers a replaced id as long as the session lives, and keeps no values for that", async () => {
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
  // A grace is whole, however soon the session ends.
  assertEquals(await movedTo("b"), "c");
  clock.tick(4000);
  assertEquals(await store.readRecord("b"), undefined);
});

Deno.test("MemoryStore forgets the oldest replaced ids where there are more than maxSessions, and those of ended sessions", async () => {
  using clock = new FakeClock();
  const store = new MemoryStore({ maxSessions: 10 });
  await store.createRecord("0", record(clock.now + 1000));
  for (let i = 0; i < 100; i++) await store.moveRecord(`${i}`, `${i + 1}`, MOVE);
  const known = await Promise.all(Array.from({ length: 100 }, (_, i) => store.readRecord(`${i}`)));
  assertEquals(known.filter((trace) => trace !== undefined).length, 10);
  assertEquals({ ...known.at(-1) }, { movedTo: "100", graceUntil: 0, expiresAt: clock.now + 1000 });
});

Deno.test("MemoryStore.changeRecord() changes in one step what it is told, and nothing where the version is another", async () => {
  const store = new MemoryStore();
  await store.createRecord("a", record(Infinity, [["x", 1], ["y", 1]], "ada"));
  assertEquals(await store.changeRecord("a", { ifVersion: 0, set: new Map([["x", 2], ["y", undefined]]) }), true);
  assertEquals(await store.changeRecord("a", { ifVersion: 0, set: new Map([["x", 3]]) }), false);
  assertEquals({ ...await store.get("a") }, { x: 2 });
  await store.setValue("a", "x", 4);
  assertEquals(await store.changeRecord("a", { ifVersion: 1, clear: true }), false);
  assertEquals(await store.changeRecord("a", { meta: { seenAt: 5 }, expiresAt: 1e15 }), true);
  const read = store.readRecord("a");
  assertEquals(plain(read), {
    ...record(1e15, [["x", 4]], "ada"),
    meta: { ...META, principal: "ada", seenAt: 5 },
    version: 2,
  });
  await assertRejects(() => store.changeRecord("a", { clear: true, set: new Map([["f", () => 1]]) }), TypeError, '"f"');
  assertEquals({ ...await store.get("a") }, { x: 4 });
  assertEquals(await store.changeRecord("a", { clear: true, set: new Map([["z", 1]]) }), true);
  assertEquals({ ...await store.get("a") }, { z: 1 });
  await assertRejects(() => store.changeRecord("b", { clear: true }), SessionGoneError);
});

Deno.test("MemoryStore.listSessions() finds the live sessions of a user", async () => {
  using clock = new FakeClock();
  const store = new MemoryStore();
  const list = async (principal: string): Promise<string[]> =>
    (await store.listSessions(principal)).map(({ sid }) => sid).sort();
  await store.createRecord("a", record(clock.now + 1000, [], "ada"));
  await store.createRecord("b", record(clock.now + 2000, [], "ada"));
  await store.createRecord("c", record(clock.now + 2000));
  assertEquals([await list("ada"), await list("bob")], [["a", "b"], []]);
  await store.moveRecord("c", "d", { meta: { principal: "ada" }, graceUntil: 0 });
  await store.moveRecord("b", "e", MOVE);
  assertEquals(await list("ada"), ["a", "d", "e"]);
  await store.changeRecord("d", { meta: { principal: "bob" } });
  assertEquals([await list("ada"), await list("bob")], [["a", "e"], ["d"]]);
  clock.tick(1000);
  assertEquals(await list("ada"), ["e"]);
  await store.delete("e");
  await store.changeRecord("d", { meta: { principal: undefined } });
  assertEquals([await list("ada"), await list("bob")], [[], []]);
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

Deno.test("MemoryStore keeps many sessions where it is not told how many", async () => {
  const store = new MemoryStore();
  for (let i = 0; i <= 100; i++) await store.create(`${i}`);
  assertEquals([store.size, await store.exist("0")], [101, true]);
});

Deno.test("MemoryStore.create() makes a record without a deadline", async () => {
  using clock = new FakeClock();
  const store = new MemoryStore();
  await store.create("a");
  const read = await store.readRecord("a");
  assert(read !== undefined && "values" in read);
  assertEquals(read.expiresAt, Infinity);
  clock.tick(100 * 365 * 24 * 60 * 60 * 1000);
  assertEquals(await store.exist("a"), true);
});

Deno.test("MemoryStore finds the oldest without beginning its search anew", async () => {
  const store = new MemoryStore({ maxSessions: 100 });
  for (let i = 0; i < 100; i++) await store.create(`${i}`);
  const real = Map.prototype.keys;
  let searches = 0;
  Map.prototype.keys = function <K>(this: Map<K, unknown>): MapIterator<K> {
    searches++;
    return real.call(this) as MapIterator<K>;
  };
  try {
    for (let i = 100; i < 1000; i++) await store.create(`${i}`);
  } finally {
    Map.prototype.keys = real;
  }
  assert(searches <= 1, `${searches} searches`);
  assertEquals(await store.exist("899"), false);
  assertEquals(await store.exist("900"), true);
  await store.clear();
  for (let i = 0; i < 200; i++) await store.create(`after ${i}`);
  assertEquals([store.size, await store.exist("after 99"), await store.exist("after 100")], [100, false, true]);
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
