/**
 * Locks that a test holds, to decide when a statement of a store is executed.
 *
 * @module
 */
import { type Client, client, POSTGRES_URL, sleep } from "./_postgres.ts";

/** A transaction that holds locks until a test ends it. */
export interface Holder extends AsyncDisposable {
  /** Runs statements in the transaction. */
  query: Client["query"];
  /** Waits until at least that many connections wait for a lock while they use the table. */
  waiting(connections: number): Promise<void>;
}

/** Begins a transaction that runs the given statements. */
export async function hold(table: string, statements: string): Promise<Holder> {
  const sql = client(POSTGRES_URL);
  await sql.query(`BEGIN; ${statements}`);
  return {
    query: (text) => sql.query(text),
    async waiting(connections): Promise<void> {
      for (;;) {
        const [row] = await sql.query(
          `SELECT count(DISTINCT pid) FROM pg_locks AS waiting JOIN pg_locks AS used USING (pid)
          WHERE NOT waiting.granted AND used.relation = '${table}'::regclass`,
        );
        if (Number(row?.count) >= connections) return;
        await sleep(5);
      }
    },
    [Symbol.asyncDispose]: () => sql[Symbol.asyncDispose](),
  };
}
