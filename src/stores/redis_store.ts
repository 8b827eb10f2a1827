/**
 * Sessions in Redis, or in a Redis Cluster.
 *
 * @module
 */
import type { CountingStore, SessionCount } from "../admin_store.ts";
import { SessionGoneError, SessionStoreError, UnreadableRecordError } from "../errors.ts";
import type {
  ListedSession,
  PingableStore,
  PrincipalStore,
  RecordChange,
  RecordMove,
  SessionRecord,
  SessionTrace,
  StoredRecord,
} from "../session_store.ts";
import { toObject } from "../util/clone_value.ts";
import { describeType } from "../util/describe_value.ts";
import { noop } from "../util/maybe_promise.ts";
import { checkOptionNames } from "../util/option_names.ts";
import { retry } from "../util/retry.ts";
import type { Watch, WatchedStore } from "../watched_store.ts";
import { openError, type Server } from "./_open_error.ts";
import { emptyRecord, idInUseError, normalizeTimestamp, unreadableError } from "./_records.ts";
import { type RedisClientLike, type RedisClusterLike, RedisConnection, type Script } from "./_redis_connection.ts";
import {
  ANY_VERSION,
  BEGIN_EPOCH,
  BEGIN_MOVE,
  CHANGE,
  CHANGED,
  CLEAR,
  COPY_OF,
  copyFields,
  CREATE,
  decodeMeta,
  decodeValues,
  DELETE,
  encodeFields,
  EPOCH,
  epochOf,
  EXPIRES_AT,
  type Fields,
  FIRST_SID,
  FOREVER,
  GONE,
  GRACE_UNTIL,
  HEAD_FIELDS,
  IF_NO_DEVICE,
  INDEX_ADD,
  INDEX_LIST,
  INDEX_REMOVE,
  indexEntry,
  isLive,
  LATE,
  META_FIELDS,
  MOVED_TO,
  numberIn,
  PENDING,
  PRINCIPAL,
  READ,
  READ_EPOCH,
  READ_FIELDS,
  REMOVE_MARK,
  REPLACE_WITH_TRACE,
  saysUnreadable,
  sidOfEntry,
  splitFields,
  UNCHANGED,
  VALUE,
  VERSION,
} from "./_redis_record.ts";
import { COUNT, REMOVE_OLDER } from "./_redis_scan.ts";
import { PROBE, RedisWatch } from "./_redis_watch.ts";

export type { RedisClientLike, RedisClusterLike, RedisScripting } from "./_redis_connection.ts";

/** The options of {@linkcode RedisStore}. */
export interface RedisStoreOptions {
  /**
   * The beginning of every key of this store, not empty. The keys are `<prefix>id:<session id>`,
   * `<prefix>user:<user>` and `<prefix>epoch`. If several stores share a Redis, no prefix may begin
   * with another.
   *
   * @default {"session:"}
   */
  prefix?: string;
}

/**
 * How long Redis keeps a record after its expiry, in milliseconds. This is the clock skew allowed
 * between machines, because the clock of the machine that reads a session decides whether it has
 * expired.
 */
const CLOCK_SKEW_MS = 5 * 60 * 1000;

/**
 * How long a move is tried again if other requests keep changing the session, in milliseconds.
 */
const MOVE_TIMEOUT_MS = 5000;

/**
 * How often a write is tried again that Redis took for too late while the session was live. The
 * second attempt uses what the first one has measured.
 */
const MAX_LATE_RETRIES = 5;

/** A move found the session changed since it had copied it. */
class MoveConflictError extends SessionStoreError {}

