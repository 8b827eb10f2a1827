/** Lookups that are made at the same time, on a real PostgreSQL. */
import postgres from "npm:postgres@3.4.9";
import { UnreadableRecordError } from "@alosaur/session";
import { PostgresStore } from "@alosaur/session/postgres";
import { assert, assertEquals, assertRejects } from "../helpers/assert.ts";
import { outcomeOf } from "../helpers/timers.ts";
import { faultyProxy } from "./_faulty_proxy.ts";
import { addressOf, client, ownSchema, pooler, POSTGRES_URL, postgresIsThere, through } from "./_postgres.ts";
import { CountedStore, ODD_IDS, record } from "./_postgres_batches.ts";
import { hold } from "./_postgres_locks.ts";
import { isThere } from "./_require.ts";

/** Returns the value of a session, how it has ended, or the name of the error. */
async function look(store: PostgresStore, sid: string): Promise<unknown> {
  try {
    const found = await store.readRecord(sid);
    if (found === undefined) return "missing";
    if ("values" in found) return found.values.get("k");
    return "movedTo" in found ? `moved to ${found.movedTo}` : "expired";
  } catch (error) {
    return error instanceof Error ? error.name : error;
  }
}

if (await postgresIsThere("concurrent lookups in PostgreSQL")) {
  const poolerIsThere = await isThere("postgres", "concurrent lookups through a pooler", async () => {
    await Deno.stat("/usr/sbin/pgbouncer").catch(() => {
      throw new Error("no /usr/sbin/pgbouncer");
    });
  });
  const ways = ["prepared statements", "prepare: false", ...poolerIsThere ? ["a pooler in transaction mode"] : []];
  for (const way of ways) {
    Deno.test(`PostgresStore sends concurrent lookups in few statements, with ${way}`, async (t) => {
      await using schema = await ownSchema();
      await using stack = new AsyncDisposableStack();
      const pgbouncer = way.startsWith("a pooler") ? stack.use(await pooler(POSTGRES_URL)) : undefined;
      const url = pgbouncer?.url ?? POSTGRES_URL;
      const table = schema.table();
      await using store = new CountedStore(way === "prepared statements" ? url : `${url}?prepare=false`, table);
      await store.init();

      await t.step("of sessions in every state", async () => {
        const expected = new Map<string, unknown>();
        for (let i = 0; i < 50; i++) {
          await store.createRecord(`live ${i}`, record(i));
          expected.set(`live ${i}`, i).set(`none ${i}`, "missing");
        }
        await store.createRecord("expired", record(0, -1));
        expected.set("expired", "expired");
        await store.createRecord("old", record(0));
        await store.moveRecord("old", "new", { meta: {}, graceUntil: Date.now() + 60_000 });
        expected.set("old", "moved to new").set("new", 0);
        for (const [sid, damage] of [["broken", "meta = '{}'"], ["damaged", "data = '[]'"]] as const) {
          await store.createRecord(sid, record(0));
          await using sql = client(POSTGRES_URL);
          await sql.query(`UPDATE ${table} SET ${damage} WHERE id = '${sid}'`);
          expected.set(sid, UnreadableRecordError.name);
        }
        const ids = [...expected.keys()];
        for (let round = 0; round < 3; round++) {
          store.statements.length = 0;
          assertEquals(await Promise.all(ids.map((sid) => look(store, sid))), [...expected.values()]);
          assert(store.statements.length <= 20, `${store.statements.length} statements`);
        }
      });

      await t.step("with ids of any characters", async () => {
        for (const [i, sid] of ODD_IDS.entries()) await store.createRecord(sid, record(i));
        store.statements.length = 0;
        assertEquals(await Promise.all(ODD_IDS.map((sid) => look(store, sid))), ODD_IDS.map((_, i) => i));
        assert(store.statements.length <= 20, `${store.statements.length} statements`);
      });
    });
  }

  Deno.test("PostgresStore sends 64 concurrent lookups in three statements", async () => {
    await using schema = await ownSchema();
    await using store = new CountedStore(POSTGRES_URL, schema.table());
    await store.init();
    for (let i = 0; i < 64; i++) await store.createRecord(`${i}`, record(i));
    // The first two statements wait, so that none of the lookups that follow finds them done.
    await using holder = await hold(schema.table(), `LOCK TABLE ${schema.table()} IN ACCESS EXCLUSIVE MODE`);
    store.statements.length = 0;
    const found = Promise.all(Array.from({ length: 64 }, (_, i) => look(store, `${i}`)));
    await holder.waiting(3);
    await holder.query("COMMIT");
    assertEquals(await found, Array.from({ length: 64 }, (_, i) => i));
    assertEquals(store.statements.length, 3);
  });

  Deno.test("PostgresStore gives each concurrent lookup of a session a copy of its own", async () => {
    await using schema = await ownSchema();
    await using store = new CountedStore(POSTGRES_URL, schema.table());
    await store.init();
    await store.createRecord("a", record(["a"]));
    store.statements.length = 0;
    const all = await Promise.all(Array.from({ length: 10 }, () => store.readRecord("a")));
    assert(store.statements.length < 10, `${store.statements.length} statements`);
    for (const found of all) {
      assert(found !== undefined && "values" in found);
      assertEquals(found.values, new Map([["k", ["a"]]]));
      assertEquals(found.meta.seenAt, found.meta.createdAt);
      (found.values.get("k") as string[]).push("b");
      found.values.clear();
      found.meta.seenAt = 0;
    }
  });

  Deno.test("PostgresStore rejects only the lookup of the row that the server cannot read", async (t) => {
    await using schema = await ownSchema();
    const table = schema.table();
    await using sql = client(POSTGRES_URL);
    await using writer = new PostgresStore(POSTGRES_URL, { table });
    await writer.init();
    for (let i = 0; i < 30; i++) await writer.createRecord(`${i}`, record(i));
    await writer.createRecord("bad", record(0));
    // The server computes a column of the view when it reads a row.
    const view = schema.table("computed");
    const failing = schema.table("failing");
    const ids = [...Array.from({ length: 15 }, (_, i) => `${i}`), "bad", "20", "21"];
    const expected = ids.map((sid) => sid === "bad" ? "failed" : Number(sid));
    const open = async (code: string): Promise<CountedStore> => {
      await sql.query(`SET client_min_messages = warning; DROP VIEW IF EXISTS ${view};
        CREATE OR REPLACE FUNCTION ${failing}(id text) RETURNS int LANGUAGE plpgsql AS
          $$ BEGIN IF id = 'bad' THEN RAISE 'cannot read' USING ERRCODE = '${code}'; END IF; RETURN 0; END $$;
        CREATE VIEW ${view} AS SELECT id, data, meta, version + ${failing}(id) AS version, expires_at, moved_to,
          grace_until, principal FROM ${table}`);
      return new CountedStore(POSTGRES_URL, view, { migrate: false });
    };
    const lookAll = (store: PostgresStore): Promise<unknown[]> =>
      Promise.all(ids.map((sid) =>
        store.readRecord(sid).then(
          (found) => found && "values" in found ? found.values.get("k") : found,
          (error) => (assertEquals(error.message, "cannot read"), "failed"),
        )
      ));
    for (const code of ["22012", "58030", "P0001", "XX000", "XX001"]) {
      await t.step(`error ${code} of one row`, async () => {
        await using store = await open(code);
        await store.init();
        assertEquals(await lookAll(store), expected);
      });
    }
    await t.step("error 57014 of a statement, which is not repeated", async () => {
      await using store = await open("57014");
      await store.init();
      store.statements.length = 0;
      const found = await lookAll(store);
      assert(found.filter((outcome) => outcome === "failed").length > 1);
      assertEquals(found.slice(0, 2), [0, 1]);
      assertEquals(store.statements.length, 3);
    });
    await t.step("error 22012 in a transaction of the application, which gets that error", async () => {
      await using store = await open("22012");
      await store.init();
      const application = postgres(POSTGRES_URL, { max: 1 });
      const failed = application.begin(async (transaction) => {
        const inside = new PostgresStore(transaction, { table: view, migrate: false });
        await Promise.all([...ids.slice(0, 3), "bad"].map((sid) => inside.readRecord(sid)));
      });
      const error = await assertRejects(() => failed, Error, "cannot read");
      assertEquals(Reflect.get(error, "code"), "22012");
      await application.end();
    });
  });

  Deno.test("PostgresStore finds what was written before a lookup began, while others are pending", async () => {
    await using schema = await ownSchema();
    await using store = new PostgresStore(POSTGRES_URL, { table: schema.table() });
    await store.init();
    for (let i = 0; i < 8; i++) await store.createRecord(`${i}`, record(0));
    let stopped = false;
    const others = Array.from({ length: 32 }, async (_, i) => {
      while (!stopped) await look(store, `${i % 8}`);
    });
    await Promise.all(Array.from({ length: 8 }, async (_, i) => {
      for (let round = 1; round <= 50; round++) {
        await store.setValue(`${i}`, "k", round);
        assertEquals(await look(store, `${i}`), round);
      }
    }));
    stopped = true;
    await Promise.all(others);
  });

  Deno.test("PostgresStore settles all lookups of a lost connection, and the next one is answered", async () => {
    await using schema = await ownSchema();
    const table = schema.table();
    await using proxy = faultyProxy(addressOf(POSTGRES_URL));
    await using store = new PostgresStore(through(proxy, POSTGRES_URL), { table });
    await store.init();
    for (let i = 0; i < 64; i++) await store.createRecord(`${i}`, record(i));
    const lookAll = (): Promise<unknown[]> => Promise.all(Array.from({ length: 64 }, (_, i) => look(store, `${i}`)));
    const all = Array.from({ length: 64 }, (_, i) => i);
    assertEquals(await lookAll(), all);
    {
      // The statements are at the server when their connections are terminated.
      await using holder = await hold(table, `LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
      const lost = lookAll();
      await holder.waiting(3);
      while (proxy.open > 0) proxy.cut();
      await holder.query("COMMIT");
      assertEquals(await lost, all.map(() => "Error"));
    }
    assertEquals(await lookAll(), all);
  });

  Deno.test("PostgresStore answers lookups while two others hang on silent connections", async () => {
    await using schema = await ownSchema();
    const table = schema.table();
    const proxy = faultyProxy(addressOf(POSTGRES_URL));
    await using store = new PostgresStore(through(proxy, POSTGRES_URL), { table });
    await store.init();
    for (let i = 0; i < 10; i++) await store.createRecord(`${i}`, record(i));
    const before = proxy.clients;
    proxy.fault = "swallow";
    const hung = [look(store, "0"), look(store, "1")];
    // The second one needs another connection.
    while (proxy.clients === before) await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((resolve) => setTimeout(resolve, 50));
    proxy.fault = "none";
    const answered = Array.from({ length: 10 }, (_, i) => look(store, `${i}`));
    assertEquals(await Promise.all(answered), Array.from({ length: 10 }, (_, i) => i));
    assertEquals(await look(store, "2"), 2);
    assertEquals(await outcomeOf(Promise.race(hung)), "pending");
    await proxy[Symbol.asyncDispose]();
    assertEquals(await Promise.all(hung), ["Error", "Error"]);
  });

  Deno.test("PostgresStore rejects further lookups if 10,000 are pending", async () => {
    await using schema = await ownSchema();
    const proxy = faultyProxy(addressOf(POSTGRES_URL));
    await using store = new PostgresStore(through(proxy, POSTGRES_URL), { table: schema.table() });
    await store.init();
    proxy.fault = "swallow";
    const hung = Array.from({ length: 10_000 }, (_, i) => look(store, `${i % 5000}`));
    await assertRejects(() => store.readRecord("a"), Error, "too many queries are pending");
    await proxy[Symbol.asyncDispose]();
    assertEquals(new Set(await Promise.all(hung)), new Set(["Error"]));
  });

  Deno.test("PostgresStore answers the lookups that wait when it is disposed", async () => {
    await using schema = await ownSchema();
    const table = schema.table();
    const store = new PostgresStore(POSTGRES_URL, { table });
    await store.init();
    for (let i = 0; i < 10; i++) await store.createRecord(`${i}`, record(i));
    await using holder = await hold(table, `LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
    const pending = Promise.all(Array.from({ length: 10 }, (_, i) => look(store, `${i}`)));
    const disposed = store[Symbol.asyncDispose]();
    await Promise.race([holder.waiting(3), disposed]);
    await holder.query("COMMIT");
    assertEquals(await pending, Array.from({ length: 10 }, (_, i) => i));
    await disposed;
    assertEquals(await look(store, "0"), "Error");
  });
}
