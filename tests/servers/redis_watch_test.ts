import { type EventEmitter, once } from "node:events";
import { createClient, createClientPool } from "npm:redis@6.3.1";
import { SessionNotSupportedError, SessionStoreError, type Watch } from "@alosaur/session";
import { type RedisClientLike, RedisStore } from "@alosaur/session/redis";
import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "../helpers/assert.ts";
import { start } from "../helpers/request.ts";
import { FakeTimers } from "../helpers/timers.ts";
import { nextTask } from "../../src/util/next_task.ts";
import { faultyProxy } from "./_faulty_proxy.ts";
import { startProcess } from "./_process.ts";
import { findRedisServer, type OwnRedis, startRedis, until } from "./_redis.ts";
import { asCluster, record } from "./_redis_client.ts";
import { isThere } from "./_require.ts";

const MINUTE = 60_000;

/** A watch, and what it has reported. */
interface Watching extends AsyncDisposable {
  watch: Watch;
  reported: (string | undefined)[];
}

async function watching(store: RedisStore): Promise<Watching> {
  const reported: (string | undefined)[] = [];
  const watch = await store.watch((sid) => reported.push(sid));
  return { watch, reported, [Symbol.asyncDispose]: () => watch[Symbol.asyncDispose]() };
}

async function opened(clientOrUrl: RedisClientLike | string): Promise<RedisStore> {
  const store = new RedisStore(clientOrUrl);
  await store.init();
  return store;
}

/** Returns the ids of the connections over which a server reports changes. */
async function watchConnections(redis: OwnRedis): Promise<string[]> {
  const clients = (await redis.cli("CLIENT", "LIST")).split("\n");
  return clients.filter((client) => / flags=\w*B/.test(client)).map((client) => /id=(\d+)/.exec(client)?.[1] ?? "");
}

/** Waits until a watch has lost its connection and has another one. */
async function untilBack({ watch, reported }: Watching): Promise<void> {
  await until(
    "the watch has another connection",
    async () =>
      reported.filter((sid) => sid === undefined).length >= 2 && await watch.confirm().then(() => true, () => false),
  );
}

/** Fails unless a write is reported. */
async function assertReported({ watch, reported }: Watching, store: RedisStore): Promise<void> {
  const sid = crypto.randomUUID();
  await store.create(sid);
  await watch.confirm();
  assert(reported.includes(sid), String(reported));
}

/**
 * Returns the port of a proxy that replaces a text in what clients send by another one of the same
 * length.
 */
function replacingProxy(port: number, from: string, to: string): { port: number } & Disposable {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  (async () => {
    for await (const client of listener) {
      const server = await Deno.connect({ port });
      const replace = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
        transform: (chunk, controller) =>
          controller.enqueue(new TextEncoder().encode(new TextDecoder().decode(chunk).replace(from, to))),
      });
      client.readable.pipeThrough(replace).pipeTo(server.writable).catch(() => {});
      server.readable.pipeTo(client.writable).catch(() => {});
    }
  })();
  return { port: listener.addr.port, [Symbol.dispose]: () => listener.close() };
}

