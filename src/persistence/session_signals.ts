/**
 * The signals that abort when a session ends, whichever process ends it.
 *
 * @module
 */
import { type SessionEnd, SessionGoneError, SessionStoreError, UnreadableRecordError } from "../errors.ts";
import type { SessionMeta, SessionStore } from "../session_store.ts";
import { isFollowed } from "../util/followed_signal.ts";
import { callAsync, noop } from "../util/maybe_promise.ts";
import { withTimeout } from "../util/timeout.ts";
import { isWatchedStore, type Watch } from "../watched_store.ts";
import type { AdapterRecord, StoreAdapter } from "./store_adapter.ts";
import { StoreTimeoutError } from "./store_timeout.ts";

/** How often the expiry of the sessions is compared with the clock, in milliseconds. */
const TICK_MS = 1000;

/**
 * How often a session is looked up if the store does not tell of changes, in milliseconds; and how
 * often it is checked whether the store still tells of them, and whether a signal is still in use.
 */
const LOOK_UP_MS = 5000;

/** How long a lookup or a confirmation may take, in seconds. */
const TIMEOUT_SECONDS = 5;

/** How long to wait before a store that refused to tell of changes is asked again, in milliseconds. */
const WATCH_RETRY_MS = 60_000;

/** The session of a request that asks for its signal. */
export interface SignalSource {
  readonly id: string;
  readonly principal: string | undefined;
  readonly expiresAt: number;
  /** Whether the store has had its record. If not, the record may be on its way. */
  readonly isStored: boolean;
  /** Returns when the session of a record expires. */
  expiryOf(record: AdapterRecord): number;
  /** Reports that the store does not tell of changes. */
  report(error: SessionStoreError): void;
}

/** A session whose signal is in use. */
class HeldSession {
  readonly controller: AbortController;
  principal: string | undefined;
  expiresAt: number;
  isStored: boolean;
  /** When the session was checked last, in milliseconds of `performance.now()`. */
  checkedAt = performance.now();
  /** Whether the last lookup failed, so that it has to be repeated. */
  hasFailed = false;
  readonly expiryOf: SignalSource["expiryOf"];
  #signal: WeakRef<AbortSignal> | undefined;

