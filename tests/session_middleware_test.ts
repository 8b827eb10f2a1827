import {
  assert,
  assertEquals,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "./helpers/assert.ts";
import { FakeClock } from "./helpers/clock.ts";
import { contextOf, cookieOf, onlyCookie, read, SECRET, setCookies, signUp, start, visit } from "./helpers/request.ts";
import { microtasks } from "./helpers/microtasks.ts";
import { BasicStore, probe } from "./helpers/stores.ts";
import {
  Context,
  MemoryStore,
  type SessionEvent,
  SessionGoneError,
  SessionNotSupportedError,
  type SessionStore,
  SessionStoreError,
} from "../mod.ts";
import { Signer } from "../src/cookie/signer.ts";

const forged = `sid=${"A".repeat(24)}.${"A".repeat(43)}`;
const write = async ({ security: { session } }: ReturnType<typeof contextOf>): Promise<string> => {
  await session.set("written", true);
  return "ok";
};
/** Returns the hash that events name a cookie's session by. */
const hashOf = (cookie: string): string =>
  new Signer("sid", [new TextEncoder().encode(SECRET)]).handle(cookie.slice(4, 28));
const reasonOf = (event: SessionEvent): string => event.type === "refused" ? event.reason : event.type;

Deno.test("SessionMiddleware sets one signed cookie with HttpOnly, SameSite=Lax and Path=/ only", async () => {
  const { name, value, attributes } = onlyCookie((await visit(start(), {}, write)).headers);
  assertEquals(name, "sid");
  assert(/^[\w-]{24}\.[\w-]{43}$/.test(value));
  assertEquals(attributes, { httponly: true, samesite: "Lax", path: "/" });
});

Deno.test("SessionMiddleware sets Secure", async (t) => {
  const https = { url: "https://example.com/" };
  const forwarded = (proto: string): { headers: Record<string, string> } => ({
    headers: { "x-forwarded-proto": proto },
  });
  const cases: [string, Parameters<typeof start>[0], Parameters<typeof visit>[1], boolean][] = [
    ["over https", {}, https, true],
    ["not over http", {}, {}, false],
    ["not over https if that was turned off", { secure: false }, https, false],
    ["over http if that was asked for", { secure: true }, {}, true],
    ["not for X-Forwarded-Proto without trustProxy", {}, forwarded("https"), false],
    ["behind a trusted proxy", { trustProxy: true }, forwarded("https"), true],
    ["behind two trusted proxies", { trustProxy: true }, forwarded("HTTPS , http"), true],
    ["not behind a trusted proxy that was reached over http", { trustProxy: true }, forwarded("http, https"), false],
    ["over https behind a proxy that sends no header", { trustProxy: true }, https, true],
    ["for sameSite None", { sameSite: "None" }, {}, true],
    ["for __Host-", { name: "__Host-sid" }, {}, true],
    ["for __Secure-", { name: "__Secure-sid" }, {}, true],
  ];
  for (const [name, options, request, secure] of cases) {
    await t.step(name, async () => {
      const response = await visit(start(options), request, write);
      assertEquals(onlyCookie(response.headers).attributes.secure === true, secure);
    });
  }
});

Deno.test("SessionMiddleware decides about Secure for each request", async () => {
  const middleware = start({ maxAge: 60 });
  const secure: unknown[] = [];
  for (const url of ["http://localhost/", "https://localhost/", "http://localhost/"]) {
    secure.push(onlyCookie((await visit(middleware, { url }, write)).headers).attributes.secure);
  }
  assertEquals(secure, [undefined, true, undefined]);
});

Deno.test("SessionMiddleware with saveUninitialized creates no session after the date in expires", async () => {
  using clock = new FakeClock();
  const middleware = start({ saveUninitialized: true, expires: new Date(clock.now + 1000) });
  assertEquals((await visit(middleware, {})).headers.getSetCookie().length, 1);
  clock.tick(1000);
  assertEquals((await visit(middleware, {})).headers.getSetCookie(), []);
});

Deno.test("SessionMiddleware on a basic store finds no session in a record that is not complete yet", async (t) => {
  await t.step("while the store is slow", async () => {
    const { store, probe: seen } = probe(new BasicStore());
    const middleware = start({}, store);
    const gate = Promise.withResolvers<void>();
    seen.before = (method, args) => method === "setValue" && args[1] === "user" ? gate.promise : undefined;
    const context = contextOf();
    await middleware.onPreRequest(context);
    const first = context.security.session.set("user", "first");
    const cookie = cookieOf(context.response);
    await visit(middleware, { cookie }, async ({ security: { session } }) => {
      assert(session.isNew);
      assertEquals(await session.get("user"), undefined);
      return "ok";
    });
    gate.resolve();
    await first;
    assertEquals(await read(middleware, cookie), "first");
  });
  await t.step("after its creation failed and it could not be removed", async () => {
    const { store, probe: seen } = probe(new BasicStore());
    const middleware = start({ onEvent: () => {} }, store);
    const context = contextOf();
    await middleware.onPreRequest(context);
    seen.before = (method, args) => {
      if (method === "delete" || args[1] === "user") throw new Error("down");
    };
    const written = context.security.session.set("user", "first");
    const cookie = cookieOf(context.response);
    await assertRejects(() => written, SessionStoreError);
    seen.before = () => {};
    assertEquals(store.records.size, 1);
    await visit(middleware, { cookie }, ({ security: { session } }) => {
      assert(session.isNew);
      return "ok";
    });
  });
});

Deno.test("two middlewares on one basic store share its mutex", async () => {
  const store = new BasicStore();
  const [one, other] = [start({}, store), start({}, store)];
  const cookie = await signUp(one, { n: 0 });
  await Promise.all(
    Array.from(
      { length: 20 },
      (_, i) =>
        visit(i % 2 === 0 ? one : other, { cookie }, async ({ security: { session } }) => {
          await session.update("n", (n: number | undefined) => (n ?? 0) + 1);
          return "ok";
        }),
    ),
  );
  assertEquals(await read(one, cookie, "n"), 20);
});

Deno.test("SessionMiddleware looks up an id once if two secrets have signed it", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const [older, newer] = ["the secret of the last two years", "the secret from this day onwards"];
  const events: SessionEvent[] = [];
  const before = await signUp(start({ secret: older }, store));
  const middleware = start({ secret: [newer, older], onEvent: (event) => events.push(event) }, store);
  const after = cookieOf(await visit(middleware, { cookie: before }));
  seen.calls.length = 0;
  await visit(middleware, { cookie: `${after}; ${before}` });
  assertEquals([seen.calls.length, events], [1, []]);
});

