/**
 * A bounded map whose entries expire.
 *
 * @module
 */
import { ShardedMap } from "./sharded_map.ts";

/** How many entries are checked for expiry when an entry is set. */
const SWEEP_CHECKS = 4;

/**
 * Keeps a bounded number of entries until they expire. Expired entries are removed a few at a time,
 * whenever an entry is set.
 */
export class ExpiringMap<V extends { readonly expiresAt: number }> {
  readonly #max: number;
  readonly #entries: ShardedMap<V>;
  readonly #onRemoved: ((value: V) => void) | undefined;

  /**
   * @param max the maximum number of entries; a further one evicts the oldest (one of the oldest if
   * `max` is at least 100,000)
   * @param onRemoved receives each entry that is removed, except by `clear()`
   */
  constructor(max: number, onRemoved?: (value: V) => void) {
    this.#max = max;
    this.#entries = new ShardedMap(max);
    this.#onRemoved = onRemoved;
  }

  /** Returns an entry, unless it has expired. */
  get(key: string): V | undefined {
    const value = this.#entries.get(key);
    return value !== undefined && Date.now() < value.expiresAt ? value : undefined;
  }

  set(key: string, value: V): void {
    this.#sweep();
    this.#entries.set(key, value);
    if (this.#entries.size <= this.#max) return;
    const evicted = this.#entries.evictOldest();
    if (evicted !== undefined) this.#onRemoved?.(evicted[1]);
  }

  delete(key: string): void {
    if (this.#onRemoved !== undefined) {
      const value = this.#entries.get(key);
      if (value !== undefined) this.#onRemoved(value);
    }
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
      if (now >= expiresAt) this.delete(key);
    }
  }
}
