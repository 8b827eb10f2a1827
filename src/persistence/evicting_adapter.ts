/**
 * The operations of a session on a store whose records are also kept in memory.
 *
 * @module
 */
import type { SessionRecord, SessionTrace } from "../session_store.ts";
import type { MaybePromise } from "../util/maybe_promise.ts";
import type { SessionCache } from "./session_cache.ts";
import type {
  AdapterRecord,
  CachedValue,
  RenewOptions,
  SessionChange,
  StoreAdapter,
  ValueUpdater,
} from "./store_adapter.ts";

/** Removes from the cache what a write changes. Reads ask the store. */
export class EvictingAdapter implements StoreAdapter {
  readonly #adapter: StoreAdapter;
  readonly #cache: SessionCache;

  constructor(adapter: StoreAdapter, cache: SessionCache) {
    this.#adapter = adapter;
    this.#cache = cache;
  }

  read(sid: string): MaybePromise<AdapterRecord | SessionTrace | undefined> {
    return this.#adapter.read(sid);
  }

  create(sid: string, record: SessionRecord): Promise<void> {
    return this.#cache.write([sid], () => this.#adapter.create(sid, record));
  }

  set(sid: string, key: string, value: unknown): Promise<void> {
    return this.#cache.write([sid], () => this.#adapter.set(sid, key, value));
  }

  setAll(sid: string, values: ReadonlyMap<string, unknown>): Promise<void> {
    return this.#cache.write([sid], () => this.#adapter.setAll(sid, values));
  }

  update(sid: string, key: string, updater: ValueUpdater, cached?: CachedValue): Promise<void> {
    return this.#cache.write([sid], () => this.#adapter.update(sid, key, updater, cached));
  }

  change(sid: string, change: SessionChange): Promise<boolean> {
    return this.#cache.write([sid], () => this.#adapter.change(sid, change));
  }

  move(sid: string, newSid: string, options: RenewOptions): Promise<void> {
    return this.#cache.write([sid, newSid], () => this.#adapter.move(sid, newSid, options));
  }

  delete(sid: string): Promise<void> {
    return this.#cache.write([sid], () => this.#adapter.delete(sid));
  }

  clear(): Promise<void> {
    return this.#cache.write([undefined], () => this.#adapter.clear());
  }
}
