/**
 * Finds out which servers the tests can use.
 *
 * @module
 */

/** A server that tests can need. */
export type ServerName = "redis" | "postgres";

const SERVERS: readonly string[] = ["redis", "postgres"] satisfies ServerName[];

/**
 * Returns whether a server is available to some tests.
 *
 * If it is not, an ignored test says which tests are skipped, and why. If the environment variable
 * TEST_REQUIRE names the server (a list, such as `redis,postgres`), a failing test says so instead.
 *
 * @param server the server
 * @param tests the tests that are skipped without it, such as `"the tests of RedisStore"`
 * @param look rejects if the server is not available; the message says where it looked
 */
export async function isThere(server: ServerName, tests: string, look: () => Promise<unknown>): Promise<boolean> {
  const required = isRequired(server);
  try {
    await look();
    return true;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (required) {
      Deno.test(`${tests} need ${server}, as TEST_REQUIRE says`, () => {
        throw new Error(reason, { cause: error });
      });
    } else Deno.test.ignore(`skipped: ${tests}, ${reason}`, () => {});
    return false;
  }
}

function isRequired(server: ServerName): boolean {
  const names = (Deno.env.get("TEST_REQUIRE") ?? "").split(",").map((name) => name.trim()).filter((name) =>
    name !== ""
  );
  const unknown = names.filter((name) => !SERVERS.includes(name));
  // A misspelt name would require nothing.
  if (unknown.length > 0) {
    throw new Error(`Cannot require ${unknown.join(", ")}: TEST_REQUIRE accepts ${SERVERS.join(", ")}`);
  }
  return names.includes(server);
}
