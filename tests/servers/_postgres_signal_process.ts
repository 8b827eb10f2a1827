/** Holds the signal of a session in PostgreSQL, and ends its client. The process must end by itself. */
import { PostgresStore } from "@alosaur/session/postgres";
import postgres from "npm:postgres@3.4.9";
import { sharedStoreOf } from "../../src/persistence/shared_store.ts";
import { open, signUp, start } from "../helpers/request.ts";

const [url = "", table = ""] = Deno.args;
const sql = postgres(url, { max: 1, fetch_types: false, onnotice: () => {} });
const store = new PostgresStore(sql, { table });
await store.init();
const middleware = start({}, store);
const { signal } = (await open(middleware, await signUp(middleware))).session;
signal.addEventListener("abort", () => console.log("aborted"));
const listens = (): Promise<{ length: number }> =>
  sql`SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN sessions_%' AND pid <> pg_backend_pid()`;
while ((await listens()).length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
console.log(`held ${sharedStoreOf(store).signals.size}`);
await sql.end();
