/**
 * HMAC-SHA-256 (RFC 2104) of many short messages under one key.
 *
 * @module
 */
import { hmac, Sha256, sha256 } from "../../deps.ts";

/** The block size of SHA-256 in bytes (FIPS 180-4 section 1). */
const BLOCK_BYTES = 64;
/**
 * The longest message that fits into one block, which ends in 1 byte of padding and 8 of length
 * (section 5.1.1).
 */
const MAX_SHORT_BYTES = BLOCK_BYTES - 9;

/** The eight 32-bit words of the SHA-256 state between two blocks. */
type State = [number, number, number, number, number, number, number, number];

/** Applies SHA-256 block by block. */
class Compression extends Sha256 {
  /** Returns the state after a first block. */
  compressFirst(block: DataView): State {
    this.process(block, 0);
    return this.get();
  }

  /**
   * Continues from the state after a first block with a second block, and writes the result to
   * `digest`.
   */
  compressSecond(first: State, block: DataView, digest: DataView): void {
    this.set(...first);
    this.process(block, 0);
    let offset = 0;
    for (const word of this.get()) {
      digest.setInt32(offset, word);
      offset += 4;
    }
  }
}

/**
 * Computes HMACs under one key.
 *
 * An HMAC hashes the padded key and the message, then the padded key again and that hash. The
 * padded keys fill a block each, so their states are computed once. A short message then takes two
 * blocks, half the work of a complete HMAC.
 */
export class HmacSha256 {
  readonly #key: Uint8Array;
  readonly #compression = new Compression();
  readonly #inner: State;
  readonly #outer: State;
  readonly #message = new Uint8Array(BLOCK_BYTES);
  readonly #messageBlock = new DataView(this.#message.buffer);
  readonly #innerDigest = new DataView(new ArrayBuffer(BLOCK_BYTES));
  readonly #digest = new Uint8Array(32);
  readonly #digestView = new DataView(this.#digest.buffer);

  /**
   * @param key any number of bytes; a key longer than a block is hashed first (RFC 2104 section 2)
   */
  constructor(key: Uint8Array) {
    this.#key = key.length > BLOCK_BYTES ? sha256(key) : new Uint8Array(key);
    this.#inner = new Compression().compressFirst(padKey(this.#key, 0x36));
    this.#outer = new Compression().compressFirst(padKey(this.#key, 0x5c));
    // The inner digest always has 32 bytes, so its padding and its length in bits never change.
    this.#innerDigest.setUint8(32, 0x80);
    this.#innerDigest.setUint32(BLOCK_BYTES - 4, (BLOCK_BYTES + 32) * 8);
  }

  /** Returns the HMAC of a message. The next call overwrites the returned bytes. */
  digest(message: Uint8Array): Uint8Array {
    const { length } = message;
    if (length > MAX_SHORT_BYTES) return hmac(this.#key, message);
    this.#message.set(message);
    this.#message.fill(0, length);
    this.#message[length] = 0x80;
    this.#messageBlock.setUint32(BLOCK_BYTES - 4, (BLOCK_BYTES + length) * 8);
    this.#compression.compressSecond(this.#inner, this.#messageBlock, this.#innerDigest);
    this.#compression.compressSecond(this.#outer, this.#innerDigest, this.#digestView);
    return this.#digest;
  }
}

/** Returns the key as a block, padded for the inner hash (0x36) or the outer one (0x5c). */
function padKey(key: Uint8Array, pad: number): DataView {
  const block = new Uint8Array(BLOCK_BYTES).fill(pad);
  for (const [i, byte] of key.entries()) block[i] = byte ^ pad;
  return new DataView(block.buffer);
}

/** Derives the key for one purpose from the key of a secret. */
export function deriveKey(key: Uint8Array, purpose: string): Uint8Array {
  return new HmacSha256(key).digest(asciiBytes(`session/${purpose}/1`));
}

/** Returns the bytes of an ASCII string. */
export function asciiBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  writeAscii(text, 0, bytes, 0);
  return bytes;
}

/**
 * Writes an ASCII string from `begin` on. For the 24 characters of an id this takes 29 ns,
 * `TextEncoder.encodeInto()` 91.
 */
export function writeAscii(text: string, begin: number, target: Uint8Array, at: number): void {
  for (let i = begin; i < text.length; i++) target[at++] = text.charCodeAt(i);
}
