/** How Alosaur creates contexts, controllers and hooks. */
import {
  ActionParam,
  App,
  Area,
  Container,
  Controller,
  Ctx,
  Get,
  type HookTarget,
  HttpContext,
  Injectable,
  Middleware,
  UseHook,
} from "alosaur/mod.ts";
import { Context } from "alosaur/src/models/context.ts";
import { SERVER_REQUEST } from "alosaur/src/models/tokens.model.ts";
import { SecurityContext } from "alosaur/src/security/context/security-context.ts";
import {
  assertEquals,
  assertInstanceOf,
  assertNotEquals,
  assertStrictEquals,
  assertThrows,
} from "../../helpers/assert.ts";
import { serve, type Served } from "../../helpers/serve.ts";

class Plain {
  readonly args: unknown[];
  constructor(...args: unknown[]) {
    this.args = args;
  }
}

@Injectable({ inject: ["text", Plain, "absent"] })
class Injected {
  readonly args: unknown[];
  constructor(...args: unknown[]) {
    this.args = args;
  }
}

class Subclass extends Injected {}

Deno.test("Container.lookup() returns the registered value; a class is not instantiated", () => {
  const container = new Container();
  container.register("text", "value");
  container.register(Plain, Plain);
  assertEquals(container.lookup<unknown>("text"), "value");
  assertStrictEquals(container.lookup<unknown>(Plain), Plain);
  container.register("text", "other");
  assertEquals(container.lookup<unknown>("text"), "other");
});

Deno.test("Container.lookup() returns undefined for absent and for falsy values", () => {
  const container = new Container();
  for (const value of [undefined, null, 0, "", false]) {
    container.register("token", value);
    assertEquals(container.lookup<unknown>("token"), undefined);
  }
  assertEquals(container.lookup<unknown>("absent"), undefined);
});

Deno.test("Container.lookup() returns a provider object unchanged", () => {
  const container = new Container();
  const provider = { useValue: "value" };
  container.register("token", provider);
  assertStrictEquals(container.lookup<unknown>("token"), provider);
});

Deno.test("a child container falls back to its parent", () => {
  const parent = new Container();
  parent.register("a", "parent's");
  parent.register("b", "parent's");
  const child = parent.createChildContainer();
  child.register("b", "child's");
  const values = [child, parent].map((container) => ["a", "b"].map((token) => container.lookup<unknown>(token)));
  assertEquals(values, [["parent's", "child's"], ["parent's", "parent's"]]);
});

Deno.test("Container.create() creates a new object each time", () => {
  const container = new Container();
  assertInstanceOf(container.create(Plain), Plain);
  assertEquals(container.create(Plain) === container.create(Plain), false);
});

Deno.test("Container.create() looks the class up as a token first", () => {
  const container = new Container();
  container.register(Plain, Injected);
  assertInstanceOf(container.create(Plain), Injected);
  container.register(Plain, { useClass: Injected });
  assertThrows(() => container.create(Plain), TypeError);
});

Deno.test("Container.create() passes the looked-up values that Injectable() names, and nothing else", () => {
  const container = new Container();
  container.register("text", "value");
  assertEquals(container.create(Injected).args, ["value", undefined, undefined]);
  container.register(Plain, Plain);
  assertEquals(container.create(Injected).args, ["value", Plain, undefined]);
  assertEquals(container.create(Plain).args, []);
});

Deno.test("Injectable() does not apply to a subclass", () => {
  const container = new Container();
  container.register("text", "value");
  assertEquals(container.create(Subclass).args, []);
});

Deno.test("Container.create() leaves the last injected value in a member named [object Object]", () => {
  const container = new Container();
  const serverRequest = new Request("http://localhost/");
  container.register(SERVER_REQUEST, serverRequest);
  const context = container.create(HttpContext);
  assertStrictEquals(context["[object Object]"], serverRequest);
});

Deno.test("two URLs of Alosaur are two copies; a class that one declares injectable gets no arguments from the other", async () => {
  const copy = await import("alosaur/src/di/mod.ts?copy");
  assertNotEquals<unknown>(copy.Container, Container);
  const container = new copy.Container();
  container.register("text", "value");
  assertEquals(container.create(Injected).args, []);

  const original = new Container();
  original.register("text", "value");
  @copy.Injectable({ inject: ["text"] })
  class Foreign extends Plain {}
  assertEquals(original.create(Foreign).args, []);
  assertEquals(container.create(Foreign).args, ["value"]);
});

let seen: unknown;
let injected: Record<string, unknown[]> = {};

@Injectable({ inject: ["application"] })
class InjectedHook implements HookTarget<unknown, unknown> {
  readonly #args: unknown[];
  constructor(...args: unknown[]) {
    this.#args = args;
  }
  onPreAction(): void {
    injected["hook"] = this.#args;
  }
}

