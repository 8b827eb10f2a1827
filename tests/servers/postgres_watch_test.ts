/** `PostgresStore.watch()`, and the signals of sessions that another process ends. */
import { PostgresStore } from "@alosaur/session/postgres";
import postgres from "npm:postgres@3.4.9";
import { SessionStoreError } from "../../mod.ts";
import { newSessionId } from "../../src/cookie/session_id.ts";
import { sharedStoreOf } from "../../src/persistence/shared_store.ts";
import { assert, assertEquals, assertRejects } from "../helpers/assert.ts";
import { open, renew, signIn, start, visit } from "../helpers/request.ts";
import {
  type Client,
  client,
  ownSchema,
  ownServer,
  pooler,
  POSTGRES_URL,
  postgresCanBeStarted,
  postgresIsThere,
} from "./_postgres.ts";
import { until } from "./_redis.ts";
import { isThere } from "./_require.ts";

const record = () => ({
  values: new Map([["a", 1]]),
  expiresAt: Date.now() + 60_000,
  meta: { createdAt: Date.now(), seenAt: Date.now(), renewedAt: Date.now(), principal: "ada" },
});

/** The connections that listen to a table. */
async function listeners(url = POSTGRES_URL): Promise<number[]> {
  await using sql = client(url);
  const rows = await sql.query("SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN sessions_%' ORDER BY pid");
  return rows.map(({ pid }) => Number(pid));
}

