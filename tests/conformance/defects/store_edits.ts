/** Methods of a basic store that change what a correct store receives or returns. */
import type { SessionStore } from "../../../mod.ts";

/** Changes every session id. */
export function renameIds(correct: SessionStore, rename: (sid: string) => string): Partial<SessionStore> {
  return {
    exist: (sid) => correct.exist(rename(sid)),
    create: (sid) => correct.create(rename(sid)),
    delete: (sid) => correct.delete(rename(sid)),
    get: (sid) => correct.get(rename(sid)),
    setValue: (sid, key, value) => correct.setValue(rename(sid), key, value),
    getValue: (sid, key) => correct.getValue(rename(sid), key),
  };
}

/** Changes every key. */
export function renameKeys(correct: SessionStore, rename: (key: string) => string): Partial<SessionStore> {
  return {
    setValue: (sid, key, value) => correct.setValue(sid, rename(key), value),
    getValue: (sid, key) => correct.getValue(sid, rename(key)),
  };
}

/** Changes the values that are read. */
export function editRead(correct: SessionStore, edit: (value: unknown) => unknown): Partial<SessionStore> {
  return {
    get: async (sid) => {
      const values: object | undefined = await correct.get(sid);
      return values && Object.fromEntries(Object.entries(values).map(([key, value]) => [key, edit(value)]));
    },
    getValue: async (sid, key) => edit(await correct.getValue(sid, key)),
  };
}

/** Changes the values that are written. */
export function editWritten(
  correct: SessionStore,
  edit: (value: unknown, key: string) => unknown,
): Partial<SessionStore> {
  return { setValue: (sid, key, value) => correct.setValue(sid, key, edit(value, key)) };
}
