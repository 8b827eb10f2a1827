/**
 * The clock of a database server, seen from this process.
 *
 * @module
 */

/** How long a measurement is used, in milliseconds, because both clocks may be adjusted. */
const WINDOW_MS = 60_000;

/**
 * Estimates how far the clock of a server is ahead of the clock of this process.
 *
 * A write may reach the server long after it was sent. A store therefore decides at the server
 * whether a session has expired, with the server's clock minus this offset. The result is the time
 * on the clock of this process, even if the two clocks differ.
 *
 * The server executes a command after it was sent. Its time minus the time of sending is therefore
 * never less than the offset. The smallest such difference is the best estimate: it is too large by
 * the delay of the fastest command. A session can thus be extended by that delay too late, but a
 * live session is never taken for an expired one.
 */
export class ServerClock {
  #current = Infinity;
  #previous = Infinity;
  #windowStart = -Infinity;

  /**
   * How far the server's clock is ahead, in milliseconds; `Infinity` before the first measurement.
   */
  get offset(): number {
    return Math.min(this.#current, this.#previous);
  }

  /**
   * Adds a measurement.
   *
   * @param serverTime the server's time at the execution of a command, in milliseconds since the
   * epoch
   * @param sentAt when the command was sent, by the clock of this process
   */
  observe(serverTime: number, sentAt: number): void {
    const now = Date.now();
    const elapsed = Math.abs(now - this.#windowStart);
    if (elapsed >= WINDOW_MS) {
      this.#previous = elapsed < 2 * WINDOW_MS ? this.#current : Infinity;
      this.#current = Infinity;
      this.#windowStart = now;
    }
    this.#current = Math.min(this.#current, serverTime - sentAt);
  }
}
