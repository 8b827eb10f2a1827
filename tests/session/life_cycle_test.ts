/** The life of a session around a sign-in: new ids, limits of time, users. On both kinds of store where it holds on both. */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertThrows,
} from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { Captured } from "../helpers/console.ts";
import { cookieOf, onlyCookie, open, type Opened, read, SECRET, signUp, start, visit } from "../helpers/request.ts";
import { answersLate, BareStore, type Probe, probe } from "../helpers/stores.ts";
import {
  MemoryStore,
  type RegenerateOptions,
  SecurityContext,
  type Session,
  type SessionEvent,
  SessionGoneError,
  SessionMiddleware,
  SessionNotSupportedError,
  type SessionStore,
  SessionStoreError,
} from "../../mod.ts";

const STORES: Record<string, () => SessionStore> = {
  "MemoryStore": () => new MemoryStore(),
  "a bare store": () => new BareStore(),
};

/** Gives a client's session a new id; returns the new cookie. */
async function renew(middleware: SessionMiddleware, cookie: string, options?: RegenerateOptions): Promise<string> {
  const { session, finish } = await open(middleware, cookie);
  await session.regenerate(options);
  return cookieOf(await finish());
}

function onlyCookieOrNone(response: Response): string | undefined {
  return response.headers.getSetCookie().length === 0 ? undefined : cookieOf(response);
}

const namesOf = (events: SessionEvent[]): string[] =>
  events.map((event) => event.type === "refused" ? `refused ${event.reason}` : event.type);

