/**
 * Pauses in long computations.
 *
 * @module
 */
import { setImmediate } from "node:timers";

/** Lets the process handle other events, such as requests. */
export function nextTask(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
