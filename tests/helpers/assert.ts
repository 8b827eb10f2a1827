/**
 * The assertions of std, under explicit types.
 *
 * Note: if only the npm registry can be reached, std is mapped to its republished JavaScript, which
 * has no types. Every test imports its assertions from here, so that a wrong call is a type error
 * in both cases.
 */
import * as std from "jsr:@std/assert@1.0.13";

// deno-lint-ignore no-explicit-any
type ErrorClass<E extends Error> = abstract new (...args: any[]) => E;

/** Fails unless `expr` is truthy. */
export const assert: (expr: unknown, msg?: string) => asserts expr = std.assert;
/** Fails unless both are deeply equal. */
export const assertEquals: <T>(actual: T, expected: T, msg?: string) => void = std.assertEquals;
/** Fails if both are deeply equal. */
export const assertNotEquals: <T>(actual: T, expected: T, msg?: string) => void = std.assertNotEquals;
/** Fails unless both are the same value or reference. */
export const assertStrictEquals: <T>(actual: unknown, expected: T, msg?: string) => asserts actual is T = std
  .assertStrictEquals;
/** Fails unless `actual` matches. */
export const assertMatch: (actual: string, expected: RegExp, msg?: string) => void = std.assertMatch;
/** Fails if `actual` matches. */
export const assertNotMatch: (actual: string, expected: RegExp, msg?: string) => void = std.assertNotMatch;
/** Fails unless `actual` contains `expected`. */
export const assertStringIncludes: (actual: string, expected: string, msg?: string) => void = std.assertStringIncludes;
/** Fails unless `actual` is an instance of `type`. */
export const assertInstanceOf: <T>(
  actual: unknown,
  // deno-lint-ignore no-explicit-any
  type: abstract new (...args: any[]) => T,
  msg?: string,
) => asserts actual is T = std.assertInstanceOf;
/** Fails unless `fn` throws an `E` whose message contains `msgIncludes`; returns the error. */
export const assertThrows: <E extends Error>(
  fn: () => unknown,
  errorClass: ErrorClass<E>,
  msgIncludes?: string,
) => E = std.assertThrows;
/**
 * Fails unless `fn` returns a promise that rejects with an `E` whose message contains
 * `msgIncludes`; returns the error.
 */
export const assertRejects: <E extends Error>(
  fn: () => PromiseLike<unknown>,
  errorClass: ErrorClass<E>,
  msgIncludes?: string,
) => Promise<E> = std.assertRejects;
