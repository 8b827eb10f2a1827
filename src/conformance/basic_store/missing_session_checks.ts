/**
 * Checks of calls with the id of a session that does not exist.
 *
 * @module
 */
import { newSessionId } from "../../cookie/session_id.ts";
import type { Check } from "../check.ts";
import { expectRejects } from "../expect.ts";
import { createSession, expectMissing, NO_SUCH_SESSION } from "../fixtures.ts";
import type { TestedStores } from "../harness.ts";

/** Checks that a session that never existed or was removed is missing for every method. */
export function missingSessionChecks({ store, reader }: TestedStores): Check[] {
  const cases: [string, () => Promise<string>][] = [
    ["a session that never existed", () => Promise.resolve(newSessionId())],
    ["a session that was deleted", async () => {
      const sid = await createSession(store, { key: "value" });
      await store.delete(sid);
      return sid;
    }],
    ["a session that clear() removed", async () => {
      const sid = await createSession(store, { key: "value" });
      await store.clear();
      return sid;
    }],
  ];
  return cases.flatMap(([what, createMissing]): Check[] => [{
    name: `exist() returns false, get() and getValue() return undefined for ${what}`,
    run: async () => await expectMissing(reader, await createMissing(), what),
  }, {
    name: `delete() does nothing for ${what}`,
    run: async () => {
      const sid = await createMissing();
      await reader.delete(sid);
      await reader.delete(sid);
      await expectMissing(reader, sid, `${what}, after delete()`);
    },
  }, {
    name: `setValue() rejects for ${what}, and creates nothing`,
    run: async () => {
      const sid = await createMissing();
      for (const value of [1, undefined]) {
        const call = `setValue() with ${value} of ${what}`;
        await expectRejects(call, () => reader.setValue(sid, "key", value), NO_SUCH_SESSION);
      }
      await expectMissing(reader, sid, `${what}, after setValue() rejected`);
    },
  }]);
}
