/**
 * The table of a `PostgresStore`.
 *
 * @module
 */
import { optionError } from "../util/describe_value.ts";

/**
 * A schema's or a table's name. PostgreSQL truncates names to 63 bytes, and the name of an index is
 * up to 11 bytes longer than the table's.
 */
const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,49}$/;

/**
 * Returns the SQL that creates the table of a {@linkcode PostgresStore} and its indexes, for
 * applications that run their migrations themselves. `init()` runs the same SQL. An existing table
 * keeps its rows, and gets the indexes that it lacks. docs/store-postgres.md shows the SQL for the
 * default table.
 *
 * @param table as in {@linkcode PostgresStoreOptions.table}
 * @returns statements for PostgreSQL 12 or newer
 * @throws {TypeError} if `table` is not a valid name
 *
 * @example The table in another schema
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
  const quoted = quoteTable("write the schema", table);
  const [name] = table.split(".").slice(-1);
  // A row with `moved_to` is the trace of an id that was replaced; every other row is a session.
  // The first index serves the cleanup; the second `listSessions()` and `listPrincipals()`. Only
  // sessions have a principal.
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
CREATE INDEX IF NOT EXISTS "${userIndexName(table)}" ON ${quoted} (principal, expires_at) WHERE principal IS NOT NULL;
`;
}

/** Returns the name of the index of users. A table of an earlier version lacks it. */
export function userIndexName(table: string): string {
  return `${table.slice(table.indexOf(".") + 1)}_user`;
}

/**
 * Checks and quotes a table's name.
 *
 * @param action the caller's action, for the error message
 * @throws {TypeError} if `table` is not a valid name
 */
export function quoteTable(action: string, table: string): string {
  const names = typeof table === "string" ? table.split(".") : [];
  if (names.length < 1 || names.length > 2 || !names.every((name) => NAME.test(name))) {
    const requirement = 'must be "table" or "schema.table", each of letters, digits and _, at most 50 characters';
    throw optionError(action, "table", requirement, table);
  }
  return names.map((name) => `"${name}"`).join(".");
}
