/**
 * A store that answers in time, or fails.
 *
 * @module
 */
import type { SessionStore } from "./session_store.ts";

/**
 * Gives a store's methods a limit of time. What comes of a call later, nobody hears of.
 *
 * @param store the store; the result has the methods that it has, optional ones included
 * @param seconds how long a call may take
 */
export function timed<S extends SessionStore>(store: S, seconds: number): S {
  return new Proxy(store, {
    get(target, name): unknown {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== "function") return method;
      return (...args: unknown[]) => within(seconds, Promise.resolve(method.apply(target, args)));
    },
  });
}

function within<T>(seconds: number, answer: Promise<T>): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const timer = setTimeout(() => {
    reject(new Error(`The session store gave no answer within ${seconds} s`));
  }, seconds * 1000);
  answer.then(resolve, reject).finally(() => clearTimeout(timer));
  return promise;
}
