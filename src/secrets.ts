/**
 * The option `secret`: its check, and the keys that it stands for.
 *
 * @module
 */
import { encodeBase64Url } from "./util/base64url.ts";

/**
 * What a cookie is signed with. A string is its UTF-8 bytes, a `Uint8Array` is used as it is, a bigint or a safe positive integer is
 * its big-endian bytes without leading zeros.
 */
export type SessionSecret = Uint8Array | bigint | number | string;

/** A shorter secret can be found by trying; HMAC itself recommends 32 bytes for SHA-256 (RFC 2104 section 3). */
const MIN_SECRET_BYTES = 16;
/** The secret printed in this project's documentation since its first day. */
const PUBLISHED_SECRET = "6b911fd37cdf5c81d4c0adb1ab7fa822ed253ab0ad9aa18d77257c88b29b718e";

/** Creates a secret: 32 random bytes, as many as the hash has (RFC 2104 section 3), in 43 characters of base64url. */
export function generateSecret(): string {
  return encodeBase64Url(crypto.getRandomValues(new Uint8Array(32)));
}

/**
 * Converts the option `secret` into keys.
 *
 * @returns the keys, and whether one of them is easily guessed
 * @throws {TypeError} if a secret is of another type, or there is none
 * @throws {RangeError} if a secret is empty, all zeros (HMAC pads with zeros, so that equals the empty one), negative, fractional or unsafe
 */
export function readSecrets(secret: SessionSecret | readonly SessionSecret[]): { keys: Uint8Array[]; weak: boolean } {
  const secrets: readonly SessionSecret[] = isList(secret) ? secret : [secret];
  if (secrets.length === 0) throw new TypeError("Cannot sign the session cookie: `secret` is an empty array");
  const keys = secrets.map(secretBytes);
  const weak = keys.some((key) => key.length < MIN_SECRET_BYTES || isPublished(key));
  return { keys, weak };
}

/** Returns whether a key is the published secret, as its text or as the bytes that the text encodes. */
function isPublished(key: Uint8Array): boolean {
  const text = new TextEncoder().encode(PUBLISHED_SECRET);
  return [text, Uint8Array.fromHex(PUBLISHED_SECRET)].some((known) => known.toHex() === key.toHex());
}

function isList(secret: SessionSecret | readonly SessionSecret[]): secret is readonly SessionSecret[] {
  return Array.isArray(secret);
}

function secretBytes(secret: SessionSecret): Uint8Array {
  const bytes = encodeSecret(secret);
  if (bytes.every((byte) => byte === 0)) {
    throw new RangeError("Cannot sign the session cookie: `secret` is empty or zero");
  }
  return bytes;
}

function encodeSecret(secret: SessionSecret): Uint8Array {
  if (typeof secret === "string") return new TextEncoder().encode(secret);
  if (secret instanceof Uint8Array) return new Uint8Array(secret);
  if (typeof secret === "number" && !Number.isSafeInteger(secret)) {
    throw new RangeError("Cannot sign the session cookie: a number as `secret` must be a safe integer");
  }
  if (typeof secret === "number" || typeof secret === "bigint") {
    if (secret < 0) throw new RangeError("Cannot sign the session cookie: a number as `secret` must be positive");
    const hex = secret.toString(16);
    return Uint8Array.fromHex(hex.length % 2 === 0 ? hex : `0${hex}`);
  }
  throw new TypeError("Cannot sign the session cookie: `secret` must be a string, a Uint8Array, a bigint or a number");
}
