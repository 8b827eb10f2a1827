// deno-lint-ignore-file no-explicit-any -- Alosaur's own public signatures are any
import { type Container, SLContainer } from "./di/mod.ts";
import { HttpError } from "./http-error/mod.ts";
import {
  type ClassMetadata,
  type MiddlewareMetadata,
  type ParamReader,
  type Scope,
  skip,
  storage,
} from "./metadata/metadata.ts";
import { findRoute, type HookInstance, type RouteMetadata } from "./metadata/route.ts";
import { HttpContext } from "./models/http-context.ts";
import type {
  AppSettings,
  HookMethod,
  HookTarget,
  IMiddleware,
  StaticFilesConfig,
  ViewRenderConfig,
} from "./models/mod.ts";
import type { PrimitiveResponse } from "./models/response.ts";
import { SERVER_REQUEST } from "./models/tokens.model.ts";
import { Content, notFoundAction, setViewRenderConfig } from "./renderer/mod.ts";
import { serveStaticFile } from "./server/static.ts";

type ErrorHandler<TState> = (ctx: HttpContext<TState>, error: Error) => void;

/** An application: everything that the decorators of this process have declared, and the middlewares of `use()`. */
export class App<TState> {
  readonly #settings: AppSettings;
  readonly #container: Container;
  readonly #routes: RouteMetadata[] = [];
  #staticConfig?: StaticFilesConfig;
  #errorHandler?: ErrorHandler<TState>;

  constructor(settings: AppSettings) {
    this.#settings = settings;
    this.#container = settings.container ?? SLContainer;
    this.#staticConfig = settings.staticConfig;
    if (settings.viewRenderConfig) setViewRenderConfig(settings.viewRenderConfig);
    if (settings.middlewares) {
      storage.middlewares = settings.middlewares.map((listed) =>
        storage.middlewares.find((middleware) => middleware?.class === listed)
      );
    }
    for (const { token, useClass, useValue } of settings.providers ?? []) {
      // The type accepts a factory. It is never called.
      if (useClass ?? useValue) this.#container.register(token, useClass ?? useValue);
    }
    this.#registerHooks();
    this.#registerRoutes();
  }

  get routes(): RouteMetadata[] {
    return this.#routes;
  }

  get staticConfig(): StaticFilesConfig | undefined {
    return this.#staticConfig;
  }

  get globalErrorHandler(): ErrorHandler<TState> | undefined {
    return this.#errorHandler;
  }

  use(route: RegExp, middleware: IMiddleware<TState>): void {
    storage.middlewares.push({ route, target: middleware as MiddlewareMetadata["target"] });
  }

  error(globalErrorHandler: ErrorHandler<TState>): void {
    this.#errorHandler = globalErrorHandler;
  }

  useStatic(config?: StaticFilesConfig): void {
    this.#staticConfig = config;
  }

  useViewRender(config?: ViewRenderConfig): void {
    if (config) setViewRenderConfig(config);
  }

  /** Warns and does nothing, because Alosaur has no way to stop listening. */
  close(): void {
    console.warn("Server is not listening");
  }

  /** Serves. Resolves before the server listens. An address in use is an uncaught error. */
  listen(address: string | Deno.ListenOptions = ":8000", _customListener?: Deno.Listener): Promise<any> {
    const options = typeof address === "string" ? parseAddress(address) : address;
    const { providers = [], container } = this.#settings;
    const full = container || providers.length > 0 || storage.middlewares.length > 0 || storage.hooks.length > 0;
    const handler = full ? this.#serve : this.#serveShort;
    (async () => {
      const onListen = ({ hostname, port }: Deno.NetAddr) => {
        console.log("Server start in", { hostname, port });
      };
      await Deno.serve({ ...options, onListen }, (request) => handler.call(this, request));
    })();
    return Promise.resolve();
  }

