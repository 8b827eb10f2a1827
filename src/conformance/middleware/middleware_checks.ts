/**
 * Selects the checks that send requests through the middleware to one instance or to two.
 *
 * @module
 */
import { isRecordStore, type SessionStore } from "../../session_store.ts";
import { type Check, skipped } from "../check.ts";
import type { TestedStores } from "../harness.ts";
import { atomicDestroyChecks, destroyChecks } from "./destroy_checks.ts";
import { atomicEverybodyChecks, everybodyChecks } from "./everybody_checks.ts";
import { expiryChecks } from "./expiry_checks.ts";
import { atomicReadWriteChecks, readWriteChecks } from "./read_write_checks.ts";
import { gracePeriodChecks, regenerateChecks } from "./regenerate_checks.ts";

/** Returns all checks of requests that reach two stores. Both may be the same store. */
export function middlewareChecks(a: SessionStore, b: SessionStore): Check[] {
  return [...basicChecks(a, b), ...atomicChecks(a, b)];
}

/** Returns the checks of requests that reach two instances. */
export function twoInstanceChecks({ store, other }: TestedStores): Check[] {
  if (other === undefined) {
    return [skipped(
      "requests to two instances",
      "option `shared` is false; an application on such a store must run in one process",
    )];
  }
  if (isRecordStore(store) && isRecordStore(other)) return middlewareChecks(store, other);
  return [
    ...basicChecks(store, other),
    skipped(
      "update(), take(), clear() and grace periods across two instances",
      "the store is not a RecordStore; with several processes concurrent update() can lose an update, take() can " +
        "return one value twice, and a grace period holds only in the process that called regenerate()",
    ),
  ];
}

/** Returns the checks that every store must pass. */
function basicChecks(a: SessionStore, b: SessionStore): Check[] {
  return [
    ...readWriteChecks(a, b),
    ...expiryChecks(a, b),
    ...regenerateChecks(a, b),
    ...destroyChecks(a, b),
    ...everybodyChecks(a, b),
  ];
}

/**
 * Returns the checks that every store must pass within one instance. A `RecordStore` must also pass
 * them across instances.
 */
function atomicChecks(a: SessionStore, b: SessionStore): Check[] {
  return [
    ...atomicReadWriteChecks(a, b),
    ...gracePeriodChecks(a, b),
    ...atomicDestroyChecks(a, b),
    ...atomicEverybodyChecks(a, b),
  ];
}
