/**
 * A health check of a session store.
 *
 * @module
 */
import { newSessionId } from "../cookie/session_id.ts";
import { SessionStoreError } from "../errors.ts";
import { StoreTimeoutError } from "../persistence/store_timeout.ts";
import { isPingableStore, type SessionStore } from "../session_store.ts";
import { nameOf } from "../util/describe_value.ts";
import { withTimeout } from "../util/timeout.ts";

/** The result of a health check of a store that works. */
export interface StoreHealth {
  /** The name of the store, such as `"RedisStore"` or `"EncryptedStore over RedisStore"`. */
  readonly store: string;
  /** How long the store took to answer, in milliseconds, with fractions. */
  readonly latency: number;
}

/** How long the store may take to answer without a `storeTimeout`, in seconds. */
const DEFAULT_TIMEOUT = 5;

/**
 * Asks a store whether its backend answers.
 *
 * @param store the store
 * @param seconds how long the store may take
 * @throws {SessionStoreError} if the store fails, or does not answer in time
 */
export async function checkHealth(store: SessionStore, seconds: number = DEFAULT_TIMEOUT): Promise<StoreHealth> {
  // Not `store.constructor`, which a proxy that wraps methods may wrap too.
  const name = nameOf(store);
  const startedAt = performance.now();
  try {
    const call = Promise.try((): unknown => isPingableStore(store) ? store.ping() : store.exist(newSessionId()));
    await withTimeout(call, seconds, () => new StoreTimeoutError(name, seconds));
  } catch (cause) {
    if (cause instanceof SessionStoreError) throw cause;
    const reason = cause instanceof StoreTimeoutError
      ? `it did not answer within ${seconds} s`
      : "it failed; see `cause`";
    throw new SessionStoreError("ping", `Cannot ping ${name}: ${reason}; check its backend`, { cause });
  }
  return { store: name, latency: performance.now() - startedAt };
}