for (const [name, make] of Object.entries(STORES)) {
  Deno.test(`Session.regenerate({ graceSeconds }) on ${name} lets requests under way go on, and never hands them the new cookie`, async () => {
    using clock = new FakeClock();
    const events: SessionEvent[] = [];
    const store = make();
    const middleware = start({ maxAge: 600, rolling: true, onEvent: (event) => events.push(event) }, store);
    const old = await signUp(middleware);
    const under = await open(middleware, old);
    const next = await renew(middleware, old, { graceSeconds: 5 });
    assertNotEquals(next, old);

    // Under way: it reads, writes and updates, and is given no cookie.
    await under.session.set("late", 1);
    assertEquals(await under.session.update("late", (n: number | undefined) => (n ?? 0) + 1), 2);
    assertEquals((await under.finish()).headers.getSetCookie(), []);
    // Arriving within the grace: the same, even where the cookie would be sent again.
    clock.tick(4999);
    const late = await open(middleware, old);
    assertEquals(await late.session.get("late"), 2);
    await late.session.set("later", 3);
    await late.session.touch();
    assertEquals((await late.finish()).headers.getSetCookie(), []);
    assertEquals(await read(middleware, next, "later"), 3);

    clock.tick(1);
    events.length = 0;
    assertEquals(await read(middleware, old), undefined);
    assertEquals(namesOf(events), ["refused reuse"]);
    assertEquals(await read(middleware, next), "ada");
    // A request that began within the grace finds it over.
    await assertRejects(() => under.session.set("too late", 1).then(() => under.session.reload()), SessionGoneError)
      .catch(() => {});
    // To everything but the report the old id does not exist.
    assertEquals(await store.exist(old.slice(4, 28)), false);
    assertEquals(await store.get(old.slice(4, 28)), undefined);
  });

  Deno.test(`Session.regenerate() on ${name} reports the old id as reuse until the session's deadline`, async () => {
    using clock = new FakeClock();
    const events: SessionEvent[] = [];
    const middleware = start({ maxAge: 60, onEvent: (event) => events.push(event) }, make());
    const old = await signUp(middleware);
    const { session } = await open(middleware, old);
    await session.regenerate();
    for (const [tick, reason] of [[0, "refused reuse"], [59_999, "refused reuse"], [1, "refused unknown"]] as const) {
      clock.tick(tick);
      events.length = 0;
      assertEquals(await read(middleware, old), undefined);
      assertEquals(namesOf(events), [reason]);
    }
  });

  Deno.test(`Session.regenerate() on ${name} twice within the grace leads to the last id`, async () => {
    using clock = new FakeClock();
    const middleware = start({}, make());
    const first = await signUp(middleware);
    const second = await renew(middleware, first, { graceSeconds: 10 });
    const third = await renew(middleware, second, { graceSeconds: 5 });
    for (const cookie of [first, second, third]) assertEquals(await read(middleware, cookie), "ada");
    clock.tick(5000);
    assertEquals([await read(middleware, first), await read(middleware, second)], [undefined, undefined]);
    assertEquals(await read(middleware, third), "ada");
  });

  Deno.test(`Session.regenerate({ principal }) on ${name} binds the session in the same step, without grace`, async () => {
    const events: SessionEvent[] = [];
    const middleware = start({ onEvent: (event) => events.push(event) }, make());
    const old = await signUp(middleware, { cart: 1 });
    events.length = 0;
    const next = await renew(middleware, old, { principal: "42" });
    assertEquals(events.map((event) => [event.type, "principal" in event && event.principal]), [["renewed", "42"]]);
    assertEquals(await read(middleware, old, "cart"), undefined);
    const { session } = await open(middleware, next);
    assertEquals([session.principal, await session.get("cart")], ["42", 1]);
    // It stays bound under later ids.
    const after = await renew(middleware, next);
    assertEquals((await open(middleware, after)).session.principal, "42");
  });

  Deno.test(`Session.regenerate({ principal }) on ${name} makes the session of a new visitor`, async () => {
    const middleware = start({}, make());
    const { session, finish } = await open(middleware);
    assertEquals(session.principal, undefined);
    await session.regenerate({ principal: "42" });
    assertEquals(session.principal, "42");
    assertEquals((await open(middleware, cookieOf(await finish()))).session.principal, "42");
  });

  Deno.test(`Session.regenerate() on ${name} refuses options out of range, and changes nothing`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware);
    const { session, finish } = await open(middleware, cookie);
    const cases: [RegenerateOptions, typeof TypeError | typeof RangeError][] = [
      [{ graceSeconds: 5, principal: "42" }, TypeError],
      [{ graceSeconds: 0, principal: "42" }, TypeError],
      [{ graceSeconds: -1 }, RangeError],
      [{ graceSeconds: NaN }, RangeError],
      [{ graceSeconds: Infinity }, RangeError],
      [{ graceSeconds: "5" as unknown as number }, TypeError],
      [{ principal: "" }, RangeError],
      [{ principal: 42 as unknown as string }, TypeError],
      [{ principal: "\ud800" }, TypeError],
    ];
    for (const [options, errorClass] of cases) {
      await assertRejects(() => session.regenerate(options), errorClass, "Cannot regenerate");
    }
    assertEquals((await finish()).headers.getSetCookie(), []);
    assertEquals(await read(middleware, cookie), "ada");
  });

  Deno.test(`Session.destroy() on ${name} ends the session also for requests under way and for a store that answers late`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({}, store);
    const cookie = await signUp(middleware);
    const under = await open(middleware, cookie);
    const { session } = await open(middleware, cookie);
    // The store has looked, and is slow to answer.
    const slow = answersLate(store);
    const late = open(middleware, cookie);
    slow.stop();
    await session.destroy();
    seen.calls.length = 0;
    await assertRejects(() => under.session.set("user", "back"), SessionGoneError);
    assertEquals(seen.calls, [], "that it has ended is known here, without asking");
    slow.answer();
    assertEquals(await (await late).session.get("user"), undefined);
    assert((await late).session.isNew);
  });

  Deno.test(`Session.destroy() on ${name}, asked by a request with the old id within the grace, ends the session`, async () => {
    const middleware = start({}, make());
    const old = await signUp(middleware);
    const under = await open(middleware, old);
    const next = await renew(middleware, old, { graceSeconds: 30 });
    await under.session.destroy();
    assertEquals(onlyCookie((await under.finish()).headers).value, "");
    assertEquals([await read(middleware, old), await read(middleware, next)], [undefined, undefined]);
  });

  Deno.test(`signing out with a notice on ${name}: clear(), regenerate(), set()`, async () => {
    const middleware = start({}, make());
    const { session: before, finish } = await open(middleware, await signUp(middleware, { user: "ada", cart: [1] }));
    await before.regenerate({ principal: "42" });
    const signedIn = cookieOf(await finish());
    const response = await visit(middleware, { cookie: signedIn }, async ({ security: { session } }) => {
      session.clear();
      session.regenerate();
      session.set("notice", "bye");
      assertEquals({ ...await session.entries() }, { notice: "bye" });
      return "ok";
    });
    const { session } = await open(middleware, cookieOf(response));
    assertEquals({ ...await session.entries() }, { notice: "bye" });
    assertEquals(session.principal, undefined);
    assertEquals(await read(middleware, signedIn), undefined);
  });

  Deno.test(`Session.clear() on ${name} removes all values, and asks nothing for a new visitor`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({}, store);
    const cookie = await signUp(middleware, { a: 1, __session: 2, "__session:x": 3 });
    await visit(middleware, { cookie }, async ({ security: { session } }) => {
      await session.clear();
      assertEquals(await session.has("a"), false);
      await session.set("b", 1);
      return "ok";
    });
    await visit(middleware, { cookie }, async ({ security: { session } }) => {
      assertEquals({ ...await session.entries() }, { b: 1 });
      return "ok";
    });
    seen.calls.length = 0;
    await visit(middleware, {}, ({ security: { session } }) => session.clear());
    assertEquals(seen.calls, []);
  });

  Deno.test(`maxAge with rolling on ${name} counts from the last activity, in the cookie and on the server alike`, async () => {
    using clock = new FakeClock();
    const { store, probe: seen } = probe(make());
    const middleware = start({ maxAge: 100, rolling: true }, store);
    const cookie = await signUp(middleware);
    clock.tick(9999);
    seen.calls.length = 0;
    assertEquals((await visit(middleware, { cookie })).headers.getSetCookie(), []);
    assertEquals(seen.calls.length, 1, "activity is not written with every request");
    clock.tick(1);
    const response = await visit(middleware, { cookie });
    assertEquals(onlyCookie(response.headers).attributes["max-age"], "100");
    assertEquals(`sid=${onlyCookie(response.headers).value}`, cookie);
    for (let i = 0; i < 20; i++) {
      clock.tick(90_000);
      assertEquals(await read(middleware, cookie), "ada");
    }
    clock.tick(99_999);
    assertEquals(await read(middleware, cookie), "ada");
    clock.tick(100_000);
    assertEquals(await read(middleware, cookie), undefined);
  });

  Deno.test(`idleTimeout on ${name} ends a session without a request for so long`, async () => {
    using clock = new FakeClock();
    const events: SessionEvent[] = [];
    const middleware = start({ idleTimeout: 100, onEvent: (event) => events.push(event) }, make());
    const cookie = await signUp(middleware);
    const response = await visit(middleware, { cookie });
    assertEquals(response.headers.getSetCookie(), []);
    for (let i = 0; i < 20; i++) {
      clock.tick(90_000);
      const { session, finish } = await open(middleware, cookie);
      assertEquals(session.expiresAt, new Date(clock.now + 100_000));
      // The server's alone: the browser keeps its session cookie.
      assertEquals((await finish()).headers.getSetCookie(), []);
    }
    clock.tick(100_000);
    events.length = 0;
    assertEquals(await read(middleware, cookie), undefined);
    assertEquals(namesOf(events), ["expired"]);
  });

  Deno.test(`idleTimeout on ${name} may end a session a tenth early, and never late`, async () => {
    using clock = new FakeClock();
    const middleware = start({ idleTimeout: 100 }, make());
    const cookie = await signUp(middleware);
    clock.tick(9999);
    assertEquals(await read(middleware, cookie), "ada");
    clock.tick(90_000);
    assertEquals(await read(middleware, cookie), "ada");
    clock.tick(100_000);
    assertEquals(await read(middleware, cookie), undefined);
  });

  Deno.test(`absoluteTimeout on ${name} ends a session whatever its activity`, async () => {
    using clock = new FakeClock();
    const middleware = start({ maxAge: 100, rolling: true, absoluteTimeout: 250 }, make());
    const cookie = await signUp(middleware);
    for (let i = 0; i < 4; i++) {
      clock.tick(60_000);
      const response = await visit(middleware, { cookie });
      const left = 250 - (i + 1) * 60;
      assertEquals(onlyCookie(response.headers).attributes["max-age"], `${Math.min(100, left)}`);
    }
    clock.tick(9999);
    assertEquals(await read(middleware, cookie), "ada");
    clock.tick(1);
    assertEquals(await read(middleware, cookie), undefined);
  });

  Deno.test(`renewalTimeout on ${name} renews the id by itself, with 30 seconds of grace`, async () => {
    using clock = new FakeClock();
    const events: SessionEvent[] = [];
    const middleware = start({ renewalTimeout: 60, onEvent: (event) => events.push(event) }, make());
    const old = await signUp(middleware);
    clock.tick(59_999);
    assertEquals((await visit(middleware, { cookie: old })).headers.getSetCookie(), []);
    clock.tick(1);
    // The parallel requests of one page: one renews, none is logged out.
    const responses = await Promise.all(
      Array.from({ length: 5 }, () =>
        visit(middleware, { cookie: old }, async ({ security: { session } }) => {
          assertEquals(await session.get("user"), "ada");
          await session.update("requests", (n: number | undefined) => (n ?? 0) + 1);
          return "ok";
        })),
    );
    const given = responses.filter(({ headers }) => headers.getSetCookie().length > 0);
    assertEquals(given.length, 1);
    assertEquals(namesOf(events).filter((type) => type === "renewed").length, 1);
    const next = cookieOf(given[0] ?? new Response());
    assertNotEquals(next, old);
    assertEquals(await read(middleware, next, "requests"), 5);
    clock.tick(29_999);
    assertEquals(await read(middleware, old), "ada");
    clock.tick(1);
    assertEquals(await read(middleware, old), undefined);
    assertEquals(namesOf(events).at(-1), "refused reuse");
    assertEquals(await read(middleware, next), "ada");
  });

  Deno.test(`renewalTimeout with rolling on ${name}: the grace is whole, and reuse is known as long as the session lives`, async () => {
    using clock = new FakeClock();
    const events: SessionEvent[] = [];
    const middleware = start({ maxAge: 60, rolling: true, renewalTimeout: 20, onEvent: (e) => events.push(e) }, make());
    const old = await signUp(middleware);
    clock.tick(50_000);
    const next = cookieOf(await visit(middleware, { cookie: old }));
    clock.tick(15_000);
    assertEquals(await read(middleware, old), "ada");
    clock.tick(15_000);
    const later = cookieOf(await visit(middleware, { cookie: next }));
    clock.tick(59_000);
    assertEquals(await read(middleware, later), "ada");
    events.length = 0;
    assertEquals(await read(middleware, old), undefined);
    assertEquals(namesOf(events), ["refused reuse"]);
  });

  Deno.test(`a request under way on ${name} is not given the cookie of an id that replaced its own, nor keeps its own`, async () => {
    using clock = new FakeClock();
    const middleware = start({ maxAge: 60, rolling: true }, make());
    const old = await signUp(middleware);
    clock.tick(10_000);
    // It has been sent its own cookie again, with a longer life.
    const under = await open(middleware, old);
    const next = await renew(middleware, old, { graceSeconds: 5 });
    await under.session.set("a", 1);
    await under.session.touch();
    await under.session.reload();
    await under.session.touch();
    assertEquals((await under.finish()).headers.getSetCookie(), []);
    assertEquals(await read(middleware, next, "a"), 1);
  });

  Deno.test(`renewalTimeout on ${name} never binds a session again that is being unbound`, async () => {
    using clock = new FakeClock();
    const store = make();
    const middleware = start({ renewalTimeout: 60 }, store);
    const { session, finish } = await open(middleware);
    await session.regenerate({ principal: "42" });
    const cookie = cookieOf(await finish());
    const under = await open(middleware, cookie);
    clock.tick(60_000);
    // The renewal has looked, and is slow; meanwhile the user signs out.
    const slow = answersLate(store);
    const renewal = visit(middleware, { cookie });
    slow.stop();
    await under.session.clear();
    slow.answer();
    const next = await open(middleware, cookieOf(await renewal));
    assertEquals(next.session.principal, undefined);
  });

  Deno.test(`a session on ${name} that ends while it is looked up is not found, and fails no request`, async () => {
    using clock = new FakeClock();
    const { store, probe: seen } = probe(make());
    const middleware = start({ maxAge: 60, rolling: true, renewalTimeout: 20 }, store);
    const cookie = await signUp(middleware);
    clock.tick(50_000);
    for (
      const method of store instanceof MemoryStore ? ["moveRecord", "changeRecord"] : ["create", "delete", "setValue"]
    ) {
      const another = await signUp(middleware);
      clock.tick(50_000);
      seen.before = (called) => {
        if (called !== method) return;
        seen.before = () => {};
        clock.tick(10_000);
      };
      await visit(middleware, { cookie: another });
    }
    assertEquals(await read(middleware, cookie), undefined);
  });

  Deno.test(`Session.reload() on ${name} learns all that other requests changed, also that a session lives on`, async () => {
    using clock = new FakeClock();
    const middleware = start({ idleTimeout: 60 }, make());
    const { session: first, finish } = await open(middleware);
    await first.regenerate({ principal: "42" });
    const cookie = cookieOf(await finish());
    const { session } = await open(middleware, cookie);
    for (let i = 0; i < 3; i++) {
      clock.tick(30_000);
      await visit(middleware, { cookie });
    }
    // By what this request knows it is over.
    assertEquals(session.expiresAt, undefined);
    await assertRejects(() => session.set("a", 1), SessionGoneError);
    await session.reload();
    assertEquals(session.expiresAt, new Date(clock.now + 60_000));
    await session.set("a", 1);
    await visit(middleware, { cookie }, ({ security: { session } }) => session.clear());
    await session.reload();
    assertEquals([session.principal, await session.has("a")], [undefined, false]);
  });

  Deno.test(`a request under way on ${name} makes the token that the session's forms carry`, async () => {
    const middleware = start({}, make());
    const old = await signUp(middleware);
    const under = await open(middleware, old);
    const token = await under.session.csrfToken();
    const next = await renew(middleware, old, { graceSeconds: 5 });
    await under.session.set("a", 1);
    assertEquals(await under.session.csrfToken(), token);
    assertEquals(await (await open(middleware, next)).session.csrfToken(), token);
  });

  Deno.test(`the function of Session.update() on ${name} may read the session, as it was before`, async () => {
    const middleware = start({}, make());
    const { session } = await open(middleware, await signUp(middleware, { step: 2, n: 1 }));
    const next = await session.update<number>(
      "n",
      async (n = 0) => n + await session.get("step", 0) + await session.get("n", 0),
    );
    assertEquals(next, 4);
    assertEquals(await session.get("n"), 4);
  });

  Deno.test(`maxAge with rolling on ${name}: touch() alone never lets the cookie end before the session`, async () => {
    using clock = new FakeClock();
    const middleware = start({ maxAge: 600, rolling: true }, make());
    const cookie = await signUp(middleware);
    // A WebSocket, whose response has left.
    const { session: long } = await open(middleware, cookie);
    let sent = 0;
    for (let i = 0; i < 20; i++) {
      clock.tick(30_000);
      await long.touch();
      sent += (await visit(middleware, { cookie })).headers.getSetCookie().length;
    }
    assert(sent >= 9, `sent ${sent} times in ten minutes`);
  });

  Deno.test(`renewalTimeout on ${name} does not renew where the answer carries no cookie, nor fail where the store does`, async () => {
    using clock = new FakeClock();
    const { store, probe: seen } = probe(make());
    const events: SessionEvent[] = [];
    const middleware = start({ renewalTimeout: 60, onEvent: (event) => events.push(event) }, store);
    const cookie = await signUp(middleware);
    clock.tick(60_000);
    events.length = 0;
    await visit(middleware, { cookie, headers: { upgrade: "websocket" } });
    assertEquals(events, []);
    seen.before = (method) => {
      if (method === "moveRecord" || method === "create") throw new Error("down");
    };
    assertEquals(await read(middleware, cookie), "ada");
    assertEquals(namesOf(events), ["storeFailed"]);
    seen.before = () => {};
    assertNotEquals(cookieOf(await visit(middleware, { cookie })), cookie);
  });

  Deno.test(`a failure of the store on ${name} is reported wherever a session meets it`, async () => {
    const { store, probe: seen } = probe(make());
    const events: SessionEvent[] = [];
    const middleware = start({ onEvent: (event) => events.push(event) }, store);
    const { session } = await open(middleware, await signUp(middleware));
    events.length = 0;
    seen.before = () => {
      throw new Error("down");
    };
    await assertRejects(() => session.set("a", 1), SessionStoreError);
    await assertRejects(() => session.get("a"), SessionStoreError);
    assertEquals(namesOf(events), ["storeFailed", "storeFailed"]);
    if (!(store instanceof MemoryStore)) return;
    events.length = 0;
    const { sessions } = middleware;
    await assertRejects(() => sessions.list("ada", { current: session.sessionId }), SessionStoreError);
    await assertRejects(() => sessions.revokeAll("ada"), SessionStoreError);
    assertEquals(namesOf(events), ["storeFailed", "storeFailed"]);
  });

  Deno.test(`options that became stricter on ${name} hold for the sessions that are there`, async () => {
    using clock = new FakeClock();
    const store = make();
    const cookie = await signUp(start({ maxAge: 1000 }, store));
    clock.tick(100_000);
    assertEquals(await read(start({ maxAge: 101 }, store), cookie), "ada");
    assertEquals(await read(start({ maxAge: 100 }, store), cookie), undefined);
  });

  Deno.test(`Session.touch() on ${name} begins the sliding limits anew`, async () => {
    using clock = new FakeClock();
    const middleware = start({ maxAge: 100, rolling: true }, make());
    const cookie = await signUp(middleware);
    const { session, finish } = await open(middleware, cookie);
    clock.tick(5000);
    await session.touch();
    assertEquals(session.expiresAt, new Date(clock.now + 100_000));
    assertEquals(onlyCookie((await finish()).headers).attributes["max-age"], "100");
    clock.tick(99_999);
    assertEquals(await read(middleware, cookie), "ada");
    const fresh = await open(middleware);
    await fresh.session.touch();
    assertEquals((await fresh.finish()).headers.getSetCookie(), []);
  });

  Deno.test(`Session.reload() on ${name} reads what other requests wrote`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware);
    const { session } = await open(middleware, cookie);
    const other = await open(middleware, cookie);
    await other.session.set("user", "bob");
    assertEquals(await session.get("user"), "ada");
    await session.reload();
    assertEquals(await session.get("user"), "bob");
    await other.session.destroy();
    await session.reload();
    assertEquals(await session.get("user"), undefined);
    const fresh = await open(middleware);
    await fresh.session.reload();
    assertEquals(await fresh.session.get("user"), undefined);
  });

  Deno.test(`Session.update() on ${name} works on what is in the store now, and makes a session where there is none`, async () => {
    const middleware = start({}, make());
    const { session, finish } = await open(middleware);
    const first = session.update("list", (list: number[] | undefined) => [...(list ?? []), 1]);
    session.set("other", true);
    const second = session.update("list", async (list: number[] | undefined) => {
      await undefined;
      return [...(list ?? []), 2];
    });
    // What an update makes is there for the reads after it, awaited or not.
    assertEquals(await session.get("list"), [1, 2]);
    assertEquals([await first, await second], [[1], [1, 2]]);
    const cookie = cookieOf(await finish());
    const other = await open(middleware, cookie);
    await open(middleware, cookie).then(({ session }) => session.set("list", [9]));
    assertEquals(await other.session.update("list", (list: number[] | undefined) => [...(list ?? []), 3]), [9, 3]);
    assertEquals(await other.session.update("list", () => undefined), undefined);
    assertEquals(await other.session.has("list"), false);
    assertEquals(await read(middleware, cookie, "list"), undefined);
  });

  Deno.test(`Session.update() on ${name} passes on what the function throws, and writes nothing`, async () => {
    const middleware = start({ onEvent: () => {} }, make());
    const cookie = await signUp(middleware, { n: 1 });
    const { session, finish } = await open(middleware, cookie);
    await assertRejects(
      () =>
        session.update("n", () => {
          throw new RangeError("mine");
        }),
      RangeError,
      "mine",
    );
    await assertRejects(() => session.update("n", () => (() => 1) as never), TypeError, '"n"');
    await assertRejects(() => session.update("\ud800", () => 1), TypeError, "well-formed");
    assertEquals(await session.get("n"), 1);
    await finish();
    assertEquals(await read(middleware, cookie, "n"), 1);
  });

  Deno.test(`Session.update() on ${name} is a failure of the store where it is one`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({ onEvent: () => {} }, store);
    const { session } = await open(middleware, await signUp(middleware, { n: 1 }));
    seen.before = () => {
      throw new Error("down");
    };
    await assertRejects(() => session.update("n", () => 2), SessionStoreError, '"n"');
    await assertRejects(() => session.take("n"), SessionStoreError, '"n"');
    await assertRejects(() => session.clear(), SessionStoreError);
    await assertRejects(() => session.touch(), SessionStoreError);
  });

  Deno.test(`Session.take() on ${name} reads and removes, and never makes a session`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware, { notice: { text: "hello" } });
    const { session } = await open(middleware, cookie);
    const other = await open(middleware, cookie);
    assertEquals(await session.take("notice"), { text: "hello" });
    assertEquals(await session.get("notice"), undefined);
    assertEquals(await session.take("notice"), undefined);
    assertEquals(await other.session.take("notice"), undefined);
    const fresh = await open(middleware);
    assertEquals(await fresh.session.take("notice"), undefined);
    assertEquals((await fresh.finish()).headers.getSetCookie(), []);
  });

  Deno.test(`Session.csrfToken() on ${name} is the session's, changes with its id, and outlives a grace`, async () => {
    const middleware = start({}, make());
    const { session, finish } = await open(middleware);
    const token = await session.csrfToken();
    assertMatch(token, /^[\w-]{43}$/);
    const cookie = cookieOf(await finish());
    const tokenOf = async (cookie: string): Promise<string> =>
      await (await open(middleware, cookie)).session.csrfToken();
    assertEquals(await tokenOf(cookie), token);
    assertNotEquals(await tokenOf(await signUp(middleware)), token);
    assert(!cookie.includes(token));
    const renewed = await renew(middleware, cookie, { graceSeconds: 5 });
    assertEquals([await tokenOf(renewed), await tokenOf(cookie)], [token, token]);
    assertNotEquals(await tokenOf(await renew(middleware, renewed)), token);
    const ended = await open(middleware, cookie);
    await ended.session.destroy();
    await assertRejects(() => ended.session.csrfToken(), SessionGoneError);
  });

  Deno.test(`Session.csrfToken() on ${name} waits for a new id that is under way`, async () => {
    const middleware = start({}, make());
    const { session, finish } = await open(middleware, await signUp(middleware));
    session.regenerate();
    const token = await session.csrfToken();
    const next = await open(middleware, cookieOf(await finish()));
    assertEquals(await next.session.csrfToken(), token);
  });

  Deno.test(`Session.take() and update() on ${name} that nobody awaits fail the request, and never the process`, async () => {
    for (
      const act of [
        (session: Session) => void session.take("user"),
        (session: Session) => void session.update("user", () => "bob"),
        (session: Session) => void session.clear(),
        (session: Session) => void session.touch(),
        (session: Session) => void session.regenerate(),
      ]
    ) {
      const middleware = start({ onEvent: () => {} }, make());
      const cookie = await signUp(middleware);
      const { session, finish } = await open(middleware, cookie);
      await (await open(middleware, cookie)).session.destroy();
      act(session);
      await assertRejects(finish, SessionGoneError);
    }
  });

  Deno.test(`Session.csrfToken() and reload() on ${name} that nobody awaits fail the request, and never the process`, async () => {
    for (
      const act of [(session: Session) => void session.csrfToken(), (session: Session) => void session.reload()]
    ) {
      const { store, probe: seen } = probe(make());
      const middleware = start({ onEvent: () => {} }, store);
      const isReload = act.toString().includes("reload");
      const { session, finish } = await open(middleware, isReload ? await signUp(middleware) : undefined);
      seen.before = () => {
        throw new Error("down");
      };
      act(session);
      await assertRejects(finish, SessionStoreError);
    }
  });

  Deno.test(`Session.reload() on ${name} forgets no write that begins meanwhile`, async () => {
    const middleware = start({}, make());
    const { session } = await open(middleware, await signUp(middleware));
    const reloading = session.reload();
    session.set("a", 1);
    await reloading;
    assertEquals({ ...await session.entries() }, { user: "ada", a: 1 });
  });

  Deno.test(`Session.destroy() on ${name} that overlaps a new id ends the session all the same`, async () => {
    for (const options of [{}, { graceSeconds: 30 }]) {
      for (let ahead = 0; ahead < 12; ahead++) {
        const store = make();
        const middleware = start({}, store);
        const cookie = await signUp(middleware);
        const [one, other] = [await open(middleware, cookie), await open(middleware, cookie)];
        const renewal = one.session.regenerate(options).catch((error) => assertInstanceOf(error, SessionGoneError));
        for (let i = 0; i < ahead; i++) await undefined;
        await Promise.all([renewal, other.session.destroy()]);
        assertEquals(await store.exist(one.session.sessionId), false, `${ahead} ahead`);
        const next = onlyCookieOrNone(await one.finish());
        if (next !== undefined) assertEquals(await read(middleware, next), undefined);
      }
    }
  });

  Deno.test(`Session.update() on ${name} comes before the writes after it, also where nobody awaits any of them`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware, { a: 1, b: 1 });
    const { session, finish } = await open(middleware, cookie);
    session.update("a", (n = 0) => n + 1);
    session.set("a", 9);
    session.update("b", (n = 0) => n + 1);
    session.clear();
    session.update("c", () => 1);
    session.delete("c");
    session.take("d");
    session.set("d", 1);
    assertEquals({ ...await session.entries() }, { d: 1 });
    await finish();
    await visit(middleware, { cookie }, async ({ security: { session } }) => {
      assertEquals({ ...await session.entries() }, { d: 1 });
      return "ok";
    });
  });

  Deno.test(`Session on ${name} takes its cookie back when it learns that somebody else has ended it`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware);
    const { session, finish } = await open(middleware, cookie);
    await session.regenerate();
    await session.store.delete(session.sessionId);
    await assertRejects(() => session.set("a", 1), SessionGoneError);
    assertEquals((await finish()).headers.getSetCookie(), []);
  });

  Deno.test(`Session.take() and update() on ${name} write nothing where nothing changes`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({}, store);
    const { session } = await open(middleware, await signUp(middleware));
    seen.calls.length = 0;
    assertEquals(await session.take("absent"), undefined);
    assertEquals(await session.update("absent", () => undefined), undefined);
    assertEquals(seen.calls, Array(2).fill(store instanceof MemoryStore ? "readRecord" : "get"));
  });

  Deno.test(`events on ${name} tell of the life of a session, without its id`, async () => {
    using clock = new FakeClock();
    const events: SessionEvent[] = [];
    const middleware = start({ maxAge: 60, onEvent: (event) => events.push(event) }, make());
    const cookie = await signUp(middleware);
    const next = await renew(middleware, cookie);
    await read(middleware, cookie);
    await visit(middleware, { cookie: next }, ({ security: { session } }) => session.destroy());
    const other = await signUp(middleware);
    clock.tick(60_000);
    await read(middleware, other);
    assertEquals(namesOf(events), ["created", "renewed", "refused reuse", "destroyed", "created", "expired"]);
    const [created, renewed, reuse, destroyed] = events;
    assert(created?.type === "created" && renewed?.type === "renewed" && destroyed?.type === "destroyed");
    assertEquals([renewed.previous, destroyed.session], [created.session, renewed.session]);
    assertEquals(reuse?.session, created.session);
    const text = JSON.stringify(events);
    for (const secret of [cookie, next, other]) assert(!text.includes(secret.slice(4, 28)));
  });
}

