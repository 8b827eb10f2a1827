/** How Alosaur's auth uses `context.security`, with a session that records every call. */
import { App, Area, Container, Controller, Get, HttpContext } from "alosaur/mod.ts";
import type { AuthenticationScheme, Identity } from "alosaur/src/security/authentication/core/auth.interface.ts";
import * as core from "alosaur/src/security/authentication/core/mod.ts";
import {
  CookieGetSession,
  CookiesAuthentication,
  CookiesScheme,
  IdentityKey,
} from "alosaur/src/security/authentication/mod.ts";
import * as cookies from "alosaur/src/security/authentication/cookies/mod.ts";
import * as scheme from "alosaur/src/security/authentication/cookies/src/cookies.scheme.ts";
import { AuthMiddleware, Authorize, AutorizeHook } from "alosaur/src/security/authorization/mod.ts";
import * as middleware from "alosaur/src/security/authorization/src/auth.middleware.ts";
import * as decorator from "alosaur/src/security/authorization/src/authorize.decorator.ts";
import { SecurityContext } from "alosaur/src/security/context/security-context.ts";
import { OAuthMiddleware } from "alosaur/src/security/oauth/base/oauth-middleware.ts";
import { Security } from "alosaur/src/security/security.ts";
import * as security from "alosaur/security.ts";
import {
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "../../helpers/assert.ts";
import { serve } from "../../helpers/serve.ts";

type SessionOfSecurity = NonNullable<Security["session"]>;

/** The calls of the session and of `security.auth`, in order. */
let asked: string[] = [];

/** Wraps an object so that each read and assignment of a member is recorded. */
function recording<T extends object>(name: string, target: T): T {
  return new Proxy(target, {
    get(target, key): unknown {
      asked.push(`${name}.${String(key)}`);
      const value = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
    set(target, key, value): boolean {
      asked.push(`${name}.${String(key)} =`);
      return Reflect.set(target, key, value, target);
    },
  });
}

interface Slow {
  values: Map<string, unknown>;
  /** `set()` waits for it, if it is given. */
  gate?: Promise<void>;
}

/** Creates a context whose session records everything that is done with it. */
function contextWith({ values, gate }: Slow = { values: new Map() }, url = "http://localhost/"): SecurityContext {
  const store = {
    delete: async (id: string) => {
      asked.push(`store.delete(${id})`);
      await Promise.resolve();
      asked.push("deleted");
    },
  };
  const session = {
    sessionId: "the id",
    sessionKey: "sid",
    store: recording("store", store),
    get: async (key: string) => {
      asked.push(`get(${key})`);
      await Promise.resolve();
      return values.get(key);
    },
    set: async (key: string, value: unknown) => {
      asked.push(`set(${key}, ${JSON.stringify(value)})`);
      await gate;
      values.set(key, value);
      asked.push("written");
    },
  };
  const context = new SecurityContext(new Request(url));
  context.security.session = recording("session", session) as unknown as SessionOfSecurity;
  Object.defineProperty(context.security, "auth", { value: recording("auth", context.security.auth) });
  asked = [];
  return context;
}

const cookiesScheme = CookiesAuthentication.DefaultScheme;

Deno.test("Alosaur's auth is exported at its module paths", () => {
  assertStrictEquals(cookies.CookiesScheme, CookiesScheme);
  assertStrictEquals(scheme.CookiesScheme, CookiesScheme);
  assertStrictEquals(middleware.AuthMiddleware, AuthMiddleware);
  assertStrictEquals(decorator.Authorize, Authorize);
  assertStrictEquals(security.CookiesScheme, CookiesScheme);
  assertStrictEquals(security.SecurityContext, SecurityContext);
  assertEquals(Object.keys(core), []);
});

Deno.test("SecurityContext is an HttpContext whose security may be replaced", () => {
  const context = new SecurityContext(new Request("http://localhost/"));
  assertInstanceOf(context, HttpContext);
  assertInstanceOf(context.security, Security);
  const other = new Security(context);
  context.security = other;
  assertStrictEquals(context.security, other);
});

Deno.test("Security has no session and no identity at first; both may be assigned", () => {
  const context = new SecurityContext(new Request("http://localhost/"));
  assertEquals(context.security.session, undefined);
  assertEquals(context.security.auth.identity(), undefined);
  context.security.auth.identity = <T>() => ({ id: 1 }) as Identity<T>;
  assertEquals(context.security.auth.identity(), { id: 1 });
});

Deno.test("security.auth passes the context to the scheme, and returns its result", async () => {
  const context = new SecurityContext(new Request("http://localhost/"));
  const calls: unknown[][] = [];
  const recording = {
    signInAsync: (...args: unknown[]) => (calls.push(args), Promise.resolve("in")),
    signOutAsync: (...args: unknown[]) => (calls.push(args), Promise.resolve("out")),
  } as unknown as AuthenticationScheme;
  const identity = { id: 1 };
  assertEquals(await context.security.auth.signInAsync<unknown, string>(recording, identity), "in");
  assertEquals(await context.security.auth.signOutAsync<unknown, string>(recording), "out");
  assertStrictEquals(calls[0]?.[0], context);
  assertStrictEquals(calls[0]?.[1], identity);
  assertStrictEquals(calls[1]?.[0], context);
});

Deno.test("CookiesScheme.authenticate() reads one key and assigns auth.identity, even if there is no value", async () => {
  const context = contextWith({ values: new Map([[IdentityKey, { id: 1 }]]) });
  await cookiesScheme.authenticate(context);
  assertEquals(asked, ["session.get", "get(__identity_cookie)", "auth.identity ="]);
  assertEquals(context.security.auth.identity(), { id: 1 });

  const nobody = contextWith();
  await cookiesScheme.authenticate(nobody);
  assertEquals(asked, ["session.get", "get(__identity_cookie)", "auth.identity ="]);
  assertEquals(nobody.security.auth.identity(), undefined);
});

Deno.test("CookiesScheme.signInAsync() writes the identity, then reads it back and assigns it", async () => {
  const context = contextWith();
  const claims = { roles: ["ignored"] };
  assertEquals(await cookiesScheme.signInAsync<unknown, boolean>(context, { id: 7, roles: ["a"] }, claims), true);
  assertEquals(asked, [
    ...["session.set", `set(__identity_cookie, {"id":7,"roles":["a"]})`, "written"],
    ...["session.get", "get(__identity_cookie)", "auth.identity ="],
  ]);
  assertEquals(context.security.auth.identity(), { id: 7, roles: ["a"] });
  assertEquals([...context.response.headers], []);
});

Deno.test("CookiesScheme.signOutAsync() deletes the record, resets the identity, and then clears the two cookies", async () => {
  const context = contextWith();
  assertEquals(await cookiesScheme.signOutAsync<unknown, boolean>(context), true);
  assertEquals(asked, [
    ...["session.sessionId", "session.store", "store.delete", "store.delete(the id)", "deleted"],
    "auth.identity =",
    ...["session.sessionKey", "session.sessionKey"],
  ]);
  assertEquals(context.security.auth.identity(), undefined);
});

Deno.test("CookiesScheme.signOutAsync() clears <sessionKey> and <sessionKey>-s, without a Path", async () => {
  const context = contextWith();
  await cookiesScheme.signOutAsync(context);
  assertEquals(context.response.headers.getSetCookie(), [
    "sid=; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
    "sid-s=; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
  ]);
});

Deno.test("CookiesScheme rejects if the session or its store does, and then changes nothing", async () => {
  const context = contextWith();
  const rejecting = { delete: () => Promise.reject(new Error("store")) };
  context.security.session = {
    sessionKey: "sid",
    store: rejecting,
    get: () => Promise.reject(new Error("get")),
    set: () => Promise.reject(new Error("set")),
  } as unknown as SessionOfSecurity;
  await assertRejects(() => cookiesScheme.authenticate(context), Error, "get");
  await assertRejects(() => cookiesScheme.signInAsync(context, { id: 1 }), Error, "set");
  await assertRejects(() => cookiesScheme.signOutAsync(context), Error, "store");
  assertEquals(context.response.headers.getSetCookie(), []);
  assertEquals(asked, []);
});

Deno.test("CookiesScheme without a session does nothing in authenticate() and throws in the other methods", async () => {
  const context = new SecurityContext(new Request("http://localhost/"));
  context.security.auth.identity = <T>() => ({ id: 5 }) as Identity<T>;
  await cookiesScheme.authenticate(context);
  assertEquals(context.security.auth.identity(), { id: 5 });
  assertThrows(() => CookieGetSession(context), Error);
  await assertRejects(() => cookiesScheme.signInAsync(context, { id: 1 }), Error);
  await assertRejects(() => cookiesScheme.signOutAsync(context), Error);
});

Deno.test("CookiesScheme and AuthMiddleware throw on a context without security", async () => {
  const bare = new HttpContext(new Request("http://localhost/")) as SecurityContext;
  await assertRejects(() => cookiesScheme.authenticate(bare), TypeError);
  await assertRejects(() => new AuthMiddleware([cookiesScheme]).onPreRequest(bare), TypeError);
});

Deno.test("CookiesScheme.onFailureResult() redirects immediately, DefaultScheme to /account/login; onSuccessResult() does nothing", () => {
  const context = contextWith();
  cookiesScheme.onSuccessResult(context);
  assertEquals([context.response.isImmediately(), context.response.result], [false, undefined]);
  cookiesScheme.onFailureResult(context);
  assertEquals(context.response.isImmediately(), true);
  assertEquals(context.response.result.status, 302);
  assertEquals(context.response.result.headers.get("location"), "/account/login");
  new CookiesScheme("/elsewhere").onFailureResult(context);
  assertEquals(context.response.result.headers.get("location"), "/elsewhere");
  assertEquals(asked, []);
});

Deno.test("AuthMiddleware authenticates with each scheme before the action, and does nothing after it", async () => {
  const context = contextWith();
  const auth = new AuthMiddleware([cookiesScheme, cookiesScheme]);
  assertEquals(await auth.onPreRequest(context), undefined);
  assertEquals(asked.filter((call) => call.startsWith("get(")).length, 2);
  assertEquals(auth.onPostRequest(), undefined);
});

Deno.test("Authorize() requires an identity; with a payload it must have one of the roles or pass the policy", async () => {
  type Payload = NonNullable<Parameters<typeof Authorize>[1]>;
  const a = { id: 1, roles: ["a"] };
  const table: [Identity<unknown> | undefined, Payload | undefined, boolean][] = [
    [undefined, undefined, false],
    [a, undefined, true],
    [a, {}, false],
    [a, { roles: [] }, false],
    [a, { roles: ["b", "a"] }, true],
    [a, { roles: ["b"] }, false],
    [{ id: 1 }, { roles: ["b"] }, false],
    [a, { policy: () => true }, true],
    [a, { policy: () => Promise.resolve(false) }, false],
    [a, { roles: ["a"], policy: () => false }, true],
    [a, { roles: ["b"], policy: () => true }, true],
    [undefined, { policy: () => true }, false],
  ];
  for (const [identity, payload, passes] of table) {
    const context = new SecurityContext(new Request("http://localhost/"));
    context.security.auth.identity = <T>() => identity as Identity<T> | undefined;
    const called: string[] = [];
    const recording = {
      onFailureResult: () => void called.push("failure"),
      onSuccessResult: () => void called.push("success"),
    } as unknown as AuthenticationScheme;
    await new AutorizeHook().onPreAction(context, { scheme: recording, payload });
    assertEquals(called, [passes ? "success" : "failure"], Deno.inspect([identity, payload]));
  }
});

@Controller("/secret")
class Secret {
  @Authorize(cookiesScheme)
  @Get()
  secret(): string {
    return "secret";
  }
}

@Area({ controllers: [Secret] })
class SecretArea {}

Deno.test("Authorize() on an action redirects a visitor without an identity, and sends every response header twice", async () => {
  const providers = [{ token: HttpContext, useClass: SecurityContext }];
  const app = new App({ areas: [SecretArea], providers, container: new Container(), logging: false });
  app.use(/./, {
    onPreRequest(context: HttpContext): void {
      context.response.headers.append("set-cookie", "a=1");
      if (!context.request.url.endsWith("?in")) return;
      (context as SecurityContext).security.auth.identity = <T>() => ({ id: 1 }) as Identity<T>;
    },
    onPostRequest(): void {},
  });
  await using server = await serve(app);
  const outside = await server.request("/secret");
  assertEquals([outside.status, outside.headers.get("location")], [302, "/account/login"]);
  assertEquals(outside.cookies, ["a=1", "a=1"]);
  const inside = await server.request("/secret?in");
  assertEquals([inside.status, inside.text, inside.cookies], [200, "secret", ["a=1"]]);
});

const options = {
  hostname: "http://localhost",
  callbackPath: "signin-test",
  clientId: "client",
  clientSecret: "client's secret",
  authorizationEndpoint: "http://provider/authorize",
  tokenEndpoint: "http://provider/token",
  userInformationEndpoint: "http://provider/user",
  scope: "profile",
  successLoginPath: "/success",
  errorLoginPath: "/error",
};

/**
 * Runs a function while `fetch` answers every request with the same object; returns the requests.
 */
async function withProvider(run: () => Promise<void>): Promise<string[]> {
  const requests: string[] = [];
  const real = globalThis.fetch;
  globalThis.fetch = (input, init) => {
    requests.push(`${init?.method} ${input} ${new Headers(init?.headers).get("authorization")}`);
    return Promise.resolve(Response.json({ access_token: "token", id: 5 }));
  };
  try {
    await run();
  } finally {
    globalThis.fetch = real;
  }
  return requests;
}

Deno.test("OAuth redirects a visitor without a code to the provider immediately", async () => {
  const context = contextWith();
  await new OAuthMiddleware(options).onPreRequest(context);
  assertEquals(context.response.isImmediately(), true);
  assertEquals(
    context.response.result.headers.get("location"),
    "http://provider/authorize?redirect_uri=http://localhost/signin-test&response_type=code&client_id=client&scope=profile",
  );
  assertEquals(asked, []);
});

Deno.test("OAuth exchanges a code, calls session.set() without awaiting it, and then setImmediately()", async () => {
  const written = Promise.withResolvers<void>();
  const context = contextWith({ values: new Map(), gate: written.promise }, "http://localhost/signin-test?code=1");
  const requests = await withProvider(() => new OAuthMiddleware(options).onPreRequest(context));
  assertEquals(requests, [
    "POST http://provider/token?code=1&scope=null null",
    "GET http://provider/user?grant_type=authorization_code Bearer token",
  ]);
  assertEquals(asked, ["session.set", `set(external_login_signin-test, {"access_token":"token","id":5})`]);
  assertEquals(context.response.isImmediately(), true);
  assertEquals(context.response.result.headers.get("location"), "/success");
  written.resolve();
});

Deno.test("OAuth leaves a rejected session.set() unhandled, and redirects as if it had succeeded", async () => {
  const context = contextWith(undefined, "http://localhost/signin-test?code=1");
  context.security.session = { set: () => Promise.reject(new Error("lost")) } as unknown as SessionOfSecurity;
  const unhandled = Promise.withResolvers<unknown>();
  const listener = (event: PromiseRejectionEvent): void => {
    event.preventDefault();
    unhandled.resolve(event.reason?.message);
  };
  globalThis.addEventListener("unhandledrejection", listener);
  try {
    await withProvider(() => new OAuthMiddleware(options).onPreRequest(context));
    assertEquals(await unhandled.promise, "lost");
  } finally {
    globalThis.removeEventListener("unhandledrejection", listener);
  }
  assertEquals(context.response.result.headers.get("location"), "/success");
});

Deno.test("OAuth redirects to its error page if there is no session", async () => {
  const context = new SecurityContext(new Request("http://localhost/signin-test?code=1"));
  await withProvider(() => new OAuthMiddleware(options).onPreRequest(context));
  assertEquals(context.response.result.headers.get("location"), "/error");
  assertEquals(context.response.isImmediately(), true);
  assertInstanceOf(context.response.error, TypeError);
});
