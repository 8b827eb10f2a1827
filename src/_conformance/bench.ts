/**
 * What the checks of the suite work on.
 *
 * @module
 */
import type { PrincipalStore, RecordStore, SessionStore } from "../session_store.ts";
import type { MakeStore, SessionStoreTestOptions } from "../testing.ts";

/** What is tested together, in one `Deno.test`. */
export interface Area {
  title: string;
  /** What there is to check of a store; what it lacks is a check that says so and passes. */
  checks: (bench: OpenBench) => Check[];
}

/** One thing that a store has to do. */
export interface Check {
  name: string;
  run: () => void | Promise<void>;
}

/** Says in words what is not there, or was not shown. */
export function note(words: string): Check {
  return { name: words, run: () => {} };
}

/** Two stores that a check uses: the same one, or two instances on one backend. */
export interface Pair<S extends SessionStore> {
  where: string;
  a: S;
  b: S;
}

/** A store that is to be tested. */
export class Bench {
  readonly create: MakeStore;
  readonly options: SessionStoreTestOptions;

  /**
   * @throws {TypeError} if an argument is of the wrong type
   * @throws {RangeError} if `maxValueBytes` is not an integer above 0
   */
  constructor(create: MakeStore, options: SessionStoreTestOptions) {
    if (typeof create !== "function") throw new TypeError("Cannot test a store: `create` must be a function");
    const { maxValueBytes = 1 } = options;
    if (!Number.isInteger(maxValueBytes) || maxValueBytes <= 0) {
      throw new RangeError("Cannot test a store: `maxValueBytes` must be an integer above 0");
    }
    this.create = create;
    this.options = options;
  }

  /** Opens one instance, and another one where they share their sessions. */
  async open(): Promise<OpenBench> {
    const store = await this.create();
    await store.init();
    const shared = this.options.shared ?? true;
    const other = shared ? await this.create() : undefined;
    await other?.init();
    return new OpenBench(this, store, other);
  }
}

/** A store that is being tested. */
export class OpenBench implements AsyncDisposable {
  readonly bench: Bench;
  readonly store: SessionStore;
  /** The other instance, where instances share their sessions. */
  readonly other: SessionStore | undefined;

  constructor(bench: Bench, store: SessionStore, other: SessionStore | undefined) {
    this.bench = bench;
    this.store = store;
    this.other = other;
  }

  get options(): SessionStoreTestOptions {
    return this.bench.options;
  }

  /** Reads what {@linkcode OpenBench.store} wrote: the other instance, where there is one. */
  get reader(): SessionStore {
    return this.other ?? this.store;
  }

  get maxValueBytes(): number {
    return this.options.maxValueBytes ?? 512 * 1024;
  }

  /** Runs a check on an empty store. */
  async run(check: Check): Promise<void> {
    await this.store.clear();
    await check.run();
  }

  /** The ways in which a check of two stores is run. */
  pairs<S extends SessionStore>(has: (store: SessionStore) => store is S): Pair<S>[] {
    const { store: a, other: b } = this;
    if (!has(a)) return [];
    const pairs: Pair<S>[] = [{ where: "in one instance", a, b: a }];
    if (b !== undefined && has(b)) pairs.push({ where: "across two instances", a, b });
    return pairs;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store.clear();
    await dispose(this.store);
    if (this.other !== undefined) await dispose(this.other);
  }
}

/** Closes a store that can be closed. */
export async function dispose(store: SessionStore & Partial<AsyncDisposable & Disposable>): Promise<void> {
  if (store[Symbol.asyncDispose] !== undefined) await store[Symbol.asyncDispose]?.();
  else store[Symbol.dispose]?.();
}

const RECORD_METHODS = ["createRecord", "readRecord", "changeRecord", "moveRecord"];

/** The methods of {@linkcode RecordStore} that a store does not have. */
export function missingRecordMethods(store: SessionStore): string[] {
  return RECORD_METHODS.filter((name) => !(name in store));
}

/** Any store. */
export function isStore(_store: SessionStore): _store is SessionStore {
  return true;
}

export function isRecordStore(store: SessionStore): store is RecordStore {
  return missingRecordMethods(store).length === 0;
}

export function isPrincipalStore(store: SessionStore): store is PrincipalStore {
  return isRecordStore(store) && "listSessions" in store;
}
