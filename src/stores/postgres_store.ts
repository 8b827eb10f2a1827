/**
 * Sessions in PostgreSQL.
 *
 * @module
 */
import { clearTimeout, setTimeout } from "node:timers";
import { SessionGoneError, SessionStoreError } from "../errors.ts";
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
import { toObject } from "../util/clone_value.ts";
import { decodeKey, decodeValue, encodeKey, encodeValue } from "./_codec.ts";
import { PostgresClient, type PostgresRows } from "./_postgres_client.ts";

/** What the store needs of a client: the `sql` that `postgres()` of `npm:postgres` makes. */
export interface PostgresSql {
  /** Makes a query. */
  unsafe(
    query: string,
    parameters: (string | number | boolean | null)[],
    options: { prepare: boolean },
  ): PostgresQuery;
}

/** A query of {@linkcode PostgresSql}. */
export interface PostgresQuery {
  /** Sends it; gives the cells as the server sent them, which no transformation of the client has touched. */
  raw(): Promise<PostgresRows>;
}

export type { PostgresRows };

/** The options of {@linkcode PostgresStore}. */
export interface PostgresStoreOptions {
  /**
   * The table that keeps the sessions, if need be with its schema: letters, digits and `_`, at most 50 each, such as `"auth.sessions"`.
   * Upper and lower case differ. It is the store's own.
   *
   * @default {"sessions"}
   */
  table?: string;
  /**
   * Whether `init()` makes the table where there is none. With `false` the database's user needs no right to create; make the table
   * with the SQL of {@linkcode postgresSchema}.
   *
   * @default {true}
   */
  migrate?: boolean;
}

type Parameter = string | number | boolean | null;

const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,49}$/;

/** Whose row, of those that have the right id, is a session: `$2` is the present moment. */
const LIVE = "moved_to IS NULL AND expires_at > $2";

/** How long a write waits for one before it, in milliseconds. */
const PATIENCE = 5_000;

/** How many expired rows one statement removes. */
const BATCH = 1000;
/** How long rows outlast their time, in milliseconds: the clocks of two machines may differ. */
const SLACK = 60_000;
/** How often expired rows are looked for, in milliseconds. */
const INTERVAL = 60_000;

/**
 * Writes the SQL that makes the table of a {@linkcode PostgresStore}, for those who migrate by other means. It is what `init()` runs; a
 * table that exists stays as it is.
 *
 * ```sql
 * CREATE TABLE IF NOT EXISTS "sessions" (
 *   id text COLLATE "C" PRIMARY KEY,
 *   data jsonb NOT NULL,
 *   meta jsonb NOT NULL,
 *   version bigint NOT NULL,
 *   expires_at double precision NOT NULL,
 *   moved_to text,
 *   grace_until double precision,
 *   principal text COLLATE "C" GENERATED ALWAYS AS (meta ->> 'principal') STORED
 * );
 * CREATE INDEX IF NOT EXISTS "sessions_expires_at" ON "sessions" (expires_at);
 * CREATE INDEX IF NOT EXISTS "sessions_principal" ON "sessions" USING hash (principal) WHERE principal IS NOT NULL;
 * ```
 *
 * @param table as in {@linkcode PostgresStoreOptions.table}
 * @returns statements of PostgreSQL 12 or newer
 * @throws {TypeError} if `table` is not such a name
 *
 * @example For a table in another schema
 * ```ts
 * import { assert } from "jsr:@std/assert@1.0.13";
 * import { postgresSchema } from "@alosaur/session/postgres";
 *
 * const sql = postgresSchema("auth.sessions");
 *
 * assert(sql.startsWith('CREATE TABLE IF NOT EXISTS "auth"."sessions" ('));
 * ```
 */
