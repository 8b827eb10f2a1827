/** Writes that are made at the same time, on a real PostgreSQL. */
import { SessionGoneError } from "@alosaur/session";
import { PostgresStore } from "@alosaur/session/postgres";
import postgres from "npm:postgres@3.4.9";
import { assert, assertEquals, assertRejects } from "../helpers/assert.ts";
import { faultyProxy } from "./_faulty_proxy.ts";
import { addressOf, client, ownSchema, pooler, POSTGRES_URL, postgresIsThere, through } from "./_postgres.ts";
import { CountedStore, ODD_IDS, record } from "./_postgres_batches.ts";
import { hold } from "./_postgres_locks.ts";
import { until } from "./_redis.ts";
import { isThere } from "./_require.ts";

const IDS = Array.from({ length: 64 }, (_, i) => `session ${i}`);

async function createAll(store: PostgresStore, ids: readonly string[] = IDS): Promise<void> {
  for (const id of ids) await store.createRecord(id, record(0));
}

/** Returns the value of each session; `undefined` if it has ended. */
function valuesOf(store: PostgresStore, ids: readonly string[] = IDS): Promise<unknown[]> {
  return Promise.all(ids.map((id) => store.getValue(id, "k")));
}

/** Writes to sessions. Returns the name of each error. */
function write(store: PostgresStore, value: unknown, ids: readonly string[] = IDS): Promise<(string | undefined)[]> {
  return Promise.all(ids.map((id) => store.setValue(id, "k", value).then(() => undefined, (error) => error.name)));
}

const ok = IDS.map(() => undefined);

