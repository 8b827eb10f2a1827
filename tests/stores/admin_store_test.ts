/** `countSessions()` and `listPrincipals()` of the stores that need no server. */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { setImmediate } from "node:timers";
import { MemoryStore, type SessionRecord } from "../../mod.ts";
import type { PrincipalListStore } from "../../src/admin_store.ts";
import { DenoKvStore } from "../../src/stores/deno_kv_store.ts";
import { SqliteStore } from "../../src/stores/sqlite_store.ts";
import { assert, assertEquals } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { microtasks } from "../helpers/microtasks.ts";

const META = { createdAt: 1, seenAt: 2, renewedAt: 3 };
const MINUTE = 60_000;

function record(principal?: string, expiresAt = Infinity, values: [string, unknown][] = []): SessionRecord {
  return { expiresAt, values: new Map(values), meta: principal === undefined ? META : { ...META, principal } };
}

/** Counts the tasks that the process handles until a call has ended. */
async function tasksDuring(call: () => Promise<unknown>): Promise<number> {
  let tasks = 0;
  let ended = false;
  const task = (): void => {
    tasks++;
    if (!ended) setImmediate(task);
  };
  setImmediate(task);
  await call();
  ended = true;
  return tasks;
}

/** Lists all users, in pages. */
async function usersInPages(store: PrincipalListStore, limit: number): Promise<string[]> {
  const users: string[] = [];
  for (;;) {
    const page = await store.listPrincipals({ after: users.at(-1), limit });
    users.push(...page.map(({ principal }) => principal));
    if (page.length < limit) return users;
  }
}

Deno.test("MemoryStore lets the process handle other events while it counts many sessions", async () => {
  const store = new MemoryStore();
  for (let i = 0; i < 35_000; i++) store.createRecord(`${i}`, record(i % 2 === 0 ? `user ${i}` : undefined));
  assert(await tasksDuring(() => store.countSessions()) >= 3);
  assertEquals(await store.countSessions(), { total: 35_000, signedIn: 17_500 });
});

Deno.test("MemoryStore counts few sessions without a task, so that it works while a test fakes the timers", async () => {
  const store = new MemoryStore();
  for (let i = 0; i < 9_999; i++) store.createRecord(`${i}`, record());
  const count = store.countSessions();
  assertEquals(await Promise.race([count, microtasks().then(() => "later")]), { total: 9_999, signedIn: 0 });
});

Deno.test("MemoryStore.countSessions() counts what is there while sessions begin and end", async () => {
  const store = new MemoryStore();
  for (let i = 0; i < 30_000; i++) store.createRecord(`${i}`, record());
  const count = store.countSessions();
  await store.clear();
  store.createRecord("new", record("ada"));
  const { total } = await count;
  assert(total >= 10_000 && total <= 30_001, String(total));
  assertEquals(await store.countSessions(), { total: 1, signedIn: 1 });
});

Deno.test("MemoryStore lists users in one order, however many there are and whatever the size of a page", async () => {
  const store = new MemoryStore();
  const users = Array.from({ length: 5000 }, (_, i) => `user ${i}`);
  for (const [i, user] of users.entries()) store.createRecord(`${i}`, record(user));
  const all = await usersInPages(store, 10_000);
  assertEquals(all.toSorted(), users.toSorted());
  for (const limit of [7, 100, 5000]) assertEquals(await usersInPages(store, limit), all);
  // A user who was never there has a position too.
  const after = await store.listPrincipals({ after: "nobody", limit: 10_000 });
  assert(after.length > 0 && after.length < 5000);
  assertEquals(after.map(({ principal }) => principal), all.slice(-after.length));
});

Deno.test("MemoryStore.listPrincipals() removes expired sessions, and lets the process handle other events", async () => {
  using clock = new FakeClock();
  const store = new MemoryStore();
  for (let i = 0; i < 40_000; i++) store.createRecord(`${i}`, record(`user ${i}`, clock.now + MINUTE));
  store.createRecord("live", record("ada"));
  clock.tick(MINUTE);
  let listed: unknown;
  assert(await tasksDuring(async () => listed = await store.listPrincipals({ limit: 10 })) >= 3);
  assertEquals(listed, [{ principal: "ada", sessions: 1 }]);
  assertEquals(store.size, 1);
});