Deno.test("a session id anywhere but in the cookie is ignored", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const middleware = start({}, store);
  const cookie = await signUp(middleware);
  const value = cookie.slice("sid=".length);
  seen.calls.length = 0;
  for (
    const request of [
      { url: `http://localhost/?sid=${value}&${cookie}` },
      { url: `http://localhost/;sid=${value}#${cookie}` },
      { headers: { authorization: `Bearer ${value}`, "x-sid": value, sid: value, "set-cookie": cookie } },
      { cookie: `other=${value}; ${value}` },
    ]
  ) {
    await visit(middleware, request, async ({ security: { session } }) => {
      assert(session.isNew);
      assertEquals(await session.get("user"), undefined);
      return "ok";
    });
  }
  const body = new SecurityContext(
    new Request("http://localhost/", { method: "POST", body: new URLSearchParams({ sid: value }) }),
  );
  await middleware.onPreRequest(body);
  assert(body.security.session.isNew);
  assertEquals(seen.calls, []);
});

Deno.test("refusals are counted, for each reason", async () => {
  const events: SessionEvent[] = [];
  const middleware = start({ onEvent: (event) => events.push(event) });
  for (const cookie of ["sid=x", "sid=y; sid=z", `sid=${"A".repeat(24)}.${"A".repeat(43)}`]) {
    await visit(middleware, { cookie });
  }
  assertEquals(events.map((event) => event.type === "refused" && [event.reason, event.count]), [
    ["malformed", 1],
    ["malformed", 2],
    ["malformed", 3],
    ["signature", 1],
  ]);
});

