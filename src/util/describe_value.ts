/**
 * Describes a value that is not what was expected, for an error message.
 *
 * @module
 */

/** A longer text is described by its length. */
const MAX_TEXT_LENGTH = 64;

/**
 * Describes a value by its type, such as `"a string"`, `"an array"`, `"a Date"` or `"null"`. Use it
 * for what may be secret.
 */
export function describeType(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  const name: unknown = typeof value === "object" ? value.constructor?.name : undefined;
  const type = Array.isArray(value)
    ? value.length === 0 ? "empty array" : "array"
    : typeof name === "string" && name !== "Object" && name || typeof value;
  return `${/^[aeio]/i.test(type) ? "an" : "a"} ${type}`;
}

/** Describes a value as code, such as `"lax"` or `-1`, or by its type. Use it for options only. */
export function describeOption(value: unknown): string {
  if (typeof value === "string") {
    return value.length > MAX_TEXT_LENGTH ? `a string of ${value.length} characters` : JSON.stringify(value);
  }
  return typeof value === "number" || typeof value === "boolean" ? String(value) : describeType(value);
}
