import { assert, assertEquals, assertRejects, assertStrictEquals } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { Captured } from "../helpers/console.ts";
import {
  contextOf,
  cookieOf,
  eventNames,
  idOf,
  merged,
  onlyCookie,
  open,
  optionalCookieOf,
  read,
  signIn,
  start,
  visit,
} from "../helpers/request.ts";
import { DomainCookies } from "../../src/cookie/domain_cookies.ts";
import { resolveOptions } from "../../src/resolve_options.ts";
import { MemoryStore, type SessionEvent, type SessionMiddleware, type SessionOptions } from "../../mod.ts";

/** The registered domain of a tenant's host. */
function tenantOf(request: Request): string | undefined {
  const { hostname } = new URL(request.url);
  return ["one.example", "two.example"].find((domain) => hostname === domain || hostname.endsWith(`.${domain}`));
}

function domainOf(response: Response): string | true | undefined {
  return onlyCookie(response.headers).attributes.domain;
}

/** A function for the domain that can be broken. */
class Domain {
  /** What the function returns or, if it is an Error, throws. */
  result: unknown = "example.com";
  calls = 0;
  readonly option = ((): unknown => {
    this.calls++;
    if (this.result instanceof Error) throw this.result;
    return this.result;
  }) as () => string;
}

interface Broken {
  domain: Domain;
  events: SessionEvent[];
  store: MemoryStore;
  middleware: SessionMiddleware;
}

function startWith(options: Partial<SessionOptions> = {}): Broken {
  const domain = new Domain();
  const events: SessionEvent[] = [];
  const store = new MemoryStore();
  const onEvent = (event: SessionEvent): void => void events.push(event);
  const middleware = start({ domain: domain.option, diagnose: false, onEvent, ...options }, store);
  return { domain, events, store, middleware };
}

const BAD: [string, unknown][] = [
  ["throws", new Error("a secret")],
  ["returns null", null],
  ["returns an empty text", ""],
  ["returns a port", "a-secret.example:80"],
  ["returns another attribute", "a-secret.example; Path=/"],
  ["returns a line break", "a-secret.example\r\nx: y"],
  ["returns a text of 254 characters", `${"a.".repeat(126)}aa`],
  ["returns an array", ["a-secret.example"]],
  ["returns a promise that rejects", () => Promise.reject(new Error("a secret"))],
];

Deno.test("the function domain is given the request, and its domain sets and deletes the cookie", async () => {
  const middleware = start({ domain: tenantOf });
  for (const [host, domain] of [["app.one.example", "one.example"], ["two.example", "two.example"], ["x", undefined]]) {
    const url = `https://${host}/`;
    const set = await visit(middleware, { url }, async ({ security: { session } }) => {
      await session.set("user", "ada");
      return "ok";
    });
    assertEquals(domainOf(set), domain);
    const destroyed = await visit(middleware, { url, cookie: cookieOf(set) }, async ({ security: { session } }) => {
      await session.destroy();
      return "ok";
    });
    assertEquals(onlyCookie(destroyed.headers).value, "");
    assertEquals(domainOf(destroyed), domain);
  }
});

Deno.test("the function domain is called once for a request, and only if its response has a cookie", async () => {
  const { domain, middleware } = startWith();
  const response = await visit(middleware, {}, async ({ security: { session } }) => {
    await session.set("user", "ada");
    domain.result = "other.example";
    await session.regenerate();
    await session.regenerate();
    return "ok";
  });
  assertEquals([domainOf(response), domain.calls], ["example.com", 1]);
  const cookie = cookieOf(response);
  await visit(middleware, { cookie }, ({ security: { session } }) => session.set("user", "bob"));
  await visit(middleware, { cookie: "sid=forged" });
  await visit(middleware, {}, ({ security: { session } }) => session.destroy());
  assertEquals(domain.calls, 1);
});