Deno.test("SessionMiddleware.generateSecret() makes secrets that need no warning", () => {
  const secrets = Array.from({ length: 100 }, () => SessionMiddleware.generateSecret());
  assertEquals(new Set(secrets).size, 100);
  for (const secret of secrets) assertMatch(secret, /^[\w-]{43}$/);
});

async function signIn(middleware: SessionMiddleware, principal: string): Promise<string> {
  const { session, finish } = await open(middleware);
  await session.regenerate({ principal });
  await session.set("user", principal);
  return cookieOf(await finish());
}

Deno.test("middleware.sessions lists and ends the sessions of a user", async () => {
  using clock = new FakeClock();
  const events: SessionEvent[] = [];
  const middleware = start({ idleTimeout: 1000, onEvent: (event) => events.push(event) });
  const { sessions } = middleware;
  const laptop = await signIn(middleware, "ada");
  clock.tick(1000);
  const phone = await signIn(middleware, "ada");
  const bob = await signIn(middleware, "bob");
  clock.tick(200_000);
  await read(middleware, laptop);

  const current = laptop.slice(4, 28);
  const list = await sessions.list("ada", { current });
  assertEquals(list.map(({ createdAt, lastSeenAt, current }) => [+createdAt, +lastSeenAt, current]), [
    [clock.now - 201_000, clock.now, true],
    [clock.now - 200_000, clock.now - 200_000, false],
  ]);
  for (const { handle } of list) assertMatch(handle, /^[\w-]{22}$/);
  assert(!JSON.stringify(list).includes(current));
  assertEquals((await sessions.list("ada")).some(({ current }) => current), false);
  assertEquals(await sessions.list("nobody"), []);

  const [, other] = list;
  assert(other);
  assertEquals(await sessions.revoke("bob", other.handle), false, "a handle is its own user's");
  assertEquals(await sessions.revoke("ada", "made up"), false);
  events.length = 0;
  assertEquals(await sessions.revoke("ada", other.handle), true);
  assertEquals(namesOf(events), ["revoked"]);
  assertEquals([await read(middleware, phone), await read(middleware, laptop)], [undefined, "ada"]);
  assertEquals(await sessions.revoke("ada", other.handle), false);

  const more = await Promise.all([signIn(middleware, "ada"), signIn(middleware, "ada")]);
  assertEquals(await sessions.revokeAll("ada", { except: current }), 2);
  assertEquals(await Promise.all([...more, laptop, bob].map((cookie) => read(middleware, cookie))), [
    undefined,
    undefined,
    "ada",
    "bob",
  ]);
  assertEquals(await sessions.revokeAll("ada"), 1);
  assertEquals(await sessions.list("ada"), []);
  assertEquals(await read(middleware, bob), "bob");
});

