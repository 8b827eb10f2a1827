import { SessionGoneError } from "@alosaur/session";
import type { RedisStore } from "@alosaur/session/redis";
import { assert, assertEquals, assertRejects } from "../helpers/assert.ts";
import { isThere } from "./_require.ts";
import { findRedis, until } from "./_redis.ts";
import { open, PREFIX, record } from "./_redis_client.ts";

const MINUTE = 60_000;

/** Adjusts `Date.now()` or `performance.now()`, which otherwise goes on. */
function adjust(clock: { now(): number }, milliseconds: number): Disposable {
  const real = clock.now;
  clock.now = () => real.call(clock) + milliseconds;
  return { [Symbol.dispose]: () => clock.now = real };
}

/** Every write, and the number of scripts before the one that decides. */
const WRITES: [string, number, (store: RedisStore) => Promise<unknown>][] = [
  ["touch", 0, (store) => store.changeRecord("a", { expiresAt: Date.now() + MINUTE })],
  ["changeRecord", 0, (store) => store.changeRecord("a", { clear: true, set: new Map([["k", 2]]) })],
  ["setValue", 0, (store) => store.setValue("a", "k", 2)],
  ["binding to a user", 2, (store) => store.changeRecord("a", { meta: { principal: "ada" } })],
  ["moveRecord", 2, (store) => store.moveRecord("a", "b", { meta: {}, graceUntil: Date.now() + MINUTE })],
];

/** How far the clock of this machine is ahead of Redis's. */
const SKEWS: [string, number][] = [["equal", 0], ["3 minutes ahead", 3 * MINUTE], ["3 minutes behind", -3 * MINUTE]];

if (await isThere("redis", "the expiry on a Redis server", findRedis)) {
  for (const [skew, milliseconds] of SKEWS) {
    Deno.test(`RedisStore refuses a write that is executed after the expiry, with the clock ${skew}`, async (t) => {
      using _ = adjust(Date, milliseconds);
      await using opened = await open();
      const { store, client, interrupt } = opened;
      for (const [write, scriptsBefore, run] of WRITES) {
        await t.step(write, async () => {
          await store.clear();
          const { expiresAt, ...rest } = record(100);
          await store.createRecord("a", { ...rest, expiresAt });
          // Longer than the fastest command takes, which Redis's clock is known to.
          const delay = (): Promise<void> => until("it has expired", () => Date.now() > expiresAt + 100);
          interrupt.before = [...Array.from({ length: scriptsBefore }, () => () => {}), delay];
          await assertRejects(() => run(store), SessionGoneError);
          assertEquals(await store.exist("a"), false);
          assertEquals(await client.hGet(`${PREFIX}id:a`, "expiresAt"), String(expiresAt));
          assertEquals(await client.exists(`${PREFIX}id:b`), 0);
        });
      }
    });

    Deno.test(`RedisStore accepts a write before the expiry, with the clock ${skew}`, async () => {
      using _ = adjust(Date, milliseconds);
      await using opened = await open();
      const { store } = opened;
      // Shorter than the difference of the clocks.
      for (const [, , run] of WRITES) {
        await store.createRecord("a", record(MINUTE));
        await run(store);
        await store.clear();
      }
      await store.createRecord("a", record(MINUTE));
      for (let i = 0; i < 100; i++) await store.changeRecord("a", { expiresAt: Date.now() + 2000 });
    });
  }

  Deno.test("RedisStore accepts a write before the expiry, and none after it, after either clock was adjusted", async () => {
    const clocks: { now(): number }[] = [Date, performance];
    for (const clock of clocks) {
      for (const milliseconds of [3 * MINUTE, -3 * MINUTE]) {
        await using opened = await open();
        const { store } = opened;
        await store.createRecord("before", record(MINUTE));
        await store.setValue("before", "k", 2);
        using _ = adjust(clock, milliseconds);
        for (const [, , run] of WRITES) {
          await store.createRecord("a", record(MINUTE));
          await run(store);
          await store.delete("a");
          await store.delete("b");
        }
        // And refuses it after the expiry.
        await store.createRecord("a", record(0));
        await assertRejects(() => store.setValue("a", "k", 2), SessionGoneError);
      }
    }
  });

  Deno.test("RedisStore refuses a late write after its clock was adjusted, because each write measures it", async () => {
    await using opened = await open();
    const { store, interrupt } = opened;
    // As if Redis's clock had been put back by three minutes.
    using _ = adjust(performance, 3 * MINUTE);
    const { expiresAt, ...rest } = record(300);
    await store.createRecord("a", { ...rest, expiresAt });
    await store.setValue("a", "k", 2);
    interrupt.before = [() => until("it has expired", () => Date.now() > expiresAt + 100)];
    await assertRejects(() => store.changeRecord("a", { expiresAt: Date.now() + MINUTE }), SessionGoneError);
    assertEquals(await store.exist("a"), false);
  });

  Deno.test("RedisStore refuses a late write although an earlier one took it for late too soon", async () => {
    await using opened = await open();
    const { store, interrupt } = opened;
    const { expiresAt, ...rest } = record(1000);
    await store.createRecord("a", { ...rest, expiresAt });
    // As if Redis's clock had been adjusted by three minutes.
    using _ = adjust(performance, -3 * MINUTE);
    let attempts = 0;
    const delay = async (): Promise<void> => {
      attempts++;
      await until("it has expired", () => Date.now() > expiresAt + 200);
    };
    // The first attempt is refused while the session is live.
    interrupt.before = [() => attempts++, delay];
    await assertRejects(() => store.changeRecord("a", { expiresAt: Date.now() + MINUTE }), SessionGoneError);
    assert(attempts === 2);
    assertEquals(await store.exist("a"), false);
  });
}
