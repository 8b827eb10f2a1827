/**
 * A connection to Redis, through the application's client or a client of the store's own.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { createClient, type RedisClientOptions, type RedisClientType } from "npm:redis@6.3.1";
import { describeType } from "../util/describe_value.ts";
import { noop } from "../util/maybe_promise.ts";
import { withTimeout } from "../util/timeout.ts";
import { addressOf, answerWithin, type Server, UNKNOWN_SERVER } from "./_open_error.ts";
import { ServerClock } from "./_server_clock.ts";

/**
 * The members that {@linkcode RedisStore} requires of every client. Clients of `npm:redis` 5 and 6
 * have them.
 */
export interface RedisScripting {
  /** Whether the client is connected or connecting. */
  readonly isOpen: boolean;
  /** Connects the client. */
  connect(): Promise<unknown>;
  /** Returns the number of listeners to an event. */
  listenerCount(event: "error"): number;
  /** Adds a listener to an event. */
  on(event: "error", listener: (error: unknown) => void): unknown;
  /** Runs a script. */
  eval(script: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>;
  /** Runs a script that the server has cached, by its SHA-1 digest. */
  evalSha(sha1: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>;
}

/**
 * A client of one Redis server, or a pool of them, as returned by `createClient()` and
 * `createClientPool()` of `npm:redis`.
 */
export interface RedisClientLike extends RedisScripting {
  /** Sends a command unchanged. */
  sendCommand(args: string[]): Promise<unknown>;
}

/** A client of a Redis Cluster, as returned by `createCluster()` of `npm:redis`. */
export interface RedisClusterLike extends RedisScripting {
  /** The current masters. */
  readonly masters: readonly unknown[];
  /** Returns the client of a master. */
  nodeClient(master: unknown): Promise<RedisClientLike>;
}

/** The longest delay before another attempt to connect, in milliseconds. */
const MAX_RECONNECT_DELAY_MS = 250;

/**
 * How long a connection may leave every command unanswered before it is replaced, in milliseconds.
 */
export const RESPONSE_TIMEOUT_MS = 5000;

/** Disables a timeout of npm:redis 6 that creates an `AbortSignal` for each command, for five seconds. */
export const NO_QUEUE_TIMEOUT: { timeout: undefined } = { timeout: undefined };

/** How many keys a script is run on that runs on all keys. Redis does nothing else meanwhile. */
const KEYS_PER_COMMAND = 250;

/** A script, and its digest. Redis caches the script by this digest. */
export interface Script {
  readonly sha: string;
  readonly text: string;
}

/** Creates a script. */
export function script(text: string): Script {
  return { text, sha: createHash("sha1").update(text).digest("hex") };
}

/**
 * Returns the key as the server sees it, and its time in microseconds. A client may add a prefix to
 * every key.
 */
const ECHO_KEY = script(`
  local time = redis.call('TIME')
  return {KEYS[1], time[1] * 1000000 + time[2]}`);

/** Runs scripts on the application's client, or on a client of its own. */
export class RedisConnection {
  /** Whether this is a cluster, which may keep any two keys on two nodes. */
  readonly isCluster: boolean;
  #client: RedisClientLike | RedisClusterLike;
  /** The client, if this connection has created it. */
  #ownClient: RedisClientType | undefined;
  /** The time of the first command since the own client's last answer, by `performance.now()`. */
  #unansweredSince: number | undefined;
  #reconnecting: Promise<void> | undefined;
  /** The client that will replace the own one as soon as it is connected. */
  #successor: RedisClientType | undefined;
  /** The earliest time of the next reconnection, by `performance.now()`. */
  #reconnectAt = 0;

  /**
   * The clock of Redis compared with `performance.now()`, not with `Date.now()`. So it does not
   * matter how far the two machines' clocks differ, or whether the system clock is adjusted.
   *
   * Note: each node of a cluster has its own clock. The estimate is that of the node whose clock is
   * behind the others.
   */
  readonly clock = new ServerClock();

  /**
   * Creates a connection. Does not connect yet.
   *
   * @throws {TypeError} if the argument is neither a client nor a URL of Redis
   */
  constructor(clientOrUrl: RedisClientLike | RedisClusterLike | string | URL) {
    if (typeof clientOrUrl === "string" || clientOrUrl instanceof URL) {
      this.#client = this.#ownClient = createOwnClient(checkUrl(clientOrUrl));
    } else {
      if (typeof clientOrUrl?.evalSha !== "function") {
        throw new TypeError(
          `Cannot create a RedisStore: expected a client of npm:redis, or a URL; received ${describeType(clientOrUrl)}`,
        );
      }
      this.#client = clientOrUrl;
    }
    this.isCluster = "masters" in this.#client;
  }

  /**
   * The server and the user, as far as the client exposes them. A pool does not. A cluster exposes
   * its masters once it is connected, and the nodes that it was created with before.
   */
  get server(): Server {
    const client = this.#client;
    return "masters" in client ? readCluster(client) : readServer(Reflect.get(client, "options"));
  }

  /**
   * Returns the options with which the client was created, or a client of the pool, so that another
   * connection to the same server can be opened. `undefined` if the client does not expose them.
   */
  async clientOptions(): Promise<RedisClientOptions | undefined> {
    const execute: unknown = Reflect.get(this.#client, "execute");
    const client: unknown = typeof execute === "function"
      ? { options: await execute.call(this.#client, ({ options }: RedisClientType) => options) }
      : this.#client;
    const options: unknown = Reflect.get(Object(client), "options");
    return typeof options === "object" && options !== null ? options : undefined;
  }

  /** Connects, and checks that the server answers a command on a key. */
  async open(key: string): Promise<void> {
    // The calls that fail report the failure, so the event is ignored. Without a listener, it would
    // throw.
    if (this.#client.listenerCount("error") === 0) this.#client.on("error", noop);
    const own = this.#ownClient;
    if (own !== undefined) {
      await answerWithin(RESPONSE_TIMEOUT_MS / 1000, firstAttempt(own).then(() => this.serverKey(key)));
      return;
    }
    if (!this.#client.isOpen) await this.#client.connect();
    await this.serverKey(key);
  }

  /**
   * Runs a script, in one round trip if the server has cached it. Runs it again on a new connection
   * of its own if the server has become a replica.
   */
  async run(script: Script, keys: string[], args: string[] = []): Promise<unknown> {
    if (this.#ownClient?.isOpen) this.#replaceIfUnresponsive(this.#ownClient);
    const own = this.#ownClient;
    try {
      return await evaluate(this.#client, script, keys, args);
    } catch (error) {
      if (own === undefined || !saysReplica(error) || !await this.#reconnect(own)) throw error;
      return await evaluate(this.#client, script, keys, args);
    } finally {
      if (this.#ownClient?.isReady) this.#unansweredSince = undefined;
    }
  }

  /**
   * Runs a script on every key with a prefix, on every master: on many keys at once, or on single
   * keys in a cluster, where they are in different slots.
   *
   * @returns the replies, and the number of characters by which the server's keys are longer
   */
  async runOnKeys(
    script: Script,
    prefix: string,
    args: string[],
  ): Promise<{ replies: unknown[]; added: number }> {
    const serverPrefix = await this.serverKey(prefix);
    const client = this.#client;
    const replies = "masters" in client
      ? await Promise.all(
        client.masters.map(async (master) =>
          await runOnMatches(await client.nodeClient(master), script, serverPrefix, args, 1)
        ),
      )
      : [await runOnMatches(client, script, serverPrefix, args, KEYS_PER_COMMAND)];
    return { replies: replies.flat(), added: serverPrefix.length - prefix.length };
  }

  /** Closes the own client immediately. Does nothing to a client of the application. */
  close(): void {
    this.#ownClient?.destroy();
    this.#successor?.destroy();
  }

  /** Returns a key as the server sees it. A client may add a prefix to every key. */
  async serverKey(key: string): Promise<string> {
    const sentAt = performance.now();
    const [serverKey, micros] = await this.run(ECHO_KEY, [key]) as [unknown, number];
    this.clock.observe(micros / 1000, sentAt);
    if (typeof serverKey === "string") return serverKey;
    throw new TypeError(
      "Cannot use this Redis client: it answers with Buffers; expected strings; remove its `typeMapping`",
    );
  }

  /**
   * Connects again, because the server has become a replica and the URL may lead to its successor
   * now. Commands keep using the old connection until then, because they can still read.
   *
   * @returns whether there is a new connection
   */
  async #reconnect(replica: RedisClientType): Promise<boolean> {
    if (this.#ownClient === replica) {
      this.#reconnecting ??= this.#replace(replica).finally(() => this.#reconnecting = undefined);
      await this.#reconnecting;
    }
    return this.#ownClient !== replica;
  }

  async #replace(replica: RedisClientType): Promise<void> {
    // The failover may take a while. Every write that is refused meanwhile would reconnect.
    const delay = this.#reconnectAt - performance.now();
    if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay));
    this.#reconnectAt = performance.now() + MAX_RECONNECT_DELAY_MS;
    // The connection may have been closed or replaced meanwhile.
    if (this.#ownClient !== replica || !replica.isOpen) return;
    const client = this.#successor = replica.duplicate().on("error", noop);
    try {
      await withTimeout(firstAttempt(client), RESPONSE_TIMEOUT_MS / 1000, () => new Error("Redis does not answer"));
      if (this.#ownClient !== replica || !replica.isOpen) throw new Error("the connection was closed or replaced");
    } catch {
      return client.destroy();
    } finally {
      this.#successor = undefined;
    }
    this.#client = this.#ownClient = client;
    // Waits for the commands that were sent.
    replica.close().catch(noop);
  }

  /**
   * Reconnects if no command was answered for too long. A machine that disappears does not close
   * its connections. Without this method, the process would wait as long as TCP retransmits, which
   * is many minutes, even after another machine has taken over the address.
   */
  #replaceIfUnresponsive(client: RedisClientType): void {
    const now = performance.now();
    this.#unansweredSince ??= now;
    if (now - this.#unansweredSince < RESPONSE_TIMEOUT_MS) return;
    this.#unansweredSince = now;
    // A new client, because this one may be about to reconnect by itself.
    client.destroy();
    this.#client = this.#ownClient = client.duplicate().on("error", noop);
    this.#ownClient.connect().catch(noop);
  }
}

function checkUrl(url: string | URL): string {
  const { protocol } = URL.parse(url) ?? {};
  if (protocol === "redis:" || protocol === "rediss:") return String(url);
  // The message leaves out the URL, which may contain a password.
  throw new TypeError("Cannot create a RedisStore: expected a URL that begins with redis:// or rediss://");
}

/** Reads the options of a client. Its own type has them; {@linkcode RedisClientLike} has not. */
function readServer(options: unknown): Server {
  if (typeof options !== "object" || options === null) return UNKNOWN_SERVER;
  const socket: unknown = Reflect.get(options, "socket");
  const url = URL.parse(textOf(options, "url"));
  const host = url?.hostname || textOf(socket, "host") || "localhost";
  const port = url?.port || textOf(socket, "port") || "6379";
  return {
    address: textOf(socket, "path") || addressOf(host, port),
    user: decodeURIComponent(url?.username ?? "") || textOf(options, "username"),
  };
}

/** Reads the nodes of a cluster. Only the first user is left out of messages. */
function readCluster(cluster: RedisClusterLike): Server {
  const masters = cluster.masters.map((master) => textOf(master, "address")).filter(Boolean);
  // The client of redis 6.3.1 keeps its options here.
  const { rootNodes = [], defaults = {} } = Object(Reflect.get(cluster, "_options"));
  const nodes: Server[] = Array.isArray(rootNodes) ? rootNodes.map(readServer) : [];
  return {
    address: (masters.length > 0 ? masters : nodes.map(({ address }) => address)).join(", "),
    user: nodes.find(({ user }) => user !== "")?.user ?? textOf(defaults, "username"),
  };
}

/** Returns a member as text; `""` if there is none. */
function textOf(object: unknown, name: string): string {
  return typeof object === "object" && object !== null ? String(Reflect.get(object, name) ?? "") : "";
}

/** Returns the delay before another attempt to connect, in milliseconds. */
export function reconnectDelay(retries: number): number {
  return Math.min(2 ** retries * 25, MAX_RECONNECT_DELAY_MS) * (0.5 + Math.random() / 2);
}

function createOwnClient(url: string): RedisClientType {
  return createClient({
    url,
    // While Redis is down, commands fail immediately instead of being queued.
    disableOfflineQueue: true,
    commandOptions: NO_QUEUE_TIMEOUT,
    socket: {
      reconnectStrategy: reconnectDelay,
    },
    // Only Redis Enterprise has these notifications, and they need the permission to read the
    // environment.
    maintNotifications: "disabled",
  });
}

/**
 * Waits until a client is connected, or its first attempt to connect has failed. The client keeps
 * trying after that.
 */
async function firstAttempt(client: RedisClientType): Promise<void> {
  if (client.isReady) return;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  client.once("ready", resolve).once("error", reject);
  if (!client.isOpen) client.connect().catch(reject);
  await promise.finally(() => client.off("ready", resolve).off("error", reject));
}

/** Returns whether a server has refused a command, and done nothing, because it is a replica. */
export function saysReplica(error: unknown): boolean {
  return error instanceof Error && /\b(READONLY|MASTERDOWN)\b/.test(error.message);
}

/** Returns whether a server has not cached a script. It has restarted, or replaces another one. */
function saysNotCached(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith("NOSCRIPT");
}

/** Runs a script, in one round trip if the server has cached it. */
export async function evaluate(
  client: RedisScripting,
  { sha, text }: Script,
  keys: string[],
  args: string[],
): Promise<unknown> {
  const options = { keys, arguments: args };
  try {
    return await client.evalSha(sha, options);
  } catch (error) {
    if (!saysNotCached(error)) throw error;
    return await client.eval(text, options);
  }
}

/**
 * Runs a script on every key with a prefix, and returns its replies. The keys are those of the
 * server, so the commands must bypass a client that adds a prefix.
 */
async function runOnMatches(
  client: RedisClientLike,
  { sha, text }: Script,
  prefix: string,
  args: string[],
  keysPerCommand: number,
): Promise<unknown[]> {
  const pattern = prefix.replace(/[\\*?[\]]/g, "\\$&") + "*";
  const runOn = async (keys: string[]): Promise<unknown> => {
    try {
      return await client.sendCommand(["EVALSHA", sha, String(keys.length), ...keys, ...args]);
    } catch (error) {
      if (!saysNotCached(error)) throw error;
      return await client.sendCommand(["EVAL", text, String(keys.length), ...keys, ...args]);
    }
  };
  const replies: unknown[] = [];
  let cursor = "0";
  do {
    const [next, keys] = await client.sendCommand(["SCAN", cursor, "MATCH", pattern, "COUNT", "1000"]) as [
      string,
      string[],
    ];
    const parts: string[][] = [];
    for (let i = 0; i < keys.length; i += keysPerCommand) parts.push(keys.slice(i, i + keysPerCommand));
    replies.push(...await Promise.all(parts.map(runOn)));
    cursor = next;
  } while (cursor !== "0");
  return replies;
}
