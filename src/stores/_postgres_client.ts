/**
 * The PostgreSQL client of a `PostgresStore` that was created with a URL.
 *
 * @module
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import process from "node:process";
import { clearTimeout, setTimeout } from "node:timers";
import postgres from "npm:postgres@3.4.9";
import { noop } from "../util/maybe_promise.ts";
import { addressOf, type Server, UNKNOWN_SERVER } from "./_open_error.ts";
import { ConnectionSlots } from "./_postgres_slots.ts";
import type { PostgresListener } from "./_postgres_watch.ts";

/** A parameter of a query. */
export type PostgresParameter = string | number | boolean | null;

/** The result of a query: cells as the server sent them, untouched by the client's settings. */
export interface PostgresRows extends ArrayLike<ArrayLike<Uint8Array | null>> {
  /** How many rows were read or written. */
  readonly count: number | null;
}

/** The limits of a {@linkcode PostgresClient}. */
export interface ServerLimits {
  /**
   * How long the oldest pending query may take before further queries go to new connections, in
   * milliseconds.
   */
  silenceMs: number;
  /**
   * How many queries may be pending. Further ones are rejected, because they would fill the memory
   * while the server is silent.
   */
  pendingQueries: number;
  /**
   * How long pending queries may take after another connection of their pool broke, in
   * milliseconds.
   */
  graceMs: number;
}

/** How long an attempt to connect may take. */
const CONNECT_TIMEOUT_SECONDS = 5;

/** Where postgres.js connects to. */
interface Address {
  host: string[];
  port: number[];
  /** The path of a Unix socket. */
  path?: string | false;
}

/** Options of postgres.js, of which its types do not know two. */
type ListenerOptions = postgres.Options<Record<string, never>> & {
  onnotify: (channel: string, payload: string) => void;
  socket: (address: Address) => Promise<Socket>;
};

/** How many queries may be pending. */
export const MAX_PENDING_QUERIES = 10_000;

const DEFAULT_LIMITS: ServerLimits = { silenceMs: 5_000, pendingQueries: MAX_PENDING_QUERIES, graceMs: 5_000 };

/**
 * How many retired pools may wait for a silent server. Each holds as many of the server's
 * connections as a pool may open.
 */
const MAX_RETIRED = 2;

/**
 * The errors of a server that does not, or no longer, execute writes: read_only_sql_transaction,
 * admin_shutdown, crash_shutdown and cannot_connect_now. The name of the server may already lead to
 * another one. A statement that failed with one of them did nothing.
 */
const WRONG_SERVER = new Set(["25006", "57P01", "57P02", "57P03"]);

/**
 * The shortest time between two replacements because of {@linkcode WRONG_SERVER}, in milliseconds.
 * A server may stay read-only for hours, and each write to it fails.
 */
const REPLACE_INTERVAL_MS = 1000;

/**
 * Sends queries to a server and stops using connections that may be lost.
 *
 * After a connection has broken or has been silent for too long, further queries go to a new pool,
 * and pending queries stay in the old one. postgres.js 3.4.9 would continue to use the old pool,
 * which may be damaged. A connection that broke during a write may never send anything again, and
 * may reject later queries with the error that closed it.
 */
export class PostgresClient implements AsyncDisposable {
  readonly #url: string;
  readonly #maxConnections: number | undefined;
  readonly #limits: ServerLimits;
  readonly #retired = new Set<Pool>();
  #pool: Pool;
  /** When a pool was last replaced because of {@linkcode WRONG_SERVER}. */
  #leftServerAt = -Infinity;
  #disposed = false;

  /**
   * @param url the server, such as `"postgres://user:password@host:5432/database"`
   * @param maxConnections how many connections a pool opens at most; the default is ten
   * @param limits the limits that differ from the default
   * @throws {TypeError} if the URL cannot be parsed. The message does not repeat it, because it may
   * contain a password.
   */
  constructor(url: string, maxConnections?: number, limits: Partial<ServerLimits> = {}) {
    this.#url = url;
    this.#maxConnections = maxConnections;
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
    this.#pool = new Pool(url, maxConnections);
  }

