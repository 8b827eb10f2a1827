/**
 * Looks up the record of a session.
 *
 * @module
 */
import { SessionStoreError, UnreadableRecordError } from "../errors.ts";
import type { LookupHit, LookupMiss } from "../persistence/lookup.ts";
import { isPending, type MaybePromise } from "../util/maybe_promise.ts";
import type { SessionServices } from "./session_services.ts";

/** The result of {@linkcode lookUp}. */
export type Lookup = LookupHit | LookupMiss | "unreadable";

/**
 * Looks up a session, and reports failures of the store. The result is synchronous if the store
 * answers synchronously.
 *
 * @param isCached whether the answer is kept for later requests, if there is a cache
 * @returns `"unreadable"` if the record can never be read. The session then counts as ended,
 * because an error would lock the visitor out until the record expires.
 * @throws {SessionStoreError} if the store could not look
 */
export function lookUp(services: SessionServices, id: string, isCached = false): MaybePromise<Lookup> {
  const { repository } = services;
  const found = isCached ? repository.readCached(id) : repository.read(id);
  return isPending(found) ? awaitLookup(services, id, found) : found;
}

async function awaitLookup(
  { reporter }: SessionServices,
  id: string,
  found: Promise<LookupHit | LookupMiss>,
): Promise<Lookup> {
  try {
    return await found;
  } catch (error) {
    if (error instanceof SessionStoreError) reporter.emitStoreFailed("get", error, id);
    if (error instanceof UnreadableRecordError) return "unreadable";
    throw error;
  }
}
