/**
 * A map that forgets.
 *
 * @module
 */

/** How many entries a new one looks at in search of those whose time is over. */
const SWEEP_STEPS = 4;

/**
 * Keeps a bounded number of entries until their time is over.
 *
 * What is over is given back little by little, whenever an entry is made: there is no timer. The iterators are kept, because a new
 * one would walk over the place of every entry that was removed before.
 */
export class ExpiringMap<V extends { readonly expiresAt: number }> {
  readonly #max: number;
  readonly #entries = new Map<string, V>();
  // Made when it is needed: one that stands still keeps the tables of a map that has grown since.
  #oldest: MapIterator<string> | undefined;
  #sweep = this.#entries.entries();

  /** @param max how many are kept at most; one more, and the oldest leaves */
  constructor(max: number) {
    this.#max = max;
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
    while (this.#entries.size > this.#max) this.#dropOldest();
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
      const next = this.#sweep.next();
      if (next.done) {
        this.#sweep = this.#entries.entries();
        return;
      }
      const [key, { expiresAt }] = next.value;
      if (now >= expiresAt) this.#entries.delete(key);
    }
  }

  #dropOldest(): void {
    // Never at its end: all that it has passed is gone, and the newest is still before it.
    const next = (this.#oldest ??= this.#entries.keys()).next();
    if (!next.done) this.#entries.delete(next.value);
  }
}
