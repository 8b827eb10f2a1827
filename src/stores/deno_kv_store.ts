/**
 * Sessions in Deno KV.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { CountingStore, PrincipalListStore, SessionCount, SignedInUser } from "../admin_store.ts";
import { SessionGoneError, SessionStoreError, UnreadableRecordError } from "../errors.ts";
import type {
  ListedSession,
  PingableStore,
  RecordAnswer,
  RecordChange,
  RecordMove,
  SessionRecord,
} from "../session_store.ts";
import { toObject } from "../util/clone_value.ts";
import { describeType } from "../util/describe_value.ts";
import { ExpiringMap } from "../util/expiring_map.ts";
import { KeyedMutex } from "../util/keyed_mutex.ts";
import { type MaybePromise, noop } from "../util/maybe_promise.ts";
import { checkOptionNames } from "../util/option_names.ts";
import { retry } from "../util/retry.ts";
import { withTimeout } from "../util/timeout.ts";
import { decodeValue, encodeValue } from "./_codec.ts";
import {
  decodeHeader,
  decodeSession,
  encodeContent,
  type EncodedRecord,
  encodeHeader,
  type Header,
  isSessionHeader,
  NOTHING,
  type SessionContent,
  type StoredSession,
} from "./_kv_session.ts";
import { Batches } from "./_batches.ts";
import { answerWithin, openError } from "./_open_error.ts";
import { emptyRecord, idInUseError, normalizeTimestamp, unreadableError } from "./_records.ts";

/** The options of {@linkcode DenoKvStore}. */
export interface DenoKvStoreOptions {
  /**
   * The first parts of every key of this store; at least one part. If several stores share a
   * database, no prefix may begin with another.
   *
   * @default {["session"]}
   */
  prefix?: Deno.KvKey;
}

/** The part of a session that the list of its user repeats. */
type ListedHeader = Pick<EncodedRecord, "expiresAt" | "meta">;

/** A {@linkcode RecordChange} whose values are encoded as text. */
type EncodedChange = Omit<RecordChange, "ifVersion" | "set"> & { set: ReadonlyMap<string, string | undefined> };

/** A write, made in one commit. */
interface Write {
  /** The operation, for error messages. */
  operation: string;
  /** The session ids that it changes. */
  sids: readonly [string, ...string[]];
  /** The id among `sids` that must be unused. */
  newSid?: string;
  /** The values that it sets. */
  set?: ReadonlyMap<string, unknown>;
  /**
   * Computes the new content of each id from what is stored; returns `undefined` if nothing is to
   * change.
   */
  plan: (version: number, ...stored: StoredSession[]) => SessionContent[] | undefined;
}

/** How long `init()` waits for an answer, in seconds. */
const INIT_TIMEOUT_S = 10;

/** How long a write is retried, in milliseconds. */
const RETRY_TIMEOUT_MS = 5000;

/** The longest time that a write delays later writes to the same session, in seconds. */
const MUTEX_TIMEOUT_S = 1;

/**
 * How many sessions are cached. Each fits in one entry and takes 128 KiB as a string at most: 32
 * MiB in total.
 */
const MAX_CACHED = 256;

/**
 * How long Deno KV must keep a session after its expiry, in milliseconds. This is the clock skew
 * allowed between machines.
 */
const CLOCK_SKEW_MS = 10 * 60 * 1000;

/**
 * The longest time to live that the store passes to Deno KV, in milliseconds: 30,000 years. Deno KV
 * refuses 300,000 years.
 */
const MAX_EXPIRE_IN_MS = 1e15;

/** How many entries `clear()` removes in one commit. */
const CLEAR_BATCH_SIZE = 100;

/** How many keys Deno KV accepts in one lookup. */
const GET_BATCH_SIZE = 10;

/** How many entries Deno KV returns in one call, from one snapshot. */
const LIST_BATCH_SIZE = 1000;

