/** Real PostgreSQL servers: a running one, and ones that a test starts. */
import postgres from "npm:postgres@3.4.9";
import { freePort } from "./_port.ts";
import { isThere } from "./_require.ts";

/** A database of the running server. */
export const POSTGRES_URL = Deno.env.get("TEST_POSTGRES_URL") ?? "postgres://postgres@127.0.0.1:5432/test";

/**
 * The prefix of a command that runs as another user: PostgreSQL and PgBouncer do not run as root.
 */
const AS_POSTGRES = Deno.uid() === 0 ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] : [];

/** Returns whether the running server can be reached; see {@linkcode isThere}. */
export function postgresIsThere(tests: string): Promise<boolean> {
  return isThere("postgres", tests, async () => {
    await using sql = client(POSTGRES_URL);
    await sql.query("SELECT 1").catch((error) => {
      const { host } = new URL(POSTGRES_URL);
      throw new Error(`no PostgreSQL at ${host} (TEST_POSTGRES_URL): ${error.message || error.code}`);
    });
  });
}

/** Returns whether a test can start servers; see {@linkcode isThere}. */
export function postgresCanBeStarted(tests: string): Promise<boolean> {
  return isThere("postgres", tests, async () => {
    await run([`${await binaryDirectory()}initdb`, "--version"]).catch(() => {
      throw new Error("no initdb of PostgreSQL");
    });
  });
}

/** Returns the address on which the server of a URL listens. */
export function addressOf(url: string): { hostname: string; port: number } {
  const { hostname, port } = new URL(url);
  return { hostname, port: Number(port || 5432) };
}

/** Returns the URL of the same database through a proxy. */
export function through(proxy: { port: number }, url: string): string {
  const other = new URL(url);
  other.host = `127.0.0.1:${proxy.port}`;
  return other.href;
}

/** A client for the tests themselves. */
export interface Client extends AsyncDisposable {
  /** Runs statements and returns the rows of the last one. */
  query(text: string): Promise<Record<string, unknown>[]>;
}

/** Creates a client, which connects at its first query. */
export function client(url: string): Client {
  const sql = postgres(url, { max: 1, connect_timeout: 5, backoff: () => 0, fetch_types: false, onnotice: () => {} });
  return {
    query: (text) => sql.unsafe(text),
    [Symbol.asyncDispose]: () => sql.end({ timeout: 1 }),
  };
}

/** A schema for one test, dropped when it is disposed. */
export interface Schema extends AsyncDisposable {
  /** Returns the qualified name of a table. */
  table(name?: string): string;
}

/** Creates a schema with a random name. */
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

/** A server that a test started, stopped and removed when it is disposed. */
export interface OwnServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Starts the server and waits until it responds. */
  start(): Promise<void>;
  /**
   * Stops the server. SIGKILL ends its main process, SIGQUIT all its processes immediately. Both
   * lose what is not on the disk. With SIGTERM, the server refuses new connections and waits until
   * the open ones are closed.
   */
  stop(signal: "SIGKILL" | "SIGQUIT" | "SIGTERM"): Promise<void>;
  /** Sends a signal to every process that serves a connection. */
  signalBackends(signal: "SIGSTOP" | "SIGCONT"): Promise<void>;
  /** Sends a signal to every process of the server. */
  signalAll(signal: "SIGSTOP" | "SIGCONT"): Promise<void>;
}

/**
 * Creates a server with an empty database, and starts it.
 *
 * @param certificates a directory with `key.pem` and `cert.pem`, to enable TLS
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
    // PostgreSQL accepts only a key that nobody else can read.
    await Deno.copyFile(`${certificates}/key.pem`, `${directory}/key.pem`);
    await Deno.chmod(`${directory}/key.pem`, 0o600);
    if (AS_POSTGRES.length > 0) await run(["chown", "postgres:postgres", `${directory}/key.pem`]);
  }
  const port = freePort();
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  let main: Deno.ChildProcess | undefined;

  /** Returns the pids of the server's processes, except for the main one. */
  const children = async (): Promise<number[]> =>
    (await Deno.readTextFile(`/proc/${main?.pid}/task/${main?.pid}/children`)).trim().split(" ").map(Number);

  const server: OwnServer = {
    url,
    port,
    async start(): Promise<void> {
      for (let attempt = 0;; attempt++) {
        main ??= spawn([
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
          const ended = await Promise.race([main.status, sleep(50)]);
          // After a SIGKILL the other processes have to end first.
          if (ended !== undefined) main = undefined;
        }
      }
    },
    async stop(signal): Promise<void> {
      main?.kill(signal);
      await main?.status;
      main = undefined;
    },
    async signalBackends(signal): Promise<void> {
      for (const pid of await children()) {
        const name = await Deno.readTextFile(`/proc/${pid}/cmdline`);
        if (name.includes("127.0.0.1")) Deno.kill(pid, signal);
      }
    },
    async signalAll(signal): Promise<void> {
      main?.kill(signal);
      for (const pid of await children()) Deno.kill(pid, signal);
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

/** Returns the directory of the newest server on Debian, or "" for the PATH elsewhere. */
async function binaryDirectory(): Promise<string> {
  const versions: string[] = [];
  try {
    for await (const { name } of Deno.readDir("/usr/lib/postgresql")) versions.push(name);
  } catch {
    return "";
  }
  return `/usr/lib/postgresql/${versions.sort((a, b) => Number(b) - Number(a))[0]}/bin/`;
}

export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Starts a program without its output. */
export function spawn([program = "", ...args]: string[]): Deno.ChildProcess {
  return new Deno.Command(program, { args, stdin: "null", stdout: "null", stderr: "null" }).spawn();
}

async function run([program = "", ...args]: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args, stdout: "null" }).output();
  if (!success) throw new Error(`${program} failed: ${new TextDecoder().decode(stderr)}`);
}

/**
 * Starts a PgBouncer in transaction mode. Its clients share two connections to the server, so that
 * none keeps one.
 */
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
