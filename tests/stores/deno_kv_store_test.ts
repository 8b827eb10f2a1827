import { assert, assertEquals, assertRejects, assertThrows } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { type SessionRecord, SessionStoreError } from "../../mod.ts";
import { DenoKvStore } from "../../src/stores/deno_kv_store.ts";
import { testSessionStore } from "../../src/testing.ts";

const directory = Deno.makeTempDirSync();
const path = `${directory}/sessions.sqlite3`;
// Two handles of one file are as separate as two processes.
const handles = [await Deno.openKv(path), await Deno.openKv(path)] as const;
const closed = await Deno.openKv(":memory:");
closed.close();
addEventListener("unload", () => {
  for (const kv of handles) kv.close();
  Deno.removeSync(directory, { recursive: true });
});

let stores = 0;
testSessionStore("DenoKvStore", () => new DenoKvStore(handles[++stores % 2 === 0 ? 0 : 1]), {
  values: "all",
  traces: "deadline",
  neighbour: () => new DenoKvStore(handles[0], { prefix: ["another"] }),
  broken: () => new DenoKvStore(closed),
});

/** A database that records its calls and can replace its commits. */
interface Watch {
  kv: Deno.Kv;
  /** The calls that reached the database, in order. */
  calls: ("list" | "commit")[];
  /** The entries that the last commit set, with their time until expiry. */
  set: { key: Deno.KvKey; expireIn?: number }[];
  /** Replaces a commit. By default it makes the real one. */
  commit: (real: Commit) => ReturnType<Commit>;
}

type Commit = Deno.AtomicOperation["commit"];

/** Records the calls of a database: each `list` and each `commit` is a round trip. */
function watched(kv: Deno.Kv): Watch {
  const watch: Watch = { kv, calls: [], set: [], commit: (real) => real() };
  const atomic = (): Deno.AtomicOperation => {
    const operation = kv.atomic();
    watch.set = [];
    return new Proxy(operation, {
      get: (target, name) => (...args: unknown[]): unknown => {
        if (name === "set") watch.set.push({ key: args[0] as Deno.KvKey, ...args[2] as { expireIn?: number } });
        const real = (): ReturnType<Commit> => Reflect.get(target, name).apply(target, args);
        if (name !== "commit") return real();
        watch.calls.push("commit");
        return watch.commit(real);
      },
    });
  };
  watch.kv = new Proxy(kv, {
    get: (target, name) => (...args: unknown[]): unknown => {
      if (name === "atomic") return atomic();
      watch.calls.push(name as "list");
      return Reflect.get(target, name).apply(target, args);
    },
  });
  return watch;
}

/** Returns every entry of a database. */
async function entriesOf(kv: Deno.Kv): Promise<Deno.KvEntry<unknown>[]> {
  return await Array.fromAsync(kv.list({ prefix: [] }));
}

/** SHA-256 of "ada". */
const ADA = "_e5DDUC9V97qwYbNl5ADPQ8G-QmogG585ucXq3x9UCk";
const META = { createdAt: 1, seenAt: 2, renewedAt: 3 };

function record(expiresAt: number, values: [string, unknown][] = [], principal?: string): SessionRecord {
  return { expiresAt, values: new Map(values), meta: principal === undefined ? META : { ...META, principal } };
}

