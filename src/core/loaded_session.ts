/**
 * A session, as one request knows it.
 *
 * @module
 */
import type { SessionMeta } from "../session_store.ts";

/** A session that has a record, or is about to have one. */
export class LoadedSession {
  /** The present id, as far as this request knows. */
  id: string;
  /** The moment from which it is gone: by its record, and by the options, which may have become stricter. */
  expiresAt: number;
  meta: SessionMeta;
  /** Whether the client has an older id, and is not to be given the present one. */
  graced: boolean;
  /** Whether the client's cookie is to be signed anew. */
  needsResign: boolean;
  /** The version of the record that the request began with, as long as it has written nothing and read nothing anew. */
  version: number | undefined;
  /** Why no more can be written. */
  end: "gone" | { error: Error } | undefined = undefined;
  /** What was read; its values are copied out when they are first asked for. */
  #source: { readonly values: Map<string, unknown> } | undefined;
  #values: Map<string, unknown> | undefined = undefined;

  constructor(
    id: string,
    expiresAt: number,
    meta: SessionMeta,
    source: { readonly values: Map<string, unknown>; readonly version?: number },
    graced = false,
    needsResign = false,
  ) {
    this.id = id;
    this.expiresAt = expiresAt;
    this.meta = meta;
    this.graced = graced;
    this.needsResign = needsResign;
    this.version = source.version;
    this.#source = source;
  }

  /** What is in the record, with the writes under way; `undefined` where that is not known. */
  get values(): Map<string, unknown> | undefined {
    if (this.#source !== undefined) {
      this.#values = this.#source.values;
      this.#source = undefined;
    }
    return this.#values;
  }

  set values(values: Map<string, unknown> | undefined) {
    this.#values = values;
    this.#source = undefined;
    // What is not as it was read, or not known any more, is not what is in that version.
    this.version = undefined;
  }
}
