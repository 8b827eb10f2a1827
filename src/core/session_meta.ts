/**
 * The metadata of a new session, and the changes of metadata when a session gets a new id.
 *
 * @module
 */
import type { SessionMeta } from "../session_store.ts";
import { ownLifetime } from "./lifetime.ts";

/** Details that the application states about a session. */
export interface SessionDetails {
  /** The user that the session is bound to. */
  principal?: string;
  /** How long the session lasts, in seconds; `null` if its cookie ends with the browser. */
  maxAge?: number | null;
  /** The name of the device or browser. */
  label?: string;
}

/**
 * Returns the metadata of a session that is created now.
 *
 * @param before the metadata of another session of the same user, whose label and lifetime continue
 */
export function initialMeta(details: SessionDetails | undefined, before?: SessionMeta): SessionMeta {
  const now = Date.now();
  const meta = { createdAt: now, seenAt: now, renewedAt: now };
  return details === undefined ? meta : { ...meta, ...keptDetails(before), ...detailsMeta(details, now) };
}

function keptDetails(before: SessionMeta | undefined): Partial<SessionMeta> {
  if (before === undefined) return {};
  const { label, maxAge, maxAgeSince } = before;
  return { label, maxAge, maxAgeSince, maxAgeSent: maxAgeSince };
}

/**
 * Returns the metadata that changes when a session gets a new id now.
 *
 * @param csrfSeed the older id that the CSRF token is still derived from; `undefined` to derive it
 * from the new id
 * @param before the metadata that the request knows, which decides how long the new cookie lasts
 */
export function renewedMeta(
  csrfSeed: string | undefined,
  before: SessionMeta,
  now = Date.now(),
): Pick<SessionMeta, "renewedAt" | "sentAt" | "csrfSeed" | "replaces" | "maxAgeSent"> {
  // The application's own request receives the new id, so an older one never leads to its cookie.
  return { renewedAt: now, sentAt: now, csrfSeed, replaces: undefined, maxAgeSent: before.maxAgeSince };
}

/**
 * Returns the metadata that states the details of a session.
 *
 * @param before the former metadata. Nothing that was stated about another user remains.
 */
export function detailsMeta(
  { principal, maxAge, label }: SessionDetails,
  now: number,
  before?: SessionMeta,
): Partial<SessionMeta> {
  const meta: Partial<SessionMeta> = {};
  if (principal !== undefined) {
    if (before !== undefined && before.principal !== principal) Object.assign(meta, forgottenDetails(before, now));
    Object.assign(meta, { principal, boundAt: now, signedInAt: undefined });
  }
  if (maxAge !== undefined) Object.assign(meta, ownLifetime(maxAge, now));
  if (label !== undefined) meta.label = label;
  // The cookie is sent together with the details.
  if ("maxAgeSince" in meta) meta.maxAgeSent = meta.maxAgeSince;
  return meta;
}

/**
 * Returns the metadata that removes what was stated about the former user of a session. All members
 * are removed, because another request may have just set them.
 */
export function forgottenDetails({ maxAgeSince }: SessionMeta, now: number): Partial<SessionMeta> {
  const forgotten = { label: undefined, maxAge: undefined };
  // The lifetime of the options counts from now. Counted from the creation of the session, it may
  // have passed already.
  return { ...forgotten, maxAgeSince: maxAgeSince === undefined ? undefined : now };
}
