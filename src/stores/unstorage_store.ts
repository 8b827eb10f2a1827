/**
 * Sessions in any backend that unstorage has a driver for.
 *
 * @module
 */
import { hash } from "node:crypto";
import { SessionGoneError, SessionStoreError, UnreadableRecordError } from "../errors.ts";
import { type PingableStore, RESERVED_KEY } from "../session_store.ts";
import { cloneValue, toObject } from "../util/clone_value.ts";
import { describeType, optionError } from "../util/describe_value.ts";
import { KeyedMutex } from "../util/keyed_mutex.ts";
import { checkOptionNames } from "../util/option_names.ts";
import { decodeKey, decodeValues, encodeAscii, encodeValues } from "./_codec.ts";
import { answerWithin, openError } from "./_open_error.ts";
import { idInUseError, unreadableError, withoutDetails } from "./_records.ts";

/** The options of {@linkcode UnstorageStore}. */
export interface UnstorageStoreOptions {
  /**
   * The beginning of every key of this store, without the colon that follows it: one or more names
   * of lower-case letters, digits, `-` and `_`, with a colon between them. Lower case only, because
   * some backends ignore case.
   *
   * @default {"session"}
   */
  prefix?: string;
}

/** The part of a `Storage` of unstorage that the store uses. */
export interface UnstorageLike {
  /** Reads an item; `null` if it is missing. */
  getItem(key: string): Promise<unknown>;
  /** Writes an item. A driver with native expiry removes it after `ttl` seconds. */
  setItem(key: string, value: string, options?: { ttl?: number }): Promise<void>;
  /** Removes an item. */
  removeItem(key: string): Promise<void>;
  /** Lists the keys that begin with a prefix and a colon. */
  getKeys(prefix?: string): Promise<string[]>;
  /** Returns the driver of a key. The error of `init()` names it. */
  getMount?(key?: string): { driver: { name?: string } };
}

/**
 * The beginning of every item. With it the text is not JSON, which unstorage and some clients would
 * parse when they read it. The number is the version of the format.
 */
const MARK = "session/1 ";

/**
 * The part of a driver's message that may disclose a session: from the first item or key that the
 * message quotes to its end. The item may be escaped or percent-encoded. Some clients quote the
 * command that failed, for example `@upstash/redis`.
 */
const QUOTED = /(?:session(?:\\?\/|%2F)1|[0-9a-f]{64}).*/is;

/** The text that `init()` writes and reads. */
const PROBE = `${MARK}{}`;

/**
 * How long a record is kept after its expiry, in seconds. This is the clock skew allowed between
 * machines.
 */
const CLOCK_SKEW_S = 10 * 60;

/**
 * The longest time to live that is passed to a driver, in seconds: 68 years. Some backends keep it
 * in 32 bits. A record that lives longer gets none, so that it is not removed too early.
 */
const MAX_TTL_S = 2 ** 31 - 1;

/** How long `init()` waits for the storage, in seconds. */
const INIT_TIMEOUT_S = 10;

/** How long a write waits for one other write to the same session, in seconds. */
const MAX_WAIT_S = 10;

/** A list with this many keys may be incomplete: the S3 driver lists 1,000 at most. */
const POSSIBLY_INCOMPLETE_SIZE = 1000;

/** How many items `clear()` and `removeExpired()` process concurrently. */
const BATCH_SIZE = 100;

/** The mutexes of all stores on a storage, by the storage. Each mutex is keyed by the item. */
const mutexes = new WeakMap<UnstorageLike, KeyedMutex>();

