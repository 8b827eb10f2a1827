/** `csrfToken()`. */
import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { cookieOf, open, renew, signUp, start, visit } from "../helpers/request.ts";
import { STORES } from "../helpers/stores.ts";
import { SessionGoneError } from "../../mod.ts";

for (const [name, make] of STORES) {
  Deno.test(`Session.csrfToken() on ${name} belongs to the session, changes with a new id, and survives a grace`, async () => {
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

  Deno.test(`Session.csrfToken() on ${name} is the same for a request with the old id within the grace`, async () => {
    const middleware = start({}, make());
    const old = await signUp(middleware);
    const under = await open(middleware, old);
    const token = await under.session.csrfToken();
    const next = await renew(middleware, old, { graceSeconds: 5 });
    await under.session.set("a", 1);
    assertEquals(await under.session.csrfToken(), token);
    assertEquals(await (await open(middleware, next)).session.csrfToken(), token);
  });

  Deno.test(`Session.csrfToken() on ${name} is the same for a request with the old id if the id was renewed with a grace before`, async () => {
    const middleware = start({}, make());
    const first = await signUp(middleware);
    const token = await (await open(middleware, first)).session.csrfToken();
    const second = await renew(middleware, first, { graceSeconds: 5 });
    const [writing, reloading] = [await open(middleware, second), await open(middleware, second)];
    await renew(middleware, second, { graceSeconds: 5 });
    await writing.session.set("a", 1);
    assertEquals(await writing.session.csrfToken(), token);
    await reloading.session.reload();
    assertEquals(await reloading.session.csrfToken(), token);
  });

  Deno.test(`Session.csrfToken() on ${name} waits for a new id that is under way`, async () => {
    const middleware = start({}, make());
    const { session, finish } = await open(middleware, await signUp(middleware));
    session.regenerate();
    const token = await session.csrfToken();
    const next = await open(middleware, cookieOf(await finish()));
    assertEquals(await next.session.csrfToken(), token);
  });

  Deno.test(`Session.csrfToken() on ${name} survives any number of renewals with a grace`, async () => {
    using clock = new FakeClock();
    const middleware = start({ renewalTimeout: 60 }, make());
    let cookie = await signUp(middleware);
    const token = await (await open(middleware, cookie)).session.csrfToken();
    for (const how of ["renewalTimeout", "renewalTimeout", "graceSeconds", "renewalTimeout"]) {
      clock.tick(30_000);
      if (how === "renewalTimeout") {
        clock.tick(30_000);
        cookie = cookieOf(await visit(middleware, { cookie }));
      } else cookie = await renew(middleware, cookie, { graceSeconds: 0.001 });
      assertEquals(await (await open(middleware, cookie)).session.csrfToken(), token);
    }
  });

  Deno.test(`Session.verifyCsrfToken() on ${name} accepts only the token of the session, and only while it is alive`, async () => {
    using clock = new FakeClock();
    const middleware = start({ maxAge: 60 }, make());
    const cookie = await signUp(middleware);
    const { session } = await open(middleware, cookie);
    const token = await session.csrfToken();
    const { session: other } = await open(middleware, await signUp(middleware));
    const { session: destroyed } = await open(middleware, cookie);
    assertEquals([session.verifyCsrfToken(token), destroyed.verifyCsrfToken(token)], [true, true]);
    for (const wrong of [await other.csrfToken(), token.slice(1), `${token}A`, ""]) {
      assertEquals(session.verifyCsrfToken(wrong), false);
    }
    assertEquals((await open(middleware)).session.verifyCsrfToken(token), false);
    void destroyed.destroy();
    assertEquals(destroyed.verifyCsrfToken(token), false);
    clock.tick(60_000);
    assertEquals(session.verifyCsrfToken(token), false);
  });
}

Deno.test("Session.csrfToken() stays the same in the request in which renewalTimeout renews the id", async () => {
  using clock = new FakeClock();
  const middleware = start({ renewalTimeout: 60 });
  const cookie = await signUp(middleware);
  const before = await open(middleware, cookie);
  const token = await before.session.csrfToken();
  clock.tick(60_000);
  const { session } = await open(middleware, cookie);
  assertEquals(session.sessionId === before.session.sessionId, false);
  assertEquals(await session.csrfToken(), token);
});
