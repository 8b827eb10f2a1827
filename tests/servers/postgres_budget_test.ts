import { SessionGoneError, SessionStoreError } from "@alosaur/session";
import { PostgresStore } from "@alosaur/session/postgres";
import { assertEquals, assertRejects } from "../helpers/assert.ts";
import { keepsToBudget } from "./_budget.ts";
import { countTrips } from "./_counting_proxy.ts";
import { addressOf, ownSchema, POSTGRES_URL, postgresIsThere, through } from "./_postgres.ts";

function record(principal: string): Parameters<PostgresStore["createRecord"]>[1] {
  const now = Date.now();
  const meta = { createdAt: now, seenAt: now, renewedAt: now, principal };
  return { expiresAt: now + 60_000, values: new Map([["k", 1]]), meta };
}

/** Operations of a store, and the statements if not one. Each finds what the earlier ones wrote. */
const OPERATIONS: [string, (store: PostgresStore) => Promise<unknown>, statements?: number][] = [
  ["createRecord", (store) => store.createRecord("a", record("ada"))],
  ["create", (store) => store.create("b")],
  ["create of an id in use", (store) => assertRejects(() => store.create("a"), SessionStoreError)],
  ["exist", (store) => store.exist("a")],
  ["get", (store) => store.get("a")],
  ["getValue", (store) => store.getValue("a", "k")],
  ["setValue", (store) => store.setValue("a", "k", "x".repeat(512 * 1024))],
  // The second statement finds out why the first one has written nothing.
  ["setValue of a missing session", (store) => assertRejects(() => store.setValue("no", "k", 1), SessionGoneError), 2],
  ["readRecord", (store) => store.readRecord("a")],
  ["changeRecord", (store) => store.changeRecord("a", { ifVersion: 1, clear: true, meta: { principal: "eve" } })],
  ["changeRecord of another version", (store) => store.changeRecord("a", { ifVersion: 0, expiresAt: Infinity })],
  ["binding to a device", (store) => store.changeRecord("a", { ifNoDevice: true, meta: { deviceKey: "{}" } })],
  ["changeRecord of a bound session", (store) => store.changeRecord("a", { ifNoDevice: true, clear: true })],
  ["moveRecord", (store) => store.moveRecord("a", "c", { meta: {}, graceUntil: 0 })],
  ["readRecord of a trace", (store) => store.readRecord("a")],
  ["listSessions", (store) => store.listSessions("eve")],
  ["countSessions", (store) => store.countSessions()],
  ["listPrincipals", (store) => store.listPrincipals({ after: "ada", limit: 100 })],
  ["delete", (store) => store.delete("c")],
  ["removeExpired", (store) => store.removeExpired()],
];

if (await postgresIsThere("the round trips to PostgreSQL")) {
  for (
    const [how, query, tripsPerCall] of [["prepared statements", "", 1], [
      "prepare: false",
      "?prepare=false",
      2,
    ]] as const
  ) {
    Deno.test(`PostgresStore takes ${tripsPerCall} round trip(s) per operation, with ${how}`, async (t) => {
      await using schema = await ownSchema();
      await using proxy = countTrips(addressOf(POSTGRES_URL));
      await using store = new PostgresStore(through(proxy, POSTGRES_URL) + query, { table: schema.table() });
      await store.init();
      // The first round prepares every statement on the connection.
      for (const [, run] of OPERATIONS) await run(store);
      await store.clear();
      for (const [name, run, statements = 1] of OPERATIONS) {
        await t.step(name, async () => {
          const before = proxy.trips;
          await run(store);
          assertEquals(proxy.trips - before, tripsPerCall * statements);
        });
      }
      await t.step("a second init: none", async () => {
        const before = proxy.trips;
        await store.init();
        assertEquals(proxy.trips, before);
      });
    });

    Deno.test(`SessionMiddleware on a PostgresStore stays within ${tripsPerCall} × the budget, with ${how}`, async (t) => {
      await using schema = await ownSchema();
      await using proxy = countTrips(addressOf(POSTGRES_URL));
      await using store = new PostgresStore(through(proxy, POSTGRES_URL) + query, { table: schema.table() });
      await store.init();
      await keepsToBudget(t, store, proxy, tripsPerCall);
    });
  }

  Deno.test("PostgresStore takes one more round trip for the first call of a statement on a connection", async () => {
    await using schema = await ownSchema();
    await using proxy = countTrips(addressOf(POSTGRES_URL));
    await using store = new PostgresStore(through(proxy, POSTGRES_URL), { table: schema.table() });
    await store.init();
    const trips: number[] = [];
    for (let i = 0; i < 3; i++) {
      const before = proxy.trips;
      await store.readRecord("a");
      trips.push(proxy.trips - before);
    }
    assertEquals(trips, [2, 1, 1]);
  });
}
