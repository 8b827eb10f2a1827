/**
 * Encodes a session as a Redis hash, and defines the scripts that operate on it.
 *
 * @module
 */
import { isSessionMeta, META_TYPES } from "../session_record.ts";
import type { SessionMeta } from "../session_store.ts";
import { decodeValue, encodeValue } from "./_codec.ts";
import { unreadableError } from "./_records.ts";
import { script } from "./_redis_connection.ts";

// A session is one hash with these fields. The trace of an id that was replaced has only `movedTo`,
// `graceUntil` and `epoch`.
export const VALUE = "v:";
const META = "m:";
/**
 * Begins a field whose name ends with the id of a copy, see {@linkcode COPY_OF}. Whatever ends the
 * session removes its copies too.
 */
const COPY = "c:";
export const EXPIRES_AT = "expiresAt";
export const VERSION = "version";
/**
 * The store's epoch at the creation of the session; 0 if absent. `clear()` begins a new epoch and
 * thereby ends all sessions of earlier ones. A session keeps its epoch when it moves.
 */
export const EPOCH = "epoch";
/**
 * Marks the copy that a move makes, with the id of its original.
 *
 * One record at a time is the session: the original, until it is replaced with a trace, then the
 * copy that the trace names. So a marked record counts as missing, unless its original is a trace
 * that names it. A trace never changes, and a mark that was removed never comes back.
 */
export const COPY_OF = "copyOf";
/** The first id of a session that has moved. All its records and copies have it. */
export const FIRST_SID = "firstSid";
export const MOVED_TO = "movedTo";
export const GRACE_UNTIL = "graceUntil";
export const PRINCIPAL = `${META}principal`;
const DEVICE_KEY = `${META}deviceKey`;

const META_MEMBERS = Object.entries(META_TYPES).map(([name, type]) => ({
  name,
  field: META + name,
  isNumber: type === "number",
}));

export const META_FIELDS = META_MEMBERS.map(({ field }) => field);

/** The fields of a hash, or changes of them: `undefined` removes a field. */
export type Fields = Map<string, string | undefined>;

/**
 * Returns whether the fields are those of a session that has not expired.
 *
 * @throws {UnreadableRecordError} if the expiry is not a number
 */
export function isLive(fields: Fields): boolean {
  return fields.get(EXPIRES_AT) !== undefined && Date.now() < numberIn(fields, EXPIRES_AT);
}

/**
 * Returns the number in a field.
 *
 * @throws {UnreadableRecordError} if there is none
 */
export function numberIn(fields: Fields, field: string): number {
  return decodeNumber(fields.get(field) ?? "");
}

/** Returns the epoch of a session or trace. */
export function epochOf(fields: Fields): number {
  return decodeNumber(fields.get(EPOCH) ?? "0");
}

function decodeNumber(text: string): number {
  const number = text === "" ? NaN : Number(text);
  if (Number.isNaN(number)) throw unreadableError("read", "RedisStore");
  return number;
}

/** Returns whether a script has found a record that the store cannot read. */
export function saysUnreadable(error: unknown): boolean {
  return error instanceof Error && /\b(UNREADABLE|WRONGTYPE)\b/.test(error.message);
}

/** Encodes values and meta as fields. */
export function encodeFields(values: Iterable<readonly [string, unknown]>, meta: Partial<SessionMeta>): Fields {
  const fields: Fields = new Map();
  for (const [key, value] of values) fields.set(VALUE + key, value === undefined ? value : encodeValue(key, value));
  for (const [name, member] of Object.entries(meta)) {
    fields.set(META + name, member === undefined ? member : String(member));
  }
  return fields;
}

/** Separates the fields to write, each followed by its text, from the fields to remove. */
export function splitFields(fields: Fields): { written: string[]; removed: string[] } {
  const written: string[] = [];
  const removed: string[] = [];
  for (const [field, text] of fields) {
    if (text === undefined) removed.push(field);
    else written.push(field, text);
  }
  return { written, removed };
}

/**
 * Decodes the values of a session.
 *
 * @throws {UnreadableRecordError} if a value cannot be decoded
 */
export function decodeValues(fields: Fields): Map<string, unknown> {
  const values = new Map<string, unknown>();
  for (const [field, text] of fields) {
    if (!field.startsWith(VALUE) || text === undefined) continue;
    values.set(field.slice(VALUE.length), decodeValue(text, "RedisStore", "read"));
  }
  return values;
}

