/**
 * What the stores have in common that keep whole records.
 *
 * @module
 */
import { SessionStoreError } from "../errors.ts";
import type { SessionRecord } from "../session_store.ts";

/** A record that begins now, and has neither values nor a deadline. */
export function emptyRecord(): SessionRecord {
  const now = Date.now();
  return { values: new Map(), expiresAt: Infinity, meta: { createdAt: now, seenAt: now, renewedAt: now } };
}

/**
 * A moment that every backend can keep, in milliseconds since the epoch. `Infinity` is one, and never comes. What is none, such as `NaN`, is
 * over: a mistake in a deadline must not make a session that lives for ever.
 */
export function moment(value: number): number {
  return value > 0 ? value : 0;
}

/** Says that a session id cannot be given once more. */
export function idInUse(operation: "create" | "regenerate"): SessionStoreError {
  const which = operation === "create" ? "the session id" : "the new session id";
  return new SessionStoreError(operation, `Cannot ${operation}: ${which} is in use`);
}
