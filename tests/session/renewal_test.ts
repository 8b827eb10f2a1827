/** `renewalTimeout`: the middleware renews the id by itself. */
import { assertEquals, assertNotEquals } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { cookieOf, eventNames, idOf, open, read, signIn, signUp, start, visit } from "../helpers/request.ts";
import { LOCAL_STORES } from "../helpers/local_stores.ts";
import { BasicStore, delayReads, failing, probe, STORES, working } from "../helpers/stores.ts";
import { MemoryStore, type SessionEvent, type SessionOptions } from "../../mod.ts";

for (const [name, make] of STORES) {
  Deno.test(`renewalTimeout on ${name} renews the id by itself, with a grace of 30 seconds`, async () => {
    using clock = new FakeClock();
    const events: SessionEvent[] = [];
    const middleware = start({ renewalTimeout: 60, onEvent: (event) => events.push(event) }, make());
    const old = await signUp(middleware);
    clock.tick(59_999);
    assertEquals((await visit(middleware, { cookie: old })).headers.getSetCookie(), []);
    clock.tick(1);
    // Of the parallel requests of one page, one renews the id and none is logged out. Each receives
    // the new id, because any of the responses may be lost.
    const responses = await Promise.all(
      Array.from({ length: 5 }, () =>
        visit(middleware, { cookie: old }, async ({ security: { session } }) => {
          assertEquals(await session.get("user"), "ada");
          await session.update("requests", (n: number | undefined) => (n ?? 0) + 1);
        })),
    );
    assertEquals(new Set(responses.map(cookieOf)).size, 1);
    assertEquals(eventNames(events).filter((type) => type === "renewed").length, 1);
    const next = cookieOf(responses[0] ?? new Response());
    assertNotEquals(next, old);
    assertEquals(await read(middleware, next, "requests"), 5);
    clock.tick(29_999);
    assertEquals(await read(middleware, old), "ada");
    clock.tick(1);
    assertEquals(await read(middleware, old), undefined);
    assertEquals(eventNames(events).at(-1), "refused reuse");
    assertEquals(await read(middleware, next), "ada");
  });

  Deno.test(`renewalTimeout with rolling on ${name} keeps the whole grace, and reports reuse until the session ends`, async () => {
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
    assertEquals(eventNames(events), ["refused reuse"]);
  });

  Deno.test(`renewalTimeout on ${name} never binds a session to its user again after clear()`, async () => {
    using clock = new FakeClock();
    const store = make();
    const middleware = start({ renewalTimeout: 60 }, store);
    const { session, finish } = await open(middleware);
    await session.regenerate({ principal: "42" });
    const cookie = cookieOf(await finish());
    const under = await open(middleware, cookie);
    clock.tick(60_000);
    // The renewal has read the record, but the store answers late. Meanwhile the user signs out.
    const slow = delayReads(store);
    const renewal = visit(middleware, { cookie });
    slow.stop();
    await under.session.clear();
    slow.release();
    const next = await open(middleware, cookieOf(await renewal));
    assertEquals(next.session.principal, undefined);
  });

  Deno.test(`renewalTimeout on ${name} reports the user of the session, which stays bound`, async () => {
    using clock = new FakeClock();
    const events: SessionEvent[] = [];
    const middleware = start({ renewalTimeout: 60, onEvent: (event) => events.push(event) }, make());
    const old = await signIn(middleware, "42");
    clock.tick(60_000);
    events.length = 0;
    const next = cookieOf(await visit(middleware, { cookie: old }));
    assertEquals(events.map((event) => [event.type, "principal" in event && event.principal]), [["renewed", "42"]]);
    assertEquals((await open(middleware, next)).session.principal, "42");
  });

  Deno.test(`renewalTimeout on ${name} does not renew on an upgrade, and fails no request if the store fails`, async () => {
    using clock = new FakeClock();
    const { store, probe: seen } = probe(make());
    const events: SessionEvent[] = [];
    const middleware = start({ renewalTimeout: 60, onEvent: (event) => events.push(event) }, store);
    const cookie = await signUp(middleware);
    clock.tick(60_000);
    events.length = 0;
    await visit(middleware, { cookie, headers: { upgrade: "websocket" } });
    assertEquals(events, []);
    seen.before = failing("moveRecord", "create");
    assertEquals(await read(middleware, cookie), "ada");
    assertEquals(eventNames(events), ["storeFailed"]);
    seen.before = working;
    assertNotEquals(cookieOf(await visit(middleware, { cookie })), cookie);
  });
}

for (const [name, make] of LOCAL_STORES) {
  Deno.test(`renewalTimeout on ${name} accepts the old id after a lost response, as long as the session is live`, async (t) => {
    const limits: Partial<SessionOptions>[] = [{ idleTimeout: 1800 }, { maxAge: 1800, rolling: true }];
    for (const options of limits) {
      await t.step(Object.keys(options).join(" and "), async () => {
        using clock = new FakeClock();
        const middleware = start({ ...options, renewalTimeout: 900 }, await make());
        const cookie = await signUp(middleware);
        clock.tick(1_700_000);
        // The response is lost.
        await visit(middleware, { cookie });
        clock.tick(1_799_999);
        assertEquals(await read(middleware, cookie), "ada");
      });
    }
  });
}

Deno.test("renewalTimeout reports a session that ended during the renewal, and gives the visitor a new one", async () => {
  using clock = new FakeClock();
  const { store, probe: seen } = probe(new MemoryStore());
  const events: SessionEvent[] = [];
  const middleware = start({ renewalTimeout: 60, onEvent: (event) => events.push(event) }, store);
  const cookie = await signUp(middleware);
  events.length = 0;
  clock.tick(60_000);
  seen.before = async (method) => {
    if (method === "moveRecord") await store.delete(idOf(cookie));
  };
  assertEquals((await open(middleware, cookie)).session.isNew, true);
  assertEquals(eventNames(events), ["refused unknown"]);
});

Deno.test("renewalTimeout on a basic store accepts the old id of a session that the store extends with a late answer", async () => {
  using clock = new FakeClock();
  const store = new BasicStore();
  const middleware = start({ maxAge: 60, rolling: true, renewalTimeout: 20 }, store);
  const cookie = await signUp(middleware);
  clock.tick(50_000);
  // The response is lost.
  await visit(middleware, { cookie });
  clock.tick(10_000);
  store.setValue = async (...args) => {
    await BasicStore.prototype.setValue.apply(store, args);
    // The store has written the activity, but answers after the former deadline.
    clock.tick(51_000);
  };
  await visit(middleware, { cookie });
  assertEquals(await read(middleware, cookie), "ada");
});
