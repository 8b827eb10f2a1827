/**
 * The operations of a session on a `RecordStore`: one round trip each.
 *
 * @module
 */
import { SessionGoneError } from "../errors.ts";
import type { RecordAnswer, RecordStore, SessionRecord } from "../session_store.ts";
import type { KeyedMutex } from "../util/keyed_mutex.ts";
import { callAsync, isPending, type MaybePromise } from "../util/maybe_promise.ts";
import type { CachedValue, RenewOptions, SessionChange, StoreAdapter, ValueUpdater } from "./store_adapter.ts";
import { encryptedError } from "./store_errors.ts";
import { updateValue, type ValueAccess } from "./update_value.ts";

/** Implements the operations on a {@linkcode RecordStore}. */
export class RecordStoreAdapter implements StoreAdapter {
  readonly #store: RecordStore;
  readonly #mutex: KeyedMutex;

  /** @param mutex serializes the updates of one value in this process */
  constructor(store: RecordStore, mutex: KeyedMutex) {
    this.#store = store;
    this.#mutex = mutex;
  }

  read(sid: string): MaybePromise<RecordAnswer> {
    const answer = callAsync(() => this.#store.readRecord(sid));
    // A store written in JavaScript may return null.
    return isPending(answer) ? answer.then((record) => record ?? undefined) : answer ?? undefined;
  }

  create(sid: string, record: SessionRecord): Promise<void> {
    return this.#store.createRecord(sid, record);
  }

  set(sid: string, key: string, value: unknown): Promise<void> {
    return this.#store.setValue(sid, key, value);
  }

  async setAll(sid: string, set: ReadonlyMap<string, unknown>): Promise<void> {
    await this.#store.changeRecord(sid, { set });
  }

  update(sid: string, key: string, updater: ValueUpdater, cached?: CachedValue): Promise<void> {
    const access: ValueAccess<CachedValue> = {
      read: async () => {
        const record = await this.read(sid);
        if (record === undefined || !("values" in record)) throw new SessionGoneError("update");
        if (record.meta.encrypted !== undefined) throw encryptedError("update", this.#store);
        return { version: record.version, value: record.values.get(key) };
      },
      write: ({ version }, next) => this.#store.changeRecord(sid, { ifVersion: version, set: new Map([[key, next]]) }),
    };
    return updateValue(this.#mutex, sid, key, updater, access, cached);
  }

  change(sid: string, change: SessionChange): Promise<boolean> {
    return this.#store.changeRecord(sid, change);
  }

  async move(sid: string, newSid: string, options: RenewOptions): Promise<void> {
    await this.#store.moveRecord(sid, newSid, options);
  }

  delete(sid: string): Promise<void> {
    return this.#store.delete(sid);
  }

  clear(): Promise<void> {
    return this.#store.clear();
  }
}
