/** An `UnstorageStore` on unstorage's own driver for Redis, which has a time to live. */
import { Redis } from "npm:ioredis@5.9.3";
import { createStorage } from "npm:unstorage@1.17.6";
import redisDriver from "npm:unstorage@1.17.6/drivers/redis";
import { SessionMiddleware, type SessionStore } from "@alosaur/session";
import { testSessionStore } from "@alosaur/session/testing";
import { UnstorageStore } from "@alosaur/session/unstorage";
import { assert, assertEquals } from "../helpers/assert.ts";
import { idOf, signUp } from "../helpers/request.ts";
import { isThere } from "./_require.ts";
import { findRedis, REDIS_URL } from "./_redis.ts";

const BASE = `test-unstorage-${crypto.randomUUID()}`;

/** Creates a store that disposes of its storage, for the suite. */
function createStore(prefix = "session", url: string = REDIS_URL): SessionStore & AsyncDisposable {
  const options = { base: BASE, url, maxRetriesPerRequest: 0, retryStrategy: () => null };
  const storage = createStorage({ driver: redisDriver(options) });
  return Object.assign(new UnstorageStore(storage, { prefix }), {
    [Symbol.asyncDispose]: () => storage.dispose(),
  });
}

if (await isThere("redis", "the tests of UnstorageStore on a Redis server", findRedis)) {
  testSessionStore("UnstorageStore on Redis", () => createStore(), {
    // Each instance has a storage of its own.
    shared: false,
    values: "all",
    neighbour: () => createStore("session:another"),
    broken: () => createStore("session", "redis://127.0.0.1:1"),
  });

  Deno.test("UnstorageStore lets Redis remove a session ten minutes after its expiry", async () => {
    await using store = createStore();
    await store.init();
    const middleware = new SessionMiddleware(store, { secret: SessionMiddleware.generateSecret(), maxAge: 3600 });
    const sid = idOf(await signUp(middleware));
    await using redis = new AsyncDisposableStack();
    const client = redis.adopt(new Redis(REDIS_URL), (client) => client.disconnect());
    const [key = "", ...others] = await client.keys(`${BASE}:*`);
    assertEquals(others, []);
    assert(/^[\w-]+:session:[\da-f]{64}$/.test(key) && !key.includes(sid));
    const ttl = await client.ttl(key);
    assert(ttl > 4100 && ttl <= 4200, `${ttl} s`);
    await store.delete(sid);
    assertEquals(await client.keys(`${BASE}:*`), []);
  });
}
