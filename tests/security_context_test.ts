import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "./helpers/assert.ts";
import { contextOf, cookieOf, onlyCookie, read, signUp, start, visit } from "./helpers/request.ts";
import { microtasks } from "./helpers/microtasks.ts";
import { probe } from "./helpers/stores.ts";
import { type AuthenticationScheme, Context, MemoryStore, Security, Session, SessionError } from "../mod.ts";
import { HttpContext } from "alosaur/mod.ts";
import { AuthMiddleware } from "alosaur/src/security/authorization/mod.ts";
import { CookiesAuthentication } from "alosaur/src/security/authentication/cookies/mod.ts";

const scheme = CookiesAuthentication.DefaultScheme;

Deno.test("Context is Alosaur's HttpContext, so that Alosaur looks the provider up", () => {
  assertStrictEquals(Context, HttpContext);
  assertInstanceOf(contextOf(), HttpContext);
});

Deno.test("SecurityContext.security.session can be assigned", async () => {
  const context = contextOf();
  assertInstanceOf(context.security, Security);
  await start().onPreRequest(context);
  const { session } = context.security;
  const other = contextOf();
  other.security.session = session;
  assertStrictEquals(other.security.session, session);
});

Deno.test("without SessionMiddleware, Alosaur's AuthMiddleware lets the request pass", async () => {
  const context = contextOf();
  await new AuthMiddleware([scheme]).onPreRequest(context);
  assertEquals(context.security.auth.identity(), undefined);
});

Deno.test("without SessionMiddleware, using context.security.session throws an error that says what to do", async (t) => {
  const message = "no SessionMiddleware ran for the request; register SessionMiddleware before";
  const { session } = contextOf().security;
  const members = Object.getOwnPropertyNames(Session.prototype).filter((name) => name !== "constructor");
  assert(members.includes("set") && members.includes("sessionId"));
  for (const member of members.filter((name) => name !== "get" && name !== "available")) {
    await t.step(member, () => {
      const error = assertThrows(() => Reflect.get(session, member), SessionError, message);
      assertEquals([error.operation, JSON.stringify(error)], [member, "{}"]);
      assert(error.message.startsWith(`Cannot use \`session.${member}\`: `));
    });
  }
  await t.step("get", () => {
    const error = assertThrows(() => session.get("user"), SessionError, message);
    assertEquals(error.operation, "get");
  });
  await t.step("available is false and does not throw", () => assertEquals(session.available, false));
});

Deno.test("without SessionMiddleware, the context can be logged, and its session returned by an async function", async () => {
  const { security } = contextOf();
  assertStrictEquals(await Promise.resolve(security.session), security.session);
  assertEquals(JSON.stringify({ session: security.session }), `{"session":{}}`);
  assertEquals(Deno.inspect(security.session), "[Object: null prototype] {}");
  assertEquals(`${Deno.inspect(security)}`.includes("SessionMiddleware"), false);
});

Deno.test("without SessionMiddleware, Alosaur's CookiesScheme signs nobody in or out", async () => {
  const { security } = contextOf();
  await assertRejects(() => security.auth.signInAsync(scheme, { id: 1 }), SessionError, "register SessionMiddleware");
  await assertRejects(() => security.auth.signOutAsync(scheme), SessionError, "register SessionMiddleware");
  assertEquals(security.auth.identity(), undefined);
});

Deno.test("without SessionMiddleware, a scheme that needs no session signs in and out", async () => {
  const { auth } = contextOf().security;
  const token: AuthenticationScheme = {
    signInAsync: (_context, { id }) => Promise.resolve(`token of ${id}`),
    signOutAsync: () => Promise.resolve("signed out"),
  };
  assertEquals(await auth.signInAsync(token, { id: 1 }), "token of 1");
  assertEquals(await auth.signOutAsync(token), "signed out");
});

Deno.test("SessionMiddleware gives its session to its own context only", async () => {
  const [context, other] = [contextOf(), contextOf()];
  await start().onPreRequest(context);
  assertInstanceOf(context.security.session, Session);
  assertEquals([context.security.session.available, other.security.session.available], [true, false]);
});

Deno.test("Security.auth signs in with Alosaur's scheme under a new id", async () => {
  const store = new MemoryStore();
  const middleware = start({}, store);
  const before = await signUp(middleware, { cart: 1 });
  const auth = new AuthMiddleware([scheme]);
  const response = await visit(middleware, { cookie: before }, async (context) => {
    assertEquals(context.security.auth.identity(), undefined);
    await context.security.auth.signInAsync(scheme, { id: 1, data: { name: "ada" } });
    assertEquals(context.security.auth.identity<{ name: string }>()?.data?.name, "ada");
    return "ok";
  });
  const after = cookieOf(response);
  assertNotEquals(after.slice(4, 28), before.slice(4, 28));
  assertEquals(await store.exist(before.slice(4, 28)), false);
  assertEquals(await read(middleware, after, "cart"), 1);

  const identify = async (cookie: string): Promise<unknown> => {
    const context = contextOf({ cookie });
    await middleware.onPreRequest(context);
    await auth.onPreRequest(context);
    return context.security.auth.identity()?.id;
  };
  assertEquals(await identify(after), 1);
  assertEquals(await identify(before), undefined);
});

