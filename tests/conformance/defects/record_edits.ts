/** Methods of a `RecordStore` that change what a correct store receives or returns. */
import type {
  MemoryStore,
  PrincipalStore,
  RecordChange,
  RecordMove,
  SessionMeta,
  SessionRecord,
  StoredRecord,
} from "../../../mod.ts";
import { ALL_METHODS } from "../../../src/admin_store.ts";

/** Runs a call with a clock that is behind. */
export function withClockBehind<T>(milliseconds: number, call: () => T): T {
  const real = Date.now;
  Date.now = () => real() - milliseconds;
  try {
    return call();
  } finally {
    Date.now = real;
  }
}

/** Runs every call with a clock that is behind. */
export function withAllClocksBehind(correct: MemoryStore, milliseconds: number): Partial<PrincipalStore> {
  return Object.fromEntries(ALL_METHODS.map((name) => {
    const method = Reflect.get(correct, name) as (...args: unknown[]) => unknown;
    return [name, (...args: unknown[]) => withClockBehind(milliseconds, () => method.apply(correct, args))];
  }));
}

/** Reads a record as a plain object, or returns `undefined` if the session is not live. */
export async function readLive(correct: MemoryStore, sid: string): Promise<StoredRecord | undefined> {
  const read = await correct.readRecord(sid);
  if (read === undefined || !("values" in read)) return undefined;
  const { values, expiresAt, meta, version } = read;
  return { values, expiresAt, meta, version };
}

/** Changes the records that `readRecord()` returns. */
export function editReadRecord(
  correct: MemoryStore,
  edit: (record: StoredRecord) => StoredRecord,
): Partial<PrincipalStore> {
  return {
    readRecord: async (sid) => {
      const record = await readLive(correct, sid);
      return record === undefined ? await correct.readRecord(sid) : edit(record);
    },
  };
}

/** Changes the argument of `createRecord()`. */
export function editCreateRecord(
  correct: MemoryStore,
  edit: (record: SessionRecord) => SessionRecord,
): Partial<PrincipalStore> {
  return { createRecord: (sid, record) => correct.createRecord(sid, edit(record)) };
}

/** Changes the argument of `changeRecord()`. */
export function editChangeRecord(
  correct: MemoryStore,
  edit: (change: RecordChange) => RecordChange,
): Partial<PrincipalStore> {
  return { changeRecord: (sid, change) => correct.changeRecord(sid, edit(change)) };
}

/** Changes the argument of `moveRecord()`. */
export function editMoveRecord(correct: MemoryStore, edit: (move: RecordMove) => RecordMove): Partial<PrincipalStore> {
  return { moveRecord: (sid, newSid, move) => correct.moveRecord(sid, newSid, edit(move)) };
}

/** Changes the traces of replaced ids that `readRecord()` returns. */
export function editTrace(
  correct: MemoryStore,
  edit: (trace: { movedTo: string; graceUntil: number }, sid: string) => unknown,
): Partial<PrincipalStore> {
  return {
    readRecord: async (sid) => {
      const read = await correct.readRecord(sid);
      return read !== undefined && "movedTo" in read ? edit(read, sid) as typeof read : read;
    },
  };
}

/** Returns the members of meta that are not `undefined`. */
export function definedMembers(meta: Partial<SessionMeta>): Partial<SessionMeta> {
  return Object.fromEntries(Object.entries(meta).filter(([, value]) => value !== undefined));
}
