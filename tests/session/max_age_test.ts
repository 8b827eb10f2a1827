/** A session with a life of its own: `setMaxAge()`, and `maxAge` of `regenerate()`. */
import { assertEquals, assertMatch, assertRejects } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import {
  cookieOf,
  idOf,
  onlyCookie,
  open,
  read,
  renew,
  SECRET,
  setCookies,
  signIn,
  signUp,
  start,
  visit,
} from "../helpers/request.ts";
import { failing, probe, STORES, waiting, working } from "../helpers/stores.ts";
import {
  MemoryStore,
  SessionError,
  type SessionMiddleware,
  type SessionOptions,
  SessionStoreError,
} from "../../mod.ts";

const DAY = 24 * 60 * 60;

function withExpires(
  { expires, ...limit }: { maxAge?: number; expires?: number },
  clock: FakeClock,
): Partial<SessionOptions> {
  return expires === undefined ? limit : { ...limit, expires: new Date(clock.now + expires) };
}

/** Signs a user in for some time. Returns the Set-Cookie's attributes and the Cookie header. */
async function remember(
  middleware: SessionMiddleware,
  maxAge: number | null | undefined,
  cookie?: string,
  principal = "ada",
): Promise<{ cookie: string; expiresAt?: Date; maxAge: unknown; expires: unknown }> {
  const { session, finish } = await open(middleware, cookie);
  await session.regenerate({ principal, maxAge, set: { user: principal } });
  const { expiresAt } = session;
  const response = await finish();
  const { attributes } = onlyCookie(response.headers);
  return { cookie: cookieOf(response), expiresAt, maxAge: attributes["max-age"], expires: attributes.expires };
}

/** Returns the Max-Age of the cookies that a request with a cookie receives. */
async function sent(middleware: SessionMiddleware, cookie: string): Promise<unknown[]> {
  return setCookies((await visit(middleware, { cookie })).headers).map(({ attributes }) => attributes["max-age"]);
}

