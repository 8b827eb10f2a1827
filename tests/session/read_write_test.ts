/** Reading and writing values. */
import { assert, assertEquals, assertRejects } from "../helpers/assert.ts";
import { cookieOf, idOf, open, read, signIn, signUp, start, visit } from "../helpers/request.ts";
import { BasicStore, probe, STORES } from "../helpers/stores.ts";
import { MemoryStore } from "../../mod.ts";

for (const [name, make] of STORES) {
  Deno.test(`Session on ${name} keeps the values for the next request of the same visitor, and for nobody else`, async () => {
    const middleware = start({}, make());
    const ada = await signUp(middleware, { user: "ada", n: 1 });
    const bob = await signUp(middleware, { user: "bob" });
    await visit(middleware, { cookie: ada }, async (context) => {
      const { session } = context.security;
      assertEquals(session.isNew, false);
      assertEquals({ ...await session.entries() }, { user: "ada", n: 1 });
      assertEquals(Object.getPrototypeOf(await session.entries()), null);
      assert(await session.has("n"));
    });
    assertEquals(await read(middleware, bob), "bob");
    assertEquals(await read(middleware, bob, "n"), undefined);
  });

  Deno.test(`Session.get() on ${name} sets no cookie`, async () => {
    const middleware = start({ maxAge: 60 }, make());
    const response = await visit(middleware, { cookie: await signUp(middleware) }, async (context) => {
      await context.security.session.get("user");
    });
    assertEquals(response.headers.getSetCookie(), []);
    assertEquals(response.headers.get("cache-control"), "private");
  });

  Deno.test(`Session.get() on ${name} returns the fallback if the key is absent, and not if the value is null`, async () => {
    const { session } = await open(start({}, make()));
    await session.set("a", null);
    assertEquals(await session.get("a", "fallback"), null);
    assertEquals(await session.get("b", "fallback"), "fallback");
  });

  Deno.test(`Session on ${name} stays within the budget of store calls per request`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({}, store);
    const cookie = await signUp(middleware);
    assertEquals(seen.calls.length, name === "MemoryStore" ? 1 : 3);

    seen.calls.length = 0;
    await visit(middleware, { cookie }, async (context) => {
      for (let i = 0; i < 5; i++) await context.security.session.get("user");
      await context.security.session.entries();
    });
    assertEquals(seen.calls.length, 1);

    seen.calls.length = 0;
    await visit(middleware, { cookie }, async (context) => {
      await context.security.session.get("user");
      await context.security.session.set("user", "bob");
      await context.security.session.get("user");
    });
    assertEquals(seen.calls.length, 2);

    seen.calls.length = 0;
    await visit(middleware, { cookie: "sid=x; sid=" + "A".repeat(24) + "." + "A".repeat(43) });
    await visit(middleware, {});
    assertEquals(seen.calls, []);
  });

  Deno.test(`Session on ${name} copies values in and out`, async () => {
    const middleware = start({}, make());
    const cart = ["apple"];
    const { session, finish } = await open(middleware);
    const written = session.set("cart", cart);
    cart.push("not bought");
    await written;
    (await session.get<string[]>("cart")).push("not bought either");
    (await session.entries()).cart.push("nor this");
    assertEquals(await session.get("cart"), ["apple"]);
    const cookie = cookieOf(await finish());
    assertEquals(await read(middleware, cookie, "cart"), ["apple"]);
  });

  Deno.test(`Session.set() on ${name} with undefined removes the value, as delete() does`, async () => {
    const store = make();
    const middleware = start({}, store);
    const cookie = await signUp(middleware, { a: 1, b: 2, c: 3 });
    await visit(middleware, { cookie }, async ({ security: { session } }) => {
      await session.set("a", undefined);
      await session.delete("b");
      await session.delete("never there");
      assertEquals(await session.get("a", "gone"), "gone");
      assertEquals(await session.has("b"), false);
    });
    await visit(middleware, { cookie }, async ({ security: { session } }) => {
      assertEquals({ ...await session.entries() }, { c: 3 });
      assertEquals(await session.has("a"), false);
      assertEquals(await session.get("b", "gone"), "gone");
      assertEquals(session.isNew, false);
    });
  });

  Deno.test(`Session.clear() on ${name} removes all values, and makes no store call for a new visitor`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({}, store);
    const cookie = await signUp(middleware, { a: 1, __session: 2, "__session:x": 3 });
    await visit(middleware, { cookie }, async ({ security: { session } }) => {
      await session.clear();
      assertEquals(await session.has("a"), false);
      await session.set("b", 1);
    });
    await visit(middleware, { cookie }, async ({ security: { session } }) => {
      assertEquals({ ...await session.entries() }, { b: 1 });
    });
    seen.calls.length = 0;
    await visit(middleware, {}, ({ security: { session } }) => session.clear());
    assertEquals(seen.calls, []);
  });

  Deno.test(`Session.set() on ${name} accepts any well-formed string as a key`, async () => {
    const middleware = start({}, make());
    const keys = [
      "__proto__",
      "constructor",
      "hasOwnProperty",
      "",
      " ",
      "a\0b",
      "ключ 🔑",
      "__session",
      "__session:__session",
      "__session:",
      "__sessions",
      "expiresAt",
      "x".repeat(512),
    ];
    const values = Object.fromEntries(keys.map((key, i) => [key, i]));
    Object.defineProperty(values, "__proto__", { value: 0, enumerable: true });
    const cookie = await signUp(middleware, values);
    await visit(middleware, { cookie }, async ({ security: { session } }) => {
      for (const [i, key] of keys.entries()) assertEquals(await session.get(key), i, key);
      assertEquals(Object.keys(await session.entries()).sort(), [...keys].sort());
      assertEquals(session.expiresAt === undefined, false);
    });
  });

  Deno.test(`Session.set() on ${name} refuses a key that is not a well-formed string`, async () => {
    const { session } = await open(start({}, make()));
    for (const key of ["\ud800", "a\udfffb"]) {
      await assertRejects(() => session.set(key, 1), TypeError, "well-formed");
      assertEquals(await session.get(key), undefined);
    }
    // @ts-expect-error -- what JavaScript can pass
    await assertRejects(() => session.set(undefined, 1), TypeError, "well-formed");
    assertEquals(session.expiresAt, undefined);
  });

  Deno.test(`Session.set() on ${name} refuses a value that cannot be stored, and changes nothing`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware, { cart: 1 });
    await visit(middleware, { cookie }, async ({ security: { session } }) => {
      for (const value of [() => 1, Symbol("s"), Promise.resolve(1), { nested: [() => 1] }, new (class Cart {})()]) {
        await assertRejects(() => session.set("cart", value), TypeError, '"cart"');
      }
      assertEquals(await session.get("cart"), 1);
    });
    assertEquals(await read(middleware, cookie, "cart"), 1);
    const { session, finish } = await open(middleware);
    await assertRejects(() => session.set("cart", () => 1), TypeError, '"cart"');
    assertEquals((await finish()).headers.getSetCookie(), []);
  });

  Deno.test(`Session.set() on ${name} in concurrent requests never undoes a write to another key`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware, { first: true });
    await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        visit(middleware, { cookie }, async ({ security: { session } }) => {
          await session.get("first");
          await session.set(`key ${i}`, i);
        })),
    );
    await visit(middleware, { cookie }, async ({ security: { session } }) => {
      assertEquals(Object.keys(await session.entries()).length, 51);
    });
  });

  Deno.test(`Session.regenerate() on ${name} stays within the budget of store calls`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({}, store);
    const { session } = await open(middleware, await signUp(middleware));
    seen.calls.length = 0;
    await session.regenerate();
    const calls = name === "MemoryStore" ? ["moveRecord"] : ["get", "create", "setValue", "setValue", "delete"];
    assertEquals(seen.calls, calls);
  });
}

