/** A server that refuses statements or connections although it works. */
import postgres from "npm:postgres@3.4.9";
import { PostgresStore } from "@alosaur/session/postgres";
import { assert, assertEquals, assertRejects } from "../helpers/assert.ts";
import { signUp, start, visit } from "../helpers/request.ts";
import { faultyProxy } from "./_faulty_proxy.ts";
import { addressOf, client, ownSchema, POSTGRES_URL, postgresIsThere, sleep, through } from "./_postgres.ts";
import { hold } from "./_postgres_locks.ts";

/** The columns of `PostgresStore.createRecord()`. */
function record(): Parameters<PostgresStore["createRecord"]>[1] {
  const now = Date.now();
  const meta = { createdAt: now, seenAt: now, renewedAt: now, principal: "ada" };
  return { values: new Map(), expiresAt: now + 60_000, meta };
}

/** Returns the codes of the calls that were rejected. */
async function rejections(calls: Promise<unknown>[]): Promise<unknown[]> {
  const codes: unknown[] = [];
  for (const result of await Promise.allSettled(calls)) {
    // A SessionStoreError has the error of the database as its cause.
    if (result.status === "rejected") {
      codes.push(result.reason.cause?.code ?? result.reason.code ?? String(result.reason));
    }
  }
  return codes;
}

/** Creates a role that may use a database and a schema, and returns its URL. */
async function ownRole(table: string, settings: string): Promise<{ url: string } & AsyncDisposable> {
  const role = `test_${crypto.randomUUID().replaceAll("-", "_")}`;
  const [schema] = table.split(".");
  await using sql = client(POSTGRES_URL);
  await sql.query(`CREATE ROLE ${role} LOGIN ${settings}; GRANT ALL ON SCHEMA ${schema} TO ${role}`);
  const url = new URL(POSTGRES_URL);
  url.username = role;
  return {
    url: url.href,
    async [Symbol.asyncDispose](): Promise<void> {
      await using sql = client(POSTGRES_URL);
      await sql.query(`DROP OWNED BY ${role} CASCADE; DROP ROLE ${role}`);
    },
  };
}

