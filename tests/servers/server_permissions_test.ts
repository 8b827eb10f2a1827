/** The stores on a server start with the permissions that docs/stores.md lists, and need all of them. */
import { assert, assertStringIncludes } from "../helpers/assert.ts";
import { assertLeastPermissions, listedPermissions, useStore } from "../helpers/permissions.ts";
import { addressOf, ownSchema, POSTGRES_URL, postgresIsThere } from "./_postgres.ts";
import { findRedis, REDIS_URL } from "./_redis.ts";
import { isThere } from "./_require.ts";

const listed = await listedPermissions();

/** Returns the permissions of a store, for another address than the one in docs/stores.md. */
function permissionsAt(name: string, address: string): string[] {
  return (listed.get(name) ?? []).map((flag) => flag.replace(/127\.0\.0\.1:\d+/, address));
}

const REDIS_IMPORTS = `import { RedisStore } from "@alosaur/session/redis";`;
const POSTGRES_IMPORTS = `import { PostgresStore } from "@alosaur/session/postgres";`;

if (await isThere("redis", "the permissions of RedisStore", findRedis)) {
  Deno.test("RedisStore needs the permissions of docs/stores.md and no others", async () => {
    const { hostname, port } = new URL(REDIS_URL);
    const options = JSON.stringify({ prefix: `test-${crypto.randomUUID()}:` });
    const store = `new RedisStore("${REDIS_URL}", ${options})`;
    const flags = permissionsAt("RedisStore", `${hostname}:${port || 6379}`);
    await assertLeastPermissions(flags, (some) => useStore(some, REDIS_IMPORTS, store));
  });
}

if (await postgresIsThere("the permissions of PostgresStore")) {
  const { hostname, port } = addressOf(POSTGRES_URL);
  const flags = permissionsAt("PostgresStore", `${hostname}:${port}`);

  Deno.test("PostgresStore needs the permissions of docs/stores.md and no others", async () => {
    await using schema = await ownSchema();
    const store = `new PostgresStore("${POSTGRES_URL}", { table: "${schema.table()}" })`;
    await assertLeastPermissions(flags, (some) => useStore(some, POSTGRES_IMPORTS, store));
  });

  Deno.test("PostgresStore takes what its URL leaves out from the variables that Deno may read", async () => {
    await using schema = await ownSchema();
    const url = new URL(POSTGRES_URL);
    const { username } = url;
    url.username = "";
    const store =
      `(Deno.env.set("PGUSER", "${username}"), new PostgresStore("${url}", { table: "${schema.table()}" }))`;
    const { success, errors } = await useStore([...flags, "--allow-env=PGUSER"], POSTGRES_IMPORTS, store);
    assert(success, errors);
    const unset = await useStore(flags, POSTGRES_IMPORTS, `new PostgresStore("${url}")`);
    assertStringIncludes(unset.errors, "no PostgreSQL user name");
  });
}
