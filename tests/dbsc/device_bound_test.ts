/** Sessions that are bound to a device, from the sign-in to the sign-out. */
import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import {
  BROWSER_METADATA,
  DeviceBrowser,
  DeviceKey,
  ENDPOINT,
  ORIGIN,
  type Server,
  serverOf,
  signInAction,
} from "../helpers/device_browser.ts";
import { LOCAL_STORES } from "../helpers/local_stores.ts";
import { BasicStore } from "../helpers/stores.ts";
import { contextOf, onlyCookie, SECRET, setCookies, start } from "../helpers/request.ts";
import {
  type AuthenticationScheme,
  DeviceProofError,
  type Identity,
  MemoryStore,
  type SecurityContext,
  type SessionEvent,
  SessionMiddleware,
  type SessionOptions,
  type SessionStore,
} from "../../mod.ts";
import { CsrfMiddleware } from "../../src/csrf_middleware.ts";
import { DeviceBoundMiddleware, type DeviceBoundOptions } from "../../src/device_bound_middleware.ts";

const MINUTE = 60_000;

/** How long after the binding a request is accepted without the bound cookie, in milliseconds. */
const GRACE = 5000;

interface World {
  sessions: SessionMiddleware;
  devices: DeviceBoundMiddleware;
  server: Server;
  store: SessionStore;
  events: string[];
}

/** Returns the type of an event, with its reason. */
function nameOf(event: SessionEvent): string {
  return "reason" in event ? `${event.type} ${event.reason}` : event.type;
}

function world(
  options: DeviceBoundOptions = {},
  sessionOptions: Partial<SessionOptions> = {},
  store: SessionStore = new MemoryStore(),
): World {
  const events: string[] = [];
  const sessions = start({ onEvent: (event) => events.push(nameOf(event)), ...sessionOptions }, store);
  const devices = new DeviceBoundMiddleware(sessions, options);
  const server = serverOf(sessions, devices, {
    "/sign-in": signInAction,
    "/device": ({ security: { session } }) => session.device?.algorithm ?? "unbound",
    "/user": ({ security: { session } }) => session.principal ?? "nobody",
    "/visits": ({ security: { session } }) => session.update("visits", (n = 0) => n + 1),
    "/renew": async ({ security: { session } }) => {
      await session.regenerate();
      return "renewed";
    },
    "/sign-out": async ({ security: { session } }) => {
      await session.destroy();
      return "bye";
    },
  });
  return { sessions, devices, server, store, events };
}

async function signedIn(
  server: Server,
  options?: ConstructorParameters<typeof DeviceBrowser>[1],
): Promise<DeviceBrowser> {
  const browser = new DeviceBrowser(server, options);
  await browser.request("/sign-in", { method: "POST" });
  return browser;
}

async function textOf(browser: DeviceBrowser, path: string): Promise<string> {
  return await (await browser.request(path)).text();
}

/** Sends a request with stolen cookies. */
async function thief(server: Server, cookie: string, path = "/user"): Promise<Response> {
  return await server({ path, method: "GET", headers: {}, cookie });
}

for (const algorithm of ["ES256", "RS256"] as const) {
  for (const [name, make] of LOCAL_STORES) {
    Deno.test(`DeviceBoundMiddleware on ${name} binds a session at the sign-in with ${algorithm}, and refreshes it`, async () => {
      using clock = new FakeClock();
      const { server, events } = world({}, {}, await make());
      const browser = await signedIn(server, { algorithm });
      assertEquals(browser.log, ["registration 200"]);
      assertEquals(await textOf(browser, "/device"), algorithm);
      clock.tick(11 * MINUTE);
      assertEquals(await textOf(browser, "/user"), "ada");
      assertEquals(browser.log, ["registration 200", "refresh 200"]);
      assertEquals(events, ["created", "bound", "refreshed"]);
    });
  }
}

Deno.test("DeviceBoundMiddleware: the list of a user's sessions says which are bound, and since when", async () => {
  using clock = new FakeClock();
  const { server, sessions } = world();
  const boundAt = new Date(Date.now());
  await signedIn(server);
  clock.tick(1000);
  await signedIn(server, { hasSupport: false });
  const listed = await sessions.sessions.list("ada");
  assertEquals(listed.map(({ device }) => device), [{ boundAt, algorithm: "ES256" }, undefined]);
  assertEquals("device" in (listed[1] ?? {}), false);
});