/**
 * Decodes the meta of a session.
 *
 * @throws {UnreadableRecordError} if a member is missing or cannot be decoded
 */
export function decodeMeta(fields: Fields): SessionMeta {
  const meta: Record<string, unknown> = {};
  // Without an array for each member, which would take 2.3 instead of 0.7 µs.
  for (const { name, field, isNumber } of META_MEMBERS) {
    const text = fields.get(field);
    if (text !== undefined) meta[name] = isNumber ? decodeNumber(text) : text;
  }
  if (!isSessionMeta(meta)) throw unreadableError("read", "RedisStore");
  return meta;
}

/** Returns the fields of a copy, see {@linkcode COPY_OF}. */
export function copyFields(old: Fields, changes: Fields, sid: string): Fields {
  const fields: Fields = new Map();
  for (const [field, text] of old) if (!field.startsWith(COPY)) fields.set(field, text);
  for (const [field, text] of changes) fields.set(field, text);
  fields.set(VERSION, String(numberIn(old, VERSION) + 1)).set(FIRST_SID, old.get(FIRST_SID) ?? sid);
  return fields.set(COPY_OF, sid);
}

/** Returns the entry of a session in the index of a user. It begins with the session's epoch. */
export function indexEntry(epoch: number, sid: string): string {
  return `${epoch}:${sid}`;
}

/** Returns the session id of an {@linkcode indexEntry}. */
export function sidOfEntry(entry: string): string {
  return entry.slice(entry.indexOf(":") + 1);
}

/** Passed to a script as the time to live of a key without an expiry. */
export const FOREVER = "forever";
/** Passed to a script to keep the time to live of a key. */
export const UNCHANGED = "unchanged";

/** Passed to a script to change a session of any version. */
export const ANY_VERSION = "any";

/** Passed to {@linkcode CHANGE} to remove all values first. */
export const CLEAR = "clear";
/** Passed to {@linkcode CHANGE} to change the session only if it has no key of a device. */
export const IF_NO_DEVICE = "ifNoDevice";

/** The result of {@linkcode CHANGE} and {@linkcode REPLACE_WITH_TRACE}. */
export const CHANGED = 1;
/** The session has another version, or it has the key of a device. */
export const REFUSED = 0;
export const GONE = -1;
/** The session was live when the command was sent, but has expired by Redis's clock since then. */
export const LATE = -2;
/** The record is marked as a copy. */
export const PENDING = -3;

// Each operation is one script on one key. KEYS[2] is the key of the epoch, except in a cluster,
// where other keys may be on another node. Then the caller compares the epochs.
//
// Redis does not roll back a script that fails halfway. If it is out of memory, it refuses the
// first write of a script unless that write frees memory, and it allows all later writes. So an
// operation is applied completely or not at all.

/** Defines `current`, the epoch, as text. Not a number is an error of Redis, not of the record. */
const CURRENT_EPOCH = `local current = KEYS[2] and redis.pcall('GET', KEYS[2])`;

/**
 * Requires `now` and `current`. Defines `head` (the expiry, the version, the epoch and the mark, as
 * text), `expiresAt`, whether the session was `cleared`, and whether it is `live` but for the mark.
 */
const LIVE = `
  local head = redis.call('HMGET', KEYS[1], '${EXPIRES_AT}', '${VERSION}', '${EPOCH}', '${COPY_OF}')
  local expiresAt, epoch = tonumber(head[1]), tonumber(head[3] or 0)
  local cleared = current and epoch and epoch < tonumber(current)
  if not cleared and not (expiresAt and epoch and string.match(head[2] or '', '^%d+$'))
    and redis.call('EXISTS', KEYS[1]) == 1 and (head[1] or redis.call('HEXISTS', KEYS[1], '${MOVED_TO}') == 0) then
    return redis.error_reply('UNREADABLE')
  end
  local live = expiresAt and not cleared and now < expiresAt`;

/**
 * Defines `micros`, the time of Redis, and `now`: the time of execution on the caller's clock.
 *
 * ARGV[1]: when the command was sent, on the caller's clock; ARGV[3]: the same on Redis's clock.
 */
