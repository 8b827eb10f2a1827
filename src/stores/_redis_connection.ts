/**
 * A connection to Redis, whoever has made it.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { createClient, type RedisClientType } from "npm:redis@6.3.1";

/** What every client that a {@linkcode RedisStore} is given has to have: that of `npm:redis` has it, of its versions 5 and 6. */
export interface RedisScripting {
  /** Whether it is connected, or about to be. */
  readonly isOpen: boolean;
  /** Connects it. */
  connect(): Promise<unknown>;
  /** Tells how many listen to an event. */
  listenerCount(event: "error"): number;
  /** Listens to an event. */
  on(event: "error", listener: (error: unknown) => void): unknown;
  /** Runs a script. */
  eval(script: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>;
  /** Runs a script that Redis knows, by its digest. */
  evalSha(sha1: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>;
}

/** A client of one Redis, or a pool of them: what `createClient()` and `createClientPool()` of `npm:redis` return. */
export interface RedisClientLike extends RedisScripting {
  /** Sends a command as it is. */
  sendCommand(args: string[]): Promise<unknown>;
}

/** A client of a Redis Cluster: what `createCluster()` of `npm:redis` returns. */
export interface RedisClusterLike extends RedisScripting {
  /** The masters, at this moment. */
  readonly masters: readonly unknown[];
  /** Returns the client of a master. */
  nodeClient(master: unknown): Promise<RedisClientLike>;
}

/** The longest wait before another attempt to connect, in milliseconds. */
const MAX_BACKOFF = 250;
/** After how long without any answer a connection is given up, in milliseconds. */
const SILENCE = 5000;

/** A script on one key, and its digest, by which Redis knows it. */
export interface Script {
  readonly sha: string;
  readonly text: string;
}

/** Makes a script. */
export function script(text: string): Script {
  return { text, sha: createHash("sha1").update(text).digest("hex") };
}

/** Tells how the server sees a key, which a client may have put a prefix before. */
const ECHO = script(`return KEYS[1]`);

/** Runs scripts on a client: one that was handed in, or one of its own. */
export class RedisConnection {
  #client: RedisClientLike | RedisClusterLike;
  /** The client, where it was made here. */
  #own: RedisClientType | undefined;
  /** Since when a client of its own has answered nothing of what it was asked; by the clock of the process. */
  #unanswered: number | undefined;

  /**
   * Connects to nothing yet.
   *
   * @throws {TypeError} if it is neither a client nor a URL of Redis
   */
  constructor(clientOrUrl: RedisClientLike | RedisClusterLike | string | URL) {
    if (typeof clientOrUrl === "string" || clientOrUrl instanceof URL) {
      this.#client = this.#own = ownClient(checkUrl(clientOrUrl));
    } else {
      if (typeof clientOrUrl?.evalSha !== "function") {
        throw new TypeError("Cannot make a RedisStore: it needs a client of npm:redis, or a URL");
      }
      this.#client = clientOrUrl;
    }
  }

  /** Connects, and asks for an answer about a key. */
  async open(key: string): Promise<void> {
    if (this.#client.listenerCount("error") === 0) this.#client.on("error", ignore);
    if (this.#own !== undefined) await firstAttempt(this.#own);
    else if (!this.#client.isOpen) await this.#client.connect();
    await this.#onServer(key);
  }

  /** Runs a script on a key: in one round trip, where Redis has seen the script before. */
  async run({ sha, text }: Script, key: string, args: string[] = []): Promise<unknown> {
    const options = { keys: [key], arguments: args };
    if (this.#own?.isOpen) this.#giveUpSilence(this.#own);
    try {
      return await this.#client.evalSha(sha, options);
    } catch (error) {
      // It forgets them when it is restarted, and a replica that takes over has never seen them.
      if (!(error instanceof Error && error.message.startsWith("NOSCRIPT"))) throw error;
      return await this.#client.eval(text, options);
    } finally {
      if (this.#own?.isReady) this.#unanswered = undefined;
    }
  }

  /** Removes every key with a prefix, on every master. */
  async removeKeys(prefix: string): Promise<void> {
    const pattern = (await this.#onServer(prefix)).replace(/[\\*?[\]]/g, "\\$&") + "*";
    const client = this.#client;
    const nodes = "masters" in client ? client.masters.map((master) => client.nodeClient(master)) : [client];
    await Promise.all(nodes.map(async (node) => removeMatches(await node, pattern)));
  }

  /** Closes a client of its own at once. */
  close(): void {
    this.#own?.destroy();
  }

  async #onServer(key: string): Promise<string> {
    const seen = await this.run(ECHO, key);
    if (typeof seen === "string") return seen;
    throw new TypeError("Cannot use this Redis client: it answers with Buffers in place of strings (`typeMapping`)");
  }

  /**
   * Connects anew where nothing was answered for too long. A machine that vanishes closes no connection: without this the process would
   * wait for it for as long as TCP sends again, many minutes after another machine has taken over its name.
   */
  #giveUpSilence(own: RedisClientType): void {
    const now = performance.now();
    this.#unanswered ??= now;
    if (now - this.#unanswered < SILENCE) return;
    this.#unanswered = now;
    // Another client: this one may be just about to connect again.
    own.destroy();
    this.#client = this.#own = own.duplicate().on("error", ignore);
    this.#own.connect().catch(ignore);
  }
}

/** What fails is told by the calls that fail. Without a listener to it, Node's events would throw it. */
function ignore(): void {}

function checkUrl(url: string | URL): string {
  const { protocol } = URL.parse(url) ?? {};
  if (protocol === "redis:" || protocol === "rediss:") return String(url);
  // Without the URL: there may be a password in it.
  throw new TypeError("Cannot make a RedisStore: the URL must begin with redis:// or rediss://");
}

/** Makes a client. */
function ownClient(url: string): RedisClientType {
  return createClient({
    url,
    // While Redis is down a request fails at once; its commands are not kept for later.
    disableOfflineQueue: true,
    socket: {
      reconnectStrategy: (retries) => Math.min(2 ** retries * 25, MAX_BACKOFF) * (0.5 + Math.random() / 2),
    },
    // Of Redis Enterprise alone; it would need the permission to read the environment.
    maintNotifications: "disabled",
  });
}

/** Waits until a client is connected, or has failed to connect for the first time. It goes on trying. */
async function firstAttempt(client: RedisClientType): Promise<void> {
  if (client.isReady) return;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  client.once("ready", resolve).once("error", reject);
  if (!client.isOpen) client.connect().catch(reject);
  await promise.finally(() => client.off("ready", resolve).off("error", reject));
}

async function removeMatches(client: RedisClientLike, pattern: string): Promise<void> {
  let cursor = "0";
  do {
    const [next, keys] = await client.sendCommand(["SCAN", cursor, "MATCH", pattern, "COUNT", "1000"]) as [
      string,
      string[],
    ];
    // One by one: in a cluster they lie in different slots.
    await Promise.all(keys.map((key) => client.sendCommand(["UNLINK", key])));
    cursor = next;
  } while (cursor !== "0");
}
