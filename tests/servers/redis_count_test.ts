/** `countSessions()` on Redis counts each session once, in every state in which its keys can be. */
import { createClient } from "npm:redis@6.3.1";
import { type RedisClientLike, RedisStore } from "@alosaur/session/redis";
import { assert, assertEquals, assertRejects } from "../helpers/assert.ts";
import { isThere } from "./_require.ts";
import { findRedis, findRedisServer, startRedis } from "./_redis.ts";
import { asCluster, type Interrupt, interrupted, open, PREFIX, record } from "./_redis_client.ts";

const MINUTE = 60_000;
const MOVE = { meta: {}, graceUntil: 0 };

function loseConnection(): never {
  throw new Error("the connection is lost");
}

if (await isThere("redis", "the count of sessions in Redis", findRedis)) {
  Deno.test("RedisStore.countSessions() counts no copy of a move that has not happened", async () => {
    await using opened = await open();
    const { store, interrupt } = opened;
    await store.createRecord("a", record(MINUTE, { principal: "ada" }));
    interrupt.before = [() => {}, () => {}, () => {}, loseConnection];
    await assertRejects(() => store.moveRecord("a", "b", MOVE), Error, "the connection is lost");
    assertEquals(await store.countSessions(), { total: 1, signedIn: 1 });
    await store.moveRecord("a", "c", MOVE);
    assertEquals(await store.countSessions(), { total: 1, signedIn: 1 });
  });

  Deno.test("RedisStore.countSessions() on a cluster counts a session whose copy is still marked as such", async () => {
    await using opened = await open();
    const { client, interrupt } = opened;
    const store = new RedisStore(asCluster(interrupted(client, interrupt)), { prefix: PREFIX });
    await store.createRecord("a", record(MINUTE, { principal: "ada" }));
    interrupt.before = [...Array.from({ length: 8 }, () => () => {}), loseConnection];
    assertEquals(await store.moveRecord("a", "b", MOVE), true);
    assertEquals(await client.hExists(`${PREFIX}id:b`, "copyOf"), 1);
    assertEquals(await store.countSessions(), { total: 1, signedIn: 1 });
  });

  Deno.test("RedisStore.countSessions() counts no record that cannot be read, nor a key of another type", async () => {
    await using opened = await open();
    const { store, client } = opened;
    await store.createRecord("a", record(MINUTE));
    await client.set(`${PREFIX}id:text`, "text");
    await client.hSet(`${PREFIX}id:no expiry`, "v:k", "[1]");
    await client.hSet(`${PREFIX}id:text as expiry`, { expiresAt: "text", version: "0" });
    await client.hSet(`${PREFIX}id:text as epoch`, { expiresAt: "Infinity", version: "0", epoch: "text" });
    assertEquals(await store.countSessions(), { total: 1, signedIn: 0 });
  });

  Deno.test("RedisStore.countSessions() counts sessions behind a client that adds a prefix", async () => {
    await using opened = await open();
    const { client } = opened;
    const outer = `${PREFIX}outer [*]?:`;
    const adding = new Proxy<RedisClientLike>(client, {
      get(target, name): unknown {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== "function") return member;
        if (name !== "eval" && name !== "evalSha") return member.bind(target);
        return (script: string, options: { keys: string[]; arguments: string[] }) =>
          member.call(target, script, { ...options, keys: options.keys.map((key) => outer + key) });
      },
    });
    const store = new RedisStore(asCluster(adding));
    await opened.store.createRecord("of another store", record(MINUTE));
    await store.createRecord("a", record(MINUTE, { principal: "ada" }));
    await store.moveRecord("a", "b", MOVE);
    await store.createRecord("c", record(MINUTE));
    // As if the mark could not have been removed.
    await client.hSet(`${outer}session:id:b`, "copyOf", "a");
    assertEquals(await store.countSessions(), { total: 2, signedIn: 1 });
    await store.clear();
  });
}

if (await isThere("redis", "the count of sessions on a Redis of its own", findRedisServer)) {
  Deno.test("RedisStore.countSessions() counts many sessions, and none that clear() of another process has ended", async () => {
    await using server = await startRedis();
    const clearing: Interrupt = {};
    const client = createClient({ url: server.url });
    const [store, other] = [new RedisStore(server.url), new RedisStore(interrupted(client, clearing))];
    for (const each of [store, other]) await each.init();
    await Promise.all(
      Array.from(
        { length: 3000 },
        (_, i) => store.createRecord(`${i}`, record(MINUTE, i % 3 ? {} : { principal: "ada" })),
      ),
    );
    assertEquals(await store.countSessions(), { total: 3000, signedIn: 1000 });
    let counted: unknown;
    clearing.beforeScan = async () => {
      clearing.beforeScan = undefined;
      await store.createRecord("new", record(MINUTE));
      counted = await store.countSessions();
    };
    await other.clear();
    assertEquals(counted, { total: 1, signedIn: 0 });
    assert((await server.cli("DBSIZE")).includes("2"));
    await store[Symbol.asyncDispose]();
    await client.close();
  });
}
