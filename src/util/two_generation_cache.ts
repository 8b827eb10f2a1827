/**
 * A map that remembers what was asked for lately.
 *
 * @module
 */

/**
 * Keeps a bounded number of entries. What was not asked for while half as many others were is forgotten.
 *
 * There are two halves: an entry is made in the younger, and comes back there when it is found in the older. When the younger is full it
 * becomes the older, and what was in that is gone, in one step that costs nothing.
 */
export class TwoGenerationCache<V> {
  readonly #half: number;
  #younger = new Map<string, V>();
  #older = new Map<string, V>();

  /** @param max how many are kept at most, an even number */
  constructor(max: number) {
    this.#half = max / 2;
  }

  /** Returns an entry. */
  get(key: string): V | undefined {
    const value = this.#younger.get(key);
    if (value !== undefined || this.#older.size === 0) return value;
    const older = this.#older.get(key);
    if (older !== undefined) this.set(key, older);
    return older;
  }

  /** Makes an entry. */
  set(key: string, value: V): void {
    if (this.#younger.size === this.#half) {
      this.#older = this.#younger;
      this.#younger = new Map();
    }
    this.#younger.set(key, value);
  }
}
