/**
 * Steps that wait for one another.
 *
 * @module
 */

/** A queue per name. */
export class Turns {
  readonly #last = new Map<string, Promise<void>>();

  /** Whether a step of this name is waiting or under way. */
  has(name: string): boolean {
    return this.#last.has(name);
  }

  /** Runs a step after those of the same name before it. */
  take<T>(name: string, step: () => Promise<T>): Promise<T> {
    const before = this.#last.get(name);
    const run = before === undefined ? step() : before.then(step);
    const done: Promise<void> = run.then(() => {}, () => {}).then(() => {
      if (this.#last.get(name) === done) this.#last.delete(name);
    });
    this.#last.set(name, done);
    return run;
  }
}
