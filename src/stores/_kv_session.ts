/**
 * Encodes a session as one or more chunks. Each chunk is the value of an entry of Deno KV.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import type { SessionMeta } from "../session_store.ts";

/** A record whose values are encoded as text. */
export interface EncodedRecord {
  values: ReadonlyMap<string, string>;
  version: number;
  expiresAt: number;
  meta: SessionMeta;
}

/** The trace of a session that now has another id. */
export interface StoredTrace {
  movedTo: string;
  graceUntil: number;
  /** When the trace expires, in milliseconds since the epoch. */
  expiresAt: number;
}

/** The content that is stored under a session id: a record, a trace or nothing. */
export interface SessionContent {
  record?: EncodedRecord;
  trace?: StoredTrace;
}

/** The content that is stored under a session id, and the chunks that hold it. */
export interface StoredSession extends SessionContent {
  /**
   * The versionstamp of chunk 0, which every write replaces and every commit checks. `null` if
   * there is no chunk.
   */
  versionstamp: string | null;
  /** The highest number of a stored chunk, plus 1. */
  chunks: number;
  /** Whether a chunk of the record is missing. Its values are then unknown. */
  incomplete?: boolean;
}

/** A session id with nothing stored under it. */
export const NOTHING: StoredSession = { versionstamp: null, chunks: 0 };

/** The part of a record that precedes its values. */
interface RecordHeader extends Omit<EncodedRecord, "values"> {
  /** The number of bytes after the header. */
  size: number;
}

/** The largest value that Deno KV accepts, in bytes. */
const CHUNK_BYTES = 64 * 1024;

/**
 * The largest total size of a session's values and their keys, in bytes. Deno KV limits a commit to
 * 800 KiB, including its own keys and all other data.
 */
const MAX_BYTES = 12 * CHUNK_BYTES;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * Encodes the content of a session id. The chunks contain a JSON header, followed by each key and
 * each value of a record. A NUL character precedes each of them.
 *
 * @param changedKeys the keys that the write sets, for the error message
 * @returns the chunks
 * @throws {RangeError} if the values exceed 768 KiB in total
 */
export function encodeContent({ record, trace }: SessionContent, changedKeys: Iterable<string>): Uint8Array[] {
  if (record === undefined) return trace === undefined ? [] : [encodeHeader(trace)];
  const { values, ...header } = record;
  const body = encoder.encode(Array.from(values, ([key, text]) => `\0${JSON.stringify(key)}\0${text}`).join(""));
  if (body.length > MAX_BYTES) {
    const keys = Array.from(changedKeys, (key) => JSON.stringify(key)).join(", ");
    const size = Math.ceil(body.length / 1024);
    throw new RangeError(
      `Cannot set ${keys}: the session is too large for Deno KV; expected at most ${MAX_BYTES / 1024} KiB, ` +
        `received ${size} KiB; store large data elsewhere and keep its key in the session`,
    );
  }
  const bytes = Buffer.concat([encodeHeader({ ...header, size: body.length }), body]);
  const count = Math.ceil(bytes.length / CHUNK_BYTES);
  return Array.from({ length: count }, (_, n) => bytes.subarray(n * CHUNK_BYTES, (n + 1) * CHUNK_BYTES));
}

/** Decodes the entries of a session id, which {@linkcode encodeContent} encoded. */
export function decodeSession(entries: readonly Deno.KvEntry<Uint8Array>[]): StoredSession {
  const [first] = entries;
  if (first?.key.at(-1) !== 0) return NOTHING;
  const { versionstamp } = first;
  // A chunk of another commit does not belong to this record.
  const bytes = Buffer.concat(entries.filter((entry) => entry.versionstamp === versionstamp).map(({ value }) => value));
  const headerEnd = bytes.indexOf(0);
  const body = bytes.subarray(headerEnd < 0 ? bytes.length : headerEnd);
  const header = decodeHeader<StoredTrace | RecordHeader>(bytes.subarray(0, bytes.length - body.length));
  const stored = { versionstamp, chunks: Number(entries.at(-1)?.key.at(-1)) + 1 };
  if ("movedTo" in header) return { ...stored, trace: { ...header, graceUntil: header.graceUntil ?? Infinity } };

  const { size, ...rest } = header;
  const values = new Map<string, string>();
  const record = { ...rest, values };
  if (body.length !== size) return { ...stored, record, incomplete: true };
  const [, ...parts] = decoder.decode(body).split("\0");
  for (let i = 0; i < parts.length; i += 2) values.set(JSON.parse(parts[i] ?? ""), parts[i + 1] ?? "");
  return { ...stored, record };
}

/** Encodes a header as JSON. JSON has no `Infinity` and writes `null` for it. */
export function encodeHeader(header: object): Uint8Array {
  return encoder.encode(JSON.stringify(header));
}

/** Decodes the result of {@linkcode encodeHeader}. */
export function decodeHeader<T extends { expiresAt: number }>(bytes: Uint8Array): T {
  const header = JSON.parse(decoder.decode(bytes));
  return { ...header, expiresAt: header.expiresAt ?? Infinity };
}
