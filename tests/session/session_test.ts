import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertNotEquals,
  assertRejects,
} from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { Captured } from "../helpers/console.ts";
import { cookieOf, onlyCookie, open, read, signUp, start, visit } from "../helpers/request.ts";
import { answersLate, BareStore, type Probe, probe } from "../helpers/stores.ts";
import {
  MemoryStore,
  type Session,
  SessionError,
  type SessionEvent,
  SessionGoneError,
  type SessionStore,
  SessionStoreError,
} from "../../mod.ts";

/** What a session promises, it promises on every store. */
const STORES: Record<string, () => SessionStore> = {
  "MemoryStore": () => new MemoryStore(),
  "a bare store": () => new BareStore(),
};

/** Gives everything time that waits for nothing but its turn. */
async function turns(count = 50): Promise<void> {
  for (let i = 0; i < count; i++) await undefined;
}

for (const [name, make] of Object.entries(STORES)) {
  Deno.test(`Session on ${name}: an untouched visit asks the store nothing and sets nothing`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({}, store);
    const response = await visit(middleware, {}, async (context) => {
      const { session } = context.security;
      assert(session.isNew);
      assertEquals(session.expiresAt, undefined);
      assertEquals(await session.get("user"), undefined);
      assertEquals(await session.get("user", "nobody"), "nobody");
      assertEquals(await session.has("user"), false);
      assertEquals({ ...await session.entries() }, {});
      await session.delete("user");
      await session.set("user", undefined);
      assertMatch(session.sessionId, /^[\w-]{24}$/);
      return "ok";
    });
    assertEquals(seen.calls, []);
    assertEquals(response.headers.getSetCookie(), []);
    assertEquals(response.headers.get("cache-control"), null);
  });

  Deno.test(`Session on ${name}: the first write makes the record and the cookie in that call`, async () => {
    const store = make();
    const { session, context } = await open(start({}, store));
    const id = session.sessionId;
    const written = session.set("user", "ada");
    // Before the promise is there, the cookie is.
    assertEquals(onlyCookie(context.response.headers).value.split(".")[0], id);
    assertEquals(session.sessionId, id);
    await written;
    assert(await store.exist(id));
    assertEquals(await store.getValue(id, "user"), "ada");
    assertInstanceOf(session.expiresAt, Date);
    assert(session.isNew);
  });

  Deno.test(`Session on ${name}: what was written is there for the next request, and for nobody else`, async () => {
    const middleware = start({}, make());
    const ada = await signUp(middleware, { user: "ada", n: 1 });
    const bob = await signUp(middleware, { user: "bob" });
    await visit(middleware, { cookie: ada }, async (context) => {
      const { session } = context.security;
      assertEquals(session.isNew, false);
      assertEquals({ ...await session.entries() }, { user: "ada", n: 1 });
      assertEquals(Object.getPrototypeOf(await session.entries()), null);
      assert(await session.has("n"));
      return "ok";
    });
    assertEquals(await read(middleware, bob), "bob");
    assertEquals(await read(middleware, bob, "n"), undefined);
  });

  Deno.test(`Session on ${name}: a request that only reads sets no cookie`, async () => {
    const middleware = start({ maxAge: 60 }, make());
    const response = await visit(middleware, { cookie: await signUp(middleware) }, async (context) => {
      await context.security.session.get("user");
      return "ok";
    });
    assertEquals(response.headers.getSetCookie(), []);
    assertEquals(response.headers.get("cache-control"), null);
  });

  Deno.test(`Session on ${name}: round trips are within the budget`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({}, store);
    const cookie = await signUp(middleware);
    assertEquals(seen.calls.length, name === "MemoryStore" ? 1 : 3);

    seen.calls.length = 0;
    await visit(middleware, { cookie }, async (context) => {
      for (let i = 0; i < 5; i++) await context.security.session.get("user");
      await context.security.session.entries();
      return "ok";
    });
    assertEquals(seen.calls.length, 1);

    seen.calls.length = 0;
    await visit(middleware, { cookie }, async (context) => {
      await context.security.session.get("user");
      await context.security.session.set("user", "bob");
      await context.security.session.get("user");
      return "ok";
    });
    assertEquals(seen.calls.length, 2);

    seen.calls.length = 0;
    await visit(middleware, { cookie: "sid=x; sid=" + "A".repeat(24) + "." + "A".repeat(43) });
    await visit(middleware, {});
    assertEquals(seen.calls, []);
  });

  Deno.test(`Session on ${name}: reading gives copies, and writing takes them`, async () => {
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

  Deno.test(`Session on ${name}: undefined removes, and what was removed is absent`, async () => {
    const store = make();
    const middleware = start({}, store);
    const cookie = await signUp(middleware, { a: 1, b: 2, c: 3 });
    await visit(middleware, { cookie }, async ({ security: { session } }) => {
      await session.set("a", undefined);
      await session.delete("b");
      await session.delete("never there");
      assertEquals(await session.get("a", "gone"), "gone");
      assertEquals(await session.has("b"), false);
      return "ok";
    });
    await visit(middleware, { cookie }, async ({ security: { session } }) => {
      assertEquals({ ...await session.entries() }, { c: 3 });
      assertEquals(await session.has("a"), false);
      assertEquals(await session.get("b", "gone"), "gone");
      assertEquals(session.isNew, false);
      return "ok";
    });
  });

  Deno.test(`Session on ${name}: a key is any well-formed string`, async () => {
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
      return "ok";
    });
  });

  Deno.test(`Session on ${name}: a key that no store could keep is refused`, async () => {
    const { session } = await open(start({}, make()));
    for (const key of ["\ud800", "a\udfffb"]) {
      await assertRejects(() => session.set(key, 1), TypeError, "well-formed");
      assertEquals(await session.get(key), undefined);
    }
    // @ts-expect-error -- what JavaScript can pass
    await assertRejects(() => session.set(undefined, 1), TypeError, "well-formed");
    assertEquals(session.expiresAt, undefined);
  });

  Deno.test(`Session on ${name}: a value that cannot be kept is refused, and changes nothing`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware, { cart: 1 });
    await visit(middleware, { cookie }, async ({ security: { session } }) => {
      for (const value of [() => 1, Symbol("s"), Promise.resolve(1), { nested: [() => 1] }, new (class Cart {})()]) {
        await assertRejects(() => session.set("cart", value), TypeError, '"cart"');
      }
      assertEquals(await session.get("cart"), 1);
      return "ok";
    });
    assertEquals(await read(middleware, cookie, "cart"), 1);
    const { session, finish } = await open(middleware);
    await assertRejects(() => session.set("cart", () => 1), TypeError, '"cart"');
    assertEquals((await finish()).headers.getSetCookie(), []);
  });

  Deno.test(`Session on ${name}: writes that nobody awaits keep their order and are finished in time`, async () => {
    const middleware = start({}, make());
    const response = await visit(middleware, {}, ({ security: { session } }) => {
      session.set("a", 1);
      session.set("a", 2);
      session.set("b", 1);
      session.delete("b");
      session.set("a", 3);
      return "ok";
    });
    const cookie = cookieOf(response);
    assertEquals(await read(middleware, cookie, "a"), 3);
    assertEquals(await read(middleware, cookie, "b"), undefined);
  });

  Deno.test(`Session on ${name}: a write is there for the reads after it, awaited or not`, async () => {
    const middleware = start({}, make());
    const { session } = await open(middleware, await signUp(middleware, { a: 1 }));
    session.set("a", 2);
    assertEquals(await session.get("a"), 2);
    session.delete("a");
    assertEquals(await session.has("a"), false);
  });

  Deno.test(`Session on ${name}: concurrent requests never undo each other's writes to other keys`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware, { first: true });
    await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        visit(middleware, { cookie }, async ({ security: { session } }) => {
          await session.get("first");
          await session.set(`key ${i}`, i);
          return "ok";
        })),
    );
    await visit(middleware, { cookie }, async ({ security: { session } }) => {
      assertEquals(Object.keys(await session.entries()).length, 51);
      return "ok";
    });
  });

  Deno.test(`Session on ${name}: a write to a session that ended meanwhile creates nothing`, async (t) => {
    for (
      const [how, end] of [
        ["destroyed by another request", async (_clock: FakeClock, other: Session) => await other.destroy()],
        [
          "removed from the store",
          async (_clock: FakeClock, other: Session) => await other.store.delete(other.sessionId),
        ],
        ["given a new id", async (_clock: FakeClock, other: Session) => await other.regenerate()],
        ["expired", (clock: FakeClock) => clock.tick(60_000)],
      ] as const
    ) {
      await t.step(how, async () => {
        using clock = new FakeClock();
        const store = make();
        const middleware = start({ maxAge: 60 }, store);
        const cookie = await signUp(middleware);
        const { session, finish } = await open(middleware, cookie);
        const { session: other } = await open(middleware, cookie);
        const id = session.sessionId;
        await end(clock, other);

        const error = await assertRejects(() => session.set("user", "back again"), SessionGoneError);
        assertEquals(error.httpCode, 409);
        assertEquals(session.expiresAt, undefined);
        assertNotEquals(session.sessionId, id);
        await assertRejects(() => session.delete("user"), SessionGoneError);
        await assertRejects(() => session.regenerate(), SessionGoneError);
        assertEquals(await session.get("user"), undefined);
        assertEquals({ ...await session.entries() }, {});
        assertEquals(session.expiresAt, undefined);
        assertNotEquals(session.sessionId, id);
        assertEquals((await finish()).headers.getSetCookie(), []);
        if (how !== "expired" || name === "MemoryStore") assertEquals(await store.exist(id), false);
        assertEquals(await read(middleware, cookie), undefined);
      });
    }
  });

  Deno.test(`Session on ${name}: it ends to the second`, async () => {
    using clock = new FakeClock();
    const middleware = start({ maxAge: 60 }, make());
    const cookie = await signUp(middleware);
    const { session } = await open(middleware, cookie);
    assertEquals(session.expiresAt, new Date(clock.now + 60_000));
    clock.tick(59_999);
    assertEquals(await session.get("user"), "ada");
    assertEquals(await read(middleware, cookie), "ada");
    clock.tick(1);
    assertEquals(await session.get("user"), undefined);
    assertEquals(session.expiresAt, undefined);
    assertEquals(await read(middleware, cookie), undefined);
    await visit(middleware, { cookie }, ({ security: { session } }) => {
      assert(session.isNew);
      return "ok";
    });
  });

  Deno.test(`Session on ${name}: writing does not make an absolute life longer`, async () => {
    using clock = new FakeClock();
    const middleware = start({ maxAge: 60 }, make());
    const cookie = await signUp(middleware);
    clock.tick(59_000);
    const response = await visit(middleware, { cookie }, async ({ security: { session } }) => {
      await session.set("late", true);
      return "ok";
    });
    assertEquals(response.headers.getSetCookie(), []);
    clock.tick(1000);
    assertEquals(await read(middleware, cookie), undefined);
  });

  Deno.test(`Session on ${name}: without any limit the cookie ends with the browser and the record after a day`, async () => {
    using clock = new FakeClock();
    const middleware = start({}, make());
    const response = await visit(middleware, {}, async ({ security: { session } }) => {
      await session.set("user", "ada");
      return "ok";
    });
    const { attributes } = onlyCookie(response.headers);
    assertEquals([attributes["max-age"], attributes.expires], [undefined, undefined]);
    const cookie = cookieOf(response);
    clock.tick(24 * 60 * 60 * 1000 - 1);
    assertEquals(await read(middleware, cookie), "ada");
    clock.tick(1);
    assertEquals(await read(middleware, cookie), undefined);
  });

  Deno.test(`Session on ${name}: expires ends every session, and then none can begin`, async () => {
    using clock = new FakeClock();
    const middleware = start({ expires: new Date(clock.now + 60_000) }, make());
    const cookie = await signUp(middleware);
    clock.tick(60_000);
    assertEquals(await read(middleware, cookie), undefined);
    const { session, finish } = await open(middleware);
    await assertRejects(() => session.set("user", "late"), SessionGoneError);
    assertEquals((await finish()).headers.getSetCookie(), []);
  });

  Deno.test(`Session on ${name}: a dead id is never used again`, async () => {
    using clock = new FakeClock();
    const store = make();
    const middleware = start({ maxAge: 60 }, store);
    const cookie = await signUp(middleware);
    clock.tick(60_000);
    const { session, finish } = await open(middleware, cookie);
    assert(!cookie.includes(session.sessionId));
    await session.set("user", "bob");
    const next = cookieOf(await finish());
    assertNotEquals(next, cookie);
    assertEquals(await read(middleware, next), "bob");
    assertEquals(await read(middleware, cookie), undefined);
  });

  Deno.test(`Session.regenerate() on ${name} keeps the data and the deadline under a new id`, async () => {
    using clock = new FakeClock();
    const store = make();
    const middleware = start({ maxAge: 60 }, store);
    const cookie = await signUp(middleware, { user: "ada", __session: "mine", cart: [1] });
    clock.tick(10_000);
    const { session, finish } = await open(middleware, cookie);
    const before = session.sessionId;
    const expiresAt = session.expiresAt;
    session.set("late", 1);
    await session.regenerate();
    assertNotEquals(session.sessionId, before);
    assertEquals(session.expiresAt, expiresAt);
    assertEquals(await store.exist(before), false);
    await session.set("after", 2);
    const response = await finish();
    assertEquals(onlyCookie(response.headers).attributes["max-age"], "50");
    const next = cookieOf(response);
    await visit(middleware, { cookie: next }, async (context) => {
      assertEquals({ ...await context.security.session.entries() }, {
        user: "ada",
        __session: "mine",
        cart: [1],
        late: 1,
        after: 2,
      });
      return "ok";
    });
    assertEquals(await read(middleware, cookie), undefined);
    clock.tick(50_000);
    assertEquals(await read(middleware, next), undefined);
  });

  Deno.test(`Session.regenerate() on ${name} loses no write of a concurrent request, and brings nothing back`, async () => {
    const store = make();
    const middleware = start({}, store);
    const cookie = await signUp(middleware, { first: true });
    const others = await Promise.all(Array.from({ length: 30 }, () => open(middleware, cookie)));
    const { session, finish } = await open(middleware, cookie);
    const old = session.sessionId;
    const outcomes = others.map(async ({ session }, i) => {
      // Some before, some while, some after.
      for (let turns = 0; turns < i; turns++) await undefined;
      return await session.set(`key ${i}`, i).then(() => "written", (error) => error);
    });
    const renewal = (async () => {
      for (let turns = 0; turns < 10; turns++) await undefined;
      await session.regenerate();
    })();
    const results = await Promise.all(outcomes);
    await renewal;
    assertEquals(await store.exist(old), false);
    const next = cookieOf(await finish());
    for (const [i, result] of results.entries()) {
      if (result !== "written") assertInstanceOf(result, SessionGoneError);
      assertEquals(await read(middleware, next, `key ${i}`), result === "written" ? i : undefined);
    }
    assert(results.includes("written") && results.some((result) => result !== "written"));
  });

  Deno.test(`Session.regenerate() on ${name} refuses a session that ended meanwhile`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware);
    const { session, finish } = await open(middleware, cookie);
    const late = session.set("late", 1);
    await late;
    await session.store.delete(session.sessionId);
    const renewal = session.regenerate();
    const write = session.set("later", 1);
    await assertRejects(() => renewal, SessionGoneError);
    await assertRejects(() => write, SessionGoneError);
    assertEquals((await finish()).headers.getSetCookie(), []);
  });

  Deno.test(`Session on ${name}: what is read after a failed write may be that the session is gone`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({ onEvent: () => {} }, store);
    const { session } = await open(middleware, await signUp(middleware));
    seen.before = (method) => {
      if (method === "setValue") throw new Error("down");
    };
    await assertRejects(() => session.set("a", 1), SessionStoreError);
    seen.before = () => {};
    const id = session.sessionId;
    await store.delete(id);
    assertEquals(await session.get("user"), undefined);
    assertEquals(session.expiresAt, undefined);
    assertNotEquals(session.sessionId, id);
    await assertRejects(() => session.set("a", 1), SessionGoneError);
  });

  Deno.test(`Session.regenerate() on ${name} changes the id of a visitor without a record, and asks nothing`, async () => {
    const { store, probe: seen } = probe(make());
    const { session, finish } = await open(start({}, store));
    const before = session.sessionId;
    await session.regenerate();
    assertNotEquals(session.sessionId, before);
    assertEquals(seen.calls, []);
    assertEquals((await finish()).headers.getSetCookie(), []);
  });

  Deno.test(`Session.destroy() on ${name} removes the record and clears the cookie with its attributes`, async () => {
    const store = make();
    const middleware = start({ path: "/app", domain: "example.com", secure: true }, store);
    const cookie = await signUp(middleware);
    const { session, finish } = await open(middleware, cookie);
    const id = session.sessionId;
    await session.destroy();
    assertEquals(await store.exist(id), false);
    assertEquals(await session.get("user"), undefined);
    assertEquals(session.expiresAt, undefined);
    await assertRejects(() => session.set("user", "ada"), SessionGoneError);
    await session.destroy();
    const response = await finish();
    const { value, attributes } = onlyCookie(response.headers);
    assertEquals(value, "");
    assertEquals(attributes["max-age"], "0");
    assertEquals([attributes.path, attributes.domain, attributes.secure], ["/app", "example.com", true]);
    assertEquals(response.headers.get("cache-control"), "no-store");
    assertEquals(await read(middleware, cookie), undefined);
  });

  Deno.test(`Session.destroy() on ${name} comes after the writes before it, and none of them fails`, async () => {
    const store = make();
    const middleware = start({}, store);
    const { session, finish } = await open(middleware);
    session.set("a", 1);
    session.regenerate();
    session.set("b", 2);
    session.destroy();
    const response = await finish();
    assertEquals(onlyCookie(response.headers).value, "");
    if (store instanceof MemoryStore) assertEquals(store.size, 0);
    if (store instanceof BareStore) assertEquals(store.records.size, 0);
  });

  Deno.test(`Session on ${name}: saveUninitialized makes the record and the cookie at once`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({ saveUninitialized: true }, store);
    const response = await visit(middleware, {});
    const cookie = cookieOf(response);
    assert(seen.calls.length > 0);
    await visit(middleware, { cookie }, ({ security: { session } }) => {
      assertEquals(session.isNew, false);
      return "ok";
    });
  });

  Deno.test(`Session on ${name}: a store that failed while the record was made leaves no cookie behind`, async () => {
    const { store, probe: seen } = probe(make());
    seen.before = () => {
      throw new Error("down");
    };
    const middleware = start({ onEvent: () => {} }, store);
    const { session, finish } = await open(middleware);
    const error = await assertRejects(() => session.set("a", 1), SessionStoreError);
    assertEquals([error.httpCode, error.operation, (error.cause as Error).message], [503, "create", "down"]);
    assertEquals(await session.get("a"), undefined);
    assertEquals(session.expiresAt, undefined);
    // It is up again: the same request can begin anew.
    seen.before = () => {};
    await session.set("b", 2);
    const cookie = cookieOf(await finish());
    assertEquals(await read(middleware, cookie, "b"), 2);
    assertEquals(await read(middleware, cookie, "a"), undefined);
  });

  Deno.test(`Session on ${name}: writes behind a record that could not be made fail with it`, async () => {
    const { store, probe: seen } = probe(make());
    let down = true;
    seen.before = async () => {
      await undefined;
      if (down) throw new Error("down");
    };
    const { session, finish } = await open(start({ onEvent: () => {} }, store));
    const first = session.set("a", 1);
    const second = session.set("b", 2);
    await assertRejects(() => first, SessionStoreError);
    const error = await assertRejects(() => second, SessionStoreError, "could not be created");
    assertInstanceOf(error.cause, SessionStoreError);
    assertEquals((error.cause.cause as Error).message, "down");
    down = false;
    assertEquals((await finish()).headers.getSetCookie(), []);
  });

  Deno.test(`Session on ${name}: after a write that failed, a read asks what is there`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({ onEvent: () => {} }, store);
    const cookie = await signUp(middleware, { a: 1 });
    const { session } = await open(middleware, cookie);
    seen.before = (method) => {
      if (method === "setValue") throw new Error("down");
    };
    await assertRejects(() => session.set("a", 2), SessionStoreError, '"a"');
    assertEquals(await session.get("a"), 1);
    seen.before = () => {
      throw new Error("down");
    };
    await assertRejects(() => session.set("a", 2), SessionStoreError);
    await assertRejects(() => session.get("a"), SessionStoreError);
    seen.before = () => {};
    await session.set("a", 3);
    assertEquals(await session.get("a"), 3);
  });

  Deno.test(`Session on ${name}: what was written while the record is read again is not forgotten`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({ onEvent: () => {} }, store);
    const { session } = await open(middleware, await signUp(middleware, { a: 1 }));
    let fail = true;
    const gate = Promise.withResolvers<void>();
    seen.before = (method) => {
      if (method === "setValue" && fail) throw new Error("down");
      if (method === "readRecord" || method === "get") return gate.promise;
    };
    await assertRejects(() => session.set("a", 2), SessionStoreError);
    fail = false;
    const reading = session.get("b");
    session.set("b", "written meanwhile");
    gate.resolve();
    await reading;
    assertEquals(await session.get("b"), "written meanwhile");
  });

  Deno.test(`Session.regenerate() on ${name} keeps the old id where the store failed`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({ onEvent: () => {} }, store);
    const cookie = await signUp(middleware);
    const { session, finish } = await open(middleware, cookie);
    const id = session.sessionId;
    // On a bare store every one of its calls may be the one that fails.
    for (const broken of ["moveRecord", "get", "create", "setValue", "delete"]) {
      if ((name === "MemoryStore") !== (broken === "moveRecord")) continue;
      let failed = false;
      seen.before = (method) => {
        if (method !== broken || failed) return;
        failed = true;
        throw new Error("down");
      };
      await assertRejects(() => session.regenerate(), SessionStoreError);
      seen.before = () => {};
      assertEquals(session.sessionId, id);
      assertEquals(await session.get("user"), "ada");
    }
    assertEquals((await finish()).headers.getSetCookie(), []);
    assertEquals(await read(middleware, cookie), "ada");
    if (store instanceof BareStore) assertEquals(store.records.size, 1);
  });

  Deno.test(`Session.destroy() on ${name} clears the cookie even where the store failed, and can be tried again`, async () => {
    const { store, probe: seen } = probe(make());
    const events: SessionEvent[] = [];
    const middleware = start({ onEvent: (event) => events.push(event) }, store);
    const cookie = await signUp(middleware);
    const { session, finish } = await open(middleware, cookie);
    const { sessionId } = session;
    events.length = 0;
    seen.before = () => {
      throw new Error("down");
    };
    await assertRejects(() => session.destroy(), SessionStoreError);
    assertEquals(await session.get("user"), undefined);
    await assertRejects(() => session.set("user", "ada"), SessionGoneError);
    seen.before = () => {};
    assert(await store.exist(sessionId));
    await session.destroy();
    assertEquals(await store.exist(sessionId), false);
    assertEquals(onlyCookie((await finish()).headers).value, "");
    assertEquals(events.map(({ type }) => type), ["storeFailed", "destroyed"]);
    assertEquals(events[0]?.session, events[1]?.session);
    assertNotEquals(events[0]?.session, undefined);
  });

  Deno.test(`Session on ${name}: an id that came to nothing is not used again`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({ onEvent: () => {} }, store);
    const { session } = await open(middleware);
    const ids = [session.sessionId];
    seen.before = () => {
      throw new Error("down");
    };
    await assertRejects(() => session.set("a", 1), SessionStoreError);
    seen.before = () => {};
    ids.push(session.sessionId);
    await session.set("a", 1);
    await session.destroy();
    ids.push(session.sessionId);
    assertEquals(new Set(ids).size, 3);
  });

  Deno.test(`Session.delete() on ${name} says in its errors what it is`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({ onEvent: () => {} }, store);
    const { session } = await open(middleware, await signUp(middleware));
    seen.before = () => {
      throw new Error("down");
    };
    const error = await assertRejects(() => session.delete("user"), SessionStoreError, 'Cannot delete "user"');
    assertEquals(error.operation, "delete");
  });

  Deno.test(`Session on ${name}: what changed while the record is read again is not lost sight of`, async (t) => {
    for (
      const [how, act] of [
        ["a write that ended meanwhile", async (session: Session) => await session.set("b", "meanwhile")],
        ["a write that is not over yet", (session: Session, seen: Probe) => {
          seen.before = (method) => method === "setValue" ? turns() : undefined;
          session.set("b", "meanwhile");
        }],
        ["a new id", async (session: Session) => {
          await session.regenerate();
          await session.set("b", "meanwhile");
        }],
      ] as const
    ) {
      await t.step(how, async () => {
        const store = make();
        const { store: watched, probe: seen } = probe(store);
        const middleware = start({ onEvent: () => {} }, watched);
        const { session, finish } = await open(middleware, await signUp(middleware));
        seen.before = (method) => {
          if (method === "setValue") throw new Error("down");
        };
        await assertRejects(() => session.set("a", 1), SessionStoreError);
        seen.before = () => {};
        // The store has looked, and is slow to answer.
        const slow = answersLate(store);
        const reading = session.get("b");
        await undefined;
        await undefined;
        slow.stop();
        await act(session, seen);
        slow.answer();
        assertEquals(await reading, "meanwhile");
        assertEquals(await session.get("b"), "meanwhile");
        await session.set("c", 1);
        await finish();
      });
    }
  });

  Deno.test(`Session on ${name}: a failed write that nobody awaited fails the request and is reported`, async (t) => {
    const causes: [
      string,
      (session: Session) => void,
      typeof Error | typeof SessionStoreError | typeof SessionGoneError,
      string,
    ][] = [
      ["the store is down", (session) => void session.set("a", "down"), SessionStoreError, "storeFailed"],
      ["the value cannot be kept", (session) => void session.set("a", () => 1), TypeError, "writeFailed"],
      [
        "the session is gone",
        (session) => {
          session.destroy();
          session.set("a", 1);
        },
        SessionGoneError,
        "writeFailed",
      ],
    ];
    for (const [why, act, errorClass, type] of causes) {
      await t.step(why, async () => {
        const events: { type: string; session?: string }[] = [];
        const { store, probe: seen } = probe(make());
        const middleware = start({ onEvent: (event) => events.push(event) }, store);
        const cookie = await signUp(middleware);
        events.length = 0;
        seen.before = (_method, args) => {
          if (args.includes("down")) throw new Error("down");
        };
        const { session, finish } = await open(middleware, cookie);
        act(session);
        const error = await finish().then(() => undefined, (error) => error);
        assertInstanceOf(error, errorClass);
        assertEquals(events.map((event) => event.type).filter((type) => type !== "destroyed"), [type]);
        assert(!JSON.stringify(events).includes(cookie.slice(4, 28)));
      });
    }
    await t.step("without a listener, on the console and without ids", async () => {
      using errors = new Captured("error");
      const { store, probe: seen } = probe(make());
      const middleware = start({}, store);
      const cookie = await signUp(middleware);
      const { session, finish } = await open(middleware, cookie);
      seen.before = (_method, args) => {
        throw new RangeError(`cannot reach redis://user:password@host for ${args[0]}`);
      };
      session.set("a", 1);
      await assertRejects(finish, SessionStoreError);
      assertEquals(errors.lines.length, 1);
      const line = `${errors.lines[0]}`;
      assertMatch(line, /set failed and nobody awaited it: SessionStoreError because of RangeError/);
      assert(!line.includes("password") && !line.includes(cookie.slice(4, 28)));
    });
    await t.step("and not where the application caught it", async () => {
      using errors = new Captured("error");
      const { store, probe: seen } = probe(make());
      const { session, finish } = await open(start({}, store));
      seen.before = () => {
        throw new Error("down");
      };
      await session.set("a", 1).catch(() => {});
      await finish();
      assertEquals(errors.lines, []);
    });
  });

  Deno.test(`Session on ${name}: a store that is slow loses nothing`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({}, store);
    const cookie = await signUp(middleware);
    const gate = Promise.withResolvers<void>();
    seen.before = () => gate.promise;
    const under = visit(middleware, { cookie }, ({ security: { session } }) => {
      session.set("late", true);
      return "ok";
    });
    gate.resolve();
    await under;
    assertEquals(await read(middleware, cookie, "late"), true);
  });

  Deno.test(`Session.get() on ${name} uses the fallback for what is not there, and not for null`, async () => {
    const { session } = await open(start({}, make()));
    await session.set("a", null);
    assertEquals(await session.get("a", "fallback"), null);
    assertEquals(await session.get("b", "fallback"), "fallback");
  });

  Deno.test(`Session.destroy() on ${name} is seen at once, before it is over`, async () => {
    const middleware = start({}, make());
    const { session, finish } = await open(middleware, await signUp(middleware));
    const id = session.sessionId;
    session.set("a", 1);
    session.destroy();
    assertNotEquals(session.sessionId, id);
    assertEquals(session.expiresAt, undefined);
    assertEquals(await session.get("user"), undefined);
    await finish();
  });

  Deno.test(`Session.destroy() on ${name} asks the store nothing the second time`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({}, store);
    const { session } = await open(middleware, await signUp(middleware));
    await session.destroy();
    seen.calls.length = 0;
    await session.destroy();
    assertEquals(seen.calls, []);
  });

  Deno.test(`Session.destroy() on ${name} of a new visitor: no session begins after it, and the cookie is cleared`, async () => {
    const { store, probe: seen } = probe(make());
    const { session, finish } = await open(start({}, store));
    const id = session.sessionId;
    await session.destroy();
    assertNotEquals(session.sessionId, id);
    await assertRejects(() => session.set("a", 1), SessionGoneError);
    assertEquals(seen.calls, []);
    assertEquals(onlyCookie((await finish()).headers).value, "");
  });

  Deno.test(`Session.destroy() on ${name} clears the cookie also where the record before it could not be made`, async () => {
    const { store, probe: seen } = probe(make());
    seen.before = async () => {
      await undefined;
      throw new Error("down");
    };
    const { session, finish } = await open(start({ onEvent: () => {} }, store));
    const written = session.set("a", 1);
    const ended = session.destroy();
    await assertRejects(() => written, SessionStoreError);
    await ended;
    assertEquals(onlyCookie((await finish()).headers).value, "");
  });

  Deno.test(`Session on ${name}: after its end everything that writes is refused, before the store is asked`, async (t) => {
    const writes: Record<string, (session: Session) => Promise<unknown>> = {
      set: (session) => session.set("a", 1),
      delete: (session) => session.delete("user"),
      update: (session) => session.update("user", () => "bob"),
      take: (session) => session.take("user"),
      clear: (session) => session.clear(),
      touch: (session) => session.touch(),
      regenerate: (session) => session.regenerate(),
      "regenerate with a principal": (session) => session.regenerate({ principal: "ada" }),
      csrfToken: (session) => session.csrfToken(),
    };
    const ends: [string, boolean, (session: Session, clock: FakeClock, seen: Probe) => Promise<void> | void][] = [
      ["expired", true, (_session, clock) => clock.tick(60_000)],
      ["destroyed", true, (session) => session.destroy()],
      ["destroyed before it began", false, (session) => session.destroy()],
      ["destroyed, and the store failed", true, async (session, _clock, seen) => {
        seen.before = () => Promise.reject(new Error("down"));
        await assertRejects(() => session.destroy(), SessionStoreError);
        seen.before = () => {};
      }],
    ];
    for (const [how, found, end] of ends) {
      for (const [what, write] of Object.entries(writes)) {
        await t.step(`${how}: ${what}`, async () => {
          using clock = new FakeClock();
          const { store, probe: seen } = probe(make());
          const middleware = start({ maxAge: 60, rolling: true, onEvent: () => {} }, store);
          const { session, finish } = await open(middleware, found ? await signUp(middleware) : undefined);
          await end(session, clock, seen);
          seen.calls.length = 0;
          await assertRejects(() => write(session), SessionGoneError);
          assertEquals(seen.calls, []);
          const cookies = (await finish()).headers.getSetCookie();
          assert(cookies.every((line) => line.startsWith("sid=;")));
          assertEquals(cookies.length, how === "expired" ? 0 : 1);
        });
      }
    }
  });

  Deno.test(`Session on ${name}: what waits behind a write that found the session gone does not ask the store`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({}, store);
    const { session } = await open(middleware, await signUp(middleware));
    await store.delete(session.sessionId);
    seen.calls.length = 0;
    const first = session.set("a", 1);
    const second = session.set("b", 2);
    await assertRejects(() => first, SessionGoneError);
    const asked = seen.calls.length;
    await assertRejects(() => second, SessionGoneError);
    assertEquals(seen.calls.length, asked);
  });

  Deno.test(`Session on ${name}: a session that expires in the request that began it has another id from then on`, async () => {
    using clock = new FakeClock();
    const { session } = await open(start({ maxAge: 60 }, make()));
    const id = session.sessionId;
    await session.set("a", 1);
    assertEquals(session.sessionId, id);
    clock.tick(60_000);
    assertNotEquals(session.sessionId, id);
    assertEquals(session.expiresAt, undefined);
    assertEquals(await session.get("a"), undefined);
  });

  Deno.test(`Session on ${name}: what waited for its turn until the session expired comes too late`, async (t) => {
    const late: [string, (session: Session) => Promise<unknown>[]][] = [
      ["a write", (session) => [session.set("b", 2)]],
      ["a new id", (session) => [session.regenerate()]],
      ["a write and a new id", (session) => [session.set("b", 2), session.regenerate()]],
    ];
    for (const [what, act] of late) {
      await t.step(what, async () => {
        using clock = new FakeClock();
        const { store, probe: seen } = probe(make());
        const middleware = start({ maxAge: 60 }, store);
        const { session, finish } = await open(middleware, await signUp(middleware));
        const gate = Promise.withResolvers<void>();
        seen.before = (method) => method === "setValue" ? gate.promise : undefined;
        const first = session.set("a", 1).catch(() => {});
        const outcomes = act(session).map((outcome) => assertRejects(() => outcome, SessionGoneError));
        clock.tick(60_000);
        gate.resolve();
        await first;
        await Promise.all(outcomes);
        assertEquals((await finish()).headers.getSetCookie(), []);
      });
    }
  });

  Deno.test(`Session on ${name}: a read after a failed write waits for the writes under way`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({ onEvent: () => {} }, store);
    const { session } = await open(middleware, await signUp(middleware));
    seen.before = (method) => {
      if (method === "setValue") throw new Error("down");
    };
    await assertRejects(() => session.set("a", 1), SessionStoreError);
    const gate = Promise.withResolvers<void>();
    seen.before = (method) => method === "setValue" ? gate.promise : undefined;
    seen.calls.length = 0;
    session.set("b", "under way");
    const reading = session.get("b");
    await turns();
    assertEquals(seen.calls, ["setValue"]);
    gate.resolve();
    assertEquals(await reading, "under way");
  });

  Deno.test(`Session on ${name}: what is read after a failed write is read once`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({ onEvent: () => {} }, store);
    const { session } = await open(middleware, await signUp(middleware));
    seen.before = (method) => {
      if (method === "setValue") throw new Error("down");
    };
    await assertRejects(() => session.set("a", 1), SessionStoreError);
    seen.calls.length = 0;
    assertEquals(await session.get("a"), undefined);
    assertEquals(await session.get("user"), "ada");
    await session.entries();
    assertEquals(seen.calls.length, 1);
  });

  Deno.test(`Session on ${name}: saveUninitialized has made the record before the action runs`, async () => {
    const { store, probe: seen } = probe(make());
    seen.before = () => turns();
    const { session } = await open(start({ saveUninitialized: true }, store));
    seen.before = () => {};
    assert(await store.exist(session.sessionId));
  });

  Deno.test(`Session on ${name}: saveUninitialized fails the request where the record cannot be made, and tells of it`, async () => {
    const events: SessionEvent[] = [];
    const { store, probe: seen } = probe(make());
    seen.before = () => {
      throw new Error("down");
    };
    const middleware = start({ saveUninitialized: true, onEvent: (event) => events.push(event) }, store);
    const error = await assertRejects(() => open(middleware), SessionStoreError);
    assertEquals(error.operation, "create");
    await turns();
    assertEquals(events.map(({ type }) => type), ["storeFailed"]);
  });

  Deno.test(`Session on ${name}: writes that a write leads to are finished in time too`, async (t) => {
    const acts: [string, (session: Session) => void][] = [
      ["by then()", (session) => void session.set("a", 1).then(() => session.set("b", 2))],
      ["in a function that nobody awaits", (session) => {
        const act = async (): Promise<void> => {
          await session.set("a", 1);
          await session.set("b", 2);
        };
        act();
      }],
    ];
    for (const [how, act] of acts) {
      await t.step(how, async () => {
        const { store, probe: seen } = probe(make());
        const middleware = start({}, store);
        const cookie = await signUp(middleware);
        seen.before = (method) => method === "setValue" ? turns() : undefined;
        await visit(middleware, { cookie }, ({ security: { session } }) => {
          act(session);
          return "ok";
        });
        assertEquals(await store.getValue(cookie.slice(4, 28), "b"), 2);
      });
    }
  });

  Deno.test(`Session on ${name}: a function that nobody awaits has all its writes in time`, async () => {
    const store = make();
    const middleware = start({}, store);
    const cookie = await signUp(middleware);
    await visit(middleware, { cookie }, ({ security: { session } }) => {
      void (async () => {
        for (let i = 1; i <= 30; i++) await session.set("a", i);
      })();
      return "ok";
    });
    assertEquals(await store.getValue(cookie.slice(4, 28), "a"), 30);
  });

  Deno.test(`Session on ${name}: a write that was refused before the action ended fails the request all the same`, async () => {
    const request = visit(start({ onEvent: () => {} }, make()), {}, async ({ security: { session } }) => {
      session.set("a", () => 1);
      await turns();
      return "ok";
    });
    await assertRejects(() => request, TypeError, '"a"');
  });

  Deno.test(`Session on ${name}: an awaited failure is told of once where it is the store's, and else not`, async () => {
    const events: SessionEvent[] = [];
    const { store, probe: seen } = probe(make());
    seen.before = () => {
      throw new Error("down");
    };
    const { session, finish } = await open(start({ onEvent: (event) => events.push(event) }, store));
    await assertRejects(() => session.set("a", () => 1), TypeError);
    await turns();
    assertEquals(events, []);
    await assertRejects(() => session.set("a", 1), SessionStoreError);
    await finish();
    await turns();
    assertEquals(events.map(({ type }) => type), ["storeFailed"]);
  });

  Deno.test(`Session on ${name}: where there is a listener the console is silent`, async () => {
    using errors = new Captured("error");
    const request = visit(start({ onEvent: () => {} }, make()), {}, ({ security: { session } }) => {
      session.set("a", () => 1);
      return "ok";
    });
    await assertRejects(() => request, TypeError);
    await turns();
    assertEquals(errors.lines, []);
  });
}