/**
 * Keeps sessions in Redis 6.2 or later, or in a Redis Cluster. Any number of machines can share it.
 *
 * Most operations take one round trip. Moving a session takes three, and listing the sessions of a
 * user takes two. Binding a session to a user takes three. If a session is bound to a user, then
 * creating, moving and removing it, and changing its expiry, take one more, because the index of
 * the user's sessions is another key. In a cluster, moving any session takes four. Redis removes an
 * expired session by itself, five minutes later.
 *
 * A write is refused if the session has expired when Redis executes it, even if it was live when
 * the command was sent. The clocks of Redis and of this machine may differ.
 *
 * Note: the settings of Redis decide what is lost when it crashes. With `appendonly yes` and
 * `appendfsync always`, no acknowledged write is lost. With `everysec`, the writes of the last
 * second may be lost. Without `appendonly`, all writes since the last snapshot are lost.
 *
 * Note: Redis replicates a write after it has acknowledged it. A replica that takes over may lack
 * the last writes, including a logout.
 *
 * Note: Redis must not evict keys (`maxmemory-policy noeviction`, its default). An evicted session
 * ends without any error.
 *
 * @example
 * ```ts ignore
 * import { SessionMiddleware } from "@alosaur/session";
 * import { RedisStore } from "@alosaur/session/redis";
 *
 * const store = new RedisStore("redis://localhost:6379");
 * await store.init();
 * const middleware = new SessionMiddleware(store, { secret: Deno.env.get("SESSION_SECRET") ?? "" });
 * ```
 *
 * @example A Redis Cluster
 * ```ts ignore
 * import { createCluster } from "npm:redis@6.3.1";
 * import { RedisStore } from "@alosaur/session/redis";
 *
 * const cluster = createCluster({
 *   rootNodes: [{ url: "redis://10.0.0.1:6379" }, { url: "redis://10.0.0.2:6379" }],
 *   // A command to a master that is down fails immediately, and its replica is looked up after a second.
 *   defaults: { disableOfflineQueue: true },
 *   topologyRefreshOnReconnectionAttemptStrategy: 1000,
 * });
 * const store = new RedisStore(cluster);
 * await store.init();
 * ```
 */
export class RedisStore implements CountingStore, PrincipalStore, PingableStore, WatchedStore, AsyncDisposable {
  readonly #redis: RedisConnection;
  readonly #prefix: string;
  readonly #epochKey: string;
  /** The latest epoch that this process has seen. */
  #epoch = 0;
  /** The watches that begin before the store is disposed of. */
  #watches = new Set<RedisWatch>();
  #opening: Promise<void> | undefined;

  /**
   * Creates a store. Does not connect yet.
   *
   * With a URL, the store has a connection of its own. It reconnects by itself, and commands fail
   * immediately while Redis is down. If the server has become a replica, a write that it refuses is
   * executed on a new connection, because the URL may lead to the new master by then.
   *
   * With a client, the application closes the client, and the client's settings decide what happens
   * while Redis is down. With `disableOfflineQueue`, commands fail immediately. Otherwise they wait
   * for five seconds. The store never reconnects such a client.
   *
   * @param clientOrUrl a URL (`redis://` or `rediss://`, with user, password and database number if
   * needed); or a client, a pool or a cluster client of `npm:redis`
   * @param options the prefix of the keys
   * @throws {TypeError} if `clientOrUrl` is neither a URL nor a client, `prefix` is not a
   * well-formed string, or there is an unknown option
   * @throws {RangeError} if `prefix` is empty
   */
  constructor(clientOrUrl: RedisClientLike | RedisClusterLike | string | URL, options: RedisStoreOptions = {}) {
    checkOptionNames("create a RedisStore", options, { prefix: true });
    const { prefix = "session:" } = options;
    if (typeof prefix !== "string" || !prefix.isWellFormed()) {
      throw new TypeError(
        `Cannot create a RedisStore: \`prefix\` must be a well-formed string; received ${describeType(prefix)}`,
      );
    }
    if (prefix === "") throw new RangeError("Cannot create a RedisStore: `prefix` must not be empty");
    this.#prefix = prefix;
    this.#epochKey = `${prefix}epoch`;
    this.#redis = new RedisConnection(clientOrUrl);
  }

  /**
   * Connects and waits for an answer of Redis, see {@linkcode SessionStore.init}.
   *
   * Connects a client of the application if it is not connected yet. If the client has no listener
   * for errors, this adds one that ignores them, because otherwise a lost connection would end the
   * process.
   *
   * @throws {SessionStoreError} if Redis cannot be reached, or does not answer within five seconds.
   * The store's own connection keeps trying, so the store works as soon as Redis does.
   * @throws {TypeError} if the client answers with Buffers
   */
  init(): Promise<void> {
    return this.#opening ??= this.#open().catch((error) => {
      this.#opening = undefined;
      if (error instanceof TypeError) throw error;
      const advice = "check the address, and that Redis runs and accepts this client";
      throw openError({ ...this.#backend, advice }, error);
    });
  }

