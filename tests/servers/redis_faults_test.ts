import { createClient, createCluster, type RedisClusterType } from "npm:redis@6.3.1";
import { type SessionMiddleware, SessionStoreError } from "@alosaur/session";
import { type RedisClusterLike, RedisStore } from "@alosaur/session/redis";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../helpers/assert.ts";
import { read, signUp, start } from "../helpers/request.ts";
import { faultyProxy } from "./_faulty_proxy.ts";
import { type Load, startLoad } from "./_load.ts";
import { startProcess } from "./_process.ts";
import { isThere } from "./_require.ts";
import { findRedisServer, startCluster, startRedis, until } from "./_redis.ts";

/** Options that keep failures from the console. */
const quiet = { onEvent: () => {} };

const META = { createdAt: 1, seenAt: 2, renewedAt: 3 };

async function opened(url: string): Promise<RedisStore> {
  const store = new RedisStore(url);
  await store.init();
  return store;
}

/** Waits until more requests of a load were answered. */
async function answeredMore(load: Load, more = 200): Promise<void> {
  const enough = load.answered + more;
  await until("more requests are answered", () => load.answered >= enough);
}

/** Returns the milliseconds until an attempt succeeds. */
async function timeUntil(what: string, attempt: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await until(what, () => attempt().then(() => true, () => false));
  return Math.round(performance.now() - begin);
}

/**
 * Returns a cluster client whose writes wait until a replica has confirmed them, for a second at
 * most. An application that must lose nothing when a master fails puts this between its cluster and
 * the store.
 */
function withConfirmedWrites(cluster: RedisClusterType): RedisClusterLike {
  const confirmed = (send: "eval" | "evalSha"): RedisClusterLike["eval"] => async (script, options) => {
    const reply = await cluster[send](script, options);
    // WAIT covers the writes of its own connection.
    const node = await cluster.getNodeClientForKey(options.keys[0] ?? "");
    if (Number(await node.sendCommand(["WAIT", "1", "1000"])) < 1) {
      throw new Error("No replica has confirmed the write");
    }
    return reply;
  };
  const own: Partial<RedisClusterLike> = { eval: confirmed("eval"), evalSha: confirmed("evalSha") };
  return new Proxy(cluster, { get: (target, name) => Reflect.get(name in own ? own : target, name) });
}

