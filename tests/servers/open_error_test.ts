/** The errors of `init()`: which backend could not be opened, where, why, and what to do. */
import postgres from "npm:postgres@3.4.9";
import { createClient, createClientPool, createCluster } from "npm:redis@6.3.1";
import { createStorage, type Driver } from "npm:unstorage@1.17.6";
import memoryDriver from "npm:unstorage@1.17.6/drivers/memory";
import { DenoKvStore } from "@alosaur/session/kv";
import { PostgresStore } from "@alosaur/session/postgres";
import { type RedisClientLike, RedisStore } from "@alosaur/session/redis";
import { SqliteStore } from "@alosaur/session/sqlite";
import { type UnstorageLike, UnstorageStore } from "@alosaur/session/unstorage";
import { type SessionStore, SessionStoreError } from "../../mod.ts";
import { openError } from "../../src/stores/_open_error.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "../helpers/assert.ts";
import { FakeTimers, outcomeOf, quiet } from "../helpers/timers.ts";

/** A user and a password that occur in no other part of a message. */
const CREDENTIALS = "ada:s3cret";
const REFUSED = "connect ECONNREFUSED 127.0.0.1:1";
const REDIS_ADVICE = "check the address, and that Redis runs and accepts this client";
const POSTGRES_ADVICE = "check the address, the user, and its rights in the database";

/** Opens a store that cannot be opened, and returns its error. */
async function failure(store: SessionStore & AsyncDisposable): Promise<SessionStoreError> {
  await using _ = store;
  const error = await assertRejects(() => store.init(), SessionStoreError, "Cannot open the sessions in ");
  assertEquals([error.operation, JSON.stringify(error)], ["init", "{}"]);
  assert(error.cause instanceof Error);
  return error;
}

/** Returns a client that does not reconnect. */
const redisClient = (options: Parameters<typeof createClient>[0]): RedisClientLike =>
  createClient({ ...options, socket: { ...options?.socket, reconnectStrategy: false } });

Deno.test("RedisStore.init() says which Redis could not be reached, and names no user and no password", async () => {
  const at = (address: string, reason = REFUSED): string =>
    `Cannot open the sessions in Redis at ${address}: ${reason}; ${REDIS_ADVICE}`;
  const stores: [RedisClientLike | string | URL, string][] = [
    [`redis://${CREDENTIALS}@127.0.0.1:1/2`, at("127.0.0.1:1")],
    [new URL("redis://127.0.0.1:1"), at("127.0.0.1:1")],
    ["redis://[::1]:1", at("[::1]:1", "connect ECONNREFUSED ::1:1")],
    [redisClient({ socket: { host: "::1", port: 1 } }), at("[::1]:1", "connect ECONNREFUSED ::1:1")],
    [redisClient({ url: `redis://${CREDENTIALS}@127.0.0.1:1` }), at("127.0.0.1:1")],
    [redisClient({ username: "ada", password: "s3cret", socket: { host: "127.0.0.1", port: 1 } }), at("127.0.0.1:1")],
    [
      redisClient({ socket: { path: "/nowhere/redis.sock", tls: false } }),
      at("/nowhere/redis.sock", "connect ENOENT /nowhere/redis.sock"),
    ],
  ];
  for (const [clientOrUrl, message] of stores) {
    assertEquals((await failure(new RedisStore(clientOrUrl))).message, message);
  }
});

Deno.test("RedisStore.init() names the nodes that a cluster was created with", async () => {
  const cluster = createCluster({ rootNodes: [{ url: `redis://${CREDENTIALS}@127.0.0.1:1` }] });
  const { message } = await failure(new RedisStore(cluster));
  const at = "Redis Cluster at 127\\.0\\.0\\.1:1: All the root nodes are unavailable; check the add";
  assertMatch(message, new RegExp(`^Cannot open the sessions in ${at}`));
});

