/**
 * The state that all middlewares of this process share for one store.
 *
 * @module
 */
import { type CountingStore, isCountingStore, isPrincipalListStore, type PrincipalListStore } from "../admin_store.ts";
import { type SessionEnd, SessionNotSupportedError } from "../errors.ts";
import {
  isPrincipalStore,
  isRecordStore,
  type PrincipalStore,
  type SessionStore,
  STORE_METHODS,
} from "../session_store.ts";
import { describeType, nameOf } from "../util/describe_value.ts";
import { ExpiringMap } from "../util/expiring_map.ts";
import { KeyedMutex } from "../util/keyed_mutex.ts";
import { isWatchedStore } from "../watched_store.ts";
import { BasicStoreAdapter, BasicStoreState } from "./basic_store_adapter.ts";
import { Clears } from "./clears.ts";
import { EvictingAdapter } from "./evicting_adapter.ts";
import { RecordStoreAdapter } from "./record_store_adapter.ts";
import { type CacheLimits, SessionCache } from "./session_cache.ts";
import { SessionSignals } from "./session_signals.ts";
import type { StoreAdapter } from "./store_adapter.ts";
import { EarlierTimeoutError, findTimeout, WaitTimeoutError, withStoreTimeout } from "./store_timeout.ts";
import { StoreWatch } from "./store_watch.ts";

/**
 * The maximum size of {@linkcode SharedStore.ended}. Only lookups that run while a session is being
 * ended need an entry, and sessions that the store failed to remove.
 */
const MAX_ENDED = 10_000;

/** How many replaced ids are remembered. */
const MAX_REPLACED = 10_000;

/** How long an operation waits for an earlier one without a `storeTimeout`, in seconds. */
const DEFAULT_MAX_WAIT = 10;

/** What a store can do, each with the timeout applied. */
interface Capabilities {
  /** The operations of sessions. */
  readonly adapter: StoreAdapter;
  /** The store, if it can find the sessions of a user. */
  readonly principals: PrincipalStore | undefined;
  /** The store, if it can count its sessions. */
  readonly counting: CountingStore | undefined;
  /** The store, if it can list its users. */
  readonly principalLists: PrincipalListStore | undefined;
}

