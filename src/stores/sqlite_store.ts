/**
 * Sessions in a file, on Deno's built-in SQLite.
 *
 * @module
 */
import { DatabaseSync, type DatabaseSyncOptions, type StatementSync } from "node:sqlite";
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
import { decodeValues, encodeValues } from "./_codec.ts";
import { emptyRecord, idInUseError, normalizeTimestamp } from "./_records.ts";

/** The options of {@linkcode SqliteStore}. */
export interface SqliteStoreOptions {
  /**
   * When a write is on the disk.
   *
   * - `"full"`: before its promise resolves. Nothing that was acknowledged is lost, whatever ends: the process, the operating system or
   *   the power. (As far as the system's `fsync` and the disk keep their word; on macOS `fsync` does not empty the disk's own cache.)
   * - `"normal"`: some time later; several times faster. When only the process ends, `kill -9` included, nothing is lost either. A power
   *   cut or a crash of the operating system may undo the last writes, a logout among them: that session lives again then. They are
   *   undone from the last backwards, each as a whole: no record is ever torn.
   *
   * @default {"full"}
   */
  synchronous?: "full" | "normal";
  /**
   * How long a step waits for another process that is writing, in seconds, 0 or more, before it rejects. It does not block the process
   * meanwhile.
   *
   * @default {5}
   */
  busyTimeout?: number;
}

/** Marks the file as one of this store: "SESS". */
const APPLICATION_ID = 0x53455353;

/** The form of the tables. A file of a later one is refused. */
const SCHEMA_VERSION = 1;

