/** `middleware.health()` while a real server hangs, is gone, and is back. */
import { PostgresStore } from "@alosaur/session/postgres";
import { RedisStore } from "@alosaur/session/redis";
import { type PingableStore, SessionStoreError } from "../../mod.ts";
import { assert, assertEquals, assertRejects } from "../helpers/assert.ts";
import { start } from "../helpers/request.ts";
import { FakeTimers, outcomeOf } from "../helpers/timers.ts";
import { ownServer, postgresCanBeStarted } from "./_postgres.ts";
import { findRedisServer, startRedis, until } from "./_redis.ts";
import { isThere } from "./_require.ts";

/** A server that a test has started. */
interface Server {
  /** SIGSTOP makes it hang, SIGCONT lets it go on. */
  signal(name: "SIGSTOP" | "SIGCONT"): void | Promise<void>;
  kill(): void | Promise<void>;
}

async function checksHealth(store: PingableStore, server: Server): Promise<void> {
  await store.init();
  const { name } = store.constructor;
  const middleware = start({ storeTimeout: 0.3 }, store);
  const health = await middleware.health();
  assertEquals(health.store, name);
  assert(health.latency > 0);

  await server.signal("SIGSTOP");
  const calls = Array.from({ length: 5 }, () => middleware.health());
  for (const call of calls) {
    await assertRejects(() => call, SessionStoreError, `Cannot ping ${name}: it did not answer within 0.3 s`);
  }
  {
    using timers = new FakeTimers();
    const slow = start({}, store).health();
    timers.tick(4999);
    assertEquals(await outcomeOf(slow), "pending");
    timers.tick(1);
    await assertRejects(() => slow, SessionStoreError, "did not answer within 5 s");
  }

  await server.signal("SIGCONT");
  await until("the store answers", () => middleware.health().then(() => true, () => false));
  await server.kill();
  await assertRejects(() => middleware.health(), SessionStoreError, `Cannot ping ${name}`);
}

if (await isThere("redis", "health() with Redis", findRedisServer)) {
  Deno.test("health() rejects within storeTimeout, or five seconds, while Redis hangs", async () => {
    await using redis = await startRedis();
    await using store = new RedisStore(redis.url);
    await checksHealth(store, { signal: redis.signal, kill: () => redis.signal("SIGKILL") });
  });
}

if (await postgresCanBeStarted("health() with PostgreSQL")) {
  Deno.test("health() rejects within storeTimeout, or five seconds, while PostgreSQL hangs", async () => {
    await using server = await ownServer();
    await using store = new PostgresStore(server.url);
    await checksHealth(store, { signal: server.signalAll, kill: () => server.stop("SIGKILL") });
  });
}
