/**
 * The signature of the session cookie: HMAC-SHA-256 (RFC 2104), base64url without padding (RFC 4648 section 5).
 *
 * @module
 */
import { timingSafeEqual } from "../deps.ts";
import { KeyedHash } from "./_keyed_hash.ts";
import { RecentMap } from "./_recent_map.ts";

/**
 * What a cookie is signed with. A string is its UTF-8 bytes, a `Uint8Array` is used as it is, a bigint or a safe positive integer is
 * its big-endian bytes without leading zeros.
 */
export type SessionSecret = Uint8Array | bigint | number | string;

/** The characters of a session id: 18 random bytes, 144 bits, in base64url. OWASP asks for 64 bits of entropy at least. */
const ID_LENGTH = 24;
/** The characters of an HMAC-SHA-256 in base64url. */
const SIGNATURE_LENGTH = 43;

const BASE64URL = { alphabet: "base64url", omitPadding: true } as const;

/** Under this many bytes a secret can be searched for; HMAC itself asks for 32 (RFC 2104 section 3). */
const SHORT_SECRET = 16;
/** The secret printed in this project's documentation since its first day: everybody knows it. */
const PUBLISHED_SECRET = "6b911fd37cdf5c81d4c0adb1ab7fa822ed253ab0ad9aa18d77257c88b29b718e";

/** How many cookies are remembered as validly signed: some 200 bytes each. */
const MAX_REMEMBERED = 10_000;

/** A cookie's value that was validly signed. */
export interface VerifiedId {
  /** The session id. */
  readonly id: string;
  /** Whether it was signed by a secret that only verifies any more, and so should be signed anew. */
  readonly outdated: boolean;
}

/** Makes a session id from the CSPRNG, in characters that need no quoting in a cookie. */
export function newSessionId(): string {
  if (poolAt === pool.length) {
    crypto.getRandomValues(pool);
    poolAt = 0;
  }
  return pool.subarray(poolAt, poolAt += 18).toBase64(BASE64URL);
}
// One call for many ids: asking the system for 18 bytes costs as much as asking for 2,304.
const pool = new Uint8Array(18 * 128);
let poolAt = pool.length;

/** Makes a secret: 32 random bytes (RFC 2104 section 3 asks for as many as the hash has), in 43 characters of base64url. */
export function generateSecret(): string {
  return crypto.getRandomValues(new Uint8Array(32)).toBase64(BASE64URL);
}

/** Signs session ids for one cookie name, and verifies what comes back. */
export class Signer {
  /** What is signed: the cookie's name, "=", and the id, which is written over for each. */
  readonly #message: Uint8Array;
  /** The cookie's name and "=". */
  readonly #name: string;
  readonly #signing: KeyedHash;
  readonly #verifying: readonly KeyedHash[];
  readonly #events: KeyedHash;
  readonly #handles: KeyedHash;
  readonly #csrf: readonly KeyedHash[];
  /**
   * The ids of cookies that the first key has signed, as was verified: to verify them again would cost most of what a request costs. They say
   * nothing of the session.
   */
  readonly #verified = new RecentMap<string>(MAX_REMEMBERED);
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
    this.#message = asciiBytes(this.#name.padEnd(this.#name.length + ID_LENGTH));
    this.#verifying = keys.map((key) => new KeyedHash(key));
    this.#signing = new KeyedHash(first);
    this.#events = new KeyedHash(deriveKey(first, "event"));
    this.#handles = new KeyedHash(deriveKey(first, "handle"));
    this.#csrf = keys.map((key) => new KeyedHash(deriveKey(key, "csrf")));
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
    if (known !== undefined) return { id: known, outdated: false };
    const value = pair.slice(this.#name.length);
    const isOurs = value.length === ID_LENGTH + 1 + SIGNATURE_LENGTH && FORM.test(value) && pair.startsWith(this.#name);
    return isOurs ? this.#check(value) : "malformed";
  }

  #check(value: string): VerifiedId | "signature" {
    const presented = value.slice(0, ID_LENGTH);
    writeAscii(value, ID_LENGTH + 1, this.#presented, 0);
    for (const [age, key] of this.#verifying.entries()) {
      // The encoded forms are compared: base64url of 32 bytes has four spellings that decode alike, and only one is ours.
      const signature = this.#signatureOf(presented, key);
      writeAscii(signature, 0, this.#expected, 0);
      if (!timingSafeEqual(this.#presented, this.#expected)) continue;
      // Made of our own bytes: a part of the client's string would keep the whole header alive.
      const id = String.fromCharCode(...this.#message.subarray(this.#name.length));
      // What another key has signed is signed anew, and does not come back.
      const outdated = age > 0;
      if (!outdated) this.#verified.set(`${this.#name}${id}.${signature}`, id);
      return { id, outdated };
    }
    return "signature";
  }

  #signatureOf(id: string, key: KeyedHash): string {
    writeAscii(id, 0, this.#message, this.#name.length);
    return key.of(this.#message).toBase64(BASE64URL);
  }

  /**
   * Returns what stands for a session in events and logs: the same for the same session, and of no use to who reads it.
   *
   * @param id a verified id or one of our own: hashing what a client chose would answer it with a value under our key
   */
  hash(id: string): string {
    return this.#events.of(asciiBytes(id)).subarray(0, 16).toBase64(BASE64URL);
  }

  /** Returns the name of a session that its user may see and send back: 128 bits, from which the id cannot be had. */
  handle(id: string): string {
    return this.#handles.of(asciiBytes(id)).subarray(0, 16).toBase64(BASE64URL);
  }

  /** Returns the CSRF token of a session. */
  csrfToken(seed: string): string {
    const [key] = this.#csrf;
    return key === undefined ? "" : key.of(asciiBytes(seed)).toBase64(BASE64URL);
  }

  /** Verifies a CSRF token, in a time that does not depend on where a wrong one differs. */
  verifyCsrfToken(seed: string, token: string): boolean {
    // What is not of this form never was a token; that says nothing of the right one.
    if (token.length !== SIGNATURE_LENGTH || !TOKEN.test(token)) return false;
    const presented = asciiBytes(token);
    return this.#csrf.some((key) =>
      timingSafeEqual(presented, asciiBytes(key.of(asciiBytes(seed)).toBase64(BASE64URL)))
    );
  }
}

const FORM = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const TOKEN = /^[A-Za-z0-9_-]+$/;

function deriveKey(key: Uint8Array, purpose: string): Uint8Array {
  return new KeyedHash(key).of(asciiBytes(`session/${purpose}/1`));
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

/**
 * Turns the option `secret` into keys.
 *
 * @returns the keys, and whether one of them is too easily guessed
 * @throws {TypeError} if a secret is of another type, or there is none
 * @throws {RangeError} if a secret is empty, all zeros (HMAC pads with zeros: it is the empty one), negative, fractional or unsafe
 */
export function readSecrets(secret: SessionSecret | readonly SessionSecret[]): { keys: Uint8Array[]; weak: boolean } {
  const secrets: readonly SessionSecret[] = isList(secret) ? secret : [secret];
  if (secrets.length === 0) throw new TypeError("Cannot sign the session cookie: `secret` is an empty array");
  const keys = secrets.map(secretBytes);
  const weak = keys.some((key) => key.length < SHORT_SECRET || isPublished(key));
  return { keys, weak };
}

/** Tells whether a key is the published secret, as the text or as the bytes that it writes. */
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