// A row is a session; or, where `data` is NULL, an id that was replaced, and `meta` tells by which. `expires_at` may be infinite. (A table
// WITHOUT ROWID would be a little faster where all sessions are small, and several times slower where they are not.)
const SCHEMA = `
  CREATE TABLE sessions (
    id TEXT PRIMARY KEY NOT NULL,
    data TEXT,
    meta TEXT NOT NULL,
    expires_at REAL NOT NULL,
    version INTEGER NOT NULL
  );
  CREATE INDEX sessions_expires_at ON sessions (expires_at);
  CREATE INDEX sessions_principal ON sessions (meta ->> 'principal') WHERE meta ->> 'principal' IS NOT NULL;
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

/** How many expired rows a new session removes at most: more than one, so that they get fewer; not many, because it waits for that. */
const SWEEP_LIMIT = 20;

/** How many keys a patch has at most that SQLite applies by itself. */
const SMALL_PATCH = 16;

/** The longest pause before another try while another process is writing, in milliseconds. */
const MAX_PAUSE = 50;

/** A session that has not ended, `?1` and `?2` being its id and the time. */
const LIVE = "id = ?1 AND data IS NOT NULL AND ?2 < expires_at";

/** Rows come as arrays, which takes a fifth off a read. (Deno's types do not know this option of Node's.) */
const ARRAYS: DatabaseSyncOptions & { returnArrays: boolean } = { returnArrays: true };

/** What is prepared once. Each is an atomic step by itself. */
const STATEMENTS = {
  begin: "BEGIN IMMEDIATE",
  commit: "COMMIT",
  rollback: "ROLLBACK",
  read: "SELECT data, meta, expires_at, version FROM sessions WHERE id = ?1",
  list: "SELECT id, meta FROM sessions WHERE meta ->> 'principal' = ?1 AND ?2 < expires_at",
  sweep: `DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at <= ?1 LIMIT ${SWEEP_LIMIT})`,
  // A row that is there already is an expired session or a trace, and gives way.
  insert: `INSERT OR REPLACE INTO sessions (id, data, meta, expires_at, version)
    VALUES (?1, ?2, ?3, ?4, 0)`,
  // A patch removes what is null in it. It goes no deeper than the keys: each value is an array or a number. It takes a time that grows
  // with the keys of the one times those of the other: `patched()` is for patches of many.
  set: `UPDATE sessions SET data = json_patch(data, ?3), version = version + 1 WHERE ${LIVE}`,
  change: `UPDATE sessions SET data = iif(?3, ?4, json_patch(data, ?4)), meta = json_patch(meta, ?5),
    expires_at = ifnull(?6, expires_at), version = version + 1 WHERE ${LIVE} AND version = ifnull(?7, version)`,
  move: `UPDATE OR REPLACE sessions SET id = ?2, data = ?3, meta = json_patch(meta, ?4),
    version = version + 1 WHERE id = ?1`,
  trace: "INSERT INTO sessions (id, data, meta, expires_at, version) VALUES (?1, NULL, ?2, ?3, 0)",
  delete: "DELETE FROM sessions WHERE id = ?1 AND data IS NOT NULL",
  clear: "DELETE FROM sessions",
} as const;

const NO_VALUES: ReadonlyMap<string, unknown> = new Map();

/** The database, open. */
type Open = { db: DatabaseSync } & Record<keyof typeof STATEMENTS, StatementSync>;

/** A row as `read` reads it: `data`, `meta`, `expires_at`, `version`. */
type Row = [data: string | null, meta: string, expiresAt: number, version: number];

/**
 * Keeps sessions in a file: they outlive the process and the machine's restart, and several processes of one machine share them. The
 * durable choice where there is one machine; it needs no server.
 *
 * Every step is atomic, across processes too. The file is opened at the first call, and made where there is none: with mode 0600, because
 * it holds what the sessions hold. One that is there keeps its mode. It belongs to this store alone: a database of something else is
 * refused. While it is in use, `<path>-wal` and `<path>-shm` belong to it, so that a copy of it alone is no copy; SQLite's `VACUUM INTO`
 * makes one.
 *
 * Expired sessions are gone at once. Their rows are removed little by little, whenever a session is made: there is no timer. The file
 * does not shrink; what is free in it is used again.
 *
 * Values are copied in and out. A record made through {@linkcode SqliteStore.create} alone has no deadline.
 *
 * Note: SQLite works on the thread of the event loop. A read takes microseconds; a write with `synchronous: "full"` takes as long
 * as the disk needs, and the process does nothing else meanwhile. The file has to be on a local disk: SQLite cannot share its log over a
 * network.
 *
 * @example
 * ```ts
 * import { assertEquals } from "jsr:@std/assert@1.0.13";
 * import { SqliteStore } from "@alosaur/session/sqlite";
 *
 * const path = await Deno.makeTempFile();
 * {
 *   await using store = new SqliteStore(path);
 *   await store.init();
 *   await store.create("an-id");
 *   await store.setValue("an-id", "cart", ["apple"]);
 * }
 * {
 *   await using store = new SqliteStore(path);
 *   assertEquals(await store.getValue("an-id", "cart"), ["apple"]);
 * }
 * await Deno.remove(path);
 * ```
 */
export class SqliteStore implements PrincipalStore, AsyncDisposable {
  readonly #path: string;
  readonly #synchronous: string;
  readonly #busyTimeout: number;
  #opening: Promise<Open> | undefined;
  #open: Open | undefined;
  #closed = false;

  /**
   * Makes a store. Nothing is opened yet.
   *
   * @param path the file, made where there is none; or `":memory:"`, for tests
   * @param options how durable it is, and how patient
   * @throws {TypeError} if `path` is not a path, or an option is of the wrong type
   * @throws {RangeError} if `path` is empty, or an option is out of range
   */
  constructor(path: string, options: SqliteStoreOptions = {}) {
    const { synchronous = "full", busyTimeout = 5 } = options;
    if (typeof path !== "string" || path.startsWith("file:")) {
      throw new TypeError("Cannot make a SqliteStore: `path` must be the path of a file");
    }
    // SQLite would make a file that nobody finds again.
    if (path === "") throw new RangeError("Cannot make a SqliteStore: `path` must not be empty");
    if (typeof synchronous !== "string") {
      throw new TypeError("Cannot make a SqliteStore: `synchronous` must be a string");
    }
    if (synchronous !== "full" && synchronous !== "normal") {
      throw new RangeError('Cannot make a SqliteStore: `synchronous` must be "full" or "normal"');
    }
    if (typeof busyTimeout !== "number") {
      throw new TypeError("Cannot make a SqliteStore: `busyTimeout` must be a number");
    }
    if (!Number.isFinite(busyTimeout) || busyTimeout < 0) {
      throw new RangeError("Cannot make a SqliteStore: `busyTimeout` must be 0 or more");
    }
    this.#path = path;
    this.#synchronous = synchronous;
    this.#busyTimeout = busyTimeout;
  }

  /**
   * Opens the file, and makes it where there is none. Every other method does so too: this one is for an application that wants to know
   * whether it can, before its first request. After a failure it can be called again.
   *
   * @throws {SessionStoreError} if the file cannot be opened; if it is damaged, a database of something else, or one of a later version
   * of this store, it stays as it is; if the store was closed
   */
  async init(): Promise<void> {
    await this.#opened();
  }

  /** Closes the file. The store cannot be used any more. Does nothing where it was closed already. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#opening?.catch(() => {});
    this.#open?.db.close();
    this.#open = undefined;
  }

  /**
   * Tells whether there is a live session of this id.
   *
   * @param sid the session id
   * @throws {Error} if the file could not be read
   */
  async exist(sid: string): Promise<boolean> {
    return await this.#live(sid) !== undefined;
  }

  /**
   * Makes an empty record without a deadline.
   *
   * @param sid the session id
   * @throws {SessionStoreError} if the id is in use
   * @throws {Error} if the file could not be written
   */
  create(sid: string): Promise<void> {
    return this.createRecord(sid, emptyRecord());
  }

  /**
   * Makes a record with its deadline and its first values, and removes a few expired ones.
   *
   * @param sid the session id
   * @param record what to keep; it is copied
   * @throws {SessionStoreError} if the id is in use
   * @throws {TypeError} if a value cannot be kept
   * @throws {Error} if the file could not be written
   */
  async createRecord(sid: string, { values, expiresAt, meta }: SessionRecord): Promise<void> {
    const data = encodeValues(present(values));
    const description = JSON.stringify(meta);
    await this.#atomically((open) => {
      if (live(open, sid) !== undefined) {
        throw idInUseError("create");
      }
      open.sweep.run(Date.now());
      open.insert.run(sid, data, description, normalizeTimestamp(expiresAt));
    });
  }

  /**
   * Removes a record. Does nothing where there is none.
   *
   * @param sid the session id
   * @throws {Error} if the file could not be written
   */
  async delete(sid: string): Promise<void> {
    await this.#step((open) => open.delete.run(sid));
  }

  /**
   * Reads all values.
   *
   * @param sid the session id
   * @returns a plain object without prototype, with a copy of each value; `undefined` where the session is missing or expired
   * @throws {Error} if the file could not be read
   */
  async get(sid: string): Promise<Record<string, unknown> | undefined> {
    const row = await this.#live(sid);
    return row && toObject(decodeValues(row[0]));
  }

  /**
   * Reads a whole record.
   *
   * @param sid the session id
   * @returns a copy; or what is left of the id; or `undefined` where nothing is known of it
   * @throws {Error} if the file could not be read
   */
  readRecord(sid: string): RecordAnswer | Promise<RecordAnswer> {
    try {
      if (this.#open !== undefined) return readAnswer(this.#open, sid);
    } catch (error) {
      if (!isBusy(error)) return Promise.reject(error);
    }
    return this.#step((open) => readAnswer(open, sid));
  }

  /**
   * Changes a record in one step.
   *
   * @param sid the session id
   * @param change what is to change; values are copied
   * @returns `false` where the record has another version than `ifVersion`; nothing was changed
   * @throws {SessionGoneError} if the session is missing or expired; nothing is created
   * @throws {TypeError} if a value cannot be kept; nothing is changed
   * @throws {Error} if the file could not be written
   */
  async changeRecord(sid: string, change: RecordChange): Promise<boolean> {
    const { ifVersion = null, clear = false, set = NO_VALUES, meta = {} } = change;
    const expiresAt = change.expiresAt === undefined ? null : normalizeTimestamp(change.expiresAt);
    const patch = encodeValues(clear ? present(set) : set);
    const description = encodeMeta(meta);
    const run = (open: Open, whole: boolean, data: string): boolean => {
      const { changes } = open.change.run(sid, Date.now(), Number(whole), data, description, expiresAt, ifVersion);
      if (changes === 0 && live(open, sid) === undefined) throw new SessionGoneError("change");
      return changes !== 0;
    };
    if (clear || set.size <= SMALL_PATCH) return await this.#step((open) => run(open, clear, patch));
    return await this.#atomically((open) => run(open, true, patched(live(open, sid)?.[0] ?? "{}", patch)));
  }

  /**
   * Writes one value; `undefined` removes it.
   *
   * @param sid the session id
   * @param key any string
   * @param value what to keep; it is copied
   * @throws {SessionGoneError} if the session is missing or expired; nothing is created
   * @throws {TypeError} if the value cannot be kept
   * @throws {Error} if the file could not be written
   */
  async setValue(sid: string, key: string, value: unknown): Promise<void> {
    const data = encodeValues([[key, value]]);
    const { changes } = await this.#step((open) => open.set.run(sid, Date.now(), data));
    if (changes === 0) throw new SessionGoneError("set");
  }

  /**
   * Reads one value.
   *
   * @param sid the session id
   * @param key any string
   * @returns a copy; `undefined` where the session is missing or expired, or has no such key
   * @throws {Error} if the file could not be read
   */
  // deno-lint-ignore no-explicit-any -- the seed's own signature
  async getValue(sid: string, key: string): Promise<any> {
    const row = await this.#live(sid);
    return row && decodeValues(row[0]).get(key);
  }

  /**
   * Gives a session a new id. The old one is missing from then on, and remembered until the session's deadline.
   *
   * @param sid the session id
   * @param newSid the new one
   * @param move what to write with it, and how long the old id leads to the new one
   * @returns `false` where the record has another version than `ifVersion`; nothing was changed
   * @throws {SessionGoneError} if the session is missing or expired
   * @throws {SessionStoreError} if the new id is in use
   * @throws {TypeError} if a value cannot be kept; nothing is changed
   * @throws {Error} if the file could not be written
   */
  async moveRecord(sid: string, newSid: string, move: RecordMove): Promise<boolean> {
    const { ifVersion, set = NO_VALUES, meta, graceUntil } = move;
    const patch = encodeValues(set);
    const description = encodeMeta(meta);
    return await this.#atomically((open) => {
      const row = live(open, sid);
      if (row === undefined) throw new SessionGoneError("regenerate");
      if (live(open, newSid) !== undefined) {
        throw idInUseError("regenerate");
      }
      const [data, , expiresAt, version] = row;
      if (ifVersion !== undefined && ifVersion !== version) return false;
      open.move.run(sid, newSid, set.size > 0 ? patched(data, patch) : data, description);
      const trace = JSON.stringify({ movedTo: newSid, graceUntil: normalizeTimestamp(graceUntil) });
      open.trace.run(sid, trace, Math.max(expiresAt, normalizeTimestamp(graceUntil)));
      return true;
    });
  }

  /**
   * Lists the live sessions that are bound to a user.
   *
   * @param principal the user
   * @returns in no particular order
   * @throws {Error} if the file could not be read
   */
  async listSessions(principal: string): Promise<{ sid: string; meta: SessionMeta }[]> {
    const rows = await this.#step((open) => open.list.all(principal, Date.now()) as unknown as [string, string][]);
    return rows.map(([sid, meta]) => ({ sid, meta: JSON.parse(meta) }));
  }

  /**
   * Removes every session.
   *
   * @throws {Error} if the file could not be written
   */
  async clear(): Promise<void> {
    await this.#step((open) => open.clear.run());
  }

  #live(sid: string): Promise<LiveRow | undefined> {
    return this.#step((open) => live(open, sid));
  }

  /** Takes several steps of which others see all or none. */
  #atomically<T>(steps: (open: Open) => T): Promise<T> {
    return this.#step((open) => {
      open.begin.run();
      try {
        const result = steps(open);
        open.commit.run();
        return result;
      } catch (error) {
        // Of some failures, such as a full disk, SQLite has rolled back itself.
        if (open.db.isTransaction) open.rollback.run();
        throw error;
      }
    });
  }

  async #step<T>(step: (open: Open) => T): Promise<T> {
    const open = this.#open ?? await this.#opened();
    return await this.#patiently(() => step(open));
  }

  /** Tries again while another process is writing. SQLite could wait by itself, but this process would do nothing else meanwhile. */
  async #patiently<T>(step: () => T): Promise<T> {
    let until: number | undefined;
    for (let pause = 1;; pause = Math.min(2 * pause, MAX_PAUSE)) {
      try {
        return step();
      } catch (error) {
        // Not of `Date.now()`: that clock can be set.
        const now = performance.now();
        until ??= now + this.#busyTimeout * 1000;
        if (now >= until || !isBusy(error)) throw error;
      }
      // Of random length, so that processes that wait do not all come back at once.
      await new Promise((resolve) => setTimeout(resolve, pause * Math.random()));
    }
  }

  #opened(): Promise<Open> {
    if (this.#closed) return Promise.reject(new SessionStoreError("init", "Cannot open: the store was closed"));
    return this.#opening ??= this.#openFile().catch((error) => {
      this.#opening = undefined;
      throw error;
    });
  }

  async #openFile(): Promise<Open> {
    let db: DatabaseSync | undefined;
    try {
      makeFile(this.#path);
      const opened = db = new DatabaseSync(this.#path, ARRAYS);
      return this.#open = await this.#patiently(() => prepare(opened, this.#synchronous));
    } catch (cause) {
      db?.close();
      const why = cause instanceof Error ? cause.message : "";
      throw new SessionStoreError("init", `Cannot open ${this.#path}: ${why}`, { cause });
    }
  }
}

