/**
 * Sessions in a file, with Deno's built-in SQLite.
 *
 * @module
 */
import { isAbsolute } from "node:path";
import { DatabaseSync, type DatabaseSyncOptions, type StatementSync } from "node:sqlite";
import type { CountingStore, PrincipalListStore, SessionCount, SignedInUser } from "../admin_store.ts";
import { SessionGoneError, SessionStoreError, type UnreadableRecordError } from "../errors.ts";
import { isSessionMeta } from "../session_record.ts";
import type {
  ListedSession,
  PingableStore,
  RecordAnswer,
  RecordChange,
  RecordMove,
  SessionMeta,
  SessionRecord,
} from "../session_store.ts";
import { toObject } from "../util/clone_value.ts";
import { optionError } from "../util/describe_value.ts";
import { warnIfMilliseconds } from "../util/likely_milliseconds.ts";
import { noop } from "../util/maybe_promise.ts";
import { nextTask } from "../util/next_task.ts";
import { checkOptionNames } from "../util/option_names.ts";
import { retry } from "../util/retry.ts";
import { decodeValues, encodeValues, isObject } from "./_codec.ts";
import { openError } from "./_open_error.ts";
import { emptyRecord, idInUseError, normalizeTimestamp, unreadableError } from "./_records.ts";

/** The options of {@linkcode SqliteStore}. */
export interface SqliteStoreOptions {
  /**
   * When a write reaches the disk.
   *
   * - `"full"`: before its promise resolves. No acknowledged write is lost when the process, the
   *   operating system or the power fails. (This relies on the system's `fsync` and on the disk. On
   *   macOS, `fsync` does not flush the disk's own cache.)
   * - `"normal"`: some time later, which is several times faster. Nothing is lost when only the
   *   process is terminated, even with `kill -9`. A power cut or a crash of the operating system
   *   may undo the last writes. If a logout is among them, its session is live again. Only the most
   *   recent writes are undone, and each one completely, so no record is incomplete.
   *
   * @default {"full"}
   */
  synchronous?: "full" | "normal";
  /**
   * How long an operation is retried while another process is writing, in seconds, 0 or more. After
   * that it rejects. The retries do not block the event loop.
   *
   * @default {5}
   */
  busyTimeout?: number;
}

/** Marks a file of this store: "SESS" in ASCII. */
const APPLICATION_ID = 0x53455353;

/** The version of the schema. A file with a later version is rejected. */
const SCHEMA_VERSION = 1;

// A row is a session. If `data` is NULL, it is the trace of an id that was replaced, and `meta`
// holds the new id. `expires_at` may be infinite. It becomes 0 when a call finds that the session
// has expired.
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

/**
 * How many expired rows a new session removes at most. More than one, so that a backlog shrinks.
 * Only a few, because the caller waits.
 */
const SWEEP_LIMIT = 20;

/** How many rows a count reads before other events are handled: in 3 milliseconds. */
const COUNT_BATCH = 2000;

/**
 * How many keys `json_patch()` is given at most. Its time grows with the product of the numbers of
 * keys in the data and in the patch.
 */
const MAX_PATCH_KEYS = 16;

/**
 * The condition for a row to be a live session. `?1` is its id and `?2` the current time. It is
 * false for data that is not the text of an object, and for an expiry that is not a number, because
 * SQLite sorts numbers before text.
 */
const LIVE = "id = ?1 AND data >= '{' AND data < '|' AND ?2 < expires_at AND expires_at <= 9e999";

/** How often the write-ahead log is checked, and the file if there are no writes. In milliseconds. */
const FILE_CHECK_MS = 1000;

/** Arrays instead of objects make a read 20 % faster. Deno's types lack this option of Node's. */
const OPTIONS: DatabaseSyncOptions & { returnArrays: boolean } = { returnArrays: true };

