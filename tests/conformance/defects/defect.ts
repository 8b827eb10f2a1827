/** Defective stores, and the correct stores from which they are built. */
import { MemoryStore, type PingableStore, type SessionStore, type WatchedStore } from "../../../mod.ts";
import { ALL_METHODS, type CountingStore, type PrincipalListStore } from "../../../src/admin_store.ts";
import type { MakeStore, SessionStoreTestOptions } from "../../../src/testing.ts";
import { BasicStore } from "../../helpers/stores.ts";

/** A store with one defect. */
export interface Defect {
  /** The wrong behavior; it completes "a store that ...". */
  name: string;
  create: MakeStore;
  /** A part of `group title: check name` of the checks to run. At least one of them must fail. */
  foundBy: string;
  options?: SessionStoreTestOptions;
}

/** A store with every capability. */
export type FullStore = CountingStore & PrincipalListStore & PingableStore & WatchedStore;

const METHODS: readonly string[] = [...ALL_METHODS, "watch"];

/** Every value of every session. */
export type Backend = Map<string, Map<string, unknown>>;

/** Returns a store that calls another one, except for some methods. */
export function withMethods<S extends SessionStore>(correct: S, methods: Partial<S>): S {
  const bound = METHODS.filter((name) => name in correct)
    .map((name) => [name, (Reflect.get(correct, name) as () => unknown).bind(correct)]);
  const reportsAll = "reportsAll" in correct ? { reportsAll: correct.reportsAll } : {};
  return { ...Object.fromEntries(bound), ...reportsAll, ...methods };
}

/** Creates a basic store with a defect. All instances share one backend. */
export function basicStore(defect: (correct: BasicStore, backend: Backend) => Partial<SessionStore>): MakeStore {
  const backend: Backend = new Map();
  return () => {
    const correct = new BasicStore(backend);
    return withMethods<SessionStore>(correct, defect(correct, backend));
  };
}

/** Creates a store with every capability and a defect. All instances call one `MemoryStore`. */
export function fullStore(defect: (correct: MemoryStore) => Partial<FullStore>): MakeStore {
  const correct = new MemoryStore();
  const methods = defect(correct);
  return () => withMethods<FullStore>(correct, methods);
}

/** A method of a store whose backend cannot be reached. */
export const rejectUnreachable = (): Promise<never> => Promise.reject(new Error("the backend is unreachable"));

/** Returns a store whose methods reject because the backend cannot be reached. */
export const unreachableStore = (): SessionStore =>
  withMethods<FullStore>(
    new MemoryStore(),
    Object.fromEntries(METHODS.map((name) => [name, rejectUnreachable])),
  );

/** Returns a store whose methods throw synchronously because the backend cannot be reached. */
export const unreachableStoreThatThrows = (): SessionStore =>
  withMethods<FullStore>(
    new MemoryStore(),
    Object.fromEntries(METHODS.map((name) => [name, throwing(new Error("the backend is unreachable"))])),
  );

/** Lets concurrent calls run. */
export const yieldToOthers = async (): Promise<void> => {
  for (let i = 0; i < 3; i++) await undefined;
};

/** Returns a function that throws an error. */
export const throwing = (error: Error): () => never => () => {
  throw error;
};