if (await postgresIsThere("the tests of PostgresStore.watch()")) {
  Deno.test("PostgresStore.watch() reports every deletion and move, and no id in the clear", async () => {
    await using schema = await ownSchema();
    const table = schema.table();
    await using here = new PostgresStore(POSTGRES_URL, { table });
    await using there = new PostgresStore(POSTGRES_URL, { table });
    await here.init();
    const ids = Array.from({ length: 1000 }, newSessionId);
    await Promise.all(ids.map((id) => there.createRecord(id, record())));
    const reported = new Set<string | undefined>();
    await using watch = await here.watch((key) => reported.add(key));
    await Promise.all(
      ids.map((id, i) =>
        i % 2 === 0 ? there.delete(id) : there.moveRecord(id, newSessionId(), { meta: {}, graceUntil: Date.now() })
      ),
    );
    await watch.confirm();
    assertEquals(ids.filter((id) => !reported.has(watch.keyOf(id))), []);
    assertEquals(ids.filter((id) => reported.has(id)), []);
  });

  Deno.test("PostgresStore.watch() needs a client of postgres() that is no transaction", async () => {
    await using schema = await ownSchema();
    const sql = postgres(POSTGRES_URL, { max: 2, fetch_types: false, onnotice: () => {} });
    try {
      const store = new PostgresStore(sql, { table: schema.table() });
      await store.init();
      const reported: unknown[] = [];
      const watch = await store.watch((key) => reported.push(key));
      await store.createRecord("a", record());
      await store.delete("a");
      await watch.confirm();
      assertEquals(reported, [watch.keyOf("a")]);
      await watch[Symbol.asyncDispose]();
      await assertRejects(() => watch.confirm(), Error, "is lost");
      await sql.begin(async (transaction) => {
        const inside = new PostgresStore(transaction, { table: schema.table() });
        await assertRejects(() => inside.watch(() => {}), SessionStoreError, "Cannot watch the sessions in PostgreSQL");
      });
    } finally {
      await sql.end();
    }
  });

  Deno.test("session.signal on PostgresStore aborts when another process ends the session, also during a reconnect", async () => {
    await using schema = await ownSchema();
    const table = schema.table();
    await using store = new PostgresStore(POSTGRES_URL, { table });
    await using other = new PostgresStore(POSTGRES_URL, { table });
    await store.init();
    const [here, there] = [start({}, store), start({}, other)];
    const before = await listeners();
    const cookies = await Promise.all(Array.from({ length: 5 }, () => signIn(here, "ada")));
    const opened = await Promise.all(cookies.map((cookie) => open(here, cookie)));
    const signals = opened.map(({ session }) => session.signal);
    await until("the store listens", async () => (await listeners()).length === before.length + 1);
    const [destroyed = "", cleared = "", rebound = "", renewed = "", revoked = ""] = cookies;
    const ends = (): unknown[] => signals.map(({ aborted, reason }) => aborted ? reason.end : undefined);
    const lookups = countReads(store);

    await visit(there, { cookie: destroyed }, ({ security: { session } }) => session.destroy());
    await visit(there, { cookie: cleared }, ({ security: { session } }) => session.clear());
    await renew(there, rebound, { principal: "grace" });
    await renew(there, renewed);
    await until("it is reported", () => ends().filter((end) => end !== undefined).length === 3);
    assertEquals(ends(), ["gone", "cleared", "rebound", undefined, undefined]);
    assert(lookups.count < 12, `${lookups.count} lookups`);

    const [pid] = (await listeners()).filter((pid) => !before.includes(pid));
    await using sql = client(POSTGRES_URL);
    await sql.query(`SELECT pg_terminate_backend(${pid})`);
    await visit(there, { cookie: revoked }, async () => void await there.sessions.revokeAll("ada"));
    await until("it is reported", () => ends().every((end) => end !== undefined));
    assertEquals(ends(), ["gone", "cleared", "rebound", "gone", "gone"]);
    await until("nobody listens any more", async () => (await listeners()).length === before.length);
    assertEquals(sharedStoreOf(store).signals.size, 0);
  });

  Deno.test("PostgresStore.watch() receives the reports of a table that others name without its schema", async () => {
    await using schema = await ownSchema();
    const table = schema.table();
    await using here = new PostgresStore(POSTGRES_URL, { table });
    await here.init();
    const connection = { search_path: table.split(".")[0] };
    const sql = postgres(POSTGRES_URL, { max: 1, fetch_types: false, onnotice: () => {}, connection });
    try {
      const there = new PostgresStore(sql);
      await there.createRecord("a", record());
      const reported: unknown[] = [];
      await using watch = await here.watch((key) => reported.push(key));
      await there.delete("a");
      await watch.confirm();
      assertEquals(reported, [watch.keyOf("a")]);
    } finally {
      await sql.end();
    }
  });

  Deno.test("session.signal on PostgresStore does not keep the process alive", async () => {
    await using schema = await ownSchema();
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--quiet",
        `${import.meta.dirname}/_postgres_signal_process.ts`,
        POSTGRES_URL,
        schema.table(),
      ],
      signal: AbortSignal.timeout(30_000),
      stderr: "inherit",
    });
    const { stdout, signal } = await child.output();
    assertEquals([new TextDecoder().decode(stdout), signal], ["held 1\n", null]);
  });

  const hasPooler = await isThere("postgres", "the test of PostgresStore.watch() through PgBouncer", async () => {
    await Deno.stat("/usr/sbin/pgbouncer").catch(() => {
      throw new Error("no /usr/sbin/pgbouncer");
    });
  });
  if (hasPooler) {
    Deno.test("PostgresStore.watch() refuses a pooler in transaction mode, which swallows notifications", async () => {
      await using schema = await ownSchema();
      await using pgbouncer = await pooler(POSTGRES_URL);
      await using store = new PostgresStore(pgbouncer.url, { table: schema.table() });
      await store.init();
      const error = await assertRejects(() => store.watch(() => {}), SessionStoreError, "pooler in transaction mode");
      assert(error.cause instanceof Error);
      const events: string[] = [];
      const middleware = start({ onEvent: (event) => events.push(event.type) }, store);
      const { session } = await open(middleware, await signIn(middleware, "ada"));
      const { signal } = session;
      await until("it is reported", () => events.includes("storeFailed"));
      await new PostgresStore(POSTGRES_URL, { table: schema.table() }).clear();
      await until("it is looked up", () => signal.aborted);
      assertEquals(signal.reason.end, "gone");
    });
  }
}

if (await postgresCanBeStarted("the test of PostgresStore.watch() after a crash")) {
  Deno.test("PostgresStore.watch() reports changes again after the server was silent, and after it has crashed", async () => {
    await using server = await ownServer();
    await server.start();
    await using store = new PostgresStore(server.url);
    await store.init();
    const reported: unknown[] = [];
    await using watch = await store.watch((key) => reported.push(key));
    await server.signalBackends("SIGSTOP");
    await assertRejects(() => watch.confirm(), Error, "did not arrive within 5 s");
    await server.signalBackends("SIGCONT");
    await until("it listens again", () => reported.length > 1);
    await watch.confirm();
    assertEquals(reported.splice(0), [undefined, undefined]);

    await server.stop("SIGKILL");
    await until("the loss is reported", () => reported.length > 0);
    await assertRejects(() => watch.confirm(), Error, "is lost");
    assertEquals(reported, [undefined]);
    await server.start();
    await until("the return is reported", () => reported.length > 1);
    await store.createRecord("a", record());
    await store.delete("a");
    await watch.confirm();
    assertEquals(reported, [undefined, undefined, watch.keyOf("a")]);
  });
}

