/**
 * A fake clock.
 *
 * @module
 */

/**
 * Replaces `Date.now`. The time stays the same until a check calls `tick()`.
 *
 * It starts at the real time and only moves forward, so that a backend with its own clock never
 * removes a session that is still live.
 */
export class Clock implements Disposable {
  readonly #realNow = Date.now;
  readonly #fakeNow = (): number => this.#now;
  #now: number;

  constructor(start: number = Date.now()) {
    this.#now = start;
    Date.now = this.#fakeNow;
  }

  get now(): number {
    return this.#now;
  }

  /** Moves the time forward. */
  tick(milliseconds: number): void {
    this.#now += milliseconds;
  }

  [Symbol.dispose](): void {
    // If the check timed out, `Date.now` was restored already, and the next check may have replaced
    // it again.
    if (Date.now === this.#fakeNow) Date.now = this.#realNow;
  }
}