Deno.test("RedisStore.init() names no address of a pool, whose client does not tell it", async () => {
  const pool = createClientPool({ url: "redis://127.0.0.1:1", socket: { reconnectStrategy: false } });
  assertEquals(
    (await failure(new RedisStore(pool as unknown as RedisClientLike))).message,
    `Cannot open the sessions in Redis: ${REFUSED}; ${REDIS_ADVICE}`,
  );
});

Deno.test("PostgresStore.init() says which server could not be reached, and names no user and no password", async () => {
  const at = (address: string, reason = REFUSED): string =>
    `Cannot open the sessions in PostgreSQL at ${address}: ${reason}; ${POSTGRES_ADVICE}`;
  const sql = postgres(`postgres://${CREDENTIALS}@127.0.0.1:1/app`, { backoff: () => 0 });
  // postgres.js 3.4.9 accepts an IPv6 address only in an array, which its types lack.
  const host = ["::1"] as unknown as string;
  const ipv6 = postgres({ host, port: [1] as unknown as number, user: "ada", database: "app", backoff: () => 0 });
  const stores: [ConstructorParameters<typeof PostgresStore>[0], string][] = [
    [`postgres://${CREDENTIALS}@127.0.0.1:1/app`, at("127.0.0.1:1/app")],
    [`postgres://${CREDENTIALS}@127.0.0.1:1`, at("127.0.0.1:1")],
    [ipv6, at("[::1]:1/app", "connect ECONNREFUSED ::1:1")],
    [sql, at("127.0.0.1:1/app")],
  ];
  for (const [sqlOrUrl, message] of stores) {
    assertEquals((await failure(new PostgresStore(sqlOrUrl))).message, message);
  }
  await sql.end();
  await ipv6.end();
});

/** Starts a server that accepts connections and never answers. */
function silentServer(): { port: number } & Disposable {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const clients: Deno.Conn[] = [];
  (async () => {
    for await (const client of listener) clients.push(client);
  })();
  return {
    port: listener.addr.port,
    [Symbol.dispose](): void {
      listener.close();
      for (const client of clients) client.close();
    },
  };
}

Deno.test("RedisStore.init() rejects if the server accepts the connection and does not answer for five seconds", async () => {
  using server = silentServer();
  using timers = new FakeTimers();
  await using store = new RedisStore(`redis://${CREDENTIALS}@127.0.0.1:${server.port}`);
  const init = store.init();
  timers.tick(4999);
  assertEquals(await outcomeOf(init), "pending");
  timers.tick(1);
  const { message } = await assertRejects(() => init, SessionStoreError);
  const reason = "it did not answer within 5 s";
  assertEquals(message, `Cannot open the sessions in Redis at 127.0.0.1:${server.port}: ${reason}; ${REDIS_ADVICE}`);
});

Deno.test("PostgresStore.init() rejects after ten seconds if none of several hosts can be reached", async () => {
  const hosts = "127.0.0.1:1,127.0.0.1:1";
  const { setTimeout } = globalThis;
  const delays: unknown[] = [];
  // postgres.js tries the hosts forever, so fake timers would never stand still.
  globalThis.setTimeout = ((callback: () => void, delay = 0, ...args: []) => {
    if (delay >= 5000) delays.push(delay);
    return setTimeout(callback, delay >= 5000 ? delay / 100 : delay, ...args);
  }) as typeof setTimeout;
  try {
    const { message } = await failure(new PostgresStore(`postgres://${CREDENTIALS}@${hosts}/app`));
    const reason = "it did not answer within 10 s";
    assertEquals(message, `Cannot open the sessions in PostgreSQL at ${hosts}/app: ${reason}; ${POSTGRES_ADVICE}`);
    assert(delays.includes(10_000), String(delays));
  } finally {
    globalThis.setTimeout = setTimeout;
  }
});

