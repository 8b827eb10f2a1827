/** Several values in one step: `set({ … })`, and `set` of `regenerate()`. */
import { assertEquals, assertRejects } from "../helpers/assert.ts";
import { cookieOf, idOf, open, read, renew, signIn, signUp, start, visit } from "../helpers/request.ts";
import { BasicStore, probe, STORES, working } from "../helpers/stores.ts";
import { FakeTimers, outcomeOf, quiet } from "../helpers/timers.ts";
import {
  HeadersSentError,
  MemoryStore,
  SessionGoneError,
  type SessionMiddleware,
  SessionStoreError,
} from "../../mod.ts";

async function valuesOf(middleware: SessionMiddleware, cookie: string): Promise<unknown> {
  return { ...await (await open(middleware, cookie)).session.entries() };
}

for (const [name, make] of STORES) {
  Deno.test(`Session.set() on ${name} writes several values, and keeps the others`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware, { user: "ada", cart: [1], old: 1 });
    const { session, finish } = await open(middleware, cookie);
    const list = [2];
    session.set({ cart: list, theme: "dark", old: undefined, __session: "mine", ["__proto__"]: 7, "": 0 });
    list.push(3);
    const expected: Record<string, unknown> = {
      user: "ada",
      cart: [2],
      theme: "dark",
      __session: "mine",
      ["__proto__"]: 7,
      "": 0,
    };
    assertEquals({ ...await session.entries() }, expected, "before the store has answered");
    await finish();
    assertEquals(await valuesOf(middleware, cookie), expected);
  });

  Deno.test(`Session.set() on ${name} creates the session with several values`, async () => {
    const middleware = start({}, make());
    const { session, finish } = await open(middleware);
    await session.set({});
    await session.set({ a: undefined });
    assertEquals(session.createdAt, undefined);
    await session.set({ a: 1, b: { c: 2 }, d: undefined });
    const cookie = cookieOf(await finish());
    assertEquals(await valuesOf(middleware, cookie), { a: 1, b: { c: 2 } });
  });

  Deno.test(`Session.set() on ${name} never undoes what concurrent requests write to other keys`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware, { a: 0, b: 0, c: 0, d: 0 });
    await Promise.all(
      [{ a: 1, b: 1 }, { c: 2, d: 2 }].map((values) =>
        visit(middleware, { cookie }, ({ security }) => security.session.set(values))
      ),
    );
    assertEquals(await valuesOf(middleware, cookie), { a: 1, b: 1, c: 2, d: 2 });
  });

  Deno.test(`Session.set() on ${name} writes none of several values if one cannot be stored`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware, { a: 0 });
    const { session } = await open(middleware, cookie);
    const bad: [unknown, string][] = [
      [{ a: 1, b: () => 1 }, 'Cannot set "b"'],
      [{ a: 1, ["\ud800"]: 1 }, "Cannot set: the key must be a well-formed string"],
      [null, "Cannot set: expected a key and a value, or a plain object of values by key"],
      [undefined, "Cannot set: expected a key and a value, or a plain object of values by key"],
      ["a", "Cannot set: expected a key and a value, or a plain object of values by key"],
      [[1], "Cannot set: expected a key and a value, or a plain object of values by key"],
      [new Map([["a", 1]]), "Cannot set: expected a key and a value, or a plain object of values by key"],
      [new Date(), "Cannot set: expected a key and a value, or a plain object of values by key"],
    ];
    for (const [values, message] of bad) {
      await assertRejects(() => session.set(values as Record<string, unknown>), TypeError, message);
      const set = values as Record<string, unknown>;
      if (set !== undefined) {
        const reason = message.replace(/^Cannot set: (expected a key and a value, or )?/, "");
        await assertRejects(() => session.regenerate({ set }), TypeError, reason);
      }
    }
    assertEquals(await valuesOf(middleware, cookie), { a: 0 });
    assertEquals(session.sessionId, idOf(cookie));
  });

  Deno.test(`Session.set() on ${name} writes none of several values after the session has ended`, async () => {
    const middleware = start({}, make());
    const cookie = await signIn(middleware, "ada");
    const late = await open(middleware, cookie);
    await visit(middleware, { cookie }, ({ security }) => security.session.destroy());
    await assertRejects(
      () => late.session.set({ a: 1, b: 2 }),
      SessionGoneError,
      "Cannot set: the session has ended",
    );
    assertEquals(await read(middleware, cookie, "a"), undefined);
  });

  Deno.test(`Session.set() on ${name} writes several values to a session that was renewed meanwhile`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware, { a: 0 });
    const late = await open(middleware, cookie);
    const renewed = await renew(middleware, cookie, { graceSeconds: 30 });
    await late.session.set({ a: 1, b: 2 });
    assertEquals(await valuesOf(middleware, renewed), { a: 1, b: 2 });
  });

  Deno.test(`regenerate({ set }) on ${name} writes values together with the new id`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware, { cart: [1], notice: "x", __session: 1 });
    const { session, finish } = await open(middleware, cookie);
    session.regenerate({ principal: "ada", set: { notice: "Welcome", cart: undefined, __session: 2 } });
    assertEquals({ ...await session.entries() }, { notice: "Welcome", __session: 2 });
    const signed = cookieOf(await finish());
    assertEquals(await valuesOf(middleware, signed), { notice: "Welcome", __session: 2 });
    assertEquals(await valuesOf(middleware, cookie), {});

    const fresh = await open(middleware);
    await fresh.session.regenerate({ set: { a: 1, b: undefined } });
    assertEquals(await valuesOf(middleware, cookieOf(await fresh.finish())), { a: 1 });
  });

  Deno.test(`regenerate({ set }) on ${name} writes to each session of a sign-in form that was submitted twice`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware, { cart: [1] });
    const both = [await open(middleware, cookie), await open(middleware, cookie)];
    const stranger = await open(middleware, cookie);
    const cookies: string[] = [];
    for (const { session, finish } of both) {
      await session.regenerate({ principal: "ada", label: "Firefox", maxAge: 60, set: { notice: "Welcome" } });
      cookies.push(cookieOf(await finish()));
    }
    await stranger.session.regenerate({ principal: "grace", set: { notice: "Hello" } });
    assertEquals(await valuesOf(middleware, cookieOf(await stranger.finish())), { notice: "Hello" });
    for (const signed of cookies) {
      assertEquals(await valuesOf(middleware, signed), { cart: [1], notice: "Welcome" });
      const { session } = await open(middleware, signed);
      assertEquals([session.principal, session.label], ["ada", "Firefox"]);
    }
  });
}

