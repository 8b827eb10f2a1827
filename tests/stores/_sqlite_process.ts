/**
 * A process that writes to a file, for `sqlite_store_test.ts`.
 *
 * - `update <path> <times>` opens the file, prints a line, reads a cookie from its standard input,
 *   and then increments a value that many times, each time in a request.
 * - `write <path> <first> <moves>` writes until it is killed. It numbers its writes from `first`,
 *   and prints each number when the write is acknowledged. Every tenth write gives the session
 *   `moved <moves>` a new id, and counts `moves` up.
 */
import { SqliteStore } from "../../src/stores/sqlite_store.ts";
import { start, visit } from "../helpers/request.ts";

/**
 * Returns the value of a write. Values have many lengths, so that some fill one page and others
 * several.
 */
export function written(number: number): { number: number; text: string } {
  return { number, text: `${number}.`.repeat(1 + (number * 7919) % 2000) };
}

async function update(store: SqliteStore, times: number): Promise<void> {
  print("ready");
  const cookie = await new Response(Deno.stdin.readable).text();
  const middleware = start({}, store);
  for (let i = 0; i < times; i++) {
    await visit(middleware, { cookie }, ({ security }) => {
      return security.session.update("count", (count: number) => count + 1);
    });
  }
}

async function write(store: SqliteStore, first: number, moves: number): Promise<never> {
  for (let i = first, moved = moves;; i++) {
    if (i % 10 !== 0) await store.setValue("written", `k${i % 10}`, written(i));
    else await store.moveRecord(`moved ${moved}`, `moved ${++moved}`, { meta: {}, graceUntil: 0 });
    print(i);
  }
}

function print(line: unknown): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

if (import.meta.main) {
  const [mode, path = "", ...numbers] = Deno.args;
  const [number = 0, moves = 0] = numbers.map(Number);
  await using store = new SqliteStore(path);
  await store.init();
  if (mode === "update") await update(store, number);
  else await write(store, number, moves);
}
