/**
 * A session as it lies in Redis, and the scripts that take the steps on it.
 *
 * @module
 */
import type { SessionMeta } from "../session_store.ts";
import { decodeValue, encodeValue } from "./_codec.ts";
import { script } from "./_redis_connection.ts";

// A session is one hash. These are its fields; of what is left of a replaced id, `movedTo` and `graceUntil` alone.
export const VALUE = "v:";
const META = "m:";
export const EXPIRES_AT = "expiresAt";
export const VERSION = "version";
export const MOVED_FROM = "movedFrom";
export const MOVED_TO = "movedTo";
export const GRACE_UNTIL = "graceUntil";
export const PRINCIPAL = `${META}principal`;

/** How each member of what is known of a session is read. */
const META_MEMBERS: { readonly [Name in keyof SessionMeta]-?: (text: string) => SessionMeta[Name] } = {
  createdAt: Number,
  seenAt: Number,
  renewedAt: Number,
  sentAt: Number,
  principal: String,
  boundAt: Number,
  csrfSeed: String,
};
export const META_FIELDS = Object.keys(META_MEMBERS).map((name) => META + name);

/** A hash as it lies in Redis, or what is to be written into one; `undefined` removes a field. */
export type Fields = Map<string, string | undefined>;

export function isLive(fields: Fields): boolean {
  const expiresAt = fields.get(EXPIRES_AT);
  return expiresAt !== undefined && Date.now() < Number(expiresAt);
}

export function encode(values: Iterable<readonly [string, unknown]>, meta: Partial<SessionMeta>): Fields {
  const fields: Fields = new Map();
  for (const [key, value] of values) fields.set(VALUE + key, value === undefined ? value : encodeValue(key, value));
  for (const [name, member] of Object.entries(meta)) {
    fields.set(META + name, member === undefined ? member : String(member));
  }
  return fields;
}

/** The fields to write, each followed by its text, and those to remove. */
export function split(fields: Fields): { written: string[]; removed: string[] } {
  const written: string[] = [];
  const removed: string[] = [];
  for (const [field, text] of fields) {
    if (text === undefined) removed.push(field);
    else written.push(field, text);
  }
  return { written, removed };
}

export function decodeValues(fields: Fields): Map<string, unknown> {
  const values = new Map<string, unknown>();
  for (const [field, text] of fields) {
    if (field.startsWith(VALUE) && text !== undefined) values.set(field.slice(VALUE.length), decodeValue(text));
  }
  return values;
}

export function decodeMeta(fields: Fields): SessionMeta {
  const members = Object.entries(META_MEMBERS).flatMap(([name, read]) => {
    const text = fields.get(META + name);
    return text === undefined ? [] : [[name, read(text)]];
  });
  return Object.fromEntries(members);
}

// Each step is one script on one key. Those that write get the caller's clock as ARGV[1], and as ARGV[2] for how long Redis is to keep the
// key, in milliseconds. Redis does not undo what a script has done before an error. When it is out of memory it refuses a script's first
// write, unless that frees memory, and lets all that follow through: so nothing is half done.
const LIVE = `
  local head = redis.call('HMGET', KEYS[1], '${EXPIRES_AT}', '${VERSION}')
  local live = head[1] and tonumber(ARGV[1]) < tonumber(head[1])`;
const KEEP = `
  if ARGV[2] == 'forever' then redis.call('PERSIST', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[2]) end`;

export const READ = script(`return redis.call('HGETALL', KEYS[1])`);
/** ARGV: the fields. */
export const READ_SOME = script(`return redis.call('HMGET', KEYS[1], unpack(ARGV))`);
/** ARGV[3]...: fields and their texts. */
export const CREATE = script(`${LIVE}
  if live then return 0 end
  if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('DEL', KEYS[1]) end
  for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end ${KEEP}
  return 1`);
/** ARGV[3]: the version that it must have; ARGV[4]: whether to clear; ARGV[5]: how many fields to write; then these; then those to remove. */
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
  if ARGV[2] ~= 'as it is' then ${KEEP} end
  return {1, redis.call('HGET', KEYS[1], '${PRINCIPAL}')}`);
/** ARGV[3]: the version that it must have; ARGV[4]: the new id; ARGV[5]: until when the old one leads to it. */
export const LEAVE_TRACE = script(`${LIVE}
  if not live or ARGV[3] ~= head[2] then return 0 end
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], '${MOVED_TO}', ARGV[4], '${GRACE_UNTIL}', ARGV[5]) ${KEEP}
  return 1`);
export const DELETE = script(`
  if redis.call('HEXISTS', KEYS[1], '${MOVED_TO}') == 1 then return false end
  local principal = redis.call('HGET', KEYS[1], '${PRINCIPAL}')
  redis.call('DEL', KEYS[1])
  return principal`);

// The sessions of a user are a sorted set, by the moment up to which the entry is kept.
/** ARGV[1]: the caller's clock; ARGV[2]: up to when the entry is kept; ARGV[3]: the session id. */
export const ENTER = script(`
  redis.call('ZADD', KEYS[1], 'GT', ARGV[2], ARGV[3])
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[1])
  local last = tonumber(redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]) - ARGV[1]
  if last == math.huge then redis.call('PERSIST', KEYS[1])
  else redis.call('PEXPIRE', KEYS[1], string.format('%.0f', last)) end`);
export const ENTRIES = script(`return redis.call('ZRANGE', KEYS[1], 0, -1)`);
export const LEAVE = script(`redis.call('ZREM', KEYS[1], ARGV[1])`);