@Middleware(/^\/injection/)
@Injectable({ inject: ["application"] })
class _InjectedMiddleware {
  readonly #args: unknown[];
  constructor(...args: unknown[]) {
    this.#args = args;
  }
  onPreRequest(): void {
    injected["middleware"] = this.#args;
  }
  onPostRequest(): void {}
}

@Controller({ baseRoute: "/injection", ctor: { inject: ["application", Plain, "factory", "area"] } })
class Injection {
  readonly #args: unknown[];
  constructor(...args: unknown[]) {
    this.#args = args;
  }

  @UseHook(InjectedHook)
  @Get()
  injection(): string {
    injected["controller"] = this.#args;
    return "text";
  }
}

@Controller("/context")
class ContextController {
  @Get()
  @ActionParam(0, Ctx())
  context(context: HttpContext): string {
    seen = context;
    return "text";
  }
}

@Area({ controllers: [Injection], providers: [{ token: "area", useValue: "area's" }] })
class InjectionArea {}

@Area({ controllers: [ContextController] })
class ContextArea {}

@Injectable({ inject: [SERVER_REQUEST] })
class Throwing<T = unknown> extends HttpContext<T> {
  constructor(serverRequest: Request) {
    super(serverRequest);
    throw Object.assign(new Error("no context"), { httpCode: 418 });
  }
}

class Undeclared<T = unknown> extends HttpContext<T> {}

function start(providers: { token: unknown; useClass?: new (request: Request) => unknown }[]): Promise<Served> {
  const areas = [InjectionArea, ContextArea];
  return serve(new App({ areas, providers, container: new Container(), logging: false }));
}

// The next two tests must come before every other application of this process. The second says why.

Deno.test("a provided class is injected as a class, a factory is ignored, and an area's provider is injected as its declaration", async () => {
  const providers = [
    { token: "application", useValue: "application's" },
    { token: Plain, useClass: Plain },
    { token: "factory", useFactory: () => "made" },
  ];
  const areas = [InjectionArea];
  await using server = await serve(new App({ areas, providers, container: new Container(), logging: false }));
  injected = {};
  await server.request("/injection");
  assertEquals(injected["controller"], [
    "application's",
    Plain,
    undefined,
    { token: "area", useValue: "area's" },
  ]);
  assertEquals(injected["hook"], ["application's"]);
  assertEquals(injected["middleware"], [], "a middleware is created without arguments");
});

Deno.test("a later application of the process creates its controllers and hooks with the providers of the first", async () => {
  const providers = [{ token: "application", useValue: "another" }];
  const areas = [InjectionArea];
  await using server = await serve(new App({ areas, providers, container: new Container(), logging: false }));
  injected = {};
  await server.request("/injection");
  assertEquals([injected["controller"]?.[0], injected["hook"]], ["application's", ["application's"]]);
});

Deno.test("with the provider { token: HttpContext, useClass: SecurityContext } every action receives a SecurityContext", async () => {
  await using server = await start([{ token: HttpContext, useClass: SecurityContext }]);
  await server.request("/context?a=1");
  assertInstanceOf(seen, SecurityContext);
  assertEquals(seen.request.url, `${server.url}/context?a=1`);
  assertEquals(seen.security.auth.identity(), undefined);
});

Deno.test("the provider { token: Context, useClass: SecurityContext } is never looked up; actions receive a plain HttpContext", async () => {
  await using server = await start([{ token: Context, useClass: SecurityContext }]);
  await server.request("/context");
  assertInstanceOf(seen, HttpContext);
  assertStrictEquals(Object.getPrototypeOf(seen), HttpContext.prototype);
  assertEquals("security" in seen, false);
});

Deno.test("a context class that is not injectable is created without a request, which becomes Deno's own 500", async () => {
  await using server = await start([{ token: HttpContext, useClass: Undeclared }]);
  const answer = await server.request("/context");
  assertEquals([answer.status, answer.text, answer.headers.get("content-type")], [
    500,
    "Internal Server Error",
    null,
  ]);
});

Deno.test("a context whose constructor throws becomes Deno's own 500, without middleware, error handler and httpCode", async () => {
  const called: string[] = [];
  const providers = [{ token: HttpContext, useClass: Throwing }];
  const app = new App({ areas: [InjectionArea], providers, container: new Container(), logging: false });
  app.error(() => void called.push("error"));
  await using server = await serve(app);
  injected = {};
  const answer = await server.request("/injection");
  assertEquals([answer.status, answer.text], [500, "Internal Server Error"]);
  assertEquals([called, injected], [[], {}]);
});

Deno.test("the request is registered in the application's container, under SERVER_REQUEST", async () => {
  const container = new Container();
  const app = new App({ areas: [ContextArea], container, logging: false });
  await using server = await serve(app);
  await server.request("/context?a=1");
  assertInstanceOf(seen, HttpContext);
  assertStrictEquals(container.lookup<unknown>(SERVER_REQUEST), seen.request.serverRequest);
});
