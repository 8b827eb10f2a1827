/**
 * One operation at a time, for each key.
 *
 * @module
 */
import type { MaybePromise } from "./maybe_promise.ts";

/** Returns the error that the waiting operations fail with too, or `undefined` if they go on. */
export type FailureRule = (error: unknown) => Error | undefined;

/**
 * Runs operations of the same key one after the other, in the order in which they were requested.
 */
export class KeyedMutex {
  readonly #failureFor: FailureRule;
  /**
   * The last operation of each key. Resolves when it is over, with the error that those after it
   * fail with too.
   */
  readonly #last = new Map<string, Promise<Error | undefined>>();

  /**
   * @param failureFor which failures of an operation also fail the operations that wait for it,
   * such as a timeout: otherwise each of them would wait for its own. By default none does.
   */
  constructor(failureFor: FailureRule = () => undefined) {
    this.#failureFor = failureFor;
  }

  /** Returns whether an operation of this key is running or waiting. */
  has(key: string): boolean {
    return this.#last.has(key);
  }

  /** Runs an operation after those of the same key that were requested before it. */
  run<T>(key: string, operation: () => Promise<T>): Promise<T> {
    const result = runAfter(this.#last.get(key), operation);
    const ended: Promise<Error | undefined> = result.then(() => undefined, this.#failureFor).then((failure) => {
      if (this.#last.get(key) === ended) this.#last.delete(key);
      return failure;
    });
    this.#last.set(key, ended);
    return result;
  }
}

/**
 * Runs an operation after another one, or immediately if there is none.
 *
 * @param previous resolves when the other operation is over; with an error, which this one fails
 * with too, if that is to be
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
