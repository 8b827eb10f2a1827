/**
 * When a session ends: its limits of time, in one place.
 *
 * @module
 */
import type { ResolvedOptions } from "../options.ts";
import type { SessionMeta } from "../session_store.ts";

/** When a session began and when it was last used, in milliseconds since the epoch. */
export type ActivityTimes = Pick<SessionMeta, "createdAt" | "seenAt">;

/** How long the server keeps a session when no limit is given: a day, in milliseconds. */
const DEFAULT_LIFETIME_MS = 24 * 60 * 60 * 1000;

/**
 * The moment from which the cookie is of no use, in milliseconds since the epoch, as far as the options say one.
 *
 * An idle timeout is not part of it: it is the server's alone, or the cookie would have to be sent again with every activity.
 */
export function cookieExpiry(settings: ResolvedOptions, { createdAt, seenAt }: ActivityTimes): number {
  const { maxAge, rolling, absoluteTimeout, expires } = settings;
  return Math.min(
    maxAge === undefined ? expires ?? Infinity : (rolling ? seenAt : createdAt) + maxAge * 1000,
    absoluteTimeout === undefined ? Infinity : createdAt + absoluteTimeout * 1000,
  );
}

/** The moment from which the session is gone, in milliseconds since the epoch. */
export function computeExpiry(settings: ResolvedOptions, activity: ActivityTimes): number {
  const { idleTimeout } = settings;
  const limit = Math.min(
    cookieExpiry(settings, activity),
    idleTimeout === undefined ? Infinity : activity.seenAt + idleTimeout * 1000,
  );
  return limit === Infinity ? activity.createdAt + DEFAULT_LIFETIME_MS : limit;
}

/** The moment from which a stored session is gone: the options may have become stricter since it was written. */
export function effectiveExpiry(settings: ResolvedOptions, expiresAt: number, meta: ActivityTimes): number {
  return Math.min(expiresAt, computeExpiry(settings, meta));
}

/** How old a note of activity may grow before it is written again, in milliseconds; `Infinity` where nothing depends on it. */
export function activityInterval({ maxAge, rolling, idleTimeout }: ResolvedOptions): number {
  const sliding = Math.min(rolling && maxAge !== undefined ? maxAge : Infinity, idleTimeout ?? Infinity);
  return sliding * 1000 / 10;
}
