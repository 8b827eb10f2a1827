/**
 * A timeout for a promise.
 *
 * @module
 */

/**
 * Waits for a promise, for a limited time. The result of a promise that takes longer is ignored.
 *
 * @param promise the promise to wait for
 * @param seconds how long to wait
 * @param createError creates the error that is thrown after that time
 */
export function withTimeout<T>(promise: Promise<T>, seconds: number, createError: () => Error): Promise<T> {
  const { promise: limited, resolve, reject } = Promise.withResolvers<T>();
  // Not unref'd, because the process must not exit while a caller waits for the error.
  const timer = setTimeout(() => reject(createError()), seconds * 1000);
  promise.then(resolve, reject).finally(() => clearTimeout(timer));
  return limited;
}
