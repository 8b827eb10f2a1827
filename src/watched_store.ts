/**
 * The optional capability of a store that reports changes, whichever process has made them.
 *
 * @module
 */
import { isRecordStore, type RecordStore, type SessionStore } from "./session_store.ts";

/**
 * Optional capability: the store reports changes to records, whichever process has made them.
 *
 * `session.signal` needs it to end at once if another process ends the session. If a store does
 * not have it, the middleware looks the session up every few seconds instead. The option `cache`
 * needs it too, with {@linkcode WatchedStore.reportsAll}.
 */
export interface WatchedStore extends RecordStore {
  /**
   * Whether {@linkcode watch} reports every write to a record, whichever process makes it, and not
   * only those that end a session or may do so.
   */
  readonly reportsAll: boolean;

  /**
   * Begins to report changes. Once a write has been acknowledged to any process, `changed` is
   * called soon, at the latest before a {@linkcode Watch.confirm} resolves that began after the
   * acknowledgement.
   *
   * It is called at least for each record that was deleted, moved, unbound from its user or bound
   * to another one, or whose expiry became earlier; and for each record that was written if
   * {@linkcode reportsAll}. It may be called for others, and more than once.
   *
   * @param changed receives the {@linkcode Watch.keyOf} of the session's id, of the old one if it
   * was moved; or `undefined` if any record may have changed: when the connection is lost, and
   * again when the store has begun to report changes over a new connection. It must not throw.
   * @returns a watch, once the store reports changes
   * @throws if the backend cannot be reached, or cannot report changes. The error says why.
   */
  watch(changed: (key: string | undefined) => void): Promise<Watch>;
}

/** A running {@linkcode WatchedStore.watch}. Dispose it to end it. */
export interface Watch extends AsyncDisposable {
  /**
   * Returns what `changed` receives for a session id: the id itself, or a hash of it if others can
   * read the reports.
   */
  keyOf(sid: string): string;

  /**
   * Resolves once `changed` has been called for every write that was acknowledged before this call.
   *
   * @throws while the store cannot report changes, because its connection is lost
   */
  confirm(): Promise<void>;
}

/** Returns whether a store has the method of a {@linkcode WatchedStore}. */
export function isWatchedStore(store: SessionStore): store is WatchedStore {
  return isRecordStore(store) && "watch" in store;
}
