/**
 * The calls of `clear()` of this process on one store.
 *
 * @module
 */

/** Tells operations of several store calls whether all sessions have been ended in the meantime. */
export class Clears {
  #running = 0;
  #finished = 0;

  /** How many calls have finished. */
  get finished(): number {
    return this.#finished;
  }

  /** Whether a call is running. */
  get isRunning(): boolean {
    return this.#running > 0;
  }

  /**
   * Returns whether a call is running, or has finished in the meantime.
   *
   * @param finished how many calls had finished before
   */
  overlap(finished: number): boolean {
    return this.isRunning || this.#finished !== finished;
  }

  /** Runs a call. If it fails, it may have ended sessions nevertheless. */
  async run(clear: () => Promise<void>): Promise<void> {
    this.#running++;
    try {
      await clear();
    } finally {
      this.#running--;
      this.#finished++;
    }
  }
}
