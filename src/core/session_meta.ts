/**
 * The metadata of a new session, and the changes of metadata when a session gets a new id.
 *
 * @module
 */
import type { SessionMeta } from "../session_store.ts";

/** The metadata that changes when a session gets a new id. */
export type RenewedMeta =
  & Pick<SessionMeta, "renewedAt" | "sentAt" | "csrfSeed" | "replaces">
  & Partial<Binding>;

type Binding = Pick<SessionMeta, "principal" | "boundAt">;

/** Returns the metadata of a session that is created now. */
export function initialMeta(principal: string | undefined): SessionMeta {
  const now = Date.now();
  const meta = { createdAt: now, seenAt: now, renewedAt: now };
  return principal === undefined ? meta : { ...meta, ...bindingTo(principal, now) };
}

/**
 * Returns the metadata that changes when a session gets a new id now.
 *
 * @param csrfSeed the older id that the CSRF token is still derived from; `undefined` to derive it
 * from the new id
 * @param principal the user that signs in; `undefined` if the binding does not change
 */
export function renewedMeta(csrfSeed: string | undefined, principal?: string): RenewedMeta {
  const now = Date.now();
  // The application's own request receives the new id, so an older one never leads to its cookie.
  const meta = { renewedAt: now, sentAt: now, csrfSeed, replaces: undefined };
  return principal === undefined ? meta : { ...meta, ...bindingTo(principal, now) };
}

function bindingTo(principal: string, now: number): Binding {
  return { principal, boundAt: now };
}
