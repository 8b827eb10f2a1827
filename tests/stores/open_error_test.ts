/** The errors of `init()`: which backend could not be opened, where, why, and what to do. */
import postgres from "npm:postgres@3.4.9";
import { createClient, createClientPool, createCluster } from "npm:redis@6.3.1";
import { DenoKvStore } from "@alosaur/session/kv";
import { PostgresStore } from "@alosaur/session/postgres";
import { type RedisClientLike, RedisStore } from "@alosaur/session/redis";
import { SqliteStore } from "@alosaur/session/sqlite";
import { type SessionStore, SessionStoreError } from "../../mod.ts";
import { openError } from "../../src/stores/_open_error.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "../helpers/assert.ts";
import { FakeTimers, outcomeOf } from "../helpers/timers.ts";

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

Deno.test("RedisStore.init() names a cluster, whose addresses its client does not tell before it is connected", async () => {
  const cluster = createCluster({ rootNodes: [{ url: `redis://${CREDENTIALS}@127.0.0.1:1` }] });
  const { message } = await failure(new RedisStore(cluster));
  assertMatch(message, /^Cannot open the sessions in Redis Cluster: All the root nodes are unavailable; check the add/);
});

Deno.test("RedisStore.init() names no address of a pool, whose client does not tell it", async () => {
  const pool = createClientPool({ url: "redis://127.0.0.1:1", socket: { reconnectStrategy: false } });
  assertEquals(
    (await failure(new RedisStore(pool as unknown as RedisClientLike))).message,
    `Cannot open the sessions in Redis: ${REFUSED}; ${REDIS_ADVICE}`,
  );
});

Deno.test("PostgresStore.init() says which server could not be reached, and names no user and no password", async () => {
  const at = (address: string): string =>
    `Cannot open the sessions in PostgreSQL at ${address}: ${REFUSED}; ${POSTGRES_ADVICE}`;
  const sql = postgres(`postgres://${CREDENTIALS}@127.0.0.1:1/app`, { backoff: () => 0 });
  const stores: [ConstructorParameters<typeof PostgresStore>[0], string][] = [
    [`postgres://${CREDENTIALS}@127.0.0.1:1/app`, at("127.0.0.1:1/app")],
    [`postgres://${CREDENTIALS}@127.0.0.1:1`, at("127.0.0.1:1")],
    [sql, at("127.0.0.1:1/app")],
  ];
  for (const [sqlOrUrl, message] of stores) {
    assertEquals((await failure(new PostgresStore(sqlOrUrl))).message, message);
  }
  await sql.end();
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
  // postgres.js tries the hosts for ever, so fake timers would never stand still.
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
    "Cannot open the sessions in Deno KV: Bad resource ID; pass an open database: `await Deno.openKv(path)`",
  );
});

Deno.test("openError() leaves out the name of the user, and takes the code if there is no message", () => {
  const message = (cause: unknown, user?: string): string =>
    openError({ where: "X", advice: "look", user }, cause).message.replace("Cannot open the sessions in X: ", "");
  assertEquals(message(new Error('role "ada" does not exist'), "ada"), 'role "<user>" does not exist; look');
  assertEquals(message(new Error("User a.b has no permissions"), "a.b"), "User <user> has no permissions; look");
  assertEquals(message(new Error("a refusal"), "a"), "<user> refusal; look");
  assertEquals(message(new Error("refused")), "refused; look");
  assertEquals(message(Object.assign(new Error(""), { code: "ECONNREFUSED" })), "ECONNREFUSED; look");
  assertEquals(message(undefined), "it failed; look");
});
