/**
 * Delays commands at random, so that the operations of several machines interleave.
 *
 * @module
 */
import { setImmediate, setTimeout } from "node:timers";
import type { SessionStore } from "../../mod.ts";
import { ALL_METHODS } from "../../src/admin_store.ts";

/** Random numbers that a seed repeats (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** Returns a number from 0 to 1, excluding 1. */
  next(): number {
    this.#state = this.#state + 0x6D2B79F5 | 0;
    let t = Math.imul(this.#state ^ this.#state >>> 15, 1 | this.#state);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return ((t ^ t >>> 14) >>> 0) / 2 ** 32;
  }

  /** Returns an integer from 0 to `limit`, excluding `limit`. */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  /** Returns whether something of this probability happens. */
  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** Returns one of several items. */
  pick<T>(items: readonly [T, ...T[]]): T {
    return items[this.below(items.length)] ?? items[0];
  }
}

/** How many delays a round has at most. A usual one has about a hundred. */
const MAX_STEPS = 20_000;

/**
 * Decides in which order commands are executed and answered.
 *
 * Each command waits for a random time before and after its execution. The time is virtual: when
 * everything waits, the shortest wait ends. Hundreds of rounds therefore take seconds, and one seed
 * makes the same choices each time.
 */
export class Interleaving {
  readonly random: Random;
  readonly #overlaps: boolean;
  /** Within which time operations begin. */
  readonly #spread: number;
  readonly #waiting = new Set<{ until: number; resume: () => void }>();
  #time = 0;
  #running = 0;
  #noneRuns: (() => void) | undefined;
  #isResuming = false;
  #isActive = false;
  #steps = 0;
  /** The probability that a command fails, before or after its execution. */
  failureRate = 0;

  /**
   * @param overlaps whether a command may begin while another one is being executed. If the backend
   * executes one command at a time, this changes nothing but the repeatability.
   */
  constructor(random: Random, overlaps = false) {
    this.random = random;
    this.#overlaps = overlaps;
    this.#spread = 2 ** (4 + 7 * random.next());
  }

  /** Begins to delay commands. Before, they are executed at once and do not fail. */
  start(): void {
    this.#isActive = true;
  }

  /** Delays nothing any more, and lets nothing fail. */
  stop(): void {
    this.#isActive = false;
  }

  /** Executes a command between two random delays. */
  async run<T>(command: () => T | Promise<T>): Promise<T> {
    if (!this.#isActive) return await command();
    const fails = this.random.chance(this.failureRate);
    const isExecuted = !fails || this.random.chance(0.5);
    await this.delay();
    this.#running++;
    try {
      if (!isExecuted) throw new BackendError();
      const result = await command();
      if (fails) throw new BackendError();
      return result;
    } finally {
      this.#running--;
      if (this.#running === 0) this.#noneRuns?.();
      await this.delay();
    }
  }

  /** Waits for a random time. */
  delay(): Promise<void> {
    // A few long delays among many short ones let whole operations of another machine fit between
    // two commands.
    return this.#wait(this.random.chance(0.3) ? 0 : 2 ** (10 * this.random.next()));
  }

  /** Waits for a random time before an operation begins. */
  delayStart(): Promise<void> {
    return this.#wait(this.#spread * this.random.next());
  }

  #wait(time: number): Promise<void> {
    if (!this.#isActive) return Promise.resolve();
    if (++this.#steps > MAX_STEPS) return Promise.reject(new Error("the round does not end"));
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.add({ until: this.#time + time, resume: resolve });
    if (!this.#isResuming) this.#resumeAll();
    return promise;
  }

  async #resumeAll(): Promise<void> {
    this.#isResuming = true;
    while (this.#waiting.size > 0) {
      // Everything that waits for promises only goes on before the next wait ends.
      await nextTask();
      while (this.#running > 0 && !(this.#overlaps && this.random.chance(0.5))) {
        await new Promise<void>((resolve) => this.#noneRuns = resolve);
        await nextTask();
      }
      let [first] = this.#waiting;
      for (const wait of this.#waiting) if (first === undefined || wait.until < first.until) first = wait;
      if (first === undefined) continue;
      this.#waiting.delete(first);
      this.#time = first.until;
      first.resume();
    }
    this.#isResuming = false;
  }
}

/** A command failed, or its answer was lost. */
class BackendError extends Error {}

/** Waits until a time, in milliseconds since the epoch. */
export async function waitUntil(time: number): Promise<void> {
  while (Date.now() < time) await new Promise<void>((resolve) => setTimeout(resolve, time - Date.now()));
}

function nextTask(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * Returns an object that calls another one.
 *
 * @param delays delays the calls of some methods; `undefined` for no delays
 */
export function delayed<T extends object>(target: T, delays: Interleaving | undefined, names: readonly string[]): T {
  return new Proxy(target, {
    get: (target, name): unknown => {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== "function") return member;
      if (delays === undefined || !names.includes(String(name))) return member.bind(target);
      return (...args: unknown[]) => delays.run<unknown>(() => member.apply(target, args));
    },
  });
}

/** Returns a store that calls another one. All its calls are delayed. */
export function delayedStore<S extends SessionStore>(store: S, delays: Interleaving | undefined): S {
  return delayed(store, delays, ALL_METHODS);
}
