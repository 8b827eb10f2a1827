/**
 * Steps that checks of a `RecordStore` take.
 *
 * @module
 */
import { SessionGoneError } from "../errors.ts";
import type { RecordStore, SessionMeta, SessionRecord, StoredRecord } from "../session_store.ts";
import { newSessionId } from "../cookie/session_id.ts";
import { expect, expectEqual, expectRejects, show } from "./expect.ts";
import { GONE } from "./steps.ts";

/** What is known of a session. */
export const META: SessionMeta = {
  createdAt: 1_700_000_000_001,
  seenAt: 1_700_000_000_002,
  renewedAt: 1_700_000_000_003,
};

/** All that can be known of one. */
export const FULL_META: SessionMeta = {
  ...META,
  sentAt: 1_700_000_000_004,
  principal: "a user",
  boundAt: 1_700_000_000_005,
  csrfSeed: "a seed",
};

/** An hour, in milliseconds. */
export const HOUR = 60 * 60 * 1000;

/** A record; where nothing else is said, it lives another hour. */
export function recordOf(values: Record<string, unknown> = {}, rest: Partial<SessionRecord> = {}): SessionRecord {
  return { values: new Map(Object.entries(values)), expiresAt: Date.now() + HOUR, meta: META, ...rest };
}

/** Makes a session with a record. */
export async function createRecord(
  store: RecordStore,
  values: Record<string, unknown> = {},
  rest: Partial<SessionRecord> = {},
): Promise<string> {
  const sid = newSessionId();
  await store.createRecord(sid, recordOf(values, rest));
  return sid;
}

/** Reads a record that is there. */
export async function readLive(store: RecordStore, sid: string): Promise<StoredRecord> {
  const read = await store.readRecord(sid);
  expect(
    read !== undefined && "values" in read,
    `readRecord() of a live session: expected its record, got ${show(read)}`,
  );
  return read;
}

/** The members of a meta that are there; one that is `undefined` is not. */
export function membersOf(meta: SessionMeta): unknown {
  return Object.fromEntries(Object.entries(meta).filter(([, value]) => value !== undefined));
}

/** Fails unless a record is as it should be. */
export async function expectRecord(
  store: RecordStore,
  sid: string,
  expected: SessionRecord,
  what: string,
): Promise<void> {
  const { values, expiresAt, meta } = await readLive(store, sid);
  expectEqual(values, expected.values, `the values in readRecord() ${what}`);
  expectEqual(expiresAt, expected.expiresAt, `expiresAt in readRecord() ${what}`);
  expectEqual(membersOf(meta), expected.meta, `meta in readRecord() ${what}`);
}

/** Fails unless a call rejects with the error by which the middleware knows that a session is gone. */
export async function expectGone(what: string, call: () => Promise<unknown>): Promise<void> {
  const error = await expectRejects(what, call, GONE);
  expect(
    error instanceof SessionGoneError,
    `${what}: expected a SessionGoneError (any other is a failure of the store to the middleware), got ${show(error)}`,
  );
}

/** The trace in what `readRecord()` answered, if it is one. */
function traceOf(read: unknown): { movedTo?: unknown; graceUntil?: unknown } {
  const { movedTo, graceUntil } = { movedTo: undefined, graceUntil: undefined, ...read as object | undefined };
  return movedTo === undefined ? {} : { movedTo, graceUntil };
}

/** Fails unless a replaced id is answered with where it went. */
export async function expectTrace(
  store: RecordStore,
  sid: string,
  movedTo: string,
  graceUntil: number,
  what: string,
): Promise<void> {
  const read = await store.readRecord(sid);
  expectEqual(traceOf(read), { movedTo, graceUntil }, `readRecord() of a replaced id ${what}`);
}

/** Fails where an id without a session is answered with a record. */
export async function expectNoRecord(store: RecordStore, sid: string, what: string): Promise<void> {
  const read = await store.readRecord(sid);
  expect(
    read === undefined || !("values" in read),
    `readRecord() of ${what}: expected undefined, { expired: true } or where it went, got a record: ${show(read)}`,
  );
}
