/**
 * Tells a `PostgresStore` of changes to its table, with LISTEN and NOTIFY.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { Watch } from "../watched_store.ts";

/** A connection that receives notifications. */
export interface PostgresListener {
  /** Runs a LISTEN. Rejects if the server cannot be reached. */
  listen(channel: string): Promise<unknown>;
  close(): Promise<unknown>;
}

/** How a {@linkcode PostgresWatch} reaches the server. */
export interface PostgresChannel {
  /**
   * Opens a connection.
   *
   * @param onNotify receives the payload of each notification
   * @param onClose is called if the connection is lost
   */
  open(onNotify: (payload: string) => void, onClose: () => void): PostgresListener;
  /** Sends a notification over another connection. */
  notify(payload: string): Promise<unknown>;
}

/** How long a notification may take to arrive, in milliseconds. */
const ARRIVAL_MS = 5000;

/** How long to wait before connecting again, in milliseconds. */
const RECONNECT_MS = 250;

const PROBE = "probe:";

/** The payload that says that any session may have changed. */
export const EVERYTHING = "*";

/** Returns the name of the channel of a table, such as `"sessions"` or `"auth.sessions"`. */
export function channelOf(table: string): string {
  // A name may have 63 bytes at most.
  return `sessions_${sha256(table).slice(0, 32)}`;
}

/** Returns the payload for a session id. A hash, because every user of the database may listen. */
export function payloadOf(sid: string): string {
  return sha256(sid);
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/**
 * Listens on a connection of its own, and connects again when that is lost.
 *
 * A pooler in transaction mode accepts a LISTEN and then gives the connection to somebody else, so
 * nothing is ever told. Each connection is therefore proved with a notification from another one.
 * The same proves that everything before it was told, because PostgreSQL delivers notifications in
 * the order of the commits.
 */
export class PostgresWatch implements Watch {
  readonly tellsAll = false;
  readonly #name: string;
  readonly #channel: PostgresChannel;
  readonly #changed: (key: string | undefined) => void;
  readonly #onEnd: () => void;
  readonly #probes = new Map<string, PromiseWithResolvers<void>>();
  #listener: PostgresListener | undefined;
  #isListening = false;
  #isDisposed = false;

  /**
   * @param table the table, as in `PostgresStoreOptions`
   * @param onEnd is called when the watch is disposed
   */
  constructor(
    table: string,
    channel: PostgresChannel,
    changed: (key: string | undefined) => void,
    onEnd: () => void,
  ) {
    this.#name = channelOf(table);
    this.#channel = channel;
    this.#changed = changed;
    this.#onEnd = onEnd;
  }

  /** Connects for the first time. */
  async open(): Promise<void> {
    try {
      await this.#connect();
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
  }

  keyOf(sid: string): string {
    return payloadOf(sid);
  }

  async confirm(): Promise<void> {
    if (!this.#isListening) throw new Error("The connection that listens is lost");
    await this.#probe();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    this.#isListening = false;
    this.#failProbes();
    this.#onEnd();
    await this.#listener?.close();
  }

  async #connect(): Promise<void> {
    let isLost = false;
    const listener = this.#listener = this.#channel.open((payload) => this.#receive(payload), () => {
      if (isLost) return;
      isLost = true;
      this.#failProbes();
      if (this.#isListening) this.#onLost();
    });
    try {
      await listener.listen(this.#name);
      await this.#probe();
      if (isLost) throw new Error("The connection that listens was lost");
    } catch (error) {
      isLost = true;
      void listener.close();
      throw error;
    }
    this.#isListening = true;
  }

  #onLost(): void {
    this.#isListening = false;
    void this.#listener?.close();
    if (this.#isDisposed) return;
    this.#changed(undefined);
    void this.#reconnect();
  }

  async #reconnect(): Promise<void> {
    while (!this.#isDisposed) {
      try {
        await this.#connect();
      } catch {
        await new Promise<void>((resolve) => Deno.unrefTimer(setTimeout(resolve, RECONNECT_MS)));
        continue;
      }
      if (this.#isDisposed) return void await this.#listener?.close();
      // What happened meanwhile was not told.
      return this.#changed(undefined);
    }
  }

  #receive(payload: string): void {
    if (payload.startsWith(PROBE)) this.#probes.get(payload)?.resolve();
    else if (!this.#isDisposed) this.#changed(payload === EVERYTHING ? undefined : payload);
  }

  /** Resolves when a notification that is sent now has arrived. */
  async #probe(): Promise<void> {
    const payload = PROBE + crypto.randomUUID();
    const arrival = Promise.withResolvers<void>();
    arrival.promise.catch(() => {});
    this.#probes.set(payload, arrival);
    const timer = setTimeout(() => {
      arrival.reject(new Error(`a notification did not arrive within ${ARRIVAL_MS / 1000} s`));
      // A machine that disappears does not close its connections.
      if (this.#isListening) this.#onLost();
    }, ARRIVAL_MS);
    try {
      await Promise.all([this.#channel.notify(payload), arrival.promise]);
    } finally {
      clearTimeout(timer);
      this.#probes.delete(payload);
    }
  }

  #failProbes(): void {
    for (const { reject } of this.#probes.values()) reject(new Error("The connection that listens was lost"));
  }
}
