/**
 * What the checks of the suite work on.
 *
 * @module
 */
import type { PrincipalStore, RecordStore, SessionStore } from "../session_store.ts";
import { expect } from "./expect.ts";
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
  /** Whether it only says something. */
  isNote?: boolean;
}

/** Says in words what is not there, or was not shown. */
export function note(words: string): Check {
  return { name: words, run: () => {}, isNote: true };
}

/** Two stores that a check uses: the same one, or two instances on one backend. */
export interface Pair<S extends SessionStore> {
  where: string;
  a: S;
  b: S;
}

/** How long a store whose backend cannot be reached may take to say so, in milliseconds. */
const PATIENCE = 10_000;

/** How long a check may take, in milliseconds: one that takes longer waits for an answer that does not come. */
const LIMIT = 120_000;

/** A store that is to be tested. */
export class Bench {
  readonly create: MakeStore;
  readonly options: SessionStoreTestOptions;
  readonly patience: number;

  /**
   * @throws {TypeError} if an argument is of the wrong type
   * @throws {RangeError} if `maxValueBytes` is not an integer above 0
   */
  constructor(create: MakeStore, options: SessionStoreTestOptions, patience: number = PATIENCE) {
    if (typeof create !== "function") throw new TypeError("Cannot test a store: `create` must be a function");
    const { maxValueBytes = 1 } = options;
    if (!Number.isInteger(maxValueBytes) || maxValueBytes <= 0) {
      throw new RangeError("Cannot test a store: `maxValueBytes` must be an integer above 0");
    }
    this.create = create;
    this.options = options;
    this.patience = patience;
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

  get patience(): number {
    return this.bench.patience;
  }

  /** Runs a check on an empty store. */
  async run(check: Check): Promise<void> {
    const run = async (): Promise<void> => {
      await this.store.clear();
      await check.run();
    };
    const done = await within(LIMIT, run());
    expect(done !== LATE, `expected the store to answer; this was not done after ${LIMIT / 1000} seconds`);
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

/** Stands for an answer that did not come in time. */
export const LATE: unique symbol = Symbol();

/** Waits for an answer, for so many milliseconds at most. */
export async function within<T>(milliseconds: number, answer: Promise<T>): Promise<T | typeof LATE> {
  const { promise, resolve } = Promise.withResolvers<typeof LATE>();
  const timer = setTimeout(() => resolve(LATE), milliseconds);
  try {
    return await Promise.race([answer, promise]);
  } finally {
    clearTimeout(timer);
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
