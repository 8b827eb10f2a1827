/**
 * The conformance suite for session stores: what every store has to do, and what its optional capabilities add.
 *
 * A store's test file is one call. {@linkcode testSessionStore} registers tests with `Deno.test`; those of what is required, of each
 * optional capability and of the life cycle of sessions are apart. What a store lacks is no failure: a step says in words what that
 * means for its sessions.
 *
 * @example A store for one process
 * ```ts ignore
 * import { MemoryStore } from "@alosaur/session";
 * import { testSessionStore } from "@alosaur/session/testing";
 *
 * testSessionStore("MemoryStore", () => new MemoryStore(), { shared: false, values: "all", traces: "deadline" });
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
import type { SessionStore } from "./session_store.ts";
import { AREAS } from "./conformance/areas.ts";
import { Bench } from "./conformance/bench.ts";

/** Makes an instance of a store. The suite calls its `init()`, and in the end its `[Symbol.asyncDispose]()` where it has one. */
export type MakeStore = () => SessionStore | Promise<SessionStore>;

/** What {@linkcode testSessionStore} is told about a store. */
export interface SessionStoreTestOptions {
  /**
   * Whether several instances may work on one backend at once, as those of several processes do. `false` for a store whose instances do
   * not see each other's sessions (in memory), or whose writes wait for one another within an instance only. Nothing is tested across
   * instances then.
   *
   * @default {true}
   */
  shared?: boolean;
  /**
   * Which values the store keeps. `"json"`: what JSON knows; every other value must come back equal too, or be refused with an error that
   * names the key. `"all"`: also `undefined` inside a value, `-0`, `NaN`, `bigint`, `Date`, `Map`, `Set`, typed arrays, `ArrayBuffer`, the
   * same object twice, and cycles, as the stores of this project do.
   *
   * @default {"json"}
   */
  values?: "json" | "all";
  /**
   * How long a replaced session id is remembered, which only a `RecordStore` can. `"grace"`: until its grace is over. `"deadline"`: until
   * the session's deadline too, so that whoever presents it later is reported, as the stores of this project do.
   *
   * @default {"grace"}
   */
  traces?: "grace" | "deadline";
  /**
   * The size in bytes up to which a value must be kept, an integer from 1,024 on: that of text in UTF-8, of bytes, and of whatever else as
   * JSON. A larger one must come back equal too, or be refused with an error that names the key.
   *
   * @default {524_288}
   */
  maxValueBytes?: number;
  /**
   * How long a check may take, in seconds, above 0 and at most 3,600: one that takes longer fails, and says which methods have not
   * answered. A backend far away may need more: a check can take some 200 round trips, one after the other.
   *
   * @default {30}
   */
  timeout?: number;
  /**
   * Makes a store whose backend cannot be reached, such as a server on a closed port: each of its methods must reject within 10 seconds.
   * It may also refuse to be made or opened.
   *
   * @default {undefined} a step says that failure was not shown
   */
  broken?: MakeStore;
  /**
   * Makes another application's store in the same backend, such as one with another prefix or table: its sessions must not be found, and
   * `clear()` must leave them.
   *
   * @default {undefined} a step says that this was not shown
   */
  neighbour?: MakeStore;
  /**
   * What every `Deno.test` of the suite is registered with, such as `ignore` where a server is absent, or `permissions`.
   *
   * @default {{}}
   */
  test?: Omit<Deno.TestDefinition, "fn" | "name">;
}

/**
 * Registers the tests of a store.
 *
 * The suite works on two instances, and on more for `init()`. It clears the store before each step: give it a prefix, a table or a
 * directory of its own. Time is faked by replacing `Date.now` while a step runs; the faked time begins at the real one and only moves
 * forward, so that the backend's own clock never removes a session that is still live.
 *
 * @param name what the names of the tests begin with
 * @param create makes an instance of the store; at each call another one, on the same backend where they share it
 * @param options what the store claims, and how to break it
 * @throws {TypeError} if an argument is of the wrong type
 * @throws {RangeError} if `values`, `traces`, `maxValueBytes` or `timeout` is none of those that its option names
 *
 * @example
 * ```ts ignore
 * import { MemoryStore } from "@alosaur/session";
 * import { testSessionStore } from "@alosaur/session/testing";
 *
 * testSessionStore("MemoryStore with a limit", () => new MemoryStore({ maxSessions: 1000 }), { shared: false });
 * ```
 */
export function testSessionStore(name: string, create: MakeStore, options: SessionStoreTestOptions = {}): void {
  if (typeof name !== "string") throw new TypeError("Cannot test a store: `name` must be a string");
  const bench = new Bench(create, options);
  for (const { title, checks } of AREAS) {
    Deno.test({
      ...options.test,
      name: `${name}: ${title}`,
      fn: async (t) => {
        await using open = await bench.open();
        for (const check of checks(open)) {
          // A store may open connections whenever it needs them: what is left open counts at the end of the test.
          await t.step({
            name: check.name,
            sanitizeOps: false,
            sanitizeResources: false,
            fn: async () => await open.run(check),
          });
        }
      },
    });
  }
}