if (await postgresIsThere("a PostgreSQL that refuses")) {
  for (const isolation of ["repeatable read", "serializable"] as const) {
    for (const kind of ["a URL", "a client"]) {
      Deno.test(`PostgresStore loses no write at the isolation level ${isolation}, with ${kind}`, async (t) => {
        await using schema = await ownSchema();
        const table = schema.table();
        const sql = postgres(POSTGRES_URL, { connection: { default_transaction_isolation: isolation } });
        const url = `${POSTGRES_URL}?default_transaction_isolation=${encodeURIComponent(isolation)}`;
        const make = (): PostgresStore => new PostgresStore(kind === "a URL" ? url : sql, { table });
        await using a = make();
        await using b = make();
        const stores = [a, b];
        await a.init();

        await t.step("writes to one session", async () => {
          await a.createRecord("a", record());
          const writes = Array.from({ length: 100 }, (_, i) => {
            const [store = a, other = b] = i % 2 === 0 ? [a, b] : [b, a];
            return i % 3 === 0
              ? store.setValue("a", `${i}`, i)
              : other.changeRecord("a", { set: new Map([[`${i}`, i]]) });
          });
          assertEquals(await rejections(writes), []);
          assertEquals(Object.keys(await a.get("a") ?? {}).length, 100);
        });

        await t.step("requests of one visitor", async () => {
          const middleware = start({}, a);
          const cookie = await signUp(middleware);
          const requests = Array.from(
            { length: 100 },
            (_, i) => visit(middleware, { cookie }, ({ security }) => security.session.set(`${i}`, i)),
          );
          assertEquals(await rejections(requests), []);
        });

        await t.step("all other statements", async () => {
          for (let round = 0; round < 20; round++) {
            await Promise.all(Array.from({ length: 10 }, (_, i) => a.createRecord(`${round}.${i}`, record())));
            const calls = Array.from({ length: 10 }, (_, i) => [
              a.moveRecord(`${round}.${i}`, `${round}.${i}.moved`, { meta: {}, graceUntil: 0 }),
              b.listSessions("ada"),
              b.delete(`${round}.${i}`),
              ...stores.map((store) => store.removeExpired()),
              ...i === 5 ? [b.clear()] : [],
            ]);
            const codes = await rejections(calls.flat());
            assertEquals(codes.filter((code) => !String(code).startsWith("SessionGoneError")), []);
          }
        });
        await sql.end();
      });
    }
  }

  Deno.test("PostgresStore tries a write again that PostgreSQL ended because of a deadlock", async () => {
    await using schema = await ownSchema();
    const table = schema.table();
    await using store = new PostgresStore(POSTGRES_URL, { table });
    await store.init();
    for (const sid of ["a", "b"]) await store.createRecord(sid, record());
    await using sql = client(POSTGRES_URL);
    // A move locks the row of its old id, and then that of the new one.
    await sql.query(`UPDATE ${table} SET expires_at = 1 WHERE id = 'b'`);
    await using holder = await hold(
      table,
      `SET deadlock_timeout = '10s'; SELECT FROM ${table} WHERE id = 'b' FOR UPDATE`,
    );
    const moved = store.moveRecord("a", "b", { meta: {}, graceUntil: 0 }).then(() => "moved", (error) => error.code);
    await holder.waiting(1);
    const held = holder.query(`SELECT FROM ${table} WHERE id = 'a' FOR UPDATE`);
    await held;
    await holder.query("COMMIT");
    assertEquals(await moved, "moved");
  });

  Deno.test("PostgresStore gives an application's transaction the error that ended it", async () => {
    await using schema = await ownSchema();
    const table = schema.table();
    await using store = new PostgresStore(POSTGRES_URL, { table });
    await store.init();
    await store.createRecord("a", record());
    const sql = postgres(POSTGRES_URL, { max: 1 });
    const error = await assertRejects(
      () =>
        sql.begin("ISOLATION LEVEL REPEATABLE READ", async (transaction) => {
          const inside = new PostgresStore(transaction, { table });
          await inside.get("a");
          await store.setValue("a", "k", 1);
          await inside.setValue("a", "k", 2);
        }),
      Error,
      "could not serialize access",
    );
    assertEquals(Reflect.get(error, "code"), "40001");
    await sql.end();
  });

  Deno.test("PostgresStore waits for one of three connections, and opens more when the server grants more", async () => {
    await using schema = await ownSchema();
    const table = schema.table();
    await using role = await ownRole(table, "CONNECTION LIMIT 3");
    await using proxy = faultyProxy(addressOf(POSTGRES_URL));
    await using store = new PostgresStore(through(proxy, role.url), { table });
    await store.init();
    const middleware = start({ storeTimeout: 20 }, store);
    const connects: number[] = [];
    const round = async (): Promise<void> => {
      const before = proxy.clients;
      const visits = Array.from({ length: 40 }, async () => {
        const cookie = await signUp(middleware);
        await visit(middleware, { cookie }, async ({ security }) => {
          assert(await security.session.get("user") !== undefined);
          await security.session.set("k", 1);
        });
      });
      assertEquals(await rejections(visits), []);
      connects.push(proxy.clients - before);
    };
    // A refused connection is closed a moment after the query has got another one.
    const expectOpen = async (expected: number): Promise<void> => {
      for (let i = 0; i < 200 && proxy.open > expected; i++) await new Promise((resolve) => setTimeout(resolve, 10));
      assertEquals(proxy.open, expected);
    };
    const { now } = performance;
    try {
      // The refusals are remembered for ten seconds.
      performance.now = () => 0;
      await round();
      await round();
      await round();
      assertEquals(connects.slice(1), [0, 0]);
      await expectOpen(3);
      await using sql = client(POSTGRES_URL);
      await sql.query(`ALTER ROLE ${new URL(role.url).username} CONNECTION LIMIT 5`);
      performance.now = () => 10_000;
      await round();
      await expectOpen(5);
    } finally {
      performance.now = now;
    }
  });

  Deno.test("PostgresStore rejects if the server grants it no connection for five seconds", async () => {
    await using schema = await ownSchema();
    const table = schema.table();
    await using role = await ownRole(table, "CONNECTION LIMIT 1");
    await using store = new PostgresStore(role.url, { table });
    {
      await using other = client(role.url);
      await other.query("SELECT 1");
      const { now } = performance;
      let ahead = 0;
      performance.now = () => now.call(performance) + (ahead += 100);
      try {
        const error = await assertRejects(() => store.init(), Error, "too many connections");
        assertEquals(Reflect.get(Object(error.cause), "code"), "53300");
        assert(!error.message.includes(new URL(role.url).username), error.message);
      } finally {
        performance.now = now;
      }
      // Another process gives its connection back during the next call.
      const second = store.init();
      await sleep(100);
      await other[Symbol.asyncDispose]();
      await second;
    }
    await store.create("a");
  });

  Deno.test("PostgresStore opens as many connections as `max` says", async () => {
    await using schema = await ownSchema();
    const table = schema.table();
    const name = crypto.randomUUID();
    await using sql = client(POSTGRES_URL);
    for (const [max, expected] of [[undefined, 10], [1, 1], [4, 4], [12, 12]] as const) {
      await using store = new PostgresStore(`${POSTGRES_URL}?application_name=${name}`, { table, max });
      await store.init();
      await Promise.all(Array.from({ length: 50 }, () => store.exist("a")));
      const [row] = await sql.query(`SELECT count(*) FROM pg_stat_activity WHERE application_name = '${name}'`);
      assertEquals(Number(row?.count), expected);
    }
  });
}
