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
import { ExpiringMap } from "../util/expiring_map.ts";
import { KeyedMutex } from "../util/keyed_mutex.ts";
import { toObject } from "../util/clone_value.ts";
import { decodeValue, encodeValue } from "./_codec.ts";
import type { Content, KeptRecord, Place } from "./_kv_place.ts";
import { decodeHead, decodePlace, encodeContent, encodeHead, NOTHING } from "./_kv_place.ts";
import { emptyRecord, idInUseError, normalizeTimestamp } from "./_records.ts";

/** The options of {@linkcode DenoKvStore}. */
export interface DenoKvStoreOptions {
  /**
   * What the keys of this store begin with, one part at least. Where stores share a database, no prefix may begin with another.
   *
   * @default {["session"]}
   */
  prefix?: Deno.KvKey;
}

/** What changes in a record; its new values are text. */
type Change = Omit<RecordChange, "ifVersion" | "set"> & { set: ReadonlyMap<string, string | undefined> };

/** A write, in one commit. */
interface Write {
  /** The ids that it concerns. */
  sids: readonly [string, ...string[]];
  /** One of them that should not be there yet. */
  fresh?: string;
  /** The values that it sets. */
  set?: ReadonlyMap<string, unknown>;
  /** Says what is to lie under each of the ids, given what does; `undefined` where nothing is to change. */
  plan: (version: number, ...places: Place[]) => Content[] | undefined;
}

/** How long a write is tried, in milliseconds. */
const PATIENCE = 5000;

/** How long a write holds up those behind it, in milliseconds. */
const TURN = 1000;

/** How many sessions are remembered from a look-up to the write. Each lies in one entry, 128 KiB as a string at most: 32 MiB together. */
const MAX_RECENT = 256;

/** How long after a session's end Deno KV is told to remove it, in milliseconds: the clocks of machines differ. */
const EXPIRY_SLACK = 10 * 60 * 1000;

/** The longest time that Deno KV is told, in milliseconds: thirty thousand years. It refuses one of ten times as many. */
const MAX_EXPIRY = 1e15;

/** How many entries `clear()` removes in one commit. */
const REMOVED_AT_ONCE = 100;

