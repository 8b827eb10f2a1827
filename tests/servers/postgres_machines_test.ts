/** Sessions in PostgreSQL that have ended stay ended, whatever other machines do at the same time. */
import postgres from "npm:postgres@3.4.9";
import { type PostgresSql, PostgresStore } from "@alosaur/session/postgres";
import type { Interleaving } from "../helpers/interleaving.ts";
import { DEFECTS } from "../helpers/interleaving_defects.ts";
import { testInterleavings } from "../helpers/interleaving_suite.ts";
import { ownSchema, POSTGRES_URL, postgresIsThere, type Schema } from "./_postgres.ts";

if (await postgresIsThere("the interleavings on PostgreSQL")) {
  const opened = new AsyncDisposableStack();

  testInterleavings("PostgresStore", async () => {
    const schema: Schema = opened.use(await ownSchema());
    const options = { table: schema.table() };
    const clients = [0, 1, 2].map(() => postgres(POSTGRES_URL, { max: 4, fetch_types: false, onnotice: () => {} }));
    for (const client of clients) opened.defer(() => client.end());
    await using store = new PostgresStore(POSTGRES_URL, options);
    await store.init();
    return {
      overlaps: true,
      connect: (machine, delays) => {
        const client = clients[machine];
        if (client === undefined) throw new Error(`There is no machine ${machine}`);
        return new PostgresStore(delays === undefined ? client : delayedSql(client, delays), options);
      },
    };
  }, {
    defects: DEFECTS,
  });

  Deno.test("PostgresStore, interleaved: the table is removed", () => opened.disposeAsync());
}

/** Delays each statement. */
function delayedSql(sql: PostgresSql, delays: Interleaving): PostgresSql {
  return {
    unsafe: (query, parameters, options) => ({
      raw: () => delays.run(() => sql.unsafe(query, parameters, options).raw()),
    }),
  };
}
