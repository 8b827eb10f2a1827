import { Clock } from "../../src/conformance/clock.ts";

/**
 * A clock that stands still until a test moves it. The project reads the time only from
 * `Date.now()`, at each use.
 *
 * Note: `new Date()` without arguments still returns the real time.
 */
export class FakeClock extends Clock {
  constructor(start = Date.UTC(2030, 0, 1)) {
    super(start);
  }
}
