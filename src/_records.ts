/**
 * The steps that a session takes on a store, the same for every store.
 *
 * A store that has an optional capability is used through it. On one that has only the eight methods, the deadline lives in the
 * record under a reserved key, and a step that needs several calls is atomic within this process, by a queue per session.
 *
 * @module
 */
import { SessionError, SessionGoneError, SessionStoreError } from "./errors.ts";
import type { RecordStore, RenamingStore, SessionRecord, SessionStore } from "./session_store.ts";

/** What a session asks of its store. Every method rejects with a {@linkcode SessionError} and with nothing else. */
export interface Records {
  /** Reads a session: `undefined` where it is missing or expired. */
  read(sid: string): Promise<SessionRecord | undefined>;
  /** Makes a session with its first values. */
  create(sid: string, record: SessionRecord): Promise<void>;
  /** Writes one value, or removes it where it is `undefined`; rejects with `SessionGoneError` where the session has ended. */
  set(sid: string, key: string, value: unknown, expiresAt: number): Promise<void>;
  /** Gives a session a new id; rejects with `SessionGoneError` where it has ended. */
  rename(sid: string, newSid: string): Promise<void>;
  /** Ends a session. */
  delete(sid: string): Promise<void>;
}

const METHODS = ["init", "exist", "create", "delete", "get", "setValue", "getValue", "clear"] as const;

/** One `Records` a store: two middlewares on one store share the queues of its sessions. */
const known = new WeakMap<SessionStore, Records>();

/**
 * Returns the steps on a store.
 *
 * @throws {TypeError} if one of the eight methods is missing
 */
export function recordsOf(store: SessionStore): Records {
  const missing = METHODS.filter((name) => typeof store?.[name] !== "function");
  if (missing.length > 0) throw new TypeError(`Cannot start sessions: the store has no method ${missing.join(", ")}`);
  let records = known.get(store);
  if (records === undefined) {
    records = isRecordStore(store) && isRenamingStore(store) ? new CapableRecords(store) : new BareRecords(store);
    known.set(store, records);
  }
  return records;
}

function isRecordStore(store: SessionStore): store is RecordStore {
  return "createRecord" in store && "readRecord" in store;
}

function isRenamingStore(store: SessionStore): store is RenamingStore {
  return "rename" in store;
}

/** Calls a store; whatever it throws or rejects with becomes a {@linkcode SessionError}. */
async function ask<T>(operation: string, call: () => T | PromiseLike<T>, what = operation): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    if (cause instanceof SessionError) throw cause;
    throw new SessionStoreError(operation, `Cannot ${what}: the session store failed`, { cause });
  }
}

/** On a store that knows deadlines, holds whole records and renames: one round trip a step. */
class CapableRecords implements Records {
  readonly #store: RecordStore & RenamingStore;

  constructor(store: RecordStore & RenamingStore) {
    this.#store = store;
  }

