/** Stores that change, cut or wrongly reject values. */
import { cloneValue } from "../../../src/util/clone_value.ts";
import { basicStore, type Defect, throwing } from "./defect.ts";
import { editRead, editWritten } from "./store_edits.ts";

export const VALUE_DEFECTS: Defect[] = [
  {
    name: "turns a Date into a string",
    create: basicStore((correct) => editWritten(correct, (value) => value instanceof Date ? value.toJSON() : value)),
    foundBy: "every value that a session can hold comes back equal",
  },
  {
    name: "turns a Date into a string, and claims JSON only",
    create: basicStore((correct) => editWritten(correct, (value) => value instanceof Date ? value.toJSON() : value)),
    foundBy: "a value that JSON cannot represent comes back equal, or is rejected",
    options: { values: "json" },
  },
  {
    name: "cuts strings at NUL",
    create: basicStore((correct) =>
      editWritten(correct, (value) => typeof value === "string" ? value.replace(/\0.*/s, "") : value)
    ),
    foundBy: "comes back equal",
  },
  {
    name: "replaces a lone surrogate",
    create: basicStore((correct) =>
      editWritten(correct, (value) => typeof value === "string" ? value.toWellFormed() : value)
    ),
    foundBy: "every JSON value comes back equal",
    options: { values: "json" },
  },
  {
    name: "rejects a value without naming the key",
    create: basicStore((correct) => ({
      setValue: (sid, key, value) => correct.setValue(sid, key, value).catch(throwing(new TypeError("cannot be kept"))),
    })),
    foundBy: "a value that no store can keep is rejected",
  },
  {
    name: "rejects a value with an Error that is not a TypeError",
    create: basicStore((correct) => ({
      setValue: (sid, key, value) => correct.setValue(sid, key, value).catch(throwing(new Error(`cannot keep ${key}`))),
    })),
    foundBy: "a value that no store can keep is rejected with a TypeError",
  },
  {
    name: "removes the old value before it rejects the new one",
    create: basicStore((correct, backend) => ({
      setValue: async (sid, key, value) => {
        backend.get(sid)?.delete(key);
        await correct.setValue(sid, key, value);
      },
    })),
    foundBy: "a value that no store can keep is rejected",
  },
  {
    name: "removes the old value before it rejects the new one, and claims JSON only",
    create: basicStore((correct, backend) => ({
      setValue: async (sid, key, value) => {
        backend.get(sid)?.delete(key);
        await correct.setValue(sid, key, value);
      },
    })),
    foundBy: "a value that no store can keep is rejected with an error",
    options: { values: "json" },
  },
  {
    name: "returns two copies of a shared object",
    create: basicStore((correct) =>
      editRead(correct, (value) => Array.isArray(value) ? value.map((inner) => cloneValue("", inner)) : value)
    ),
    foundBy: "shared references and cycles",
  },
  {
    name: "cuts strings after 65,535 characters",
    create: basicStore((correct) =>
      editWritten(correct, (value) => typeof value === "string" ? value.slice(0, 65_535) : value)
    ),
    foundBy: "a text of 1 to 70000 bytes comes back whole",
  },
  {
    name: "counts three bytes per character against its size limit",
    create: basicStore((correct) =>
      editWritten(
        correct,
        (value, key) =>
          new TextEncoder().encode(String(value)).length > 69_998 && String(value).length < 69_998
            ? throwing(new Error(key))()
            : value,
      )
    ),
    foundBy: "bytes in characters of 3 bytes",
  },
  {
    name: "keeps the end of a larger value that is replaced",
    create: basicStore((correct, backend) => ({
      setValue: async (sid, key, value) => {
        const before = backend.get(sid)?.get(key);
        const end = typeof before === "string" && before.length > 60_000 && typeof value === "string"
          ? before.slice(value.length)
          : "";
        await correct.setValue(sid, key, end === "" ? value : value + end);
      },
    })),
    foundBy: "a value replaces a larger or smaller one",
  },
  {
    name: "cuts values that are too large",
    create: basicStore((correct) =>
      editWritten(correct, (value) => typeof value === "string" ? value.slice(0, 100_000) : value)
    ),
    foundBy: "a text of more than 70000 bytes comes back whole, or is rejected",
  },
  {
    name: "repeats a large value in its error message",
    create: basicStore((correct) =>
      editWritten(
        correct,
        (value, key) =>
          typeof value === "string" && value.length > 100_000 ? throwing(new Error(`${key}: ${value}`))() : value,
      )
    ),
    foundBy: "a text of more than 70000 bytes",
  },
  {
    name: "turns bytes into an array of numbers",
    create: basicStore((correct) => editRead(correct, (value) => value instanceof Uint8Array ? [...value] : value)),
    foundBy: "a Uint8Array of 1 to 70000 bytes",
  },
  {
    name: "turns bytes into an array of numbers, and claims JSON only",
    create: basicStore((correct) => editRead(correct, (value) => value instanceof Uint8Array ? [...value] : value)),
    foundBy: "a Uint8Array of 1 to 70000 bytes comes back equal, or is rejected",
    options: { values: "json" },
  },

  {
    name: "keeps large values apart, and does not delete them with their session",
    create: basicStore((correct) => {
      const large = new Map<string, Map<string, unknown>>();
      return {
        setValue: async (sid, key, value) => {
          large.get(sid)?.delete(key);
          const isLarge = typeof value === "string" && value.length > 60_000;
          await correct.setValue(sid, key, isLarge ? undefined : value);
          if (isLarge) large.set(sid, new Map(large.get(sid)).set(key, value));
        },
        getValue: async (sid, key) => large.get(sid)?.get(key) ?? await correct.getValue(sid, key),
        get: async (sid) => {
          const values = await correct.get(sid);
          return typeof values === "object" ? { ...values, ...Object.fromEntries(large.get(sid) ?? []) } : undefined;
        },
      };
    }),
    foundBy: "a value replaces a larger or smaller one",
    options: { shared: false },
  },
];
