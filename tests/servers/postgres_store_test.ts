import postgres from "npm:postgres@3.4.9";
import { SessionGoneError, type SessionRecord, SessionStoreError, UnreadableRecordError } from "@alosaur/session";
import { postgresSchema, PostgresStore, type PostgresStoreOptions } from "@alosaur/session/postgres";
import { testSessionStore } from "@alosaur/session/testing";
import { assert, assertEquals, assertMatch, assertRejects } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { Captured } from "../helpers/console.ts";
import { start } from "../helpers/request.ts";
import { without } from "../helpers/stores.ts";
import { client, ownSchema, pooler, POSTGRES_URL, postgresIsThere, type Schema, sleep } from "./_postgres.ts";
import { startProcess } from "./_process.ts";
import { isThere } from "./_require.ts";

const MINUTE = 60_000;
const CLAIMS = { values: "all", traces: "deadline" } as const;

function record(lifetime: number, principal?: string): SessionRecord {
  const now = Date.now();
  const meta = { createdAt: now, seenAt: now, renewedAt: now };
  return {
    expiresAt: now + lifetime,
    values: new Map([["k", 1]]),
    meta: principal === undefined ? meta : { ...meta, principal },
  };
}

/** An initialised store in a schema of its own. */
interface Opened extends AsyncDisposable {
  store: PostgresStore;
  schema: Schema;
  /** Reads the rows of the table without the store. */
  rows(columns?: string): Promise<Record<string, unknown>[]>;
}

async function open(options: PostgresStoreOptions = {}): Promise<Opened> {
  const schema = await ownSchema();
  const table = schema.table(options.table);
  const store = new PostgresStore(POSTGRES_URL, { ...options, table });
  await store.init();
  return {
    store,
    schema,
    async rows(columns = "*"): Promise<Record<string, unknown>[]> {
      await using sql = client(POSTGRES_URL);
      return await sql.query(`SELECT ${columns} FROM ${table} ORDER BY id`);
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await store[Symbol.asyncDispose]();
      await schema[Symbol.asyncDispose]();
    },
  };
}

/** A store on an application's client, which is closed with the store. */
class ClientStore extends PostgresStore {
  readonly #sql: { end(): Promise<void> };

  constructor(table: string, options: postgres.Options<Record<string, never>> = {}) {
    const sql = postgres(POSTGRES_URL, { max: 3, ...options });
    super(sql, { table });
    this.#sql = sql;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    await this.#sql.end();
  }
}

