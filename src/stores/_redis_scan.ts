/**
 * The scripts that run on every key of a Redis store.
 *
 * @module
 */
import { script } from "./_redis_connection.ts";
import { COPY_OF, EPOCH, EXPIRES_AT, PRINCIPAL } from "./_redis_record.ts";

// Each runs on any number of keys.

/** Removes the sessions and traces, and the entries of indexes, that are older than the epoch ARGV[1]. */
export const REMOVE_OLDER = script(`
  local current = tonumber(ARGV[1])
  for _, key in ipairs(KEYS) do
    local kind = redis.call('TYPE', key).ok
    if kind == 'zset' then
      for _, entry in ipairs(redis.call('ZRANGE', key, 0, -1)) do
        if tonumber(string.match(entry, '^%d+') or 0) < current then redis.call('ZREM', key, entry) end
      end
    elseif kind ~= 'hash' or (tonumber(redis.call('HGET', key, '${EPOCH}') or 0) or 0) < current then
      redis.call('UNLINK', key)
    end
  end`);

/**
 * Counts the keys that hold a live session, and those of them that have a user. Does not count the
 * copies of sessions, and returns their key, their original, and 1 if they have a user, else 0.
 *
 * ARGV[1]: the caller's clock; ARGV[2]: the epoch.
 */
export const COUNT = script(`
  local now, current = tonumber(ARGV[1]), tonumber(ARGV[2])
  local reply = {0, 0}
  for _, key in ipairs(KEYS) do
    if redis.call('TYPE', key).ok == 'hash' then
      local head = redis.call('HMGET', key, '${EXPIRES_AT}', '${EPOCH}', '${COPY_OF}', '${PRINCIPAL}')
      local expiresAt, epoch = tonumber(head[1]), tonumber(head[2] or 0)
      if expiresAt and epoch and now < expiresAt and epoch >= current then
        local bound = head[4] and 1 or 0
        if head[3] then
          reply[#reply + 1] = {key, head[3], bound}
        else
          reply[1], reply[2] = reply[1] + 1, reply[2] + bound
        end
      end
    end
  end
  return reply`);
