/**
 * Computes when sessions and their cookies expire.
 *
 * @module
 */
import type { ResolvedOptions } from "../options.ts";
import type { SessionMeta } from "../session_store.ts";
import type { LoadedSession } from "./loaded_session.ts";

/** When a session was created and when it was last used, in milliseconds since the epoch. */
export type ActivityTimes = Pick<SessionMeta, "createdAt" | "seenAt">;

/** How long the server keeps a session if the options set no limit: a day, in milliseconds. */
const DEFAULT_LIFETIME_MS = 24 * 60 * 60 * 1000;

/**
 * Returns when the cookie of a session expires, in milliseconds since the epoch; `Infinity` if the
 * options do not limit it.
 *
 * The idle timeout is enforced on the server only. In the cookie it would require sending the
 * cookie again with every activity.
 */
export function cookieExpiry(options: ResolvedOptions, { createdAt, seenAt }: ActivityTimes): number {
  const { maxAge, rolling, absoluteTimeout, expires } = options;
  return Math.min(
    maxAge === undefined ? expires ?? Infinity : (rolling ? seenAt : createdAt) + maxAge * 1000,
    absoluteTimeout === undefined ? Infinity : createdAt + absoluteTimeout * 1000,
  );
}

/**
 * Returns when a session expires, in milliseconds since the epoch: at the earliest limit of the
 * options, by default after a day.
 */
export function computeExpiry(options: ResolvedOptions, times: ActivityTimes): number {
  const { idleTimeout } = options;
  const expiry = Math.min(
    cookieExpiry(options, times),
    idleTimeout === undefined ? Infinity : times.seenAt + idleTimeout * 1000,
  );
  return expiry === Infinity ? times.createdAt + DEFAULT_LIFETIME_MS : expiry;
}

/**
 * Returns when a stored session expires. The options may have become stricter since its record was
 * written.
 */
export function effectiveExpiry(options: ResolvedOptions, expiresAt: number, times: ActivityTimes): number {
  return Math.min(expiresAt, computeExpiry(options, times));
}

/**
 * Returns how old the recorded activity may become before it is written again, in milliseconds: a
 * tenth of the shortest sliding limit, or `Infinity` without one. A session then expires early by
 * at most that tenth, and most requests write nothing.
 */
export function activityInterval({ maxAge, rolling, idleTimeout }: ResolvedOptions): number {
  const slidingLimit = Math.min(rolling && maxAge !== undefined ? maxAge : Infinity, idleTimeout ?? Infinity);
  return slidingLimit * 1000 / 10;
}

/**
 * Returns whether the activity of a request must be written. With `rolling`, its cookie is sent
 * again too.
 */
export function isActivityDue(options: ResolvedOptions, { meta, viaOldId }: LoadedSession): boolean {
  const interval = activityInterval(options);
  if (interval === Infinity) return false;
  const { createdAt, seenAt, sentAt } = meta;
  const since = options.rolling && !viaOldId ? Math.min(seenAt, sentAt ?? createdAt) : seenAt;
  return Date.now() - since >= interval;
}
