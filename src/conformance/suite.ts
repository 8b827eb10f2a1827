/**
 * The table of contents of the conformance suite.
 *
 * @module
 */
import { countChecks } from "./admin_store/count_checks.ts";
import { principalListChecks } from "./admin_store/principal_list_checks.ts";
import { isRecordStore, RECORD_METHODS, type RecordStore } from "../session_store.ts";
import { concurrencyChecks } from "./basic_store/concurrency_checks.ts";
import { copyChecks } from "./basic_store/copy_checks.ts";
import { initChecks } from "./basic_store/init_checks.ts";
import { keyChecks } from "./basic_store/key_checks.ts";
import { missingSessionChecks } from "./basic_store/missing_session_checks.ts";
import { sessionChecks } from "./basic_store/session_checks.ts";
import { sizeChecks } from "./basic_store/size_checks.ts";
import { unreachableBackendChecks } from "./basic_store/unreachable_backend_checks.ts";
import { valueChecks } from "./basic_store/value_checks.ts";
import { type Check, skipped, type StorePair } from "./check.ts";
import type { TestedStores } from "./harness.ts";
import { middlewareChecks, twoInstanceChecks } from "./middleware/middleware_checks.ts";
import { userChecks } from "./middleware/user_checks.ts";
import { pingChecks } from "./pingable_store/ping_checks.ts";
import { principalChecks } from "./principal_store/principal_checks.ts";
import { deadlineChecks } from "./record_store/deadline_checks.ts";
import { deviceChecks } from "./record_store/device_checks.ts";
import { moveChecks } from "./record_store/move_checks.ts";
import { recordChecks } from "./record_store/record_checks.ts";
import { recordConcurrencyChecks } from "./record_store/record_concurrency_checks.ts";
import { watchChecks } from "./watched_store/watch_checks.ts";

/** The checks of one topic. They run in one `Deno.test`, each as a step. */
export interface CheckGroup {
  title: string;
  /** Returns the checks for a store. Those that do not apply to it are {@linkcode skipped}. */
  checks: (stores: TestedStores) => Check[];
}

/** The required methods, the optional capabilities, and sessions through the middleware. */
export const SUITE: readonly CheckGroup[] = [
  { title: "required: init()", checks: initChecks },
  { title: "required: missing sessions", checks: missingSessionChecks },
  { title: "required: create(), delete() and clear()", checks: sessionChecks },
  { title: "required: keys", checks: keyChecks },
  { title: "required: values", checks: valueChecks },
  { title: "required: sizes of values", checks: sizeChecks },
  { title: "required: copies of values", checks: copyChecks },
  { title: "required: concurrent calls", checks: concurrencyChecks },
  { title: "required: unreachable backend", checks: unreachableBackendChecks },
  {
    title: "RecordStore: records",
    checks: forRecordStores(
      "records",
      recordChecks,
      "; without them update(), take(), clear() and regenerate() are atomic within one process only, a new session " +
        "takes several round trips, and an expired session stays in the store unless its visitor returns",
    ),
  },
  { title: "RecordStore: new session ids", checks: forRecordStores("new session ids", moveChecks) },
  { title: "RecordStore: keys of devices", checks: forRecordStores("keys of devices", deviceChecks) },
  { title: "RecordStore: deadlines", checks: forRecordStores("deadlines", deadlineChecks) },
  {
    title: "RecordStore: concurrent calls",
    checks: forRecordStores("concurrent calls on records", recordConcurrencyChecks),
  },
  { title: "PrincipalStore: sessions of a user", checks: principalChecks },
  { title: "PingableStore: health", checks: pingChecks },
  { title: "WatchedStore: changes that any process makes", checks: watchChecks },
  { title: "CountingStore: number of sessions", checks: countChecks },
  { title: "PrincipalListStore: users who are signed in", checks: principalListChecks },
  { title: "middleware: in one instance", checks: ({ store }) => middlewareChecks(store, store) },
  { title: "middleware: across two instances", checks: twoInstanceChecks },
  { title: "middleware: sessions of a user", checks: userChecks },
];

/**
 * Returns the checks of a `RecordStore`, which are skipped for any other store.
 *
 * @param topic the name of the checks if they are skipped
 * @param checks returns the checks of a pair of stores
 * @param consequence the effect of the missing capability on sessions. Only one group has it, so
 * that the suite shows it once.
 */
function forRecordStores(
  topic: string,
  checks: (pair: StorePair<RecordStore>, stores: TestedStores) => Check[],
  consequence = "",
): CheckGroup["checks"] {
  return (stores) => {
    const pairs = stores.pairsWith(isRecordStore);
    if (pairs.length > 0) return pairs.flatMap((pair) => checks(pair, stores));
    const missing = RECORD_METHODS.filter((name) => !(name in stores.store)).map((name) => `${name}()`).join(", ");
    return [skipped(topic, `the store is not a RecordStore, it has no ${missing}${consequence}`)];
  };
}