Deno.test("SqliteStore counts the rows of sessions in several steps, and lets the process handle other events", async () => {
  using clock = new FakeClock();
  const path = await Deno.makeTempFile();
  await Deno.remove(path);
  {
    await using store = new SqliteStore(path, { synchronous: "normal" });
    await store.createRecord("first", record("ada"));
    using db = new DatabaseSync(path);
    const insert = db.prepare("INSERT INTO sessions (id, data, meta, expires_at, version) VALUES (?, ?, ?, ?, 0)");
    const meta = JSON.stringify(META);
    db.exec("BEGIN");
    for (let i = 0; i < 9000; i++) {
      // A third each: a live session, an expired one, and a trace.
      const isTrace = i % 3 === 0;
      const text = isTrace ? '{"movedTo":"first","graceUntil":0}' : meta;
      insert.run(`${i}`, isTrace ? null : "{}", text, i % 3 === 1 ? clock.now : clock.now + MINUTE);
    }
    db.exec("COMMIT");
    let count: unknown;
    assert(await tasksDuring(async () => count = await store.countSessions()) >= 4);
    assertEquals(count, { total: 3001, signedIn: 1 });
    clock.tick(MINUTE);
    assertEquals(await store.countSessions(), { total: 1, signedIn: 1 });
  }
  await Deno.remove(path);
});

Deno.test("SqliteStore finds a page of users by an index, in the order of their code points", async () => {
  const path = await Deno.makeTempFile();
  await Deno.remove(path);
  const { prepare } = DatabaseSync.prototype;
  const statements: string[] = [];
  DatabaseSync.prototype.prepare = function (sql, ...rest): StatementSync {
    statements.push(sql);
    return prepare.call(this, sql, ...rest);
  };
  {
    await using store = new SqliteStore(path, { synchronous: "normal" });
    await store.init();
    DatabaseSync.prototype.prepare = prepare;
    for (const user of ["b", "a", "é", "B", "a\0", "🍪", "aa"]) {
      await store.createRecord(`of ${user}`, record(user));
      await store.createRecord(`of ${user} too`, record(user, 1));
    }
    assertEquals(await usersInPages(store, 2), ["B", "a", "a\0", "aa", "b", "é", "🍪"]);
    using db = new DatabaseSync(path);
    const sql = statements.find((text) => text.includes("GROUP BY")) ?? "";
    const plan = prepare.call(db, `EXPLAIN QUERY PLAN ${sql}`).all("a", 0, 10).map(({ detail }) => detail);
    assertEquals(plan, ["SEARCH sessions USING INDEX sessions_principal (<expr>>?)"]);
  }
  await Deno.remove(path);
});

Deno.test("DenoKvStore counts sessions of any size once, and none that another process has cleared", async () => {
  using kv = await Deno.openKv(":memory:");
  const [store, other] = [new DenoKvStore(kv), new DenoKvStore(kv)];
  for (let i = 0; i < 1100; i++) await store.createRecord(`${i}`, record(i < 600 ? "ada" : undefined));
  await store.createRecord("large", record("bob", Infinity, [["k", "x".repeat(300_000)]]));
  await store.moveRecord("0", "moved", { meta: {}, graceUntil: 0 });
  assertEquals(await store.countSessions(), { total: 1101, signedIn: 601 });
  assertEquals(
    new Map((await store.listPrincipals({ limit: 9 })).map(({ principal, sessions }) => [principal, sessions])),
    new Map([["ada", 600], ["bob", 1]]),
  );

  // clear() has ended all sessions, and has removed none of them yet.
  const removing = Promise.withResolvers<void>();
  const stopped = new Proxy(kv, {
    get: (target, name): unknown => {
      const member: unknown = Reflect.get(target, name);
      if (name === "list") return () => removing.resolve() ?? [Promise.reject(new Error("stopped"))];
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
  await new DenoKvStore(stopped).clear().catch(() => {});
  await removing.promise;
  for (const each of [store, other]) {
    assertEquals(await each.countSessions(), { total: 0, signedIn: 0 });
    assertEquals(await each.listPrincipals({ limit: 9 }), []);
  }
});