const NOW = `
  local time = redis.call('TIME')
  local micros = time[1] * 1000000 + time[2]
  local sent = tonumber(ARGV[1])
  local now = sent + math.max(0, micros / 1000 - tonumber(ARGV[3]))`;

const REFUSE_UNLESS_LIVE = `
  if not live then
    return {expiresAt and not cleared and sent < expiresAt and ${LATE} or ${GONE}, micros, head[1]}
  end
  if head[4] then return {${PENDING}, micros, head[4]} end`;

/** ARGV[2]: the time to live of the key in milliseconds. */
const SET_TTL = `
  if ARGV[2] == '${FOREVER}' then redis.call('PERSIST', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[2]) end`;

/** Appends to the table `reply` the ids of all copies, see {@linkcode COPY}. */
const APPEND_COPIES = `
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if string.sub(field, 1, ${COPY.length}) == '${COPY}' then
      reply[#reply + 1] = string.sub(field, ${COPY.length + 1})
    end
  end`;

const UNLESS_CLEARED = `
  ${CURRENT_EPOCH}
  if current and (tonumber(redis.call('HGET', KEYS[1], '${EPOCH}') or 0) or math.huge) < tonumber(current) then
    return {}
  end`;

/** Returns all fields, each followed by its text. */
export const READ = script(`${UNLESS_CLEARED}
  return redis.call('HGETALL', KEYS[1])`);

/** The fields with which the arguments of {@linkcode READ_FIELDS} begin. */
export const HEAD_FIELDS = [EXPIRES_AT, MOVED_TO, EPOCH, COPY_OF] as const;

/** Returns the text of each field in ARGV. */
export const READ_FIELDS = script(`${UNLESS_CLEARED}
  local texts = redis.call('HMGET', KEYS[1], unpack(ARGV))
  if not texts[1] and not texts[2] and redis.call('EXISTS', KEYS[1]) == 1 then
    return redis.error_reply('UNREADABLE')
  end
  return texts`);

/**
 * Creates a session. Returns 1, or 0 if the id is in use; and the current epoch. Creates none if
 * that is later than the epoch of the new session.
 *
 * ARGV[1]: the caller's clock; ARGV[3]: the epoch of the new session; ARGV[4...]: the fields, each
 * followed by its text.
 */
export const CREATE = script(`
  local now = tonumber(ARGV[1])
  ${CURRENT_EPOCH}
  current = current or ARGV[3] ${LIVE}
  if live or tonumber(ARGV[3]) < tonumber(current) then return {0, tonumber(current)} end
  if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('DEL', KEYS[1]) end
  for i = 4, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end ${SET_TTL}
  return {1, tonumber(current)}`);

/**
 * Changes a session. Returns the result and the time of Redis, and after a change the expiry that
 * it had before, its epoch, and its principal if the expiry was changed.
 *
 * - ARGV[4]: the expected version, or {@linkcode ANY_VERSION}.
 * - ARGV[5]: {@linkcode CLEAR}, {@linkcode IF_NO_DEVICE}, both or neither.
 * - ARGV[6]: the number of fields to write.
 * - ARGV[7...]: these fields, each followed by its text; then the fields to remove.
 */
export const CHANGE = script(`${NOW}
  ${CURRENT_EPOCH} ${LIVE} ${REFUSE_UNLESS_LIVE}
  if ARGV[4] ~= '${ANY_VERSION}' and ARGV[4] ~= head[2] then return {${REFUSED}, micros} end
  if string.find(ARGV[5], '${IF_NO_DEVICE}', 1, true) and redis.call('HEXISTS', KEYS[1], '${DEVICE_KEY}') == 1 then
    return {${REFUSED}, micros}
  end
  if string.find(ARGV[5], '${CLEAR}', 1, true) then
    for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
      if string.sub(field, 1, ${VALUE.length}) == '${VALUE}' then redis.call('HDEL', KEYS[1], field) end
    end
  end
  local last = 6 + 2 * ARGV[6]
  for i = last + 1, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
  for i = 7, last, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
  redis.call('HINCRBY', KEYS[1], '${VERSION}', 1)
  if ARGV[2] ~= '${UNCHANGED}' then ${SET_TTL} end
  return {${CHANGED}, micros, head[1], head[3], ARGV[2] ~= '${UNCHANGED}' and redis.call('HGET', KEYS[1], '${PRINCIPAL}')}`);

