// deno-lint-ignore-file no-explicit-any -- the `any`s are those of the interface that applications already implement
/**
 * What a store is: eight methods, and two optional capabilities that make it better.
 *
 * Any object with the eight methods of {@linkcode SessionStore} is a complete store. What it lacks is made up for: the deadline of
 * a session is then kept inside its record, under a key that the session hides. A store that has the methods of
 * {@linkcode RecordStore} or {@linkcode RenamingStore} too is recognised by them.
 *
 * @module
 */

/**
 * Keeps the values of sessions, by session id.
 *
 * Three rules hold for every method:
 * - Errors are for failures of the system. A missing or expired session is an answer (see each method), never an error, but for
 *   {@linkcode SessionStore.setValue}. And the reverse: a store that could not look rejects, it never answers "no such session".
 * - Values are copied in and out: nobody who holds a value can change the record.
 * - A key is any well-formed string, `__proto__` and the NUL character included; a store encodes what its backend cannot hold. A
 *   value that it cannot keep is refused with an error that names the key.
 */
export interface SessionStore {
  /** Opens, connects, migrates: whatever must be done once, before the first request. Calling it again does nothing. */
  init(): Promise<void>;

  /**
   * Tells whether there is a live session of this id.
   *
   * @param sid the session id
   * @returns `false` where the session is missing or expired
   */
  exist(sid: string): Promise<boolean>;

  /**
   * Makes an empty record.
   *
   * @param sid the session id, made by the caller
   * @throws where the id is in use: the record there stays as it is
   */
  create(sid: string): Promise<void>;

  /**
   * Removes a record. Does nothing where there is none.
   *
   * @param sid the session id
   */
  delete(sid: string): Promise<void>;

  /**
   * Reads all values of a session.
   *
   * @param sid the session id
   * @returns an object with a copy of each value, or `undefined` where the session is missing or expired
   */
  get(sid: string): Promise<any>;

  /**
   * Writes one value and leaves the others alone, in one atomic step.
   *
   * @param sid the session id
   * @param key any well-formed string
   * @param value what to keep; `undefined` means that the key is to be absent
   * @throws where the session is missing or expired (best a `SessionGoneError`), and then creates nothing
   */
  setValue(sid: string, key: string, value: any): Promise<void>;

  /**
   * Reads one value.
   *
   * @param sid the session id
   * @param key any string
   * @returns a copy of the value, or `undefined` where the session is missing or expired, or has no such key
   */
  getValue(sid: string, key: string): Promise<any>;

  /** Removes every session of this store, and nothing else that lives in the same backend. */
  clear(): Promise<void>;
}

/** A whole session, as it goes into a store and comes out. */
export interface SessionRecord {
  /** The values by key. */
  values: Map<string, unknown>;
  /** The moment from which the session is gone, in milliseconds since the epoch. */
  expiresAt: number;
}

/**
 * Optional capability: the store knows deadlines, and moves a whole record in one round trip.
 *
 * From `expiresAt` on, every method of the store treats the session as missing, whether or not its record was removed.
 */
export interface RecordStore extends SessionStore {
  /**
   * Makes a record with its deadline and its first values, in one atomic step.
   *
   * @param sid the session id
   * @param record what to keep; the store copies it
   * @throws where the id is in use: the record there stays as it is
   */
  createRecord(sid: string, record: SessionRecord): Promise<void>;

  /**
   * Reads a whole record.
   *
   * @param sid the session id
   * @returns a copy, or `undefined` where the session is missing or expired
   */
  readRecord(sid: string): Promise<SessionRecord | undefined>;
}

/** Optional capability: the store gives a session a new id in one atomic step. */
export interface RenamingStore extends SessionStore {
  /**
   * Moves a record to a new id, deadline and values as they are. The old id is missing from then on.
   *
   * @param sid the session id
   * @param newSid the new one, not in use
   * @throws where the session is missing or expired (best a `SessionGoneError`), and then creates nothing
   */
  rename(sid: string, newSid: string): Promise<void>;
}
