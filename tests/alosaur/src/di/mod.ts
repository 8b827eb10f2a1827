// deno-lint-ignore-file no-explicit-any -- Alosaur's own public signatures are any
import type { InjectionToken } from "../types/mod.ts";

export interface InjectableObject {
  inject: any[];
}

/** The constructor parameters of each decorated class. Private to this copy of the module. */
const injections = new WeakMap<object, readonly InjectionToken[]>();

/** Declares what the container passes to the constructor of the class. */
export const Injectable = (object?: InjectableObject): (v: object, context?: unknown) => void => (v) => {
  if (object) injections.set(v, object.inject);
};

/** Accepted and without effect, because the container does not learn which member is decorated. */
export const Inject = (_injectionKey: unknown): (v: unknown, context: unknown) => void => () => {};

export class Container {
  registry: Map<any, any> = new Map();
  #parent?: Container;

  register<_T>(injectionKey: unknown, value: unknown): void {
    this.registry.set(injectionKey, value);
  }

  /** Note: a falsy value counts as absent, and a registered class is returned, not an instance of it. */
  lookup<T>(injectionKey: unknown): T {
    return this.registry.get(injectionKey) || this.#parent?.lookup(injectionKey) || undefined;
  }

  /** Constructs the class that `_class` stands for, `_class` itself if it is not a token. Instances are not reused. */
  create<_T>(_class: unknown): any {
    const Class = this.lookup<any>(_class) || _class;
    const values = (injections.get(Class) ?? []).map((token) => this.lookup(token));
    const instance = new Class(...values);
    // Observed on the real Alosaur: the last value ends up in a member of this name.
    if (values.length > 0) instance["[object Object]"] = values.at(-1);
    return instance;
  }

  set parentContainer(container: Container) {
    this.#parent = container;
  }

  createChildContainer(): Container {
    const child = new Container();
    child.parentContainer = this;
    return child;
  }
}

/** The default container. */
export const SLContainer: Container = new Container();