Deno.test("DeviceBoundMiddleware refuses a copied session cookie at once, and both cookies after maxAge and 30 seconds", async () => {
  using clock = new FakeClock();
  const { server, events } = world({ maxAge: 150 });
  const browser = await signedIn(server);
  clock.tick(GRACE);
  const one = browser.steal("sid");
  const both = browser.steal();
  assertEquals((await thief(server, one)).status, 401);
  assertEquals(await (await thief(server, both)).text(), "ada");
  clock.tick(150_000 + 29_000 - GRACE);
  assertEquals((await thief(server, both)).status, 200);
  clock.tick(1000);
  assertEquals((await thief(server, both)).status, 401);
  // A browser says with this header that it could not refresh. Anybody can send it.
  const skipped = { "secure-session-skipped": 'unreachable;session_identifier="sid"' };
  assertEquals((await server({ path: "/user", method: "GET", headers: skipped, cookie: one })).status, 401);
  assertEquals(events, ["created", "bound", "boundRefused missing", "boundRefused expired", "boundRefused missing"]);
  // The visitor notices nothing of it.
  assertEquals(await textOf(browser, "/user"), "ada");
});

Deno.test("DeviceBoundMiddleware accepts a request that was sent just before the browser got the bound cookie", async () => {
  using clock = new FakeClock();
  const { server } = world();
  const browser = await signedIn(server);
  const sent = browser.steal("sid");
  clock.tick(GRACE - 1);
  assertEquals((await thief(server, sent)).status, 200);
  clock.tick(1);
  assertEquals((await thief(server, sent)).status, 401);
});

Deno.test("DeviceBoundMiddleware refuses bound cookies of other devices, other secrets, and changed ones", async () => {
  using clock = new FakeClock();
  const { server, events } = world();
  const ada = await signedIn(server);
  const bob = await signedIn(server);
  const elsewhere = await signedIn(world({}, { secret: "another secret, also of 32 bytes" }).server);
  clock.tick(GRACE);
  // The server has verified this cookie before, for the session of its own device.
  assertEquals(await textOf(bob, "/user"), "ada");
  const session = ada.steal("sid");
  const bound = ada.steal("__Host-sid-bound");
  const other = bob.steal("__Host-sid-bound");
  const changed = bound.replace(/=(\d+)/, (_, seconds) => `=${Number(seconds) + 1000}`);
  const cases = [
    other,
    elsewhere.steal("__Host-sid-bound"),
    changed,
    bound.slice(0, -1),
    `${bound}A`,
    "__Host-sid-bound=",
  ];
  for (const cookie of cases) assertEquals((await thief(server, `${session}; ${cookie}`)).status, 401, cookie);
  assertEquals(events.filter((name) => name === "boundRefused invalid").length, cases.length);
  // Only a complete name counts.
  assertEquals((await thief(server, `${session}; x${bound}`)).status, 401);
  assertEquals((await thief(server, `a=1;\t${bound} ; b=2; ${session}`)).status, 200);
});

Deno.test("DeviceBoundMiddleware: a refused request neither reads, extends, renews nor ends the session", async () => {
  using clock = new FakeClock();
  const store = new MemoryStore();
  const { server, sessions, events } = world(
    {},
    { idleTimeout: 3600, renewalTimeout: 60, saveUninitialized: true },
    store,
  );
  const browser = await signedIn(server);
  const stolen = browser.steal("sid");
  const before = await store.readRecord(stolen.slice(4, 28));
  clock.tick(30 * MINUTE);
  const response = await thief(server, stolen, "/visits");
  assertEquals([response.status, response.headers.getSetCookie()], [401, []]);
  assertEquals(await store.readRecord(stolen.slice(4, 28)), before);
  assertEquals(events.slice(-2), ["bound", "boundRefused missing"]);

  // Also where only SessionMiddleware runs: nothing is read or written, and no cookie is set.
  const context = contextOf({ url: ORIGIN, cookie: stolen });
  await sessions.onPreRequest(context);
  const { session } = context.security;
  assertEquals([session.available, session.principal, session.device, await session.get("visits")], [
    false,
    undefined,
    undefined,
    undefined,
  ]);
  for (
    const write of [session.set("a", 1), session.destroy(), session.regenerate({ principal: "eve" }), session.touch()]
  ) {
    const error = await write.then(() => undefined, (error) => error);
    assertEquals([error?.name, error?.httpCode, JSON.stringify(error)], ["DeviceProofError", 401, "{}"]);
  }
  assertEquals(session.signal.reason.name, "DeviceProofError");
  assertEquals(await store.readRecord(stolen.slice(4, 28)), before);
  assertEquals(context.response.headers.getSetCookie(), []);
});

