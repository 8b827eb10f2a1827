/**
 * Steps that wait for one another.
 *
 * @module
 */
import type { Answer } from "./_ask.ts";
import { timeoutIn } from "./_timed_store.ts";

/** A queue per name. Where a step fails because the store took too long, those that wait for it fail too, and not one after the other. */
export class Turns {
  readonly #last = new Map<string, Promise<Error | undefined>>();

  /** Whether a step of this name is waiting or under way. */
  has(name: string): boolean {
    return this.#last.has(name);
  }

  /** Runs a step after those of the same name before it. */
  take<T>(name: string, step: () => Promise<T>): Promise<T> {
    const run = afterwards(this.#last.get(name), step);
    const done: Promise<Error | undefined> = run.then(() => undefined, timeoutIn).then((timeout) => {
      if (this.#last.get(name) === done) this.#last.delete(name);
      return timeout;
    });
    this.#last.set(name, done);
    return run;
  }
}

/**
 * Runs a step after another.
 *
 * @param before tells how that ended: with an error where the store took too long
 */
export function afterwards<T>(before: Promise<Error | undefined> | undefined, step: () => Promise<T>): Promise<T>;
export function afterwards<T>(before: Promise<Error | undefined> | undefined, step: () => Answer<T>): Answer<T>;
export function afterwards<T>(before: Promise<Error | undefined> | undefined, step: () => Answer<T>): Answer<T> {
  if (before === undefined) return step();
  return before.then((timeout) => {
    if (timeout !== undefined) throw timeout;
    return step();
  });
}
