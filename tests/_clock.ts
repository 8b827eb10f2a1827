/**
 * A clock that stands still until a test moves it. The project reads the time from `Date.now()` alone, at each use.
 *
 * Note: `new Date()` without arguments goes on telling the real time.
 */
export class FakeClock implements Disposable {
  readonly #real = Date.now;
  #now: number;

  constructor(start = Date.UTC(2030, 0, 1)) {
    this.#now = start;
    Date.now = () => this.#now;
  }

  get now(): number {
    return this.#now;
  }

  /** Moves the clock. */
  tick(milliseconds: number): void {
    this.#now += milliseconds;
  }

  [Symbol.dispose](): void {
    Date.now = this.#real;
  }
}