Deno.test("Session.set() and regenerate() take one call of a RecordStore for several values", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const middleware = start({}, store);
  const cookie = await signUp(middleware);
  const { session } = await open(middleware, cookie);
  seen.calls.length = 0;
  await session.set({ a: 1, b: 2, c: undefined });
  assertEquals(seen.calls, ["changeRecord"]);
  seen.calls.length = 0;
  await session.regenerate({ principal: "ada", set: { a: 2 }, maxAge: 60, label: "Firefox" });
  assertEquals(seen.calls, ["moveRecord"]);
  seen.calls.length = 0;
  const fresh = await open(middleware);
  await fresh.session.set({ a: 1, b: 2 });
  assertEquals(seen.calls, ["createRecord"]);
});

Deno.test("Session.set() on a basic store that fails at any of several values leaves all as they were", async () => {
  for (const failsAt of ["a", "b", "new"]) {
    const { store, probe: seen } = probe(new BasicStore());
    const middleware = start({}, store);
    const cookie = await signUp(middleware, { a: 0, b: 0 });
    const { session } = await open(middleware, cookie);
    let failures = 0;
    seen.before = (method, args) => {
      if (method === "setValue" && args[1] === failsAt && failures++ === 0) throw new Error("down");
    };
    const error = await assertRejects(() => session.set({ a: 1, b: 1, new: 1 }), SessionStoreError);
    assertEquals(
      error.message,
      `Cannot set "${failsAt}": BasicStore failed; the change may or may not be stored; see \`cause\`, and try again when the store works`,
    );
    seen.before = working;
    assertEquals({ ...await session.entries() }, { a: 0, b: 0 });
    assertEquals(await valuesOf(middleware, cookie), { a: 0, b: 0 });
  }
});

Deno.test("Session.set() of several values is refused within the function of update()", async () => {
  const middleware = start();
  const { session } = await open(middleware, await signUp(middleware));
  await session.update("user", async () => {
    await assertRejects(() => session.set({ a: 1 }), TypeError, "Cannot set within the function of update()");
    await assertRejects(
      () => session.setMaxAge(60),
      TypeError,
      "Cannot set the lifetime within the function of update()",
    );
    await assertRejects(() => session.setLabel("x"), TypeError, "Cannot set the label within the function of update()");
    return "ada";
  });
  await assertRejects(() => session.regenerate({ set: { a: Symbol() } }), TypeError, 'Cannot set "a"');
  assertEquals(await session.get("a"), undefined);
});

Deno.test("regenerate({ set }) that is refused shows none of its values", async () => {
  const middleware = start();
  const cookie = await signUp(middleware);
  for (const options of [{ set: { user: "eve" } }, { principal: "eve", set: { user: "eve" } }]) {
    const { session, finish } = await open(middleware, cookie);
    await finish();
    await assertRejects(() => session.regenerate(options), HeadersSentError);
    assertEquals(await session.get("user"), "ada");
  }
});

Deno.test("Session.set() of several values refuses a symbol as a key", async () => {
  const middleware = start();
  const { session } = await open(middleware);
  await assertRejects(() => session.set({ [Symbol("a")]: 1 } as object), TypeError, "Cannot set: a key is a symbol");
  assertEquals(session.createdAt, undefined);
});

Deno.test("Session.set() of several values on a basic store that hangs waits for one timeout", async () => {
  using timers = new FakeTimers();
  const { store, probe: seen } = probe(new BasicStore());
  const middleware = start({ storeTimeout: 1 }, store);
  const cookie = await signUp(middleware);
  const { session } = await open(middleware, cookie);
  seen.before = (method) => method === "setValue" ? new Promise(() => {}) : undefined;
  const refused = assertRejects(() => session.set({ a: 1, b: 2, c: 3, d: 4 }), SessionStoreError);
  await quiet();
  timers.tick(1000);
  assertEquals(await outcomeOf(refused) !== "pending", true);
});