  constructor({ principal, expiresAt, isStored, expiryOf }: SignalSource, controller: AbortController) {
    this.controller = controller;
    this.principal = principal;
    this.expiresAt = expiresAt;
    this.isStored = isStored;
    this.expiryOf = expiryOf;
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

type Lookup = { id: string; record: AdapterRecord } | "gone" | "expired";

/**
 * The sessions of a store whose signals are in use in this process.
 *
 * The endings of this process abort a signal directly. Those of other processes are found by a
 * lookup: when the store tells of a change, and every few seconds if it cannot. A lookup follows
 * every move, because a signal belongs to the session and not to its id.
 */
export class SessionSignals {
  readonly #store: SessionStore;
  readonly #adapter: () => StoreAdapter;
  readonly #endOf: (sid: string) => SessionEnd | undefined;
  /** By the current id, as far as this process knows. */
  readonly #sessions = new Map<string, Set<HeldSession>>();
  /** The ids by what the store calls them when it tells of a change. */
  readonly #ids = new Map<string, string>();
  readonly #lookups = new Map<string, { isOutdated: boolean }>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #watch: Watch | undefined;
  #isOpening = false;
  #retryWatchAt = -Infinity;
  /** Whether the store has confirmed lately that it tells of changes. */
  #isTold = false;
  #confirmedAt = -Infinity;
  #report: SignalSource["report"] = noop;

  /**
   * @param adapter returns the operations on the store
   * @param endOf returns how this process has ended a session, or is about to
   */
  constructor(
    store: SessionStore,
    adapter: () => StoreAdapter,
    endOf: (sid: string) => SessionEnd | undefined,
  ) {
    this.#store = store;
    this.#adapter = adapter;
    this.#endOf = endOf;
  }

  /** How many sessions are held. */
  get size(): number {
    return this.#sessions.size;
  }

  /**
   * Returns the signal of a session. All requests of the session receive the same one.
   *
   * @param controller aborts signals that the application has already
   */
  hold(source: SignalSource, controller?: AbortController): AbortSignal {
    const { id, principal } = source;
    this.#report = source.report;
    const sessions = this.#sessions.get(id) ?? new Set();
    const existing = sessions.values().find((held) => held.principal === principal);
    if (existing !== undefined && controller === undefined) return existing.signal;
    const held = new HeldSession(source, controller ?? new AbortController());
    sessions.add(held);
    this.#sessions.set(id, sessions);
    this.#index(id);
    this.#start();
    // The session may have ended since the request has read it.
    void this.#lookUp(id);
    return held.signal;
  }

  /** This process has ended a session. */
  end(sid: string, end: SessionEnd): void {
    for (const held of this.#sessions.get(sid) ?? []) this.#abort(sid, held, end);
  }

  /** This process has ended all sessions. */
  endAll(end: SessionEnd): void {
    for (const sid of this.#sessions.keys()) this.end(sid, end);
  }

  /** This process has given a session another id, and perhaps another user. */
  move(sid: string, newSid: string, meta: Partial<SessionMeta>): void {
    const wasLookedUp = this.#invalidate(sid);
    this.#rename(sid, newSid);
    for (const held of this.#sessions.get(newSid) ?? []) {
      if ("principal" in meta) this.#bind(newSid, held, meta.principal);
    }
    if (wasLookedUp) void this.#lookUp(newSid);
  }

  /** This process has changed the expiry of a session. */
  setExpiry(sid: string, expiresAt: number): void {
    const sessions = this.#sessions.get(sid);
    // A later expiry is found when the former one is reached.
    if (sessions?.values().some((held) => expiresAt < held.expiresAt)) void this.#lookUp(sid);
  }

  /** Looks all sessions up, because any of them may have ended. */
  lookUpAll(): void {
    for (const sid of this.#sessions.keys()) void this.#lookUp(sid);
  }

  /** Makes the result of a running lookup invalid. Returns whether there is one. */
  #invalidate(sid: string): boolean {
    const running = this.#lookups.get(sid);
    if (running !== undefined) running.isOutdated = true;
    return running !== undefined;
  }

  async #lookUp(sid: string): Promise<void> {
    // Its answer may be from before the change.
    if (this.#invalidate(sid)) return;
    const lookup = { isOutdated: false };
    this.#lookups.set(sid, lookup);
    try {
      do {
        lookup.isOutdated = false;
        const found = await withTimeout(this.#find(sid), TIMEOUT_SECONDS, () => new StoreTimeoutError(TIMEOUT_SECONDS));
        if (!lookup.isOutdated) this.#apply(sid, found);
      } while (lookup.isOutdated && this.#sessions.has(sid));
    } catch {
      // The store failed, which says nothing about the session. The next tick tries again.
      for (const held of this.#sessions.get(sid) ?? []) held.hasFailed = true;
    } finally {
      this.#lookups.delete(sid);
    }
  }

  async #find(sid: string): Promise<Lookup> {
    const ids = new Set([sid]);
    try {
      // The loop also visits the ids that it adds.
      for (const id of ids) {
        const found = await this.#adapter().read(id);
        if (found === undefined) break;
        if ("values" in found) return { id, record: found };
        if ("expired" in found) return "expired";
        ids.add(found.movedTo);
      }
    } catch (error) {
      if (!(error instanceof UnreadableRecordError)) throw error;
    }
    return "gone";
  }

  #apply(sid: string, found: Lookup): void {
    const now = performance.now();
    if (typeof found === "object" && found.id !== sid) this.#rename(sid, found.id);
    const id = typeof found === "object" ? found.id : sid;
    for (const held of this.#sessions.get(id) ?? []) {
      held.checkedAt = now;
      held.hasFailed = false;
      if (typeof found === "string") {
        // The store may tell of a deletion before it has answered this process.
        if (held.isStored || found === "expired") this.#abort(id, held, this.#endOf(id) ?? found);
        continue;
      }
      held.isStored = true;
      held.expiresAt = held.expiryOf(found.record);
      if (Date.now() >= held.expiresAt) this.#abort(id, held, "expired");
      else this.#bind(id, held, found.record.meta.principal);
    }
  }

  #bind(sid: string, held: HeldSession, principal: string | undefined): void {
    if (held.principal === principal) return;
    // A sign-in does not end what the visitor has begun before.
    if (held.principal === undefined) held.principal = principal;
    else this.#abort(sid, held, principal === undefined ? "cleared" : "rebound");
  }

  #abort(sid: string, held: HeldSession, end: SessionEnd): void {
    this.#drop(sid, held);
    held.controller.abort(new SessionGoneError("signal", { end }));
  }

  #drop(sid: string, held: HeldSession): void {
    const sessions = this.#sessions.get(sid);
    sessions?.delete(held);
    if (sessions?.size !== 0) return;
    this.#sessions.delete(sid);
    if (this.#watch !== undefined) this.#ids.delete(this.#watch.keyOf(sid));
    if (this.#sessions.size === 0) this.#stop();
  }

  #rename(sid: string, newSid: string): void {
    const sessions = this.#sessions.get(sid);
    if (sessions === undefined) return;
    // A request that has loaded the session by its new id may hold it already.
    for (const held of this.#sessions.get(newSid) ?? []) sessions.add(held);
    this.#sessions.set(newSid, sessions);
    this.#sessions.delete(sid);
    if (this.#watch !== undefined) this.#ids.delete(this.#watch.keyOf(sid));
    this.#index(newSid);
  }

  #index(sid: string): void {
    if (this.#watch !== undefined) this.#ids.set(this.#watch.keyOf(sid), sid);
  }

  #start(): void {
    if (this.#timer === undefined) this.#schedule();
    void this.#openWatch();
  }

  #schedule(): void {
    this.#timer = setTimeout(() => this.#tick(), TICK_MS);
    Deno.unrefTimer(this.#timer);
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#ids.clear();
    const watch = this.#watch;
    this.#watch = undefined;
    this.#isTold = false;
    watch?.[Symbol.asyncDispose]().then(noop, noop);
  }

  #tick(): void {
    this.#schedule();
    const now = performance.now();
    if (now - this.#confirmedAt >= LOOK_UP_MS) {
      this.#confirmedAt = now;
      if (this.#watch === undefined) void this.#openWatch();
      else void this.#confirm(this.#watch);
    }
    for (const [sid, sessions] of this.#sessions) {
      let isDue = false;
      for (const held of sessions) {
        isDue ||= held.hasFailed || Date.now() >= held.expiresAt;
        if (now - held.checkedAt < LOOK_UP_MS) continue;
        held.checkedAt = now;
        if (isFollowed(held.controller.signal)) isDue ||= !this.#isTold;
        else this.#drop(sid, held);
      }
      // Not while a lookup is running, which a slow store would then never finish.
      if (isDue && !this.#lookups.has(sid)) void this.#lookUp(sid);
    }
  }

  async #openWatch(): Promise<void> {
    const store = this.#store;
    if (this.#watch !== undefined || this.#isOpening || performance.now() < this.#retryWatchAt) return;
    if (!isWatchedStore(store)) return;
    this.#isOpening = true;
    try {
      const watch = await callAsync(() => store.watch((key) => this.#onChanged(key)));
      this.#watch = watch;
      if (this.#sessions.size === 0) return this.#stop();
      for (const sid of this.#sessions.keys()) this.#index(sid);
      this.#isTold = true;
      this.#confirmedAt = performance.now();
      this.lookUpAll();
    } catch (cause) {
      this.#retryWatchAt = performance.now() + WATCH_RETRY_MS;
      const advice = "sessions whose signal is in use are looked up every few seconds instead";
      this.#report(
        new SessionStoreError("watch", `Cannot watch: the store does not tell of changes; ${advice}`, { cause }),
      );
    } finally {
      this.#isOpening = false;
    }
  }

  async #confirm(watch: Watch): Promise<void> {
    const confirmed = await withTimeout(
      watch.confirm(),
      TIMEOUT_SECONDS,
      () => new StoreTimeoutError(TIMEOUT_SECONDS),
    ).then(() => true, () => false);
    if (watch === this.#watch) this.#isTold = confirmed;
  }

  #onChanged(key: string | undefined): void {
    if (key === undefined) {
      // Until the store has confirmed that it tells of changes again.
      this.#isTold = false;
      this.#confirmedAt = -Infinity;
      this.lookUpAll();
      return;
    }
    const sid = this.#ids.get(key);
    if (sid !== undefined) void this.#lookUp(sid);
  }
}
