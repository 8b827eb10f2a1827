/**
 * The tests of applications and of stores: {@linkcode sessionCookie} begins a test as a signed-in
 * visitor, and {@linkcode testSessionStore} is the conformance suite for session stores. It tests
 * the required methods and the optional capabilities.
 *
 * The test file of a store is one call of {@linkcode testSessionStore}. It registers tests with
 * `Deno.test`: for the required methods, for each optional capability, and for sessions that the
 * middleware keeps in the store. A check that does not apply to the store, such as one of a
 * capability that it lacks, is shown as ignored. Its name says why.
 *
 * @example A store for one process
 * ```ts ignore
 * import { MemoryStore } from "@alosaur/session";
 * import { testSessionStore } from "@alosaur/session/testing";
 *
 * testSessionStore("MemoryStore", () => new MemoryStore(), {
 *   shared: false,
 *   values: "all",
 *   traces: "deadline",
 * });
 * ```
 *
 * @example A store on a server
 * ```ts ignore
 * testSessionStore("MyStore", () => new MyStore("db://localhost", { prefix: "test:" }), {
 *   neighbour: () => new MyStore("db://localhost", { prefix: "another:" }),
 *   broken: () => new MyStore("db://localhost:1"),
 * });
 * ```
 *
 * @module
 */
import { Harness } from "./conformance/harness.ts";
import type { MakeStore, SessionStoreTestOptions } from "./conformance/options.ts";
import { SUITE } from "./conformance/suite.ts";
import { describeType } from "./util/describe_value.ts";

export { sessionCookie, type SessionCookieOptions } from "./testing_session_cookie.ts";
export type { MakeStore, SessionStoreTestOptions };

/**
 * Registers the tests of a store.
 *
 * The suite creates one instance of the store, a second one unless `shared` is false, and more to
 * test `init()`. It clears the store before each check, so give the store a prefix, a table or a
 * directory of its own. Checks fake the time by replacing `Date.now`. The fake time begins at the
 * real time and only moves forward, so that the backend's own clock never removes a session that is
 * still live.
 *
 * @param name the beginning of the tests' names
 * @param create creates an instance of the store. Each call must return another instance; instances
 * that share their sessions must use the same backend.
 * @param options what the store supports, and how to create stores for the checks of failures and
 * of neighbours
 * @throws {TypeError} if an argument is of the wrong type, or there is an unknown option
 * @throws {RangeError} if `values`, `traces`, `maxValueBytes` or `timeout` is out of range
 *
 * @example
 * ```ts ignore
 * import { MemoryStore } from "@alosaur/session";
 * import { testSessionStore } from "@alosaur/session/testing";
 *
 * testSessionStore("MemoryStore with a limit", () => new MemoryStore({ maxSessions: 1000 }), {
 *   shared: false,
 * });
 * ```
 */
export function testSessionStore(name: string, create: MakeStore, options: SessionStoreTestOptions = {}): void {
  if (typeof name !== "string") {
    throw new TypeError(`Cannot test a store: \`name\` must be a string; received ${describeType(name)}`);
  }
  const harness = new Harness(create, options);
  for (const { title, checks } of SUITE) {
    Deno.test({
      ...options.test,
      name: `${name}: ${title}`,
      fn: async (t) => {
        await using stores = await harness.open();
        for (const check of checks(stores)) {
          await t.step({
            name: check.name,
            ignore: check.isSkipped ?? false,
            // A store may open connections in any check and keep them. The sanitizers of the whole
            // test still see leaks.
            sanitizeOps: false,
            sanitizeResources: false,
            fn: async () => await stores.run(check),
          });
        }
      },
    });
  }
}