Deno.test("DenoKvStore makes the documented number of database calls", async (t) => {
  using kv = await Deno.openKv(":memory:");
  const { kv: watchedKv, calls } = watched(kv);
  const [store, other] = [new DenoKvStore(watchedKv), new DenoKvStore(kv)];
  const steps: [string, () => Promise<unknown>, string[]][] = [
    ["a new session", () => store.createRecord("a", record(Infinity, [["k", 0]], "ada")), ["commit"]],
    ["a write after it", () => store.setValue("a", "k", 1), ["commit"]],
    ["a lookup", () => store.readRecord("a"), ["list"]],
    ["a write after it", () => store.setValue("a", "k", 2), ["commit"]],
    ["another value", () => store.setValue("a", "l", 2), ["commit"]],
    ["one value", () => store.getValue("a", "k"), ["list"]],
    ["all values", () => store.get("a"), ["list"]],
    ["whether it exists", () => store.exist("a"), ["list"]],
    ["a change", () => store.changeRecord("a", { clear: true, meta: { seenAt: 9 }, expiresAt: 8e15 }), ["commit"]],
    ["a new id", () => store.moveRecord("a", "b", { meta: {}, graceUntil: 0 }), ["commit"]],
    ["a write after it", () => store.setValue("b", "k", 3), ["commit"]],
    ["the trace of the old id", () => store.readRecord("a"), ["list"]],
    ["the sessions of a user", () => store.listSessions("ada"), ["list"]],
    ["a write of another process", () => other.setValue("b", "k", 4), []],
    ["a write after that", () => store.setValue("b", "k", 5), ["commit", "list", "commit"]],
    ["a session of 100 KiB", () => store.setValue("b", "long", "x".repeat(102_400)), ["commit"]],
    ["a write after it", () => store.setValue("b", "k", 6), ["list", "commit"]],
    ["a lookup", () => store.readRecord("b"), ["list"]],
    ["a shorter one", () => store.setValue("b", "long", undefined), ["list", "commit"]],
    ["its removal", () => store.delete("b"), ["commit"]],
    ["a write to an unknown session", () => store.setValue("c", "k", 1).catch(() => {}), ["list"]],
    ["its removal", () => store.delete("c"), ["list"]],
  ];
  for (const [name, step, expected] of steps) {
    await t.step(name, async () => {
      calls.length = 0;
      await step();
      assertEquals<string[]>(calls, expected);
    });
  }
});

Deno.test("DenoKvStore caches the last 256 sessions and serializes the writes to each", async () => {
  using kv = await Deno.openKv(":memory:");
  const { kv: watchedKv, calls } = watched(kv);
  const store = new DenoKvStore(watchedKv);
  // Sequentially, because concurrent commits finish in any order.
  for (let i = 0; i < 257; i++) await store.create(`${i}`);
  calls.length = 0;
  await store.setValue("1", "k", 1);
  assertEquals(calls, ["commit"]);
  await store.setValue("0", "k", 1);
  assertEquals(calls, ["commit", "list", "commit"]);
  calls.length = 0;
  await Promise.all(Array.from({ length: 100 }, (_, i) => store.setValue("0", `${i}`, i)));
  assertEquals(calls, Array(100).fill("commit"));
  assertEquals(Object.keys(await store.get("0") ?? {}).length, 101);
});

Deno.test("DenoKvStore leaves no entry behind when a session shrinks, moves or ends", async () => {
  using kv = await Deno.openKv(":memory:");
  const store = new DenoKvStore(kv);
  await store.createRecord("a", record(Infinity, [["k", "x".repeat(700_000)]], "ada"));
  const sizes = async (): Promise<[string, unknown][]> =>
    (await entriesOf(kv)).map(({ key, value }) => [key.slice(1).join("/").slice(0, 6), (value as Uint8Array).length]);
  assertEquals((await sizes()).slice(0, 10).every(([key, size]) => key.startsWith("id/a/") && size === 65_536), true);
  assertEquals((await sizes()).length, 12);
  const values: [number, number][] = [[200_000, 4], [0, 1], [65_536, 2], [65_536 * 11, 12], [1, 1]];
  for (const [size, entries] of values) {
    await store.setValue("a", "k", "x".repeat(size));
    assertEquals([(await sizes()).length - 1, await store.getValue("a", "k")], [entries, "x".repeat(size)]);
  }
  await store.setValue("a", "k", "x".repeat(100_000));
  await store.moveRecord("a", "b", { meta: { principal: "bob" }, graceUntil: 0 });
  // The trace, the session in two chunks, and its entry in the list of the user.
  assertEquals((await sizes()).map(([key]) => key.slice(0, 5)), ["id/a/", "id/b/", "id/b/", "user/"]);
  await store.delete("b");
  assertEquals((await sizes()).map(([key]) => key), ["id/a/0"]);
});

