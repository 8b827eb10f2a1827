/**
 * Results that are available synchronously or as a promise.
 *
 * A `MemoryStore` returns its results synchronously. Code that handles both cases without an
 * `await` saves the promise and its microtasks.
 *
 * @module
 */

/** A value, or a promise of it. */
export type MaybePromise<T> = T | Promise<T>;

/**
 * Shared resolved promise, returned by operations that finished synchronously.
 * {@linkcode isPending} recognizes it, so that callers do not wait for it. All callers share this
 * promise, so do not add properties to it.
 */
export const RESOLVED: Promise<void> = Promise.resolve();

/**
 * Returns whether a result must be awaited. {@linkcode RESOLVED} need not, because it stands for a
 * `void` result that is available.
 */
export function isPending<T>(result: MaybePromise<T>): result is Promise<T> {
  return result instanceof Promise && result !== (RESOLVED as unknown);
}

/**
 * Calls a function that may return a value, a promise or any other thenable, and may throw.
 *
 * @returns the value, or a native promise. A thenable is converted to a native promise, and a
 * thrown error to a rejection.
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
 * Calls a function as {@linkcode callAsync} does, then `next` with the result or `failed` with the
 * error. `next` is called synchronously if the result is available synchronously.
 */
export function chain<T, R>(
  call: () => T | PromiseLike<T>,
  next: (result: T) => MaybePromise<R>,
  failed: (error: unknown) => MaybePromise<R>,
): MaybePromise<R> {
  const result = callAsync(call);
  return isPending(result) ? result.then(next, failed) : next(result);
}

export function noop(): void {}

function isThenable<T>(result: T | PromiseLike<T>): result is PromiseLike<T> {
  return typeof (result as { then?: unknown } | null | undefined)?.then === "function";
}
