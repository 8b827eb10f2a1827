/**
 * A faked time.
 *
 * @module
 */

/**
 * Stands still until it is moved. It starts at the real time and only moves forward, so that a backend with a clock of its own never
 * removes what is still live.
 */
export class Clock implements Disposable {
  readonly #real = Date.now;
  #now = Date.now();

  constructor() {
    Date.now = () => this.#now;
  }

  get now(): number {
    return this.#now;
  }

  /** Moves the time forward. */
  tick(milliseconds: number): void {
    this.#now += milliseconds;
  }

  [Symbol.dispose](): void {
    Date.now = this.#real;
  }
}