Deno.test("DenoKvStore refuses a session that is too large for a commit, names the key, and changes nothing", async () => {
  using kv = await Deno.openKv(":memory:");
  const store = new DenoKvStore(kv);
  // The overhead of one value is 9 bytes: two NULs, 3 characters for the key, 4 around the value.
  const most = 768 * 1024 - 9;
  // The longest id that fits leaves the least space in a commit.
  const sid = "i".repeat(512);
  await store.createRecord(sid, record(Infinity, [["k", "x".repeat(most)]], "ada"));
  assertEquals((await store.getValue(sid, "k")).length, most);
  const before = await entriesOf(kv);
  for (
    const refused of [
      () => store.setValue(sid, "l", 1),
      () => store.setValue(sid, "l", "x".repeat(2e6)),
      () => store.changeRecord(sid, { set: new Map([["l", 1]]), meta: { principal: "bob" } }),
      () => store.moveRecord(sid, "b", { set: new Map([["l", 1]]), meta: {}, graceUntil: 0 }),
      () => store.createRecord("c", record(Infinity, [["k", "x".repeat(most)], ["l", 1]])),
    ]
  ) await assertRejects(refused, RangeError, '"l": the session is too large for Deno KV; expected at most 768 KiB');
  assertEquals(await entriesOf(kv), before);
  await store.changeRecord(sid, { meta: { principal: "x".repeat(1000) } });
  await store.moveRecord(sid, "j".repeat(512), { meta: { principal: "bob" }, graceUntil: 0 });
  assertEquals((await store.getValue("j".repeat(512), "k")).length, most);
});

Deno.test("DenoKvStore tells Deno KV to remove a session ten minutes after its expiry", async () => {
  using clock = new FakeClock(Date.now());
  using kv = await Deno.openKv(":memory:");
  const watch = watched(kv);
  const store = new DenoKvStore(watch.kv);
  const skew = 600_000;
  const expiries = (): unknown[] => watch.set.map(({ key, expireIn }) => [key.slice(1, 3).join(), expireIn]);
  await store.createRecord("a", record(clock.now + 1000.5, [["k", "x".repeat(70_000)]]));
  assertEquals(expiries(), [["id,a", 1001 + skew], ["id,a", 1001 + skew]]);
  clock.tick(400);
  await store.setValue("a", "k", 1);
  assertEquals(expiries(), [["id,a", 601 + skew]]);
  await store.changeRecord("a", { expiresAt: clock.now + 5000, meta: { principal: "ada" } });
  const user = String(watch.set[1]?.key.slice(1, 3));
  assertEquals(expiries(), [["id,a", 5000 + skew], [user, 5000 + skew]]);
  await store.moveRecord("a", "b", { meta: {}, graceUntil: clock.now + 9000 });
  assertEquals(expiries(), [["id,a", 9000 + skew], ["id,b", 5000 + skew], [user, 5000 + skew]]);
  await store.moveRecord("b", "c", { meta: {}, graceUntil: 0 });
  assertEquals(expiries(), [["id,b", 5000 + skew], ["id,c", 5000 + skew], [user, 5000 + skew]]);
  await store.changeRecord("c", { expiresAt: clock.now - 1e12 });
  assertEquals(expiries(), [["id,c", skew], [user, skew]]);
  // Deno KV would refuse 8.64e15 ms.
  for (const [expiresAt, expireIn] of [[1e15, 1e15 - clock.now + skew], [8.64e15, undefined], [Infinity, undefined]]) {
    await store.createRecord("d", record(expiresAt ?? 0));
    assertEquals(expiries(), [["id,d", expireIn]]);
    const read = await store.readRecord("d");
    assertEquals(read && "values" in read && read.expiresAt, expiresAt);
    await store.delete("d");
  }
});

Deno.test("DenoKvStore.changeRecord() looks up a version that its cache does not have", async () => {
  using kv = await Deno.openKv(":memory:");
  const [store, other] = [new DenoKvStore(kv), new DenoKvStore(kv)];
  await store.create("a");
  await other.setValue("a", "k", 1);
  const read = await other.readRecord("a");
  assert(read && "values" in read);
  assertEquals(await store.changeRecord("a", { ifVersion: read.version, set: new Map([["k", 2]]) }), true);
  assertEquals(await other.getValue("a", "k"), 2);
});

Deno.test("DenoKvStore.readRecord() tells an expired session from an unknown one", async () => {
  using clock = new FakeClock(Date.now());
  using kv = await Deno.openKv(":memory:");
  const store = new DenoKvStore(kv);
  await store.createRecord("a", record(clock.now + 1000));
  clock.tick(1000);
  assertEquals([await store.readRecord("a"), await store.readRecord("b")], [{ expired: true }, undefined]);
});

