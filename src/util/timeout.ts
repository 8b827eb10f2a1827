/**
 * A time limit for a promise.
 *
 * @module
 */

/**
 * Waits for a promise, for a limited time. The result of a promise that takes longer is ignored.
 *
 * @param promise what to wait for
 * @param seconds how long to wait
 * @param makeError creates the error that is thrown after that time
 */
export function withTimeout<T>(promise: Promise<T>, seconds: number, makeError: () => Error): Promise<T> {
  const { promise: limited, resolve, reject } = Promise.withResolvers<T>();
  // Not unref'd: the process must not exit while somebody waits for the error.
  const timer = setTimeout(() => reject(makeError()), seconds * 1000);
  promise.then(resolve, reject).finally(() => clearTimeout(timer));
  return limited;
}
