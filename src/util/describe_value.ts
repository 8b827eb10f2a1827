/**
 * Describes values and names stores, for error messages.
 *
 * @module
 */

/** The advice if a secret is missing. Most often a variable was not set. */
export const CHECK_VARIABLE = "if it comes from an environment variable, check that the variable is set";

/** A longer text is described by its length. */
const MAX_TEXT_LENGTH = 64;

/**
 * Describes a value by its type, such as `"a string"`, `"an array"`, `"a Map"` or `"null"`. Use it
 * for what may be secret.
 */
export function describeType(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  if (Array.isArray(value)) return value.length === 0 ? "an empty array" : "an array";
  if (typeof value === "string") return value.isWellFormed() ? "a string" : "a string with a lone surrogate";
  const type = typeof value === "object" ? classOf(value) ?? "object" : typeof value;
  return `${/^[aeio]/i.test(type) ? "an" : "a"} ${type}`;
}

/** Describes a value as code, such as `"lax"` or `-1`, or by its type. Use it for options only. */
export function describeOption(value: unknown): string {
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "an invalid Date" : value.toISOString();
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value !== "string") return describeType(value);
  return value.length > MAX_TEXT_LENGTH ? `a string of ${value.length} characters` : JSON.stringify(value);
}

/**
 * Creates the error of a wrong option.
 *
 * @param action what the caller does, for the message: "Cannot <action>: …"
 * @param requirement what the option must be, such as `"must be an integer above 0"`
 * @param hasType whether the value has the right type, so that it is out of range
 */
export function optionError(
  action: string,
  option: string,
  requirement: string,
  value: unknown,
  hasType = false,
): TypeError | RangeError {
  const message = `Cannot ${action}: \`${option}\` ${requirement}; received ${describeOption(value)}`;
  return hasType ? new RangeError(message) : new TypeError(message);
}

/**
 * Returns the name of an object's class; `undefined` for a plain object. The object itself may have
 * a property `constructor`, which says nothing about it.
 */
export function classOf(value: object): string | undefined {
  const name: unknown = Object.getPrototypeOf(value)?.constructor?.name;
  return typeof name === "string" && name !== "" && name !== "Object" ? name : undefined;
}

/** The key of the name of an object that stands for a store, or that is not only one of a class. */
export const STORE_NAME: unique symbol = Symbol("store name");

/**
 * Returns the name of a store for messages: its {@linkcode STORE_NAME}, or the name of its class.
 * `"SessionStore"` if it has neither.
 */
export function nameOf(store: object): string {
  const name: unknown = Reflect.get(store, STORE_NAME);
  return typeof name === "string" ? name : classOf(store) ?? "SessionStore";
}