Deno.test("Session on a bare store: a refused write behind the first one leaves that one alone", async () => {
  const store = new BareStore();
  const real = store.setValue.bind(store);
  store.setValue = (sid, key, value) => value === 13 ? Promise.reject(new TypeError("13")) : real(sid, key, value);
  const middleware = start({ onEvent: () => {} }, store);
  const { session, finish } = await open(middleware);
  const first = session.set("a", 1);
  const second = session.set("n", 13);
  await first;
  await assertRejects(() => second, SessionStoreError, '"n"');
  assertEquals(await session.get("a"), 1);
  assertEquals(await read(middleware, cookieOf(await finish()), "a"), 1);
});

Deno.test("Session on a bare store: SessionGoneError keeps what the store itself said", async () => {
  const store = new BareStore();
  const middleware = start({}, store);
  const { session } = await open(middleware, await signUp(middleware));
  await store.delete(session.sessionId);
  const error = await assertRejects(() => session.set("a", 1), SessionGoneError);
  assertEquals((error.cause as Error).message, "no such session");
});

Deno.test("Session on a bare store: ended while it gets a new id, it is not left under two", async () => {
  const { store, probe: seen } = probe(new BareStore());
  const middleware = start({}, store);
  const cookie = await signUp(middleware);
  const [one, other] = [await open(middleware, cookie), await open(middleware, cookie)];
  const gate = Promise.withResolvers<void>();
  seen.before = (method, args) => method === "setValue" && args[1] === "__session" ? gate.promise : undefined;
  const renewal = one.session.regenerate();
  await turns();
  const end = other.session.destroy();
  gate.resolve();
  await Promise.allSettled([renewal, end]);
  assertEquals(await store.exist(cookie.slice(4, 28)), false);
  assert(store.records.size <= 1);
});

Deno.test("Session.store is the raw store, and sessionKey the cookie's name", async () => {
  const store = new MemoryStore();
  const { session } = await open(start({ name: "other" }, store));
  assertEquals(session.store, store);
  assertEquals(session.sessionKey, "other");
});

Deno.test("Session never shows the error classes of a store, and no id in a message", async () => {
  const { store, probe: seen } = probe(new BareStore());
  const middleware = start({ onEvent: () => {} }, store);
  const { session } = await open(middleware, await signUp(middleware));
  seen.before = (_method, args) => {
    throw new Error(`no ${args[0]}`);
  };
  for (const act of [() => session.set("a", 1), () => session.regenerate(), () => session.destroy()]) {
    const error = await assertRejects(act, SessionError);
    assert(!error.message.includes(session.sessionId));
    assertMatch(error.message, /^Cannot (set "a"|regenerate|destroy): the session store failed$/);
  }
});
