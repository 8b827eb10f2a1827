/**
 * A bounded cache that evicts whole generations.
 *
 * @module
 */

/**
 * Keeps a bounded number of entries, and evicts those that were not used lately.
 *
 * New entries go into the young generation. An entry that is found in the old generation is put
 * into the young one again. When the young generation is full, it becomes the old one, and the
 * entries of the previous old one are evicted together. Entries are never deleted one by one.
 */
export class TwoGenerationCache<V> {
  readonly #generationSize: number;
  #young = new Map<string, V>();
  #old = new Map<string, V>();

  /** @param max the maximum number of entries, an even number */
  constructor(max: number) {
    this.#generationSize = max / 2;
  }

  get(key: string): V | undefined {
    const value = this.#young.get(key);
    if (value !== undefined) return value;
    const old = this.#old.get(key);
    if (old !== undefined) this.set(key, old);
    return old;
  }

  set(key: string, value: V): void {
    if (this.#young.size === this.#generationSize) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, value);
  }
}
