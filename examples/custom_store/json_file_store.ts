import { hash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { SessionGoneError, type SessionStore } from "../../mod.ts";

/** Creates a store that keeps each session in its own JSON file. For one process only. */
export function jsonFileStore(directory: string): SessionStore {
  const lastWrites = new Map<string, Promise<void>>();
  // The hash of any id is a safe file name, and a directory listing of hashes does not disclose
  // ids.
  const pathOf = (sid: string): string => `${directory}/${hash("sha256", sid)}.session.json`;

  /** Runs the writes of each file in sequence. They are atomic within this process only. */
  function lock(path: string, write: () => Promise<void>): Promise<void> {
    const result = (lastWrites.get(path) ?? Promise.resolve()).then(write);
    const done = result.catch(() => {}).finally(() => lastWrites.get(path) === done && lastWrites.delete(path));
    lastWrites.set(path, done);
    return result;
  }

  const store: SessionStore = {
    init: () => Deno.mkdir(directory, { recursive: true, mode: 0o700 }),
    exist: async (sid) => await store.get(sid) !== undefined,
    create: (sid) => lock(pathOf(sid), () => Deno.writeTextFile(pathOf(sid), "{}", { createNew: true, mode: 0o600 })),
    delete: (sid) => lock(pathOf(sid), () => Deno.remove(pathOf(sid)).catch(unlessMissing)),
    // A crash during `create` can leave an empty file.
    get: (sid) => Deno.readTextFile(pathOf(sid)).then((text) => JSON.parse(text || "{}"), unlessMissing),
    setValue: async (sid, key, value) => {
      const path = pathOf(sid);
      const copy = jsonCopy(key, value); // before the first await, because the caller may change the value later
      await lock(path, async () => {
        const values = await store.get(sid);
        if (values === undefined) throw new SessionGoneError("set");
        // A computed key is safe even for `__proto__`; JSON omits an undefined value.
        await Deno.writeTextFile(`${path}.tmp`, JSON.stringify({ ...values, [key]: copy }), { mode: 0o600 });
        await Deno.rename(`${path}.tmp`, path); // atomic
      });
    },
    getValue: async (sid, key) => new Map(Object.entries(await store.get(sid) ?? {})).get(key),
    clear: async () => {
      for await (const { name } of Deno.readDir(directory)) {
        const [, own] = /^([0-9a-f]{64}\.session\.json)(\.tmp)?$/.exec(name) ?? [];
        if (own) await lock(`${directory}/${own}`, () => Deno.remove(`${directory}/${name}`).catch(unlessMissing));
      }
    },
  };
  return store;
}

function unlessMissing(error: unknown): undefined {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

/** Returns a copy. Throws if JSON would change the value: a Date to a string, or a Map to `{}`. */
function jsonCopy(key: string, value: unknown): unknown {
  try {
    const copy = value === undefined ? undefined : JSON.parse(JSON.stringify(value));
    if (isDeepStrictEqual(copy, value)) return copy;
  } catch { /* JSON.stringify() throws on a bigint and on a circular reference */ }
  throw new TypeError(`Cannot set ${JSON.stringify(key)}: JSON cannot represent this value; expected plain JSON data`);
}
