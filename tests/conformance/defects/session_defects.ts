// deno-lint-ignore-file require-await -- an `async` method rejects when its body throws
/** Stores with a defect in the basic methods, other than in keys and values. */
import { BasicStore } from "../../helpers/stores.ts";
import { type Backend, basicStore, type Defect, rejectUnreachable } from "./defect.ts";
import { renameIds } from "./store_edits.ts";

/** Creates instances of one backend, which two applications use without a prefix. */
const withoutPrefix = basicStore(() => ({}));

/** The sessions of another application. */
const neighbourBackend: Backend = new Map();

export const SESSION_DEFECTS: Defect[] = [
  {
    name: "reports that every session exists",
    create: basicStore(() => ({ exist: async () => true })),
    foundBy: "exist() returns false, get() and getValue()",
  },
  {
    name: "returns null for a value of a missing session",
    create: basicStore((correct) => ({ getValue: async (sid, key) => await correct.getValue(sid, key) ?? null })),
    foundBy: "exist() returns false, get() and getValue()",
  },
  {
    name: "cannot be opened twice",
    create: basicStore((correct) => {
      let calls = 0;
      return { init: () => calls++ === 0 ? correct.init() : rejectUnreachable() };
    }),
    foundBy: "init() opens the store",
  },
  {
    name: "cannot be closed twice",
    create: () => {
      let closed = false;
      return Object.assign(new BasicStore(), {
        [Symbol.asyncDispose](): Promise<void> {
          if (closed) return rejectUnreachable();
          closed = true;
          return Promise.resolve();
        },
      });
    },
    foundBy: "can be closed twice",
  },
  {
    name: "removes all sessions in init()",
    create: basicStore((_, backend) => ({ init: async () => backend.clear() })),
    foundBy: "init() keeps existing sessions",
  },
  {
    name: "creates a session in setValue()",
    create: basicStore((correct, backend) => ({
      setValue: (sid, key, value) => {
        if (!backend.has(sid)) backend.set(sid, new Map());
        return correct.setValue(sid, key, value);
      },
    })),
    foundBy: "setValue() rejects for a session that never existed, and creates nothing",
  },
  {
    name: "silently ignores a write to a deleted session",
    create: basicStore((correct, backend) => ({
      setValue: async (sid, key, value) => backend.has(sid) ? await correct.setValue(sid, key, value) : undefined,
    })),
    foundBy: "setValue() rejects for a session that was deleted",
  },
  {
    name: "returns null from get() of a missing session",
    create: basicStore((correct) => ({ get: async (sid) => await correct.get(sid) ?? null })),
    foundBy: "required: missing sessions: exist() returns false",
  },
  {
    name: "returns an object from get() of a missing session",
    create: basicStore((correct) => ({ get: async (sid) => await correct.get(sid) ?? {} })),
    foundBy: "for a session that clear() removed",
  },
  {
    name: "rejects delete() of a missing session",
    create: basicStore((correct, backend) => ({
      delete: (sid) => backend.has(sid) ? correct.delete(sid) : rejectUnreachable(),
    })),
    foundBy: "delete() does nothing for a session",
  },
  {
    name: "empties a session whose id is passed to create()",
    create: basicStore((_, backend) => ({
      create: async (sid) => void backend.set(sid, new Map()),
    })),
    foundBy: "create() rejects an id that is in use",
  },
  {
    name: "silently ignores create() with an id that is in use",
    create: basicStore((correct, backend) => ({
      create: async (sid) => backend.has(sid) ? undefined : await correct.create(sid),
    })),
    foundBy: "create() rejects an id that is in use",
  },
  {
    name: "creates a session that is not empty",
    create: basicStore((correct) => ({
      create: async (sid) => {
        await correct.create(sid);
        await correct.setValue(sid, "createdAt", 1);
      },
    })),
    foundBy: "create() creates an empty session",
  },
  {
    name: "restores the values of a deleted session in create()",
    create: basicStore((correct, backend) => {
      const deleted: Backend = new Map();
      return {
        delete: async (sid) => {
          deleted.set(sid, backend.get(sid) ?? new Map());
          await correct.delete(sid);
        },
        create: async (sid) => {
          await correct.create(sid);
          for (const [key, value] of deleted.get(sid) ?? []) await correct.setValue(sid, key, value);
        },
      };
    }),
    foundBy: "delete() removes a session with all its values",
  },
  {
    name: "does not delete",
    create: basicStore(() => ({ delete: async () => {} })),
    foundBy: "delete() removes a session with all its values",
  },
  {
    name: "silently ignores every write",
    create: basicStore(() => ({ setValue: async () => {} })),
    foundBy: "a visitor who writes nothing gets no session",
  },
  {
    name: "shares its sessions with another application",
    create: withoutPrefix,
    foundBy: "another application's sessions in the same backend",
    options: {
      neighbour: () => withoutPrefix(),
    },
  },
  {
    name: "clears another application's sessions",
    create: basicStore((correct) => ({
      clear: async () => {
        neighbourBackend.clear();
        await correct.clear();
      },
    })),
    foundBy: "another application's sessions in the same backend",
    options: {
      neighbour: () => new BasicStore(neighbourBackend),
    },
  },
  {
    name: "clears one page of sessions",
    create: basicStore((correct, backend) => ({
      clear: async () => {
        for (const sid of [...backend.keys()].slice(0, 100)) await correct.delete(sid);
      },
    })),
    foundBy: "clear() removes every session",
  },
  {
    name: "does not clear",
    create: basicStore(() => ({ clear: async () => {} })),
    foundBy: "clear() removes every session",
  },
  {
    name: "ignores the case of session ids",
    create: basicStore((correct) => renameIds(correct, (sid) => sid.toLowerCase())),
    foundBy: "ids that differ in one or two characters",
  },
  {
    name: "puts the session id into an error message",
    create: basicStore((correct, backend) => ({
      create: (sid) => backend.has(sid) ? Promise.reject(new Error(`${sid} is in use`)) : correct.create(sid),
    })),
    foundBy: "no error contains a session id",
  },
  {
    name: "puts the session id into a property of an error",
    create: basicStore((correct, backend) => ({
      setValue: async (sid, key, value) => {
        if (!backend.has(sid)) throw Object.assign(new Error("missing"), { query: { sid } });
        await correct.setValue(sid, key, value);
      },
    })),
    foundBy: "no error contains a session id",
  },
  {
    name: "puts a value into the cause of an error",
    create: basicStore((correct, backend) => ({
      setValue: async (sid, key, value) => {
        if (!backend.has(sid)) throw new Error("missing", { cause: new Error(`no row for ${value}`) });
        await correct.setValue(sid, key, value);
      },
    })),
    foundBy: "no error contains a session id or a value",
  },

  {
    name: "rejects a concurrent init()",
    create: basicStore((correct) => {
      let opening = false;
      return {
        init: async () => {
          if (opening) throw new Error("the store is being opened");
          opening = true;
          await correct.init().finally(() => opening = false);
        },
      };
    }),
    foundBy: "init() opens the store",
  },
  {
    name: "silently ignores a removal in a missing session",
    create: basicStore((correct, backend) => ({
      setValue: async (sid, key, value) =>
        value === undefined && !backend.has(sid) ? undefined : await correct.setValue(sid, key, value),
    })),
    foundBy: "setValue() rejects for a session that never existed",
  },
  {
    name: "deletes every session",
    create: basicStore((_, backend) => ({ delete: async () => backend.clear() })),
    foundBy: "delete() removes a session with all its values, and no other session",
  },
  {
    name: "restores the values of a cleared session in create()",
    create: basicStore((correct, backend) => {
      let cleared: Backend = new Map();
      return {
        clear: async () => {
          cleared = new Map(backend);
          await correct.clear();
        },
        create: async (sid) => {
          await correct.create(sid);
          for (const [key, value] of cleared.get(sid) ?? []) await correct.setValue(sid, key, value);
        },
      };
    }),
    foundBy: "clear() removes every session with all its values",
  },
];
