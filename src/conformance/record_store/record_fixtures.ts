/**
 * Helpers for checks of a `RecordStore`.
 *
 * @module
 */
import { newSessionId } from "../../cookie/session_id.ts";
import { SessionGoneError } from "../../errors.ts";
import type { RecordStore, SessionMeta, SessionRecord, StoredRecord } from "../../session_store.ts";
import { expect, expectEqual, expectRejects, show } from "../expect.ts";
import { NO_SUCH_SESSION } from "../fixtures.ts";

/** The members of meta that every record has. */
export const META: SessionMeta = {
  createdAt: 1_700_000_000_001,
  seenAt: 1_700_000_000_002,
  renewedAt: 1_700_000_000_003,
};

/** All members of meta. */
export const FULL_META: SessionMeta = {
  ...META,
  sentAt: 1_700_000_000_004,
  principal: "a user",
  boundAt: 1_700_000_000_005,
  signedInAt: 1_700_000_000_008,
  label: "Firefox on \u{1f427}\0",
  maxAge: 0,
  maxAgeSince: 1_700_000_000_006,
  maxAgeSent: 1_700_000_000_007,
  clearedAt: 1_700_000_000_008,
  csrfSeed: "a seed",
  replaces: "an older id",
  encrypted: 1,
  deviceKey: '{"kty":"EC","crv":"P-256","x":"a key","y":"a \u{1f427}\\u0000"}',
  deviceBoundAt: 1_700_000_000_009,
};

/** An hour, in milliseconds. */
export const HOUR = 60 * 60 * 1000;

/** Returns a record that expires in an hour unless `rest` says otherwise. */
export function buildRecord(values: Record<string, unknown> = {}, rest: Partial<SessionRecord> = {}): SessionRecord {
  return { values: new Map(Object.entries(values)), expiresAt: Date.now() + HOUR, meta: META, ...rest };
}

/** Creates a session with `createRecord()` and returns its id. */
export async function createRecord(
  store: RecordStore,
  values: Record<string, unknown> = {},
  rest: Partial<SessionRecord> = {},
): Promise<string> {
  const sid = newSessionId();
  await store.createRecord(sid, buildRecord(values, rest));
  return sid;
}

/** Creates a session of a user and returns its id. */
export function createSessionOf(
  store: RecordStore,
  principal: string,
  expiresAt: number = Date.now() + 60_000,
): Promise<string> {
  return createRecord(store, {}, { expiresAt, meta: { ...META, principal } });
}

/** Reads the record of a live session. */
export async function readLiveRecord(store: RecordStore, sid: string): Promise<StoredRecord> {
  const read = await store.readRecord(sid);
  expect(
    read !== undefined && "values" in read,
    `readRecord() of a live session: expected its record, got ${show(read)}`,
  );
  return read;
}

/** Returns the members of meta that are not `undefined`. */
export function definedMembers(meta: SessionMeta): unknown {
  return Object.fromEntries(Object.entries(meta).filter(([, value]) => value !== undefined));
}

/** Fails unless the record of a live session is as expected. */
export async function expectRecord(
  store: RecordStore,
  sid: string,
  expected: SessionRecord,
  when: string,
): Promise<void> {
  const { values, expiresAt, meta } = await readLiveRecord(store, sid);
  expectEqual(values, expected.values, `values in readRecord() ${when}`);
  expectEqual(expiresAt, expected.expiresAt, `expiresAt in readRecord() ${when}`);
  expectEqual(definedMembers(meta), expected.meta, `meta in readRecord() ${when}`);
}

/**
 * Fails unless a call rejects with a `SessionGoneError`. The middleware treats any other error as a
 * failure of the store.
 */
export async function expectGone(what: string, call: () => Promise<unknown>): Promise<void> {
  const error = await expectRejects(what, call, NO_SUCH_SESSION);
  expect(
    error instanceof SessionGoneError,
    `${what}: expected a SessionGoneError (any other error means that the store failed), got ${show(error)}`,
  );
}

/** Fails unless `readRecord()` of a replaced id returns its trace. */
export async function expectTrace(
  store: RecordStore,
  sid: string,
  movedTo: string,
  graceUntil: number,
  what: string,
): Promise<void> {
  const read = await store.readRecord(sid);
  const trace = read !== undefined && "movedTo" in read ? { movedTo: read.movedTo, graceUntil: read.graceUntil } : read;
  expectEqual(trace, { movedTo, graceUntil }, `readRecord() of a replaced id ${what}`);
}

/** Fails if `readRecord()` returns a record. */
export async function expectNoRecord(store: RecordStore, sid: string, what: string): Promise<void> {
  const read = await store.readRecord(sid);
  expect(
    read === undefined || !("values" in read),
    `readRecord() of ${what}: expected undefined, { expired: true } or a new id, got a record: ${show(read)}`,
  );
}
