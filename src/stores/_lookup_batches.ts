/**
 * Lookups that wait at the same time and go as one query.
 *
 * @module
 */
import { clearTimeout, setTimeout } from "node:timers";
import type { MaybePromise } from "../util/maybe_promise.ts";

/**
 * How many queries may be pending before further lookups wait. With one, the backend is idle while
 * this process handles the result. More make the batches smaller.
 */
const MAX_QUERIES = 2;

/**
 * How long a lookup waits, in milliseconds. A query that takes longer no longer counts as pending.
 * So a server that is slow, far away or silent delays no lookup of others by more than this.
 */
const MAX_WAIT_MS = 2;

/**
 * Looks up keys with few queries. If fewer than two queries are pending, a lookup is sent
 * immediately. Otherwise it waits until one of them has a result. All that wait are then sent as one
 * query.
 *
 * A lookup never joins a query that was already sent. It therefore finds everything that was written
 * before it began.
 */
export class LookupBatches<Row> {
  readonly #query: (keys: string[]) => Promise<MaybePromise<Row | undefined>[]>;
  readonly #maxKeys: number;
  /** The pending queries, except for those that take too long. */
  readonly #queries = new Set<object>();
  /** The lookups that wait, by key. */
  readonly #waiting = new Map<string, PromiseWithResolvers<Row | undefined>>();
  /** The timer that sends the lookups that wait. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pending = 0;

  /**
   * Creates the batches of a backend.
   *
   * @param query looks up keys in one query, and returns their rows in the same order. A promise
   * stands for a row that it reads separately.
   * @param maxKeys how many keys a query may have
   */
  constructor(query: (keys: string[]) => Promise<MaybePromise<Row | undefined>[]>, maxKeys: number) {
    this.#query = query;
    this.#maxKeys = maxKeys;
  }

  /** How many lookups have no result yet. */
  get pending(): number {
    return this.#pending;
  }

  /**
   * Looks up a key. Several callers may receive the same object.
   *
   * @returns the row, or `undefined` if there is none
   */
  async get(key: string): Promise<Row | undefined> {
    this.#pending++;
    try {
      if (this.#queries.size >= MAX_QUERIES) return await this.#wait(key);
      const [row] = await this.#send([key]);
      return await row;
    } finally {
      this.#pending--;
    }
  }

  /** Sends all lookups that wait. */
  flush(): void {
    while (this.#waiting.size > 0) {
      this.#queries.clear();
      this.#sendWaiting();
    }
  }

  #wait(key: string): Promise<Row | undefined> {
    let lookup = this.#waiting.get(key);
    if (lookup === undefined) {
      this.#waiting.set(key, lookup = Promise.withResolvers());
      this.#timer ??= this.#startTimer();
    }
    return lookup.promise;
  }

  #startTimer(): ReturnType<typeof setTimeout> {
    // The connections of the pending queries keep the process alive.
    return setTimeout(() => this.flush(), MAX_WAIT_MS).unref();
  }

  /** Sends lookups that wait, as far as the number of pending queries allows it. */
  #sendWaiting(): void {
    if (this.#waiting.size === 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    while (this.#waiting.size > 0 && this.#queries.size < MAX_QUERIES) {
      const batch = Array.from(this.#waiting.entries().take(this.#maxKeys));
      for (const [key] of batch) this.#waiting.delete(key);
      void this.#settle(batch);
    }
    if (this.#waiting.size > 0) this.#timer = this.#startTimer();
  }

  async #settle(batch: [string, PromiseWithResolvers<Row | undefined>][]): Promise<void> {
    try {
      const rows = await this.#send(batch.map(([key]) => key));
      for (const [i, [, { resolve }]] of batch.entries()) resolve(rows[i]);
    } catch (error) {
      for (const [, { reject }] of batch) reject(error);
    }
  }

  async #send(keys: string[]): Promise<MaybePromise<Row | undefined>[]> {
    const query = {};
    this.#queries.add(query);
    try {
      return await this.#query(keys);
    } finally {
      // Otherwise it took too long, and the lookups wait for others.
      if (this.#queries.delete(query)) this.#sendWaiting();
    }
  }
}
