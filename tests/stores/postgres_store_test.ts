import { assert, assertEquals, assertRejects, assertThrows } from "../helpers/assert.ts";
import postgres from "npm:postgres@3.4.9";
import { postgresSchema, type PostgresSql, PostgresStore } from "../../src/stores/postgres_store.ts";

// What needs a server is in tests/servers/.

const NOBODY = "postgres://user:top-secret@127.0.0.1:1/test";

/** A client that answers, or fails, without a server. */
function answering(answer: () => unknown): PostgresSql {
  // Also what no client should answer.
  return { unsafe: () => ({ raw: () => Promise.resolve().then(answer) as Promise<never> }) };
}

Deno.test("PostgresStore refuses wrong arguments, and does not repeat a URL", () => {
  for (const table of ["", "a b", "1a", "a.b.c", ".a", "a.", 'a"b', "a;b", "x".repeat(51), 1, null]) {
    // @ts-expect-error -- also what JavaScript can pass
    assertThrows(() => new PostgresStore(NOBODY, { table }), TypeError, "`table`");
    // @ts-expect-error -- the same
    assertThrows(() => postgresSchema(table), TypeError, "`table`");
  }
  // @ts-expect-error -- what JavaScript can pass
  assertThrows(() => new PostgresStore(NOBODY, { migrate: 1 }), TypeError, "`migrate`");
  for (const sql of [undefined, null, {}, 1, "mysql://user:top-secret@127.0.0.1", "postgres://user:top-secret@:::/"]) {
    // @ts-expect-error -- the same
    const error = assertThrows(() => new PostgresStore(sql), TypeError, "PostgresStore");
    assert(!Deno.inspect(error).includes("top-secret"));
  }
  new PostgresStore(NOBODY, { table: `${"s".repeat(50)}.${"t".repeat(50)}` });
});

Deno.test("PostgresStore takes an application's client of any type", () => {
  new PostgresStore(postgres(NOBODY));
  new PostgresStore(postgres(NOBODY, { types: { bigint: postgres.BigInt }, transform: postgres.camel }));
});

Deno.test("PostgresStore connects to nothing before it is asked, and rejects where nobody listens", async () => {
  await using store = new PostgresStore(NOBODY);
  for (const ask of [() => store.init(), () => store.exist("an-id"), () => store.setValue("an-id", "key", "a value")]) {
    const error = await assertRejects(ask, Error, "ECONNREFUSED");
    for (const secret of ["top-secret", "an-id", "a value"]) assert(!Deno.inspect(error).includes(secret));
  }
});

Deno.test("PostgresStore leaves out of errors what quotes rows and parameters", async () => {
  const error = Object.assign(new Error("duplicate key value violates unique constraint"), {
    name: "PostgresError",
    code: "23505",
    detail: "Key (id)=(an-id) already exists.",
    where: "JSON data, line 1: a value",
    parameters: ["an-id", "a value"],
  });
  const store = new PostgresStore(answering(() => {
    throw error;
  }));
  const thrown = await assertRejects(() => store.exist("an-id"), Error, "duplicate key");
  assertEquals([thrown.name, Reflect.get(thrown, "code")], ["PostgresError", "23505"]);
  assertEquals(thrown.cause, undefined);
  for (const secret of ["an-id", "a value"]) assert(!Deno.inspect(thrown).includes(secret));
});

Deno.test("PostgresStore takes no odd answer of its client for the lack of a session", async () => {
  const text = (cell: string): Uint8Array => new TextEncoder().encode(cell);
  const late = Object.assign([undefined, [text("1")]], { count: 1 });
  const none = Object.assign([], { count: null });
  const changed = Object.assign([{}], { count: 1 });
  for (const rows of [late, none, changed]) {
    const store = new PostgresStore(answering(() => rows));
    for (
      const ask of [
        () => store.get("a"),
        () => store.getValue("a", "k"),
        () => store.readRecord("a"),
        () => store.changeRecord("a", {}),
        () => store.moveRecord("a", "b", { meta: {}, graceUntil: 0 }),
        () => store.listSessions("ada"),
      ]
    ) await assertRejects(ask, Error, "client of PostgreSQL");
  }
  for (const rows of [late, none]) {
    const store = new PostgresStore(answering(() => rows));
    await assertRejects(() => store.exist("a"), Error, "client of PostgreSQL");
    await assertRejects(() => store.setValue("a", "k", 1), Error, "client of PostgreSQL");
    await assertRejects(() => store.create("a"), Error, "client of PostgreSQL");
    await assertRejects(() => store.delete("a"), Error, "client of PostgreSQL");
    await assertRejects(() => store.clear(), Error, "client of PostgreSQL");
  }
});

Deno.test("postgresSchema() writes the SQL that its documentation shows", async () => {
  const source = await Deno.readTextFile(new URL("../../src/stores/postgres_store.ts", import.meta.url));
  const [, shown = ""] = /```sql\n([^`]*)```/.exec(source) ?? [];
  assertEquals(shown.replaceAll(/^ \* ?/gm, "").trim(), postgresSchema().trim());
  assert(postgresSchema("auth.sessions").includes('INDEX IF NOT EXISTS "sessions_expires_at" ON "auth"."sessions"'));
});
