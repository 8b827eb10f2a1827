/**
 * The functions of `update()` that are running, and the calls that are made from within them.
 *
 * An update holds the write queue of its request and a mutex until its function has returned. A
 * call from within the function that waits for one of them would wait forever.
 *
 * @module
 */
import { AsyncLocalStorage } from "node:async_hooks";

/** The function of an update, while it runs. */
interface RunningUpdate {
  /** The write queue, and the keys of the mutexes. */
  readonly holds: readonly unknown[];
  /** The update whose function has called this update, on another session. */
  readonly outer: RunningUpdate | undefined;
  hasReturned: boolean;
}

/** A call was refused because it would wait for the update that it is called from. */
export class WithinUpdateError extends TypeError {
  /** @param operation the operation that was refused, such as `"set"` */
  constructor(operation: string) {
    super(
      `Cannot ${operation} within the function of update(): it would wait for that update forever. ` +
        "Do it after update() has resolved.",
    );
  }
}

const storage = new AsyncLocalStorage<RunningUpdate>();

/** How many functions are running. As long as there is none, a write need not ask the storage. */
let running = 0;

/**
 * Calls the function of an update.
 *
 * @param holds what the update holds while the function runs
 * @param fn the function
 * @param value its argument
 */
export async function runWithinUpdate<T, R>(
  holds: readonly unknown[],
  fn: (value: T) => R | PromiseLike<R>,
  value: T,
): Promise<R> {
  const update: RunningUpdate = { holds, outer: storage.getStore(), hasReturned: false };
  running++;
  try {
    return await storage.run(update, fn, value);
  } finally {
    // Calls that the function has left for later no longer wait for it.
    update.hasReturned = true;
    running--;
  }
}

/** Returns whether the caller runs within the function of an update that holds this. */
export function isHeldByCaller(held: unknown): boolean {
  if (running === 0) return false;
  for (let update = storage.getStore(); update !== undefined; update = update.outer) {
    if (!update.hasReturned && update.holds.includes(held)) return true;
  }
  return false;
}
