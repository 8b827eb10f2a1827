/**
 * Converts the errors of stores to the errors of this library.
 *
 * @module
 */
import {
  actionOf,
  cannot,
  SessionError,
  SessionGoneError,
  SessionNotSupportedError,
  SessionStoreError,
  UnreadableRecordError,
} from "../errors.ts";
import type { SessionStore } from "../session_store.ts";
import { nameOf } from "../util/describe_value.ts";
import { UpdaterError, WithinUpdateError } from "./running_update.ts";
import { ReasonError, StoreTimeoutError } from "./store_timeout.ts";

/** What becomes of a session if the store fails in an operation; the other operations are writes. */
const OUTCOMES: Readonly<Partial<Record<string, string>>> = {
  get: "nothing was changed",
  list: "nothing was changed",
  count: "nothing was changed",
  users: "nothing was changed",
  create: "the visitor gets no session",
  regenerate: "the session may have a new id that the visitor does not receive",
  clear: "the values may still be stored, and the user may still be signed in",
  destroy: "the session may not have ended",
  revokeEverybody: "some sessions may not have ended",
};

/** The operations that matter to the visitor even if the store was not called. */
const LEFT_UNDONE: readonly string[] = ["create", "clear", "destroy"];

/** The operations that write values. */
const WRITES_OF_VALUES: readonly string[] = ["set", "update", "create", "regenerate"];

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
 * Converts an error of a store to a {@linkcode SessionError}, except for the error of a call that
 * an updater must not make.
 *
 * @param store the store, as the application created it
 * @param operation the operation that failed, such as `"set"`
 * @param key the key concerned, for the message
 */
export function toSessionError(store: SessionStore, operation: string, cause: unknown, key?: string): Error {
  if (cause instanceof SessionGoneError) return new SessionGoneError(operation, { cause: cause.cause });
  if (cause instanceof SessionError || cause instanceof UpdaterError) return cause;
  if (cause instanceof WithinUpdateError) return new WithinUpdateError(operation);
  const action = key === undefined ? actionOf(operation) : `${operation} ${JSON.stringify(key)}`;
  if (cause instanceof ReasonError) {
    return notSentError(operation, action, cause.message, cause.cause ?? cause);
  }
  return new SessionStoreError(operation, `Cannot ${action}: ${failureOf(store, operation, cause)}`, { cause });
}

/**
 * Creates the error of an operation for which the store was not called, or did not do anything.
 *
 * @param action the operation in words
 */
export function notSentError(operation: string, action: string, reason: string, cause: unknown): SessionStoreError {
  const outcome = LEFT_UNDONE.includes(operation) ? `; ${OUTCOMES[operation]}` : "";
  return new SessionStoreError(operation, `Cannot ${action}: ${reason}${outcome}`, { cause });
}

/** Describes a failure: what happened, what became of the session, and what to do. */
function failureOf(store: SessionStore, operation: string, cause: unknown): string {
  const name = nameOf(store);
  // A store refuses a value that it cannot keep, for example because it is too large.
  if (cause instanceof RangeError && WRITES_OF_VALUES.includes(operation)) {
    return `${name} refused a value; nothing was changed; see \`cause\``;
  }
  const failure = cause instanceof StoreTimeoutError ? `did not answer within ${cause.seconds} s` : "failed";
  const outcome = OUTCOMES[operation] ?? "the change may or may not be stored";
  return `${name} ${failure}; ${outcome}; see \`cause\`, and try again when the store works`;
}

/** Creates the error of an operation on a session that the store failed to look up. */
export function unavailableError(
  operation: string,
  store: SessionStore,
  cause: SessionStoreError,
): SessionStoreError {
  const reason =
    `the session is not available, because ${nameOf(store)} failed at the beginning of the request; this ` +
    "call did nothing; see `cause`; a later request can use the session when the store works";
  return new SessionStoreError(operation, cannot(operation, reason), { cause });
}

/** Creates the error of an operation that found the record of an `EncryptedStore`. */
export function encryptedError(operation: string, store: SessionStore): UnreadableRecordError {
  return new UnreadableRecordError(
    operation,
    `Cannot ${operation}: the session's values in ${nameOf(store)} are encrypted; the session counts as ended; pass ` +
      "the middleware an EncryptedStore over this store",
  );
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
