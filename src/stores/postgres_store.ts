/**
 * Sessions in PostgreSQL.
 *
 * @module
 */
import type { CountingStore, PrincipalListStore, SessionCount, SignedInUser } from "../admin_store.ts";
import { SessionGoneError, SessionStoreError, UnreadableRecordError } from "../errors.ts";
import type {
  ListedSession,
  PingableStore,
  RecordChange,
  RecordMove,
  SessionRecord,
  SessionTrace,
  StoredRecord,
} from "../session_store.ts";
import { toObject } from "../util/clone_value.ts";
import { describeType, optionError } from "../util/describe_value.ts";
import { type MaybePromise, noop, RESOLVED } from "../util/maybe_promise.ts";
import { checkOptionNames } from "../util/option_names.ts";
import { retry } from "../util/retry.ts";
import { withTimeout } from "../util/timeout.ts";
import type { Watch, WatchedStore } from "../watched_store.ts";
import { decodeKey, encodeKey } from "./_codec.ts";
import { Batches, type BatchLimits } from "./_batches.ts";
import {
  listenerOf,
  MAX_PENDING_QUERIES,
  overloadError,
  PostgresClient,
  type PostgresParameter,
  type PostgresRows,
  readServer,
} from "./_postgres_client.ts";
import {
  decodeJsonValue,
  decodeMeta,
  decodeNumber,
  decodeText,
  decodeTexts,
  encodeMeta,
  encodeTexts,
} from "./_postgres_row.ts";
import { postgresSchema, quoteTable, userIndexName } from "./_postgres_schema.ts";
import { EVERYTHING, payloadOf, type PostgresChannel, PostgresWatch } from "./_postgres_watch.ts";
import { answerWithin, openError, type Server } from "./_open_error.ts";
import { emptyRecord, idInUseError, normalizeTimestamp, withoutDetails } from "./_records.ts";
import { ServerClock } from "./_server_clock.ts";

/**
 * The part of a client that the store uses. The `sql` that `postgres()` of `npm:postgres` returns
 * has it.
 */
export interface PostgresSql {
  /** Creates a query. */
  unsafe(
    query: string,
    parameters: (string | number | boolean | null)[],
    options: { prepare: boolean },
  ): PostgresQuery;
}

/** A query of {@linkcode PostgresSql}. */
export interface PostgresQuery {
  /**
   * Sends the query and returns the cells as the server sent them, untouched by the client's
   * transformations.
   */
  raw(): Promise<PostgresRows>;
}

export { type PostgresRows, postgresSchema };

/** The options of {@linkcode PostgresStore}. */
export interface PostgresStoreOptions {
  /**
   * The table of the sessions, optionally with its schema, such as `"auth.sessions"`. Each name has
   * letters, digits and `_`, at most 50 characters, and is case-sensitive. The table must belong to
   * this store alone.
   *
   * @default {"sessions"}
   */
  table?: string;
  /**
   * Whether `init()` creates a missing table. With `false`, create the table with the SQL of
   * {@linkcode postgresSchema}. The database user of the store then needs no permission to create
   * tables.
   *
   * @default {true}
   */
  migrate?: boolean;
  /**
   * How many connections the store opens at most, from 1 to 1000. Only with a URL. If the server
   * grants fewer, the calls share those.
   *
   * @default {10}
   */
  max?: number;
  /**
   * Which writes send a notification to all processes.
   *
   * - `"endings"`: those that end a session, or may do so, which `session.signal` needs.
   * - `"all"`: every write to a session, which the option `cache` of `SessionMiddleware` needs. Set
   *   it in every process that writes to the table before the first one uses `cache`. PostgreSQL
   *   commits such writes one after the other: see docs/store-postgres.md for what that costs.
   *
   * @default {"endings"}
   */
  notify?: "endings" | "all";
}

/** A row of a result. */
type Row = PostgresRows[number];

/** A write to a session that does not lock it first. Its values and metadata are JSON. */
interface DirectWrite {
  /** The encoded id. */
  readonly id: string;
  readonly clear: boolean;
  readonly set: string;
  readonly meta: string;
  /** The payload of the notification to send, if any. */
  readonly payload: string | null;
}

/** The conditions of a change. */
type Condition = Pick<RecordChange, "ifVersion" | "ifNoDevice">;

/** The columns that {@linkcode PostgresStore.readRecord} needs. */
const RECORD_COLUMNS = "data, meta, version, expires_at, moved_to, grace_until";

/**
 * With one query at a time, the server is idle while this process handles the result. More make the
 * batches smaller.
 */
const LOOKUP_BATCHES: BatchLimits = { queries: 2, items: 100 };

/**
 * Fewer statements at a time commit fewer transactions, but with less than eight concurrent
 * requests they make each of them wait.
 */
const WRITE_BATCHES: BatchLimits = { queries: 8, items: 50 };

/** How many characters a write may have that is sent together with others, so that none waits long. */
const MAX_BATCHED_LENGTH = 8192;

/**
 * The classes of errors that may come from one row of a statement: data_exception, an error of a
 * function in a view or a policy, a system error such as a block that the disk cannot read, and an
 * internal error such as a damaged value.
 */
const ROW_ERROR = /^(22|P0|58|XX)/;

/**
 * The errors of a statement that may be the fault of one write in it: all that the server reports,
 * except for a connection_exception, insufficient_resources and a shutdown.
 */
const WRITE_ERROR = /^(?!08|53|57P)[0-9A-Z]{5}$/;

/** The condition for a row to be a live session. `$2` is the current time. */
const LIVE = "moved_to IS NULL AND expires_at > $2";