export function postgresSchema(table = "sessions"): string {
  const quoted = quote("write the schema", table);
  const [name] = table.split(".").slice(-1);
  return `CREATE TABLE IF NOT EXISTS ${quoted} (
  id text COLLATE "C" PRIMARY KEY,
  data jsonb NOT NULL,
  meta jsonb NOT NULL,
  version bigint NOT NULL,
  expires_at double precision NOT NULL,
  moved_to text,
  grace_until double precision,
  principal text COLLATE "C" GENERATED ALWAYS AS (meta ->> 'principal') STORED
);
CREATE INDEX IF NOT EXISTS "${name}_expires_at" ON ${quoted} (expires_at);
CREATE INDEX IF NOT EXISTS "${name}_principal" ON ${quoted} USING hash (principal) WHERE principal IS NOT NULL;
`;
}

/**
 * Keeps sessions in a table of PostgreSQL (12 or newer, in UTF-8): one row a session, one statement a step. For any number of processes
 * and machines; as durable as the database's `synchronous_commit` says.
 *
 * - Made with a URL, it opens up to ten connections when they are needed, and new ones where they broke; dispose it to close them. A
 *   server that cannot be reached has failed after five seconds at most, and the next call tries again.
 * - Made with a client, it leaves that open, and cannot replace it: after a connection was lost under load, a client of postgres.js 3.4.9 may
 *   go on with one that never sends anything again. Prefer a URL. Otherwise set `connect_timeout`, and `backoff: () => 0.1`: by itself
 *   it waits up to 20 seconds before it tries again.
 * - It works through a pooler in transaction mode, because no statement relies on what one before it has set. A PgBouncer older than 1.21
 *   knows no prepared statements: say `prepare: false` to the client, or `?prepare=false` in the URL. Every call then takes two round
 *   trips in place of one, as otherwise only the first of its kind on each connection.
 * - Expired rows are removed beside the requests: after a session was made, at most once a minute. Where processes live shorter than
 *   that, call {@linkcode PostgresStore.removeExpired} now and then.
 * - Writes of one process to one session are done in their order, also where a request gave up waiting (`storeTimeout`) and another
 *   followed; unless the database is silent for more than five seconds.
 * - Of the database's errors only name, message and `code` are left: their other fields quote rows.
 *
 * Deno needs `--allow-net`, and `--allow-env` for the variables that postgres.js knows.
 *
 * @example
 * ```ts ignore
 * import { SessionMiddleware } from "@alosaur/session";
 * import { PostgresStore } from "@alosaur/session/postgres";
 *
 * const store = new PostgresStore("postgres://app:password@db.example:5432/app");
 * await store.init();
 * app.use(/\//, new SessionMiddleware(store, { secret, storeTimeout: 5 }));
 * ```
 */
export class PostgresStore implements PrincipalStore, AsyncDisposable {
  readonly #query: (text: string, parameters: Parameter[]) => Promise<PostgresRows>;
  readonly #client: PostgresClient | undefined;
  readonly #table: string;
  readonly #migration: string | undefined;
  #ready: Promise<void> | undefined;
  /** The last write to each session, as long as it is under way. */
  readonly #writes = new Map<string, Promise<void>>();
  #removed = Date.now();
  #removal: Promise<unknown> | undefined;

  /**
   * Makes the store. Nothing is connected before the first call.
   *
   * @param sqlOrUrl a client that `postgres()` of `npm:postgres` made, or a URL such as `"postgres://user:password@host:5432/database"`
   * @param options the table
   * @throws {TypeError} if an argument or an option is of the wrong shape
   */
  constructor(sqlOrUrl: PostgresSql | string, options: PostgresStoreOptions = {}) {
    const { table = "sessions", migrate = true } = options;
    this.#table = quote("make a PostgresStore", table);
    if (typeof migrate !== "boolean") {
      throw new TypeError("Cannot make a PostgresStore: `migrate` must be true or false");
    }
    if (migrate) this.#migration = postgresSchema(table);
    if (typeof sqlOrUrl === "string") {
      if (!/^postgres(ql)?:\/\//.test(sqlOrUrl)) {
        throw new TypeError("Cannot make a PostgresStore: the URL must begin with postgres://");
      }
      const client = this.#client = new PostgresClient(sqlOrUrl);
      this.#query = (text, parameters) => client.query(text, parameters);
    } else {
      if (typeof sqlOrUrl?.unsafe !== "function") {
        throw new TypeError("Cannot make a PostgresStore: it needs a client of `npm:postgres`, or a URL");
      }
      this.#query = (text, parameters) => sqlOrUrl.unsafe(text, parameters, { prepare: true }).raw();
    }
  }

