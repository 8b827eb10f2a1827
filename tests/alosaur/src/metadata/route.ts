// deno-lint-ignore-file no-explicit-any -- an action is any method of any class
import type { HookTarget } from "../models/mod.ts";
import type { ParamReader } from "./metadata.ts";

export interface HookInstance {
  hook: HookTarget<any, any>;
  payload: any;
}

/** An action with its route. */
export interface RouteMetadata {
  method: string;
  /** The whole path; for a RegExp route the path before it. */
  route: string;
  regexpRoute?: RegExp;
  /** The controller. */
  target: any;
  /** The name of its method. */
  action: string;
  params: ParamReader[];
  /** The hooks of the area, of the controller and of the action. */
  hookLists: HookInstance[][];
}

/** Finds the action for a path: an exact route before a RegExp, a RegExp before one with `:parameters`. */
export function findRoute(routes: RouteMetadata[], method: string, path: string): RouteMetadata | undefined {
  const candidates = routes.filter((route) => route.method === method);
  return candidates.find(({ route }) => route === path) ??
    candidates.find(({ route, regexpRoute }) =>
      regexpRoute && path.startsWith(route) && path.slice(route.length).search(regexpRoute) >= 0
    ) ??
    candidates.find(({ route }) => routeParams(route, path));
}

/** The parameters of a path, not decoded; undefined if it does not have the segments of the route. */
export function routeParams(route: string, path: string): Record<string, string> | undefined {
  const names = route.split("/");
  const values = path.split("/");
  if (names.length !== values.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, name] of names.entries()) {
    const value = values[index] ?? "";
    if (name.startsWith(":") && value !== "") params[name.slice(1)] = value;
    else if (name !== value) return undefined;
  }
  return params;
}
