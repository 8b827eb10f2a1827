/**
 * What is stored about a session beside its values, as it changes with a new session and a new id.
 *
 * @module
 */
import type { SessionMeta } from "../session_store.ts";

/** What is stored when a session gets a new id. */
export type RenewedMeta = Pick<SessionMeta, "renewedAt" | "sentAt" | "csrfSeed"> & Partial<Binding>;

type Binding = Pick<SessionMeta, "principal" | "boundAt">;

/** Returns the meta of a session that begins now. */
export function initialMeta(principal: string | undefined): SessionMeta {
  const now = Date.now();
  const meta = { createdAt: now, seenAt: now, renewedAt: now };
  return principal === undefined ? meta : { ...meta, ...bindingTo(principal, now) };
}

/**
 * Returns what changes with an id that a session gets now.
 *
 * @param csrfSeed what the CSRF token is derived from; `undefined` for the new id
 * @param principal the user that signs in; `undefined` if the binding does not change
 */
export function renewedMeta(csrfSeed: string | undefined, principal?: string): RenewedMeta {
  const now = Date.now();
  const meta = { renewedAt: now, sentAt: now, csrfSeed };
  return principal === undefined ? meta : { ...meta, ...bindingTo(principal, now) };
}

function bindingTo(principal: string, now: number): Binding {
  return { principal, boundAt: now };
}
