import { createCluster } from "npm:redis@6.3.1";
import { SessionGoneError, SessionStoreError } from "@alosaur/session";
import { RedisStore } from "@alosaur/session/redis";
import { assert, assertEquals, assertRejects } from "../helpers/assert.ts";
import { keepsToBudget } from "./_budget.ts";
import { countTrips } from "./_counting_proxy.ts";
import { isThere } from "./_require.ts";
import { findRedisServer, startCluster, startRedis } from "./_redis.ts";

const MINUTE = 60_000;

function record(principal?: string): Parameters<RedisStore["createRecord"]>[1] {
  const now = Date.now();
  const meta = { createdAt: now, seenAt: now, renewedAt: now };
  return { expiresAt: now + MINUTE, values: new Map([["k", 1]]), meta: principal ? { ...meta, principal } : meta };
}

/** Every operation but `clear()`, and its number of round trips. */
const OPERATIONS: [string, number, (store: RedisStore) => Promise<unknown>][] = [
  ["createRecord", 1, (store) => store.createRecord("a", record())],
  ["create", 1, (store) => store.create("b")],
  ["a refused create", 1, (store) => assertRejects(() => store.create("a"), SessionStoreError)],
  ["exist", 1, (store) => store.exist("a")],
  ["get", 1, (store) => store.get("a")],
  ["getValue", 1, (store) => store.getValue("a", "k")],
  ["setValue", 1, (store) => store.setValue("a", "k", "x".repeat(512 * 1024))],
  [
    "setValue of a missing session",
    1,
    (store) => assertRejects(() => store.setValue("none", "k", 1), SessionGoneError),
  ],
  ["readRecord", 1, (store) => store.readRecord("a")],
  [
    "changeRecord",
    1,
    (store) => store.changeRecord("a", { clear: true, set: new Map([["k", 1]]), expiresAt: Infinity }),
  ],
  ["binding to a device", 1, (store) => store.changeRecord("a", { ifNoDevice: true, meta: { deviceKey: "{}" } })],
  ["changeRecord of a bound session", 1, (store) => store.changeRecord("a", { ifNoDevice: true, clear: true })],
  ["moveRecord", 3, (store) => store.moveRecord("a", "c", { meta: {}, graceUntil: 0 })],
  ["readRecord of a trace", 1, (store) => store.readRecord("a")],
  ["readRecord of a moved session", 1, (store) => store.readRecord("c")],
  ["setValue of a moved session", 1, (store) => store.setValue("c", "k", 1)],
  ["delete", 1, (store) => store.delete("c")],
  ["a second init", 0, (store) => store.init()],
  // The index of a user is another key.
  ["createRecord of a user", 2, (store) => store.createRecord("a", record("ada"))],
  ["setValue of a user", 1, (store) => store.setValue("a", "k", 2)],
  ["changeRecord of a user", 1, (store) => store.changeRecord("a", { meta: { seenAt: 1 } })],
  ["changing the expiry for a user", 2, (store) => store.changeRecord("a", { expiresAt: Infinity })],
  ["binding to a user", 3, (store) => store.changeRecord("b", { meta: { principal: "ada" } })],
  ["moveRecord of a user", 4, (store) => store.moveRecord("a", "c", { meta: {}, graceUntil: 0 })],
  ["listSessions", 2, (store) => store.listSessions("ada")],
  ["listSessions of nobody", 1, (store) => store.listSessions("eve")],
  ["delete of a user", 2, (store) => store.delete("c")],
];

if (await isThere("redis", "the round trips to a Redis", findRedisServer)) {
  Deno.test("RedisStore makes the documented number of round trips and never scans the keys", async (t) => {
    await using server = await startRedis();
    await using proxy = countTrips(server);
    await using store = new RedisStore(`redis://127.0.0.1:${proxy.port}`);
    await store.init();
    // A first pass, so that Redis has cached every script.
    for (const [, , operation] of OPERATIONS) await operation(store);
    await store.clear();
    await server.cli("CONFIG", "RESETSTAT");

    for (const [what, trips, operation] of OPERATIONS) {
      await t.step(`${what}: ${trips}`, async () => {
        const before = proxy.trips;
        await operation(store);
        assertEquals(proxy.trips - before, trips);
      });
    }
    const used = await server.cli("INFO", "commandstats");
    assert(!/cmdstat_(keys|scan|eval|script)\b/.test(used), used);
    await store.clear();
    assert(/cmdstat_scan\b/.test(await server.cli("INFO", "commandstats")));
  });

  Deno.test("RedisStore on a cluster sends an operation of one round trip directly to the right node", async () => {
    await using cluster = await startCluster();
    const client = createCluster({ rootNodes: cluster.nodes.map(({ url }) => ({ url })) });
    const store = new RedisStore(client);
    await store.init();
    // Often enough that every master has cached every script.
    for (let i = 0; i < 8; i++) {
      for (const [, , operation] of OPERATIONS) await operation(store);
      await store.clear();
    }
    const calls = async (): Promise<number> => {
      const stats = await Promise.all(cluster.nodes.map((node) => node.cli("INFO", "commandstats")));
      return stats.reduce((sum, stat) => sum + Number(/cmdstat_evalsha:calls=(\d+)/.exec(stat)?.[1] ?? 0), 0);
    };
    for (const [what, trips, operation] of OPERATIONS) {
      const before = await calls();
      await operation(store);
      // The epoch is read at the same time, except by delete(), which does not need it.
      if (trips === 1) assertEquals(await calls() - before, what === "delete" ? 1 : 2, what);
    }
    await client.close();
  });

  Deno.test("SessionMiddleware keeps to the budget on a RedisStore", async (t) => {
    await using server = await startRedis();
    await using proxy = countTrips(server);
    await using store = new RedisStore(`redis://127.0.0.1:${proxy.port}`);
    await store.init();
    await keepsToBudget(t, store, proxy);
  });

  Deno.test("RedisStore with a URL creates no signal and no timer for a command", async () => {
    await using redis = await startRedis();
    await using store = new RedisStore(redis.url);
    await store.init();
    await store.create("a");
    const { timeout } = AbortSignal;
    let signals = 0;
    AbortSignal.timeout = (milliseconds) => {
      signals++;
      return timeout.call(AbortSignal, milliseconds);
    };
    try {
      for (let i = 0; i < 100; i++) await store.readRecord("a");
    } finally {
      AbortSignal.timeout = timeout;
    }
    assertEquals(signals, 0);
  });
}
