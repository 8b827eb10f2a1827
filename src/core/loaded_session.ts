/**
 * A session, as one request knows it.
 *
 * @module
 */
import type { ResponseCookie } from "../cookie/response_cookie.ts";
import { SessionGoneError, SessionStoreError } from "../errors.ts";
import type { LookupHit } from "../persistence/session_repository.ts";
import type { SessionMeta } from "../session_store.ts";
import { chain, type MaybePromise } from "../util/maybe_promise.ts";

/** Where the values of a session come from. */
export interface ValueSource {
  readonly values: Map<string, unknown>;
  /** The version of the record; `undefined` on a basic store and for a new session. */
  readonly version?: number;
}

/** A session that has a record, or is about to get one. */
export class LoadedSession {
  /** The present id, as far as this request knows. */
  id: string;
  /**
   * The earlier of the record's expiry and that by the options, which may have become stricter
   * since. In milliseconds since the epoch.
   */
  expiresAt: number;
  meta: SessionMeta;
  /** Whether the client presented an older id. It must not be given the present one. */
  viaOldId: boolean;
  /**
   * Whether the client's cookie is to be replaced: an older secret signed it, or the id was
   * renewed.
   */
  needsResign: boolean;
  /** The version that this request read, until it writes. */
  version: number | undefined;
  /**
   * Why nothing can be written any more: the session is gone, or its record could not be created.
   */
  ended: "gone" | { error: Error } | undefined = undefined;
  /** Updates that were called and are not done. The values are not known until then. */
  pendingUpdates = 0;
  /** Updaters that are running. */
  activeUpdaters = 0;
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

  /** What the CSRF token is derived from: the id, or an older one after a renewal with a grace. */
  get csrfSeed(): string {
    return this.meta.csrfSeed ?? this.id;
  }

  /** The values with this request's writes applied, or `undefined` if they are not known. */
  get values(): Map<string, unknown> | undefined {
    if (this.#source !== undefined) {
      // Taken from the source on the first access: `MemoryStore` copies the values only then.
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
   * Writes one value, if the values are known; `undefined` removes it. The value is the caller's
   * copy.
   */
  setValue(key: string, value: unknown): void {
    if (value === undefined) this.values?.delete(key);
    else this.values?.set(key, value);
  }

  /** Whether the session has not ended. */
  get isLive(): boolean {
    return this.ended === undefined && Date.now() < this.expiresAt;
  }

  /**
   * Runs an operation on the record, and notes what it finds out about the session.
   *
   * @param operation what is being done, such as `"set"`
   * @param cookie the response's cookie; cancelled if it would replace a newer one, or name a
   * session that is gone
   * @throws {SessionStoreError} if the record could not be created before
   * @throws {SessionGoneError} if the session has ended
   */
  run(operation: string, cookie: ResponseCookie, run: () => MaybePromise<void>): MaybePromise<void> {
    if (typeof this.ended === "object") {
      const { error: cause } = this.ended;
      throw new SessionStoreError(operation, `Cannot ${operation}: the session could not be created`, { cause });
    }
    // The session may have ended while the operation waited in the queue.
    if (!this.isLive) throw new SessionGoneError(operation);
    const { id, viaOldId } = this;
    return chain(run, () => {
      if (this.viaOldId && !viaOldId) this.#noteMove(id, cookie);
    }, (error) => {
      if (error instanceof SessionGoneError) this.markGone(cookie);
      // It is not known whether the value was written, so the next read asks the store.
      else this.values = undefined;
      throw error;
    });
  }

  /** Takes over what a lookup found, except for the values. */
  apply({ id, record, viaOldId }: LookupHit, expiresAt: number, cookie: ResponseCookie): void {
    if (viaOldId && id !== this.id) this.#noteMove(this.id, cookie);
    this.id = id;
    this.viaOldId ||= viaOldId;
    this.meta = record.meta;
    this.expiresAt = expiresAt;
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
    // The old id has a grace, or it would not lead to the new one. So the token is still derived
    // from the old id.
    this.meta = { ...this.meta, csrfSeed: this.meta.csrfSeed ?? oldId };
    cookie.cancel();
  }
}
