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
import { emptyRecord, idInUseError, normalizeTimestamp } from "./_records.ts";
import { type RedisClientLike, type RedisClusterLike, RedisConnection } from "./_redis_connection.ts";
import {
  CHANGE,
  CREATE,
  decodeMeta,
  decodeValues,
  DELETE,
  encode,
  ENTER,
  ENTRIES,
  EXPIRES_AT,
  type Fields,
  GRACE_UNTIL,
  isLive,
  LEAVE,
  LEAVE_TRACE,
  META_FIELDS,
  MOVED_FROM,
  MOVED_TO,
  PRINCIPAL,
  READ,
  READ_SOME,
  split,
  VALUE,
  VERSION,
} from "./_redis_record.ts";

export type { RedisClientLike, RedisClusterLike, RedisScripting } from "./_redis_connection.ts";

/** The options of {@linkcode RedisStore}. */
export interface RedisStoreOptions {
  /**
   * What the keys in Redis begin with, not empty: `<prefix>id:<session id>` and `<prefix>user:<user>`. Two stores on one Redis are apart
   * where neither's prefix is the beginning of the other's.
   *
   * @default {"session:"}
   */
  prefix?: string;
}

/**
 * For how much longer than a session lives Redis keeps its record, in milliseconds. Whether a session has ended is decided by the clock of
 * whoever asks: this is how far the clocks of the machines may be apart.
 */
const SLACK = 5 * 60 * 1000;