Deno.test("a function domain that fails", async (t) => {
  for (const [name, bad] of BAD) {
    const fail = (domain: Domain): void => {
      domain.result = typeof bad === "function" ? bad() : bad;
    };

    await t.step(`${name}: set() of a new visitor rejects, creates nothing, and can be tried again`, async () => {
      const { domain, events, store, middleware } = startWith();
      const { session, finish } = await open(middleware);
      fail(domain);
      const error = await assertRejects(() => session.set("user", "ada"), TypeError, "Cannot set the session cookie");
      assertStrictEquals(error.cause, bad instanceof Error ? bad : undefined);
      assert(!error.message.includes("secret") && !Object.keys(error).includes("cause"));
      assertEquals([store.size, session.isNew, session.expiresAt], [0, true, undefined]);

      domain.result = "example.com";
      await session.set("user", "bob");
      const cookie = cookieOf(await finish());
      assertEquals(await read(middleware, cookie), "bob");
      assertEquals(eventNames(events), ["created"]);
    });

    await t.step(`${name}: regenerate() rejects, and the session keeps its id`, async () => {
      const { domain, middleware } = startWith();
      const cookie = await signIn(middleware, "ada");
      const { session, finish } = await open(middleware, cookie);
      fail(domain);
      await assertRejects(() => session.regenerate({ principal: "bob" }), TypeError, "Cannot set the session cookie");
      assertEquals([session.sessionId, session.principal], [idOf(cookie), "ada"]);
      assertEquals((await finish()).headers.getSetCookie(), []);
      assertEquals(await read(middleware, cookie), "ada");
    });

    await t.step(`${name}: destroy() ends the session, then rejects`, async () => {
      const { domain, events, store, middleware } = startWith();
      const cookie = await signIn(middleware, "ada");
      const { session, finish } = await open(middleware, cookie);
      fail(domain);
      await assertRejects(() => session.destroy(), TypeError, "Cannot set the session cookie");
      assertEquals([store.size, session.principal], [0, undefined]);
      assertEquals((await finish()).headers.getSetCookie(), []);
      assertEquals(eventNames(events).at(-1), "destroyed");
    });

    await t.step(`${name}: destroy() without await fails the request, and the session has ended`, async () => {
      const { domain, store, middleware } = startWith();
      const { session, finish } = await open(middleware, await signIn(middleware, "ada"));
      fail(domain);
      session.destroy();
      await assertRejects(finish, TypeError, "Cannot set the session cookie");
      assertEquals(store.size, 0);
    });

    await t.step(`${name}: an untouched page is served, without the cookie that is due`, async () => {
      using clock = new FakeClock();
      const { domain, events, middleware } = startWith({ maxAge: 100, rolling: true });
      const cookie = await signIn(middleware, "ada");
      events.length = 0;
      clock.tick(50_000);
      fail(domain);
      const response = await visit(middleware, { cookie });
      assertEquals([response.status, response.headers.getSetCookie()], [200, []]);
      const [event, ...others] = events;
      assertEquals(others, []);
      assert(event?.type === "writeFailed" && event.error instanceof TypeError);
      assertEquals(event.operation, "setCookie");

      domain.result = "example.com";
      clock.tick(40_000);
      const next = await visit(middleware, { cookie });
      assertEquals([onlyCookie(next.headers).attributes["max-age"], domainOf(next)], ["100", "example.com"]);
    });

    await t.step(`${name}: a renewed session is found by its old cookie, until the new one can be sent`, async () => {
      using clock = new FakeClock();
      const { domain, middleware } = startWith({ renewalTimeout: 60 });
      const cookie = await signIn(middleware, "ada");
      clock.tick(61_000);
      fail(domain);
      for (let i = 0; i < 3; i++) {
        assertEquals(await read(middleware, cookie), "ada");
        clock.tick(40_000);
      }
      domain.result = "example.com";
      const renewed = cookieOf(await visit(middleware, { cookie }));
      assert(renewed !== cookie);
      assertEquals(await read(middleware, renewed), "ada");
    });

    await t.step(`${name}: a deletion by the application is sent as it is`, async () => {
      const { domain, events, middleware } = startWith();
      const cookie = await signIn(middleware, "ada");
      events.length = 0;
      fail(domain);
      const response = await visit(middleware, { cookie }, ({ response }) => {
        response.headers.append("set-cookie", "sid=; Max-Age=0; Domain=example.com");
        return "ok";
      });
      assertEquals(response.headers.getSetCookie(), ["sid=; Max-Age=0; Domain=example.com"]);
      assertEquals(eventNames(events), ["writeFailed"]);
    });
  }
});

Deno.test("a function domain that fails for a cookie that is only sent again is logged without a listener", async () => {
  using errors = new Captured("error");
  using clock = new FakeClock();
  const { domain, middleware } = startWith({ maxAge: 100, rolling: true, onEvent: undefined });
  const cookie = await signIn(middleware, "ada");
  clock.tick(50_000);
  domain.result = "a-secret.example:80";
  assertEquals(optionalCookieOf(await visit(middleware, { cookie })), undefined);
  assertEquals(errors.lines, [
    "[session] Cannot set the session cookie: the function `domain` did not return a host name; expected one without port " +
    "or scheme, or undefined",
  ]);
});

Deno.test("touch() resolves although the function domain fails, because the activity is written", async () => {
  using clock = new FakeClock();
  const { domain, events, middleware } = startWith({ maxAge: 100, rolling: true });
  const { session } = await open(middleware, await signIn(middleware, "ada"));
  events.length = 0;
  clock.tick(5_000);
  domain.result = null;
  await session.touch();
  assertEquals(session.expiresAt?.getTime(), clock.now + 100_000);
  assertEquals(eventNames(events), ["writeFailed"]);
});

Deno.test("a deletion by the application gives way to one with the domain of the function", async () => {
  const middleware = start({ domain: tenantOf });
  const context = contextOf({ url: "http://app.one.example/", cookie: "sid=x" });
  await middleware.onPreRequest(context);
  context.response.headers.append("set-cookie", "sid=; Max-Age=0");
  context.response.result = "ok";
  assertEquals(domainOf(merged(context)), "one.example");
});

Deno.test("DomainCookies serializes the attributes once for each domain, and keeps a limited number of domains", () => {
  const cookies = new DomainCookies(resolveOptions({ secret: "a secret of more than 16 bytes" }), tenantOf);
  const cookieFor = (host: string): unknown => cookies.cookieFor(contextOf({ url: `http://${host}/` }));
  assertStrictEquals(cookieFor("a.one.example"), cookieFor("b.one.example"));
  assertStrictEquals(cookieFor("other"), cookieFor("another"));

  let n = 0;
  const unbounded = new DomainCookies(resolveOptions({ secret: "a secret of more than 16 bytes" }), () => `host${n++}`);
  const first = unbounded.cookieFor(contextOf());
  for (let i = 0; i < 2_000; i++) unbounded.cookieFor(contextOf());
  n = 0;
  assert(unbounded.cookieFor(contextOf()) !== first);
});
