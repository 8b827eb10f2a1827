/**
 * A mutex for each key.
 *
 * @module
 */
import { callAsync, isPending, type MaybePromise } from "./maybe_promise.ts";

/** What {@linkcode KeyedMutex} does when an operation fails or takes too long. */
export interface MutexRules {
  /**
   * Returns the error that the waiting operations fail with too, or `undefined` if they run. An
   * example is a timeout, because each of them would otherwise wait for a timeout of its own.
   */
  failureFor(error: unknown): Error | undefined;
  /**
   * How long an operation waits for one other operation to finish, in seconds. `Infinity` means
   * without a limit.
   */
  readonly maxWait: number;
  /** Creates the error of an operation that has waited for that time. */
  createTimeoutError(seconds: number): Error;
}

/** Starts an operation that was waiting, or lets it fail. */
type Waiter = (failure: Error | undefined) => void;

/** The operations that wait for the one that runs. */
interface Queue {
  readonly waiters: Set<Waiter>;
  /**
   * When the running operation started, in milliseconds of `performance.now()`; `undefined` if that
   * was before the others began to wait.
   */
  startedAt: number | undefined;
}

/**
 * Runs operations of the same key one after the other, in the order in which they were requested.
 */
export class KeyedMutex {
  readonly #rules: MutexRules | undefined;
  /** The keys of the running operations, each with the queue if there is one. */
  readonly #queues = new Map<string, Queue | undefined>();

  /** @param rules by default, every operation runs, however long it has to wait */
  constructor(rules?: MutexRules) {
    this.#rules = rules;
  }

  /** Returns whether an operation of this key is running or waiting. */
  has(key: string): boolean {
    return this.#queues.has(key);
  }

  /**
   * Runs an operation after the earlier operations of the same key. An operation that has waited
   * too long never runs.
   */
  run<T>(key: string, operation: () => MaybePromise<T>): Promise<T> {
    if (this.#queues.has(key)) return this.#runLater(key, operation);
    this.#queues.set(key, undefined);
    return this.#hold(key, operation);
  }

  async #runLater<T>(key: string, operation: () => MaybePromise<T>): Promise<T> {
    await this.#wait(key);
    return await this.#hold(key, operation);
  }

  #hold<T>(key: string, operation: () => MaybePromise<T>): Promise<T> {
    const result = callAsync(operation);
    if (isPending(result)) {
      result.then(() => this.#release(key), (error) => this.#release(key, this.#rules?.failureFor(error)));
      return result;
    }
    this.#release(key);
    return Promise.resolve(result);
  }

  #wait(key: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const queue = this.#queues.get(key) ?? { waiters: new Set(), startedAt: undefined };
    this.#queues.set(key, queue);
    const expire = (rules: MutexRules): void => {
      const limit = rules.maxWait * 1000;
      const waited = queue.startedAt === undefined ? limit : performance.now() - queue.startedAt;
      // Another operation has started since. A long queue that moves on fails nobody.
      if (waited < limit) return startTimer(rules, limit - waited);
      // It leaves no trace, because the running operation may never finish.
      queue.waiters.delete(waiter);
      reject(rules.createTimeoutError(rules.maxWait));
    };
    let timer: ReturnType<typeof setTimeout> | undefined;
    const startTimer = (rules: MutexRules, milliseconds: number): void => {
      // Not unref'd, because the process must not exit while a caller waits for the error.
      if (milliseconds !== Infinity) timer = setTimeout(expire, milliseconds, rules);
    };
    if (this.#rules !== undefined) startTimer(this.#rules, this.#rules.maxWait * 1000);
    const waiter: Waiter = (failure) => {
      clearTimeout(timer);
      if (failure === undefined) resolve();
      else reject(failure);
    };
    queue.waiters.add(waiter);
    return promise;
  }

  /** Starts the next operation, or fails all that wait. */
  #release(key: string, failure?: Error): void {
    const queue = this.#queues.get(key);
    const next = failure === undefined ? queue?.waiters.values().next().value : undefined;
    if (queue === undefined || next === undefined) {
      this.#queues.delete(key);
      for (const waiter of queue?.waiters ?? []) waiter(failure);
      return;
    }
    queue.waiters.delete(next);
    queue.startedAt = performance.now();
    next(undefined);
  }
}
