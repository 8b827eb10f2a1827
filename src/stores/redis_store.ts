/**
 * Sessions in Redis, or in a Redis Cluster.
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
import { toObject } from "../util/clone_value.ts";
import { noop } from "../util/maybe_promise.ts";
import { emptyRecord, idInUseError, normalizeTimestamp } from "./_records.ts";
import { type RedisClientLike, type RedisClusterLike, RedisConnection } from "./_redis_connection.ts";
import {
  CHANGE,
  CREATE,
  decodeMeta,
  decodeValues,
  DELETE,
  encodeFields,
  EXPIRES_AT,
  type Fields,
  FOREVER,
  GRACE_UNTIL,
  INDEX_ADD,
  INDEX_LIST,
  INDEX_REMOVE,
  isLive,
  META_FIELDS,
  MOVED_FROM,
  MOVED_TO,
  PRINCIPAL,
  READ,
  READ_FIELDS,
  REPLACE_WITH_TRACE,
  splitFields,
  UNCHANGED,
  VALUE,
  VERSION,
} from "./_redis_record.ts";

export type { RedisClientLike, RedisClusterLike, RedisScripting } from "./_redis_connection.ts";

/** The options of {@linkcode RedisStore}. */
export interface RedisStoreOptions {
  /**
   * The beginning of every key of this store, not empty. The keys are `<prefix>id:<session id>` and
   * `<prefix>user:<user>`. If several stores share a Redis, no prefix may begin with another.
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
 * Keeps sessions in Redis 6.2 or later, or in a Redis Cluster. Any number of machines can share it.
 *
 * Most operations take one round trip. Moving a session takes three, and listing the sessions of a
 * user takes two. Binding a session to a user takes three. If a session is bound to a user, then
 * creating, moving and removing it, and changing its expiry, take one more, because the index of
 * the user's sessions is another key. Redis removes an expired session by itself, five minutes
 * later.
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
export class RedisStore implements PrincipalStore, AsyncDisposable {
  readonly #redis: RedisConnection;
  readonly #prefix: string;
  #opening: Promise<void> | undefined;

  /**
   * Creates a store. Does not connect yet.
   *
   * With a URL, the store has a connection of its own. It reconnects by itself, and commands fail
   * immediately while Redis is down.
   *
   * With a client, the application closes the client, and the client's settings decide what happens
   * while Redis is down. With `disableOfflineQueue`, commands fail immediately. Otherwise they wait
   * for five seconds.
   *
   * @param clientOrUrl a URL (`redis://` or `rediss://`, with user, password and database number if
   * needed); or a client, a pool or a cluster client of `npm:redis`
   * @param options the prefix of the keys
   * @throws {TypeError} if `clientOrUrl` is neither a URL nor a client, or `prefix` is not a
   * well-formed string
   * @throws {RangeError} if `prefix` is empty
   */
  constructor(clientOrUrl: RedisClientLike | RedisClusterLike | string | URL, options: RedisStoreOptions = {}) {
    const { prefix = "session:" } = options;
    if (typeof prefix !== "string" || !prefix.isWellFormed()) {
      throw new TypeError("Cannot create a RedisStore: expected `prefix` to be a well-formed string");
    }
    if (prefix === "") throw new RangeError("Cannot create a RedisStore: expected `prefix` not to be empty");
    this.#prefix = prefix;
    this.#redis = new RedisConnection(clientOrUrl);
  }