Deno.test("SessionMiddleware clears the cookie with Secure if the request came over https", async () => {
  const response = await visit(
    start(),
    { url: "https://example.com/", cookie: "sid=x" },
    async ({ security: { session } }) => {
      await session.destroy();
      return "ok";
    },
  );
  assertEquals(onlyCookie(response.headers).attributes.secure, true);
});

Deno.test("SessionMiddleware sets Max-Age and Expires only if an option says so", async () => {
  using clock = new FakeClock();
  const expires = new Date(clock.now + 5000);
  const attributes = async (options: Parameters<typeof start>[0]): Promise<unknown[]> => {
    const { attributes } = onlyCookie((await visit(start(options), {}, write)).headers);
    return [attributes["max-age"], attributes.expires];
  };
  assertEquals(await attributes({}), [undefined, undefined]);
  assertEquals(await attributes({ maxAge: 60 }), ["60", undefined]);
  assertEquals(await attributes({ expires }), [undefined, expires.toUTCString()]);
  assertEquals(await attributes({ maxAge: 60, expires }), ["60", undefined]);
});

Deno.test("SessionMiddleware gives an unknown visitor a new session if the cookie belongs to no live session", async (t) => {
  const store = new MemoryStore();
  const middleware = start({}, store);
  const cookie = await signUp(middleware);
  const signedByOthers = await signUp(start({ secret: "another secret of some 32 bytes." }));
  const otherName = await signUp(start({ name: "other" }, store));
  const ended = await signUp(middleware);
  await visit(middleware, { cookie: ended }, async ({ security: { session } }) => {
    await session.destroy();
    return "ok";
  });
  const cases: [string, string, string, boolean][] = [
    ["forged", forged, "signature", false],
    ["malformed", "sid=x", "malformed", false],
    ["empty", "sid=", "malformed", false],
    ["quoted", `sid="${cookie.slice(4)}"`, "malformed", false],
    ["signed by another secret", signedByOthers, "signature", false],
    ["signed for another cookie", `sid=${otherName.slice("other=".length)}`, "signature", false],
    ["of a session that ended", ended, "unknown", true],
  ];
  for (const [name, presented, reason, hashed] of cases) {
    await t.step(name, async () => {
      const events: SessionEvent[] = [];
      const { store: watched, probe: seen } = probe(store);
      const watching = start({ onEvent: (event) => events.push(event) }, watched);
      const response = await visit(watching, { cookie: presented }, ({ security: { session } }) => {
        assert(session.isNew);
        assert(!presented.includes(session.sessionId));
        return "ok";
      });
      assertEquals(response.headers.getSetCookie(), []);
      assertEquals(seen.calls.length, hashed ? 1 : 0);
      const [event] = events;
      assertEquals(events.length, 1);
      assertEquals(event && reasonOf(event), reason);
      assertEquals(event?.session !== undefined, hashed);
      assert(!JSON.stringify(events).includes(presented.slice(4, 28)) || presented.length < 8);

      const next = cookieOf(await visit(watching, { cookie: presented }, write));
      assertNotEquals(next.slice(0, 28), presented.slice(0, 28));
      assertEquals(await read(middleware, next, "written"), true);
    });
  }
});