/**
 * Keeps sessions in Deno KV, which is built into Deno. Deno KV stores them in a file on one
 * machine, or in a service.
 *
 * The application opens and closes the database. Deno needs `"unstable": ["kv"]` in `deno.json`, or
 * the flag `--unstable-kv`.
 *
 * Every write is one atomic commit, which includes the list of a user's sessions. A session takes
 * as many entries of 64 KiB as it needs. Its values are limited to 768 KiB in total, encoded as
 * text (binary data takes a third more as text). A write that would exceed this limit rejects with
 * a `RangeError`. An expired session is missing immediately. Deno KV removes its entries at least
 * ten minutes later.
 *
 * Database calls:
 * - A lookup takes one call. It never uses the cache. The first lookup that finds the session
 *   expired takes two: it also marks the session, so that a write that was sent before the expiry
 *   and is executed later cannot extend it.
 * - Concurrent lookups share calls. While two are pending, further lookups wait, for two
 *   milliseconds at most, and then take one call for ten sessions, and one more for each that is
 *   larger than 64 KiB. A lookup finds everything that was written before it began.
 * - A new session takes one call.
 * - A write takes one call if this process has recently read or written the session. Otherwise, or
 *   if the session is larger than 64 KiB, it takes two. It takes three if another process has
 *   written to the session since. The store caches the last 256 sessions for this, 32 MiB at most.
 *
 * With a file, an acknowledged commit is on the disk, and several processes can share the file. A
 * conflicting write is retried until it succeeds, for five seconds at most. If other processes keep
 * the file locked for that long, it rejects with Deno KV's error.
 *
 * Note: none of this was tested with a service (Deno Deploy, or `denokv` on another machine). Its
 * latency, its consistency across regions (every lookup asks for strong consistency) and its
 * behaviour on a failing network are unknown.
 *
 * @example Keep sessions in a file
 * ```ts
 * import { assertEquals } from "jsr:@std/assert@1.0.13";
 * import { DenoKvStore } from "@alosaur/session/kv";
 *
 * using kv = await Deno.openKv(":memory:"); // or the path of a file
 * const store = new DenoKvStore(kv);
 * await store.init();
 * await store.create("an-id");
 * await store.setValue("an-id", "cart", ["apple"]);
 *
 * assertEquals(await store.getValue("an-id", "cart"), ["apple"]);
 * ```
 */
