/**
 * Loads the values of a session again, if a request no longer knows them.
 *
 * @module
 */
import type { ResponseCookie } from "../cookie/response_cookie.ts";
import type { LookupHit } from "../persistence/lookup.ts";
import { effectiveExpiry } from "./lifetime.ts";
import type { LoadedSession } from "./loaded_session.ts";
import { type Lookup, lookUp } from "./look_up.ts";
import type { SessionServices } from "./session_services.ts";
import type { WriteQueue } from "./write_queue.ts";

/** The values of a session by their keys. */
export type Values = ReadonlyMap<string, unknown>;

export const NO_VALUES: Values = new Map();

/**
 * Looks up the values of a session.
 *
 * @param waits whether to wait for the writes of this request first
 */
export async function loadValues(
  services: SessionServices,
  cookie: ResponseCookie,
  session: LoadedSession,
  writes: WriteQueue,
  waits: boolean,
): Promise<Values> {
  let found: Lookup;
  let revision: number;
  do {
    if (waits) await writes.idle();
    revision = writes.revision;
    found = await lookUp(services, session.id);
    // If a write started during the lookup, the record may lack it.
  } while (revision !== writes.revision);
  if (typeof found !== "string") return applyRecord(services, cookie, session, found);
  session.markGone(cookie);
  return NO_VALUES;
}

/**
 * Looks up the values of a session again, unless it is gone.
 *
 * @param revision the revision of the writes when the application asked
 */
export async function reloadValues(
  services: SessionServices,
  cookie: ResponseCookie,
  session: LoadedSession,
  writes: WriteQueue,
  revision: number,
): Promise<void> {
  const found = await lookUp(services, session.id);
  if (typeof found === "string") session.markGone(cookie);
  // A write that started since may be missing in the record, so the next read asks again.
  else if (writes.revision === revision) applyRecord(services, cookie, session, found);
}

/** Replaces the known state of a session with a record from the store. */
export function applyRecord(
  { options }: SessionServices,
  cookie: ResponseCookie,
  session: LoadedSession,
  found: LookupHit,
): Values {
  const { record, meta } = found;
  session.apply(found, effectiveExpiry(options, record.expiresAt, meta), cookie);
  return session.values = record.values;
}

/** Returns the values of a new session. */
export function withoutUndefined(values: Values): Map<string, unknown> {
  return new Map(values.entries().filter(([, value]) => value !== undefined));
}
