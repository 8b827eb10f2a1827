/**
 * A mutex for each key.
 *
 * @module
 */
import type { MaybePromise } from "./maybe_promise.ts";

/** Returns the error that the waiting operations fail with too, or `undefined` if they run. */
export type FailureRule = (error: unknown) => Error | undefined;

/**
 * Runs operations of the same key one after the other, in the order in which they were requested.
 */
export class KeyedMutex {
  readonly #failureFor: FailureRule;
  /**
   * The last operation of each key. Resolves when the operation has finished. If it resolves with
   * an error, the operations that wait for it fail with that error.
   */
  readonly #last = new Map<string, Promise<Error | undefined>>();

  /**
   * @param failureFor which failures of an operation also fail the operations that wait for it. An
   * example is a timeout, because each of them would otherwise wait for a timeout of its own. By
   * default, no failure does.
   */
  constructor(failureFor: FailureRule = () => undefined) {
    this.#failureFor = failureFor;
  }

  /** Returns whether an operation of this key is running or waiting. */
  has(key: string): boolean {
    return this.#last.has(key);
  }

  /** Runs an operation after the earlier operations of the same key. */
  run<T>(key: string, operation: () => Promise<T>): Promise<T> {
    const result = runAfter(this.#last.get(key), operation);
    const finished: Promise<Error | undefined> = result.then(() => undefined, this.#failureFor).then((failure) => {
      if (this.#last.get(key) === finished) this.#last.delete(key);
      return failure;
    });
    this.#last.set(key, finished);
    return result;
  }
}

/**
 * Runs an operation after another one, or immediately if there is none.
 *
 * @param previous resolves when the other operation has finished. If it resolves with an error,
 * this operation does not run and fails with that error.
 */
export function runAfter<T>(
  previous: Promise<Error | undefined> | undefined,
  operation: () => Promise<T>,
): Promise<T>;
export function runAfter<T>(
  previous: Promise<Error | undefined> | undefined,
  operation: () => MaybePromise<T>,
): MaybePromise<T>;
export function runAfter<T>(
  previous: Promise<Error | undefined> | undefined,
  operation: () => MaybePromise<T>,
): MaybePromise<T> {
  if (previous === undefined) return operation();
  return previous.then((failure) => {
    if (failure !== undefined) throw failure;
    return operation();
  });
}
