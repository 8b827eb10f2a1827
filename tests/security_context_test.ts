import {
  assertEquals,
  assertInstanceOf,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
} from "./helpers/assert.ts";
import { contextOf, cookieOf, onlyCookie, read, signUp, start, visit } from "./helpers/request.ts";
import { microtasks } from "./helpers/microtasks.ts";
import { probe } from "./helpers/stores.ts";
import { type AuthenticationScheme, Context, MemoryStore, Security, SessionError } from "../mod.ts";
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

Deno.test("without SessionMiddleware there is no session, and Alosaur's AuthMiddleware lets the request pass", async () => {
  const context = contextOf();
  assertEquals(context.security.session, undefined);
  await new AuthMiddleware([scheme]).onPreRequest(context);
  assertEquals(context.security.auth.identity(), undefined);
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
