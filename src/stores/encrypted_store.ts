/**
 * Sessions whose values the store beneath cannot read.
 *
 * @module
 */
import { SessionGoneError, SessionStoreError } from "../errors.ts";
import type {
  PrincipalStore,
  RecordAnswer,
  RecordChange,
  RecordMove,
  RecordStore,
  SessionRecord,
  SessionStore,
} from "../session_store.ts";
import { toObject } from "../util/clone_value.ts";
import { idInUseError } from "./_records.ts";
import { type DerivedKey, type EncryptionKey, readKeys, SessionCipher } from "./_session_cipher.ts";

export type { EncryptionKey };

/** How often a session is read to be moved. Each time that fails, somebody has written to it between. */
const MAX_TRIES = 1000;

type Keys = readonly [DerivedKey, ...DerivedKey[]];

/**
 * Encrypts the values of sessions and keeps them in another store. Whoever can read its database, or a backup, reads no value; whoever
 * can write to it makes none, but can take any session over (see the note).
 *
 * Any store will do, also one that keeps JSON alone: it is given strings. This store has the optional capabilities that the store
 * beneath has, but never closes that one: it stays the application's. A value belongs to its session and its key: in another session or under another key it is refused like one that was
 * altered, with a `SessionStoreError`. A session that gets a new id is encrypted anew, for which `moveRecord` reads it first.
 *
 * To change the key, put the new one before the old: `[newKey, oldKey]`. The first encrypts, all decrypt. A value is encrypted anew
 * when it is written, and when its session gets a new id. The old key can go when the sessions of that time have ended; a session
 * with a value whose key is gone is refused.
 *
 * Not hidden: session ids, the names of keys, how long each value is, users, and when a session began, was used and ends. (On a store
 * with the eight methods alone, users and times are kept as a value, and are hidden.) Not prevented: whoever can write to the
 * database can remove values and sessions, and put an older value back where it was.
 *
 * Note: users, deadlines and where replaced ids lead to are neither hidden nor protected. Write access to the database is impersonation: it
 * binds a session to any user, makes it last, and leads one's own session id to the session of somebody else, values included.
 *
 * AES-256-GCM with random nonces is good for 2³² values a key (NIST SP 800-38D section 8.3). Each session id has a key of its own,
 * derived from the one given, so that no application comes near that. A value takes 44 characters and a third more than its text:
 * on a DenoKvStore the values of a session are 575 KiB at most, as text, or 431 KiB of bytes.
 *
 * @example
 * ```ts
 * import { assert, assertEquals } from "jsr:@std/assert@1.0.13";
 * import { MemoryStore, SessionMiddleware } from "@alosaur/session";
 * import { EncryptedStore } from "@alosaur/session/encrypted";
 *
 * const key = SessionMiddleware.generateSecret(); // once, and kept where the application's other secrets are
 * const beneath = new MemoryStore();
 * const store = new EncryptedStore(beneath, key);
 * await store.init();
 * await store.create("an-id");
 * await store.setValue("an-id", "cart", ["apple"]);
 *
 * assertEquals(await store.getValue("an-id", "cart"), ["apple"]);
 * assert(!(await beneath.getValue("an-id", "cart")).includes("apple"));
 * ```
 */
export class EncryptedStore implements SessionStore {
  readonly #store: SessionStore;
  readonly #keys: Keys;

  /** As in {@linkcode RecordStore}. There where the store beneath is one. */
  declare readonly createRecord?: RecordStore["createRecord"];
  /** As in {@linkcode RecordStore}. There where the store beneath is one. */
  declare readonly readRecord?: RecordStore["readRecord"];
  /** As in {@linkcode RecordStore}. There where the store beneath is one. */
  declare readonly changeRecord?: RecordStore["changeRecord"];
  /** As in {@linkcode RecordStore}, in one round trip more. There where the store beneath is one. */
  declare readonly moveRecord?: RecordStore["moveRecord"];
  /** As in {@linkcode PrincipalStore}. There where the store beneath is one. */
  declare readonly listSessions?: PrincipalStore["listSessions"];

