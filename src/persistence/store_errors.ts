/**
 * The errors of stores, as this library reports them.
 *
 * @module
 */
import { SessionError, SessionGoneError, SessionStoreError } from "../errors.ts";

/** Calls a store. Whatever it throws or rejects with becomes a {@linkcode SessionError}. */
export async function withStoreErrors<T>(operation: string, call: () => T | PromiseLike<T>, key?: string): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw toSessionError(operation, error, key);
  }
}

/**
 * Converts what a store threw.
 *
 * @param operation what was being done, such as `"set"`
 * @param key the key concerned, for the message
 */
export function toSessionError(operation: string, cause: unknown, key?: string): SessionError {
  if (cause instanceof SessionGoneError) return new SessionGoneError(operation, { cause: cause.cause });
  if (cause instanceof SessionError) return cause;
  const what = key === undefined ? operation : `${operation} ${JSON.stringify(key)}`;
  return new SessionStoreError(operation, `Cannot ${what}: the session store failed`, { cause });
}
