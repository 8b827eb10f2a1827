/** The sessions of several middlewares on one request. */
import {
  assert,
  assertEquals,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "./helpers/assert.ts";
import { microtasks } from "./helpers/microtasks.ts";
import { contextOf, merged, setCookies, start } from "./helpers/request.ts";
import { BasicStore, probe } from "./helpers/stores.ts";
import {
  Context,
  MemoryStore,
  type SecurityContext,
  SessionError,
  type SessionMiddleware,
  SessionStoreError,
} from "../mod.ts";

/** Runs middlewares in the order in which they are registered; returns the Cookie header of the client. */
async function request(
  middlewares: readonly SessionMiddleware[],
  cookie: string | undefined,
  action: (context: SecurityContext) => unknown,
): Promise<string> {
  const context = contextOf({ cookie, url: "http://localhost/admin" });
  for (const middleware of middlewares) await middleware.onPreRequest(context);
  await action(context);
  context.response.result = "ok";
  for (const middleware of middlewares) await middleware.onPostRequest(context);
  return setCookies(merged(context).headers).map(({ name, value }) => `${name}=${value}`).join("; ");
}

Deno.test("SessionMiddleware.sessionOf() returns context.security.session, the same object on each call", async () => {
  const middleware = start();
  await request([middleware], undefined, (context) => {
    assertStrictEquals(middleware.sessionOf(context), context.security.session);
    assertStrictEquals(middleware.sessionOf(context), middleware.sessionOf(context));
  });
});

Deno.test("SessionMiddleware.sessionOf() returns the session of this middleware", async (t) => {
  const stores = [
    ["other stores", new MemoryStore(), new MemoryStore()],
    ["the same store", ...Array(2).fill(new MemoryStore())],
    ["other basic stores", new BasicStore(), new BasicStore()],
  ] as const;
  for (const [name, shopStore, adminStore] of stores) {
    await t.step(`where they have other names and ${name}`, async () => {
      const shop = start({}, shopStore);
      const admin = start({ name: "admin_sid", path: "/admin" }, adminStore);
      const middlewares = [shop, admin];
      const cookies = await request(middlewares, undefined, async (context) => {
        assertStrictEquals(context.security.session, admin.sessionOf(context));
        await shop.sessionOf(context).set("cart", ["apple"]);
        await admin.sessionOf(context).set("role", "root");
        assertNotEquals(shop.sessionOf(context).sessionId, admin.sessionOf(context).sessionId);
        assertEquals(shop.sessionOf(context).sessionKey, "sid");
        assertEquals(admin.sessionOf(context).sessionKey, "admin_sid");
      });
      assertEquals(cookies.split("; ").map((pair) => pair.split("=")[0]), ["sid", "admin_sid"]);

      await request(middlewares, cookies, async (context) => {
        assertEquals({ ...await shop.sessionOf(context).entries() }, { cart: ["apple"] });
        assertEquals({ ...await admin.sessionOf(context).entries() }, { role: "root" });
        await admin.sessionOf(context).destroy();
        assertEquals(await shop.sessionOf(context).get("cart"), ["apple"]);
      });
      await request(middlewares, cookies, (context) => {
        assertEquals([shop.sessionOf(context).isNew, admin.sessionOf(context).isNew], [false, true]);
      });
    });
  }
});

Deno.test("SessionMiddleware.sessionOf() does not depend on what context.security.session is", async () => {
  const middleware = start();
  await request([middleware], undefined, (context) => {
    const session = middleware.sessionOf(context);
    Reflect.set(context.security, "session", undefined);
    assertStrictEquals(middleware.sessionOf(context), session);
  });
  const context = new Context(new Request("http://localhost/"));
  await middleware.onPreRequest(context);
  assert(middleware.sessionOf(context).isNew);
});

Deno.test("two middlewares with the same store and name have one session, which is loaded once", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const [one, other] = [start({}, store), start({}, store)];
  const cookies = await request([one, other], undefined, async (context) => {
    assertStrictEquals(one.sessionOf(context), other.sessionOf(context));
    // Not awaited: whichever `onPostRequest` is first waits for it.
    one.sessionOf(context).set("user", "ada");
    await other.sessionOf(context).set("cart", []);
  });
  assertEquals(cookies.split("; ").length, 1);
  seen.calls.length = 0;
  await request([one, other], cookies, async (context) => {
    assertEquals({ ...await other.sessionOf(context).entries() }, { user: "ada", cart: [] });
  });
  assertEquals(seen.calls.length, 1);
});

Deno.test("SessionMiddleware.onPostRequest() waits for the writes of its own session only", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const shop = start({}, store);
  const admin = start({ name: "admin_sid" });
  const context = contextOf();
  await shop.onPreRequest(context);
  await admin.onPreRequest(context);
  const gate = Promise.withResolvers<void>();
  seen.before = () => gate.promise;
  shop.sessionOf(context).set("cart", ["apple"]);
  admin.sessionOf(context).set("role", "root");

  await admin.onPostRequest(context);
  let isDone = false;
  const done = Promise.resolve(shop.onPostRequest(context)).then(() => isDone = true);
  await microtasks();
  assertEquals(isDone, false);
  gate.resolve();
  await done;
});

Deno.test("SessionMiddleware.onPostRequest() fails for the writes of its own session only", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const shop = start({ onEvent: () => {} }, store);
  const admin = start({ name: "admin_sid" });
  const context = contextOf();
  await shop.onPreRequest(context);
  await admin.onPreRequest(context);
  seen.before = () => {
    throw new Error("down");
  };
  shop.sessionOf(context).set("cart", ["apple"]);
  await admin.sessionOf(context).set("role", "root");
  await admin.onPostRequest(context);
  await assertRejects(async () => await shop.onPostRequest(context), SessionStoreError);
});

Deno.test("SessionMiddleware.sessionOf() throws if this middleware has no session for the request", async (t) => {
  const middleware = start();
  const message = "register SessionMiddleware before AuthMiddleware, and before every middleware";
  await t.step("because no middleware ran", () => {
    const error = assertThrows(() => middleware.sessionOf(contextOf()), SessionError, message);
    assertEquals([error.name, error.operation, JSON.stringify(error)], ["SessionError", "sessionOf", "{}"]);
  });
  await t.step("because only another middleware ran", async () => {
    const context = contextOf();
    await start({ name: "other" }).onPreRequest(context);
    assertThrows(() => middleware.sessionOf(context), SessionError, message);
  });
  await t.step("because it ran for another request", async () => {
    await middleware.onPreRequest(contextOf());
    assertThrows(() => middleware.sessionOf(contextOf()), SessionError, message);
  });
  await t.step("because the store failed", async () => {
    const { store, probe: seen } = probe(new MemoryStore());
    const failing = start({ onEvent: () => {} }, store);
    const cookie = await request([failing], undefined, ({ security: { session } }) => session.set("user", "ada"));
    seen.before = () => {
      throw new Error("down");
    };
    const context = contextOf({ cookie });
    await assertRejects(async () => await failing.onPreRequest(context), SessionStoreError);
    assertThrows(() => failing.sessionOf(context), SessionError, "failed to look up the session");
  });
});
