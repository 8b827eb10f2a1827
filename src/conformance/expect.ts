/**
 * What a check expects of a store, and the message where that does not hold.
 *
 * @module
 */
import { AssertionError } from "node:assert/strict";
import { inspect, isDeepStrictEqual } from "node:util";

/** Fails with a message unless something holds. */
export function expect(holds: boolean, message: string): asserts holds {
  if (!holds) throw new AssertionError({ message });
}

/** Fails unless both are deeply equal: same values, same classes, `-0` told from `0`. */
export function expectEqual(actual: unknown, expected: unknown, what: string): void {
  if (isDeepStrictEqual(actual, expected)) return;
  throw new AssertionError({ message: `${what}: expected ${show(expected)}, got ${show(actual)}` });
}

/**
 * Fails unless a call rejects.
 *
 * @param what the call, in words
 * @param call makes it
 * @param why what the contract says of it
 * @returns what it rejected with
 */
export async function expectRejects(what: string, call: () => Promise<unknown>, why: string): Promise<unknown> {
  let answer: unknown;
  try {
    answer = await call();
  } catch (error) {
    return error;
  }
  throw new AssertionError({ message: `${what} resolved with ${show(answer)}: expected it to reject, because ${why}` });
}

/** What an error says, whatever it is. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A value for a message, not longer than a line or two. */
export function show(value: unknown): string {
  const text = inspect(value, { depth: 4, maxStringLength: 80, maxArrayLength: 8, breakLength: Infinity });
  return text.length > 300 ? `${text.slice(0, 300)}...` : text;
}
