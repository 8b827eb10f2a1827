/**
 * What administrators need of a session store: two more optional capabilities.
 *
 * | interface | adds | gains |
 * |---|---|---|
 * | {@linkcode CountingStore} | one method | the number of sessions |
 * | {@linkcode PrincipalListStore} | one method | the users who are signed in, page by page |
 *
 * They are detected by their methods, like those of `session_store.ts`.
 *
 * @module
 */
import {
  isPrincipalStore,
  isRecordStore,
  type PrincipalStore,
  RECORD_METHODS,
  type RecordStore,
  type SessionStore,
  STORE_METHODS,
} from "./session_store.ts";

/** The number of live sessions, as a {@linkcode CountingStore} counts them. */
export interface SessionCount {
  /** All of them. */
  total: number;
  /** Those that are bound to a user. */
  signedIn: number;
}

/** Optional capability: the store counts its sessions. */
export interface CountingStore extends RecordStore {
  /**
   * Counts the live sessions. Does not count a session whose expiry has passed, even if its record
   * was not removed yet, nor the trace of a replaced id.
   *
   * The time may grow with the number of sessions, but the call must not block the process for
   * long. A session that begins, ends or gets a new id during the call may be counted, counted
   * twice, or not counted.
   */
  countSessions(): Promise<SessionCount>;
}

/** A user who is signed in, as a {@linkcode PrincipalListStore} lists it. */
export interface SignedInUser {
  /** The user, as in `SessionMeta.principal`. */
  principal: string;
  /** The number of the user's live sessions, 1 or more. */
  sessions: number;
}

/**
 * Optional capability: the store lists the users who are signed in, page by page. It needs an
 * ordered index of them. A store must not have this method if a page takes longer the more sessions
 * other users have.
 */
export interface PrincipalListStore extends PrincipalStore {
  /**
   * Lists users with a live session, in an order of the store's own. The position of a user in that
   * order never changes, so a page contains the same users whoever else signs in or out between two
   * calls.
   *
   * @param page `after`: a user, who need not be signed in any more. The page begins with the next
   * one; without `after`, with the first. `limit`: the greatest number of users, an integer above 0
   * @returns fewer users than `limit` only if no more follow
   */
  listPrincipals(page: { after?: string; limit: number }): Promise<SignedInUser[]>;
}

/**
 * The names of all methods that a store can have, except `watch()`. If a caller stopped waiting for
 * that one, as it does for the others, nobody would end the watch that begins later.
 */
export const ALL_METHODS: readonly string[] = [
  ...STORE_METHODS,
  ...RECORD_METHODS,
  "listSessions",
  "countSessions",
  "listPrincipals",
  "ping",
];

/** Returns whether a store has the methods of a {@linkcode CountingStore}. */
export function isCountingStore(store: SessionStore): store is CountingStore {
  return isRecordStore(store) && "countSessions" in store;
}

/** Returns whether a store has the methods of a {@linkcode PrincipalListStore}. */
export function isPrincipalListStore(store: SessionStore): store is PrincipalListStore {
  return isPrincipalStore(store) && "listPrincipals" in store;
}
