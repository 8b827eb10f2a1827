/**
 * Checks of `ping()`.
 *
 * @module
 */
import { isPingableStore } from "../../session_store.ts";
import { type Check, skipped } from "../check.ts";
import { expectEqual } from "../expect.ts";
import { createSession } from "../fixtures.ts";
import type { TestedStores } from "../harness.ts";

/** Checks that `ping()` resolves while the store works. */
export function pingChecks({ store }: TestedStores): Check[] {
  if (!isPingableStore(store)) {
    const why = "the store is not a PingableStore, it has no ping(); middleware.health() calls exist() instead";
    return [skipped("a health check of its own", why)];
  }
  return [{
    name: "ping() resolves while the backend answers, and changes no session",
    run: async () => {
      await store.ping();
      const sid = await createSession(store, { key: "value" });
      await Promise.all([store.ping(), store.ping()]);
      expectEqual(await store.getValue(sid, "key"), "value", "getValue() after ping()");
    },
  }];
}