Deno.test("PostgresStore.init() that none of several hosts answered does not keep the process alive", async () => {
  // The coverage of the child process does not belong to this run.
  const { DENO_COVERAGE_DIR: _, ...env } = Deno.env.toObject();
  const config = new URL("../../deno.json", import.meta.url).pathname;
  await using process = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--config", config, `${import.meta.dirname}/_failed_init_process.ts`],
    clearEnv: true,
    env,
    stdout: "piped",
    // Only a process that stays alive is killed.
    signal: AbortSignal.timeout(30_000),
  }).spawn();
  assertMatch(await new Response(process.stdout).text(), /: it did not answer within 10 s; /);
  assertEquals((await process.status).success, true);
});

Deno.test("SqliteStore.init() says which file could not be opened", async () => {
  const path = `${import.meta.dirname}/no folder/sessions.db`;
  assertMatch(
    (await failure(new SqliteStore(path))).message,
    /^Cannot open the sessions in SQLite at .*\/no folder\/sessions\.db: No such file .*; check the path, and that this/,
  );
});

Deno.test("DenoKvStore.init() says that the database is not open", async () => {
  const kv = await Deno.openKv(":memory:");
  kv.close();
  assertEquals(
    (await failure(new DenoKvStore(kv))).message,
    "Cannot open the sessions in Deno KV: Bad resource ID; pass an open database that answers: `await Deno.openKv(path)`",
  );
});

Deno.test("DenoKvStore.init() and UnstorageStore.init() reject if the backend does not answer for ten seconds", async (t) => {
  using kv = await Deno.openKv(":memory:");
  const hang = (): Promise<never> => new Promise(() => {});
  const silentKv = new Proxy(kv, { get: (kv, name) => name === "get" ? hang : Reflect.get(kv, name).bind(kv) });
  const { getItem: _, ...driver } = memoryDriver();
  const stores: [string, SessionStore][] = [
    ["Deno KV", new DenoKvStore(silentKv)],
    ["unstorage with the driver memory", new UnstorageStore(createStorage({ driver: { ...driver, getItem: hang } }))],
  ];
  for (const [name, store] of stores) {
    await t.step(name, async () => {
      using timers = new FakeTimers();
      const init = store.init();
      await quiet();
      timers.tick(9999);
      assertEquals(await outcomeOf(init), "pending");
      timers.tick(1);
      const { message } = await assertRejects(() => init, SessionStoreError);
      assertMatch(message, new RegExp(`^Cannot open the sessions in ${name}: it did not answer within 10 s; `));
    });
  }
});

Deno.test("UnstorageStore.init() names the driver of its keys and the reason, if the storage tells the driver", async () => {
  const failing: Driver = {
    ...memoryDriver(),
    name: "mongodb",
    getItem: () => Promise.reject(new Error("it is down")),
  };
  const advice = "check the options of the driver, and that it can reach the backend, write and remove";
  const storages: [UnstorageLike, string][] = [
    [createStorage({ driver: failing }), " with the driver mongodb"],
    [createStorage().mount("session", failing), " with the driver mongodb"],
    [createStorage({ driver: { ...failing, name: undefined } }), ""],
    [{ ...createStorage({ driver: failing }), getMount: undefined }, ""],
  ];
  for (const [storage, driver] of storages) {
    assertEquals(
      (await failure(new UnstorageStore(storage))).message,
      `Cannot open the sessions in unstorage${driver}: it is down; ${advice}`,
    );
  }
});

Deno.test("openError() leaves out the name of the user, and takes the code if there is no message", () => {
  const message = (cause: unknown, user?: string): string =>
    openError({ backend: "X", server: user === undefined ? user : { address: "", user }, advice: "look" }, cause)
      .message.replace("Cannot open the sessions in X: ", "");
  assertEquals(message(new Error('role "ada" does not exist'), "ada"), 'role "<user>" does not exist; look');
  assertEquals(message(new Error("User a.b has no permissions"), "a.b"), "User <user> has no permissions; look");
  assertEquals(message(new Error("a refusal"), "a"), "<user> refusal; look");
  assertEquals(message(new Error("refused")), "refused; look");
  assertEquals(message(Object.assign(new Error(""), { code: "ECONNREFUSED" })), "ECONNREFUSED; look");
  assertEquals(message(undefined), "it failed; look");
});