  /**
   * Connects and waits for an answer of Redis, see {@linkcode SessionStore.init}.
   *
   * Connects a client of the application if it is not connected yet. If the client has no listener
   * for errors, this adds one that ignores them, because otherwise a lost connection would end the
   * process.
   *
   * @throws if Redis cannot be reached. The store's own connection keeps trying, so the store works
   * as soon as Redis does.
   */
  init(): Promise<void> {
    return this.#opening ??= this.#redis.open(this.#prefix).catch((error) => {
      this.#opening = undefined;
      throw error;
    });
  }

  /** Returns whether there is a live session, see {@linkcode SessionStore.exist}. */
  async exist(sid: string): Promise<boolean> {
    return isLive(await this.#readFields(sid, [EXPIRES_AT]));
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
    // The index is written first, so that it contains every live session when all sessions of a
    // user are revoked.
    if (principal !== undefined) await this.#addToIndex(principal, sid, expiresAt);
    if (!await this.#create(sid, fields, expiresAt)) throw idInUseError("create");
  }

  /**
   * Removes a record, see {@linkcode SessionStore.delete}. Takes two round trips if it is bound to
   * a user.
   */
  async delete(sid: string): Promise<void> {
    const principal = await this.#redis.run(DELETE, this.#sessionKey(sid));
    if (typeof principal === "string") await this.#removeFromIndex(principal, sid);
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
    if (movedTo !== undefined) return { movedTo, graceUntil: Number(fields.get(GRACE_UNTIL)) };
    if (!fields.has(EXPIRES_AT)) return undefined;
    if (!isLive(fields)) return { expired: true };
    return {
      values: decodeValues(fields),
      expiresAt: Number(fields.get(EXPIRES_AT)),
      meta: decodeMeta(fields),
      version: Number(fields.get(VERSION)),
    };
  }

  /**
   * Changes a record, see {@linkcode RecordStore.changeRecord}. Takes three round trips to bind it
   * to a user, and two to change the expiry of a session that is bound to one.
   */
  async changeRecord(sid: string, change: RecordChange): Promise<boolean> {
    const { ifVersion, clear = false, set = [], meta = {} } = change;
    const expiresAt = change.expiresAt === undefined ? undefined : normalizeTimestamp(change.expiresAt);
    const fields = encodeFields(set, meta);
    if (expiresAt !== undefined) fields.set(EXPIRES_AT, String(expiresAt));
    if (meta.principal !== undefined) {
      const present = await this.#readFields(sid, [EXPIRES_AT]);
      if (!isLive(present)) throw new SessionGoneError("change");
      await this.#addToIndex(meta.principal, sid, expiresAt ?? Number(present.get(EXPIRES_AT)));
    }
    const changed = await this.#change("change", sid, fields, { ifVersion, clear, expiresAt });
    if (changed === false) return false;
    if (expiresAt !== undefined && changed.principal !== undefined) {
      await this.#addToIndex(changed.principal, sid, expiresAt);
    }
    return true;
  }

  /** Writes one value, see {@linkcode SessionStore.setValue}. */
  async setValue(sid: string, key: string, value: unknown): Promise<void> {
    await this.#change("set", sid, encodeFields([[key, value]], {}), {});
  }

  /** Returns one value, see {@linkcode SessionStore.getValue}. Reads no other value. */
  // deno-lint-ignore no-explicit-any -- Alosaur's own signature
  async getValue(sid: string, key: string): Promise<any> {
    const fields = await this.#readFields(sid, [EXPIRES_AT, VALUE + key]);
    return isLive(fields) ? decodeValues(fields).get(key) : undefined;
  }

  /**
   * Moves a record to a new id, see {@linkcode RecordStore.moveRecord}. Takes three round trips, or
   * four if it is bound to a user. The trace is kept until the session's current expiry, or until
   * `graceUntil` if that is later.
   *
   * A cluster may store the two ids in different slots, so the method first copies the record. It
   * then replaces the old record with the trace. If the old record has been changed meanwhile, it
   * starts again. A failure in between leaves a copy under an id that no client knows, and the copy
   * expires.
   */
  async moveRecord(sid: string, newSid: string, move: RecordMove): Promise<boolean> {
    const { ifVersion, set = [], meta } = move;
    const graceUntil = normalizeTimestamp(move.graceUntil);
    const changes = encodeFields(set, meta);
    for (;;) {
      const old = await this.#read(sid);
      if (!isLive(old)) throw new SessionGoneError("regenerate");
      const version = Number(old.get(VERSION));
      if (ifVersion !== undefined && ifVersion !== version) return false;
      const expiresAt = Number(old.get(EXPIRES_AT));
      const fields: Fields = new Map([...old, ...changes]);
      fields.set(VERSION, String(version + 1)).set(MOVED_FROM, sid);
      const principal = fields.get(PRINCIPAL);
      const [created] = await Promise.all([
        this.#create(newSid, fields, expiresAt),
        principal === undefined ? undefined : this.#addToIndex(principal, newSid, expiresAt),
      ]);
      if (!created) throw idInUseError("regenerate");
      const ttl = ttlUntil(Math.max(expiresAt, graceUntil));
      const trace = [String(Date.now()), ttl, String(version), newSid, String(graceUntil)];
      if (await this.#redis.run(REPLACE_WITH_TRACE, this.#sessionKey(sid), trace) === 1) {
        const oldPrincipal = old.get(PRINCIPAL);
        if (oldPrincipal !== undefined) await this.#removeFromIndex(oldPrincipal, sid);
        return true;
      }
      // The old record was changed, moved or removed meanwhile, or it has expired.
      await this.delete(newSid);
    }
  }

  /**
   * Lists the live sessions of a user, see {@linkcode PrincipalStore.listSessions}. Takes two round
   * trips.
   */
  async listSessions(principal: string): Promise<{ sid: string; meta: SessionMeta }[]> {
    let sids = await this.#redis.run(INDEX_LIST, this.#indexKey(principal)) as string[];
    const visited = new Set<string>();
    const found = new Map<string, Fields>();
    while (sids.length > 0) {
      const next: string[] = [];
      // The client sends concurrent commands in one round trip.
      await Promise.all(sids.map(async (sid) => {
        visited.add(sid);
        const fields = await this.#readFields(sid, [EXPIRES_AT, MOVED_TO, MOVED_FROM, ...META_FIELDS]);
        const movedTo = fields.get(MOVED_TO);
        // The new id may have been added to the index after the index was read.
        if (movedTo !== undefined) next.push(movedTo);
        if (isLive(fields) && fields.get(PRINCIPAL) === principal) found.set(sid, fields);
      }));
      sids = next.filter((sid) => !visited.has(sid));
    }
    return [...found]
      // During a move both records exist, and the old id is still the valid one.
      .filter(([, fields]) => !found.has(fields.get(MOVED_FROM) ?? ""))
      .map(([sid, fields]) => ({ sid, meta: decodeMeta(fields) }));
  }

  /**
   * Removes every key that begins with this store's prefix and `id:` or `user:`, see {@linkcode
   * SessionStore.clear}. Scans all keys of Redis, which takes a while if there are many. A session
   * that is created meanwhile may stay.
   */
  async clear(): Promise<void> {
    await Promise.all([this.#sessionKey(""), this.#indexKey("")].map((prefix) => this.#redis.removeKeys(prefix)));
  }

  /**
   * Closes the store's own connection. A pending call rejects. A client of the application stays
   * open.
   */
  [Symbol.asyncDispose](): Promise<void> {
    this.#opening = undefined;
    this.#redis.close();
    return Promise.resolve();
  }

  #sessionKey(sid: string): string {
    return `${this.#prefix}id:${sid}`;
  }

  #indexKey(principal: string): string {
    return `${this.#prefix}user:${principal}`;
  }

  async #read(sid: string): Promise<Fields> {
    const reply = await this.#redis.run(READ, this.#sessionKey(sid)) as string[];
    const fields: Fields = new Map();
    for (let i = 0; i < reply.length; i += 2) fields.set(reply[i] ?? "", reply[i + 1]);
    return fields;
  }

  async #readFields(sid: string, names: string[]): Promise<Fields> {
    const reply = await this.#redis.run(READ_FIELDS, this.#sessionKey(sid), names) as (string | null)[];
    return new Map(names.map((name, i) => [name, reply[i] ?? undefined]));
  }

  /** Creates a record and returns whether the id was unused. */
  async #create(sid: string, fields: Fields, expiresAt: number): Promise<boolean> {
    const args = [String(Date.now()), ttlUntil(expiresAt), ...splitFields(fields).written];
    return await this.#redis.run(CREATE, this.#sessionKey(sid), args) === 1;
  }

  /** Changes a record and returns its principal, or `false` if it has another version. */
  async #change(
    operation: string,
    sid: string,
    fields: Fields,
    { ifVersion, clear, expiresAt }: Pick<RecordChange, "ifVersion" | "clear" | "expiresAt">,
  ): Promise<false | { principal: string | undefined }> {
    const { written, removed } = splitFields(fields);
    const reply = await this.#redis.run(CHANGE, this.#sessionKey(sid), [
      String(Date.now()),
      expiresAt === undefined ? UNCHANGED : ttlUntil(expiresAt),
      ifVersion === undefined ? "any" : String(ifVersion),
      clear ? "clear" : "",
      String(written.length / 2),
      ...written,
      ...removed,
    ]) as [number, string | null] | null;
    if (reply === null) throw new SessionGoneError(operation);
    const [changed, principal] = reply;
    return changed === 1 && { principal: principal ?? undefined };
  }

  /**
   * Adds a session to the index of a user, for twice its remaining lifetime. If one extension of
   * that time fails, the session is still in the index at the next extension.
   *
   * Note: a session that is unbound from its user stays in the index for that time. Removing it
   * could race with another request that binds it again, and would leave a live session that is not
   * listed. `listSessions()` checks the record of every id.
   */
  async #addToIndex(principal: string, sid: string, expiresAt: number): Promise<void> {
    const now = Date.now();
    const until = Math.max(2 * expiresAt - now, now) + CLOCK_SKEW_MS;
    const score = until <= Number.MAX_SAFE_INTEGER ? String(until) : "+inf";
    await this.#redis.run(INDEX_ADD, this.#indexKey(principal), [String(now), score, sid]);
  }

  /**
   * Removes an ended session from the index of a user. If that fails, it stays in the index until
   * its time has passed.
   */
  async #removeFromIndex(principal: string, sid: string): Promise<void> {
    await this.#redis.run(INDEX_REMOVE, this.#indexKey(principal), [sid]).catch(noop);
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