  /**
   * Makes the table, unless it is there or `migrate` is false. Any number of processes may do so at once.
   *
   * @throws {SessionStoreError} if the table is missing and `migrate` is false
   */
  init(): Promise<void> {
    return this.#ready ??= this.#open().catch((error) => {
      this.#ready = undefined;
      throw error;
    });
  }

  /**
   * Tells whether there is a live session of this id.
   *
   * @param sid the session id
   */
  async exist(sid: string): Promise<boolean> {
    const { length } = await this.#ask(`SELECT 1 FROM ${this.#table} WHERE id = $1 AND ${LIVE}`, [
      encodeKey(sid),
      Date.now(),
    ]);
    return length > 0;
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
  async createRecord(sid: string, { values, expiresAt, meta }: SessionRecord): Promise<void> {
    const { count } = await this.#ask(
      `INSERT INTO ${this.#table} AS old (id, data, meta, version, expires_at)
      VALUES ($1, jsonb_strip_nulls($3::text::jsonb), jsonb_strip_nulls($4::text::jsonb), 0, $5)
      ON CONFLICT (id) DO UPDATE SET data = excluded.data, meta = excluded.meta, version = old.version + 1,
        expires_at = excluded.expires_at, moved_to = NULL, grace_until = NULL
      WHERE old.moved_to IS NOT NULL OR old.expires_at <= $2`,
      [encodeKey(sid), Date.now(), encodeTexts(values), encodeMeta(meta), normalizeTimestamp(expiresAt)],
    );
    if (count === 0) throw idInUseError("create");
    this.#removeNowAndThen();
  }

  /**
   * Removes a record. Does nothing where there is none.
   *
   * @param sid the session id
   */
  async delete(sid: string): Promise<void> {
    await this.#ask(`DELETE FROM ${this.#table} WHERE id = $1 AND moved_to IS NULL`, [encodeKey(sid)]);
  }

  /**
   * Reads all values.
   *
   * @param sid the session id
   * @returns a plain object without prototype; `undefined` where the session is missing or expired
   */
  async get(sid: string): Promise<Record<string, unknown> | undefined> {
    const rows = await this.#ask(`SELECT data FROM ${this.#table} WHERE id = $1 AND ${LIVE}`, [
      encodeKey(sid),
      Date.now(),
    ]);
    return rows[0] && toObject(decodeTexts(rows[0][0]));
  }

  /**
   * Reads a whole record.
   *
   * @param sid the session id
   * @returns a copy; or what is left of the id, until a minute or more after the session's deadline; or `undefined`
   */
  async readRecord(sid: string): Promise<StoredRecord | SessionTrace | undefined> {
    const rows = await this.#ask(
      `SELECT data, meta, version, expires_at, moved_to, grace_until FROM ${this.#table} WHERE id = $1`,
      [encodeKey(sid)],
    );
    const row = rows[0];
    if (row === undefined) return undefined;
    const expiresAt = number(row[3]);
    const expired = Date.now() >= expiresAt;
    if (row[4] !== null) {
      return expired ? undefined : { movedTo: decodeKey(text(row[4])), graceUntil: number(row[5]) };
    }
    if (expired) return { expired };
    return { values: decodeTexts(row[0]), meta: decodeMeta(row[1]), version: number(row[2]), expiresAt };
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
    const expiresAt = change.expiresAt === undefined ? null : normalizeTimestamp(change.expiresAt);
    return await this.#change(
      "change",
      sid,
      ifVersion,
      `WITH changed AS (
        UPDATE ${this.#table} SET version = version + 1,
          data = jsonb_strip_nulls(CASE WHEN $4 THEN '{}' ELSE data END || $5::text::jsonb),
          meta = jsonb_strip_nulls(meta || $6::text::jsonb), expires_at = coalesce($7, expires_at)
        WHERE id = $1 AND ${LIVE} AND version = coalesce($3, version)
        RETURNING id
      )
      SELECT (SELECT count(*) FROM changed), (SELECT version FROM ${this.#table} WHERE id = $1 AND ${LIVE})`,
      [clear, encodeTexts(set), encodeMeta(meta), expiresAt],
    );
  }

  /**
   * Writes one value; `undefined` removes it.
   *
   * @param sid the session id
   * @param key any string
   * @param value what to keep; it is copied
   * @throws {SessionGoneError} if the session is missing or expired; nothing is created
   * @throws {TypeError} if the value cannot be kept
   */
  async setValue(sid: string, key: string, value: unknown): Promise<void> {
    const { count } = await this.#write(
      sid,
      `UPDATE ${this.#table} SET version = version + 1,
        data = CASE WHEN $4::text IS NULL THEN data - $3::text ELSE data || jsonb_build_object($3::text, $4::text) END
      WHERE id = $1 AND ${LIVE}`,
      [encodeKey(key), value === undefined ? null : encodeValue(key, value)],
    );
    if (count === 0) throw new SessionGoneError("set");
  }

  /**
   * Reads one value.
   *
   * @param sid the session id
   * @param key any string
   * @returns `undefined` where the session is missing or expired, or has no such key
   */
  // deno-lint-ignore no-explicit-any -- the seed's own signature
  async getValue(sid: string, key: string): Promise<any> {
    const rows = await this.#ask(
      `SELECT data ->> $3::text FROM ${this.#table} WHERE id = $1 AND ${LIVE} AND data ? $3::text`,
      [encodeKey(sid), Date.now(), encodeKey(key)],
    );
    return rows[0] && decodeValue(text(rows[0][0]));
  }

  /**
   * Gives a session a new id. The old one is missing from then on, and remembered until the session's deadline at that moment, or until
   * `graceUntil` where that is later.
   *
   * @param sid the session id
   * @param newSid the new one
   * @param move what to write with it, and how long the old id leads to the new one
   * @returns `false` where the record has another version than `ifVersion`; nothing was changed
   * @throws {SessionGoneError} if the session is missing or expired, or another call has moved it
   * @throws {SessionStoreError} if the new id is in use
   * @throws {TypeError} if a value cannot be kept; nothing is changed
   */
  async moveRecord(sid: string, newSid: string, move: RecordMove): Promise<boolean> {
    const { ifVersion, set = [], meta } = move;
    const graceUntil = normalizeTimestamp(move.graceUntil);
    return await this.#change(
      "regenerate",
      sid,
      ifVersion,
      `WITH ended AS (
        DELETE FROM ${this.#table} WHERE id = $4 AND (moved_to IS NOT NULL OR expires_at <= $2)
        RETURNING id
      ),
      moved AS (
        UPDATE ${this.#table} SET id = $4, version = version + 1,
          data = jsonb_strip_nulls(data || $5::text::jsonb), meta = jsonb_strip_nulls(meta || $6::text::jsonb)
        FROM (SELECT count(*) FROM ended) AS first
        WHERE id = $1 AND ${LIVE} AND version = coalesce($3, version)
        RETURNING expires_at
      ),
      trace AS (
        INSERT INTO ${this.#table} (id, data, meta, version, expires_at, moved_to, grace_until)
        SELECT $1, '{}', '{}', 0, greatest(expires_at, $7), $4, $7 FROM moved
      )
      SELECT (SELECT count(*) FROM moved), (SELECT version FROM ${this.#table} WHERE id = $1 AND ${LIVE})`,
      [encodeKey(newSid), encodeTexts(set), encodeMeta(meta), graceUntil],
    ).catch((error) => {
      if (!hasCode(error, "23505")) throw error; // unique_violation
      throw idInUseError("regenerate");
    });
  }

  /**
   * Lists the live sessions that are bound to a user.
   *
   * @param principal the user
   * @returns in no particular order
   */
  async listSessions(principal: string): Promise<{ sid: string; meta: SessionMeta }[]> {
    const rows = await this.#ask(`SELECT id, meta FROM ${this.#table} WHERE principal = $1 AND ${LIVE}`, [
      encodeKey(principal),
      Date.now(),
    ]);
    return Array.from(rows, (row) => ({ sid: decodeKey(text(row[0])), meta: decodeMeta(row[1]) }));
  }

  /** Removes every session: every row of the table. */
  async clear(): Promise<void> {
    await this.#ask(`DELETE FROM ${this.#table}`, []);
  }

  /**
   * Removes the rows of sessions that ended more than a minute ago, a thousand in a statement. Two processes that do so at once do
   * not wait for each other.
   *
   * @returns how many it removed
   */
  async removeExpired(): Promise<number> {
    for (let removed = 0;;) {
      const { count } = await this.#ask(
        `DELETE FROM ${this.#table} WHERE id = ANY(ARRAY(
          SELECT id FROM ${this.#table} WHERE expires_at < $1 ORDER BY expires_at LIMIT ${BATCH} FOR UPDATE SKIP LOCKED
        ))`,
        [Date.now() - SLACK],
      );
      removed += count ?? 0;
      if (count !== BATCH) return removed;
    }
  }

  /** Waits for a removal of expired rows that is under way, and closes the connections that the store opened itself. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client?.[Symbol.asyncDispose]();
    await this.#removal;
  }

  async #open(): Promise<void> {
    try {
      await this.#ask(
        `SELECT id, data, meta, version, expires_at, moved_to, grace_until, principal FROM ${this.#table} LIMIT 0`,
        [],
      );
    } catch (error) {
      if (!hasCode(error, "42P01")) throw error; // undefined_table
      if (this.#migration === undefined) {
        throw new SessionStoreError(
          "init",
          `Cannot init: there is no table ${this.#table}; make it with the SQL of postgresSchema(), or leave out \`migrate: false\``,
        );
      }
      // All of it is one transaction, in which the lock makes others wait who do the same.
      await this.#ask(
        `SET LOCAL client_min_messages = warning;
        SELECT pg_advisory_xact_lock(hashtext('${this.#table}'));
        ${this.#migration}`,
        [],
      );
    }
  }

  /**
   * Changes a record; `false` where it has another version.
   *
   * @param query gives how many records it changed, and the version that it found, which may be out of date by then
   * @param parameters those after `$3`, the version
   */
  async #change(
    operation: string,
    sid: string,
    ifVersion: number | undefined,
    query: string,
    parameters: Parameter[],
  ): Promise<boolean> {
    for (let looks = 0; looks < 2; looks++) {
      const rows = await this.#write(sid, query, [ifVersion ?? null, ...parameters], ifVersion !== undefined);
      if (number(rows[0]?.[0]) > 0) return true;
      const version = rows[0]?.[1];
      if (ifVersion === undefined || version === null) throw new SessionGoneError(operation);
      if (number(version) !== ifVersion) return false;
      // Somebody came between: only a second look tells whether there is another version now, or none.
    }
    throw new SessionStoreError(operation, `Cannot ${operation}: the database does not change a row that it shows`);
  }

  /**
   * Writes to a session after what this process has asked before to write to it: statements on two connections can overtake each other,
   * and one that a request no longer waits for must not undo what the next request wrote. But nothing waits for a silent server for ever.
   *
   * @param parameters those after `$1`, the id, and `$2`, the present moment
   * @param versioned whether it writes to a known version only: then it can undo nothing, and would only grow old as it waits
   */
  #write(sid: string, query: string, parameters: Parameter[], versioned = false): Promise<PostgresRows> {
    const ask = (): Promise<PostgresRows> => this.#ask(query, [encodeKey(sid), Date.now(), ...parameters]);
    if (versioned) return ask();
    const before = this.#writes.get(sid);
    const write = before === undefined ? ask() : within(PATIENCE, before).then(ask);
    const done = write.then(() => {}, () => {}).then(() => {
      if (this.#writes.get(sid) === done) this.#writes.delete(sid);
    });
    this.#writes.set(sid, done);
    return write;
  }

  async #ask(query: string, parameters: Parameter[]): Promise<PostgresRows> {
    try {
      const rows = await this.#query(query, parameters);
      // After a lost connection postgres.js 3.4.9 can answer without a result, or with rows behind places that are empty. Neither says
      // that there is no such session, or that something was written.
      if (rows.count === null || rows.length > 0 && rows[0] === undefined) {
        throw new Error("The client of PostgreSQL gave no result");
      }
      return rows;
    } catch (error) {
      throw withoutDetails(error);
    }
  }

  /** Begins to remove expired rows. No request waits for it, or fails with it. */
  #removeNowAndThen(): void {
    if (this.#removal !== undefined || Date.now() - this.#removed < INTERVAL) return;
    this.#removed = Date.now();
    this.#removal = this.removeExpired().catch(() => {}).finally(() => this.#removal = undefined);
  }
}