Deno.test("Session.store is the raw store, and Session.sessionKey is the cookie's name", async () => {
  const store = new MemoryStore();
  const { session } = await open(start({ name: "other" }, store));
  assertEquals(session.store, store);
  assertEquals(session.sessionKey, "other");
});

Deno.test("Session.get(), has() and entries() read the values as they are at the call", async () => {
  const middleware = start();
  const { session } = await open(middleware, await signUp(middleware, { a: 1 }));
  const reads = Promise.all([session.get("a"), session.has("a"), session.entries()]);
  session.delete("a");
  assertEquals(await reads, [1, true, Object.assign(Object.create(null), { a: 1 })]);
  assertEquals(await session.has("a"), false);
});

Deno.test("Session.get() after a finished update() reads the value as it is at the call", async () => {
  const middleware = start();
  const { session } = await open(middleware, await signUp(middleware, { n: 1 }));
  await session.update("n", () => 2);
  const read = session.get("n");
  session.set("n", 3);
  assertEquals(await read, 2);
});

Deno.test("Session on a basic store writes no undefined properties", async () => {
  const store = new BasicStore();
  const middleware = start({}, store);
  const cookie = await signIn(middleware, "42");
  await visit(middleware, { cookie }, ({ security: { session } }) => session.clear());
  const [[key, meta] = [], ...values] = store.records.get(idOf(cookie)) ?? [];
  assertEquals([key, values], ["__session", []]);
  assertEquals("principal" in (meta as object), false);
});
