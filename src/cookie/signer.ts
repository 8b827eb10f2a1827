/**
 * The signature of the session cookie: HMAC-SHA-256 (RFC 2104), base64url without padding (RFC 4648 section 5).
 *
 * @module
 */
import { timingSafeEqual } from "../../deps.ts";
import { SESSION_ID_LENGTH } from "./session_id.ts";
import { encodeBase64Url } from "../util/base64url.ts";
import { HmacSha256 } from "./hmac.ts";
import { TwoGenerationCache } from "../util/two_generation_cache.ts";

/** The characters of an HMAC-SHA-256 in base64url. */
const SIGNATURE_LENGTH = 43;

/** How many cookies are remembered as validly signed: some 200 bytes each. */
const MAX_REMEMBERED = 10_000;

/** A cookie's value that was validly signed. */
export interface VerifiedId {
  /** The session id. */
  readonly id: string;
  /** Whether it was signed by a secret that only verifies any more, and so should be signed anew. */
  readonly needsResign: boolean;
}

/** Signs session ids for one cookie name, and verifies what comes back. */
export class Signer {
  /** What is signed: the cookie's name, "=", and the id, which is written over for each. */
  readonly #message: Uint8Array;
  /** The cookie's name and "=". */
  readonly #name: string;
  readonly #signing: HmacSha256;
  readonly #verifying: readonly HmacSha256[];
  readonly #events: HmacSha256;
  readonly #handles: HmacSha256;
  readonly #csrf: readonly HmacSha256[];
  /**
   * The ids of cookies that the first key has signed, as was verified: to verify them again would cost most of what a request costs. They say
   * nothing of the session.
   */
  readonly #verified = new TwoGenerationCache<string>(MAX_REMEMBERED);
  readonly #presented = new Uint8Array(SIGNATURE_LENGTH);
  readonly #expected = new Uint8Array(SIGNATURE_LENGTH);

  /**
   * @param name the cookie's name: it is part of what is signed, so that a value signed for one cookie is not accepted in another
   * @param keys at least one; the first signs, all verify
   */
  constructor(name: string, keys: readonly Uint8Array[]) {
    const [first] = keys;
    if (first === undefined) throw new TypeError("Cannot sign: there is no secret");
    this.#name = `${name}=`;
    this.#message = asciiBytes(this.#name.padEnd(this.#name.length + SESSION_ID_LENGTH));
    this.#verifying = keys.map((key) => new HmacSha256(key));
    this.#signing = new HmacSha256(first);
    this.#events = new HmacSha256(deriveKey(first, "event"));
    this.#handles = new HmacSha256(deriveKey(first, "handle"));
    this.#csrf = keys.map((key) => new HmacSha256(deriveKey(key, "csrf")));
  }

  /** Returns the cookie's value: the id, a dot, the signature. */
  sign(id: string): string {
    return `${id}.${this.#signatureOf(id, this.#signing)}`;
  }

  /**
   * Verifies a cookie, in a time that does not depend on where a wrong signature differs.
   *
   * @param pair the cookie's name, "=", and whatever value the client sent
   * @returns `"malformed"` where the value has not the form that {@linkcode Signer.sign} gives it, `"signature"` where no secret has signed it
   */
  verify(pair: string): VerifiedId | "malformed" | "signature" {
    // What is found here is a whole cookie of ours: there is nothing to learn from how long it takes.
    const known = this.#verified.get(pair);
    if (known !== undefined) return { id: known, needsResign: false };
    const value = pair.slice(this.#name.length);
    const isOurs = value.length === SESSION_ID_LENGTH + 1 + SIGNATURE_LENGTH && COOKIE_VALUE_PATTERN.test(value) &&
      pair.startsWith(this.#name);
    return isOurs ? this.#check(value) : "malformed";
  }

  #check(value: string): VerifiedId | "signature" {
    const presented = value.slice(0, SESSION_ID_LENGTH);
    writeAscii(value, SESSION_ID_LENGTH + 1, this.#presented, 0);
    for (const [age, key] of this.#verifying.entries()) {
      // The encoded forms are compared: base64url of 32 bytes has four spellings that decode alike, and only one is ours.
      const signature = this.#signatureOf(presented, key);
      writeAscii(signature, 0, this.#expected, 0);
      if (!timingSafeEqual(this.#presented, this.#expected)) continue;
      // Made of our own bytes: a part of the client's string would keep the whole header alive.
      const id = String.fromCharCode(...this.#message.subarray(this.#name.length));
      // What another key has signed is signed anew, and does not come back.
      const needsResign = age > 0;
      if (!needsResign) this.#verified.set(`${this.#name}${id}.${signature}`, id);
      return { id, needsResign };
    }
    return "signature";
  }

  #signatureOf(id: string, key: HmacSha256): string {
    writeAscii(id, 0, this.#message, this.#name.length);
    return encodeBase64Url(key.digest(this.#message));
  }

  /**
   * Returns what stands for a session in events and logs: the same for the same session, and of no use to who reads it.
   *
   * @param id a verified id or one of our own: hashing what a client chose would answer it with a value under our key
   */
  eventHash(id: string): string {
    return encodeBase64Url(this.#events.digest(asciiBytes(id)).subarray(0, 16));
  }

  /** Returns the name of a session that its user may see and send back: 128 bits, from which the id cannot be had. */
  handle(id: string): string {
    return encodeBase64Url(this.#handles.digest(asciiBytes(id)).subarray(0, 16));
  }

  /** Returns the CSRF token of a session. */
  csrfToken(seed: string): string {
    const [key] = this.#csrf;
    return key === undefined ? "" : encodeBase64Url(key.digest(asciiBytes(seed)));
  }

  /** Verifies a CSRF token, in a time that does not depend on where a wrong one differs. */
  verifyCsrfToken(seed: string, token: string): boolean {
    // What is not of this form never was a token; that says nothing of the right one.
    if (token.length !== SIGNATURE_LENGTH || !BASE64URL_PATTERN.test(token)) return false;
    const presented = asciiBytes(token);
    return this.#csrf.some((key) =>
      timingSafeEqual(presented, asciiBytes(encodeBase64Url(key.digest(asciiBytes(seed)))))
    );
  }
}

const COOKIE_VALUE_PATTERN = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const BASE64URL_PATTERN = /^[A-Za-z0-9_-]+$/;

function deriveKey(key: Uint8Array, purpose: string): Uint8Array {
  return new HmacSha256(key).digest(asciiBytes(`session/${purpose}/1`));
}

/** The bytes of a string that is known to be ASCII. */
function asciiBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  writeAscii(text, 0, bytes, 0);
  return bytes;
}

/** Writes a string of ASCII characters, from `begin` on; for some dozens of them this is faster than `TextEncoder`. */
function writeAscii(text: string, begin: number, target: Uint8Array, at: number): void {
  for (let i = begin; i < text.length; i++) target[at++] = text.charCodeAt(i);
}
