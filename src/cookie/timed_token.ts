/**
 * Short texts that this server has signed, and that are valid for some time.
 *
 * @module
 */
import { timingSafeEqual } from "../../deps.ts";
import { encodeBase64Url } from "../util/base64url.ts";
import { deriveKey, HmacSha256 } from "./hmac.ts";

/** Seconds since the epoch, a dot, and an HMAC-SHA-256 in base64url. */
const TOKEN_PATTERN = /^(\d{1,12})\.([A-Za-z0-9_-]{43})$/;

const encoder = new TextEncoder();

/** Signs and verifies tokens for one purpose: the expiry, a dot, an HMAC of a subject and the expiry. */
export class TimedTokens {
  readonly #signing: HmacSha256;
  readonly #verifying: readonly HmacSha256[];

  /**
   * @param keys at least one; the first signs, all verify
   * @param purpose a token for one purpose is not valid for another
   */
  constructor(keys: readonly Uint8Array[], purpose: string) {
    const [first, ...others] = keys.map((key) => new HmacSha256(deriveKey(key, purpose)));
    if (first === undefined) throw new TypeError("Cannot sign: there is no secret");
    this.#signing = first;
    this.#verifying = [first, ...others];
  }

  /**
   * Returns a token.
   *
   * @param subject what the token is about; the token does not contain it
   * @param expiresAt in milliseconds since the epoch; rounded down to seconds
   */
  sign(subject: string, expiresAt: number): string {
    const seconds = String(Math.floor(expiresAt / 1000));
    return `${seconds}.${encodeBase64Url(macOf(this.#signing, subject, seconds))}`;
  }

  /**
   * Returns when a token expires, in milliseconds since the epoch; `undefined` if it was not signed
   * for this subject. It may have expired. The HMACs are compared in constant time.
   *
   * @param token what the client sent
   */
  verify(subject: string, token: string): number | undefined {
    const [, seconds, mac] = TOKEN_PATTERN.exec(token) ?? [];
    if (seconds === undefined || mac === undefined) return undefined;
    // The texts are compared, because four different texts decode to the same bytes.
    const presented = encoder.encode(mac);
    const isSigned = this.#verifying.some((key) =>
      timingSafeEqual(presented, encoder.encode(encodeBase64Url(macOf(key, subject, seconds))))
    );
    return isSigned ? Number(seconds) * 1000 : undefined;
  }
}

function macOf(key: HmacSha256, subject: string, seconds: string): Uint8Array {
  return key.digest(encoder.encode(`${seconds}.${subject}`));
}
