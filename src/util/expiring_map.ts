/**
 * A map that forgets.
 *
 * @module
 */
import { ShardedMap } from "./sharded_map.ts";

/** How many entries a new one looks at in search of those whose time is over. */
const SWEEP_STEPS = 4;

/** Keeps a bounded number of entries until their time is over. What is over is given back little by little, whenever an entry is made. */
export class ExpiringMap<V extends { readonly expiresAt: number }> {
  readonly #max: number;
  readonly #entries: ShardedMap<V>;

  /** @param max how many are kept at most; one more, and the oldest leaves (of a large number, one of the oldest) */
  constructor(max: number) {
    this.#max = max;
    this.#entries = new ShardedMap(max);
  }

  /** Returns an entry whose time is not over. */
  get(key: string): V | undefined {
    const value = this.#entries.get(key);
    if (value === undefined || Date.now() < value.expiresAt) return value;
    this.#entries.delete(key);
    return undefined;
  }

  /** Makes an entry. */
  set(key: string, value: V): void {
    this.#giveBack();
    this.#entries.set(key, value);
    while (this.#entries.size > this.#max) this.#entries.takeOldest();
  }

  /** Removes an entry. */
  delete(key: string): void {
    this.#entries.delete(key);
  }

  /** Removes every entry. */
  clear(): void {
    this.#entries.clear();
  }

  #giveBack(): void {
    const now = Date.now();
    for (let looked = 0; looked < SWEEP_STEPS; looked++) {
      const next = this.#entries.next();
      if (next === undefined) return;
      const [key, { expiresAt }] = next;
      if (now >= expiresAt) this.#entries.delete(key);
    }
  }
}
