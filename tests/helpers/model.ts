/**
 * The model that random requests are compared with. It states the guarantees of a session once
 * more, as simply as possible.
 *
 * A session is created, has one id after the other, and ends. Its values are registers. Because
 * requests overlap, the model often cannot know which of two operations came first. It then says
 * neither "alive" nor "dead", and accepts both.
 */
import type { SessionOptions } from "../../mod.ts";
import { isLinearizable, type Operation, type Value } from "./model_linearizable.ts";

const DAY = 24 * 60 * 60;
/**
 * How many times in a row a session may get a new id within a grace, for the first id still to lead
 * to it.
 */
const MAX_MOVES = 16;

/** The register that holds the user that a session is bound to. */
export const PRINCIPAL = "(principal)";

/** One id of a session. */
export interface Id {
  readonly session: ModelSession;
  /**
   * The id that replaced it, and the request that did so. Its grace ended between `graceFrom` and
   * `graceTo`. After an automatic renewal, the grace lasts until a request has presented the new id.
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
  readonly #createdAt: number;
  /** The last activity was between these times. */
  #seen: { from: number; to: number };
  #overlap: { since: number; requests: number } | undefined;
  /** How many requests are looking it up that may find it. They may have written their activity. */
  finding = 0;
  readonly registers = new Map<string, Operation[]>();
  /** The `regenerate()` calls under way. */
  readonly moves = new Set<Move>();
  /** The `regenerate()` calls that have taken effect. */
  readonly moved: Pick<Move, "by" | "graceFrom">[] = [];
  /** Whether a request has called `destroy()`. */
  destroying = false;
  /** Whether `destroy()` has certainly ended it. */
  destroyed = false;

  constructor(options: Partial<SessionOptions>, now: number) {
    this.#options = options;
    this.#createdAt = now;
    this.#seen = { from: now, to: now };
  }

  /** Notes that a request which found the session was active at this time. */
  see(now: number): void {
    this.#seen.to = Math.max(this.#seen.to, now);
  }

  /** Notes that a request arrived. */
  enter(now: number): void {
    this.#overlap ??= { since: now, requests: 0 };
    this.#overlap.requests++;
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
    if (found) this.#seen.from = overlap.since;
  }

  /** The latest time at which it ends. */
  get endsBy(): number {
    return this.#expiry(this.#seen.to, 1);
  }

  /** The latest time at which it ends, whatever activity there is. */
  get endsWhateverIsDone(): number {
    return this.#expiry(Infinity, 1);
  }

  /**
   * The earliest time at which it expires. A sliding limit may end a session up to a tenth early.
   */
  get livesUntil(): number {
    return this.#expiry(this.#seen.from, 0.9);
  }

  #expiry(seen: number, share: number): number {
    const { maxAge = Infinity, rolling, idleTimeout = Infinity, absoluteTimeout = Infinity } = this.#options;
    const sliding = Math.min(rolling ? maxAge : Infinity, idleTimeout);
    const fixed = Math.min(rolling ? Infinity : maxAge, absoluteTimeout);
    if (sliding === Infinity && fixed === Infinity) return this.#createdAt + DAY * 1000;
    return Math.min(this.#createdAt + fixed * 1000, seen + sliding * share * 1000);
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

/** Returns whether an id is certainly dead, so that no request may reach the session with it. */
export function isDead(id: Id, now: number): boolean {
  const { session } = id;
  if (session.destroyed || now >= (session.finding > 0 ? session.endsWhateverIsDone : session.endsBy)) return true;
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
  return !id.session.destroying && now < until && isReached(id, now, by);
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
