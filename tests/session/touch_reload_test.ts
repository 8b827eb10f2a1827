/** `touch()` and `reload()`: long requests, and changes that other requests made. */
import { assert, assertEquals, assertRejects } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { cookieOf, onlyCookie, open, read, signUp, start, visit } from "../helpers/request.ts";
import { STORES } from "../helpers/stores.ts";
import { SessionGoneError } from "../../mod.ts";

for (const [name, make] of STORES) {
  Deno.test(`Session.touch() on ${name} restarts the sliding limits`, async () => {
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

  Deno.test(`Session.touch() on ${name} never lets the cookie expire before the session`, async () => {
    using clock = new FakeClock();
    const middleware = start({ maxAge: 600, rolling: true }, make());
    const cookie = await signUp(middleware);
    // A WebSocket: its response was sent long ago.
    const { session: long } = await open(middleware, cookie);
    let sent = 0;
    for (let i = 0; i < 20; i++) {
      clock.tick(30_000);
      await long.touch();
      sent += (await visit(middleware, { cookie })).headers.getSetCookie().length;
    }
    assert(sent >= 9, `sent ${sent} times in ten minutes`);
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

  Deno.test(`Session.reload() on ${name} makes later reads wait for it, even if it is not awaited`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware);
    const { session } = await open(middleware, cookie);
    await visit(middleware, { cookie }, ({ security }) => security.session.set("user", "bob"));
    session.reload();
    assertEquals(await session.get("user"), "bob");
  });

  Deno.test(`Session.reload() on ${name} learns that other requests extended, unbound or cleared the session`, async () => {
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
    // By what this request knows, the session has expired.
    assertEquals(session.expiresAt, undefined);
    await assertRejects(() => session.set("a", 1), SessionGoneError);
    await session.reload();
    assertEquals(session.expiresAt, new Date(clock.now + 60_000));
    await session.set("a", 1);
    await visit(middleware, { cookie }, ({ security: { session } }) => session.clear());
    await session.reload();
    assertEquals([session.principal, await session.has("a")], [undefined, false]);
  });

  Deno.test(`Session.reload() on ${name} keeps a write that begins while it reads`, async () => {
    const middleware = start({}, make());
    const { session } = await open(middleware, await signUp(middleware));
    const reloading = session.reload();
    session.set("a", 1);
    await reloading;
    assertEquals({ ...await session.entries() }, { user: "ada", a: 1 });
  });
}