  /**
   * Whether {@linkcode watch} reports every write: `false` on a cluster, which cannot be watched.
   * Implements {@linkcode WatchedStore.reportsAll}.
   */
  get reportsAll(): boolean {
    return !this.#redis.isCluster;
  }

  get #backend(): { backend: string; server: Server } {
    const { server, isCluster } = this.#redis;
    return { backend: isCluster ? "Redis Cluster" : "Redis", server };
  }

  async #open(): Promise<void> {
    await this.#redis.open(this.#prefix);
    this.#epoch = await this.#readEpoch();
  }

  /**
   * Checks that Redis answers, see {@linkcode PingableStore.ping}. In a cluster, it asks the node
   * that every operation needs.
   */
  async ping(): Promise<void> {
    await this.#readEpoch();
  }

  /**
   * Reports every change to a session, see {@linkcode WatchedStore.watch}. Opens another connection
   * with the options of the client. The user needs the permission `+client|tracking`. If the
   * connection is lost, or the server has become a replica, the watch connects again.
   *
   * Note: Redis reports sessions with the same keys in its other databases too.
   *
   * @throws {SessionStoreError} if Redis cannot be reached, is a replica, or refuses to report
   * changes, or if the client does not expose its options; and always on a cluster. A cluster does
   * not report every change after a failover.
   */
  async watch(changed: (sid: string | undefined) => void): Promise<Watch> {
    if (this.#redis.isCluster) {
      const reason = new Error("after a failover, it does not report every change");
      throw openError({ ...this.#backend, advice: "use a single Redis server to watch sessions" }, reason, "watch");
    }
    const watches = this.#watches;
    try {
      const [records, epoch, options] = await Promise.all([
        this.#redis.serverKey(this.#sessionKey("")),
        this.#redis.serverKey(this.#epochKey),
        this.#redis.clientOptions(),
      ]);
      if (options === undefined) {
        throw new TypeError("the client does not expose its options, so no other connection can be opened");
      }
      if (watches !== this.#watches) throw new Error("the store was closed");
      const probe = (sid: string): Promise<unknown> => this.#redis.run(PROBE, [this.#sessionKey(sid)]);
      const watch = new RedisWatch(options, { records, epoch }, probe, changed, watches);
      await watch.open();
      return watch;
    } catch (error) {
      const advice = "check that Redis runs, and that the user has the permission +client|tracking";
      throw openError({ ...this.#backend, advice }, error, "watch");
    }
  }

  /** Returns whether there is a live session, see {@linkcode SessionStore.exist}. */
  async exist(sid: string): Promise<boolean> {
    return isLive(await this.#readFields(sid, []));
  }

  /** Creates an empty record without an expiry, see {@linkcode SessionStore.create}. */
  create(sid: string): Promise<void> {
    return this.createRecord(sid, emptyRecord());
  }

  /**
   * Creates a record, see {@linkcode RecordStore.createRecord}. Takes two round trips if it is
   * bound to a user.
   */
  async createRecord(sid: string, { values, meta, ...record }: SessionRecord): Promise<void> {
    const expiresAt = normalizeTimestamp(record.expiresAt);
    const { principal } = meta;
    const fields = encodeFields(values, meta).set(EXPIRES_AT, String(expiresAt)).set(VERSION, "0");
    for (;;) {
      const epoch = this.#epoch;
      // The index is written first, so that it contains every live session when all sessions of a
      // user are revoked.
      if (principal !== undefined) await this.#addToIndex(principal, sid, epoch, expiresAt);
      const { isCreated, currentEpoch } = await this.#create(sid, fields, expiresAt, epoch);
      if (currentEpoch <= epoch) {
        if (!isCreated) throw idInUseError("create", "RedisStore");
        return;
      }
      // All sessions were cleared since this process looked. This one is new.
      this.#epoch = currentEpoch;
    }
  }

  /**
   * Removes a record, see {@linkcode SessionStore.delete}. Takes two round trips if it is bound to
   * a user. Also removes a record that cannot be read.
   */
  async delete(sid: string): Promise<void> {
    const [principal, epoch, ...copies] = await this.#redis.run(DELETE, [this.#sessionKey(sid)]) as (string | null)[];
    await Promise.all([
      typeof principal === "string" ? this.#removeFromIndex(principal, sid, Number(epoch ?? 0)).catch(noop) : undefined,
      this.#deleteCopies(copies, sid),
    ]);
  }

  /**
   * Removes the copies of a session that has ended or moved. If that fails, they expire.
   *
   * Note: this does not remove them from the index. The process that made a copy may be using the
   * id again, to move the session from its newer id. The session would then be live but not listed.
   */
  async #deleteCopies(copies: readonly (string | null)[], original: string): Promise<void> {
    const keys = copies.map((copy) => this.#sessionKey(String(copy)));
    await Promise.all(keys.map((key) => this.#redis.run(DELETE, [key], [original]).catch(noop)));
  }

  /** Returns all values as a plain object without prototype, see {@linkcode SessionStore.get}. */
  async get(sid: string): Promise<Record<string, unknown> | undefined> {
    const fields = await this.#read(sid);
    return isLive(fields) ? toObject(decodeValues(fields)) : undefined;
  }

  /** Returns a whole record or its trace, see {@linkcode RecordStore.readRecord}. */
  async readRecord(sid: string): Promise<StoredRecord | SessionTrace | undefined> {
    const fields = await this.#read(sid);
    const movedTo = fields.get(MOVED_TO);
    if (movedTo !== undefined) return { movedTo, graceUntil: numberIn(fields, GRACE_UNTIL) };
    if (fields.size === 0) return undefined;
    const expiresAt = numberIn(fields, EXPIRES_AT);
    if (!isLive(fields)) return { expired: true };
    return {
      values: decodeValues(fields),
      expiresAt,
      meta: decodeMeta(fields),
      version: numberIn(fields, VERSION),
    };
  }

  /**
   * Changes a record, see {@linkcode RecordStore.changeRecord}. Takes three round trips to bind it
   * to a user, and two to change the expiry of a session that is bound to one.
   */
  async changeRecord(sid: string, change: RecordChange): Promise<boolean> {
    const { ifVersion, ifNoDevice, clear, set = [], meta = {} } = change;
    const expiresAt = change.expiresAt === undefined ? undefined : normalizeTimestamp(change.expiresAt);
    const fields = encodeFields(set, meta);
    if (expiresAt !== undefined) fields.set(EXPIRES_AT, String(expiresAt));
    let indexedUntil = Infinity;
    if (meta.principal !== undefined) {
      const present = await this.#readFields(sid, []);
      if (!isLive(present)) throw new SessionGoneError("change");
      indexedUntil = expiresAt ?? numberIn(present, EXPIRES_AT);
      await this.#addToIndex(meta.principal, sid, epochOf(present), indexedUntil);
    }
    const changed = await this.#change("change", sid, fields, { ifVersion, ifNoDevice, clear, expiresAt });
    if (changed === undefined) return false;
    const { epoch, expiresAtBefore, principal = meta.principal } = changed;
    // Another request may have extended the session after this one had read its expiry.
    const until = expiresAt ?? (expiresAtBefore > indexedUntil ? expiresAtBefore : undefined);
    if (until !== undefined && principal !== undefined) await this.#addToIndex(principal, sid, epoch, until);
    return true;
  }

  /** Writes one value, see {@linkcode SessionStore.setValue}. */
  async setValue(sid: string, key: string, value: unknown): Promise<void> {
    await this.#change("set", sid, encodeFields([[key, value]], {}), {});
  }

  /** Returns one value, see {@linkcode SessionStore.getValue}. Reads no other value. */
  // deno-lint-ignore no-explicit-any -- Alosaur's own signature
  async getValue(sid: string, key: string): Promise<any> {
    const fields = await this.#readFields(sid, [VALUE + key]);
    return isLive(fields) ? decodeValues(fields).get(key) : undefined;
  }

  /**
   * Moves a record to a new id, see {@linkcode RecordStore.moveRecord}. Takes three round trips, or
   * four if it is bound to a user or in a cluster. The trace is kept until the session's current
   * expiry, or until `graceUntil` if that is later.
   *
   * A cluster may store the two ids in different slots, so the method makes three steps:
   * 1. It makes a copy that is marked as such. The copy counts as missing.
   * 2. It replaces the old record with the trace. That turns the copy into the session, at this
   *    moment and for every process.
   * 3. It removes the mark. In the meantime, and if that fails, a process that finds the mark also
   *    reads the trace.
   *
   * If the old record has been changed meanwhile, the method starts again, for five seconds at
   * most. A failure before the second step leaves a copy that is no session. The old record notes
   * its id, so that whatever ends that record removes the copy too.
   *
   * @throws {SessionStoreError} if other requests kept changing the record
   */
  async moveRecord(sid: string, newSid: string, move: RecordMove): Promise<boolean> {
    const changes = encodeFields(move.set ?? [], move.meta);
    if (move.expiresAt !== undefined) changes.set(EXPIRES_AT, String(normalizeTimestamp(move.expiresAt)));
    return await retry(
      () => this.#tryMove(sid, newSid, move, changes),
      performance.now() + MOVE_TIMEOUT_MS,
      (error) => error instanceof MoveConflictError,
    );
  }

  async #tryMove(sid: string, newSid: string, move: RecordMove, changes: Fields): Promise<boolean> {
    const ifVersion = move.ifVersion === undefined ? ANY_VERSION : String(move.ifVersion);
    const graceUntil = normalizeTimestamp(move.graceUntil);
    const old = await this.#read(sid, BEGIN_MOVE, [String(Date.now()), newSid, ifVersion]);
    if (!isLive(old)) throw new SessionGoneError("regenerate");
    const version = String(numberIn(old, VERSION));
    if (ifVersion !== ANY_VERSION && ifVersion !== version) return false;

    const epoch = epochOf(old);
    const fields = copyFields(old, changes, sid);
    const expiresAt = numberIn(fields, EXPIRES_AT);
    const principal = fields.get(PRINCIPAL);
    const [{ isCreated, currentEpoch }] = await Promise.all([
      this.#create(newSid, fields, expiresAt, epoch),
      principal === undefined ? undefined : this.#addToIndex(principal, newSid, epoch, expiresAt),
    ]);
    if (currentEpoch > epoch) {
      await this.#discardCopy(newSid, sid, principal, epoch);
      throw new SessionGoneError("regenerate");
    }
    if (!isCreated) throw idInUseError("regenerate", "RedisStore");

    const { status, rest } = await this.#runTimed(
      REPLACE_WITH_TRACE,
      sid,
      ttlUntil(Math.max(expiresAt, graceUntil)),
      [version, newSid, String(graceUntil)],
      newSid,
    );
    if (status !== CHANGED) {
      // The old record was changed, moved or removed meanwhile, or it has expired.
      await this.#discardCopy(newSid, sid, principal, epoch);
      if (status === GONE) throw new SessionGoneError("regenerate");
      throw new MoveConflictError(
        "regenerate",
        "Cannot regenerate: other requests changed the session in RedisStore during every attempt; the old id stays valid; try again",
      );
    }
    const oldPrincipal = old.get(PRINCIPAL);
    await Promise.all([
      oldPrincipal === undefined ? undefined : this.#removeFromIndex(oldPrincipal, sid, epoch).catch(noop),
      // If that fails, the next write removes the mark.
      this.#redis.isCluster ? this.#removeMark(newSid).catch(noop) : undefined,
      // The other copies belong to moves that have failed.
      this.#deleteCopies(rest.filter((copy) => copy !== newSid), sid),
    ]);
    return true;
  }

  /**
   * Removes the own copy of a move that has not happened, and its entry in the index. A failure is
   * not ignored, because the command may still be executed after the id is used again.
   */
  async #discardCopy(sid: string, original: string, principal: string | undefined, epoch: number): Promise<void> {
    await Promise.all([
      this.#redis.run(DELETE, [this.#sessionKey(sid)], [original]),
      principal === undefined ? undefined : this.#removeFromIndex(principal, sid, epoch),
    ]);
  }

  /**
   * Lists the live sessions of a user, see {@linkcode PrincipalStore.listSessions}. Takes two round
   * trips. Leaves out a session whose record cannot be read.
   */
  async listSessions(principal: string): Promise<ListedSession[]> {
    const [entries, epoch] = await Promise.all([
      this.#redis.run(INDEX_LIST, [this.#indexKey(principal)]) as Promise<string[]>,
      this.#redis.isCluster ? this.#readEpoch() : 0,
    ]);
    const found = new Map<string, Fields>();
    let sids = new Set(entries.map(sidOfEntry));
    while (sids.size > 0) {
      // The client sends concurrent commands in one round trip.
      const answers = await Promise.all(Array.from(sids, (sid) => this.#readListed(sid, epoch)));
      for (const [i, sid] of [...sids].entries()) {
        const fields = answers[i];
        if (fields !== undefined) found.set(sid, fields);
      }
      const next = new Set<string>();
      for (const sid of sids) {
        const fields = found.get(sid);
        const original = fields?.get(COPY_OF);
        if (original !== undefined && !found.has(original)) next.add(original);
        const movedTo = fields?.get(MOVED_TO);
        if (movedTo === undefined) continue;
        // The new id may have been read before the session moved to it. It was then missing or a
        // copy of another record. So it is read again after its trace. This ends, because each
        // further step takes a new trace.
        const target = found.get(movedTo);
        if (target === undefined || (target.get(COPY_OF) ?? sid) !== sid) next.add(movedTo);
      }
      sids = next;
    }
    // The records were read one after the other, so a session that moved meanwhile may have been
    // read under several ids. The highest version is the latest.
    const latest = new Map<string, { sid: string; fields: Fields; version: number }>();
    for (const [sid, fields] of found) {
      if (!isLive(fields)) continue;
      const original = fields.get(COPY_OF);
      if (original !== undefined && found.get(original)?.get(MOVED_TO) !== sid) continue;
      const first = fields.get(FIRST_SID) ?? sid;
      const version = numberIn(fields, VERSION);
      if (version > (latest.get(first)?.version ?? -1)) latest.set(first, { sid, fields, version });
    }
    return [...latest.values()]
      .filter(({ fields }) => fields.get(PRINCIPAL) === principal)
      .map(({ sid, fields }) => ({ sid, expiresAt: numberIn(fields, EXPIRES_AT), meta: decodeMeta(fields) }));
  }

  /** Reads a session or trace without its values; `undefined` if missing or not readable. */
  async #readListed(sid: string, epoch: number): Promise<Fields | undefined> {
    try {
      const fields = await this.#readRaw(sid, [VERSION, FIRST_SID, ...META_FIELDS], epoch);
      if (fields.get(EXPIRES_AT) === undefined) return fields.get(MOVED_TO) === undefined ? undefined : fields;
      // Throws if a field cannot be read.
      isLive(fields);
      numberIn(fields, VERSION);
      decodeMeta(fields);
      return fields;
    } catch (error) {
      if (error instanceof UnreadableRecordError) return undefined;
      throw error;
    }
  }

  /**
   * Counts the live sessions, see {@linkcode CountingStore.countSessions}. Scans all keys of Redis,
   * and reads 250 sessions with one command; in a cluster, one session. Redis may return a key of a
   * scan twice while it resizes its table, so the numbers may be slightly too high.
   */
  async countSessions(): Promise<SessionCount> {
    const prefix = this.#sessionKey("");
    const args = [String(Date.now()), String(await this.#readEpoch())];
    const { replies, added } = await this.#redis.runOnKeys(COUNT, prefix, args);
    const count = { total: 0, signedIn: 0 };
    for (const [total, signedIn, ...copies] of replies as [number, number, ...[string, string, number][]][]) {
      count.total += total;
      count.signedIn += signedIn;
      for (const [key, original, isBound] of copies) {
        if (!await this.#hasMoved(original, key.slice(prefix.length + added))) continue;
        count.total++;
        count.signedIn += isBound;
      }
    }
    return count;
  }

  /**
   * Ends every session of this store, see {@linkcode SessionStore.clear}. From the first round trip
   * on, all of them are missing in every process, also under an id that they get later. The method
   * then removes their keys. It scans all keys of Redis, which takes a while if there are many. If
   * that fails, the sessions have ended nevertheless, and a repeated call removes the keys.
   */
  async clear(): Promise<void> {
    const epoch = await this.#redis.run(BEGIN_EPOCH, [this.#epochKey]) as number;
    this.#epoch = Math.max(this.#epoch, epoch);
    await Promise.all([this.#sessionKey(""), this.#indexKey("")].map(async (prefix) => {
      await this.#redis.runOnKeys(REMOVE_OLDER, prefix, [String(epoch)]);
    }));
  }

  /**
   * Closes the store's own connection, and ends all watches. A pending call rejects. A client of
   * the application stays open.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#opening = undefined;
    this.#redis.close();
    const watches = this.#watches;
    this.#watches = new Set();
    await Promise.all(Array.from(watches, (watch) => watch[Symbol.asyncDispose]()));
  }

  #sessionKey(sid: string): string {
    return `${this.#prefix}id:${sid}`;
  }

  #indexKey(principal: string): string {
    return `${this.#prefix}user:${principal}`;
  }

  async #readEpoch(): Promise<number> {
    const epoch = await this.#redis.run(READ_EPOCH, [this.#epochKey]);
    if (typeof epoch !== "number") {
      throw new Error("another program has written to the key that counts the calls of clear()");
    }
    return epoch;
  }

  /**
   * Runs a script on a session. The script treats a session of an earlier epoch as missing. In a
   * cluster, it cannot read the epoch. It is then read at the same time, and the caller must
   * compare it.
   *
   * @param since a current epoch, if the caller has just read it
   * @param newSid the id of another record that the script changes, except in a cluster
   */
  async #run(
    script: Script,
    sid: string,
    args: string[],
    since?: number,
    newSid?: string,
  ): Promise<{ reply: unknown; epoch: number }> {
    const key = this.#sessionKey(sid);
    try {
      if (!this.#redis.isCluster) {
        const keys = newSid === undefined ? [key, this.#epochKey] : [key, this.#epochKey, this.#sessionKey(newSid)];
        return { reply: await this.#redis.run(script, keys, args), epoch: 0 };
      }
      const [reply, epoch] = await Promise.all([this.#redis.run(script, [key], args), since ?? this.#readEpoch()]);
      return { reply, epoch };
    } catch (error) {
      throw saysUnreadable(error) ? unreadableError("read", "RedisStore", { cause: error }) : error;
    }
  }

  /** Returns all fields of a session or trace, none if it is missing. */
  async #read(sid: string, script = READ, args: string[] = []): Promise<Fields> {
    const { reply, epoch } = await this.#run(script, sid, args);
    const texts = reply as string[];
    const fields: Fields = new Map();
    for (let i = 0; i < texts.length; i += 2) fields.set(texts[i] ?? "", texts[i + 1]);
    if (fields.size > 0 && !fields.has(EXPIRES_AT) && !fields.has(MOVED_TO)) {
      throw unreadableError("read", "RedisStore");
    }
    const original = fields.get(COPY_OF);
    const isMissing = epochOf(fields) < epoch || original !== undefined && !await this.#hasMoved(original, sid);
    return isMissing ? new Map() : fields;
  }

  /** Returns some fields of a session or trace, and the {@linkcode HEAD_FIELDS}. */
  async #readFields(sid: string, names: string[]): Promise<Fields> {
    const fields = await this.#readRaw(sid, names);
    const original = fields.get(COPY_OF);
    return original !== undefined && !await this.#hasMoved(original, sid) ? new Map() : fields;
  }

  /**
   * Reads fields as `#readFields()` does, also those of a copy that is no session yet.
   *
   * @param since a current epoch, if the caller has just read it
   */
  async #readRaw(sid: string, names: string[], since?: number): Promise<Fields> {
    const all = [...HEAD_FIELDS, ...names];
    const { reply, epoch } = await this.#run(READ_FIELDS, sid, all, since);
    const texts = reply as (string | null)[];
    const fields: Fields = new Map(all.map((name, i) => [name, texts[i] ?? undefined]));
    return epochOf(fields) < epoch ? new Map() : fields;
  }

  /** Returns whether a session has moved to a record that is marked as its copy. */
  async #hasMoved(sid: string, newSid: string): Promise<boolean> {
    return (await this.#readRaw(sid, [])).get(MOVED_TO) === newSid;
  }

  async #removeMark(sid: string): Promise<void> {
    await this.#redis.run(REMOVE_MARK, [this.#sessionKey(sid)]);
  }

  /** Creates a record of an epoch. If there is a later one, the record is missing. */
  async #create(
    sid: string,
    fields: Fields,
    expiresAt: number,
    epoch: number,
  ): Promise<{ isCreated: boolean; currentEpoch: number }> {
    if (epoch > 0) fields.set(EPOCH, String(epoch));
    const args = [String(Date.now()), ttlUntil(expiresAt), String(epoch), ...splitFields(fields).written];
    const { reply, epoch: read } = await this.#run(CREATE, sid, args);
    const [created, known] = reply as [number, number];
    return { isCreated: created === 1, currentEpoch: Math.max(known, read) };
  }

  /**
   * Changes a record and returns what the index of its user needs, or `undefined` if the change was
   * refused. The principal is left out if the expiry is not changed.
   */
  async #change(
    operation: string,
    sid: string,
    fields: Fields,
    { ifVersion, ifNoDevice, clear, expiresAt }: Omit<RecordChange, "set" | "meta">,
  ): Promise<{ expiresAtBefore: number; epoch: number; principal?: string } | undefined> {
    const { written, removed } = splitFields(fields);
    const ttl = expiresAt === undefined ? UNCHANGED : ttlUntil(expiresAt);
    const { status, rest, epoch: currentEpoch } = await this.#runTimed(CHANGE, sid, ttl, [
      ifVersion === undefined ? ANY_VERSION : String(ifVersion),
      `${clear ? CLEAR : ""}${ifNoDevice ? IF_NO_DEVICE : ""}`,
      String(written.length / 2),
      ...written,
      ...removed,
    ]);
    const [expiresAtBefore, epoch, principal] = rest;
    if (status === GONE || status === CHANGED && Number(epoch ?? 0) < currentEpoch) {
      throw new SessionGoneError(operation);
    }
    if (status !== CHANGED) return undefined;
    return {
      expiresAtBefore: Number(expiresAtBefore),
      epoch: Number(epoch ?? 0),
      principal: principal ?? undefined,
    };
  }

  /**
   * Runs a script that refuses a session which has expired when Redis executes it. The estimate of
   * Redis's clock may be wrong, because that was adjusted or another server has taken over. So if
   * the session is still live when the refusal arrives, the script runs again. It also runs again
   * after the mark was removed from a copy that has become the session.
   */
  async #runTimed(
    script: Script,
    sid: string,
    ttl: string,
    args: string[],
    newSid?: string,
  ): Promise<{ status: number; rest: (string | null)[]; epoch: number }> {
    let { offset } = this.#redis.clock;
    for (let retries = 0;; retries++) {
      const sentAt = performance.now();
      const common = [String(Date.now()), ttl, String(sentAt + offset)];
      const { reply, epoch } = await this.#run(script, sid, [...common, ...args], undefined, newSid);
      const [status, micros, ...rest] = reply as [number, number, ...(string | null)[]];
      this.#redis.clock.observe(micros / 1000, sentAt);
      if (status === PENDING) {
        if (!await this.#hasMoved(String(rest[0]), sid)) return { status: GONE, rest, epoch };
        await this.#removeMark(sid);
        continue;
      }
      if (status !== LATE) return { status, rest, epoch };
      if (Date.now() >= Number(rest[0]) || retries >= MAX_LATE_RETRIES) return { status: GONE, rest, epoch };
      offset = micros / 1000 - sentAt;
    }
  }

  /**
   * Adds a session to the index of a user, for twice its remaining lifetime. If one extension of
   * that time fails, the session is still in the index at the next extension.
   *
   * Note: a session that is unbound from its user stays in the index for that time. Removing it
   * could race with another request that binds it again, and would leave a live session that is not
   * listed. `listSessions()` checks the record of every id.
   */
  async #addToIndex(principal: string, sid: string, epoch: number, expiresAt: number): Promise<void> {
    const now = Date.now();
    const until = Math.max(2 * expiresAt - now, now) + CLOCK_SKEW_MS;
    const score = until <= Number.MAX_SAFE_INTEGER ? String(until) : "+inf";
    await this.#redis.run(INDEX_ADD, [this.#indexKey(principal)], [String(now), score, indexEntry(epoch, sid)]);
  }

  /**
   * Removes a session that has ended from the index of a user. If that fails, it stays in the index
   * until its time has passed.
   */
  async #removeFromIndex(principal: string, sid: string, epoch: number): Promise<void> {
    await this.#redis.run(INDEX_REMOVE, [this.#indexKey(principal)], [indexEntry(epoch, sid)]);
  }
}

/**
 * Returns the time to live of a key that is needed until a timestamp, in milliseconds. A duration
 * does not depend on the clock of Redis. Redis removes a key with a negative time to live
 * immediately.
 */
function ttlUntil(timestamp: number): string {
  const ttl = Math.ceil(timestamp - Date.now() + CLOCK_SKEW_MS);
  return ttl <= Number.MAX_SAFE_INTEGER ? String(ttl) : FOREVER;
}