for (const [name, make] of STORES) {
  Deno.test(`regenerate({ maxAge }) on ${name} limits this session, in the cookie and on the server`, async () => {
    for (const limit of [{}, { maxAge: 60 }, { expires: 50_000 }]) {
      using clock = new FakeClock();
      const options = withExpires(limit, clock);
      const middleware = start(options, make());
      const { cookie, maxAge, expires } = await remember(middleware, 30 * DAY);
      assertEquals([maxAge, expires], [String(30 * DAY), undefined]);
      const { session } = await open(middleware, cookie);
      assertEquals(session.expiresAt, new Date(clock.now + 30 * DAY * 1000));
      clock.tick(30 * DAY * 1000 - 1);
      assertEquals(await read(middleware, cookie), "ada");
      assertEquals(await sent(middleware, cookie), [], "the client has this cookie already");
      clock.tick(1);
      assertEquals(await read(middleware, cookie), undefined);
    }
  });

  Deno.test(`regenerate({ maxAge: null }) on ${name} lets the cookie end with the browser`, async () => {
    for (const limit of [{}, { maxAge: 7 * DAY }, { maxAge: 60, expires: 50_000 }]) {
      using clock = new FakeClock();
      const options = withExpires(limit, clock);
      const middleware = start(options, make());
      const before = await signUp(middleware);
      clock.tick(1000);
      const { cookie, maxAge, expires } = await remember(middleware, null, before);
      assertEquals([maxAge, expires], [undefined, undefined]);
      clock.tick(DAY * 1000 - 1);
      assertEquals(await read(middleware, cookie), "ada");
      clock.tick(1);
      assertEquals(await read(middleware, cookie), undefined);
    }
  });

  Deno.test(`Session.setMaxAge() on ${name} sends the cookie with this response and once more with the next`, async () => {
    using clock = new FakeClock();
    const middleware = start({ maxAge: 60 }, make());
    const cookie = await signUp(middleware);
    clock.tick(10_000);
    const { session, finish } = await open(middleware, cookie);
    await session.setMaxAge(600);
    assertEquals(session.expiresAt, new Date(clock.now + 600_000));
    const response = await finish();
    assertEquals([cookieOf(response), onlyCookie(response.headers).attributes["max-age"]], [cookie, "600"]);
    clock.tick(1000);
    assertEquals([await sent(middleware, cookie), await sent(middleware, cookie)], [["599"], []]);
    clock.tick(598_999);
    assertEquals(await read(middleware, cookie), "ada");
    clock.tick(1);
    assertEquals(await read(middleware, cookie), undefined);
  });

  Deno.test(`Session.setMaxAge() on ${name} shortens a session, and ends its cookie with the browser`, async () => {
    using clock = new FakeClock();
    const middleware = start({}, make());
    const { cookie, expiresAt } = await remember(middleware, 30 * DAY, await signUp(middleware));
    assertEquals(expiresAt, new Date(clock.now + 30 * DAY * 1000));
    await visit(middleware, { cookie }, ({ security }) => security.session.setMaxAge(10));
    clock.tick(9999);
    assertEquals(await read(middleware, cookie), "ada");
    const { session, finish } = await open(middleware, cookie);
    await session.setMaxAge(null);
    assertEquals(onlyCookie((await finish()).headers).attributes["max-age"], undefined);
    clock.tick(DAY * 1000 - 1);
    assertEquals(await read(middleware, cookie), "ada");
  });

  Deno.test(`Session.setMaxAge() on ${name} creates the session of a new visitor`, async () => {
    using clock = new FakeClock();
    const middleware = start({ maxAge: 60 }, make());
    const { session, finish } = await open(middleware);
    session.setMaxAge(600);
    const response = await finish();
    assertEquals(onlyCookie(response.headers).attributes["max-age"], "600");
    clock.tick(599_999);
    const later = await open(middleware, cookieOf(response));
    assertEquals(later.session.isNew, false);
    assertEquals((await later.finish()).headers.getSetCookie(), []);
  });

  Deno.test(`the life of a session on ${name} is extended by rolling, and ended by the other limits`, async (t) => {
    await t.step("rolling counts it from the last activity", async () => {
      using clock = new FakeClock();
      const middleware = start({ maxAge: 60, rolling: true }, make());
      const { cookie } = await remember(middleware, 600);
      clock.tick(59_999);
      assertEquals(await sent(middleware, cookie), [], "a tenth of its own life has not passed");
      clock.tick(1);
      assertEquals(await sent(middleware, cookie), ["600"]);
      clock.tick(599_999);
      assertEquals(await read(middleware, cookie), "ada");
      clock.tick(600_000);
      assertEquals(await read(middleware, cookie), undefined);
    });
    await t.step("rolling, in a session that ends with the browser", async () => {
      using clock = new FakeClock();
      const middleware = start({ maxAge: 30 * DAY, rolling: true }, make());
      const { cookie } = await remember(middleware, null);
      for (let hours = 0; hours < 72; hours += 3) {
        clock.tick(3 * 3600_000);
        assertEquals(await sent(middleware, cookie), [undefined]);
      }
      clock.tick(DAY * 1000);
      assertEquals(await read(middleware, cookie), undefined);
    });
    await t.step("absoluteTimeout", async () => {
      using clock = new FakeClock();
      const middleware = start({ absoluteTimeout: 100 }, make());
      const { cookie, maxAge } = await remember(middleware, 600);
      assertEquals(maxAge, "100");
      clock.tick(100_000);
      assertEquals(await read(middleware, cookie), undefined);
    });
    await t.step("idleTimeout", async () => {
      using clock = new FakeClock();
      const middleware = start({ idleTimeout: 100 }, make());
      const { cookie, maxAge } = await remember(middleware, 600);
      assertEquals(maxAge, "600");
      clock.tick(90_000);
      assertEquals(await read(middleware, cookie), "ada");
      clock.tick(100_000);
      assertEquals(await read(middleware, cookie), undefined);
    });
  });

  Deno.test(`the life of a session on ${name} is kept by renewals, signing again and other processes`, async () => {
    using clock = new FakeClock();
    const store = make();
    const first = await remember(start({ maxAge: 60 }, store), 600);
    clock.tick(100_000);
    const later = start({ maxAge: 60, renewalTimeout: 50 }, store);
    const renewed = await visit(later, { cookie: first.cookie });
    assertEquals(onlyCookie(renewed.headers).attributes["max-age"], "500");
    clock.tick(10_000);
    const rotated = start({ maxAge: 60, secret: ["another secret of some 32 bytes.", SECRET] }, store);
    const signed = await visit(rotated, { cookie: cookieOf(renewed) });
    assertEquals(onlyCookie(signed.headers).attributes["max-age"], "490");
    const own = await renew(rotated, cookieOf(signed));
    clock.tick(489_999);
    assertEquals(await read(rotated, own), "ada");
    clock.tick(1);
    assertEquals(await read(rotated, own), undefined);
  });

  Deno.test(`a sign-in on ${name} without maxAge keeps the life that this user has, and no other user's`, async () => {
    using clock = new FakeClock();
    const middleware = start({ maxAge: 60 }, make());
    const { cookie } = await remember(middleware, 600);
    clock.tick(100_000);
    const again = await remember(middleware, undefined, cookie);
    assertEquals(again.maxAge, "500", "the same user confirms the password");
    const grace = await remember(middleware, undefined, again.cookie, "grace");
    assertEquals(grace.maxAge, "60", "counted from her sign-in");
    clock.tick(59_999);
    assertEquals(await read(middleware, grace.cookie), "grace");
    clock.tick(1);
    assertEquals(await read(middleware, grace.cookie), undefined);

    const visitor = await open(middleware);
    await visitor.session.setMaxAge(600);
    const signed = await remember(middleware, undefined, cookieOf(await visitor.finish()));
    assertEquals(signed.maxAge, "60", "the life from before the sign-in");
  });

  Deno.test(`Session.setMaxAge() on ${name} reaches a record that a request with the former life writes last`, async () => {
    using clock = new FakeClock();
    const middleware = start({ maxAge: 60, rolling: true }, make());
    const cookie = await signIn(middleware, "ada");
    clock.tick(10_000);
    const socket = await open(middleware, cookie);
    await visit(middleware, { cookie }, ({ security }) => security.session.setMaxAge(600));
    await socket.session.touch();
    assertEquals(await sent(middleware, cookie), ["600"]);
    await socket.session.touch();
    await sent(middleware, cookie);
    clock.tick(599_999);
    assertEquals(await read(middleware, cookie), "ada");
  });

  Deno.test(`Session.setMaxAge() on ${name} reaches the cookie if another request renews the id meanwhile`, async () => {
    using clock = new FakeClock();
    const middleware = start({ maxAge: 60 }, make());
    const cookie = await signIn(middleware, "ada");
    clock.tick(1000);
    const remembering = await open(middleware, cookie);
    const renewed = await renew(middleware, cookie, { graceSeconds: 30 });
    await remembering.session.setMaxAge(600);
    assertEquals((await remembering.finish()).headers.getSetCookie(), [], "the old id must not replace the new one");
    clock.tick(1000);
    const next = await visit(middleware, { cookie: renewed });
    assertEquals([cookieOf(next), onlyCookie(next.headers).attributes["max-age"]], [renewed, "599"]);
    assertEquals(await sent(middleware, renewed), []);
  });

  Deno.test(`Session.setMaxAge() on ${name} after the response has left sends the cookie with the next one`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware);
    const { session, finish } = await open(middleware, cookie);
    assertEquals((await finish()).headers.getSetCookie(), []);
    await session.setMaxAge(600);
    assertEquals([await sent(middleware, cookie), await sent(middleware, cookie)], [["600"], []]);
  });

  Deno.test(`Session.setMaxAge() on ${name} sends the cookie after a WebSocket has connected meanwhile`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware);
    await visit(middleware, { cookie }, ({ security }) => security.session.setMaxAge(600));
    await visit(middleware, { cookie, headers: { upgrade: "websocket" } });
    assertEquals([await sent(middleware, cookie), await sent(middleware, cookie)], [["600"], []]);
  });

  Deno.test(`Session.setMaxAge() on ${name} changes nothing if the store fails`, async () => {
    using clock = new FakeClock();
    const { store, probe: seen } = probe(make());
    const middleware = start({ maxAge: 60 }, store);
    const cookie = await signUp(middleware);
    const { session, finish } = await open(middleware, cookie);
    seen.before = failing("changeRecord", "setValue");
    const { message } = await assertRejects(() => session.setMaxAge(600), SessionStoreError);
    assertMatch(message, /^Cannot set the lifetime: \w+ failed; the change may or may not be stored; see `cause`/);
    seen.before = working;
    assertEquals(session.expiresAt, new Date(clock.now + 60_000));
    assertEquals(await session.get("user"), "ada");
    assertEquals((await finish()).headers.getSetCookie(), []);
    assertEquals(await sent(middleware, cookie), []);
    const failed = await open(middleware, cookie);
    await failed.session.destroy();
    await assertRejects(
      () => failed.session.setMaxAge(600),
      SessionError,
      "Cannot set the lifetime: the session has ended",
    );
  });
}

