/** `regenerate({ graceSeconds })`: requests that came with the old id (docs/decisions/0008). */
import { assert, assertEquals, assertNotEquals, assertRejects } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import {
  cookieOf,
  eventNames,
  idOf,
  open,
  type Opened,
  read,
  renew,
  signUp,
  start,
  visit,
} from "../helpers/request.ts";
import { probe, STORES } from "../helpers/stores.ts";
import { type Session, type SessionEvent, SessionGoneError, type SessionStore } from "../../mod.ts";

const GRACE_MS = 5000;

/**
 * A request that began with the old id. It is under way when another request gives the session a
 * new id.
 */
interface Late extends Opened {
  /** The Cookie header with the new id. */
  next: string;
}

/**
 * Begins a request with the old id, and gives the session a new id with a grace.
 *
 * The request is due to resend its cookie (`rolling`), so a cookie would be on its response if
 * nothing prevented it.
 */
async function openBeforeRenewal(store: SessionStore, clock: FakeClock): Promise<Late> {
  const middleware = start({ maxAge: 600, rolling: true }, store);
  const old = await signUp(middleware, { user: "ada", n: 1 });
  clock.tick(300_000);
  const late = await open(middleware, old);
  assertEquals(late.context.response.headers.getSetCookie().length, 1);
  const next = await renew(middleware, old, { graceSeconds: GRACE_MS / 1000 });
  assertNotEquals(next, old);
  return { ...late, next };
}

/** Every operation by which a request with the old id learns the new one. */
const OPERATIONS: [name: string, run: (session: Session) => Promise<unknown>][] = [
  ["set", (session) => session.set("n", 2)],
  ["delete", (session) => session.delete("n")],
  ["update", (session) => session.update<number>("n", (n = 0) => n + 1)],
  ["take", (session) => session.take("n")],
  ["clear", (session) => session.clear()],
  ["touch", (session) => session.touch()],
  ["reload", (session) => session.reload()],
];