/** The server's time when it executes this part of a statement, in milliseconds since the epoch. */
const SERVER_TIME = "date_part('epoch', clock_timestamp()) * 1000";

/**
 * The errors of a statement that did nothing and may succeed later: serialization_failure,
 * deadlock_detected and too_many_connections.
 */
const TRANSIENT = new Set<unknown>(["40001", "40P01", "53300"]);

/** The errors of a statement that the server does not allow: insufficient_privilege, read_only_sql_transaction. */
const NOT_ALLOWED = new Set<unknown>(["42501", "25006"]);

/**
 * The error of every statement in a transaction of the application after the first error, which is
 * the one that the application needs.
 */
const IN_FAILED_TRANSACTION = "25P02";

/** How long a statement is retried after such an error, in milliseconds. */
const RETRY_MS = 5000;

/** How often a write is sent again that the server took for late. */
const MAX_LATE_RETRIES = 5;

/** How long `init()` may take with a URL, in seconds: to connect, and to retry a statement. */
const INIT_TIMEOUT_SECONDS = 10;

/** How long a write waits for earlier writes of this process to the same session, in seconds. */
const QUEUE_TIMEOUT_SECONDS = 5;
/**
 * How long a row is kept after its expiry, in milliseconds. This is the clock skew allowed between
 * machines.
 */
const CLOCK_SKEW_MS = 60_000;
/** The shortest time between two cleanups of a process, in milliseconds. */
const CLEANUP_INTERVAL_MS = 60_000;
/** How many expired rows one statement removes at most. */
const CLEANUP_BATCH = 1000;

