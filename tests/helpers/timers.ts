/**
 * Replaces `setTimeout`, `clearTimeout` and `performance.now`. A timer runs only when the test
 * calls `tick()`.
 */
export class FakeTimers implements Disposable {
  readonly #realNow = performance.now;
  readonly #real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };
  readonly #pending = new Map<number, { at: number; callback: () => void }>();
  #now = 0;
  #lastId = 0;

  constructor() {
    globalThis.setTimeout = ((callback: (...args: unknown[]) => void, milliseconds = 0, ...args: unknown[]): number => {
      this.#pending.set(++this.#lastId, { at: this.#now + milliseconds, callback: () => callback(...args) });
      return this.#lastId;
    }) as unknown as typeof setTimeout;
    performance.now = () => this.#now;
    globalThis.clearTimeout = (id) => void this.#pending.delete(Number(id));
  }

  /** The number of timers that have neither run nor been cleared. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Moves the time forward and runs the timers that are due. */
  tick(milliseconds: number): void {
    this.#now += milliseconds;
    for (const [id, { at, callback }] of this.#pending) {
      if (at > this.#now) continue;
      this.#pending.delete(id);
      callback();
    }
  }

  [Symbol.dispose](): void {
    Object.assign(globalThis, this.#real);
    performance.now = this.#realNow;
  }
}

/** Waits until everything that can go on without a timer has gone on. */
export async function quiet(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}

/** Returns the result of a promise, or its error, or `"pending"` if only a timer can settle it. */
export async function outcomeOf(promise: Promise<unknown>): Promise<unknown> {
  return await Promise.race([promise.catch((error: unknown) => error), quiet().then(() => "pending")]);
}
