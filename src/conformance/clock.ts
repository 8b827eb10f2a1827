/**
 * A faked time.
 *
 * @module
 */

/**
 * Stands still until it is moved. Here it starts at the real time and only moves forward, so that a backend with a clock of its own never
 * removes what is still live.
 */
export class Clock implements Disposable {
  readonly #real = Date.now;
  readonly #faked = (): number => this.#now;
  #now: number;

  constructor(start: number = Date.now()) {
    this.#now = start;
    Date.now = this.#faked;
  }

  get now(): number {
    return this.#now;
  }

  /** Moves the time forward. */
  tick(milliseconds: number): void {
    this.#now += milliseconds;
  }

  [Symbol.dispose](): void {
    // Not where the time was given back before: another may have been faked since.
    if (Date.now === this.#faked) Date.now = this.#real;
  }
}
