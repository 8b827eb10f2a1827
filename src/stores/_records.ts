/**
 * Helpers shared by the stores that keep whole records.
 *
 * @module
 */
import { SessionStoreError } from "../errors.ts";
import type { SessionRecord } from "../session_store.ts";

/** Returns a record that is created now, without values and without an expiry. */
export function emptyRecord(): SessionRecord {
  const now = Date.now();
  return { values: new Map(), expiresAt: Infinity, meta: { createdAt: now, seenAt: now, renewedAt: now } };
}

/**
 * Returns a timestamp that every backend can store, in milliseconds since the epoch. `Infinity` is
 * kept and means never. A value that is no timestamp, such as `NaN`, becomes 0, so that a mistake
 * in an expiry ends the session and cannot make it permanent.
 */
export function normalizeTimestamp(value: number): number {
  return value > 0 ? value : 0;
}

/** Returns the error of a session id that cannot be given to a second session. */
export function idInUseError(operation: "create" | "regenerate"): SessionStoreError {
  const which = operation === "create" ? "the session id" : "the new session id";
  return new SessionStoreError(operation, `Cannot ${operation}: ${which} is in use`);
}
