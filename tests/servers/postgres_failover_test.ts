/** Connections that lead to a server which no longer executes writes. */
import postgres from "npm:postgres@3.4.9";
import { PostgresStore } from "@alosaur/session/postgres";
import { assertEquals, assertRejects } from "../helpers/assert.ts";
import { type FaultyProxy, faultyProxy } from "./_faulty_proxy.ts";
import { client, type OwnServer, ownServer, postgresCanBeStarted, sleep, through } from "./_postgres.ts";
import { until } from "./_redis.ts";

/** How many connections a store opens. */
const MAX = 4;

/** Two servers with a table each, and an address that leads to the first one. */
interface Pair extends AsyncDisposable {
  first: OwnServer;
  second: OwnServer;
  url: string;
  proxy: FaultyProxy;
  /** New connections lead to the second server. The open ones stay. */
  switchOver(): void;
}

async function ownPair(): Promise<Pair> {
  const [first, second] = await Promise.all([ownServer(), ownServer()]);
  for (const { url } of [first, second]) {
    await using store = new PostgresStore(url);
    await store.init();
  }
  const address = { port: first.port };
  const proxy = faultyProxy(address);
  return {
    first,
    second,
    url: through(proxy, first.url),
    proxy,
    switchOver(): void {
      address.port = second.port;
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await proxy[Symbol.asyncDispose]();
      await Promise.all([first, second].map((server) => server[Symbol.asyncDispose]()));
    },
  };
}

/** Makes every connection to a server read-only, the open ones included. */
async function makeReadOnly({ url }: OwnServer): Promise<void> {
  await using sql = client(url);
  await sql.query("ALTER SYSTEM SET default_transaction_read_only = on");
  await sql.query("SELECT pg_reload_conf()");
  for (;;) {
    const [row] = await sql.query("SHOW default_transaction_read_only");
    if (row?.default_transaction_read_only === "on") return;
    await sleep(5);
  }
}

/** Opens all connections of a store. */
async function openConnections(store: PostgresStore, proxy: FaultyProxy): Promise<void> {
  while (proxy.open < MAX) await Promise.all(Array.from({ length: 50 }, () => store.exist("a")));
}

async function exists({ url }: OwnServer, sid: string): Promise<boolean> {
  await using store = new PostgresStore(url);
  return await store.exist(sid);
}

function createMany(store: PostgresStore, name: string): Promise<unknown> {
  return Promise.all(Array.from({ length: 30 }, (_, i) => store.create(`${name}${i}`)));
}

if (await postgresCanBeStarted("failover of a PostgreSQL")) {
  Deno.test("PostgresStore on a URL leaves a server that became read-only, within the request that notices", async () => {
    await using pair = await ownPair();
    const { first, second, proxy } = pair;
    await using store = new PostgresStore(pair.url, { max: MAX });
    await store.init();
    await store.create("a");
    await openConnections(store, proxy);
    pair.switchOver();
    await makeReadOnly(first);
    await store.create("b");
    assertEquals([await exists(first, "b"), await exists(second, "b")], [false, true]);
    await createMany(store, "c");
    // The connections to the first server are closed, and none of them was broken.
    while (proxy.open > MAX) await sleep(10);
    assertEquals(proxy.clients, 2 * MAX);
  });

  Deno.test("PostgresStore on a URL replaces its connections once a second while the server stays read-only", async () => {
    await using pair = await ownPair();
    const { first, second, proxy } = pair;
    await using store = new PostgresStore(pair.url);
    await store.init();
    await store.create("a");
    await makeReadOnly(first);
    const { now } = performance;
    try {
      // An integer: with a fraction, `start + 1000 - start` may be less than 1000.
      const start = Math.ceil(performance.now());
      performance.now = () => start;
      for (let i = 0; i < 30; i++) {
        const error = await assertRejects(() => store.setValue("a", "k", 1), Error, "read-only transaction");
        assertEquals(Reflect.get(error, "code"), "25006");
        assertEquals(await store.exist("a"), true);
      }
      assertEquals(proxy.clients, 2);
      pair.switchOver();
      performance.now = () => start + 1000;
      await createMany(store, "b");
      assertEquals(await exists(second, "b29"), true);
    } finally {
      performance.now = now;
    }
  });

  Deno.test("PostgresStore on a URL leaves a server that shuts down", async () => {
    await using pair = await ownPair();
    const { first, second } = pair;
    await using store = new PostgresStore(pair.url);
    await store.init();
    await store.create("a");
    const stopped = first.stop("SIGTERM");
    // The server has begun to refuse new connections (57P03), and serves the open one.
    for (;;) {
      await using sql = client(first.url);
      if (await sql.query("SELECT 1").then(() => false, () => true)) break;
    }
    const error = await assertRejects(() => createMany(store, "a"), Error, "shutting down");
    assertEquals(Reflect.get(error, "code"), "57P03");
    pair.switchOver();
    await createMany(store, "b");
    for (let i = 0; i < 30; i++) assertEquals(await exists(second, `b${i}`), true);
    // Its last connection is closed.
    await stopped;
  });

  Deno.test("PostgresStore never replaces the connections of an application's client", async () => {
    await using pair = await ownPair();
    const { first } = pair;
    const sql = postgres(pair.url, { max: 1 });
    await using store = new PostgresStore(sql);
    await store.init();
    pair.switchOver();
    await makeReadOnly(first);
    const error = await assertRejects(() => store.create("a"), Error, "read-only transaction");
    assertEquals(Reflect.get(error, "code"), "25006");
    await sql.end();
  });

  Deno.test("PostgresStore.watch() leaves a server that became read-only, and reports changes on the new one", async () => {
    await using pair = await ownPair();
    const { first, second } = pair;
    await using store = new PostgresStore(pair.url, { notify: "all" });
    await store.init();
    await store.create("a");
    const reported: unknown[] = [];
    await using watch = await store.watch((key) => reported.push(key));
    await watch.confirm();
    await makeReadOnly(first);
    await assertRejects(() => watch.confirm(), Error, "read-only");
    assertEquals(reported.splice(0), [undefined]);
    pair.switchOver();
    await createMany(store, "b");
    await until("it reports changes again", () => reported.includes(undefined));
    await watch.confirm();
    await using other = new PostgresStore(second.url, { notify: "all" });
    await other.setValue("b1", "k", 1);
    await watch.confirm();
    assertEquals(reported.at(-1), watch.keyOf("b1"));
  });

  Deno.test("PostgresStore.watch() confirms nothing while the store writes to another server than the one that reports", async () => {
    await using pair = await ownPair();
    const { second } = pair;
    await using store = new PostgresStore(pair.url, { max: 1, notify: "all" });
    await store.init();
    const reported: unknown[] = [];
    await using watch = await store.watch((key) => reported.push(key));
    // A DNS name leads to the new server, and the old one is still alive and accepts writes.
    pair.switchOver();
    await using sql = client(pair.first.url);
    await sql.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE backend_type = 'client backend' AND query NOT LIKE 'LISTEN%' AND pid <> pg_backend_pid()`);
    await until("the store writes to the new server", () => store.create("a").then(() => true, () => false));
    assertEquals(await exists(second, "a"), true);
    await assertRejects(() => watch.confirm(), Error, "did not arrive");
    await until("it listens on the new server", () => reported.length >= 2);
    await watch.confirm();
    await using other = new PostgresStore(second.url, { notify: "all" });
    await other.setValue("a", "k", 1);
    await watch.confirm();
    assertEquals(reported.at(-1), watch.keyOf("a"));
  });
}
