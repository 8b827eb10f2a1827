/**
 * Encodes values and keys as text, for backends that store text.
 *
 * @module
 */
import { stringify, unflatten } from "npm:devalue@6.0.3";
import { cloneValue } from "../util/clone_value.ts";
import { unreadableError } from "./_records.ts";

/**
 * Encodes a value as JSON in the format of devalue, which also supports `undefined`, `Date`, `Map`,
 * `Set`, `bigint`, typed arrays, `ArrayBuffer` and cycles.
 *
 * @param key the value's key, for the error message
 * @param value any value that a session can hold
 * @returns well-formed text without a NUL character
 * @throws {TypeError} if a session cannot hold the value. The message names the key.
 */
export function encodeValue(key: string, value: unknown): string {
  const text = stringify(cloneValue(key, value, escapeName));
  // UTF-8 cannot encode a lone surrogate. A JSON escape can.
  return text.isWellFormed()
    ? text
    : text.replace(LONE_SURROGATE, (surrogate) => `\\u${surrogate.charCodeAt(0).toString(16)}`);
}

/**
 * Decodes the result of {@linkcode encodeValue}.
 *
 * @param store the name of the store, for the error message
 * @param operation the operation that needs the value, for the error message
 * @throws {UnreadableRecordError} if the text is not such a result
 */
export function decodeValue(text: string, store: string, operation = "get"): unknown {
  try {
    return revive(JSON.parse(text), hasEscapes(text));
  } catch {
    throw unreadableError(operation, store);
  }
}

/**
 * Encodes several values as one JSON object. Its names are the results of {@linkcode encodeKey},
 * and its values those of {@linkcode encodeValue}. Only the value `undefined` becomes `null`.
 *
 * @param values any values that a session can hold, by their keys
 * @returns well-formed text without a NUL character
 * @throws {TypeError} if a session cannot hold a value. The message names its key.
 */
export function encodeValues(values: Iterable<[string, unknown]>): string {
  const members = Array.from(values, ([key, value]) => {
    return `"${encodeKey(key)}":${value === undefined ? null : encodeValue(key, value)}`;
  });
  return `{${members.join(",")}}`;
}

/**
 * Decodes the result of {@linkcode encodeValues}, which must not contain `null`.
 *
 * @param store the name of the store, for the error message
 * @param operation the operation that needs the values, for the error message
 * @throws {UnreadableRecordError} if the text is not such a result
 */
export function decodeValues(text: string, store: string, operation = "get"): Map<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(text);
    if (!isObject(parsed)) throw new TypeError("expected an object");
    const escaped = hasEscapes(text);
    const values = new Map<string, unknown>();
    for (const name of Object.keys(parsed)) values.set(decodeKey(name), revive(parsed[name] as Parsed, escaped));
    return values;
  } catch {
    throw unreadableError(operation, store);
  }
}

/** Returns whether parsed JSON is an object, and not an array or `null`. */
export function isObject(parsed: unknown): parsed is Record<string, unknown> {
  return typeof parsed === "object" && parsed !== null && !Array.isArray(parsed);
}

/**
 * Encodes a key as well-formed text without any character that JSON escapes. One of these is NUL,
 * which PostgreSQL rejects and at which SQLite stops reading the text.
 */
export function encodeKey(key: string): string {
  return key.replace(UNSAFE, toEscape);
}

/** Encodes text in ASCII, which a database stores whatever its character set is. */
export function encodeAscii(text: string): string {
  return text.replace(NOT_ASCII, toEscape);
}

/** Decodes the result of {@linkcode encodeKey} or {@linkcode encodeAscii}. */
export function decodeKey(text: string): string {
  return !text.includes("%")
    ? text
    : text.replace(/%(....)/g, (_, code: string) => String.fromCharCode(parseInt(code, 16)));
}

/** With the flag `u`, a surrogate only matches if it is not part of a pair. */
const LONE_SURROGATE = /\p{Cs}/gu;

/**
 * The characters that JSON escapes, and `%`, which {@linkcode encodeKey} puts before their codes.
 */
const UNSAFE = /[%"\\\p{Cc}\p{Cs}]/gu;

/** The characters that are not in ASCII, and `%`. */
const NOT_ASCII = /[%\u0080-\uffff]/g;

function toEscape(character: string): string {
  return `%${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** The parsed JSON of {@linkcode encodeValue}. */
type Parsed = number | unknown[];

function revive(parsed: Parsed, escaped: boolean): unknown {
  const value: unknown = unflatten(parsed);
  return escaped ? cloneValue("", value, unescapeName) : value;
}

/** The prefix of a property's name that was encoded with {@linkcode encodeKey}. */
const ESCAPE_PREFIX = "__proto__:";

/**
 * Returns whether a text may contain an encoded property name. Otherwise its value need not be
 * cloned.
 */
function hasEscapes(text: string): boolean {
  return text.includes(`"${ESCAPE_PREFIX}`);
}

// devalue rejects the property `__proto__`, which is valid in JSON. V8's JSON.parse() confuses some
// names that contain escapes (https://issues.chromium.org/issues/521080746).
function escapeName(name: string): string {
  const text = encodeKey(name);
  return text !== name || name === "__proto__" || name.startsWith(ESCAPE_PREFIX) ? ESCAPE_PREFIX + text : name;
}

function unescapeName(name: string): string {
  return name.startsWith(ESCAPE_PREFIX) ? decodeKey(name.slice(ESCAPE_PREFIX.length)) : name;
}
