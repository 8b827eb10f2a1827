/**
 * Sessions in the memory of this process.
 *
 * @module
 */
import { SessionGoneError } from "../errors.ts";
import type {
  PrincipalStore,
  RecordChange,
  RecordMove,
  SessionMeta,
  SessionRecord,
  SessionTrace,
  StoredRecord,
} from "../session_store.ts";
import { RESOLVED } from "../util/maybe_promise.ts";
import { ExpiringMap } from "../util/expiring_map.ts";
import { ShardedMap } from "../util/sharded_map.ts";
import { cloneValue, toObject } from "../util/clone_value.ts";
import { emptyRecord, idInUseError, normalizeTimestamp } from "./_records.ts";

/** The options of {@linkcode MemoryStore}. */
export interface MemoryStoreOptions {
  /**
   * How many sessions are kept at most, an integer above 0. One more, and the oldest leaves (from 100,000 on, one of the oldest): that bounds
   * what a client that never returns its cookie can make the process hold.
   *
   * @default {1_000_000}
   */
  maxSessions?: number;
}

/** In the place of milliseconds: no deadline. (`Infinity` has a box, and from the first on so would every number in its place.) */
const NEVER = -1;

/** What is known of a session beyond its beginning. */
interface Rest {
  readonly meta: Readonly<SessionMeta>;
  /** The deadline once more, for the ids that the session had before: it moves on with the session's. */
  readonly deadline?: { expiresAt: number };
}

/**
 * A record as it is held. It never changes: another is put in its place, so whoever has read one keeps what it has read, and nothing needs
 * to be copied before somebody asks for it.
 *
 * A million of them are held at once, and what a request reads of one is in no cache of the processor. So what most sessions do not have is in
 * `#rest`, the values are a list, key after value, and moments, which V8 would keep in boxes of their own, are in small numbers.
 */
class HeldRecord implements StoredRecord {
  /** The deadline in whole seconds, */
  readonly #seconds: number;
  /** and the milliseconds beyond them; {@linkcode NEVER} where there is none. */
  readonly #milliseconds: number;
  readonly #version: number;
  /** From the beginning to the deadline, in seconds. */
  readonly #life: number;
  readonly #rest: Rest | undefined;
  readonly #values: readonly unknown[];

  constructor(values: readonly unknown[], expiresAt: number, version: number, life: number, rest: Rest | undefined) {
    this.#seconds = expiresAt === Infinity ? 0 : Math.floor(expiresAt / 1000);
    this.#milliseconds = expiresAt === Infinity ? NEVER : expiresAt - this.#seconds * 1000;
    this.#version = version;
    this.#life = life;
    this.#rest = rest;
    this.#values = values;
  }

  static of({ values, expiresAt, meta }: SessionRecord): HeldRecord {
    const list: unknown[] = new Array(values.size * 2);
    let length = 0;
    for (const [key, value] of values) {
      if (value === undefined) continue;
      list[length++] = key;
      list[length++] = cloneValue(key, value);
    }
    list.length = length;
    const life = (expiresAt - meta.createdAt) / 1000;
    const isPlain = expiresAt - life * 1000 === meta.createdAt && isBeginning(meta);
    return new HeldRecord(list, expiresAt, 0, isPlain ? life : 0, isPlain ? undefined : { meta: { ...meta } });
  }

  get expiresAt(): number {
    return this.#milliseconds === NEVER ? Infinity : this.#seconds * 1000 + this.#milliseconds;
  }

  get version(): number {
    return this.#version;
  }

