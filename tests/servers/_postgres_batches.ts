/** What the tests of concurrent lookups and writes share. */
import {
  type PostgresQuery,
  type PostgresSql,
  PostgresStore,
  type PostgresStoreOptions,
} from "@alosaur/session/postgres";
import postgres from "npm:postgres@3.4.9";

/** Ids with characters that mean something in SQL, in an array of PostgreSQL or in JSON. */
export const ODD_IDS = [
  "",
  " ",
  "NULL",
  "{}",
  "a,b",
  '"',
  '","',
  "\\",
  '\\"',
  "it's",
  "$1",
  "%",
  "%0000",
  "\0",
  "\n",
  "\ufeff",
  "\ufeffa",
  "\ud800",
  "🍪",
  "ä",
  "a".repeat(1000),
];

export function record(value: unknown, lifetime = 60_000): Parameters<PostgresStore["createRecord"]>[1] {
  const now = Date.now();
  const meta = { createdAt: now, seenAt: now, renewedAt: now };
  return { values: new Map([["k", value]]), expiresAt: now + lifetime, meta };
}

/** A store on a client, of which the test knows the statements. */
export class CountedStore extends PostgresStore {
  /** The statements that were sent. */
  readonly statements: string[];
  readonly #sql: { end(): Promise<void> };

  constructor(url: string, table: string, options: PostgresStoreOptions = {}) {
    const sql = postgres(url, { max: 5, onnotice: () => {} });
    const statements: string[] = [];
    const counted: PostgresSql = {
      unsafe(query, parameters, options): PostgresQuery {
        statements.push(query);
        return sql.unsafe(query, parameters, options);
      },
    };
    super(counted, { ...options, table });
    this.statements = statements;
    this.#sql = sql;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    await this.#sql.end();
  }
}
