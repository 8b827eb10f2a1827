/**
 * What a session promises, said once more and as simply as it can be: the model that random requests are compared with.
 *
 * A session is a *life*: it begins at one moment, has one id after the other, and ends. Its values are registers. As requests overlap,
 * the model often cannot know which of two came first; it then says neither "alive" nor "dead", and both are right.
 */
import type { SessionOptions } from "../../mod.ts";
import { isLinearizable, type Step, type Value } from "./model_linearizable.ts";

const DAY = 24 * 60 * 60;
/** So many ids after a cookie's own, each within the grace of the one before, still lead to the session. */
const MAX_MOVES = 16;

/** The register of the user that a session is bound to. */
export const PRINCIPAL = "(principal)";

/** One id of a session. */
export interface Id {
  readonly life: Life;
  /** The id that replaced it, by which request; its grace ended somewhere between two moments. */
  next?: { id: Id; by: number; graceFrom: number; graceTo: number };
}

/** A `regenerate()` under way: whether it has happened is not known. */
export interface Move {
  by: number;
  /** How long its grace is, in milliseconds, and until when the old id leads to the new one at least. */
  grace: number;
  graceFrom: number;
}

/** One session, from its first write to its end. */
export class Life {
  readonly #options: Partial<SessionOptions>;
  readonly #begun: number;
  /** The last activity was not before and not after. */
  #seen: { from: number; to: number };
  #overlap: { since: number; requests: number } | undefined;
  /** How many requests are looking for it that may find it, and may have written their activity. */
  finding = 0;
  readonly registers = new Map<string, Step[]>();
  /** The `regenerate()` calls under way. */
  readonly moves = new Set<Move>();
  /** Those that have happened. */
  readonly moved: Pick<Move, "by" | "graceFrom">[] = [];
  /** Whether somebody has called `destroy()`, and whether that has certainly ended it. */
  destroying = false;
  destroyed = false;

  constructor(options: Partial<SessionOptions>, now: number) {
    this.#options = options;
    this.#begun = now;
    this.#seen = { from: now, to: now };
  }

  /** A request that has found the session begins or goes on now. */
  see(now: number): void {
    this.#seen.to = Math.max(this.#seen.to, now);
  }

  /** A request arrives. */
  enter(now: number): void {
    this.#overlap ??= { since: now, requests: 0 };
    this.#overlap.requests++;
  }

  /** A request is over. Of several at the same time, any one's activity may have been written last. */
  leave(found: boolean): void {
    const overlap = this.#overlap;
    if (overlap === undefined) return;
    if (--overlap.requests > 0) return;
    this.#overlap = undefined;
    if (found) this.#seen.from = overlap.since;
  }

  /** It ends at this moment at the latest. */
  get endsBy(): number {
    return this.#deadline(this.#seen.to, 1);
  }

  /** It ends at this moment at the latest, whatever activity there is. */
  get endsWhateverIsDone(): number {
    return this.#deadline(Infinity, 1);
  }

  /** It lives until this moment at least, unless somebody destroys it: "up to a tenth early". */
  get livesUntil(): number {
    return this.#deadline(this.#seen.from, 0.9);
  }

  #deadline(seen: number, share: number): number {
    const { maxAge = Infinity, rolling, idleTimeout = Infinity, absoluteTimeout = Infinity } = this.#options;
    const sliding = Math.min(rolling ? maxAge : Infinity, idleTimeout);
    const fixed = Math.min(rolling ? Infinity : maxAge, absoluteTimeout);
    if (sliding === Infinity && fixed === Infinity) return this.#begun + DAY * 1000;
    return Math.min(this.#begun + fixed * 1000, seen + sliding * share * 1000);
  }

  /** Notes a step on a register. */
  note(key: string, step: Step): Step {
    const steps = this.registers.get(key);
    if (steps === undefined) this.registers.set(key, [step]);
    else steps.push(step);
    return step;
  }

  /** Forgets a step that was refused. */
  forget(key: string, step: Step): void {
    const steps = this.registers.get(key);
    steps?.splice(steps.indexOf(step), 1);
  }

  /** The registers that no order of the steps explains: a write was lost, came back, or was made up. */
  unexplained(): [key: string, steps: Step[]][] {
    return Array.from(this.registers).filter(([, steps]) => !isLinearizable(steps));
  }
}

/** Tells whether an id is dead, beyond doubt: no request may get to the session with it. */
export function isDead(id: Id, now: number): boolean {
  const { life } = id;
  if (life.destroyed || now >= (life.finding > 0 ? life.endsWhateverIsDone : life.endsBy)) return true;
  for (let { next } = id; next !== undefined; { next } = next.id) if (now >= next.graceTo) return true;
  return false;
}

/** Tells whether an id leads to its session, beyond doubt, for a request that may itself have moved on. */
export function isAlive(id: Id, now: number, by: number, until: number): boolean {
  return !id.life.destroying && now < until && isReached(id, now, by);
}

/** Tells whether an id leads to the present one of its session, beyond doubt, if the session lives. */
export function isReached(id: Id, now: number, by: number): boolean {
  let hops = 0;
  for (const move of id.life.moves) {
    if (move.by === by) continue;
    if (now >= move.graceFrom) return false;
    // It may have happened, to an id that another has replaced since, without the model having heard of the one between.
    if (id.life.moved.some((since) => since.by !== by && now >= since.graceFrom)) return false;
    hops++;
  }
  for (let { next } = id; next !== undefined; { next } = next.id) {
    if (next.by === by) continue;
    if (now >= next.graceFrom) return false;
    hops++;
  }
  return hops <= MAX_MOVES;
}

/** Says what happened to a register. */
export function describe(steps: readonly Step[]): string {
  const show = (name: string, at?: { value: Value }): string =>
    at === undefined ? "" : ` ${name} ${at.value ?? "nothing"}`;
  return steps.map(({ what, by, begun, ended, maybe, found, left }) =>
    `  request ${by}: ${what} (${begun} to ${ended}${maybe ? ", perhaps" : ""})${show("found", found)}${
      show("left", left)
    }`
  ).join("\n");
}
