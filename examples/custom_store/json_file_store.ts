import { hash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { SessionGoneError, type SessionStore } from "../../mod.ts";

/** Keeps each session in a JSON file of its own. For one process: only its own writes wait for one another. */
export function jsonFileStore(directory: string): SessionStore {
  const turns = new Map<string, Promise<void>>();
  // Any id becomes a safe file name, and a listing of the directory tells no id.
  const pathOf = (sid: string): string => `${directory}/${hash("sha256", sid)}.session.json`;

  /** Lets the writes of one session wait for one another. */
  function inTurn(path: string, step: () => Promise<void>): Promise<void> {
    const turn = (turns.get(path) ?? Promise.resolve()).then(step);
    const done = turn.catch(() => {}).finally(() => turns.get(path) === done && turns.delete(path));
    turns.set(path, done);
    return turn;
  }

  const store: SessionStore = {
    init: () => Deno.mkdir(directory, { recursive: true, mode: 0o700 }),
    exist: async (sid) => await store.get(sid) !== undefined,
    create: (sid) => inTurn(pathOf(sid), () => Deno.writeTextFile(pathOf(sid), "{}", { createNew: true, mode: 0o600 })),
    delete: (sid) => inTurn(pathOf(sid), () => Deno.remove(pathOf(sid)).catch(unlessMissing)),
    // An empty file is a `create` that a crash cut off.
    get: (sid) => Deno.readTextFile(pathOf(sid)).then((text) => JSON.parse(text || "{}"), unlessMissing),
    setValue: async (sid, key, value) => {
      const path = pathOf(sid);
      const copy = jsonCopy(key, value); // now: later the caller may change it
      await inTurn(path, async () => {
        const values = await store.get(sid);
        if (values === undefined) throw new SessionGoneError("set");
        // `[key]` makes a key even of `__proto__`, and JSON leaves an undefined one out. The rename is one atomic step.
        await Deno.writeTextFile(`${path}.tmp`, JSON.stringify({ ...values, [key]: copy }), { mode: 0o600 });
        await Deno.rename(`${path}.tmp`, path);
      });
    },
    getValue: async (sid, key) => new Map(Object.entries(await store.get(sid) ?? {})).get(key),
    clear: async () => {
      for await (const { name } of Deno.readDir(directory)) {
        const [, own] = /^([0-9a-f]{64}\.session\.json)(\.tmp)?$/.exec(name) ?? [];
        if (own) await inTurn(`${directory}/${own}`, () => Deno.remove(`${directory}/${name}`).catch(unlessMissing));
      }
    },
  };
  return store;
}

function unlessMissing(error: unknown): undefined {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

/** JSON makes a string of a Date and `{}` of a Map: what would come back different is refused. */
function jsonCopy(key: string, value: unknown): unknown {
  try {
    const copy = value === undefined ? undefined : JSON.parse(JSON.stringify(value));
    if (isDeepStrictEqual(copy, value)) return copy;
  } catch { /* JSON itself refuses a bigint or a circle */ }
  throw new TypeError(`Cannot set ${JSON.stringify(key)}: JSON cannot keep this value`);
}
