/**
 * The connections that a server grants.
 *
 * @module
 */

/** How long a limit is kept that the server has shown, in milliseconds. */
const CEILING_MS = 10_000;

/**
 * Limits the pending queries of a pool to the connections that the server grants it. Then
 * postgres.js does not open another one, which the server would refuse. Without a refusal there is
 * no limit.
 */
export class ConnectionSlots {
  readonly #max: number;
  #used = 0;
  #limit = Infinity;
  /** The limit that a refusal has shown. */
  #ceiling = Infinity;
  #ceilingSince = 0;
  readonly #waiting: (() => void)[] = [];

  /** @param max how many connections the pool opens at most */
  constructor(max: number) {
    this.#max = max;
  }

  /** Takes a slot. Returns a promise only if the query has to wait for it. */
  acquire(): Promise<void> | undefined {
    if (this.#used >= this.#limit) return new Promise((resolve) => this.#waiting.push(resolve));
    this.#used++;
    return undefined;
  }

  /**
   * Gives a slot back.
   *
   * @param refused whether the server refused to open a connection for the query
   */
  release(refused: boolean): void {
    this.#used--;
    if (refused) this.#lower();
    else if (this.#limit !== Infinity && this.#waiting.length > 0) this.#raise();
    while (this.#used < this.#limit) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      this.#used++;
      next();
    }
  }

  #lower(): void {
    if (this.#limit === Infinity) {
      // It is unknown how many of the pending queries have a connection.
      this.#limit = 1;
    } else if (this.#used < this.#limit) {
      // Every other pending query has a connection. Otherwise it was sent before there was a limit.
      this.#limit = this.#ceiling = Math.max(1, this.#used);
      this.#ceilingSince = performance.now();
    }
  }

  #raise(): void {
    // Another process may have closed connections in the meantime.
    if (performance.now() - this.#ceilingSince >= CEILING_MS) this.#ceiling = Infinity;
    if (this.#limit < this.#ceiling) this.#limit++;
    if (this.#limit > this.#max) this.#limit = Infinity;
  }
}
