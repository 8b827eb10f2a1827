/** What a session tells about itself: its label, and when it was created, used and bound to its user. */
import { assertEquals, assertMatch, assertRejects } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { cookieOf, open, renew, signIn, signUp, start, visit } from "../helpers/request.ts";
import { failing, probe, STORES, working } from "../helpers/stores.ts";
import { MemoryStore, type SessionEvent, type SessionMiddleware, SessionStoreError } from "../../mod.ts";

async function labelOf(middleware: SessionMiddleware, cookie: string): Promise<string | undefined> {
  return (await open(middleware, cookie)).session.label;
}

for (const [name, make] of STORES) {
  Deno.test(`regenerate({ label }) and setLabel() on ${name} name a session until another user signs in`, async () => {
    const middleware = start({}, make());
    const { session, finish } = await open(middleware);
    assertEquals(session.label, undefined);
    await session.regenerate({ principal: "ada", label: "Firefox on Linux" });
    assertEquals(session.label, "Firefox on Linux");
    const cookie = await renew(middleware, cookieOf(await finish()));
    assertEquals(await labelOf(middleware, cookie), "Firefox on Linux");
    await visit(middleware, { cookie }, ({ security }) => security.session.setLabel("Ada's <b>laptop</b> 🐧\0"));
    assertEquals(await labelOf(middleware, cookie), "Ada's <b>laptop</b> 🐧\0");

    const same = await renew(middleware, cookie, { principal: "ada" });
    assertEquals(await labelOf(middleware, same), "Ada's <b>laptop</b> 🐧\0");
    const grace = await renew(middleware, same, { principal: "grace" });
    assertEquals(await labelOf(middleware, grace), undefined);
    await visit(middleware, { cookie: grace }, ({ security }) => security.session.setLabel("x".repeat(256)));
    assertEquals(await labelOf(middleware, grace), "x".repeat(256));
    await visit(middleware, { cookie: grace }, ({ security }) => security.session.setLabel(undefined));
    assertEquals(await labelOf(middleware, grace), undefined);
  });

  Deno.test(`Session.clear() on ${name} removes the label`, async () => {
    const middleware = start({}, make());
    const { session, finish } = await open(middleware);
    await session.setLabel("Firefox on Linux");
    const cookie = cookieOf(await finish());
    const next = await open(middleware, cookie);
    assertEquals([next.session.isNew, next.session.label], [false, "Firefox on Linux"]);
    await next.session.clear();
    assertEquals([next.session.label, await labelOf(middleware, cookie)], [undefined, undefined]);
  });

  Deno.test(`a session on ${name} knows when it was created, used and bound to its user`, async () => {
    using clock = new FakeClock();
    const middleware = start({ idleTimeout: 1000 }, make());
    const times = async (cookie: string): Promise<unknown[]> => {
      const { session } = await open(middleware, cookie);
      return [session.createdAt, session.signedInAt, session.lastSeenAt].map((date) => date && +date - clock.now);
    };
    const { session } = await open(middleware);
    assertEquals([session.createdAt, session.signedInAt, session.lastSeenAt], [undefined, undefined, undefined]);
    const cookie = await signUp(middleware);
    clock.tick(50_000);
    assertEquals(await times(cookie), [-50_000, undefined, -50_000]);
    const signed = await renew(middleware, cookie, { principal: "ada" });
    clock.tick(40_000);
    assertEquals(await times(signed), [-90_000, -40_000, -40_000]);
    clock.tick(60_000);
    assertEquals(await times(signed), [-150_000, -100_000, 0]);
    const renewed = await renew(middleware, signed);
    clock.tick(5000);
    assertEquals(await times(renewed), [-155_000, -105_000, -5000], "a new id is no sign-in");
    const { session: leaving } = await open(middleware, renewed);
    await leaving.clear();
    assertEquals(leaving.signedInAt, undefined);
    await leaving.destroy();
    assertEquals([leaving.createdAt, leaving.lastSeenAt, leaving.label], [undefined, undefined, undefined]);
  });

  Deno.test(`Session.setLabel() on ${name} changes nothing if the store fails`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({}, store);
    const cookie = await signUp(middleware);
    const { session } = await open(middleware, cookie);
    seen.before = failing("changeRecord", "setValue");
    const { message } = await assertRejects(() => session.setLabel("Firefox"), SessionStoreError);
    assertMatch(message, /^Cannot set the label: \w+ failed; the change may or may not be stored; see `cause`/);
    seen.before = working;
    assertEquals([session.label, await labelOf(middleware, cookie)], [undefined, undefined]);
  });
}

