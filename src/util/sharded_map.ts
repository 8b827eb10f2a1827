/**
 * A map of many entries that grows and shrinks without a pause.
 *
 * @module
 */

/** Over how many maps the entries of a large one are spread. */
const SHARDS = 32;
/** From how many entries on a map is large: growing it takes milliseconds, in which no request is answered. */
const LARGE = 100_000;

/**
 * A `Map` spread over several: a `Map` that grows copies all its entries at once, which takes some 60 ms where there are a million.
 *
 * Where few are expected there is one, in the order in which entries were made. Where there are several, that order holds within each, and keys
 * are spread over them by their last characters.
 */
export class ShardedMap<V> {
  readonly #maps: Map<string, V>[];
  #size = 0;
  #sweepAt = 0;
  // None between two rounds: one that stands still keeps the tables of a map that has grown since, and all that was in them.
  #sweep: MapIterator<[string, V]> | undefined;
  #dropAt = 0;
  // Kept, because a new one walks over the place of every entry that was removed before.
  readonly #oldest: (MapIterator<string> | undefined)[];
  #restAt = 0;

  /** @param max how many entries are expected at most */
  constructor(max: number) {
    this.#maps = Array.from({ length: max < LARGE ? 1 : SHARDS }, () => new Map());
    this.#oldest = this.#maps.map(() => undefined);
  }

  get size(): number {
    return this.#size;
  }

  get(key: string): V | undefined {
    // Most are empty: the ids that were ended, or replaced.
    return this.#size === 0 ? undefined : this.#of(key).get(key);
  }

  set(key: string, value: V): void {
    const entries = this.#of(key);
    const before = entries.size;
    entries.set(key, value);
    this.#size += entries.size - before;
  }

  delete(key: string): void {
    if (this.#of(key).delete(key)) this.#size--;
  }

  clear(): void {
    for (const map of this.#maps) map.clear();
    this.#size = 0;
  }

  /** Looks at the next entry, again and again through all; `undefined` where there is none, and once at the end of each round. */
  next(): [string, V] | undefined {
    for (;;) {
      this.#sweep ??= this.#at(this.#sweepAt).entries();
      const next = this.#sweep.next();
      if (!next.done) return next.value;
      this.#sweep = undefined;
      this.rest();
      this.#sweepAt = (this.#sweepAt + 1) % this.#maps.length;
      if (this.#sweepAt === 0) return undefined;
    }
  }

  /** To be called again and again while the oldest are not taken: lets go of what was kept to find them. */
  rest(): void {
    this.#oldest[this.#restAt] = undefined;
    this.#restAt = (this.#restAt + 1) % this.#maps.length;
  }

  /** Removes the oldest entry of the next map that has one. */
  takeOldest(): [string, V] | undefined {
    for (let looked = 0; looked < this.#maps.length; looked++) {
      const at = this.#dropAt;
      this.#dropAt = (at + 1) % this.#maps.length;
      const key = this.#oldestOf(at);
      const value = key === undefined ? undefined : this.#at(at).get(key);
      if (key === undefined || value === undefined) continue;
      this.delete(key);
      return [key, value];
    }
    return undefined;
  }

  #oldestOf(at: number): string | undefined {
    const map = this.#at(at);
    let next = (this.#oldest[at] ??= map.keys()).next();
    // At its end it stays there; whatever has come since is before a new one.
    if (next.done) next = (this.#oldest[at] = map.keys()).next();
    return next.done ? undefined : next.value;
  }

  #of(key: string): Map<string, V> {
    if (this.#maps.length === 1) return this.#at(0);
    // FNV-1a of the last characters: session ids are random, and one as good as another.
    let hash = 0x811c9dc5;
    for (let i = key.length - 4; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
    return this.#at((hash ^ (hash >>> 15)) & (SHARDS - 1));
  }

  #at(index: number): Map<string, V> {
    return this.#maps[index] as Map<string, V>;
  }
}
