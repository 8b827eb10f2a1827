/**
 * Which servers the tests may count on.
 *
 * @module
 */

/** A server that tests need. */
export type ServerName = "redis" | "postgres";

const SERVERS: readonly string[] = ["redis", "postgres"] satisfies ServerName[];

/**
 * Tells whether a server is there for some tests.
 *
 * Where it is not, a line of the test run says which tests are left out, and why. Where env TEST_REQUIRE names the server (a list,
 * such as `redis,postgres`), that is a failed test in their place.
 *
 * @param server what is needed
 * @param tests what is left out without it, such as `"the tests of RedisStore"`
 * @param look rejects where the server is not there; the message says where it was looked for
 */
export async function isThere(server: ServerName, tests: string, look: () => Promise<unknown>): Promise<boolean> {
  const required = isRequired(server);
  try {
    await look();
    return true;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    if (required) {
      Deno.test(`${tests} need ${server}, as TEST_REQUIRE says`, () => {
        throw new Error(why, { cause: error });
      });
    } else Deno.test.ignore(`left out: ${tests}, ${why}`, () => {});
    return false;
  }
}

function isRequired(server: ServerName): boolean {
  const names = (Deno.env.get("TEST_REQUIRE") ?? "").split(",").map((name) => name.trim()).filter((name) =>
    name !== ""
  );
  const unknown = names.filter((name) => !SERVERS.includes(name));
  // A name misspelt would require nothing.
  if (unknown.length > 0) throw new Error(`TEST_REQUIRE names ${unknown.join(", ")}; there are ${SERVERS.join(", ")}`);
  return names.includes(server);
}
