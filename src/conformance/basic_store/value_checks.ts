/**
 * Checks of which values a store keeps.
 *
 * @module
 */
import type { Check } from "../check.ts";
import { expect, expectEqual, show } from "../expect.ts";
import { createSession, expectKeptOrRejected, readValues } from "../fixtures.ts";
import type { TestedStores } from "../harness.ts";
import { JSON_VALUES, OTHER_VALUES, UNSUPPORTED_VALUES } from "./sample_values.ts";

/** Checks that a value comes back equal or is rejected, according to the option `values`. */
export function valueChecks(stores: TestedStores): Check[] {
  return stores.options.values === "all"
    ? [equalValues(stores), references(stores), unsupportedValues(stores)]
    : [equalValues(stores), otherValues(stores), unsupportedValues(stores)];
}

function equalValues({ store, reader, options: { values, maxValueBytes } }: TestedStores): Check {
  const small = JSON_VALUES.filter(([, value]) => JSON.stringify(value).length <= maxValueBytes);
  const kept = values === "all" ? [...small, ...OTHER_VALUES] : small;
  return {
    name: values === "all"
      ? "every value that a session can hold comes back equal"
      : "every JSON value comes back equal",
    run: async () => {
      const sid = await createSession(store);
      for (const [name, value] of kept) await store.setValue(sid, name, value);
      const all = await readValues(reader, sid);
      for (const [name, value] of kept) {
        expectEqual(await reader.getValue(sid, name), value, `getValue() of ${name}`);
        expectEqual(all.get(name), value, `get() of ${name}`);
      }
      expectEqual(all.size, kept.length, "number of values in get()");
    },
  };
}

function references({ store, reader }: TestedStores): Check {
  return {
    name: "shared references and cycles come back as such",
    run: async () => {
      const sid = await createSession(store);
      const shared = { a: 1 };
      const list: unknown[] = [shared, shared];
      list.push(list, new Map([["list", list]]), new Set([list]));
      await store.setValue(sid, "key", list);
      for (const read of [await reader.getValue(sid, "key"), (await readValues(reader, sid)).get("key")]) {
        const isEqual = Array.isArray(read) && read.length === 5 && read[0] === read[1] && read[0]?.a === 1 &&
          read[2] === read && read[3]?.get("list") === read && read[4]?.has(read) === true;
        expect(isEqual, `an array with shared references and cycles: expected the same references, got ${show(read)}`);
      }
    },
  };
}

function otherValues({ store, reader }: TestedStores): Check {
  return {
    name: "a value that JSON cannot represent comes back equal, or is rejected with an error that names the key",
    run: async () => {
      const cycle: unknown[] = [];
      cycle.push(cycle);
      for (const [name, value] of [...OTHER_VALUES, ["a cycle", cycle] as const]) {
        await expectKeptOrRejected(store, reader, name, value);
      }
    },
  };
}

function unsupportedValues({ store, reader, options: { values } }: TestedStores): Check {
  const error = values === "all" ? "a TypeError" : "an error";
  return {
    name: `a value that no store can keep is rejected with ${error} that names the key, and nothing changes`,
    run: async () => {
      for (const [name, value] of UNSUPPORTED_VALUES) {
        const error = await expectKeptOrRejected(store, reader, name, value);
        expect(
          values !== "all" || error instanceof TypeError,
          `setValue() of ${name}: expected it to reject with a TypeError, got ${show(error)}`,
        );
      }
    },
  };
}
