/**
 * The results of looking up a session.
 *
 * @module
 */
import type { SessionMeta } from "../session_store.ts";
import type { AdapterRecord } from "./store_adapter.ts";

/** A session that was found. */
export interface LookupHit {
  /** Its current id. */
  readonly id: string;
  readonly record: AdapterRecord;
  /** The metadata of the record, which a store may compute anew on each access. */
  readonly meta: SessionMeta;
  /** Whether it was looked up by an older id, within the grace period of that id. */
  readonly viaOldId: boolean;
}

/** Why a validly signed id does not identify a live session. */
export type LookupMiss = "unknown" | "expired" | "reuse";

/**
 * A session's id, as far as the request knows. An operation that finds the session under a new id
 * stores that here.
 */
export interface SessionRef {
  id: string;
  /** Whether the client presented an older id. */
  viaOldId: boolean;
}
