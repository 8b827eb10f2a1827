/** Real PostgreSQL servers: the one that is there, and ones of a test's own. */
import postgres from "npm:postgres@3.4.9";
import { freePort } from "./_port.ts";
import { isThere } from "./_require.ts";

/** The server that is there, and a database of it. */
export const POSTGRES_URL = Deno.env.get("TEST_POSTGRES_URL") ?? "postgres://postgres@127.0.0.1:5432/test";

/** PostgreSQL and PgBouncer refuse to run as root. */
const AS_POSTGRES = Deno.uid() === 0 ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] : [];

/** Tells whether that server is there; see {@linkcode isThere}. */
export function postgresIsThere(tests: string): Promise<boolean> {
  return isThere("postgres", tests, async () => {
    await using sql = client(POSTGRES_URL);
    await sql.query("SELECT 1").catch((error) => {
      const { host } = new URL(POSTGRES_URL);
      throw new Error(`no PostgreSQL at ${host} (TEST_POSTGRES_URL): ${error.message || error.code}`);
    });
  });
}

/** Tells whether a test can start servers of its own. */
export function postgresCanBeStarted(tests: string): Promise<boolean> {
  return isThere("postgres", tests, async () => {
    await run([`${await binaryDirectory()}initdb`, "--version"]).catch(() => {
      throw new Error("no initdb of PostgreSQL");
    });
  });
}

/** Where a URL's server listens. */
export function addressOf(url: string): { hostname: string; port: number } {
  const { hostname, port } = new URL(url);
  return { hostname, port: Number(port || 5432) };
}

/** A URL that leads to the same database through a proxy. */
export function through(proxy: { port: number }, url: string): string {
  const other = new URL(url);
  other.host = `127.0.0.1:${proxy.port}`;
  return other.href;
}

/** A client of the tests, beside those of the stores. */
export interface Client extends AsyncDisposable {
  /** Gives the rows. */
  query(text: string): Promise<Record<string, unknown>[]>;
}

/** Connects when it is asked for the first time. */
export function client(url: string): Client {
  const sql = postgres(url, { max: 1, connect_timeout: 5, backoff: () => 0, fetch_types: false, onnotice: () => {} });
  return {
    query: (text) => sql.unsafe(text),
    [Symbol.asyncDispose]: () => sql.end({ timeout: 1 }),
  };
}

/** A schema of a test's own, dropped in the end. */
export interface Schema extends AsyncDisposable {
  /** The name of a table in it. */
  table(name?: string): string;
}

/** Makes a schema. */
export async function ownSchema(url = POSTGRES_URL): Promise<Schema> {
  const name = `test_${crypto.randomUUID().replaceAll("-", "_")}`;
  await using sql = client(url);
  await sql.query(`CREATE SCHEMA ${name}`);
  return {
    table: (table = "sessions") => `${name}.${table}`,
    async [Symbol.asyncDispose](): Promise<void> {
      await using sql = client(url);
      await sql.query(`SET client_min_messages = warning; DROP SCHEMA ${name} CASCADE`);
    },
  };
}

/** A server of a test's own. */
export interface OwnServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Starts it again, and waits until it answers. */
  start(): Promise<void>;
  /** Sends it a signal. SIGKILL ends the parent of its processes, SIGQUIT all of them at once; both lose what is not on the disk. */
  stop(signal: "SIGKILL" | "SIGQUIT"): Promise<void>;
  /** Sends a signal to the processes that serve connections. */
  signalBackends(signal: "SIGSTOP" | "SIGCONT"): Promise<void>;
}

/**
 * Makes a server with an empty database, and starts it.
 *
 * @param certificates a directory with a `key.pem` and a `cert.pem`, for TLS
 */
