/**
 * Authenticated encryption of the values of a session, with a key per session.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";
import { UnreadableRecordError } from "../errors.ts";
import { CHECK_VARIABLE, describeType } from "../util/describe_value.ts";
import { decodeValue, encodeValue } from "./_codec.ts";

/**
 * A key of 32 random bytes, given as bytes or as the 43 characters of base64url that
 * `SessionMiddleware.generateSecret()` returns.
 */
export type EncryptionKey = Uint8Array | string;

/** The values that the cipher derives from a key. */
export interface DerivedKey {
  /** Four bytes that identify the key in an encrypted value. */
  id: Uint8Array;
  /** The secret from which the key of each session is derived. */
  root: Uint8Array;
}

const ALGORITHM = "aes-256-gcm";
const VERSION = 1;
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** The offsets of the key's id, the nonce and the text in an encrypted value. */
const [ID_AT, NONCE_AT, TEXT_AT] = [1, 5, 5 + NONCE_BYTES];

/**
 * Encrypts and decrypts the values of one session with AES-256-GCM (NIST SP 800-38D) and random
 * nonces.
 *
 * The root is HMAC-SHA-256(key, "session/encrypted/1"), and the key of a session is
 * HMAC-SHA-256(root, session id). The associated data is the JSON array of the session id and the
 * value's key. An encrypted value is base64url of: the version (1 byte), the key's id (4 bytes),
 * the nonce (12 bytes), the encrypted text, the tag (16 bytes).
 */
export class SessionCipher {
  readonly #keys: readonly [DerivedKey, ...DerivedKey[]];
  readonly #sid: string;
  /** The keys of this session by their roots. */
  readonly #sessionKeys = new Map<Uint8Array, Uint8Array>();

  /**
   * @param keys the first key encrypts, and all keys decrypt
   * @param sid the session id
   */
  constructor(keys: readonly [DerivedKey, ...DerivedKey[]], sid: string) {
    this.#keys = keys;
    this.#sid = sid;
  }

  /**
   * Encrypts a value. `undefined` stands for a missing value and stays `undefined`.
   *
   * @param key the value's key in the session
   * @throws {TypeError} if the value cannot be stored
   */
  encrypt(key: string, value: unknown): string | undefined {
    if (value === undefined) return undefined;
    const [{ id, root }] = this.#keys;
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(ALGORITHM, this.#sessionKey(root), nonce);
    cipher.setAAD(this.#associatedData(key));
    const sealed = [cipher.update(encodeValue(key, value), "utf8"), cipher.final(), cipher.getAuthTag()];
    return Buffer.concat([Buffer.of(VERSION), id, nonce, ...sealed]).toString("base64url");
  }

  /**
   * Decrypts a value that {@linkcode SessionCipher.encrypt} returned for the same session and key.
   *
   * @param sealed the stored value; `undefined` if it is missing
   * @param operation the operation that needs the value, for the error message
   * @throws {UnreadableRecordError} if the stored value is anything else
   */
  decrypt(key: string, sealed: unknown, operation: string): unknown {
    if (sealed === undefined) return undefined;
    const bytes = Buffer.from(typeof sealed === "string" ? sealed : "", "base64url");
    if (bytes[0] !== VERSION || bytes.length < TEXT_AT + TAG_BYTES) {
      throw decryptError(
        operation,
        key,
        "found a value that is not encrypted; the session counts as ended; that is normal for a session from before the " +
          "EncryptedStore; otherwise check what else writes to the underlying store",
      );
    }
    const id = bytes.subarray(ID_AT, NONCE_AT);
    const found = this.#keys.find((candidate) => id.equals(candidate.id));
    if (found === undefined) {
      throw decryptError(
        operation,
        key,
        "does not have the key that encrypted the value; the session counts as ended; add the old key to `keys`, after " +
          "the new one",
      );
    }
    const nonce = bytes.subarray(NONCE_AT, TEXT_AT);
    const decipher = createDecipheriv(ALGORITHM, this.#sessionKey(found.root), nonce);
    decipher.setAAD(this.#associatedData(key));
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    let text: Buffer;
    try {
      text = Buffer.concat([decipher.update(bytes.subarray(TEXT_AT, -TAG_BYTES)), decipher.final()]);
    } catch (cause) {
      const reason =
        "found a value that was altered, or that belongs to another session or key; the session counts as " +
        "ended; check what else writes to the underlying store";
      throw decryptError(operation, key, reason, cause);
    }
    return decodeValue(text.toString(), "EncryptedStore", operation);
  }

  /**
   * Returns the key of this session. With one key for all sessions, random nonces would be unsafe
   * after 2³² values.
   */
  #sessionKey(root: Uint8Array): Uint8Array {
    let key = this.#sessionKeys.get(root);
    if (key === undefined) this.#sessionKeys.set(root, key = hmac(root, this.#sid));
    return key;
  }

  /**
   * Returns the associated data as JSON, which distinguishes `["a", "bc"]` from `["ab", "c"]` and
   * escapes lone surrogates. UTF-8 would lose them.
   */
  #associatedData(key: string): Uint8Array {
    return Buffer.from(JSON.stringify([this.#sid, key]));
  }
}

/**
 * Checks the keys and derives the values that the cipher uses.
 *
 * @throws {TypeError} if a key is neither bytes nor a string, or if there is no key
 * @throws {RangeError} if a key does not have 32 bytes, or if all its bytes are zero
 */
export function readKeys(keys: EncryptionKey | readonly EncryptionKey[]): [DerivedKey, ...DerivedKey[]] {
  const [first, ...others] = isList(keys) ? keys : [keys];
  if (first === undefined) throw new TypeError("Cannot encrypt sessions: `keys` is empty; expected at least one key");
  return [readKey(first), ...others.map(readKey)];
}

function readKey(key: EncryptionKey): DerivedKey {
  if (typeof key !== "string" && !(key instanceof Uint8Array)) {
    throw new TypeError(
      `Cannot encrypt sessions: a key must be a Uint8Array or a string; received ${
        describeType(key)
      }; ${CHECK_VARIABLE}`,
    );
  }
  const bytes = typeof key === "string" ? Buffer.from(/^[\w-]{43}$/.test(key) ? key : "", "base64url") : key;
  if (bytes.length !== KEY_BYTES || bytes.every((byte) => byte === 0)) {
    throw new RangeError(
      "Cannot encrypt sessions: a key must be 32 random bytes, or the 43 characters of base64url that " +
        `SessionMiddleware.generateSecret() returns; received ${key.length} ${
          typeof key === "string" ? "characters" : "bytes"
        }` +
        `${key.length === 0 ? `; ${CHECK_VARIABLE}` : ""}`,
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

function decryptError(operation: string, key: string, reason: string, cause?: unknown): UnreadableRecordError {
  const message = `Cannot ${operation} ${JSON.stringify(key)}: EncryptedStore ${reason}`;
  return new UnreadableRecordError(operation, message, { cause });
}
