/**
 * A PostgreSQL client of the store's own.
 *
 * @module
 */
import { clearTimeout, setTimeout } from "node:timers";
import postgres from "npm:postgres@3.4.9";

/** What a query gave: cells as the server sent them, which no setting of the client has touched. */
export interface PostgresRows extends ArrayLike<ArrayLike<Uint8Array | null>> {
  /** How many rows were read or written. */
  readonly count: number | null;
}

/** What a server is allowed. */
export interface Patience {
  /** How long it may be silent before connections are opened beside those that it has, in milliseconds. */
  silence: number;
  /** How many answers it may owe. More would fill the memory while it is silent. */
  questions: number;
  /** How long it has to answer, after a connection broke, what was asked before on the others, in milliseconds. */
  grace: number;
}

const PATIENCE: Patience = { silence: 5_000, questions: 10_000, grace: 5_000 };

/** How many pools may wait for a silent server at most: each holds up to ten of its connections. */
const MAX_SILENT = 2;

/**
 * Asks a server, and trusts no connection that may be lost.
 *
 * Where a connection broke, or is silent for long, what is asked from then on goes to a new pool; what was asked before stays where it
 * is. postgres.js 3.4.9 would go on with the old pool, and that can be damaged: a connection that broke while something was being
 * written to it may never send anything again, and may answer with the error that ended it.
 */
export class PostgresClient implements AsyncDisposable {
  readonly #url: string;
  readonly #patience: Patience;
  readonly #retired = new Set<Pool>();
  #pool: Pool;
  #disposed = false;

  /**
   * @throws {TypeError} if the URL cannot be read; the message does not repeat it, as it may hold a password
   */
  constructor(url: string, patience: Partial<Patience> = {}) {
    this.#url = url;
    this.#patience = { ...PATIENCE, ...patience };
    this.#pool = new Pool(url);
  }

  /** Asks; rejects with the error of the server or of the connection. */
  async query(text: string, parameters: (string | number | boolean | null)[]): Promise<PostgresRows> {
    this.#leaveSilent();
    const pool = this.#pool;
    if (pool.questions.size >= this.#patience.questions) throw new Error("PostgreSQL owes too many answers");
    try {
      return await pool.query(text, parameters);
    } catch (error) {
      // What the server itself says is said over a connection that works.
      if (!(error instanceof postgres.PostgresError)) {
        this.#replace(pool);
        this.#endWithin(pool, this.#patience.grace);
      }
      throw error;
    } finally {
      if (this.#retired.has(pool) && pool.oldest === undefined) this.#end(pool, 0);
    }
  }

  /** Closes every connection. What is under way has five seconds. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    await Promise.all([this.#pool, ...this.#retired].map((pool) => this.#end(pool, 5)));
  }

  /** Sees to it that the next question goes to a server that speaks, if there is one. */
  #leaveSilent(): void {
    const pool = this.#pool;
    if (pool.oldest === undefined || performance.now() - pool.oldest < this.#patience.silence) return;
    if (!pool.connected) {
      this.#replace(pool);
      // Where each attempt to connect is hung up on, postgres.js 3.4.9 tries again without end and without a pause.
      this.#endWithin(pool, 0);
    } else if (this.#retired.size < MAX_SILENT) {
      // Not to be ended: the server may be busy with what was asked, and would not notice.
      this.#replace(pool);
    }
  }

  /** Lets a new pool take a pool's place. The old one ends when all that was asked is answered. */
  #replace(pool: Pool): void {
    if (pool !== this.#pool || this.#disposed) return;
    this.#pool = new Pool(this.#url);
    this.#retired.add(pool);
  }

  /** Ends a pool after a time, whatever is not yet answered. */
  #endWithin(pool: Pool, milliseconds: number): void {
    if (pool.timer !== undefined || this.#disposed) return;
    pool.timer = setTimeout(() => this.#end(pool, 0), milliseconds).unref();
  }

  #end(pool: Pool, seconds: number): Promise<void> {
    clearTimeout(pool.timer);
    return pool.ended ??= pool.sql.end({ timeout: seconds }).then(() => void this.#retired.delete(pool));
  }
}

/** Connections that are used, and given up, together. */
class Pool {
  readonly sql: ReturnType<typeof postgres>;
  /** Whether a server has ever spoken. */
  connected = false;
  /** When it has ended. */
  ended: Promise<void> | undefined;
  /** Ends it. */
  timer: ReturnType<typeof setTimeout> | undefined;
  /** What is not yet answered, the oldest first; `since` is of `performance.now()`. */
  readonly questions = new Set<{ since: number }>();

  constructor(url: string) {
    this.sql = open(url, () => this.connected = true);
  }

  /** When the oldest question was asked that is not yet answered. */
  get oldest(): number | undefined {
    const [question] = this.questions;
    return question?.since;
  }

  async query(text: string, parameters: (string | number | boolean | null)[]): Promise<PostgresRows> {
    const question = { since: performance.now() };
    this.questions.add(question);
    try {
      return await this.sql.unsafe(text, parameters, { prepare: true }).raw();
    } finally {
      this.questions.delete(question);
    }
  }
}

function open(url: string, onConnected: () => void): ReturnType<typeof postgres> {
  try {
    return postgres(url, {
      connect_timeout: 5,
      // What lies between forgets a connection that nobody uses. It also ends one that opened for a pool after that was given up.
      idle_timeout: 300,
      // An attempt to connect is a request's: it is not to wait for long because others have failed.
      backoff: () => 0,
      // Only arrays need them, and they cost a round trip on each connection.
      fetch_types: false,
      onparameter: onConnected,
      onnotice: () => {},
    });
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof URIError)) throw error;
    throw new TypeError(
      "Cannot make a PostgresStore: the URL must be one like postgres://user:password@host:5432/database",
    );
  }
}
