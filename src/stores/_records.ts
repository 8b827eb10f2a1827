/**
 * Helpers shared by the stores that keep whole records.
 *
 * @module
 */
import { SessionStoreError, UnreadableRecordError } from "../errors.ts";
import type { SessionRecord } from "../session_store.ts";

/** Returns the record of a session that is created now, without values and without an expiry. */
export function emptyRecord(): SessionRecord {
  const now = Date.now();
  return { values: new Map(), expiresAt: Infinity, meta: { createdAt: now, seenAt: now, renewedAt: now } };
}

/**
 * Returns a timestamp that every backend can store, in milliseconds since the epoch. `Infinity` is
 * kept and means "never". A value that is not a timestamp, such as `NaN`, becomes 0. So a wrong
 * expiry ends the session and does not make it permanent.
 */
export function normalizeTimestamp(value: number): number {
  return value > 0 ? value : 0;
}

/**
 * Creates the error of an operation whose new session id another session already has.
 *
 * @param store the name of the store
 */
export function idInUseError(operation: "create" | "regenerate", store: string): SessionStoreError {
  const which = operation === "create" ? "this session id" : "the new session id";
  return new SessionStoreError(
    operation,
    `Cannot ${operation}: ${store} already has a session with ${which}; nothing was written; try again`,
  );
}

/**
 * Creates the error of an operation that found a record that can never be read.
 *
 * Note: the error has no cause, because the message of a `SyntaxError` of `JSON.parse()` quotes the
 * text.
 *
 * @param store the name of the store
 */
export function unreadableError(operation: string, store: string, options?: ErrorOptions): UnreadableRecordError {
  return new UnreadableRecordError(
    operation,
    `Cannot ${operation}: ${store} found a stored session that it cannot read; the session counts as ended; check ` +
      `whether another program, or a later version of this one, writes to the backend of ${store}`,
    options,
  );
}

/**
 * Copies the name, message and code of an error of a client. Its other fields may quote rows,
 * parameters or commands, which contain session ids and values.
 *
 * @param quoted the part of a message to leave out, if the client quotes commands in messages too
 */
export function withoutDetails(error: unknown, quoted: RegExp = /(?!)/): Error {
  if (!(error instanceof Error)) return new Error("The client failed without an error");
  const code: unknown = Reflect.get(error, "code");
  // A new error, because the stack of an error repeats the message that it was created with.
  const safe = new Error((error.message || String(code)).replace(quoted, "…"));
  safe.name = error.name;
  return Object.assign(safe, { code });
}
