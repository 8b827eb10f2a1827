/** Expiry: absolute limits, sliding limits, and activity. */
import { assert, assertEquals, assertNotEquals, assertRejects, assertStringIncludes } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { cookieOf, eventNames, onlyCookie, open, read, signUp, start, visit } from "../helpers/request.ts";
import { probe, STORES, waiting, working } from "../helpers/stores.ts";
import { MemoryStore, type Session, type SessionEvent, SessionGoneError, type SessionOptions } from "../../mod.ts";

for (const [name, make] of STORES) {
  Deno.test(`maxAge on ${name} ends a session to the second`, async () => {
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
    });
  });

  Deno.test(`maxAge on ${name} is not extended by a write`, async () => {
    using clock = new FakeClock();
    const middleware = start({ maxAge: 60 }, make());
    const cookie = await signUp(middleware);
    clock.tick(59_000);
    const response = await visit(middleware, { cookie }, async ({ security: { session } }) => {
      await session.set("late", true);
    });
    assertEquals(response.headers.getSetCookie(), []);
    clock.tick(1000);
    assertEquals(await read(middleware, cookie), undefined);
  });

  Deno.test(`Session on ${name} without a limit has a browser-session cookie and a record for a day`, async () => {
    using clock = new FakeClock();
    const middleware = start({}, make());
    const response = await visit(middleware, {}, async ({ security: { session } }) => {
      await session.set("user", "ada");
    });
    const { attributes } = onlyCookie(response.headers);
    assertEquals([attributes["max-age"], attributes.expires], [undefined, undefined]);
    const cookie = cookieOf(response);
    clock.tick(24 * 60 * 60 * 1000 - 1);
    assertEquals(await read(middleware, cookie), "ada");
    clock.tick(1);
    assertEquals(await read(middleware, cookie), undefined);
  });

  Deno.test(`expires on ${name} ends every session, and lets no new one begin`, async () => {
    using clock = new FakeClock();
    const middleware = start({ expires: new Date(clock.now + 60_000) }, make());
    const cookie = await signUp(middleware);
    clock.tick(60_000);
    assertEquals(await read(middleware, cookie), undefined);
    const { session, finish } = await open(middleware);
    const { cause } = await assertRejects(() => session.set("user", "late"), SessionGoneError);
    assertStringIncludes(String(cause), "RangeError: The option `expires` has passed");
    assertEquals((await finish()).headers.getSetCookie(), []);
  });

  Deno.test(`Session on ${name} gets a new id after the old one expired`, async () => {
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

  Deno.test(`Session on ${name} that expires in the request that created it gets another id`, async () => {
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

  Deno.test(`Session on ${name} refuses an operation that waited in the queue until the session expired`, async (t) => {
    const late: [string, (session: Session) => Promise<unknown>[]][] = [
      ["set()", (session) => [session.set("b", 2)]],
      ["regenerate()", (session) => [session.regenerate()]],
      ["set() and regenerate()", (session) => [session.set("b", 2), session.regenerate()]],
    ];
    for (const [what, act] of late) {
      await t.step(what, async () => {
        using clock = new FakeClock();
        const { store, probe: seen } = probe(make());
        const middleware = start({ maxAge: 60 }, store);
        const { session, finish } = await open(middleware, await signUp(middleware));
        const gate = Promise.withResolvers<void>();
        seen.before = waiting(gate.promise, "setValue");
        const first = session.set("a", 1);
        const outcomes = act(session).map((outcome) => assertRejects(() => outcome, SessionGoneError));
        clock.tick(60_000);
        gate.resolve();
        // A basic store does not know the deadline, so there the first write still succeeds.
        if (name === "MemoryStore") await assertRejects(() => first, SessionGoneError);
        else await first;
        await Promise.all(outcomes);
        assertEquals((await finish()).headers.getSetCookie(), []);
      });
    }
  });

  Deno.test(`maxAge with rolling on ${name} counts from the last activity, in the cookie and on the server`, async () => {
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

  Deno.test(`idleTimeout on ${name} ends a session that had no request for so long`, async () => {
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
      // Only the server knows the idle timeout: the cookie stays a browser-session cookie.
      assertEquals((await finish()).headers.getSetCookie(), []);
    }
    clock.tick(100_000);
    events.length = 0;
    assertEquals(await read(middleware, cookie), undefined);
    assertEquals(eventNames(events), ["expired"]);
  });

  Deno.test(`idleTimeout on ${name} ends a session up to a tenth early, and never late`, async () => {
    using clock = new FakeClock();
    const middleware = start({ idleTimeout: 100 }, make());
    const [early, cookie] = [await signUp(middleware), await signUp(middleware)];
    // Activity is written once per tenth of the timeout: this is too soon, so it does not count.
    clock.tick(9999);
    assertEquals(await read(middleware, early), "ada");
    clock.tick(90_000);
    assertEquals(await read(middleware, cookie), "ada");
    clock.tick(1);
    assertEquals(await read(middleware, early), undefined);
    clock.tick(99_998);
    const { session } = await open(middleware, cookie);
    assertEquals(session.isNew, false);
    clock.tick(100_000);
    assertEquals(await read(middleware, cookie), undefined);
  });

  Deno.test(`idleTimeout on ${name} counts from the last request, also if an earlier one then changes the session`, async (t) => {
    const changes: [string, (session: Session) => Promise<void>][] = [
      ["regenerate({ principal })", (session) => session.regenerate({ principal: "ada", set: { user: "ada" } })],
      ["regenerate({ maxAge })", (session) => session.regenerate({ maxAge: 600 })],
      ["clear()", async (session) => {
        await session.clear();
        await session.regenerate({ set: { user: "ada" } });
      }],
    ];
    for (const [how, change] of changes) {
      await t.step(how, async () => {
        using clock = new FakeClock();
        const middleware = start({ idleTimeout: 60 }, make());
        const cookie = await signUp(middleware);
        await visit(middleware, { cookie }, ({ security }) => security.session.setMaxAge(300));
        const { session, finish } = await open(middleware, cookie);
        clock.tick(40_000);
        await visit(middleware, { cookie });
        await change(session);
        const next = cookieOf(await finish());
        clock.tick(59_999);
        assertEquals(await read(middleware, next), "ada");
      });
    }
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

  Deno.test(`SessionMiddleware on ${name} applies stricter options to existing sessions, also after reload()`, async () => {
    using clock = new FakeClock();
    const store = make();
    const cookie = await signUp(start({ maxAge: 1000 }, store));
    clock.tick(100_000);
    const { session } = await open(start({ maxAge: 101 }, store), cookie);
    await session.reload();
    assertEquals([await session.get("user"), session.expiresAt], ["ada", new Date(clock.now + 1000)]);
    assertEquals(await read(start({ maxAge: 100 }, store), cookie), undefined);
  });

  Deno.test(`SessionMiddleware on ${name} finds nothing, and fails no request, if a session expires during the lookup`, async (t) => {
    using clock = new FakeClock();
    const { store, probe: seen } = probe(make());
    const renewal = { maxAge: 60, renewalTimeout: 20 };
    const activity = { maxAge: 60, rolling: true };
    const calls: [method: string, options: Partial<SessionOptions>][] = name === "MemoryStore"
      ? [["moveRecord", renewal], ["changeRecord", activity]]
      : [["create", renewal], ["delete", renewal], ["setValue", renewal]];
    for (const [method, options] of calls) {
      await t.step(`during ${method}()`, async () => {
        seen.before = working;
        const middleware = start(options, store);
        const cookie = await signUp(middleware);
        clock.tick(50_000);
        let expired = false;
        seen.before = (called) => {
          if (called !== method || expired) return;
          expired = true;
          clock.tick(10_000);
        };
        const { session } = await open(middleware, cookie);
        assertEquals(await session.get("user"), undefined);
        assert(expired);
        // The write of the activity comes after the lookup, which found the session alive.
        assertEquals(session.isNew, method !== "changeRecord");
      });
    }
  });

  Deno.test(`Session on ${name} refuses an operation if the session expires while the store is asked`, async (t) => {
    const operations: [string, (session: Session) => Promise<unknown>][] = [
      ["update()", (session) => session.update("user", () => "bob")],
      ["take()", (session) => session.take("user")],
      ["clear()", (session) => session.clear()],
      ["touch()", (session) => session.touch()],
      ["regenerate()", (session) => session.regenerate()],
    ];
    for (const [operation, run] of operations) {
      await t.step(operation, async () => {
        using clock = new FakeClock();
        const { store, probe: seen } = probe(make());
        const middleware = start({ maxAge: 60 }, store);
        const { session, finish } = await open(middleware, await signUp(middleware));
        seen.before = () => {
          seen.before = working;
          clock.tick(60_000);
        };
        await assertRejects(() => run(session), SessionGoneError);
        assertEquals(session.expiresAt, undefined);
        assertEquals((await finish()).headers.getSetCookie(), []);
      });
    }
  });

  Deno.test(`SessionMiddleware on ${name} does not extend existing sessions by longer options`, async () => {
    using clock = new FakeClock();
    const store = make();
    const cookie = await signUp(start({ maxAge: 60 }, store));
    const { session } = await open(start({ maxAge: 1000 }, store), cookie);
    assertEquals(session.expiresAt, new Date(clock.now + 60_000));
  });

  Deno.test(`maxAge with rolling on ${name} resends no cookie that a new id has just sent`, async (t) => {
    const renewals: [string, Partial<SessionOptions>, (session: Session) => Promise<void> | void][] = [
      ["renewalTimeout", { renewalTimeout: 50 }, () => {}],
      ["regenerate()", {}, (session) => session.regenerate()],
    ];
    for (const [how, options, act] of renewals) {
      await t.step(how, async () => {
        using clock = new FakeClock();
        const middleware = start({ maxAge: 600, rolling: true, ...options }, make());
        const cookie = await signUp(middleware);
        clock.tick(40_000);
        await visit(middleware, { cookie }, ({ security }) => security.session.touch());
        clock.tick(10_000);
        const next = cookieOf(await visit(middleware, { cookie }, ({ security }) => act(security.session)));
        clock.tick(15_000);
        assertEquals((await visit(middleware, { cookie: next })).headers.getSetCookie(), []);
      });
    }
  });
}

Deno.test("SessionMiddleware reports a session that stricter options ended, and gives the visitor a new one", async () => {
  using clock = new FakeClock();
  const store = new MemoryStore();
  const events: SessionEvent[] = [];
  const cookie = await signUp(start({ maxAge: 3600 }, store));
  clock.tick(60_000);
  const { session } = await open(start({ maxAge: 60, onEvent: (event) => events.push(event) }, store), cookie);
  assertEquals(session.isNew, true);
  assertEquals(events.map(({ type }) => type), ["expired"]);
});
