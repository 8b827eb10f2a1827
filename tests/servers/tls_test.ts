/** Sessions over TLS, on servers whose certificate was issued by the test's own authority. */
import { createClient } from "npm:redis@6.3.1";
import { assert, assertEquals, assertMatch, assertRejects } from "../helpers/assert.ts";
import { useStore } from "../helpers/permissions.ts";
import { PostgresStore } from "@alosaur/session/postgres";
import { RedisStore } from "@alosaur/session/redis";
import { client, ownServer, postgresCanBeStarted } from "./_postgres.ts";
import { freePort } from "./_port.ts";
import { type ServerProcess, startProcess } from "./_process.ts";
import { isThere } from "./_require.ts";
import { findRedisServer, startRedis } from "./_redis.ts";

/** Creates the authority's certificate, and a server's key and certificate that it has signed. */
const CERTIFICATES = `
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=a test" -keyout ca.key -out ca.pem
  openssl req -newkey rsa:2048 -nodes -subj "/CN=localhost" -keyout key.pem -out request.pem
  echo "subjectAltName=DNS:localhost" > names
  openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out cert.pem`;

/**
 * Creates a server's key and certificate, in a directory that a server under another user can read.
 */
async function createCertificates(): Promise<{ directory: string } & AsyncDisposable> {
  const directory = await Deno.makeTempDir({ prefix: "session-tls-" });
  await Deno.chmod(directory, 0o755);
  const { success, stderr } = await new Deno.Command("sh", { args: ["-ec", CERTIFICATES], cwd: directory }).output();
  if (!success) throw new Error(`openssl failed: ${new TextDecoder().decode(stderr)}`);
  return { directory, [Symbol.asyncDispose]: () => Deno.remove(directory, { recursive: true }) };
}

/** Runs a function whose child processes also trust the authority, as with `deno run --cert`. */
async function trusting<T>(directory: string, run: () => T | Promise<T>): Promise<T> {
  Deno.env.set("DENO_CERT", `${directory}/ca.pem`);
  try {
    return await run();
  } finally {
    Deno.env.delete("DENO_CERT");
  }
}

/** Checks that TLS needs no other permission than a connection without it. */
async function expectNetSuffices(directory: string, url: string, imports: string, store: string): Promise<void> {
  const flag = `--allow-net=${new URL(url).host}`;
  const { success, errors } = await trusting(directory, () => useStore([flag], imports, store));
  assert(success, errors);
}

/** Checks that this process, which does not trust the authority, refuses the server. */
async function expectRefused(store: RedisStore | PostgresStore): Promise<void> {
  const error = await assertRejects(() => store.init(), Error);
  assertMatch(String(error) + String(error.cause), /certificate/);
}

async function findOpenssl(): Promise<void> {
  await new Deno.Command("openssl", { args: ["version"], stdout: "null" }).output().catch((cause) => {
    throw new Error("no openssl on the PATH", { cause });
  });
}

const withRedis = await isThere("redis", "the tests of RedisStore over TLS", async () => {
  await findRedisServer();
  await findOpenssl();
});

if (withRedis) {
  Deno.test("RedisStore keeps sessions over TLS and refuses a server with an untrusted certificate", async () => {
    await using tls = await createCertificates();
    const port = freePort();
    await using _redis = await startRedis({
      "tls-port": String(port),
      "tls-cert-file": `${tls.directory}/cert.pem`,
      "tls-key-file": `${tls.directory}/key.pem`,
      "tls-auth-clients": "no",
    });
    const url = `rediss://localhost:${port}`;
    {
      const start = (): ServerProcess => startProcess("@alosaur/session/redis", "RedisStore", url);
      await using process = await trusting(tls.directory, start);
      assertEquals(await process.tell("user", await process.tell("signUp")), "ada");
    }
    const imports = `import { RedisStore } from "@alosaur/session/redis";`;
    await expectNetSuffices(tls.directory, url, imports, `new RedisStore("${url}")`);
    await using store = new RedisStore(url);
    await expectRefused(store);

    // The connection of a watch has the options of the client.
    const ca = await Deno.readTextFile(`${tls.directory}/ca.pem`);
    const client = createClient({ url, socket: { tls: true, ca } });
    {
      await using watched = new RedisStore(client);
      await watched.init();
      await using watch = await watched.watch(() => {});
      await watch.confirm();
    }
    await client.close();
  });
}

const withPostgres = await postgresCanBeStarted("the tests of PostgresStore over TLS") &&
  await isThere("postgres", "the tests of PostgresStore over TLS", findOpenssl);

if (withPostgres) {
  Deno.test("PostgresStore keeps sessions over TLS and refuses a server with an untrusted certificate", async () => {
    await using tls = await createCertificates();
    await using server = await ownServer(tls.directory);
    const url = `postgres://postgres@localhost:${server.port}/postgres`;
    {
      const start = (): ServerProcess =>
        startProcess("@alosaur/session/postgres", "PostgresStore", `${url}?sslmode=verify-full`);
      await using process = await trusting(tls.directory, start);
      assertEquals(await process.tell("user", await process.tell("signUp")), "ada");
      await using sql = client(server.url);
      const [connections] = await sql.query("SELECT count(*)::int AS secure FROM pg_stat_ssl WHERE ssl");
      assertEquals(Number(connections?.secure) > 0, true);
    }
    const imports = `import { PostgresStore } from "@alosaur/session/postgres";`;
    await expectNetSuffices(tls.directory, url, imports, `new PostgresStore("${url}?sslmode=verify-full")`);
    await using store = new PostgresStore(`${url}?sslmode=verify-full`);
    await expectRefused(store);
    // The connection of a watch has the options of the URL.
    await using trusted = new PostgresStore(`${url}?sslmode=require`);
    await trusted.init();
    await using watch = await trusted.watch(() => {});
    await watch.confirm();
    await using sql = client(server.url);
    const [listening] = await sql.query(
      "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE query LIKE 'LISTEN sessions_%'",
    );
    assertEquals(listening, { ssl: true });
  });
}
