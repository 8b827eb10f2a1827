/**
 * Runs concurrent work in every order of its store calls.
 *
 * @module
 */
import type { SessionStore } from "../../mod.ts";
import { microtasks } from "./microtasks.ts";
import { probe, working } from "./stores.ts";

/** More orders than this make a test slow. */
const MAX_ORDERS = 5000;

/** One order of the store calls. */
export interface Order {
  /**
   * Returns a store whose calls wait for their turn while {@linkcode Order.run} runs.
   *
   * @param queued whether concurrent calls of this store keep their order among each other, which
   * leaves fewer orders
   */
  through<S extends SessionStore>(store: S, queued?: boolean): S;
  /** Runs some work concurrently, in this order. Errors of the work are returned. */
  run(...work: (() => Promise<unknown>)[]): Promise<PromiseSettledResult<unknown>[]>;
}

/**
 * Runs a scenario once for every order in which its store calls can happen.
 *
 * The stores must answer without I/O.
 *
 * @returns how many orders there were
 */
export async function everyOrder(scenario: (order: Order) => Promise<void>): Promise<number> {
  let choices: number[] = [];
  for (let orders = 1; orders <= MAX_ORDERS; orders++) {
    const options = await runOnce(scenario, choices);
    // The next order takes the next option at the last step that has one.
    let step = options.length - 1;
    while (step >= 0 && (choices[step] ?? 0) + 1 >= (options[step] ?? 0)) step--;
    if (step < 0) return orders;
    choices = options.slice(0, step + 1).map((_, n) => n === step ? (choices[n] ?? 0) + 1 : choices[n] ?? 0);
  }
  throw new Error(`The scenario has more than ${MAX_ORDERS} orders`);
}

/** Returns how many calls could have come next at each step. */
async function runOnce(scenario: (order: Order) => Promise<void>, choices: readonly number[]): Promise<number[]> {
  const options: number[] = [];
  const names: string[] = [];
  let isRunning = false;
  const waiting: { name: string; queue: symbol | undefined; start: () => void }[] = [];

  const order: Order = {
    through<S extends SessionStore>(store: S, queued = false): S {
      const queue = queued ? Symbol() : undefined;
      const { store: probed, probe: seen } = probe(store);
      seen.before = (method) => {
        if (!isRunning) return working();
        const { promise, resolve } = Promise.withResolvers<void>();
        waiting.push({ name: method, queue, start: resolve });
        return promise;
      };
      return probed;
    },
    async run(...work: (() => Promise<unknown>)[]): Promise<PromiseSettledResult<unknown>[]> {
      isRunning = true;
      let running = work.length;
      const results = Promise.allSettled(work.map((run) => run().finally(() => running--)));
      for (;;) {
        await microtasks();
        if (running === 0) break;
        const candidates = waiting.filter(({ queue }, n) =>
          queue === undefined || waiting.findIndex((other) => other.queue === queue) === n
        );
        // Random ids decide between sign-ins of the same millisecond, so a choice may be missing.
        const next = candidates[Math.min(choices[options.length] ?? 0, candidates.length - 1)];
        if (next === undefined) throw new Error("The work waits for something other than the store");
        options.push(candidates.length);
        names.push(next.name);
        waiting.splice(waiting.indexOf(next), 1);
        next.start();
      }
      isRunning = false;
      return await results;
    },
  };
  try {
    await scenario(order);
  } catch (error) {
    throw new Error(`The scenario failed in the order ${names.join(", ")} (${choices.join()})`, { cause: error });
  }
  return options;
}
