/**
 * Sessions in the memory of this process.
 *
 * @module
 */
import type { CountingStore, PrincipalListStore, SessionCount, SignedInUser } from "../admin_store.ts";
import { SessionGoneError } from "../errors.ts";
import type {
  ListedSession,
  PingableStore,
  RecordChange,
  RecordMove,
  SessionRecord,
  SessionTrace,
  StoredRecord,
} from "../session_store.ts";
import { cloneValue, toObject } from "../util/clone_value.ts";
import { optionError } from "../util/describe_value.ts";
import { ExpiringMap } from "../util/expiring_map.ts";
import { RESOLVED } from "../util/maybe_promise.ts";
import { nextTask } from "../util/next_task.ts";
import { checkOptionNames } from "../util/option_names.ts";
import { ShardedMap } from "../util/sharded_map.ts";
import type { Watch, WatchedStore } from "../watched_store.ts";
import { PackedRecord } from "./_packed_record.ts";
import { PrincipalIndex } from "./_principal_index.ts";
import { emptyRecord, idInUseError, normalizeTimestamp } from "./_records.ts";

/** The options of {@linkcode MemoryStore}. */
export interface MemoryStoreOptions {
  /**
   * The greatest number of sessions, an integer above 0. A new session that exceeds it evicts the
   * oldest one, or one of the oldest if the limit is 100,000 or more. The limit bounds the memory
   * that a client can use up by never returning its cookie.
   *
   * @default {1_000_000}
   */
  maxSessions?: number;
}

/** The trace of a replaced session id. */
interface Trace {
  readonly movedTo: string;
  readonly graceUntil: number;
  readonly expiresAt: number;
}

/** A call of {@linkcode MemoryStore.watch}. An object, as two calls may pass the same function. */
interface Watcher {
  readonly changed: (sid: string | undefined) => void;
}

/** How many records a new session checks for expiry. */
const SWEEP_CHECKS = 4;
/**
 * The most records that a new session checks. Each expired record that it finds adds one check. The
 * checks of one new session take 1.6 ms at most, while a million records expire.
 */
const MAX_SWEEP_CHECKS = 250;
/** How many records a count checks before other events are handled: in about a millisecond. */
const CHECKS_BEFORE_PAUSE = 10_000;