if (await postgresCanBeStarted("the test of PostgresStore while the queue of notifications is full")) {
  // It takes a minute and eight gigabytes to fill the queue, so by default a trigger refuses the
  // same commits in the same way. FILL_NOTIFY_QUEUE=1 fills it.
  const isReal = Deno.env.get("FILL_NOTIFY_QUEUE") !== undefined;
  Deno.test("PostgresStore refuses what it cannot report if the queue of notifications is full, and loses nothing", async () => {
    await using server = await ownServer();
    await server.start();
    await using store = new PostgresStore(server.url);
    await using other = new PostgresStore(server.url);
    await using third = new PostgresStore(server.url);
    await store.init();
    await using sql = client(server.url);
    const fullQueue = isReal ? await fillQueue(server.url) : refuseCommits(sql);
    const [here, there] = [start({}, store), start({}, other)];
    const cookie = await signIn(here, "ada");
    const { signal } = (await open(here, cookie)).session;
    await until("the store listens", async () => (await listeners(server.url)).length === 1);
    await fullQueue.begin();
    await visit(there, { cookie }, async ({ security: { session } }) => {
      await session.set("n", 1);
      for (const end of [() => session.clear(), () => session.regenerate(), () => session.destroy()]) {
        const error = await assertRejects(end, SessionStoreError);
        assert(String(error.cause).includes("too many notifications in the NOTIFY queue"), `${error.cause}`);
      }
    });
    // Not in the process that has tried to end it, which refuses it from now on.
    const { session } = await open(start({}, third), cookie);
    assertEquals([session.principal, await session.get("n"), signal.aborted], ["ada", 1, false]);
    await fullQueue.end();
    await until("the session ends", () => session.destroy().then(() => true, () => false));
    await until("it is reported", () => signal.aborted);
    assertEquals(signal.reason.end, "gone");
  });
}

/** Makes commits fail. */
interface FullQueue {
  begin(): Promise<void>;
  end(): Promise<void>;
}

/** Fails the commits that send the notification of a session, with the error of a full queue. */
function refuseCommits(sql: Client): FullQueue {
  const message = "too many notifications in the NOTIFY queue";
  return {
    begin: async () => {
      await sql.query(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN RAISE '${message}' USING ERRCODE = '54000'; END $$;
        CREATE CONSTRAINT TRIGGER deleted AFTER DELETE ON sessions DEFERRABLE INITIALLY DEFERRED
          FOR EACH ROW EXECUTE FUNCTION refuse();
        CREATE CONSTRAINT TRIGGER changed AFTER UPDATE ON sessions DEFERRABLE INITIALLY DEFERRED
          FOR EACH ROW WHEN (old.id <> new.id OR old.principal IS DISTINCT FROM new.principal)
          EXECUTE FUNCTION refuse()`);
    },
    end: async () => void await sql.query("DROP FUNCTION refuse() CASCADE"),
  };
}

/** Fills the queue. A transaction of a connection that listens prevents that it is emptied. */
async function fillQueue(url: string): Promise<FullQueue> {
  const holder = client(url);
  const filler = client(url);
  await holder.query("LISTEN filling");
  await holder.query("BEGIN; SELECT 1");
  return {
    begin: async () => {
      const fill = `SELECT count(pg_notify('filling', rpad(i::text, 7900, 'x'))) FROM generate_series(1, 20000) AS i`;
      while (await filler.query(fill).then(() => true, () => false));
      while (await filler.query("SELECT pg_notify('filling', repeat('x', 7900))").then(() => true, () => false));
    },
    end: async () => {
      await holder[Symbol.asyncDispose]();
      // PostgreSQL removes what everybody has read only if it is asked how full the queue is.
      await until("the queue is empty", async () => {
        const [row] = await filler.query("SELECT pg_notification_queue_usage() AS usage");
        return Number(row?.usage) < 0.1;
      });
      await filler[Symbol.asyncDispose]();
    },
  };
}

/** Counts the lookups of a store. */
function countReads(store: PostgresStore): { readonly count: number } {
  const real = store.readRecord.bind(store);
  const reads = { count: 0 };
  store.readRecord = (sid) => {
    reads.count++;
    return real(sid);
  };
  return reads;
}