Deno.test("DeviceBoundMiddleware keeps a session bound through regenerate(), clear() and renewalTimeout", async () => {
  using clock = new FakeClock();
  const { server } = world({}, { renewalTimeout: 300 });
  const browser = await signedIn(server);
  const first = browser.steal("sid");
  await browser.request("/renew");
  assertNotEquals(browser.steal("sid"), first);
  assertEquals(await textOf(browser, "/device"), "ES256");
  // Trap 8: a bound cookie over the id would be refused from here on.
  assertEquals(browser.log, ["registration 200"]);
  for (let i = 0; i < 4; i++) {
    clock.tick(6 * MINUTE);
    assertEquals(await textOf(browser, "/user"), "ada");
  }
  assertEquals(await textOf(browser, "/device"), "ES256");
  assertEquals((await thief(server, browser.steal("sid"))).status, 401);
});

Deno.test("DeviceBoundMiddleware accepts a registration although the id was renewed since the offer", async () => {
  using clock = new FakeClock();
  const { server } = world({}, { renewalTimeout: 30 });
  const browser = new DeviceBrowser(server, { hasSupport: false });
  const offer = (await browser.request("/sign-in")).headers.get("secure-session-registration") ?? "";
  clock.tick(31_000);
  assertEquals((await browser.register(offer)).status, 200);
  assertEquals(await textOf(browser, "/device"), "ES256");
});

Deno.test("DeviceBoundMiddleware: a sign-out ends the bound session, and a new sign-in binds again", async () => {
  using clock = new FakeClock();
  const { server, events } = world();
  const browser = await signedIn(server);
  await browser.request("/sign-out");
  clock.tick(11 * MINUTE);
  await browser.request("/user");
  assertEquals([browser.bound, browser.log], [undefined, ["registration 200", "refresh 200"]]);
  await browser.request("/sign-in");
  assertEquals(await textOf(browser, "/device"), "ES256");
  assertEquals(events, ["created", "bound", "destroyed", "created", "bound"]);
});

Deno.test("DeviceBoundMiddleware offers nothing with a sign-out, also if that was not awaited", async () => {
  using _clock = new FakeClock();
  const sessions = start({}, new BasicStore());
  const server = serverOf(sessions, new DeviceBoundMiddleware(sessions), {
    "/sign-in": signInAction,
    "/sign-out": ({ security: { session }, response }) => {
      void session.destroy();
      response.setImmediately();
      return "bye";
    },
  });
  const browser = new DeviceBrowser(server, { hasSupport: false });
  await browser.request("/sign-in");
  const { headers } = await browser.request("/sign-out");
  assertEquals([headers.getSetCookie().length, headers.has("secure-session-registration")], [1, false]);
});

Deno.test("DeviceBoundMiddleware ends the bound session of a visitor who has begun another one without a sign-in", async () => {
  using _clock = new FakeClock();
  const { server } = world();
  const browser = await signedIn(server);
  await browser.request("/sign-out");
  await browser.request("/visits");
  assertEquals((await browser.refresh())?.status, 200);
  assertEquals(browser.bound, undefined);
});

Deno.test("DeviceBoundMiddleware: a sign-in over a bound session replaces the bound session of the browser", async () => {
  using clock = new FakeClock();
  const { server } = world();
  const browser = await signedIn(server);
  const former = browser.bound;
  await browser.request("/sign-out");
  await browser.request("/sign-in");
  // Trap 4: the same identifier, so that the browser has one bound session and not two.
  assertEquals(browser.bound?.identifier, former?.identifier);
  assertNotEquals(browser.bound?.key, former?.key);
  clock.tick(11 * MINUTE);
  assertEquals(await textOf(browser, "/user"), "ada");
});

Deno.test("DeviceBoundMiddleware does not end the bound session while a new session may be registering", async () => {
  using clock = new FakeClock();
  const { server } = world();
  const browser = new DeviceBrowser(server, { hasSupport: false });
  await browser.request("/sign-in");
  const id = { "sec-secure-session-id": "sid" };
  assertEquals((await browser.post(ENDPOINT, id)).status, 503);
  clock.tick(MINUTE);
  const ended = await browser.post(ENDPOINT, id);
  assertEquals([ended.status, await ended.json()], [200, { session_identifier: "sid", continue: false }]);
});

Deno.test("DeviceBoundMiddleware: a browser without support keeps an ordinary session", async () => {
  using clock = new FakeClock();
  const { server } = world();
  const browser = await signedIn(server, { hasSupport: false });
  clock.tick(60 * MINUTE);
  assertEquals(await textOf(browser, "/user"), "ada");
  assertEquals([await textOf(browser, "/device"), browser.log], ["unbound", []]);
});

