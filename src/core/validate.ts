/**
 * Checks of the arguments that applications pass to sessions.
 *
 * @module
 */
import { actionOf, cannot } from "../errors.ts";
import { MAX_DATE_MS } from "../options.ts";
import { DURATION_REQUIREMENT, isDuration } from "../resolve_options.ts";
import type { RegenerateOptions } from "../session_types.ts";
import { cloneValue } from "../util/clone_value.ts";
import { describeType, optionError } from "../util/describe_value.ts";
import { warnIfMilliseconds } from "../util/likely_milliseconds.ts";
import { checkOptionNames } from "../util/option_names.ts";
import type { Regeneration } from "./session_changes.ts";
import { NO_VALUES } from "./session_values.ts";

const REGENERATE_OPTIONS = { graceSeconds: true, principal: true, maxAge: true, label: true, set: true };

/** The greatest length of a label, in UTF-16 code units. */
const MAX_LABEL_LENGTH = 256;

/** The greatest number of users on a page. */
const MAX_PAGE_LIMIT = 1000;

/** Every store accepts a user of this length. */
const MAX_PRINCIPAL_LENGTH = 512;

/**
 * Checks the key of a value.
 *
 * @throws {TypeError} if it is not a well-formed string
 */
export function checkKey(operation: string, key: string): void {
  checkText(operation, "key", key);
}

function checkText(operation: string, name: string, text: unknown): void {
  if (typeof text === "string" && text.isWellFormed()) return;
  throw new TypeError(
    cannot(operation, `the ${name} must be a well-formed string; received ${describeType(text)}`),
  );
}

/**
 * Checks the name of a user.
 *
 * @throws {TypeError} if it is not a well-formed string
 * @throws {RangeError} if it is empty or has more than 512 characters
 */
export function checkPrincipal(operation: string, principal: string): void {
  checkText(operation, "principal", principal);
  checkLength(operation, "principal", principal, MAX_PRINCIPAL_LENGTH);
}

/**
 * Checks the greatest number of users on a page.
 *
 * @throws {TypeError} if it is not a number
 * @throws {RangeError} if it is not an integer from 1 to 1,000
 */
export function checkPageLimit(operation: string, limit: number): void {
  if (Number.isInteger(limit) && limit >= 1 && limit <= MAX_PAGE_LIMIT) return;
  throw optionError(
    actionOf(operation),
    "limit",
    `must be an integer from 1 to ${MAX_PAGE_LIMIT}`,
    limit,
    typeof limit === "number",
  );
}

/**
 * Checks and copies values.
 *
 * @throws {TypeError} if a key or a value cannot be stored
 */
export function copyValues(operation: string, values: object): Map<string, unknown> {
  if (typeof values !== "object" || values === null || !isPlainObject(values)) {
    const expected = operation === "regenerate" ? "`set` to be" : "a key and a value, or";
    throw new TypeError(
      `Cannot ${operation}: expected ${expected} a plain object of values by key; received ${describeType(values)}`,
    );
  }
  const copies = new Map<string, unknown>();
  for (const [key, value] of Object.entries(values)) {
    checkKey(operation, key);
    copies.set(key, cloneValue(key, value));
  }
  if (Object.getOwnPropertySymbols(values).length > 0) {
    throw new TypeError(`Cannot ${operation}: a key is a symbol; expected a well-formed string`);
  }
  return copies;
}

function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/**
 * Checks how long a session is to last.
 *
 * @throws {TypeError} if it is neither a number nor `null`
 * @throws {RangeError} if it is out of range
 */
export function checkMaxAge(operation: string, maxAge: number | null): void {
  if (maxAge === null) return;
  if (!isDuration(maxAge)) {
    throw optionError(
      actionOf(operation),
      "maxAge",
      `${DURATION_REQUIREMENT}, or null`,
      maxAge,
      typeof maxAge === "number",
    );
  }
  warnIfMilliseconds("maxAge", maxAge);
}

/**
 * Checks the label of a session.
 *
 * @throws {TypeError} if it is not a well-formed string
 * @throws {RangeError} if it is empty or too long
 */
export function checkLabel(operation: string, label: string): void {
  checkText(operation, "label", label);
  checkLength(operation, "label", label, MAX_LABEL_LENGTH);
}

function checkLength(operation: string, name: string, { length }: string, max: number): void {
  if (length >= 1 && length <= max) return;
  throw new RangeError(
    cannot(operation, `the ${name} must have 1 to ${max} characters; received ${length}`),
  );
}

/**
 * Checks and copies the options of `regenerate()`.
 *
 * @throws {TypeError} if one is unknown or of the wrong type, if `graceSeconds` and `principal` are
 * both given, or if a value cannot be stored
 * @throws {RangeError} if one is out of range
 */
export function readRegenerateOptions(options: RegenerateOptions): Regeneration {
  checkOptionNames("regenerate", options, REGENERATE_OPTIONS);
  const { graceSeconds, principal, maxAge, label, set } = options;
  if (graceSeconds !== undefined && principal !== undefined) {
    throw new TypeError(
      "Cannot regenerate: `graceSeconds` and `principal` exclude each other, because an id from before the sign-in must not reach a " +
        "signed-in session; leave out `graceSeconds`",
    );
  }
  if (graceSeconds !== undefined && typeof graceSeconds !== "number") {
    throw optionError("regenerate", "graceSeconds", "must be a number of seconds", graceSeconds);
  }
  warnIfMilliseconds("graceSeconds", graceSeconds);
  if (graceSeconds !== undefined && !(graceSeconds >= 0 && Date.now() + graceSeconds * 1000 <= MAX_DATE_MS)) {
    const requirement = "must be 0 or more, and end within the range of a Date";
    throw optionError("regenerate", "graceSeconds", requirement, graceSeconds, true);
  }
  if (principal !== undefined) checkPrincipal("regenerate", principal);
  if (maxAge !== undefined) checkMaxAge("regenerate", maxAge);
  if (label !== undefined) checkLabel("regenerate", label);
  const values = set === undefined ? NO_VALUES : copyValues("regenerate", set);
  return { graceSeconds: graceSeconds ?? 0, details: { principal, maxAge, label }, values };
}
