/**
 * Calls of a store.
 *
 * @module
 */
import { SessionError, SessionGoneError, SessionStoreError } from "./errors.ts";

/** What a store answers at once, or later. */
export type Answer<T> = T | Promise<T>;

/** Tells whether an answer comes later. A store may have promises of its own. */
export function isPromise<T>(answer: Answer<T>): answer is Promise<T> {
  return answer instanceof Promise ||
    typeof (answer as Partial<PromiseLike<T>> | null | undefined)?.then === "function";
}

/** Calls a store; whatever it throws or rejects with becomes a {@linkcode SessionError}. */
export async function ask<T>(operation: string, call: () => T | PromiseLike<T>, key?: string): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    throw asSessionError(operation, cause, key);
  }
}

/**
 * Makes a {@linkcode SessionError} of what a store threw.
 *
 * @param key the key that it was about, for the message
 */
export function asSessionError(operation: string, cause: unknown, key?: string): SessionError {
  if (cause instanceof SessionGoneError) return new SessionGoneError(operation, { cause: cause.cause });
  if (cause instanceof SessionError) return cause;
  const what = key === undefined ? operation : `${operation} ${JSON.stringify(key)}`;
  return new SessionStoreError(operation, `Cannot ${what}: the session store failed`, { cause });
}
