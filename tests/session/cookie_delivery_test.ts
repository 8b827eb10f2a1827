/** Cookies that do not arrive, arrive late, or are presented twice. */
import {
  assert,
  assertEquals,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
} from "../helpers/assert.ts";
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
  read,
  renew,
  SECRET,
  signIn,
  signUp,
  start,
  visit,
} from "../helpers/request.ts";
import { BasicStore, countRecords, probe, STORES, waiting, working } from "../helpers/stores.ts";
import { CsrfMiddleware } from "../../src/csrf_middleware.ts";
import {
  HeadersSentError,
  MemoryStore,
  type Session,
  type SessionEvent,
  SessionGoneError,
  type SessionOptions,
  SessionStoreError,
  UnreadableRecordError,
} from "../../mod.ts";

for (const [name, make] of STORES) {
  Deno.test(`Session on ${name} refuses a call that needs a cookie once the headers have left`, async (t) => {
    const calls: [string, (session: Session) => Promise<unknown>, isNew: boolean][] = [
      ["set", (session) => session.set("a", 1), true],
      ["update", (session) => session.update("a", () => 1), true],
      ["csrfToken", (session) => session.csrfToken(), true],
      ["regenerate", (session) => session.regenerate({ principal: "ada" }), true],
      ["regenerate", (session) => session.regenerate({ principal: "ada" }), false],
      ["regenerate", (session) => session.regenerate(), false],
    ];
    for (const [operation, call, isNew] of calls) {
      await t.step(`${operation} of a visitor ${isNew ? "without" : "with"} a session`, async () => {
        const store = make();
        const middleware = start({}, store);
        const cookie = isNew ? undefined : await signUp(middleware);
        let error: HeadersSentError | undefined;
        let written: unknown;
        const response = await visit(middleware, { cookie }, ({ security: { session } }) =>
          new Response(
            new ReadableStream({
              async pull(controller): Promise<void> {
                error = await assertRejects(() => call(session), HeadersSentError);
                // A write that needs no cookie still works.
                written = isNew ? undefined : await session.set("late", 1).then(() => session.get("late"));
                controller.close();
              },
            }, { highWaterMark: 0 }),
          ));
        await response.text();
        assertEquals(error?.operation, operation);
        assertEquals(countRecords(store), isNew ? 0 : 1);
        assertEquals(written, isNew ? undefined : 1);
        if (cookie !== undefined) assertEquals(await read(middleware, cookie), "ada");
      });
    }
  });

  Deno.test(`Session.applyTo() on ${name} brings the cookie onto a response that a middleware returns`, async () => {
    const middleware = start({}, make());
    const context = contextOf();
    await middleware.onPreRequest(context);
    const { session } = context.security;
    const untouched = new Response("untouched");
    assertStrictEquals(session.applyTo(untouched), untouched);
    await session.set("user", "ada");
    const redirect = session.applyTo(Response.redirect("http://localhost/next", 303));
    assertEquals([redirect.status, redirect.headers.get("location")], [303, "http://localhost/next"]);
    assertEquals(redirect.headers.get("cache-control"), "no-store");
    assertEquals(await read(middleware, cookieOf(redirect)), "ada");
  });

  Deno.test(`Session.applyTo() on ${name} carries a cleared cookie, and the mark of a private response`, async () => {
    const middleware = start({}, make());
    const { session } = await open(middleware, await signUp(middleware));
    await session.get("user");
    assertEquals(session.applyTo(new Response("x")).headers.get("cache-control"), "private");
    await session.destroy();
    assertEquals(onlyCookie(session.applyTo(new Response("x")).headers).value, "");
  });

  Deno.test(`Session.applyTo() on ${name} sends no cookie again that was replaced, and keeps a deletion`, async () => {
    const store = make();
    const old = await signUp(start({}, store));
    const middleware = start({ secret: [crypto.getRandomValues(new Uint8Array(32)), SECRET] }, store);
    const [first, second, refused] = [
      await open(middleware, old),
      await open(middleware, old),
      contextOf({ cookie: old, method: "POST", headers: { origin: "http://other.example" } }),
    ];
    await middleware.onPreRequest(refused);
    const signedOut = first.session.applyTo(new Response("x", { headers: { "set-cookie": "sid=; Max-Age=0" } }));
    assertEquals(onlyCookie(signedOut.headers).value, "");
    // Both responses begin with the headers of the context, which have the outdated cookie.
    const { headers } = second.context.response;
    const copied = new Response("x", { headers });
    assertEquals(headers.getSetCookie().length, 1);
    await renew(middleware, old, { principal: "ada" });
    assertEquals(second.session.applyTo(copied).headers.getSetCookie(), []);
    assertEquals((await new CsrfMiddleware().onPreRequest(refused))?.headers.getSetCookie(), []);
  });

  Deno.test(`SessionMiddleware on ${name} reports a cookie that a middleware's own response lost`, async () => {
    using clock = new FakeClock();
    using output = new Captured("warn");
    const events: SessionEvent[] = [];
    const middleware = start({ onEvent: (event) => events.push(event) }, make());
    // Later middlewares answer: the first without the cookie, the second with it.
    const lost = await open(middleware);
    await lost.session.set("a", 1);
    const sent = await open(middleware);
    await sent.session.set("a", 1);
    sent.session.applyTo(new Response("x"));
    const slow = await open(middleware);
    events.length = 0;
    clock.tick(4_999);
    await visit(middleware, {});
    assertEquals(events, []);
    await slow.session.set("a", 1);
    clock.tick(1);
    await visit(middleware, {});
    assertEquals(eventNames(events), ["created", "cookieLost"]);
    assert(events[1]?.type === "cookieLost" && events[1].reason === "unsent");
    assertEquals(output.lines.length, 1);
    assertStringIncludes(String(output.lines[0]), "session.applyTo(response)");
    // It is reported once, and a slow request that is answered after all is not lost.
    await slow.finish();
    clock.tick(60_000);
    await visit(middleware, {});
    assertEquals(events.length, 2);
  });

  Deno.test(`SessionMiddleware on ${name} reports a lost cookie although an older one was set again`, async () => {
    using clock = new FakeClock();
    using _output = new Captured("warn");
    const events: SessionEvent[] = [];
    const middleware = start({ maxAge: 100, rolling: true, onEvent: (event) => events.push(event) }, make());
    const [older, lost] = [await open(middleware), await open(middleware)];
    await older.session.set("a", 1);
    await lost.session.set("a", 1);
    clock.tick(4_000);
    await older.session.touch();
    clock.tick(1_000);
    await visit(middleware, {});
    assertEquals(eventNames(events), ["created", "created", "cookieLost"]);
  });

  Deno.test(`SessionMiddleware on ${name} reports the cookie of a WebSocket upgrade, which carries none`, async () => {
    using clock = new FakeClock();
    using _output = new Captured("warn");
    const events: SessionEvent[] = [];
    const middleware = start({ onEvent: (event) => events.push(event) }, make());
    const { session, context } = await open(middleware);
    await session.set("a", 1);
    // The constructor of `Response` refuses this status.
    const upgrade = Object.defineProperty(new Response(), "status", { value: 101 });
    context.response.result = upgrade;
    await middleware.onPostRequest(context);
    assertStrictEquals(merged(context), upgrade);
    clock.tick(5_000);
    await visit(middleware, {});
    assertEquals(eventNames(events), ["created", "cookieLost"]);
  });

  Deno.test(`SessionMiddleware on ${name} reports a cookie that an uncaught error lost, and not one that was sent`, async () => {
    using _output = new Captured("warn");
    const events: SessionEvent[] = [];
    const middleware = start({ onEvent: (event) => events.push(event) }, make());
    for (const answers of [true, false]) {
      const { session, context } = await open(middleware);
      await session.set("a", 1);
      context.response.error = new Error("thrown by the action");
      events.length = 0;
      await middleware.onPostRequest(context);
      if (answers) merged(context);
      await new Promise((resolve) => setTimeout(resolve));
      assertEquals(events.map((event) => event.type === "cookieLost" && event.reason), answers ? [] : ["error"]);
    }
  });

  Deno.test(`Session.regenerate() on ${name} reports its cookie if the headers leave before the store has answered`, async () => {
    using _output = new Captured("warn");
    const { store, probe: seen } = probe(make());
    const events: SessionEvent[] = [];
    const middleware = start({ onEvent: (event) => events.push(event) }, store);
    const { session, context } = await open(middleware, await signUp(middleware));
    const gate = Promise.withResolvers<void>();
    seen.before = waiting(gate.promise);
    const renewed = session.regenerate();
    context.response.result = "ok";
    merged(context);
    gate.resolve();
    await renewed;
    assertEquals(events.map((event) => event.type === "cookieLost" && event.reason).at(-2), "late");
  });

  Deno.test(`renewalTimeout on ${name} sends the new id until a request has presented it`, async () => {
    using clock = new FakeClock();
    const events: SessionEvent[] = [];
    const middleware = start({ renewalTimeout: 60, onEvent: (event) => events.push(event) }, make());
    const old = await signUp(middleware);
    clock.tick(60_000);
    events.length = 0;
    // The client never receives this response.
    const next = cookieOf(await visit(middleware, { cookie: old }));
    for (const tick of [0, 29_999, 1, 3_600_000]) {
      clock.tick(tick);
      assertEquals(cookieOf(await visit(middleware, { cookie: old })), next);
      assertEquals(await read(middleware, old), "ada");
    }
    assertEquals(eventNames(events), ["renewed"]);
    // The first request with the new id may still be on its way when the old one is presented.
    assertEquals((await visit(middleware, { cookie: next })).headers.getSetCookie().length, 1);
    assertEquals(await read(middleware, old), undefined);
    assertEquals(eventNames(events).at(-1), "refused reuse");
  });

  Deno.test(`renewalTimeout on ${name} lets a long request with the old id write until a request has presented the new one`, async () => {
    using clock = new FakeClock();
    const middleware = start({ renewalTimeout: 60 }, make());
    const old = await signUp(middleware);
    const [first, second] = [await open(middleware, old), await open(middleware, old)];
    clock.tick(60_000);
    const next = cookieOf(await visit(middleware, { cookie: old }));
    clock.tick(30_000);
    await first.session.set("n", 1);
    assertEquals(await read(middleware, next, "n"), 1);
    await assertRejects(() => second.session.set("n", 2), SessionGoneError);
  });

  Deno.test(`renewalTimeout on ${name} never gives the new id to an id from before regenerate()`, async () => {
    using clock = new FakeClock();
    const middleware = start({ renewalTimeout: 60 }, make());
    const stolen = await signUp(middleware);
    const own = await renew(middleware, stolen, { graceSeconds: 100 });
    clock.tick(60_000);
    const next = cookieOf(await visit(middleware, { cookie: own }));
    // Within the grace period the older id still reaches the session.
    const response = await visit(middleware, { cookie: stolen });
    assertEquals(response.headers.getSetCookie(), []);
    assertEquals(await read(middleware, stolen), "ada");
    // A sign-in of the application ends the delivery of a renewal.
    const signedIn = await renew(middleware, next, { principal: "ada" });
    assertEquals(await read(middleware, own), undefined);
    assertEquals(await read(middleware, signedIn), "ada");
  });

  Deno.test(`SessionMiddleware on ${name} sends no cookie again that was replaced while the request ran`, async (t) => {
    const newer = crypto.getRandomValues(new Uint8Array(32));
    const cases: [string, Partial<SessionOptions>][] = [
      ["rolling", { maxAge: 100, rolling: true }],
      ["renewalTimeout", { renewalTimeout: 50 }],
      ["an older secret", { secret: [newer, SECRET] }],
    ];
    for (const [why, options] of cases) {
      for (const how of ["in this process", "in another process", "without onPostRequest"]) {
        if (name !== "MemoryStore" && how === "in another process") continue;
        await t.step(`${why}, ${how}`, async () => {
          using clock = new FakeClock();
          const store = make();
          const old = await signUp(start({ maxAge: options.maxAge }, store));
          clock.tick(50_000);
          const middleware = start(options, store);
          // Another process has a store object of its own, on the same records.
          const elsewhere = how === "in another process" ? start(options, probe(store).store) : middleware;
          const slow = await open(middleware, old);
          assertEquals(slow.context.response.headers.getSetCookie().length, 1);
          const next = await renew(elsewhere, old, { principal: "ada" });
          const response = how === "without onPostRequest" ? merged(slow.context) : await slow.finish();
          assertEquals(response.headers.getSetCookie(), []);
          assertEquals(await read(middleware, next), "ada");
        });
      }
    }
  });

  Deno.test(`Session.regenerate() on ${name} replaces the id also if the store's answer was lost`, async () => {
    using clock = new FakeClock();
    const inner = make();
    const { store, probe: seen } = probe(inner);
    const middleware = start({ maxAge: 100, rolling: true }, store);
    const old = await signUp(middleware);
    clock.tick(50_000);
    const [slow, { session }] = [await open(middleware, old), await open(middleware, old)];
    let answers = 1;
    seen.before = async (method, args) => {
      const isMove = name === "MemoryStore" ? method === "moveRecord" : method === "delete";
      if (!isMove || answers-- <= 0) return;
      await Reflect.apply(Reflect.get(inner, method), inner, args);
      throw new Error("the connection broke");
    };
    await session.regenerate({ principal: "ada" });
    assertEquals(answers, 0);
    assertEquals(merged(slow.context).headers.getSetCookie(), []);
  });

  Deno.test(`SessionMiddleware on ${name} sends no cookie again if the store cannot tell whether it was replaced`, async () => {
    using clock = new FakeClock();
    const { store, probe: seen } = probe(make());
    const middleware = start({ maxAge: 100, rolling: true, onEvent: () => {} }, store);
    const cookie = await signUp(middleware);
    clock.tick(50_000);
    const { finish } = await open(middleware, cookie);
    seen.before = () => Promise.reject(new Error("down"));
    assertEquals((await finish()).headers.getSetCookie(), []);
  });

  Deno.test(`Session.touch() on ${name} does not make the cookie of a new id depend on a check`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({ maxAge: 100, rolling: true, onEvent: () => {} }, store);
    const { session, finish } = await open(middleware, await signUp(middleware));
    await session.regenerate();
    await session.touch();
    seen.before = () => Promise.reject(new Error("down"));
    const next = cookieOf(await finish());
    seen.before = working;
    assertEquals(await read(middleware, next), "ada");
  });

  Deno.test(`Session.regenerate({ principal }) on ${name} signs in twice if the form was submitted twice`, async () => {
    const events: SessionEvent[] = [];
    const store = make();
    const middleware = start({ onEvent: (event) => events.push(event) }, store);
    const cookie = await signUp(middleware, { cart: ["apple"] });
    const [first, second] = [await open(middleware, cookie), await open(middleware, cookie)];
    events.length = 0;
    await first.session.regenerate({ principal: "ada" });
    await first.session.set("user", "ada with a second factor");
    await second.session.regenerate({ principal: "ada" });
    await second.session.set("n", 2);
    assertEquals(second.session.principal, "ada");
    const cookies = [cookieOf(await first.finish()), cookieOf(await second.finish())];
    assertEquals(eventNames(events), ["renewed", "created"]);
    assertEquals(countRecords(store), 2);
    assertNotEquals(cookies[0], cookies[1]);
    for (const cookie of cookies) assertEquals(await read(middleware, cookie, "cart"), ["apple"]);
    // It may prove more than the second sign-in does, such as a second factor.
    assertEquals(await read(middleware, cookies[1] ?? ""), undefined);
    assertEquals(await read(middleware, cookies[0] ?? "", "n"), undefined);
    assertEquals(await read(middleware, cookies[1] ?? "", "n"), 2);
  });

  Deno.test(`Session.regenerate({ principal }) on ${name} gives a second user none of the first one's values`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware, { cart: ["apple"] });
    const [first, second] = [await open(middleware, cookie), await open(middleware, cookie)];
    await first.session.regenerate({ principal: "ada" });
    second.session.regenerate({ principal: "bob" });
    // A write that waits behind the sign-in belongs to the new session.
    second.session.set("user", "bob");
    const own = cookieOf(await second.finish());
    assertEquals(await read(middleware, own), "bob");
    assertEquals(await read(middleware, own, "cart"), undefined);
    assertEquals(await read(middleware, cookieOf(await first.finish()), "user"), undefined);
  });

  Deno.test(`Session.regenerate({ principal }) on ${name} begins no session if the former one was ended`, async () => {
    const store = make();
    const middleware = start({}, store);
    const cookie = await signUp(middleware);
    const [first, second] = [await open(middleware, cookie), await open(middleware, cookie)];
    await first.session.destroy();
    await assertRejects(() => second.session.regenerate({ principal: "ada" }), Error, "the session has ended");
    assertEquals(countRecords(store), 0);
  });

  Deno.test(`Session.destroy() on ${name} ends the other sessions also if the store fails to remove one`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({ onEvent: () => {} }, store);
    for (const failed of [0, 1]) {
      const cookies = [await signUp(middleware), await signUp(middleware), await signUp(middleware)];
      const { session } = await open(middleware, cookies.join("; "));
      const exist = (): Promise<boolean[]> => Promise.all(cookies.map((cookie) => store.exist(idOf(cookie))));
      seen.before = (method, [sid]) => {
        if (method === "delete" && sid === idOf(cookies[failed] ?? "")) throw new Error("down");
      };
      await assertRejects(() => session.destroy(), SessionStoreError);
      assertEquals(await exist(), [failed === 0, failed === 1, false]);
      // Another call tries again.
      seen.before = working;
      await session.destroy();
      assertEquals(await exist(), [false, false, false]);
    }
  });

  Deno.test(`Session.destroy() on ${name} ends every session whose cookie was presented`, async () => {
    const events: SessionEvent[] = [];
    const store = make();
    const middleware = start({ onEvent: (event) => events.push(event) }, store);
    const [first, second, replaced] = [
      await signIn(middleware, "ada"),
      await signIn(middleware, "bob"),
      await signUp(middleware),
    ];
    const kept = await renew(middleware, replaced);
    events.length = 0;
    const presented = `${first}; ${second}; ${replaced}; sid=forged`;
    const response = await visit(middleware, { cookie: presented }, ({ security }) => security.session.destroy());
    assertEquals(onlyCookie(response.headers).value, "");
    assertEquals(events.flatMap((event) => event.type === "destroyed" ? [event.principal] : []), ["ada", "bob"]);
    for (const cookie of [first, second]) assertEquals(await read(middleware, cookie), undefined);
    // An id whose grace period has passed ends nothing.
    assertEquals(await read(middleware, kept), "ada");
    assertEquals(countRecords(store), 1);
  });
}

