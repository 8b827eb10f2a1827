/**
 * Sessions in Deno KV.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { SessionGoneError, SessionStoreError } from "../errors.ts";
import type {
  PrincipalStore,
  RecordAnswer,
  RecordChange,
  RecordMove,
  SessionMeta,
  SessionRecord,
} from "../session_store.ts";
import { toObject } from "../util/clone_value.ts";
import { ExpiringMap } from "../util/expiring_map.ts";
import { KeyedMutex } from "../util/keyed_mutex.ts";
import { noop } from "../util/maybe_promise.ts";
import { retry } from "../util/retry.ts";
import { withTimeout } from "../util/timeout.ts";
import { decodeValue, encodeValue } from "./_codec.ts";
import {
  decodeHeader,
  decodeSession,
  encodeContent,
  type EncodedRecord,
  encodeHeader,
  NOTHING,
  type SessionContent,
  type StoredSession,
} from "./_kv_session.ts";
import { emptyRecord, idInUseError, normalizeTimestamp } from "./_records.ts";

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

/** A {@linkcode RecordChange} whose values are encoded as text. */
type EncodedChange = Omit<RecordChange, "ifVersion" | "set"> & { set: ReadonlyMap<string, string | undefined> };

/** A write, made in one commit. */
interface Write {
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
 * - A lookup takes one call. It never uses the cache.
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
export class DenoKvStore implements PrincipalStore {
  readonly #kv: Deno.Kv;
  readonly #prefix: Deno.KvKey;
  /**
   * Serializes the writes of this process to one session, so that only other processes cause
   * conflicts.
   */
  readonly #mutex = new KeyedMutex();
  /** The sessions that were read or written last, by session id. */
  readonly #cache = new ExpiringMap<{ stored: StoredSession; expiresAt: number }>(MAX_CACHED);

  /**
   * Creates a store. Does not call the database yet.
   *
   * @param kv the database, which the application opens and closes
   * @param options the prefix of the keys
   * @throws {TypeError} if `kv` is not a `Deno.Kv`, or `prefix` is not a key of at least one part
   */
  constructor(kv: Deno.Kv, options: DenoKvStoreOptions = {}) {
    const { prefix = ["session"] } = options;
    if (typeof kv?.list !== "function" || typeof kv.atomic !== "function") {
      throw new TypeError(
        `Cannot create a DenoKvStore: expected \`kv\` to be a Deno.Kv, received ${typeof kv}; ` +
          "pass the result of `await Deno.openKv()`",
      );
    }
    if (!Array.isArray(prefix) || prefix.length === 0 || !prefix.every(isKeyPart)) {
      throw new TypeError("Cannot create a DenoKvStore: expected `prefix` to be a Deno.KvKey of at least one part");
    }
    this.#kv = kv;
    this.#prefix = [...prefix];
  }

  /**
   * Does nothing, because the application has opened the database. See {@linkcode
   * SessionStore.init}.
   */
  init(): Promise<void> {
    return Promise.resolve();
  }