Deno.test("SessionMiddleware tries up to four cookies of the name and uses the first live session", async (t) => {
  const { store, probe: seen } = probe(new MemoryStore());
  const events: SessionEvent[] = [];
  const middleware = start({ onEvent: (event) => events.push(event) }, store);
  const ada = await signUp(middleware, { user: "ada" });
  const bob = await signUp(middleware, { user: "bob" });
  const dead = await signUp(middleware, { user: "dead" });
  await visit(middleware, { cookie: dead }, async ({ security: { session } }) => {
    await session.destroy();
    return "ok";
  });
  const cases: [string, string[], unknown, string[], number][] = [
    ["a forged one before", [forged, ada], "ada", ["signature"], 1],
    ["three before", ["sid=x", forged, dead, ada], "ada", ["malformed", "signature", "unknown"], 2],
    ["four before", ["sid=1", "sid=2", "sid=3", "sid=4", ada], undefined, Array(4).fill("malformed"), 0],
    ["a dead one before", [dead, ada], "ada", ["unknown"], 2],
    ["the same one twice", [ada, ada], "ada", [], 1],
    ["two live ones", [ada, bob], "ada", ["ambiguous"], 2],
    ["two live ones, the other way round", [bob, ada], "bob", ["ambiguous"], 2],
    ["among other cookies", ["a=1", ada, "b=2"], "ada", [], 1],
  ];
  for (const [name, cookies, user, reasons, calls] of cases) {
    await t.step(name, async () => {
      events.length = 0;
      seen.calls.length = 0;
      assertEquals(await read(middleware, cookies.join("; ")), user);
      assertEquals(events.map(reasonOf), reasons);
      assertEquals(seen.calls.length, calls);
    });
  }
});

Deno.test("SessionMiddleware reports the second of two live sessions by its hash", async () => {
  const events: SessionEvent[] = [];
  const middleware = start({ onEvent: (event) => events.push(event) });
  const [ada, bob] = [await signUp(middleware), await signUp(middleware)];
  events.length = 0;
  await visit(middleware, { cookie: `${ada}; ${bob}` });
  assertEquals(events, [{ type: "refused", reason: "ambiguous", count: 1, session: hashOf(bob) }]);
});

Deno.test("SessionMiddleware reports a failed write with the hash of its session, if there is one", async (t) => {
  const down = (method: string): void => {
    if (method !== "readRecord") throw new Error("down");
  };
  const cases: [string, boolean, unknown, (method: string) => void, string][] = [
    ["a live session while the store is down", true, 1, down, "storeFailed"],
    ["a live session and a refused value", true, () => 1, () => {}, "writeFailed"],
    ["a new visitor while the store is down", false, 1, down, "storeFailed"],
    ["a new visitor and a refused value", false, () => 1, () => {}, "writeFailed"],
  ];
  for (const [name, live, value, before, type] of cases) {
    await t.step(name, async () => {
      const events: SessionEvent[] = [];
      const { store, probe: seen } = probe(new MemoryStore());
      const middleware = start({ onEvent: (event) => events.push(event) }, store);
      const cookie = await signUp(middleware);
      events.length = 0;
      seen.before = before;
      const request = visit(middleware, live ? { cookie } : {}, ({ security: { session } }) => {
        session.set("a", value);
        return "ok";
      });
      await assertRejects(() => request, type === "storeFailed" ? SessionStoreError : TypeError);
      assertEquals(events.map(({ type, session }) => [type, session]), [[type, live ? hashOf(cookie) : undefined]]);
    });
  }
});