/** A basic store with a record that can never be read. */
class UnreadableStore extends BasicStore {
  readonly unreadable = new Set<string>();

  override async get(sid: string): Promise<unknown> {
    if (this.unreadable.has(sid) && this.records.has(sid)) {
      throw new UnreadableRecordError("get", "Cannot get: the key is missing");
    }
    return await super.get(sid);
  }
}

Deno.test("SessionMiddleware treats a record that can never be read as a session that has ended", async () => {
  const events: SessionEvent[] = [];
  const store = new UnreadableStore();
  const middleware = start({ onEvent: (event) => events.push(event) }, store);
  const cookie = await signUp(middleware);
  store.unreadable.add(idOf(cookie));
  events.length = 0;
  const response = await visit(middleware, { cookie }, async ({ security: { session } }) => {
    assertEquals([session.isNew, session.available, await session.get("user")], [true, true, undefined]);
    await session.set("user", "bob");
  });
  assertEquals(eventNames(events), ["unreadable", "created"]);
  assert(events[0]?.type === "unreadable" && events[0].error instanceof UnreadableRecordError);
  assertNotEquals(events[0].session, undefined);
  assertEquals(await read(middleware, cookieOf(response)), "bob");
  // Signing out ends it, because its key may come back. So does signing out of another session that
  // the same request has begun.
  const other = await signUp(middleware);
  store.unreadable.add(idOf(other));
  await visit(middleware, { cookie: other }, async ({ security: { session } }) => {
    await session.set("a", 1);
    await session.destroy();
  });
  assertEquals(await store.exist(idOf(other)), false);
  const cleared = await visit(middleware, { cookie }, ({ security }) => security.session.destroy());
  assertEquals(onlyCookie(cleared.headers).value, "");
  assertEquals(await store.exist(idOf(cookie)), false);
});

