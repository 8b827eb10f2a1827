/**
 * A session, as one request knows it.
 *
 * @module
 */
import { SessionGoneError, SessionStoreError } from "../errors.ts";
import type { LookupHit } from "../persistence/session_repository.ts";
import type { SessionMeta } from "../session_store.ts";

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
  /** The earlier of the record's expiry and that by the options, which may have become stricter since. In milliseconds since the epoch. */
  expiresAt: number;
  meta: SessionMeta;
  /** Whether the client presented an older id. It must not be given the present one. */
  viaOldId: boolean;
  /** Whether the client's cookie is to be replaced: an older secret signed it, or the id was renewed. */
  needsResign: boolean;
  /** The version that this request read, until it writes. */
  version: number | undefined;
  /** Why nothing can be written any more: the session is gone, or its record could not be created. */
  ended: "gone" | { error: Error } | undefined = undefined;
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

  /** Writes one value, if the values are known; `undefined` removes it. The value is the caller's copy. */
  setValue(key: string, value: unknown): void {
    if (value === undefined) this.values?.delete(key);
    else this.values?.set(key, value);
  }

  /** Whether the session has not ended. */
  get isLive(): boolean {
    return this.ended === undefined && Date.now() < this.expiresAt;
  }

  /**
   * Checks that the session has not ended.
   *
   * @throws {SessionStoreError} if its record could not be created
   * @throws {SessionGoneError} if it was destroyed or has expired
   */
  requireLive(operation: string): void {
    if (typeof this.ended === "object") {
      const { error: cause } = this.ended;
      throw new SessionStoreError(operation, `Cannot ${operation}: the session could not be created`, { cause });
    }
    if (!this.isLive) throw new SessionGoneError(operation);
  }

  /** Takes over what a lookup found, except for the values. */
  apply({ id, record, viaOldId }: LookupHit, expiresAt: number): void {
    this.id = id;
    this.viaOldId ||= viaOldId;
    this.meta = record.meta;
    this.expiresAt = expiresAt;
  }
}
