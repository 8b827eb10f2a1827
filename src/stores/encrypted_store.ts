/**
 * Encryption of the values of sessions, on top of any store.
 *
 * @module
 */
import type { CountingStore, PrincipalListStore } from "../admin_store.ts";
import { SessionGoneError, SessionStoreError } from "../errors.ts";
import type { PingableStore, PrincipalStore, RecordStore, SessionMeta, SessionStore } from "../session_store.ts";
import { toObject } from "../util/clone_value.ts";
import { close } from "../util/close.ts";
import { describeType, nameOf, STORE_NAME } from "../util/describe_value.ts";
import type { WatchedStore } from "../watched_store.ts";
import { emptyRecord, idInUseError } from "./_records.ts";
import { type DerivedKey, type EncryptionKey, readKeys, SessionCipher } from "./_session_cipher.ts";

export type { EncryptionKey };

/** How many times `moveRecord` tries to move a session that concurrent requests write to. */
const MAX_ATTEMPTS = 1000;

/** A store with every capability. */
type FullStore = CountingStore & PrincipalListStore & PingableStore & WatchedStore;

type Keys = readonly [DerivedKey, ...DerivedKey[]];

/**
 * Encrypts the values of sessions and stores them in an underlying store. Read access to its
 * database or to a backup reveals no value. Write access does not suffice to forge a value, but it
 * suffices to take over any session (see the note).
 *
 * Any store can be the underlying store, even one that stores only JSON, because the encrypted
 * values are strings. This store has the optional capabilities of the underlying store. It opens
 * and closes the underlying store. A value is bound to its session id and its key. Reading it under
 * another session id or key rejects with an `UnreadableRecordError`, and so does reading an altered
 * value or one that is not encrypted. `moveRecord` reads the session first, because it must encrypt
 * every value again for the new session id.
 *
 * The other way round, a middleware that uses the underlying store directly does not take the
 * encrypted text for values: this store marks its records as encrypted (see {@linkcode
 * SessionMeta.encrypted}), and such a record is unreadable to that middleware.
 *
 * To rotate the key, put the new one before the old one: `[newKey, oldKey]`. The first key
 * encrypts, and all keys decrypt. A value is encrypted with the new key when it is written, and
 * when its session gets a new id. Remove the old key when every session from before the rotation
 * has expired. A value whose key is missing makes its session unreadable.
 *
 * Not hidden: session ids, the names of keys, the length of each value, users, the public keys of
 * devices, and the times when a session was created, was used and expires. (On a basic store,
 * users, devices and times are stored as a value, and are hidden.) Not prevented: an attacker with
 * write access to the database can remove values and sessions, and can replace a value with an
 * older one of the same key.
 *
 * Note: users, the keys of devices, expiries and the new ids of replaced ids are neither hidden nor
 * protected. Write access to the database allows impersonation. An attacker can bind a session to
 * any user or device, extend its lifetime, and redirect their own session id to another person's
 * session with its values.
 *
 * AES-256-GCM with random nonces is safe for 2³² values per key (NIST SP 800-38D section 8.3). Each
 * session id has a key of its own, derived from the given key, so no application comes near that
 * limit. An encrypted value takes 44 characters plus four thirds of its text. On a DenoKvStore the
 * values of a session are limited to 575 KiB of text, or 431 KiB of bytes.
 *
 * @example
 * ```ts
 * import { assert, assertEquals } from "jsr:@std/assert@1.0.13";
 * import { MemoryStore, SessionMiddleware } from "@alosaur/session";
 * import { EncryptedStore } from "@alosaur/session/encrypted";
 *
 * const key = SessionMiddleware.generateSecret(); // once; keep it with the application's other secrets
 * const underlying = new MemoryStore();
 * const store = new EncryptedStore(underlying, key);
 * await store.init();
 * await store.create("an-id");
 * await store.setValue("an-id", "cart", ["apple"]);
 *
 * assertEquals(await store.getValue("an-id", "cart"), ["apple"]);
 * assert(!(await underlying.getValue("an-id", "cart")).includes("apple"));
 * ```
 */
export class EncryptedStore implements SessionStore, AsyncDisposable {
  readonly #store: SessionStore;
  readonly #keys: Keys;