if (await postgresIsThere("the tests of PostgresStore")) {
  let schema: Schema;
  Deno.test.beforeAll(async () => {
    schema = await ownSchema();
  });
  Deno.test.afterAll(async () => await schema[Symbol.asyncDispose]());

  testSessionStore("PostgresStore on a URL", () => new PostgresStore(POSTGRES_URL, { table: schema.table() }), {
    ...CLAIMS,
    neighbour: () => new PostgresStore(POSTGRES_URL, { table: schema.table("others") }),
    broken: () => new PostgresStore("postgres://127.0.0.1:1/test"),
  });
  testSessionStore(
    'PostgresStore with notify: "all"',
    () => new PostgresStore(POSTGRES_URL, { table: schema.table("reported"), notify: "all" }),
    CLAIMS,
  );
  // An application's client may transform names and values.
  testSessionStore(
    "PostgresStore on a client",
    () => new ClientStore(schema.table("handed"), { transform: postgres.camel, debug: true }),
    CLAIMS,
  );
  const poolerIsThere = await isThere("postgres", "the suite through a pooler", async () => {
    await Deno.stat("/usr/sbin/pgbouncer").catch(() => {
      throw new Error("no /usr/sbin/pgbouncer");
    });
  });
  if (poolerIsThere) {
    let pgbouncer: Awaited<ReturnType<typeof pooler>>;
    Deno.test.beforeAll(async () => {
      pgbouncer = await pooler(POSTGRES_URL);
    });
    Deno.test.afterAll(async () => await pgbouncer[Symbol.asyncDispose]());
    // Its watch() always rejects.
    testSessionStore(
      "PostgresStore through a pooler in transaction mode",
      () => without(new PostgresStore(`${pgbouncer.url}?prepare=false`, { table: schema.table("pooled") }), "watch"),
      CLAIMS,
    );
  }

  Deno.test("PostgresStore.init() creates the table once if several call it concurrently, and logs nothing", async () => {
    await using schema = await ownSchema();
    using log = new Captured("log");
    const stores = Array.from(
      { length: 8 },
      (_, i) =>
        i % 2 === 0
          ? new PostgresStore(POSTGRES_URL, { table: schema.table() })
          : new ClientStore(schema.table(), { max: 1 }),
    );
    await Promise.all(stores.flatMap((store) => [store.init(), store.init()]));
    await Promise.all(stores.map((store) => store.create(crypto.randomUUID())));
    await Promise.all(stores.map((store) => store.init()));
    await Promise.all(stores.map((store) => store[Symbol.asyncDispose]()));
    assertEquals(log.lines, []);
  });

  Deno.test("PostgresStore.init() with `migrate: false` rejects if the table is missing, and creates none", async () => {
    await using schema = await ownSchema();
    const table = schema.table("Made_elsewhere");
    await using store = new PostgresStore(POSTGRES_URL, { table, migrate: false });
    const message = /^Cannot open the sessions in PostgreSQL at .+: the table does not exist; create the table /;
    assertMatch((await assertRejects(() => store.init(), SessionStoreError)).message, message);
    await using sql = client(POSTGRES_URL);
    await sql.query(postgresSchema(table));
    // init() can be called again after a failure.
    await store.init();
    await store.create("a");
    // The SQL can be run again.
    await sql.query(`SET client_min_messages = warning; ${postgresSchema(table)}`);
    assertEquals(await store.exist("a"), true);
  });

  Deno.test("PostgresStore.init() needs no right to create if the table exists, and rejects a table with other columns", async () => {
    await using opened = await open();
    const { schema } = opened;
    const role = `test_${crypto.randomUUID().replaceAll("-", "_")}`;
    await using sql = client(POSTGRES_URL);
    const [name] = schema.table().split(".");
    await sql.query(`CREATE ROLE ${role}; GRANT USAGE ON SCHEMA ${name} TO ${role};
      GRANT SELECT, INSERT, UPDATE, DELETE ON ${schema.table()} TO ${role}`);
    try {
      await using store = new ClientStore(schema.table(), { connection: { role } });
      await store.init();
      await store.createRecord("a", record(MINUTE, "ada"));
      await store.moveRecord("a", "b", { meta: {}, graceUntil: 0 });
      await store.delete("b");
      await store.clear();
    } finally {
      await sql.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
    await sql.query(`CREATE TABLE ${schema.table("other")} (id text)`);
    await using other = new PostgresStore(POSTGRES_URL, { table: schema.table("other") });
    await assertRejects(() => other.init(), Error, 'column "data" does not exist');
  });

  Deno.test("PostgresStore stores a session in one row with its user", async () => {
    await using opened = await open();
    const { store, rows } = opened;
    await store.createRecord("a\0", { ...record(MINUTE, "ada\0"), values: new Map<string, unknown>([["k\0", 1n]]) });
    await store.moveRecord("a\0", "b", { meta: {}, graceUntil: 5 });
    const [trace, session] = await rows();
    assertEquals([trace?.id, trace?.data, trace?.moved_to, trace?.grace_until], ["a%0000", {}, "b", 5]);
    assertEquals([session?.id, session?.principal, session?.moved_to], ["b", "ada%0000", null]);
    assertEquals(session?.data, { "k%0000": '[["BigInt","1"]]' });
    await store.createRecord("\ufeffa", record(MINUTE, "\ufeffada"));
    assertEquals((await store.listSessions("\ufeffada")).map(({ sid }) => sid), ["\ufeffa"]);
  });

  Deno.test("PostgresStore rejects with UnreadableRecordError if a row is not what the store wrote", async (t) => {
    const damages: [string, Record<string, string>][] = [
      ["a value that is not encoded", { data: '{"k": "not JSON: a value"}' }],
      ["a value of another format", { data: '{"k": "{}"}' }],
      ["a value that is not text", { data: '{"k": {"a value": 1}}' }],
      ["a value that is a list of text", { data: '{"k": ["[\\"a value\\"]"]}' }],
      ["a value that is a number", { data: '{"k": -1}' }],
      ["a value that is null", { data: '{"k": null}' }],
      ["a list of values", { data: '["k"]' }],
      ["an empty list of values", { data: "[]" }],
      ["no values", { data: "null" }],
      ["text instead of values", { data: '"k"' }],
    ];
    const wholeDamages: typeof damages = [
      ["no metadata", { meta: '{"principal": "ada"}' }],
      ["a list of metadata", { meta: "[1]" }],
      ["metadata that is null", { meta: "null" }],
      ["metadata of another type", {
        meta: '{"createdAt": 1, "seenAt": "a value", "renewedAt": 1, "principal": "ada"}',
      }],
      ["a user of another type", { meta: '{"createdAt": 1, "seenAt": 1, "renewedAt": 1, "principal": 7}' }],
      ["an expiry that is no number", { expires_at: "NaN" }],
      ["a trace without a grace period", { moved_to: "b" }],
    ];
    await using opened = await open();
    const { store, schema } = opened;
    await using sql = client(POSTGRES_URL);
    for (const [name, columns] of [...damages, ...wholeDamages]) {
      await t.step(name, async () => {
        await store.clear();
        await store.createRecord("a", record(MINUTE, "ada"));
        const changes = Object.entries(columns).map(([column, value]) => `${column} = '${value}'`);
        await sql.query(`UPDATE ${schema.table()} SET ${changes.join(", ")}`);
        const calls: (() => Promise<unknown>)[] = [() => store.readRecord("a")];
        if ("data" in columns) calls.push(() => store.get("a"), () => store.getValue("a", "k"));
        for (const call of calls) {
          const error = await assertRejects(
            call,
            UnreadableRecordError,
            "PostgresStore found a stored session that it cannot read",
          );
          for (const secret of ["a value", '"k"']) assert(!Deno.inspect(error, { depth: 9 }).includes(secret));
        }
        if (!("moved_to" in columns)) {
          await store.delete("a");
          assertEquals(await store.readRecord("a"), undefined);
        }
      });
    }
  });

  Deno.test("PostgresStore.listSessions() leaves out a session that cannot be read, and keeps the others", async () => {
    await using opened = await open();
    const { store, schema } = opened;
    await using sql = client(POSTGRES_URL);
    for (const sid of ["a", "b", "c", "d"]) await store.createRecord(sid, record(MINUTE, "7"));
    const table = schema.table();
    await sql.query(`UPDATE ${table} SET meta = '{"principal": "7"}' WHERE id = 'a';
      UPDATE ${table} SET meta = '{"createdAt": 1, "seenAt": 1, "renewedAt": 1, "principal": 7}' WHERE id = 'b';
      UPDATE ${table} SET data = '[]' WHERE id = 'c'`);
    // The values of the third session cannot be read, but it can be listed and ended.
    assertEquals((await store.listSessions("7")).map(({ sid }) => sid).sort(), ["c", "d"]);
    const { sessions } = start({}, store);
    assertEquals(await sessions.revokeAll("7"), 2);
    assertEquals(await store.readRecord("d"), undefined);
  });

  Deno.test("PostgresStore never closes an application's client", async () => {
    await using schema = await ownSchema();
    const sql = postgres(POSTGRES_URL, { max: 1 });
    {
      await using store = new PostgresStore(sql, { table: schema.table() });
      await store.init();
    }
    assertEquals((await sql`SELECT 1 AS one`)[0]?.one, 1);
    await sql.end();
  });

  Deno.test("PostgresStore can use a transaction of the application", async () => {
    await using opened = await open();
    const { store, schema } = opened;
    await store.create("a");
    const sql = postgres(POSTGRES_URL, { max: 1 });
    await assertRejects(
      () =>
        sql.begin(async (transaction) => {
          const inside = new PostgresStore(transaction, { table: schema.table() });
          await inside.setValue("a", "k", 1);
          assertEquals(await inside.getValue("a", "k"), 1);
          throw new Error("rolled back");
        }),
      Error,
      "rolled back",
    );
    assertEquals(await store.getValue("a", "k"), undefined);
    await sql.end();
  });

  Deno.test("PostgresStore rejects with the database's error, without ids and values", async () => {
    await using opened = await open();
    const { store, schema } = opened;
    await using sql = client(POSTGRES_URL);
    await store.create("an-id");
    await sql.query(`ALTER TABLE ${schema.table()} ADD CHECK (data = '{}') NOT VALID`);
    await using debugging = new ClientStore(schema.table(), { debug: true });
    for (const each of [store, debugging]) {
      const error = await assertRejects(() => each.setValue("an-id", "a-key", "a value"), Error, "check constraint");
      for (const secret of ["an-id", "a-key", "a value"]) assert(!Deno.inspect(error, { depth: 9 }).includes(secret));
      assertEquals(Reflect.get(error, "code"), "23514");
    }
    await sql.query(`DROP TABLE ${schema.table()}`);
    for (
      const call of [
        () => store.exist("an-id"),
        () => store.get("an-id"),
        () => store.getValue("an-id", "k"),
        () => store.readRecord("an-id"),
        () => store.delete("an-id"),
        () => store.listSessions("ada"),
        () => store.clear(),
        () => store.removeExpired(),
      ]
    ) await assertRejects(call, Error, "does not exist");
  });

  Deno.test("PostgresStore lets one of several concurrent moves succeed at the isolation level repeatable read", async () => {
    await using opened = await open();
    const { store, schema } = opened;
    await store.createRecord("a", record(MINUTE));
    const connection = { default_transaction_isolation: "repeatable read" } as const;
    await using strict = new ClientStore(schema.table(), { max: 5, connection });
    const moves = await Promise.allSettled(
      Array.from({ length: 5 }, (_, i) => strict.moveRecord("a", `to ${i}`, { meta: {}, graceUntil: 0 })),
    );
    assertEquals(moves.filter(({ status }) => status === "fulfilled").length, 1);
    const writes = await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? store : strict).setValue("none", `${i}`, i)),
    );
    assert(writes.every((write) => write.status === "rejected" && write.reason instanceof SessionGoneError));
  });

  Deno.test("PostgresStore accepts an id of an expired session or of a trace for a new session", async () => {
    using clock = new FakeClock(Date.now());
    await using opened = await open();
    const { store } = opened;
    const names = ["a", "b", "c", "d"];
    for (const sid of names) await store.createRecord(sid, record(1000));
    await store.moveRecord("b", "b2", { meta: {}, graceUntil: 0 });
    await store.moveRecord("d", "d2", { meta: {}, graceUntil: 0 });
    await assertRejects(
      () => store.create("a"),
      SessionStoreError,
      "Cannot create: PostgresStore already has a session with this session id",
    );
    await assertRejects(
      () => store.moveRecord("a", "c", { meta: {}, graceUntil: 0 }),
      SessionStoreError,
      "Cannot regenerate: PostgresStore already has a session with the new session id",
    );
    clock.tick(500);
    // The id of a trace is free immediately, the id of a session when it has expired.
    await store.createRecord("b", record(MINUTE));
    assertEquals(await store.getValue("b", "k"), 1);
    await store.createRecord("x", record(MINUTE));
    await store.moveRecord("x", "d", { meta: {}, graceUntil: 0 });
    assertEquals(await store.getValue("d", "k"), 1);
    clock.tick(500);
    await store.moveRecord("d", "c", { meta: {}, graceUntil: 0 });
    assertEquals(await store.getValue("c", "k"), 1);
    await store.createRecord("a", record(MINUTE));
    // A write to a version of the old session does not change the new one.
    assertEquals(await store.changeRecord("a", { ifVersion: 0, clear: true }), false);
    assertEquals(await store.getValue("a", "k"), 1);
  });

  Deno.test("PostgresStore forgets a replaced id at the session's expiry", async () => {
    using clock = new FakeClock(Date.now());
    await using opened = await open();
    const { store } = opened;
    await store.createRecord("a", record(1000));
    await store.moveRecord("a", "b", { meta: {}, graceUntil: 0 });
    clock.tick(999);
    assertEquals(await store.readRecord("a"), { movedTo: "b", graceUntil: 0 });
    clock.tick(1);
    assertEquals(await store.readRecord("a"), undefined);
  });

  Deno.test("PostgresStore.changeRecord() reports what a concurrent write did", async (t) => {
    const conditions = [{ ifVersion: 0 }, { ifNoDevice: true }, { ifVersion: 0, ifNoDevice: true }];
    const bind = (table: string): string => `UPDATE ${table} SET meta = meta || '{"deviceKey": "{}"}'`;
    const gone = [SessionGoneError, SessionGoneError, SessionGoneError];
    const commits: [string, (table: string) => string, expected: unknown[]][] = [
      ["a change", (table) => `UPDATE ${table} SET version = version + 1; COMMIT`, [false, true, false]],
      ["a binding", (table) => `${bind(table)}; COMMIT`, [true, false, false]],
      ["a binding that was rolled back", (table) => `${bind(table)}; ROLLBACK`, [true, true, true]],
      ["a delete", (table) => `DELETE FROM ${table}; COMMIT`, gone],
      ["an expiry", (table) => `UPDATE ${table} SET expires_at = 1; COMMIT`, gone],
      ["a delete that was rolled back", (table) => `DELETE FROM ${table}; ROLLBACK`, [true, true, true]],
    ];
    const cases = commits.flatMap(([name, commit, results]) =>
      conditions.map((condition, i) => ({ name, commit, condition, expected: results[i] }))
    );
    for (const { name, commit, condition, expected } of cases) {
      await t.step(`${name}, with ${Object.keys(condition).join(" and ")}`, async () => {
        await using opened = await open();
        const { store, schema } = opened;
        await using sql = client(POSTGRES_URL);
        await store.createRecord("a", record(MINUTE));
        await sql.query(`BEGIN; SELECT FROM ${schema.table()} FOR UPDATE`);
        const changed = store.changeRecord("a", { ...condition, meta: { seenAt: 1 } }).catch((error) => error);
        await sleep(50);
        await sql.query(commit(schema.table()));
        if (typeof expected === "boolean") assertEquals(await changed, expected);
        else assert(await changed instanceof SessionGoneError);
      });
    }
  });

  Deno.test("PostgresStore rejects if the database returns a session but does not update it", async () => {
    await using opened = await open();
    const { store, schema } = opened;
    await store.createRecord("a", record(MINUTE));
    await using sql = client(POSTGRES_URL);
    await sql.query(`CREATE FUNCTION ${schema.table("keep")}() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RETURN NULL; END $$;
      CREATE TRIGGER keep BEFORE UPDATE ON ${schema.table()} FOR EACH ROW EXECUTE FUNCTION ${schema.table("keep")}()`);
    for (const condition of [{ ifVersion: 0 }, { ifNoDevice: true }]) {
      await assertRejects(() => store.changeRecord("a", condition), SessionStoreError, "does not update it");
    }
  });

  Deno.test("PostgresStore keeps the order of one process's writes to one session", async () => {
    await using opened = await open();
    const { store, schema, rows } = opened;
    await store.createRecord("a", record(MINUTE));
    for (let round = 0; round < 20; round++) {
      await Promise.all(
        Array.from(
          { length: 20 },
          (_, i) =>
            i % 3 === 0
              ? store.setValue("a", "n", i)
              : store.changeRecord("a", { ifNoDevice: i % 3 === 1, set: new Map([["n", i]]), meta: { seenAt: i } }),
        ),
      );
      assertEquals(await store.getValue("a", "n"), 19);
    }
    assertEquals((await rows("version")).map(({ version }) => Number(version)), [400]);

    // A write to a known version does not wait in the queue.
    await using sql = client(POSTGRES_URL);
    await sql.query(`BEGIN; SELECT FROM ${schema.table()} FOR UPDATE`);
    const write = store.setValue("a", "n", 20);
    const startedAt = performance.now();
    assertEquals(await store.changeRecord("a", { ifVersion: 1, clear: true }), false);
    assertEquals(await store.changeRecord("a", { ifVersion: 1, ifNoDevice: true, clear: true }), false);
    assert(performance.now() - startedAt < 1000);
    await sql.query("COMMIT");
    await write;
  });

  Deno.test("PostgresStore.removeExpired() removes only rows that expired more than a minute ago", async () => {
    using clock = new FakeClock(Date.now());
    await using opened = await open();
    const { store, rows } = opened;
    for (const [sid, lifetime] of [["a", 1000], ["b", 1000], ["c", 2 * MINUTE], ["d", 2 * MINUTE]] as const) {
      await store.createRecord(sid, record(lifetime));
    }
    await store.create("for ever");
    await store.moveRecord("b", "e", { meta: {}, graceUntil: 0 });
    await store.moveRecord("d", "f", { meta: {}, graceUntil: 0 });
    clock.tick(MINUTE);
    assertEquals(await store.removeExpired(), 0);
    assertEquals(await store.readRecord("a"), { expired: true });
    clock.tick(1001);
    assertEquals(await store.removeExpired(), 3);
    assertEquals(await store.readRecord("a"), undefined);
    assertEquals((await rows("id")).map(({ id }) => id), ["c", "d", "f", "for ever"]);
  });

  Deno.test("PostgresStore.removeExpired() removes any number of rows, also in two stores concurrently", async () => {
    await using opened = await open();
    const { store, schema, rows } = opened;
    await using sql = client(POSTGRES_URL);
    await sql.query(`INSERT INTO ${schema.table()} (id, data, meta, version, expires_at)
      SELECT i, '{}', '{}', 0, i FROM generate_series(1, 4500) AS i`);
    await using other = new PostgresStore(POSTGRES_URL, { table: schema.table() });
    const [a, b] = await Promise.all([store.removeExpired(), other.removeExpired()]);
    assertEquals(a + b, 4500);
    // A row that another process has locked is skipped.
    await sql.query(`INSERT INTO ${schema.table()} (id, data, meta, version, expires_at)
      SELECT i, '{}', '{}', 0, i FROM generate_series(1, 2) AS i`);
    await sql.query(`BEGIN; SELECT FROM ${schema.table()} WHERE id = '1' FOR UPDATE`);
    const removed = await Promise.race([store.removeExpired(), sleep(5000)]);
    await sql.query("COMMIT");
    assertEquals(removed, 1);
    assertEquals(await store.removeExpired(), 1);
    assertEquals((await rows()).length, 0);
  });

  Deno.test("PostgresStore removes expired rows in the background, once a minute", async () => {
    using clock = new FakeClock(Date.now());
    const opened = await open();
    const { store, schema, rows } = opened;
    const left = async (): Promise<number> => (await rows("id")).length;
    await store.createRecord("old", record(1000));
    clock.tick(MINUTE - 1);
    await store.createRecord("b", record(MINUTE));
    await sleep(50);
    assertEquals(await left(), 2);
    clock.tick(2 * MINUTE);
    // A request does not wait for the cleanup or fail with it.
    await using sql = client(POSTGRES_URL);
    await sql.query(`CREATE FUNCTION ${schema.table("hinder")}() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_sleep(0.3); RAISE 'hindered'; END $$;
      CREATE TRIGGER hinder BEFORE DELETE ON ${schema.table()} EXECUTE FUNCTION ${schema.table("hinder")}()`);
    const startedAt = performance.now();
    await store.createRecord("c", record(MINUTE));
    assert(performance.now() - startedAt < 200);
    await sleep(400);
    assertEquals(await left(), 3);
    await sql.query(`DROP TRIGGER hinder ON ${schema.table()}`);
    clock.tick(MINUTE);
    await store.createRecord("d", record(MINUTE));
    // Disposing waits for the cleanup.
    await store[Symbol.asyncDispose]();
    assertEquals((await rows("id")).map(({ id }) => id), ["c", "d"]);
    await sql.query(`CREATE FUNCTION ${schema.table("delay")}() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_sleep(0.2); RETURN NULL; END $$;
      CREATE TRIGGER delay BEFORE DELETE ON ${schema.table()} EXECUTE FUNCTION ${schema.table("delay")}()`);
    const handed = postgres(POSTGRES_URL, { max: 2 });
    const other = new PostgresStore(handed, { table: schema.table() });
    clock.tick(4 * MINUTE);
    await other.createRecord("e", record(MINUTE));
    await other[Symbol.asyncDispose]();
    assertEquals((await rows("id")).map(({ id }) => id), ["e"]);
    await handed.end();
    await schema[Symbol.asyncDispose]();
  });

  Deno.test("PostgresStore.createRecord() replaces an expired session while a cleanup removes it", async () => {
    using clock = new FakeClock(Date.now());
    await using opened = await open();
    const { store } = opened;
    for (let round = 0; round < 20; round++) {
      await store.createRecord("a", record(1));
      clock.tick(MINUTE + 2);
      const [, again] = await Promise.allSettled([store.removeExpired(), store.createRecord("a", record(MINUTE))]);
      assertEquals(again?.status, "fulfilled");
      assertEquals(await store.exist("a"), true);
      await store.delete("a");
    }
  });

  Deno.test("PostgresStore uses its indexes for every operation", async () => {
    await using opened = await open();
    const { schema } = opened;
    await using sql = client(POSTGRES_URL);
    await sql.query(`INSERT INTO ${schema.table()} (id, data, meta, version, expires_at)
      SELECT i, '{}', jsonb_build_object('principal', i % 1000), 0, i FROM generate_series(1, 20000) AS i;
      ANALYZE ${schema.table()}`);
    for (const where of ["id = '5'", "principal = '5'", "expires_at < 5"]) {
      const plan = JSON.stringify(await sql.query(`EXPLAIN SELECT * FROM ${schema.table()} WHERE ${where}`));
      assert(/Index|Bitmap/.test(plan), plan);
    }
  });

  Deno.test("Two processes on one PostgreSQL lose no increment, and a logout in one is effective in the other", async () => {
    await using schema = await ownSchema();
    const begin = (): ReturnType<typeof startProcess> =>
      startProcess("@alosaur/session/postgres", "PostgresStore", POSTGRES_URL, { table: schema.table() });
    await using a = begin();
    await using b = begin();
    const cookie = await a.tell("signUp");
    await Promise.all([a.tell("count", cookie, 500), b.tell("count", cookie, 500)]);
    assertEquals([await a.tell("counted", cookie), await b.tell("counted", cookie)], [1000, 1000]);

    assertEquals(await b.tell("begin", cookie), "ada");
    await a.tell("logout", cookie);
    assertEquals(await b.tell("write"), "SessionGoneError");
    assertEquals([await a.tell("user", cookie), await b.tell("user", cookie)], [null, null]);
  });
}
