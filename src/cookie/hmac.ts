/**
 * HMAC-SHA-256 (RFC 2104) under one key, of many short messages.
 *
 * @module
 */
import { hmac, Sha256, sha256 } from "../../deps.ts";

/** The bytes of a block of SHA-256 (FIPS 180-4 section 1). */
const BLOCK = 64;
/** A block ends in a bit and eight bytes of length (section 5.1.1): so long may a message be that fits into one. */
const SHORT = BLOCK - 9;

/** The eight words of SHA-256 between two blocks. */
type State = [number, number, number, number, number, number, number, number];

/** SHA-256, a block at a time. */
class Compression extends Sha256 {
  /** Returns the words after a first block. */
  begin(block: DataView): State {
    this.process(block, 0);
    return this.get();
  }

  /** Goes on from the words after a first block to those after a second, and writes them down. */
  end(first: State, block: DataView, digest: DataView): void {
    this.set(...first);
    this.process(block, 0);
    let at = 0;
    for (const word of this.get()) {
      digest.setInt32(at, word);
      at += 4;
    }
  }
}

/**
 * Hashes messages under a key.
 *
 * The key fills a block of its own, once before the message and once before the hash of that. What these two come to is computed once; of a
 * short message that leaves two blocks, half the work of a whole HMAC.
 */
export class HmacSha256 {
  readonly #key: Uint8Array;
  readonly #compression = new Compression();
  readonly #inner: State;
  readonly #outer: State;
  readonly #message = new Uint8Array(BLOCK);
  readonly #messageBlock = new DataView(this.#message.buffer);
  readonly #hash = new DataView(new ArrayBuffer(BLOCK));
  readonly #digest = new Uint8Array(32);
  readonly #digestBlock = new DataView(this.#digest.buffer);

  /** @param key of any length; one that is longer than a block stands for its hash (RFC 2104 section 2) */
  constructor(key: Uint8Array) {
    this.#key = key.length > BLOCK ? sha256(key) : new Uint8Array(key);
    this.#inner = new Compression().begin(padded(this.#key, 0x36));
    this.#outer = new Compression().begin(padded(this.#key, 0x5c));
    // The hash of the message is always as long: where it ends, and the bits from the key's block on.
    this.#hash.setUint8(32, 0x80);
    this.#hash.setUint32(BLOCK - 4, (BLOCK + 32) * 8);
  }

  /** Hashes a message; what is returned holds until the next call. */
  digest(message: Uint8Array): Uint8Array {
    const { length } = message;
    if (length > SHORT) return hmac(this.#key, message);
    this.#message.set(message);
    this.#message.fill(0, length);
    this.#message[length] = 0x80;
    this.#messageBlock.setUint32(BLOCK - 4, (BLOCK + length) * 8);
    this.#compression.end(this.#inner, this.#messageBlock, this.#hash);
    this.#compression.end(this.#outer, this.#hash, this.#digestBlock);
    return this.#digest;
  }
}

/** The key in a block, as the one before the message (0x36) or the one before its hash (0x5c). */
function padded(key: Uint8Array, pad: number): DataView {
  const block = new Uint8Array(BLOCK).fill(pad);
  for (const [i, byte] of key.entries()) block[i] = byte ^ pad;
  return new DataView(block.buffer);
}
