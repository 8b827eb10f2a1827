/**
 * A connection to Redis over which it reports changes to sessions.
 *
 * @module
 */
import { clearInterval, setInterval, setTimeout } from "node:timers";
import { BasicClientSideCache, createClient, type RedisClientOptions, type RedisClientType } from "npm:redis@6.3.1";
import { SessionStoreError } from "../errors.ts";
import { noop } from "../util/maybe_promise.ts";
import type { Watch } from "../watched_store.ts";
import { answerWithin } from "./_open_error.ts";
import {
  evaluate,
  NO_QUEUE_TIMEOUT,
  reconnectDelay,
  RESPONSE_TIMEOUT_MS,
  saysReplica,
  type Script,
  script,
} from "./_redis_connection.ts";

/** The keys of a store, as the server sees them. */
export interface WatchedKeys {
  /** The beginning of the key of every record. The session id follows. */
  readonly records: string;
  /** The key of the epoch. A change to it concerns all records. */
  readonly epoch: string;
}

/**
 * Succeeds on a master only, and changes nothing. The key of the epoch has no expiry to remove.
 *
 * A replica learns of a write after the master has acknowledged it, so an answer of a replica does
 * not prove that every acknowledged write was reported.
 */
const CONFIRM = script(`redis.call('PERSIST', KEYS[1])`);

/** Changes a record that does not exist before or after. Run it as the store runs its writes. */
export const PROBE: Script = script(`
  redis.call('HSET', KEYS[1], 'probe', '')
  redis.call('DEL', KEYS[1])`);

/** The beginning of the ids of such records. No session id contains a space. */
const PROBE_ID = "probe ";

/** Receives the notices of one connection. Redis begins to send them when it is connected. */
class Notices extends BasicClientSideCache {
  readonly #keys: WatchedKeys;
  readonly #report: (sid: string | undefined) => void;

  constructor(keys: WatchedKeys, report: (sid: string | undefined) => void) {
    super();
    this.#keys = keys;
    this.#report = report;
  }

  override trackingOn(): string[] {
    const { records, epoch } = this.#keys;
    return ["CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", records, "PREFIX", epoch];
  }

  /** @param changed a key, or `null` if all keys were removed */
  override invalidate(changed: unknown): void {
    const { records, epoch } = this.#keys;
    const key = changed === null ? epoch : String(changed);
    if (key === epoch) this.#report(undefined);
    else if (key.startsWith(records)) this.#report(key.slice(records.length));
  }
}

/**
 * Reports every change to a record, over a connection of its own. If that is lost, it connects
 * again until it is disposed of. It does not keep the process alive.
 */
export class RedisWatch implements Watch {
  readonly #options: RedisClientOptions;
  readonly #keys: WatchedKeys;
  readonly #changed: (sid: string | undefined) => void;
  /** The connected client; `undefined` while nothing is reported. */
  #client: RedisClientType | undefined;
  /** The client of the latest attempt to connect. */
  #latest: RedisClientType | undefined;
  #isDisposed = false;
  /**
   * Asks regularly, because a machine that disappears does not close its connections. Nobody would
   * notice that nothing is reported any more.
   */
  readonly #heartbeat = setInterval(() => this.confirm().catch(noop), RESPONSE_TIMEOUT_MS).unref();
  readonly #probe: (sid: string) => Promise<unknown>;
  /** The ids that were changed to find out whether changes are reported, until they are reported. */
  readonly #unreported = new Set<string>();
  readonly #all: Set<RedisWatch>;

  /**
   * Creates a watch. Does not connect yet.
   *
   * @param options the options of the store's client
   * @param probe runs {@linkcode PROBE} for an id
   * @param all all watches of the store. This one adds itself until it is disposed of.
   */
  constructor(
    options: RedisClientOptions,
    keys: WatchedKeys,
    probe: (sid: string) => Promise<unknown>,
    changed: (sid: string | undefined) => void,
    all: Set<RedisWatch>,
  ) {
    this.#options = ownOptions(options);
    this.#keys = keys;
    this.#probe = probe;
    this.#changed = changed;
    this.#all = all.add(this);
  }

