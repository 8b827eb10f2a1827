/**
 * The options of the conformance suite.
 *
 * @module
 */
import type { SessionStore } from "../session_store.ts";
import { checkOptionNames } from "../util/option_names.ts";
import { show } from "./expect.ts";

/**
 * Creates an instance of a store. The suite calls `init()` first. After the checks, it calls
 * `[Symbol.asyncDispose]()` or `[Symbol.dispose]()` if the store has one of them.
 */
export type MakeStore = () => SessionStore | Promise<SessionStore>;

/** The claims of a store, and the ways to make it fail. */
export interface SessionStoreTestOptions {
  /**
   * Whether several instances can work on one backend concurrently, as the instances of several
   * processes do. Set it to `false` for a store whose instances do not see each other's sessions
   * (for example in memory), or that serializes writes only within an instance. The checks across
   * instances are then shown as ignored.
   *
   * @default {true}
   */
  shared?: boolean;
  /**
   * Which values the store keeps.
   * - `"json"`: every value that JSON can represent. Every other value must come back equal too, or
   *   be rejected with an error that names the key.
   * - `"all"`: also `undefined` inside a value, `-0`, `NaN`, `bigint`, `Date`, `Map`, `Set`, typed
   *   arrays, `ArrayBuffer`, shared references and cycles. The stores of this project keep all of
   *   them.
   *
   * @default {"json"}
   */
  values?: "json" | "all";
  /**
   * How long a `RecordStore` remembers a replaced session id. A store that is not a `RecordStore`
   * ignores this option.
   * - `"grace"`: until its grace period has passed.
   * - `"deadline"`: also until the session expires, so that the middleware can report a later use
   *   of the id. The stores of this project do this.
   *
   * @default {"grace"}
   */
  traces?: "grace" | "deadline";
  /**
   * The size of the largest value that the store must keep, in bytes; an integer of at least 1,024.
   * The size of a text is the length of its UTF-8 encoding. The size of binary data is its number
   * of bytes. The size of any other value is the length of its JSON. A larger value must come back
   * equal too, or be rejected with an error that names the key.
   *
   * @default {524_288}
   */
  maxValueBytes?: number;
  /**
   * How long one check may take, in seconds: above 0 and at most 3,600. A check that takes longer
   * fails and names the methods that have not answered. Increase it for a distant backend: one
   * check can take some 200 sequential round trips.
   *
   * @default {30}
   */
  timeout?: number;
  /**
   * Creates a store whose backend cannot be reached, such as a server on a closed port. Each of its
   * methods must reject within 10 seconds. The function itself or `init()` may reject too.
   *
   * @default {undefined} the checks of an unreachable backend are shown as ignored
   */
  broken?: MakeStore;
  /**
   * Creates another application's store in the same backend, such as one with another prefix or
   * table. Its sessions must not be found, and `clear()` must keep them.
   *
   * @default {undefined} this check is shown as ignored
   */
  neighbour?: MakeStore;
  /**
   * Options for every `Deno.test` of the suite, such as `ignore` if no server is available, or
   * `permissions`.
   *
   * @default {{}}
   */
  test?: Omit<Deno.TestDefinition, "fn" | "name">;
}

/** The options with their defaults. */
export type ResolvedTestOptions =
  & Required<Pick<SessionStoreTestOptions, "shared" | "values" | "traces" | "maxValueBytes" | "timeout">>
  & Pick<SessionStoreTestOptions, "broken" | "neighbour">;

/**
 * Checks the options and adds the defaults.
 *
 * @throws {TypeError} if there is an unknown option
 * @throws {RangeError} if an option is out of range
 */
export function resolveTestOptions(options: SessionStoreTestOptions): ResolvedTestOptions {
  checkOptionNames("test a store", options, {
    shared: true,
    values: true,
    traces: true,
    maxValueBytes: true,
    timeout: true,
    broken: true,
    neighbour: true,
    test: true,
  });
  const { shared = true, values = "json", traces = "grace", maxValueBytes = 512 * 1024, timeout = 30 } = options;
  const { broken, neighbour } = options;
  if (!["json", "all"].includes(values)) throw outOfRange("values", '"json" or "all"', values);
  if (!["grace", "deadline"].includes(traces)) throw outOfRange("traces", '"grace" or "deadline"', traces);
  if (!Number.isInteger(maxValueBytes) || maxValueBytes < 1024) {
    throw outOfRange("maxValueBytes", "an integer of at least 1,024", maxValueBytes);
  }
  if (!(timeout > 0 && timeout <= 3600)) throw outOfRange("timeout", "a number above 0 and at most 3,600", timeout);
  return { shared, values, traces, maxValueBytes, timeout, broken, neighbour };
}

function outOfRange(option: string, expected: string, received: unknown): RangeError {
  return new RangeError(
    `Cannot test a store: option \`${option}\` is out of range; expected ${expected}, received ${show(received)}`,
  );
}
