/** What a store does when its disk is full. */
import { assert, assertEquals, assertRejects } from "../helpers/assert.ts";
import { cookieOf, read, signUp, start, visit } from "../helpers/request.ts";
import { type SessionStore, SessionStoreError } from "../../mod.ts";

/** Requests that wrote, and what became of them. */
export interface Seen {
  sent: number;
  answered: number;
  refused: number;
  lost: number;
  /** What the backend said. */
  why: string[];
}

/**
 * Sends requests that write until most of them are refused, and goes on when there is room again.
 *
 * @param store on a disk that has little room
 * @param makeRoom makes more
 */
export async function fillDisk(store: SessionStore, makeRoom: () => void): Promise<Seen> {
  const middleware = start({}, store);
  let cookie = await signUp(middleware);
  const acknowledged = new Map<string, unknown>([["user", "ada"]]);
  const seen: Seen = { sent: 0, answered: 0, refused: 0, lost: 0, why: [] };
  const refused = ({ cause }: Error): void => {
    const why = String(cause);
    if (!seen.why.includes(why)) seen.why.push(why);
  };
  const write = async (key: string): Promise<void> => {
    const value = key.repeat(300);
    seen.sent++;
    try {
      await visit(middleware, { cookie }, ({ security }) => security.session.set(key, value));
      acknowledged.set(key, value);
      seen.answered++;
    } catch (error) {
      assert(error instanceof SessionStoreError && error.httpCode === 503, Deno.inspect(error));
      refused(error);
      seen.refused++;
    }
  };
  const countLost = async (): Promise<void> => {
    for (const [key, value] of acknowledged) if (await read(middleware, cookie, key) !== value) seen.lost++;
  };

  for (let i = 0; seen.refused < 50; i++) await write(`key ${i}`);
  assert(seen.answered > 0);
  // Nobody is told that he has signed up.
  refused(await assertRejects(() => signUp(middleware, { text: "x".repeat(100_000) }), SessionStoreError));
  await countLost();

  makeRoom();
  const { answered } = seen;
  await write("after");
  assertEquals(seen.answered, answered + 1);
  cookie = cookieOf(await visit(middleware, { cookie }, ({ security }) => security.session.regenerate()));
  await signUp(middleware, { text: "x".repeat(100_000) });
  await countLost();
  assertEquals(seen.lost, 0);
  return seen;
}