Deno.test("DenoKvStore keeps the trace of an old id until the expiry that the session had when it moved", async () => {
  using clock = new FakeClock(Date.now());
  using kv = await Deno.openKv(":memory:");
  const store = new DenoKvStore(kv);
  await store.createRecord("a", record(clock.now + 1000));
  await store.moveRecord("a", "b", { meta: {}, graceUntil: 5 });
  await store.changeRecord("b", { expiresAt: clock.now + 9000 });
  clock.tick(999);
  assertEquals(await store.readRecord("a"), { movedTo: "b", graceUntil: 5 });
  clock.tick(1);
  assertEquals([await store.readRecord("a"), await store.exist("b")], [undefined, true]);
  await store.moveRecord("b", "c", { meta: {}, graceUntil: Infinity });
  assertEquals(await store.readRecord("b"), { movedTo: "c", graceUntil: Infinity });
});

Deno.test("DenoKvStore copies its arguments before it looks the session up", async () => {
  using kv = await Deno.openKv(":memory:");
  const [store, other] = [new DenoKvStore(kv), new DenoKvStore(kv)];
  for (const sid of ["a", "b"]) await other.createRecord(sid, record(Infinity));
  const meta = { seenAt: 8 };
  const set = new Map([["k", [1]]]);
  const writes = [
    store.changeRecord("a", { meta, set }),
    store.moveRecord("b", "c", { meta, set, graceUntil: 0 }),
  ];
  meta.seenAt = 9;
  set.get("k")?.push(2);
  set.set("l", []);
  await Promise.all(writes);
  // The commit of a new session is retried, with the meta of the call.
  const watch = watched(kv);
  watch.commit = () => {
    watch.commit = (real) => real();
    return Promise.reject(new TypeError("database is locked"));
  };
  const created = { values: new Map([["k", [1]]]), expiresAt: Infinity, meta: { ...META, seenAt: 8 } };
  const creation = new DenoKvStore(watch.kv).createRecord("d", created);
  created.meta.seenAt = 9;
  created.values.get("k")?.push(2);
  await creation;
  for (const sid of ["a", "c", "d"]) {
    const read = await store.readRecord(sid);
    assert(read && "values" in read);
    assertEquals([read.meta.seenAt, read.values], [8, new Map([["k", [1]]])]);
  }
});

Deno.test("DenoKvStore never reads an incomplete session as a complete one", async () => {
  using kv = await Deno.openKv(":memory:");
  const store = new DenoKvStore(kv);
  const long: [string, unknown][] = [["k", "x".repeat(150_000)], ["l", 1]];
  const many = Array.from({ length: 8000 }, (_, i): [string, unknown] => [`key ${i}`, i]);
  for (const [values, lost] of [[long, 1], [long, 2], [many, 1], [many, 2]] as const) {
    await store.createRecord("a", record(Infinity, [...values], "ada"));
    await kv.delete(["session", "id", "a", lost]);
    for (
      const call of [
        () => store.exist("a"),
        () => store.get("a"),
        () => store.getValue("a", "l"),
        () => store.readRecord("a"),
        () => store.setValue("a", "l", 1),
        () => store.moveRecord("a", "b", { meta: {}, graceUntil: 0 }),
        () => store.createRecord("a", record(Infinity)),
      ]
    ) await assertRejects(call, SessionStoreError, "a part of the session is missing");
    await store.delete("a");
    assertEquals(await entriesOf(kv), []);
  }
  // A chunk of an earlier commit is ignored.
  await store.createRecord("a", record(Infinity, [["k", 1]]));
  await kv.set(["session", "id", "a", 1], new Uint8Array(10));
  assertEquals(await store.getValue("a", "k"), 1);
  await store.setValue("a", "k", 2);
  assertEquals((await entriesOf(kv)).length, 1);
  await kv.set(["session", "id", "b", 1], new Uint8Array(10));
  assertEquals(await store.readRecord("b"), undefined);
  await store.create("b");
  assertEquals(await store.exist("b"), true);
});

Deno.test("DenoKvStore retries a write while another process has locked the file", async () => {
  using kv = await Deno.openKv(":memory:");
  const watch = watched(kv);
  const store = new DenoKvStore(watch.kv);
  let locked = 0;
  watch.commit = (real) => ++locked % 3 === 0 ? real() : Promise.reject(new TypeError("database is locked"));
  await store.createRecord("a", record(Infinity, [], "ada"));
  await store.setValue("a", "k", 1);
  await store.moveRecord("a", "b", { meta: {}, graceUntil: 0 });
  await store.delete("b");
  assertEquals((await entriesOf(kv)).length, 1);
  await store.clear();
  assertEquals([(await entriesOf(kv)).length, locked], [0, 15]);
});