Deno.test("middleware.sessions ends a session under way, and one that was renewed since", async () => {
  const middleware = start();
  const cookie = await signIn(middleware, "ada");
  const under = await open(middleware, cookie);
  const next = await renew(middleware, cookie, { graceSeconds: 30 });
  await middleware.sessions.revokeAll("ada");
  await assertRejects(() => under.session.set("a", 1), SessionGoneError);
  assertEquals([await read(middleware, cookie), await read(middleware, next)], [undefined, undefined]);
});

Deno.test("middleware.sessions refuses a principal out of range, and rejects on a store that cannot find users", async () => {
  const { sessions } = start();
  await assertRejects(() => sessions.list(""), RangeError, "principal");
  await assertRejects(() => sessions.revokeAll(42 as unknown as string), TypeError, "principal");
  const bare = start({}, new BareStore());
  const cookie = await signIn(bare, "ada");
  for (
    const call of [
      () => bare.sessions.list("ada"),
      () => bare.sessions.revoke("ada", "x"),
      () => bare.sessions.revokeAll("ada"),
    ]
  ) {
    assertEquals((await assertRejects(call, SessionNotSupportedError)).httpCode, 501);
  }
  assertEquals(await read(bare, cookie), "ada");
});

Deno.test("maxSessionsPerPrincipal ends the oldest session of a user who has one more", async () => {
  using clock = new FakeClock();
  const middleware = start({ maxSessionsPerPrincipal: 2 });
  const cookies: string[] = [];
  for (let i = 0; i < 4; i++) {
    cookies.push(await signIn(middleware, "ada"));
    await signIn(middleware, "bob");
    clock.tick(1000);
  }
  assertEquals(await Promise.all(cookies.map((cookie) => read(middleware, cookie))), [
    undefined,
    undefined,
    "ada",
    "ada",
  ]);
  assertEquals((await middleware.sessions.list("ada")).length, 2);
  // Whoever signs in is not the one who is ended, however old the session was.
  const old = await signUp(middleware);
  clock.tick(1000);
  await signIn(middleware, "eve");
  await signIn(middleware, "eve");
  const next = await renew(middleware, old, { principal: "eve" });
  assertEquals(await read(middleware, next), "ada");
  assertEquals((await middleware.sessions.list("eve")).length, 2);
});