/** A row of a session. */
type LiveRow = [data: string, meta: string, expiresAt: number, version: number];

function read(open: Open, sid: string): Row | undefined {
  return open.read.get(sid) as unknown as Row | undefined;
}

function readAnswer(open: Open, sid: string): RecordAnswer {
  const row = read(open, sid);
  if (row === undefined) return undefined;
  const [data, meta, expiresAt, version] = row;
  const expired = Date.now() >= expiresAt;
  if (data === null) return expired ? undefined : decodeTrace(meta);
  return expired ? { expired } : { values: decodeValues(data), expiresAt, meta: JSON.parse(meta), version };
}

/** JSON knows no infinity: `null` is a moment that never comes. */
function decodeTrace(text: string): RecordAnswer {
  const { movedTo, graceUntil } = JSON.parse(text);
  return { movedTo, graceUntil: graceUntil ?? Infinity };
}

/** The row of a session that has not ended. */
function live(open: Open, sid: string): LiveRow | undefined {
  const row = read(open, sid);
  return row !== undefined && row[0] !== null && Date.now() < row[2] ? row as LiveRow : undefined;
}

/** Writes what is to change in a {@linkcode SessionMeta}; `null` removes. */
function encodeMeta(meta: Partial<SessionMeta>): string {
  return JSON.stringify(meta, (_, value) => value === undefined ? null : value);
}

