import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "./helpers/assert.ts";
import { FakeClock } from "./helpers/clock.ts";
import { Captured } from "./helpers/console.ts";
import { contextOf, open, read, SECRET, start } from "./helpers/request.ts";
import { BasicStore, probe } from "./helpers/stores.ts";
import { MemoryStore, type Session, type SessionMiddleware, type SessionOptions, SessionStoreError } from "../mod.ts";
import { sessionCookie } from "../src/testing.ts";

/** Returns the session of a request with a Cookie header. */
async function sessionOf(middleware: SessionMiddleware, cookie: string): Promise<Session> {
  const context = contextOf({ cookie, url: "https://localhost/" });
  await middleware.onPreRequest(context);
  return context.security.session;
}

Deno.test("sessionCookie() signs a visitor in, with values and a label", async (t) => {
  for (const [name, store] of [["a MemoryStore", new MemoryStore()], ["a basic store", new BasicStore()]] as const) {
    await t.step(`on ${name}`, async () => {
      const middleware = start({}, store);
      const cookie = await sessionCookie(middleware, {
        principal: "42",
        values: { cart: ["apple"] },
        label: "Firefox",
      });
      assertMatch(cookie, /^sid=[\w-]{24}\.[\w-]{43}$/);
      const session = await sessionOf(middleware, cookie);
      assertEquals([session.isNew, session.principal, session.label], [false, "42", "Firefox"]);
      assertEquals({ ...await session.entries() }, { cart: ["apple"] });
    });
  }
});

Deno.test("sessionCookie() works with every option of the middleware", async (t) => {
  const cases: [string, Partial<SessionOptions>, string?][] = [
    ["none", {}],
    ["saveUninitialized", { saveUninitialized: true }],
    ["a name with __Host-", { name: "__Host-sid" }],
    [
      "a name with __Secure-, and a domain",
      { name: "__Secure-sid", domain: "example.com" },
      "https://www.example.com/",
    ],
    ["partitioned", { partitioned: true, sameSite: "None", name: "__Host-sid" }],
    ["a path", { path: "/admin" }],
    ["no path", { path: false }],
    ["secure, where the browser is explained what it drops", { secure: true, name: "__Secure-sid", diagnose: true }],
    ["secure: false", { secure: false }],
    ["sameSite None", { sameSite: "None", partitioned: true }],
    ["a function for the domain", { domain: ({ url }) => new URL(url).hostname }, "https://www.example.com/"],
    ["rolling", { maxAge: 60, rolling: true }],
    ["expires", { expires: new Date(Date.now() + 60_000) }],
    ["every limit", { idleTimeout: 60, absoluteTimeout: 600, renewalTimeout: 30 }],
    ["maxSessionsPerPrincipal", { maxSessionsPerPrincipal: 1 }],
    ["onStoreError and storeTimeout", { onStoreError: "anonymous", storeTimeout: 1000 }],
    ["a rotated secret", { secret: ["the secret from this day onwards", SECRET] }],
    ["trustProxy", { trustProxy: true }],
  ];
  for (const [name, options, url] of cases) {
    await t.step(name, async () => {
      using warnings = new Captured("warn");
      const middleware = start(options);
      const cookie = await sessionCookie(middleware, { principal: "42", url });
      assert(cookie.startsWith(`${options.name ?? "sid"}=`));
      assertEquals((await sessionOf(middleware, cookie)).principal, "42");
      assertEquals((await middleware.sessions.list("42")).length, 1);

      const anonymous = await sessionOf(middleware, await sessionCookie(middleware, { url }));
      assertEquals([anonymous.isNew, anonymous.principal], [false, undefined]);
      assertEquals(warnings.lines, []);
    });
  }
});

Deno.test("sessionCookie() returns the cookie of a live and empty session if nothing is given", async (t) => {
  for (const saveUninitialized of [false, true]) {
    await t.step(`saveUninitialized: ${saveUninitialized}`, async () => {
      const store = new MemoryStore();
      const middleware = start({ saveUninitialized }, store);
      const cookie = await sessionCookie(middleware);
      const session = await sessionOf(middleware, cookie);
      assertEquals([session.isNew, { ...await session.entries() }], [false, {}]);
      assertEquals(store.size, 1);
    });
  }
});

Deno.test("sessionCookie() creates another session on each call", async () => {
  const middleware = start();
  const [one, other] = [await sessionCookie(middleware, { principal: "42" }), await sessionCookie(middleware)];
  assertNotEquals(one, other);
  const { session } = await open(middleware, one);
  await session.set("user", "ada");
  assertEquals(await read(middleware, other), undefined);
});

Deno.test("sessionCookie() gives the session a life of its own", async () => {
  using clock = new FakeClock();
  const middleware = start({ maxAge: 60 });
  const cookie = await sessionCookie(middleware, { principal: "42", maxAge: 3600 });
  assertEquals((await sessionOf(middleware, cookie)).expiresAt?.getTime(), clock.now + 3_600_000);
  const untilTheBrowserCloses = await sessionCookie(middleware, { maxAge: null });
  assertEquals((await sessionOf(middleware, untilTheBrowserCloses)).isNew, false);
});

Deno.test("sessionCookie() rejects, with the reason", async (t) => {
  await t.step("a principal that is empty", async () => {
    await assertRejects(() => sessionCookie(start(), { principal: "" }), RangeError, "principal");
  });
  await t.step("a value that cannot be stored", async () => {
    await assertRejects(() => sessionCookie(start(), { values: { now: () => 1 } }), TypeError, "now");
  });
  for (const onStoreError of ["fail", "anonymous"] as const) {
    await t.step(`a store that fails, with onStoreError: "${onStoreError}"`, async () => {
      const { store, probe: seen } = probe(new MemoryStore());
      seen.before = () => {
        throw new Error("down");
      };
      const middleware = start({ onStoreError, onEvent: () => {} }, store);
      await assertRejects(() => sessionCookie(middleware, { principal: "42" }), SessionStoreError);
    });
  }
});

Deno.test("sessionCookie() causes no report of a cookie that was not sent", async () => {
  using clock = new FakeClock();
  const events: string[] = [];
  const middleware = start({ onEvent: ({ type }) => events.push(type) });
  const cookie = await sessionCookie(middleware, { principal: "42" });
  clock.tick(6000);
  await sessionOf(middleware, cookie);
  assertEquals(events, ["created"]);
});