/**
 * Stores sessions in a table of PostgreSQL (12 or newer, with the encoding UTF-8): one row per
 * session, one statement per operation. Any number of processes and machines may share the table.
 * The database's `synchronous_commit` decides how durable a write is.
 *
 * - With a URL, the store opens up to ten connections (`max`) when they are needed. It replaces
 *   those that broke, and those that lead to a server that has become read-only. Dispose the store
 *   to close them. If the server cannot be reached, a call fails within five seconds, and the next
 *   call connects again.
 * - With a client, the store never closes or replaces the client. After a connection was lost under
 *   load, a client of postgres.js 3.4.9 may keep using a connection that never sends anything
 *   again. Prefer a URL. Otherwise set `connect_timeout`, and `backoff: () => 0.1`. By default, the
 *   client waits up to 20 seconds before it reconnects.
 * - A pooler in transaction mode works, because no statement relies on an earlier one's settings.
 *   PgBouncer before 1.21 does not support prepared statements. For it, pass `prepare: false` to
 *   the client, or `?prepare=false` in the URL. Every call then takes two round trips. With
 *   prepared statements, only the first call of a method on each connection does.
 * - Concurrent lookups share statements. While two are pending, further lookups wait, for two
 *   milliseconds at most, and are then sent as one statement. A lookup finds everything that was
 *   written before it began.
 * - Concurrent writes of up to 8192 characters share statements in the same way while eight are
 *   pending. Each is still acknowledged or refused by itself.
 * - Expired rows are removed in the background, after a session was created, at most once a minute.
 *   If your processes run for less than a minute, call {@linkcode PostgresStore.removeExpired}
 *   regularly.
 * - The writes of one process to one session keep their order, even if a request gave up waiting
 *   (`storeTimeout`) and another request followed. A write that has waited five seconds for earlier
 *   ones is then sent without waiting for them.
 * - A statement that did nothing because of a concurrent one (SQLSTATE 40001, 40P01), or because
 *   the server has no free connection (53300), is retried for up to five seconds. The isolation
 *   level may therefore be any.
 * - Errors of the database keep only their name, message and `code`, because their other fields
 *   quote rows.
 *
 * With a URL, Deno needs `--allow-net` for the server and nothing else. What the URL leaves out is
 * taken from the variables of libpq that Deno may read, such as `PGPASSWORD`. A client of the
 * application reads some twenty of them (`--allow-env=PG*`).
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
export class PostgresStore implements CountingStore, PrincipalListStore, PingableStore, WatchedStore, AsyncDisposable {
  readonly #send: (text: string, parameters: PostgresParameter[]) => Promise<PostgresRows>;
  /** The client that the store opened itself. */
  readonly #client: PostgresClient | undefined;
  /** The server and the user, for the error of `init()`. */
  readonly #server: Server;
  /** Opens a connection that receives notifications. */
  readonly #openListener: PostgresChannel["open"];
  /** Implements {@linkcode WatchedStore.reportsAll}: whether `notify` is `"all"`. */
  readonly reportsAll: boolean;
  readonly #watches = new Set<PostgresWatch>();
  readonly #table: string;
  /**
   * The name of the channel of the notifications, as an expression in SQL. Others may name the same
   * table with its schema or without.
   */
  readonly #channel: string;
  readonly #userIndex: string;
  /** The SQL that creates the table; `undefined` if the application creates it. */
  readonly #migration: string | undefined;
  /**
   * The server's clock compared with `performance.now()`. So it does not matter how far the clocks
   * of the two machines differ, or whether the system clock is adjusted.
   */
  readonly #serverClock = new ServerClock();
  #ready: Promise<void> | undefined;
  readonly #lookups = new Batches<string, Row>((ids) => this.#readRows(ids), LOOKUP_BATCHES);
  readonly #directWrites = new Batches<DirectWrite, Row>((writes) => this.#writeRows(writes), WRITE_BATCHES);
  /** The last pending write to each session. */
  readonly #writes = new Map<string, Promise<void>>();
  #lastCleanup = Date.now();
  #cleanup: Promise<unknown> | undefined;

  /**
   * Creates the store. It connects at the first call.
   *
   * @param sqlOrUrl a client that `postgres()` of `npm:postgres` returned, or a URL such as
   * `"postgres://user:password@host:5432/database"`
   * @param options the table, whether `init()` creates it, the number of connections, and which
   * writes send notifications
   * @throws {TypeError} if an argument or an option is invalid, or an option is unknown
   * @throws {RangeError} if `max` is not an integer from 1 to 1000
   */
  constructor(sqlOrUrl: PostgresSql | string, options: PostgresStoreOptions = {}) {
    checkOptionNames("create a PostgresStore", options, { table: true, migrate: true, max: true, notify: true });
    const { table = "sessions", migrate = true, max, notify = "endings" } = options;
    this.#table = quoteTable("create a PostgresStore", table);
    this.#channel = `'sessions_' || '${this.#table}'::regclass::oid`;
    this.#userIndex = userIndexName(table);
    if (typeof migrate !== "boolean") {
      throw optionError("create a PostgresStore", "migrate", "must be true or false", migrate);
    }
    if (notify !== "endings" && notify !== "all") {
      throw optionError("create a PostgresStore", "notify", 'must be "endings" or "all"', notify);
    }
    this.reportsAll = notify === "all";
    if (max !== undefined) checkMax(max);
    if (migrate) this.#migration = postgresSchema(table);
    if (typeof sqlOrUrl === "string") {
      if (!/^postgres(ql)?:\/\//.test(sqlOrUrl)) {
        throw new TypeError(
          "Cannot create a PostgresStore: expected a URL that begins with postgres:// or postgresql://",
        );
      }
      const client = this.#client = new PostgresClient(sqlOrUrl, max);
      this.#send = (text, parameters) => client.query(text, parameters);
      this.#openListener = (onNotify, onClose) => client.listener(onNotify, onClose);
      this.#server = client.server;
    } else {
      if (typeof sqlOrUrl?.unsafe !== "function") {
        throw new TypeError(
          `Cannot create a PostgresStore: expected a client of npm:postgres, or a URL; received ${
            describeType(sqlOrUrl)
          }`,
        );
      }
      if (max !== undefined) {
        throw new TypeError("Cannot create a PostgresStore: `max` needs a URL; pass it to `postgres()` instead");
      }
      this.#send = (text, parameters) => sqlOrUrl.unsafe(text, parameters, { prepare: true }).raw();
      this.#openListener = (onNotify, onClose) => listenerOf(sqlOrUrl, onNotify, onClose);
      this.#server = readServer(sqlOrUrl);
    }
  }

  /**
   * Creates the table if it is missing, unless `migrate` is false. See
   * {@linkcode SessionStore.init}. Any number of processes may call it concurrently.
   *
   * @throws {SessionStoreError} if PostgreSQL cannot be reached, or refuses the user or the table;
   * or if the table is missing and `migrate` is false. With a URL, after ten seconds at most.
   */
  init(): Promise<void> {
    return this.#ready ??= this.#prepareInTime().catch((error) => {
      this.#ready = undefined;
      if (error instanceof SessionStoreError) throw error;
      throw this.#openError("check the address, the user, and its rights in the database", error);
    });
  }

  #openError(advice: string, cause: unknown, operation?: "watch"): SessionStoreError {
    return openError({ backend: "PostgreSQL", server: this.#server, advice }, cause, operation);
  }

  /**
   * Implements {@linkcode PingableStore.ping}. Checks that the table can be read.
   */
  async ping(): Promise<void> {
    await this.#checkTable();
  }

  /**
   * Implements {@linkcode WatchedStore.watch}, with `LISTEN` on a connection of its own. Writes
   * send a notification if they delete a session, move it, take it from its user, or end it
   * earlier. Other writes do so only with `notify: "all"`, because PostgreSQL commits those that
   * `NOTIFY` one after the other.
   *
   * @throws {SessionStoreError} if the server cannot be reached, or a pooler in transaction mode is
   * in between
   */
  async watch(changed: (key: string | undefined) => void): Promise<Watch> {
    const channel: PostgresChannel = {
      name: async () => decodeText((await this.#query(`SELECT ${this.#channel}`, []))[0]?.[0]),
      open: this.#openListener,
      notify: (payload) => this.#sendProbe(payload),
    };
    const watch = new PostgresWatch(channel, changed, () => this.#watches.delete(watch));
    this.#watches.add(watch);
    try {
      await watch.open();
    } catch (cause) {
      const advice =
        "pass a URL or a client of postgres() that leads to the server, without a pooler in transaction mode";
      throw this.#openError(advice, cause, "watch");
    }
    return watch;
  }

  /** Sends a notification, unless the server executes no writes. Those then go to another one. */
  async #sendProbe(payload: string): Promise<void> {
    const { length } = await this.#query(
      `SELECT ${this.#notify("$1")} WHERE current_setting('transaction_read_only') = 'off'`,
      [payload],
    );
    if (length === 0) throw new Error("the server is read-only");
  }

  /** Implements {@linkcode SessionStore.exist}. */
  async exist(sid: string): Promise<boolean> {
    const { length } = await this.#queryRow(`SELECT 1 FROM ${this.#table} WHERE id = $1 AND ${LIVE}`, sid);
    return length > 0;
  }

  /** Implements {@linkcode SessionStore.create}. */
  create(sid: string): Promise<void> {
    return this.createRecord(sid, emptyRecord());
  }

  /**
   * Implements {@linkcode RecordStore.createRecord}. Starts a cleanup of expired rows if the last
   * one was a minute ago, and does not wait for it.
   */
  async createRecord(sid: string, { values, expiresAt, meta }: SessionRecord): Promise<void> {
    // An expired session or a trace is replaced. The version continues from the old one, because a
    // write meant for the old session must not change the new one.
    const { count } = await this.#queryRow(
      `INSERT INTO ${this.#table} AS old (id, data, meta, version, expires_at)
      VALUES ($1, jsonb_strip_nulls($3::text::jsonb), jsonb_strip_nulls($4::text::jsonb), 0, $5)
      ON CONFLICT (id) DO UPDATE SET data = excluded.data, meta = excluded.meta, version = old.version + 1,
        expires_at = excluded.expires_at, moved_to = NULL, grace_until = NULL
      WHERE old.moved_to IS NOT NULL OR old.expires_at <= $2`,
      sid,
      [encodeTexts(values), encodeMeta(meta), normalizeTimestamp(expiresAt)],
    );
    if (count === 0) throw idInUseError("create", "PostgresStore");
    this.#scheduleCleanup();
  }

  /** Implements {@linkcode SessionStore.delete}. */
  async delete(sid: string): Promise<void> {
    await this.#query(
      `DELETE FROM ${this.#table} WHERE id = $1 AND moved_to IS NULL RETURNING ${this.#notify("$2")}`,
      [encodeKey(sid), payloadOf(sid)],
    );
  }

  /** Implements {@linkcode SessionStore.get}. The result has no prototype. */
  async get(sid: string): Promise<Record<string, unknown> | undefined> {
    const rows = await this.#queryRow(`SELECT data FROM ${this.#table} WHERE id = $1 AND ${LIVE}`, sid);
    return rows[0] && toObject(decodeTexts(rows[0][0]));
  }

  /**
   * Implements {@linkcode RecordStore.readRecord}. An expired session is remembered for a minute or
   * more.
   */
  async readRecord(sid: string): Promise<StoredRecord | SessionTrace | undefined> {
    if (this.#lookups.pending >= MAX_PENDING_QUERIES) throw overloadError();
    const row = await this.#lookups.get(encodeKey(sid));
    if (row === undefined) return undefined;
    const expiresAt = decodeNumber(row[3]);
    const expired = Date.now() >= expiresAt;
    if (row[4] !== null) {
      return expired ? undefined : { movedTo: decodeKey(decodeText(row[4])), graceUntil: decodeNumber(row[5]) };
    }
    if (expired) return { expired };
    return { values: decodeTexts(row[0]), meta: decodeMeta(row[1]), version: decodeNumber(row[2]), expiresAt };
  }

  /** Implements {@linkcode RecordStore.changeRecord}. */
  changeRecord(sid: string, change: RecordChange): Promise<boolean> {
    return this.#change("change", sid, change);
  }

  /** Implements {@linkcode SessionStore.setValue}. */
  async setValue(sid: string, key: string, value: unknown): Promise<void> {
    await this.#change("set", sid, { set: new Map([[key, value]]) });
  }

  /** Implements {@linkcode SessionStore.getValue}. The database returns this value alone. */
  // deno-lint-ignore no-explicit-any -- Alosaur's own signature
  async getValue(sid: string, key: string): Promise<any> {
    const rows = await this.#queryRow(
      `SELECT CASE jsonb_typeof(data) WHEN 'object' THEN data -> $3::text ELSE 'null' END
      FROM ${this.#table} WHERE id = $1 AND ${LIVE}`,
      sid,
      [encodeKey(key)],
    );
    const cell = rows[0]?.[0];
    return rows[0] === undefined || cell === null ? undefined : decodeJsonValue(cell);
  }

  /**
   * Implements {@linkcode RecordStore.moveRecord}. The old id is remembered until the expiry that
   * the session has now, or until `graceUntil` if that is later.
   */
  async moveRecord(sid: string, newSid: string, move: RecordMove): Promise<boolean> {
    const { ifVersion, set = [], meta } = move;
    const expiresAt = move.expiresAt === undefined ? null : normalizeTimestamp(move.expiresAt);
    // The new id may still have the row of an expired session or of a trace. `written` reads
    // `ended`, so that PostgreSQL deletes that row before it gives the id to the moved one.
    const write = (): Promise<boolean> =>
      this.#writeIf(
        "regenerate",
        sid,
        { ifVersion },
        `ended AS (
        DELETE FROM ${this.#table} WHERE id = $5 AND (moved_to IS NOT NULL OR expires_at <= $2)
        RETURNING id
      ),
      written AS (
        UPDATE ${this.#table} AS session SET id = $5, version = session.version + 1,
          data = jsonb_strip_nulls(data || $6::text::jsonb), meta = jsonb_strip_nulls(meta || $7::text::jsonb),
          expires_at = coalesce($9, session.expires_at)
        FROM judged, (SELECT count(*) FROM ended) AS first
        WHERE session.id = $1 AND judged.live
        RETURNING session.expires_at
      ),
      trace AS (
        INSERT INTO ${this.#table} (id, data, meta, version, expires_at, moved_to, grace_until)
        SELECT $1, '{}', '{}', 0, greatest(expires_at, $8), $5, $8 FROM written
      )`,
        [
          encodeKey(newSid),
          encodeTexts(set),
          encodeMeta(meta),
          normalizeTimestamp(move.graceUntil),
          expiresAt,
          payloadOf(sid),
        ],
        this.#notify("$10"),
      );
    return await this.#inOrder(sid, ifVersion, write).catch((error) => {
      if (!hasCode(error, "23505")) throw error; // unique_violation
      throw idInUseError("regenerate", "PostgresStore");
    });
  }

  /** Implements {@linkcode PrincipalStore.listSessions}. */
  async listSessions(principal: string): Promise<ListedSession[]> {
    const rows = await this.#queryRow(
      `SELECT id, meta, expires_at FROM ${this.#table} WHERE principal = $1 AND ${LIVE}`,
      principal,
    );
    const sessions: ListedSession[] = [];
    for (const row of Array.from(rows)) {
      try {
        const expiresAt = decodeNumber(row[2]);
        sessions.push({ sid: decodeKey(decodeText(row[0])), expiresAt, meta: decodeMeta(row[1]) });
      } catch (error) {
        // Such a session has ended, and the other sessions of the user must still be found.
        if (!(error instanceof UnreadableRecordError)) throw error;
      }
    }
    return sessions;
  }

  /** Implements {@linkcode CountingStore.countSessions}. PostgreSQL reads all rows. */
  async countSessions(): Promise<SessionCount> {
    const [row] = Array.from(
      await this.#query(
        `SELECT count(*), count(principal) FROM ${this.#table} WHERE moved_to IS NULL AND expires_at > $1`,
        [Date.now()],
      ),
    );
    return { total: decodeNumber(row?.[0]), signedIn: decodeNumber(row?.[1]) };
  }

  /**
   * Implements {@linkcode PrincipalListStore.listPrincipals}. The users are in the order of their
   * code points.
   */
  async listPrincipals({ after = "", limit }: { after?: string; limit: number }): Promise<SignedInUser[]> {
    // Looks for each user in the index. With GROUP BY, PostgreSQL may read all users instead, if it
    // has no statistics of the table.
    const live = `FROM ${this.#table} AS session WHERE session.expires_at > $2 AND session.principal`;
    const next = (user: string): string => `SELECT principal ${live} > ${user} ORDER BY session.principal LIMIT 1`;
    const rows = await this.#queryRow(
      `WITH RECURSIVE users AS (
        (${next("$1")}) UNION ALL SELECT next.principal FROM users, LATERAL (${next("users.principal")}) AS next
      )
      SELECT principal, (SELECT count(*) ${live} = users.principal) FROM users LIMIT $3`,
      after,
      [limit],
    );
    return Array.from(rows, (row) => ({ principal: decodeKey(decodeText(row[0])), sessions: decodeNumber(row[1]) }));
  }

  /** Implements {@linkcode SessionStore.clear}. Removes every row of the table. */
  async clear(): Promise<void> {
    // Read committed follows a row to the id that it is moved to meanwhile. At a higher level, the
    // statement fails as long as other processes write.
    await this.#query(
      `SET LOCAL transaction_isolation = 'read committed'; DELETE FROM ${this.#table};
      SELECT ${this.#notify(`'${EVERYTHING}'`)}`,
      [],
    );
  }

  /**
   * Removes the rows that expired more than a minute ago, a thousand per statement. Two processes
   * may do so concurrently: each skips the rows that the other has locked.
   *
   * @returns how many rows it removed
   */
  async removeExpired(): Promise<number> {
    for (let removed = 0;;) {
      const { count } = await this.#query(
        `DELETE FROM ${this.#table} WHERE id = ANY(ARRAY(
          SELECT id FROM ${this.#table} WHERE expires_at < $1 ORDER BY expires_at LIMIT ${CLEANUP_BATCH} FOR UPDATE SKIP LOCKED
        ))`,
        [Date.now() - CLOCK_SKEW_MS],
      );
      removed += count ?? 0;
      if (count !== CLEANUP_BATCH) return removed;
    }
  }

  /**
   * Closes the connections that the store opened itself, and waits until a running cleanup ends.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(Array.from(this.#watches, (watch) => watch[Symbol.asyncDispose]()));
    this.#lookups.flush();
    this.#directWrites.flush();
    // postgres.js sends a query one microtask after it was created.
    await RESOLVED;
    await this.#client?.[Symbol.asyncDispose]();
    await this.#cleanup;
  }

  #prepareInTime(): Promise<void> {
    const client = this.#client;
    const prepared = this.#prepareTable();
    return client === undefined ? prepared : answerWithin(INIT_TIMEOUT_SECONDS, prepared, () => client.abandon());
  }

  async #prepareTable(): Promise<void> {
    let hasTable = true;
    try {
      if (await this.#checkTable() || this.#migration === undefined) return;
    } catch (error) {
      if (!hasCode(error, "42P01")) throw error; // undefined_table
      hasTable = false;
    }
    if (this.#migration === undefined) {
      throw this.#openError(
        `create the table ${this.#table} with the SQL of postgresSchema(), or omit \`migrate: false\``,
        new Error("the table does not exist"),
      );
    }
    try {
      // The statements are one transaction. The lock lets one process at a time create the table.
      await this.#query(
        `SET LOCAL client_min_messages = warning;
        SELECT pg_advisory_xact_lock(hashtext('${this.#table}'));
        ${this.#migration}`,
        [],
      );
    } catch (error) {
      // Without the new index, a table of an earlier version is only slower.
      if (!hasTable || !NOT_ALLOWED.has(codeOf(error))) throw error;
    }
    await this.#checkTable();
  }

  /**
   * Checks that the table has its columns, and reads the server's clock.
   *
   * @returns whether the table has the index of users
   */
  async #checkTable(): Promise<boolean> {
    const sentAt = performance.now();
    const rows = await this.#query(
      `SELECT ${SERVER_TIME}, (
        SELECT count(*) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        WHERE indrelid = '${this.#table}'::regclass AND relname = '${this.#userIndex}'
      ) FROM (SELECT) AS one LEFT JOIN (
        SELECT id, data, meta, version, expires_at, moved_to, grace_until, principal FROM ${this.#table} LIMIT 0
      ) AS columns ON true`,
      [],
    );
    this.#serverClock.observe(decodeNumber(rows[0]?.[0]), sentAt);
    return decodeNumber(rows[0]?.[1]) > 0;
  }

  /** Reads the rows of encoded ids, in one statement if possible. */
  async #readRows(ids: string[]): Promise<MaybePromise<Row | undefined>[]> {
    const [id = ""] = ids;
    if (ids.length === 1) return [await this.#readRow(id)];
    // encodeKey() escapes the characters that would end an element of the array. The subquery has
    // the same plan as the statement for one id. For `id = ANY($1)`, PostgreSQL may prepare to read
    // the whole table while it is small, and do that until it has statistics of a larger one.
    const query = `SELECT session.* FROM unnest($1::text::text[]) AS wanted (id), LATERAL (
        SELECT ${RECORD_COLUMNS}, id FROM ${this.#table} WHERE id = wanted.id LIMIT 1
      ) AS session`;
    let rows: PostgresRows;
    try {
      rows = await this.#query(query, [`{${ids.map((id) => `"${id}"`).join()}}`]);
    } catch (error) {
      if (!ROW_ERROR.test(String(codeOf(error)))) throw error;
      return ids.map((id) => this.#readRow(id, error));
    }
    const byId = new Map(Array.from(rows, (row) => [decodeText(row[6]), row]));
    return ids.map((id) => byId.get(id));
  }

  /** @param batchError the error of a statement that should have read the row before */
  async #readRow(id: string, batchError?: unknown): Promise<Row | undefined> {
    try {
      const rows = await this.#query(`SELECT ${RECORD_COLUMNS} FROM ${this.#table} WHERE id = $1`, [id]);
      return rows[0];
    } catch (error) {
      throw batchError !== undefined && hasCode(error, IN_FAILED_TRANSACTION) ? batchError : error;
    }
  }

  /** Changes a session; see {@linkcode RecordStore.changeRecord}. */
  async #change(operation: string, sid: string, change: RecordChange): Promise<boolean> {
    const { ifVersion, ifNoDevice = false, clear = false, set = [], meta = {} } = change;
    const expiresAt = change.expiresAt === undefined ? null : normalizeTimestamp(change.expiresAt);
    const write = { id: encodeKey(sid), clear, set: encodeTexts(set), meta: encodeMeta(meta) };
    // A change that takes the session from its user, or that ends it earlier, is notified in any
    // case.
    const isNotified = this.reportsAll || clear || "principal" in meta;
    const payload = isNotified || expiresAt !== null ? payloadOf(sid) : null;
    const parameters: PostgresParameter[] = [clear, write.set, write.meta, expiresAt];
    let notify: string | undefined;
    if (isNotified) notify = this.#notify("$9");
    else if (expiresAt !== null) notify = `CASE WHEN $8 < judged.expires_at THEN ${this.#notify("$9")} END`;
    if (payload !== null) parameters.push(payload);
    const written = `written AS (
        UPDATE ${this.#table} AS session SET ${assignments("$5", "$6::text::jsonb", "$7::text::jsonb")},
          expires_at = coalesce($8, session.expires_at)
        FROM judged
        WHERE session.id = $1 AND judged.live
        RETURNING session.id
      )`;
    const isRepeatable = ifVersion === undefined && !ifNoDevice && expiresAt === null;
    return await this.#inOrder(sid, ifVersion, async () => {
      if (isRepeatable && await this.#writeDirectly({ ...write, payload })) return true;
      return await this.#writeIf(operation, sid, { ifVersion, ifNoDevice }, written, parameters, notify);
    });
  }

  /**
   * Writes to a session without locking it first, which allows a fifth more writes a second with 64
   * concurrent requests. The write may have to wait until the session has expired. It then changes
   * a record that is dead, and does not extend its expiry.
   *
   * @returns whether the session was live when it was written; if not, the caller finds out why
   */
  async #writeDirectly(write: DirectWrite): Promise<boolean> {
    if (this.#directWrites.pending >= MAX_PENDING_QUERIES) throw overloadError();
    const isSmall = write.set.length + write.meta.length <= MAX_BATCHED_LENGTH;
    const row = await (isSmall ? this.#directWrites.get(write) : this.#writeRow(write));
    return row !== undefined && decodeText(row[1]) === "t";
  }

  /** Runs writes of {@linkcode #writeDirectly}, in one statement if possible. */
  async #writeRows(writes: DirectWrite[]): Promise<MaybePromise<Row | undefined>[]> {
    const [first] = writes;
    if (first !== undefined && writes.length === 1) return [await this.#writeRow(first)];
    // A statement changes a row once. Two writes to one session have both waited too long for an
    // earlier one.
    const together = new Map<string, DirectWrite>();
    for (const write of writes) if (!together.has(write.id)) together.set(write.id, write);
    let rows: PostgresRows;
    try {
      rows = await this.#sendDirectly(
        { id: "write.id", clear: "write.clear", set: "write.set", meta: "write.meta", payload: "write.payload" },
        // A session that is locked is left out, and written by a statement of its own. Otherwise
        // all would wait for its lock, and two batches could wait for each other. With the
        // comparison with `batch`, PostgreSQL estimates one row instead of 100. It then looks the
        // sessions up in the index if it would do so for one.
        `FROM (
          SELECT wanted.* FROM jsonb_to_recordset($1::text::jsonb) AS wanted
            (batch integer, id text, clear boolean, set jsonb, meta jsonb, payload text)
            JOIN ${this.#table} AS free ON free.id = wanted.id
          WHERE wanted.batch = 1 FOR UPDATE OF free SKIP LOCKED
        ) AS write`,
        [`[${Array.from(together.values(), toJson).join()}]`],
      );
    } catch (error) {
      if (!WRITE_ERROR.test(String(codeOf(error)))) throw error;
      return writes.map((write) => this.#writeRow(write, error));
    }
    const byId = new Map(Array.from(rows, (row) => [decodeText(row[0]), row]));
    return writes.map((write) => together.get(write.id) === write ? byId.get(write.id) : this.#writeRow(write));
  }

  /** @param batchError the error of a statement that should have written the row before */
  async #writeRow({ id, clear, set, meta, payload }: DirectWrite, batchError?: unknown): Promise<Row | undefined> {
    const columns = { id: "$1", clear: "$4", set: "$5::text::jsonb", meta: "$6::text::jsonb", payload: "$7::text" };
    try {
      const rows = await this.#sendDirectly(columns, "", [id, clear, set, meta, payload]);
      return rows[0];
    } catch (error) {
      throw batchError !== undefined && hasCode(error, IN_FAILED_TRANSACTION) ? batchError : error;
    }
  }

  /**
   * Sends the statement of {@linkcode #writeRow} or {@linkcode #writeRows}.
   *
   * @param write the columns of each write, in SQL
   * @param from the clause that they come from
   * @param parameters `$1`, `$4` and following
   */
  async #sendDirectly(
    write: Record<keyof DirectWrite, string>,
    from: string,
    [content = "", ...others]: PostgresParameter[],
  ): Promise<PostgresRows> {
    const now = `$2 + greatest(0, ${SERVER_TIME} - $3)`;
    const query = `UPDATE ${this.#table} AS session SET ${assignments(write.clear, write.set, write.meta)}
      ${from}
      WHERE session.id = ${write.id} AND session.moved_to IS NULL AND session.expires_at > ${now}
      RETURNING session.id, session.expires_at > ${now}, ${SERVER_TIME},
        CASE WHEN ${write.payload} IS NOT NULL THEN ${this.#notify(write.payload)} END`;
    const sentAt = performance.now();
    const rows = await this.#query(query, [content, Date.now(), sentAt + this.#serverClock.offset, ...others]);
    if (rows[0] !== undefined) this.#serverClock.observe(decodeNumber(rows[0][2]), sentAt);
    return rows;
  }

  /**
   * Writes to a live session, if it meets the condition.
   *
   * @param operation the name of the operation, for errors
   * @param written the CTE `written`, which writes to the session if `judged` allows it, and
   * returns the row. Other CTEs may surround it. `$4` is the version, or `null`.
   * @param parameters `$5` and following
   * @param notify an expression that sends the notification
   * @returns `false` if the session does not meet the condition
   */
  async #writeIf(
    operation: string,
    sid: string,
    { ifVersion, ifNoDevice = false }: Condition,
    written: string,
    parameters: PostgresParameter[],
    notify = "NULL",
  ): Promise<boolean> {
    // The statement may wait for the lock of the row until the session has expired. It therefore
    // locks the row first, and then compares the expiry with the clock. A comparison in the WHERE
    // clause of the UPDATE would not be repeated after the wait, unless the row was changed. `$3`
    // is the server's time at the time `$2`, as far as it is known. The last comparison with the
    // condition reads the snapshot from before the statement, and may be out of date.
    const condition = `version = coalesce($4, version)${ifNoDevice ? " AND meta ->> 'deviceKey' IS NULL" : ""}`;
    const query = `WITH judged AS MATERIALIZED (
        SELECT expires_at, expires_at > $2 + greatest(0, ${SERVER_TIME} - $3) AS live FROM (
          SELECT expires_at FROM ${this.#table}
          WHERE id = $1 AND moved_to IS NULL AND ${condition} FOR UPDATE
        ) AS locked
      ),
      ${written}
      SELECT (SELECT count(*) FROM written), live, expires_at,
        CASE WHEN live IS NULL THEN (SELECT ${condition} FROM ${this.#table} WHERE id = $1 AND ${LIVE}) END, ${SERVER_TIME},
        CASE WHEN (SELECT count(*) FROM written) > 0 THEN ${notify} END
      FROM (SELECT) AS one LEFT JOIN judged ON true`;
    for (let attempt = 0; attempt < 2; attempt++) {
      const rows = await this.#sendTimed(query, sid, [ifVersion ?? null, ...parameters]);
      if (decodeNumber(rows[0]?.[0]) > 0) return true;
      const live = rows[0]?.[1];
      const meetsCondition = rows[0]?.[3];
      if (live === null) {
        const isConditional = ifVersion !== undefined || ifNoDevice;
        if (!isConditional || meetsCondition === null) throw new SessionGoneError(operation);
        if (decodeText(meetsCondition) === "f") return false;
      } else if (decodeText(live) === "f") {
        throw new SessionGoneError(operation);
      }
      // A concurrent write came first. The second attempt shows whether it changed the session or
      // ended it.
    }
    throw new SessionStoreError(
      operation,
      `Cannot ${operation}: PostgresStore finds the session, but PostgreSQL does not update its row; nothing was written; ` +
        "check the triggers and rules of the table",
    );
  }

  /**
   * Sends a statement of {@linkcode #writeIf}. The estimate of the server's clock may be wrong,
   * because that was adjusted or another server has taken over. So if the session is still live
   * when the refusal arrives, the statement is sent again.
   *
   * @param parameters `$4` and following
   */
  async #sendTimed(query: string, sid: string, parameters: PostgresParameter[]): Promise<PostgresRows> {
    let { offset } = this.#serverClock;
    for (let retries = 0;; retries++) {
      const sentAt = performance.now();
      const rows = await this.#queryRow(query, sid, [sentAt + offset, ...parameters]);
      const [row] = Array.from(rows);
      if (row === undefined) return rows;
      const serverTime = decodeNumber(row[4]);
      this.#serverClock.observe(serverTime, sentAt);
      const late = row[1] !== null && decodeText(row[1]) === "f";
      if (!late || Date.now() >= decodeNumber(row[2]) || retries === MAX_LATE_RETRIES) return rows;
      offset = serverTime - sentAt;
    }
  }

  /**
   * Runs a write to a session after this process's earlier writes to it. Statements on two
   * connections can overtake each other. Without a queue, a write that a request no longer waits
   * for could undo a write of the next request. A write with a version is not queued, because it
   * cannot undo another write, and its version would become outdated while it waits.
   */
  #inOrder<T>(sid: string, ifVersion: number | undefined, send: () => Promise<T>): Promise<T> {
    if (ifVersion !== undefined) return send();
    const previous = this.#writes.get(sid);
    const timeoutError = (): Error => new Error("an earlier write to the session takes too long");
    const write = previous === undefined
      ? send()
      : withTimeout(previous, QUEUE_TIMEOUT_SECONDS, timeoutError).catch(noop).then(send);
    const done = write.then(noop, noop).then(() => {
      if (this.#writes.get(sid) === done) this.#writes.delete(sid);
    });
    this.#writes.set(sid, done);
    return write;
  }

  /**
   * Runs a query on the rows of a session or a user.
   *
   * @param key `$1`: the session id or the user
   * @param parameters `$3` and following; `$2` is the current time
   */
  #queryRow(query: string, key: string, parameters: PostgresParameter[] = []): Promise<PostgresRows> {
    return this.#query(query, [encodeKey(key), Date.now(), ...parameters]);
  }

  async #query(query: string, parameters: PostgresParameter[]): Promise<PostgresRows> {
    try {
      return checkResult(await this.#send(query, parameters));
    } catch (error) {
      if (!isTransient(error)) throw withoutDetails(error);
      return await this.#retry(query, parameters, error);
    }
  }

  /** Sends a statement again after a transient error. */
  async #retry(query: string, parameters: PostgresParameter[], transientError: unknown): Promise<PostgresRows> {
    const deadline = performance.now() + RETRY_MS;
    try {
      return checkResult(await retry(() => this.#send(query, parameters), deadline, isTransient));
    } catch (error) {
      throw withoutDetails(hasCode(error, IN_FAILED_TRANSACTION) ? transientError : error);
    }
  }

  /** Returns the expression that sends a notification. */
  #notify(payload: string): string {
    return `pg_notify(${this.#channel}, ${payload})`;
  }

  /**
   * Starts a cleanup if the last one was a minute ago. No request waits for it or fails with it.
   */
  #scheduleCleanup(): void {
    if (this.#cleanup !== undefined || Date.now() - this.#lastCleanup < CLEANUP_INTERVAL_MS) return;
    this.#lastCleanup = Date.now();
    this.#cleanup = this.removeExpired().catch(noop).finally(() => this.#cleanup = undefined);
  }
}

