/**
 * Values and keys as text, for backends that keep text.
 *
 * @module
 */
import { parse, stringify } from "npm:devalue@6.0.3";
import { copyValue } from "../_values.ts";

/**
 * Writes a value as text: JSON, in the form of devalue, which knows `undefined`, `Date`, `Map`, `Set`, `bigint`, typed arrays,
 * `ArrayBuffer` and cycles too.
 *
 * @param key the value's key, for the message
 * @param value any value that a session keeps
 * @returns well-formed text without a NUL character
 * @throws {TypeError} if the value cannot be kept; the message names the key
 */
export function encodeValue(key: string, value: unknown): string {
  // devalue refuses the property `__proto__`, which JSON can hold.
  const text = stringify(copyValue(key, value, escapeName));
  // Half a surrogate pair would not survive UTF-8; as an escape of JSON it does.
  return text.isWellFormed() ? text : text.replace(LONE_SURROGATE, (half) => `\\u${half.charCodeAt(0).toString(16)}`);
}

/** Reads what {@linkcode encodeValue} wrote. */
export function decodeValue(text: string): unknown {
  const value: unknown = parse(text);
  return text.includes('"__proto__') ? copyValue("", value, unescapeName) : value;
}

/** Writes a key as text without a NUL character, which PostgreSQL refuses and SQLite takes for the end. */
export function encodeKey(key: string): string {
  return key.replaceAll("\\", "\\\\").replaceAll("\0", "\\0");
}

/** Reads what {@linkcode encodeKey} wrote. */
export function decodeKey(text: string): string {
  return text.replace(/\\(.)/g, (_, character: string) => character === "0" ? "\0" : character);
}

const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** `__proto__`, and every name that one of these would be mistaken for. */
const ESCAPED = /^__proto___*$/;

function escapeName(name: string): string {
  return ESCAPED.test(name) ? `${name}_` : name;
}

function unescapeName(name: string): string {
  return ESCAPED.test(name) ? name.slice(0, -1) : name;
}