export class DenoKvStore implements CountingStore, PrincipalListStore, PingableStore, AsyncDisposable {
  readonly #kv: Deno.Kv;
  readonly #prefix: Deno.KvKey;
  /**
   * Serializes the writes of this process to one session, so that only other processes cause
   * conflicts.
   */
  readonly #mutex = new KeyedMutex();
  /**
   * The versionstamp of the last `clear()` that this process knows of. Every commit checks that
   * there was no other. Versionstamps grow, and a session from before the last `clear()` has ended.
   */
  #epoch = "";
  readonly #lookups = new Batches<string, StoredSession>((sids) => this.#readAll(sids), {
    queries: 2,
    items: GET_BATCH_SIZE,
  });
  /** The sessions that were read or written last, by session id. */
  readonly #cache = new ExpiringMap<{ stored: StoredSession; expiresAt: number }>(MAX_CACHED);

  /**
   * Creates a store. Does not call the database yet.
   *
   * @param kv the database, which the application opens and closes
   * @param options the prefix of the keys
   * @throws {TypeError} if `kv` is not a `Deno.Kv`, `prefix` is not a key of at least one part, or
   * there is an unknown option
   */
  constructor(kv: Deno.Kv, options: DenoKvStoreOptions = {}) {
    checkOptionNames("create a DenoKvStore", options, { prefix: true });
    const { prefix = ["session"] } = options;
    if (typeof kv?.list !== "function" || typeof kv.atomic !== "function") {
      throw new TypeError(
        `Cannot create a DenoKvStore: \`kv\` must be a Deno.Kv; received ${describeType(kv)}; ` +
          "pass the result of `await Deno.openKv()`",
      );
    }
    if (!Array.isArray(prefix) || prefix.length === 0 || !prefix.every(isKeyPart)) {
      throw new TypeError(
        "Cannot create a DenoKvStore: `prefix` must be a Deno.KvKey of at least one part; received " +
          describeType(prefix),
      );
    }
    this.#kv = kv;
    this.#prefix = [...prefix];
  }

  /**
   * Checks that the database answers, see {@linkcode SessionStore.init}. The application has opened
   * it.
   *
   * @throws {SessionStoreError} if the database fails, for example because it was closed, or does
   * not answer within ten seconds
   */
  async init(): Promise<void> {
    try {
      await answerWithin(INIT_TIMEOUT_S, this.ping());
    } catch (cause) {
      const advice = "pass an open database that answers: `await Deno.openKv(path)`";
      throw openError({ backend: "Deno KV", advice }, cause);
    }
  }

  /** Checks that the database answers, see {@linkcode PingableStore.ping}. Takes one call. */
  async ping(): Promise<void> {
    await this.#kv.get(this.#epochKey);
  }

  /** Does nothing, because the application closes the database. */
  async [Symbol.asyncDispose](): Promise<void> {}

  /** Returns whether there is a live session, see {@linkcode SessionStore.exist}. */
  async exist(sid: string): Promise<boolean> {
    return await this.#readLive("get", sid) !== undefined;
  }

  /** Creates an empty record without an expiry, see {@linkcode SessionStore.create}. */
  create(sid: string): Promise<void> {
    return this.createRecord(sid, emptyRecord());
  }

  /**
   * Creates a record, see {@linkcode RecordStore.createRecord}.
   *
   * @throws {RangeError} if the values exceed 768 KiB in total
   */
  async createRecord(sid: string, { values, expiresAt, meta }: SessionRecord): Promise<void> {
    const set = encodeEach(values);
    const copy = { expiresAt: normalizeTimestamp(expiresAt), meta: { ...meta } };
    await this.#write({
      operation: "create",
      sids: [sid],
      newSid: sid,
      set,
      plan: (version, stored) => {
        if (this.#liveRecord("create", stored)) throw idInUseError("create", "DenoKvStore");
        const empty = { ...copy, values: new Map<string, string>(), version, epoch: this.#epoch || undefined };
        return [{ record: applyChange(empty, version, { set }) }];
      },
    });
  }

  /** Removes a record, see {@linkcode SessionStore.delete}. */
  async delete(sid: string): Promise<void> {
    await this.#write({
      operation: "destroy",
      sids: [sid],
      plan: (_, stored) => stored.record || stored.unreadable ? [{}] : undefined,
    });
  }

  /** Returns all values as a plain object without prototype, see {@linkcode SessionStore.get}. */
  async get(sid: string): Promise<Record<string, unknown> | undefined> {
    const record = await this.#readLive("get", sid);
    return record && toObject(decodeEach(record.values));
  }

  /** Returns a whole record or its trace, see {@linkcode RecordStore.readRecord}. */
  async readRecord(sid: string): Promise<RecordAnswer> {
    const stored = await this.#read(sid);
    if (this.#isCleared(stored)) return undefined;
    if (stored.trace !== undefined) {
      const { expiresAt, movedTo, graceUntil } = stored.trace;
      return Date.now() < expiresAt ? { movedTo, graceUntil } : undefined;
    }
    const record = this.#liveRecord("get", stored);
    if (record === undefined) return stored.record && { expired: true };
    const { version, expiresAt, meta } = record;
    return { version, expiresAt, meta: { ...meta }, values: decodeEach(record.values) };
  }

  /**
   * Changes a record in one commit, see {@linkcode RecordStore.changeRecord}.
   *
   * @throws {RangeError} if the values would exceed 768 KiB in total; nothing is changed
   */
  changeRecord(sid: string, change: RecordChange): Promise<boolean> {
    return this.#change("change", sid, change);
  }

  /**
   * Writes one value, see {@linkcode SessionStore.setValue}.
   *
   * @throws {RangeError} if the values would exceed 768 KiB in total; nothing is changed
   */
  async setValue(sid: string, key: string, value: unknown): Promise<void> {
    await this.#change("set", sid, { set: new Map([[key, value]]) });
  }

  /** Returns one value, see {@linkcode SessionStore.getValue}. Reads the whole session. */
  // deno-lint-ignore no-explicit-any -- Alosaur's own signature
  async getValue(sid: string, key: string): Promise<any> {
    const text = (await this.#readLive("get", sid))?.values.get(key);
    return text === undefined ? undefined : decodeValue(text, "DenoKvStore");
  }

  /**
   * Moves a record to a new id in one commit, see {@linkcode RecordStore.moveRecord}. The trace is
   * kept until the session's current expiry, or until `graceUntil` if that is later.
   *
   * @throws {RangeError} if the values would exceed 768 KiB in total; nothing is changed
   */
  async moveRecord(sid: string, newSid: string, move: RecordMove): Promise<boolean> {
    const { ifVersion } = move;
    const graceUntil = normalizeTimestamp(move.graceUntil);
    const change = { set: encodeEach(move.set ?? []), meta: { ...move.meta }, expiresAt: move.expiresAt };
    return await this.#write({
      operation: "regenerate",
      sids: [sid, newSid],
      newSid,
      set: change.set,
      plan: (version, stored, storedAtNewSid) => {
        const record = this.#liveRecord("regenerate", stored);
        if (record === undefined) throw new SessionGoneError("regenerate");
        if (this.#liveRecord("regenerate", storedAtNewSid)) throw idInUseError("regenerate", "DenoKvStore");
        if (ifVersion !== undefined && ifVersion !== record.version) return undefined;
        const { epoch } = record;
        const moved = applyChange(record, version, change);
        const trace = { movedTo: newSid, graceUntil, expiresAt: Math.max(moved.expiresAt, graceUntil), epoch };
        return [{ trace }, { record: moved }];
      },
    });
  }

  /**
   * Lists the live sessions of a user, see {@linkcode PrincipalStore.listSessions}. Takes one
   * database call for up to 999 sessions, and otherwise four or more. For each session that has
   * expired since, it takes two more.
   */
  async listSessions(principal: string): Promise<ListedSession[]> {
    let entries = await this.#listUser(principal);
    // One call reads one snapshot. Between several calls, a session could move to an id that the
    // list has passed already.
    if (entries.length >= LIST_BATCH_SIZE) {
      const key = this.#userKey(principal);
      entries = await retry(
        async () => {
          const { versionstamp } = await this.#kv.get(key);
          const listed = await this.#listUser(principal);
          if ((await this.#kv.get(key)).versionstamp !== versionstamp) throw new WriteConflictError("list");
          return listed;
        },
        retryDeadline(),
        isRetryable,
      );
    }
    const sessions = await Promise.all(entries.map(async ({ key, value }) => {
      const sid = String(key.at(-1));
      const listed = this.#liveHeader(value) ?? await this.#readListed(sid, principal);
      return listed === undefined ? [] : [{ sid, expiresAt: listed.expiresAt, meta: listed.meta }];
    }));
    return sessions.flat();
  }

  async #listUser(principal: string): Promise<Deno.KvEntry<Uint8Array>[]> {
    return await Array.fromAsync(this.#listAll({ prefix: this.#userKey(principal) }));
  }

  /** Returns the expiry and the metadata in the list of a user, if they show that the session is live. */
  #liveHeader(value: unknown): ListedHeader | undefined {
    const header = decodeHeader(value);
    if (header === undefined || !this.#isLiveAt(Date.now(), header)) return undefined;
    return isSessionHeader(header) ? header : undefined;
  }

  /**
   * Reads the expiry and the metadata of a session of a user. Returns `undefined` if it is not
   * live, or if it can never be read.
   */
  async #readListed(sid: string, principal: string): Promise<ListedHeader | undefined> {
    try {
      const record = await this.#readLive("list", sid);
      return record?.meta.principal === principal ? record : undefined;
    } catch (error) {
      if (error instanceof UnreadableRecordError) return undefined;
      throw error;
    }
  }

  /**
   * Counts the live sessions, see {@linkcode CountingStore.countSessions}. Reads all sessions with
   * their values, a thousand entries per database call.
   */
  async countSessions(): Promise<SessionCount> {
    await this.#readEpoch();
    const now = Date.now();
    const count = { total: 0, signedIn: 0 };
    for await (const { key, value } of this.#listAll({ prefix: [...this.#prefix, "id"] })) {
      // Only the first chunk of a session has a header.
      const header = key.at(-1) === 0 ? decodeHeader(value) : undefined;
      if (header === undefined || !isSessionHeader(header) || !this.#isLiveAt(now, header)) continue;
      count.total++;
      if (header.meta.principal !== undefined) count.signedIn++;
    }
    return count;
  }

  /**
   * Lists users, see {@linkcode PrincipalListStore.listPrincipals}. They are in the order of their
   * SHA-256. Takes one database call for each thousand of their sessions, and one more.
   */
  async listPrincipals({ after, limit }: { after?: string; limit: number }): Promise<SignedInUser[]> {
    await this.#readEpoch();
    const now = Date.now();
    const users: SignedInUser[] = [];
    let last: SignedInUser | undefined;
    const prefix = [...this.#prefix, "user"];
    // Follows every key of that user.
    const start = [...prefix, after === undefined ? "" : `${hashOf(after)}\0`];
    for await (const { value } of this.#listAll({ prefix, start })) {
      // A user has an entry of another kind while sessions move.
      const header = decodeHeader(value);
      if (header === undefined || !isSessionHeader(header) || !this.#isLiveAt(now, header)) continue;
      const { principal } = header.meta;
      if (principal === undefined) continue;
      if (principal === last?.principal) {
        last.sessions++;
        continue;
      }
      if (users.length === limit) break;
      users.push(last = { principal, sessions: 1 });
    }
    return users;
  }

  #listAll(selector: Deno.KvListSelector): Deno.KvListIterator<Uint8Array> {
    return this.#kv.list<Uint8Array>(selector, { batchSize: LIST_BATCH_SIZE });
  }

  /** Returns whether a session is live, as far as its header shows. */
  #isLiveAt(now: number, header: Header): boolean {
    return now < header.expiresAt && !isBefore(header, this.#epoch);
  }

  /**
   * Removes every session of this store, see {@linkcode SessionStore.clear}. Takes a commit per 100
   * entries. After the first one, no process can change or move a session from before. If `clear()`
   * rejects, other processes may still read some of them. Call it again.
   */
  async clear(): Promise<void> {
    const operation = this.#kv.atomic();
    operation.set(this.#epochKey, true);
    const epoch = await retry(() => commit("clear", operation), retryDeadline(), isRetryable);
    // Another call that has read the previous epoch may set `#epoch` to that again.
    this.#epoch = epoch;
    for (const part of ["id", "user"]) {
      const keys: Deno.KvKey[] = [];
      let isNew = false;
      for await (const { key, value } of this.#kv.list({ prefix: [...this.#prefix, part] })) {
        // The further chunks of a session have no header. They follow the first one.
        if (part === "user" || key.at(-1) === 0) isNew = hasEpoch(value, epoch);
        if (isNew) continue;
        if (keys.push(key) === CLEAR_BATCH_SIZE) await this.#remove(keys.splice(0));
      }
      if (keys.length > 0) await this.#remove(keys);
    }
  }

  async #remove(keys: Deno.KvKey[]): Promise<void> {
    const operation = this.#kv.atomic();
    for (const key of keys) operation.delete(key);
    await retry(() => commit("clear", operation), retryDeadline(), isRetryable);
  }

  get #epochKey(): Deno.KvKey {
    return [...this.#prefix, "epoch"];
  }

  /** Learns of a `clear()` of another process. */
  async #readEpoch(): Promise<void> {
    this.#epoch = (await this.#kv.get(this.#epochKey)).versionstamp ?? "";
  }

  /** Returns whether `clear()` has ended a session or its trace, and has not removed it yet. */
  #isCleared({ record, trace }: StoredSession): boolean {
    const content = record ?? trace;
    return content !== undefined && isBefore(content, this.#epoch);
  }

  /** Returns whether a session has expired, and no call has found that before. */
  #isToBeEnded(stored: StoredSession): boolean {
    const { record } = stored;
    return record !== undefined && record.expiresAt !== 0 && Date.now() >= record.expiresAt && !this.#isCleared(stored);
  }

  /**
   * Returns the record of a live session.
   *
   * @throws {UnreadableRecordError} if the session cannot be read
   */
  #liveRecord(operation: string, stored: StoredSession): EncodedRecord | undefined {
    const { record, unreadable } = stored;
    if (this.#isCleared(stored) || record !== undefined && Date.now() >= record.expiresAt) return undefined;
    if (unreadable) throw unreadableError(operation, "DenoKvStore");
    return record;
  }

  #sessionKey(sid: string): Deno.KvKey {
    return [...this.#prefix, "id", sid];
  }

  /**
   * A key of Deno KV is limited to 2 KiB. A principal can be longer, so the key contains its hash.
   */
  #userKey(principal: string): Deno.KvKey {
    return [...this.#prefix, "user", hashOf(principal)];
  }

  async #read(sid: string): Promise<StoredSession> {
    let stored = await this.#readStored(sid);
    while (this.#isToBeEnded(stored) && !(await this.#end(sid, stored))) stored = await this.#readStored(sid);
    this.#remember(sid, stored);
    return stored;
  }

  async #readStored(sid: string): Promise<StoredSession> {
    return await this.#lookups.get(sid) ?? NOTHING;
  }

  /** Reads sessions, in one call if possible. */
  async #readAll(sids: string[]): Promise<MaybePromise<StoredSession>[]> {
    const [sid = ""] = sids;
    if (sids.length === 1) return [await this.#readChunks(sid)];
    try {
      const firsts = await this.#kv.getMany<Uint8Array[]>(sids.map((sid) => [...this.#sessionKey(sid), 0]));
      return firsts.map((first, i) => {
        const stored = first.versionstamp === null ? NOTHING : decodeSession([first]);
        // Without its further chunks, a large session is unreadable.
        return stored.unreadable ? this.#readChunks(sids[i] ?? "") : stored;
      });
    } catch {
      // One of the keys may be the reason.
      return sids.map((sid) => this.#readChunks(sid));
    }
  }

  async #readChunks(sid: string): Promise<StoredSession> {
    // If there are fewer than 100 entries, Deno KV reads all of them in one call, from one
    // snapshot. A session has 13 at most.
    return decodeSession(await Array.fromAsync(this.#kv.list<Uint8Array>({ prefix: this.#sessionKey(sid) })));
  }

  async #readLive(operation: string, sid: string): Promise<EncodedRecord | undefined> {
    return this.#liveRecord(operation, await this.#read(sid));
  }

  /**
   * Ends an expired session for every process. A write that was sent before the expiry, and that
   * extends the session, then conflicts with this one.
   *
   * @returns `false` if another process has changed the session in the meantime
   */
  async #end(sid: string, stored: StoredSession): Promise<boolean> {
    const { record } = stored;
    if (record === undefined) return true;
    const ended = { ...record, values: new Map(), expiresAt: 0, meta: { ...record.meta, principal: undefined } };
    try {
      await this.#commit({ operation: "get", sids: [sid] }, [stored], [{ record: ended }]);
    } catch (error) {
      // If the database cannot be written, nobody can extend the session either.
      if (!(error instanceof WriteConflictError)) return true;
      await this.#readEpoch();
      return false;
    }
    return true;
  }

  #remember(sid: string, stored: StoredSession): void {
    if (stored.record === undefined || stored.chunks > 1) this.#cache.delete(sid);
    else this.#cache.set(sid, { stored, expiresAt: stored.record.expiresAt });
  }

  async #change(
    operation: string,
    sid: string,
    { ifVersion, ifNoDevice, ...change }: RecordChange,
  ): Promise<boolean> {
    const copy = { ...change, set: encodeEach(change.set ?? []), meta: { ...change.meta } };
    return await this.#write({
      operation,
      sids: [sid],
      set: copy.set,
      plan: (version, stored) => {
        const record = this.#liveRecord(operation, stored);
        if (record === undefined) throw new SessionGoneError(operation);
        if (ifVersion !== undefined && ifVersion !== record.version) return undefined;
        if (ifNoDevice && record.meta.deviceKey !== undefined) return undefined;
        return [{ record: applyChange(record, version, copy) }];
      },
    });
  }

  /**
   * Runs a write after the earlier writes of this process to the same session, but waits for none
   * longer than a second. This only makes conflicts rare. Each commit still checks that the session
   * is unchanged.
   */
  async #serialized<T>(sid: string, write: () => Promise<T>): Promise<T> {
    const { result } = await this.#mutex.run(sid, async () => {
      const result = write();
      await withTimeout(result, MUTEX_TIMEOUT_S, () => new Error("The write takes too long")).catch(noop);
      // The object hides the promise. The mutex would wait for a bare promise.
      return { result };
    });
    return await result;
  }

  /**
   * Runs a write in one commit, and retries it after a conflict.
   *
   * @returns `false` if `plan` returned `undefined`
   */
  #write(write: Write): Promise<boolean> {
    const { operation, sids, newSid, plan } = write;
    const deadline = retryDeadline();
    return this.#serialized(sids[0], async () => {
      const version = Math.floor(Math.random() * Number.MAX_SAFE_INTEGER);
      let failure: unknown;
      const cached = sids.map((sid) => sid === newSid ? NOTHING : this.#cache.get(sid)?.stored);
      if (performance.now() < deadline && cached.every((stored) => stored !== undefined)) {
        try {
          const contents = plan(version, ...cached);
          if (contents !== undefined) {
            await this.#commit(write, cached, contents);
            return true;
          }
        } catch (error) {
          // The cache may be outdated, or a commit that failed may have taken effect. The lookup
          // below shows which. An error that still applies is thrown again.
          failure = error;
        }
      }
      if (performance.now() >= deadline) {
        throw failure ?? new SessionStoreError(
          operation,
          `Cannot ${operation}: earlier writes of DenoKvStore to the session took ${
            RETRY_TIMEOUT_MS / 1000
          } seconds; ` +
            "nothing was written; try again",
        );
      }
      let isRepeated = false;
      return await retry(
        async () => {
          // Perhaps the conflict was with clear() of another process.
          if (isRepeated) await this.#readEpoch();
          isRepeated = true;
          const stored = await Promise.all(sids.map((sid) => this.#read(sid)));
          // If the stored version is that of this write, an earlier attempt took effect, but its
          // result was lost.
          if (stored.at(-1)?.record?.version === version) return true;
          const contents = plan(version, ...stored);
          if (contents === undefined) return false;
          await this.#commit(write, stored, contents);
          return true;
        },
        deadline,
        isRetryable,
      );
    });
  }

  /** Replaces the stored sessions, in one commit. */
  async #commit(
    { operation: name, sids, set = new Map() }: Omit<Write, "plan">,
    stored: StoredSession[],
    contents: SessionContent[],
  ): Promise<void> {
    const operation = this.#kv.atomic();
    operation.check({ key: this.#epochKey, versionstamp: this.#epoch || null });
    const changes = sids.map((sid, i) => {
      const content = contents[i] ?? {};
      return { sid, content, before: stored[i] ?? NOTHING, chunks: encodeContent(content, set.keys()) };
    });
    for (const { sid, content, before, chunks } of changes) {
      const key = this.#sessionKey(sid);
      const expireIn = timeToLive(content);
      operation.check({ key: [...key, 0], versionstamp: before.versionstamp });
      chunks.forEach((chunk, n) => operation.set([...key, n], chunk, { expireIn }));
      for (let n = chunks.length; n < before.chunks; n++) operation.delete([...key, n]);

      const { expiresAt, meta, epoch } = content.record ?? {};
      const oldPrincipal = before.record?.meta.principal;
      if (oldPrincipal !== undefined && oldPrincipal !== meta?.principal) {
        operation.delete([...this.#userKey(oldPrincipal), sid]);
      }
      if (meta?.principal !== undefined) {
        const userKey = this.#userKey(meta.principal);
        operation.set([...userKey, sid], encodeHeader({ expiresAt, meta, epoch }), { expireIn });
        // A list that takes several calls notices a move.
        const isMoved = stored.some(({ record }) =>
          record !== before.record && record?.meta.principal === meta.principal
        );
        if (isMoved) operation.set(userKey, true, { expireIn: CLOCK_SKEW_MS });
      }
    }
    const versionstamp = await commit(name, operation);
    for (const { sid, content, chunks } of changes) {
      this.#remember(sid, { ...content, versionstamp, chunks: chunks.length });
    }
  }
}

/** Thrown when the data was changed between the lookup and the commit, or during the list. */
class WriteConflictError extends SessionStoreError {
  constructor(operation: string) {
    const changed = operation === "list" ? "the sessions of the user" : "the session";
    const outcome = operation === "list" ? "" : "nothing was written; ";
    super(
      operation,
      `Cannot ${operation}: other processes changed ${changed} in DenoKvStore in every attempt for ` +
        `${RETRY_TIMEOUT_MS / 1000} seconds; ${outcome}try again`,
    );
  }
}

/**
 * Commits a write and returns its versionstamp.
 *
 * @throws {WriteConflictError} if a check failed
 */
async function commit(name: string, operation: Deno.AtomicOperation): Promise<string> {
  const result = await operation.commit();
  if (!result.ok) throw new WriteConflictError(name);
  return result.versionstamp;
}

function retryDeadline(): number {
  return performance.now() + RETRY_TIMEOUT_MS;
}

/**
 * Returns whether a commit wrote nothing and can be retried: after a conflict, or while another
 * process has locked the file.
 */
function isRetryable(error: unknown): boolean {
  return error instanceof WriteConflictError || error instanceof TypeError && error.message === "database is locked";
}

function hashOf(principal: string): string {
  return createHash("sha256").update(principal).digest("base64url");
}

/** Returns whether an entry belongs to a session of this epoch or a later one. */
function hasEpoch(value: unknown, epoch: string): boolean {
  const header = decodeHeader(value);
  return header !== undefined && !isBefore(header, epoch);
}

/** Returns whether content belongs to a session from before an epoch. */
function isBefore(content: { epoch?: string }, epoch: string): boolean {
  return (content.epoch ?? "") < epoch;
}

function applyChange(
  record: EncodedRecord,
  version: number,
  { clear, set, meta, expiresAt }: EncodedChange,
): EncodedRecord {
  const values = new Map(clear ? [] : record.values);
  for (const [key, text] of set) {
    if (text === undefined) values.delete(key);
    else values.set(key, text);
  }
  return {
    values,
    version,
    expiresAt: expiresAt === undefined ? record.expiresAt : normalizeTimestamp(expiresAt),
    meta: { ...record.meta, ...meta },
    epoch: record.epoch,
  };
}

/**
 * Returns the time to live of the content in Deno KV, in milliseconds; `undefined` without an
 * expiry.
 */
function timeToLive({ record, trace }: SessionContent): number | undefined {
  const remaining = ((record ?? trace)?.expiresAt ?? 0) - Date.now();
  return remaining < MAX_EXPIRE_IN_MS ? Math.ceil(Math.max(remaining, 0)) + CLOCK_SKEW_MS : undefined;
}

function encodeEach(values: Iterable<[string, unknown]>): Map<string, string | undefined> {
  const texts = new Map<string, string | undefined>();
  for (const [key, value] of values) texts.set(key, value === undefined ? undefined : encodeValue(key, value));
  return texts;
}

function decodeEach(texts: Iterable<[string, string]>): Map<string, unknown> {
  const values = new Map<string, unknown>();
  for (const [key, text] of texts) values.set(key, decodeValue(text, "DenoKvStore"));
  return values;
}

function isKeyPart(part: unknown): boolean {
  return part instanceof Uint8Array || ["string", "number", "bigint", "boolean"].includes(typeof part);
}
