/**
 * The operations of a session on a `RecordStore`: one round trip each.
 *
 * @module
 */
import { SessionGoneError } from "../errors.ts";
import type { RecordAnswer, RecordStore, SessionRecord } from "../session_store.ts";
import type { KeyedMutex } from "../util/keyed_mutex.ts";
import { callAsync, isPending, type MaybePromise } from "../util/maybe_promise.ts";
import { areEqual } from "../util/equal_values.ts";
import { isHeldByCaller, WithinUpdateError } from "./running_update.ts";
import {
  type CachedValue,
  type RenewOptions,
  type SessionChange,
  type StoreAdapter,
  updateMutexKey,
  type ValueUpdater,
} from "./store_adapter.ts";

/**
 * The maximum number of attempts of an update. Each failed attempt means that another change
 * succeeded.
 */
const MAX_ATTEMPTS = 1000;

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

  update(sid: string, key: string, updater: ValueUpdater, cached?: CachedValue): Promise<void> {
    const mutexKey = updateMutexKey(sid, key);
    const isBusy = this.#mutex.has(mutexKey);
    if (isBusy && isHeldByCaller(mutexKey)) throw new WithinUpdateError("update");
    // A cached value is not worth trying if another update is about to change it.
    let guess = isBusy ? undefined : cached;
    // Updates of one value wait for each other in this process, so that only those of other
    // processes change the value in the meantime.
    return this.#mutex.run(mutexKey, async () => {
      let before: { value: unknown } | undefined;
      let next: unknown;
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        const { version, value } = guess ?? await this.#readValue(sid, key);
        // If only other values of the record have changed, the result is still right.
        if (before === undefined || !areEqual(before.value, value)) next = await updater((before = { value }).value);
        const isUnchanged = next === undefined && value === undefined;
        // Only a value that was just read proves that there is nothing to write.
        if (isUnchanged && guess === undefined) return;
        if (!isUnchanged && await this.#store.changeRecord(sid, { ifVersion: version, set: new Map([[key, next]]) })) {
          return;
        }
        guess = undefined;
      }
      throw new Error(
        `The session store refused ${MAX_ATTEMPTS} changes of one record because its version had changed`,
      );
    });
  }

  async #readValue(sid: string, key: string): Promise<CachedValue> {
    const record = await this.read(sid);
    if (record === undefined || !("values" in record)) throw new SessionGoneError("update");
    return { version: record.version, value: record.values.get(key) };
  }

  async change(sid: string, change: SessionChange): Promise<void> {
    await this.#store.changeRecord(sid, change);
  }

  async move(sid: string, newSid: string, options: RenewOptions): Promise<void> {
    await this.#store.moveRecord(sid, newSid, options);
  }

  delete(sid: string): Promise<void> {
    return this.#store.delete(sid);
  }
}
