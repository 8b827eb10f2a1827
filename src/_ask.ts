/**
 * Calls of a store.
 *
 * @module
 */
import { SessionError, SessionGoneError, SessionStoreError } from "./errors.ts";

/** What is there at once, or comes later. */
export type Answer<T> = T | Promise<T>;

/**
 * What returns a promise, and is done already, returns this one: then nobody waits for it. Every caller has the same one, so nothing may be
 * put on it.
 */
export const DONE: Promise<void> = Promise.resolve();

/** Tells whether an answer comes later. */
export function isPromise<T>(answer: Answer<T>): answer is Promise<T> {
  return answer instanceof Promise && answer !== (DONE as unknown);
}

/** Takes a step. What comes later is a promise of the language, whatever a store has in its place; and so is what was thrown. */
export function answerOf<T>(step: () => Answer<T>): Answer<T> {
  try {
    const answer = step();
    if (answer instanceof Promise) return answer;
    const { then } = (answer ?? {}) as { then?: unknown };
    return typeof then === "function" ? Promise.resolve(answer) : answer;
  } catch (cause) {
    return Promise.reject(cause);
  }
}

/** Takes a step, and goes on from its answer: at once where that is there. */
export function after<T, R>(
  step: () => Answer<T>,
  next: (answer: T) => Answer<R>,
  failed: (cause: unknown) => Answer<R>,
): Answer<R> {
  const answer = answerOf(step);
  return isPromise(answer) ? answer.then(next, failed) : next(answer);
}

/** Goes on with nothing. */
export const nothing = (): void => {};

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
