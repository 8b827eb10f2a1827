/**
 * A process of its own on a file, for `sqlite_store_test.ts`.
 *
 * `update <path> <times>` opens the file, says so, is told a cookie, and then adds one to a value as often, each time in a request.
 * `write <path> <first> <moves>` writes until it is killed, and prints the number of each write, from the first on, when it was
 * acknowledged. Each tenth gives a session, that was given so many before, a new id.
 */
import { SqliteStore } from "../../src/stores/sqlite_store.ts";
import { start, visit } from "../helpers/request.ts";

/** What `write` writes: of many lengths, so that one is a page and another many. */
export function written(number: number): { number: number; text: string } {
  return { number, text: `${number}.`.repeat(1 + (number * 7919) % 2000) };
}

async function update(store: SqliteStore, times: number): Promise<void> {
  say("ready");
  const cookie = await new Response(Deno.stdin.readable).text();
  const middleware = start({}, store);
  for (let i = 0; i < times; i++) {
    await visit(middleware, { cookie }, ({ security }) => {
      return security.session.update("count", (count: number) => count + 1);
    });
  }
}

async function write(store: SqliteStore, first: number, moves: number): Promise<never> {
  for (let i = first, at = moves;; i++) {
    if (i % 10 !== 0) await store.setValue("written", `k${i % 10}`, written(i));
    else await store.moveRecord(`moved ${at}`, `moved ${++at}`, { meta: {}, graceUntil: 0 });
    say(i);
  }
}

function say(line: unknown): void {
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