/** The adapter, the timeout and the mutexes of one store. */
export class SharedStore {
  /** Runs the operations on a user's sessions one after the other. */
  readonly userMutex: KeyedMutex = this.#createMutex(
    () => this.#maxCallWait,
    (seconds, name) =>
      `another sign-in of the user has not finished within ${seconds} s; the user is signed in, and may have too many ` +
      `sessions until the next sign-in; check that ${name} answers`,
  );
  /** The sessions that this process has ended, by their id. */
  readonly ended: ExpiringMap<{ expiresAt: number; end: SessionEnd }> = new ExpiringMap(MAX_ENDED);
  /** The session ids that this process has replaced. */
  readonly replaced: ExpiringMap<{ expiresAt: number }> = new ExpiringMap(MAX_REPLACED);
  readonly clears: Clears = new Clears();
  readonly watch: StoreWatch;
  /** The sessions whose signals are in use. */
  readonly signals: SessionSignals;
  readonly #updateMutex = this.#createMutex(
    () => this.#timeoutSeconds === Infinity ? DEFAULT_MAX_WAIT : this.#timeoutSeconds,
    (seconds, name) =>
      `another update() of the value has not finished within ${seconds} s; nothing was written; check that its ` +
      `function returns, and that ${name} answers`,
  );
  readonly #basicState: BasicStoreState;
  /** The store, as the application created it. */
  readonly store: SessionStore;
  #timeoutSeconds = Infinity;
  #cache: SessionCache | undefined;
  #capabilities: Capabilities;

  constructor(store: SessionStore) {
    this.store = store;
    this.#basicState = new BasicStoreState(
      this.#createMutex(
        () => this.#maxCallWait,
        (seconds, name) =>
          `an earlier operation on the session has not finished within ${seconds} s, so this one did not begin; check ` +
          `that ${name} answers`,
      ),
      this.#updateMutex,
      this.clears,
    );
    this.watch = new StoreWatch(store);
    this.signals = new SessionSignals(this.watch, () => this.adapter, (sid) => this.#endOf(sid));
    this.#capabilities = this.#adapt();
  }

  /** The operations of sessions on the store, with the timeout applied. */
  get adapter(): StoreAdapter {
    return this.#capabilities.adapter;
  }

  /** The optional capabilities of the store, with the timeout applied. */
  get capabilities(): Omit<Capabilities, "adapter"> {
    return this.#capabilities;
  }

  /** Sets the timeout of each store call, in seconds, unless a shorter one is already set. */
  limit(seconds: number): void {
    if (seconds >= this.#timeoutSeconds) return;
    this.#timeoutSeconds = seconds;
    this.#capabilities = this.#adapt();
  }

  /**
   * Keeps the records of lookups. The strictest limits that were set apply.
   *
   * @throws {SessionNotSupportedError} if the store does not report every change
   */
  enableCache(limits: CacheLimits): SessionCache {
    if (!isWatchedStore(this.store) || !this.store.reportsAll) {
      throw new SessionNotSupportedError(
        "cache",
        `Cannot start sessions: \`cache\` needs a store that reports every change, and ${
          nameOf(this.store)
        } does not; use ` +
          "RedisStore on a single server (a Redis Cluster loses reports after a failover), or PostgresStore with " +
          '`notify: "all"`, or remove `cache`',
      );
    }
    if (this.#cache === undefined) {
      this.#cache = new SessionCache(this.watch, limits);
      this.#capabilities = this.#adapt();
    } else this.#cache.limit(limits);
    return this.#cache;
  }

  /** Returns how this process has ended a session, or is about to. */
  #endOf(sid: string): SessionEnd | undefined {
    return this.ended.get(sid)?.end ?? (this.clears.isRunning ? "revoked" : undefined);
  }

  /**
   * How long to wait for an operation that consists of store calls. With a timeout, each of them
   * ends by itself, and a healthy operation of several calls may take longer than one timeout.
   */
  get #maxCallWait(): number {
    return this.#timeoutSeconds === Infinity ? DEFAULT_MAX_WAIT : Infinity;
  }

  /**
   * @param reason returns the text of the error; receives how long the operation has waited, in
   * seconds, and the name of the store
   */
  #createMutex(maxWait: () => number, reason: (seconds: number, store: string) => string): KeyedMutex {
    return new KeyedMutex({
      failureFor: (error) => {
        const timeout = findTimeout(error);
        return timeout && new EarlierTimeoutError(timeout);
      },
      get maxWait(): number {
        return maxWait();
      },
      createTimeoutError: (seconds) => new WaitTimeoutError(reason(seconds, nameOf(this.store))),
    });
  }

  /** The capabilities are those of the store itself, also if its methods are wrapped. */
  #adapt(): Capabilities {
    const store = this.store;
    const seconds = this.#timeoutSeconds;
    const wrap = <S extends SessionStore>(store: S): S =>
      seconds === Infinity ? store : withStoreTimeout(store, seconds);
    const adapter = isRecordStore(store)
      ? new RecordStoreAdapter(wrap(store), this.#updateMutex)
      : new BasicStoreAdapter(wrap(store), this.#basicState);
    return {
      adapter: this.#cache === undefined ? adapter : new EvictingAdapter(adapter, this.#cache),
      principals: isPrincipalStore(store) ? wrap(store) : undefined,
      counting: isCountingStore(store) ? wrap(store) : undefined,
      principalLists: isPrincipalListStore(store) ? wrap(store) : undefined,
    };
  }
}

const sharedStores = new WeakMap<SessionStore, SharedStore>();

/**
 * Returns the shared state of a store.
 *
 * @throws {TypeError} if one of the eight methods is missing
 */
export function sharedStoreOf(store: SessionStore): SharedStore {
  let shared = sharedStores.get(store);
  if (shared === undefined) {
    const missing = STORE_METHODS.filter((name) => typeof store?.[name] !== "function");
    if (missing.length > 0) {
      const lacks = Object(store) === store ? `, which lacks ${missing.join(", ")}` : "";
      const received = `${describeType(store)}${lacks}`;
      throw new TypeError(`Cannot start sessions: the first argument must be a SessionStore; received ${received}`);
    }
    sharedStores.set(store, shared = new SharedStore(store));
  }
  return shared;
}
