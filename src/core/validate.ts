/**
 * Checks of the arguments that applications pass to sessions.
 *
 * @module
 */
import { SessionStoreError } from "../errors.ts";
import { MAX_DATE_MS } from "../options.ts";

/** The options of `Session.regenerate()`. */
export interface RegenerateOptions {
  /**
   * How long requests with the old id can still read and write the session, in seconds. 0 or more.
   * These requests do not receive the new cookie. Cannot be combined with `principal`.
   *
   * @default {0} the old id is refused immediately
   */
  graceSeconds?: number;
  /**
   * The user that the session is bound to from now on, such as the user's id. A well-formed string
   * that is not empty. Cannot be combined with `graceSeconds`, because an id from before the
   * sign-in must not reach a signed-in session.
   *
   * @default {undefined} unchanged
   */
  principal?: string;
}

/**
 * Checks the key of a value.
 *
 * @throws {TypeError} if it is not a well-formed string
 */
export function checkKey(operation: string, key: string): void {
  if (typeof key !== "string" || !key.isWellFormed()) {
    throw new TypeError(`Cannot ${operation}: the key is not a well-formed string`);
  }
}

/**
 * Checks the name of a user.
 *
 * @throws {TypeError} if it is not a well-formed string
 * @throws {RangeError} if it is empty
 */
export function checkPrincipal(operation: string, principal: string): void {
  if (typeof principal !== "string" || !principal.isWellFormed()) {
    throw new TypeError(`Cannot ${operation}: the principal must be a well-formed string`);
  }
  if (principal === "") throw new RangeError(`Cannot ${operation}: the principal is empty`);
}

/**
 * Checks the options of `regenerate()`.
 *
 * @throws {TypeError} if one is of the wrong type, or both are given
 * @throws {RangeError} if `graceSeconds` is out of range, or `principal` is empty
 */
export function checkRegenerateOptions({ graceSeconds, principal }: RegenerateOptions): void {
  if (graceSeconds !== undefined && principal !== undefined) {
    throw new TypeError(
      "Cannot regenerate: `graceSeconds` and `principal` exclude each other, because an id from before the sign-in must not reach a " +
        "signed-in session",
    );
  }
  if (graceSeconds !== undefined && typeof graceSeconds !== "number") {
    throw new TypeError("Cannot regenerate: `graceSeconds` must be a number");
  }
  if (graceSeconds !== undefined && !(graceSeconds >= 0 && Date.now() + graceSeconds * 1000 <= MAX_DATE_MS)) {
    throw new RangeError(
      "Cannot regenerate: `graceSeconds` must be 0 or more, and end within the range of a Date",
    );
  }
  if (principal !== undefined) checkPrincipal("regenerate", principal);
}

/** Creates the error of an operation on a session that the store failed to look up. */
export function unavailableError(operation: string, cause: SessionStoreError): SessionStoreError {
  const message = `Cannot ${operation}: the session is not available, because the store failed`;
  return new SessionStoreError(operation, message, { cause });
}