Deno.test("maxSessionsPerPrincipal holds for sign-ins at the same time: none ends the other", async () => {
  for (const max of [1, 3]) {
    const middleware = start({ maxSessionsPerPrincipal: max });
    const cookies = await Promise.all(Array.from({ length: 8 }, () => signIn(middleware, "ada").catch(() => "")));
    const alive = (await Promise.all(cookies.filter((c) => c !== "").map((cookie) => read(middleware, cookie))))
      .filter((user) => user === "ada");
    assertEquals([alive.length, (await middleware.sessions.list("ada")).length], [max, max]);
  }
});

Deno.test("maxSessionsPerPrincipal counts from the sign-in, however old the session was", async () => {
  using clock = new FakeClock();
  const middleware = start({ maxSessionsPerPrincipal: 2 });
  const anonymous = await signUp(middleware);
  clock.tick(1000);
  const first = await signIn(middleware, "ada");
  clock.tick(1000);
  const second = await renew(middleware, anonymous, { principal: "ada" });
  clock.tick(1000);
  const third = await signIn(middleware, "ada");
  assertEquals(await Promise.all([first, second, third].map((cookie) => read(middleware, cookie))), [
    undefined,
    "ada",
    "ada",
  ]);
});

Deno.test("middleware.sessions spares the caller whose id a parallel request has just renewed", async () => {
  const middleware = start();
  const cookie = await signIn(middleware, "ada");
  const other = await signIn(middleware, "ada");
  const under = await open(middleware, cookie);
  const next = await renew(middleware, cookie, { graceSeconds: 30 });
  const list = await middleware.sessions.list("ada", { current: under.session.sessionId });
  assertEquals(list.filter(({ current }) => current).length, 1);
  assertEquals(await middleware.sessions.revokeAll("ada", { except: under.session.sessionId }), 1);
  assertEquals([await read(middleware, next), await read(middleware, other)], ["ada", undefined]);
});

