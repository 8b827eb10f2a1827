import { assert, assertEquals, assertRejects, assertThrows } from "../helpers/assert.ts";
import { type Patience, PostgresClient } from "../../src/stores/_postgres_client.ts";
import { type FaultyProxy, faultyProxy } from "./_faulty_proxy.ts";
import { addressOf, POSTGRES_URL, postgresIsThere, sleep, through } from "./_postgres.ts";

/** A client that reaches the server through a proxy. */
interface Through extends AsyncDisposable {
  client: PostgresClient;
  proxy: FaultyProxy;
}

function throughProxy(patience: Partial<Patience> = {}): Through {
  const proxy = faultyProxy(addressOf(POSTGRES_URL));
  const client = new PostgresClient(through(proxy, POSTGRES_URL), patience);
  return {
    client,
    proxy,
    async [Symbol.asyncDispose](): Promise<void> {
      await proxy[Symbol.asyncDispose]();
      // The client hears of it, and then has nothing to wait for.
      await sleep(50);
      await client[Symbol.asyncDispose]();
    },
  };
}

function within<T>(milliseconds: number, promise: Promise<T>): Promise<T | "no answer"> {
  return Promise.race([promise, sleep(milliseconds).then(() => "no answer" as const)]);
}

if (await postgresIsThere("the tests of PostgresClient")) {
  const ask = (client: PostgresClient, seconds = 0): Promise<unknown> => client.query("SELECT pg_sleep($1)", [seconds]);

  Deno.test("PostgresClient answers every question, however many connections break", async () => {
    await using through = throughProxy();
    const { client, proxy } = through;
    let over = false;
    let answered = 0;
    let refused = 0;
    const asking = Array.from({ length: 40 }, async () => {
      while (!over) await ask(client).then(() => answered++, () => refused++);
    });
    const began = performance.now();
    while (performance.now() - began < 1500) {
      await sleep(5);
      proxy.cut();
    }
    over = true;
    assert(await within(2000, Promise.all(asking)) !== "no answer");
    console.log(`${answered} answered, ${refused} refused`);
    assert(answered > 0 && refused > 0);
  });

  Deno.test("PostgresClient asks on new connections where the old ones are silent, and leaves those alone", async () => {
    await using through = throughProxy({ silence: 300 });
    const { client, proxy } = through;
    const slow = Array.from({ length: 10 }, () => ask(client, 1));
    await sleep(100);
    assertEquals(proxy.clients, 10);
    assertEquals(await within(100, ask(client)), "no answer");
    await sleep(150);
    assert(await within(300, ask(client)) !== "no answer");
    assertEquals(proxy.clients, 11);
    assert(await within(2000, Promise.all(slow)) !== "no answer");
    // They are closed when they have answered.
    await sleep(100);
    assertEquals(proxy.open, 1);
  });

  Deno.test("PostgresClient keeps its connections where the server refuses something", async () => {
    await using through = throughProxy();
    const { client, proxy } = through;
    for (let i = 0; i < 3; i++) {
      await assertRejects(() => client.query("SELECT 1 / $1", [0]), Error, "division by zero");
    }
    assertEquals(proxy.clients, 1);
  });

  Deno.test("PostgresClient gives what was asked before a connection broke a time on the others", async () => {
    await using through = throughProxy({ grace: 300 });
    const { client, proxy } = through;
    const slow = [0.2, 2].map((seconds) => ask(client, seconds).then(() => "answered", (error) => error.code));
    const broken = client.query("SELECT pg_sleep($1), pg_terminate_backend(pg_backend_pid())", [0.1]);
    await assertRejects(() => broken, Error, "CONNECTION_CLOSED");
    assertEquals(await within(1000, Promise.all(slow)), ["answered", "CONNECTION_DESTROYED"]);
    assertEquals(proxy.clients, 3);
    await ask(client);
    assertEquals(proxy.clients, 4);
  });

  Deno.test("PostgresClient is quick to end, also after a connection broke, and asks nothing more", async () => {
    await using through = throughProxy();
    const { client, proxy } = through;
    await ask(client);
    proxy.fault = "hang up";
    await assertRejects(() => ask(client), Error);
    proxy.fault = "none";
    await ask(client);
    const began = performance.now();
    await client[Symbol.asyncDispose]();
    assert(performance.now() - began < 1000);
    for (let i = 0; i < 2; i++) await assertRejects(() => ask(client), Error, "CONNECTION_ENDED");
    assertEquals(proxy.open, 0);
  });

  Deno.test("PostgresClient opens no more than three times ten connections to a server that is silent", async () => {
    await using through = throughProxy({ silence: 10 });
    const { client, proxy } = through;
    await ask(client);
    const questions: Promise<unknown>[] = [];
    for (let i = 0; i < 100; i++) {
      questions.push(ask(client, 2).catch(() => {}));
      await sleep(i % 10 === 9 ? 50 : 0);
    }
    assert(proxy.clients <= 30, `${proxy.clients} connections`);
    proxy.fault = "swallow";
  });

  Deno.test("PostgresClient gives up where each attempt to connect is hung up on", async () => {
    await using through = throughProxy({ silence: 200 });
    const { client, proxy } = through;
    proxy.fault = "hang up";
    const first = ask(client).catch((error) => error.code);
    await sleep(300);
    console.log(`${proxy.clients} attempts in 0.3 s`);
    const second = ask(client);
    assertEquals(await within(100, first), "CONNECTION_DESTROYED");
    proxy.fault = "none";
    assert(await within(1000, second) !== "no answer");
  });

  Deno.test("PostgresClient refuses more questions than a silent server can ever answer", async () => {
    await using through = throughProxy({ questions: 100 });
    const { client, proxy } = through;
    await ask(client);
    proxy.fault = "swallow";
    for (let i = 0; i < 100; i++) ask(client).catch(() => {});
    await assertRejects(() => ask(client), Error, "owes too many answers");
  });

  Deno.test("PostgresClient rejects at once where nobody listens, and says nothing of the password", async () => {
    await using client = new PostgresClient("postgres://user:top-secret@127.0.0.1:1/test");
    const began = performance.now();
    const questions = Array.from({ length: 40 }, () => ask(client));
    await Promise.allSettled(questions);
    assert(performance.now() - began < 1000);
    const error = await assertRejects(() => ask(client), Error);
    assert(!Deno.inspect(error).includes("top-secret"));
    const thrown = assertThrows(() => new PostgresClient("postgres://user:top-secret@:::/"), TypeError, "URL");
    assert(!Deno.inspect(thrown).includes("top-secret"));
  });
}
