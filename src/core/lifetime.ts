/**
 * Computes when sessions and their cookies expire.
 *
 * @module
 */
import type { ResolvedOptions } from "../options.ts";
import type { SessionMeta } from "../session_store.ts";
import type { LoadedSession } from "./loaded_session.ts";

/** The metadata of a lifetime that was set for one session. */
export type OwnLifetime = Pick<SessionMeta, "maxAge" | "maxAgeSince" | "maxAgeSent">;

/** The metadata that decides when a session expires. */
export type LifetimeMeta = Pick<SessionMeta, "createdAt" | "seenAt" | "maxAge" | "maxAgeSince">;

/** How long the server keeps a session if nothing limits it: a day, in milliseconds. */
const DEFAULT_LIFETIME_MS = 24 * 60 * 60 * 1000;

/** The value of {@linkcode SessionMeta.maxAge} if the cookie ends with the browser. */
const UNTIL_BROWSER_CLOSES = 0;

/**
 * Returns the metadata that gives a session a lifetime of its own.
 *
 * @param maxAge how long it lasts, in seconds; `null` if its cookie ends with the browser
 */
export function ownLifetime(maxAge: number | null, now: number): OwnLifetime {
  return { maxAge: maxAge ?? UNTIL_BROWSER_CLOSES, maxAgeSince: now };
}

/**
 * Returns when the cookie of a session expires, in milliseconds since the epoch: `Infinity` if it
 * ends with the browser; `undefined` if the session has no `maxAge`, so that only the option
 * `expires` can limit it.
 *
 * The idle timeout is enforced on the server only. In the cookie it would require sending the
 * cookie again with every activity.
 */
export function cookieExpiry(options: ResolvedOptions, meta: LifetimeMeta): number | undefined {
  const { maxAge = options.maxAge } = meta;
  if (maxAge === undefined) return undefined;
  if (maxAge === UNTIL_BROWSER_CLOSES) return Infinity;
  return Math.min(lifetimeStart(options, meta) + maxAge * 1000, absoluteExpiry(options, meta));
}

/**
 * Returns when a session expires, in milliseconds since the epoch: at the earliest limit, by
 * default after a day.
 */
export function computeExpiry(options: ResolvedOptions, meta: LifetimeMeta): number {
  const { idleTimeout } = options;
  const expiry = Math.min(
    cookieExpiry(options, meta) ?? options.expires ?? Infinity,
    absoluteExpiry(options, meta),
    idleTimeout === undefined ? Infinity : meta.seenAt + idleTimeout * 1000,
  );
  return expiry === Infinity ? lifetimeStart(options, meta) + DEFAULT_LIFETIME_MS : expiry;
}

function absoluteExpiry({ absoluteTimeout }: ResolvedOptions, { createdAt }: LifetimeMeta): number {
  return absoluteTimeout === undefined ? Infinity : createdAt + absoluteTimeout * 1000;
}

/** Returns the time from which `maxAge` counts. */
function lifetimeStart({ rolling }: ResolvedOptions, { createdAt, seenAt, maxAgeSince }: LifetimeMeta): number {
  const since = maxAgeSince ?? createdAt;
  return rolling ? Math.max(seenAt, since) : since;
}

/**
 * Returns when a stored session expires. The options may have become stricter since its record was
 * written.
 */
export function effectiveExpiry(options: ResolvedOptions, expiresAt: number, meta: LifetimeMeta): number {
  return Math.min(expiresAt, computeExpiry(options, meta));
}

/**
 * Returns how old the recorded activity may become before it is written again, in milliseconds: a
 * tenth of the shortest sliding limit, or `Infinity` without one. A session then expires early by
 * at most that tenth, and most requests write nothing.
 */
export function activityInterval(options: ResolvedOptions, meta: Pick<LifetimeMeta, "maxAge"> = {}): number {
  const { rolling, idleTimeout = Infinity } = options;
  const { maxAge = options.maxAge ?? Infinity } = meta;
  const lifetimeMs = maxAge === UNTIL_BROWSER_CLOSES ? DEFAULT_LIFETIME_MS : maxAge * 1000;
  return Math.min(rolling ? lifetimeMs : Infinity, idleTimeout * 1000) / 10;
}

/**
 * Returns whether the activity of a request must be written. If {@linkcode isCookieDue}, its cookie
 * is sent again too.
 */
export function isActivityDue(options: ResolvedOptions, session: LoadedSession): boolean {
  const { meta, viaOldId } = session;
  if (meta.maxAgeSince !== undefined && isOwnLifetimeDue(options, session)) return true;
  const interval = activityInterval(options, meta);
  if (interval === Infinity) return false;
  const { createdAt, seenAt, sentAt } = meta;
  const since = options.rolling && !viaOldId ? Math.min(seenAt, sentAt ?? createdAt) : seenAt;
  return Date.now() - since >= interval;
}

/** Returns whether activity that is written also sends the cookie again. */
export function isCookieDue({ rolling }: ResolvedOptions, session: LoadedSession): boolean {
  return !session.viaOldId && (rolling || isCookieOutdated(session));
}

/** Returns the metadata that states that the client receives the cookie. */
export function deliveryMeta({ meta: { maxAgeSince } }: LoadedSession, now: number): Partial<SessionMeta> {
  return maxAgeSince === undefined ? { sentAt: now } : { sentAt: now, maxAgeSent: maxAgeSince };
}

/**
 * Returns whether the lifetime that was set for a session has not reached its cookie or its record:
 * another request, which did not know it, may have written its activity.
 */
function isOwnLifetimeDue(options: ResolvedOptions, session: LoadedSession): boolean {
  return (!session.viaOldId && isCookieOutdated(session)) || session.expiresAt < computeExpiry(options, session.meta);
}

/** Returns whether the cookie was sent before the session got its lifetime. */
function isCookieOutdated({ meta: { maxAgeSince, maxAgeSent } }: LoadedSession): boolean {
  return maxAgeSince !== maxAgeSent;
}