Deno.test("maxSessionsPerPrincipal never undoes a sign-in where the store fails after it", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const events: SessionEvent[] = [];
  const middleware = start({ maxSessionsPerPrincipal: 1, onEvent: (event) => events.push(event) }, store);
  const before = await signIn(middleware, "ada");
  seen.before = (method) => {
    if (method === "listSessions") throw new Error("down");
  };
  const cookie = await signIn(middleware, "ada");
  assertEquals(await read(middleware, cookie), "ada");
  assertEquals(namesOf(events).filter((type) => type === "storeFailed"), ["storeFailed"]);
  seen.before = () => {};
  const last = await signIn(middleware, "ada");
  assertEquals(await Promise.all([before, cookie, last].map((cookie) => read(middleware, cookie))), [
    undefined,
    undefined,
    "ada",
  ]);
});

Deno.test("maxSessionsPerPrincipal needs a store that finds users", () => {
  assertThrows(
    () => new SessionMiddleware(new BareStore(), { secret: SECRET, maxSessionsPerPrincipal: 1 }),
    SessionNotSupportedError,
    "maxSessionsPerPrincipal",
  );
});

Deno.test("Session.update() reads again where somebody else has written since this request began", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const middleware = start({}, store);
  const cookie = await signUp(middleware, { n: 1 });
  const { session } = await open(middleware, cookie);
  await visit(middleware, { cookie }, ({ security }) => security.session.update<number>("n", (n = 0) => n + 1));
  seen.calls.length = 0;
  const given: unknown[] = [];
  await session.update<number>("n", (n = 0) => {
    given.push(n);
    return n + 1;
  });
  assertEquals([given, await session.get("n")], [[1, 2], 3]);
  assertEquals(seen.calls, ["changeRecord", "readRecord", "changeRecord"]);
});

