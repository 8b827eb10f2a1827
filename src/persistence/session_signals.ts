/**
 * The signals that abort when a session ends, whichever process ends it.
 *
 * @module
 */
import { type SessionEnd, SessionGoneError, UnreadableRecordError } from "../errors.ts";
import type { SessionMeta } from "../session_store.ts";
import { isFollowed } from "../util/followed_signal.ts";
import { followMoves } from "./follow_moves.ts";
import { HeldSession, type SignalSource } from "./held_session.ts";
import type { AdapterRecord, StoreAdapter } from "./store_adapter.ts";
import type { StoreWatch, WatchListener } from "./store_watch.ts";

/** How often the expiry of the sessions is compared with the clock, in milliseconds. */
const TICK_MS = 1000;

/** After how many ticks a session is looked up again if the store does not report changes. */
const LOOK_UP_TICKS = 5;

/**
 * After how many ticks a session is looked up again if the store reports changes. Others may change
 * a table without a report, such as an administrator or an older version of this package.
 */
const REPORTED_LOOK_UP_TICKS = 300;

/** How often the store is asked whether it still reports changes, in milliseconds. */
const CONFIRM_MS = 5000;

/** After how many ticks a lookup without an answer is given up. */
const GIVE_UP_TICKS = 5;

/** After how many ticks it is checked again whether a signal is still in use. */
const FOLLOWED_TICKS = 30;

/** How many lookups run at the same time. More would delay those of requests. */
const MAX_LOOKUPS = 64;

/**
 * How long a session is held after its expiry while the store fails, in milliseconds. Activity that
 * this process does not know of may have extended it.
 */
const UNKNOWN_MS = 60_000;

/** What a lookup has found. */
type Found = { id: string; record: AdapterRecord } | "gone" | "expired";

/** A lookup that is running. */
interface Lookup {
  /** The tick at which it began. */
  readonly since: number;
  /** Whether a change was reported meanwhile, which its answer may not contain. */
  isRepeated: boolean;
  /** Whether this process has changed the session meanwhile, which its answer may contradict. */
  isOutdated: boolean;
}

/**
 * The sessions of a store whose signals are in use in this process.
 *
 * The endings of this process abort a signal directly. Those of other processes are found by a
 * lookup: when the store reports a change, and every few seconds if it cannot. A lookup follows
 * every move, because a signal belongs to the session and not to its id.
 */
export class SessionSignals {
  readonly #adapter: () => StoreAdapter;
  readonly #endOf: (sid: string) => SessionEnd | undefined;
  readonly #watch: StoreWatch;
  readonly #listener: WatchListener = {
    onChanged: (key) => this.#onChanged(key),
    onOpened: () => {
      for (const sid of this.#sessions.keys()) this.#index(sid);
      this.lookUpAll();
    },
  };
  /** By the current id, as far as this process knows. */
  readonly #sessions = new Map<string, HeldSession>();
  /** The ids by what the store calls them when it reports a change, where that is another text. */
  readonly #ids = new Map<string, string>();
  readonly #lookups = new Map<string, Lookup>();
  /** The sessions whose lookup has to wait for others. */
  readonly #due = new Set<string>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #ticks = 0;

  /**
   * @param adapter returns the operations on the store
   * @param endOf returns how this process has ended a session, or is about to
   */
  constructor(
    watch: StoreWatch,
    adapter: () => StoreAdapter,
    endOf: (sid: string) => SessionEnd | undefined,
  ) {
    this.#watch = watch;
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
    const { id, principal, clearedAt, policy } = source;
    this.#watch.report = policy.report;
    if (controller === undefined) {
      const same = this.#heldBy(id).find((held) =>
        held.principal === principal && held.clearedAt === clearedAt && held.policy === policy
      );
      if (same !== undefined) return same.signal;
    }
    const held = new HeldSession(source, controller ?? new AbortController(), this.#ticks);
    held.next = this.#sessions.get(id);
    this.#sessions.set(id, held);
    this.#index(id);
    this.#start();
    // The session may have ended since the request has read it. An answer that is under way does
    // not concern this request.
    this.#invalidate(id);
    this.#lookUp(id);
    return held.signal;
  }

