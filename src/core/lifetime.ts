/**
 * When a session ends: its limits of time, in one place.
 *
 * @module
 */
import type { ResolvedOptions } from "../options.ts";
import type { SessionMeta } from "../session_store.ts";
import type { LoadedSession } from "./loaded_session.ts";

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

/**
 * Returns how old the stored time of the last activity may become, in milliseconds; `Infinity` if no limit depends on it. A tenth of the
 * shortest sliding limit: then a session expires at most a tenth early, and most requests write nothing.
 */
export function activityInterval({ maxAge, rolling, idleTimeout }: ResolvedOptions): number {
  const sliding = Math.min(rolling && maxAge !== undefined ? maxAge : Infinity, idleTimeout ?? Infinity);
  return sliding * 1000 / 10;
}

/** Returns whether the activity of a request is to be stored. With `rolling` its cookie is sent again too. */
export function isActivityDue(options: ResolvedOptions, { meta, viaOldId }: LoadedSession): boolean {
  const interval = activityInterval(options);
  if (interval === Infinity) return false;
  const { createdAt, seenAt, sentAt } = meta;
  const since = options.rolling && !viaOldId ? Math.min(seenAt, sentAt ?? createdAt) : seenAt;
  return Date.now() - since >= interval;
}