  /**
   * Makes a store on another.
   *
   * @param store where the encrypted values go; it should hold no sessions that are not encrypted
   * @param keys the key, or several: the first encrypts, all decrypt
   * @throws {TypeError} if a key is neither a Uint8Array nor a string, or there is none
   * @throws {RangeError} if a key does not have 32 bytes, or all of them are zero
   */
  constructor(store: SessionStore, keys: EncryptionKey | readonly EncryptionKey[]) {
    if (typeof store?.setValue !== "function") {
      throw new TypeError("Cannot make an EncryptedStore: `store` must be a session store");
    }
    this.#store = store;
    this.#keys = readKeys(keys);
    // A store is recognised by its methods: there must be none here that is not there beneath.
    const methods = Object.entries(optionalMethods(store as PrincipalStore, this.#keys));
    Object.assign(this, Object.fromEntries(methods.filter(([name]) => name in store)));
  }

  /** Opens the store beneath. */
  init(): Promise<void> {
    return this.#store.init();
  }

  /**
   * Tells whether there is a live session of this id.
   *
   * @param sid the session id
   */
  exist(sid: string): Promise<boolean> {
    return this.#store.exist(sid);
  }

  /**
   * Makes an empty record.
   *
   * @param sid the session id
   * @throws if the id is in use
   */
  create(sid: string): Promise<void> {
    return this.#store.create(sid);
  }

  /**
   * Removes a record. Does nothing where there is none.
   *
   * @param sid the session id
   */
  delete(sid: string): Promise<void> {
    return this.#store.delete(sid);
  }

  /**
   * Reads and decrypts all values.
   *
   * @param sid the session id
   * @returns a plain object without prototype, with a copy of each value; `undefined` where the session is missing or expired
   * @throws {SessionStoreError} if one of the values cannot be decrypted
   */
  async get(sid: string): Promise<Record<string, unknown> | undefined> {
    const stored: object | null | undefined = await this.#store.get(sid);
    return stored ? toObject(decryptValues(this.#keys, sid, Object.entries(stored))) : undefined;
  }

  /**
   * Encrypts one value and writes it. On concurrent writes: as the store beneath.
   *
   * @param sid the session id
   * @param key any well-formed string
   * @param value what to keep; `undefined` means that the key is to be absent
   * @throws if the session is missing or expired; nothing is created
   * @throws {TypeError} if the value cannot be kept; the message names the key
   */
  async setValue(sid: string, key: string, value: unknown): Promise<void> {
    await this.#store.setValue(sid, key, new SessionCipher(this.#keys, sid).encrypt(key, value));
  }

  /**
   * Reads and decrypts one value.
   *
   * @param sid the session id
   * @param key any string
   * @returns a copy; `undefined` where the session is missing or expired, or has no such key
   * @throws {SessionStoreError} if the value cannot be decrypted
   */
  // deno-lint-ignore no-explicit-any -- the seed's own signature
  async getValue(sid: string, key: string): Promise<any> {
    return new SessionCipher(this.#keys, sid).decrypt(key, await this.#store.getValue(sid, key));
  }

  /** Removes every session of the store beneath. */
  clear(): Promise<void> {
    return this.#store.clear();
  }
}

/** The methods of the optional capabilities, on a store that has them. */
function optionalMethods(store: PrincipalStore, keys: Keys): Omit<PrincipalStore, keyof SessionStore> {
  return {
    async createRecord(sid: string, { values, expiresAt, meta }: SessionRecord): Promise<void> {
      await store.createRecord(sid, { values: encryptValues(keys, sid, values), expiresAt, meta });
    },

    async readRecord(sid: string): Promise<RecordAnswer> {
      const read = await store.readRecord(sid);
      if (read === undefined || !("values" in read)) return read;
      const { values, version, expiresAt, meta } = read;
      return { values: decryptValues(keys, sid, values), version, expiresAt, meta };
    },

    async changeRecord(sid: string, { set, ...change }: RecordChange): Promise<boolean> {
      return await store.changeRecord(sid, { ...change, ...(set && { set: encryptValues(keys, sid, set) }) });
    },

    async moveRecord(
      sid: string,
      newSid: string,
      { ifVersion, set = new Map(), ...move }: RecordMove,
    ): Promise<boolean> {
      const added = encryptValues(keys, newSid, set);
      const meta = { ...move.meta };
      for (let tries = 0; tries < MAX_TRIES; tries++) {
        const read = await store.readRecord(sid);
        if (read === undefined || !("values" in read)) throw new SessionGoneError("regenerate");
        if (ifVersion !== undefined && ifVersion !== read.version) {
          if (await store.exist(newSid)) throw idInUseError("regenerate");
          return false;
        }
        const kept = encryptValues(keys, newSid, decryptValues(keys, sid, read.values));
        // Where somebody has written since, that is not encrypted for the new id yet.
        const moved = { ...move, meta, ifVersion: read.version, set: new Map([...kept, ...added]) };
        if (await store.moveRecord(sid, newSid, moved)) return true;
      }
      throw new SessionStoreError(
        "regenerate",
        "Cannot regenerate: others write to it all the time",
      );
    },

    listSessions: (principal) => store.listSessions(principal),
  };
}

function encryptValues(keys: Keys, sid: string, values: Iterable<[string, unknown]>): Map<string, string | undefined> {
  const cipher = new SessionCipher(keys, sid);
  return new Map(Array.from(values, ([key, value]) => [key, cipher.encrypt(key, value)]));
}

function decryptValues(keys: Keys, sid: string, values: Iterable<[string, unknown]>): Map<string, unknown> {
  const cipher = new SessionCipher(keys, sid);
  return new Map(Array.from(values, ([key, sealed]) => [key, cipher.decrypt(key, sealed)]));
}