for (const [name, make] of STORES) {
  Deno.test(`a sign-in on ${name} never continues a lifetime that another user has just set`, async () => {
    for (const [maxAge, after] of [[30 * DAY, 3600_000], [60, 3599_999]] as const) {
      using clock = new FakeClock();
      const middleware = start({ maxAge: 3600 }, make());
      const cookie = await signIn(middleware, "ada");
      const bob = await open(middleware, cookie);
      await visit(middleware, { cookie }, ({ security }) => security.session.setMaxAge(maxAge));
      await bob.session.regenerate({ principal: "bob", set: { user: "bob" } });
      const response = await bob.finish();
      assertEquals(onlyCookie(response.headers).attributes["max-age"], "3600");
      clock.tick(after);
      assertEquals(await read(middleware, cookieOf(response)), after === 3600_000 ? undefined : "bob");
    }
  });

  Deno.test(`Session.touch() on ${name} of a long request keeps the lifetime that another request has set`, async () => {
    for (const options of [{}, { maxAge: 3600, rolling: true }, { idleTimeout: 40 * DAY }]) {
      using clock = new FakeClock();
      const middleware = start(options, make());
      const cookie = await signIn(middleware, "ada");
      const socket = await open(middleware, cookie);
      await visit(middleware, { cookie }, ({ security }) => security.session.setMaxAge(30 * DAY));
      await sent(middleware, cookie);
      await socket.session.touch();
      clock.tick(30 * DAY * 1000 - 1);
      assertEquals(await read(middleware, cookie), "ada", JSON.stringify(options));
    }
  });

  Deno.test(`a new id on ${name} from a request that does not know the lifetime is sent again with it`, async () => {
    const middleware = start({ maxAge: 30 * DAY }, make());
    const cookie = await signIn(middleware, "ada");
    const slow = await open(middleware, cookie);
    await visit(middleware, { cookie }, ({ security }) => security.session.setMaxAge(null));
    assertEquals(await sent(middleware, cookie), [undefined]);
    await slow.session.regenerate();
    const response = await slow.finish();
    assertEquals(onlyCookie(response.headers).attributes["max-age"], String(30 * DAY));
    const next = cookieOf(response);
    assertEquals([await sent(middleware, next), await sent(middleware, next)], [[undefined], []]);
  });

  Deno.test(`a cookie on ${name} that is signed again does not bring back a former lifetime`, async () => {
    const store = make();
    const cookie = await signIn(start({ maxAge: 30 * DAY }, store), "ada");
    const middleware = start({ maxAge: 30 * DAY, secret: ["another secret of some 32 bytes.", SECRET] }, store);
    const slow = await open(middleware, cookie);
    await visit(middleware, { cookie }, ({ security }) => security.session.setMaxAge(null));
    assertEquals((await slow.finish()).headers.getSetCookie(), []);
  });

  Deno.test(`a password that is confirmed twice on ${name} keeps the lifetime and the label of both sessions`, async () => {
    using clock = new FakeClock();
    const middleware = start({}, make());
    const first = await open(middleware);
    await first.session.regenerate({ principal: "ada", maxAge: 30 * DAY, label: "Firefox", set: { user: "ada" } });
    const cookie = cookieOf(await first.finish());
    clock.tick(DAY * 1000);
    const both = [await open(middleware, cookie), await open(middleware, cookie)];
    for (const { session, finish } of both) {
      await session.regenerate({ principal: "ada" });
      const response = await finish();
      assertEquals(onlyCookie(response.headers).attributes["max-age"], String(29 * DAY));
      const next = await open(middleware, cookieOf(response));
      assertEquals([next.session.label, +(next.session.expiresAt ?? 0) - clock.now], ["Firefox", 29 * DAY * 1000]);
    }
  });

  Deno.test(`Session.clear() on ${name} ends the lifetime of the user's session, also in the cookie`, async () => {
    using clock = new FakeClock();
    const middleware = start({ maxAge: 3600 }, make());
    const { cookie } = await remember(middleware, 30 * DAY);
    const leaving = await open(middleware, cookie);
    await leaving.session.clear();
    assertEquals(leaving.session.expiresAt, new Date(clock.now + 3600_000));
    await leaving.session.regenerate({ set: { notice: "You have signed out." } });
    const response = await leaving.finish();
    assertEquals(onlyCookie(response.headers).attributes["max-age"], "3600");
    clock.tick(3599_999);
    assertEquals(await read(middleware, cookieOf(response), "notice"), "You have signed out.");
    clock.tick(1);
    assertEquals(await read(middleware, cookieOf(response), "notice"), undefined);

    const staying = await remember(middleware, 30 * DAY);
    clock.tick(1);
    await visit(middleware, staying, ({ security }) => security.session.clear());
    assertEquals([await sent(middleware, staying.cookie), await sent(middleware, staying.cookie)], [["3600"], []]);
  });
}

