/**
 * The model that random requests are compared with. It states the guarantees of a session once
 * more, as simply as possible.
 *
 * A session is created, has one id after the other, and ends. Its values are registers. Because
 * requests overlap, the model often cannot know which of two operations came first. It then says
 * neither "alive" nor "dead", and accepts both.
 */
import type { SessionOptions } from "../../mod.ts";
import { isBefore, isLinearizable, type Operation, type Span, type Value } from "./model_linearizable.ts";

const DAY = 24 * 60 * 60;
/**
 * How many times in a row a session may get a new id within a grace, for the first id still to lead
 * to it.
 */
const MAX_MOVES = 16;

/** The register that holds the user that a session is bound to. */
export const PRINCIPAL = "(principal)";

/** The register that holds the label of a session. */
export const LABEL = "(label)";

/** A write of the lifetime of a session. */
export interface Lifetime extends Span {
  /** In seconds, as in `Session.setMaxAge()`; `undefined` if the option applies. */
  maxAge: number | null | undefined;
  /** The times between which it began to count. */
  since: { from: number; to: number };
  /**
   * Whether it counts from the time at which it was written, and not from the creation of the
   * session; `undefined` if the model does not know.
   */
  countsAnew: boolean | undefined;
  /**
   * Whether it may leave the expiry in the record unchanged: a `clear()` by a request that does not
   * know the lifetime which another request has just set. The session may then end earlier.
   */
  keepsExpiry: boolean;
  /** Whether it may never have been written. */
  maybe: boolean;
}

/** One id of a session. */
export interface Id {
  readonly session: ModelSession;
  /**
   * The id that replaced it, and the request that did so. Its grace ended between `graceFrom` and
   * `graceTo`. After an automatic renewal, the grace lasts until a request has presented the new
   * id.
   */
  next?: { id: Id; by: number; graceFrom: number; graceTo: number; isRenewal: boolean };
  /** Whether a request has presented it, which is perhaps still being looked up. */
  wasPresented?: boolean;
  /** Whether a request has found its session with it. */
  wasFound?: boolean;
}

/** A `regenerate()` under way. Whether it has taken effect is not known. */
export interface Move {
  by: number;
  /** Its grace in milliseconds. */
  grace: number;
  /** The earliest time at which its grace ends. */
  graceFrom: number;
  isRenewal: boolean;
}

/** One session, from its first write to its end. */
export class ModelSession {
  readonly #options: Partial<SessionOptions>;
  /** It was created between these times. */
  readonly created: Readonly<{ from: number; to: number }>;
  /** The last activity was between these times. */
  #seen: { from: number; to: number };
  #overlap: { since: number; requests: number; hadSeveral: boolean } | undefined;
  /** Every lifetime, the first one from its creation. */
  readonly #lifetimes: Lifetime[];
  /**
   * The lifetimes that the expiry in the record may be computed from. A request that does not know
   * the lifetime which another request has set may write its activity last. The next request
   * corrects that.
   */
  #recorded: Set<Lifetime>;
  /**
   * How many requests are looking it up and may find it, and how many of their writes that write
   * their activity too are under way.
   */
  active = 0;
  readonly registers = new Map<string, Operation[]>();
  /** The `regenerate()` calls under way. */
  readonly moves = new Set<Move>();
  /** The `regenerate()` calls that have taken effect. */
  readonly moved: Pick<Move, "by" | "graceFrom">[] = [];
  /** Whether a request has called `destroy()`. */
  destroying = false;
  /** Whether `destroy()` has certainly ended it. */
  destroyed = false;

  constructor(options: Partial<SessionOptions>, from: number, to: number = from) {
    this.#options = options;
    this.created = { from, to };
    this.#seen = { from, to };
    const since = this.created;
    const creation = { by: 0, startedAt: 0, endedAt: 0, maybe: false };
    const first = { ...creation, maxAge: undefined, since, countsAnew: false, keepsExpiry: false };
    this.#lifetimes = [first];
    this.#recorded = new Set([first]);
  }

  /** Notes that a request which found the session was active at this time. */
  see(now: number): void {
    this.#seen.to = Math.max(this.#seen.to, now);
  }