/** The prepared statements. Each is atomic. */
const STATEMENTS = {
  begin: "BEGIN IMMEDIATE",
  commit: "COMMIT",
  rollback: "ROLLBACK",
  read: "SELECT data, meta, expires_at, version FROM sessions WHERE id = ?1",
  list: "SELECT id, meta, expires_at FROM sessions WHERE meta ->> 'principal' = ?1 AND expires_at != 0",
  end: "UPDATE sessions SET expires_at = 0 WHERE id = ?1 AND data IS NOT NULL AND expires_at <= ?2",
  endAll: "UPDATE sessions SET expires_at = 0 WHERE meta ->> 'principal' = ?1 AND expires_at <= ?2",
  sweep: `DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at <= ?1 LIMIT ${SWEEP_LIMIT})`,
  // The id may still have the row of an expired session or of a trace.
  insert: `INSERT OR REPLACE INTO sessions (id, data, meta, expires_at, version)
    VALUES (?1, ?2, ?3, ?4, 0)`,
  // json_patch() removes the keys whose patch is null. It would merge nested objects, but every
  // encoded value is an array or a number.
  set: `UPDATE sessions SET data = json_patch(data, ?3), version = version + 1 WHERE ${LIVE}`,
  change: `UPDATE sessions SET data = iif(?3, ?4, json_patch(data, ?4)), meta = json_patch(meta, ?5),
    expires_at = ifnull(?6, expires_at), version = version + 1
    WHERE ${LIVE} AND version = ifnull(?7, version) AND (NOT ?8 OR meta ->> 'deviceKey' IS NULL)`,
  move: `UPDATE OR REPLACE sessions SET id = ?2, data = ?3, meta = json_patch(meta, ?4),
    expires_at = ifnull(?5, expires_at), version = version + 1 WHERE id = ?1`,
  trace: "INSERT INTO sessions (id, data, meta, expires_at, version) VALUES (?1, NULL, ?2, ?3, 0)",
  delete: "DELETE FROM sessions WHERE id = ?1 AND data IS NOT NULL",
  clear: "DELETE FROM sessions",
  // Only sessions have a principal. The index has no other rows, and is in the order of the users.
  users: `SELECT meta -> 'principal', count(*) FROM sessions WHERE meta ->> 'principal' > ?1 AND expires_at > ?2
    GROUP BY meta ->> 'principal' ORDER BY meta ->> 'principal' LIMIT ?3`,
  // Counts a number of rows after the row ?1. A session that gets a new id keeps its row.
  count: `SELECT max(rowid), sum(live), sum(live AND bound) FROM (
    SELECT rowid, data IS NOT NULL AND expires_at > ?2 AS live, meta ->> 'principal' IS NOT NULL AS bound
    FROM sessions WHERE rowid > ?1 ORDER BY rowid LIMIT ${COUNT_BATCH}
  )`,
} as const;

const NO_VALUES: ReadonlyMap<string, unknown> = new Map();

/** A file, as it was when it was opened. */
interface OpenFile {
  readonly path: string;
  readonly dev: number;
  readonly ino: number;
}

/** The open database, its prepared statements, and its files as far as they can be identified. */
type Connection =
  & { db: DatabaseSync; file: OpenFile | undefined; log: OpenFile | undefined }
  & Record<keyof typeof STATEMENTS, StatementSync>;

/** A row as the statement `read` returns it. */
type Row = [data: string | null, meta: string, expiresAt: number, version: number];

/** A row of a live session. */
type LiveRow = [data: string, meta: string, expiresAt: number, version: number];

/** The row of the statement `count`. All cells are NULL if there are no more rows. */
type CountRow = [last: number, total: number, signedIn: number] | [null, null, null];

/** A row as the statement `users` returns it. The user is JSON. */
type UserRow = [principal: string, sessions: number];

/** A row as the statement `list` returns it. */
type ListedRow = [sid: string, meta: string, expiresAt: number];

