/**
 * A timeout for the calls of a store.
 *
 * @module
 */
import { ALL_METHODS } from "../admin_store.ts";
import { SessionStoreError } from "../errors.ts";
import type { SessionStore } from "../session_store.ts";
import { nameOf, STORE_NAME } from "../util/describe_value.ts";
import { callAsync, isPending } from "../util/maybe_promise.ts";
import { withTimeout } from "../util/timeout.ts";

/** The store did not answer in time. */
export class StoreTimeoutError extends Error {
  /** The name of the store. */
  readonly store: string;
  /** The timeout, in seconds. */
  readonly seconds: number;

  /**
   * @param store the name of the store
   * @param seconds the timeout
   */
  constructor(store: string, seconds: number) {
    super(`${store} did not answer within ${seconds} s`);
    this.store = store;
    this.seconds = seconds;
  }
}

/** An error of the library itself, whose message completes "Cannot <operation>: …". */
export class ReasonError extends Error {}

/** An operation has waited too long for an earlier one. */
export class WaitTimeoutError extends ReasonError {}

/** Returns the reason of a call that was queued after one that timed out. The timeout is its cause. */
export function earlierTimeout({ store, seconds }: StoreTimeoutError): string {
  return `${store} did not answer an earlier call within ${seconds} s, so this call was not sent to it; try again when ` +
    "the store works";
}

/**
 * An operation was queued after one that timed out. It fails at once, because it would otherwise
 * wait for a timeout of its own.
 */
export class EarlierTimeoutError extends ReasonError {
  /** @param cause the timeout of the earlier operation */
  constructor(cause: StoreTimeoutError) {
    super(earlierTimeout(cause), { cause });
  }
}

/** Returns the timeout that an operation has failed with; `undefined` if it was another error. */
export function findTimeout(error: unknown): StoreTimeoutError | undefined {
  const isConverted = error instanceof SessionStoreError || error instanceof EarlierTimeoutError;
  const timeout = isConverted ? error.cause : error;
  return timeout instanceof StoreTimeoutError ? timeout : undefined;
}

/** The calls that concern all sessions. They may take longer than any call that concerns one. */
const UNLIMITED: readonly string[] = ["clear", "countSessions"];

/**
 * Limits how long each call of a store may take, except for those that concern all sessions. The
 * result of a call that takes longer is ignored.
 *
 * @param store the store, as the application created it
 * @param seconds the timeout of one call
 * @returns an object with the name and the methods of the store, optional ones included, and
 * nothing else
 */
export function withStoreTimeout<S extends SessionStore>(store: S, seconds: number): S {
  const storeName = nameOf(store);
  const methods: Record<string, (...args: unknown[]) => unknown> = {};
  for (const name of ALL_METHODS) {
    const method: unknown = Reflect.get(store, name);
    if (typeof method !== "function") continue;
    if (UNLIMITED.includes(name)) {
      methods[name] = method.bind(store);
      continue;
    }
    methods[name] = (...args) => {
      const result = callAsync<unknown>(() => method.apply(store, args));
      return isPending(result) ? withTimeout(result, seconds, () => new StoreTimeoutError(storeName, seconds)) : result;
    };
  }
  return Object.assign(methods, { [STORE_NAME]: storeName }) as unknown as S;
}
