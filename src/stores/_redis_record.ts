/**
 * Encodes a session as a Redis hash, and defines the scripts that operate on it.
 *
 * @module
 */
import type { SessionMeta } from "../session_store.ts";
import { decodeValue, encodeValue } from "./_codec.ts";
import { script } from "./_redis_connection.ts";

// A session is one hash with these fields. The trace of an id that was replaced has only `movedTo`
// and `graceUntil`.
export const VALUE = "v:";
const META = "m:";
export const EXPIRES_AT = "expiresAt";
export const VERSION = "version";
export const MOVED_FROM = "movedFrom";
export const MOVED_TO = "movedTo";
export const GRACE_UNTIL = "graceUntil";
export const PRINCIPAL = `${META}principal`;

/** How each member of a {@linkcode SessionMeta} is decoded. */
const META_DECODERS: { readonly [Name in keyof SessionMeta]-?: (text: string) => SessionMeta[Name] } = {
  createdAt: Number,
  seenAt: Number,
  renewedAt: Number,
  sentAt: Number,
  principal: String,
  boundAt: Number,
  csrfSeed: String,
  replaces: String,
};
export const META_FIELDS = Object.keys(META_DECODERS).map((name) => META + name);

/** The fields of a hash, or changes of them: `undefined` removes a field. */
export type Fields = Map<string, string | undefined>;

/** Returns whether the fields are those of a session that has not expired. */
export function isLive(fields: Fields): boolean {
  const expiresAt = fields.get(EXPIRES_AT);
  return expiresAt !== undefined && Date.now() < Number(expiresAt);
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

/** Decodes the values of a session. */
export function decodeValues(fields: Fields): Map<string, unknown> {
  const values = new Map<string, unknown>();
  for (const [field, text] of fields) {
    if (field.startsWith(VALUE) && text !== undefined) values.set(field.slice(VALUE.length), decodeValue(text));
  }
  return values;
}

/** Decodes the meta of a session. */
export function decodeMeta(fields: Fields): SessionMeta {
  const members = Object.entries(META_DECODERS).flatMap(([name, decode]) => {
    const text = fields.get(META + name);
    return text === undefined ? [] : [[name, decode(text)]];
  });
  return Object.fromEntries(members);
}

/** Passed to a script as the time to live of a key without an expiry. */
export const FOREVER = "forever";
/** Passed to a script to keep the time to live of a key. */
export const UNCHANGED = "unchanged";

// Each operation is one script on one key. A script that writes receives the caller's clock as
// ARGV[1] and the key's time to live in milliseconds as ARGV[2]. Redis does not roll back a script
// that fails halfway. If it is out of memory, it refuses the first write of a script unless that
// write frees memory, and it allows all later writes. So an operation is applied completely or not
// at all.
const LIVE = `
  local head = redis.call('HMGET', KEYS[1], '${EXPIRES_AT}', '${VERSION}')
  local live = head[1] and tonumber(ARGV[1]) < tonumber(head[1])`;
const SET_TTL = `
  if ARGV[2] == '${FOREVER}' then redis.call('PERSIST', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[2]) end`;

/** Returns all fields, each followed by its text. */
export const READ = script(`return redis.call('HGETALL', KEYS[1])`);

/** Returns the text of each field in ARGV. */
export const READ_FIELDS = script(`return redis.call('HMGET', KEYS[1], unpack(ARGV))`);

/**
 * Creates a session and returns 1, or returns 0 if the id is in use.
 *
 * ARGV[3...]: the fields, each followed by its text.
 */
export const CREATE = script(`${LIVE}
  if live then return 0 end
  if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('DEL', KEYS[1]) end
  for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end ${SET_TTL}
  return 1`);

/**
 * Changes a session and returns 1 and its principal. Returns 0 if the session has another version,
 * and nil if it is missing or expired.
 *
 * - ARGV[3]: the expected version, or `any`.
 * - ARGV[4]: `clear` to remove all values first.
 * - ARGV[5]: the number of fields to write.
 * - ARGV[6...]: these fields, each followed by its text; then the fields to remove.
 */
export const CHANGE = script(`${LIVE}
  if not live then return false end
  if ARGV[3] ~= 'any' and ARGV[3] ~= head[2] then return {0} end
  if ARGV[4] == 'clear' then
    for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
      if string.sub(field, 1, ${VALUE.length}) == '${VALUE}' then redis.call('HDEL', KEYS[1], field) end
    end
  end
  local last = 5 + 2 * ARGV[5]
  for i = last + 1, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
  for i = 6, last, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
  redis.call('HINCRBY', KEYS[1], '${VERSION}', 1)
  if ARGV[2] ~= '${UNCHANGED}' then ${SET_TTL} end
  return {1, redis.call('HGET', KEYS[1], '${PRINCIPAL}')}`);

/**
 * Replaces a session with the trace of its move and returns 1. Returns 0 if the session has another
 * version, or is missing or expired.
 *
 * ARGV[3]: the expected version; ARGV[4]: the new id; ARGV[5]: when the grace period ends.
 */
export const REPLACE_WITH_TRACE = script(`${LIVE}
  if not live or ARGV[3] ~= head[2] then return 0 end
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], '${MOVED_TO}', ARGV[4], '${GRACE_UNTIL}', ARGV[5]) ${SET_TTL}
  return 1`);

/** Deletes a session and returns its principal. A trace stays. */
export const DELETE = script(`
  if redis.call('HEXISTS', KEYS[1], '${MOVED_TO}') == 1 then return false end
  local principal = redis.call('HGET', KEYS[1], '${PRINCIPAL}')
  redis.call('DEL', KEYS[1])
  return principal`);

// The index of a user is a sorted set of session ids. Each is scored by the time until which the
// index keeps it.

/**
 * Adds a session id to an index, or extends its time, and removes the ids whose time has passed.
 *
 * ARGV[1]: the caller's clock; ARGV[2]: the time until which the id is kept; ARGV[3]: the id.
 */
export const INDEX_ADD = script(`
  redis.call('ZADD', KEYS[1], 'GT', ARGV[2], ARGV[3])
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[1])
  local ttl = tonumber(redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]) - ARGV[1]
  if ttl == math.huge then redis.call('PERSIST', KEYS[1])
  else redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ttl)) end`);

/** Returns the session ids of an index. */
export const INDEX_LIST = script(`return redis.call('ZRANGE', KEYS[1], 0, -1)`);

/** Removes the session id ARGV[1] from an index. */
export const INDEX_REMOVE = script(`redis.call('ZREM', KEYS[1], ARGV[1])`);
