/** `csrfToken()` and `verifyCsrfToken()`. */
import { assert, assertEquals, assertMatch, assertRejects } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { cookieOf, open, renew, signUp, start, visit } from "../helpers/request.ts";
import { STORES } from "../helpers/stores.ts";
import { SessionGoneError, type SessionMiddleware } from "../../mod.ts";

/** Returns whether a request with this cookie accepts a token. */
async function accepts(middleware: SessionMiddleware, cookie: string, token: string): Promise<boolean> {
  return (await open(middleware, cookie)).session.verifyCsrfToken(token);
}

for (const [name, make] of STORES) {
  Deno.test(`Session.csrfToken() on ${name} belongs to the session, changes with a new id, and survives a grace`, async () => {
    const middleware = start({}, make());
    const { session, finish } = await open(middleware);
    const token = await session.csrfToken();
    assertMatch(token, /^[\w-]{86}$/);
    const cookie = cookieOf(await finish());
    assertEquals(await accepts(middleware, cookie, token), true);
    assertEquals(await accepts(middleware, await signUp(middleware), token), false);
    assert(!cookie.includes(token));
    const renewed = await renew(middleware, cookie, { graceSeconds: 5 });
    const during = await (await open(middleware, renewed)).session.csrfToken();
    for (const current of [renewed, cookie]) {
      assertEquals(await accepts(middleware, current, token), true);
      assertEquals(await accepts(middleware, current, during), true);
    }
    assertEquals(await accepts(middleware, await renew(middleware, renewed), token), false);
    const ended = await open(middleware, cookie);
    await ended.session.destroy();
    await assertRejects(() => ended.session.csrfToken(), SessionGoneError);
  });

  Deno.test(`Session.csrfToken() on ${name} returns another text on each call, and all of them are accepted`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware);
    const { session } = await open(middleware, cookie);
    const tokens = await Promise.all(Array.from({ length: 100 }, () => session.csrfToken()));
    // Compression can only reveal a text that stays the same, so no part of a token may repeat.
    for (const part of [(token: string) => token.slice(0, 43), (token: string) => token.slice(43)]) {
      assertEquals(new Set(tokens.map(part)).size, 100);
    }
    const later = await open(middleware, cookie);
    assertEquals(tokens.filter((token) => later.session.verifyCsrfToken(token)).length, 100);
  });

  Deno.test(`Session.csrfToken() on ${name} stays valid for a request with the old id within the grace`, async () => {
    const middleware = start({}, make());
    const old = await signUp(middleware);
    const under = await open(middleware, old);
    const token = await under.session.csrfToken();
    const next = await renew(middleware, old, { graceSeconds: 5 });
    await under.session.set("a", 1);
    assertEquals(under.session.verifyCsrfToken(token), true);
    assertEquals(await accepts(middleware, next, token), true);
    assertEquals(await accepts(middleware, next, await under.session.csrfToken()), true);
  });

  Deno.test(`Session.csrfToken() on ${name} stays valid for a request with the old id if the id was renewed with a grace before`, async () => {
    const middleware = start({}, make());
    const first = await signUp(middleware);
    const token = await (await open(middleware, first)).session.csrfToken();
    const second = await renew(middleware, first, { graceSeconds: 5 });
    const [writing, reloading] = [await open(middleware, second), await open(middleware, second)];
    await renew(middleware, second, { graceSeconds: 5 });
    await writing.session.set("a", 1);
    assertEquals(writing.session.verifyCsrfToken(token), true);
    await reloading.session.reload();
    assertEquals(reloading.session.verifyCsrfToken(token), true);
  });

  Deno.test(`Session.csrfToken() on ${name} waits for a new id that is under way`, async () => {
    const middleware = start({}, make());
    const { session, finish } = await open(middleware, await signUp(middleware));
    session.regenerate();
    const token = await session.csrfToken();
    assertEquals(await accepts(middleware, cookieOf(await finish()), token), true);
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
      assertEquals(await accepts(middleware, cookie, token), true);
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
    const halves = [token.slice(0, 43), token.slice(43), token.slice(43) + token.slice(0, 43)];
    const foreign = await other.csrfToken();
    for (
      const wrong of [foreign, token.slice(1), `${token}A`, `${token}==`, ` ${token}`, "A".repeat(86), "", ...halves]
    ) {
      assertEquals(session.verifyCsrfToken(wrong), false);
    }
    // A token may come from JSON, so it may be anything.
    for (const wrong of [undefined, null, 86, true, {}, [token], { length: 86 }, { toString: 1 }]) {
      assertEquals(session.verifyCsrfToken(wrong as unknown as string), false);
    }
    assertEquals((await open(middleware)).session.verifyCsrfToken(token), false);
    void destroyed.destroy();
    assertEquals(destroyed.verifyCsrfToken(token), false);
    clock.tick(60_000);
    assertEquals(session.verifyCsrfToken(token), false);
  });
}

Deno.test("Session.csrfToken() stays valid in the request in which renewalTimeout renews the id", async () => {
  using clock = new FakeClock();
  const middleware = start({ renewalTimeout: 60 });
  const cookie = await signUp(middleware);
  const before = await open(middleware, cookie);
  const token = await before.session.csrfToken();
  clock.tick(60_000);
  const { session } = await open(middleware, cookie);
  assertEquals(session.sessionId === before.session.sessionId, false);
  assertEquals(session.verifyCsrfToken(token), true);
  assertEquals(before.session.verifyCsrfToken(await session.csrfToken()), true);
});
