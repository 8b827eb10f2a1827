/**
 * Orders the writes of one request and tracks which failures the application handles.
 *
 * @module
 */
import { actionOf } from "../errors.ts";
import { isHeldByCaller, UpdaterError, WithinUpdateError } from "../persistence/running_update.ts";
import { notSentError } from "../persistence/store_errors.ts";
import { earlierTimeout, findTimeout, type StoreTimeoutError } from "../persistence/store_timeout.ts";
import { isPending, type MaybePromise } from "../util/maybe_promise.ts";

/** Called for each write that failed. */
export type FailureListener = (operation: string, error: Error, awaited: boolean) => void;

/**
 * After how many microtasks without a write the queue counts as idle. A function that awaits one
 * write and then starts the next needs three, and the functions around it need a few more.
 */
const MICROTASK_LIMIT = 6;

/** After how many microtasks `await session.set()` has called `then()` of the returned promise. */
const MICROTASKS_TO_AWAIT = 3;

/**
 * Runs the writes of a request one after the other. If a write fails because the store timed out,
 * the writes that wait for it fail too.
 *
 * Applications write without awaiting (`session.set("seen", 1)`). A rejected promise without a
 * handler would terminate the process. The queue therefore handles every promise, and remembers the
 * failures that the application did not handle.
 */
export class WriteQueue {
  /** Whether a write may send the cookie of the session again. */
  mayResendCookie = false;
  readonly #onFailure: FailureListener;
  #last: Promise<StoreTimeoutError | undefined> | undefined;
  #revision = 0;
  readonly #failures: { write: { observed: boolean }; error: Error }[] = [];

  constructor(onFailure: FailureListener) {
    this.#onFailure = onFailure;
  }

  /** How many writes have started. */
  get revision(): number {
    return this.#revision;
  }

  /**
   * Resolves when no write is running, and code that awaited a write has not started another one.
   */
  async idle(): Promise<void> {
    for (let quiet = 0; quiet < MICROTASK_LIMIT; quiet++) {
      const last = this.#last;
      const revision = this.#revision;
      await last;
      // The revision also counts writes that finished synchronously, which are never `#last`.
      if (last !== undefined || this.#revision !== revision) quiet = -1;
    }
  }

  /**
   * Runs one write.
   *
   * @param operation the name of the write in reports
   * @param start runs synchronously. It validates the arguments, and changes the state that the
   * caller sees when this call returns. It returns a function for the rest of the write, which runs
   * after the earlier writes.
   * @returns rejects with a {@linkcode WithinUpdateError} if the call comes from the function of an
   * update that this queue is running
   */
  run<T>(operation: string, start: () => () => MaybePromise<T>): Promise<T> {
    if (isHeldByCaller(this)) {
      return this.#track<T>(operation, Promise.reject(new WithinUpdateError(operation)), this.#last);
    }
    this.#revision++;
    const previous = this.#last;
    let outcome: MaybePromise<T>;
    // An earlier write that later writes must wait for in addition to this one.
    let predecessor: Promise<StoreTimeoutError | undefined> | undefined;
    try {
      outcome = runAfter(previous, operation, start());
    } catch (error) {
      // This write has not waited for the earlier ones.
      outcome = Promise.reject(error);
      predecessor = previous;
    }
    // Another write was started meanwhile, for example by an event listener.
    if (this.#last !== previous) predecessor = this.#last;
    return isPending(outcome) ? this.#track(operation, outcome, predecessor) : Promise.resolve(outcome);
  }

  #track<T>(
    operation: string,
    outcome: Promise<T>,
    predecessor: Promise<StoreTimeoutError | undefined> | undefined,
  ): Promise<T> {
    const { promise: write, resolve, reject } = ObservedPromise.pending<T>();
    const leave = (timeout?: StoreTimeoutError): StoreTimeoutError | undefined => {
      if (this.#last === tracked) this.#last = undefined;
      return timeout;
    };
    const finish = (timeout?: StoreTimeoutError): MaybePromise<StoreTimeoutError | undefined> =>
      predecessor === undefined ? leave(timeout) : predecessor.then(leave);
    const tracked: Promise<StoreTimeoutError | undefined> = outcome.then((value) => {
      resolve(value);
      return finish();
    }, (error) => {
      const thrown = error instanceof UpdaterError ? error.thrown : error;
      this.#failures.push({ write, error: thrown });
      this.#reportFailure(operation, write, error);
      write.markHandled();
      reject(thrown);
      return finish(findTimeout(error));
    });
    this.#last = tracked;
    return write;
  }

  /**
   * Waits until the queue is idle.
   *
   * @throws the error of the first failed write whose promise the application did not await
   */
  async settle(): Promise<void> {
    await this.idle();
    const unhandled = this.#failures.find(({ write }) => !write.observed);
    if (unhandled !== undefined) throw unhandled.error;
  }

  async #reportFailure(operation: string, write: { observed: boolean }, error: Error): Promise<void> {
    for (let i = 0; i < MICROTASKS_TO_AWAIT; i++) await undefined;
    this.#onFailure(operation, error, write.observed);
  }
}

/**
 * Runs an operation after another one, or immediately if there is none.
 *
 * @param previous resolves when the other operation has finished. If it resolves with the error of
 * a timeout, this operation does not run and fails too.
 * @param name the name of the operation, for the message
 */
function runAfter<T>(
  previous: Promise<StoreTimeoutError | undefined> | undefined,
  name: string,
  operation: () => MaybePromise<T>,
): MaybePromise<T> {
  if (previous === undefined) return operation();
  return previous.then((timeout) => {
    if (timeout === undefined) return operation();
    // The same cause, so that the operations that wait for this one fail too.
    throw notSentError(name, actionOf(name), earlierTimeout(timeout), timeout);
  });
}

/**
 * A promise that records whether it is awaited. `await` calls `then()` of a subclass of `Promise`,
 * but not of `Promise` itself.
 */
class ObservedPromise<T> extends Promise<T> {
  // `then()` returns an ordinary promise.
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  /** Whether `then()` was called. */
  observed = false;

  /** Creates a pending promise. */
  static pending<T>(): PromiseWithResolvers<T> & { promise: ObservedPromise<T> } {
    return super.withResolvers<T>() as PromiseWithResolvers<T> & { promise: ObservedPromise<T> };
  }

  /**
   * Handles the rejection without counting as observed, so that it does not terminate the process.
   */
  markHandled(): void {
    super.then(undefined, () => {});
  }

  override then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.observed = true;
    return super.then(onFulfilled, onRejected);
  }
}
