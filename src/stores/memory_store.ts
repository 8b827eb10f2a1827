/**
 * Sessions in the memory of this process.
 *
 * @module
 */
import { SessionGoneError, SessionStoreError } from "../errors.ts";
import type { RecordStore, RenamingStore, SessionRecord } from "../session_store.ts";
import { copyValue, toObject } from "../_values.ts";

/** The options of {@linkcode MemoryStore}. */
export interface MemoryStoreOptions {
  /**
   * How many sessions are kept at most, an integer above 0. One more, and the oldest leaves: that bounds what a client that never
   * returns its cookie can make the process hold.
   *
   * @default {1_000_000}
   */
  maxSessions?: number;
}

/** How many records a new session looks at in search of expired ones. */
const SWEEP_STEPS = 8;
/** How many more it looks at while it finds some; this bounds how long one request can take. */
const SWEEP_LIMIT = 1000;

/**
 * Keeps sessions in the memory of this process: fast, gone with a restart, and not shared with another process.
 *
 * Expired sessions are gone at once. Their memory is given back little by little, whenever a session is made: there is no timer, so
 * nothing keeps the process alive.
 *
 * Values are copied in and out. A record made through {@linkcode MemoryStore.create} alone has no deadline.
 *
 * @example
 * ```ts
 * import { assertEquals } from "jsr:@std/assert@1.0.13";
 * import { MemoryStore } from "@alosaur/session";
 *
 * const store = new MemoryStore({ maxSessions: 10_000 });
 * await store.init();
 * await store.create("an-id");
 * await store.setValue("an-id", "cart", ["apple"]);
 *
 * assertEquals(await store.getValue("an-id", "cart"), ["apple"]);
 * ```
 */
export class MemoryStore implements RecordStore, RenamingStore {
  readonly #maxSessions: number;
  // In the order of their making: the first is the oldest.
  readonly #records = new Map<string, SessionRecord>();
  #sweep = this.#records.entries();

  /**
   * Makes an empty store.
   *
   * @param options how many sessions it keeps
   * @throws {TypeError} if `maxSessions` is not a number
   * @throws {RangeError} if `maxSessions` is not an integer above 0
   */
  constructor(options: MemoryStoreOptions = {}) {
    const { maxSessions = 1_000_000 } = options;
    if (typeof maxSessions !== "number") {
      throw new TypeError("Cannot make a MemoryStore: `maxSessions` must be a number");
    }
    if (!Number.isInteger(maxSessions) || maxSessions <= 0) {
      throw new RangeError("Cannot make a MemoryStore: `maxSessions` must be an integer above 0");
    }
    this.#maxSessions = maxSessions;
  }

  /** How many records are held, expired ones included whose memory was not given back yet. */
  get size(): number {
    return this.#records.size;
  }

  /** Does nothing: there is nothing to open. */
  init(): Promise<void> {
    return Promise.resolve();
  }