  /** A copy. */
  get values(): Map<string, unknown> {
    const values = new Map<string, unknown>();
    for (let i = 0; i < this.#values.length; i += 2) {
      const key = this.#values[i] as string;
      values.set(key, cloneValue(key, this.#values[i + 1]));
    }
    return values;
  }

  /** A copy. */
  get meta(): SessionMeta {
    if (this.#rest !== undefined) return { ...this.#rest.meta };
    const createdAt = this.expiresAt - this.#life * 1000;
    return { createdAt, seenAt: createdAt, renewedAt: createdAt };
  }

  get principal(): string | undefined {
    return this.#rest?.meta.principal;
  }

  get deadline(): { expiresAt: number } | undefined {
    return this.#rest?.deadline;
  }

  /** A copy of one value. */
  value(key: string): unknown {
    for (let i = 0; i < this.#values.length; i += 2) {
      if (this.#values[i] === key) return cloneValue(key, this.#values[i + 1]);
    }
    return undefined;
  }

  /** The same record with another value, which is a copy already; `undefined` removes. */
  writeOne(key: string, value: unknown): HeldRecord {
    return this.holding(written(this.#values, key, value));
  }

  /** The same record with other values, which are copies already; `undefined` removes. */
  write(values: ReadonlyMap<string, unknown>, clear = false): HeldRecord {
    const list = clear ? [] : this.#values;
    if (values.size > 1) return this.holding(writtenAtOnce(list, values));
    for (const [key, value] of values) return this.holding(written(list, key, value));
    return this.holding(list);
  }

  /** The same record with another list. Not a private method: for these V8 puts a mark into every object. */
  holding(values: readonly unknown[]): HeldRecord {
    return new HeldRecord(values, this.expiresAt, this.version + 1, this.#life, this.#rest);
  }

  /** The same record with something else known of it. */
  describe({ meta, expiresAt = this.expiresAt, deadline = this.deadline }: {
    meta?: Partial<SessionMeta>;
    expiresAt?: number;
    deadline?: { expiresAt: number };
  }): HeldRecord {
    const known: SessionMeta = { ...this.meta, ...meta };
    for (const name of OPTIONAL) if (known[name] === undefined) delete known[name];
    return new HeldRecord(this.#values, expiresAt, this.version, 0, { meta: known, deadline });
  }
}

const OPTIONAL = ["sentAt", "principal", "boundAt", "csrfSeed"] as const;

/** Tells whether a session's beginning is all that is known of it. */
function isBeginning(meta: SessionMeta): boolean {
  return meta.seenAt === meta.createdAt && meta.renewedAt === meta.createdAt &&
    OPTIONAL.every((name) => meta[name] === undefined);
}

/** A list of keys and values, written to: always a new one, with room for no more: `push()` leaves room for 16. */
function written(list: readonly unknown[], key: string, value: unknown): readonly unknown[] {
  let at = 0;
  while (at < list.length && list[at] !== key) at += 2;
  if (at === list.length) return value === undefined ? list : list.concat([key, value]);
  return value === undefined ? list.toSpliced(at, 2) : list.with(at + 1, value);
}

/** One by one, each value would be searched, and the whole list be copied for it. */
function writtenAtOnce(list: readonly unknown[], values: ReadonlyMap<string, unknown>): readonly unknown[] {
  const all = new Map<unknown, unknown>();
  for (let i = 0; i < list.length; i += 2) all.set(list[i], list[i + 1]);
  for (const [key, value] of values) {
    if (value === undefined) all.delete(key);
    else all.set(key, value);
  }
  const next: unknown[] = new Array(all.size * 2);
  let length = 0;
  for (const [key, value] of all) {
    next[length++] = key;
    next[length++] = value;
  }
  return next;
}

/** Takes a step at once; what it throws rejects. */
function done(step: () => void): Promise<void> {
  try {
    step();
    return RESOLVED;
  } catch (error) {
    return Promise.reject(error);
  }
}

/** @throws {TypeError} if a value cannot be kept */
function copyValues(values: ReadonlyMap<string, unknown> | undefined): ReadonlyMap<string, unknown> {
  if (values === undefined) return NO_VALUES;
  const copies = new Map<string, unknown>();
  for (const [key, value] of values) copies.set(key, cloneValue(key, value));
  return copies;
}

const NO_VALUES: ReadonlyMap<string, unknown> = new Map();

/** How many records a new session looks at in search of expired ones. */
const SWEEP_STEPS = 4;
/** How many more it looks at while it finds some; this bounds how long one request can take. */
const SWEEP_LIMIT = 250;

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
export class MemoryStore implements PrincipalStore {
  readonly #maxSessions: number;
  // In the order in which they got their ids: the first is the oldest.
  readonly #records: ShardedMap<HeldRecord>;
  /** Before this moment no record expires; and the same of those that were looked at or put there in this round. */
  #earliest = Infinity;
  #earliestSeen = Infinity;
  // Where replaced ids went, in the order of that.
  readonly #traces: ExpiringMap<{ movedTo: string; graceUntil: number; expiresAt: number }>;
  readonly #principals = new Map<string, Set<string>>();

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
    this.#records = new ShardedMap(maxSessions);
    this.#traces = new ExpiringMap(maxSessions);
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
    return this.createRecord(sid, emptyRecord());
  }

  /**
   * Makes a record with its deadline and its first values.
   *
   * @param sid the session id
   * @param record what to keep; it is copied
   * @throws {SessionStoreError} if the id is in use
   * @throws {TypeError} if a value cannot be kept
   */
  createRecord(sid: string, record: SessionRecord): Promise<void> {
    return done(() => this.#create(sid, record));
  }

  #create(sid: string, record: SessionRecord): void {
    const held = HeldRecord.of(record);
    if (this.#live(sid) !== undefined) throw idInUseError("create");
    this.#giveBack();
    this.#put(sid, held);
    this.#bind(sid, held.principal);
    if (this.#records.size > this.#maxSessions) this.#dropOldest();
    else this.#records.rest();
  }

  /**
   * Removes a record. Does nothing where there is none.
   *
   * @param sid the session id
   */
  delete(sid: string): Promise<void> {
    this.#remove(sid);
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
   * Reads a whole record, at once.
   *
   * @param sid the session id
   * @returns a record that never changes, and whose values are copies; or what is left of the id; or `undefined` where nothing is known of it
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
   * Changes a record in one step.
   *
   * @param sid the session id
   * @param change what is to change; values are copied
   * @returns `false` where the record has another version than `ifVersion`; nothing was changed
   * @throws {SessionGoneError} if the session is missing or expired; nothing is created
   * @throws {TypeError} if a value cannot be kept; nothing is changed
   */
  // deno-lint-ignore require-await -- what it throws must reject
  async changeRecord(sid: string, change: RecordChange): Promise<boolean> {
    const { ifVersion, clear, meta, expiresAt } = change;
    const set = copyValues(change.set);
    const record = this.#live(sid);
    if (record === undefined) throw new SessionGoneError("change");
    if (ifVersion !== undefined && ifVersion !== record.version) return false;
    let next = record;
    if (clear || set.size > 0) next = next.write(set, clear);
    if (meta !== undefined || expiresAt !== undefined) next = next.describe({ meta, expiresAt });
    if (next.deadline !== undefined) next.deadline.expiresAt = next.expiresAt;
    this.#replace(sid, record, next);
    return true;
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
  setValue(sid: string, key: string, value: unknown): Promise<void> {
    return done(() => {
      const copy = cloneValue(key, value);
      const record = this.#live(sid);
      if (record === undefined) throw new SessionGoneError("set");
      this.#records.set(sid, record.writeOne(key, copy));
    });
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
    return Promise.resolve(this.#live(sid)?.value(key));
  }

  /**
   * Gives a session a new id. The old one is missing from then on, and remembered until the session's deadline.
   *
   * @param sid the session id
   * @param newSid the new one
   * @param move what to write with it, and how long the old id leads to the new one
   * @returns `false` where the record has another version than `ifVersion`; nothing was changed
   * @throws {SessionGoneError} if the session is missing or expired
   * @throws {SessionStoreError} if the new id is in use
   * @throws {TypeError} if a value cannot be kept; nothing is changed
   */
  // deno-lint-ignore require-await -- what it throws must reject
  async moveRecord(sid: string, newSid: string, move: RecordMove): Promise<boolean> {
    const { ifVersion, meta } = move;
    const graceUntil = normalizeTimestamp(move.graceUntil);
    const set = copyValues(move.set);
    const record = this.#live(sid);
    if (record === undefined) throw new SessionGoneError("regenerate");
    if (this.#live(newSid) !== undefined) throw idInUseError("regenerate");
    if (ifVersion !== undefined && ifVersion !== record.version) return false;
    // Shared by the record and its traces, which must not keep the values of a session alive that has ended.
    const deadline = record.deadline ?? { expiresAt: record.expiresAt };
    const moved = (set.size > 0 ? record.write(set) : record).describe({ meta, deadline });
    // Also where no session begins any more: what is looked at in search of the expired is let go of.
    this.#giveBack();
    this.#remove(sid);
    this.#put(newSid, moved);
    this.#records.rest();
    this.#bind(newSid, moved.principal);
    this.#traces.set(sid, {
      movedTo: newSid,
      graceUntil,
      // Read when it is asked: with a sliding limit the deadline moves on.
      get expiresAt(): number {
        return Math.max(deadline.expiresAt, graceUntil);
      },
    });
    return true;
  }

  /**
   * Lists the live sessions that are bound to a user.
   *
   * @param principal the user
   * @returns in no particular order
   */
  listSessions(principal: string): Promise<{ sid: string; meta: SessionMeta }[]> {
    const sessions: { sid: string; meta: SessionMeta }[] = [];
    for (const sid of this.#principals.get(principal) ?? []) {
      const record = this.#live(sid);
      if (record !== undefined) sessions.push({ sid, meta: record.meta });
    }
    return Promise.resolve(sessions);
  }

  /** Removes every session. */
  clear(): Promise<void> {
    this.#records.clear();
    this.#traces.clear();
    this.#principals.clear();
    return Promise.resolve();
  }

  /** The record of a session that has not ended. */
  #live(sid: string): HeldRecord | undefined {
    const record = this.#records.get(sid);
    if (record === undefined || Date.now() < record.expiresAt) return record;
    this.#remove(sid);
    return undefined;
  }

  #remove(sid: string): void {
    const record = this.#records.get(sid);
    if (record === undefined) return;
    this.#records.delete(sid);
    this.#unbind(sid, record.principal);
  }

  /** Puts a record in the place of another. */
  #replace(sid: string, { principal }: HeldRecord, next: HeldRecord): void {
    this.#put(sid, next);
    if (next.principal === principal) return;
    this.#unbind(sid, principal);
    this.#bind(sid, next.principal);
  }

  #bind(sid: string, principal: string | undefined): void {
    if (principal === undefined) return;
    const sids = this.#principals.get(principal);
    if (sids === undefined) this.#principals.set(principal, new Set([sid]));
    else sids.add(sid);
  }

  #unbind(sid: string, principal: string | undefined): void {
    if (principal === undefined) return;
    const sids = this.#principals.get(principal);
    sids?.delete(sid);
    if (sids?.size === 0) this.#principals.delete(principal);
  }

  /** Puts a record where it is looked for. */
  #put(sid: string, record: HeldRecord): void {
    this.#records.set(sid, record);
    const { expiresAt } = record;
    if (expiresAt < this.#earliest) this.#earliest = expiresAt;
    if (expiresAt < this.#earliestSeen) this.#earliestSeen = expiresAt;
  }

  /**
   * Looks at the next few records and removes the expired ones; not where none can have expired, because it costs as much as making a
   * record: what was not used for long is in no cache of the processor.
   *
   * While there is something to remove, every record is looked at once in so many new sessions as a quarter of all: that bounds the expired
   * ones that are still held, whatever the order in which sessions end.
   */
  #giveBack(): void {
    const now = Date.now();
    if (now < this.#earliest) return;
    let steps = SWEEP_STEPS;
    for (let looked = 0; looked < steps; looked++) {
      const next = this.#records.next();
      if (next === undefined) {
        this.#earliest = this.#earliestSeen;
        this.#earliestSeen = Infinity;
        return;
      }
      const [sid, { expiresAt }] = next;
      if (now < expiresAt) {
        if (expiresAt < this.#earliestSeen) this.#earliestSeen = expiresAt;
        continue;
      }
      this.#remove(sid);
      steps = Math.min(steps + 1, SWEEP_LIMIT);
    }
  }

  #dropOldest(): void {
    const oldest = this.#records.takeOldest();
    if (oldest !== undefined) this.#unbind(oldest[0], oldest[1].principal);
  }
}
