/** When a session is created: at the first write, or before the action with `saveUninitialized`. */
import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects } from "../helpers/assert.ts";
import { microtasks } from "../helpers/microtasks.ts";
import { cookieOf, idOf, open, read, start, visit } from "../helpers/request.ts";
import { failing, probe, STORES, working } from "../helpers/stores.ts";
import { type SessionEvent, SessionStoreError } from "../../mod.ts";

for (const [name, make] of STORES) {
  Deno.test(`Session on ${name} makes no store call and sets no cookie if a new visitor writes nothing`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({}, store);
    const response = await visit(middleware, {}, async (context) => {
      const { session } = context.security;
      assert(session.isNew);
      assertEquals(session.expiresAt, undefined);
      assertEquals(await session.get("user"), undefined);
      assertEquals(await session.get("user", "nobody"), "nobody");
      assertEquals(await session.has("user"), false);
      assertEquals({ ...await session.entries() }, {});
      await session.delete("user");
      await session.set("user", undefined);
      assertMatch(session.sessionId, /^[\w-]{24}$/);
    });
    assertEquals(seen.calls, []);
    assertEquals(response.headers.getSetCookie(), []);
    assertEquals(response.headers.get("cache-control"), "private");
  });

  Deno.test(`Session.set() on ${name} creates the record and sets the cookie within the call`, async () => {
    const store = make();
    const { session, context } = await open(start({}, store));
    const id = session.sessionId;
    const written = session.set("user", "ada");
    // The cookie is set synchronously.
    assertEquals(idOf(cookieOf(context.response)), id);
    assertEquals(session.sessionId, id);
    await written;
    assert(await store.exist(id));
    assertEquals(await store.getValue(id, "user"), "ada");
    assertInstanceOf(session.expiresAt, Date);
    assert(session.isNew);
  });

  Deno.test(`Session.set() on ${name} sets no cookie if the store cannot create the record, and can be retried`, async () => {
    const { store, probe: seen } = probe(make());
    seen.before = failing();
    const middleware = start({ onEvent: () => {} }, store);
    const { session, finish } = await open(middleware);
    const error = await assertRejects(() => session.set("a", 1), SessionStoreError);
    assertEquals([error.httpCode, error.operation, (error.cause as Error).message], [503, "create", "down"]);
    assertEquals(await session.get("a"), undefined);
    assertEquals(session.expiresAt, undefined);
    // The store is up again, and the same request can create its session.
    seen.before = working;
    await session.set("b", 2);
    const cookie = cookieOf(await finish());
    assertEquals(await read(middleware, cookie, "b"), 2);
    assertEquals(await read(middleware, cookie, "a"), undefined);
  });

  Deno.test(`Session.set() on ${name} fails together with an earlier write that could not create the record`, async () => {
    const { store, probe: seen } = probe(make());
    let down = true;
    seen.before = async () => {
      await undefined;
      if (down) throw new Error("down");
    };
    const { session, finish } = await open(start({ onEvent: () => {} }, store));
    const first = session.set("a", 1);
    const second = session.set("b", 2);
    await assertRejects(() => first, SessionStoreError);
    const error = await assertRejects(
      () => second,
      SessionStoreError,
      "could not create the session, so nothing was written",
    );
    assertInstanceOf(error.cause, SessionStoreError);
    assertEquals((error.cause.cause as Error).message, "down");
    down = false;
    assertEquals((await finish()).headers.getSetCookie(), []);
  });

  Deno.test(`Session on ${name} never reuses an id whose record could not be created or was destroyed`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({ onEvent: () => {} }, store);
    const { session } = await open(middleware);
    const ids = [session.sessionId];
    seen.before = failing();
    await assertRejects(() => session.set("a", 1), SessionStoreError);
    seen.before = working;
    ids.push(session.sessionId);
    await session.set("a", 1);
    await session.destroy();
    ids.push(session.sessionId);
    assertEquals(new Set(ids).size, 3);
  });

  Deno.test(`saveUninitialized on ${name} creates the record and sets the cookie on an untouched visit`, async () => {
    const store = make();
    const middleware = start({ saveUninitialized: true }, store);
    const response = await visit(middleware, {});
    const cookie = cookieOf(response);
    assert(await store.exist(idOf(cookie)));
    await visit(middleware, { cookie }, ({ security: { session } }) => {
      assertEquals(session.isNew, false);
    });
  });

  Deno.test(`saveUninitialized on ${name} creates the record before the action runs`, async () => {
    const { store, probe: seen } = probe(make());
    seen.before = () => microtasks();
    const { session } = await open(start({ saveUninitialized: true }, store));
    seen.before = working;
    assert(await store.exist(session.sessionId));
  });

  Deno.test(`saveUninitialized on ${name} fails the request if the record cannot be created, and reports it`, async () => {
    const events: SessionEvent[] = [];
    const { store, probe: seen } = probe(make());
    seen.before = failing();
    const middleware = start({ saveUninitialized: true, onEvent: (event) => events.push(event) }, store);
    const error = await assertRejects(() => open(middleware), SessionStoreError);
    assertEquals(error.operation, "create");
    await microtasks();
    assertEquals(events.map(({ type }) => type), ["storeFailed"]);
  });
}
