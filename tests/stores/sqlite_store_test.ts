import { DatabaseSync } from "node:sqlite";
import { existsSync } from "node:fs";
import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { read, signUp, start, visit } from "../helpers/request.ts";
import { SessionGoneError, type SessionRecord, SessionStoreError, UnreadableRecordError } from "../../mod.ts";
import { SqliteStore, type SqliteStoreOptions } from "../../src/stores/sqlite_store.ts";
import { testSessionStore } from "../../src/testing.ts";
import { fillDisk } from "./_fill_disk.ts";
import { written } from "./_sqlite_process.ts";

const META = { createdAt: 1, seenAt: 2, renewedAt: 3 };
const MOVE = { meta: {}, graceUntil: 0 };
const BUSY_SECONDS = 0.05;

function record(expiresAt: number, values: [string, unknown][] = [], principal?: string): SessionRecord {
  return { expiresAt, values: new Map(values), meta: principal === undefined ? META : { ...META, principal } };
}

/** A temporary folder. */
class Folder implements Disposable {
  readonly path = Deno.makeTempDirSync();

  /** The path of the store's file. */
  get file(): string {
    return `${this.path}/sessions.db`;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

const shared = new Folder();
Deno.test.afterAll(() => shared[Symbol.dispose]());

testSessionStore("SqliteStore", () => new SqliteStore(shared.file, { synchronous: "normal" }), {
  values: "all",
  traces: "deadline",
  broken: () => new SqliteStore(`${shared.path}/no folder/sessions.db`),
});

/** Queries the file on a connection of its own. Returns the first column. */
function query(path: string, sql: string): unknown[] {
  using db = new DatabaseSync(path);
  return db.prepare(sql).all().map((row) => Object.values(row)[0]);
}

/**
 * Collects the connections that are opened until it is disposed. The store does not expose its own.
 */
class Connections implements Disposable {
  readonly #real = DatabaseSync.prototype.exec;
  readonly #all = new Set<DatabaseSync>();

  constructor() {
    const exec = this.#real;
    const all = this.#all;
    DatabaseSync.prototype.exec = function (...args): void {
      all.add(this);
      return exec.apply(this, args);
    };
  }

  /** The only connection. */
  get only(): DatabaseSync {
    const [db] = this.#all;
    assert(db !== undefined && this.#all.size === 1);
    return db;
  }

  [Symbol.dispose](): void {
    DatabaseSync.prototype.exec = this.#real;
  }
}

/** Opens a store and returns it with its connection. */
async function openWatched(
  path: string,
  options?: SqliteStoreOptions,
): Promise<{ store: SqliteStore; db: DatabaseSync }> {
  using connections = new Connections();
  const store = new SqliteStore(path, options);
  await store.init();
  return { store, db: connections.only };
}

Deno.test("SqliteStore creates files that only their owner can read", async () => {
  using folder = new Folder();
  await using store = new SqliteStore(folder.file);
  await store.init();
  await store.create("a");
  const files = [...Deno.readDirSync(folder.path)].map(({ name }) => name).sort();
  assertEquals(files, ["sessions.db", "sessions.db-shm", "sessions.db-wal"]);
  if (Deno.build.os === "windows") return;
  for (const name of files) assertEquals((Deno.statSync(`${folder.path}/${name}`).mode ?? 0) & 0o777, 0o600, name);
});

Deno.test("SqliteStore keeps the mode of an existing file", { ignore: Deno.build.os === "windows" }, async () => {
  using folder = new Folder();
  Deno.writeTextFileSync(folder.file, "", { mode: 0o640 });
  await using store = new SqliteStore(folder.file);
  await store.init();
  assertEquals((Deno.statSync(folder.file).mode ?? 0) & 0o777, 0o640);
});

Deno.test("SqliteStore opens its file at the first call, and only once", async () => {
  using folder = new Folder();
  await using store = new SqliteStore(folder.file);
  assertEquals([...Deno.readDirSync(folder.path)], []);
  await Promise.all([store.create("a"), store.init(), store.create("b"), store.init()]);
  await store.init();
  assertEquals(query(folder.file, "SELECT id FROM sessions ORDER BY id"), ["a", "b"]);
});

Deno.test("SqliteStore keeps its sessions when it is closed, and rejects later calls", async () => {
  using folder = new Folder();
  const store = new SqliteStore(folder.file);
  await store.create("a");
  await store.setValue("a", "k", 1);
  await store[Symbol.asyncDispose]();
  await store[Symbol.asyncDispose]();
  await assertRejects(() => store.init(), SessionStoreError, "closed");
  await assertRejects(async () => await store.readRecord("a"), SessionStoreError, "closed");
  await using other = new SqliteStore(folder.file);
  assertEquals(await other.getValue("a", "k"), 1);

  const never = new SqliteStore(folder.file);
  await never[Symbol.asyncDispose]();
  await assertRejects(() => never.exist("a"), SessionStoreError, "closed");

  const opening = new SqliteStore(folder.file);
  const ready = opening.init();
  await opening[Symbol.asyncDispose]();
  await ready;
  await assertRejects(() => opening.exist("a"), SessionStoreError, "closed");
});

Deno.test("SqliteStore works in memory", async () => {
  await using store = new SqliteStore(":memory:");
  await store.create("a");
  await store.setValue("a", "k", [1]);
  assertEquals({ ...await store.get("a") }, { k: [1] });
});

Deno.test("SqliteStore uses a write-ahead log, no busy_timeout of SQLite, and the chosen synchronous mode", async () => {
  using folder = new Folder();
  for (const [options, expected] of [[{}, 2], [{ synchronous: "full" }, 2], [{ synchronous: "normal" }, 1]] as const) {
    const { store, db } = await openWatched(folder.file, options);
    await using _ = store;
    const pragma = (name: string): unknown => db.prepare(`PRAGMA ${name}`).get()?.[0];
    assertEquals([pragma("journal_mode"), pragma("busy_timeout"), pragma("synchronous")], ["wal", 0, expected]);
  }
});

Deno.test("SqliteStore rejects a file system on which SQLite cannot use a write-ahead log", async () => {
  using folder = new Folder();
  const real = DatabaseSync.prototype.prepare;
  // On a file system without shared memory, SQLite keeps the mode and returns it.
  DatabaseSync.prototype.prepare = function (sql, ...options): ReturnType<typeof real> {
    return real.call(this, sql === "PRAGMA journal_mode = WAL" ? "PRAGMA journal_mode" : sql, ...options);
  };
  try {
    await using store = new SqliteStore(folder.file);
    await assertRejects(
      () => store.init(),
      SessionStoreError,
      "cannot keep its log beside the file (journal_mode delete)",
    );
    await using inMemory = new SqliteStore(":memory:");
    await inMemory.init();
  } finally {
    DatabaseSync.prototype.prepare = real;
  }
});

Deno.test("SqliteStore rejects a file that is not its own, and does not change it", async (t) => {
  const files: [string, (path: string) => void, string][] = [
    ["a text", (path) => Deno.writeTextFileSync(path, "no database\n".repeat(1000)), "not a database"],
    ["a database of another application", (path) => {
      using db = new DatabaseSync(path);
      db.exec("CREATE TABLE sessions (id TEXT PRIMARY KEY); INSERT INTO sessions VALUES ('a')");
    }, "another application"],
    ["an empty database with another user_version", (path) => {
      using db = new DatabaseSync(path);
      db.exec("PRAGMA user_version = 1");
    }, "another application"],
    ["an empty database with another application_id", (path) => {
      using db = new DatabaseSync(path);
      db.exec("PRAGMA application_id = 1");
    }, "another application"],
    ["a file of a later version of the store", (path) => {
      using db = new DatabaseSync(path);
      db.exec("PRAGMA application_id = 0x53455353; PRAGMA user_version = 2; CREATE TABLE later (id)");
    }, "later version"],
  ];
  for (const [name, make, message] of files) {
    await t.step(name, async () => {
      using folder = new Folder();
      make(folder.file);
      const before = Deno.readFileSync(folder.file);
      await using store = new SqliteStore(folder.file);
      using connections = new Connections();
      const error = await assertRejects(() => store.init(), SessionStoreError, message);
      assertEquals(connections.only.isOpen, false);
      assertStringIncludes(error.message, folder.file);
      await assertRejects(async () => await store.readRecord("a"), SessionStoreError, message);
      assertEquals(Deno.readFileSync(folder.file), before);
      assertEquals([...Deno.readDirSync(folder.path)].length, 1);
    });
  }
});

Deno.test("SqliteStore.init() can be called again after it has failed", async () => {
  using folder = new Folder();
  await using store = new SqliteStore(`${folder.path}/later/sessions.db`);
  await assertRejects(() => store.init(), SessionStoreError, "later/sessions.db");
  Deno.mkdirSync(`${folder.path}/later`);
  await store.init();
  await store.create("a");
});

Deno.test("SqliteStore rejects if the file is damaged, and never reports a missing session", async () => {
  using folder = new Folder();
  {
    await using store = new SqliteStore(folder.file);
    for (let i = 0; i < 200; i++) await store.createRecord(`${i}`, record(Infinity, [["k", "x".repeat(500)]]));
  }
  using file = Deno.openSync(folder.file, { read: true, write: true });
  file.seekSync(4096, Deno.SeekMode.Start);
  file.writeSync(new Uint8Array(file.statSync().size - 4096).fill(0xff));
  await using store = new SqliteStore(folder.file);
  for (const sid of ["0", "199"]) {
    await assertRejects(async () => await store.readRecord(sid), Error, "malformed");
    await assertRejects(() => store.exist(sid), Error, "malformed");
    await assertRejects(() => store.setValue(sid, "k", 1), Error, "malformed");
  }
});

Deno.test("SqliteStore waits for another process that is writing, and does not block this one", async () => {
  using folder = new Folder();
  await using store = new SqliteStore(folder.file);
  for (const sid of ["a", "b", "c"]) await store.create(sid);
  using other = new DatabaseSync(folder.file);
  other.exec("BEGIN IMMEDIATE");
  const writes = [
    store.setValue("a", "k", 1),
    store.moveRecord("b", "b moved", MOVE),
    store.delete("c"),
    store.create("d"),
  ];
  // Twenty macrotasks run: the event loop is not blocked.
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 1));
  // A read does not wait for a writer.
  assertEquals(await store.getValue("a", "k"), undefined);
  other.exec("COMMIT");
  await Promise.all(writes);
  assertEquals(await store.getValue("a", "k"), 1);
  assertEquals(query(folder.file, "SELECT id FROM sessions ORDER BY id"), ["a", "b", "b moved", "d"]);
});

Deno.test("SqliteStore opens a file when other processes have unlocked it", async () => {
  for (const lock of ["BEGIN EXCLUSIVE", "BEGIN; SELECT count(*) FROM sqlite_schema"]) {
    using folder = new Folder();
    using other = new DatabaseSync(folder.file);
    other.exec(lock);
    await using store = new SqliteStore(folder.file);
    const ready = store.init();
    await new Promise((resolve) => setTimeout(resolve, 10));
    other.exec("ROLLBACK");
    await ready;
    await store.create("a");
  }
});

Deno.test("SqliteStore does not drop the locks of another store of this process", {
  ignore: Deno.build.os !== "linux",
}, async () => {
  using folder = new Folder();
  await using store = new SqliteStore(folder.file);
  await store.create("a");
  const inode = Deno.statSync(folder.file).ino;
  const locks = (): string[] => {
    return Deno.readTextFileSync("/proc/locks").split("\n").filter((line) => line.includes(`:${inode} `));
  };
  const before = locks().length;
  assert(before > 0);
  await using other = new SqliteStore(folder.file);
  await other.init();
  assert(locks().length >= before);
});

Deno.test("SqliteStore rejects after busyTimeout if another process is still writing", async () => {
  using folder = new Folder();
  await using store = new SqliteStore(folder.file, { busyTimeout: BUSY_SECONDS });
  await using impatient = new SqliteStore(folder.file, { busyTimeout: 0 });
  await store.create("a");
  await impatient.init();
  using other = new DatabaseSync(folder.file);
  other.exec("BEGIN IMMEDIATE");
  await assertRejects(() => impatient.setValue("a", "k", 1), Error, "locked");
  const startedAt = performance.now();
  await assertRejects(() => store.setValue("a", "k", 1), Error, "locked");
  const waited = performance.now() - startedAt;
  // retry() makes no attempt after the deadline, and its delays are 32 ms at most.
  assert(waited >= BUSY_SECONDS * 1000 - 32, `${waited} ms`);
  other.exec("ROLLBACK");
  await store.setValue("a", "k", 2);
  assertEquals(await impatient.getValue("a", "k"), 2);
});

Deno.test("SqliteStore checks the expiry after it has waited for a lock", async () => {
  using folder = new Folder();
  using clock = new FakeClock();
  await using store = new SqliteStore(folder.file);
  await store.createRecord("a", record(clock.now + 10_000));
  using other = new DatabaseSync(folder.file);
  other.exec("BEGIN IMMEDIATE");
  const write = assertRejects(() => store.setValue("a", "k", 1), SessionGoneError);
  await undefined;
  // The clock moves by more than busyTimeout, which is measured with another clock.
  clock.tick(10_000);
  await new Promise((resolve) => setTimeout(resolve, 20));
  other.exec("ROLLBACK");
  await write;
});

Deno.test("SqliteStore.changeRecord() with many values reads and writes in one transaction", async () => {
  using folder = new Folder();
  const { store, db } = await openWatched(folder.file);
  await using _ = store;
  await store.create("a");
  const inTransaction: boolean[] = [];
  const real = JSON.parse;
  JSON.parse = (...args): unknown => {
    inTransaction.push(db.isTransaction);
    return real(...args);
  };
  try {
    await store.changeRecord("a", { set: new Map(Array.from({ length: 100 }, (_, i) => [`${i}`, i])) });
  } finally {
    JSON.parse = real;
  }
  assert(inTransaction.length > 0 && inTransaction.every(Boolean));
});

Deno.test("SqliteStore.moveRecord() is atomic", async () => {
  using folder = new Folder();
  await using store = new SqliteStore(folder.file);
  await store.createRecord("a", record(Infinity, [["k", 1]]));
  using other = new DatabaseSync(folder.file);
  other.exec(
    "CREATE TRIGGER broken BEFORE INSERT ON sessions WHEN NEW.id = 'a' BEGIN SELECT RAISE(ABORT, 'broken'); END",
  );
  const move = { ...MOVE, set: new Map([["k", 2]]) };
  await assertRejects(() => store.moveRecord("a", "b", move), Error, "broken");
  assertEquals([await store.getValue("a", "k"), await store.exist("b")], [1, false]);
  other.exec("DROP TRIGGER broken");
  await store.moveRecord("a", "b", move);
  assertEquals([await store.exist("a"), await store.getValue("b", "k")], [false, 2]);
});

Deno.test("SqliteStore.moveRecord() accepts the id of an expired session or of a trace", async () => {
  using clock = new FakeClock();
  await using store = new SqliteStore(":memory:");
  await store.createRecord("expired", record(clock.now + 1000));
  await store.create("replaced");
  await store.moveRecord("replaced", "a", MOVE);
  clock.tick(1000);
  await store.moveRecord("a", "expired", MOVE);
  await store.moveRecord("expired", "replaced", MOVE);
  assertEquals(await store.exist("replaced"), true);
  assertEquals(await store.readRecord("expired"), { movedTo: "replaced", graceUntil: 0 });
});

Deno.test("SqliteStore never confuses two keys", async () => {
  await using store = new SqliteStore(":memory:");
  const keys = [
    "",
    "\0",
    "\0a",
    "\0b",
    "a",
    "a\0",
    "\\0",
    "\\u0000",
    "\\",
    "A",
    "\\u0041",
    '"',
    '\\"',
    "$",
    "$.a",
    "[0]",
    "0",
  ];
  keys.push("1", "__proto__", "toString", "\n", "\\n", "é", "e\u0301", "\u{1f600}", "\u2028", "null", "x".repeat(512));
  await store.createRecord("a", record(Infinity, [["never", undefined]]));
  const model = new Map<string, unknown>();
  for (let i = 0; i < 2000; i++) {
    const key = keys[Math.floor(Math.random() * keys.length)] ?? "";
    const value = Math.random() < 0.4 ? undefined : [i, { a: null, [key]: { b: i } }];
    await store.setValue("a", key, value);
    if (value === undefined) model.delete(key);
    else model.set(key, value);
    if (i % 100 !== 0) continue;
    assertEquals(await store.getValue("a", key), value);
    const values = await store.get("a");
    assertEquals(new Map(Object.entries(values ?? {})), model);
  }
});

Deno.test("SqliteStore finds the sessions of any user by an index", async () => {
  using folder = new Folder();
  const { store, db } = await openWatched(folder.file);
  await using _ = store;
  const names = ["ada", "1", "null", '"', "a\0b", "a\0c", "\u{1f600}", "é"];
  for (const name of names) await store.createRecord(`of ${name}`, record(Infinity, [], name));
  await store.createRecord("nobody's", record(Infinity));
  for (const name of names) {
    const sessions = await store.listSessions(name);
    assertEquals(sessions.map(({ meta }) => meta), [{ ...META, principal: name }]);
  }
  const plan = db.prepare(
    "EXPLAIN QUERY PLAN SELECT id FROM sessions WHERE meta ->> 'principal' = ? AND ? < expires_at",
  );
  assertStringIncludes(JSON.stringify(plan.all("ada", 0)), "sessions_principal");
  const sweep = db.prepare("EXPLAIN QUERY PLAN SELECT id FROM sessions WHERE expires_at <= ? LIMIT 20");
  assertStringIncludes(JSON.stringify(sweep.all(0)), "sessions_expires_at");
});

Deno.test("SqliteStore removes the rows of expired sessions and traces, up to 20 per new session", async () => {
  using folder = new Folder();
  using clock = new FakeClock();
  await using store = new SqliteStore(folder.file, { synchronous: "normal" });
  const rows = (): unknown => query(folder.file, "SELECT count(*) FROM sessions")[0];
  for (let i = 0; i < 50; i++) await store.createRecord(`${i}`, record(clock.now + 1000));
  for (let i = 0; i < 10; i++) await store.moveRecord(`${i}`, `moved ${i}`, { meta: {}, graceUntil: clock.now + 5000 });
  await store.create("for ever");
  assertEquals(rows(), 61);
  clock.tick(1000);
  await store.create("next 0");
  assertEquals(rows(), 42);
  for (let i = 1; i < 5; i++) await store.create(`next ${i}`);
  // A grace period may end after the session.
  assertEquals([rows(), await store.readRecord("0")], [16, { movedTo: "moved 0", graceUntil: clock.now + 4000 }]);
  clock.tick(4000);
  assertEquals(await store.readRecord("0"), undefined);
  await store.create("last");
  assertEquals(rows(), 7);
});

// tests/servers/sqlite_full_disk_test.ts does the same on a disk that is full.
Deno.test("SqliteStore works again after its file could not grow, and loses no acknowledged write", async () => {
  using folder = new Folder();
  const { store, db } = await openWatched(folder.file);
  await using _ = store;
  db.exec("PRAGMA max_page_count = 20");
  const outcome = await fillDisk(store, () => db.exec("PRAGMA max_page_count = 100000"));
  assertEquals(query(folder.file, "PRAGMA integrity_check"), ["ok"]);
  assertEquals(outcome.reasons, ["Error: database or disk is full"]);
  console.log(`no more pages: ${JSON.stringify(outcome)}`);
});

/** Starts `_sqlite_process.ts` and waits for its first output. */
async function spawn(...args: string[]): Promise<{ child: Deno.ChildProcess; output: Promise<string> }> {
  const file = (path: string): string => new URL(path, import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--config", file("../../deno.json"), file("_sqlite_process.ts"), ...args],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const started = Promise.withResolvers<void>();
  const output = (async () => {
    let text = "";
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      started.resolve();
    }
    started.reject(new Error("The process ended without any output"));
    return text;
  })();
  await started.promise;
  return { child, output };
}

Deno.test("SqliteStore loses no update of two processes that created the file concurrently", async () => {
  using folder = new Folder();
  const processes = await Promise.all([1, 2].map(() => spawn("update", folder.file, "500")));
  await using store = new SqliteStore(folder.file);
  const middleware = start({}, store);
  const cookie = await signUp(middleware, { count: 0 });
  await Promise.all(processes.map(async ({ child, output }) => {
    await ReadableStream.from([cookie]).pipeThrough(new TextEncoderStream()).pipeTo(child.stdin);
    await output;
    assertEquals((await child.status).code, 0);
  }));
  assertEquals(await read(middleware, cookie, "count"), 1000);
});

// Note: this does not test a power cut. The system writes to the disk what a killed process wrote.
Deno.test("SqliteStore keeps every acknowledged write when its process is killed", async () => {
  using folder = new Folder();
  {
    await using store = new SqliteStore(folder.file);
    await store.create("written");
    await store.createRecord("moved 0", record(Infinity, [["k", "kept"]]));
  }
  const numbers = new Map<string, number>();
  let next = 0;
  let moves = 0;
  let acknowledged = 0;
  for (let round = 0; round < 4; round++) {
    const { child, output } = await spawn("write", folder.file, `${next}`, `${moves}`);
    await new Promise((resolve) => setTimeout(resolve, 100 * Math.random()));
    child.kill("SIGKILL");
    await child.stdin.close();
    await child.status;
    // The last line may be incomplete.
    for (const line of (await output).split("\n").slice(0, -1)) {
      assertEquals(Number(line), next);
      if (next % 10 === 0) moves++;
      else numbers.set(`k${next % 10}`, next);
      next++;
      acknowledged++;
    }

    assertEquals(query(folder.file, "PRAGMA integrity_check"), ["ok"]);
    await using store = new SqliteStore(folder.file);
    // The write that was not acknowledged may have been done.
    if (next % 10 === 0 && await store.exist(`moved ${moves + 1}`)) {
      moves++;
      next++;
    }
    const values = new Map(Object.entries(await store.get("written") ?? {})) as Map<string, ReturnType<typeof written>>;
    for (const [key, number] of numbers) {
      const value = values.get(key);
      const unacknowledged = next % 10 !== 0 && key === `k${next % 10}` && value?.number === next;
      assertEquals(value, written(unacknowledged ? next : number));
    }
    for (let i = 0; i <= moves + 1; i++) assertEquals(await store.exist(`moved ${i}`), i === moves);
    assertEquals(await store.getValue(`moved ${moves}`, "k"), "kept");
    if (moves > 0) {
      assertEquals(await store.readRecord(`moved ${moves - 1}`), { movedTo: `moved ${moves}`, graceUntil: 0 });
    }
  }
  assert(acknowledged > 0);
  console.log(`killed 4 times: ${acknowledged} writes acknowledged, lost: 0`);
});

/** Runs SQL on a connection of its own, as somebody else would. */
function execute(path: string, sql: string, ...parameters: (string | number | Uint8Array | null)[]): void {
  using db = new DatabaseSync(path);
  db.prepare(sql).run(...parameters);
}

Deno.test("SqliteStore rejects a row that it did not write, and finds the other sessions", async (t) => {
  const meta = '{"createdAt":1,"seenAt":2,"renewedAt":3,"principal":"ada"}';
  const cases: [name: string, column: string, value: string | number | Uint8Array, seenByChange?: boolean][] = [
    ["values: no JSON", "data", "{secret"],
    ["values: a text", "data", '"secret"'],
    ["values: a list", "data", "[1]"],
    ["values: empty", "data", ""],
    ["values: bytes", "data", new Uint8Array([123, 125])],
    ["values: a number", "data", 5],
    ["values: a value that is no JSON of the store", "data", '{"k":"secret"}', false],
    ["meta: a list", "meta", "[1]", false],
    ["meta: empty", "meta", '{"principal":"ada"}', false],
    ["meta: a number as a text", "meta", meta.replace("1", '"1"'), false],
    ["expiry: a text", "expires_at", "secret"],
    ["version: a text", "version", "secret", false],
    ["version: too large a number", "version", "9007199254740993", false],
  ];
  for (const [name, column, value, seenByChange = true] of cases) {
    await t.step(name, async () => {
      using folder = new Folder();
      await using store = new SqliteStore(folder.file, { synchronous: "normal" });
      const sid = "a session id";
      for (const id of [sid, "another"]) await store.createRecord(id, record(Infinity, [["k", 1]], "ada"));
      execute(folder.file, `UPDATE sessions SET ${column} = ?1 WHERE id = ?2`, value, sid);
      const change = { set: new Map([["k", 2]]) };
      const many = { set: new Map(Array.from({ length: 20 }, (_, i) => [`k${i}`, i])) };
      const calls: [operation: string, call: () => unknown][] = [
        ["get", () => store.readRecord(sid)],
        // A change reads nothing if it need not, so it does not notice everything.
        ...(seenByChange
          ? [
            ["set", () => store.setValue(sid, "k", 2)],
            ["change", () => store.changeRecord(sid, change)],
            ["change", () => store.changeRecord(sid, many)],
            ["get", () => store.get(sid)],
            ["get", () => store.getValue(sid, "k")],
          ] as [string, () => unknown][]
          : []),
      ];
      if (!name.includes("JSON of the store")) {
        calls.push(["regenerate", () => store.moveRecord(sid, "new", { ...MOVE, ...change })]);
        calls.push(["regenerate", () => store.moveRecord(sid, "new", MOVE)]);
      }
      for (const [operation, call] of calls) {
        const error = await assertRejects(
          async () => await call(),
          UnreadableRecordError,
          `Cannot ${operation}: SqliteStore found a stored session that it cannot read`,
        );
        assertEquals([error.operation, error.cause], [operation, undefined]);
      }
      assertEquals(await store.exist("new"), false);
      const listed = (await store.listSessions("ada")).map(({ sid }) => sid);
      assertEquals(listed.filter((id) => id !== sid), ["another"]);
      assertEquals(await store.getValue("another", "k"), 1);
      await store.delete(sid);
      assertEquals(await store.readRecord(sid), undefined);
    });
  }
  await t.step("a trace", async () => {
    using folder = new Folder();
    await using store = new SqliteStore(folder.file, { synchronous: "normal" });
    await store.create("a");
    await store.moveRecord("a", "b", { meta: {}, graceUntil: Infinity });
    for (const text of ["[]", "{}", '{"movedTo":1,"graceUntil":5}', '{"movedTo":"b","graceUntil":"5"}']) {
      execute(folder.file, "UPDATE sessions SET meta = ?1 WHERE id = 'a'", text);
      await assertRejects(async () => await store.readRecord("a"), UnreadableRecordError, "SqliteStore");
    }
  });
});

Deno.test("SqliteStore never extends a session that a call has found expired", async (t) => {
  // The write of another process has read the clock before the expiry, and is executed after it.
  const finders: [string, (store: SqliteStore) => unknown][] = [
    ["readRecord()", (store) => store.readRecord("a")],
    ["exist()", (store) => store.exist("a")],
    ["get()", (store) => store.get("a")],
    ["getValue()", (store) => store.getValue("a", "k")],
    ["listSessions()", (store) => store.listSessions("ada")],
    ["setValue()", (store) => store.setValue("a", "k", 1)],
    ["changeRecord()", (store) => store.changeRecord("a", { expiresAt: Infinity })],
    ["changeRecord() with an outdated version", (store) => store.changeRecord("a", { ifVersion: 9 })],
    ["moveRecord()", (store) => store.moveRecord("a", "b", MOVE)],
  ];
  for (const [name, find] of finders) {
    await t.step(name, async () => {
      using folder = new Folder();
      using clock = new FakeClock();
      await using store = new SqliteStore(folder.file, { synchronous: "normal" });
      await using other = new SqliteStore(folder.file, { synchronous: "normal" });
      await other.init();
      await store.createRecord("a", record(clock.now + 1000, [["k", 1]], "ada"));
      clock.tick(1000);
      const found = await Promise.resolve(find(store)).catch((error: Error) => error);
      const missing = found === undefined || found === false || found instanceof SessionGoneError ||
        Array.isArray(found) && found.length === 0 || typeof found === "object" && found !== null && "expired" in found;
      assert(missing, String(found));
      const late = clock.now - 1;
      const now = Date.now;
      Date.now = () => late;
      try {
        await assertRejects(() => other.changeRecord("a", { expiresAt: late + 60_000 }), SessionGoneError);
      } finally {
        Date.now = now;
      }
      assertEquals(await store.readRecord("a"), { expired: true });
    });
  }
});

Deno.test("SqliteStore waits for a write that began before the expiry, and then finds the session live", async () => {
  using folder = new Folder();
  using clock = new FakeClock();
  await using store = new SqliteStore(folder.file, { synchronous: "normal" });
  await store.createRecord("a", record(clock.now + 1000, [["k", 1]], "ada"));
  for (
    const [find, expected] of [
      [async () => await store.readRecord("a"), "values"],
      [() => store.exist("a"), true],
      [async () => (await store.listSessions("ada")).length, 1],
      [() => store.setValue("a", "k", 2), undefined],
      [() => store.changeRecord("a", { set: new Map([["k", 3]]) }), true],
    ] as [() => Promise<unknown>, unknown][]
  ) {
    using other = new DatabaseSync(folder.file);
    other.exec("BEGIN IMMEDIATE");
    other.prepare("UPDATE sessions SET expires_at = ?1 WHERE id = 'a'").run(clock.now + 5000);
    clock.tick(1000);
    const found = find();
    await new Promise((resolve) => setTimeout(resolve, 5));
    other.exec("COMMIT");
    const result = await found;
    if (expected === "values") assert(typeof result === "object" && result !== null && "values" in result);
    else assertEquals(result, expected);
    other.prepare("UPDATE sessions SET expires_at = ?1 WHERE id = 'a'").run(clock.now + 1000);
  }
});

Deno.test("SqliteStore reads an expired session although it cannot mark it", async () => {
  using folder = new Folder();
  using clock = new FakeClock();
  await using store = new SqliteStore(folder.file, { busyTimeout: 0 });
  await store.createRecord("a", record(clock.now + 1000, [], "ada"));
  clock.tick(1000);
  using other = new DatabaseSync(folder.file);
  other.exec("BEGIN IMMEDIATE");
  assertEquals(await store.readRecord("a"), { expired: true });
  assertEquals(await store.listSessions("ada"), []);
});

// On Windows, an open file cannot be deleted.
Deno.test("SqliteStore.ping() reads the file, although SQLite has cached it", async () => {
  using folder = new Folder();
  await using store = new SqliteStore(folder.file, { synchronous: "normal" });
  await store.createRecord("a", record(Infinity, [["k", 1]]));
  execute(folder.file, "PRAGMA wal_checkpoint(TRUNCATE)");
  // Caches the pages again.
  await store.ping();
  {
    using file = Deno.openSync(folder.file, { write: true });
    file.writeSync(new Uint8Array(4096));
  }
  assertEquals(await store.exist("a"), true);
  await assertRejects(() => store.ping(), Error, "file is not a database");
});

Deno.test("SqliteStore.ping() notices at once that its file was deleted, and rejects after the store was closed", {
  ignore: Deno.build.os === "windows",
}, async () => {
  using folder = new Folder();
  const store = new SqliteStore(folder.file, { synchronous: "normal" });
  await store.init();
  Deno.removeSync(folder.file);
  const { operation } = await assertRejects(() => store.ping(), SessionStoreError, "was deleted or replaced");
  assertEquals(operation, "ping");
  await store[Symbol.asyncDispose]();
  await assertRejects(() => store.ping(), SessionStoreError, "closed");
});

Deno.test("SqliteStore.ping() opens and creates nothing, and rejects until another call has opened the file", {
  ignore: Deno.build.os === "windows",
}, async () => {
  using folder = new Folder();
  await using store = new SqliteStore(folder.file, { synchronous: "normal" });
  const assertNotOpen = async (): Promise<void> => {
    const { operation } = await assertRejects(() => store.ping(), SessionStoreError, "sessions.db open; call init()");
    assertEquals(operation, "ping");
  };
  const files = (): string[] => ["", "-wal", "-shm"].filter((suffix) => existsSync(folder.file + suffix));
  await assertNotOpen();
  assertEquals(files(), []);
  const init = store.init();
  await store.ping();
  await init;

  for (const suffix of ["", "-wal", "-shm"]) Deno.removeSync(folder.file + suffix);
  await assertRejects(() => store.ping(), SessionStoreError, "was deleted or replaced");
  await assertNotOpen();
  assertEquals(files(), []);
  await store.create("a");
  await store.ping();
});

Deno.test("SqliteStore notices that its file was deleted or replaced", {
  ignore: Deno.build.os === "windows",
}, async (t) => {
  const files = (folder: Folder): string[] => ["", "-wal", "-shm"].map((suffix) => folder.file + suffix);
  const losses: [string, (folder: Folder) => void][] = [
    ["its file was deleted", (folder) => Deno.removeSync(folder.file)],
    ["all its files were deleted", (folder) => files(folder).forEach((path) => Deno.removeSync(path))],
    ["it was renamed", (folder) => files(folder).forEach((path) => Deno.renameSync(path, `${path}.old`))],
    ["it was replaced by a copy", (folder) => {
      execute(folder.file, `VACUUM INTO '${folder.path}/copy'`);
      files(folder).slice(1).forEach((path) => Deno.removeSync(path));
      Deno.renameSync(`${folder.path}/copy`, folder.file);
    }],
  ];
  const writes: [string, (store: SqliteStore) => Promise<unknown>][] = [
    ["set", (store) => store.setValue("a", "k", 2)],
    ["change", (store) => store.changeRecord("a", { set: new Map([["k", 2]]) })],
    ["change", (store) => store.changeRecord("gone", { set: new Map([["k", 2]]) })],
    ["create", (store) => store.create("b")],
    ["regenerate", (store) => store.moveRecord("a", "b", MOVE)],
    ["destroy", (store) => store.delete("a")],
    ["clear", (store) => store.clear()],
  ];
  for (const [name, lose] of losses) {
    for (const [operation, write] of writes) {
      await t.step(`a write notices that ${name}: ${operation}`, async () => {
        using folder = new Folder();
        await using store = new SqliteStore(folder.file, { synchronous: "normal" });
        await store.createRecord("a", record(Infinity, [["k", 1]]));
        lose(folder);
        const error = await assertRejects(() => write(store), SessionStoreError, "was deleted or replaced");
        assertEquals(error.operation, operation);
        assertStringIncludes(error.message, folder.file);
        // The next call works on the file that is there, and every process sees its writes.
        const kept = name.includes("copy") ? 1 : undefined;
        assertEquals(await store.getValue("a", "k"), kept);
        await store.createRecord("c", record(Infinity, [["k", 3]]));
        assertEquals(query(folder.file, "SELECT id FROM sessions ORDER BY id"), kept ? ["a", "c"] : ["c"]);
        await using other = new SqliteStore(folder.file);
        assertEquals(await other.getValue("c", "k"), 3);
      });
    }
    await t.step(`a read notices within a second that ${name}`, async () => {
      const reads: ((store: SqliteStore) => Promise<unknown>)[] = [
        async (store) => await store.readRecord("a"),
        (store) => store.exist("a"),
        (store) => store.listSessions("ada"),
      ];
      for (const read of reads) {
        using folder = new Folder();
        await using store = new SqliteStore(folder.file, { synchronous: "normal" });
        await store.createRecord("a", record(Infinity, [["k", 1]], "ada"));
        lose(folder);
        {
          using clock = new FakeClock(Date.now());
          clock.tick(1000);
          await assertRejects(() => read(store), SessionStoreError, "was deleted or replaced");
          assertEquals(await store.exist("a"), name.includes("copy"));
        }
      }
    });
  }
  await t.step("the middleware reports it as a failure of the store", async () => {
    using folder = new Folder();
    await using store = new SqliteStore(folder.file, { synchronous: "normal" });
    const events: string[] = [];
    const middleware = start({ onEvent: ({ type }) => void events.push(type) }, store);
    const cookie = await signUp(middleware, { count: 0 });
    Deno.removeSync(folder.file);
    await assertRejects(
      () => visit(middleware, { cookie }, ({ security }) => security.session.set("count", 1)),
      SessionStoreError,
    );
    assertEquals(events.at(-1), "storeFailed");
  });
});

Deno.test("SqliteStore saves its log if only that was deleted", { ignore: Deno.build.os === "windows" }, async () => {
  using folder = new Folder();
  await using store = new SqliteStore(folder.file, { synchronous: "normal" });
  await store.createRecord("a", record(Infinity, [["k", 1]]));
  Deno.removeSync(`${folder.file}-wal`);
  await store.setValue("a", "k", 2);
  using clock = new FakeClock(Date.now());
  clock.tick(1000);
  await assertRejects(
    () => store.exist("a"),
    SessionStoreError,
    "sessions.db-wal was deleted or replaced while it was open; the last writes may be lost",
  );
  assertEquals(await store.getValue("a", "k"), 2);
  assertEquals(query(folder.file, "PRAGMA integrity_check"), ["ok"]);
});

Deno.test("SqliteStore checks the file that it opened, also in another working directory", async () => {
  using folder = new Folder();
  const before = Deno.cwd();
  Deno.chdir(folder.path);
  await using store = new SqliteStore("sessions.db");
  try {
    await store.init();
  } finally {
    Deno.chdir(before);
  }
  await store.create("a");
  Deno.removeSync(folder.file);
  if (Deno.build.os !== "windows") await assertRejects(() => store.create("b"), SessionStoreError, "was deleted");
});

Deno.test("SqliteStore asks for no permission beyond that for its file", {
  permissions: { read: [`${shared.path}/restricted.db`], write: [`${shared.path}/restricted.db`] },
}, async () => {
  const { statSync } = Deno;
  const refused: unknown[] = [];
  Deno.statSync = (path) => {
    try {
      return statSync(path);
    } catch (error) {
      // In a terminal, Deno would ask the user and block the process.
      if (error instanceof Deno.errors.NotCapable) refused.push(path);
      throw error;
    }
  };
  try {
    await using store = new SqliteStore(`${shared.path}/restricted.db`);
    await store.create("a");
    using clock = new FakeClock(Date.now());
    clock.tick(1000);
    assertEquals([await store.exist("a"), refused], [true, []]);
  } finally {
    Deno.statSync = statSync;
  }
});

Deno.test("SqliteStore rejects invalid options", () => {
  const construct = (path: unknown, options: unknown): unknown => Reflect.construct(SqliteStore, [path, options]);
  const cases: [unknown, unknown, typeof TypeError | typeof RangeError, string][] = [
    [undefined, {}, TypeError, "path"],
    [1, {}, TypeError, "path"],
    ["file:sessions.db?mode=ro", {}, TypeError, "path"],
    ["", {}, RangeError, "path"],
    ["x", { synchronous: true }, TypeError, "synchronous"],
    ["x", { synchronous: "off" }, RangeError, "synchronous"],
    ["x", { busyTimeout: "5" }, TypeError, "busyTimeout"],
    ...[-1, NaN, Infinity].map((busyTimeout): [string, unknown, typeof RangeError, string] => {
      return ["x", { busyTimeout }, RangeError, "busyTimeout"];
    }),
  ];
  for (const [path, options, type, name] of cases) assertThrows(() => construct(path, options), type, `\`${name}\``);
});
