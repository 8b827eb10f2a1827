// deno-lint-ignore-file no-explicit-any ban-types -- Alosaur's own public signatures are any and Function
import { getCookies as stdGetCookies } from "jsr:@std/http@1.0.25/cookie";
import { Injectable, type InjectableObject } from "../di/mod.ts";
import { type ParamReader, skip, storage } from "../metadata/metadata.ts";
import { routeParams } from "../metadata/route.ts";
import type { HookTarget } from "../models/mod.ts";
import type { RequestBodyParseOptions } from "../models/request.ts";
import type { ProviderDeclaration, Type } from "../types/mod.ts";

/** Throws on a header that it cannot parse. */
const getCookies: (headers: Headers) => Partial<Record<string, string>> = stdGetCookies;

export interface AreaConfig {
  baseRoute?: string;
  providers?: ProviderDeclaration[];
  controllers?: Function[];
}

export type ControllerOptions = {
  baseRoute?: string;
  providers?: ProviderDeclaration[];
  ctor?: InjectableObject;
};

type DecoratorContext = { name: string; metadata: object };

/** Decorates a class whose controllers are served together. */
export function Area(config: AreaConfig = {}): Function {
  return (_target: unknown, { metadata }: DecoratorContext) => {
    const { baseRoute = "", controllers = [], providers = [] } = config;
    storage.areas.push({ baseRoute, controllers, providers, hooks: [], metadata });
  };
}

/** Decorates a class whose decorated methods are actions. */
export function Controller(firstArgument?: string | ControllerOptions, providers?: ProviderDeclaration[]): Function {
  const options = typeof firstArgument === "string" ? { baseRoute: firstArgument } : firstArgument ?? {};
  return (target: Type<unknown>, { metadata }: DecoratorContext) => {
    if (options.ctor) Injectable(options.ctor)(target);
    const { baseRoute = "" } = options;
    const own = options.providers ?? providers ?? [];
    storage.controllers.push({ target, baseRoute, providers: own, hooks: [], metadata });
  };
}

type ActionDecorator = {
  (route?: RegExp): Function;
  (route?: string): Function;
};

function action(method: string): ActionDecorator {
  return (route: RegExp | string = "") => (_target: unknown, { name, metadata }: DecoratorContext) => {
    storage.actions.push({ name, method, route, hooks: [], metadata });
  };
}

export const Get: ActionDecorator = action("GET");
export const Post: ActionDecorator = action("POST");
export const Put: ActionDecorator = action("PUT");
export const Patch: ActionDecorator = action("PATCH");
export const Delete: ActionDecorator = action("DELETE");

/** Decorates a middleware that every application of the process runs. */
export function Middleware(route: RegExp): Function {
  return (target: new () => any) => {
    storage.middlewares.push({ route, class: target, target: new target() });
  };
}

/** Adds a hook to an action, a controller or an area. */
export function UseHook<TState, TPayload>(hook: Type<HookTarget<TState, TPayload>>, payload?: TPayload): Function {
  return (_target: unknown, context: DecoratorContext & { kind: string }) => {
    const name = context.kind === "class" ? undefined : context.name;
    storage.hooks.push({ target: hook, payload, metadata: context.metadata, name });
  };
}

/**
 * Binds parameter number `index` of an action to what `fn` reads.
 *
 * Note: the index only sorts. The parameters are passed one after another, without the gaps between
 * their numbers.
 */
export function ActionParam(index: number, fn: Function): Function {
  return (_target: unknown, { name, metadata }: DecoratorContext) => {
    storage.params.push({ name, index, read: fn as ParamReader, metadata });
  };
}

const reader = (read: ParamReader): Function => read;

/** The context. */
export const Ctx = (): Function => reader((context) => context);

/** The request of the context. */
export const Req = (): Function => reader((context) => context.request);

/** The response of the context. */
export const Res = (): Function => reader((context) => context.response);

/** A cookie of the request. */
export const Cookie = (name: string): Function => reader((context) => getCookies(context.request.headers)[name]);

/** A `:parameter` of the route, not decoded. */
export const Param = (name: string): Function =>
  reader(({ request }, { route }) => routeParams(route, request.parserUrl.pathname)?.[name]);

/** A parameter of the query. Empty is undefined. */
export const QueryParam = (name: string): Function =>
  reader((context) => context.request.parserUrl.searchParams.get(name) || undefined);

/** All parameters of the query. Note: without a query the next parameter takes its position. */
export const QueryParams = (): Function =>
  reader(({ request: { parserUrl } }) => parserUrl.search === "" ? skip : Object.fromEntries(parserUrl.searchParams));

/** The parsed body, passed through `transform` if it is given. */
export const Body = (transform?: unknown, options?: RequestBodyParseOptions): Function =>
  reader(async (context) => {
    const body = await context.request.body(options);
    return transform ? (transform as (body: unknown) => unknown)(body) : body;
  });