Deno.test("DeviceBoundMiddleware works with a rotated secret", async () => {
  using clock = new FakeClock();
  const store = new MemoryStore();
  const browser = await signedIn(world({}, {}, store).server);
  const offered = new DeviceBrowser(world({}, {}, storeOfAnotherProcess(store)).server, { hasSupport: false });
  const offer = (await offered.request("/sign-in")).headers.get("secure-session-registration") ?? "";
  const challenge = /challenge="([^"]+)"/.exec(offer)?.[1] ?? "";
  clock.tick(GRACE);
  // A second process with the new secret.
  const { server } = world({}, { secret: ["a new secret that has 32 bytes..", SECRET] }, storeOfAnotherProcess(store));
  const get = { path: "/device", method: "GET", headers: {} };
  assertEquals(await (await server({ ...get, cookie: browser.cookie })).text(), "ES256");
  const registration = await (await DeviceKey.create()).registration(challenge);
  const headers = {
    ...BROWSER_METADATA,
    "secure-session-response": registration,
  };
  const registered = await server({ path: ENDPOINT, method: "POST", headers, cookie: offered.cookie });
  assertEquals(registered.status, 200);
  // The session cookie is signed again with the new secret, and the bound one was made with it.
  assertEquals(setCookies(registered.headers).map(({ name }) => name).sort(), ["__Host-sid-bound", "sid"]);
});

