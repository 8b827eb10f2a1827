/** Writes that were sent before the expiry of a session and are executed after it. */
import { SessionGoneError } from "@alosaur/session";
import { PostgresStore } from "@alosaur/session/postgres";
import { assertEquals, assertRejects } from "../helpers/assert.ts";
import { ownSchema, POSTGRES_URL, postgresIsThere, sleep } from "./_postgres.ts";
import { hold } from "./_postgres_locks.ts";

const MINUTE = 60_000;

/** Every write that needs a live session. */
const WRITES: [string, (store: PostgresStore) => Promise<unknown>][] = [
  ["changeRecord with a new expiry", (store) => store.changeRecord("a", { expiresAt: Date.now() + MINUTE })],
  ["changeRecord of a version", (store) => store.changeRecord("a", { ifVersion: 1, expiresAt: Infinity })],
  ["changeRecord of a session without a device", (store) => store.changeRecord("a", { ifNoDevice: true })],
  ["setValue", (store) => store.setValue("a", "k", 2)],
  ["moveRecord", (store) => store.moveRecord("a", "b", { meta: {}, graceUntil: 0 })],
  ["moveRecord of a version", (store) => store.moveRecord("a", "b", { ifVersion: 1, meta: {}, graceUntil: 0 })],
];

/** What the holder of a row lock does before it ends its transaction. */
const ENDS: [string, (table: string) => string][] = [
  ["nothing", () => "COMMIT"],
  ["a change without effect", (table) => `UPDATE ${table} SET meta = meta; COMMIT`],
  ["a change that it rolls back", (table) => `UPDATE ${table} SET version = version + 1; ROLLBACK`],
];

/** Adjusts a clock of this process, which continues to run. */
function adjust(clock: { now(): number }, milliseconds: number): Disposable {
  const { now } = clock;
  clock.now = () => now.call(clock) + milliseconds;
  return { [Symbol.dispose]: () => clock.now = now };
}

function create(store: PostgresStore, expiresAt: number): Promise<void> {
  const now = Date.now();
  const meta = { createdAt: now, seenAt: now, renewedAt: now, principal: "ada" };
  return store.createRecord("a", { values: new Map([["k", 1]]), expiresAt, meta });
}

if (await postgresIsThere("expiry in a PostgresStore")) {
  for (const minutes of [0, 3, -3]) {
    const name = `with a clock ${minutes === 0 ? "equal to" : `${minutes} minutes ahead of`} the server's`;

    Deno.test(`PostgresStore refuses a write that is executed after the expiry, ${name}`, async (t) => {
      using _clock = adjust(Date, minutes * MINUTE);
      await using schema = await ownSchema();
      const table = schema.table();
      await using store = new PostgresStore(POSTGRES_URL, { table });
      await store.init();
      for (const [title, write] of WRITES) {
        for (const [end, statements] of ENDS) {
          await t.step(`${title}, after the holder of the row lock did ${end}`, async () => {
            await store.clear();
            const expiresAt = Date.now() + 300;
            await create(store, expiresAt);
            // Measures the clock more precisely than init(), which also connects.
            await store.setValue("a", "k", 0);
            await using holder = await hold(table, `SELECT FROM ${table} FOR UPDATE`);
            const written = write(store).then(() => "written", (error) => error.name);
            await holder.waiting(1);
            while (Date.now() < expiresAt + 50) await sleep(10);
            await holder.query(statements(table));
            assertEquals(await written, "SessionGoneError");
            assertEquals(await store.readRecord("a"), { expired: true });
            assertEquals(await store.readRecord("b"), undefined);
            assertEquals(await store.listSessions("ada"), []);
          });
        }
      }
    });

    Deno.test(`PostgresStore accepts writes until the expiry, ${name}`, async () => {
      using _clock = adjust(Date, minutes * MINUTE);
      await using schema = await ownSchema();
      const table = schema.table();
      await using store = new PostgresStore(POSTGRES_URL, { table });
      await store.init();
      for (const [, write] of WRITES) {
        await store.clear();
        // Less than the difference of the clocks.
        await create(store, Date.now() + MINUTE);
        await store.setValue("a", "k", 0);
        await using holder = await hold(table, `SELECT FROM ${table} FOR UPDATE`);
        const written = write(store);
        await holder.waiting(1);
        await holder.query("COMMIT");
        await written;
        assertEquals((await store.listSessions("ada")).length, 1);
      }
      await store.clear();
      await create(store, Date.now() - MINUTE);
      for (const [, write] of WRITES) await assertRejects(() => write(store), SessionGoneError);
    });
  }

  Deno.test("PostgresStore knows the server's clock after init() has created the table, and after it has found one", async () => {
    using _clock = adjust(Date, -3 * MINUTE);
    await using schema = await ownSchema();
    const table = schema.table();
    for (let i = 0; i < 2; i++) {
      await using store = new PostgresStore(POSTGRES_URL, { table });
      await store.init();
      const expiresAt = Date.now() + 300;
      await create(store, expiresAt);
      // The first write of the store, without a lookup before it.
      await using holder = await hold(table, `SELECT FROM ${table} FOR UPDATE`);
      const written = store.changeRecord("a", { expiresAt: Infinity }).then(() => "written", (error) => error.name);
      await holder.waiting(1);
      // init() took the time to connect for a part of the difference.
      while (Date.now() < expiresAt + 1000) await sleep(10);
      await holder.query("COMMIT");
      assertEquals(await written, "SessionGoneError");
      await store.clear();
    }
  });

  Deno.test("PostgresStore learns the server's clock from its writes if init() took long", async () => {
    await using schema = await ownSchema();
    const table = schema.table();
    await using other = new PostgresStore(POSTGRES_URL, { table });
    await other.init();
    await using store = new PostgresStore(POSTGRES_URL, { table });
    {
      await using holder = await hold(table, `LOCK TABLE ${table}`);
      const ready = store.init();
      await holder.waiting(1);
      await sleep(1000);
      await holder.query("COMMIT");
      await ready;
    }
    const expiresAt = Date.now() + 300;
    await create(store, expiresAt);
    await store.setValue("a", "k", 0);
    await using holder = await hold(table, `SELECT FROM ${table} FOR UPDATE`);
    const written = store.changeRecord("a", { expiresAt: Infinity }).then(() => "written", (error) => error.name);
    await holder.waiting(1);
    while (Date.now() < expiresAt + 300) await sleep(10);
    await holder.query("COMMIT");
    assertEquals(await written, "SessionGoneError");
  });

  Deno.test("PostgresStore accepts writes until the expiry after a clock was adjusted", async () => {
    const clocks: { now(): number }[] = [Date, performance];
    for (const clock of clocks) {
      for (const milliseconds of [3 * MINUTE, -3 * MINUTE]) {
        await using schema = await ownSchema();
        await using store = new PostgresStore(POSTGRES_URL, { table: schema.table() });
        await store.init();
        await create(store, Date.now() + MINUTE);
        await store.setValue("a", "k", 0);
        using _clock = adjust(clock, milliseconds);
        for (const [, write] of WRITES) {
          await store.clear();
          await create(store, Date.now() + MINUTE);
          await store.setValue("a", "k", 0);
          await write(store);
          assertEquals((await store.listSessions("ada")).length, 1);
        }
      }
    }
  });
}
