/**
 * Creates, opens, watches and closes the stores that the suite tests.
 *
 * @module
 */
import { AssertionError } from "node:assert/strict";
import type { SessionStore } from "../session_store.ts";
import { close } from "../util/close.ts";
import { describeType } from "../util/describe_value.ts";
import { withTimeout } from "../util/timeout.ts";
import type { Check, StorePair } from "./check.ts";
import {
  type MakeStore,
  type ResolvedTestOptions,
  resolveTestOptions,
  type SessionStoreTestOptions,
} from "./options.ts";

/** How long a store whose backend cannot be reached may take to reject, in seconds. */
const REJECT_TIMEOUT = 10;

/** Creates the instances of a store and limits the time of every check. */
export class Harness {
  readonly options: ResolvedTestOptions;
  /** {@linkcode REJECT_TIMEOUT}, or the time that the constructor was given. */
  readonly rejectTimeout: number;
  readonly #create: MakeStore;
  /** The calls that a store has not answered yet. */
  readonly #pendingCalls = new Set<{ name: string }>();
  readonly #watched = new WeakMap<SessionStore, SessionStore>();

  /**
   * @throws {TypeError} if `create` is not a function, or there is an unknown option
   * @throws {RangeError} if an option is out of range
   */
  constructor(create: MakeStore, options: SessionStoreTestOptions, rejectTimeout: number = REJECT_TIMEOUT) {
    if (typeof create !== "function") {
      throw new TypeError(`Cannot test a store: \`create\` must be a function; received ${describeType(create)}`);
    }
    this.#create = create;
    this.options = resolveTestOptions(options);
    this.rejectTimeout = rejectTimeout;
  }

  /**
   * Opens one instance, and a second one if instances share their sessions.
   *
   * @throws {TypeError} if the second instance is the first one
   */
  async open(): Promise<TestedStores> {
    await using created = new AsyncDisposableStack();
    const store = await this.create(created);
    const other = this.options.shared ? await this.create(created) : undefined;
    if (other === store) {
      throw new TypeError(
        "Cannot test a store: `create` returned the same instance twice; return another instance at each call, or set `shared: false`",
      );
    }
    await this.withinTimeout(async () => {
      await store.init();
      await other?.init();
    });
    return new TestedStores(this, store, other, created.move());
  }

  /**
   * Creates an instance and tracks its pending calls. Disposing of `created` closes the instance.
   */
  async create(created: AsyncDisposableStack): Promise<SessionStore> {
    const store = created.adopt(await this.#create(), close);
    const watched = this.#watched.get(store) ?? this.#watch(store);
    this.#watched.set(store, watched);
    return watched;
  }

  /**
   * Waits for some work, at most as long as the option `timeout` allows. If the work takes longer,
   * restores `Date.now`, because the check that replaced it may never do so.
   *
   * @throws {AssertionError} if the work takes longer
   */
  async withinTimeout<T>(work: () => Promise<T>): Promise<T> {
    const { now } = Date;
    const { timeout } = this.options;
    this.#pendingCalls.clear();
    return await withTimeout(work(), timeout, () => {
      Date.now = now;
      const names = new Set(Array.from(this.#pendingCalls, ({ name }) => name));
      const pending = names.size === 0 ? "" : `; the store has not answered ${[...names].join(", ")}`;
      return new AssertionError({ message: `not finished after ${timeout} seconds${pending}` });
    });
  }

  #watch(store: SessionStore): SessionStore {
    return new Proxy(store, {
      get: (target, name): unknown => {
        const method: unknown = Reflect.get(target, name);
        if (typeof method !== "function") return method;
        return (...args: unknown[]): unknown => {
          const result: unknown = method.apply(target, args);
          if (!(result instanceof Promise)) return result;
          const call = { name: `${String(name)}()` };
          this.#pendingCalls.add(call);
          const forget = (): unknown => this.#pendingCalls.delete(call);
          result.then(forget, forget);
          return result;
        };
      },
    });
  }
}

/** The open instances of a store. */
export class TestedStores implements AsyncDisposable {
  readonly harness: Harness;
  readonly store: SessionStore;
  /** The second instance, if instances share their sessions. */
  readonly other: SessionStore | undefined;
  readonly #created: AsyncDisposableStack;

  constructor(harness: Harness, store: SessionStore, other: SessionStore | undefined, created: AsyncDisposableStack) {
    this.harness = harness;
    this.store = store;
    this.other = other;
    this.#created = created;
  }

  get options(): ResolvedTestOptions {
    return this.harness.options;
  }

  /** The instance that reads what `store` wrote: the second one, if there is one. */
  get reader(): SessionStore {
    return this.other ?? this.store;
  }

  /** Runs a check on an empty store. */
  async run(check: Check): Promise<void> {
    await this.harness.withinTimeout(async () => {
      await this.store.clear();
      await check.run();
    });
  }

  /** One instance twice and, if instances share their sessions, two instances. */
  get pairs(): StorePair<SessionStore>[] {
    const { store: a, other: b } = this;
    const pairs = [{ where: "in one instance", a, b: a }];
    if (b !== undefined) pairs.push({ where: "across two instances", a, b });
    return pairs;
  }

  /** Returns the pairs of stores that have an optional capability. */
  pairsWith<S extends SessionStore>(supports: (store: SessionStore) => store is S): StorePair<S>[] {
    return this.pairs.filter((pair): pair is StorePair<S> => supports(pair.a) && supports(pair.b));
  }

  /** Clears the store and closes all instances. */
  async [Symbol.asyncDispose](): Promise<void> {
    await using _ = this.#created;
    await this.harness.withinTimeout(() => this.store.clear());
  }
}