/** The middlewares of another process share no object, so the store must be another object too. */
function storeOfAnotherProcess(store: MemoryStore): SessionStore {
  return new Proxy(store, {
    get(target, name): unknown {
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

Deno.test("DeviceBoundMiddleware offers the session when a response sets its first cookie, whatever the action returns", async (t) => {
  using _clock = new FakeClock();
  const results: Record<string, () => unknown> = {
    "a text": () => "welcome",
    "an object": () => ({ ok: true }),
    "a redirect": () => Response.redirect(`${ORIGIN}/`, 303),
    "a cacheable response": () => new Response("", { headers: { "cache-control": "private, max-age=60" } }),
  };
  for (const [name, result] of Object.entries(results)) {
    await t.step(name, async () => {
      const sessions = start();
      const server = serverOf(sessions, new DeviceBoundMiddleware(sessions, { path: "/x", algorithms: ["RS256"] }), {
        "/": async (context) => {
          await signInAction(context);
          return result();
        },
      });
      const { headers } = await server({ path: "/", method: "POST", headers: {}, cookie: undefined });
      assertMatch(
        headers.get("secure-session-registration") ?? "",
        /^\(RS256\);path="\/x";challenge="\d+\.[\w-]{43}"$/,
      );
      assertEquals(headers.get("cache-control"), "no-store");
    });
  }
});

Deno.test("DeviceBoundMiddleware offers nothing to visitors who have not signed in, unless the option `offer` says so", async () => {
  using _clock = new FakeClock();
  const anonymous = await new DeviceBrowser(world().server, { hasSupport: false }).request("/visits");
  assertEquals([onlyCookie(anonymous.headers).name, anonymous.headers.get("secure-session-registration")], [
    "sid",
    null,
  ]);
  const all = await new DeviceBrowser(world({ offer: () => true }).server, { hasSupport: false }).request("/visits");
  assert(all.headers.has("secure-session-registration"));
  const none = await new DeviceBrowser(world({ offer: () => false }).server, { hasSupport: false }).request("/sign-in");
  assertEquals(none.headers.get("secure-session-registration"), null);
});

Deno.test("DeviceBoundMiddleware: a function `offer` that throws is reported, and the response is sent", async () => {
  using _clock = new FakeClock();
  const { server, events } = world({
    offer: () => {
      throw new Error("of the application");
    },
  });
  const response = await new DeviceBrowser(server, { hasSupport: false }).request("/sign-in");
  assertEquals([response.status, response.headers.get("secure-session-registration")], [200, null]);
  assertEquals(events, ["created", "writeFailed"]);
});

Deno.test("DeviceBoundMiddleware offers again after ten minutes, and only to pages", async () => {
  // Trap 5: a registration that failed is not tried again by the browser.
  using clock = new FakeClock();
  const { server } = world();
  const browser = new DeviceBrowser(server, { hasSupport: false });
  await browser.request("/sign-in");
  const isOffered = async (isPage: boolean): Promise<boolean> =>
    (await browser.request("/user", { isPage })).headers.has("secure-session-registration");
  assertEquals(await isOffered(true), false);
  clock.tick(10 * MINUTE);
  assertEquals(await isOffered(false), false);
  // Reading the header of each request would take too long.
  clock.tick(1000);
  assertEquals(await isOffered(true), true);
  assertEquals(await isOffered(true), false);
});

Deno.test("DeviceBoundMiddleware: a store that fails at the endpoint answers 503, and the bound session heals", async (t) => {
  // Trap 9: with a 4xx, or the error page of the application, the browser would give the session
  // up.
  for (const onStoreError of ["fail", "anonymous"] as const) {
    await t.step(`onStoreError "${onStoreError}"`, async () => {
      using clock = new FakeClock();
      const inner = new BasicStore();
      let isDown = false;
      const store = new Proxy(inner, {
        get: (target, name) => (...args: unknown[]) => {
          if (isDown) return Promise.reject(new Error("down"));
          return (Reflect.get(target, name) as (...args: unknown[]) => unknown).apply(target, args);
        },
      });
      const { server, events } = world({}, { onStoreError }, store);
      const browser = await signedIn(server);
      clock.tick(11 * MINUTE);
      isDown = true;
      assertEquals((await browser.refresh())?.status, 503);
      isDown = false;
      assertEquals(await textOf(browser, "/user"), "ada");
      assertEquals(browser.log, ["registration 200", "refresh 503", "refresh 200"]);

      const unbound = new DeviceBrowser(server, { hasSupport: false });
      const offer = (await unbound.request("/sign-in")).headers.get("secure-session-registration") ?? "";
      isDown = true;
      assertEquals((await unbound.register(offer)).status, 503);
      isDown = false;
      assertEquals((await unbound.register(offer)).status, 200);
      assertEquals(events.filter((name) => name === "storeFailed").length, 2);
    });
  }
});

Deno.test("DeviceBoundMiddleware: a page that a link from another site opens reloads itself once", async () => {
  // Trap 2: browsers do not refresh for such a link.
  using clock = new FakeClock();
  const { server, events } = world();
  const browser = await signedIn(server);
  clock.tick(11 * MINUTE);
  for (const site of ["cross-site", "same-site"] as const) {
    const refused = await browser.request("/user", { site });
    assertEquals([refused.status, refused.headers.get("refresh"), refused.headers.getSetCookie()], [401, "0", []]);
    assertEquals(refused.headers.get("cache-control"), "no-store");
  }
  // Nobody is alarmed, because every visitor who follows a link gets this response.
  assertEquals(events, ["created", "bound"]);
  assertEquals(await textOf(browser, "/user"), "ada");
  const stolen = await server({
    path: "/user",
    method: "GET",
    headers: { "sec-fetch-mode": "navigate", "sec-fetch-site": "same-origin" },
    cookie: browser.steal("sid"),
  });
  assertEquals([stolen.status, stolen.headers.get("refresh")], [401, null]);
  clock.tick(11 * MINUTE);
  for (const method of ["POST", "PUT"]) {
    const posted = await browser.request("/user", { method, site: "same-site" });
    assertEquals([posted.status, posted.headers.get("refresh")], [401, null]);
  }
  const fetched = await browser.request("/user", { isPage: false, site: "same-site" });
  assertEquals([fetched.status, fetched.headers.get("refresh")], [401, null]);
});

Deno.test("DeviceBoundMiddleware: the button of the refused page forgets the session in this browser only", async () => {
  using clock = new FakeClock();
  const { server } = world();
  const browser = await signedIn(server);
  clock.tick(GRACE);
  const headers = { "sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" };
  const refused = await server({ path: "/user", method: "GET", headers, cookie: browser.steal("sid") });
  assertMatch(await refused.text(), /<form method="post" action="\/\.session\/device">/);
  const post = { path: ENDPOINT, method: "POST", headers };
  const left = await server({ ...post, cookie: browser.steal("sid") });
  assertEquals([left.status, left.headers.get("location")], [303, "/"]);
  assertEquals(setCookies(left.headers).map(({ name, value, attributes }) => [name, value, attributes["max-age"]]), [
    ["sid", "", "0"],
    ["__Host-sid-bound", "", "0"],
  ]);
  // The session continues for its visitor, whom the button does not sign out.
  const own = await server({ ...post, cookie: browser.cookie });
  assertEquals([own.status, own.headers.getSetCookie()], [303, []]);
  assertEquals(await textOf(browser, "/user"), "ada");
  const foreign = await server({
    ...post,
    headers: { ...headers, "sec-fetch-site": "cross-site" },
    cookie: browser.steal("sid"),
  });
  assertEquals([foreign.status, foreign.headers.getSetCookie()], [403, []]);
});

Deno.test("DeviceBoundMiddleware: a browser that has lost its bound session can sign in again", async () => {
  // Trap 6: `Clear-Site-Data: "storage"` does it, and a 4xx at the endpoint.
  using clock = new FakeClock();
  const { server } = world();
  const browser = await signedIn(server);
  browser.bound = undefined;
  clock.tick(11 * MINUTE);
  assertEquals((await browser.request("/sign-in", { method: "POST" })).status, 401);
  await browser.request(ENDPOINT, { method: "POST", site: "same-origin" });
  assertEquals(browser.cookie, undefined);
  await browser.request("/sign-in", { method: "POST" });
  assertEquals(await textOf(browser, "/device"), "ES256");
});

Deno.test("DeviceBoundMiddleware: the option `require` refuses sessions that are not bound, signed in or not", async () => {
  using clock = new FakeClock();
  const { server, events } = world({ require: ({ request }) => request.url.endsWith("/user") });
  const old = new DeviceBrowser(server, { hasSupport: false });
  // Without a session there is nothing to protect.
  assertEquals(await textOf(old, "/user"), "nobody");
  await old.request("/visits");
  assertEquals((await old.request("/user")).status, 403);
  await old.request("/sign-in");
  const early = await old.request("/user");
  assertEquals([early.status, early.headers.get("refresh"), early.headers.get("cache-control")], [
    403,
    "1",
    "no-store",
  ]);
  assertEquals((await old.request("/device")).status, 200);
  clock.tick(10_000);
  const late = await old.request("/user");
  assertEquals([late.status, late.headers.get("refresh")], [403, null]);
  assertEquals(events.filter((name) => name === "boundRefused unbound").length, 3);
});

Deno.test("DeviceBoundMiddleware: a page that demands a bound session offers it once a minute", async () => {
  // Trap 1: a browser that signs six times in nine minutes is locked out.
  using clock = new FakeClock();
  const { server } = world({ require: ({ request }) => request.url.endsWith("/user") });
  const browser = new DeviceBrowser(server, { hasSupport: false });
  await browser.request("/sign-in");
  const offer = async (isPage = true): Promise<string | null> =>
    (await browser.request("/user", { isPage })).headers.get("secure-session-registration");
  assertEquals([await offer(), await offer(false)], [null, null]);
  clock.tick(MINUTE);
  assertEquals(await offer(false), null);
  const next = await offer();
  assertEquals([next === null, await offer()], [false, null]);
  assertEquals((await browser.register(next ?? "")).status, 200);
  assertEquals(await textOf(browser, "/user"), "ada");
});

Deno.test("DeviceBoundMiddleware can be removed without signing anybody out", async () => {
  using clock = new FakeClock();
  const store = new MemoryStore();
  const browser = await signedIn(world({}, {}, store).server);
  clock.tick(11 * MINUTE);
  const sessions = start({}, storeOfAnotherProcess(store));
  const server = serverOf(sessions, undefined, { "/user": ({ security: { session } }) => session.principal });
  const response = await server({ path: "/user", method: "GET", headers: {}, cookie: browser.steal("sid") });
  assertEquals(await response.text(), "ada");
});

Deno.test("DeviceBoundMiddleware: two middlewares of one cookie share the check, and a second one is refused", () => {
  const store = new MemoryStore();
  const first = start({}, store);
  const second = start({}, store);
  new DeviceBoundMiddleware(first);
  let message = "";
  try {
    new DeviceBoundMiddleware(second);
  } catch (error) {
    message = (error as Error).message;
  }
  assertMatch(message, /another DeviceBoundMiddleware binds the sessions of this cookie already/);
});

Deno.test("DeviceBoundMiddleware: of two registrations at once, one is accepted", async () => {
  using _clock = new FakeClock();
  for (const [, make] of LOCAL_STORES) {
    const { server, events } = world({}, {}, await make());
    const browser = new DeviceBrowser(server, { hasSupport: false });
    const offer = (await browser.request("/sign-in")).headers.get("secure-session-registration") ?? "";
    const answers = await Promise.all([browser.register(offer), browser.register(offer), browser.register(offer)]);
    assertEquals(answers.map(({ status }) => status).sort(), [200, 400, 400]);
    assertEquals(events.filter((name) => name === "boundRefused alreadyBound").length, 2);
  }
});

Deno.test("DeviceBoundMiddleware answers a registration again that is sent twice, and refuses one with another key", async () => {
  // Trap 3: a browser may send the same proof again.
  using _clock = new FakeClock();
  const { server, events } = world();
  const browser = new DeviceBrowser(server, { hasSupport: false });
  const offer = (await browser.request("/sign-in")).headers.get("secure-session-registration") ?? "";
  const key = await DeviceKey.create();
  const first = await browser.register(offer, key);
  const again = await browser.register(offer, key);
  assertEquals(await first.json(), await again.json());
  assertEquals((await browser.register(offer)).status, 400);
  assertEquals(events, ["created", "bound", "boundRefused alreadyBound"]);
});

Deno.test("DeviceBoundMiddleware answers with complete instructions, at the registration and at each refresh", async () => {
  using clock = new FakeClock();
  const sessions = new SessionMiddleware(new MemoryStore(), {
    secret: SECRET,
    name: "__Host-my.sid",
    sameSite: "Strict",
  });
  const devices = new DeviceBoundMiddleware(sessions, { maxAge: 150, path: "/auth/device" });
  const browser = new DeviceBrowser(serverOf(sessions, devices, { "/sign-in": signInAction }), { hasSupport: false });
  const offer = (await browser.request("/sign-in")).headers.get("secure-session-registration") ?? "";
  const response = await browser.register(offer);
  const instructions = {
    session_identifier: "__Host-my_sid",
    refresh_url: "/auth/device",
    scope: { include_site: false },
    credentials: [{
      type: "cookie",
      name: "__Host-my.sid-bound",
      attributes: "Path=/; Secure; HttpOnly; SameSite=Strict",
    }],
  };
  assertEquals(await response.json(), instructions);
  assertEquals(response.headers.get("cache-control"), "no-store");
  const [, ...attributes] = (response.headers.getSetCookie()[0] ?? "").split("; ");
  // Trap: a cookie with other attributes than the instructions say is refreshed before every
  // request.
  assertEquals(attributes.join("; "), "Max-Age=150; Path=/; Secure; HttpOnly; SameSite=Strict");
  clock.tick(151_000);
  assertEquals(await (await browser.refresh())?.json(), instructions);
});

Deno.test("DeviceBoundMiddleware offers nothing where the registration would fail, and offers it on the next page", async () => {
  using _clock = new FakeClock();
  const offers = async (site: "cross-site" | "same-site", isPage: boolean, options = {}): Promise<boolean[]> => {
    const browser = new DeviceBrowser(world(options).server, { hasSupport: false });
    const signIn = await browser.request("/sign-in", { site, isPage });
    const next = await browser.request("/user", { site: "same-origin" });
    return [signIn, next].map(({ headers }) => headers.has("secure-session-registration"));
  };
  // The callback of an identity provider: the browser sends no Lax cookie with the registration.
  assertEquals(await offers("cross-site", true), [false, true]);
  // The script of a sibling origin, for which the browser would not refresh.
  assertEquals(await offers("same-site", false), [false, true]);
  assertEquals(await offers("same-site", true), [true, false]);
  assertEquals(await offers("same-site", false, { refreshInitiators: ["app.shop.example"] }), [true, false]);
});

Deno.test("DeviceBoundMiddleware names the option `refreshInitiators` in its instructions", async () => {
  using _clock = new FakeClock();
  const browser = new DeviceBrowser(world({ refreshInitiators: ["*.shop.example"] }).server, { hasSupport: false });
  const offer = (await browser.request("/sign-in")).headers.get("secure-session-registration") ?? "";
  const instructions = await (await browser.register(offer)).json();
  assertEquals(instructions.allowed_refresh_initiators, ["*.shop.example"]);
});

Deno.test("DeviceBoundMiddleware offers the session of a user whom Alosaur's scheme has signed in", async () => {
  using _clock = new FakeClock();
  const sessions = start();
  const server = serverOf(sessions, new DeviceBoundMiddleware(sessions), {
    "/": async (context) => {
      const scheme: AuthenticationScheme = {
        authenticate: async () => {},
        signInAsync: ({ security }: SecurityContext, identity: Identity): Promise<unknown> => {
          security.auth.identity = <T>() => identity as Identity<T>;
          return Promise.resolve();
        },
        signOutAsync: () => Promise.resolve(),
      } as unknown as AuthenticationScheme;
      await context.security.auth.signInAsync(scheme, { data: {} } as unknown as Identity);
      await context.security.session.set("identity", "ada");
      return "ok";
    },
  });
  const { headers } = await new DeviceBrowser(server, { hasSupport: false }).request("/");
  assert(headers.has("secure-session-registration"));
});

Deno.test("DeviceBoundMiddleware: a thief cannot end a bound session with its cookie beside an own one", async () => {
  using clock = new FakeClock();
  const { server } = world();
  const browser = await signedIn(server);
  const own = await signedIn(server, { hasSupport: false });
  clock.tick(GRACE);
  for (
    const cookie of [`${own.steal("sid")}; ${browser.steal("sid")}`, `${browser.steal("sid")}; ${own.steal("sid")}`]
  ) {
    await server({ path: "/sign-out", method: "GET", headers: {}, cookie });
    assertEquals(await textOf(browser, "/user"), "ada");
  }
});

Deno.test("DeviceBoundMiddleware: a planted cookie of a bound session does not hide the visitor's own session", async () => {
  using clock = new FakeClock();
  const { server } = world();
  const foreign = await signedIn(server);
  const browser = await signedIn(server);
  clock.tick(GRACE);
  const cookie = `${foreign.steal("sid")}; ${browser.cookie}`;
  assertEquals((await server({ path: "/user", method: "GET", headers: {}, cookie })).status, 200);
});

Deno.test("DeviceBoundMiddleware refuses the WebSocket of a thief", async () => {
  using clock = new FakeClock();
  const { server } = world();
  const browser = await signedIn(server);
  clock.tick(GRACE);
  const upgrade = { path: "/user", method: "GET", headers: { upgrade: "websocket" }, cookie: browser.steal("sid") };
  assertEquals((await server(upgrade)).status, 401);
});

Deno.test("DeviceBoundMiddleware: a refresh with the key of the former sign-in does not end the new bound session", async () => {
  using clock = new FakeClock();
  const { server } = world();
  const browser = await signedIn(server);
  const former = browser.bound;
  await browser.request("/sign-out");
  await browser.request("/sign-in");
  const current = browser.bound;
  browser.bound = former;
  assertEquals((await browser.refresh())?.status, 503);
  browser.bound = former;
  clock.tick(MINUTE);
  assertEquals((await browser.refresh())?.status, 400);
  browser.bound = current;
  assertEquals((await browser.refresh())?.status, 200);
});

Deno.test("DeviceBoundMiddleware: an old id within its grace period cannot bind the session", async () => {
  using _clock = new FakeClock();
  const sessions = start();
  const server = serverOf(sessions, new DeviceBoundMiddleware(sessions), {
    "/sign-in": signInAction,
    "/renew": ({ security: { session } }) => session.regenerate({ graceSeconds: 30 }),
    "/device": ({ security: { session } }) => session.device?.algorithm ?? "unbound",
  });
  const browser = new DeviceBrowser(server, { hasSupport: false });
  const offer = (await browser.request("/sign-in")).headers.get("secure-session-registration") ?? "";
  const old = browser.cookie;
  await browser.request("/renew");
  const challenge = /challenge="([^"]+)"/.exec(offer)?.[1] ?? "";
  const headers = {
    ...BROWSER_METADATA,
    "secure-session-response": await (await DeviceKey.create()).registration(challenge),
  };
  const bind = async (cookie: string | undefined): Promise<number> =>
    (await server({ path: ENDPOINT, method: "POST", headers, cookie })).status;
  assertEquals([await bind(old), await textOf(browser, "/device")], [503, "unbound"]);
  // The challenge is still that of the session, so its current id can.
  assertEquals([await bind(browser.cookie), await textOf(browser, "/device")], [200, "ES256"]);
});

Deno.test("DeviceBoundMiddleware: a registration of a session that was revoked meanwhile is refused", async () => {
  using _clock = new FakeClock();
  const inner = new MemoryStore();
  const meanwhile: { revoke?: () => Promise<unknown> } = {};
  const store = new Proxy(inner, {
    get(target, name): unknown {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      return async (...args: unknown[]) => {
        if (name === "changeRecord") await meanwhile.revoke?.();
        return await value.apply(target, args);
      };
    },
  });
  const { server, sessions, events } = world({}, {}, store);
  const browser = new DeviceBrowser(server, { hasSupport: false });
  const offer = (await browser.request("/sign-in")).headers.get("secure-session-registration") ?? "";
  meanwhile.revoke = () => sessions.sessions.revokeAll("ada");
  assertEquals((await browser.register(offer)).status, 400);
  assertEquals(events, ["created", "revoked", "boundRefused unknown"]);
});

Deno.test("DeviceBoundMiddleware: a withheld session fails the check of a CSRF token with its own error", async () => {
  using clock = new FakeClock();
  const { server, sessions } = world();
  const browser = await signedIn(server);
  clock.tick(GRACE);
  const context = contextOf({ url: ORIGIN, method: "POST", cookie: browser.steal("sid") });
  await sessions.onPreRequest(context);
  await assertRejects(async () => await new CsrfMiddleware().onPreRequest(context), DeviceProofError);
});
