/** The watch of a `PostgresStore`, on connections that the test breaks. */
import { PostgresStore } from "@alosaur/session/postgres";
import { SessionStoreError } from "../../mod.ts";
import { payloadOf, type PostgresChannel, PostgresWatch } from "../../src/stores/_postgres_watch.ts";
import { assert, assertEquals, assertRejects } from "../helpers/assert.ts";
import { FakeTimers, quiet } from "../helpers/timers.ts";

/** A connection of {@linkcode FakeServer}. */
interface FakeListener {
  /** Tells the client that the connection is lost. */
  lose: () => void;
  isClosed: boolean;
}

/** A server that sends each notification to every connection. */
class FakeServer implements PostgresChannel {
  readonly listeners: FakeListener[] = [];
  readonly #receivers = new Set<(payload: string) => void>();
  /** A pooler swallows notifications. */
  swallows = false;
  /** Whether it refuses connections. */
  isDown = false;

  name(): Promise<string> {
    return this.isDown ? Promise.reject(new Error("connection refused")) : Promise.resolve("sessions_1");
  }

  open(onNotify: (payload: string) => void, onClose: () => void): ReturnType<PostgresChannel["open"]> {
    const listener = { lose: onClose, isClosed: false };
    this.listeners.push(listener);
    return {
      query: (text) => {
        if (text.startsWith("LISTEN")) this.#receivers.add(onNotify);
        else return this.notify(/'(.*)'/.exec(text)?.[1] ?? "");
        return Promise.resolve();
      },
      close: () => {
        listener.isClosed = true;
        this.#receivers.delete(onNotify);
        return Promise.resolve();
      },
    };
  }

  notify(payload: string): Promise<void> {
    if (!this.swallows) { for (const receive of this.#receivers) receive(payload); }
    return Promise.resolve();
  }
}

async function opened(server: FakeServer): Promise<{ watch: PostgresWatch; reported: unknown[]; ends: number[] }> {
  const reported: unknown[] = [];
  const ends: number[] = [];
  const watch = new PostgresWatch(server, (key) => reported.push(key), () => ends.push(1));
  await watch.open();
  return { watch, reported, ends };
}

Deno.test("PostgresWatch passes notifications on, and confirms that everything was reported", async () => {
  const server = new FakeServer();
  const { watch, reported, ends } = await opened(server);
  await server.notify(payloadOf("a"));
  await server.notify("*");
  await watch.confirm();
  assertEquals(reported, [watch.keyOf("a"), undefined]);
  assert(!watch.keyOf("a").includes("a".repeat(2)) && watch.keyOf("a").length === 22);
  await watch[Symbol.asyncDispose]();
  await server.notify(payloadOf("a"));
  assertEquals([reported.length, ends, server.listeners.map(({ isClosed }) => isClosed)], [2, [1], [true]]);
  await assertRejects(() => watch.confirm(), Error, "is lost");
});

Deno.test("PostgresWatch refuses a connection over which no notification arrives", async () => {
  using timers = new FakeTimers();
  const server = new FakeServer();
  server.swallows = true;
  const opening = assertRejects(() => opened(server), Error, "a notification did not arrive within 5 s");
  await quiet();
  timers.tick(5000);
  await opening;
  assertEquals(server.listeners.map(({ isClosed }) => isClosed), [true]);
});

Deno.test("PostgresWatch connects again after it was lost, and says so", async () => {
  using timers = new FakeTimers();
  const server = new FakeServer();
  const { watch, reported } = await opened(server);
  server.isDown = true;
  server.listeners[0]?.lose();
  await quiet();
  assertEquals(reported, [undefined]);
  await assertRejects(() => watch.confirm(), Error, "is lost");
  timers.tick(250);
  await quiet();
  server.isDown = false;
  timers.tick(250);
  await quiet();
  assertEquals(reported, [undefined, undefined]);
  await watch.confirm();

  // The close of a connection that was replaced before.
  server.listeners[0]?.lose();
  await quiet();
  await watch.confirm();
  assertEquals([reported.length, server.listeners.map(({ isClosed }) => isClosed)], [2, [true, false]]);
  await watch[Symbol.asyncDispose]();
});

Deno.test("PostgresWatch replaces a connection that does not answer", async () => {
  using timers = new FakeTimers();
  const server = new FakeServer();
  const { watch, reported } = await opened(server);
  server.swallows = true;
  const confirming = assertRejects(() => watch.confirm(), Error, "did not arrive");
  await quiet();
  server.swallows = false;
  timers.tick(5000);
  await confirming;
  await quiet();
  assertEquals([reported, server.listeners.map(({ isClosed }) => isClosed)], [[undefined, undefined], [true, false]]);
  await watch[Symbol.asyncDispose]();
});

Deno.test("PostgresStore.watch() says what it needs", async () => {
  const sql = {
    unsafe: () => ({ raw: () => Promise.resolve(Object.assign([[new TextEncoder().encode("s_1")]], { count: 1 })) }),
  };
  const error = await assertRejects(() => new PostgresStore(sql).watch(() => {}), SessionStoreError, "Cannot watch");
  assert(error.message.includes("the client does not expose its options"), error.message);
  await using store = new PostgresStore("postgres://ada@127.0.0.1:1/app");
  await assertRejects(
    () => store.watch(() => {}),
    SessionStoreError,
    "Cannot watch the sessions in PostgreSQL at 127.0.0.1:1",
  );
});