Deno.test("SessionMiddleware.onPostRequest() waits for the writes after the action has thrown, and adds no error", async (t) => {
  for (const fails of [false, true]) {
    await t.step(fails ? "if they fail" : "if they succeed", async () => {
      const { store, probe: seen } = probe(new MemoryStore());
      const middleware = start({ onEvent: () => {} }, store);
      const cookie = await signUp(middleware);
      const gate = Promise.withResolvers<void>();
      seen.before = (method) => method === "setValue" ? gate.promise : undefined;
      const context = contextOf({ cookie });
      await middleware.onPreRequest(context);
      context.security.session.set("late", 1);
      context.response.error = new Error("the application's own");
      let isFinished = false;
      const finished = Promise.resolve(middleware.onPostRequest(context)).then(() => isFinished = true);
      await microtasks();
      assertEquals(isFinished, false);
      if (fails) gate.reject(new Error("down"));
      else gate.resolve();
      await finished;
      seen.before = () => {};
      assertEquals(await read(middleware, cookie, "late"), fails ? undefined : 1);
    });
  }
});

Deno.test("SessionMiddleware signs a cookie of an older secret again on that response", async () => {
  using clock = new FakeClock();
  const store = new MemoryStore();
  const [older, newer] = ["the secret of the last two years", "the secret from this day onwards"];
  const cookie = await signUp(start({ secret: older, maxAge: 60 }, store));
  clock.tick(20_000);
  const rotated = start({ secret: [newer, older], maxAge: 60 }, store);
  const response = await visit(rotated, { cookie }, async ({ security: { session } }) => {
    assertEquals(await session.get("user"), "ada");
    return "ok";
  });
  const { value, attributes } = onlyCookie(response.headers);
  assertEquals(value.slice(0, 24), cookie.slice(4, 28));
  assertEquals(attributes["max-age"], "40");
  assertEquals(await read(start({ secret: newer }, store), `sid=${value}`), "ada");
  const settled = await visit(rotated, { cookie: `sid=${value}` });
  assertEquals(settled.headers.getSetCookie(), []);
  assertEquals(await read(start({ secret: newer }, store), cookie), undefined);
});

Deno.test("SessionMiddleware keeps two cookie names apart", async () => {
  const store = new MemoryStore();
  const [a, b] = [start({ name: "a" }, store), start({ name: "b" }, store)];
  const context = contextOf();
  await a.onPreRequest(context);
  const first = context.security.session;
  await b.onPreRequest(context);
  const second = context.security.session;
  await first.set("x", 1);
  await second.set("x", 2);
  assertEquals(setCookies(context.response.headers).map(({ name }) => name), ["a", "b"]);
  assertNotEquals(first.sessionId, second.sessionId);
});

Deno.test("SessionMiddleware registered twice looks the session up once", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const middleware = start({}, store);
  const cookie = await signUp(middleware);
  seen.calls.length = 0;
  const context = contextOf({ cookie });
  await middleware.onPreRequest(context);
  const { session } = context.security;
  await middleware.onPreRequest(context);
  assertStrictEquals(context.security.session, session);
  assertEquals(seen.calls.length, 1);
});

Deno.test("SessionMiddleware adds security to a context that has none, and keeps an existing one", async () => {
  const middleware = start();
  const plain = new Context(new Request("http://localhost/"));
  await middleware.onPreRequest(plain);
  const { security } = plain as Context & {
    security: { session: { set(key: string, value: unknown): Promise<void> } };
  };
  await security.session.set("a", 1);
  assertEquals(plain.response.headers.getSetCookie().length, 1);

  const theirs: { session?: unknown; auth: string } = { auth: "theirs" };
  const context = Object.assign(new Context(new Request("http://localhost/")), { security: theirs });
  await middleware.onPreRequest(context);
  assertStrictEquals(context.security, theirs);
  assertEquals(typeof theirs.session, "object");
});