/**
 * Keeps sessions in any backend that [unstorage](https://unstorage.unjs.io) has a driver for, such
 * as MongoDB, MySQL, Upstash, S3 or a file system. The application creates the storage with its
 * driver, and disposes of it. This module itself does not depend on unstorage.
 *
 * The storage needs no transactions, so this store promises less than the others.
 * `docs/store-others.md` tells the rest, and lists the drivers that sessions must not be kept in.
 *
 * - **Within one process**, every write is atomic: concurrent writes to different keys are all
 *   kept, and no write brings back a session that was removed. That includes several stores, if
 *   they were created with the same storage object.
 * - **Across processes**, nothing is atomic. A write reads the whole record and writes it back. If
 *   another process writes to the same session in between, that write is lost. If another process
 *   removes the session in between, for example because the user signs out, the write brings it
 *   back. Route the requests of a session to one process, or use a `RedisStore` or a
 *   `PostgresStore`.
 *
 * Each session is one item. Its key is the prefix and the SHA-256 hash of the session id, so ids
 * that differ in case stay different in every backend, and a list of the keys does not disclose an
 * id. Its value is one text in ASCII, in which every value is kept as in the other stores of this
 * project. Errors of the driver keep only their name, message and `code`, because their other
 * fields may quote the session. A message is cut off where it begins to quote an item or its key.
 *
 * If the driver supports a time to live, the backend removes a session ten minutes after its
 * expiry. Otherwise an expired session stays in the backend until its visitor returns or {@linkcode
 * UnstorageStore.removeExpired} is called. The store learns the expiry from the middleware. It
 * cannot learn it if an `EncryptedStore` is put over it, because the expiry is then encrypted.
 *
 * Calls of the storage: a read takes one. A write, the creation of a record and a removal take two,
 * one after the other: a removal checks that the item is gone.
 *
 * @example
 * ```ts
 * import { assertEquals } from "jsr:@std/assert@1.0.13";
 * import { createStorage } from "npm:unstorage@1.17.6";
 * import { UnstorageStore } from "@alosaur/session/unstorage";
 *
 * const storage = createStorage(); // in memory; pass `{ driver }` for any other backend
 * const store = new UnstorageStore(storage);
 * await store.init();
 * await store.create("an-id");
 * await store.setValue("an-id", "cart", ["apple"]);
 *
 * assertEquals(await store.getValue("an-id", "cart"), ["apple"]);
 * ```
 */
export class UnstorageStore implements PingableStore, AsyncDisposable {
  readonly #storage: UnstorageLike;
  readonly #prefix: string;
  /** Serializes the writes to each item. */
  readonly #mutex: KeyedMutex;

