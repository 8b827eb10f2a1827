/**
 * A bounded map whose entries expire.
 *
 * @module
 */
import { ShardedMap } from "./sharded_map.ts";

/** How many entries each new one checks for expiry. */
const SWEEP_CHECKS = 4;

/**
 * Keeps a bounded number of entries until they expire. Expired entries are removed a few at a time,
 * whenever an entry is set.
 */
export class ExpiringMap<V extends { readonly expiresAt: number }> {
  readonly #max: number;
  readonly #entries: ShardedMap<V>;

  /**
   * @param max the greatest number of entries; one more evicts the oldest (from 100,000 on: one of
   * the oldest)
   */
  constructor(max: number) {
    this.#max = max;
    this.#entries = new ShardedMap(max);
  }

  /** Returns an entry that is not expired. */
  get(key: string): V | undefined {
    const value = this.#entries.get(key);
    return value !== undefined && Date.now() < value.expiresAt ? value : undefined;
  }

  set(key: string, value: V): void {
    this.#sweep();
    this.#entries.set(key, value);
    if (this.#entries.size > this.#max) this.#entries.evictOldest();
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }

  clear(): void {
    this.#entries.clear();
  }

  #sweep(): void {
    const now = Date.now();
    for (let checked = 0; checked < SWEEP_CHECKS; checked++) {
      const next = this.#entries.nextForSweep();
      if (next === undefined) return;
      const [key, { expiresAt }] = next;
      if (now >= expiresAt) this.#entries.delete(key);
    }
  }
}
