/**
 * What the checks of the suite work on.
 *
 * @module
 */
import { AssertionError } from "node:assert/strict";
import { withTimeout } from "../util/timeout.ts";
import type { SessionStore } from "../session_store.ts";
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

/** How long a store whose backend cannot be reached may take to say so, in seconds. */
const PATIENCE = 10;

/** A store that is to be tested. */
export class Bench {
  readonly create: MakeStore;
  readonly options: SessionStoreTestOptions;
  readonly patience: number;
  /** The calls that are not answered yet. */
  readonly #pending = new Set<{ name: string }>();
  readonly #watched = new WeakMap<SessionStore, SessionStore>();

  /**
   * @throws {TypeError} if `create` is not a function
   * @throws {RangeError} if an option is out of range
   */
  constructor(create: MakeStore, options: SessionStoreTestOptions, patience: number = PATIENCE) {
    if (typeof create !== "function") throw new TypeError("Cannot test a store: `create` must be a function");
    const { values = "json", traces = "grace", maxValueBytes = 1024, timeout = 1 } = options;
    if (!["json", "all"].includes(values)) refuse('`values` must be "json" or "all"');
    if (!["grace", "deadline"].includes(traces)) refuse('`traces` must be "grace" or "deadline"');
    if (!Number.isInteger(maxValueBytes) || maxValueBytes < 1024) {
      refuse("`maxValueBytes` must be an integer from 1,024 on");
    }
    if (!(timeout > 0 && timeout <= 3600)) refuse("`timeout` must be above 0 and at most 3,600");
    this.create = create;
    this.options = options;
    this.patience = patience;
  }

  /** Opens one instance, and another one where they share their sessions. */
  async open(): Promise<OpenBench> {
    await using made = new AsyncDisposableStack();
    const store = await this.make(made);
    const other = this.options.shared ?? true ? await this.make(made) : undefined;
    if (other === store) {
      throw new TypeError(
        "Cannot test a store: `create` must make another instance at each call; or say `shared: false`",
      );
    }
    await this.inTime(async () => {
      await store.init();
      await other?.init();
    });
    return new OpenBench(this, store, other, made.move());
  }

  /** Makes an instance, of which is known what it has not answered. */
  async make(made: AsyncDisposableStack): Promise<SessionStore> {
    const store = made.adopt(await this.create(), dispose);
    const watched = this.#watched.get(store) ?? this.#watch(store);
    this.#watched.set(store, watched);
    return watched;
  }

  /**
   * Waits until something is done.
   *
   * @throws if that takes too long; the time that it may have faked is real again then
   */
  async inTime<T>(work: () => Promise<T>): Promise<T> {
    const { now } = Date;
    const { timeout = 30 } = this.options;
    this.#pending.clear();
    return await withTimeout(work(), timeout, () => {
      Date.now = now;
      const names = new Set(Array.from(this.#pending, ({ name }) => name));
      const waited = names.size === 0 ? "" : `; the store has not answered ${[...names].join(", ")}`;
      return new AssertionError({ message: `this was not done after ${timeout} seconds${waited}` });
    });
  }

  #watch(store: SessionStore): SessionStore {
    return new Proxy(store, {
      get: (target, name): unknown => {
        const method: unknown = Reflect.get(target, name);
        if (typeof method !== "function") return method;
        return (...args: unknown[]): unknown => {
          const answer: unknown = method.apply(target, args);
          if (!(answer instanceof Promise)) return answer;
          const call = { name: `${String(name)}()` };
          this.#pending.add(call);
          const forget = (): unknown => this.#pending.delete(call);
          answer.then(forget, forget);
          return answer;
        };
      },
    });
  }
}

function refuse(what: string): never {
  throw new RangeError(`Cannot test a store: ${what}`);
}

/** A store that is being tested. */
export class OpenBench implements AsyncDisposable {
  readonly bench: Bench;
  readonly store: SessionStore;
  /** The other instance, where instances share their sessions. */
  readonly other: SessionStore | undefined;
  /** Closes them. */
  readonly #made: AsyncDisposableStack;

  constructor(bench: Bench, store: SessionStore, other: SessionStore | undefined, made: AsyncDisposableStack) {
    this.bench = bench;
    this.store = store;
    this.other = other;
    this.#made = made;
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
    await this.bench.inTime(async () => {
      await this.store.clear();
      await check.run();
    });
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
    await using _ = this.#made;
    await this.bench.inTime(() => this.store.clear());
  }
}

/** Closes a store that can be closed. */
export async function dispose(store: SessionStore & Partial<AsyncDisposable & Disposable>): Promise<void> {
  if (store[Symbol.asyncDispose] !== undefined) await store[Symbol.asyncDispose]?.();
  else store[Symbol.dispose]?.();
}

/** Any store. */
export function isStore(_store: SessionStore): _store is SessionStore {
  return true;
}
