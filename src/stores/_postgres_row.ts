/**
 * Encodes and decodes the cells of a `PostgresStore`: values and metadata as JSON, numbers as text.
 *
 * @module
 */
import type { SessionMeta } from "../session_store.ts";
import { decodeKey, decodeValue, encodeKey, encodeValue } from "./_codec.ts";

/** A cell as the server sent it. */
type Cell = Uint8Array | null | undefined;

// A session id or a user may begin with U+FEFF, which a TextDecoder removes by default.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Encodes values as a JSON object of texts. `null` stands for a value to remove. */
export function encodeTexts(values: Iterable<[string, unknown]>): string {
  const texts = Array.from(values, ([key, value]) => [
    encodeKey(key),
    value === undefined ? null : encodeValue(key, value),
  ]);
  return JSON.stringify(Object.fromEntries(texts));
}

/** Decodes the column `data`. */
export function decodeTexts(cell: Cell): Map<string, unknown> {
  const texts: Record<string, string> = JSON.parse(decodeText(cell));
  return new Map(Object.entries(texts).map(([key, value]) => [decodeKey(key), decodeValue(value)]));
}

/** Encodes a session's meta, or a change of it. `null` stands for a member to remove. */
export function encodeMeta(meta: Partial<SessionMeta>): string {
  return JSON.stringify(meta, (_, part) => typeof part === "string" ? encodeKey(part) : part ?? null);
}

/** Decodes the column `meta`. */
export function decodeMeta(cell: Cell): SessionMeta {
  return JSON.parse(decodeText(cell), (_, part) => typeof part === "string" ? decodeKey(part) : part);
}

/**
 * Decodes a cell of text.
 *
 * @throws {TypeError} if the cell is NULL or missing, or if the client has transformed it
 */
export function decodeText(cell: Cell): string {
  // An application's client may transform rows. An error is better than a wrong result.
  if (!(cell instanceof Uint8Array)) {
    throw new TypeError(
      "Cannot read from PostgreSQL: the client returned a transformed cell, or none; expected cells as the server sent them",
    );
  }
  return decoder.decode(cell);
}

/** Decodes a cell of a number. */
export function decodeNumber(cell: Cell): number {
  return Number(decodeText(cell));
}