/**
 * Keeps sessions in Deno KV, which is built into Deno: a file on one machine, or a service.
 *
 * The application opens the database and closes it. Deno needs to be told `"unstable": ["kv"]` in `deno.json`, or `--unstable-kv`.
 *
 * Every write is one atomic commit, the list of a user's sessions included. A session lies in as many entries of 64 KiB as it needs,
 * and its values are 768 KiB at most, as text (in which bytes take a third more): what would make them larger is refused with a
 * `RangeError`. From the end of a session on, this store answers that it is gone; Deno KV removes it ten minutes later or more.
 *
 * Calls of the database: a look-up takes one, a new session one, and a write one, where this process has read or written that
 * session shortly before. It takes two where it has not, or where the session is larger than 64 KiB, and three where
 * somebody else has written to it meanwhile. For that the last 256 sessions are remembered, 32 MiB at most. A look-up always asks
 * the database.
 *
 * With a file, a commit that was acknowledged is on the disk, and several processes can share the file. Writes that meet are tried
 * again until each is in. One that is not after five seconds, because another process holds the file all the time, rejects with what
 * Deno KV says.
 *
 * Note: with a service (Deno Deploy, or `denokv` on a machine of its own) nothing of this was tested: neither how long it takes, nor
 * what is seen in another region (every look-up asks for strong consistency), nor what a failing network does to it.
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
  /** Writes of this process to one session wait for one another, for some time: then mostly those of others alone come between. */
  readonly #turns = new KeyedMutex();
  /** What was read or written last. */
  readonly #recent = new ExpiringMap<{ place: Place; expiresAt: number }>(MAX_RECENT);

  /**
   * Makes a store, and asks the database nothing yet.
   *
   * @param kv the database, which the application opens and closes
   * @param options where in the database the sessions are
   * @throws {TypeError} if `kv` is not a `Deno.Kv`, or `prefix` is not a key of at least one part
   */
  constructor(kv: Deno.Kv, options: DenoKvStoreOptions = {}) {
    const { prefix = ["session"] } = options;
    if (typeof kv?.list !== "function" || typeof kv.atomic !== "function") {
      throw new TypeError("Cannot make a DenoKvStore: `kv` must be a Deno.Kv (`await Deno.openKv()`)");
    }
    if (!Array.isArray(prefix) || prefix.length === 0 || !prefix.every(isKeyPart)) {
      throw new TypeError("Cannot make a DenoKvStore: `prefix` must be a Deno.KvKey of at least one part");
    }
    this.#kv = kv;
    this.#prefix = [...prefix];
  }

  /** Does nothing: the database is open. */
  init(): Promise<void> {
    return Promise.resolve();
  }

  /**
   * Tells whether there is a live session of this id.
   *
   * @param sid the session id
   */
  async exist(sid: string): Promise<boolean> {
    return await this.#find(sid) !== undefined;
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
   * @throws {RangeError} if the values are too large together
   */
  async createRecord(sid: string, { values, expiresAt, meta }: SessionRecord): Promise<void> {
    const set = encodeTexts(values);
    const empty = {
      values: new Map<string, string>(),
      version: 0,
      expiresAt: normalizeTimestamp(expiresAt),
      meta: { ...meta },
    };
    await this.#write({
      sids: [sid],
      fresh: sid,
      set,
      plan: (version, place) => {
        if (liveRecord(place)) throw idInUseError("create");
        return [{ record: changed(empty, version, { set }) }];
      },
    });
  }

  /**
   * Removes a record. Does nothing where there is none.
   *
   * @param sid the session id
   */
  async delete(sid: string): Promise<void> {
    await this.#write({ sids: [sid], plan: (_, place) => place.record && [{}] });
  }

  /**
   * Reads all values.
   *
   * @param sid the session id
   * @returns a plain object without prototype, with a copy of each value; `undefined` where the session is missing or expired
   */
  async get(sid: string): Promise<Record<string, unknown> | undefined> {
    const record = await this.#find(sid);
    return record && toObject(decodeTexts(record.values));
  }

  /**
   * Reads a whole record.
   *
   * @param sid the session id
   * @returns a copy; or what is left of the id; or `undefined` where nothing is known of it
   */
  async readRecord(sid: string): Promise<RecordAnswer> {
    const place = await this.#look(sid);
    if (place.trace !== undefined) {
      const { expiresAt, movedTo, graceUntil } = place.trace;
      return Date.now() < expiresAt ? { movedTo, graceUntil } : undefined;
    }
    const record = liveRecord(place);
    if (record === undefined) return place.record && { expired: true };
    return { ...record, meta: { ...record.meta }, values: decodeTexts(record.values) };
  }

  /**
   * Changes a record in one commit.
   *
   * @param sid the session id
   * @param change what is to change; values are copied
   * @returns `false` where the record has another version than `ifVersion`; nothing was changed
   * @throws {SessionGoneError} if the session is missing or expired; nothing is created
   * @throws {TypeError} if a value cannot be kept; nothing is changed
   * @throws {RangeError} if the values would be too large together; nothing is changed
   */
  changeRecord(sid: string, change: RecordChange): Promise<boolean> {
    return this.#change("change", sid, change);
  }

  /**
   * Writes one value and leaves the others alone.
   *
   * @param sid the session id
   * @param key any well-formed string
   * @param value what to keep; `undefined` removes the key
   * @throws {SessionGoneError} if the session is missing or expired; nothing is created
   * @throws {TypeError} if the value cannot be kept; the message names the key
   * @throws {RangeError} if the values would be too large together; the message names the key
   */
  async setValue(sid: string, key: string, value: unknown): Promise<void> {
    await this.#change("set", sid, { set: new Map([[key, value]]) });
  }

  /**
   * Reads one value.
   *
   * @param sid the session id
   * @param key any string
   * @returns a copy; `undefined` where the session is missing or expired, or has no such key
   */
  // deno-lint-ignore no-explicit-any -- the seed's own signature
  async getValue(sid: string, key: string): Promise<any> {
    const text = (await this.#find(sid))?.values.get(key);
    return text === undefined ? undefined : decodeValue(text);
  }

  /**
   * Gives a session a new id in one commit. The old one is missing from then on, and remembered until the deadline that the session
   * has now, or until `graceUntil` where that is later.
   *
   * @param sid the session id
   * @param newSid the new one
   * @param move what to write with it, and how long the old id leads to the new one
   * @returns `false` where the record has another version than `ifVersion`; nothing was changed
   * @throws {SessionGoneError} if the session is missing or expired
   * @throws {SessionStoreError} if the new id is in use
   * @throws {TypeError} if a value cannot be kept; nothing is changed
   * @throws {RangeError} if the values would be too large together; nothing is changed
   */
  async moveRecord(sid: string, newSid: string, move: RecordMove): Promise<boolean> {
    const { ifVersion } = move;
    const graceUntil = normalizeTimestamp(move.graceUntil);
    const change = { set: encodeTexts(move.set ?? []), meta: { ...move.meta } };
    return await this.#write({
      sids: [sid, newSid],
      fresh: newSid,
      set: change.set,
      plan: (version, place, newPlace) => {
        const record = liveRecord(place);
        if (record === undefined) throw new SessionGoneError("regenerate");
        if (liveRecord(newPlace)) {
          throw idInUseError("regenerate");
        }
        if (ifVersion !== undefined && ifVersion !== record.version) return undefined;
        const trace = { movedTo: newSid, graceUntil, expiresAt: Math.max(record.expiresAt, graceUntil) };
        return [{ trace }, { record: changed(record, version, change) }];
      },
    });
  }

  /**
   * Lists the live sessions that are bound to a user; one call of the database for every thousand.
   *
   * @param principal the user
   * @returns in no particular order
   */
  async listSessions(principal: string): Promise<{ sid: string; meta: SessionMeta }[]> {
    const sessions: { sid: string; meta: SessionMeta }[] = [];
    const listed = this.#kv.list<Uint8Array>({ prefix: this.#keyOfUser(principal) }, { batchSize: 1000 });
    for await (const { key, value } of listed) {
      const { expiresAt, meta } = decodeHead<Pick<KeptRecord, "expiresAt" | "meta">>(value);
      if (Date.now() < expiresAt) sessions.push({ sid: String(key.at(-1)), meta });
    }
    return sessions;
  }

  /** Removes every session under this store's prefix, in as many commits as that takes. */
  async clear(): Promise<void> {
    for (const part of ["id", "user"]) {
      let keys: Deno.KvKey[] = [];
      for await (const { key } of this.#kv.list({ prefix: [...this.#prefix, part] })) {
        keys.push(key);
        if (keys.length < REMOVED_AT_ONCE) continue;
        await this.#remove(keys);
        keys = [];
      }
      if (keys.length > 0) await this.#remove(keys);
    }
  }

  async #remove(keys: Deno.KvKey[]): Promise<void> {
    const operation = this.#kv.atomic();
    for (const key of keys) operation.delete(key);
    await patiently(deadline(), async () => await send(operation));
  }

  #keyOf(sid: string): Deno.KvKey {
    return [...this.#prefix, "id", sid];
  }

  /** A user's name can be of any length, a key has room for 2 KiB. */
  #keyOfUser(principal: string): Deno.KvKey {
    return [...this.#prefix, "user", createHash("sha256").update(principal).digest("base64url")];
  }

  /** Asks the database what lies under an id. */
  async #look(sid: string): Promise<Place> {
    // A list of less than a hundred entries is one request, and one snapshot.
    const place = decodePlace(await Array.fromAsync(this.#kv.list<Uint8Array>({ prefix: this.#keyOf(sid) })));
    this.#remember(sid, place);
    return place;
  }

  async #find(sid: string): Promise<KeptRecord | undefined> {
    return liveRecord(await this.#look(sid));
  }

  #remember(sid: string, place: Place): void {
    if (place.record === undefined || place.entries > 1) this.#recent.delete(sid);
    else this.#recent.set(sid, { place, expiresAt: place.record.expiresAt });
  }

  async #change(operation: string, sid: string, { ifVersion, ...change }: RecordChange): Promise<boolean> {
    const copy = { ...change, set: encodeTexts(change.set ?? []), meta: { ...change.meta } };
    return await this.#write({
      sids: [sid],
      set: copy.set,
      plan: (version, place) => {
        const record = liveRecord(place);
        if (record === undefined) throw new SessionGoneError(operation);
        if (ifVersion !== undefined && ifVersion !== record.version) return undefined;
        return [{ record: changed(record, version, copy) }];
      },
    });
  }

  /**
   * Takes a step after those on the same session before it. That keeps them out of each other's way, no more: where one gets no answer, the
   * others go on, and what it commits in the end is checked like everything else.
   */
  async #inTurn<T>(sid: string, step: () => Promise<T>): Promise<T> {
    const { run } = await this.#turns.run(sid, async () => {
      const run = step();
      await settled(run, TURN);
      return { run };
    });
    return await run;
  }

  /**
   * Makes a write, again and again until nobody else comes between, or it has taken too long.
   *
   * @returns `false` where nothing was to change
   */
  #write(write: Write): Promise<boolean> {
    const { sids, fresh, plan } = write;
    const until = deadline();
    return this.#inTurn(sids[0], async () => {
      const version = Math.floor(Math.random() * Number.MAX_SAFE_INTEGER);
      const guess = sids.map((sid) => sid === fresh ? NOTHING : this.#recent.get(sid)?.place);
      if (performance.now() < until && guess.every((place) => place !== undefined)) {
        // What lay there a moment ago mostly still does, and then a commit is all it takes. Whatever else comes of it needs a look.
        try {
          const contents = plan(version, ...guess);
          if (contents !== undefined && await this.#commit(write, guess, contents)) return true;
        } catch {
          // What holds for what really lies there is thrown again, and so is what the database says, if it says it again. A commit that has
          // failed may be in nevertheless: the look tells.
        }
      }
      return await patiently(until, async () => {
        const places = await Promise.all(sids.map((sid) => this.#look(sid)));
        // It is there already: only the answer to its commit was lost.
        if (places.at(-1)?.record?.version === version) return true;
        const contents = plan(version, ...places);
        if (contents === undefined) return false;
        return await this.#commit(write, places, contents) ? true : undefined;
      });
    });
  }

  /** Puts contents in the place of what lies there, in one commit; `false` where somebody else came between. */
  async #commit({ sids, set = new Map() }: Write, places: Place[], contents: Content[]): Promise<boolean> {
    const operation = this.#kv.atomic();
    const changes = sids.map((sid, i) => {
      const content = contents[i] ?? {};
      return { sid, content, place: places[i] ?? NOTHING, entries: encodeContent(content, set.keys()) };
    });
    for (const { sid, content, place, entries } of changes) {
      const key = this.#keyOf(sid);
      const expireIn = expiryOf(content);
      operation.check({ key: [...key, 0], versionstamp: place.versionstamp });
      entries.forEach((entry, n) => operation.set([...key, n], entry, { expireIn }));
      for (let n = entries.length; n < place.entries; n++) operation.delete([...key, n]);

      const { expiresAt, meta } = content.record ?? {};
      const before = place.record?.meta.principal;
      if (before !== undefined && before !== meta?.principal) operation.delete([...this.#keyOfUser(before), sid]);
      if (meta?.principal !== undefined) {
        operation.set([...this.#keyOfUser(meta.principal), sid], encodeHead({ expiresAt, meta }), { expireIn });
      }
    }
    const versionstamp = await send(operation);
    if (versionstamp === undefined) return false;
    for (const { sid, content, entries } of changes) {
      this.#remember(sid, { ...content, versionstamp, entries: entries.length });
    }
    return true;
  }
}

/** Commits; `undefined` where somebody else came between. */
async function send(operation: Deno.AtomicOperation): Promise<string | undefined> {
  const result = await operation.commit();
  return result.ok ? result.versionstamp : undefined;
}

/** Until when a write that begins now is tried. Not by `Date.now()`: that clock can be set. */
function deadline(): number {
  return performance.now() + PATIENCE;
}

/** Tries again while somebody else is writing: while there is no answer, or the file is locked. */
async function patiently<T>(until: number, attempt: () => Promise<T | undefined>): Promise<T> {
  let failure: unknown = new SessionStoreError("set", "Cannot write: others have been writing all the time");
  for (let attempts = 0; performance.now() < until; attempts++) {
    try {
      const answer = await attempt();
      if (answer !== undefined) return answer;
    } catch (error) {
      // So it says of a file to which another process writes at the same moment. Nothing was written.
      if (!(error instanceof TypeError && error.message === "database is locked")) throw error;
      failure = error;
    }
    await pause(attempts);
  }
  throw failure;
}

/** Waits until something is done or has failed, for so many milliseconds at most. */
async function settled(run: Promise<unknown>, milliseconds: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  run.then(() => resolve(), () => resolve());
  await promise;
  clearTimeout(timer);
}

/** Waits for a random time: those who got in each other's way should not do so again. */
function pause(attempt: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.random() * Math.min(2 ** attempt, 32)));
}

/** The record of a session that has not ended. */
function liveRecord({ record, torn }: Place): KeptRecord | undefined {
  if (record === undefined || Date.now() >= record.expiresAt) return undefined;
  if (torn) throw new SessionStoreError("get", "Cannot get: a part of the session is missing in the database");
  return record;
}

function changed(record: KeptRecord, version: number, { clear, set, meta, expiresAt }: Change): KeptRecord {
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

/** After how many milliseconds Deno KV may remove what it is given; `undefined` for never. */
function expiryOf({ record, trace }: Content): number | undefined {
  const left = ((record ?? trace)?.expiresAt ?? 0) - Date.now();
  return left < MAX_EXPIRY ? Math.ceil(Math.max(left, 0)) + EXPIRY_SLACK : undefined;
}

function encodeTexts(values: Iterable<[string, unknown]>): Map<string, string | undefined> {
  const texts = new Map<string, string | undefined>();
  for (const [key, value] of values) texts.set(key, value === undefined ? undefined : encodeValue(key, value));
  return texts;
}

function decodeTexts(texts: Iterable<[string, string]>): Map<string, unknown> {
  const values = new Map<string, unknown>();
  for (const [key, text] of texts) values.set(key, decodeValue(text));
  return values;
}

function isKeyPart(part: unknown): boolean {
  return part instanceof Uint8Array || ["string", "number", "bigint", "boolean"].includes(typeof part);
}