/** The values that are there. */
function present(values: ReadonlyMap<string, unknown>): Iterable<[string, unknown]> {
  return values.entries().filter(([, value]) => value !== undefined);
}

/** Writes one text of values over another, and leaves out what is `null` in it. */
function patched(data: string, patch: string): string {
  // Not an object: that would take `__proto__` for its prototype, and becomes slow where keys are removed.
  const values = new Map<string, unknown>(Object.entries(JSON.parse(data)));
  for (const [key, value] of Object.entries(JSON.parse(patch))) {
    if (value === null) values.delete(key);
    else values.set(key, value);
  }
  return JSON.stringify(Object.fromEntries(values));
}

/** Whether another connection is writing, or recovers the file after a crash. */
function isBusy(error: unknown): boolean {
  // The code is on the errors of some methods only.
  return error instanceof Error && error.message === "database is locked";
}

/** Makes the file with a mode of its own; SQLite gives the same one to those beside it. */
function makeFile(path: string): void {
  if (path === ":memory:") return;
  try {
    // Never opens one that exists: on closing it, the system would drop the locks that SQLite holds on it in this process.
    Deno.openSync(path, { createNew: true, write: true, mode: 0o600 }).close();
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
}

/** Makes the tables where there are none, and refuses a file that is not this store's. */
function prepare(db: DatabaseSync, synchronous: string): Open {
  const ask = (sql: string): unknown => db.prepare(sql).get()?.[0];
  db.exec("BEGIN IMMEDIATE");
  try {
    const applicationId = ask("PRAGMA application_id");
    const version = Number(ask("PRAGMA user_version"));
    if (applicationId === 0 && version === 0 && ask("SELECT count(*) FROM sqlite_schema") === 0) db.exec(SCHEMA);
    else if (applicationId !== APPLICATION_ID) throw new Error("it is a database of something else");
    else if (version > SCHEMA_VERSION) throw new Error("it was made by a later version of this store");
    db.exec("COMMIT");
  } finally {
    if (db.isTransaction) db.exec("ROLLBACK");
  }
  // Not before: a file of something else stays as it is.
  const mode = ask("PRAGMA journal_mode = WAL");
  // Without its log it would neither be as durable as promised nor let others read while one writes.
  if (mode !== "wal" && mode !== "memory") {
    throw new Error(`SQLite cannot keep its log beside it (journal_mode ${mode})`);
  }
  db.exec(`PRAGMA synchronous = ${synchronous}`);
  const statements = Object.entries(STATEMENTS).map(([name, sql]) => [name, db.prepare(sql)]);
  return { db, ...Object.fromEntries(statements) };
}
