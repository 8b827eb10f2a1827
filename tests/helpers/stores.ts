/** Stores for tests. */
import { MemoryStore, type SessionStore } from "../../mod.ts";
import { cloneValue, toObject } from "../../src/util/clone_value.ts";

/**
 * A basic store as a third party would write it: the eight methods and no optional capability.
 * Every call yields, so that concurrent requests interleave.
 */
export class BasicStore implements SessionStore {
  /** @param records the values of every session; several instances may share them */
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

/** One store of each kind. Sessions must behave the same on both. */
export const STORES: readonly [name: string, make: () => SessionStore][] = [
  ["MemoryStore", () => new MemoryStore()],
  ["a basic store", () => new BasicStore()],
];

/** Returns how many records a store of {@linkcode STORES} holds. */
export function countRecords(store: SessionStore): number {
  if (store instanceof MemoryStore) return store.size;
  if (store instanceof BasicStore) return store.records.size;
  throw new TypeError("Cannot count records: unknown store");
}

/** Records the calls of a probed store, and can make them fail or wait. */
export interface Probe {
  /** The names of the called methods, in order. */
  calls: string[];
  /**
   * Runs before each call. The call waits for the promise that it returns, and fails with what it
   * throws.
   */
  before: (method: string, args: unknown[]) => void | Promise<void>;
}

/** Wraps a store so that a test sees its calls, and can make them fail or wait. */
export function probe<S extends SessionStore>(store: S): { store: S; probe: Probe } {
  const seen: Probe = { calls: [], before: working };
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

/** Returns a store without some of its methods. */
export function without<S extends SessionStore>(store: S, ...names: string[]): S {
  return new Proxy(store, {
    has: (target, name) => !names.includes(String(name)) && name in target,
    get: (target, name): unknown => {
      const member: unknown = names.includes(String(name)) ? undefined : Reflect.get(target, name);
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
}

/** A {@linkcode Probe.before} that lets every call through. */
export function working(): void {}

/**
 * Returns a {@linkcode Probe.before} that throws, at every call or only at calls of the given
 * methods.
 */
export function failing(...methods: string[]): (method: string) => void {
  return (method) => {
    if (methods.length === 0 || methods.includes(method)) throw new Error("down");
  };
}

/**
 * Returns a {@linkcode Probe.before} that waits for a promise, at every call or only at calls of
 * the given methods.
 */
export function waiting(promise: Promise<void>, ...methods: string[]): Probe["before"] {
  return (method) => methods.length === 0 || methods.includes(method) ? promise : undefined;
}

/** A store whose answers are delayed. */
export interface DelayedReads {
  /** Resolves when the store has read a record for the first time, and holds its answer back. */
  asked: Promise<void>;
  /** Lets later lookups answer normally again. */
  stop: () => void;
  /** Sends the answers that were held back. By now they may be outdated. */
  release: () => void;
}

/**
 * Delays the answers of a store. It still reads a record when it is asked.
 *
 * @param store a store of {@linkcode STORES}, not a probed one
 */
export function delayReads(store: SessionStore): DelayedReads {
  const asked = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const method = store instanceof MemoryStore ? "readRecord" : "get";
  const real: (sid: string) => Promise<unknown> = Reflect.get(store, method).bind(store);
  Reflect.set(store, method, async (sid: string) => {
    const answer = await real(sid);
    asked.resolve();
    await gate.promise;
    return answer;
  });
  return { asked: asked.promise, stop: () => void Reflect.set(store, method, real), release: gate.resolve };
}
