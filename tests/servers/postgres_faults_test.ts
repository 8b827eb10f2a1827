import { PostgresStore } from "@alosaur/session/postgres";
import { type SessionMiddleware, SessionStoreError } from "@alosaur/session";
import { assert, assertEquals, assertRejects } from "../helpers/assert.ts";
import { read, signUp, start } from "../helpers/request.ts";
import { type Load, type Outcome, startLoad } from "./_load.ts";
import {
  client,
  ownSchema,
  ownServer,
  POSTGRES_URL,
  postgresCanBeStarted,
  postgresIsThere,
  sleep,
} from "./_postgres.ts";

/**
 * Sends requests during a fault of the server, prints their outcomes, and expects no lost write.
 */
async function underLoad(
  name: string,
  middleware: SessionMiddleware,
  fault: (load: Load) => Promise<void>,
): Promise<Outcome> {
  const load = startLoad(middleware);
  await answers(load, 100);
  await fault(load);
  // The first request after the fault succeeds.
  await signUp(middleware);
  await answers(load, 100);
  const outcome = await load.stop();
  console.log(`${name}: ${Object.entries(outcome).map(([kind, count]) => `${count} ${kind}`).join(", ")}`);
  assert(outcome.refused > 0);
  assertEquals(outcome.sent, outcome.answered + outcome.refused);
  assertEquals(outcome.lost, 0);
  return outcome;
}

/** Waits until that many more requests were answered. */
async function answers(load: Load, count: number): Promise<void> {
  const before = load.answered;
  while (load.answered < before + count) await sleep(10);
}

if (await postgresIsThere("lost connections to PostgreSQL")) {
  Deno.test("PostgresStore loses no acknowledged write when connections are terminated during queries", async () => {
    await using schema = await ownSchema();
    const name = crypto.randomUUID();
    await using store = new PostgresStore(`${POSTGRES_URL}?application_name=${name}`, { table: schema.table() });
    await store.init();
    await using sql = client(POSTGRES_URL);
    await underLoad("PostgreSQL, connections terminated", start({}, store), async (load) => {
      for (let round = 0; round < 20; round++) {
        await sql.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '${name}'`);
        await sleep(50);
      }
      // The store learns of the last terminations from the queries that they interrupt.
      await answers(load, 100);
    });
  });

  Deno.test("PostgresStore rejects requests in time while its table is locked, with a storeTimeout", async () => {
    await using schema = await ownSchema();
    await using store = new PostgresStore(POSTGRES_URL, { table: schema.table() });
    await store.init();
    await using sql = client(POSTGRES_URL);
    await underLoad("PostgreSQL, table locked for 1 s", start({ storeTimeout: 0.3 }, store), async () => {
      await sql.query(`BEGIN; LOCK TABLE ${schema.table()}; SELECT pg_sleep(1); COMMIT`);
    });
  });
}

if (await postgresCanBeStarted("the faults of a PostgreSQL")) {
  Deno.test("PostgresStore loses no acknowledged write when its server is killed, and works again after a restart", async (t) => {
    await using server = await ownServer();
    await using store = new PostgresStore(server.url);
    await store.init();
    for (const [signal, name] of [["SIGKILL", "killed"], ["SIGQUIT", "stopped immediately"]] as const) {
      await t.step(name, async () => {
        await underLoad(`PostgreSQL ${name} and restarted`, start({}, store), async () => {
          await server.stop(signal);
          await sleep(500);
          await server.start();
        });
      });
    }
    await t.step("killed and restarted between two requests", async () => {
      const middleware = start({}, store);
      const cookie = await signUp(middleware);
      await server.stop("SIGKILL");
      await server.start();
      assertEquals(await read(middleware, cookie), "ada");
    });
  });

  Deno.test("PostgresStore rejects requests in time while its server hangs, with a storeTimeout", async () => {
    await using server = await ownServer();
    await using store = new PostgresStore(server.url);
    await store.init();
    const middleware = start({ storeTimeout: 0.5 }, store);
    const cookie = await signUp(middleware);
    await underLoad("PostgreSQL hung for 2 s", middleware, async () => {
      await server.signalBackends("SIGSTOP");
      await sleep(1000);
      const startedAt = performance.now();
      await assertRejects(() => read(middleware, cookie), SessionStoreError);
      assert(performance.now() - startedAt < 900);
      await sleep(1000);
      await server.signalBackends("SIGCONT");
    });
  });
}
