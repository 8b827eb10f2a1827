import { Clock } from "../../src/conformance/clock.ts";

/**
 * A clock that stands still until a test moves it. The project reads the time from `Date.now()` alone, at each use.
 *
 * Note: `new Date()` without arguments goes on telling the real time.
 */
export class FakeClock extends Clock {
  constructor(start = Date.UTC(2030, 0, 1)) {
    super(start);
  }
}
