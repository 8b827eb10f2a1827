/** `destroy()`, and signing out. */
import { assert, assertEquals, assertInstanceOf, assertNotEquals, assertRejects } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { microtasks } from "../helpers/microtasks.ts";
import { cookieOf, onlyCookie, open, optionalCookieOf, read, renew, signUp, start, visit } from "../helpers/request.ts";
import { BasicStore, countRecords, delayReads, failing, probe, STORES, working } from "../helpers/stores.ts";
import { type SessionEvent, SessionGoneError, SessionStoreError } from "../../mod.ts";

for (const [name, make] of STORES) {
  Deno.test(`Session.destroy() on ${name} removes the record and clears the cookie with its attributes`, async () => {
    const store = make();
    const middleware = start({ path: "/app", domain: "example.com", secure: true, diagnose: false }, store);
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

  Deno.test(`Session.destroy() on ${name} takes effect immediately, before the store has answered`, async () => {
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

  Deno.test(`Session.destroy() on ${name} runs after the writes before it, and none of them fails`, async () => {
    const store = make();
    const middleware = start({}, store);
    const { session, finish } = await open(middleware);
    session.set("a", 1);
    session.regenerate();
    session.set("b", 2);
    session.destroy();
    const response = await finish();
    assertEquals(response.headers.getSetCookie(), []);
    assertEquals(countRecords(store), 0);
  });

  Deno.test(`Session.destroy() on ${name} makes no store call the second time`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({}, store);
    const { session } = await open(middleware, await signUp(middleware));
    await session.destroy();
    seen.calls.length = 0;
    await session.destroy();
    assertEquals(seen.calls, []);
  });

  Deno.test(`Session.destroy() on ${name} lets no session begin afterwards, and clears only a cookie that was presented`, async () => {
    const { store, probe: seen } = probe(make());
    const { session, finish } = await open(start({}, store));
    const id = session.sessionId;
    await session.destroy();
    assertNotEquals(session.sessionId, id);
    await assertRejects(() => session.set("a", 1), SessionGoneError);
    assertEquals(seen.calls, []);
    const { headers } = await finish();
    assertEquals([headers.getSetCookie(), headers.get("cache-control")], [[], null]);
    const refused = await open(start({}, store), "sid=refused");
    await refused.session.destroy();
    assertEquals(onlyCookie((await refused.finish()).headers).value, "");
  });

  Deno.test(`Session.destroy() on ${name} clears the cookie even if the record could not be created`, async () => {
    const { store, probe: seen } = probe(make());
    seen.before = async () => {
      await undefined;
      throw new Error("down");
    };
    const { session, finish } = await open(start({ onEvent: () => {} }, store), "sid=refused");
    const written = session.set("a", 1);
    const ended = session.destroy();
    await assertRejects(() => written, SessionStoreError);
    await ended;
    assertEquals(onlyCookie((await finish()).headers).value, "");
  });

  Deno.test(`Session.destroy() on ${name} clears the cookie even if the store failed, and can be retried`, async () => {
    const { store, probe: seen } = probe(make());
    const events: SessionEvent[] = [];
    const middleware = start({ onEvent: (event) => events.push(event) }, store);
    const cookie = await signUp(middleware);
    const { session, finish } = await open(middleware, cookie);
    const { sessionId } = session;
    events.length = 0;
    seen.before = failing();
    await assertRejects(() => session.destroy(), SessionStoreError);
    assertEquals(await session.get("user"), undefined);
    await assertRejects(() => session.set("user", "ada"), SessionGoneError);
    seen.before = working;
    assert(await store.exist(sessionId));
    await session.destroy();
    assertEquals(await store.exist(sessionId), false);
    assertEquals(onlyCookie((await finish()).headers).value, "");
    assertEquals(events.map(({ type }) => type), ["storeFailed", "destroyed"]);
    assertEquals(events[0]?.session, events[1]?.session);
    assertNotEquals(events[0]?.session, undefined);
  });

  Deno.test(`Session.destroy() on ${name} ends a session in this process if the store failed, however long it lasts`, async () => {
    using clock = new FakeClock();
    const { store, probe: seen } = probe(make());
    const middleware = start({ maxAge: 60, rolling: true, onEvent: () => {} }, store);
    const cookie = await signUp(middleware);
    const { session } = await open(middleware, cookie);
    clock.tick(50_000);
    // Another request extends the session, which this one does not know.
    assertEquals(await read(middleware, cookie), "ada");
    seen.before = failing("delete");
    await assertRejects(() => session.destroy(), SessionStoreError);
    clock.tick(10_000);
    assertEquals(await read(middleware, cookie), undefined);
  });

  Deno.test(`Session.destroy() on ${name} ends the session for requests under way, and for a lookup that is answered late`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({}, store);
    const cookie = await signUp(middleware);
    const under = await open(middleware, cookie);
    const { session } = await open(middleware, cookie);
    // The store has read the record, but answers late.
    const slow = delayReads(store);
    const late = open(middleware, cookie);
    slow.stop();
    await session.destroy();
    seen.calls.length = 0;
    await assertRejects(() => under.session.set("user", "back"), SessionGoneError);
    assertEquals(seen.calls, [], "this process knows that the session has ended");
    slow.release();
    assertEquals(await (await late).session.get("user"), undefined);
    assert((await late).session.isNew);
  });

  Deno.test(`Session.destroy() on ${name} ends a session whose id was replaced before an earlier write of the request`, async () => {
    const store = make();
    const middleware = start({}, store);
    const cookie = await signUp(middleware);
    const { session, finish } = await open(middleware, cookie);
    const next = await renew(middleware, cookie);
    await assertRejects(() => session.set("a", 1), SessionGoneError);
    await session.destroy();
    await finish();
    assertEquals(await read(middleware, next), undefined);
    assertEquals(countRecords(store), 0);
  });

  Deno.test(`Session.destroy() on ${name} by a request with the old id within the grace ends the session`, async () => {
    const middleware = start({}, make());
    const old = await signUp(middleware);
    const under = await open(middleware, old);
    const next = await renew(middleware, old, { graceSeconds: 30 });
    await under.session.destroy();
    assertEquals(onlyCookie((await under.finish()).headers).value, "");
    assertEquals([await read(middleware, old), await read(middleware, next)], [undefined, undefined]);
  });

  Deno.test(`Session.destroy() on ${name} ends a session that is getting a new id`, async (t) => {
    for (const options of [{}, { graceSeconds: 30 }]) {
      for (let ahead = 0; ahead < 12; ahead++) {
        await t.step(`${JSON.stringify(options)}, ${ahead} microtasks after regenerate() was called`, async () => {
          const store = make();
          const middleware = start({}, store);
          const cookie = await signUp(middleware);
          const [one, other] = [await open(middleware, cookie), await open(middleware, cookie)];
          // Either the renewal succeeds first, or it finds the session gone.
          const renewal = one.session.regenerate(options).catch((error) => assertInstanceOf(error, SessionGoneError));
          await microtasks(ahead);
          await Promise.all([renewal, other.session.destroy()]);
          assertEquals(countRecords(store), 0);
          const next = optionalCookieOf(await one.finish());
          for (const known of [cookie, next ?? cookie]) assertEquals(await read(middleware, known), undefined);
        });
      }
    }
  });

  Deno.test(`Session on ${name} signs out with a notice by clear(), regenerate() and set()`, async () => {
    const middleware = start({}, make());
    const { session: before, finish } = await open(middleware, await signUp(middleware, { user: "ada", cart: [1] }));
    await before.regenerate({ principal: "42" });
    const signedIn = cookieOf(await finish());
    const response = await visit(middleware, { cookie: signedIn }, async ({ security: { session } }) => {
      session.clear();
      session.regenerate();
      session.set("notice", "bye");
      assertEquals({ ...await session.entries() }, { notice: "bye" });
    });
    const { session } = await open(middleware, cookieOf(response));
    assertEquals({ ...await session.entries() }, { notice: "bye" });
    assertEquals(session.principal, undefined);
    assertEquals(await read(middleware, signedIn), undefined);
  });

  Deno.test(`Session.clear() on ${name} unbinds the session from its user for the rest of the request`, async () => {
    const { session } = await open(start({}, make()));
    await session.regenerate({ principal: "42" });
    assertEquals(session.principal, "42");
    await session.clear();
    assertEquals(session.principal, undefined);
  });

  Deno.test(`Session.destroy() on ${name} clears the cookie whatever an earlier write finds out about the session`, async (t) => {
    await t.step("it has ended", async () => {
      const middleware = start({}, make());
      const { session, finish } = await open(middleware, await signUp(middleware));
      await session.store.delete(session.sessionId);
      const write = session.set("a", 1);
      const end = session.destroy();
      await assertRejects(() => write, SessionGoneError);
      await end;
      assertEquals(onlyCookie((await finish()).headers).value, "");
    });
    await t.step("it has a new id", async () => {
      const middleware = start({}, make());
      const cookie = await signUp(middleware);
      const { session, finish } = await open(middleware, cookie);
      await renew(middleware, cookie, { graceSeconds: 30 });
      session.set("a", 1);
      session.destroy();
      assertEquals(onlyCookie((await finish()).headers).value, "");
    });
  });
}

Deno.test("Session.destroy() on a basic store removes both records of a session that is getting a new id", async () => {
  const { store, probe: seen } = probe(new BasicStore());
  const middleware = start({}, store);
  const cookie = await signUp(middleware);
  const [one, other] = [await open(middleware, cookie), await open(middleware, cookie)];
  const gate = Promise.withResolvers<void>();
  seen.before = (method, args) => method === "setValue" && args[1] === "__session" ? gate.promise : undefined;
  const renewal = one.session.regenerate();
  await microtasks();
  assertEquals(store.records.size, 2);
  const end = other.session.destroy();
  gate.resolve();
  await Promise.all([renewal, end]);
  assertEquals(store.records.size, 0);
});

Deno.test("Session.destroy() on a basic store ends a session that got another lifetime from a late answer", async () => {
  using clock = new FakeClock();
  const { store, probe: seen } = probe(new BasicStore());
  const middleware = start({ maxAge: 60 }, store);
  const cookie = await signUp(middleware);
  const { session } = await open(middleware, cookie);
  const next = await renew(middleware, cookie);
  clock.tick(50_000);
  seen.before = (method) => {
    // The former deadline passes while the store creates the record.
    if (method === "create") clock.tick(20_000);
  };
  const last = await renew(middleware, next, { maxAge: 600 });
  assertEquals(await read(middleware, last), "ada");
  await session.destroy();
  assertEquals(await read(middleware, last), undefined);
});