/** Runs a function while `performance.now()` only moves by `tick()`. */
async function withStopwatch(run: (tick: (milliseconds: number) => void) => Promise<void>): Promise<void> {
  const real = performance.now;
  let now = real.call(performance);
  performance.now = () => now;
  try {
    await run((milliseconds) => now += milliseconds);
  } finally {
    performance.now = real;
  }
}

/** Returns every kind of write to a store with the session "a". */
function writesOf(store: DenoKvStore): (() => Promise<unknown>)[] {
  return [
    () => store.setValue("a", "k", 1),
    () => store.create("b"),
    () => store.delete("a"),
    () => store.moveRecord("a", "b", { meta: {}, graceUntil: 0 }),
    () => store.clear(),
  ];
}

Deno.test("DenoKvStore gives up a write after five seconds", async () => {
  using kv = await Deno.openKv(":memory:");
  const watch = watched(kv);
  const store = new DenoKvStore(watch.kv);
  await store.create("a");
  const locked = new TypeError("database is locked");
  const obstacles: [Commit, (error: Error) => boolean][] = [
    [() => Promise.reject(locked), (error) => error === locked],
    // A conflict with another writer on every attempt.
    [() => Promise.resolve({ ok: false }), (error) => error instanceof SessionStoreError],
  ];
  for (const [commit, isExpected] of obstacles) {
    for (const write of writesOf(store)) {
      await withStopwatch(async (tick) => {
        let attempts = 0;
        watch.commit = (real) => {
          // Stops the retries of a defective store.
          if (++attempts > 20) return real();
          tick(1000);
          return commit();
        };
        assert(isExpected(await assertRejects(write, Error)));
        assertEquals(attempts, 5);
      });
    }
  }
  watch.commit = (real) => real();
  assertEquals({ ...await store.get("a") }, {});
  await withStopwatch(async (tick) => {
    const writes = Promise.withResolvers<{ ok: false }>();
    watch.commit = () => writes.promise;
    const first = store.setValue("a", "k", 1);
    const second = store.setValue("a", "l", 1);
    tick(5000);
    watch.commit = (real) => real();
    writes.resolve({ ok: false });
    // Neither the write that was refused nor the one behind it takes effect later.
    await assertRejects(() => first, SessionStoreError);
    await assertRejects(() => second, SessionStoreError);
    assertEquals({ ...await store.get("a") }, {});
  });
});

Deno.test("DenoKvStore does not wait for a commit without an answer, and loses nothing if it takes effect later", async () => {
  using kv = await Deno.openKv(":memory:");
  const watch = watched(kv);
  const store = new DenoKvStore(watch.kv);
  await store.create("a");
  const { promise: late, resolve: release } = Promise.withResolvers<void>();
  watch.commit = async (real) => {
    watch.commit = (real) => real();
    await late;
    return await real();
  };
  const first = store.setValue("a", "first", 1);
  // These would wait forever if the first commit still delayed them.
  await Promise.all(Array.from({ length: 100 }, (_, i) => store.setValue("a", `${i}`, i)));
  release();
  await first;
  assertEquals(Object.keys(await store.get("a") ?? {}).length, 101);
  await store.delete("a");
  assertEquals(await store.exist("a"), false);
});

Deno.test("DenoKvStore rejects with the error of the database and works again when the database does", async () => {
  using kv = await Deno.openKv(":memory:");
  const watch = watched(kv);
  const store = new DenoKvStore(watch.kv);
  await store.create("a");
  for (const failure of [new Error("the disk is full"), new TypeError("the key is too large")]) {
    watch.commit = () => Promise.reject(failure);
    for (const write of writesOf(store)) {
      watch.calls.length = 0;
      assert(await assertRejects(write, Error) === failure);
      // The commit from the cache and the one after the lookup, but no retry.
      assert(watch.calls.filter((call) => call === "commit").length <= 2);
    }
  }
  watch.commit = (real) => real();
  await store.setValue("a", "k", 1);
  assertEquals(await store.getValue("a", "k"), 1);
});

Deno.test("DenoKvStore recognises its own write if the answer to the commit was lost", async () => {
  using kv = await Deno.openKv(":memory:");
  const watch = watched(kv);
  const store = new DenoKvStore(watch.kv);
  // A client that repeats a commit gets a conflict with its own first attempt.
  watch.commit = async (real) => {
    await real();
    return { ok: false };
  };
  await store.createRecord("a", record(Infinity, [["n", 1]]));
  const read = await store.readRecord("a");
  assert(read && "values" in read);
  assertEquals(await store.changeRecord("a", { ifVersion: read.version, set: new Map([["n", 2]]) }), true);
  assertEquals(await store.moveRecord("a", "b", { meta: {}, graceUntil: 0 }), true);
  await store.delete("b");
  assertEquals(await store.exist("b"), false);
});