  /** Returns whether there is a live session, see {@linkcode SessionStore.exist}. */
  async exist(sid: string): Promise<boolean> {
    return await this.#readLive(sid) !== undefined;
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
    const empty = {
      values: new Map<string, string>(),
      version: 0,
      expiresAt: normalizeTimestamp(expiresAt),
      meta: { ...meta },
    };
    await this.#write({
      sids: [sid],
      newSid: sid,
      set,
      plan: (version, stored) => {
        if (liveRecord(stored)) throw idInUseError("create");
        return [{ record: applyChange(empty, version, { set }) }];
      },
    });
  }

  /** Removes a record, see {@linkcode SessionStore.delete}. */
  async delete(sid: string): Promise<void> {
    await this.#write({ sids: [sid], plan: (_, stored) => stored.record && [{}] });
  }

  /** Returns all values as a plain object without prototype, see {@linkcode SessionStore.get}. */
  async get(sid: string): Promise<Record<string, unknown> | undefined> {
    const record = await this.#readLive(sid);
    return record && toObject(decodeEach(record.values));
  }

  /** Returns a whole record or its trace, see {@linkcode RecordStore.readRecord}. */
  async readRecord(sid: string): Promise<RecordAnswer> {
    const stored = await this.#read(sid);
    if (stored.trace !== undefined) {
      const { expiresAt, movedTo, graceUntil } = stored.trace;
      return Date.now() < expiresAt ? { movedTo, graceUntil } : undefined;
    }
    const record = liveRecord(stored);
    if (record === undefined) return stored.record && { expired: true };
    return { ...record, meta: { ...record.meta }, values: decodeEach(record.values) };
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
    const text = (await this.#readLive(sid))?.values.get(key);
    return text === undefined ? undefined : decodeValue(text);
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
    const change = { set: encodeEach(move.set ?? []), meta: { ...move.meta } };
    return await this.#write({
      sids: [sid, newSid],
      newSid,
      set: change.set,
      plan: (version, stored, storedAtNewSid) => {
        const record = liveRecord(stored);
        if (record === undefined) throw new SessionGoneError("regenerate");
        if (liveRecord(storedAtNewSid)) throw idInUseError("regenerate");
        if (ifVersion !== undefined && ifVersion !== record.version) return undefined;
        const trace = { movedTo: newSid, graceUntil, expiresAt: Math.max(record.expiresAt, graceUntil) };
        return [{ trace }, { record: applyChange(record, version, change) }];
      },
    });
  }

  /**
   * Lists the live sessions of a user, see {@linkcode PrincipalStore.listSessions}. Takes a
   * database call per 1,000 sessions.
   */
  async listSessions(principal: string): Promise<{ sid: string; meta: SessionMeta }[]> {
    const sessions: { sid: string; meta: SessionMeta }[] = [];
    const entries = this.#kv.list<Uint8Array>({ prefix: this.#userKey(principal) }, { batchSize: 1000 });
    for await (const { key, value } of entries) {
      const { expiresAt, meta } = decodeHeader<Pick<EncodedRecord, "expiresAt" | "meta">>(value);
      if (Date.now() < expiresAt) sessions.push({ sid: String(key.at(-1)), meta });
    }
    return sessions;
  }

  /**
   * Removes every session of this store, see {@linkcode SessionStore.clear}. Takes a commit per 100
   * entries.
   */
  async clear(): Promise<void> {
    for (const part of ["id", "user"]) {
      const keys: Deno.KvKey[] = [];
      for await (const { key } of this.#kv.list({ prefix: [...this.#prefix, part] })) {
        if (keys.push(key) === CLEAR_BATCH_SIZE) await this.#remove(keys.splice(0));
      }
      if (keys.length > 0) await this.#remove(keys);
    }
  }

  async #remove(keys: Deno.KvKey[]): Promise<void> {
    const operation = this.#kv.atomic();
    for (const key of keys) operation.delete(key);
    await retry(() => commit(operation), retryDeadline(), isRetryable);
  }

  #sessionKey(sid: string): Deno.KvKey {
    return [...this.#prefix, "id", sid];
  }

  /**
   * A key of Deno KV is limited to 2 KiB. A principal can be longer, so the key contains its hash.
   */
  #userKey(principal: string): Deno.KvKey {
    return [...this.#prefix, "user", createHash("sha256").update(principal).digest("base64url")];
  }

  async #read(sid: string): Promise<StoredSession> {
    // If there are fewer than 100 entries, Deno KV reads all of them in one call, from one
    // snapshot. A session has 13 at most.
    const stored = decodeSession(await Array.fromAsync(this.#kv.list<Uint8Array>({ prefix: this.#sessionKey(sid) })));
    this.#remember(sid, stored);
    return stored;
  }

  async #readLive(sid: string): Promise<EncodedRecord | undefined> {
    return liveRecord(await this.#read(sid));
  }

  #remember(sid: string, stored: StoredSession): void {
    if (stored.record === undefined || stored.chunks > 1) this.#cache.delete(sid);
    else this.#cache.set(sid, { stored, expiresAt: stored.record.expiresAt });
  }

  async #change(operation: string, sid: string, { ifVersion, ...change }: RecordChange): Promise<boolean> {
    const copy = { ...change, set: encodeEach(change.set ?? []), meta: { ...change.meta } };
    return await this.#write({
      sids: [sid],
      set: copy.set,
      plan: (version, stored) => {
        const record = liveRecord(stored);
        if (record === undefined) throw new SessionGoneError(operation);
        if (ifVersion !== undefined && ifVersion !== record.version) return undefined;
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
    const { sids, newSid, plan } = write;
    const deadline = retryDeadline();
    return this.#serialized(sids[0], async () => {
      const version = Math.floor(Math.random() * Number.MAX_SAFE_INTEGER);
      const cached = sids.map((sid) => sid === newSid ? NOTHING : this.#cache.get(sid)?.stored);
      if (performance.now() < deadline && cached.every((stored) => stored !== undefined)) {
        try {
          const contents = plan(version, ...cached);
          if (contents !== undefined) {
            await this.#commit(write, cached, contents);
            return true;
          }
        } catch {
          // The cache may be outdated, or a commit that failed may have taken effect. The lookup
          // below shows which. An error that still applies is thrown again.
        }
      }
      if (performance.now() >= deadline) throw new WriteConflictError();
      return await retry(
        async () => {
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
  async #commit({ sids, set = new Map() }: Write, stored: StoredSession[], contents: SessionContent[]): Promise<void> {
    const operation = this.#kv.atomic();
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

      const { expiresAt, meta } = content.record ?? {};
      const oldPrincipal = before.record?.meta.principal;
      if (oldPrincipal !== undefined && oldPrincipal !== meta?.principal) {
        operation.delete([...this.#userKey(oldPrincipal), sid]);
      }
      if (meta?.principal !== undefined) {
        operation.set([...this.#userKey(meta.principal), sid], encodeHeader({ expiresAt, meta }), { expireIn });
      }
    }
    const versionstamp = await commit(operation);
    for (const { sid, content, chunks } of changes) {
      this.#remember(sid, { ...content, versionstamp, chunks: chunks.length });
    }
  }
}

/** Thrown when the session was changed between the lookup and the commit. */
class WriteConflictError extends SessionStoreError {
  constructor() {
    super("set", "Cannot write: other writers changed the session during every attempt; retry the request");
  }
}

/**
 * Commits a write and returns its versionstamp.
 *
 * @throws {WriteConflictError} if a check failed
 */
async function commit(operation: Deno.AtomicOperation): Promise<string> {
  const result = await operation.commit();
  if (!result.ok) throw new WriteConflictError();
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

/** Returns the record unless it has expired. */
function liveRecord({ record, incomplete }: StoredSession): EncodedRecord | undefined {
  if (record === undefined || Date.now() >= record.expiresAt) return undefined;
  if (incomplete) {
    throw new SessionStoreError(
      "get",
      "Cannot get: a part of the session is missing in the database; destroy the session",
    );
  }
  return record;
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
  for (const [key, text] of texts) values.set(key, decodeValue(text));
  return values;
}

function isKeyPart(part: unknown): boolean {
  return part instanceof Uint8Array || ["string", "number", "bigint", "boolean"].includes(typeof part);
}
