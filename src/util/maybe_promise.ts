/**
 * Results that are either there already or still to come.
 *
 * A session on a `MemoryStore` never has to wait. Code that handles both cases without an `await`
 * saves the promise and its jobs.
 *
 * @module
 */

/** A value, or a promise of it. */
export type MaybePromise<T> = T | Promise<T>;

/**
 * Shared resolved promise, returned by operations that finished synchronously.
 * {@linkcode isPending} recognises it, so nobody waits for it. Every caller gets the same one: do
 * not add properties to it.
 */
export const RESOLVED: Promise<void> = Promise.resolve();

/**
 * Returns whether a result is still to come. A `void` result that is {@linkcode RESOLVED} is there
 * already.
 */
export function isPending<T>(result: MaybePromise<T>): result is Promise<T> {
  return result instanceof Promise && result !== (RESOLVED as unknown);
}

/**
 * Calls a function that may return a value, a promise or any other thenable, and may throw.
 *
 * @returns the value, or a native promise: a thenable becomes one, and what was thrown is its
 * rejection
 */
export function callAsync<T>(call: () => T | PromiseLike<T>): MaybePromise<T> {
  try {
    const result = call();
    return result instanceof Promise || !isThenable(result) ? result : Promise.resolve(result);
  } catch (error) {
    return Promise.reject(error);
  }
}

/**
 * Calls a function as {@linkcode callAsync} does, then continues: synchronously if the result is
 * there already.
 */
export function chain<T, R>(
  call: () => T | PromiseLike<T>,
  next: (result: T) => MaybePromise<R>,
  failed: (error: unknown) => MaybePromise<R>,
): MaybePromise<R> {
  const result = callAsync(call);
  return isPending(result) ? result.then(next, failed) : next(result);
}

/** Does nothing. */
export function noop(): void {}

function isThenable<T>(result: T | PromiseLike<T>): result is PromiseLike<T> {
  return typeof (result as { then?: unknown } | null | undefined)?.then === "function";
}