/**
 * Keeps sessions in Redis 6.2 or later, or in a Redis Cluster: shared by any number of machines, as durable as that Redis is set up to be.
 *
 * Every step of a session is one round trip. A session that is bound to a user takes more where it is made, moved, ended or
 * given another deadline, because the user's list is another key. Redis removes what has ended by itself, five minutes later.
 *
 * What a crash of Redis loses is a matter of its settings: with `appendonly yes` and `appendfsync always` no acknowledged write, with
 * `everysec` those of the last second, without `appendonly` all since its last snapshot. It replicates after it has answered, so a
 * replica that takes over may lack the last writes, a logout among them. And it must not evict keys (`maxmemory-policy noeviction`,
 * its default): an evicted session has ended without a word.
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
 *   // A master that is down is an error at once, and its replica is looked for after a second.
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
   * Makes a store; connects to nothing.
   *
   * @param clientOrUrl a URL (`redis://` or `rediss://`, with user, password and database number where needed), for a connection of the
   * store's own, which comes back by itself and refuses at once while Redis is down; or a client, a pool or a cluster client of
   * `npm:redis`, which stays the application's to close. What becomes of a request while Redis is down is up to it then: with
   * `disableOfflineQueue` it is refused at once, otherwise it waits for five seconds.
   * @param options the prefix of the keys
   * @throws {TypeError} if `clientOrUrl` is neither, or `prefix` is not a well-formed string
   * @throws {RangeError} if `prefix` is empty
   */
  constructor(clientOrUrl: RedisClientLike | RedisClusterLike | string | URL, options: RedisStoreOptions = {}) {
    const { prefix = "session:" } = options;
    if (typeof prefix !== "string" || !prefix.isWellFormed()) {
      throw new TypeError("Cannot make a RedisStore: `prefix` must be a well-formed string");
    }
    if (prefix === "") throw new RangeError("Cannot make a RedisStore: `prefix` must not be empty");
    this.#prefix = prefix;
    this.#redis = new RedisConnection(clientOrUrl);
  }

  /**
   * Connects, and asks Redis for an answer. A client that was handed in and is not open yet is opened; where nobody listens to its
   * errors, from now on a listener does nothing with them, because otherwise a lost connection would end the process.
   *
   * @throws where Redis cannot be reached. A connection of the store's own goes on trying, so the store works as soon as Redis does.
   */
  init(): Promise<void> {
    return this.#opening ??= this.#redis.open(this.#prefix).catch((error) => {
      this.#opening = undefined;
      throw error;
    });
  }

  /**
   * Tells whether there is a live session of this id.
   *
   * @param sid the session id
   */
  async exist(sid: string): Promise<boolean> {
    return isLive(await this.#readSome(sid, [EXPIRES_AT]));
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
  async createRecord(sid: string, { values, meta, ...record }: SessionRecord): Promise<void> {
    const expiresAt = normalizeTimestamp(record.expiresAt);
    const { principal } = meta;
    const fields = encode(values, meta).set(EXPIRES_AT, String(expiresAt)).set(VERSION, "0");
    // First: whoever ends all sessions of a user must find every one that lives.
    if (principal !== undefined) await this.#enter(principal, sid, expiresAt);
    if (!await this.#create(sid, fields, expiresAt)) {
      throw idInUseError("create");
    }
  }

  /**
   * Removes a record. Does nothing where there is none.
   *
   * @param sid the session id
   */
  async delete(sid: string): Promise<void> {
    const principal = await this.#redis.run(DELETE, this.#keyOf(sid));
    if (typeof principal === "string") await this.#leave(principal, sid);
  }

  /**
   * Reads all values.
   *
   * @param sid the session id
   * @returns a plain object without prototype; `undefined` where the session is missing or expired
   */
  async get(sid: string): Promise<Record<string, unknown> | undefined> {
    const fields = await this.#read(sid);
    if (!isLive(fields)) return undefined;
    const object: Record<string, unknown> = Object.create(null);
    for (const [key, value] of decodeValues(fields)) object[key] = value;
    return object;
  }

  /**
   * Reads a whole record.
   *
   * @param sid the session id
   * @returns the record; or what is left of the id; or `undefined` where nothing is known of it
   */
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
   * Changes a record in one step.
   *
   * @param sid the session id
   * @param change what is to change; values are copied
   * @returns `false` where the record has another version than `ifVersion`; nothing was changed
   * @throws {SessionGoneError} if the session is missing or expired; nothing is created
   * @throws {TypeError} if a value cannot be kept; nothing is changed
   */
  async changeRecord(sid: string, change: RecordChange): Promise<boolean> {
    const { ifVersion, clear = false, set = [], meta = {} } = change;
    const expiresAt = change.expiresAt === undefined ? undefined : normalizeTimestamp(change.expiresAt);
    const fields = encode(set, meta);
    if (expiresAt !== undefined) fields.set(EXPIRES_AT, String(expiresAt));
    if (meta.principal !== undefined) {
      const present = await this.#readSome(sid, [EXPIRES_AT]);
      if (!isLive(present)) throw new SessionGoneError("change");
      await this.#enter(meta.principal, sid, expiresAt ?? Number(present.get(EXPIRES_AT)));
    }
    const changed = await this.#change("change", sid, fields, { ifVersion, clear, expiresAt });
    if (changed === false) return false;
    if (expiresAt !== undefined && changed.principal !== undefined) {
      await this.#enter(changed.principal, sid, expiresAt);
    }
    return true;
  }

  /**
   * Writes one value; `undefined` removes it.
   *
   * @param sid the session id
   * @param key any well-formed string
   * @param value what to keep; it is copied
   * @throws {SessionGoneError} if the session is missing or expired; nothing is created
   * @throws {TypeError} if the value cannot be kept
   */
  async setValue(sid: string, key: string, value: unknown): Promise<void> {
    await this.#change("set", sid, encode([[key, value]], {}), {});
  }

  /**
   * Reads one value.
   *
   * @param sid the session id
   * @param key any string
   * @returns the value; `undefined` where the session is missing or expired, or has no such key
   */
  // deno-lint-ignore no-explicit-any -- the seed's own signature
  async getValue(sid: string, key: string): Promise<any> {
    const fields = await this.#readSome(sid, [EXPIRES_AT, VALUE + key]);
    return isLive(fields) ? decodeValues(fields).get(key) : undefined;
  }

  /**
   * Gives a session a new id. The old one is missing from then on, and remembered until the session's deadline.
   *
   * The two lie in different slots of a cluster, so the record is copied first, and then the old one gives way, if nothing has changed it
   * meanwhile. Whatever ends between the two leaves a copy whose id nobody has, and which expires.
   *
   * @param sid the session id
   * @param newSid the new one
   * @param move what to write with it, and how long the old id leads to the new one
   * @returns `false` where the record has another version than `ifVersion`; nothing was changed
   * @throws {SessionGoneError} if the session is missing or expired
   * @throws {SessionStoreError} if the new id is in use
   * @throws {TypeError} if a value cannot be kept; nothing is changed
   */
  async moveRecord(sid: string, newSid: string, move: RecordMove): Promise<boolean> {
    const { ifVersion, set = [], meta } = move;
    const graceUntil = normalizeTimestamp(move.graceUntil);
    const changes = encode(set, meta);
    for (;;) {
      const old = await this.#read(sid);
      if (!isLive(old)) throw new SessionGoneError("regenerate");
      const version = Number(old.get(VERSION));
      if (ifVersion !== undefined && ifVersion !== version) return false;
      const expiresAt = Number(old.get(EXPIRES_AT));
      const fields: Fields = new Map([...old, ...changes]);
      fields.set(VERSION, String(version + 1)).set(MOVED_FROM, sid);
      const principal = fields.get(PRINCIPAL);
      const [isNew] = await Promise.all([
        this.#create(newSid, fields, expiresAt),
        principal === undefined ? undefined : this.#enter(principal, newSid, expiresAt),
      ]);
      if (!isNew) throw idInUseError("regenerate");
      const life = lifeUntil(Math.max(expiresAt, graceUntil));
      const trace = [String(Date.now()), life, String(version), newSid, String(graceUntil)];
      if (await this.#redis.run(LEAVE_TRACE, this.#keyOf(sid), trace) === 1) {
        const left = old.get(PRINCIPAL);
        if (left !== undefined) await this.#leave(left, sid);
        return true;
      }
      // It was changed, moved or ended meanwhile.
      await this.delete(newSid);
    }
  }

  /**
   * Lists the live sessions that are bound to a user.
   *
   * @param principal the user
   * @returns in no particular order
   */
  async listSessions(principal: string): Promise<{ sid: string; meta: SessionMeta }[]> {
    let sids = await this.#redis.run(ENTRIES, this.#listOf(principal)) as string[];
    const asked = new Set<string>();
    const found = new Map<string, Fields>();
    while (sids.length > 0) {
      const next: string[] = [];
      // All at once: the client sends them together.
      await Promise.all(sids.map(async (sid) => {
        asked.add(sid);
        const fields = await this.#readSome(sid, [EXPIRES_AT, MOVED_TO, MOVED_FROM, ...META_FIELDS]);
        const movedTo = fields.get(MOVED_TO);
        // Its new id may have been entered after the list was read.
        if (movedTo !== undefined) next.push(movedTo);
        if (isLive(fields) && fields.get(PRINCIPAL) === principal) found.set(sid, fields);
      }));
      sids = next.filter((sid) => !asked.has(sid));
    }
    return [...found]
      // One that is being moved is there twice, and still has its old id.
      .filter(([, fields]) => !found.has(fields.get(MOVED_FROM) ?? ""))
      .map(([sid, fields]) => ({ sid, meta: decodeMeta(fields) }));
  }

  /**
   * Removes every session of this store: every key that begins as its keys do. It looks through all keys of Redis (SCAN), which takes
   * a while where there are many; sessions that begin meanwhile may stay.
   */
  async clear(): Promise<void> {
    await Promise.all([this.#keyOf(""), this.#listOf("")].map((prefix) => this.#redis.removeKeys(prefix)));
  }

  /** Closes the connection, where it is the store's own; a call that is under way rejects. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#opening = undefined;
    this.#redis.close();
    return Promise.resolve();
  }

  #keyOf(sid: string): string {
    return `${this.#prefix}id:${sid}`;
  }

  #listOf(principal: string): string {
    return `${this.#prefix}user:${principal}`;
  }

  async #read(sid: string): Promise<Fields> {
    const reply = await this.#redis.run(READ, this.#keyOf(sid)) as string[];
    const fields: Fields = new Map();
    for (let i = 0; i < reply.length; i += 2) fields.set(reply[i] ?? "", reply[i + 1]);
    return fields;
  }

  async #readSome(sid: string, names: string[]): Promise<Fields> {
    const reply = await this.#redis.run(READ_SOME, this.#keyOf(sid), names) as (string | null)[];
    return new Map(names.map((name, i) => [name, reply[i] ?? undefined]));
  }

  /** @returns whether the id was free */
  async #create(sid: string, fields: Fields, expiresAt: number): Promise<boolean> {
    const args = [String(Date.now()), lifeUntil(expiresAt), ...split(fields).written];
    return await this.#redis.run(CREATE, this.#keyOf(sid), args) === 1;
  }

  /** @returns `false` where the record has another version, else the user that it is bound to */
  async #change(
    operation: string,
    sid: string,
    fields: Fields,
    { ifVersion, clear, expiresAt }: Pick<RecordChange, "ifVersion" | "clear" | "expiresAt">,
  ): Promise<false | { principal: string | undefined }> {
    const { written, removed } = split(fields);
    const reply = await this.#redis.run(CHANGE, this.#keyOf(sid), [
      String(Date.now()),
      expiresAt === undefined ? "as it is" : lifeUntil(expiresAt),
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
   * Enters a session into the list of a user, for twice as long as it lives: if what would prolong the entry fails once, it is still
   * there when the session is prolonged the next time.
   *
   * Note: a session that is unbound stays in the list until then. Another request may be binding it again, and the two must not
   * leave a session that lives and is not listed. Whoever reads the list looks at the records.
   */
  async #enter(principal: string, sid: string, expiresAt: number): Promise<void> {
    const now = Date.now();
    const until = Math.max(2 * expiresAt - now, now) + SLACK;
    const score = until <= Number.MAX_SAFE_INTEGER ? String(until) : "+inf";
    await this.#redis.run(ENTER, this.#listOf(principal), [String(now), score, sid]);
  }

  /** Removes from the list of a user a session that has ended; a list that cannot be reached keeps the entry until it expires. */
  async #leave(principal: string, sid: string): Promise<void> {
    await this.#redis.run(LEAVE, this.#listOf(principal), [sid]).catch(() => {});
  }
}

/** For how long Redis is to keep a key that is needed until a moment. */
function lifeUntil(moment: number): string {
  // As a duration, so that the clock of Redis does not matter.
  const life = Math.max(Math.ceil(moment - Date.now() + SLACK), 1);
  return life <= Number.MAX_SAFE_INTEGER ? String(life) : "forever";
}
