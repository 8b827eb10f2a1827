/** `middleware.health()`, with stores that answer, fail and hang. */
import { MemoryStore, SessionMiddleware, type SessionStore, SessionStoreError } from "../../mod.ts";
import { checkHealth } from "../../src/core/store_health.ts";
import { EncryptedStore } from "../../src/stores/encrypted_store.ts";
import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects } from "../helpers/assert.ts";
import { start } from "../helpers/request.ts";
import { BasicStore, failing, probe, waiting } from "../helpers/stores.ts";
import { FakeTimers, outcomeOf, quiet } from "../helpers/timers.ts";

/** A `MemoryStore` and a store without `ping()`, with the method that the check calls. */
const CHECKED: [name: string, method: string, make: () => SessionStore][] = [
  ["MemoryStore", "ping", () => new MemoryStore()],
  ["BasicStore", "exist", () => new BasicStore()],
];

for (const [name, method, make] of CHECKED) {
  Deno.test(`health() returns the name and the latency of a ${name}, from one ${method}()`, async () => {
    using timers = new FakeTimers();
    const gate = Promise.withResolvers<void>();
    const { store, probe: seen } = probe(make());
    seen.before = waiting(gate.promise);
    const health = start({}, store).health();
    timers.tick(1.5);
    gate.resolve();
    assertEquals(await health, { store: name, latency: 1.5 });
    assertEquals(seen.calls, [method]);
    await quiet();
    assertEquals(timers.pending, 0);
  });

  Deno.test(`health() rejects with the cause if a ${name} fails`, async () => {
    using timers = new FakeTimers();
    for (const fail of [failing(), (): Promise<void> => Promise.reject(new Error("down"))]) {
      const { store, probe: seen } = probe(make());
      seen.before = fail;
      const error = await assertRejects(() => start({}, store).health(), SessionStoreError);
      assertEquals(error.message, `Cannot ping ${name}: it failed; see \`cause\`; check its backend`);
      assertEquals([error.operation, error.httpCode, JSON.stringify(error)], ["ping", 503, "{}"]);
      assertInstanceOf(error.cause, Error);
      assertEquals(error.cause.message, "down");
    }
    await quiet();
    assertEquals(timers.pending, 0);
  });

  for (const [storeTimeout, seconds] of [[undefined, 5], [0.2, 0.2]]) {
    Deno.test(`health() rejects after ${seconds} s if a ${name} hangs (storeTimeout ${storeTimeout})`, async () => {
      using timers = new FakeTimers();
      const gate = Promise.withResolvers<void>();
      const { store, probe: seen } = probe(make());
      const middleware = start({ storeTimeout }, store);
      seen.before = waiting(gate.promise);
      const health = middleware.health();
      timers.tick((seconds ?? 0) * 1000 - 1);
      assertEquals(await outcomeOf(health), "pending");
      timers.tick(1);
      const outcome = await outcomeOf(health);
      assertInstanceOf(outcome, SessionStoreError);
      assertMatch(outcome.message, new RegExp(`^Cannot ping ${name}: it did not answer within ${seconds} s;`));
      gate.resolve();
      await quiet();
      assertEquals(timers.pending, 0);
    });
  }
}

Deno.test("health() passes an error of the store on that says what to do", async () => {
  const own = new SessionStoreError("ping", "Cannot ping: the file was deleted");
  const { store, probe: seen } = probe(new MemoryStore());
  seen.before = () => Promise.reject(own);
  assertEquals(await start({}, store).health().catch((error) => error), own);
});

Deno.test("health() looks up another random id each time in a store without ping()", async () => {
  const ids = new Set<unknown>();
  const { store, probe: seen } = probe(new BasicStore());
  seen.before = (_, [sid]) => void ids.add(sid);
  const middleware = start({}, store);
  for (let i = 0; i < 3; i++) await middleware.health();
  assertEquals(ids.size, 3);
  for (const id of ids) assertMatch(String(id), /^[\w-]{24}$/);
});

Deno.test("health() names an EncryptedStore, and asks the store beneath", async () => {
  const key = SessionMiddleware.generateSecret();
  const { store, probe: seen } = probe(new MemoryStore());
  assertEquals((await start({}, new EncryptedStore(store, key)).health()).store, "EncryptedStore over MemoryStore");
  assertEquals(seen.calls, ["ping"]);
  class Sealed extends EncryptedStore {}
  assertEquals((await start({}, new Sealed(store, key)).health()).store, "Sealed over MemoryStore");
  assert(!("ping" in new EncryptedStore(new BasicStore(), key)));
});

Deno.test("health() names a store that has no class", async () => {
  const store = new BasicStore();
  const bare = Object.assign(Object.create(null), {
    ...Object.fromEntries(
      ["init", "exist", "create", "delete", "get", "setValue", "getValue", "clear"]
        .map((name) => [name, Reflect.get(store, name).bind(store)]),
    ),
  });
  assertEquals((await start({}, bare).health()).store, "SessionStore");
});

Deno.test("checkHealth() calls a store that is a plain object a SessionStore", async () => {
  const plain = {
    ...new BasicStore(),
    exist: (): Promise<boolean> => Promise.resolve(false),
  } as unknown as SessionStore;
  assertEquals((await checkHealth(plain)).store, "SessionStore");
});