/**
 * Begins a move: notes the id of the copy in the session, and returns the fields as READ does.
 * Returns no fields if the session is not live.
 *
 * ARGV[1]: the caller's clock; ARGV[2]: the new id; ARGV[3]: the expected version, or
 * {@linkcode ANY_VERSION}.
 */
export const BEGIN_MOVE = script(`
  local now = tonumber(ARGV[1])
  ${CURRENT_EPOCH} ${LIVE}
  if not live then return {} end
  local fields = redis.call('HGETALL', KEYS[1])
  if ARGV[3] == '${ANY_VERSION}' or ARGV[3] == head[2] then redis.call('HSET', KEYS[1], '${COPY}' .. ARGV[2], '') end
  return fields`);

/**
 * Ends a move: replaces a session with its trace, and removes the mark of the copy, KEYS[3], except
 * in a cluster. Returns the result and the time of Redis, and after a change the ids of all copies.
 *
 * ARGV[4]: the expected version; ARGV[5]: the new id; ARGV[6]: when the grace period ends.
 */
export const REPLACE_WITH_TRACE = script(`${NOW}
  ${CURRENT_EPOCH} ${LIVE} ${REFUSE_UNLESS_LIVE}
  if ARGV[4] ~= head[2] then return {${REFUSED}, micros} end
  local reply = {${CHANGED}, micros} ${APPEND_COPIES}
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], '${MOVED_TO}', ARGV[5], '${GRACE_UNTIL}', ARGV[6])
  if head[3] then redis.call('HSET', KEYS[1], '${EPOCH}', head[3]) end ${SET_TTL}
  if KEYS[3] then redis.call('HDEL', KEYS[3], '${COPY_OF}') end
  return reply`);

/** Removes the mark of a copy that has become the session. */
export const REMOVE_MARK = script(`redis.call('HDEL', KEYS[1], '${COPY_OF}')`);

/**
 * Deletes a session, even if it is not readable. Returns its principal, its epoch and the ids of
 * its copies. Keeps a trace, and returns nothing.
 *
 * ARGV[1]: absent; or an id, to delete the record only if it is marked as a copy of that one.
 */
export const DELETE = script(`
  if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then
    if not ARGV[1] then redis.call('DEL', KEYS[1]) end
    return {}
  end
  local head = redis.call('HMGET', KEYS[1], '${PRINCIPAL}', '${EPOCH}', '${MOVED_TO}', '${COPY_OF}')
  if head[3] or ARGV[1] and ARGV[1] ~= head[4] then return {} end
  local reply = {head[1], head[2]} ${APPEND_COPIES}
  redis.call('DEL', KEYS[1])
  return reply`);

// The index of a user is a sorted set of index entries. Each is scored by the time until which the
// index keeps it.

/**
 * Adds an entry to an index, or extends its time, and removes the entries whose time has passed.
 *
 * ARGV[1]: the caller's clock; ARGV[2]: the time until which the entry is kept; ARGV[3]: the entry.
 */
export const INDEX_ADD = script(`
  redis.call('ZADD', KEYS[1], 'GT', ARGV[2], ARGV[3])
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[1])
  local ttl = tonumber(redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]) - ARGV[1]
  if ttl == math.huge then redis.call('PERSIST', KEYS[1])
  else redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ttl)) end`);

/** Returns the entries of an index. */
export const INDEX_LIST = script(`return redis.call('ZRANGE', KEYS[1], 0, -1)`);

/** Removes the entry ARGV[1] from an index. */
export const INDEX_REMOVE = script(`redis.call('ZREM', KEYS[1], ARGV[1])`);

/** Returns the epoch, or nil if it is not a number. */
export const READ_EPOCH = script(`return tonumber(redis.pcall('GET', KEYS[1]) or 0)`);

/**
 * Begins a new epoch and returns it. An epoch is a time, so it is later than all others even if
 * Redis has lost the last one.
 */
export const BEGIN_EPOCH = script(`
  local time = redis.call('TIME')
  local last = tonumber(redis.pcall('GET', KEYS[1]) or 0) or 0
  local epoch = math.max(last + 1, time[1] * 1000 + math.floor(time[2] / 1000))
  redis.call('SET', KEYS[1], string.format('%.0f', epoch))
  return epoch`);
