/**
 * The values that a session keeps, copied and checked in one walk.
 *
 * @module
 */

/** How deep a value may be nested. Deeper ones are refused before they exhaust the stack. */
const MAX_DEPTH = 500;

/**
 * Copies a value that a session can keep, and refuses every other.
 *
 * Kept: what JSON knows, and `undefined`, `bigint`, `Date`, `Map`, `Set`, typed arrays and `ArrayBuffer`, nested as they like, the
 * same object twice and cycles included. Refused: functions, symbols, promises, and instances of any other class, because a
 * store would give them back without their class.
 *
 * @param key the session's key, for the message
 * @param value the value to copy
 * @param rename gives properties other names in the copy
 * @returns a copy that shares nothing mutable with `value`
 * @throws {TypeError} if some part of `value` cannot be kept; the message names the key
 */
export function cloneValue<T>(key: string, value: T, rename: Rename = unchanged): T {
  // Most values are primitives: they need neither a walk nor a table of what was seen.
  return (isPrimitive(value) ? value : copyPart({ key, rename, seen: new Map() }, value, 0)) as T;
}

/** Gives the properties of plain objects other names in the copy. */
export type Rename = (name: string) => string;

const unchanged: Rename = (name) => name;

/** One walk. */
interface Walk {
  readonly key: string;
  readonly rename: Rename;
  /** The copies by what they are of. */
  readonly seen: Map<object, unknown>;
}

function isPrimitive(value: unknown): boolean {
  switch (typeof value) {
    case "object":
      return value === null;
    case "function":
    case "symbol":
      return false;
    default:
      return true;
  }
}

function copyPart(walk: Walk, value: unknown, depth: number): unknown {
  if (isPrimitive(value)) return value;
  const { key, rename, seen } = walk;
  if (typeof value !== "object" || value === null) throw refusal(key, `a ${typeof value}`);
  if (seen.has(value)) return seen.get(value);
  if (depth > MAX_DEPTH) throw refusal(key, `a value nested deeper than ${MAX_DEPTH} levels`);
  const part = (inner: unknown): unknown => copyPart(walk, inner, depth + 1);
  const remember = <C extends object>(copy: C): C => {
    seen.set(value, copy);
    return copy;
  };

  if (Array.isArray(value)) {
    const copy: unknown[] = remember(new Array(value.length));
    for (let i = 0; i < value.length; i++) copy[i] = part(value[i]);
    return copy;
  }
  if (isPlainObject(value)) {
    const copy = remember({});
    for (const [name, inner] of Object.entries(value)) define(copy, rename(name), part(inner));
    return copy;
  }
  if (value instanceof Date) return remember(new Date(value));
  if (value instanceof Map) {
    const copy = remember(new Map<unknown, unknown>());
    for (const [name, inner] of value) copy.set(part(name), part(inner));
    return copy;
  }
  if (value instanceof Set) {
    const copy = remember(new Set<unknown>());
    for (const inner of value) copy.add(part(inner));
    return copy;
  }
  // A typed array is copied by its elements: cloning it with its buffer would keep whatever else lies in that buffer.
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) return remember(copyTypedArray(value));
  if (value instanceof ArrayBuffer) return remember(value.slice(0));
  throw refusal(key, value instanceof Promise ? "a promise (await it first)" : describeInstance(value));
}

/** Tells `{}` and `Object.create(null)`, of this realm or another, from the instances of classes. */
function isPlainObject(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null;
}

/** Makes an object without prototype, so that `__proto__` is a key like any other, of values that are copies already. */
export function toObject(values: Iterable<[string, unknown]>): Record<string, unknown> {
  const object: Record<string, unknown> = Object.create(null);
  for (const [key, value] of values) object[key] = value;
  return object;
}

/** Sets an own property, also where the name is `__proto__`, which an assignment would take for the prototype. */
function define(target: object, name: string, value: unknown): void {
  if (name === "__proto__") {
    Object.defineProperty(target, name, { value, configurable: true, enumerable: true, writable: true });
  } else {
    (target as Record<string, unknown>)[name] = value;
  }
}

/** Copies into the built-in class, whatever subclass (such as Node's `Buffer`) it was. */
function copyTypedArray(value: ArrayBufferView): object {
  const name = (value as unknown as { [Symbol.toStringTag]: "Uint8Array" })[Symbol.toStringTag];
  return new globalThis[name](value as Uint8Array);
}

function describeInstance(value: object): string {
  const name: unknown = value.constructor?.name;
  return typeof name === "string" && name !== ""
    ? `an instance of ${name} (keep a plain object in its place)`
    : "an object with a prototype of its own (keep a plain object in its place)";
}

function refusal(key: string, what: string): TypeError {
  return new TypeError(`Cannot set ${JSON.stringify(key)}: a session cannot keep ${what}`);
}