export async function ownServer(certificates?: string): Promise<OwnServer> {
  const directory = await Deno.makeTempDir({ prefix: "session-postgres-" });
  if (AS_POSTGRES.length > 0) await run(["chown", "postgres:postgres", directory]);
  const binaries = await binaryDirectory();
  const data = `${directory}/data`;
  await run([...AS_POSTGRES, `${binaries}initdb`, "-A", "trust", "-U", "postgres", "-N", "-D", data]);
  const settings: string[] = [];
  if (certificates !== undefined) {
    settings.push("ssl=on", `ssl_cert_file=${certificates}/cert.pem`, `ssl_key_file=${directory}/key.pem`);
    // It takes a key that is its own, and nobody else's to read.
    await Deno.copyFile(`${certificates}/key.pem`, `${directory}/key.pem`);
    await Deno.chmod(`${directory}/key.pem`, 0o600);
    if (AS_POSTGRES.length > 0) await run(["chown", "postgres:postgres", `${directory}/key.pem`]);
  }
  const port = freePort();
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  let parent: Deno.ChildProcess | undefined;

  const server: OwnServer = {
    url,
    port,
    async start(): Promise<void> {
      for (let attempt = 0;; attempt++) {
        parent ??= spawn([
          ...AS_POSTGRES,
          `${binaries}postgres`,
          "-D",
          data,
          "-p",
          `${port}`,
          "-h",
          "127.0.0.1",
          "-k",
          "",
          ...settings.flatMap((setting) => ["-c", setting]),
        ]);
        try {
          await using sql = client(url);
          await sql.query("SELECT 1");
          return;
        } catch (error) {
          if (attempt === 100) throw error;
          const ended = await Promise.race([parent.status, sleep(50)]);
          // After a SIGKILL, the processes that it left behind have to end first.
          if (ended !== undefined) parent = undefined;
        }
      }
    },
    async stop(signal): Promise<void> {
      parent?.kill(signal);
      await parent?.status;
      parent = undefined;
    },
    async signalBackends(signal): Promise<void> {
      const pids = (await Deno.readTextFile(`/proc/${parent?.pid}/task/${parent?.pid}/children`)).trim().split(" ");
      for (const pid of pids) {
        const name = await Deno.readTextFile(`/proc/${pid}/cmdline`);
        if (name.includes("127.0.0.1")) Deno.kill(Number(pid), signal);
      }
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await server.stop("SIGQUIT");
      await Deno.remove(directory, { recursive: true });
    },
  };
  try {
    await server.start();
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
  return server;
}

/** Where Debian keeps the servers of all versions; elsewhere they are on the PATH. */
async function binaryDirectory(): Promise<string> {
  const versions: string[] = [];
  try {
    for await (const { name } of Deno.readDir("/usr/lib/postgresql")) versions.push(name);
  } catch {
    return "";
  }
  return `/usr/lib/postgresql/${versions.sort((a, b) => Number(b) - Number(a))[0]}/bin/`;
}

/** Waits. */
export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Starts a program, silently. */
export function spawn([program = "", ...args]: string[]): Deno.ChildProcess {
  return new Deno.Command(program, { args, stdin: "null", stdout: "null", stderr: "null" }).spawn();
}

async function run([program = "", ...args]: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args, stdout: "null" }).output();
  if (!success) throw new Error(`${program} failed: ${new TextDecoder().decode(stderr)}`);
}

/** Starts a PgBouncer in transaction mode before a server. With two connections for all its clients, no client keeps one. */
export async function pooler(url: string): Promise<{ url: string } & AsyncDisposable> {
  const directory = await Deno.makeTempDir({ prefix: "session-pgbouncer-" });
  const { hostname, username, password, pathname } = new URL(url);
  const { port: serverPort } = addressOf(url);
  const database = pathname.slice(1);
  const port = freePort();
  const secret = password === "" ? "" : `password='${decodeURIComponent(password)}'`;
  await Deno.writeTextFile(
    `${directory}/pgbouncer.ini`,
    `[databases]
${database} = host=${hostname} port=${serverPort} dbname=${database} user=${username} ${secret}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
`,
  );
  // PgBouncer refuses to run as root, too.
  if (AS_POSTGRES.length > 0) await run(["chown", "-R", "postgres:postgres", directory]);
  const child = spawn([...AS_POSTGRES, "/usr/sbin/pgbouncer", `${directory}/pgbouncer.ini`]);
  const pooled = new URL(url);
  pooled.host = `127.0.0.1:${port}`;
  await using sql = client(`${pooled.href}?prepare=false`);
  for (let attempt = 0;; attempt++) {
    try {
      await sql.query("SELECT 1");
      break;
    } catch (error) {
      if (attempt === 100) throw error;
      await sleep(20);
    }
  }
  return {
    url: pooled.href,
    async [Symbol.asyncDispose](): Promise<void> {
      child.kill("SIGKILL");
      await child.status;
      await Deno.remove(directory, { recursive: true });
    },
  };
}
