/**
 * The metadata of a new session, and the changes of metadata when a session gets a new id.
 *
 * @module
 */
import type { SessionMeta } from "../session_store.ts";
import { ownLifetime } from "./lifetime.ts";

/** What the application states about a session when it signs a user in. */
export interface SessionDetails {
  /** The user that the session is bound to. */
  principal?: string;
  /** How long the session lasts, in seconds; `null` if its cookie ends with the browser. */
  maxAge?: number | null;
  /** The name of the device or browser. */
  label?: string;
}

/** Returns the metadata of a session that is created now. */
export function initialMeta(details: SessionDetails | undefined): SessionMeta {
  const now = Date.now();
  const meta = { createdAt: now, seenAt: now, renewedAt: now };
  return details === undefined ? meta : { ...meta, ...detailsMeta(details, now) };
}

/**
 * Returns the metadata that changes when a session gets a new id now.
 *
 * @param csrfSeed the older id that the CSRF token is still derived from; `undefined` to derive it
 * from the new id
 */
export function renewedMeta(
  csrfSeed: string | undefined,
  now = Date.now(),
): Pick<SessionMeta, "renewedAt" | "sentAt" | "csrfSeed" | "replaces"> {
  // The application's own request receives the new id, so an older one never leads to its cookie.
  return { renewedAt: now, sentAt: now, csrfSeed, replaces: undefined };
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
  return {
    ...(principal === undefined ? {} : { principal, boundAt: now }),
    ...(principal === undefined || before === undefined || before.principal === principal
      ? {}
      : forgetDetails(before, now)),
    ...(maxAge === undefined ? {} : { ...ownLifetime(maxAge, now), maxAgeSent: now }),
    ...(label === undefined ? {} : { label }),
  };
}

/** The session gets the life of the options from now on. Counted from its creation, it may be over. */
function forgetDetails({ maxAge }: SessionMeta, now: number): Partial<SessionMeta> {
  return {
    label: undefined,
    ...(maxAge === undefined ? {} : { maxAge: undefined, maxAgeSince: now, maxAgeSent: now }),
  };
}
