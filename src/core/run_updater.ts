/**
 * Runs the updater of an `update()` or a `take()`.
 *
 * @module
 */
import { runWithinUpdate } from "../persistence/running_update.ts";
import { updateMutexKey, type ValueUpdater } from "../persistence/store_adapter.ts";
import type { LoadedSession } from "./loaded_session.ts";
import type { WriteQueue } from "./write_queue.ts";

/**
 * Calls an updater. Until it returns, reads of the session do not wait for it, and writes that it
 * makes to the session are refused.
 */
export async function runUpdater(
  operation: "update" | "take",
  queue: WriteQueue,
  session: LoadedSession,
  key: string,
  updater: ValueUpdater,
  value: unknown,
): Promise<unknown> {
  session.activeUpdaters++;
  try {
    // The updater of `take()` is our own and calls nothing.
    if (operation === "take") return await updater(value);
    // On a basic store, the key of the mutex is the id.
    return await runWithinUpdate([queue, session.id, updateMutexKey(session.id, key)], updater, value);
  } finally {
    session.activeUpdaters--;
  }
}