/**
 * Returns the rows of a result. postgres.js 3.4.9 may return no result after a lost connection. If
 * a query failed after its first row (which is common at the isolation level serializable), the
 * next result of that connection begins with as many empty places. Neither means that the session
 * is missing or that nothing was written.
 */
function checkResult(result: PostgresRows): PostgresRows {
  const { count } = result;
  if (count !== null && (result.length === 0 || result[0] !== undefined)) return result;
  const rows = Array.from(result).filter((row) => row !== undefined);
  if (rows.length !== count) {
    throw new Error("Cannot query PostgreSQL: the client of PostgresStore returned no result; try again");
  }
  return Object.assign(rows, { count });
}

function checkMax(max: number): void {
  if (Number.isInteger(max) && max >= 1 && max <= 1000) return;
  throw optionError("create a PostgresStore", "max", "must be an integer from 1 to 1000", max, typeof max === "number");
}

/** Returns what a write assigns to the columns of its session. The arguments are expressions in SQL. */
function assignments(clear: string, set: string, meta: string): string {
  return `version = session.version + 1,
    data = jsonb_strip_nulls(CASE WHEN ${clear} THEN '{}' ELSE session.data END || ${set}),
    meta = jsonb_strip_nulls(session.meta || ${meta})`;
}

/** Returns a write as JSON. {@linkcode encodeKey} leaves nothing in the id that JSON escapes. */
function toJson({ id, clear, set, meta, payload }: DirectWrite): string {
  const quoted = payload === null ? null : `"${payload}"`;
  return `{"batch":1,"id":"${id}","clear":${clear},"set":${set},"meta":${meta},"payload":${quoted}}`;
}

function hasCode(error: unknown, code: string): boolean {
  return codeOf(error) === code;
}

function isTransient(error: unknown): boolean {
  return TRANSIENT.has(codeOf(error));
}

/** Returns the SQLSTATE of an error of the server. */
function codeOf(error: unknown): unknown {
  return error instanceof Error ? Reflect.get(error, "code") : undefined;
}
