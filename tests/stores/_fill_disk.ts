/** Fills the disk of a store, and checks that no acknowledged write is lost. */
import { assert, assertEquals, assertRejects } from "../helpers/assert.ts";
import { cookieOf, read, signUp, start, visit } from "../helpers/request.ts";
import { type SessionStore, SessionStoreError } from "../../mod.ts";

/** The number of requests that wrote, by outcome. */
export interface Outcome {
  sent: number;
  answered: number;
  refused: number;
  /** How many acknowledged writes could not be read again. */
  lost: number;
  /** The backend's error messages. */
  reasons: string[];
}

/**
 * Sends requests that write until 50 of them are refused, frees space, and checks that the store
 * works again.
 *
 * @param store a store on a disk with little space
 * @param freeSpace frees space on the disk
 */
export async function fillDisk(store: SessionStore, freeSpace: () => void): Promise<Outcome> {
  const middleware = start({}, store);
  let cookie = await signUp(middleware);
  const acknowledged = new Map<string, unknown>([["user", "ada"]]);
  const outcome: Outcome = { sent: 0, answered: 0, refused: 0, lost: 0, reasons: [] };
  const noteReason = ({ cause }: Error): void => {
    const reason = String(cause);
    if (!outcome.reasons.includes(reason)) outcome.reasons.push(reason);
  };
  const write = async (key: string): Promise<void> => {
    const value = key.repeat(300);
    outcome.sent++;
    try {
      await visit(middleware, { cookie }, ({ security }) => security.session.set(key, value));
      acknowledged.set(key, value);
      outcome.answered++;
    } catch (error) {
      assert(error instanceof SessionStoreError && error.httpCode === 503, Deno.inspect(error));
      noteReason(error);
      outcome.refused++;
    }
  };
  const countLost = async (): Promise<void> => {
    for (const [key, value] of acknowledged) if (await read(middleware, cookie, key) !== value) outcome.lost++;
  };

  for (let i = 0; outcome.refused < 50; i++) await write(`key ${i}`);
  assert(outcome.answered > 0);
  // A sign-up fails too, and sends no cookie.
  noteReason(await assertRejects(() => signUp(middleware, { text: "x".repeat(100_000) }), SessionStoreError));
  await countLost();

  freeSpace();
  const { answered } = outcome;
  await write("after");
  assertEquals(outcome.answered, answered + 1);
  cookie = cookieOf(await visit(middleware, { cookie }, ({ security }) => security.session.regenerate()));
  await signUp(middleware, { text: "x".repeat(100_000) });
  await countLost();
  assertEquals(outcome.lost, 0);
  return outcome;
}
