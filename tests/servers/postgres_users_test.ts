/** The users and the number of sessions in PostgreSQL, and the index that finds a page of users. */
import type { SessionRecord } from "@alosaur/session";
import { postgresSchema, type PostgresSql, PostgresStore } from "@alosaur/session/postgres";
import postgres from "npm:postgres@3.4.9";
import { assert, assertEquals, assertRejects } from "../helpers/assert.ts";
import { client, ownSchema, POSTGRES_URL, postgresIsThere } from "./_postgres.ts";

const MINUTE = 60_000;

function record(principal?: string, lifetime = MINUTE): SessionRecord {
  const now = Date.now();
  const meta = { createdAt: now, seenAt: now, renewedAt: now };
  const values = new Map<string, unknown>([["k", 1]]);
  return { expiresAt: now + lifetime, values, meta: principal === undefined ? meta : { ...meta, principal } };
}

/** The SQL of an earlier version of the store, which had another index. */
function earlierSchema(table: string): string {
  const [schema, name] = table.split(".");
  return postgresSchema(table).replace(
    /CREATE INDEX IF NOT EXISTS "[^"]*_user".*/,
    `CREATE INDEX "${name}_principal" ON "${schema}"."${name}" USING hash (principal) WHERE principal IS NOT NULL;`,
  );
}

/** Returns the names of the indexes of a table, without the table's name. */
async function indexesOf(table: string): Promise<string[]> {
  const [schema, name = ""] = table.split(".");
  await using sql = client(POSTGRES_URL);
  const rows = await sql.query(
    `SELECT indexname FROM pg_indexes WHERE schemaname = '${schema}' AND tablename = '${name}' ORDER BY indexname`,
  );
  return rows.map(({ indexname }) => String(indexname).slice(name.length));
}