Deno.test("what a session tells about itself keeps the response out of shared caches", async () => {
  const middleware = start();
  const cookie = await signIn(middleware, "ada");
  for (const property of ["label", "createdAt", "lastSeenAt", "signedInAt", "expiresAt", "principal"] as const) {
    const response = await visit(middleware, { cookie }, ({ security }) => `${security.session[property]}`);
    assertEquals(response.headers.get("cache-control"), "private", property);
  }
});

Deno.test("a label has 1 to 256 characters", async () => {
  const middleware = start();
  const { session } = await open(middleware);
  const cases: [unknown, typeof TypeError | typeof RangeError][] = [
    [5, TypeError],
    [null, TypeError],
    ["\ud800", TypeError],
    ["", RangeError],
    ["x".repeat(257), RangeError],
  ];
  for (const [value, errorClass] of cases) {
    const label = value as string;
    await assertRejects(() => session.setLabel(label), errorClass, "Cannot set the label: the label must ");
    await assertRejects(() => session.regenerate({ label }), errorClass, "Cannot regenerate: the label must ");
  }
  await session.setLabel(undefined);
  assertEquals(session.createdAt, undefined, "nothing was created");
});

Deno.test("middleware.sessions.list() shows the label, the sign-in and the expiry of each session", async () => {
  using clock = new FakeClock();
  const events: SessionEvent[] = [];
  const store = new MemoryStore();
  const middleware = start({ maxAge: 600, onEvent: (event) => events.push(event) }, store);
  await renew(middleware, await signUp(middleware), { principal: "ada", label: "Firefox on Linux", maxAge: 900 });
  clock.tick(1000);
  await signIn(middleware, "ada");
  const list = await middleware.sessions.list("ada");
  const shown = list.map((
    { label, signedInAt, expiresAt },
  ) => [label, +signedInAt - clock.now, +expiresAt - clock.now]);
  assertEquals(shown, [["Firefox on Linux", -1000, 899_000], [undefined, 0, 600_000]]);
  // An event and a list name a session in the same way.
  const named = events.flatMap((event) => event.type === "renewed" || event.type === "created" ? [event.session] : []);
  assertEquals(list.map(({ handle }) => handle), named.slice(1));

  // The options have become stricter, and looser, since the records were written.
  const expiries = async (maxAge: number): Promise<number[]> =>
    (await start({ maxAge }, store).sessions.list("ada")).map(({ expiresAt }) => +expiresAt - clock.now);
  assertEquals(await expiries(60), [899_000, 60_000]);
  assertEquals(await expiries(6000), [899_000, 600_000]);
});

Deno.test("session.signedInAt is the time of the sign-in, also if another server's clock was ahead", async () => {
  using clock = new FakeClock();
  const middleware = start({ maxSessionsPerPrincipal: 5 });
  clock.tick(10 * 3600_000);
  await signIn(middleware, "ada");
  clock.tick(-10 * 3600_000);
  const cookie = await signIn(middleware, "ada");
  const { session } = await open(middleware, cookie);
  assertEquals(session.signedInAt, new Date(clock.now));
  const list = await middleware.sessions.list("ada");
  assertEquals(
    list.map(({ signedInAt }) => +signedInAt - clock.now),
    [10 * 3600_000, 0],
    "in the order of the sign-ins",
  );
});
