/** The sessions of a user: `middleware.sessions` and `maxSessionsPerPrincipal`. */
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
import { microtasks } from "../helpers/microtasks.ts";
import { eventNames, idOf, open, read, renew, SECRET, signIn, signUp, start } from "../helpers/request.ts";
import { BasicStore, failing, probe, working } from "../helpers/stores.ts";
import {
  MemoryStore,
  type SessionEvent,
  SessionGoneError,
  SessionMiddleware,
  SessionNotSupportedError,
} from "../../mod.ts";

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

  const current = idOf(laptop);
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
  assertEquals(await sessions.revoke("bob", other.handle), false, "a handle works for its own user only");
  assertEquals(await sessions.revoke("ada", "made up"), false);
  events.length = 0;
  assertEquals(await sessions.revoke("ada", other.handle), true);
  assertEquals(eventNames(events), ["revoked"]);
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

Deno.test("middleware.sessions ends a session that has a request under way or was renewed since", async () => {
  const middleware = start();
  const cookie = await signIn(middleware, "ada");
  const under = await open(middleware, cookie);
  const next = await renew(middleware, cookie, { graceSeconds: 30 });
  await middleware.sessions.revokeAll("ada");
  await assertRejects(() => under.session.set("a", 1), SessionGoneError);
  assertEquals([await read(middleware, cookie), await read(middleware, next)], [undefined, undefined]);
});

Deno.test("middleware.sessions recognises the caller's session after a parallel request renewed its id", async () => {
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

Deno.test("middleware.sessions refuses a principal out of range, and a store that cannot find users", async () => {
  const { sessions } = start();
  await assertRejects(() => sessions.list(""), RangeError, "principal");
  await assertRejects(() => sessions.revokeAll(42 as unknown as string), TypeError, "principal");
  const bare = start({}, new BasicStore());
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

Deno.test("maxSessionsPerPrincipal ends the user's oldest session at one sign-in too many", async () => {
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
  // The session that signs in is never the one that is ended, however old it is.
  const old = await signUp(middleware);
  clock.tick(1000);
  await signIn(middleware, "eve");
  await signIn(middleware, "eve");
  const next = await renew(middleware, old, { principal: "eve" });
  assertEquals(await read(middleware, next), "ada");
  assertEquals((await middleware.sessions.list("eve")).length, 2);
});

/**
 * Signs in. Returns an empty Cookie header if a concurrent sign-in ended the session before its
 * first write.
 */
async function signInUnlessEnded(middleware: SessionMiddleware, principal: string): Promise<string> {
  try {
    return await signIn(middleware, principal);
  } catch (error) {
    assertInstanceOf(error, SessionGoneError);
    return "";
  }
}

Deno.test("maxSessionsPerPrincipal holds for concurrent sign-ins", async () => {
  for (const max of [1, 3]) {
    // The store answers late, so that the sign-ins overlap.
    const { store, probe: seen } = probe(new MemoryStore());
    seen.before = () => microtasks(20);
    const middleware = start({ maxSessionsPerPrincipal: max }, store);
    const cookies = await Promise.all(Array.from({ length: 8 }, () => signInUnlessEnded(middleware, "ada")));
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

Deno.test("maxSessionsPerPrincipal keeps a sign-in if the store fails after it", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const events: SessionEvent[] = [];
  const middleware = start({ maxSessionsPerPrincipal: 1, onEvent: (event) => events.push(event) }, store);
  const before = await signIn(middleware, "ada");
  seen.before = failing("listSessions");
  const cookie = await signIn(middleware, "ada");
  assertEquals(await read(middleware, cookie), "ada");
  assertEquals(eventNames(events).filter((type) => type === "storeFailed"), ["storeFailed"]);
  seen.before = working;
  const last = await signIn(middleware, "ada");
  assertEquals(await Promise.all([before, cookie, last].map((cookie) => read(middleware, cookie))), [
    undefined,
    undefined,
    "ada",
  ]);
});

Deno.test("maxSessionsPerPrincipal needs a store that finds users", () => {
  assertThrows(
    () => new SessionMiddleware(new BasicStore(), { secret: SECRET, maxSessionsPerPrincipal: 1 }),
    SessionNotSupportedError,
    "maxSessionsPerPrincipal",
  );
});

Deno.test("maxSessionsPerPrincipal never ends the session that signs in, even if the clock was set back", async () => {
  using clock = new FakeClock();
  const middleware = start({ maxSessionsPerPrincipal: 1 });
  const before = await signIn(middleware, "ada");
  clock.tick(-1000);
  const cookie = await signIn(middleware, "ada");
  assertEquals([await read(middleware, before), await read(middleware, cookie)], [undefined, "ada"]);
});

Deno.test("middleware.sessions lists no session that stricter options have ended", async () => {
  using clock = new FakeClock();
  const store = new MemoryStore();
  await signIn(start({ maxAge: 1000 }, store), "ada");
  clock.tick(99_999);
  const { sessions } = start({ maxAge: 100 }, store);
  assertEquals((await sessions.list("ada")).length, 1);
  clock.tick(1);
  assertEquals(await sessions.list("ada"), []);
  assertEquals(await sessions.revokeAll("ada"), 0);
});

Deno.test("middleware.sessions takes a new id for activity", async () => {
  using clock = new FakeClock();
  const middleware = start();
  const cookie = await signIn(middleware, "ada");
  clock.tick(1000);
  await renew(middleware, cookie);
  const [session] = await middleware.sessions.list("ada");
  assertEquals([session?.createdAt, session?.lastSeenAt], [new Date(clock.now - 1000), new Date(clock.now)]);
});

Deno.test("middleware.sessions reports the last id of a session that another process renewed during the revocation", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const events: SessionEvent[] = [];
  const middleware = start({ onEvent: (event) => events.push(event) }, store);
  const cookie = await signIn(middleware, "ada");
  seen.before = async (method) => {
    if (method !== "delete") return;
    seen.before = working;
    await store.moveRecord(idOf(cookie), "N".repeat(24), { meta: {}, graceUntil: 0 });
  };
  assertEquals(await middleware.sessions.revokeAll("ada"), 1);
  assertEquals([store.size, eventNames(events)], [0, ["created", "revoked"]]);
  assertNotEquals(events[1]?.session, events[0]?.session);
});