  /** Serves a request if the application has a middleware, a hook, a provider or a container. */
  async #serve(request: Request): Promise<Response> {
    // Outside of the try, so that a context that cannot be created becomes Deno's own 500.
    this.#container.register(SERVER_REQUEST, request);
    const context: HttpContext<any> = this.#container.create(HttpContext);
    const { response } = context;
    const { pathname } = context.request.parserUrl;
    try {
      const middlewares: MiddlewareMetadata["target"][] = [];
      // An entry is missing if the settings list a middleware that has no decorator.
      for (const { route, target } of storage.middlewares as MiddlewareMetadata[]) {
        if (!route.test(pathname)) continue;
        middlewares.push(target);
        const answer = await target.onPreRequest(context);
        if (answer) return answer as Response;
      }
      if (response.isImmediately()) return toResponse(response.getMergedResult());
      if (await serveStaticFile(context, this.#staticConfig)) return toResponse(response.getMergedResult());

      const route = findRoute(this.#routes, context.request.method, pathname);
      if (route) {
        const hooks = route.hookLists.flat();
        await runHooks("onPreAction", hooks, context);
        const params = await readParams(route, context);
        try {
          response.result = await route.target[route.action](...params);
        } catch (error) {
          response.error = error as Error;
          await runHooks("onCatchAction", hooks, context);
          for (const middleware of middlewares) await middleware.onPostRequest(context);
          if (response.isImmediately()) return toResponse(response.getMergedResult());
          throw error;
        }
        await runHooks("onPostAction", hooks, context);
      }
      if (response.isImmediately()) return toResponse(response.getMergedResult());

      for (const middleware of middlewares) await middleware.onPostRequest(context);
      if (response.result === undefined) response.result = notFoundAction();
      return toResponse(response.getMergedResult());
    } catch (error) {
      return this.#answerError(context, error);
    }
  }

  /** Serves a request if the application has none of them. */
  async #serveShort(request: Request): Promise<Response> {
    const context = new HttpContext<any>(request);
    const { response } = context;
    try {
      if (await serveStaticFile(context, this.#staticConfig)) return toResponse(response.getMergedResult());
      const route = findRoute(this.#routes, request.method, context.request.parserUrl.pathname);
      if (route) response.result = await route.target[route.action](...await readParams(route, context));
      if (typeof response.result === "string") return toResponse({ ...response.getRaw(), body: response.result });
      if (response.result === undefined) response.result = notFoundAction();
      return toResponse(response.getMergedResult());
    } catch (error) {
      return this.#answerError(context, error);
    }
  }

  #answerError(context: HttpContext<any>, error: any): Response {
    this.#errorHandler?.(context, error);
    if (context.response.isImmediately()) return toResponse(context.response.getMergedResult());
    if (!(error instanceof HttpError)) console.error(error);
    return toResponse(Content(error, error.httpCode || 500));
  }

  /** Note: the hooks of earlier applications stay. With two applications every hook runs twice. */
  #registerHooks(): void {
    for (const metadata of storage.hooks) {
      const { name, payload } = metadata;
      const hook: HookTarget<any, any> = metadata.hook ??= this.#container.create(metadata.target);
      const places = name === undefined
        ? [...storage.areas, ...storage.controllers]
        : storage.actions.filter((action) => action.name === name);
      for (const place of places) if (place.metadata === metadata.metadata) place.hooks.push({ hook, payload });
    }
  }

  #registerRoutes(): void {
    const print = this.#settings.logging === false ? () => {} : console.info;
    for (const controller of storage.controllers) {
      const area = storage.areas.find(({ controllers }) => controllers.includes(controller.target));
      if (!area) throw new TypeError(`Cannot serve ${controller.target.name}: it is in no area`);
      print(`The "${controller.target.name}" controller has been registered.`);

      const container = scopeOf(controller, scopeOf(area, this.#container));
      const target = container.create(controller.target);
      for (const action of storage.actions.filter((action) => isOf(controller.metadata, action.metadata))) {
        const isRegExp = action.route instanceof RegExp;
        const route: RouteMetadata = {
          method: action.method,
          route: area.baseRoute + controller.baseRoute + (isRegExp ? "" : action.route) || "/",
          regexpRoute: isRegExp ? action.route as RegExp : undefined,
          target,
          action: action.name,
          params: storage.params
            .filter(({ name, metadata }) => name === action.name && metadata === action.metadata)
            .sort((a, b) => a.index - b.index)
            .map(({ read }) => read),
          hookLists: [area.hooks, controller.hooks, action.hooks],
        };
        print(`The "${route.route}" route has been registered.`);
        this.#routes.push(route);
      }
    }
  }
}

/** Returns whether a member with this metadata belongs to the class or to one of its base classes. */
function isOf(metadata: ClassMetadata, member: ClassMetadata): boolean {
  return member === metadata || Object.prototype.isPrototypeOf.call(member, metadata);
}

/**
 * Returns the container of an area or a controller.
 *
 * Note: it is created once, so its parent is the container of the first application of the process.
 * Its providers are registered as they were written, so a lookup returns the declaration.
 */
function scopeOf(scope: Scope, parent: Container): Container {
  if (scope.container) return scope.container;
  scope.container = parent.createChildContainer();
  for (const provider of scope.providers) scope.container.register(provider.token, provider);
  return scope.container;
}

async function readParams(route: RouteMetadata, context: HttpContext): Promise<unknown[]> {
  const values: unknown[] = [];
  for (const read of route.params as ParamReader[]) {
    const value = await read(context, route);
    if (value !== skip) values.push(value);
  }
  return values;
}

/**
 * Runs one method of the hooks, outermost first.
 *
 * When one of them makes the response immediate, the hooks before it are run once more in reverse
 * order, with `onPostAction` (or `onCatchAction` if the action threw). The merged result goes to a
 * function that no longer exists. The TypeError is handled like any other error: the error handler
 * runs, and a second merge is sent.
 */
async function runHooks(method: HookMethod, hooks: HookInstance[], context: HttpContext<any>): Promise<void> {
  for (const [index, { hook, payload }] of hooks.entries()) {
    if (!hook[method]) continue;
    await hook[method](context, payload);
    if (!context.response.isImmediately()) continue;

    const back = method === "onCatchAction" ? method : "onPostAction";
    for (const earlier of hooks.slice(0, index).reverse()) await earlier.hook[back]?.(context, earlier.payload);
    context.response.getMergedResult();
    throw new TypeError("respondWith is not a function");
  }
}

function toResponse(merged: Response | PrimitiveResponse): Response {
  if (merged instanceof Response) return merged;
  return new Response(merged.body, { status: merged.status, headers: merged.headers });
}

/** Parses `:8000` and `host:8000`. */
function parseAddress(address: string): Deno.TcpListenOptions {
  const [, hostname, port] = address.match(/^(.*):(\d+)$/) ?? [];
  if (!port) throw new TypeError("Invalid address.");
  return { hostname: hostname || "0.0.0.0", port: Number(port) };
}