Deno.test("Session.take() takes what somebody else has written since this request began", async () => {
  const middleware = start();
  const cookie = await signUp(middleware, { n: 1 });
  const { session } = await open(middleware, cookie);
  await visit(middleware, { cookie }, ({ security }) => security.session.set("notice", "later"));
  assertEquals([await session.take("notice"), await session.take("notice")], ["later", undefined]);
});

Deno.test("Session.update() after a write of the same request reads what that has written", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const middleware = start({}, store);
  const cookie = await signUp(middleware, { n: 1 });
  const { session } = await open(middleware, cookie);
  session.set("n", 5);
  assertEquals(await session.update<number>("n", (n = 0) => n + 1), 6);
  assertEquals(seen.calls.slice(-4), ["readRecord", "setValue", "readRecord", "changeRecord"]);
});

Deno.test("Session.update() gives up on a store that never takes its change", async () => {
  const store = new MemoryStore();
  const middleware = start({}, store);
  const cookie = await signUp(middleware, { n: 1 });
  store.changeRecord = () => Promise.resolve(false);
  const { session } = await open(middleware, cookie);
  await assertRejects(() => session.update("n", () => 2), SessionStoreError, 'Cannot update "n"');
});

Deno.test("Session.update() never takes for known what the request does not know any more", async (t) => {
  const n = (session: Session): Promise<unknown> => session.update<number>("n", (n = 0) => n + 1);
  const begun = async (): Promise<Opened & { seen: Probe }> => {
    const { store, probe: seen } = probe(new MemoryStore());
    const middleware = start({}, store);
    return { ...await open(middleware, await signUp(middleware, { n: 5 })), seen };
  };
  const failing = (seen: Probe, method: string): void => {
    seen.before = (name) => {
      if (name === method) throw new Error("down");
    };
  };
  await t.step("while it is being read anew", async () => {
    const { session } = await begun();
    session.reload();
    assertEquals(await n(session), 6);
  });
  await t.step("after it was read anew", async () => {
    const { session } = await begun();
    await session.reload();
    assertEquals(await n(session), 6);
  });
  await t.step("where it could not be read anew", async () => {
    const { session, seen } = await begun();
    failing(seen, "readRecord");
    await assertRejects(() => session.reload(), SessionStoreError);
    seen.before = () => {};
    assertEquals(await n(session), 6);
  });
  await t.step("where a write has failed, and another that had read it again", async () => {
    const { session, seen } = await begun();
    failing(seen, "setValue");
    await assertRejects(() => session.set("x", 1), SessionStoreError);
    failing(seen, "changeRecord");
    const reading = session.update("y", async () => await session.get("n"));
    await assertRejects(() => reading, SessionStoreError);
    seen.before = () => {};
    assertEquals(await n(session), 6);
  });
});

Deno.test("Session.update() gives its function a copy, and returns one", async () => {
  const middleware = start();
  const { session } = await open(middleware, await signUp(middleware, { list: [1] }));
  const thrown = new Error("not now");
  const failing = session.update<number[]>("list", (list = []) => {
    list.push(2);
    throw thrown;
  });
  await assertRejects(() => failing, Error, "not now");
  assertEquals(await session.get("list"), [1]);
  const returned = await session.update<number[]>("list", (list = []) => [...list, 3]);
  returned.push(4);
  assertEquals(await session.get("list"), [1, 3]);
});

Deno.test("Session.update() whose function throws what is no error ends no process", async () => {
  using errors = new Captured("error");
  const middleware = start();
  const { session, finish } = await open(middleware, await signUp(middleware));
  session.update("k", () => {
    throw null;
  });
  let failed = false;
  await finish().catch((error) => failed = error === null);
  assertEquals([failed, errors.lines.length], [true, 1]);
});

Deno.test("Session.regenerate() knows of a move that was done although its answer was lost", async () => {
  const store = new MemoryStore();
  const middleware = start({}, store);
  const cookie = await signUp(middleware);
  const real = store.moveRecord.bind(store);
  store.moveRecord = async (...args) => {
    await real(...args);
    throw new Error("connection reset");
  };
  const { session, finish } = await open(middleware, cookie);
  await session.regenerate();
  const next = cookieOf(await finish());
  assertEquals([await read(middleware, cookie), await read(middleware, next)], [undefined, "ada"]);
});

Deno.test("a record store that answers null has no such session", async () => {
  const store = new MemoryStore();
  const middleware = start({}, store);
  const cookie = await signUp(middleware);
  const { session } = await open(middleware, cookie);
  for (const answer of [null, Promise.resolve(null)]) {
    store.readRecord = () => answer as unknown as undefined;
    assertEquals(await read(middleware, cookie), undefined);
  }
  await session.set("k", 1);
  await assertRejects(() => session.update("k", () => 2), SessionGoneError);
  await session.destroy();
});
