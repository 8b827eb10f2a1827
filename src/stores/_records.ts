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

/** Says that a session id cannot be given once more. */
export function idInUse(operation: "create" | "regenerate"): SessionStoreError {
  const which = operation === "create" ? "the session id" : "the new session id";
  return new SessionStoreError(operation, `Cannot ${operation}: ${which} is in use`);
}
