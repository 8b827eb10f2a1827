// deno-lint-ignore-file require-await -- an `async` method rejects when its body throws
/** Stores that confuse or lose keys. */
import { cloneValue } from "../../../src/util/clone_value.ts";
import { basicStore, type Defect } from "./defect.ts";
import { editWritten, renameKeys } from "./store_edits.ts";

export const KEY_DEFECTS: Defect[] = [
  {
    name: "ignores the case of keys",
    create: basicStore((correct) => renameKeys(correct, (key) => key.toLowerCase())),
    foundBy: "every key is distinct",
  },
  {
    name: "cuts keys at NUL",
    create: basicStore((correct) => renameKeys(correct, (key) => key.replace(/\0.*/s, ""))),
    foundBy: "unusual keys are distinct",
  },
  {
    name: "normalizes Unicode in keys",
    create: basicStore((correct) => renameKeys(correct, (key) => key.normalize())),
    foundBy: "every key is distinct",
  },
  {
    name: "cuts keys after 255 characters",
    create: basicStore((correct) => renameKeys(correct, (key) => key.slice(0, 255))),
    foundBy: "every key is distinct",
  },
  {
    name: "omits the key __proto__ from get()",
    create: basicStore((_, backend) => ({
      get: async (sid) => {
        const values: Record<string, unknown> = {};
        for (const [key, value] of backend.get(sid) ?? []) {
          if (key !== "__proto__") values[key] = cloneValue(key, value);
        }
        return backend.has(sid) ? values : undefined;
      },
    })),
    foundBy: "every key is distinct",
  },
  {
    name: "returns inherited properties from getValue()",
    create: basicStore((_, backend) => ({
      getValue: async (sid, key) =>
        cloneValue(key, backend.has(sid) ? Object.fromEntries(backend.get(sid) ?? [])[key] : undefined),
    })),
    foundBy: "every key is distinct",
  },
  {
    name: "stores undefined as null",
    create: basicStore((correct) => editWritten(correct, (value) => value ?? null)),
    foundBy: "clear() removes every value",
  },
  {
    name: "removes every key together with one",
    create: basicStore((correct, backend) => ({
      setValue: async (sid, key, value) => {
        if (value === undefined) backend.get(sid)?.clear();
        await correct.setValue(sid, key, value);
      },
    })),
    foundBy: "setValue() with undefined removes that key only",
  },
  {
    name: "does not replace a value",
    create: basicStore((correct, backend) => ({
      setValue: async (sid, key, value) => {
        if (value === undefined || backend.get(sid)?.get(key) === undefined) await correct.setValue(sid, key, value);
      },
    })),
    foundBy: "setValue() replaces the value of a key",
  },
  {
    name: "caches values that another instance changes",
    create: basicStore((correct) => {
      const read = new Map<string, unknown>();
      return {
        getValue: async (sid, key) => {
          const name = sid + key;
          if (!read.has(name)) read.set(name, await correct.getValue(sid, key));
          return cloneValue(key, read.get(name));
        },
        setValue: async (sid, key, value) => {
          read.delete(sid + key);
          await correct.setValue(sid, key, value);
        },
      };
    }),
    foundBy: "setValue() replaces the value of a key",
  },

  {
    name: "adds a key of its own to get()",
    create: basicStore((correct) => ({
      get: async (sid) => {
        const values = await correct.get(sid);
        return typeof values === "object" ? { ...values, updatedAt: 1 } : undefined;
      },
    })),
    foundBy: "every key is distinct",
  },
];