for (const [name, make] of STORES) {
  Deno.test(`Session.regenerate({ graceSeconds }) on ${name} lets requests with the old id read and write within the grace`, async () => {
    using clock = new FakeClock();
    const events: SessionEvent[] = [];
    const store = make();
    const middleware = start({ maxAge: 600, rolling: true, onEvent: (event) => events.push(event) }, store);
    const old = await signUp(middleware);
    const under = await open(middleware, old);
    const next = await renew(middleware, old, { graceSeconds: GRACE_MS / 1000 });

    // A request that was under way.
    await under.session.set("late", 1);
    assertEquals(await under.session.update("late", (n: number | undefined) => (n ?? 0) + 1), 2);
    assertEquals((await under.finish()).headers.getSetCookie(), []);
    // A request that arrives within the grace, even if its cookie is due to be resent.
    clock.tick(GRACE_MS - 1);
    const arriving = await open(middleware, old);
    assertEquals(await arriving.session.get("late"), 2);
    await arriving.session.set("later", 3);
    await arriving.session.touch();
    assertEquals((await arriving.finish()).headers.getSetCookie(), []);
    assertEquals(await read(middleware, next, "later"), 3);

    clock.tick(1);
    events.length = 0;
    assertEquals(await read(middleware, old), undefined);
    assertEquals(eventNames(events), ["refused reuse"]);
    assertEquals(await read(middleware, next), "ada");
    // For the eight methods the old id does not exist.
    assertEquals(await store.exist(idOf(old)), false);
    assertEquals(await store.get(idOf(old)), undefined);
  });

  Deno.test(`Session.regenerate({ graceSeconds }) on ${name} lets a request that learned the new id in time write after the grace, and never gives it the new cookie`, async (t) => {
    for (const [operation, learn] of OPERATIONS) {
      await t.step(`it learned the new id by ${operation}()`, async () => {
        using clock = new FakeClock();
        const store = make();
        const { session, finish, next } = await openBeforeRenewal(store, clock);
        clock.tick(GRACE_MS - 1);
        await learn(session);
        assertEquals(session.sessionId, idOf(next));

        clock.tick(1);
        for (const [, run] of [...OPERATIONS, ...OPERATIONS]) await run(session);
        await session.set("after", "the grace");
        assertEquals((await finish()).headers.getSetCookie(), []);
        assertEquals(await read(start({}, store), next, "after"), "the grace");
      });
    }
    await t.step("it arrived within the grace", async () => {
      using clock = new FakeClock();
      const store = make();
      const middleware = start({ maxAge: 600, rolling: true }, store);
      const old = await signUp(middleware);
      clock.tick(300_000);
      const next = await renew(middleware, old, { graceSeconds: GRACE_MS / 1000 });
      clock.tick(GRACE_MS - 1);
      const { session, finish } = await open(middleware, old);
      assertEquals(session.sessionId, idOf(next));

      clock.tick(1);
      for (const [, run] of [...OPERATIONS, ...OPERATIONS]) await run(session);
      await session.set("after", "the grace");
      assertEquals((await finish()).headers.getSetCookie(), []);
      assertEquals(await read(middleware, next, "after"), "the grace");
    });
  });

  Deno.test(`Session.regenerate({ graceSeconds }) on ${name} with rolling resends the new cookie when it is due, although a request with the old id has recorded activity`, async () => {
    using clock = new FakeClock();
    const middleware = start({ maxAge: 600, rolling: true }, make());
    const old = await signUp(middleware);
    const next = await renew(middleware, old, { graceSeconds: 300 });
    clock.tick(60_000);
    const { finish } = await open(middleware, old);
    assertEquals((await finish()).headers.getSetCookie(), []);
    assertEquals(cookieOf(await visit(middleware, { cookie: next })), next);
  });

  Deno.test(`Session.regenerate({ graceSeconds }) on ${name} with rolling records the activity of requests with the old id only when it is due`, async () => {
    using clock = new FakeClock();
    const { store, probe: seen } = probe(make());
    const middleware = start({ maxAge: 600, rolling: true }, store);
    const old = await signUp(middleware);
    await renew(middleware, old, { graceSeconds: 300 });
    clock.tick(60_000);
    seen.calls.length = 0;
    await open(middleware, old);
    assert(seen.calls.some((method) => method === "changeRecord" || method === "setValue"));
    seen.calls.length = 0;
    await open(middleware, old);
    assert(seen.calls.every((method) => method === "readRecord" || method === "get"), seen.calls.join());
  });

  Deno.test(`Session.regenerate({ graceSeconds }) on ${name} refuses a request that did not learn the new id in time, and never gives it the new cookie`, async (t) => {
    for (const [operation, run] of OPERATIONS) {
      await t.step(`${operation}() after the grace`, async () => {
        using clock = new FakeClock();
        const store = make();
        const { session, finish, next } = await openBeforeRenewal(store, clock);
        clock.tick(GRACE_MS);
        // A read asks for nothing, so it learns nothing.
        assertEquals(await session.get("user"), "ada");

        if (operation === "reload") await session.reload();
        else await assertRejects(() => run(session), SessionGoneError);
        assertEquals([await session.get("user"), session.expiresAt], [undefined, undefined]);
        assert(!next.includes(session.sessionId));
        await assertRejects(() => session.set("n", 3), SessionGoneError);
        assertEquals((await finish()).headers.getSetCookie(), []);
        assertEquals(await read(start({}, store), next, "n"), 1);
      });
    }
  });

  Deno.test(`Session.regenerate({ graceSeconds }) on ${name} twice leads both old ids to the last one`, async () => {
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

  Deno.test(`Session.regenerate({ graceSeconds }) on ${name} gives a request with the old id the cookie of an id that it asks for itself`, async () => {
    using clock = new FakeClock();
    const store = make();
    const { session, finish, next } = await openBeforeRenewal(store, clock);
    await session.regenerate({ principal: "42" });
    const own = cookieOf(await finish());
    assertNotEquals(own, next);
    const middleware = start({}, store);
    const { session: signedIn } = await open(middleware, own);
    assertEquals([signedIn.principal, await signedIn.get("user")], ["42", "ada"]);
    assertEquals(await read(middleware, next), undefined);
  });

  Deno.test(`Session.regenerate({ graceSeconds }) on ${name} leads an old id through 16 new ids, and no further`, async () => {
    const middleware = start({}, make());
    const first = await signUp(middleware);
    const [under, late] = [await open(middleware, first), await open(middleware, first)];
    let last = first;
    for (let i = 0; i < 16; i++) last = await renew(middleware, last, { graceSeconds: 5 });
    assertEquals(await read(middleware, first), "ada");
    await under.session.set("a", 1);
    assertEquals(under.session.sessionId, idOf(last));

    last = await renew(middleware, last, { graceSeconds: 5 });
    assertEquals(await read(middleware, first), undefined);
    await assertRejects(() => late.session.set("a", 2), SessionGoneError);
    assertEquals(await read(middleware, last, "a"), 1);
  });

  Deno.test(`Session.regenerate({ graceSeconds }) on ${name} with a grace beyond the session's deadline reports the old id as expired`, async () => {
    using clock = new FakeClock();
    const events: SessionEvent[] = [];
    const middleware = start({ maxAge: 60, onEvent: (event) => events.push(event) }, make());
    const old = await signUp(middleware);
    await renew(middleware, old, { graceSeconds: 100 });
    clock.tick(60_000);
    events.length = 0;
    assertEquals(await read(middleware, old), undefined);
    assertEquals(eventNames(events), ["expired"]);
  });
}
