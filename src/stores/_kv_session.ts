/**
 * Encodes a session as one or more chunks. Each chunk is the value of an entry of Deno KV.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { isSessionMeta } from "../session_record.ts";
import type { SessionMeta } from "../session_store.ts";
import { isObject } from "./_codec.ts";

/** A record whose values are encoded as text. */
export interface EncodedRecord {
  values: ReadonlyMap<string, string>;
  version: number;
  /** It is 0 from the moment when a call finds that the session has expired. */
  expiresAt: number;
  meta: SessionMeta;
  /** The versionstamp of the last `clear()` before the session was created, if there was one. */
  epoch?: string;
}

/** The trace of a session that now has another id. */
export interface StoredTrace {
  movedTo: string;
  graceUntil: number;
  /** When the trace expires, in milliseconds since the epoch. */
  expiresAt: number;
  /** The one of its record. */
  epoch?: string;
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
  /**
   * Whether the content cannot be read, for example because a chunk is missing. There
   * is no record if its header is unreadable, too.
   */
  unreadable?: boolean;
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
  const chunks = entries.filter((entry) => entry.versionstamp === versionstamp).map(({ value }) => value);
  const stored = { versionstamp, chunks: Number(entries.at(-1)?.key.at(-1)) + 1 };
  if (!chunks.every((chunk) => chunk instanceof Uint8Array)) return { ...stored, unreadable: true };
  const bytes = Buffer.concat(chunks);
  const header = decodeHeader(bytes);
  if (isTrace(header)) return { ...stored, trace: { ...header, graceUntil: header.graceUntil ?? Infinity } };
  if (!isRecordHeader(header)) return { ...stored, unreadable: true };

  const { size, ...rest } = header;
  const body = bytes.subarray(headerLength(bytes));
  const values = body.length === size ? decodeBody(body) : undefined;
  if (values === undefined) return { ...stored, record: { ...rest, values: new Map() }, unreadable: true };
  return { ...stored, record: { ...rest, values } };
}

/** Returns `undefined` if a key is not JSON. */
function decodeBody(body: Uint8Array): Map<string, string> | undefined {
  const values = new Map<string, string>();
  const [, ...parts] = decoder.decode(body).split("\0");
  try {
    for (let i = 0; i < parts.length; i += 2) values.set(JSON.parse(parts[i] ?? ""), parts[i + 1] ?? "");
    return values;
  } catch {
    return undefined;
  }
}

function isTrace(header: Header | undefined): header is StoredTrace {
  if (header === undefined || !("movedTo" in header) || typeof header.movedTo !== "string") return false;
  return "graceUntil" in header && (header.graceUntil === null || typeof header.graceUntil === "number");
}

function isRecordHeader(header: Header | undefined): header is RecordHeader {
  return header !== undefined && isSessionHeader(header) && "version" in header && typeof header.version === "number";
}

/** Encodes a header as JSON. JSON has no `Infinity` and writes `null` for it. */
export function encodeHeader(header: object): Uint8Array {
  return encoder.encode(JSON.stringify(header));
}

/** A decoded header, whose other members are not checked. */
export interface Header {
  expiresAt: number;
  epoch?: string;
}

/** Returns the number of bytes before the first NUL character. JSON contains none. */
function headerLength(bytes: Uint8Array): number {
  const length = bytes.indexOf(0);
  return length < 0 ? bytes.length : length;
}

/**
 * Decodes the result of {@linkcode encodeHeader}, which a body may follow. Returns `undefined` if
 * it is something else.
 */
export function decodeHeader(bytes: unknown): Header | undefined {
  if (!(bytes instanceof Uint8Array)) return undefined;
  try {
    const header: unknown = JSON.parse(decoder.decode(bytes.subarray(0, headerLength(bytes))));
    if (!isObject(header)) return undefined;
    const { expiresAt, epoch } = header;
    if (expiresAt !== null && typeof expiresAt !== "number") return undefined;
    if (epoch !== undefined && typeof epoch !== "string") return undefined;
    return { ...header, expiresAt: expiresAt ?? Infinity };
  } catch {
    return undefined;
  }
}

/** Returns whether a header has the metadata of a session. */
export function isSessionHeader(header: Header): header is Header & Pick<EncodedRecord, "meta"> {
  return "meta" in header && isSessionMeta(header.meta);
}