  /**
   * Creates a store. Does not call the storage yet.
   *
   * @param storage the result of `createStorage()` of unstorage, which the application disposes of
   * @param options the prefix of the keys
   * @throws {TypeError} if `storage` is not a storage, `prefix` is not a string, or there is an
   * unknown option
   * @throws {RangeError} if `prefix` contains other characters than the option allows
   */
  constructor(storage: UnstorageLike, options: UnstorageStoreOptions = {}) {
    checkOptionNames("create an UnstorageStore", options, { prefix: true });
    const { prefix = "session" } = options;
    const methods = ["getItem", "setItem", "removeItem", "getKeys"] as const;
    if (!methods.every((name) => typeof storage?.[name] === "function")) {
      throw new TypeError(
        `Cannot create an UnstorageStore: \`storage\` must be a Storage of unstorage; received ${
          describeType(storage)
        }; ` +
          "pass the result of `createStorage({ driver })`",
      );
    }
    if (typeof prefix !== "string") {
      throw optionError("create an UnstorageStore", "prefix", "must be a string", prefix);
    }
    if (!/^[a-z\d_-]+(:[a-z\d_-]+)*$/.test(prefix)) {
      const requirement = "must consist of lower-case letters, digits, - and _, with single colons between them";
      throw optionError("create an UnstorageStore", "prefix", requirement, prefix, true);
    }
    this.#storage = storage;
    this.#prefix = prefix;
    this.#mutex = mutexes.get(storage) ?? createMutex();
    mutexes.set(storage, this.#mutex);
  }

  /**
   * Implements {@linkcode SessionStore.init}: checks that the storage keeps what is written to it,
   * by writing, reading and removing one item. Some drivers ignore writes, for example a driver
   * that is read-only.
   *
   * @throws {SessionStoreError} if the storage fails, does not keep or remove the item, or does not
   * answer within ten seconds
   */
  async init(): Promise<void> {
    try {
      await answerWithin(INIT_TIMEOUT_S, this.#probe());
    } catch (cause) {
      const driver = this.#storage.getMount?.(`${this.#prefix}:`).driver.name;
      const backend = driver === undefined ? "unstorage" : `unstorage with the driver ${driver}`;
      const advice = "check the options of the driver, and that it can reach the backend, write and remove";
      throw openError({ backend, advice }, cause);
    }
  }

  async #probe(): Promise<void> {
    // Another process may run the same check.
    const item = `${this.#prefix}:probe-${crypto.randomUUID()}`;
    await this.#setItem(item, PROBE, CLOCK_SKEW_S);
    const kept = await this.#getItem(item);
    await this.#removeItem(item);
    if (kept === PROBE && await this.#getItem(item) === undefined) return;
    throw new Error("it ignores or changes what is written to it, or shows a write late");
  }

  /** Does nothing, because the application disposes of the storage. */
  async [Symbol.asyncDispose](): Promise<void> {}

  /**
   * Implements {@linkcode PingableStore.ping}. Reads one item that is always missing.
   *
   * @throws the error of the driver if the backend cannot be reached
   */
  async ping(): Promise<void> {
    await this.#getItem(`${this.#prefix}:ping`);
  }

  /** Implements {@linkcode SessionStore.exist}. */
  async exist(sid: string): Promise<boolean> {
    // Not `hasItem()`, which returns `false` in some drivers if the backend cannot be reached.
    return await this.#getItem(this.#itemOf(sid)) !== undefined;
  }

  /**
   * Implements {@linkcode SessionStore.create}. Of concurrent calls with the same id in several
   * processes, more than one may succeed.
   *
   * @throws {SessionStoreError} if the id is in use
   */
  async create(sid: string): Promise<void> {
    const item = this.#itemOf(sid);
    await this.#mutex.run(item, async () => {
      if (await this.#getItem(item) !== undefined) throw idInUseError("create", "UnstorageStore");
      await this.#write(item, new Map());
    });
  }

  /**
   * Implements {@linkcode SessionStore.delete}. A concurrent write of another process may bring the
   * record back.
   */
  async delete(sid: string): Promise<void> {
    await this.#remove(this.#itemOf(sid));
  }

  /** Implements {@linkcode SessionStore.get}. The result has no prototype. */
  async get(sid: string): Promise<Record<string, unknown> | undefined> {
    const values = await this.#readWhole(sid);
    return values && toObject(values);
  }

  /**
   * Implements {@linkcode SessionStore.setValue}. Reads the whole record and writes it back, so a
   * concurrent write of another process to the same session may be lost.
   *
   * @throws {SessionGoneError} if the session is missing
   * @throws {SessionStoreError} if the driver refuses the write, for example because the session is
   * too large
   */
  async setValue(sid: string, key: string, value: unknown): Promise<void> {
    const copy = cloneValue(key, value);
    const item = this.#itemOf(sid);
    await this.#mutex.run(item, async () => {
      const values = await this.#read("set", item);
      if (values === undefined) throw new SessionGoneError("set");
      if (copy === undefined) values.delete(key);
      else values.set(key, copy);
      await this.#write(item, values).catch((cause) => {
        const message =
          "UnstorageStore failed; the change may or may not be stored; see `cause`, and try again when the store works";
        throw new SessionStoreError("set", `Cannot set ${JSON.stringify(key)}: ${message}`, { cause });
      });
    });
  }

  /** Implements {@linkcode SessionStore.getValue}. Reads the whole session. */
  // deno-lint-ignore no-explicit-any -- Alosaur's own signature
  async getValue(sid: string, key: string): Promise<any> {
    return (await this.#readWhole(sid))?.get(key);
  }

  /**
   * Implements {@linkcode SessionStore.clear}. Lists the keys of this store and removes each of
   * them, so it takes a while, and keeps what other programs have put into the same storage. If it
   * rejects, some sessions are left: call it again.
   */
  async clear(): Promise<void> {
    const removed = new Set<string>();
    let items: string[];
    do {
      // A list may be outdated.
      items = (await this.#listItems()).filter((item) => !removed.has(item));
      await inBatches(items, (item) => this.#remove(item));
      for (const item of items) removed.add(item);
    } while (items.length >= POSSIBLY_INCOMPLETE_SIZE);
  }

  /**
   * Removes the sessions that have expired at least ten minutes ago. If the driver has no time to
   * live, call this once a day or so, in one process. It reads every session, one hundred
   * concurrently.
   *
   * Keeps sessions without a readable expiry: those that were not created by the middleware, those
   * of an `EncryptedStore`, and empty ones, which remain if a process ends while it creates a
   * session.
   *
   * @returns how many sessions were removed
   */
  async removeExpired(): Promise<number> {
    let removed = 0;
    await inBatches(await this.#listItems(), (item) =>
      this.#mutex.run(item, async () => {
        const values = await this.#read("get", item).catch(unlessUnreadable);
        const expiresAt = values && expiryOf(values);
        if (expiresAt === undefined || Date.now() < expiresAt + CLOCK_SKEW_S * 1000) return;
        await this.#removeItem(item);
        removed++;
      }));
    return removed;
  }

  /** Returns the key of a session's item. */
  #itemOf(sid: string): string {
    return `${this.#prefix}:${hash("sha256", sid)}`;
  }

  /** Lists the items of this store, without those of a store whose prefix begins with this one. */
  async #listItems(): Promise<string[]> {
    const isItem = new RegExp(`^${this.#prefix}:[0-9a-f]{64}$`);
    const keys = await this.#storage.getKeys(this.#prefix).catch(rethrow);
    return keys.filter((item) => isItem.test(item));
  }

  /** Removes an item, and checks that it is missing afterwards. */
  async #remove(item: string): Promise<void> {
    await this.#mutex.run(item, async () => {
      let failure: unknown;
      try {
        await this.#removeItem(item);
      } catch (error) {
        failure = error;
      }
      // Some drivers reject if there is no item. Others ignore that they could not remove it.
      if (await this.#getItem(item) === undefined) return;
      throw failure ??
        new SessionStoreError(
          "destroy",
          "Cannot destroy: the storage of UnstorageStore still has the session after its removal; the session has not " +
            "ended; check that the driver can remove",
        );
    });
  }

  /** Reads the values of a session without waiting for the writes to it. */
  async #readWhole(sid: string): Promise<Map<string, unknown> | undefined> {
    const item = this.#itemOf(sid);
    try {
      return await this.#read("get", item);
    } catch (error) {
      unlessUnreadable(error);
      // A driver that writes files shows an incomplete one while it writes. Read again when no
      // write of this process is running.
      return await this.#mutex.run(item, () => this.#read("get", item));
    }
  }

  async #read(operation: string, item: string): Promise<Map<string, unknown> | undefined> {
    const text = await this.#getItem(item);
    if (text === undefined) return undefined;
    if (typeof text !== "string" || !text.startsWith(MARK)) throw unreadableError(operation, "UnstorageStore");
    return decodeValues(decodeKey(text.slice(MARK.length)), "UnstorageStore", operation);
  }

  async #write(item: string, values: ReadonlyMap<string, unknown>): Promise<void> {
    await this.#setItem(item, MARK + encodeAscii(encodeValues(values)), ttlOf(values));
  }

  /** Reads an item; `undefined` if it is missing. */
  async #getItem(item: string): Promise<unknown> {
    const value = await this.#storage.getItem(item).catch(rethrow);
    // The drivers for files return the error of a failed read instead of rejecting with it.
    if (value instanceof Error) rethrow(value);
    return value ?? undefined;
  }

  async #setItem(item: string, text: string, ttl?: number): Promise<void> {
    await this.#storage.setItem(item, text, ttl === undefined ? {} : { ttl }).catch(rethrow);
  }

  async #removeItem(item: string): Promise<void> {
    await this.#storage.removeItem(item).catch(rethrow);
  }
}

