/**
 * Compares values of a session.
 *
 * @module
 */

/** Returns whether two values of a session are equal in every part. The order of entries counts. */
export function areEqual(one: unknown, other: unknown): boolean {
  return areEqualParts(one, other, new Map());
}

/** @param pairs the objects that are being compared, because values can have cycles */
function areEqualParts(one: unknown, other: unknown, pairs: Map<object, object>): boolean {
  if (Object.is(one, other)) return true;
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return false;
  if (pairs.has(one)) return pairs.get(one) === other;
  pairs.set(one, other);
  if (Object.getPrototypeOf(one) !== Object.getPrototypeOf(other)) return false;
  const parts = partsOf(one);
  const otherParts = partsOf(other);
  return parts.length === otherParts.length && parts.every((part, i) => areEqualParts(part, otherParts[i], pairs));
}

function partsOf(value: object): unknown[] {
  if (value instanceof Date) return [value.getTime()];
  if (value instanceof Map) return [...value.keys(), ...value.values()];
  if (value instanceof Set) return [...value];
  if (value instanceof ArrayBuffer) return [...new Uint8Array(value)];
  if (ArrayBuffer.isView(value)) return [...value as Uint8Array];
  return [...Object.keys(value), ...Object.values(value)];
}
