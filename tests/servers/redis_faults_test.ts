import { createCluster, type RedisClusterType } from "npm:redis@6.3.1";
import { type SessionMiddleware, SessionStoreError } from "@alosaur/session";
import { type RedisClusterLike, RedisStore } from "@alosaur/session/redis";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../helpers/assert.ts";
import { read, signUp, start } from "../helpers/request.ts";
import { type Load, startLoad } from "./_load.ts";
import { startProcess } from "./_process.ts";
import { isThere } from "./_require.ts";
import { findRedisServer, startCluster, startRedis, until } from "./_servers.ts";

/** Told of what fails, in place of the console. */
const quiet = { onEvent: () => {} };

const META = { createdAt: 1, seenAt: 2, renewedAt: 3 };

async function opened(url: string): Promise<RedisStore> {
  const store = new RedisStore(url);
  await store.init();
  return store;
}

/** Waits until a load has had some answers more. */
async function answeredMore(load: Load, more = 200): Promise<void> {
  const enough = load.answered + more;
  await until("more requests are answered", () => load.answered >= enough);
}

/** Milliseconds until something succeeds. */
async function timeUntil(what: string, attempt: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await until(what, () => attempt().then(() => true, () => false));
  return Math.round(performance.now() - begin);
}

/**
 * A cluster client that answers when a replica has confirmed what was written, or rejects after a second: what an application puts between
 * its cluster and the store that is to lose nothing when a master is lost.
 */
