/**
 * The option `secret`: its validation and its conversion into keys.
 *
 * @module
 */
import { encodeBase64Url } from "./util/base64url.ts";
import { CHECK_VARIABLE, describeType } from "./util/describe_value.ts";

/**
 * A secret that signs cookies. A string is encoded as UTF-8. A `Uint8Array` is used unchanged. A
 * bigint or a positive safe integer is encoded as big-endian bytes without leading zeros.
 */
export type SessionSecret = Uint8Array | bigint | number | string;

/** Shorter secrets can be brute-forced. For SHA-256, RFC 2104 section 3 recommends 32 bytes. */
const MIN_SECRET_BYTES = 16;
/** The example secret of Alosaur's documentation of sessions. It is public. */
const PUBLISHED_SECRET = "6b911fd37cdf5c81d4c0adb1ab7fa822ed253ab0ad9aa18d77257c88b29b718e";

/**
 * Generates a secret of 32 random bytes, the output length of the hash (RFC 2104 section 3).
 *
 * @returns the bytes in 43 characters of base64url
 */
export function generateSecret(): string {
  return encodeBase64Url(crypto.getRandomValues(new Uint8Array(32)));
}

/**
 * Converts the option `secret` into keys.
 *
 * @returns the keys in the same order, and whether at least one of them is easy to guess
 * @throws {TypeError} if a secret has the wrong type, or the array is empty
 * @throws {RangeError} if a secret is empty or zero, or a number that is negative or not a safe
 * integer
 */
export function readSecrets(secret: SessionSecret | readonly SessionSecret[]): { keys: Uint8Array[]; weak: boolean } {
  const secrets: readonly SessionSecret[] = isList(secret) ? secret : [secret];
  if (secrets.length === 0) {
    throw new TypeError("Cannot sign the session cookie: `secret` is an empty array; expected at least one secret");
  }
  const keys = secrets.map(secretBytes);
  const weak = keys.some((key) => key.length < MIN_SECRET_BYTES || isPublished(key));
  return { keys, weak };
}

/**
 * Returns whether a key is the published secret, either its text or the bytes that its hex digits
 * encode.
 */
function isPublished(key: Uint8Array): boolean {
  const text = new TextEncoder().encode(PUBLISHED_SECRET);
  return [text, Uint8Array.fromHex(PUBLISHED_SECRET)].some((known) => known.toHex() === key.toHex());
}

function isList(secret: SessionSecret | readonly SessionSecret[]): secret is readonly SessionSecret[] {
  return Array.isArray(secret);
}

function secretBytes(secret: SessionSecret): Uint8Array {
  const bytes = encodeSecret(secret);
  // HMAC pads a key with zeros, so a key of zeros equals the empty one.
  if (bytes.every((byte) => byte === 0)) {
    throw new RangeError(`Cannot sign the session cookie: \`secret\` is empty or zero; ${CHECK_VARIABLE}`);
  }
  return bytes;
}

function encodeSecret(secret: SessionSecret): Uint8Array {
  if (typeof secret === "string") return new TextEncoder().encode(secret);
  if (secret instanceof Uint8Array) return new Uint8Array(secret);
  if (typeof secret === "number" && !Number.isSafeInteger(secret)) {
    throw new RangeError(
      "Cannot sign the session cookie: a number as `secret` must be a safe integer; use a bigint or a string",
    );
  }
  if (typeof secret === "number" || typeof secret === "bigint") {
    if (secret < 0) throw new RangeError("Cannot sign the session cookie: a number as `secret` must not be negative");
    const hex = secret.toString(16);
    return Uint8Array.fromHex(hex.length % 2 === 0 ? hex : `0${hex}`);
  }
  throw new TypeError(
    "Cannot sign the session cookie: each `secret` must be a string, a Uint8Array, a bigint or a number; " +
      `received ${describeType(secret)}; ${CHECK_VARIABLE}`,
  );
}
