/**
 * Updates one value with a function that may take its time.
 *
 * @module
 */
import { areEqual } from "../util/equal_values.ts";
import type { KeyedMutex } from "../util/keyed_mutex.ts";
import { isHeldByCaller, updateMutexKey, WithinUpdateError } from "./running_update.ts";
import type { ValueUpdater } from "./store_adapter.ts";
import { ReasonError } from "./store_timeout.ts";

/**
 * The maximum number of attempts of an update. Each failed attempt means that another change
 * succeeded.
 */
const MAX_ATTEMPTS = 1000;

/** How an update reads and writes its value. */
export interface ValueAccess<S extends { readonly value: unknown }> {
  /** Reads the value. */
  read(): Promise<S>;
  /**
   * Writes the value, unless it was changed in the meantime.
   *
   * @returns whether it was written
   */
  write(read: S, next: unknown): Promise<boolean>;
}

/**
 * Reads one value and writes what the updater returns. Updates of one value wait for each other in
 * this process, so that only other writes and other processes conflict. Nothing else waits for the
 * updater.
 *
 * @param cached a value that was read earlier, which can save another read
 */
export function updateValue<S extends { readonly value: unknown }>(
  mutex: KeyedMutex,
  sid: string,
  key: string,
  updater: ValueUpdater,
  access: ValueAccess<S>,
  cached?: S,
): Promise<void> {
  const mutexKey = updateMutexKey(sid, key);
  const isBusy = mutex.has(mutexKey);
  if (isBusy && isHeldByCaller(mutexKey)) return Promise.reject(new WithinUpdateError("update"));
  // A cached value is not worth trying if another update is about to change it.
  let guess = isBusy ? undefined : cached;
  return mutex.run(mutexKey, async () => {
    let before: S | undefined;
    let next: unknown;
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const current = guess ?? await access.read();
      // If only other values of the record have changed, the result is still right.
      if (before === undefined || !areEqual(before.value, current.value)) {
        before = current;
        next = await updater(current.value);
      }
      const isUnchanged = next === undefined && current.value === undefined;
      // Only a value that was just read proves that there is nothing to write.
      if (isUnchanged && guess === undefined) return;
      if (!isUnchanged && await access.write(current, next)) return;
      guess = undefined;
    }
    throw new ReasonError(
      `other requests changed the value during each of ${MAX_ATTEMPTS} attempts; nothing was written; try again`,
    );
  });
}
