// deno-lint-ignore-file require-await -- an `async` method rejects when its body throws
/** Stores that share values with their callers. */
import { cloneValue } from "../../../src/util/clone_value.ts";
import { basicStore, type Defect } from "./defect.ts";

export const COPY_DEFECTS: Defect[] = [
  {
    name: "neither copies in nor out",
    create: basicStore((correct, backend) => ({
      setValue: async (sid, key, value) => {
        if (typeof value === "function") throw new TypeError(key);
        await correct.setValue(sid, key, 0);
        backend.get(sid)?.set(key, value);
      },
      getValue: async (sid, key) => backend.get(sid)?.get(key),
    })),
    foundBy: "setValue() copies: later changes",
  },
  {
    name: "copies a value asynchronously",
    create: basicStore((correct) => ({
      setValue: async (sid, key, value) => {
        await undefined;
        await correct.setValue(sid, key, value);
      },
    })),
    foundBy: "setValue() copies synchronously",
  },
  {
    name: "returns its own values from getValue()",
    create: basicStore((_, backend) => ({ getValue: async (sid, key) => backend.get(sid)?.get(key) })),
    foundBy: "get() and getValue() return copies",
  },
  {
    name: "returns its own object from get()",
    create: basicStore((_, backend) => {
      const given = new Map<string, Record<string, unknown>>();
      return {
        get: async (sid) => {
          const values = backend.get(sid);
          if (values === undefined) return undefined;
          const object = given.get(sid) ?? Object.create(null);
          given.set(sid, object);
          for (const [key, value] of values) object[key] ??= cloneValue(key, value);
          return object;
        },
      };
    }),
    foundBy: "get() and getValue() return copies",
  },

  {
    name: "returns its own values in a new object from get()",
    create: basicStore((_, backend) => ({
      get: async (sid) => {
        const values = backend.get(sid);
        return values === undefined ? undefined : Object.fromEntries(values);
      },
    })),
    foundBy: "get() and getValue() return copies",
  },
];