/**
 * Stores sessions in a file. They survive restarts of the process and of the machine, and the
 * processes of one machine can share them. It is the store for durable sessions on one machine, and
 * needs no server.
 *
 * Every operation is atomic, across processes too. The first call opens the file and creates it if
 * it is missing, with mode 0600, because it contains the sessions' values. An existing file keeps
 * its mode. The file must belong to this store alone. A database of another application is
 * rejected. While the file is open, `<path>-wal` and `<path>-shm` belong to it, so a copy of the
 * file alone is incomplete. SQLite's `VACUUM INTO` creates a complete copy.
 *
 * An expired session is missing immediately. The first call that finds it expired marks its row,
 * so that no slower write of another process can extend the session afterwards. Its row is removed
 * later, when other sessions are created. Each new session removes up to 20 expired rows, and there
 * is no timer. The file does not shrink, but SQLite reuses its free pages.
 *
 * Do not delete or replace the file while it is open, because no other process would see the
 * writes of this one. Every write checks that the file is still there, and reads check it once a
 * second. (On Windows, an open file cannot be deleted, and nothing is checked.) The call that
 * notices the loss rejects, because its write may be lost. The next call except `ping()` opens the
 * file that is at `path` then, or creates an empty one.
 *
 * A session that was created by {@linkcode SqliteStore.create} has no expiry.
 *
 * Note: SQLite runs on the thread of the event loop. A read takes microseconds. A write with
 * `synchronous: "full"` blocks the process until the disk is done. The file must be on a local
 * disk, because SQLite cannot share its write-ahead log over a network.
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
export class SqliteStore implements CountingStore, PrincipalListStore, PingableStore, AsyncDisposable {
  readonly #path: string;
  readonly #synchronous: string;
  readonly #busyTimeout: number;
  #connecting: Promise<Connection> | undefined;
  #connection: Connection | undefined;
  /** When the files were last checked, in milliseconds since the epoch. */
  #checkedAt = 0;
  #closed = false;

  /**
   * Creates the store. The file is opened at the first call.
   *
   * @param path the file, which is created if it is missing; or `":memory:"`, for tests
   * @param options the durability, and how long to wait for other processes
   * @throws {TypeError} if `path` is not a path, or an option is unknown or has the wrong type
   * @throws {RangeError} if `path` is empty, or an option is out of range
   */
  constructor(path: string, options: SqliteStoreOptions = {}) {
    checkOptionNames("create a SqliteStore", options, { synchronous: true, busyTimeout: true });
    const { synchronous = "full", busyTimeout = 5 } = options;
    if (typeof path !== "string" || path.startsWith("file:")) {
      throw optionError("create a SqliteStore", "path", "must be the path of a file, not a URL", path);
    }
    // SQLite would open a temporary file instead.
    if (path === "") throw new RangeError("Cannot create a SqliteStore: `path` must not be empty");
    if (synchronous !== "full" && synchronous !== "normal") {
      const isString = typeof synchronous === "string";
      throw optionError("create a SqliteStore", "synchronous", 'must be "full" or "normal"', synchronous, isString);
    }
    if (!Number.isFinite(busyTimeout) || busyTimeout < 0) {
      const requirement = "must be a finite number of seconds, 0 or more";
      const isNumber = typeof busyTimeout === "number";
      throw optionError("create a SqliteStore", "busyTimeout", requirement, busyTimeout, isNumber);
    }
    warnIfMilliseconds("busyTimeout", busyTimeout);
    this.#path = path;
    this.#synchronous = synchronous;
    this.#busyTimeout = busyTimeout;
  }

  /**
   * Opens the file, and creates it if it is missing. See {@linkcode SessionStore.init}. Every other
   * method opens the file too. Call `init()` to find out before the first request whether the file
   * can be opened. It can be called again after a failure.
   *
   * @throws {SessionStoreError} if the file cannot be opened, is damaged, or belongs to another
   * application or to a later version of this store (the file then stays as it is), or if the store
   * was closed
   */
  async init(): Promise<void> {
    await this.#connect();
  }

  /**
   * Implements {@linkcode PingableStore.ping}: checks that the file is still at its path, and reads
   * from it. The pages that SQLite has cached are released first, because a cached page would be
   * found even if the file were damaged.
   *
   * Opens nothing, because that would create a missing file. So it rejects before the first other
   * call, and after the file was deleted or replaced, until `init()` or another call opens it.
   *
   * @throws {SessionStoreError} if the file is not open, or was deleted or replaced
   * @throws {Error} if the file cannot be read
   */
  async ping(): Promise<void> {
    await this.#connecting;
    if (this.#connection === undefined && !this.#closed) {
      throw new SessionStoreError("ping", `Cannot ping: SqliteStore does not have ${this.#path} open; call init()`);
    }
    await this.#write("ping", ({ db, read }) => {
      db.exec("PRAGMA shrink_memory");
      read.get("");
    });
  }

  /** Closes the file. The store cannot be used any more. Does nothing if it was closed before. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#connecting?.catch(noop);
    this.#connection?.db.close();
    this.#connection = undefined;
  }

  /**
   * Implements {@linkcode SessionStore.exist}.
   *
   * @throws {Error} if the file cannot be read
   */
  async exist(sid: string): Promise<boolean> {
    return await this.#readLive("get", sid) !== undefined;
  }

  /**
   * Implements {@linkcode SessionStore.create}.
   *
   * @throws {Error} if the file cannot be written
   */
  create(sid: string): Promise<void> {
    return this.createRecord(sid, emptyRecord());
  }

  /**
   * Implements {@linkcode RecordStore.createRecord}. Removes up to 20 expired rows.
   *
   * @throws {Error} if the file cannot be written
   */
  async createRecord(sid: string, { values, expiresAt, meta }: SessionRecord): Promise<void> {
    const data = encodeValues(withoutUndefined(values));
    const encodedMeta = JSON.stringify(meta);
    await this.#transaction("create", (connection) => {
      if (isLive(readRow(connection, "create", sid))) throw idInUseError("create", "SqliteStore");
      connection.sweep.run(Date.now());
      connection.insert.run(sid, data, encodedMeta, normalizeTimestamp(expiresAt));
    });
  }

  /**
   * Implements {@linkcode SessionStore.delete}.
   *
   * @throws {Error} if the file cannot be written
   */
  async delete(sid: string): Promise<void> {
    await this.#write("destroy", (connection) => connection.delete.run(sid));
  }

  /**
   * Implements {@linkcode SessionStore.get}. The result has no prototype.
   *
   * @throws {Error} if the file cannot be read
   */
  async get(sid: string): Promise<Record<string, unknown> | undefined> {
    const row = await this.#readLive("get", sid);
    return row && toObject(decodeValues(row[0], "SqliteStore"));
  }

  /**
   * Implements {@linkcode RecordStore.readRecord}. Returns the record without a promise if the file
   * is open and not locked.
   *
   * @throws {Error} if the file cannot be read
   */
  readRecord(sid: string): RecordAnswer | Promise<RecordAnswer> {
    const now = Date.now();
    try {
      this.#checkFilesIfDue("get", now);
    } catch (error) {
      return Promise.reject(error);
    }
    try {
      if (this.#connection !== undefined) {
        const row = readRow(this.#connection, "get", sid);
        if (!isToBeEnded(row, now)) return toAnswer(row, now);
      }
    } catch {
      // The call below waits if the file is locked, and rejects with any other error.
    }
    return this.#readRow("get", sid).then((row) => toAnswer(row, Date.now()));
  }

  /**
   * Implements {@linkcode RecordStore.changeRecord}.
   *
   * @throws {Error} if the file cannot be written
   */
  async changeRecord(sid: string, change: RecordChange): Promise<boolean> {
    const { ifVersion = null, ifNoDevice = false, clear = false, set = NO_VALUES, meta = {} } = change;
    const expiresAt = change.expiresAt === undefined ? null : normalizeTimestamp(change.expiresAt);
    const patch = encodeValues(clear ? withoutUndefined(set) : set);
    const metaPatch = encodeMetaPatch(meta);
    const write = (connection: Connection, replaces: boolean, data: string): boolean => {
      const { changes } = connection.change.run(
        sid,
        Date.now(),
        Number(replaces),
        data,
        metaPatch,
        expiresAt,
        ifVersion,
        Number(ifNoDevice),
      );
      if (changes === 0 && !isLive(readRow(connection, "change", sid))) throw new SessionGoneError("change");
      return changes !== 0;
    };
    return await this.#retryUnlessGone("change", sid, () => {
      if (clear || set.size <= MAX_PATCH_KEYS) {
        return this.#write("change", (connection) => write(connection, clear, patch));
      }
      return this.#transaction("change", (connection) => {
        return write(connection, true, applyPatch("change", readRow(connection, "change", sid)?.[0] ?? "{}", patch));
      });
    });
  }

  /**
   * Implements {@linkcode SessionStore.setValue}.
   *
   * @throws {Error} if the file cannot be written
   */
  async setValue(sid: string, key: string, value: unknown): Promise<void> {
    const patch = encodeValues([[key, value]]);
    await this.#retryUnlessGone("set", sid, async () => {
      const { changes } = await this.#write("set", (connection) => connection.set.run(sid, Date.now(), patch));
      if (changes === 0) throw new SessionGoneError("set");
    });
  }

  /**
   * Implements {@linkcode SessionStore.getValue}.
   *
   * @throws {Error} if the file cannot be read
   */
  // deno-lint-ignore no-explicit-any -- Alosaur's own signature
  async getValue(sid: string, key: string): Promise<any> {
    const row = await this.#readLive("get", sid);
    return row && decodeValues(row[0], "SqliteStore").get(key);
  }

  /**
   * Implements {@linkcode RecordStore.moveRecord}. The old id is remembered until the expiry that
   * the session has now, or until `graceUntil` if that is later.
   *
   * @throws {Error} if the file cannot be written
   */
  async moveRecord(sid: string, newSid: string, move: RecordMove): Promise<boolean> {
    const { ifVersion, set = NO_VALUES, meta } = move;
    const newExpiry = move.expiresAt === undefined ? null : normalizeTimestamp(move.expiresAt);
    const graceUntil = normalizeTimestamp(move.graceUntil);
    const patch = encodeValues(set);
    const metaPatch = encodeMetaPatch(meta);
    const moveRow = (connection: Connection): boolean => {
      const row = readRow(connection, "regenerate", sid);
      if (!isLive(row)) throw new SessionGoneError("regenerate");
      if (isLive(readRow(connection, "regenerate", newSid))) throw idInUseError("regenerate", "SqliteStore");
      const [data, meta, expiresAt, version] = row;
      if (ifVersion !== undefined && ifVersion !== version) return false;
      decodeMeta("regenerate", meta);
      connection.move.run(sid, newSid, applyPatch("regenerate", data, patch), metaPatch, newExpiry);
      const trace = JSON.stringify({ movedTo: newSid, graceUntil });
      connection.trace.run(sid, trace, Math.max(newExpiry ?? expiresAt, graceUntil));
      return true;
    };
    return await this.#retryUnlessGone("regenerate", sid, () => this.#transaction("regenerate", moveRow));
  }

  /**
   * Implements {@linkcode PrincipalStore.listSessions}.
   *
   * @throws {Error} if the file cannot be read
   */
  async listSessions(principal: string): Promise<ListedSession[]> {
    const list = (): Promise<ListedRow[]> =>
      this.#run("list", (connection) => connection.list.all(principal) as unknown as ListedRow[]);
    const end = (connection: Connection): unknown => connection.endAll.run(principal, Date.now());
    let rows = await list();
    while (rows.some(([, , expiresAt]) => Date.now() >= expiresAt) && await this.#end(end)) rows = await list();
    return rows.flatMap(([sid, text, expiresAt]) => {
      const meta = Date.now() < expiresAt ? parseMeta(text) : undefined;
      // An unreadable session is left out, because nobody can use it.
      return meta === undefined ? [] : [{ sid, expiresAt, meta }];
    });
  }

  /**
   * Implements {@linkcode CountingStore.countSessions}. Reads all rows, and lets the process handle
   * other events in between. The larger the values, the longer it takes.
   *
   * @throws {Error} if the file cannot be read
   */
  async countSessions(): Promise<SessionCount> {
    const now = Date.now();
    const count = { total: 0, signedIn: 0 };
    for (let from = 0;;) {
      const [last, total, signedIn] = await this.#run(
        "count",
        ({ count }) => count.get(from, now) as unknown as CountRow,
      );
      if (last === null) return count;
      count.total += total;
      count.signedIn += signedIn;
      from = last;
      await nextTask();
    }
  }

  /**
   * Implements {@linkcode PrincipalListStore.listPrincipals}. The users are in the order of their
   * code points. Reads the rows of the users on the page.
   *
   * @throws {Error} if the file cannot be read
   */
  async listPrincipals({ after = "", limit }: { after?: string; limit: number }): Promise<SignedInUser[]> {
    const rows = await this.#run("users", ({ users }) => users.all(after, Date.now(), limit) as unknown as UserRow[]);
    return rows.map(([principal, sessions]) => ({ principal: JSON.parse(principal), sessions }));
  }

  /**
   * Implements {@linkcode SessionStore.clear}.
   *
   * @throws {Error} if the file cannot be written
   */
  async clear(): Promise<void> {
    await this.#write("clear", (connection) => connection.clear.run());
  }

  async #readLive(operation: string, sid: string): Promise<LiveRow | undefined> {
    const row = await this.#readRow(operation, sid);
    return isLive(row) ? row : undefined;
  }

  /**
   * Reads a row. If its session has expired, ends it first: another process may have extended it
   * just before its expiry, in a transaction that is not visible yet. Then that process is first,
   * and the session is live.
   */
  async #readRow(operation: string, sid: string): Promise<Row | undefined> {
    const read = (connection: Connection): Row | undefined => readRow(connection, operation, sid);
    const end = (connection: Connection): unknown => connection.end.run(sid, Date.now());
    let row = await this.#run(operation, read);
    while (isToBeEnded(row, Date.now()) && await this.#end(end)) row = await this.#run(operation, read);
    return row;
  }

  /** Marks expired sessions. Returns `false` if that failed. Then nobody can extend them either. */
  async #end(operation: (connection: Connection) => unknown): Promise<boolean> {
    try {
      await this.#run("get", operation);
      return true;
    } catch {
      return false;
    }
  }

  /**
   * Runs a write. If it finds the session gone, the session is ended for every process. The write
   * is repeated if another process has extended the session.
   */
  async #retryUnlessGone<T>(operation: string, sid: string, write: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await write();
      } catch (error) {
        if (error instanceof Error && error.message === "malformed JSON") throw unreadable(operation);
        if (!(error instanceof SessionGoneError) || !isLive(await this.#readRow(operation, sid))) throw error;
      }
    }
  }

  /**
   * Runs a write.
   *
   * @throws {SessionStoreError} if the file was deleted or replaced
   */
  async #write<T>(name: string, operation: (connection: Connection) => T): Promise<T> {
    try {
      return await this.#run(name, operation);
    } finally {
      // Afterwards, because the file may be deleted during the write.
      this.#checkFile(name, this.#connection?.file);
    }
  }

  /** Runs several statements in one transaction. */
  #transaction<T>(name: string, operation: (connection: Connection) => T): Promise<T> {
    return this.#write(name, (connection) => {
      connection.begin.run();
      try {
        const result = operation(connection);
        connection.commit.run();
        return result;
      } catch (error) {
        // After some failures, such as a full disk, SQLite has rolled back already.
        if (connection.db.isTransaction) connection.rollback.run();
        throw error;
      }
    });
  }

  async #run<T>(name: string, operation: (connection: Connection) => T): Promise<T> {
    this.#checkFilesIfDue(name, Date.now());
    const connection = this.#connection ?? await this.#connect();
    return await this.#retryWhileLocked(() => operation(connection));
  }

  /**
   * Retries while another process is writing. SQLite's own `busy_timeout` would block the event
   * loop.
   */
  #retryWhileLocked<T>(operation: () => T): Promise<T> {
    return retry(operation, performance.now() + this.#busyTimeout * 1000, isLocked);
  }

  /** Checks the files, unless that was done within the last second. */
  #checkFilesIfDue(name: string, now: number): void {
    // The system clock may be set back.
    if (Math.abs(now - this.#checkedAt) < FILE_CHECK_MS) return;
    this.#checkedAt = now;
    this.#checkFile(name, this.#connection?.file);
    this.#checkFile(name, this.#connection?.log);
  }

  /** If a file was deleted or replaced, closes the database and throws. */
  #checkFile(name: string, file: OpenFile | undefined): void {
    if (file === undefined || isUnmoved(file)) return;
    const { db, log } = this.#connection ?? {};
    this.#connection = undefined;
    this.#connecting = undefined;
    // If only its log is missing, this copies the log to the file. Otherwise SQLite leaves the new
    // files alone.
    db?.close();
    const outcome = file === log
      ? "the last writes may be lost; the next call opens the file again"
      : "its sessions are lost unless you put it back; the next call opens the file that is there, or creates an empty one";
    throw new SessionStoreError(
      name,
      `Cannot ${name}: SqliteStore's file ${file.path} was deleted or replaced while it was open; ${outcome}`,
    );
  }

  #connect(): Promise<Connection> {
    if (this.#closed) {
      return Promise.reject(new SessionStoreError("init", "Cannot open: SqliteStore was closed; create another one"));
    }
    return this.#connecting ??= this.#openFile().catch((error) => {
      this.#connecting = undefined;
      throw error;
    });
  }

  async #openFile(): Promise<Connection> {
    let db: DatabaseSync | undefined;
    try {
      createFile(this.#path);
      const opened = db = new DatabaseSync(this.#path, OPTIONS);
      const statements = await this.#retryWhileLocked(() => prepare(opened, this.#synchronous));
      // The application may change its working directory.
      const path = isAbsolute(this.#path) ? this.#path : opened.location();
      const [file, log] = path === null ? [] : [identify(path), identify(`${path}-wal`)];
      this.#checkedAt = Date.now();
      return this.#connection = { db: opened, file, log, ...statements };
    } catch (cause) {
      db?.close();
      const advice = "check the path, and that this process may read and write the file";
      throw openError({ backend: "SQLite", server: { address: this.#path, user: "" }, advice }, cause);
    }
  }
}

function unreadable(operation: string): UnreadableRecordError {
  return unreadableError(operation, "SqliteStore");
}

/** @throws {UnreadableRecordError} if the row has another shape than the store writes */
function readRow(connection: Connection, operation: string, sid: string): Row | undefined {
  let row: unknown;
  try {
    row = connection.read.get(sid);
  } catch (error) {
    // A number is too large for JavaScript.
    throw error instanceof RangeError ? unreadable(operation) : error;
  }
  if (row === undefined || isRow(row as unknown[])) return row as Row | undefined;
  throw unreadable(operation);
}

function isRow([data, meta, expiresAt, version]: unknown[]): boolean {
  return (data === null || typeof data === "string" && data.startsWith("{")) && typeof meta === "string" &&
    typeof expiresAt === "number" && typeof version === "number";
}

function isLive(row: Row | undefined): row is LiveRow {
  return row !== undefined && row[0] !== null && Date.now() < row[2];
}

/** Returns whether a session has expired, and no call has found that before. */
function isToBeEnded(row: Row | undefined, now: number): boolean {
  return row !== undefined && row[0] !== null && row[2] !== 0 && now >= row[2];
}

function toAnswer(row: Row | undefined, now: number): RecordAnswer {
  if (row === undefined) return undefined;
  const [data, meta, expiresAt, version] = row;
  const expired = now >= expiresAt;
  if (data === null) return expired ? undefined : decodeTrace(meta);
  return expired
    ? { expired }
    : { values: decodeValues(data, "SqliteStore"), expiresAt, meta: decodeMeta("get", meta), version };
}

function decodeTrace(text: string): RecordAnswer {
  const trace = parse(text);
  // JSON has no Infinity and writes null.
  const { movedTo, graceUntil = null } = isObject(trace) ? trace : {};
  if (typeof movedTo !== "string" || graceUntil !== null && typeof graceUntil !== "number") {
    throw unreadable("get");
  }
  return { movedTo, graceUntil: graceUntil ?? Infinity };
}

function decodeMeta(operation: string, text: string): SessionMeta {
  const meta = parseMeta(text);
  if (meta === undefined) throw unreadable(operation);
  return meta;
}

/** Returns `undefined` if the text is not that of a {@linkcode SessionMeta}. */
function parseMeta(text: string): SessionMeta | undefined {
  const meta = parse(text);
  return isSessionMeta(meta) ? meta : undefined;
}

/** Returns `undefined` if the text is not JSON. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Encodes a change of a {@linkcode SessionMeta} for `json_patch()`. `null` removes a member. */
function encodeMetaPatch(meta: Partial<SessionMeta>): string {
  return JSON.stringify(meta, (_, value) => value === undefined ? null : value);
}

function withoutUndefined(values: ReadonlyMap<string, unknown>): Iterable<[string, unknown]> {
  return values.entries().filter(([, value]) => value !== undefined);
}

/**
 * Applies a patch to encoded values, as `json_patch()` does, in a time that grows with the sum of
 * the numbers of keys. `null` removes a key.
 */
function applyPatch(operation: string, data: string, patch: string): string {
  const parsed = parse(data);
  if (!isObject(parsed)) throw unreadable(operation);
  // In an object, `__proto__` would set the prototype, and removing keys is slow.
  const values = new Map<string, unknown>(Object.entries(parsed));
  for (const [key, value] of Object.entries(JSON.parse(patch))) {
    if (value === null) values.delete(key);
    else values.set(key, value);
  }
  return JSON.stringify(Object.fromEntries(values));
}

/** Returns whether another connection is writing, or is recovering the file after a crash. */
function isLocked(error: unknown): boolean {
  // Only the errors of some methods have SQLite's error code.
  return error instanceof Error && error.message === "database is locked";
}

/**
 * Creates the file if it is missing, readable by its owner alone. SQLite creates `<path>-wal` and
 * `<path>-shm` with the same mode.
 */
function createFile(path: string): void {
  if (path === ":memory:") return;
  try {
    // An existing file must not be opened here. When it is closed, the system drops the locks that
    // SQLite holds on it in this process.
    Deno.openSync(path, { createNew: true, write: true, mode: 0o600 }).close();
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
}

/**
 * Creates the tables in an empty file, and prepares the statements.
 *
 * @throws {Error} if the file does not belong to this store
 */
function prepare(db: DatabaseSync, synchronous: string): Record<keyof typeof STATEMENTS, StatementSync> {
  const query = (sql: string): unknown => db.prepare(sql).get()?.[0];
  db.exec("BEGIN IMMEDIATE");
  try {
    const applicationId = query("PRAGMA application_id");
    const version = Number(query("PRAGMA user_version"));
    if (applicationId === 0 && version === 0 && query("SELECT count(*) FROM sqlite_schema") === 0) db.exec(SCHEMA);
    else if (applicationId !== APPLICATION_ID) throw new Error("the database belongs to another application");
    else if (version > SCHEMA_VERSION) throw new Error("a later version of SqliteStore created the file");
    db.exec("COMMIT");
  } finally {
    if (db.isTransaction) db.exec("ROLLBACK");
  }
  // The journal mode is set after the checks, because a file that is rejected must stay as it is.
  const mode = query("PRAGMA journal_mode = WAL");
  // Without its write-ahead log, SQLite would be less durable than promised, and readers would wait
  // for a writer.
  if (mode !== "wal" && mode !== "memory") {
    throw new Error(`SQLite cannot keep its log beside the file (journal_mode ${mode}); use a local disk`);
  }
  db.exec(`PRAGMA synchronous = ${synchronous}`);
  // The first read creates the log.
  query("SELECT count(*) FROM sqlite_schema");
  const statements = Object.entries(STATEMENTS).map(([name, sql]) => [name, db.prepare(sql)]);
  return Object.fromEntries(statements);
}

/**
 * Identifies a file. Returns `undefined` if there is none, if Deno may not read it, or if the
 * system has no inodes.
 */
function identify(path: string): OpenFile | undefined {
  try {
    // In a terminal, Deno would otherwise ask for the permission, and block the process until
    // somebody answers.
    if (Deno.permissions.querySync({ name: "read", path }).state !== "granted") return undefined;
    const { dev, ino } = Deno.statSync(path);
    return ino === null ? undefined : { path, dev, ino };
  } catch {
    return undefined;
  }
}

/** Returns whether a file is still at its path, as far as the path can be looked up. */
function isUnmoved({ path, dev, ino }: OpenFile): boolean {
  try {
    const now = Deno.statSync(path);
    return now.ino === ino && now.dev === dev;
  } catch (error) {
    return !(error instanceof Deno.errors.NotFound);
  }
}