  /** Notes that a request arrived. */
  enter(now: number): void {
    this.#overlap ??= { since: now, requests: 0, hadSeveral: false };
    if (++this.#overlap.requests > 1) this.#overlap.hadSeveral = true;
  }

  /**
   * Notes that a request ended. If several overlapped, the activity of any of them may have been
   * written last.
   */
  leave(found: boolean): void {
    const overlap = this.#overlap;
    if (overlap === undefined) return;
    if (--overlap.requests > 0) return;
    this.#overlap = undefined;
    if (!found) return;
    this.#seen.from = overlap.since;
    const lifetimes = this.lifetimes();
    if (!overlap.hadSeveral && !lifetimes.some(({ keepsExpiry }) => keepsExpiry)) this.#recorded = new Set(lifetimes);
  }

  /** Notes a write of the lifetime. */
  setLifetime(lifetime: Lifetime): void {
    this.#lifetimes.push(lifetime);
    this.#recorded.add(lifetime);
  }

  /** Removes a write of the lifetime that was refused. */
  forgetLifetime(lifetime: Lifetime): void {
    const at = this.#lifetimes.indexOf(lifetime);
    if (at !== -1) this.#lifetimes.splice(at, 1);
    this.#recorded.delete(lifetime);
  }

  /** Returns the lifetimes that it may have had at some time since the given tick. */
  lifetimes(since = Infinity): Lifetime[] {
    const certain = this.#lifetimes.filter(({ maybe, endedAt }) => !maybe && endedAt < since);
    return this.#lifetimes.filter((lifetime) => !certain.some((later) => isBefore(lifetime, later)));
  }

  /** Whether anything has set its lifetime. */
  get hadOwnLifetime(): boolean {
    return this.#lifetimes.length > 1;
  }

  /**
   * Returns the latest time at which it ends.
   *
   * @param since the tick since which a request may not have learned of another lifetime
   */
  endsBy(since?: number): number {
    return Math.max(...this.lifetimes(since).map((lifetime) => this.#latestExpiry(lifetime, this.#seen.to)));
  }

  /** Returns the latest time at which it ends, whatever activity there is. */
  endsWhateverIsDone(since?: number): number {
    return Math.max(...this.lifetimes(since).map((lifetime) => this.#latestExpiry(lifetime, Infinity)));
  }

  /**
   * The earliest time at which it expires. A sliding limit may end a session up to a tenth early.
   */
  get livesUntil(): number {
    const { rolling, idleTimeout = Infinity, absoluteTimeout = Infinity } = this.#options;
    const limit = Math.min(this.#seen.from + idleTimeout * 900, this.created.from + absoluteTimeout * 1000);
    const expiries = Array.from(this.#recorded, ({ maxAge, since }) => {
      const seconds = this.#secondsOf(maxAge) ?? (limit === Infinity ? DAY : Infinity);
      if (seconds === Infinity) return limit;
      const start = rolling ? Math.max(since.from, this.#seen.from - seconds * 100) : since.from;
      return Math.min(limit, start + seconds * 1000);
    });
    return Math.min(...expiries);
  }

  #latestExpiry(lifetime: Lifetime, seen: number): number {
    const { idleTimeout = Infinity, absoluteTimeout = Infinity } = this.#options;
    const isLimited = this.#secondsOf(lifetime.maxAge) !== undefined || idleTimeout < Infinity ||
      absoluteTimeout < Infinity;
    if (!isLimited) return this.#start(lifetime, seen) + DAY * 1000;
    return Math.min(this.latestCookieExpiry(lifetime, seen), seen + idleTimeout * 1000);
  }

  /** Returns the latest time at which the cookie ends; `Infinity` if that is with the browser. */
  latestCookieExpiry(lifetime: Lifetime, seen: number = this.#seen.to): number {
    const { absoluteTimeout = Infinity } = this.#options;
    const seconds = this.#secondsOf(lifetime.maxAge) ?? Infinity;
    return Math.min(this.#start(lifetime, seen) + seconds * 1000, this.created.to + absoluteTimeout * 1000);
  }

  #start({ since }: Lifetime, seen: number): number {
    return this.#options.rolling ? Math.max(since.to, seen) : since.to;
  }

  /** Returns a lifetime in seconds; `undefined` if its cookie ends with the browser. */
  #secondsOf(maxAge: number | null | undefined): number | undefined {
    return (maxAge === undefined ? this.#options.maxAge : maxAge) ?? undefined;
  }

  /**
   * Returns whether a lifetime results in a cookie with this `Max-Age`, in seconds, `undefined` for
   * none. The cookie was sent between two times.
   */
  sends(lifetime: Lifetime, maxAge: number | undefined, from: number, to: number): boolean {
    const seconds = this.#secondsOf(lifetime.maxAge);
    if (seconds === undefined || maxAge === undefined) return seconds === maxAge;
    const { absoluteTimeout = Infinity } = this.#options;
    const earliest = Math.min(lifetime.since.from + seconds * 1000, this.created.from + absoluteTimeout * 1000);
    return maxAge >= Math.floor((earliest - to) / 1000) &&
      maxAge <= Math.ceil((this.latestCookieExpiry(lifetime) - from) / 1000);
  }

  /** Notes an operation on a register. */
  note(key: string, operation: Operation): Operation {
    const operations = this.registers.get(key);
    if (operations === undefined) this.registers.set(key, [operation]);
    else operations.push(operation);
    return operation;
  }

  /** Removes an operation that was refused. */
  forget(key: string, operation: Operation): void {
    const operations = this.registers.get(key);
    operations?.splice(operations.indexOf(operation), 1);
  }

  /** Returns the registers that are not linearizable: a write was lost, revived or made up. */
  unexplained(): [key: string, operations: Operation[]][] {
    return Array.from(this.registers).filter(([, operations]) => !isLinearizable(operations));
  }
}

/**
 * Returns whether an id is certainly dead, so that no request may reach the session with it.
 *
 * @param since the tick since which the request may not have learned of another lifetime
 */
export function isDead(id: Id, now: number, since?: number): boolean {
  const { session } = id;
  if (session.destroyed) return true;
  if (now >= (session.active > 0 ? session.endsWhateverIsDone(since) : session.endsBy(since))) return true;
  for (let { next } = id; next !== undefined; { next } = next.id) {
    const isDelivered = !next.isRenewal || next.id.wasFound === true;
    if (now >= next.graceTo && isDelivered) return true;
  }
  return false;
}

/**
 * Returns whether an id certainly leads to its session, for a request that may have renewed the id
 * itself.
 */
export function isAlive(id: Id, now: number, by: number, until: number): boolean {
  // Another request may have shortened the session since.
  return !id.session.destroying && now < Math.min(until, id.session.livesUntil) && isReached(id, now, by);
}

/**
 * Returns whether an id certainly leads to the current id of its session, if the session is alive.
 */
export function isReached(id: Id, now: number, by: number): boolean {
  let hops = 0;
  for (const move of id.session.moves) {
    if (move.by === by) continue;
    if (now >= move.graceFrom) return false;
    // It may have taken effect on an id that was replaced since, although the model never saw the
    // id in between.
    if (id.session.moved.some((since) => since.by !== by && now >= since.graceFrom)) return false;
    hops++;
  }
  for (let { next } = id; next !== undefined; { next } = next.id) {
    if (next.by === by) continue;
    if (now >= next.graceFrom && !(next === id.next && isUndelivered(id))) return false;
    hops++;
  }
  return hops <= MAX_MOVES;
}

/**
 * Returns whether an id was replaced by an automatic renewal, and certainly no request has
 * presented the new id. The response to any request with the old id then carries the new one.
 */
export function isUndelivered({ next }: Id): boolean {
  return next !== undefined && next.isRenewal && next.id.wasPresented !== true && next.id.next === undefined;
}

/** Describes the operations on a register, for a report. */
export function describe(operations: readonly Operation[]): string {
  const show = (name: string, at?: { value: Value }): string =>
    at === undefined ? "" : ` ${name} ${at.value ?? "nothing"}`;
  return operations.map(({ what, by, startedAt, endedAt, maybe, read, wrote }) =>
    `  request ${by}: ${what} (${startedAt} to ${endedAt}${maybe ? ", perhaps" : ""})${show("read", read)}${
      show("wrote", wrote)
    }`
  ).join("\n");
}