Deno.test("SessionMiddleware refuses the request if the store cannot look up its session", async (t) => {
  for (
    const [how, fail] of [
      ["rejects", () => Promise.reject(new Error("down"))],
      ["throws", () => {
        throw new Error("down");
      }],
    ] as const
  ) {
    for (
      const [name, make] of [
        ["MemoryStore", () => new MemoryStore()],
        ["a basic store", () => new BasicStore()],
      ] as const
    ) {
      await t.step(`${name} ${how}`, async () => {
        const events: SessionEvent[] = [];
        const { store, probe: seen } = probe(make());
        const middleware = start({ onEvent: (event) => events.push(event) }, store);
        const cookie = await signUp(middleware);
        events.length = 0;
        seen.before = fail;
        const error = await assertRejects(() => visit(middleware, { cookie }), SessionStoreError);
        assertEquals([error.httpCode, error.operation], [503, "get"]);
        assertEquals(events.map(({ type, session }) => [type, session]), [["storeFailed", hashOf(cookie)]]);
        // A visitor without a session does not depend on the store.
        await visit(middleware, {});
        await visit(middleware, { cookie: forged });
        seen.before = () => {};
        assertEquals(await read(middleware, cookie), "ada");
      });
    }
  }
});

Deno.test("SessionMiddleware finds no session in an answer of the store that is no record", async () => {
  const store = new BasicStore();
  const middleware = start({}, store);
  const cookie = await signUp(middleware);
  const id = cookie.slice(4, 28);
  store.get = () => Promise.resolve({ user: "ada", __session: undefined });
  assertEquals(await read(middleware, cookie), undefined);
  store.get = () => Promise.resolve(null);
  assertEquals(await read(middleware, cookie), undefined);
  assert(store.records.has(id));
});

Deno.test("SessionMiddleware finds no session in a record without an expiry", async () => {
  const store = new BasicStore();
  const middleware = start({}, store);
  const cookie = await signUp(middleware);
  store.get = () => Promise.resolve({ user: "ada" });
  await visit(middleware, { cookie }, ({ security: { session } }) => {
    assert(session.isNew);
    assertNotEquals(session.sessionId, cookie.slice(4, 28));
    assertEquals(session.expiresAt, undefined);
    return "ok";
  });
});

Deno.test("SessionMiddleware uses a store as a basic store if it has only a part of a capability", async (t) => {
  const four = ["createRecord", "readRecord", "changeRecord", "moveRecord"];
  const parts = [
    ...four.map((name) => [name]),
    ...four.map((name) => four.filter((other) => other !== name)),
    ["createRecord", "readRecord"],
    ["listSessions", "countSessions", "listPrincipals"],
  ];
  for (const part of parts) {
    await t.step(part.join(", "), async () => {
      const half = Object.fromEntries(part.map((name) => [name, () => Promise.reject(new Error("not by itself"))]));
      const store: SessionStore = Object.assign(new BasicStore(), half);
      assertThrows(() => start({ maxSessionsPerPrincipal: 1 }, store), SessionNotSupportedError);
      const middleware = start({}, store);
      const response = await visit(middleware, { cookie: await signUp(middleware) }, async (context) => {
        const { session } = context.security;
        await session.update("n", () => 1);
        await session.regenerate();
        return "ok";
      });
      assertEquals(await read(middleware, cookieOf(response)), "ada");
      assertEquals(await read(middleware, cookieOf(response), "n"), 1);
    });
  }
});

Deno.test("SessionMiddleware removes an expired record from a basic store when it reads it", async () => {
  using clock = new FakeClock();
  const { store, probe: seen } = probe(new BasicStore());
  const middleware = start({ maxAge: 60 }, store);
  const cookie = await signUp(middleware);
  clock.tick(60_000);
  seen.before = (method) => {
    if (method === "delete") throw new Error("down");
  };
  assertEquals(await read(middleware, cookie), undefined);
  seen.before = () => {};
  assertEquals(await read(middleware, cookie), undefined);
  assertEquals(store.records.size, 0);
});

