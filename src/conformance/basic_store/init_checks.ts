/**
 * Checks of `init()`, and of closing a store.
 *
 * @module
 */
import type { SessionStore } from "../../session_store.ts";
import { close } from "../../util/close.ts";
import type { Check } from "../check.ts";
import { expectEqual } from "../expect.ts";
import { createSession } from "../fixtures.ts";
import type { TestedStores } from "../harness.ts";

/** Checks that a store can be opened and closed more than once, and keeps existing sessions. */
export function initChecks({ harness, store, other, reader }: TestedStores): Check[] {
  return [{
    name: "init() opens the store, also when it is called concurrently and again later",
    run: async () => {
      await using created = new AsyncDisposableStack();
      const stores: SessionStore[] = [];
      for (let n = other === undefined ? 1 : 3; n > 0; n--) stores.push(await harness.create(created));
      await Promise.all(stores.flatMap((store) => [store.init(), store.init()]));
      for (const store of stores) {
        const sid = await createSession(store, { key: "value" });
        await store.init();
        expectEqual(await store.getValue(sid, "key"), "value", "getValue() after another init()");
      }
    },
  }, {
    name: "init() keeps existing sessions",
    run: async () => {
      const sid = await createSession(store, { key: "value" });
      await Promise.all([store.init(), reader.init()]);
      expectEqual(await store.getValue(sid, "key"), "value", "getValue() after init()");
    },
  }, {
    name: "an open store and one that was never opened can be closed twice",
    run: async () => {
      await using created = new AsyncDisposableStack();
      const [opened, unopened] = [await harness.create(created), await harness.create(created)];
      await opened.init();
      for (const closed of [opened, opened, unopened, unopened]) await close(closed);
    },
  }];
}
