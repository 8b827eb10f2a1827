/**
 * The functions of `update()` that are running, and the calls that are made from within them.
 *
 * An update holds the write queue of its request and a mutex until its function has returned. A
 * call from within the function that waits for one of them would wait forever.
 *
 * @module
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { actionOf } from "../errors.ts";
import type { ValueUpdater } from "./store_adapter.ts";

/** A call was refused because it would wait for the update that it is called from. */
export class WithinUpdateError extends TypeError {
  /** @param operation the operation that was refused, such as `"set"` */
  constructor(operation: string) {
    super(
      `Cannot ${actionOf(operation)} within the function of update(): it would wait for that update forever. ` +
        "Do it after update() has resolved.",
    );
  }
}

/**
 * What the function of an update has thrown. It may be the error of another session or store, which
 * says nothing about the session that is updated.
 */
export class UpdaterError extends Error {
  /** @param thrown any value */
  constructor(readonly thrown: unknown) {
    super("The function of an update has failed");
  }
}

/** Returns the key of the mutex that the updates of one value share. */
export function updateMutexKey(sid: string, key: string): string {
  return `${sid} ${key}`;
}

const storage = new AsyncLocalStorage<RunningUpdate>();

/** How many functions are running. As long as there is none, a call need not ask the storage. */
let running = 0;

/** The function of an update, while it runs. */
class RunningUpdate {
  /** The write queue, and the key of the mutex. */
  readonly holds: readonly unknown[];
  /** The update of another session whose function called this update. */
  readonly outer = storage.getStore();
  hasReturned = false;

  constructor(holds: readonly unknown[]) {
    this.holds = holds;
  }
}

/**
 * Calls the updater of an `update()` or a `take()`.
 *
 * @param queue the write queue of the request
 * @param sid the session
 * @param key the key of the value
 * @param updater the function
 * @param value its argument
 */
export async function runUpdater(
  operation: "update" | "take",
  queue: object,
  sid: string,
  key: string,
  updater: ValueUpdater,
  value: unknown,
): Promise<unknown> {
  // The updater of `take()` is our own and calls nothing.
  if (operation === "take") return await updater(value);
  const update = new RunningUpdate([queue, updateMutexKey(sid, key)]);
  running++;
  try {
    return await storage.run(update, updater, value);
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
