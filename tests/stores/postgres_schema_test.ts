import { assert, assertEquals, assertThrows } from "../helpers/assert.ts";
import { postgresSchema, PostgresStore } from "../../src/stores/postgres_store.ts";

Deno.test("postgresSchema() writes the SQL that docs/store-postgres.md shows", async () => {
  const page = await Deno.readTextFile(new URL("../../docs/store-postgres.md", import.meta.url));
  const [, shown] = /```sql\n(CREATE TABLE [^`]*)```/.exec(page) ?? [];
  assertEquals(postgresSchema(), shown);
  assertEquals(postgresSchema("sessions"), shown);
});

Deno.test("postgresSchema() names the indexes after the table and creates them in its schema", () => {
  const sql = postgresSchema("auth.Logins");
  assert(sql.includes('CREATE TABLE IF NOT EXISTS "auth"."Logins" ('), sql);
  for (const column of ["expires_at", "user"]) {
    assert(sql.includes(`INDEX IF NOT EXISTS "Logins_${column}" ON "auth"."Logins"`), sql);
  }
});

Deno.test("postgresSchema() and PostgresStore reject a table's name that is invalid", () => {
  const url = "postgres://127.0.0.1:1/test";
  for (const table of ["", "a b", "1a", "a.b.c", ".a", "a.", 'a"b', "a;b", "x".repeat(51), 1, null]) {
    // @ts-expect-error -- JavaScript can pass anything
    assertThrows(() => postgresSchema(table), TypeError, "Cannot write the schema: `table`");
    // @ts-expect-error -- the same
    assertThrows(() => new PostgresStore(url, { table }), TypeError, "Cannot create a PostgresStore: `table`");
  }
  const longest = `${"s".repeat(50)}.${"t".repeat(50)}`;
  assert(postgresSchema(longest).includes(`"${"t".repeat(50)}_expires_at"`));
  new PostgresStore(url, { table: longest });
});