/**
 * Keeps sessions in the memory of this process. It is fast. A restart loses all sessions, and
 * processes do not share them.
 *
 * An expired session is missing immediately. Its memory is released later, when other sessions are
 * created. There is no timer, so nothing keeps the process alive.
 *
 * Values are copied in and out. A record that {@linkcode MemoryStore.create} created has no expiry.
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
export class MemoryStore implements CountingStore, PrincipalListStore, PingableStore, WatchedStore, AsyncDisposable {
  /** Implements {@linkcode WatchedStore.reportsAll}. */
  readonly reportsAll = true;
  readonly #maxSessions: number;
  /** By session id, in the order in which sessions got their ids. */
  readonly #records: ShardedMap<PackedRecord>;
  /** By replaced session id, in the order of replacement. */
  readonly #traces: ExpiringMap<Trace>;
  readonly #users = new PrincipalIndex();
  /** No record expires before this time. */
  #earliestExpiry = Infinity;
  /**
   * The earliest expiry of the records that were checked or written since the sweep last began at
   * the first record.
   */
  #earliestExpirySeen = Infinity;
  readonly #watchers = new Set<Watcher>();
  /** Reports a change to all watchers. Without watchers, a write costs one comparison more. */
  #report: ((sid: string | undefined) => void) | undefined;

  /**
   * Creates an empty store.
   *
   * @param options the greatest number of sessions
   * @throws {TypeError} if `maxSessions` is not a number, or there is an unknown option
   * @throws {RangeError} if `maxSessions` is not an integer above 0
   */
  constructor(options: MemoryStoreOptions = {}) {
    checkOptionNames("create a MemoryStore", options, { maxSessions: true });
    const { maxSessions = 1_000_000 } = options;
    if (!Number.isInteger(maxSessions) || maxSessions <= 0) {
      const isNumber = typeof maxSessions === "number";
      throw optionError("create a MemoryStore", "maxSessions", "must be an integer above 0", maxSessions, isNumber);
    }
    this.#maxSessions = maxSessions;
    this.#records = new ShardedMap(maxSessions);
    this.#traces = new ExpiringMap(maxSessions);
  }

  /** How many records are in memory, including expired ones whose memory was not released yet. */
  get size(): number {
    return this.#records.size;
  }

  /** Implements {@linkcode SessionStore.init}. Does nothing. */
  init(): Promise<void> {
    return Promise.resolve();
  }

  /** Implements {@linkcode PingableStore.ping}. Memory always answers. */
  ping(): Promise<void> {
    return RESOLVED;
  }

  /**
   * Implements {@linkcode WatchedStore.watch}. Every write is reported before it returns, and so is
   * the session that a new one evicts.
   */
  watch(changed: (sid: string | undefined) => void): Promise<Watch> {
    const watcher: Watcher = { changed };
    this.#watchers.add(watcher);
    this.#updateReport();
    return Promise.resolve({
      keyOf: (sid) => sid,
      confirm: () =>
        this.#watchers.has(watcher)
          ? RESOLVED
          : Promise.reject(new Error("The watch has ended, or the MemoryStore was closed")),
      [Symbol.asyncDispose]: (): Promise<void> => {
        this.#watchers.delete(watcher);
        this.#updateReport();
        return RESOLVED;
      },
    });
  }

  /** Ends all watches. The sessions stay. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#watchers.clear();
    this.#updateReport();
    return RESOLVED;
  }

  /** Implements {@linkcode SessionStore.exist}. */
  exist(sid: string): Promise<boolean> {
    return Promise.resolve(this.#getLive(sid) !== undefined);
  }

  /**
   * Implements {@linkcode SessionStore.create}.
   *
   * @throws {SessionStoreError} if the id is in use
   */
  create(sid: string): Promise<void> {
    return this.createRecord(sid, emptyRecord());
  }

  /**
   * Implements {@linkcode RecordStore.createRecord}.
   *
   * @throws {SessionStoreError} if the id is in use
   * @throws {TypeError} if a session cannot store a value
   */
  createRecord(sid: string, record: SessionRecord): Promise<void> {
    return run(() => {
      const packed = PackedRecord.from(record);
      if (this.#getLive(sid) !== undefined) throw idInUseError("create", "MemoryStore");
      this.#sweep();
      this.#put(sid, packed);
      this.#users.add(packed.principal, sid);
      if (this.#records.size > this.#maxSessions) this.#evictOldest();
      else this.#records.releaseIterator();
      this.#report?.(sid);
    });
  }

  /** Implements {@linkcode SessionStore.delete}. */
  delete(sid: string): Promise<void> {
    this.#remove(sid);
    this.#report?.(sid);
    return Promise.resolve();
  }

  /**
   * Implements {@linkcode SessionStore.get}.
   *
   * @returns an object without prototype, or `undefined`
   */
  get(sid: string): Promise<Record<string, unknown> | undefined> {
    const record = this.#getLive(sid);
    return Promise.resolve(record && toObject(record.values));
  }

  /**
   * Implements {@linkcode RecordStore.readRecord}.
   *
   * @returns the result synchronously. A record is immutable, and `values` and `meta` are copied
   * each time they are read.
   */
  readRecord(sid: string): StoredRecord | SessionTrace | undefined {
    const record = this.#records.get(sid);
    if (record === undefined) {
      const trace = this.#traces.get(sid);
      return trace && { movedTo: trace.movedTo, graceUntil: trace.graceUntil };
    }
    if (Date.now() < record.expiresAt) return record;
    this.#remove(sid);
    return { expired: true };
  }

  /**
   * Implements {@linkcode RecordStore.changeRecord}.
   *
   * @throws {SessionGoneError} if the session is missing or expired
   * @throws {TypeError} if a session cannot store a value; nothing is changed
   */
  // deno-lint-ignore require-await -- async so that an error rejects
  async changeRecord(sid: string, change: RecordChange): Promise<boolean> {
    const { ifVersion, ifNoDevice, clear, meta, expiresAt } = change;
    const set = cloneValues(change.set);
    const record = this.#getLive(sid);
    if (record === undefined) throw new SessionGoneError("change");
    if (ifVersion !== undefined && ifVersion !== record.version) return false;
    if (ifNoDevice && record.deviceKey !== undefined) return false;
    let next = record;
    if (clear || set.size > 0) next = next.withValues(set, clear);
    if (meta !== undefined || expiresAt !== undefined) next = next.withMeta({ meta, expiresAt });
    if (next.sharedExpiry !== undefined) next.sharedExpiry.expiresAt = next.expiresAt;
    this.#put(sid, next);
    if (next.principal !== record.principal) {
      this.#users.delete(record.principal, sid);
      this.#users.add(next.principal, sid);
    }
    this.#report?.(sid);
    return true;
  }

  /**
   * Implements {@linkcode SessionStore.setValue}.
   *
   * @throws {SessionGoneError} if the session is missing or expired
   * @throws {TypeError} if a session cannot store the value
   */
  setValue(sid: string, key: string, value: unknown): Promise<void> {
    return run(() => {
      const copy = cloneValue(key, value);
      const record = this.#getLive(sid);
      if (record === undefined) throw new SessionGoneError("set");
      this.#records.set(sid, record.withValue(key, copy));
      this.#report?.(sid);
    });
  }

  /** Implements {@linkcode SessionStore.getValue}. */
  // deno-lint-ignore no-explicit-any -- Alosaur's own signature
  getValue(sid: string, key: string): Promise<any> {
    return Promise.resolve(this.#getLive(sid)?.getValue(key));
  }

  /**
   * Implements {@linkcode RecordStore.moveRecord}. The old id is remembered until the session
   * expires, or until `graceUntil` if that is later.
   *
   * @throws {SessionGoneError} if the session is missing or expired
   * @throws {SessionStoreError} if the new id is in use
   * @throws {TypeError} if a session cannot store a value; nothing is changed
   */
  // deno-lint-ignore require-await -- async so that an error rejects
  async moveRecord(sid: string, newSid: string, move: RecordMove): Promise<boolean> {
    const { ifVersion, meta, expiresAt } = move;
    const graceUntil = normalizeTimestamp(move.graceUntil);
    const set = cloneValues(move.set);
    const record = this.#getLive(sid);
    if (record === undefined) throw new SessionGoneError("regenerate");
    if (this.#getLive(newSid) !== undefined) throw idInUseError("regenerate", "MemoryStore");
    if (ifVersion !== undefined && ifVersion !== record.version) return false;
    // The trace references this object and not the record. The record would keep the values of an
    // ended session in memory.
    const sharedExpiry = record.sharedExpiry ?? { expiresAt: record.expiresAt };
    const moved = (set.size > 0 ? record.withValues(set) : record).withMeta({ meta, expiresAt, sharedExpiry });
    sharedExpiry.expiresAt = moved.expiresAt;
    // A move sweeps too, because an application may renew ids for a long time without creating a
    // session.
    this.#sweep();
    this.#remove(sid);
    this.#put(newSid, moved);
    this.#records.releaseIterator();
    this.#users.add(moved.principal, newSid);
    this.#traces.set(sid, {
      movedTo: newSid,
      graceUntil,
      // A getter, because activity extends the session's expiry.
      get expiresAt(): number {
        return Math.max(sharedExpiry.expiresAt, graceUntil);
      },
    });
    this.#report?.(sid);
    this.#report?.(newSid);
    return true;
  }

  /** Implements {@linkcode PrincipalStore.listSessions}. */
  listSessions(principal: string): Promise<ListedSession[]> {
    const sessions: ListedSession[] = [];
    for (const sid of this.#users.get(principal)) {
      const record = this.#getLive(sid);
      if (record !== undefined) sessions.push({ sid, expiresAt: record.expiresAt, meta: record.meta });
    }
    return Promise.resolve(sessions);
  }

  /**
   * Implements {@linkcode CountingStore.countSessions}. Checks all records, and lets the process
   * handle other events in between.
   */
  async countSessions(): Promise<SessionCount> {
    const now = Date.now();
    const count = { total: 0, signedIn: 0 };
    let checks = 0;
    for (const record of this.#records.values()) {
      if (now < record.expiresAt) {
        count.total++;
        if (record.principal !== undefined) count.signedIn++;
      }
      if (++checks % CHECKS_BEFORE_PAUSE === 0) await nextTask();
    }
    return count;
  }

  /**
   * Implements {@linkcode PrincipalListStore.listPrincipals}. The users are not in alphabetical
   * order.
   */
  async listPrincipals({ after, limit }: { after?: string; limit: number }): Promise<SignedInUser[]> {
    const users: SignedInUser[] = [];
    let checks = 0;
    for (const principal of this.#users.usersAfter(after)) {
      let sessions = 0;
      for (const sid of this.#users.get(principal)) {
        checks++;
        if (this.#getLive(sid) !== undefined) sessions++;
      }
      if (sessions > 0 && users.push({ principal, sessions }) === limit) break;
      // There may be many expired sessions, which this removes.
      if (checks < CHECKS_BEFORE_PAUSE) continue;
      checks = 0;
      await nextTask();
    }
    return users;
  }

  /** Implements {@linkcode SessionStore.clear}. */
  clear(): Promise<void> {
    this.#records.clear();
    this.#traces.clear();
    this.#users.clear();
    this.#report?.(undefined);
    return Promise.resolve();
  }

  /** Returns the record of a session that is not expired. Removes an expired one. */
  #getLive(sid: string): PackedRecord | undefined {
    const record = this.#records.get(sid);
    if (record === undefined || Date.now() < record.expiresAt) return record;
    this.#remove(sid);
    return undefined;
  }

  #put(sid: string, record: PackedRecord): void {
    this.#records.set(sid, record);
    const { expiresAt } = record;
    if (expiresAt < this.#earliestExpiry) this.#earliestExpiry = expiresAt;
    if (expiresAt < this.#earliestExpirySeen) this.#earliestExpirySeen = expiresAt;
  }

  #remove(sid: string): void {
    const record = this.#records.get(sid);
    if (record === undefined) return;
    this.#records.delete(sid);
    this.#users.delete(record.principal, sid);
  }

  #evictOldest(): void {
    const oldest = this.#records.evictOldest();
    if (oldest === undefined) return;
    this.#users.delete(oldest[1].principal, oldest[0]);
    this.#report?.(oldest[0]);
  }

  #updateReport(): void {
    const report = (sid: string | undefined): void => {
      for (const { changed } of this.#watchers) changed(sid);
    };
    this.#report = this.#watchers.size === 0 ? undefined : report;
  }

  /**
   * Checks the next few records and removes the expired ones.
   *
   * If no record can have expired, it checks none. The checks read records that the processor has
   * not cached, so they cost more than the creation of a record. They make a request that creates a
   * session take 17 instead of 10 microseconds.
   *
   * While records expire, each new session checks four records or more, so `size / 4` new sessions
   * check all records. That bounds how many expired records stay in memory, regardless of the order
   * in which they expire.
   */
  #sweep(): void {
    const now = Date.now();
    if (now < this.#earliestExpiry) return;
    let checks = SWEEP_CHECKS;
    for (let checked = 0; checked < checks; checked++) {
      const next = this.#records.nextForSweep();
      if (next === undefined) {
        this.#earliestExpiry = this.#earliestExpirySeen;
        this.#earliestExpirySeen = Infinity;
        return;
      }
      const [sid, { expiresAt }] = next;
      if (now < expiresAt) {
        if (expiresAt < this.#earliestExpirySeen) this.#earliestExpirySeen = expiresAt;
        continue;
      }
      this.#remove(sid);
      checks = Math.min(checks + 1, MAX_SWEEP_CHECKS);
    }
  }
}

/**
 * Runs an operation synchronously. Returns {@linkcode RESOLVED}, or a promise that is rejected with
 * the operation's error.
 */
function run(operation: () => void): Promise<void> {
  try {
    operation();
    return RESOLVED;
  } catch (error) {
    return Promise.reject(error);
  }
}

const NO_VALUES: ReadonlyMap<string, unknown> = new Map();

/** @throws {TypeError} if a session cannot store a value */
function cloneValues(values: ReadonlyMap<string, unknown> = NO_VALUES): ReadonlyMap<string, unknown> {
  if (values.size === 0) return NO_VALUES;
  const copies = new Map<string, unknown>();
  for (const [key, value] of values) copies.set(key, cloneValue(key, value));
  return copies;
}
