/**
 * Redis servers for tests: a shared one, and others that a test starts, breaks and stops.
 *
 * @module
 */
import { RedisStore } from "@alosaur/session/redis";
import { freePort } from "./_port.ts";

/** The URL of a Redis that others may use too. Tests use prefixes of their own on it. */
export const REDIS_URL = Deno.env.get("TEST_REDIS_URL") ?? "redis://127.0.0.1:6379";

/** A Redis server that a test has started. */
export interface OwnRedis extends AsyncDisposable {
  /** The port on which it listens, on 127.0.0.1. */
  readonly port: number;
  readonly url: string;
  /** Sends a signal: SIGKILL crashes the server, SIGSTOP makes it hang. */
  signal(name: Deno.Signal): void;
  /** Starts the server again with its persisted data, and waits until it answers. */
  restart(): Promise<void>;
  /** Runs a command with redis-cli and returns its output. */
  cli(...args: string[]): Promise<string>;
}

/** A cluster of three masters, each with a replica. */
export interface OwnCluster extends AsyncDisposable {
  readonly nodes: readonly OwnRedis[];
  /** Returns the nodes that are currently masters. */
  masters(): Promise<OwnRedis[]>;
}

// Each line on the standard input of this script starts the server. When the input ends, because
// the test has finished or its process has died, the script removes the server and its files.
const SUPERVISOR = `
  trap '' INT TERM HUP
  dir=$1; shift
  while read -r _; do
    redis-server "$@" >/dev/null 2>&1 &
    pid=$!
    echo $pid
  done
  kill -KILL $pid 2>/dev/null
  wait
  rm -rf "$dir"`;

/** Rejects if the shared Redis cannot be reached. */
export async function findRedis(): Promise<void> {
  await using store = new RedisStore(REDIS_URL);
  await store.init().catch((cause) => {
    throw new Error(`no Redis at ${new URL(REDIS_URL).host} (TEST_REDIS_URL names another)`, { cause });
  });
}

/** Rejects if no Redis server can be started. */
export async function findRedisServer(): Promise<void> {
  await new Deno.Command("redis-server", { args: ["--version"], stdout: "null" }).output().catch((cause) => {
    throw new Error("no redis-server on the PATH", { cause });
  });
}

/**
 * Starts a Redis server on a free port of 127.0.0.1, with its files in a temporary directory.
 *
 * @param settings the settings of redis.conf, such as `{ appendonly: "yes" }`
 */
export async function startRedis(settings: Record<string, string> = {}): Promise<OwnRedis> {
  const port = freePort();
  const dir = await Deno.makeTempDir({ prefix: "session_redis_" });
  const all = { port, dir, bind: "127.0.0.1", save: "", ...settings };
  const supervisor = new Deno.Command("sh", {
    args: [
      "-c",
      SUPERVISOR,
      "supervisor",
      dir,
      ...Object.entries(all).flatMap(([name, value]) => [`--${name}`, String(value)]),
    ],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const input = supervisor.stdin.getWriter();
  const pids = supervisor.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let pid = 0;

  const cli = async (...args: string[]): Promise<string> => {
    const { stdout, stderr } = await new Deno.Command("redis-cli", { args: ["-p", String(port), ...args] }).output();
    return new TextDecoder().decode(stdout).trim() || new TextDecoder().decode(stderr).trim();
  };
  const restart = async (): Promise<void> => {
    await input.write(new TextEncoder().encode("start\n"));
    pid = Number((await pids.read()).value);
    await until("Redis answers", async () => await cli("PING") === "PONG");
  };
  const server: OwnRedis = {
    port,
    url: `redis://127.0.0.1:${port}`,
    signal: (name) => Deno.kill(pid, name),
    restart,
    cli,
    async [Symbol.asyncDispose](): Promise<void> {
      await input.close();
      await pids.cancel();
      await supervisor.status;
    },
  };
  try {
    await restart();
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
  return server;
}

/** Starts a Redis Cluster, which replaces a master after half a second without an answer. */
export async function startCluster(): Promise<OwnCluster> {
  await using nodes = new AsyncDisposableStack();
  const start = async (): Promise<OwnRedis> =>
    nodes.use(
      await startRedis({
        "cluster-enabled": "yes",
        "cluster-node-timeout": "500",
        "cluster-port": String(freePort()),
        "repl-diskless-sync-delay": "0",
      }),
    );
  const started = await Promise.all([start(), start(), start(), start(), start(), start()]);
  const addresses = started.map(({ port }) => `127.0.0.1:${port}`);
  const [first] = started;
  const created = await first.cli("--cluster", "create", ...addresses, "--cluster-replicas", "1", "--cluster-yes");
  if (!created.includes("All 16384 slots covered")) throw new Error(`Cannot create the cluster: ${created}`);
  const masters = async (): Promise<OwnRedis[]> => {
    const roles = await Promise.all(started.map((node) => node.cli("ROLE")));
    return started.filter((_, i) => roles[i]?.startsWith("master"));
  };
  await until("every node sees the cluster, and every replica its master", async () => {
    const states = await Promise.all(started.map((node) => node.cli("CLUSTER", "INFO")));
    const links = await Promise.all(started.map((node) => node.cli("INFO", "replication")));
    return states.every((state) => state.includes("cluster_state:ok")) &&
      links.filter((link) => link.includes("master_link_status:up")).length === 3;
  });
  const owned = nodes.move();
  return { nodes: started, masters, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Waits until a condition holds. Rejects after 20 seconds. */
export async function until(condition: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  const start = performance.now();
  while (!await holds()) {
    if (performance.now() - start > 20_000) throw new Error(`Timed out after 20 seconds waiting until ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
