// deno-lint-ignore-file no-explicit-any ban-types -- Alosaur's own public signatures are any
import type { Container } from "../di/mod.ts";
import type { ProviderDeclarations, Type } from "../types/mod.ts";
import type { HttpContext } from "./http-context.ts";

export * from "./http-context.ts";
export * from "./request.ts";
export * from "./response.ts";

/** Runs before and after the action of every request whose path it was registered for. */
export interface MiddlewareTarget<TState = unknown> {
  /** Note: a truthy return value is sent unchanged, and everything else is skipped. */
  onPreRequest(context: HttpContext<TState>): void;
  onPostRequest(context: HttpContext<TState>): void;
}

export interface PreRequestMiddleware<TState = unknown> {
  onPreRequest(context: HttpContext<TState>): void;
}

export interface PostRequestMiddleware<TState = unknown> {
  onPreRequest(context: HttpContext<TState>): void;
}

/** Note: the type requires only `onPreRequest`, but a request needs both methods. */
export type IMiddleware<TState = unknown> =
  | PreRequestMiddleware<TState>
  | PostRequestMiddleware<TState>
  | MiddlewareTarget<TState>;

/** Runs around one action, or around every action of a controller or an area. */
export interface HookTarget<TState, TPayload> {
  onPreAction?(context: HttpContext<TState>, payload: TPayload): void;
  onPostAction?(context: HttpContext<TState>, payload: TPayload): void;
  onCatchAction?(context: HttpContext<TState>, payload: TPayload): void;
}

export type HookMethod = keyof HookTarget<void, void>;

export interface StaticFilesConfig {
  root: string;
  index?: string;
  baseRoute?: string;
}

export interface ViewRenderConfig {
  type: string;
  basePath: string;
  getBody: (path: string, model: Object, config: ViewRenderConfig) => any;
}

export interface AppSettings {
  /** Note: every area of the process is served, whether it is named here or not. */
  areas: Function[];
  middlewares?: Type<IMiddleware>[];
  staticConfig?: StaticFilesConfig;
  viewRenderConfig?: ViewRenderConfig;
  /** Prints each route as it is registered. @default {true} */
  logging?: boolean;
  container?: Container;
  providers?: ProviderDeclarations[];
}
