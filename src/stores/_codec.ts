/**
 * Values and keys as text, for backends that keep text.
 *
 * @module
 */
import { stringify, unflatten } from "npm:devalue@6.0.3";
import { cloneValue } from "../util/clone_value.ts";

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
  const text = stringify(cloneValue(key, value, escapeName));
  // Half a surrogate pair would not survive UTF-8; as an escape of JSON it does.
  return text.isWellFormed() ? text : text.replace(LONE_SURROGATE, (half) => `\\u${half.charCodeAt(0).toString(16)}`);
}

/** Reads what {@linkcode encodeValue} wrote. */
export function decodeValue(text: string): unknown {
  return revive(JSON.parse(text), hasEscapes(text));
}

/**
 * Writes several values as one text: a JSON object of what {@linkcode encodeKey} and {@linkcode encodeValue} write; `null` stands for
 * `undefined`, and for nothing else.
 *
 * @param values any values that a session keeps, by their keys
 * @returns well-formed text without a NUL character
 * @throws {TypeError} if a value cannot be kept; the message names the key
 */
export function encodeValues(values: Iterable<[string, unknown]>): string {
  const members = Array.from(values, ([key, value]) => {
    return `"${encodeKey(key)}":${value === undefined ? null : encodeValue(key, value)}`;
  });
  return `{${members.join(",")}}`;
}

/** Reads what {@linkcode encodeValues} wrote of values that are there. */
export function decodeValues(text: string): Map<string, unknown> {
  const parsed: Record<string, Parsed> = JSON.parse(text);
  const escaped = hasEscapes(text);
  const values = new Map<string, unknown>();
  for (const name of Object.keys(parsed)) values.set(decodeKey(name), revive(parsed[name] as Parsed, escaped));
  return values;
}

/**
 * Writes a key as well-formed text without any character that JSON writes as an escape. NUL is one of them, which PostgreSQL refuses and
 * SQLite takes for the end.
 */
export function encodeKey(key: string): string {
  return key.replace(UNSAFE, (character) => `%${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Reads what {@linkcode encodeKey} wrote. */
export function decodeKey(text: string): string {
  return !text.includes("%")
    ? text
    : text.replace(/%(....)/g, (_, code: string) => String.fromCharCode(parseInt(code, 16)));
}

/** Half of a surrogate pair. */
const LONE_SURROGATE = /\p{Cs}/gu;

/** What JSON writes as an escape, and what stands for that. */
const UNSAFE = /[%"\\\p{Cc}\p{Cs}]/gu;

/** What {@linkcode encodeValue} writes, read as JSON. */
type Parsed = number | unknown[];

function revive(parsed: Parsed, escaped: boolean): unknown {
  const value: unknown = unflatten(parsed);
  return escaped ? cloneValue("", value, unescapeName) : value;
}

/** What the name of a property begins with that was written as {@linkcode encodeKey} writes it. */
const ESCAPE = "__proto__:";

/** Whether there may be such a name. Most texts have none: they are spared a walk. */
function hasEscapes(text: string): boolean {
  return text.includes(`"${ESCAPE}`);
}

// devalue refuses the property `__proto__`, which JSON can hold. And V8 mistakes some names that have escapes in JSON for others
// (https://issues.chromium.org/issues/521080746).
function escapeName(name: string): string {
  const text = encodeKey(name);
  return text !== name || name === "__proto__" || name.startsWith(ESCAPE) ? ESCAPE + text : name;
}

function unescapeName(name: string): string {
  return name.startsWith(ESCAPE) ? decodeKey(name.slice(ESCAPE.length)) : name;
}
