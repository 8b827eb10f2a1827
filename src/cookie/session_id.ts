/**
 * Session ids: random, in characters that a cookie carries without quoting.
 *
 * @module
 */
import { encodeBase64Url } from "../util/base64url.ts";

/** 144 bits. OWASP Session Management asks for at least 64 bits of entropy ("Session ID Entropy"). */
const ID_BYTES = 18;

/** How many characters of base64url a session id has. */
export const SESSION_ID_LENGTH = 24;

// One call for 128 ids: asking the system for 18 bytes costs as much as asking for 2,304.
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
