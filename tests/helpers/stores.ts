/** Stores for tests. */
import { MemoryStore, type SessionStore } from "../../mod.ts";
import { cloneValue, toObject } from "../../src/util/clone_value.ts";

/**
 * A store with the eight methods and no more, as a third party would write it. Every call yields, so that concurrent
 * requests interleave.
 */
export class BareStore implements SessionStore {
  /** @param records every value of every session; several instances may share it */
  constructor(readonly records: Map<string, Map<string, unknown>> = new Map()) {}

  async init(): Promise<void> {}

  async exist(sid: string): Promise<boolean> {
    await undefined;
    return this.records.has(sid);
  }

  async create(sid: string): Promise<void> {
    await undefined;
    if (this.records.has(sid)) throw new Error("in use");
    this.records.set(sid, new Map());
  }

  async delete(sid: string): Promise<void> {
    await undefined;
    this.records.delete(sid);
  }

  async get(sid: string): Promise<unknown> {
    await undefined;
    const values = this.records.get(sid);
    return values && cloneValue("", toObject(values));
  }

  async setValue(sid: string, key: string, value: unknown): Promise<void> {
    const copy = cloneValue(key, value);
    await undefined;
    const values = this.records.get(sid);
    if (values === undefined) throw new Error("no such session");
    if (copy === undefined) values.delete(key);
    else values.set(key, copy);
  }

  async getValue(sid: string, key: string): Promise<unknown> {
    await undefined;
    return cloneValue(key, this.records.get(sid)?.get(key));
  }

  async clear(): Promise<void> {
    this.records.clear();
    await undefined;
  }
}

/** What a {@linkcode probe} saw and does. */
export interface Probe {
  /** The calls of the store's methods, by name, in their order. */
  calls: string[];
  /** Called before each call; what it throws, the store throws; what it returns is awaited first. */
  before: (method: string, args: unknown[]) => void | Promise<void>;
}

/** Counts the calls of a store, and makes them fail or wait. */
export function probe<S extends SessionStore>(store: S): { store: S; probe: Probe } {
  const seen: Probe = { calls: [], before: () => {} };
  const proxy = new Proxy(store, {
    get(target, name): unknown {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== "function") return member;
      return (...args: unknown[]) => {
        seen.calls.push(String(name));
        const wait = seen.before(String(name), args);
        return wait === undefined ? member.apply(target, args) : wait.then(() => member.apply(target, args));
      };
    },
  });
  return { store: proxy, probe: seen };
}

/**
 * From now on, and until `stop()`, the store looks at once when it is asked for a session, and answers when it is let.
 *
 * @param store not a probed one
 */
export function answersLate(store: SessionStore): { answer: () => void; stop: () => void } {
  const gate = Promise.withResolvers<void>();
  const method = store instanceof MemoryStore ? "readRecord" : "get";
  const real: (sid: string) => Promise<unknown> = Reflect.get(store, method).bind(store);
  Reflect.set(store, method, async (sid: string) => {
    const answer = await real(sid);
    await gate.promise;
    return answer;
  });
  return { answer: gate.resolve, stop: () => void Reflect.set(store, method, real) };
}
