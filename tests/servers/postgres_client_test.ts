import { assert, assertEquals, assertRejects, assertThrows } from "../helpers/assert.ts";
import { PostgresClient, type ServerLimits } from "../../src/stores/_postgres_client.ts";
import { type FaultyProxy, faultyProxy } from "./_faulty_proxy.ts";
import { addressOf, POSTGRES_URL, postgresIsThere, sleep, through } from "./_postgres.ts";

/** A client that is connected to the server through a proxy. */
interface Through extends AsyncDisposable {
  client: PostgresClient;
  proxy: FaultyProxy;
}

function throughProxy(limits: Partial<ServerLimits> = {}): Through {
  const proxy = faultyProxy(addressOf(POSTGRES_URL));
  const client = new PostgresClient(through(proxy, POSTGRES_URL), undefined, limits);
  return {
    client,
    proxy,
    async [Symbol.asyncDispose](): Promise<void> {
      await proxy[Symbol.asyncDispose]();
      // The client notices, and has nothing to wait for.
      await sleep(50);
      await client[Symbol.asyncDispose]();
    },
  };
}

function within<T>(milliseconds: number, promise: Promise<T>): Promise<T | "no answer"> {
  return Promise.race([promise, sleep(milliseconds).then(() => "no answer" as const)]);
}

if (await postgresIsThere("the tests of PostgresClient")) {
  const query = (client: PostgresClient, seconds = 0): Promise<unknown> =>
    client.query("SELECT pg_sleep($1)", [seconds]);

  Deno.test("PostgresClient settles every query while connections break", async () => {
    await using through = throughProxy();
    const { client, proxy } = through;
    let stopped = false;
    let answered = 0;
    let refused = 0;
    const loops = Array.from({ length: 40 }, async () => {
      while (!stopped) await query(client).then(() => answered++, () => refused++);
    });
    const startedAt = performance.now();
    const needsMore = (): boolean => answered === 0 || refused === 0;
    for (let elapsed = 0; elapsed < 1500 || needsMore() && elapsed < 10_000; elapsed = performance.now() - startedAt) {
      await sleep(5);
      proxy.cut();
    }
    stopped = true;
    assert(await within(10_000, Promise.all(loops)) !== "no answer");
    console.log(`${answered} answered, ${refused} refused`);
    assert(answered > 0 && refused > 0);
  });

  Deno.test("PostgresClient opens new connections if the old ones are silent, and does not break those", async () => {
    await using through = throughProxy({ silenceMs: 1000 });
    const { client, proxy } = through;
    const slow = Array.from({ length: 10 }, () => query(client, 3));
    await sleep(500);
    assertEquals(proxy.clients, 10);
    assertEquals(await within(100, query(client)), "no answer");
    await sleep(600);
    assert(await within(1000, query(client)) !== "no answer");
    assertEquals(proxy.clients, 11);
    assert(await within(10_000, Promise.all(slow)) !== "no answer");
    // The old connections close when their queries are done.
    await sleep(500);
    assertEquals(proxy.open, 1);
  });

  Deno.test("PostgresClient keeps its connections after an error of the server", async () => {
    await using through = throughProxy();
    const { client, proxy } = through;
    for (let i = 0; i < 3; i++) {
      await assertRejects(() => client.query("SELECT 1 / $1", [0]), Error, "division by zero");
    }
    assertEquals(proxy.clients, 1);
  });

  Deno.test("PostgresClient ends the pending queries of a broken pool after a grace period", async () => {
    await using through = throughProxy({ graceMs: 300 });
    const { client, proxy } = through;
    const slow = [0.2, 2].map((seconds) => query(client, seconds).then(() => "answered", (error) => error.code));
    const broken = client.query("SELECT pg_sleep($1), pg_terminate_backend(pg_backend_pid())", [0.1]);
    await assertRejects(() => broken, Error, "CONNECTION_CLOSED");
    assertEquals(await within(1000, Promise.all(slow)), ["answered", "CONNECTION_DESTROYED"]);
    assertEquals(proxy.clients, 3);
    await query(client);
    assertEquals(proxy.clients, 4);
  });

  Deno.test("PostgresClient closes quickly after a connection broke, and then rejects queries", async () => {
    await using through = throughProxy();
    const { client, proxy } = through;
    await query(client);
    proxy.fault = "hang up";
    await assertRejects(() => query(client), Error);
    proxy.fault = "none";
    await query(client);
    const startedAt = performance.now();
    await client[Symbol.asyncDispose]();
    assert(performance.now() - startedAt < 1000);
    for (let i = 0; i < 2; i++) await assertRejects(() => query(client), Error, "CONNECTION_ENDED");
    assertEquals(proxy.open, 0);
  });

  Deno.test("PostgresClient opens 30 connections to a silent server at most", async () => {
    await using through = throughProxy({ silenceMs: 500 });
    const { client, proxy } = through;
    await query(client);
    const queries: Promise<unknown>[] = [];
    for (let i = 0; i < 100; i++) {
      queries.push(query(client, 4).catch(() => {}));
      await sleep(i % 10 === 9 ? 200 : 0);
    }
    assert(proxy.clients <= 30, `${proxy.clients} connections`);
    proxy.fault = "swallow";
  });

  Deno.test("PostgresClient rejects if every attempt to connect is hung up on", async () => {
    await using through = throughProxy({ silenceMs: 200 });
    const { client, proxy } = through;
    proxy.fault = "hang up";
    const first = query(client).catch((error) => error.code);
    await sleep(300);
    console.log(`${proxy.clients} attempts in 0.3 s`);
    const second = query(client);
    assertEquals(await within(100, first), "CONNECTION_DESTROYED");
    proxy.fault = "none";
    assert(await within(5000, second) !== "no answer");
  });

  Deno.test("PostgresClient rejects further queries if too many are pending", async () => {
    await using through = throughProxy({ pendingQueries: 100 });
    const { client, proxy } = through;
    await query(client);
    proxy.fault = "swallow";
    for (let i = 0; i < 100; i++) query(client).catch(() => {});
    await assertRejects(() => query(client), Error, "too many queries are pending");
  });

  Deno.test("PostgresClient rejects immediately if nobody listens, without the password in the error", async () => {
    await using client = new PostgresClient("postgres://user:top-secret@127.0.0.1:1/test");
    const startedAt = performance.now();
    const queries = Array.from({ length: 40 }, () => query(client));
    await Promise.allSettled(queries);
    assert(performance.now() - startedAt < 1000);
    const error = await assertRejects(() => query(client), Error);
    assert(!Deno.inspect(error).includes("top-secret"));
    const thrown = assertThrows(() => new PostgresClient("postgres://user:top-secret@:::/"), TypeError, "URL");
    assert(!Deno.inspect(thrown).includes("top-secret"));
  });
}
