/**
 * The values of a session as text that only the holder of a key can read or make.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";
import { SessionStoreError } from "../errors.ts";
import { decodeValue, encodeValue } from "./_codec.ts";

/** A key of 32 random bytes: the bytes, or the 43 characters of base64url that `SessionMiddleware.generateSecret()` makes. */
export type EncryptionKey = Uint8Array | string;

/** What is derived from a key. */
export interface DerivedKey {
  /** Tells with which key a value was encrypted. */
  id: Uint8Array;
  /** The keys of sessions are derived from it. */
  root: Uint8Array;
}

const ALGORITHM = "aes-256-gcm";
const VERSION = 1;
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Where in the encrypted form the key's id, the nonce and the text begin. */
const [ID_AT, NONCE_AT, TEXT_AT] = [1, 5, 5 + NONCE_BYTES];

/**
 * Encrypts and decrypts the values of one session: AES-256-GCM (NIST SP 800-38D) with random nonces.
 *
 * The root is HMAC-SHA-256(key, "session/encrypted/1"), and the key of a session HMAC-SHA-256(root, session id). The associated data
 * is the JSON array of the session id and the value's key. What comes out is base64url: the version in one byte, four that
 * tell the key, the nonce, the encrypted text, the tag.
 */
export class SessionCipher {
  readonly #keys: readonly [DerivedKey, ...DerivedKey[]];
  readonly #sid: string;
  /** This session's keys, by the root. */
  readonly #derived = new Map<Uint8Array, Uint8Array>();

  /**
   * @param keys the first encrypts, all decrypt
   * @param sid the session id
   */
  constructor(keys: readonly [DerivedKey, ...DerivedKey[]], sid: string) {
    this.#keys = keys;
    this.#sid = sid;
  }

  /**
   * Encrypts a value; `undefined`, which stands for none, is left as it is.
   *
   * @param key the value's key in the session
   * @throws {TypeError} if the value cannot be kept
   */
  encrypt(key: string, value: unknown): string | undefined {
    if (value === undefined) return undefined;
    const [{ id, root }] = this.#keys;
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(ALGORITHM, this.#derive(root), nonce);
    cipher.setAAD(this.#associate(key));
    const sealed = [cipher.update(encodeValue(key, value), "utf8"), cipher.final(), cipher.getAuthTag()];
    return Buffer.concat([Buffer.of(VERSION), id, nonce, ...sealed]).toString("base64url");
  }

  /**
   * Decrypts what {@linkcode SessionCipher.encrypt} made for the same session and key.
   *
   * @param sealed what the store gave; `undefined` where there is no value
   * @throws {SessionStoreError} if it is anything else
   */
  decrypt(key: string, sealed: unknown): unknown {
    if (sealed === undefined) return undefined;
    const bytes = Buffer.from(typeof sealed === "string" ? sealed : "", "base64url");
    if (bytes[0] !== VERSION || bytes.length < TEXT_AT + TAG_BYTES) throw failure(key, "it is not encrypted");
    const id = bytes.subarray(ID_AT, NONCE_AT);
    const found = this.#keys.find((candidate) => id.equals(candidate.id));
    if (found === undefined) throw failure(key, "the key that encrypted it is not among `keys`");
    const nonce = bytes.subarray(NONCE_AT, TEXT_AT);
    const decipher = createDecipheriv(ALGORITHM, this.#derive(found.root), nonce);
    decipher.setAAD(this.#associate(key));
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    let text: Buffer;
    try {
      text = Buffer.concat([decipher.update(bytes.subarray(TEXT_AT, -TAG_BYTES)), decipher.final()]);
    } catch (cause) {
      throw failure(key, "it was altered, or belongs to another session or key", cause);
    }
    return decodeValue(text.toString());
  }

  /** The key of this session. Nonces are random: with one key for all sessions, 2³² values would use it up. */
  #derive(root: Uint8Array): Uint8Array {
    let key = this.#derived.get(root);
    if (key === undefined) this.#derived.set(root, key = hmac(root, this.#sid));
    return key;
  }

  /** JSON tells `["a", "bc"]` from `["ab", "c"]`, and escapes what UTF-8 would lose. */
  #associate(key: string): Uint8Array {
    return Buffer.from(JSON.stringify([this.#sid, key]));
  }
}

/**
 * Checks and derives keys.
 *
 * @throws {TypeError} if a key is neither bytes nor a string, or there is none
 * @throws {RangeError} if a key does not have 32 bytes, or all of them are zero
 */
export function readKeys(keys: EncryptionKey | readonly EncryptionKey[]): [DerivedKey, ...DerivedKey[]] {
  const [first, ...others] = isList(keys) ? keys : [keys];
  if (first === undefined) throw new TypeError("Cannot encrypt sessions: there is no key");
  return [readKey(first), ...others.map(readKey)];
}

function readKey(key: EncryptionKey): DerivedKey {
  if (typeof key !== "string" && !(key instanceof Uint8Array)) {
    throw new TypeError("Cannot encrypt sessions: a key must be a Uint8Array or a string");
  }
  const bytes = typeof key === "string" ? Buffer.from(/^[\w-]{43}$/.test(key) ? key : "", "base64url") : key;
  if (bytes.length !== KEY_BYTES || bytes.every((byte) => byte === 0)) {
    throw new RangeError(
      "Cannot encrypt sessions: a key must be 32 random bytes, or these as 43 characters of base64url",
    );
  }
  return {
    id: hmac(bytes, "session/encrypted-id/1").subarray(0, NONCE_AT - ID_AT),
    root: hmac(bytes, "session/encrypted/1"),
  };
}

function isList(keys: EncryptionKey | readonly EncryptionKey[]): keys is readonly EncryptionKey[] {
  return Array.isArray(keys);
}

function hmac(key: Uint8Array, text: string): Uint8Array {
  return createHmac("sha256", key).update(text).digest();
}

function failure(key: string, what: string, cause?: unknown): SessionStoreError {
  return new SessionStoreError("get", `Cannot get ${JSON.stringify(key)}: ${what}`, { cause });
}
