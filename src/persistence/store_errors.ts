/**
 * Converts the errors of stores to the errors of this library.
 *
 * @module
 */
import {
  SessionError,
  SessionGoneError,
  SessionNotSupportedError,
  SessionStoreError,
  UnreadableRecordError,
} from "../errors.ts";
import type { SessionStore } from "../session_store.ts";
import { WithinUpdateError } from "./running_update.ts";
import { StoreTimeoutError, WaitTimeoutError } from "./store_timeout.ts";

/** The operations that write nothing. */
const READS: readonly string[] = ["get", "list", "count", "users"];
/** The operations that end sessions. */
const ENDINGS: readonly string[] = ["destroy", "revokeEverybody"];

/**
 * Calls a store, and converts any error to a {@linkcode SessionError}.
 *
 * @param store the store, as the application created it
 */
export async function withStoreErrors<T>(
  store: SessionStore,
  operation: string,
  call: () => T | PromiseLike<T>,
  key?: string,
): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw toSessionError(store, operation, error, key);
  }
}

/**
 * Converts an error of a store to a {@linkcode SessionError}, except for the error of a call that an
 * updater must not make.
 *
 * @param store the store, as the application created it
 * @param operation the operation that failed, such as `"set"`
 * @param key the key concerned, for the message
 */
export function toSessionError(store: SessionStore, operation: string, cause: unknown, key?: string): Error {
  if (cause instanceof SessionGoneError) return new SessionGoneError(operation, { cause: cause.cause });
  if (cause instanceof SessionError) return cause;
  if (cause instanceof WithinUpdateError) return new WithinUpdateError(operation);
  const action = key === undefined ? operation : `${operation} ${JSON.stringify(key)}`;
  const reason = cause instanceof WaitTimeoutError ? cause.message : failureOf(store, operation, cause);
  return new SessionStoreError(operation, `Cannot ${action}: ${reason}`, { cause });
}

/** Describes a failure: what happened, what became of the session, and what to do. */
function failureOf(store: SessionStore, operation: string, cause: unknown): string {
  const name = nameOf(store);
  const failure = cause instanceof StoreTimeoutError ? `did not answer within ${cause.seconds} s` : "failed";
  const outcome = READS.includes(operation)
    ? "no session is lost"
    : ENDINGS.includes(operation)
    ? "the session may not have ended"
    : "the change may not be stored";
  return `${name} ${failure}; ${outcome}; try again when the store works; see \`cause\``;
}

/** Creates the error of an operation that found the record of an `EncryptedStore`. */
export function encryptedError(operation: string): UnreadableRecordError {
  return new UnreadableRecordError(
    operation,
    `Cannot ${operation}: the values are encrypted; put an EncryptedStore over the store; the session counts as ended`,
  );
}

/** Returns the name of a store's class, for messages; `"SessionStore"` if it has none. */
export function nameOf(store: SessionStore): string {
  const name: string = Object.getPrototypeOf(store)?.constructor?.name || "Object";
  return name === "Object" ? "SessionStore" : name;
}

/** Creates the error of a call that needs an optional method of the store. */
export function unsupportedError(
  operation: string,
  action: string,
  store: SessionStore,
  method: string,
): SessionNotSupportedError {
  return new SessionNotSupportedError(
    operation,
    `Cannot ${action}: ${nameOf(store)} has no ${method}(); use a store that has it, such as PostgresStore`,
  );
}
