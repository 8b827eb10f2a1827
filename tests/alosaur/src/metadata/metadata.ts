// deno-lint-ignore-file no-explicit-any -- what the decorators were given is any
import type { Container } from "../di/mod.ts";
import type { HttpContext } from "../models/http-context.ts";
import type { HookTarget } from "../models/mod.ts";
import type { ProviderDeclaration, Type } from "../types/mod.ts";
import type { HookInstance, RouteMetadata } from "./route.ts";

/** The object that all decorators of one class receive. It inherits from that of the base class. */
export type ClassMetadata = object;

/** Reads one parameter of an action; `skip` gives its position to the next one. */
export type ParamReader = (context: HttpContext, route: RouteMetadata) => unknown;

/** Returned by a reader instead of a value. */
export const skip = Symbol("skip");

/** Something that has hooks. Every application of the process adds its hooks again. */
interface Hooked {
  hooks: HookInstance[];
  metadata: ClassMetadata;
}

/** Something that has providers. */
export interface Scope {
  providers: ProviderDeclaration[];
  /** Created by the first application of the process, and shared by the later ones. */
  container?: Container;
}

export interface AreaMetadata extends Hooked, Scope {
  baseRoute: string;
  controllers: unknown[];
}

export interface ControllerMetadata extends Hooked, Scope {
  target: Type<unknown>;
  baseRoute: string;
}

export interface ActionMetadata extends Hooked {
  name: string;
  method: string;
  route: string | RegExp;
}

export interface ParamMetadata {
  name: string;
  index: number;
  read: ParamReader;
  metadata: ClassMetadata;
}

export interface HookMetadata {
  target: Type<HookTarget<any, any>>;
  payload: any;
  /** Created by the first application of the process, and shared by the later ones. */
  hook?: HookTarget<any, any>;
  metadata: ClassMetadata;
  /** The action that it belongs to; `undefined` for a hook of a controller or an area. */
  name?: string;
}

export interface MiddlewareMetadata {
  route: RegExp;
  /** The decorated class; `undefined` for a middleware that was passed to `app.use()`. */
  class?: unknown;
  target: { onPreRequest(context: HttpContext): unknown; onPostRequest(context: HttpContext): unknown };
}

/** Everything that the decorators have declared. All applications of the process share it. */
export const storage: {
  middlewares: (MiddlewareMetadata | undefined)[];
  areas: AreaMetadata[];
  controllers: ControllerMetadata[];
  actions: ActionMetadata[];
  params: ParamMetadata[];
  hooks: HookMetadata[];
} = { middlewares: [], areas: [], controllers: [], actions: [], params: [], hooks: [] };