Deno.test("DenoKvStore loses no write when two processes share a file", async () => {
  const store = new DenoKvStore(handles[0], { prefix: ["processes"] });
  await store.create("a");
  const script = `
    import { DenoKvStore } from "${import.meta.resolve("../../src/stores/deno_kv_store.ts")}";
    const store = new DenoKvStore(await Deno.openKv(${JSON.stringify(path)}), { prefix: ["processes"] });
    console.log("ready");
    for (let i = 0; i < 200; i++) await store.setValue("a", "child " + i, i);
    Deno.exit();`;
  const args = ["eval", "--unstable-kv", script];
  await using child = new Deno.Command(Deno.execPath(), { args, stdout: "piped" }).spawn();
  const output = child.stdout.getReader();
  await output.read();
  for (let i = 0; i < 200; i++) await store.setValue("a", `parent ${i}`, i);
  await output.read();
  assert((await child.status).success);
  assertEquals(Object.keys(await store.get("a") ?? {}).length, 400);
  await store.clear();
});

Deno.test("DenoKvStore.clear() removes only the entries under its prefix", async () => {
  using kv = await Deno.openKv(":memory:");
  const watch = watched(kv);
  const [store, other] = [new DenoKvStore(watch.kv), new DenoKvStore(kv, { prefix: ["other", 1, new Uint8Array(2)] })];
  await kv.set(["session"], 1);
  await kv.set(["session", "mine"], 1);
  await other.createRecord("a", record(Infinity, [["k", 1]], "ada"));
  const before = await entriesOf(kv);
  for (let i = 0; i < 120; i++) await store.createRecord(`${i}`.repeat(500), record(Infinity, [], "ada"));
  await store.createRecord("a", record(Infinity, [["k", "x".repeat(700_000)]]));
  watch.calls.length = 0;
  await store.clear();
  // 131 entries of sessions and 120 of a user, in commits of 100 at most.
  assertEquals(watch.calls.filter((call) => call === "commit").length, 4);
  assertEquals(await entriesOf(kv), before);
  assertEquals((await other.listSessions("ada")).length, 1);
  assertEquals(await store.exist("a"), false);
  await store.clear();
});

Deno.test("DenoKvStore reads the stored format of the first release", async () => {
  using kv = await Deno.openKv(":memory:");
  const put = (key: Deno.KvKey, text: string): Promise<unknown> =>
    kv.set(["p", ...key], new TextEncoder().encode(text));
  const meta = '"meta":{"createdAt":1,"seenAt":2,"renewedAt":3}';
  await put(
    ["id", "a", 0],
    `{"version":7,"expiresAt":null,${meta},"size":41}\0"k\\u0000é"\0[{"n":1},1]\0""\0[["Set",1],5]`,
  );
  await put(["id", "b", 0], '{"movedTo":"a","graceUntil":5,"expiresAt":null}');
  await put(["user", ADA, "a"], `{"expiresAt":null,${meta}}`);
  const store = new DenoKvStore(kv, { prefix: ["p"] });
  const values = new Map<string, unknown>([["k\0é", { n: 1 }], ["", new Set([5])]]);
  assertEquals(await store.readRecord("a"), { version: 7, expiresAt: Infinity, meta: META, values });
  assertEquals(await store.readRecord("b"), { movedTo: "a", graceUntil: 5 });
  assertEquals(await store.listSessions("ada"), [{ sid: "a", meta: META }]);
});

Deno.test("DenoKvStore() refuses a value that is not a Deno.Kv and a prefix that is not a key", async () => {
  for (const kv of [undefined, null, {}, "kv", Deno.openKv]) {
    assertThrows(() => new DenoKvStore(kv as unknown as Deno.Kv), TypeError, "expected `kv` to be a Deno.Kv");
  }
  using kv = await Deno.openKv(":memory:");
  for (const prefix of [[], "session", [undefined], ["a", {}], null]) {
    assertThrows(
      () => new DenoKvStore(kv, { prefix: prefix as unknown as Deno.KvKey }),
      TypeError,
      "expected `prefix` to be",
    );
  }
});