  /** This process has created the record of a session that it holds already. */
  created(sid: string): void {
    for (const held of this.#heldBy(sid)) held.isStored = true;
    this.#lookUp(sid);
  }

  /** This process has ended a session. */
  end(sid: string, end: SessionEnd): void {
    for (const held of this.#heldBy(sid)) this.#abort(held, end);
  }

  /** This process has ended all sessions. */
  endAll(end: SessionEnd): void {
    for (const sid of this.#sessions.keys()) this.end(sid, end);
  }

  /** This process has given a session another id, and perhaps another user. */
  move(sid: string, newSid: string, meta: Partial<SessionMeta>): void {
    this.#rename(sid, newSid);
    if ("principal" in meta) {
      for (const held of this.#heldBy(newSid)) this.#bind(held, meta.principal);
    }
    // Its expiry may be another one.
    this.#lookUp(newSid);
  }

  /** This process has changed the expiry of a session. */
  setExpiry(sid: string, expiresAt: number): void {
    // A later expiry is found when the former one is reached.
    if (this.#heldBy(sid).some((held) => expiresAt < held.expiresAt)) this.#lookUp(sid);
  }

  /** Looks all sessions up, because any of them may have ended. */
  lookUpAll(): void {
    for (const sid of this.#sessions.keys()) this.#lookUp(sid);
  }

  /** Makes the answer of a running lookup invalid, if it says that the session lives. */
  #invalidate(sid: string): void {
    const running = this.#lookups.get(sid);
    if (running !== undefined) running.isOutdated = true;
  }

  #lookUp(sid: string): void {
    if (!this.#sessions.has(sid)) return;
    const running = this.#lookups.get(sid);
    if (running !== undefined) running.isRepeated = true;
    else if (this.#lookups.size < MAX_LOOKUPS) void this.#runLookup(sid);
    else this.#due.add(sid);
  }

  async #runLookup(sid: string): Promise<void> {
    const lookup: Lookup = { since: this.#ticks, isRepeated: false, isOutdated: false };
    this.#lookups.set(sid, lookup);
    const startedAt = Date.now();
    let found: Found | undefined;
    try {
      found = await this.#find(sid);
    } catch {
      // The store failed, which says nothing about the session.
    }
    // Otherwise it was given up.
    if (this.#lookups.get(sid) !== lookup) return;
    this.#lookups.delete(sid);
    if (found === undefined) this.#onLookupFailed(sid);
    else if (!this.#apply(sid, found, lookup, startedAt)) this.#lookUp(sid);
    for (const next of this.#due) {
      if (this.#lookups.size >= MAX_LOOKUPS) break;
      this.#due.delete(next);
      this.#lookUp(next);
    }
  }

  /** The next tick tries again. */
  #onLookupFailed(sid: string): void {
    for (const held of this.#heldBy(sid)) held.hasFailed = true;
  }

  async #find(sid: string): Promise<Found> {
    try {
      for await (const [id, found] of followMoves(this.#adapter, sid)) {
        if (found === undefined) break;
        if ("values" in found) return { id, record: found };
        if ("expired" in found) return "expired";
      }
    } catch (error) {
      if (!(error instanceof UnreadableRecordError)) throw error;
    }
    return "gone";
  }

  /** Applies the answer of a lookup. Returns whether it was final. */
  #apply(sid: string, found: Found, lookup: Lookup, startedAt: number): boolean {
    if (typeof found === "object" && found.id !== sid) {
      this.#rename(sid, found.id);
      // What happened to the new id so far was reported before its name was known.
      this.#lookUp(found.id);
      return true;
    }
    let isFinal = !lookup.isRepeated;
    for (const held of this.#heldBy(sid)) {
      held.lookedUp = this.#ticks;
      held.hasFailed = false;
      if (typeof found === "string") {
        // The store may report a deletion before it has answered this process.
        if (held.isStored || found === "expired") this.#abort(held, this.#endOf(sid) ?? found);
        else if (Date.now() >= held.expiresAt) this.#abort(held, "expired");
      } else if (lookup.isOutdated) isFinal = false;
      else {
        held.isStored = true;
        held.expiresAt = held.policy.expiryOf(found.record);
        if (startedAt >= held.expiresAt) this.#abort(held, "expired");
        // The answer arrived after the expiry, which activity may have extended meanwhile.
        else if (Date.now() >= held.expiresAt) isFinal = false;
        else if (found.record.meta.clearedAt !== held.clearedAt) this.#abort(held, "cleared");
        else this.#bind(held, found.record.meta.principal);
      }
    }
    return isFinal;
  }

  #bind(held: HeldSession, principal: string | undefined): void {
    if (held.principal === principal) return;
    // A sign-in does not end what the visitor has begun before.
    if (held.principal === undefined) held.principal = principal;
    else this.#abort(held, principal === undefined ? "cleared" : "rebound");
  }

  #abort(held: HeldSession, end: SessionEnd): void {
    try {
      this.#drop(held);
    } finally {
      held.controller.abort(new SessionGoneError("signal", { end }));
    }
  }

  /** Returns what is held of a session: one, except for a moment after it was bound to another user. */
  #heldBy(sid: string): readonly HeldSession[] {
    const first = this.#sessions.get(sid);
    if (first === undefined) return [];
    const all = [first];
    for (let { next } = first; next !== undefined; next = next.next) all.push(next);
    return all;
  }

  #drop(held: HeldSession): void {
    const { id } = held;
    const first = this.#sessions.get(id);
    if (first !== held) {
      for (let other = first; other !== undefined; other = other.next) {
        if (other.next === held) other.next = held.next;
      }
    } else if (held.next !== undefined) this.#sessions.set(id, held.next);
    else this.#remove(id);
    if (this.#sessions.size === 0) this.#stop();
  }

  #rename(sid: string, newSid: string): void {
    const moved = this.#heldBy(sid);
    if (moved.length === 0) return;
    this.#remove(sid);
    for (const held of moved) {
      held.id = newSid;
      // A request that has loaded the session by its new id may hold it already.
      held.next = this.#sessions.get(newSid);
      this.#sessions.set(newSid, held);
    }
    this.#index(newSid);
  }

  #remove(sid: string): void {
    this.#sessions.delete(sid);
    if (this.#ids.size > 0) this.#ids.delete(this.#watch.keyOf(sid));
  }

  #index(sid: string): void {
    const key = this.#watch.keyOf(sid);
    if (key !== sid) this.#ids.set(key, sid);
  }

  #start(): void {
    if (this.#timer === undefined) this.#schedule();
    this.#watch.add(this.#listener);
  }

  #schedule(): void {
    this.#timer = setTimeout(() => this.#tick(), TICK_MS);
    Deno.unrefTimer(this.#timer);
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#due.clear();
    this.#ids.clear();
    this.#watch.remove(this.#listener);
  }

  #tick(): void {
    this.#schedule();
    const ticks = ++this.#ticks;
    this.#watch.confirm(CONFIRM_MS);
    for (const [sid, { since }] of this.#lookups) {
      if (ticks - since < GIVE_UP_TICKS) continue;
      this.#lookups.delete(sid);
      this.#onLookupFailed(sid);
    }
    const now = Date.now();
    for (const first of this.#sessions.values()) {
      for (let held: HeldSession | undefined = first; held !== undefined; held = held.next) this.#check(held, now);
    }
  }

  #check(held: HeldSession, now: number): void {
    const ticks = this.#ticks;
    if (ticks - held.followed >= FOLLOWED_TICKS) {
      if (!isFollowed(held.controller.signal)) return this.#drop(held);
      held.followed = ticks;
    }
    const interval = this.#watch.isConfirmed ? REPORTED_LOOK_UP_TICKS : LOOK_UP_TICKS;
    const isDue = held.hasFailed || now >= held.expiresAt || ticks - held.lookedUp >= interval;
    if (!isDue) return;
    if (held.hasFailed && now >= held.expiresAt + UNKNOWN_MS) this.#abort(held, "expired");
    // Not while a lookup is running, which a slow store would then never finish.
    else if (!this.#lookups.has(held.id)) this.#lookUp(held.id);
  }

  /** @param key the key of one session; `undefined` if any of them may have changed */
  #onChanged(key: string | undefined): void {
    if (key === undefined) this.lookUpAll();
    else this.#lookUp(this.#ids.get(key) ?? key);
  }
}