function waitingFor(cluster: RedisClusterType): RedisClusterLike {
  const confirmed = (send: "eval" | "evalSha"): RedisClusterLike["eval"] => async (script, options) => {
    const reply = await cluster[send](script, options);
    // On the connection that has written: WAIT is about that one's writes.
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
    await assertRejects(() => signUp(middleware), SessionStoreError, "the session store failed");
    assert(performance.now() - begin < 500, "A request waits for a Redis that is down");
    await redis.restart();
    const back = await timeUntil("a request is answered", () => signUp(middleware));
    await answeredMore(load);
    const outcome = await load.stop();
    console.log(`Redis killed and restarted: ${JSON.stringify(outcome)}, back after ${back} ms`);
    assertEquals(outcome.lost, 0);
    assert(back < 1000);
  });

  Deno.test("RedisStore works as soon as Redis does, where that was down when the application began", async () => {
    await using redis = await startRedis();
    redis.signal("SIGKILL");
    await using store = new RedisStore(redis.url);
    await assertRejects(() => store.init(), Error, "ECONNREFUSED");
    await assertRejects(() => store.exist("a"), Error, "offline");
    await redis.restart();
    await timeUntil("the store works", () => store.exist("a"));
    await store.init();
  });

  Deno.test("RedisStore goes on when a master of its cluster is killed and a replica takes over", async (t) => {
    await using cluster = await startCluster();
    const connect = (): RedisClusterType =>
      createCluster({
        rootNodes: cluster.nodes.map(({ url }) => ({ url })),
        defaults: { disableOfflineQueue: true },
        topologyRefreshOnReconnectionAttemptStrategy: 300,
      });
    const clients = [connect(), connect()] as const;
    const plain = new RedisStore(clients[0], { prefix: "plain:" });
    const waiting = new RedisStore(waitingFor(clients[1]), { prefix: "waiting:" });
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
        // WAIT needs a replica: the one that took over has none before the old master is back.
        await master.restart();
        await timeUntil("the old master is a replica", () => signUpMany(middlewares[1]));
        await Promise.all(loads.map((load) => answeredMore(load)));
        const [without, confirmed] = [await loads[0].stop(), await loads[1].stop()];
        console.log(
          `Master killed, whose replica ${replica}; every slot answered again after ${back} ms (cluster-node-timeout 500)\n` +
            `  without WAIT: ${JSON.stringify(without)}\n  with WAIT: ${JSON.stringify(confirmed)}`,
        );
        assertEquals(confirmed.lost, 0);
        // What this test would see.
        if (replica === "is behind") assert(without.lost > 0);
      });
    }
    await Promise.all(clients.map((client) => client.close()));
  });

  Deno.test("RedisStore signs in with the user, the password and the database of its URL, and never says them", async () => {
    await using redis = await startRedis();
    await redis.cli("ACL", "SETUSER", "app", "on", ">right@word", "~session:*", "+@all");
    const url = (password: string): string => `redis://app:${password}@127.0.0.1:${redis.port}/3`;
    await using store = await opened(url("right%40word"));
    await store.create("a");
    assertStringIncludes(await redis.cli("INFO", "keyspace"), "db3:keys=1");
    await using stranger = new RedisStore(url("wrong%40word"));
    const { message } = await assertRejects(() => stranger.init(), Error, "WRONGPASS");
    assert(!message.includes("word@") && !message.includes("wrong"));
  });

  Deno.test("RedisStore that hangs is refused after storeTimeout, and works when Redis goes on", async () => {
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

  Deno.test("RedisStore gives up a connection that answers nothing, and no other", async () => {
    await using healthy = await startRedis();
    await using other = await opened(healthy.url);
    await using redis = await startRedis();
    await using store = await opened(redis.url);
    redis.signal("SIGSTOP");
    const begin = performance.now();
    const asked = store.exist("a").then(() => 0, () => Math.round(performance.now() - begin));
    // Requests that keep coming.
    await until("a request is refused", async () => {
      await other.exist("a");
      return await Promise.race([store.exist("a").then(() => false, () => true), pause(20)]);
    });
    const silence = await asked;
    redis.signal("SIGCONT");
    const back = await timeUntil("the store works", () => store.exist("a"));
    console.log(`Redis silent: given up after ${silence} ms, back after ${back} ms`);
    assert(silence > 4900 && silence < 6000 && back < 1000);
    await other.exist("a");
  });

  Deno.test("RedisStore rejects what Redis refuses, and nothing is half done", async (t) => {
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
        // What it has can still be read.
        assertEquals({ ...await store.get("a") }, { k: 1, l: 2 });
        assertEquals((await store.listSessions("ada")).map(({ sid }) => sid), ["a"]);
        assertEquals(await store.exist("b"), false);
        assertEquals(await redis.cli(...allow), "OK");
        await store.setValue("a", "k", 1);
      });
    }
    await t.step("out of memory, but sessions can end", async () => {
      await redis.cli("CONFIG", "SET", "maxmemory", "1");
      await store.setValue("a", "l", undefined);
      await store.changeRecord("a", { clear: true, meta: { principal: undefined } });
      assertEquals({ ...await store.get("a") }, {});
      await store.delete("a");
      assertEquals(await store.exist("a"), false);
    });
  });

  Deno.test("Two server processes on one Redis count together, and a logout in one is refused in the other", async () => {
    await using redis = await startRedis();
    await using one = startProcess("@alosaur/session/redis", "RedisStore", redis.url);
    await using two = startProcess("@alosaur/session/redis", "RedisStore", redis.url);
    const cookie = await one.tell("signUp");
    await Promise.all([one.tell("count", cookie, 500), two.tell("count", cookie, 500)]);
    assertEquals(await one.tell("counted", cookie), 1000);
    assertEquals(await two.tell("counted", cookie), 1000);

    assertEquals(await two.tell("begin", cookie), "ada");
    await one.tell("logout", cookie);
    // In a request that was under way, and in the next one.
    assertEquals(await two.tell("write"), "SessionGoneError");
    assertEquals(await two.tell("user", cookie), null);
    assertEquals(await one.tell("user", cookie), null);
  });
}

/** Resolves with `false` after some milliseconds. */
function pause(milliseconds: number): Promise<false> {
  return new Promise((resolve) => setTimeout(() => resolve(false), milliseconds));
}

/** Begins a few sessions for every master, one after the other. */
async function signUpMany(middleware: SessionMiddleware | undefined): Promise<void> {
  assert(middleware);
  for (let i = 0; i < 24; i++) await signUp(middleware);
}
