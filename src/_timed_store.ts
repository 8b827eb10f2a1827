/**
 * A store that answers in time, or fails.
 *
 * @module
 */
import { SessionStoreError } from "./errors.ts";
import { answerOf, isPromise } from "./_ask.ts";
import { RECORD_METHODS, type SessionStore, STORE_METHODS } from "./session_store.ts";

/** The store gave no answer in time. */
export class StoreTimeout extends Error {
  /** @param seconds how long it had */
  constructor(seconds: number) {
    super(`The session store gave no answer within ${seconds} s`);
  }
}

/**
 * Returns what a step failed with, if that was for lack of time. What waits for that step is not to wait as long for its own.
 */
export function timeoutIn(error: unknown): Error | undefined {
  if (error instanceof StoreTimeout) return error;
  return error instanceof SessionStoreError && error.cause instanceof StoreTimeout ? error : undefined;
}

/**
 * Gives a store's methods a limit of time. What comes of a call later, nobody hears of.
 *
 * @param store the store; the result has the methods that it has, optional ones included, and nothing else
 * @param seconds how long a call may take
 */
export function timed<S extends SessionStore>(store: S, seconds: number): S {
  const methods: Record<string, (...args: unknown[]) => unknown> = {};
  for (const name of [...STORE_METHODS, ...RECORD_METHODS, "listSessions"]) {
    const method: unknown = Reflect.get(store, name);
    if (typeof method !== "function") continue;
    methods[name] = (...args) => {
      const answer = answerOf<unknown>(() => method.apply(store, args));
      return isPromise(answer) ? within(seconds, answer, () => new StoreTimeout(seconds)) : answer;
    };
  }
  return methods as unknown as S;
}

/**
 * Waits for an answer, for so many seconds at most.
 *
 * @param late makes what it rejects with after that
 */
export function within<T>(seconds: number, answer: Promise<T>, late: () => Error): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  // Not unref'd: whoever waits for the answer is to hear of its end, also where nothing else keeps the process.
  const timer = setTimeout(() => reject(late()), seconds * 1000);
  answer.then(resolve, reject).finally(() => clearTimeout(timer));
  return promise;
}
