/** SIGTERM while a request is under way, as docs/deployment.md describes it. */
import { SqliteStore } from "@alosaur/session/sqlite";
import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { Lines } from "../helpers/lines.ts";
import { read, SECRET, start } from "../helpers/request.ts";

const BODY = JSON.stringify({ text: "a long note" });

/** An application in a process of its own, with one request under way. */
interface Stoppable extends AsyncDisposable {
  process: Deno.ChildProcess;
  /** The path of the store's file. */
  file: string;
  /** The connection of the request, half of whose body is sent. */
  request: Deno.TcpConn;
  port: number;
  output: Lines;
  errors: Lines;
}

/** How long a stop waits, in seconds, and what the store does when it is closed. */
interface Stop {
  requests: number;
  store?: number;
  closing?: "closes" | "rejects" | "hangs";
}

/** Starts the application and sends the first half of a request. */
async function startWithRequest({ requests, store = 60, closing = "closes" }: Stop): Promise<Stoppable> {
  const directory = await Deno.makeTempDir({ prefix: "sessions_" });
  const file = `${directory}/sessions.db`;
  const config = Deno.env.get("ALOSAUR_CONFIG") ?? new URL("../../deno.json", import.meta.url).pathname;
  const process = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "--quiet", "--config", config],
      ...[`${import.meta.dirname}/_stoppable_app.ts`, file, `${requests}`, `${store}`, closing],
    ],
    env: { PORT: "0", SESSION_SECRET: SECRET },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const [output, errors] = [new Lines(process.stdout), new Lines(process.stderr)];
  const port = Number((await output.find(/^Listening on http:\/\/localhost:(\d+)\/$/))[1]);
  const request = await sendHalf(port);
  await output.find(/^a request has begun$/);
  return {
    process,
    file,
    request,
    port,
    output,
    errors,
    async [Symbol.asyncDispose](): Promise<void> {
      // Each fails if the other side has done so already.
      for (const close of [() => request.close(), () => process.kill("SIGKILL")]) {
        try {
          close();
        } catch (error) {
          if (!(error instanceof Deno.errors.BadResource || error instanceof TypeError)) throw error;
        }
      }
      await process.status;
      await output.end();
      await errors.end();
      await Deno.remove(directory, { recursive: true });
    },
  };
}

/** Sends a request with the first half of its body. */
async function sendHalf(port: number): Promise<Deno.TcpConn> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const head =
    `POST /note HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${BODY.length}`;
  await send(connection, `${head}\r\n\r\n${BODY.slice(0, 5)}`);
  return connection;
}

/** Reads a response until the server closes the connection, and returns its cookie. */
async function cookieOf(connection: Deno.Conn): Promise<string> {
  const response = await new Response(connection.readable).text();
  assertMatch(response, /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\nstored$/);
  const cookie = /\r\nset-cookie: (sid=[^;]+)/i.exec(response)?.[1];
  assert(cookie !== undefined, response);
  return cookie;
}

async function send(connection: Deno.Conn, text: string): Promise<void> {
  const writer = connection.writable.getWriter();
  await writer.write(new TextEncoder().encode(text));
  writer.releaseLock();
}

/** Returns whether the store was closed: SQLite then removes its log. */
async function isClosed(file: string): Promise<boolean> {
  return await Deno.stat(`${file}-wal`).then(() => false, () => true);
}

Deno.test("on SIGTERM an application finishes its requests, closes the store and exits with code 0", async () => {
  await using app = await startWithRequest({ requests: 60 });
  assertEquals(await isClosed(app.file), false);
  app.process.kill("SIGTERM");
  await app.output.find(/^the signal has arrived$/);
  // A load balancer may send requests for some time longer.
  const other = await fetch(`http://localhost:${app.port}/note`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: BODY,
  });
  assertEquals([other.status, await other.text()], [200, "stored"]);

  await send(app.request, BODY.slice(5));
  const cookie = await cookieOf(app.request);
  assertEquals((await app.process.status).code, 0);
  assertEquals(await isClosed(app.file), true);

  await using store = new SqliteStore(app.file);
  assertEquals(await read(start({}, store), cookie, "note"), JSON.parse(BODY));
});

Deno.test("on SIGTERM an application also finishes a request that begins after the signal", async () => {
  await using app = await startWithRequest({ requests: 60 });
  app.process.kill("SIGTERM");
  await app.output.find(/^the signal has arrived$/);
  const later = await sendHalf(app.port);
  await app.output.find(/^a request has begun$/);
  await send(app.request, BODY.slice(5));
  assert(await app.request.read(new Uint8Array(4096)) !== null);

  await send(later, BODY.slice(5));
  const cookie = await cookieOf(later);
  assertEquals((await app.process.status).code, 0);
  await using store = new SqliteStore(app.file);
  assertEquals(await read(start({}, store), cookie, "note"), JSON.parse(BODY));
});

for (
  const [closing, store, reason] of [["rejects", 60, "the disk is full"], [
    "hangs",
    0.05,
    "it takes more than 0.05 s",
  ]] as const
) {
  Deno.test(`on SIGTERM an application whose store ${closing} when it is closed says so and exits with code 1`, async () => {
    await using app = await startWithRequest({ requests: 0.05, store, closing });
    app.process.kill("SIGTERM");
    assertEquals((await app.errors.find(/^Cannot close the store: (.*)$/))[1], reason);
    assertEquals((await app.process.status).code, 1);
  });
}

Deno.test("on SIGTERM an application cuts off a request that takes too long, closes the store and exits with code 0", async () => {
  await using app = await startWithRequest({ requests: 0.05 });
  app.process.kill("SIGTERM");
  assertEquals((await app.process.status).code, 0);
  assertEquals(await isClosed(app.file), true);
  assertEquals(await new Response(app.request.readable).text().catch(() => ""), "");
});

Deno.test("a second SIGTERM ends an application immediately", async () => {
  await using app = await startWithRequest({ requests: 60 });
  app.process.kill("SIGTERM");
  await app.output.find(/^the signal has arrived$/);
  app.process.kill("SIGTERM");
  assertEquals((await app.process.status).signal, "SIGTERM");
});