Deno.test("Security.auth ends the old id before the scheme signs in", async () => {
  const middleware = start();
  const before = await signUp(middleware);
  await visit(middleware, { cookie: before }, async (context) => {
    const watching: AuthenticationScheme = {
      signInAsync: async () => {
        // The old id has ended before the scheme is called.
        assertEquals(await read(middleware, before), undefined);
        return "signed in";
      },
      signOutAsync: () => Promise.resolve(),
    };
    assertEquals(await context.security.auth.signInAsync(watching, { id: 1 }), "signed in");
    return "ok";
  });
});

Deno.test("Security.auth does not sign in if the id cannot be changed", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const middleware = start({ onEvent: () => {} }, store);
  const cookie = await signUp(middleware);
  await visit(middleware, { cookie }, async (context) => {
    seen.before = (method) => {
      if (method === "moveRecord") throw new Error("down");
    };
    await assertRejects(() => context.security.auth.signInAsync(scheme, { id: 1 }), SessionError);
    assertEquals(context.security.auth.identity(), undefined);
    return "ok";
  });
});

Deno.test("Security.auth signs out with Alosaur's scheme, removes the record and clears the cookie", async () => {
  const store = new MemoryStore();
  const middleware = start({ path: "/" }, store);
  const cookie = cookieOf(
    await visit(middleware, {}, async ({ security: { auth } }) => {
      await auth.signInAsync(scheme, { id: 1 });
      return "ok";
    }),
  );
  const response = await visit(middleware, { cookie }, async ({ security: { auth } }) => {
    await auth.signOutAsync(scheme);
    assertEquals(auth.identity(), undefined);
    return "ok";
  });
  assertEquals(store.size, 0);
  const own = response.headers.getSetCookie().filter((line) => line.startsWith("sid="));
  assertEquals(own.length, 1);
  const { value, attributes } = onlyCookie(new Headers([["set-cookie", own[0] ?? ""]]));
  assertEquals([value, attributes.path, attributes["max-age"]], ["", "/", "0"]);
});

Deno.test("Security.auth lets the scheme read the session while it signs out, and returns the scheme's result", async () => {
  const middleware = start();
  await visit(middleware, { cookie: await signUp(middleware) }, async ({ security: { auth, session } }) => {
    const reading: AuthenticationScheme = {
      signInAsync: () => Promise.resolve(),
      signOutAsync: () => session.get("user"),
    };
    assertEquals(await auth.signOutAsync(reading), "ada");
    assertEquals(await session.get("user"), undefined);
    return "ok";
  });
});

Deno.test("Security.auth waits for the removal of the record when it signs out", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const middleware = start({}, store);
  await visit(middleware, { cookie: await signUp(middleware) }, async ({ security: { auth } }) => {
    seen.before = async (method) => {
      if (method === "delete") await microtasks();
    };
    const quiet: AuthenticationScheme = {
      signInAsync: () => Promise.resolve(),
      signOutAsync: () => Promise.resolve(),
    };
    await auth.signOutAsync(quiet);
    assertEquals(store.size, 0);
    return "ok";
  });
});

Deno.test("Security.auth ends the session even if the scheme fails to sign out", async () => {
  const middleware = start();
  const cookie = await signUp(middleware);
  const response = await visit(middleware, { cookie }, async ({ security: { auth } }) => {
    const failing: AuthenticationScheme = {
      signInAsync: () => Promise.resolve(),
      signOutAsync: () => Promise.reject(new Error("scheme")),
    };
    await assertRejects(() => auth.signOutAsync(failing), Error, "scheme");
    return "ok";
  });
  assertEquals(onlyCookie(response.headers).value, "");
  assertEquals(await read(middleware, cookie), undefined);
});

Deno.test("SessionMiddleware uses Alosaur's own SecurityContext unchanged", async () => {
  const { SecurityContext: Theirs } = await import("alosaur/src/security/context/security-context.ts");
  const middleware = start();
  const cookie = await signUp(middleware);
  const context = new Theirs(new Request("http://localhost/", { headers: { cookie } }));
  const { security } = context;
  await middleware.onPreRequest(context);
  assertStrictEquals(context.security, security);
  // Its type is Alosaur's own session, of which ours has every member.
  const session: { get(key: string): Promise<unknown> } | undefined = Reflect.get(security, "session");
  assertEquals(await session?.get("user"), "ada");
  await security.auth.signInAsync(scheme, { id: 7 });
  assertEquals(security.auth.identity()?.id, 7);
});