/** Quotes a table's name. */
function quote(action: string, table: string): string {
  const names = typeof table === "string" ? table.split(".") : [];
  if (names.length < 1 || names.length > 2 || !names.every((name) => NAME.test(name))) {
    throw new TypeError(
      `Cannot ${action}: \`table\` must be a name, or a schema's and a table's with a dot between; letters, digits and _, at most 50 each`,
    );
  }
  return names.map((name) => `"${name}"`).join(".");
}

/** Waits for a promise, but not for long. */
function within(milliseconds: number, promise: Promise<void>): Promise<void> {
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds).unref();
  promise.then(() => {
    clearTimeout(timer);
    resolve();
  });
  return over;
}

/** Writes values as an object of texts; `null` stands for one that is to be absent. */
function encodeTexts(values: Iterable<[string, unknown]>): string {
  const texts = Array.from(values, ([key, value]) => [
    encodeKey(key),
    value === undefined ? null : encodeValue(key, value),
  ]);
  return JSON.stringify(Object.fromEntries(texts));
}

function decodeTexts(cell: Cell): Map<string, unknown> {
  const texts: Record<string, string> = JSON.parse(text(cell));
  return new Map(Object.entries(texts).map(([key, value]) => [decodeKey(key), decodeValue(value)]));
}

/** Writes what is known of a session; `null` stands for what is to be absent. */
function encodeMeta(meta: Partial<SessionMeta>): string {
  return JSON.stringify(meta, (_, part) => typeof part === "string" ? encodeKey(part) : part ?? null);
}

function decodeMeta(cell: Cell): SessionMeta {
  return JSON.parse(text(cell), (_, part) => typeof part === "string" ? decodeKey(part) : part);
}

type Cell = Uint8Array | null | undefined;

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

function text(cell: Cell): string {
  // A client can be told to change rows: better no answer than a wrong one.
  if (!(cell instanceof Uint8Array)) throw new TypeError("The client of PostgreSQL gave no cell");
  return decoder.decode(cell);
}

function number(cell: Cell): number {
  return Number(text(cell));
}

/** An error as it may be shown: its other fields quote the row or the parameters, and with them session ids and values. */
function withoutDetails(error: unknown): Error {
  if (!(error instanceof Error)) return new Error("PostgreSQL failed");
  const code: unknown = Reflect.get(error, "code");
  const safe = new Error(error.message || String(code));
  safe.name = error.name;
  return Object.assign(safe, { code });
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && Reflect.get(error, "code") === code;
}
