/**
 * A process that `open_error_test.ts` starts: its `PostgresStore` reaches none of several hosts.
 * Every delay of a second or more is a hundredth as long.
 *
 * @module
 */
import { PostgresStore } from "@alosaur/session/postgres";

const { setTimeout } = globalThis;
globalThis.setTimeout =
  ((callback: () => void, delay = 0, ...args: []) =>
    setTimeout(callback, delay >= 1000 ? delay / 100 : delay, ...args)) as typeof setTimeout;

await new PostgresStore("postgres://ada@127.0.0.1:1,127.0.0.1:1/app").init().catch((error) =>
  console.log(error.message)
);
// The process must end although the store is not closed.