Deno.test("Session.regenerate({ principal }) begins a session although the one that replaced it can never be read", async () => {
  const store = new UnreadableStore();
  const middleware = start({}, store);
  const cookie = await signUp(middleware);
  const [first, second] = [await open(middleware, cookie), await open(middleware, cookie)];
  await first.session.regenerate({ principal: "ada" });
  store.unreadable.add(first.session.sessionId);
  await second.session.regenerate({ principal: "ada" });
  assertEquals(await read(middleware, cookieOf(await second.finish())), undefined);
});

Deno.test("renewalTimeout sends the new id again although the confirmation of the former one arrives late", async () => {
  using clock = new FakeClock();
  const { store, probe: seen } = probe(new MemoryStore());
  const middleware = start({ renewalTimeout: 60 }, store);
  const first = await signUp(middleware);
  clock.tick(60_000);
  const second = cookieOf(await visit(middleware, { cookie: first }));
  clock.tick(59_999);
  const gate = Promise.withResolvers<void>();
  seen.before = waiting(gate.promise, "changeRecord");
  const confirming = open(middleware, second);
  clock.tick(1);
  // The client never receives this response.
  const third = cookieOf(await visit(middleware, { cookie: second }));
  gate.resolve();
  await (await confirming).finish();
  clock.tick(30_000);
  assertEquals(cookieOf(await visit(middleware, { cookie: second })), third);
});

