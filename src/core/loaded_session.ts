/**
 * The session that one request has loaded or created.
 *
 * @module
 */
import type { ResponseCookie } from "../cookie/response_cookie.ts";
import { cannot, SessionGoneError, SessionStoreError, UnreadableRecordError } from "../errors.ts";
import type { LookupHit } from "../persistence/lookup.ts";
import { findTimeout } from "../persistence/store_timeout.ts";
import type { SessionMeta } from "../session_store.ts";
import { chain, type MaybePromise } from "../util/maybe_promise.ts";

/** The source of a session's values. */
export interface ValueSource {
  readonly values: Map<string, unknown>;
  /** The version of the record; `undefined` on a basic store and for a new session. */
  readonly version?: number;
}

/** A session that has a record, or is about to get one. */
export class LoadedSession {
  /** The current id, as far as this request knows. */
  id: string;
  /**
   * When the session expires, in milliseconds since the epoch: the expiry in the record, or an
   * earlier one if the options have become stricter since it was written.
   */
  expiresAt: number;
  meta: SessionMeta;
  /**
   * Whether the client presented an older id. The response must not reveal the current id to it.
   */
  viaOldId: boolean;
  /**
   * Whether to replace the client's cookie, because an older secret signed it or the id was
   * renewed.
   */
  needsResign: boolean;
  /** The version of the record that this request read; `undefined` once the request has written. */
  version: number | undefined;
  /**
   * Why this request cannot use the session: the session is gone, this request has destroyed it,
   * its record could not be created, or the request does not prove that it comes from its device.
   */
  ended: "gone" | "destroyed" | "withheld" | { error: Error; store: string } | undefined = undefined;
  /** The number of updates that have not finished. Until they finish, the values are not known. */
  pendingUpdates = 0;
  #source: ValueSource | undefined;
  #values: Map<string, unknown> | undefined = undefined;

  constructor(
    id: string,
    expiresAt: number,
    meta: SessionMeta,
    source: ValueSource,
    viaOldId = false,
    needsResign = false,
  ) {
    this.id = id;
    this.expiresAt = expiresAt;
    this.meta = meta;
    this.viaOldId = viaOldId;
    this.needsResign = needsResign;
    this.version = source.version;
    this.#source = source;
  }

  /** The seed of the CSRF token: the id, or an older id after a renewal with a grace period. */
  get csrfSeed(): string {
    return this.meta.csrfSeed ?? this.id;
  }

  /**
   * Whether the client has presented the new id of the last renewal for the first time. The old id
   * is then no longer accepted.
   */
  get isRenewalDelivered(): boolean {
    return this.meta.replaces !== undefined && !this.viaOldId && !this.needsResign;
  }

  /** The values with this request's writes applied, or `undefined` if they are not known. */
  get values(): Map<string, unknown> | undefined {
    if (this.#source !== undefined) {
      // Not before the first access, because `MemoryStore` copies the values then. A request that
      // uses no value allocates 16 % less this way.
      this.#values = this.#source.values;
      this.#source = undefined;
    }
    return this.#values;
  }

  set values(values: Map<string, unknown> | undefined) {
    this.#values = values;
    this.#source = undefined;
    this.version = undefined;
  }

  /**
   * Writes one value, if the values are known; `undefined` removes it. The caller must pass a copy.
   */
  setValue(key: string, value: unknown): void {
    if (value === undefined) this.values?.delete(key);
    else this.values?.set(key, value);
  }

  /** Whether the session has neither ended nor expired. */
  get isLive(): boolean {
    return this.ended === undefined && !(Date.now() >= this.expiresAt);
  }

  /**
   * Runs an operation on the record. Updates this object if the session turns out to be moved or
   * gone.
   *
   * @param operation the name of the operation in error messages, such as `"set"`
   * @param cookie the response's cookie; cancelled if it would replace a newer one, or name a
   * session that is gone
   * @throws {SessionStoreError} if the record could not be created before
   * @throws {SessionGoneError} if the session has ended
   */
  run(operation: string, cookie: ResponseCookie, run: () => MaybePromise<void>): MaybePromise<void> {
    if (typeof this.ended === "object") {
      const { error: cause, store } = this.ended;
      throw new SessionStoreError(
        operation,
        cannot(
          operation,
          `${store} could not create the session, so nothing was written and the visitor has no session; see \`cause\``,
        ),
        { cause },
      );
    }
    // The session may have ended while the operation waited in the queue.
    if (!this.isLive) throw new SessionGoneError(operation);
    const { id, viaOldId } = this;
    return chain(run, () => {
      if (this.viaOldId && !viaOldId) this.#noteMove(id, cookie);
    }, (error) => {
      if (error instanceof UnreadableRecordError) {
        // The record was found and can never be read, so the session counts as ended.
        this.markGone(cookie);
        throw new SessionGoneError(operation, { cause: error });
      }
      if (error instanceof SessionGoneError) this.markGone(cookie);
      // It is not known whether the value was written, so the next read asks the store. Activity is
      // not a value, but writes that wait for it do not run after a timeout.
      else if (operation !== "touch" || findTimeout(error) !== undefined) this.values = undefined;
      throw error;
    });
  }

  /** Applies the result of a lookup, except for the values. */
  apply({ id, meta, viaOldId }: LookupHit, expiresAt: number, cookie: ResponseCookie): void {
    // Another request has renewed the id. The old cookie would replace the new one in the browser.
    if (id !== this.id) cookie.cancel();
    this.id = id;
    this.viaOldId ||= viaOldId;
    this.meta = meta;
    this.expiresAt = expiresAt;
  }

  /** Becomes another session, which has no record yet. */
  restart({ id, expiresAt, meta }: LoadedSession): void {
    this.id = id;
    this.expiresAt = expiresAt;
    this.meta = meta;
    this.viaOldId = this.needsResign = false;
    this.ended = undefined;
    // Values that were written to the former session are not in the new one.
    this.values = undefined;
  }

  /** The session was ended elsewhere, so its cookie is not sent. */
  markGone(cookie: ResponseCookie): void {
    this.ended = "gone";
    cookie.cancel();
  }

  /**
   * Another request has renewed the id. The old cookie would replace the new one in the browser, so
   * it is not sent.
   */
  #noteMove(oldId: string, cookie: ResponseCookie): void {
    // The lookup followed the old id, so the move has a grace period. The CSRF token is then still
    // derived from the old id.
    this.meta = { ...this.meta, csrfSeed: this.meta.csrfSeed ?? oldId };
    cookie.cancel();
  }
}
