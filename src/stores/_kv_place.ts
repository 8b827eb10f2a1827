/**
 * What lies under a session id in Deno KV, as entries.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import type { SessionMeta } from "../session_store.ts";

/** A record as it is kept: its values are text. */
export interface KeptRecord {
  values: ReadonlyMap<string, string>;
  version: number;
  expiresAt: number;
  meta: SessionMeta;
}

/** Where a record went that has another id now. */
export interface KeptTrace {
  movedTo: string;
  graceUntil: number;
  /** Until when that is remembered. */
  expiresAt: number;
}

/** What lies under a session id: a record, a trace or nothing. */
export interface Content {
  record?: KeptRecord;
  trace?: KeptTrace;
}

/** A session id's place in the database. */
export interface Place extends Content {
  /** Of the first entry, which every write replaces: a commit checks it. `null` where there is none. */
  versionstamp: string | null;
  /** How many entries there are, at most. */
  entries: number;
  /** A part of the record is missing: it has no values here. */
  torn?: boolean;
}

/** A place where nothing lies. */
export const NOTHING: Place = { versionstamp: null, entries: 0 };

/** What stands before the values of a record. */
interface RecordHead extends Omit<KeptRecord, "values"> {
  /** How many bytes follow. */
  size: number;
}

/** How large a value of Deno KV can be. */
const ENTRY_BYTES = 64 * 1024;

/** How large the values of a session can be together. A commit takes 800 KiB, with the keys and everything else. */
const MAX_BYTES = 12 * ENTRY_BYTES;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * Writes what is to lie in a place: JSON, and behind it the keys and values of a record, each after a NUL character.
 *
 * @param content what is to lie there
 * @param set the keys of the values that are new in it, for the message
 * @throws {RangeError} if the values are too large together
 */
export function encodeContent({ record, trace }: Content, set: Iterable<string>): Uint8Array[] {
  if (record === undefined) return trace === undefined ? [] : [encodeHead(trace)];
  const { values, ...head } = record;
  const body = encoder.encode(Array.from(values, ([key, text]) => `\0${JSON.stringify(key)}\0${text}`).join(""));
  if (body.length > MAX_BYTES) {
    const keys = Array.from(set, (key) => JSON.stringify(key)).join(", ");
    throw new RangeError(`Cannot set ${keys}: Deno KV keeps sessions of at most ${MAX_BYTES / 1024} KiB`);
  }
  const bytes = Buffer.concat([encodeHead({ ...head, size: body.length }), body]);
  const count = Math.ceil(bytes.length / ENTRY_BYTES);
  return Array.from({ length: count }, (_, n) => bytes.subarray(n * ENTRY_BYTES, (n + 1) * ENTRY_BYTES));
}

/** Reads what {@linkcode encodeContent} wrote. */
export function decodePlace(entries: readonly Deno.KvEntry<Uint8Array>[]): Place {
  const [first] = entries;
  if (first?.key.at(-1) !== 0) return NOTHING;
  const { versionstamp } = first;
  // An entry of another commit is none of this record's.
  const bytes = Buffer.concat(entries.filter((entry) => entry.versionstamp === versionstamp).map(({ value }) => value));
  const end = bytes.indexOf(0);
  const body = bytes.subarray(end < 0 ? bytes.length : end);
  const head = decodeHead<KeptTrace | RecordHead>(bytes.subarray(0, bytes.length - body.length));
  const place = { versionstamp, entries: Number(entries.at(-1)?.key.at(-1)) + 1 };
  if ("movedTo" in head) return { ...place, trace: { ...head, graceUntil: head.graceUntil ?? Infinity } };

  const { size, ...rest } = head;
  const values = new Map<string, string>();
  const record = { ...rest, values };
  if (body.length !== size) return { ...place, record, torn: true };
  const [, ...parts] = decoder.decode(body).split("\0");
  for (let i = 0; i < parts.length; i += 2) values.set(JSON.parse(parts[i] ?? ""), parts[i + 1] ?? "");
  return { ...place, record };
}

/** Writes what stands beside the values. JSON knows no infinity: `null` is a deadline that never comes. */
export function encodeHead(head: object): Uint8Array {
  return encoder.encode(JSON.stringify(head));
}

/** Reads what {@linkcode encodeHead} wrote. */
export function decodeHead<T extends { expiresAt: number }>(bytes: Uint8Array): T {
  const head = JSON.parse(decoder.decode(bytes));
  return { ...head, expiresAt: head.expiresAt ?? Infinity };
}