Deno.test("SessionMiddleware leaves no incomplete record behind", async (t) => {
  // On a basic store a record takes three calls, and each of them may fail.
  for (const failing of [1, 2, 3]) {
    await t.step(`call ${failing} fails`, async () => {
      const { store, probe: seen } = probe(new BasicStore());
      const middleware = start({ onEvent: () => {} }, store);
      let calls = 0;
      seen.before = () => {
        if (++calls === failing) throw new Error("down");
      };
      await assertRejects(() => signUp(middleware), SessionStoreError);
      assertEquals(store.records.size, 0);
    });
  }
  await t.step("an incomplete record that cannot be removed belongs to no session", async () => {
    const { store, probe: seen } = probe(new BasicStore());
    const middleware = start({ onEvent: () => {} }, store);
    seen.before = (method) => {
      if (method !== "create") throw new Error("down");
    };
    await assertRejects(() => signUp(middleware), SessionStoreError);
    seen.before = () => {};
    assertEquals(store.records.size, 1);
    const [id = ""] = store.records.keys();
    const cookie = `sid=${new Signer("sid", [new TextEncoder().encode(SECRET)]).sign(id)}`;
    await visit(middleware, { cookie }, ({ security: { session } }) => {
      assert(session.isNew);
      assertNotEquals(session.sessionId, id);
      return "ok";
    });
  });
});

Deno.test("SessionMiddleware names the key of a value that a basic store refuses, in the first write and in later ones", async () => {
  const store = new BasicStore();
  const refuse = store.setValue.bind(store);
  store.setValue = (sid, key, value) => value === 13 ? Promise.reject(new TypeError("13")) : refuse(sid, key, value);
  const middleware = start({ onEvent: () => {} }, store);
  for (const values of [{ n: 13 }, { a: 1, n: 13 }, { __session: 13 }]) {
    const key = "n" in values ? '"n"' : '"__session"';
    const error = await assertRejects(() => signUp(middleware, values), SessionStoreError, `Cannot set ${key}`);
    assertEquals((error.cause as Error).message, "13");
  }
});

Deno.test("SessionMiddleware does not ask the store why a write failed if the store rejected with SessionGoneError", async () => {
  const store = new BasicStore();
  const { store: watched, probe: seen } = probe(store);
  const middleware = start({}, watched);
  const cookie = await signUp(middleware);
  store.setValue = () => Promise.reject(new SessionGoneError("set"));
  seen.calls.length = 0;
  await visit(middleware, { cookie }, async ({ security: { session } }) => {
    await assertRejects(() => session.set("a", 1), SessionGoneError);
    return "ok";
  });
  assert(!seen.calls.includes("exist"));
});

Deno.test("SessionMiddleware ignores a listener that throws or rejects", async () => {
  for (
    const onEvent of [() => {
      throw new Error("listener");
    }, () => Promise.reject(new Error("listener"))]
  ) {
    const response = await visit(start({ onEvent }), { cookie: forged }, write);
    assertEquals(response.headers.getSetCookie().length, 1);
  }
});

Deno.test("SessionMiddleware.onPostRequest() does nothing for a request without onPreRequest()", async () => {
  const context = contextOf();
  assertEquals(await start().onPostRequest(context), undefined);
  assertEquals([context.security.session.available, ...context.response.headers], [false]);
});

Deno.test("SessionMiddleware.onPreRequest() returns nothing, because Alosaur would send it as the response", async () => {
  const middleware = start({ saveUninitialized: true });
  assertEquals(await middleware.onPreRequest(contextOf()), undefined);
  assertEquals(await middleware.onPreRequest(contextOf({ cookie: await signUp(middleware) })), undefined);
});

Deno.test("SessionMiddleware puts nothing on the context that reveals the secret or the store", async () => {
  const store = Object.assign(new BasicStore(), { password: "of the database" });
  const middleware = start({}, store);
  const context = contextOf({ cookie: await signUp(middleware) });
  await middleware.onPreRequest(context);
  const symbols = Object.getOwnPropertySymbols(context);
  assert(symbols.length > 0);
  const text = Deno.inspect([context, symbols.map((symbol) => Reflect.get(context, symbol))], { depth: 20 });
  for (const secret of [SECRET, "keys", String(new TextEncoder().encode(SECRET)[0]), "password"]) {
    assert(!text.includes(secret), text);
  }
});
