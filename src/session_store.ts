// deno-lint-ignore-file no-explicit-any -- the `any`s are those of the interface that applications already implement
/**
 * What a store is: eight methods, and two optional capabilities that make it better.
 *
 * Any object with the eight methods of {@linkcode SessionStore} is a complete store. What it lacks is made up for: the deadline of
 * a session is then kept inside its record, under a key that the session hides. A store that has the methods of
 * {@linkcode RecordStore}, or of {@linkcode PrincipalStore}, too is recognised by them.
 *
 * @module
 */

/**
 * Keeps the values of sessions, by session id.
 *
 * Five rules hold for every method:
 * - Errors are for failures of the system. A missing or expired session is an answer (see each method), never an error, but for
 *   {@linkcode SessionStore.setValue}. And the reverse: a store that could not look rejects, it never answers "no such session".
 * - Values are copied in, at the call, and out: nobody who holds a value can change the record.
 * - No error tells a session id or a value.
 * - A key is any well-formed string, `__proto__` and the NUL character included, of 512 characters at least; a store encodes what its
 *   backend cannot hold. A value that it cannot keep is refused with an error that names the key.
 * - Two session ids are the same where every character is: `a` is not `A`. Those of this project have 24 characters of base64url
 *   (`A-Z a-z 0-9 - _`).
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
   * Makes an empty record. A {@linkcode RecordStore} gives it no deadline (`expiresAt: Infinity`), and a meta whose `createdAt`,
   * `seenAt` and `renewedAt` are now.
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
   * @throws where the session is missing or expired, and then creates nothing. Best a `SessionGoneError`; that of a
   * {@linkcode RecordStore} must be one.
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

/** The methods of a {@linkcode SessionStore}. */
export const STORE_METHODS = ["init", "exist", "create", "delete", "get", "setValue", "getValue", "clear"] as const;

/** The methods that make a store a {@linkcode RecordStore}. */
export const RECORD_METHODS = ["createRecord", "readRecord", "changeRecord", "moveRecord"] as const;

/** What is known of a session beside its values. Moments are in milliseconds since the epoch. */
export interface SessionMeta {
  /** When the session began. */
  createdAt: number;
  /** When it was last used, as far as that was written down. */
  seenAt: number;
  /** Since when it has its present id. */
  renewedAt: number;
  /** When the cookie was last sent, where it is sent again with activity. */
  sentAt?: number;
  /** The user that it is bound to: any well-formed string, of 512 characters at least. */
  principal?: string;
  /** When it was bound to that user. */
  boundAt?: number;
  /** What its CSRF token is made of, where that is older than its present id. */
  csrfSeed?: string;
}

/** A whole session, as it goes into a store and comes out. */
export interface SessionRecord {
  /** The values by key. One of `undefined` that is given to a store means that the key is to be absent. */
  values: Map<string, unknown>;
  /** The moment from which the session is gone, in milliseconds since the epoch; `Infinity` for never. */
  expiresAt: number;
  /** What is known of it beside its values. */
  meta: SessionMeta;
}

/**
 * A record as a {@linkcode RecordStore} reads it. Its members may be made when they are asked for, `values` anew each time: take each once, and
 * do not spread it.
 */
export interface StoredRecord extends Readonly<SessionRecord> {
  /** Another number after every change of a value (and, where that is simpler, of anything else): what {@linkcode RecordChange.ifVersion} is compared with. */
  readonly version: number;
}

/** What is left of a session id that no longer leads to a session. A store need not remember it longer than the session. */
export type SessionTrace =
  /** The session's time is over. */
  | { expired: true }
  /** The session has another id; until `graceUntil` (in milliseconds since the epoch) this one leads to it. */
  | { movedTo: string; graceUntil: number };

/** What a {@linkcode RecordStore} knows of a session id. */
export type RecordAnswer = StoredRecord | SessionTrace | undefined;

/** What is to change in a record, in one atomic step. What is left out stays as it is. */
export interface RecordChange {
  /** Change only if the record still has this version. */
  ifVersion?: number;
  /** Remove all values, before `set`. */
  clear?: boolean;
  /** Values to write; `undefined` removes. */
  set?: ReadonlyMap<string, unknown>;
  /** What to write beside the values; a `principal` of `undefined` unbinds the session from its user. */
  meta?: Partial<SessionMeta>;
  /** Another deadline; `Infinity` for none. */
  expiresAt?: number;
}

/** How a record gets a new id, in one atomic step. */
export interface RecordMove {
  /** Move only if the record still has this version. */
  ifVersion?: number;
  /** Values to write with it, as in {@linkcode RecordChange.set}. */
  set?: ReadonlyMap<string, unknown>;
  /** What to write beside the values. */
  meta: Partial<SessionMeta>;
  /** Until when the old id leads to the new one, in milliseconds since the epoch: always finite. */
  graceUntil: number;
}

/**
 * Optional capability: the store knows deadlines, and takes every step of a session in one atomic round trip, also across processes.
 *
 * From `expiresAt` on, the eight methods treat the session as missing, whether or not its record was removed. Deadlines are compared with
 * `Date.now()` of this process, called at each use: a clock of the backend's own may only remove what has been over for a while.
 */
export interface RecordStore extends SessionStore {
  /**
   * Makes a record with its deadline and its first values.
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
   * @returns a copy, whose `values` are the caller's; or what is left of the id; or `undefined` where the store knows nothing of it. A store
   * that need not wait for anything may answer at once, without a promise.
   */
  readRecord(sid: string): RecordAnswer | Promise<RecordAnswer>;

  /**
   * Changes a record.
   *
   * @param sid the session id
   * @param change what is to change
   * @returns `false` where the record has another version than `ifVersion`; nothing was changed
   * @throws where the session is missing or expired (a `SessionGoneError`: any other error is a failure of the store), and then creates nothing
   */
  changeRecord(sid: string, change: RecordChange): Promise<boolean>;

  /**
   * Moves a record to a new id: values and deadline as they are. From then on the old id is missing to every method but
   * {@linkcode RecordStore.readRecord}, which tells where it went: until `graceUntil` at least, best until the session's deadline.
   * {@linkcode SessionStore.delete} of the old id does not change that.
   *
   * @param sid the session id
   * @param newSid the new one, not in use
   * @param move what to write with it, and how long the old id leads to the new one
   * @returns `false` where the record has another version than `ifVersion`; nothing was changed
   * @throws where the session is missing or expired (a `SessionGoneError`: any other error is a failure of the store), and then creates nothing
   * @throws where the new id is in use: both records stay as they are
   */
  moveRecord(sid: string, newSid: string, move: RecordMove): Promise<boolean>;
}

/** Optional capability: the store finds the sessions of a user. */
export interface PrincipalStore extends RecordStore {
  /**
   * Lists the live sessions that are bound to a user.
   *
   * @param principal the user
   * @returns in no particular order
   */
  listSessions(principal: string): Promise<{ sid: string; meta: SessionMeta }[]>;
}

/** Returns whether a store has the methods of a {@linkcode RecordStore}. */
export function isRecordStore(store: SessionStore): store is RecordStore {
  return RECORD_METHODS.every((name) => name in store);
}

/** Returns whether a store has the methods of a {@linkcode PrincipalStore}. */
export function isPrincipalStore(store: SessionStore): store is PrincipalStore {
  return isRecordStore(store) && "listSessions" in store;
}