Deno.test("Session.reload() drops the cookie of an id that another process has renewed", async () => {
  using clock = new FakeClock();
  const store = new MemoryStore();
  const options = { maxAge: 1000, rolling: true, renewalTimeout: 100 };
  const middleware = start(options, store);
  const elsewhere = start(options, probe(store).store);
  const old = await signUp(middleware);
  clock.tick(99_999);
  const slow = await open(middleware, old);
  await slow.session.touch();
  clock.tick(1);
  const next = cookieOf(await visit(elsewhere, { cookie: old }));
  await slow.session.reload();
  // From now on the old id no longer leads to the cookie of the new one.
  await visit(elsewhere, { cookie: next });
  assertEquals((await slow.finish()).headers.getSetCookie(), []);
});

Deno.test("Session treats a record that becomes unreadable during the request as a session that has ended", async () => {
  const events: SessionEvent[] = [];
  const store = new UnreadableStore();
  const middleware = start({ onEvent: (event) => events.push(event) }, store);
  const cookie = await signUp(middleware);
  const [first, second] = [await open(middleware, cookie), await open(middleware, cookie)];
  store.unreadable.add(idOf(cookie));
  events.length = 0;
  const error = await assertRejects(() => first.session.update("user", () => "bob"), Error, "the session has ended");
  assert(error.cause instanceof UnreadableRecordError);
  await second.session.reload();
  assertEquals([await second.session.get("user"), second.session.expiresAt], [undefined, undefined]);
  assertEquals(eventNames(events), ["unreadable", "unreadable"]);
});

Deno.test("SessionMiddleware refuses a request if the store could not look, and does not call the session ended", async () => {
  const { store, probe: seen } = probe(new BasicStore());
  const middleware = start({ onEvent: () => {} }, store);
  const cookie = await signUp(middleware);
  seen.before = () => Promise.reject(new Error("down"));
  const error = await assertRejects(() => visit(middleware, { cookie }), SessionStoreError);
  assertEquals(error instanceof UnreadableRecordError, false);
});
