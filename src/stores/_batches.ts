/**
 * Lookups or writes that wait at the same time and go as one query.
 *
 * @module
 */
import { clearTimeout, setTimeout } from "node:timers";
import type { MaybePromise } from "../util/maybe_promise.ts";

/**
 * How long an item waits, in milliseconds. A query that takes longer no longer counts as pending.
 * So a server that is slow, far away or silent delays no item of others by more than this.
 */
const MAX_WAIT_MS = 2;

/** The limits of {@linkcode Batches}. */
export interface BatchLimits {
  /** How many queries may be pending before further items wait. */
  readonly queries: number;
  /** How many items a query may have. */
  readonly items: number;
}

/**
 * Sends items with few queries. If fewer queries are pending than allowed, an item is sent
 * immediately. Otherwise it waits until one of them has a result. All that wait are then sent as
 * one query.
 *
 * An item never joins a query that was already sent. So a lookup finds everything that was written
 * before it began.
 */
export class Batches<Item, Row> {
  readonly #query: (items: Item[]) => Promise<MaybePromise<Row | undefined>[]>;
  readonly #limits: BatchLimits;
  /** The pending queries, except for those that take too long. */
  readonly #queries = new Set<object>();
  /** The items that wait. */
  readonly #waiting = new Map<Item, PromiseWithResolvers<Row | undefined>>();
  /** The timer that sends the items that wait. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pending = 0;

  /**
   * Creates the batches of a backend.
   *
   * @param query sends items in one query, and returns their rows in the same order. A promise
   * stands for a row that another query returns.
   */
  constructor(query: (items: Item[]) => Promise<MaybePromise<Row | undefined>[]>, limits: BatchLimits) {
    this.#query = query;
    this.#limits = limits;
  }

  /** How many items have no result yet. */
  get pending(): number {
    return this.#pending;
  }

  /**
   * Sends an item. If the same one already waits, such as an equal string, both get its row.
   *
   * @returns the row, or `undefined` if there is none
   */
  async get(item: Item): Promise<Row | undefined> {
    this.#pending++;
    try {
      if (this.#queries.size >= this.#limits.queries) return await this.#wait(item);
      const [row] = await this.#send([item]);
      return await row;
    } finally {
      this.#pending--;
    }
  }

  /** Sends all items that wait. */
  flush(): void {
    while (this.#waiting.size > 0) {
      this.#queries.clear();
      this.#sendWaiting();
    }
  }

  #wait(item: Item): Promise<Row | undefined> {
    let waiting = this.#waiting.get(item);
    if (waiting === undefined) {
      this.#waiting.set(item, waiting = Promise.withResolvers());
      this.#timer ??= this.#startTimer();
    }
    return waiting.promise;
  }

  #startTimer(): ReturnType<typeof setTimeout> {
    // The connections of the pending queries keep the process alive.
    return setTimeout(() => this.flush(), MAX_WAIT_MS).unref();
  }

  /** Sends items that wait, as far as the number of pending queries allows it. */
  #sendWaiting(): void {
    if (this.#waiting.size === 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    while (this.#waiting.size > 0 && this.#queries.size < this.#limits.queries) {
      const batch = Array.from(this.#waiting.entries().take(this.#limits.items));
      for (const [item] of batch) this.#waiting.delete(item);
      void this.#settle(batch);
    }
    if (this.#waiting.size > 0) this.#timer = this.#startTimer();
  }

  async #settle(batch: [Item, PromiseWithResolvers<Row | undefined>][]): Promise<void> {
    try {
      const rows = await this.#send(batch.map(([item]) => item));
      for (const [i, [, { resolve }]] of batch.entries()) resolve(rows[i]);
    } catch (error) {
      for (const [, { reject }] of batch) reject(error);
    }
  }

  async #send(items: Item[]): Promise<MaybePromise<Row | undefined>[]> {
    const query = {};
    this.#queries.add(query);
    try {
      return await this.#query(items);
    } finally {
      // Otherwise it took too long, and the items wait for others.
      if (this.#queries.delete(query)) this.#sendWaiting();
    }
  }
}
