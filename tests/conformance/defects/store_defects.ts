// deno-lint-ignore-file require-await -- what a method throws must reject
/** Stores with the eight methods and a defect each. */
import { MemoryStore, type PrincipalStore, SessionGoneError, type SessionStore } from "../../../mod.ts";
import type { MakeStore, SessionStoreTestOptions } from "../../../src/testing.ts";
import { RECORD_METHODS, STORE_METHODS } from "../../../src/session_store.ts";
import { cloneValue } from "../../../src/util/clone_value.ts";
import { BasicStore } from "../../helpers/stores.ts";

/** A defect: what such a store does, the store, and a part of the area and name of the checks that find it. */
export type Defect = [name: string, create: MakeStore, found: string, options?: SessionStoreTestOptions];

/** Every value of every session. */
type Backend = Map<string, Map<string, unknown>>;

export const METHODS: readonly string[] = [...STORE_METHODS, ...RECORD_METHODS, "listSessions"];

/** A store that does as another, but for some methods. */
export function change<S extends SessionStore>(right: S, methods: Partial<S>): S {
  const all = METHODS.filter((name) => name in right).map((
    name,
  ) => [name, (Reflect.get(right, name) as () => unknown).bind(right)]);
  return { ...Object.fromEntries(all), ...methods };
}

/** A store with the eight methods and a defect. All of its instances share a backend. */
export function bare(defect: (right: BasicStore, backend: Backend) => Partial<SessionStore>): MakeStore {
  const backend: Backend = new Map();
  return () => {
    const right = new BasicStore(backend);
    return change<SessionStore>(right, defect(right, backend));
  };
}

/** A store with every capability and a defect. All of its instances are one. */
export function full(defect: (right: MemoryStore) => Partial<PrincipalStore>): MakeStore {
  const right = new MemoryStore();
  const methods = defect(right);
  return () => change<PrincipalStore>(right, methods);
}

export const fail = (): Promise<never> => Promise.reject(new Error("the backend is away"));

/** A store whose backend cannot be reached, and which says so. */
export const away = (): SessionStore =>
  change<PrincipalStore>(new MemoryStore(), Object.fromEntries(METHODS.map((name) => [name, fail])));

/** Another one, which does not even return a promise. */
export const awayAtOnce = (): SessionStore =>
  change<PrincipalStore>(
    new MemoryStore(),
    Object.fromEntries(METHODS.map((name) => [name, throws(new Error("the backend is away"))])),
  );

/** Lets others in between. */
export const pause = async (): Promise<void> => {
  for (let i = 0; i < 3; i++) await undefined;
};

/** Calls with another session id. */
function renameIds(right: SessionStore, rename: (sid: string) => string): Partial<SessionStore> {
  return {
    exist: (sid) => right.exist(rename(sid)),
    create: (sid) => right.create(rename(sid)),
    delete: (sid) => right.delete(rename(sid)),
    get: (sid) => right.get(rename(sid)),
    setValue: (sid, key, value) => right.setValue(rename(sid), key, value),
    getValue: (sid, key) => right.getValue(rename(sid), key),
  };
}

/** Calls with another key. */
function renameKeys(right: SessionStore, rename: (key: string) => string): Partial<SessionStore> {
  return {
    setValue: (sid, key, value) => right.setValue(sid, rename(key), value),
    getValue: (sid, key) => right.getValue(sid, rename(key)),
  };
}

/** Gives values back changed. */
function giveBack(right: SessionStore, read: (value: unknown) => unknown): Partial<SessionStore> {
  return {
    get: async (sid) => {
      const values: object | undefined = await right.get(sid);
      return values && Object.fromEntries(Object.entries(values).map(([key, value]) => [key, read(value)]));
    },
    getValue: async (sid, key) => read(await right.getValue(sid, key)),
  };
}

/** Keeps other values than those that are set. */
export function keep(right: SessionStore, write: (value: unknown, key: string) => unknown): Partial<SessionStore> {
  return { setValue: (sid, key, value) => right.setValue(sid, key, write(value, key)) };
}

export const throws = (error: Error): () => never => () => {
  throw error;
};

