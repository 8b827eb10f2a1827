/**
 * What a session needs of a store, the same for every kind of store.
 *
 * @module
 */
import type { RecordChange, RecordMove, SessionRecord, SessionTrace, StoredRecord } from "../session_store.ts";
import type { MaybePromise } from "../util/maybe_promise.ts";

/** The operations of a session on its store. Each is atomic, as far as the store allows. */
export interface StoreAdapter {
  /** Reads a record, or what is left of its id. Never throws synchronously. */
  read(sid: string): MaybePromise<AdapterRecord | SessionTrace | undefined>;
  /** Creates a record with its first values. */
  create(sid: string, record: SessionRecord): MaybePromise<void>;
  /** Writes one value; `undefined` removes it. */
  set(sid: string, key: string, value: unknown): MaybePromise<void>;
  /**
   * Reads one value and writes what the updater returns.
   *
   * @param cached the value as this request read it, which saves reading it again
   */
  update(sid: string, key: string, updater: ValueUpdater, cached?: CachedValue): Promise<void>;
  /** Changes what is not a single value. */
  change(sid: string, change: SessionChange): Promise<void>;
  /** Gives a record a new id. */
  move(sid: string, newSid: string, options: RenewOptions): Promise<void>;
  /** Removes a record. */
  delete(sid: string): Promise<void>;
}

/** A record as an adapter reads it. Only a `RecordStore` has versions. */
export type AdapterRecord = Readonly<SessionRecord> & Partial<Pick<StoredRecord, "version">>;

/**
 * Computes a new value from the current one. It is called again if somebody else wrote in between.
 */
export type ValueUpdater = (value: unknown) => unknown;

/** A value that was read before, and the version of its record. */
export interface CachedValue {
  readonly version: number;
  readonly value: unknown;
}

/** A change of a record that is no single value. */
export type SessionChange = Omit<RecordChange, "ifVersion" | "set">;

/** What is written when a session gets a new id, and how long the old id still leads to it. */
export type RenewOptions = Pick<RecordMove, "meta" | "graceUntil">;
