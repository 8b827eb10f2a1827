/**
 * Assertions. The author of a store reads their messages in the terminal. They have the form
 * `what: expected ..., got ...`.
 *
 * @module
 */
import { AssertionError } from "node:assert/strict";
import { inspect, isDeepStrictEqual } from "node:util";

/** Fails with a message unless a condition holds. */
export function expect(holds: boolean, message: string): asserts holds {
  if (!holds) throw new AssertionError({ message });
}

/** Fails unless both are deeply equal: same values, same classes, and `-0` is not `0`. */
export function expectEqual(actual: unknown, expected: unknown, what: string): void {
  if (isDeepStrictEqual(actual, expected)) return;
  throw new AssertionError({ message: `${what}: expected ${show(expected)}, got ${show(actual)}` });
}

/**
 * Fails unless a call rejects or throws.
 *
 * @param what the name of the call, for the error message
 * @param call runs the call
 * @param why the reason why the call must reject, for the error message
 * @returns the error
 */
export async function expectRejects(what: string, call: () => Promise<unknown>, why: string): Promise<unknown> {
  let result: unknown;
  try {
    result = await call();
  } catch (error) {
    return error;
  }
  throw new AssertionError({ message: `${what}: expected it to reject because ${why}, got ${show(result)}` });
}

/** Returns the message of a thrown value, which need not be an `Error`. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Formats a value for a message, in 300 characters at most. */
export function show(value: unknown): string {
  const text = inspect(value, { depth: 4, maxStringLength: 80, maxArrayLength: 8, breakLength: Infinity });
  return text.length > 300 ? `${text.slice(0, 300)}...` : text;
}