/** Removes whatever is in the backend. */
const clearsAll = bare(() => ({}));

/** Something that is wrong with a store with the eight methods, and the check that has to find it. */
export const DEFECTS: Defect[] = [
  [
    "says that every session exists",
    bare(() => ({ exist: async () => true })),
    "exist() is false, get() and getValue()",
  ],
  [
    "answers null for a value of a missing session",
    bare((right) => ({ getValue: async (sid, key) => await right.getValue(sid, key) ?? null })),
    "exist() is false, get() and getValue()",
  ],
  [
    "cannot be opened twice",
    bare((right) => {
      let calls = 0;
      return { init: () => calls++ === 0 ? right.init() : fail() };
    }),
    "init() opens the store",
  ],
  ["is emptied by init()", bare((_, backend) => ({ init: async () => backend.clear() })), "init() leaves the sessions"],
  [
    "makes a session of a write",
    bare((right, backend) => ({
      setValue: (sid, key, value) => {
        if (!backend.has(sid)) backend.set(sid, new Map());
        return right.setValue(sid, key, value);
      },
    })),
    "setValue() rejects for a session that never was, and creates nothing",
  ],
  [
    "loses a write to a deleted session in silence",
    bare((right, backend) => ({
      setValue: async (sid, key, value) => backend.has(sid) ? await right.setValue(sid, key, value) : undefined,
    })),
    "setValue() rejects for a session that was deleted",
  ],
  [
    "answers null for a missing session",
    bare((right) => ({ get: async (sid) => await right.get(sid) ?? null })),
    "required: missing sessions: exist() is false",
  ],
  [
    "answers an object for a missing session",
    bare((right) => ({ get: async (sid) => await right.get(sid) ?? {} })),
    "for a session that clear() removed",
  ],
  [
    "throws where there is nothing to delete",
    bare((right, backend) => ({
      delete: (sid) => backend.has(sid) ? right.delete(sid) : fail(),
    })),
    "delete() does nothing for a session",
  ],
  [
    "empties a session whose id is given to create()",
    bare((_, backend) => ({
      create: async (sid) => void backend.set(sid, new Map()),
    })),
    "create() refuses an id in use",
  ],
  [
    "answers create() of an id in use in silence",
    bare((right, backend) => ({
      create: async (sid) => backend.has(sid) ? undefined : await right.create(sid),
    })),
    "create() refuses an id in use",
  ],
  [
    "looks before it creates, and not while",
    bare((_, backend) => ({
      create: async (sid) => {
        if (backend.has(sid)) throw new Error("in use");
        await pause();
        backend.set(sid, new Map());
      },
    })),
    "create() of one id at once: one of them makes it",
  ],
  [
    "begins a session with values",
    bare((right) => ({
      create: async (sid) => {
        await right.create(sid);
        await right.setValue(sid, "createdAt", 1);
      },
    })),
    "create() makes an empty record",
  ],
  [
    "finds the values of a deleted session again",
    bare((right, backend) => {
      const deleted: Backend = new Map();
      return {
        delete: async (sid) => {
          deleted.set(sid, backend.get(sid) ?? new Map());
          await right.delete(sid);
        },
        create: async (sid) => {
          await right.create(sid);
          for (const [key, value] of deleted.get(sid) ?? []) await right.setValue(sid, key, value);
        },
      };
    }),
    "delete() removes a session with all of its values",
  ],
  ["does not delete", bare(() => ({ delete: async () => {} })), "delete() removes a session with all of its values"],
  [
    "deletes when it has time",
    bare((right) => ({ delete: async (sid) => void setTimeout(() => right.delete(sid), 10) })),
    "a session that is destroyed beside writes stays destroyed",
  ],
  [
    "loses a write in silence",
    bare(() => ({ setValue: async () => {} })),
    "a visitor who writes nothing makes no session",
  ],
  ["clears what others keep in the backend", clearsAll, "the sessions of another store in the same backend", {
    neighbour: () => clearsAll(),
  }],
  [
    "clears what it is given at once",
    bare((right, backend) => ({
      clear: async () => {
        for (const sid of [...backend.keys()].slice(0, 100)) await right.delete(sid);
      },
    })),
    "clear() removes every session",
  ],
  ["does not clear", bare(() => ({ clear: async () => {} })), "clear() removes every session"],
  [
    "does not tell ids by case",
    bare((right) => renameIds(right, (sid) => sid.toLowerCase())),
    "ids that differ in a little",
  ],
  [
    "tells the session id",
    bare((right, backend) => ({
      create: (sid) => backend.has(sid) ? Promise.reject(new Error(`${sid} is in use`)) : right.create(sid),
    })),
    "no error tells the session id",
  ],
  [
    "tells the session id in a property",
    bare((right, backend) => ({
      setValue: async (sid, key, value) => {
        if (!backend.has(sid)) throw Object.assign(new Error("missing"), { query: { sid } });
        await right.setValue(sid, key, value);
      },
    })),
    "no error tells the session id",
  ],
  [
    "tells a value in a cause",
    bare((right, backend) => ({
      setValue: async (sid, key, value) => {
        if (!backend.has(sid)) throw new Error("missing", { cause: new Error(`no row for ${value}`) });
        await right.setValue(sid, key, value);
      },
    })),
    "no error tells the session id or a value",
  ],
  [
    "does not tell keys by case",
    bare((right) => renameKeys(right, (key) => key.toLowerCase())),
    "every key is kept apart",
  ],
  [
    "ends keys at NUL",
    bare((right) => renameKeys(right, (key) => key.replace(/\0.*/s, ""))),
    "odd keys stay apart",
  ],
  ["normalises keys", bare((right) => renameKeys(right, (key) => key.normalize())), "every key is kept apart"],
  ["cuts long keys", bare((right) => renameKeys(right, (key) => key.slice(0, 255))), "every key is kept apart"],
  [
    "loses the key __proto__",
    bare((_, backend) => ({
      get: async (sid) => {
        const values: Record<string, unknown> = {};
        for (const [key, value] of backend.get(sid) ?? []) {
          if (key !== "__proto__") values[key] = cloneValue(key, value);
        }
        return backend.has(sid) ? values : undefined;
      },
    })),
    "every key is kept apart",
  ],
  [
    "finds what every object has",
    bare((_, backend) => ({
      getValue: async (sid, key) =>
        cloneValue(key, backend.has(sid) ? Object.fromEntries(backend.get(sid) ?? [])[key] : undefined),
    })),
    "every key is kept apart",
  ],
  [
    "keeps undefined as null",
    bare((right) => keep(right, (value) => value ?? null)),
    "clear() leaves no value",
  ],
  [
    "removes every key with one",
    bare((right, backend) => ({
      setValue: async (sid, key, value) => {
        if (value === undefined) backend.get(sid)?.clear();
        await right.setValue(sid, key, value);
      },
    })),
    "setValue() with undefined removes that key alone",
  ],
  [
    "does not write over a value",
    bare((right, backend) => ({
      setValue: async (sid, key, value) => {
        if (value === undefined || backend.get(sid)?.get(key) === undefined) await right.setValue(sid, key, value);
      },
    })),
    "a key that is written again has the last value",
  ],
  [
    "writes the whole session back",
    bare((_, backend) => ({
      setValue: async (sid, key, value) => {
        const values = new Map(backend.get(sid) ?? throws(new Error("missing"))()).set(key, cloneValue(key, value));
        await pause();
        backend.set(sid, values);
      },
    })),
    "100 writes to different keys at once: none is lost, in one instance",
  ],
  [
    "writes the whole session back, each instance in turn",
    bare((_, backend) => {
      let last: Promise<unknown> = Promise.resolve();
      return {
        setValue: (sid, key, value) => {
          const copy = cloneValue(key, value);
          const turn = last.then(async () => {
            const values = new Map(backend.get(sid) ?? throws(new Error("missing"))()).set(key, copy);
            await pause();
            if (backend.has(sid)) backend.set(sid, values);
          });
          last = turn.catch(() => {});
          return turn;
        },
      };
    }),
    "100 writes to different keys at once: none is lost, across two instances",
  ],
  [
    "writes a value in two halves",
    bare((right) => ({
      setValue: async (sid, key, value) => {
        if (typeof value !== "string" || value.length < 500) return await right.setValue(sid, key, value);
        await right.setValue(sid, key, value.slice(0, 500));
        for (let i = value.charCodeAt(0) % 5; i > 0; i--) await pause();
        await right.setValue(sid, key, await right.getValue(sid, key) + value.slice(500));
      },
    })),
    "writes to one key at once: one of them is there, whole",
  ],
  [
    "refuses every other write at once",
    bare((right) => {
      let busy = false;
      return {
        setValue: async (sid, key, value) => {
          if (busy) throw new Error("busy");
          busy = true;
          await right.setValue(sid, key, value).finally(() => busy = false);
        },
      };
    }),
    "create() beside writes",
  ],
  [
    "loses the removals of others",
    bare((right, backend) => {
      const removed: string[] = [];
      return {
        setValue: async (sid, key, value) => {
          if (value !== undefined) return await right.setValue(sid, key, value);
          const before = new Map(backend.get(sid));
          removed.push(key);
          await right.setValue(sid, key, value);
          if (removed.length > 10) { for (const [key, value] of before) backend.get(sid)?.set(key, value); }
        },
      };
    }),
    "writes and removals of different keys at once",
  ],
  [
    "writes what was deleted meanwhile",
    bare((_, backend) => ({
      setValue: async (sid, key, value) => {
        const values = backend.get(sid) ?? throws(new Error("missing"))();
        const copy = cloneValue(key, value);
        await pause();
        if (copy === undefined) values.delete(key);
        else values.set(key, copy);
        backend.set(sid, values);
      },
    })),
    "delete() beside writes: nothing comes back",
  ],
  [
    "reads what it has read before",
    bare((right) => {
      const read = new Map<string, unknown>();
      return {
        getValue: async (sid, key) => {
          const name = sid + key;
          if (!read.has(name)) read.set(name, await right.getValue(sid, key));
          return cloneValue(key, read.get(name));
        },
        setValue: async (sid, key, value) => {
          read.delete(sid + key);
          await right.setValue(sid, key, value);
        },
      };
    }),
    "a key that is written again has the last value",
  ],
  [
    "makes text of a Date",
    bare((right) => keep(right, (value) => value instanceof Date ? value.toJSON() : value)),
    "every value that a session can hold comes back equal",
  ],
  [
    "makes text of a Date, and claims JSON alone",
    bare((right) => keep(right, (value) => value instanceof Date ? value.toJSON() : value)),
    "a value that JSON does not know comes back equal, or is refused",
    { values: "json" },
  ],
  [
    "cuts strings at NUL",
    bare((right) => keep(right, (value) => typeof value === "string" ? value.replace(/\0.*/s, "") : value)),
    "comes back equal",
  ],
  [
    "mends half a surrogate pair",
    bare((right) => keep(right, (value) => typeof value === "string" ? value.toWellFormed() : value)),
    "what JSON knows comes back equal",
    { values: "json" },
  ],
  [
    "refuses without naming the key",
    bare((right) => ({
      setValue: (sid, key, value) => right.setValue(sid, key, value).catch(throws(new TypeError("cannot be kept"))),
    })),
    "a value that no store can keep is refused",
  ],
  [
    "refuses with another error than a TypeError",
    bare((right) => ({
      setValue: (sid, key, value) => right.setValue(sid, key, value).catch(throws(new Error(`cannot keep ${key}`))),
    })),
    "a value that no store can keep is refused with a TypeError",
  ],
  [
    "removes what it cannot replace",
    bare((right, backend) => ({
      setValue: async (sid, key, value) => {
        backend.get(sid)?.delete(key);
        await right.setValue(sid, key, value);
      },
    })),
    "a value that no store can keep is refused",
  ],
  [
    "removes what it cannot replace, and claims JSON alone",
    bare((right, backend) => ({
      setValue: async (sid, key, value) => {
        backend.get(sid)?.delete(key);
        await right.setValue(sid, key, value);
      },
    })),
    "a value that no store can keep is refused with an error",
    { values: "json" },
  ],
  [
    "keeps an object twice that is in a list twice",
    bare((right) =>
      giveBack(right, (value) => Array.isArray(value) ? value.map((inner) => cloneValue("", inner)) : value)
    ),
    "the same object twice, and cycles",
  ],
  [
    "cuts large values",
    bare((right) => keep(right, (value) => typeof value === "string" ? value.slice(0, 65_535) : value)),
    "a value of 1 to 70000 bytes comes back whole",
  ],
  [
    "refuses values whose text is large",
    bare((right) =>
      keep(
        right,
        (value, key) =>
          new TextEncoder().encode(String(value)).length > 69_998 && String(value).length < 69_998
            ? throws(new Error(key))()
            : value,
      )
    ),
    "bytes of characters that take three",
  ],
  [
    "keeps the end of a larger value",
    bare((right, backend) => ({
      setValue: async (sid, key, value) => {
        const before = backend.get(sid)?.get(key);
        const end = typeof before === "string" && before.length > 60_000 && typeof value === "string"
          ? before.slice(value.length)
          : "";
        await right.setValue(sid, key, end === "" ? value : value + end);
      },
    })),
    "a value takes the place of a larger or smaller one",
  ],
  [
    "cuts what is too large",
    bare((right) => keep(right, (value) => typeof value === "string" ? value.slice(0, 100_000) : value)),
    "a value of more than 70000 bytes comes back whole, or is refused",
  ],
  [
    "repeats a large value in its error",
    bare((right) =>
      keep(
        right,
        (value, key) =>
          typeof value === "string" && value.length > 100_000 ? throws(new Error(`${key}: ${value}`))() : value,
      )
    ),
    "a value of more than 70000 bytes",
  ],
  [
    "makes numbers of bytes",
    bare((right) => giveBack(right, (value) => value instanceof Uint8Array ? [...value] : value)),
    "bytes, where the store keeps them",
  ],
  [
    "copies nothing",
    bare((right, backend) => ({
      setValue: async (sid, key, value) => {
        if (typeof value === "function") throw new TypeError(key);
        await right.setValue(sid, key, 0);
        backend.get(sid)?.set(key, value);
      },
      getValue: async (sid, key) => backend.get(sid)?.get(key),
    })),
    "a value is copied in: changing it after",
  ],
  [
    "copies a value when it gets to it",
    bare((right) => ({
      setValue: async (sid, key, value) => {
        await undefined;
        await right.setValue(sid, key, value);
      },
    })),
    "a value is copied at the call",
  ],
  [
    "gives its own values away",
    bare((_, backend) => ({ getValue: async (sid, key) => backend.get(sid)?.get(key) })),
    "a value is copied out",
  ],
  [
    "gives its own session away",
    bare((_, backend) => {
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
    "a value is copied out",
  ],
  [
    "answers that there is nothing where it could not look",
    bare(() => ({})),
    "every method rejects where the backend cannot be reached",
    {
      broken: () => new BasicStore(),
    },
  ],
  [
    "tells the session id where it could not look",
    bare(() => ({})),
    "every method rejects where the backend cannot be reached, and tells no session id",
    {
      broken: () => change<SessionStore>(away(), { exist: (sid) => Promise.reject(new Error(`no way to ${sid}`)) }),
    },
  ],
  [
    "answers that a session is gone where it could not look",
    bare(() => ({})),
    "every method rejects where the backend cannot be reached",
    {
      broken: () => change<SessionStore>(away(), { setValue: () => Promise.reject(new SessionGoneError("set")) }),
    },
  ],
  ["hangs where it cannot look", bare(() => ({})), "every method rejects where the backend cannot be reached", {
    broken: () =>
      change<SessionStore>(away(), { init: () => new Promise(() => {}), exist: () => new Promise(() => {}) }),
  }],
  [
    "makes a new visitor of everybody while it is away",
    bare(() => ({})),
    "a request with a live session's cookie fails",
    {
      broken: () => change<PrincipalStore>(away() as PrincipalStore, { readRecord: () => Promise.resolve(undefined) }),
    },
  ],
];