if (await isThere("redis", "the watches of RedisStore", findRedisServer)) {
  Deno.test("RedisStore.watch() reports the writes of another process", async () => {
    await using redis = await startRedis();
    await using store = await opened(redis.url);
    await using watched = await watching(store);
    const { watch, reported } = watched;
    assertEquals([store.reportsAll, watch.keyOf("a")], [true, "a"]);
    await using process = startProcess("@alosaur/session/redis", "RedisStore", redis.url);
    const cookie = String(await process.tell("signUp"));
    reported.length = 0;
    await process.tell("logout", cookie);
    await watch.confirm();
    assertEquals(new Set(reported).size, 1);
    assert(reported[0] !== undefined && cookie.includes(reported[0]));
  });

  Deno.test("RedisStore.watch() reports sessions only, and clear() at once", async () => {
    await using redis = await startRedis();
    await using store = await opened(redis.url);
    await using other = new RedisStore(redis.url, { prefix: "session:id" });
    await other.init();
    await using watched = await watching(store);
    const { watch, reported } = watched;
    await store.createRecord("a", record(MINUTE, { principal: "ada" }));
    await store.createRecord("id:é", record(MINUTE, { principal: "id:a" }));
    await other.create("b");
    await redis.cli("SET", "session:epochal", "");
    await watch.confirm();
    assertEquals(new Set(reported), new Set(["a", "id:é"]));
    reported.length = 0;
    await store.clear();
    await watch.confirm();
    assertEquals(reported[0], undefined);
    for (const flush of ["FLUSHDB", "FLUSHALL"]) {
      reported.length = 0;
      await redis.cli(flush);
      await watch.confirm();
      assertEquals(reported, [undefined]);
    }
  });

  Deno.test("RedisStore.watch() reports all 10,000 writes of two stores, and leaves no connection open", async () => {
    await using redis = await startRedis();
    await using one = await opened(redis.url);
    await using two = await opened(redis.url);
    const stores = [one, two] as const;
    {
      await using watched = await watching(one);
      const reported = new Set<string | undefined>();
      await using second = await two.watch((sid) => reported.add(sid));
      await watched.watch.confirm();
      watched.reported.length = 0;
      for (let i = 0; i < 10_000; i += 100) {
        await Promise.all(Array.from({ length: 100 }, (_, j) => stores[j % 2]?.create(String(i + j))));
      }
      await Promise.all([watched.watch.confirm(), second.confirm()]);
      assertEquals([new Set(watched.reported).size, reported.size], [10_000, 10_000]);
      assert(!reported.has(undefined));
      assertEquals((await watchConnections(redis)).length, 2);
    }
    await until("both connections are closed", async () => (await watchConnections(redis)).length === 0);
  });

  Deno.test("RedisStore.watch() reports that anything may have changed when its connection is lost, and when it is back", async (t) => {
    await using redis = await startRedis();
    await using store = await opened(redis.url);
    await t.step("the connection is killed", async () => {
      await using watched = await watching(store);
      const [id = ""] = await watchConnections(redis);
      assertEquals(await redis.cli("CLIENT", "KILL", "ID", id), "1");
      await untilBack(watched);
      assertEquals(watched.reported, [undefined, undefined]);
      await assertReported(watched, store);
      assertEquals((await watchConnections(redis)).length, 1);
    });
    await t.step("the server is killed and restarted", async () => {
      await using watched = await watching(store);
      redis.signal("SIGKILL");
      await until("the watch knows", () => watched.reported.length === 1);
      await assertRejects(() => watched.watch.confirm(), SessionStoreError, "the connection to Redis is lost");
      await redis.restart();
      await untilBack(watched);
      assertEquals(watched.reported, [undefined, undefined]);
      await until("the store works", () => store.exist("a").then(() => true, () => false));
      await assertReported(watched, store);
    });
    await t.step("the server is silent", async () => {
      await using asked = await watching(store);
      await using unasked = await watching(store);
      redis.signal("SIGSTOP");
      await assertRejects(() => asked.watch.confirm(), SessionStoreError, "Redis has not confirmed it");
      await until("both watches know", () => asked.reported.length > 0 && unasked.reported.length > 0);
      await assertRejects(() => asked.watch.confirm(), SessionStoreError, "the connection to Redis is lost");
      redis.signal("SIGCONT");
      await Promise.all([untilBack(asked), untilBack(unasked)]);
      await assertReported(asked, store);
      await assertReported(unasked, store);
    });
    await t.step("the connection is lost while confirm() waits", async () => {
      await using watched = await watching(store);
      const [id = ""] = await watchConnections(redis);
      await redis.cli("CLIENT", "PAUSE", "60000", "WRITE");
      const rejects = assertRejects(() => watched.watch.confirm(), SessionStoreError, "Redis has not confirmed it");
      await redis.cli("CLIENT", "KILL", "ID", id);
      await rejects;
      await redis.cli("CLIENT", "UNPAUSE");
      await untilBack(watched);
    });
  });

  Deno.test("RedisStore.watch() leaves a server that has become a replica, and follows its URL to the new master", async () => {
    await using one = await startRedis({ "repl-diskless-sync-delay": "0" });
    await using two = await startRedis({ "repl-diskless-sync-delay": "0" });
    const target = { port: one.port };
    await using proxy = faultyProxy(target);
    await using store = await opened(`redis://127.0.0.1:${proxy.port}`);
    await using watched = await watching(store);
    await one.cli("REPLICAOF", "127.0.0.1", String(two.port));
    await assertRejects(() => watched.watch.confirm(), SessionStoreError);
    // A replica also reports that it removes its data.
    assertEquals(new Set(watched.reported), new Set([undefined]));
    await assertRejects(() => store.watch(() => {}), SessionStoreError, "read only replica");
    target.port = two.port;
    await untilBack(watched);
    await assertReported(watched, store);
    assertEquals([(await watchConnections(one)).length, (await watchConnections(two)).length], [0, 1]);
  });

  Deno.test("RedisStore.watch() confirms nothing while the store writes to another server than the one that reports", async () => {
    await using one = await startRedis();
    await using two = await startRedis();
    const target = { port: one.port };
    await using proxy = faultyProxy(target);
    await using store = await opened(`redis://127.0.0.1:${proxy.port}`);
    await using watched = await watching(store);
    // A DNS name leads to the new server, and the old one is still alive and accepts writes.
    target.port = two.port;
    const ids = await watchConnections(one);
    const clients = (await one.cli("CLIENT", "LIST")).matchAll(/^id=(\d+)/gm);
    for (const [, id = ""] of clients) if (!ids.includes(id)) await one.cli("CLIENT", "KILL", "ID", id);
    await until("the store writes to the new server", () => store.create("a").then(() => true, () => false));
    assertEquals(await two.cli("EXISTS", "session:id:a"), "1");
    await assertRejects(() => watched.watch.confirm(), SessionStoreError, "a proxy may not support it");
    await untilBack(watched);
    await assertReported(watched, store);
    assertEquals([(await watchConnections(one)).length, (await watchConnections(two)).length], [0, 1]);
  });

  Deno.test("RedisStore.watch() works with every kind of client of one server, and never closes it", async (t) => {
    await using redis = await startRedis();
    await redis.cli("ACL", "SETUSER", "app", "on", ">s3cret", "~*", "+@all");
    const url = `redis://app:s3cret@127.0.0.1:${redis.port}/3`;
    const socket = {
      host: "127.0.0.1",
      port: redis.port,
      tls: false,
      socketTimeout: 500,
      reconnectStrategy: () => 10,
    } as const;
    const clients: [string, RedisClientLike & { close(): Promise<unknown>; connect(): Promise<unknown> }][] = [
      ["a client with a URL", createClient({ url })],
      ["a client with RESP 2", createClient({ url, RESP: 2 })],
      ["a client with a prefix", createClient({ url, keyPrefix: "app:" })],
      ["a client that receives the reports itself", createClient({ url, emitInvalidate: true })],
      ["a client with a cache", createClient({ url, clientSideCache: { ttl: 0, maxEntries: 0 } })],
      [
        "a client with options",
        createClient({ socket, username: "app", password: "s3cret", database: 2, pingInterval: 20 }),
      ],
      ["a pool", createClientPool({ url }, { minimum: 1, maximum: 2 })],
    ];
    for (const [name, client] of clients) {
      await t.step(name, async () => {
        {
          await using store = await opened(client);
          await using watched = await watching(store);
          await assertReported(watched, store);
          const [id = ""] = (await watchConnections(redis)).slice(-1);
          await redis.cli("CLIENT", "KILL", "ID", id);
          await untilBack(watched);
          await assertReported(watched, store);
          // A watch whose connection is idle keeps it.
          if (name === "a client with options") {
            for (let pings = 0; pings < 40; pings++) await once(client as unknown as EventEmitter, "ping-interval");
          }
          assertEquals(watched.reported.filter((sid) => sid === undefined).length, 2);
        }
        await until("the connection is closed", async () => (await watchConnections(redis)).length === 0);
        assertEquals(client.isOpen, true);
        await client.close();
      });
    }
  });

  Deno.test("RedisStore.watch() rejects with the reason and what to do, and names no user and no password", async (t) => {
    await using redis = await startRedis();
    const at = `Cannot watch the sessions in Redis at 127.0.0.1:${redis.port}: `;
    const failure = async (store: RedisStore): Promise<string> => {
      const error = await assertRejects(
        () => store.watch(() => {}),
        SessionStoreError,
        "Cannot watch the sessions in ",
      );
      assertEquals(error.operation, "watch");
      assert(error.cause instanceof Error);
      assert(!/s3cret|\bapp\b/.test(error.message), error.message);
      return error.message;
    };
    await t.step("the user lacks the permission, until it is given", async () => {
      const allowed = ["-@all", "+evalsha", "+eval", "+hello", "+@read", "+@write", "+time"];
      await redis.cli("ACL", "SETUSER", "app", "on", ">s3cret", "~session:*", ...allowed);
      await using store = await opened(`redis://app:s3cret@127.0.0.1:${redis.port}`);
      const message = await failure(store);
      assertStringIncludes(message, `${at}NOPERM`);
      assertStringIncludes(message, "; check that Redis runs, and that the user has the permission +client|tracking");
      assertEquals((await watchConnections(redis)).length, 0);
      await redis.cli("ACL", "SETUSER", "app", "+client|tracking");
      await using watched = await watching(store);
      await assertReported(watched, store);
    });
    await t.step("Redis cannot be reached", async () => {
      await using store = new RedisStore("redis://app:s3cret@127.0.0.1:1");
      await assertRejects(() => store.init(), SessionStoreError);
      assertStringIncludes(await failure(store), "Cannot watch the sessions in Redis at 127.0.0.1:1: ");
    });
    await t.step("a cluster", async () => {
      const client = await createClient({ url: redis.url }).connect();
      const store = await opened(asCluster(client) as unknown as RedisClientLike);
      assertThrows(
        () => start({ cache: {} }, store),
        SessionNotSupportedError,
        "a Redis Cluster loses reports after a failover",
      );
      assertStringIncludes(
        await failure(store),
        "Cannot watch the sessions in Redis Cluster: after a failover, it does not report every change; use a single",
      );
      await client.close();
    });
    await t.step("a client that does not expose its options", async () => {
      const client = await createClient({ url: redis.url }).connect();
      const store = await opened(
        new Proxy(client, {
          get: (target, name) => {
            const member: unknown = Reflect.get(target, name, target);
            return name === "options" ? undefined : typeof member === "function" ? member.bind(target) : member;
          },
        }),
      );
      assertStringIncludes(await failure(store), "the client does not expose its options");
      await client.close();
    });
    await t.step("a proxy forwards no notices", async () => {
      using proxy = replacingProxy(redis.port, "PREFIX\r\n$11\r\nsession:id:", "PREFIX\r\n$11\r\nsession:xx:");
      await using store = await opened(`redis://127.0.0.1:${proxy.port}`);
      assertStringIncludes(await failure(store), "it does not report changes, although it has accepted the command");
      await until("the connection is closed", async () => (await watchConnections(redis)).length === 0);
    });
  });

  Deno.test("RedisStore ends its watches when it is disposed of, also one that is just beginning", async () => {
    await using redis = await startRedis();
    const client = await createClient({ url: redis.url }).connect();
    const store = await opened(client);
    const watched = await watching(store);
    const beginning = [store.watch(() => {}), store.watch(() => {})];
    await store[Symbol.asyncDispose]();
    for (const watch of beginning) await assertRejects(() => watch, SessionStoreError, "Cannot watch the sessions");
    await assertRejects(() => watched.watch.confirm(), SessionStoreError, "the connection to Redis is lost");
    await store.create("a");
    await until("all connections are closed", async () => (await watchConnections(redis)).length === 0);
    assertEquals(watched.reported, []);
    await watched.watch[Symbol.asyncDispose]();
    // The store can be used again.
    await using again = await watching(store);
    await assertReported(again, store);
    await client.close();
  });

  Deno.test("RedisStore ends a watch that is connecting when it is disposed of", async () => {
    await using redis = await startRedis();
    const target = { port: redis.port };
    await using proxy = faultyProxy(target);
    const store = await opened(`redis://127.0.0.1:${proxy.port}`);
    // A server that accepts connections and answers nothing.
    using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    target.port = silent.addr.port;
    {
      // Only disposal ends the attempt, because its timeout is never reached.
      using _ = new FakeTimers();
      const rejects = assertRejects(() => store.watch(() => {}), SessionStoreError, "Cannot watch the sessions");
      while (proxy.open < 2) await nextTask();
      await store[Symbol.asyncDispose]();
      await rejects;
    }
    await until("all connections are closed", () => proxy.open === 0);
    assertEquals(proxy.clients, 2);
  });

  Deno.test("RedisStore.watch() does not keep the process alive", async () => {
    await using redis = await startRedis();
    const code = `
      import { createClient } from "npm:redis@6.3.1";
      import { RedisStore } from "@alosaur/session/redis";
      const client = createClient({ url: "${redis.url}" });
      const store = new RedisStore(client);
      await store.init();
      const watch = await store.watch(() => {});
      await watch.confirm();
      await client.close();
      console.log("done");`;
    const config = new URL("../../deno.json", import.meta.url).pathname;
    // The coverage of the child process does not belong to this run.
    const { DENO_COVERAGE_DIR: _, ...env } = Deno.env.toObject();
    await using process = new Deno.Command(Deno.execPath(), {
      args: ["eval", "--quiet", "--config", config, code],
      clearEnv: true,
      env,
      stdout: "piped",
      // Only a process that stays alive is killed.
      signal: AbortSignal.timeout(30_000),
    }).spawn();
    assertEquals((await new Response(process.stdout).text()).trim(), "done");
    assertEquals((await process.status).success, true);
  });
}
