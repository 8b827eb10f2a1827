import { assert, assertEquals, assertRejects, assertThrows } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { SessionGoneError, type SessionRecord, SessionStoreError, UnreadableRecordError } from "../../mod.ts";
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
  calls: ("get" | "getMany" | "list" | "commit")[];
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
    ["the number of sessions", () => store.countSessions(), ["get", "list"]],
    ["a page of users", () => store.listPrincipals({ limit: 100 }), ["get", "list"]],
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

Deno.test("DenoKvStore reads ten sessions in one call if their lookups are made at the same time", async (t) => {
  using kv = await Deno.openKv(":memory:");
  const { kv: watchedKv, calls } = watched(kv);
  const [store, writer] = [new DenoKvStore(watchedKv), new DenoKvStore(kv)];
  const look = (sid: string): Promise<unknown> =>
    store.readRecord(sid).then((found) => {
      if (found === undefined) return "missing";
      if ("values" in found) return found.values.get("k");
      return "movedTo" in found ? `moved to ${found.movedTo}` : "expired";
    }, (error) => error.name);
  const expected = new Map<string, unknown>();
  for (let i = 0; i < 20; i++) {
    await writer.createRecord(`live ${i}`, record(8e15, [["k", i]]));
    expected.set(`live ${i}`, i).set(`none ${i}`, "missing");
  }
  const ids = [...expected.keys()];

  await t.step("live and missing ones", async () => {
    for (let round = 0; round < 3; round++) {
      calls.length = 0;
      assertEquals(await Promise.all(ids.map(look)), [...expected.values()]);
      assertEquals(calls, ["list", "list", ...Array(4).fill("getMany")]);
    }
  });

  await t.step("those that take more than one entry, or fail", async () => {
    const long = "x".repeat(200_000);
    await writer.createRecord("long", record(8e15, [["k", long]]));
    await writer.createRecord("expired", record(0));
    await writer.createRecord("old", record(8e15, [["k", "new"]]));
    await writer.moveRecord("old", "new", { meta: {}, graceUntil: 8e15 });
    await writer.createRecord("torn", record(8e15, [["k", long]]));
    await kv.delete(["session", "id", "torn", 1]);
    await kv.set(["session", "id", "other", 0], "not bytes");
    await kv.set(["session", "id", "late", 1], new Uint8Array(1));
    const states: [string, unknown][] = [
      ["long", long],
      ["expired", "expired"],
      ["old", "moved to new"],
      ["new", "new"],
      ["torn", "UnreadableRecordError"],
      ["other", "UnreadableRecordError"],
      ["late", "missing"],
      // Deno KV refuses keys of more than 2 KiB.
      ["a".repeat(3000), "TypeError"],
    ];
    // Each is looked up beside others, first and not first.
    for (const order of [states, states.toReversed()]) {
      const all = [...expected].slice(0, 5).concat(order);
      assertEquals(await Promise.all(all.map(([sid]) => look(sid))), all.map(([, outcome]) => outcome));
    }
  });

  await t.step("one session, of which each lookup has a copy", async () => {
    calls.length = 0;
    const all = await Promise.all(Array.from({ length: 5 }, () => store.readRecord("live 1")));
    assertEquals(calls, ["list", "list", "list"]);
    for (const found of all) {
      assert(found !== undefined && "values" in found);
      assertEquals([found.values, found.meta], [new Map([["k", 1]]), META]);
      found.values.clear();
      found.meta.seenAt = 0;
    }
    assertEquals(await look("live 1"), 1);
  });

  await t.step("after a write that was acknowledged before", async () => {
    let stopped = false;
    const others = ids.map(async (sid) => {
      while (!stopped) await look(sid);
    });
    for (let i = 0; i < 50; i++) {
      await store.setValue("live 0", "k", -i);
      assertEquals(await look("live 0"), -i);
    }
    stopped = true;
    await Promise.all(others);
  });
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
  // The last entry tells a concurrent list that a session has moved.
  assertEquals(expiries(), [["id,a", 9000 + skew], ["id,b", 5000 + skew], [user, 5000 + skew], [user, skew]]);
  await store.moveRecord("b", "c", { meta: {}, graceUntil: 0 });
  assertEquals(expiries(), [["id,b", 5000 + skew], ["id,c", 5000 + skew], [user, 5000 + skew], [user, skew]]);
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
    ) await assertRejects(call, UnreadableRecordError, "DenoKvStore found a stored session that it cannot read");
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
  const keys = async (): Promise<string[]> => (await entriesOf(kv)).map(({ key }) => key.join("/"));
  assertEquals(await keys(), ["session/id/a/0", `session/user/${ADA}`]);
  await store.clear();
  assertEquals([await keys(), locked], [["session/epoch"], 21]);
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

/** Returns every kind of write to a store with the session "a", and the operation in its errors. */
function writesOf(store: DenoKvStore): [operation: string, write: () => Promise<unknown>][] {
  return [
    ["set", () => store.setValue("a", "k", 1)],
    ["change", () => store.changeRecord("a", { clear: true })],
    ["create", () => store.create("b")],
    ["destroy", () => store.delete("a")],
    ["regenerate", () => store.moveRecord("a", "b", { meta: {}, graceUntil: 0 })],
    ["clear", () => store.clear()],
  ];
}

Deno.test("DenoKvStore gives up a write after five seconds", async () => {
  using kv = await Deno.openKv(":memory:");
  const watch = watched(kv);
  const store = new DenoKvStore(watch.kv);
  await store.create("a");
  const locked = new TypeError("database is locked");
  const obstacles: [Commit, (error: Error, operation: string) => void][] = [
    [() => Promise.reject(locked), (error) => assert(error === locked)],
    // A conflict with another writer on every attempt.
    [() => Promise.resolve({ ok: false }), (error, operation) => {
      assert(error instanceof SessionStoreError);
      const reason =
        "other processes changed the session in DenoKvStore in every attempt for 5 seconds; nothing was written";
      assertEquals([error.operation, error.message], [operation, `Cannot ${operation}: ${reason}; try again`]);
    }],
  ];
  for (const [commit, check] of obstacles) {
    for (const [operation, write] of writesOf(store)) {
      await withStopwatch(async (tick) => {
        let attempts = 0;
        watch.commit = (real) => {
          // Stops the retries of a defective store.
          if (++attempts > 20) return real();
          tick(1000);
          return commit();
        };
        check(await assertRejects(write, Error), operation);
        assertEquals(attempts, 5);
      });
    }
  }
  watch.commit = (real) => real();
  assertEquals({ ...await store.get("a") }, {});
  await withStopwatch(async (tick) => {
    const writes = Promise.withResolvers<{ ok: false }>();
    watch.commit = () => writes.promise;
    const first = assertRejects(() => store.setValue("a", "k", 1), SessionStoreError, "other processes");
    const reason = "earlier writes of DenoKvStore to the session took 5 seconds";
    const second = assertRejects(() => store.delete("a"), SessionStoreError, reason);
    tick(5000);
    watch.commit = (real) => real();
    writes.resolve({ ok: false });
    // Neither the write that was refused nor the one behind it takes effect later.
    assertEquals([(await first).operation, (await second).operation], ["set", "destroy"]);
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
    for (const [, write] of writesOf(store)) {
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
  // First the end of all sessions, then 131 entries of sessions and 120 of a user, in commits of
  // 100 at most.
  assertEquals(watch.calls.filter((call) => call === "commit").length, 5);
  assertEquals((await entriesOf(kv)).filter(({ key }) => key[1] !== "epoch"), before);
  assertEquals((await other.listSessions("ada")).length, 1);
  assertEquals(await store.exist("a"), false);
  await store.clear();
});

Deno.test("DenoKvStore rejects an entry that it did not write, and finds the other sessions", async (t) => {
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  const header = '{"version":7,"expiresAt":null,"meta":{"createdAt":1,"seenAt":2,"renewedAt":3},"size":10}';
  const body = '\0"k"\0[1]xx';
  const values: [name: string, value: unknown][] = [
    ["a text", "secret"],
    ["a number", 5],
    ["an object", { version: 7 }],
    ["a Deno.KvU64", new Deno.KvU64(5n)],
    ["no bytes", new Uint8Array()],
    ["bytes that are no JSON", bytes("secret")],
    ["a list", bytes("[1]")],
    ["an empty header", bytes("{}")],
    ["an expiry that is a text", bytes(header.replace("null", '"null"') + body)],
    ["no expiry", bytes(header.replace('"expiresAt":null,', "") + body)],
    ["no metadata", bytes(header.replace("meta", "data") + body)],
    ["metadata with a text", bytes(header.replace("1,", '"1",') + body)],
    ["a version that is a text", bytes(header.replace("7", '"7"') + body)],
    ["an epoch that is a number", bytes(header.replace('"size"', '"epoch":5,"size"') + body)],
    ["another size", bytes(header.replace("10", "11") + body)],
    ["a key that is no JSON", bytes(header + '\0"k\0[1]xxx')],
    ["a trace without its grace", bytes('{"movedTo":"a","expiresAt":null}')],
    ["a trace to a number", bytes('{"movedTo":5,"graceUntil":5,"expiresAt":null}')],
  ];
  for (const [name, value] of values) {
    await t.step(name, async () => {
      using kv = await Deno.openKv(":memory:");
      const store = new DenoKvStore(kv);
      for (const sid of ["a", "another"]) await store.createRecord(sid, record(Infinity, [["k", 1]], "ada"));
      await kv.set(["session", "id", "a", 0], value);
      const calls: [operation: string, call: () => Promise<unknown>][] = [
        ["get", () => store.exist("a")],
        ["get", () => store.get("a")],
        ["get", () => store.getValue("a", "k")],
        ["get", () => store.readRecord("a")],
        ["set", () => store.setValue("a", "k", 2)],
        ["change", () => store.changeRecord("a", { clear: true })],
        ["regenerate", () => store.moveRecord("a", "b", { meta: {}, graceUntil: 0 })],
        ["regenerate", () => store.moveRecord("another", "a", { meta: {}, graceUntil: 0 })],
        ["create", () => store.create("a")],
      ];
      for (const [operation, call] of calls) {
        const error = await assertRejects(
          call,
          UnreadableRecordError,
          `Cannot ${operation}: DenoKvStore found a stored session that it cannot read`,
        );
        assertEquals([error.operation, error.cause], [operation, undefined]);
      }
      assertEquals(await store.exist("b"), false);
      // Its entry in the list of the user is intact, so that it can be revoked.
      assertEquals((await store.listSessions("ada")).map(({ sid }) => sid), ["a", "another"]);
      await store.delete("a");
      assertEquals([await store.readRecord("a"), await store.getValue("another", "k")], [undefined, 1]);
    });
  }
  await t.step("a value", async () => {
    using kv = await Deno.openKv(":memory:");
    const store = new DenoKvStore(kv);
    await kv.set(["session", "id", "a", 0], bytes(header + '\0"k"\0secret'.slice(0, 10)));
    for (const call of [() => store.get("a"), () => store.getValue("a", "k"), () => store.readRecord("a")]) {
      const error = await assertRejects(
        call,
        UnreadableRecordError,
        "Cannot get: DenoKvStore found a stored session that it cannot read",
      );
      assertEquals(error.cause, undefined);
    }
  });
  await t.step("the list of a user", async () => {
    using kv = await Deno.openKv(":memory:");
    const store = new DenoKvStore(kv);
    for (const sid of ["a", "b", "c"]) await store.createRecord(sid, record(Infinity, [["k", 1]], "ada"));
    // The session decides if its entry in the list does not.
    for (const sid of ["a", "b", "missing"]) await kv.set(["session", "user", ADA, sid], bytes('{"expiresAt":null}'));
    await kv.set(["session", "id", "b", 0], bytes("secret"));
    const meta = { ...META, principal: "ada" };
    const expiresAt = Infinity;
    assertEquals(await store.listSessions("ada"), [{ sid: "a", expiresAt, meta }, { sid: "c", expiresAt, meta }]);
  });
});

/** The calls that can find that the session "a" of "ada" has expired. */
const FINDERS: [name: string, find: (store: DenoKvStore) => Promise<unknown>][] = [
  ["readRecord()", (store) => store.readRecord("a")],
  ["exist()", (store) => store.exist("a")],
  ["get()", (store) => store.get("a")],
  ["getValue()", (store) => store.getValue("a", "k")],
  ["listSessions()", (store) => store.listSessions("ada")],
  ["setValue()", (store) => store.setValue("a", "k", 1)],
  ["changeRecord()", (store) => store.changeRecord("a", { expiresAt: Infinity })],
  ["moveRecord()", (store) => store.moveRecord("a", "b", { meta: {}, graceUntil: 0 })],
];

Deno.test("DenoKvStore never extends a session that a call has found expired", async (t) => {
  for (const [name, find] of FINDERS) {
    for (const principal of ["ada", undefined]) {
      if (principal === undefined && name === "listSessions()") continue;
      await t.step(`${name}, ${principal ?? "no user"}`, async () => {
        using clock = new FakeClock(Date.now());
        using kv = await Deno.openKv(":memory:");
        const watch = watched(kv);
        const [store, other] = [new DenoKvStore(kv), new DenoKvStore(watch.kv)];
        await other.createRecord("a", record(clock.now + 1000, [["k", 1]], principal));
        // The commit is executed after the expiry.
        const sent = Promise.withResolvers<void>();
        const { promise: late, resolve: execute } = Promise.withResolvers<void>();
        watch.commit = async (real) => {
          watch.commit = (real) => real();
          sent.resolve();
          await late;
          return await real();
        };
        const touch = assertRejects(() => other.changeRecord("a", { expiresAt: clock.now + 60_000 }), SessionGoneError);
        await sent.promise;
        clock.tick(1000);
        const found = await find(store).catch((error: Error) => error);
        const isMissing = found === undefined || found === false || found instanceof SessionGoneError ||
          Array.isArray(found) && found.length === 0 ||
          typeof found === "object" && found !== null && "expired" in found;
        assert(isMissing, String(found));
        execute();
        await touch;
        for (const each of [store, other]) {
          assertEquals([await each.readRecord("a"), await each.listSessions("ada")], [{ expired: true }, []]);
        }
      });
    }
  }
});

Deno.test("DenoKvStore finds a session live if a write has extended it in the meantime", async (t) => {
  for (const [name, find] of FINDERS) {
    await t.step(name, async () => {
      using clock = new FakeClock(Date.now());
      using kv = await Deno.openKv(":memory:");
      const watch = watched(kv);
      const [store, other] = [new DenoKvStore(watch.kv), new DenoKvStore(kv)];
      await other.createRecord("a", record(clock.now + 1000, [["k", 1]], "ada"));
      clock.tick(1000);
      watch.commit = async (real) => {
        watch.commit = (real) => real();
        // The other process read the clock before the expiry.
        clock.tick(-1);
        await other.changeRecord("a", { expiresAt: clock.now + 60_000 });
        clock.tick(1);
        return await real();
      };
      const found = await find(store);
      if (name === "readRecord()") assert(typeof found === "object" && found !== null && "values" in found);
      else if (name === "listSessions()") assertEquals((found as unknown[]).length, 1);
      else if (name === "get()") assertEquals({ ...found as object }, { k: 1 });
      else if (name === "getValue()") assertEquals(found, 1);
      else if (name === "setValue()") assertEquals(await other.getValue("a", "k"), 1);
      else assertEquals(found, true);
      assertEquals((await other.listSessions("ada")).length, 1);
    });
  }
});

Deno.test("DenoKvStore marks an expired session once, and reads it although it cannot mark it", async () => {
  using clock = new FakeClock(Date.now());
  using kv = await Deno.openKv(":memory:");
  const watch = watched(kv);
  const store = new DenoKvStore(watch.kv);
  await store.createRecord("a", record(clock.now + 1000, [["k", "x".repeat(100_000)]], "ada"));
  clock.tick(1000);
  watch.commit = () => Promise.reject(new Error("the disk is full"));
  assertEquals(await store.readRecord("a"), { expired: true });
  assertEquals(await store.listSessions("ada"), []);
  watch.commit = (real) => real();
  watch.calls.length = 0;
  assertEquals([await store.readRecord("a"), await store.readRecord("a")], [{ expired: true }, { expired: true }]);
  assertEquals(watch.calls, ["list", "commit", "list"]);
  // Its values and its user are removed.
  assertEquals((await entriesOf(kv)).map(({ key }) => key.join("/")), ["session/id/a/0"]);
  await store.create("a");
  assertEquals(await store.exist("a"), true);
});

Deno.test("DenoKvStore.clear() ends every session from before, whatever gets a new id meanwhile", async () => {
  const [kv, otherKv] = handles;
  const prefix = [crypto.randomUUID()];
  const watch = watched(kv);
  const [store, other] = [new DenoKvStore(watch.kv, { prefix }), new DenoKvStore(otherKv, { prefix })];
  const before = Array.from({ length: 300 }, (_, i) => `before ${String(i).padStart(3, "0")}`);
  for (const sid of before) await other.createRecord(sid, record(Infinity, [["k", 1]], "ada"));
  const after: string[] = [];
  const moved: string[] = [];
  const outcomes = new Set<string>();
  watch.commit = async (real) => {
    // Between any two commits of clear(), other processes renew ids and create sessions.
    for (const sid of before.splice(0, 30)) {
      for (const newSid of [`a ${sid}`, `z ${sid}`]) {
        moved.push(newSid);
        const from = await other.exist(sid) ? sid : `a ${sid}`;
        const move = other.moveRecord(from, newSid, { meta: {}, graceUntil: Infinity });
        outcomes.add(await move.then(() => "moved", (error) => error.constructor.name));
      }
    }
    const result = await real();
    if (outcomes.has("SessionGoneError") || after.length === 0) {
      for (const position of ["a", "z"]) {
        const sid = `${position} after ${after.length}`;
        await other.createRecord(sid, record(Infinity, [["k", 2]], "ada"));
        await other.moveRecord(sid, `${sid} moved`, { meta: {}, graceUntil: Infinity });
        after.push(`${sid} moved`);
      }
    }
    return result;
  };
  await store.clear();
  watch.commit = (real) => real();
  assertEquals([...outcomes].sort(), ["SessionGoneError", "moved"]);
  for (const reader of [store, other, new DenoKvStore(kv, { prefix })]) {
    for (const sid of [...before, ...moved]) assertEquals(await reader.readRecord(sid), undefined, sid);
    const listed = (await reader.listSessions("ada")).map(({ sid }) => sid).sort();
    assertEquals(listed, after.toSorted());
    for (const sid of after) assertEquals(await reader.getValue(sid, "k"), 2);
  }
  const keys = (await Array.fromAsync(kv.list({ prefix }))).map(({ key }) => key.slice(1));
  assertEquals(keys.filter(([part, sid]) => part === "id" && String(sid).includes("before")), []);
  await store.clear();
  assertEquals((await Array.fromAsync(kv.list({ prefix }))).length, 1);
});

Deno.test("DenoKvStore.clear() ends every session at once in this process, and for every write", async () => {
  using kv = await Deno.openKv(":memory:");
  const watch = watched(kv);
  const [store, other] = [new DenoKvStore(watch.kv), new DenoKvStore(kv)];
  for (const sid of ["a", "b"]) await store.createRecord(sid, record(Infinity, [["k", 1]], "ada"));
  await other.moveRecord("b", "c", { meta: {}, graceUntil: Infinity });
  assertEquals(await other.getValue("a", "k"), 1);
  let commits = 0;
  // Only the first commit succeeds.
  watch.commit = (real) => ++commits === 1 ? real() : Promise.reject(new Error("the disk is full"));
  await assertRejects(() => store.clear(), Error, "the disk is full");
  assertEquals([await store.readRecord("a"), await store.readRecord("b")], [undefined, undefined]);
  assertEquals(await store.listSessions("ada"), []);
  for (
    const write of [
      () => other.setValue("a", "k", 2),
      () => other.changeRecord("a", { expiresAt: Infinity }),
      () => other.moveRecord("a", "d", { meta: {}, graceUntil: 0 }),
      () => store.setValue("c", "k", 2),
    ]
  ) await assertRejects(write, SessionGoneError);
  assertEquals([await other.exist("a"), await other.exist("d")], [false, false]);
  // An id from before can be used again.
  watch.commit = (real) => real();
  await other.createRecord("a", record(Infinity, [["k", 3]], "ada"));
  await store.clear();
  assertEquals((await entriesOf(kv)).map(({ key }) => key.join("/")), ["session/epoch"]);
});

Deno.test("DenoKvStore.clear() ends every session although a write learns of the previous epoch meanwhile", async () => {
  using kv = await Deno.openKv(":memory:");
  const watch = watched(kv);
  const other = new DenoKvStore(kv);
  await other.createRecord("a", record(Infinity, [], "ada"));
  await other.createRecord("b", record(Infinity));
  const epochWasRead = Promise.withResolvers<void>();
  const isListing = Promise.withResolvers<void>();
  const epochIsOld = Promise.withResolvers<void>();
  const isCleared = Promise.withResolvers<void>();
  const answers = [isListing, isCleared];
  const store = new DenoKvStore(
    new Proxy(watch.kv, {
      get: (target, name) => (...args: unknown[]): unknown => {
        const result = Reflect.get(target, name).apply(target, args);
        if (name === "get") return answerLate(result);
        return name === "list" && (args[0] as { prefix: Deno.KvKey }).prefix.length === 2 ? listLate(result) : result;
      },
    }),
  );
  /** Returns the epoch that was read, when clear() begins to list the sessions, or when it has ended. */
  async function answerLate<T>(read: Promise<T>): Promise<T> {
    const answer = await read;
    epochWasRead.resolve();
    await answers.shift()?.promise;
    return answer;
  }
  async function* listLate<T>(entries: AsyncIterable<T>): AsyncGenerator<T> {
    isListing.resolve();
    await epochIsOld.promise;
    yield* entries;
  }
  // The first commit conflicts, so the write reads the epoch. The second one is that of clear().
  let commits = 0;
  watch.commit = async (real) => {
    if (++commits === 1) await other.setValue("b", "k", 1);
    if (commits === 3) epochIsOld.resolve();
    return await real();
  };
  const write = store.setValue("b", "k", 2).catch((error) => error);
  await epochWasRead.promise;
  await store.clear();
  isCleared.resolve();
  assert(await write instanceof SessionGoneError);
  for (const reader of [store, other, new DenoKvStore(kv)]) {
    assertEquals([await reader.readRecord("a"), await reader.readRecord("b")], [undefined, undefined]);
    assertEquals(await reader.listSessions("ada"), []);
  }
});

Deno.test("DenoKvStore works in a process that has not seen a clear() of another one", async () => {
  using kv = await Deno.openKv(":memory:");
  await new DenoKvStore(kv).clear();
  const { kv: watchedKv, calls } = watched(kv);
  const store = new DenoKvStore(watchedKv);
  await store.createRecord("a", record(Infinity, [], "ada"));
  // The epoch is learned once.
  calls.length = 0;
  await store.createRecord("b", record(Infinity, [], "ada"));
  await store.setValue("a", "k", 1);
  await store.moveRecord("a", "c", { meta: {}, graceUntil: 0 });
  assertEquals(calls, ["commit", "commit", "commit"]);
  assertEquals((await new DenoKvStore(kv).listSessions("ada")).map(({ sid }) => sid), ["b", "c"]);
  await new DenoKvStore(kv).clear();
  await assertRejects(() => store.setValue("c", "k", 1), SessionGoneError);
});

Deno.test("DenoKvStore.listSessions() lists each of many sessions once while they get new ids", async () => {
  using kv = await Deno.openKv(":memory:");
  const other = new DenoKvStore(kv);
  const sids = new Set(Array.from({ length: 1100 }, (_, i) => `m ${String(i).padStart(4, "0")}`));
  for (const sid of sids) await other.createRecord(sid, record(Infinity, [], "ada"));
  const moves: [string, string][] = [["m 1099", "a"], ["m 0000", "z 1"], ["a", "z 2"], ["z 1", "b"]];
  const paused = new Proxy(kv, {
    get: (target, name) => (...args: unknown[]): unknown => {
      const result = Reflect.get(target, name).apply(target, args);
      return name === "list" ? movingMeanwhile(result) : result;
    },
  });
  async function* movingMeanwhile(entries: AsyncIterable<unknown>): AsyncGenerator<unknown> {
    let count = 0;
    for await (const entry of entries) {
      // Deno KV reads the next batch now.
      if (count++ === 1000) {
        for (const [from, to] of moves.splice(0, 2)) {
          await other.moveRecord(from, to, { meta: {}, graceUntil: 0 });
          sids.delete(from);
          sids.add(to);
        }
      }
      yield entry;
    }
  }
  const listed = (await new DenoKvStore(paused).listSessions("ada")).map(({ sid }) => sid);
  assertEquals([listed.toSorted(), moves], [[...sids].sort(), []]);
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
  assertEquals(await store.listSessions("ada"), [{ sid: "a", expiresAt: Infinity, meta: META }]);
});

Deno.test("DenoKvStore() refuses a value that is not a Deno.Kv and a prefix that is not a key", async () => {
  for (const kv of [undefined, null, {}, "kv", Deno.openKv]) {
    assertThrows(() => new DenoKvStore(kv as unknown as Deno.Kv), TypeError, "`kv` must be a Deno.Kv; received");
  }
  using kv = await Deno.openKv(":memory:");
  for (const prefix of [[], "session", [undefined], ["a", {}], null]) {
    assertThrows(
      () => new DenoKvStore(kv, { prefix: prefix as unknown as Deno.KvKey }),
      TypeError,
      "`prefix` must be a Deno.KvKey",
    );
  }
});