  /** Implements {@linkcode RecordStore.createRecord}. Present if the underlying store has it. */
  declare readonly createRecord?: RecordStore["createRecord"];
  /** Implements {@linkcode RecordStore.readRecord}. Present if the underlying store has it. */
  declare readonly readRecord?: RecordStore["readRecord"];
  /** Implements {@linkcode RecordStore.changeRecord}. Present if the underlying store has it. */
  declare readonly changeRecord?: RecordStore["changeRecord"];
  /**
   * Implements {@linkcode RecordStore.moveRecord}, with one more round trip. Present if the
   * underlying store has it.
   */
  declare readonly moveRecord?: RecordStore["moveRecord"];
  /** Implements {@linkcode PrincipalStore.listSessions}. Present if the underlying store has it. */
  declare readonly listSessions?: PrincipalStore["listSessions"];
  /** Implements {@linkcode PingableStore.ping}. Present if the underlying store has it. */
  declare readonly ping?: PingableStore["ping"];
  /**
   * Implements {@linkcode WatchedStore.watch}. Present if the underlying store has it. Session ids
   * are not encrypted, so the keys that it reports are those of the underlying store.
   */
  declare readonly watch?: WatchedStore["watch"];
  /** Implements {@linkcode WatchedStore.reportsAll}. Present if the underlying store has it. */
  declare readonly reportsAll?: WatchedStore["reportsAll"];
  /** Implements {@linkcode CountingStore.countSessions}. Present if the underlying store has it. */
  declare readonly countSessions?: CountingStore["countSessions"];
  /**
   * Implements {@linkcode PrincipalListStore.listPrincipals}. Present if the underlying store has
   * it.
   */
  declare readonly listPrincipals?: PrincipalListStore["listPrincipals"];

