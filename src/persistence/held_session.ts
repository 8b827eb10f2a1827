/**
 * A session whose signal is in use.
 *
 * @module
 */
import type { SessionStoreError } from "../errors.ts";
import type { AdapterRecord } from "./store_adapter.ts";

/** What a middleware knows about its sessions. */
export interface SignalPolicy {
  /** Returns when the session of a record expires. */
  expiryOf(record: AdapterRecord): number;
  /** Receives the error if the store does not report changes. */
  report(error: SessionStoreError): void;
}

/** The session of a request that asks for its signal. */
export interface SignalSource {
  readonly id: string;
  readonly principal: string | undefined;
  readonly clearedAt: number | undefined;
  readonly expiresAt: number;
  /** Whether the store has had its record. If not, the record may be on its way. */
  readonly isStored: boolean;
  readonly policy: SignalPolicy;
}

/** A session whose signal is in use. There may be many, so the fields are few. */
export class HeldSession {
  id: string;
  principal: string | undefined;
  readonly clearedAt: number | undefined;
  expiresAt: number;
  isStored: boolean;
  /** Whether the last lookup failed, so that it has to be repeated. */
  hasFailed = false;
  /** The tick of the last lookup. */
  lookedUp: number;
  /** The tick at which the signal was last found to be in use. */
  followed: number;
  readonly controller: AbortController;
  readonly policy: SignalPolicy;
  /** Another user's signal of the same session, which has not learned yet that it must abort. */
  next: HeldSession | undefined = undefined;
  #signal: WeakRef<AbortSignal> | undefined = undefined;

  constructor(source: SignalSource, controller: AbortController, tick: number) {
    this.id = source.id;
    this.principal = source.principal;
    this.clearedAt = source.clearedAt;
    this.expiresAt = source.expiresAt;
    this.isStored = source.isStored;
    this.policy = source.policy;
    this.controller = controller;
    this.lookedUp = this.followed = tick;
  }

  /** The signal for the application. It is derived, so that {@linkcode isFollowed} knows of it. */
  get signal(): AbortSignal {
    let signal = this.#signal?.deref();
    if (signal === undefined) {
      signal = AbortSignal.any([this.controller.signal]);
      this.#signal = new WeakRef(signal);
    }
    return signal;
  }
}
