/**
 * One check of the conformance suite.
 *
 * @module
 */
import type { SessionStore } from "../session_store.ts";

/** One requirement on a store. */
export interface Check {
  /** The required behavior. The author of a store reads it in the terminal. */
  name: string;
  run: () => void | Promise<void>;
  /** Whether the check is shown as ignored instead of being run. */
  isSkipped?: boolean;
}

/**
 * Returns a check that is shown as ignored.
 *
 * @param what the behavior that is not tested
 * @param why the reason why it is not tested
 */
export function skipped(what: string, why: string): Check {
  return { name: `skipped: ${what} (${why})`, run: () => {}, isSkipped: true };
}

/** The stores that a check works on: one instance twice, or two instances on one backend. */
export interface StorePair<S extends SessionStore> {
  /** The suffix of the checks' names: "in one instance" or "across two instances". */
  where: string;
  a: S;
  b: S;
}
