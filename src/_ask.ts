/**
 * Calls of a store.
 *
 * @module
 */
import { SessionError, SessionGoneError, SessionStoreError } from "./errors.ts";

/** Calls a store; whatever it throws or rejects with becomes a {@linkcode SessionError}. */
export async function ask<T>(operation: string, call: () => T | PromiseLike<T>, what = operation): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    if (cause instanceof SessionGoneError) throw new SessionGoneError(operation, { cause: cause.cause });
    if (cause instanceof SessionError) throw cause;
    throw new SessionStoreError(operation, `Cannot ${what}: the session store failed`, { cause });
  }
}