  /**
   * Tells whether there is a live session of this id.
   *
   * @param sid the session id
   */
  exist(sid: string): Promise<boolean> {
    return Promise.resolve(this.#live(sid) !== undefined);
  }

  /**
   * Makes an empty record without a deadline.
   *
   * @param sid the session id
   * @throws {SessionStoreError} if the id is in use
   */
  create(sid: string): Promise<void> {
    return this.createRecord(sid, { values: new Map(), expiresAt: Infinity });
  }

  /**
   * Makes a record with its deadline and its first values.
   *
   * @param sid the session id
   * @param record what to keep; it is copied
   * @throws {SessionStoreError} if the id is in use
   * @throws {TypeError} if a value cannot be kept
   */
  // deno-lint-ignore require-await -- what it throws must reject
  async createRecord(sid: string, record: SessionRecord): Promise<void> {
    if (this.#live(sid) !== undefined) {
      throw new SessionStoreError("create", "Cannot create: the session id is in use");
    }
    const copy = copyRecord(record);
    this.#giveBack();
    this.#records.set(sid, copy);
    if (this.#records.size > this.#maxSessions) this.#dropOldest();
  }

  /**
   * Removes a record. Does nothing where there is none.
   *
   * @param sid the session id
   */
  delete(sid: string): Promise<void> {
    this.#records.delete(sid);
    return Promise.resolve();
  }

  /**
   * Reads all values.
   *
   * @param sid the session id
   * @returns a plain object without prototype, with a copy of each value; `undefined` where the session is missing or expired
   */
  get(sid: string): Promise<Record<string, unknown> | undefined> {
    const record = this.#live(sid);
    return Promise.resolve(record && toObject(record.values));
  }

  /**
   * Reads a whole record.
   *
   * @param sid the session id
   * @returns a copy; `undefined` where the session is missing or expired
   */
  readRecord(sid: string): Promise<SessionRecord | undefined> {
    const record = this.#live(sid);
    return Promise.resolve(record && copyRecord(record));
  }

  /**
   * Writes one value; `undefined` removes it.
   *
   * @param sid the session id
   * @param key any string
   * @param value what to keep; it is copied
   * @throws {SessionGoneError} if the session is missing or expired; nothing is created
   * @throws {TypeError} if the value cannot be kept
   */
  // deno-lint-ignore require-await -- what it throws must reject
  async setValue(sid: string, key: string, value: unknown): Promise<void> {
    const record = this.#live(sid);
    if (record === undefined) throw new SessionGoneError("set");
    if (value === undefined) record.values.delete(key);
    else record.values.set(key, copyValue(key, value));
  }

  /**
   * Reads one value.
   *
   * @param sid the session id
   * @param key any string
   * @returns a copy; `undefined` where the session is missing or expired, or has no such key
   */
  // deno-lint-ignore no-explicit-any -- the seed's own signature
  getValue(sid: string, key: string): Promise<any> {
    return Promise.resolve(copyValue(key, this.#live(sid)?.values.get(key)));
  }

  /**
   * Gives a session a new id. The old one is missing from then on.
   *
   * @param sid the session id
   * @param newSid the new one
   * @throws {SessionGoneError} if the session is missing or expired
   * @throws {SessionStoreError} if the new id is in use
   */
  // deno-lint-ignore require-await -- what it throws must reject
  async rename(sid: string, newSid: string): Promise<void> {
    const record = this.#live(sid);
    if (record === undefined) throw new SessionGoneError("regenerate");
    if (this.#live(newSid) !== undefined) {
      throw new SessionStoreError("regenerate", "Cannot regenerate: the new session id is in use");
    }
    this.#records.delete(sid);
    this.#records.set(newSid, record);
  }

  /** Removes every session. */
  clear(): Promise<void> {
    this.#records.clear();
    return Promise.resolve();
  }

  /** The record of a session that has not ended. */
  #live(sid: string): SessionRecord | undefined {
    const record = this.#records.get(sid);
    if (record === undefined || Date.now() < record.expiresAt) return record;
    this.#records.delete(sid);
    return undefined;
  }

  /**
   * Looks at the next few records and removes the expired ones.
   *
   * In the long run every record is looked at once in so many new sessions as an eighth of all: that bounds the expired ones that are
   * still held, whatever the order in which sessions end.
   */
  #giveBack(): void {
    const now = Date.now();
    let steps = SWEEP_STEPS;
    for (let looked = 0; looked < steps; looked++) {
      const next = this.#sweep.next();
      if (next.done) {
        this.#sweep = this.#records.entries();
        return;
      }
      const [sid, record] = next.value;
      if (now < record.expiresAt) continue;
      this.#records.delete(sid);
      steps = Math.min(steps + 1, SWEEP_LIMIT);
    }
  }

  #dropOldest(): void {
    for (const sid of this.#records.keys()) {
      this.#records.delete(sid);
      return;
    }
  }
}

function copyRecord(record: SessionRecord): SessionRecord {
  const values = new Map<string, unknown>();
  for (const [key, value] of record.values) values.set(key, copyValue(key, value));
  return { values, expiresAt: record.expiresAt };
}