  /** The address of the server and the user. */
  get server(): Server {
    return readServer(this.#pool.sql);
  }

  /**
   * Sends a query. Rejects with the error of the server or of the connection. If the server is no
   * longer the right one, sends the query once more over a new connection.
   */
  async query(text: string, parameters: PostgresParameter[]): Promise<PostgresRows> {
    this.#replaceSilentPool();
    for (let isRetry = false;; isRetry = true) {
      const pool = this.#pool;
      if (pool.pendingQueries.size >= this.#limits.pendingQueries) throw overloadError();
      try {
        return await pool.query(text, parameters);
      } catch (error) {
        if (!(error instanceof postgres.PostgresError)) {
          this.#replace(pool);
          this.#closeAfter(pool, this.#limits.graceMs);
          throw error;
        }
        // A PostgresError comes from the server, over a connection that works.
        if (!WRONG_SERVER.has(error.code)) throw error;
        this.#leaveServer(pool);
        if (isRetry || pool === this.#pool) throw error;
      } finally {
        if (this.#retired.has(pool) && pool.oldestPending === undefined) this.#close(pool, 0);
      }
    }
  }

  /** Opens a connection that receives notifications. */
  listener(onNotify: (payload: string) => void, onClose: () => void): PostgresListener {
    return toListener(open(this.#url, 1, noop, listenerOptions(onNotify, onClose)));
  }

  /**
   * Closes the connections without waiting for pending queries. Further queries open new ones.
   *
   * With several hosts in its URL, postgres.js 3.4.9 tries them forever if none can be reached, and
   * keeps the process alive.
   */
  abandon(): void {
    const pool = this.#pool;
    this.#replace(pool);
    void this.#close(pool, 0);
  }

  /** Closes every connection. Pending queries have five seconds to finish. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    await Promise.all([this.#pool, ...this.#retired].map((pool) => this.#close(pool, 5)));
  }

  /** Replaces the pool if its server has been silent for too long. */
  #replaceSilentPool(): void {
    const pool = this.#pool;
    if (pool.oldestPending === undefined || performance.now() - pool.oldestPending < this.#limits.silenceMs) return;
    if (!pool.connected) {
      this.#replace(pool);
      // If the server drops every attempt to connect, postgres.js 3.4.9 reconnects without a limit
      // and without a delay.
      this.#closeAfter(pool, 0);
    } else if (this.#retired.size < MAX_RETIRED) {
      // The old pool stays open, because the server may still be executing its queries. Closing the
      // connections would not stop them.
      this.#replace(pool);
    }
  }

  /** Replaces the connections to a server that does not execute writes. */
  #leaveServer(pool: Pool): void {
    const now = performance.now();
    if (pool !== this.#pool || now - this.#leftServerAt < REPLACE_INTERVAL_MS) return;
    this.#leftServerAt = now;
    this.#replace(pool);
  }

  /** Opens a new pool for further queries. The old pool is closed after its last pending query. */
  #replace(pool: Pool): void {
    if (pool !== this.#pool || this.#disposed) return;
    this.#pool = new Pool(this.#url, this.#maxConnections);
    this.#retired.add(pool);
  }

  /** Closes a pool after a delay, even if queries are pending. */
  #closeAfter(pool: Pool, milliseconds: number): void {
    if (pool.timer !== undefined || this.#disposed) return;
    pool.timer = setTimeout(() => this.#close(pool, 0), milliseconds).unref();
  }

  #close(pool: Pool, seconds: number): Promise<void> {
    clearTimeout(pool.timer);
    return pool.closed ??= pool.sql.end({ timeout: seconds }).then(() => void this.#retired.delete(pool));
  }
}

/** Creates the error of a query while too many others are pending. */
export function overloadError(): Error {
  return new Error(
    "too many queries are pending, because PostgreSQL answers too slowly or not at all; this one was not sent",
  );
}

/**
 * Returns the address of a client's server, such as `"db.example:5432/app"`, and the user, as far
 * as the client exposes them. Without a database in the URL, postgres.js uses the one that is named
 * like the user. It is left out, as the user is.
 */
export function readServer(sql: object): Server {
  const options: Partial<Record<"host" | "port" | "database" | "user", unknown>> = Object(Reflect.get(sql, "options"));
  const { host, port, database, user } = options;
  if (!Array.isArray(host) || !Array.isArray(port)) return UNKNOWN_SERVER;
  const servers = host.map((name, i) => addressOf(`${name}`, `${port[i]}`)).join(",");
  return { address: database === user ? servers : `${servers}/${database}`, user: String(user ?? "") };
}

/**
 * Opens a connection like those of an application's client, which receives notifications.
 *
 * @throws {TypeError} if the client does not expose its options, as that of a transaction
 */
export function listenerOf(sql: object, onNotify: (payload: string) => void, onClose: () => void): PostgresListener {
  const options: Partial<ListenerOptions> = Object(Reflect.get(sql, "options"));
  if (options.host === undefined) {
    throw new TypeError("the client does not expose its options, so no other connection can be opened");
  }
  const own = listenerOptions(onNotify, onClose);
  // The application may reach the server in a way of its own.
  if (options.socket !== undefined) own.socket = options.socket;
  return toListener(postgres({ ...options, ...own }));
}

/** The options of a client with one connection, which stays open. */
function listenerOptions(onNotify: (payload: string) => void, onClose: () => void): ListenerOptions {
  return {
    max: 1,
    // Never.
    idle_timeout: 0,
    max_lifetime: 0,
    fetch_types: false,
    onnotify: (_channel, payload) => onNotify(payload),
    onclose: onClose,
    socket: connectQuietly,
  };
}

/** Connects to a server, with a socket that does not keep the process alive. */
async function connectQuietly({ host: hosts, port: ports, path }: Address): Promise<Socket> {
  const targets = path ? [{ path }] : hosts.map((host, i) => ({ host, port: ports[i] ?? 5432 }));
  let failure: unknown;
  for (const target of targets) {
    const socket = connect(target);
    try {
      await once(socket, "connect", { signal: AbortSignal.timeout(CONNECT_TIMEOUT_SECONDS * 1000) });
      // With TLS, postgres.js takes the name of the server from here.
      return Object.assign(socket.unref(), target);
    } catch (error) {
      socket.destroy();
      failure = error;
    }
  }
  throw failure;
}

function toListener(sql: ReturnType<typeof postgres>): PostgresListener {
  return {
    query: (text) => sql.unsafe(text),
    close: () => sql.end({ timeout: 0 }),
  };
}

/** A set of connections that are replaced together. */
class Pool {
  readonly sql: ReturnType<typeof postgres>;
  /** Whether the server has ever responded. */
  connected = false;
  /** Resolves when the pool is closed; `undefined` until it starts to close. */
  closed: Promise<void> | undefined;
  /** The timer that closes the pool. */
  timer: ReturnType<typeof setTimeout> | undefined;
  /**
   * The queries without a result yet, oldest first. `since` is in milliseconds of
   * `performance.now()`.
   */
  readonly pendingQueries = new Set<{ since: number }>();
  readonly #slots: ConnectionSlots;

  constructor(url: string, maxConnections: number | undefined) {
    this.sql = open(url, maxConnections, () => this.connected = true);
    this.#slots = new ConnectionSlots(this.sql.options.max);
  }

  /** When the oldest pending query was sent, in milliseconds of `performance.now()`. */
  get oldestPending(): number | undefined {
    const [query] = this.pendingQueries;
    return query?.since;
  }

  async query(text: string, parameters: PostgresParameter[]): Promise<PostgresRows> {
    const query = { since: performance.now() };
    this.pendingQueries.add(query);
    const slot = this.#slots.acquire();
    if (slot !== undefined) await slot;
    let refused = false;
    try {
      return await this.sql.unsafe(text, parameters, { prepare: true }).raw();
    } catch (error) {
      refused = error instanceof postgres.PostgresError && error.code === "53300"; // too_many_connections
      throw error;
    } finally {
      this.pendingQueries.delete(query);
      this.#slots.release(refused);
    }
  }
}

/**
 * The environment variables that Deno may read. The others look unset: postgres.js asks for some
 * twenty, and Deno would throw, or in a terminal ask for the permission to read each.
 */
const READABLE_ENV: Record<string, string | undefined> = new Proxy({}, {
  get: (_, variable) => {
    if (typeof variable !== "string") return undefined;
    const { state } = Deno.permissions.querySync({ name: "env", variable });
    return state === "granted" ? Deno.env.get(variable) : undefined;
  },
});

function open(
  url: string,
  maxConnections: number | undefined,
  onConnected: () => void,
  options: Partial<ListenerOptions> = {},
): ReturnType<typeof postgres> {
  const { env } = process;
  // postgres.js reads the environment only here, and this call is synchronous, so nobody else sees
  // the replacement. There is no option for it.
  process.env = READABLE_ENV;
  try {
    return postgres(url, {
      ...(maxConnections === undefined ? {} : { max: maxConnections }),
      connect_timeout: CONNECT_TIMEOUT_SECONDS,
      // Firewalls drop idle connections. The timeout also closes a connection that opened after its
      // pool was replaced.
      idle_timeout: 300,
      // A request waits for the attempt to connect. Earlier attempts that failed must not make it
      // wait longer.
      backoff: () => 0,
      // Only arrays need the types, and fetching them takes a round trip on each connection.
      fetch_types: false,
      onparameter: onConnected,
      onnotice: () => {},
      ...options,
    });
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof URIError)) throw error;
    throw new TypeError(
      "Cannot create a PostgresStore: the URL is malformed; expected one such as postgres://user:password@host:5432/database",
    );
  } finally {
    process.env = env;
  }
}