Deno.test("Session.setMaxAge() reaches the cookie of a new id that was sent without knowing it", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const middleware = start({ maxAge: 60 }, store);
  const cookie = await signIn(middleware, "ada");
  const renewing = await open(middleware, cookie);
  await visit(middleware, { cookie }, ({ security }) => security.session.setMaxAge(600));
  const renewed = Promise.withResolvers<void>();
  seen.before = waiting(renewed.promise, "changeRecord");
  const delivering = sent(middleware, cookie);
  await renewing.session.regenerate({ graceSeconds: 30 });
  renewed.resolve();
  assertEquals(await delivering, [], "the old id must not replace the new one");
  const next = await renewing.finish();
  assertEquals(onlyCookie(next.headers).attributes["max-age"], "60");
  assertEquals(await sent(middleware, cookieOf(next)), ["600"]);
});

Deno.test("regenerate({ maxAge }) and setMaxAge() refuse what is not a life", async () => {
  const middleware = start();
  const cookie = await signIn(middleware, "ada");
  const { session } = await open(middleware, cookie);
  const cases: [unknown, typeof TypeError | typeof RangeError][] = [
    ["60", TypeError],
    [true, TypeError],
    [new Date(), TypeError],
    [0, RangeError],
    [-1, RangeError],
    [1.5, RangeError],
    [NaN, RangeError],
    [Infinity, RangeError],
    [8.64e15, RangeError],
  ];
  for (const [value, errorClass] of cases) {
    const maxAge = value as number;
    await assertRejects(() => session.setMaxAge(maxAge), errorClass, "Cannot set the lifetime: `maxAge` must be ");
    await assertRejects(() => session.regenerate({ maxAge }), errorClass, "Cannot regenerate: `maxAge` must be ");
  }
  const missing = undefined as unknown as null;
  await assertRejects(() => session.setMaxAge(missing), TypeError, "Cannot set the lifetime: `maxAge` must be ");
  assertEquals([session.sessionId, await read(middleware, cookie)], [idOf(cookie), "ada"]);
});
