/**
 * Checks that a caller and the store do not share values.
 *
 * @module
 */
import type { Check } from "../check.ts";
import { expectEqual } from "../expect.ts";
import { createSession, readValues } from "../fixtures.ts";
import type { TestedStores } from "../harness.ts";

/** Checks that values are copied when they are written and when they are read. */
export function copyChecks({ store }: TestedStores): Check[] {
  return [{
    name: "setValue() copies: later changes to the caller's object do not reach the store",
    run: async () => {
      const sid = await createSession(store);
      const value = { list: [1], inner: { n: 1 } };
      await store.setValue(sid, "key", value);
      value.list.push(2);
      value.inner.n = 2;
      const what = "getValue() after the caller changed the object that it had written";
      expectEqual(await store.getValue(sid, "key"), { list: [1], inner: { n: 1 } }, what);
    },
  }, {
    name: "setValue() copies synchronously, before it returns its promise",
    run: async () => {
      const sid = await createSession(store);
      const value = { list: [1], inner: { n: 1 } };
      const written = store.setValue(sid, "key", value);
      value.list.push(2);
      value.inner.n = 2;
      await written;
      const what = "getValue() after the caller changed the object before setValue() resolved";
      expectEqual(await store.getValue(sid, "key"), { list: [1], inner: { n: 1 } }, what);
    },
  }, {
    name: "get() and getValue() return copies: changes to them do not reach the store",
    run: async () => {
      const sid = await createSession(store, { key: { list: [1], inner: { n: 1 } } });
      const read = await store.getValue(sid, "key");
      read.list.push(2);
      read.inner.n = 2;
      const all = await store.get(sid);
      all.key.list.push(3);
      all.key.inner.n = 3;
      all.key = "another";
      all.more = 1;
      const expected = new Map([["key", { list: [1], inner: { n: 1 } }]]);
      expectEqual(await readValues(store, sid), expected, "get() after the caller changed what it had read");
      const what = "getValue() after the caller changed what it had read";
      expectEqual(await store.getValue(sid, "key"), expected.get("key"), what);
    },
  }];
}
