/** SIGTERM while a request is under way, as docs/OPERATIONS.md describes it. */
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
}

/** Starts the application and sends the first half of a request. */
async function startWithRequest(graceSeconds: number): Promise<Stoppable> {
  const directory = await Deno.makeTempDir({ prefix: "sessions_" });
  const file = `${directory}/sessions.db`;
  const config = Deno.env.get("ALOSAUR_CONFIG") ?? new URL("../../deno.json", import.meta.url).pathname;
  const process = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "--quiet", "--config", config],
      ...[`${import.meta.dirname}/_stoppable_app.ts`, file, String(graceSeconds)],
    ],
    env: { PORT: "0", SESSION_SECRET: SECRET },
    stdout: "piped",
    // Deno prints there that a request was cut off.
    stderr: "null",
  }).spawn();
  const output = new Lines(process.stdout);
  const port = Number((await output.find(/^Listening on http:\/\/localhost:(\d+)\/$/))[1]);
  const request = await Deno.connect({ hostname: "127.0.0.1", port });
  const head =
    `POST /note HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${BODY.length}`;
  await send(request, `${head}\r\n\r\n${BODY.slice(0, 5)}`);
  await output.find(/^a request has begun$/);
  return {
    process,
    file,
    request,
    port,
    output,
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
      await Deno.remove(directory, { recursive: true });
    },
  };
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
  await using app = await startWithRequest(10);
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
  const response = await new Response(app.request.readable).text();
  assertMatch(response, /^HTTP\/1\.1 200 OK\r\n/);
  assertMatch(response, /\r\n\r\nstored$/);
  const cookie = /\r\nset-cookie: (sid=[^;]+)/i.exec(response)?.[1];
  assert(cookie !== undefined, response);
  assertEquals((await app.process.status).code, 0);
  assertEquals(await isClosed(app.file), true);

  await using store = new SqliteStore(app.file);
  assertEquals(await read(start({}, store), cookie, "note"), JSON.parse(BODY));
});

Deno.test("on SIGTERM an application cuts off a request that takes too long, closes the store and exits with code 0", async () => {
  await using app = await startWithRequest(0.05);
  app.process.kill("SIGTERM");
  assertEquals((await app.process.status).code, 0);
  assertEquals(await isClosed(app.file), true);
  assertEquals(await new Response(app.request.readable).text().catch(() => ""), "");
});

Deno.test("a second SIGTERM ends an application immediately", async () => {
  await using app = await startWithRequest(60);
  app.process.kill("SIGTERM");
  await app.output.find(/^the signal has arrived$/);
  app.process.kill("SIGTERM");
  assertEquals((await app.process.status).signal, "SIGTERM");
});