  read(sid: string): Promise<SessionRecord | undefined> {
    return ask("get", () => this.#store.readRecord(sid));
  }

  create(sid: string, record: SessionRecord): Promise<void> {
    return ask("create", () => this.#store.createRecord(sid, record));
  }

  set(sid: string, key: string, value: unknown): Promise<void> {
    return ask("set", () => this.#store.setValue(sid, key, value), `set ${JSON.stringify(key)}`);
  }

  rename(sid: string, newSid: string): Promise<void> {
    return ask("regenerate", () => this.#store.rename(sid, newSid));
  }

  delete(sid: string): Promise<void> {
    return ask("destroy", () => this.#store.delete(sid));
  }
}

/** Where a bare store keeps what is not the application's: a key that every backend can hold. */
const RESERVED = "__session";

/** The application's keys that begin like the reserved one move behind it, so that none is ever equal to it. */
function toStored(key: string): string {
  return key.startsWith(RESERVED) ? `${RESERVED}:${key}` : key;
}

/** Undoes {@linkcode toStored}; `undefined` where the key is the reserved one. */
function fromStored(key: string): string | undefined {
  if (!key.startsWith(RESERVED)) return key;
  return key === RESERVED ? undefined : key.slice(RESERVED.length + 1);
}

/** On a store with the eight methods and no more. */
class BareRecords implements Records {
  readonly #store: SessionStore;
  readonly #queues = new Map<string, Promise<void>>();

  constructor(store: SessionStore) {
    this.#store = store;
  }

  async read(sid: string): Promise<SessionRecord | undefined> {
    const stored = await this.#get("get", sid);
    if (stored === undefined) return undefined;
    const expiresAt = deadlineOf(stored);
    // Without a deadline it is a record whose making was cut off: nobody was given a cookie for it.
    if (expiresAt === undefined) return undefined;
    if (Date.now() >= expiresAt) {
      // Nothing else would ever remove it. That the session has ended is known, whatever comes of this.
      await ask("destroy", () => this.#store.delete(sid)).catch(() => {});
      return undefined;
    }
    const values = new Map<string, unknown>();
    for (const [name, value] of Object.entries(stored)) {
      const key = fromStored(name);
      if (key !== undefined && value !== undefined) values.set(key, value);
    }
    return { values, expiresAt };
  }

  async create(sid: string, record: SessionRecord): Promise<void> {
    await ask("create", () => this.#store.create(sid));
    await this.#fill("create", sid, [
      [RESERVED, { expiresAt: record.expiresAt }],
      ...Array.from(record.values, ([key, value]): [string, unknown] => [toStored(key), value]),
    ]);
  }

  set(sid: string, key: string, value: unknown, expiresAt: number): Promise<void> {
    return this.#inTurn(sid, async () => {
      if (Date.now() >= expiresAt) throw new SessionGoneError("set");
      try {
        await this.#put("set", sid, toStored(key), value);
      } catch (error) {
        // A store says in its own words that the record is missing: whether it is, it can be asked.
        if (error instanceof SessionStoreError && await this.#isMissing(sid)) {
          throw new SessionGoneError("set", { cause: error.cause });
        }
        throw error;
      }
    });
  }

  rename(sid: string, newSid: string): Promise<void> {
    return this.#inTurn(sid, async () => {
      const stored = await this.#get("regenerate", sid);
      if (stored === undefined) throw new SessionGoneError("regenerate");
      await ask("regenerate", () => this.#store.create(newSid));
      await this.#fill("regenerate", newSid, Object.entries(stored));
      try {
        await ask("regenerate", () => this.#store.delete(sid));
      } catch (error) {
        // Both ids would be alive: better the old one alone, which the client has.
        await this.#discard(newSid);
        throw error;
      }
    });
  }

  delete(sid: string): Promise<void> {
    return this.#inTurn(sid, () => ask("destroy", () => this.#store.delete(sid)));
  }

  async #get(operation: string, sid: string): Promise<object | undefined> {
    const stored: unknown = await ask(operation, () => this.#store.get(sid));
    if (stored === undefined || stored === null) return undefined;
    if (typeof stored === "object") return stored;
    throw new SessionStoreError(operation, `Cannot ${operation}: the session store did not answer with an object`);
  }

  /** Writes one value under the name that it is stored by; an error names the key that the application gave. */
  #put(operation: string, sid: string, name: string, value: unknown): Promise<void> {
    const key = fromStored(name);
    const what = key === undefined ? operation : `set ${JSON.stringify(key)}`;
    return ask(operation, () => this.#store.setValue(sid, name, value), what);
  }

  /** Fills a record that was just created, or removes it. */
  async #fill(operation: string, sid: string, entries: Iterable<[string, unknown]>): Promise<void> {
    try {
      for (const [name, value] of entries) await this.#put(operation, sid, name, value);
    } catch (error) {
      await this.#discard(sid);
      throw error;
    }
  }

  /** Removes what a failed step left, as far as the store still can; the failure itself is what the caller hears of. */
  async #discard(sid: string): Promise<void> {
    try {
      await this.#store.delete(sid);
    } catch {
      // Without a deadline, or under an id that nobody has, the record cannot be used.
    }
  }

  async #isMissing(sid: string): Promise<boolean> {
    try {
      return !(await this.#store.exist(sid));
    } catch {
      return false;
    }
  }

  /** Runs one step of a session after those before it. */
  #inTurn<T>(sid: string, step: () => Promise<T>): Promise<T> {
    const before = this.#queues.get(sid);
    const run = before === undefined ? step() : before.then(step);
    const done = run.then(() => {}, () => {});
    this.#queues.set(sid, done);
    done.then(() => {
      if (this.#queues.get(sid) === done) this.#queues.delete(sid);
    });
    return run;
  }
}

function deadlineOf(stored: object): number | undefined {
  const kept: unknown = Object.hasOwn(stored, RESERVED) ? (stored as Record<string, unknown>)[RESERVED] : undefined;
  if (typeof kept !== "object" || kept === null || !("expiresAt" in kept)) return undefined;
  return typeof kept.expiresAt === "number" && Number.isFinite(kept.expiresAt) ? kept.expiresAt : undefined;
}
