/**
 * The operations that a session needs, independent of the kind of store.
 *
 * @module
 */
import type { RecordChange, RecordMove, SessionRecord, SessionTrace, StoredRecord } from "../session_store.ts";
import type { MaybePromise } from "../util/maybe_promise.ts";

/** The operations of a session on its store. Each is atomic, as far as the store allows. */
export interface StoreAdapter {
  /** Reads a record, or the trace of a former one. Never throws synchronously. */
  read(sid: string): MaybePromise<AdapterRecord | SessionTrace | undefined>;
  /** Creates a record with its first values. */
  create(sid: string, record: SessionRecord): MaybePromise<void>;
  /** Writes one value; `undefined` removes it. */
  set(sid: string, key: string, value: unknown): MaybePromise<void>;
  /** Writes several values; `undefined` removes one. */
  setAll(sid: string, values: ReadonlyMap<string, unknown>): Promise<void>;
  /**
   * Reads one value and writes what the updater returns.
   *
   * @param cached the value that this request has already read, which can save another read
   */
  update(sid: string, key: string, updater: ValueUpdater, cached?: CachedValue): Promise<void>;
  /**
   * Changes the metadata or the expiry, or removes all values.
   *
   * @returns whether the change was applied: `false` if `ifNoDevice` is set and the session has the
   * key of a device
   */
  change(sid: string, change: SessionChange): Promise<boolean>;
  /** Gives a record a new id. */
  move(sid: string, newSid: string, options: RenewOptions): Promise<void>;
  /** Removes a record. */
  delete(sid: string): Promise<void>;
  /** Removes all records. */
  clear(): Promise<void>;
}

/** A record as an adapter reads it. Only a `RecordStore` has versions. */
export type AdapterRecord = Readonly<SessionRecord> & Partial<Pick<StoredRecord, "version">>;

/**
 * Computes a new value from the current one. It is called again if the value was changed in the
 * meantime.
 */
export type ValueUpdater = (value: unknown) => unknown;

/** A value that was read earlier, and the version that its record had then. */
export interface CachedValue {
  readonly version: number;
  readonly value: unknown;
}

/** A change of the metadata or the expiry, or the removal of all values. */
export type SessionChange = Omit<RecordChange, "ifVersion" | "set">;

/** The change to write when a session gets a new id, and the grace period of the old id. */
export type RenewOptions = Omit<RecordMove, "ifVersion">;