if (await postgresIsThere("concurrent writes in PostgreSQL")) {
  const poolerIsThere = await isThere("postgres", "concurrent writes through a pooler", async () => {
    await Deno.stat("/usr/sbin/pgbouncer").catch(() => {
      throw new Error("no /usr/sbin/pgbouncer");
    });
  });
  for (
    const way of ["prepared statements", "prepare: false", ...poolerIsThere ? ["a pooler in transaction mode"] : []]
  ) {
    Deno.test(`PostgresStore sends concurrent writes in few statements, with ${way}`, async () => {
      await using schema = await ownSchema();
      await using stack = new AsyncDisposableStack();
      const pgbouncer = way.startsWith("a pooler") ? stack.use(await pooler(POSTGRES_URL)) : undefined;
      const url = pgbouncer?.url ?? POSTGRES_URL;
      await using store = new CountedStore(
        way === "prepared statements" ? url : `${url}?prepare=false`,
        schema.table(),
      );
      await store.init();
      const ids = [...IDS, ...ODD_IDS];
      await createAll(store, ids);
      for (let round = 1; round <= 5; round++) {
        store.statements.length = 0;
        assertEquals(new Set(await write(store, round, ids)), new Set([undefined]));
        assert(store.statements.length < ids.length / 2, `${store.statements.length} statements`);
        assertEquals(new Set(await valuesOf(store, ids)), new Set([round]));
      }
    });
  }

  Deno.test("PostgresStore sends 64 concurrent writes in nine statements or ten", async () => {
    await using schema = await ownSchema();
    await using store = new CountedStore(POSTGRES_URL, schema.table());
    await store.init();
    await createAll(store);
    await using holder = await hold(schema.table(), `LOCK TABLE ${schema.table()} IN ACCESS EXCLUSIVE MODE`);
    store.statements.length = 0;
    const written = write(store, 1);
    // The client has five connections.
    await holder.waiting(5);
    await holder.query("COMMIT");
    assertEquals(await written, ok);
    assert([9, 10].includes(store.statements.length), `${store.statements.length} statements`);
    assertEquals(new Set(await valuesOf(store)), new Set([1]));
  });

  Deno.test("PostgresStore keeps all parts of concurrent changes, and the versions of the sessions", async () => {
    await using schema = await ownSchema();
    await using store = new PostgresStore(POSTGRES_URL, { table: schema.table() });
    await store.init();
    await createAll(store);
    await Promise.all(IDS.map((id, i) =>
      store.changeRecord(id, {
        clear: i % 2 === 0,
        set: new Map<string, unknown>([["n", i], ["gone", i % 3 === 0 ? undefined : 'a "quoted" \\ text']]),
        meta: i % 5 === 0 ? { principal: 'ad"a\\' } : { label: `device ${i}` },
      })
    ));
    for (const [i, id] of IDS.entries()) {
      const found = await store.readRecord(id);
      assert(found !== undefined && "values" in found);
      const expected = new Map<string, unknown>(i % 2 === 0 ? [] : [["k", 0]]);
      if (i % 3 !== 0) expected.set("gone", 'a "quoted" \\ text');
      expected.set("n", i);
      assertEquals(new Map([...found.values].sort()), new Map([...expected].sort()));
      assertEquals(found.version, 1);
      assertEquals(found.meta.principal, i % 5 === 0 ? 'ad"a\\' : undefined);
      assertEquals(found.meta.label, i % 5 === 0 ? undefined : `device ${i}`);
    }
  });

  Deno.test("PostgresStore keeps the order of the writes to one session among concurrent ones", async () => {
    await using schema = await ownSchema();
    await using store = new PostgresStore(POSTGRES_URL, { table: schema.table() });
    await store.init();
    await createAll(store);
    for (let round = 0; round < 10; round++) {
      await Promise.all([1, 2, 3].flatMap((n) => IDS.map((id) => store.setValue(id, "k", round * 10 + n))));
      assertEquals(new Set(await valuesOf(store)), new Set([round * 10 + 3]));
    }
  });

  Deno.test("PostgresStore refuses only the writes to sessions that have ended", async () => {
    await using schema = await ownSchema();
    await using store = new PostgresStore(POSTGRES_URL, { table: schema.table() });
    await store.init();
    await createAll(store, IDS.slice(4));
    await store.createRecord("session 1", record(0, -1));
    await store.createRecord("session 2", record(0));
    await store.moveRecord("session 2", "moved", { meta: {}, graceUntil: Date.now() + 60_000 });
    const outcomes = await write(store, 1);
    assertEquals(outcomes.slice(0, 4), Array.from({ length: 4 }, () => SessionGoneError.name));
    assertEquals(outcomes.slice(4), ok.slice(4));
    assertEquals(await store.getValue("moved", "k"), 0);
  });

  Deno.test("PostgresStore lets no write wait for a session that another transaction has locked", async () => {
    await using schema = await ownSchema();
    const table = schema.table();
    await using store = new PostgresStore(POSTGRES_URL, { table });
    await store.init();
    await createAll(store);
    // The ninth and later writes wait for others and are sent together.
    const locked = "session 20";
    await using holder = await hold(table, `SELECT FROM ${table} WHERE id = '${locked}' FOR UPDATE`);
    const writes = new Map(IDS.map((id) => [id, store.setValue(id, "k", 1)]));
    let areWritten = false;
    Promise.all(IDS.filter((id) => id !== locked).map((id) => writes.get(id))).then(() => areWritten = true);
    await until("all other sessions are written", () => areWritten);
    await holder.waiting(1);
    const again = IDS.map((id) => store.setValue(id, "k", 2));
    await Promise.all(again.filter((_, i) => IDS[i] !== locked));
    await holder.query("COMMIT");
    await Promise.all([...writes.values(), ...again]);
    assertEquals(new Set(await valuesOf(store)), new Set([2]));
  });

  Deno.test("PostgresStore keeps the order of the writes to a session that another transaction has locked", async () => {
    await using schema = await ownSchema();
    const table = schema.table();
    await using store = new PostgresStore(POSTGRES_URL, { table });
    await store.init();
    await createAll(store);
    const locked = "session 20";
    await using holder = await hold(table, `SELECT FROM ${table} WHERE id = '${locked}' FOR UPDATE`);
    const written = [...IDS, locked, locked].map((id, i) => store.setValue(id, "k", i));
    await holder.waiting(1);
    await holder.query("COMMIT");
    await Promise.all(written);
    assertEquals(await store.getValue(locked, "k"), 65);
  });

  Deno.test("PostgresStore keeps the order of the writes of each of two processes to the same sessions", async () => {
    await using schema = await ownSchema();
    const table = schema.table();
    await using here = new PostgresStore(POSTGRES_URL, { table });
    await using there = new PostgresStore(POSTGRES_URL, { table });
    await here.init();
    await createAll(here);
    for (let round = 0; round < 20; round++) {
      await Promise.all(
        [here, there].flatMap((store, process) =>
          [1, 2].flatMap((n) => IDS.map((id) => store.setValue(id, `process ${process}`, n)))
        ),
      );
      for (const id of IDS) {
        const values = await here.get(id);
        assertEquals([values?.["process 0"], values?.["process 1"]], [2, 2]);
      }
    }
  });

  Deno.test("PostgresStore writes to the same sessions from two processes without a deadlock", async () => {
    await using schema = await ownSchema();
    const table = schema.table();
    await using here = new PostgresStore(POSTGRES_URL, { table });
    await using there = new PostgresStore(POSTGRES_URL, { table });
    await here.init();
    await createAll(here);
    await using sql = client(POSTGRES_URL);
    const deadlocks = async (): Promise<unknown> =>
      (await sql.query("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))[0]?.deadlocks;
    const before = await deadlocks();
    for (let round = 0; round < 20; round++) {
      const [ours, theirs] = await Promise.all([write(here, round), write(there, round, IDS.toReversed())]);
      assertEquals([ours, theirs], [ok, ok]);
    }
    assertEquals(await deadlocks(), before);
  });

  Deno.test("PostgresStore rejects only the write of the row that the server refuses", async (t) => {
    await using schema = await ownSchema();
    const table = schema.table();
    await using sql = client(POSTGRES_URL);
    await using store = new PostgresStore(POSTGRES_URL, { table });
    await store.init();
    await createAll(store);
    const refuse = async (code: string): Promise<void> => {
      await sql.query(`SET client_min_messages = warning;
        CREATE OR REPLACE FUNCTION ${schema.table("refuse")}() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN IF new.id = 'session 30' THEN RAISE 'refused' USING ERRCODE = '${code}'; END IF; RETURN new; END $$;
        DROP TRIGGER IF EXISTS refuse ON ${table};
        CREATE TRIGGER refuse BEFORE UPDATE ON ${table} FOR EACH ROW EXECUTE FUNCTION ${schema.table("refuse")}()`);
    };
    for (
      const [i, code] of ["22012", "23514", "42501", "44000", "54000", "57014", "APP01", "P0001", "XX000"].entries()
    ) {
      await t.step(`error ${code} of one row`, async () => {
        await refuse(code);
        const outcomes = await Promise.all(
          IDS.map((id) => store.setValue(id, "k", i).then(() => undefined, (error) => error.message)),
        );
        assertEquals(outcomes, IDS.map((id) => id === "session 30" ? "refused" : undefined));
      });
    }
    await t.step("an error in a transaction of the application, which gets that error", async () => {
      const application = postgres(POSTGRES_URL, { max: 1 });
      await refuse("22012");
      const failed = application.begin(async (transaction) => {
        const inside = new PostgresStore(transaction, { table });
        await Promise.all(IDS.slice(10).map((id) => inside.setValue(id, "k", 1)));
      });
      const error = await assertRejects(() => failed, Error, "refused");
      assertEquals(Reflect.get(error, "code"), "22012");
      await application.end();
    });
  });

  Deno.test("PostgresStore sends each write again if all of them together take too long", async () => {
    await using schema = await ownSchema();
    const table = schema.table();
    await using sql = client(POSTGRES_URL);
    await using store = new PostgresStore(`${POSTGRES_URL}?statement_timeout=200`, { table });
    await store.init();
    await createAll(store);
    await sql.query(`CREATE FUNCTION ${schema.table("slow")}() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(0.02); RETURN new; END $$;
      CREATE TRIGGER slow BEFORE UPDATE ON ${table} FOR EACH ROW EXECUTE FUNCTION ${schema.table("slow")}()`);
    assertEquals(await write(store, 1), ok);
  });

  Deno.test("PostgresStore sends a large write alone, and keeps it", async () => {
    await using schema = await ownSchema();
    await using store = new CountedStore(POSTGRES_URL, schema.table());
    await store.init();
    await createAll(store);
    const large = "x".repeat(100_000);
    const written = write(store, large);
    assertEquals(await written, ok);
    assert(store.statements.every((statement) => !statement.includes("SKIP LOCKED")));
    assertEquals(await store.getValue("session 63", "k"), large);
  });

  Deno.test("PostgresStore settles all writes of a lost connection, and later ones succeed", async () => {
    await using schema = await ownSchema();
    const table = schema.table();
    await using proxy = faultyProxy(addressOf(POSTGRES_URL));
    await using store = new PostgresStore(through(proxy, POSTGRES_URL), { table });
    await store.init();
    await createAll(store);
    {
      await using holder = await hold(table, `LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
      const lost = write(store, 1);
      await holder.waiting(10);
      while (proxy.open > 0) proxy.cut();
      await holder.query("COMMIT");
      assertEquals(new Set(await lost), new Set(["Error"]));
    }
    assertEquals(await write(store, 2), ok);
    assertEquals(new Set(await valuesOf(store)), new Set([2]));
  });

  Deno.test("PostgresStore sends the writes that wait when it is disposed", async () => {
    await using schema = await ownSchema();
    const table = schema.table();
    const store = new PostgresStore(POSTGRES_URL, { table });
    await store.init();
    await createAll(store);
    const written = write(store, 1);
    await store[Symbol.asyncDispose]();
    assertEquals(await written, ok);
    await using reader = new PostgresStore(POSTGRES_URL, { table });
    assertEquals(new Set(await valuesOf(reader)), new Set([1]));
  });

  Deno.test('PostgresStore with notify: "all" reports every one of many concurrent writes', async () => {
    await using schema = await ownSchema();
    const options = { table: schema.table(), notify: "all" as const };
    await using here = new PostgresStore(POSTGRES_URL, options);
    await using there = new PostgresStore(POSTGRES_URL, options);
    await here.init();
    await createAll(there);
    const reported = new Set<string | undefined>();
    await using watch = await here.watch((key) => reported.add(key));
    await write(there, 1);
    await watch.confirm();
    assertEquals(IDS.filter((id) => !reported.has(watch.keyOf(id))), []);
  });
}
