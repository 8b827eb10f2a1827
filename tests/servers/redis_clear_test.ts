import { createClient, createCluster, type RedisClusterType } from "npm:redis@6.3.1";
import { SessionGoneError } from "@alosaur/session";
import { type RedisClientLike, type RedisClusterLike, RedisStore } from "@alosaur/session/redis";
import { assert, assertEquals, assertRejects } from "../helpers/assert.ts";
import { isThere } from "./_require.ts";
import { findRedisServer, type OwnRedis, startCluster, startRedis } from "./_redis.ts";
import { type Interrupt, interrupted, record, sidsOf } from "./_redis_client.ts";

const MINUTE = 60_000;

/** A Redis or a cluster, with clients of it. */
interface Backend extends AsyncDisposable {
  /** Opens a store of another process. */
  open(interrupt: Interrupt): Promise<RedisStore>;
  /** Returns all keys. */
  keys(): Promise<string[]>;
  /** Removes a key. */
  remove(key: string): Promise<unknown>;
}

async function keysOf(nodes: readonly OwnRedis[]): Promise<string[]> {
  const outputs = await Promise.all(nodes.map((node) => node.cli("KEYS", "*")));
  return outputs.flatMap((output) => output.split("\n")).filter((key) => key !== "").sort();
}

async function single(): Promise<Backend> {
  await using owned = new AsyncDisposableStack();
  const redis = owned.use(await startRedis());
  const closing = owned.move();
  return {
    async open(interrupt): Promise<RedisStore> {
      const client = closing.adopt(await createClient({ url: redis.url }).connect(), (client) => client.close());
      return await opened(interrupted(client, interrupt));
    },
    keys: () => keysOf([redis]),
    remove: (key) => redis.cli("DEL", key),
    [Symbol.asyncDispose]: () => closing.disposeAsync(),
  };
}

/** Returns a cluster client that calls the interruptions before its commands. */
function interruptedCluster(cluster: RedisClusterType, interrupt: Interrupt): RedisClusterLike {
  return new Proxy(interrupted(cluster as unknown as RedisClientLike, interrupt) as unknown as RedisClusterLike, {
    get(target, name): unknown {
      if (name !== "nodeClient") return Reflect.get(target, name);
      return async (master: RedisClusterType["masters"][number]) =>
        interrupted(await cluster.nodeClient(master), interrupt);
    },
  });
}

async function cluster(): Promise<Backend> {
  await using owned = new AsyncDisposableStack();
  const nodes = owned.use(await startCluster());
  const closing = owned.move();
  return {
    async open(interrupt): Promise<RedisStore> {
      const client = createCluster({ rootNodes: nodes.nodes.map(({ url }) => ({ url })) });
      closing.defer(() => client.close());
      return await opened(interruptedCluster(client, interrupt));
    },
    keys: async () => await keysOf(await nodes.masters()),
    async remove(key): Promise<void> {
      for (const node of await nodes.masters()) await node.cli("DEL", key);
    },
    [Symbol.asyncDispose]: () => closing.disposeAsync(),
  };
}

async function opened(client: RedisClientLike | RedisClusterLike): Promise<RedisStore> {
  const store = new RedisStore(client);
  await store.init();
  return store;
}

/** Runs a function before a script on a key, after some that are skipped. */
function beforeKey(interrupt: Interrupt, end: string, run: () => unknown, skipped = 0): void {
  const check = async (keys: string[]): Promise<void> => {
    if (!keys[0]?.endsWith(end) || skipped-- > 0) return;
    interrupt.before = [];
    await run();
  };
  interrupt.before = Array.from({ length: 50 }, () => check);
}