if (await postgresIsThere("the users in PostgreSQL")) {
  Deno.test("PostgresStore.init() adds the index of users to a table of an earlier version, beside processes of that version", async () => {
    await using schema = await ownSchema();
    const table = schema.table();
    await using sql = client(POSTGRES_URL);
    await sql.query(earlierSchema(table));
    assertEquals(await indexesOf(table), ["_expires_at", "_pkey", "_principal"]);
    // As the earlier version: it creates nothing if the table is there.
    await using earlier = new PostgresStore(POSTGRES_URL, { table, migrate: false });
    await earlier.init();
    await earlier.createRecord("a", record("ada"));
    assertEquals(await indexesOf(table), ["_expires_at", "_pkey", "_principal"]);
    assertEquals(await earlier.listPrincipals({ limit: 10 }), [{ principal: "ada", sessions: 1 }]);

    const stores = Array.from({ length: 4 }, () => new PostgresStore(POSTGRES_URL, { table }));
    const [store] = stores as [PostgresStore];
    await Promise.all([...stores.map((each) => each.init()), earlier.createRecord("b", record("ada"))]);
    assertEquals(await indexesOf(table), ["_expires_at", "_pkey", "_principal", "_user"]);
    await earlier.createRecord("c", record("bob"));
    await store.createRecord("d", record("bob"));
    await earlier.moveRecord("d", "e", { meta: {}, graceUntil: 0 });
    for (const each of [store, earlier]) {
      assertEquals((await each.listSessions("bob")).map(({ sid }) => sid).sort(), ["c", "e"]);
      assertEquals(await each.listPrincipals({ limit: 10 }), [
        { principal: "ada", sessions: 2 },
        { principal: "bob", sessions: 2 },
      ]);
    }
    await Promise.all(stores.map((each) => each[Symbol.asyncDispose]()));
  });

  Deno.test("PostgresStore.init() works without the right to add the index of users, and rejects any other failure", async () => {
    await using schema = await ownSchema();
    const table = schema.table();
    const role = `test_${crypto.randomUUID().replaceAll("-", "_")}`;
    await using sql = client(POSTGRES_URL);
    await sql.query(`${earlierSchema(table)}; CREATE ROLE ${role};
      GRANT USAGE ON SCHEMA ${
      table.split(".")[0]
    } TO ${role}; GRANT SELECT, INSERT, UPDATE, DELETE ON ${table} TO ${role}`);
    try {
      for (const connection of [{ role }, { default_transaction_read_only: true }]) {
        const own = postgres(POSTGRES_URL, { max: 1, connection });
        const store = new PostgresStore(own, { table });
        await store.init();
        assertEquals(await store.listPrincipals({ limit: 10 }), []);
        await own.end();
      }
      assertEquals(await indexesOf(table), ["_expires_at", "_pkey", "_principal"]);
      const own = postgres(POSTGRES_URL, { max: 1 });
      const failing: PostgresSql = {
        unsafe: (query, ...rest) => own.unsafe(query.replace("CREATE INDEX", "CREATE INDEX CONCURRENTLY"), ...rest),
      };
      const store = new PostgresStore(failing, { table });
      await assertRejects(() => store.init(), Error, "cannot run inside a transaction block");
      await own.end();
    } finally {
      await sql.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
  });

  Deno.test("PostgresStore finds a page of users by its index, with and without statistics of the table", async (t) => {
    await using schema = await ownSchema();
    const table = schema.table();
    const own = postgres(POSTGRES_URL, { max: 1, fetch_types: false, onnotice: () => {} });
    const statements: string[] = [];
    const watched: PostgresSql = {
      unsafe: (query, ...rest) => {
        statements.push(query);
        return own.unsafe(query, ...rest);
      },
    };
    const store = new PostgresStore(watched, { table });
    await store.init();
    const now = Date.now();
    const meta = `jsonb_build_object('createdAt', 1, 'seenAt', 1, 'renewedAt', 1)`;
    // Half of the rows are sessions of users, a quarter of them expired; then anonymous ones and
    // traces.
    await own.unsafe(`INSERT INTO ${table} (id, data, meta, version, expires_at, moved_to)
      SELECT i, '{}', CASE i % 4 WHEN 0 THEN ${meta} WHEN 1 THEN '{}'
          ELSE ${meta} || jsonb_build_object('principal', 'user ' || lpad((i % 5000)::text, 4, '0')) END,
        0, CASE WHEN i % 8 = 2 THEN ${now} ELSE ${now + MINUTE} END, CASE i % 4 WHEN 1 THEN 'elsewhere' END
      FROM generate_series(0, 39999) AS i`);
    statements.length = 0;
    const page = await store.listPrincipals({ after: "user 1000", limit: 3 });
    assertEquals(page, [
      // Of 1002, 6002, ... every other one has expired.
      { principal: "user 1003", sessions: 8 },
      { principal: "user 1006", sessions: 8 },
      { principal: "user 1007", sessions: 8 },
    ]);
    assertEquals(await store.countSessions(), { total: 25_000, signedIn: 15_000 });
    const [statement = ""] = statements;
    for (const analyze of ["", `ANALYZE ${table}`]) {
      for (const mode of ["force_custom_plan", "force_generic_plan"]) {
        await t.step(`${analyze === "" ? "without" : "with"} statistics, ${mode}`, async () => {
          await own.unsafe(`${analyze}; SET plan_cache_mode = ${mode}; DEALLOCATE ALL`);
          await own.unsafe(`PREPARE users(text, float8, int) AS ${statement}`);
          const lines = await own.unsafe(`EXPLAIN (ANALYZE) EXECUTE users('user 1000', ${now}, 100)`);
          const plan = lines.map((line) => line["QUERY PLAN"]).join("\n");
          assert(!/Seq Scan|Sort/.test(plan), plan);
          for (const [, index] of plan.matchAll(/Index (?:Only )?Scan (?:using|on) (\S+)/g)) {
            assertEquals(index, "sessions_user", plan);
          }
          // No step of the plan reads more rows than the page has sessions.
          for (const [, rows, loops] of plan.matchAll(/actual time=\S+ rows=(\d+) loops=(\d+)/g)) {
            assert(Number(rows) * Number(loops) <= 1000, plan);
          }
        });
      }
    }
    await own.end();
  });
}