  /**
   * Creates the store.
   *
   * @param store the underlying store. It should contain encrypted sessions only.
   * @param keys one key or several; the first key encrypts, and all keys decrypt
   * @throws {TypeError} if `store` is not a store, if a key is neither a Uint8Array nor a string,
   * or if there is no key
   * @throws {RangeError} if a key does not have 32 bytes, or if all its bytes are zero
   */
  constructor(store: SessionStore, keys: EncryptionKey | readonly EncryptionKey[]) {
    if (typeof store?.setValue !== "function") {
      throw new TypeError(
        `Cannot create an EncryptedStore: \`store\` must be a SessionStore; received ${describeType(store)}`,
      );
    }
    this.#store = store;
    // Configurable, so that a Proxy may hide it.
    Object.defineProperty(this, STORE_NAME, { value: `${nameOf(this)} over ${nameOf(store)}`, configurable: true });
    this.#keys = readKeys(keys);
    // Capabilities are detected by method names, so this object may only have those optional
    // methods that the underlying store has.
    const methods = Object.entries(optionalMethods(store as FullStore, this.#keys));
    Object.assign(this, Object.fromEntries(methods.filter(([name]) => name in store)));
  }

  /** Implements {@linkcode SessionStore.init}: opens the underlying store. */
  init(): Promise<void> {
    return this.#store.init();
  }

  /** Closes the underlying store, if it can be closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await close(this.#store);
  }

  /** Implements {@linkcode SessionStore.exist}. */
  exist(sid: string): Promise<boolean> {
    return this.#store.exist(sid);
  }

  /** Implements {@linkcode SessionStore.create}. */
  create(sid: string): Promise<void> {
    // Only createRecord() can mark the record as encrypted.
    return this.createRecord === undefined ? this.#store.create(sid) : this.createRecord(sid, emptyRecord());
  }

  /** Implements {@linkcode SessionStore.delete}. */
  delete(sid: string): Promise<void> {
    return this.#store.delete(sid);
  }

  /**
   * Implements {@linkcode SessionStore.get}. The result has no prototype.
   *
   * @throws {UnreadableRecordError} if one of the values cannot be decrypted
   */
  async get(sid: string): Promise<Record<string, unknown> | undefined> {
    const stored: object | null | undefined = await this.#store.get(sid);
    return stored ? toObject(decryptValues(this.#keys, sid, Object.entries(stored), "get")) : undefined;
  }

  /**
   * Implements {@linkcode SessionStore.setValue}. Atomic if it is atomic in the underlying store.
   */
  async setValue(sid: string, key: string, value: unknown): Promise<void> {
    await this.#store.setValue(sid, key, new SessionCipher(this.#keys, sid).encrypt(key, value));
  }

  /**
   * Implements {@linkcode SessionStore.getValue}.
   *
   * @throws {UnreadableRecordError} if the value cannot be decrypted
   */
  // deno-lint-ignore no-explicit-any -- Alosaur's own signature
  async getValue(sid: string, key: string): Promise<any> {
    return new SessionCipher(this.#keys, sid).decrypt(key, await this.#store.getValue(sid, key), "get");
  }

  /** Implements {@linkcode SessionStore.clear}: removes every session of the underlying store. */
  clear(): Promise<void> {
    return this.#store.clear();
  }
}

/** Returns the methods of all optional capabilities, as if the underlying store had all of them. */
function optionalMethods(store: FullStore, keys: Keys): Omit<FullStore, keyof SessionStore> {
  return {
    ping: () => store.ping(),

    // Session ids are not encrypted.
    watch: (changed) => store.watch(changed),
    reportsAll: store.reportsAll,

    createRecord: async (sid, { values, expiresAt, meta }) => {
      await store.createRecord(sid, { values: encryptValues(keys, sid, values), expiresAt, meta: markMeta(meta) });
    },

    readRecord: async (sid) => {
      const answer = await store.readRecord(sid);
      if (answer === undefined || !("values" in answer)) return answer;
      const { values, version, expiresAt, meta } = answer;
      return { values: decryptValues(keys, sid, values, "get"), version, expiresAt, meta: unmarkMeta(meta) };
    },

    changeRecord: async (sid, { set, meta, ...change }) => {
      return await store.changeRecord(sid, {
        ...change,
        ...(set && { set: encryptValues(keys, sid, set) }),
        ...(meta && { meta: "encrypted" in meta ? markMeta(meta) : meta }),
      });
    },

    moveRecord: async (sid, newSid, { ifVersion, set = new Map(), ...move }) => {
      const added = encryptValues(keys, newSid, set);
      const meta = "encrypted" in move.meta ? markMeta(move.meta) : { ...move.meta };
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        const record = await store.readRecord(sid);
        if (record === undefined || !("values" in record)) throw new SessionGoneError("regenerate");
        if (ifVersion !== undefined && ifVersion !== record.version) {
          if (await store.exist(newSid)) throw idInUseError("regenerate", nameOf(store));
          return false;
        }
        const kept = encryptValues(keys, newSid, decryptValues(keys, sid, record.values, "regenerate"));
        // A concurrent write changes the version, so this move fails and is tried again. Otherwise
        // the new id would get a value that is encrypted for the old one.
        const moved = {
          ...move,
          meta: { encrypted: record.meta.encrypted ?? 1, ...meta },
          ifVersion: record.version,
          set: new Map([...kept, ...added]),
        };
        if (await store.moveRecord(sid, newSid, moved)) return true;
      }
      throw new SessionStoreError(
        "regenerate",
        `Cannot regenerate: concurrent writes changed the session in ${nameOf(store)} during each of ${MAX_ATTEMPTS} ` +
          "attempts; the old id stays valid; try again",
      );
    },

    listSessions: async (principal) => {
      const sessions = await store.listSessions(principal);
      return sessions.map(({ sid, expiresAt, meta }) => ({ sid, expiresAt, meta: unmarkMeta(meta) }));
    },

    // Users are not encrypted.
    countSessions: () => store.countSessions(),
    listPrincipals: (page) => store.listPrincipals(page),
  };
}

/** Returns the meta of a session whose values this store encrypts once more. */
function markMeta<M extends Partial<SessionMeta>>(meta: M): M {
  return { ...meta, encrypted: (meta.encrypted ?? 0) + 1 };
}

/** Reverses {@linkcode markMeta}. A session from before there was a mark has none. */
function unmarkMeta({ encrypted = 1, ...meta }: SessionMeta): SessionMeta {
  return encrypted > 1 ? { ...meta, encrypted: encrypted - 1 } : meta;
}

function encryptValues(keys: Keys, sid: string, values: Iterable<[string, unknown]>): Map<string, string | undefined> {
  const cipher = new SessionCipher(keys, sid);
  return new Map(Array.from(values, ([key, value]) => [key, cipher.encrypt(key, value)]));
}

function decryptValues(
  keys: Keys,
  sid: string,
  values: Iterable<[string, unknown]>,
  operation: string,
): Map<string, unknown> {
  const cipher = new SessionCipher(keys, sid);
  return new Map(Array.from(values, ([key, sealed]) => [key, cipher.decrypt(key, sealed, operation)]));
}