function createMutex(): KeyedMutex {
  return new KeyedMutex({
    failureFor: () => undefined,
    maxWait: MAX_WAIT_S,
    // The waiting write fails rather than overtaking one that may still take effect: it would undo
    // the later one, which may be the removal of the session.
    createTimeoutError: (seconds) =>
      new SessionStoreError(
        "write",
        `Cannot write: an earlier write of UnstorageStore to the session has not finished within ${seconds} s, so this one ` +
          "did not begin; check that its storage answers",
      ),
  });
}

/** Returns the expiry that the middleware wrote, in milliseconds since the epoch. */
function expiryOf(values: ReadonlyMap<string, unknown>): number | undefined {
  const reserved = values.get(RESERVED_KEY);
  if (typeof reserved !== "object" || reserved === null || !("expiresAt" in reserved)) return undefined;
  return typeof reserved.expiresAt === "number" && Number.isFinite(reserved.expiresAt) ? reserved.expiresAt : undefined;
}

/** Returns how long the backend must keep a record, in seconds; `undefined` means forever. */
function ttlOf(values: ReadonlyMap<string, unknown>): number | undefined {
  const expiresAt = expiryOf(values);
  if (expiresAt === undefined) return undefined;
  const ttl = Math.ceil(Math.max(expiresAt - Date.now(), 0) / 1000) + CLOCK_SKEW_S;
  return ttl > MAX_TTL_S ? undefined : ttl;
}

/** Throws the error of a driver, without the parts that may quote the session. */
function rethrow(error: unknown): never {
  throw withoutDetails(error, QUOTED);
}

/** Throws any other error. */
function unlessUnreadable(error: unknown): undefined {
  if (!(error instanceof UnreadableRecordError)) throw error;
}

/**
 * Calls an asynchronous function for each item, a batch of them concurrently. Stops after a batch
 * in which every call failed; otherwise continues.
 *
 * @throws the first error
 */
async function inBatches(items: readonly string[], call: (item: string) => Promise<void>): Promise<void> {
  let failure: PromiseRejectedResult | undefined;
  for (let i = 0; i < items.length; i += BATCH_SIZE) {
    const results = await Promise.allSettled(items.slice(i, i + BATCH_SIZE).map(call));
    failure ??= results.find((result) => result.status === "rejected");
    if (results.every(({ status }) => status === "rejected")) break;
  }
  if (failure !== undefined) throw failure.reason;
}