if (await isThere("redis", "the faults of Redis", findRedisServer)) {
  Deno.test("RedisStore loses no acknowledged write when Redis is killed, with appendfsync always", async () => {
    await using redis = await startRedis({ appendonly: "yes", appendfsync: "always" });
    await using store = await opened(redis.url);
    const middleware = start(quiet, store);
    const load = startLoad(middleware);
    await answeredMore(load);
    redis.signal("SIGKILL");
    await until("requests are refused", () => load.refused >= 100);
    const begin = performance.now();
    await assertRejects(() => signUp(middleware), SessionStoreError, "RedisStore failed");
    assert(performance.now() - begin < 500, "A request waits for a Redis that is down");
    await redis.restart();
    const back = await timeUntil("a request is answered", () => signUp(middleware));
    await answeredMore(load);
    const outcome = await load.stop();
    console.log(`Redis killed and restarted: ${JSON.stringify(outcome)}, back after ${back} ms`);
    assertEquals(outcome.lost, 0);
    assert(back < 1000);
  });

  Deno.test("RedisStore works as soon as Redis does if Redis was down at the start", async () => {
    await using redis = await startRedis();
    redis.signal("SIGKILL");
    await using store = new RedisStore(redis.url);
    await assertRejects(() => store.init(), Error, "ECONNREFUSED");
    await assertRejects(() => store.exist("a"), Error, "offline");
    await redis.restart();
    await timeUntil("the store works", () => store.exist("a"));
    await store.init();
  });

  Deno.test("RedisStore recovers when a master of its cluster is killed and a replica takes over", async (t) => {
    await using cluster = await startCluster();
    const connect = (): RedisClusterType =>
      createCluster({
        rootNodes: cluster.nodes.map(({ url }) => ({ url })),
        defaults: { disableOfflineQueue: true },
        topologyRefreshOnReconnectionAttemptStrategy: 300,
      });
    const clients = [connect(), connect()] as const;
    const plain = new RedisStore(clients[0], { prefix: "plain:" });
    const waiting = new RedisStore(withConfirmedWrites(clients[1]), { prefix: "waiting:" });
    await Promise.all([plain.init(), waiting.init()]);
    const middlewares = [start(quiet, plain), start(quiet, waiting)] as const;

    for (const replica of ["is up to date", "is behind"] as const) {
      await t.step(`the replica ${replica}`, async () => {
        const [master] = await cluster.masters();
        assert(master);
        const ports = (await master.cli("ROLE")).split("\n");
        const heir = cluster.nodes.find(({ port }) => ports.includes(String(port)));
        assert(heir);
        const loads = [startLoad(middlewares[0]), startLoad(middlewares[1])] as const;
        await Promise.all(loads.map((load) => answeredMore(load)));
        if (replica === "is behind") {
          heir.signal("SIGSTOP");
          await master.cli("CLIENT", "KILL", "TYPE", "replica");
          await answeredMore(loads[0]);
        }
        master.signal("SIGKILL");
        heir.signal("SIGCONT");
        await until("requests are refused", () => loads.every((load) => load.refused > 0));
        const back = await timeUntil("the replica has taken over", () => signUpMany(middlewares[0]));
        // WAIT needs a replica, which the new master lacks until the old one is back.
        await master.restart();
        await timeUntil("the old master is a replica", () => signUpMany(middlewares[1]));
        await Promise.all(loads.map((load) => answeredMore(load)));
        const [without, confirmed] = [await loads[0].stop(), await loads[1].stop()];
        console.log(
          `Master killed, whose replica ${replica}; every slot answered again after ${back} ms (cluster-node-timeout 500)\n` +
            `  without WAIT: ${JSON.stringify(without)}\n  with WAIT: ${JSON.stringify(confirmed)}`,
        );
        assertEquals(confirmed.lost, 0);
        // Proves that the test would notice lost writes.
        if (replica === "is behind") assert(without.lost > 0);
      });
    }
    await Promise.all(clients.map((client) => client.close()));
  });

  Deno.test("RedisStore uses the user, password and database of its URL and never names them in an error", async () => {
    await using redis = await startRedis();
    await redis.cli("ACL", "SETUSER", "app", "on", ">right@word", "~session:*", "+@all");
    const url = (password: string): string => `redis://app:${password}@127.0.0.1:${redis.port}/3`;
    await using store = await opened(url("right%40word"));
    await store.create("a");
    assertStringIncludes(await redis.cli("INFO", "keyspace"), "db3:keys=1");
    await using stranger = new RedisStore(url("wrong%40word"));
    const { message } = await assertRejects(() => stranger.init(), SessionStoreError, "WRONGPASS");
    assertStringIncludes(message, `Cannot open the sessions in Redis at 127.0.0.1:${redis.port}: `);
    assert(!message.includes("word@") && !message.includes("wrong") && !message.includes("app"), message);
    // A user that may run no script.
    await redis.cli("ACL", "SETUSER", "app", "resetkeys", "-@all", "+ping", "+select", "+client");
    await using limited = new RedisStore(url("right%40word"));
    const refused = await assertRejects(() => limited.init(), SessionStoreError, "NOPERM");
    assert(!refused.message.includes("app"), refused.message);
  });

  Deno.test("SessionMiddleware fails requests after storeTimeout while Redis hangs, and works when it continues", async () => {
    await using redis = await startRedis();
    await using store = await opened(redis.url);
    const middleware = start({ ...quiet, storeTimeout: 0.2 }, store);
    const cookie = await signUp(middleware);
    redis.signal("SIGSTOP");
    const begin = performance.now();
    const requests = Array.from({ length: 50 }, () => read(middleware, cookie));
    const results = await Promise.allSettled(requests);
    const took = performance.now() - begin;
    assert(took < 1000);
    for (const result of results) assert(result.status === "rejected" && result.reason instanceof SessionStoreError);
    redis.signal("SIGCONT");
    assertEquals(await read(middleware, cookie), "ada");
    console.log(`Redis hung: 50 requests refused within ${Math.round(took)} ms, and the next was answered`);
  });

  Deno.test("RedisStore replaces a connection that answers nothing, and no other", async () => {
    await using healthy = await startRedis();
    await using other = await opened(healthy.url);
    await using redis = await startRedis();
    await using store = await opened(redis.url);
    redis.signal("SIGSTOP");
    const begin = performance.now();
    const rejectedAfter = store.exist("a").then(() => 0, () => Math.round(performance.now() - begin));
    // Requests keep arriving.
    await until("a request is refused", async () => {
      await other.exist("a");
      return await Promise.race([store.exist("a").then(() => false, () => true), pause(20)]);
    });
    const unansweredFor = await rejectedAfter;
    redis.signal("SIGCONT");
    const back = await timeUntil("the store works", () => store.exist("a"));
    console.log(`Redis silent: given up after ${unansweredFor} ms, back after ${back} ms`);
    assert(unansweredFor > 4900 && unansweredFor < 6000 && back < 1000);
    await other.exist("a");
  });

  Deno.test("RedisStore follows its URL to the new master when the connected Redis becomes a replica", async (t) => {
    await using one = await startRedis({ "repl-diskless-sync-delay": "0" });
    await using two = await startRedis({ "repl-diskless-sync-delay": "0" });
    const target = { port: one.port };
    await using proxy = faultyProxy(target);
    await using store = await opened(`redis://127.0.0.1:${proxy.port}`);
    const middleware = start(quiet, store);
    const cookie = await signUp(middleware);

    let [master, replica] = [one, two];
    /** Makes the replica the master. The connections to the old master stay open. */
    const failOver = async (): Promise<void> => {
      await replica.cli("REPLICAOF", "127.0.0.1", String(master.port));
      await until("the replica is up to date", async () => (await replica.cli("ROLE")).includes("connected"));
      await replica.cli("REPLICAOF", "NO", "ONE");
      await master.cli("REPLICAOF", "127.0.0.1", String(replica.port));
      [master, replica] = [replica, master];
    };
    await t.step("the first write after the failover works, on one new connection", async () => {
      await failOver();
      target.port = master.port;
      assertEquals(proxy.clients, 1);
      await Promise.all(Array.from({ length: 50 }, () => signUp(middleware)));
      assertEquals(await read(middleware, cookie), "ada");
      assertEquals(proxy.clients, 2);
      await until("the old connection is closed", () => proxy.open === 1);
      assert(Number(await master.cli("DBSIZE")) >= 51);
    });
    await t.step("until the URL leads to the new master, reads work and writes are refused", async () => {
      await failOver();
      for (let i = 0; i < 3; i++) {
        await assertRejects(() => store.create("early"), Error, "READONLY");
        assertEquals(await read(middleware, cookie), "ada");
      }
      target.port = master.port;
      await store.create("late");
      assertEquals([await store.exist("early"), await store.exist("late")], [false, true]);
      assertEquals(await read(middleware, cookie), "ada");
    });
    await t.step("reads follow too if the replica has lost its master and serves no old data", async () => {
      await failOver();
      await replica.cli("CONFIG", "SET", "replica-serve-stale-data", "no");
      await replica.cli("REPLICAOF", "127.0.0.1", "1");
      await assertRejects(() => store.exist("late"), Error, "MASTERDOWN");
      target.port = master.port;
      assertEquals(await store.exist("late"), true);
      // Later steps demote this Redis again, and expect READONLY while it still looks for its
      // master.
      await replica.cli("CONFIG", "SET", "replica-serve-stale-data", "yes");
    });
    await t.step("clear() follows", async () => {
      await failOver();
      target.port = master.port;
      await store.clear();
      assertEquals(await store.exist("late"), false);
      assertEquals(await master.cli("KEYS", "*"), "session:epoch");
    });
    await t.step("a new connection that fails leaves the old one in use", async () => {
      await failOver();
      target.port = 1;
      await assertRejects(() => store.create("a"), Error, "READONLY");
      assertEquals(await store.exist("a"), false);
      target.port = master.port;
      await store.create("a");
    });
    await t.step("a store that is closed while it reconnects stays closed", async () => {
      await failOver();
      // A server that accepts connections and answers nothing.
      using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      target.port = silent.addr.port;
      const refused = store.create("b").then(() => false, () => true);
      await until("it reconnects", () => proxy.open > 1);
      await store[Symbol.asyncDispose]();
      assertEquals(await refused, true);
      await until("all connections are closed", () => proxy.open === 0);
    });
  });

  Deno.test("RedisStore never reconnects a client of the application that has become connected to a replica", async () => {
    await using redis = await startRedis();
    await using proxy = faultyProxy({ port: redis.port });
    const client = await createClient({ url: `redis://127.0.0.1:${proxy.port}` }).connect();
    const store = new RedisStore(client);
    await store.init();
    await redis.cli("REPLICAOF", "127.0.0.1", "1");
    await assertRejects(() => store.create("a"), Error, "READONLY");
    assertEquals(proxy.clients, 1);
    await redis.cli("REPLICAOF", "NO", "ONE");
    await store.create("a");
    await client.close();
  });

  Deno.test("RedisStore rejects a write that Redis refuses and changes nothing", async (t) => {
    await using redis = await startRedis();
    await using store = await opened(redis.url);
    const expiresAt = Date.now() + 60_000;
    const values = new Map<string, unknown>([["k", 1], ["l", 2]]);
    await store.createRecord("a", { values, expiresAt, meta: { ...META, principal: "ada" } });
    const writes: [string, () => Promise<unknown>][] = [
      ["create", () => store.create("b")],
      ["createRecord", () => store.createRecord("b", { values, expiresAt, meta: META })],
      [
        "createRecord of a user",
        () => store.createRecord("b", { values, expiresAt, meta: { ...META, principal: "ada" } }),
      ],
      ["setValue", () => store.setValue("a", "k", 3)],
      ["changeRecord", () => store.changeRecord("a", { set: new Map([["k", 3]]), expiresAt: 1, meta: META })],
      ["moveRecord", () => store.moveRecord("a", "b", { meta: {}, graceUntil: 0 })],
    ];
    const refusals: [string, string, string[], string[]][] = [
      ["out of memory", "OOM", ["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]],
      ["a replica", "READONLY", ["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"]],
      ["too few replicas", "NOREPLICAS", ["CONFIG", "SET", "min-replicas-to-write", "1"], [
        ...["CONFIG", "SET", "min-replicas-to-write", "0"],
      ]],
    ];
    for (const [what, error, refuse, allow] of refusals) {
      await t.step(what, async () => {
        assertEquals(await redis.cli(...refuse), "OK");
        for (const [, write] of writes) await assertRejects(write, Error, error);
        // The data can still be read.
        assertEquals({ ...await store.get("a") }, { k: 1, l: 2 });
        assertEquals((await store.listSessions("ada")).map(({ sid }) => sid), ["a"]);
        assertEquals(await store.exist("b"), false);
        assertEquals(await redis.cli(...allow), "OK");
        await store.setValue("a", "k", 1);
      });
    }
    await t.step("out of memory, sessions can still end", async () => {
      await redis.cli("CONFIG", "SET", "maxmemory", "1");
      await store.setValue("a", "l", undefined);
      await store.changeRecord("a", { clear: true, meta: { principal: undefined } });
      assertEquals({ ...await store.get("a") }, {});
      await store.delete("a");
      assertEquals(await store.exist("a"), false);
    });
  });

  Deno.test("Two processes on one Redis share a counter, and a logout in one ends the session in the other", async () => {
    await using redis = await startRedis();
    await using one = startProcess("@alosaur/session/redis", "RedisStore", redis.url);
    await using two = startProcess("@alosaur/session/redis", "RedisStore", redis.url);
    const cookie = await one.tell("signUp");
    await Promise.all([one.tell("count", cookie, 500), two.tell("count", cookie, 500)]);
    assertEquals(await one.tell("counted", cookie), 1000);
    assertEquals(await two.tell("counted", cookie), 1000);

    assertEquals(await two.tell("begin", cookie), "ada");
    await one.tell("logout", cookie);
    // In a pending request and in the next one.
    assertEquals(await two.tell("write"), "SessionGoneError");
    assertEquals(await two.tell("user", cookie), null);
    assertEquals(await one.tell("user", cookie), null);
  });
}

/** Resolves with `false` after some milliseconds. */
function pause(milliseconds: number): Promise<false> {
  return new Promise((resolve) => setTimeout(() => resolve(false), milliseconds));
}

/** Creates 24 sessions sequentially, a few on every master. */
async function signUpMany(middleware: SessionMiddleware | undefined): Promise<void> {
  assert(middleware);
  for (let i = 0; i < 24; i++) await signUp(middleware);
}
