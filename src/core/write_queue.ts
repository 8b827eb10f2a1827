/**
 * The writes of one request: in their order, and none lost sight of.
 *
 * @module
 */

import { findTimeout } from "../persistence/store_timeout.ts";
import { isPending, type MaybePromise } from "../util/maybe_promise.ts";
import { runAfter } from "../util/keyed_mutex.ts";

/** Told of each write that failed. */
export type FailureListener = (operation: string, error: Error, awaited: boolean) => void;

/** How many promise jobs a function may need, from the end of a write that it awaits, to begin the next one: three, and some for those around it. */
const MICROTASK_LIMIT = 6;

/**
 * Runs the writes of a request one after the other. Where one fails because the store took too long, those that wait for it fail too.
 *
 * Applications write without awaiting (`session.set("seen", 1)`). A promise that rejects with nobody listening would end the
 * process, so the queue listens to every one, and remembers the failures that the application never heard of.
 */
export class WriteQueue {
  readonly #onFailure: FailureListener;
  #last: Promise<Error | undefined> | undefined;
  #revision = 0;
  readonly #failures: { write: { observed: boolean }; error: Error }[] = [];

  constructor(onFailure: FailureListener) {
    this.#onFailure = onFailure;
  }

  /** How many writes have begun. */
  get revision(): number {
    return this.#revision;
  }

  /** Resolves when no write is under way, and none begins that waited for another. */
  async idle(): Promise<void> {
    for (let quiet = 0; quiet < MICROTASK_LIMIT; quiet++) {
      const last = this.#last;
      const revision = this.#revision;
      await last;
      // One that is done as soon as it has begun is never the last.
      if (last !== undefined || this.#revision !== revision) quiet = -1;
    }
  }

  /**
   * Runs one write.
   *
   * @param operation what the write is called in reports
   * @param begin runs at once: checks, and does what must be done before this call returns; it gives back what has to wait
   *   for the writes before
   */
  run<T>(operation: string, begin: () => () => MaybePromise<T>): Promise<T> {
    this.#revision++;
    const before = this.#last;
    let outcome: MaybePromise<T>;
    // What those that come later have to wait for too: what fails at once has not waited for the writes before.
    let predecessor: Promise<Error | undefined> | undefined;
    try {
      outcome = runAfter(before, begin());
    } catch (error) {
      outcome = Promise.reject(error);
      predecessor = before;
    }
    // A listener that was told of this write has begun another.
    if (this.#last !== before) predecessor = this.#last;
    return isPending(outcome) ? this.#watch(operation, outcome, predecessor) : Promise.resolve(outcome);
  }

  #watch<T>(operation: string, outcome: Promise<T>, predecessor: Promise<Error | undefined> | undefined): Promise<T> {
    const { promise: write, resolve, reject } = ObservedPromise.pending<T>();
    const leave = (timeout?: Error): Error | undefined => {
      if (this.#last === tracked) this.#last = undefined;
      return timeout;
    };
    const end = (timeout?: Error): MaybePromise<Error | undefined> =>
      predecessor === undefined ? leave(timeout) : predecessor.then(leave);
    const tracked: Promise<Error | undefined> = outcome.then((value) => {
      resolve(value);
      return end();
    }, (error) => {
      this.#failures.push({ write, error });
      this.#report(operation, write, error);
      write.markHandled();
      reject(error);
      return end(findTimeout(error));
    });
    this.#last = tracked;
    return write;
  }

  /**
   * Waits for the writes, and fails where one failed without the application hearing of it.
   *
   * @throws the error of the first such write
   */
  async settle(): Promise<void> {
    await this.idle();
    const unheard = this.#failures.find(({ write }) => !write.observed);
    if (unheard !== undefined) throw unheard.error;
  }

  async #report(operation: string, write: { observed: boolean }, error: Error): Promise<void> {
    // An `await` at the call begins to listen a moment after the call has returned.
    for (let i = 0; i < 3; i++) await undefined;
    this.#onFailure(operation, error, write.observed);
  }
}

/** A promise that knows whether anybody listens to it. `await` calls `then()` of a promise that is not the built-in class. */
class ObservedPromise<T> extends Promise<T> {
  // What `then()` returns is a promise like any other.
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  /** Whether somebody awaits it. */
  observed = false;

  /** Makes one that is under way. */
  static pending<T>(): PromiseWithResolvers<T> & { promise: ObservedPromise<T> } {
    return super.withResolvers<T>() as PromiseWithResolvers<T> & { promise: ObservedPromise<T> };
  }

  /** Listens, past our own `then()`: a rejection that nobody hears of does not end the process. */
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
