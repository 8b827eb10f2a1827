/**
 * Reports the changes to the table of a `PostgresStore`, with LISTEN and NOTIFY.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { Watch } from "../watched_store.ts";
import { answerWithin } from "./_open_error.ts";

/** A connection that receives notifications. */
export interface PostgresListener {
  /** Runs a statement. */
  query(text: string): Promise<unknown>;
  /** Closes the connection. */
  close(): Promise<unknown>;
}

/** How a {@linkcode PostgresWatch} reaches the server. */
export interface PostgresChannel {
  /** Returns the name of the channel, a valid name in SQL. */
  name(): Promise<string>;
  /**
   * Opens a connection.
   *
   * @param onNotify receives the payload of each notification
   * @param onClose is called if the connection is lost
   */
  open(onNotify: (payload: string) => void, onClose: () => void): PostgresListener;
  /** Sends a notification over another connection. Rejects if the server is read-only. */
  notify(payload: string): Promise<unknown>;
}

/** How long a statement, or the arrival of a notification, may take, in seconds. */
const ANSWER_SECONDS = 5;

/** How long to wait before connecting again, in milliseconds. */
const RECONNECT_MS = 250;

const PROBE = "probe:";

/** The payload that says that any session may have changed. */
export const EVERYTHING = "*";

/**
 * Returns the payload for a session id: 128 bits of a hash, because every user of the database may
 * listen.
 */
export function payloadOf(sid: string): string {
  // A part of the text would keep the whole text in memory.
  return createHash("sha256").update(sid).digest().toString("base64url", 0, 16);
}

/**
 * Listens on a connection of its own, and connects again when that is lost.
 *
 * A pooler in transaction mode accepts a LISTEN and then gives the connection to somebody else, so
 * nothing is ever reported. Each connection is therefore proved with a notification from another
 * one.
 */
export class PostgresWatch implements Watch {
  readonly #channel: PostgresChannel;
  readonly #changed: (key: string | undefined) => void;
  readonly #onEnd: () => void;
  readonly #probes = new Map<string, PromiseWithResolvers<void>>();
  /** The current connection, and the one that is being opened. */
  #listener: PostgresListener | undefined;
  #isListening = false;
  #isDisposed = false;

  /** @param onEnd is called when the watch is disposed of */
  constructor(channel: PostgresChannel, changed: (key: string | undefined) => void, onEnd: () => void) {
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

  /**
   * Sends a notification to itself. PostgreSQL delivers notifications in the order of the commits,
   * so everything before it has been reported. After a failover, the connection that listens may
   * lead to another server than the writes of the store. The notification is sent as they are, and
   * would not arrive.
   */
  async confirm(): Promise<void> {
    const listener = this.#listener;
    if (!this.#isListening || listener === undefined) throw new Error("The connection that listens is lost");
    try {
      await this.#probe();
    } catch (error) {
      // A machine that disappears does not close its connections.
      if (listener === this.#listener) this.#onLost();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    this.#isListening = false;
    this.#failProbes();
    this.#onEnd();
    await this.#listener?.close();
  }

  async #connect(): Promise<void> {
    const name = await this.#channel.name();
    const listener = this.#channel.open((payload) => this.#receive(payload), () => {
      // postgres.js may report much later that it has closed a connection.
      if (listener === this.#listener) this.#onLost();
    });
    this.#listener = listener;
    try {
      await answerWithin(ANSWER_SECONDS, listener.query(`LISTEN ${name}`));
      await this.#probe();
      if (listener !== this.#listener || this.#isDisposed) throw new Error("The connection that listens is lost");
    } catch (error) {
      if (listener === this.#listener) this.#listener = undefined;
      listener.close().catch(() => {});
      throw error;
    }
    this.#isListening = true;
  }

  #onLost(): void {
    const wasListening = this.#isListening;
    this.#isListening = false;
    this.#listener?.close().catch(() => {});
    this.#listener = undefined;
    this.#failProbes();
    // Otherwise `#connect()` fails.
    if (!wasListening || this.#isDisposed) return;
    this.#changed(undefined);
    void this.#reconnect();
  }

  async #reconnect(): Promise<void> {
    while (!this.#isDisposed) {
      try {
        await this.#connect();
        // What happened meanwhile was not reported.
        return this.#changed(undefined);
      } catch {
        await new Promise<void>((resolve) => Deno.unrefTimer(setTimeout(resolve, RECONNECT_MS)));
      }
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
    this.#probes.set(payload, arrival);
    const timer = setTimeout(
      () => arrival.reject(new Error(`a notification did not arrive within ${ANSWER_SECONDS} s`)),
      ANSWER_SECONDS * 1000,
    );
    Deno.unrefTimer(timer);
    try {
      await Promise.all([this.#channel.notify(payload), arrival.promise]);
    } finally {
      clearTimeout(timer);
      this.#probes.delete(payload);
    }
  }

  #failProbes(): void {
    for (const { reject } of this.#probes.values()) reject(new Error("The connection that listens is lost"));
  }
}
