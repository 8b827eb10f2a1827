/**
 * Random session ids, in characters that a cookie carries without quoting.
 *
 * @module
 */
import { encodeBase64Url } from "../util/base64url.ts";

/**
 * 144 bits. OWASP Session Management requires at least 64 bits of entropy ("Session ID Entropy").
 */
const ID_BYTES = 18;

/** The length of a session id in characters of base64url. */
export const SESSION_ID_LENGTH = 24;

// Random bytes for 128 ids at a time: an id takes 0.15 µs, with a system call of its own 0.63.
const pool = new Uint8Array(ID_BYTES * 128);
let poolOffset = pool.length;

/** Creates a session id from the cryptographic random number generator. */
export function newSessionId(): string {
  if (poolOffset === pool.length) {
    crypto.getRandomValues(pool);
    poolOffset = 0;
  }
  return encodeBase64Url(pool.subarray(poolOffset, poolOffset += ID_BYTES));
}