if (await isThere("redis", "clear() on Redis servers", findRedisServer)) {
  for (const [name, start] of [["Redis", single], ["a cluster", cluster]] as const) {
    Deno.test(`RedisStore.clear() ends every session before it removes any key, on ${name}`, async () => {
      await using backend = await start();
      const clearing: Interrupt = {};
      const one = await backend.open(clearing);
      const two = await backend.open({});
      const sids = Array.from({ length: 40 }, (_, i) => `old ${i}`);
      for (const sid of sids) await one.createRecord(sid, record(MINUTE, { principal: "ada" }));
      await one.moveRecord("old 0", "moved", { meta: {}, graceUntil: Date.now() + MINUTE });
      await one.createRecord("of eve", record(MINUTE, { principal: "eve" }));
      await one.create("forever");

      const beforeRemoval = async (): Promise<void> => {
        for (const store of [one, two]) {
          assertEquals(await store.readRecord("old 0"), undefined);
          for (const sid of ["old 1", "moved", "forever"]) {
            assertEquals(await store.exist(sid), false);
            assertEquals(await store.get(sid), undefined);
            assertEquals(await store.getValue(sid, "k"), undefined);
            assertEquals(await store.readRecord(sid), undefined);
          }
          assertEquals(await sidsOf(store, "ada"), []);
        }
        const writes = [
          () => two.setValue("old 1", "k", 2),
          () => two.changeRecord("old 2", { expiresAt: Date.now() + MINUTE }),
          () => two.changeRecord("old 3", { meta: { principal: "eve" } }),
          () => two.moveRecord("old 4", "escaped", { meta: { principal: "eve" }, graceUntil: Date.now() + MINUTE }),
        ];
        for (const write of writes) await assertRejects(write, SessionGoneError);
        // Sessions that are created meanwhile stay, also under the id of an old one.
        for (const sid of ["new", "old 5"]) await two.createRecord(sid, record(MINUTE, { principal: "ada" }));
        await two.createRecord("unbound", record(MINUTE));
      };
      let checked: Promise<void> | undefined;
      clearing.beforeScan = () => checked ??= beforeRemoval();
      await one.clear();
      assert(checked);
      for (const store of [one, two]) {
        assertEquals(await sidsOf(store, "ada"), ["new", "old 5"]);
        assertEquals(await store.getValue("unbound", "k"), 1);
      }
      assertEquals(
        await backend.keys(),
        ["session:epoch", "session:id:new", "session:id:old 5", "session:id:unbound", "session:user:ada"],
      );
    });

    Deno.test(`RedisStore.clear() ends a session that is being moved, on ${name}`, async () => {
      await using backend = await start();
      const moving: Interrupt = {};
      const one = await backend.open(moving);
      const two = await backend.open({});
      // Before the copy is created, and before the old id is replaced.
      for (const [key, skipped] of [["id:b", 0], ["id:a", 1]] as const) {
        await one.createRecord("a", record(MINUTE, { principal: "ada" }));
        beforeKey(moving, key, () => two.clear(), skipped);
        await assertRejects(() => one.moveRecord("a", "b", { meta: {}, graceUntil: 0 }), SessionGoneError);
        for (const store of [one, two]) {
          assertEquals([await store.exist("a"), await store.exist("b")], [false, false]);
          assertEquals(await sidsOf(store, "ada"), []);
        }
        assertEquals((await backend.keys()).filter((key) => key.includes("id:")), []);
      }
    });

    Deno.test(`RedisStore.clear() ends or leaves a session that is being created, and lists it accordingly, on ${name}`, async () => {
      await using backend = await start();
      const creating: Interrupt = {};
      const one = await backend.open(creating);
      const two = await backend.open({});
      for (const key of ["user:ada", "id:a", "epoch"]) {
        beforeKey(creating, key, () => two.clear());
        await one.createRecord("a", record(MINUTE, { principal: "ada" }));
        const isLive = await one.exist("a");
        // A cluster reads the epoch at the same time as it creates the session.
        assert(isLive || name === "a cluster");
        for (const store of [one, two]) assertEquals(await sidsOf(store, "ada"), isLive ? ["a"] : []);
        await two.clear();
        assertEquals([await one.exist("a"), await sidsOf(one, "ada")], [false, []]);
      }
    });

    Deno.test(`RedisStore creates sessions after another process has called clear(), on ${name}`, async () => {
      await using backend = await start();
      const one = await backend.open({});
      const two = await backend.open({});
      await two.clear();
      await one.createRecord("a", record(MINUTE, { principal: "ada" }));
      for (const store of [one, two]) assertEquals(await sidsOf(store, "ada"), ["a"]);
      const graceUntil = Date.now() + MINUTE;
      await two.moveRecord("a", "moved", { meta: {}, graceUntil });
      for (const store of [one, two]) {
        assertEquals(await store.readRecord("a"), { movedTo: "moved", graceUntil });
        assertEquals(await sidsOf(store, "ada"), ["moved"]);
      }
      // An id in use is refused by a process that does not know the epoch yet.
      await two.clear();
      await two.create("b");
      await assertRejects(() => one.create("b"), Error, "RedisStore already has a session with this session id");
    });

    Deno.test(`RedisStore.clear() ends sessions although Redis has lost the last epoch, on ${name}`, async () => {
      await using backend = await start();
      const one = await backend.open({});
      await one.clear();
      await one.createRecord("a", record(MINUTE, { principal: "ada" }));
      await backend.remove("session:epoch");
      const two = await backend.open({});
      await two.createRecord("b", record(MINUTE, { principal: "ada" }));
      for (const store of [one, two]) assertEquals(await sidsOf(store, "ada"), ["a", "b"]);
      await two.clear();
      for (const store of [one, two]) assertEquals(await sidsOf(store, "ada"), []);
      assertEquals([await one.exist("a"), await one.exist("b")], [false, false]);
    });
  }
}