  /** Connects. If that fails, the watch is disposed of. */
  async open(): Promise<void> {
    try {
      await this.#connect();
      await this.confirm();
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Returns the session id. */
  keyOf(sid: string): string {
    return sid;
  }

  /**
   * Implements {@linkcode Watch.confirm}. Replaces a connection that does not answer, or over which
   * nothing is reported: a proxy may accept the command and forward no notices, and after a
   * failover the connection may lead to another server than the writes of the store.
   */
  async confirm(): Promise<void> {
    const client = this.#client;
    if (client === undefined) throw unconfirmed("the connection to Redis is lost");
    const sid = PROBE_ID + crypto.randomUUID();
    this.#unreported.add(sid);
    try {
      // Also if the store's own connection fails, because this one may be silent.
      const answered = this.#probe(sid).finally(() => this.#ask(client));
      await answerWithin(RESPONSE_TIMEOUT_MS / 1000, answered, () => this.#lose(client));
    } catch (error) {
      // In place of a replica, the address may lead to the new master by now.
      if (saysReplica(error) || !client.isReady) this.#lose(client);
      this.#unreported.delete(sid);
      throw unconfirmed("Redis has not confirmed it", error);
    }
    // Redis answers after it has reported the change.
    if (!this.#unreported.delete(sid)) return;
    this.#lose(client);
    throw unconfirmed("it does not report changes, although it has accepted the command; a proxy may not support it");
  }

  /** Closes the connection. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    this.#all.delete(this);
    clearInterval(this.#heartbeat);
    this.#latest?.destroy();
    this.#client = undefined;
    return Promise.resolve();
  }

  async #connect(): Promise<void> {
    const clientSideCache = new Notices(this.#keys, (sid) => this.#report(sid));
    // createClient() has taken 130 milliseconds, because it makes a class for new options.
    const client: RedisClientType = this.#latest?.duplicate({ clientSideCache }) ??
      createClient({ ...this.#options, clientSideCache });
    this.#latest = client;
    client.on("error", () => this.#lose(client));
    const connected = client.connect();
    try {
      await answerWithin(RESPONSE_TIMEOUT_MS / 1000, connected.then(() => this.#ask(client)));
      if (this.#isDisposed) throw new Error("the watch was disposed of");
      // Until now, nobody would have noticed that it was lost.
      if (!client.isReady) throw new Error("the connection was lost");
    } catch (error) {
      client.destroy();
      // An attempt that has begun may still succeed.
      connected.then(() => client.destroy(), noop);
      throw error;
    }
    client.unref();
    this.#client = client;
  }

  async #ask(client: RedisClientType): Promise<void> {
    await evaluate(client, CONFIRM, [this.#keys.epoch], []);
  }

  /** Gives a connection up, and reports that anything may have changed. */
  #lose(client: RedisClientType): void {
    if (this.#client !== client) return;
    this.#client = undefined;
    client.destroy();
    this.#report(undefined);
    this.#reconnect();
  }

  async #reconnect(): Promise<void> {
    for (let retries = 0; !this.#isDisposed; retries++) {
      await new Promise((resolve) => setTimeout(resolve, reconnectDelay(retries)).unref());
      if (this.#isDisposed) return;
      const isConnected = await this.#connect().then(() => true, () => false);
      // Redis has not reported the changes that were made in between.
      if (isConnected) return this.#report(undefined);
    }
  }

  #report(sid: string | undefined): void {
    if (sid?.startsWith(PROBE_ID)) this.#unreported.delete(sid);
    else if (!this.#isDisposed) this.#changed(sid);
  }
}

/**
 * Returns the options that say where the server is and how to sign in. The others could add a
 * prefix to keys, convert answers, queue commands while the connection is lost, or close a
 * connection over which nothing is reported for a while.
 */
function ownOptions(options: RedisClientOptions): RedisClientOptions {
  const { url, username, password, credentialsProvider, database, name } = options;
  return {
    url,
    username,
    password,
    credentialsProvider,
    database,
    name,
    RESP: 3,
    disableOfflineQueue: true,
    commandOptions: NO_QUEUE_TIMEOUT,
    maintNotifications: "disabled",
    // Each connection has a client of its own, so that the watch knows when one is lost.
    socket: { ...options.socket, socketTimeout: undefined, reconnectStrategy: false } as RedisClientOptions["socket"],
  };
}

function unconfirmed(reason: string, cause?: unknown): SessionStoreError {
  const message = `Cannot confirm that all changes to sessions were reported: ${reason}`;
  return new SessionStoreError("watch", message, { cause });
}
