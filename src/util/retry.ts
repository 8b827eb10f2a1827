/**
 * Retries with a random exponential backoff.
 *
 * @module
 */
import type { MaybePromise } from "./maybe_promise.ts";

/** The longest delay before another attempt, in milliseconds. */
const MAX_DELAY_MS = 32;

/**
 * Calls an operation until it succeeds. The first call is synchronous. A random delay precedes
 * every other call, so that processes that failed together do not all retry at the same time.
 *
 * @param operation the function to call
 * @param deadline the time from which the operation is not called again, in milliseconds of
 * `performance.now()`, because the system clock of `Date.now()` may be adjusted in the meantime
 * @param isRetryable returns whether another call may succeed after this error
 * @returns the result of the first call that succeeds
 * @throws the error of the last call if it is not retryable, or if the next call would come at or
 * after the deadline
 */
export async function retry<T>(
  operation: () => MaybePromise<T>,
  deadline: number,
  isRetryable: (error: unknown) => boolean,
): Promise<T> {
  for (let maxDelay = 1;; maxDelay = Math.min(2 * maxDelay, MAX_DELAY_MS)) {
    try {
      return await operation();
    } catch (error) {
      if (!isRetryable(error)) throw error;
      const delay = Math.random() * maxDelay;
      if (performance.now() + delay >= deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, delay));
    }
  }
}
