/** `regenerate()`: a new id for a session, and for a sign-in. */
import { assert, assertEquals, assertInstanceOf, assertNotEquals, assertRejects } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { microtasks } from "../helpers/microtasks.ts";
import {
  cookieOf,
  eventNames,
  onlyCookie,
  open,
  read,
  renew,
  signIn,
  signUp,
  start,
  visit,
} from "../helpers/request.ts";
import { BasicStore, countRecords, probe, STORES, working } from "../helpers/stores.ts";
import {
  MemoryStore,
  type RegenerateOptions,
  type SessionEvent,
  SessionGoneError,
  SessionStoreError,
} from "../../mod.ts";

for (const [name, make] of STORES) {
  Deno.test(`Session.regenerate() on ${name} keeps the data and the deadline under a new id`, async () => {
    using clock = new FakeClock();
    const store = make();
    const middleware = start({ maxAge: 60 }, store);
    const cookie = await signUp(middleware, { user: "ada", __session: "mine", cart: [1] });
    clock.tick(10_000);
    const { session, finish } = await open(middleware, cookie);
    const before = session.sessionId;
    const expiresAt = session.expiresAt;
    session.set("late", 1);
    await session.regenerate();
    assertNotEquals(session.sessionId, before);
    assertEquals(session.expiresAt, expiresAt);
    assertEquals(await store.exist(before), false);
    await session.set("after", 2);
    const response = await finish();
    assertEquals(onlyCookie(response.headers).attributes["max-age"], "50");
    const next = cookieOf(response);
    await visit(middleware, { cookie: next }, async (context) => {
      assertEquals({ ...await context.security.session.entries() }, {
        user: "ada",
        __session: "mine",
        cart: [1],
        late: 1,
        after: 2,
      });
    });
    assertEquals(await read(middleware, cookie), undefined);
    clock.tick(50_000);
    assertEquals(await read(middleware, next), undefined);
  });

  Deno.test(`Session.regenerate() on ${name} changes the id of a visitor without a record, without a store call`, async () => {
    const { store, probe: seen } = probe(make());
    const { session, finish } = await open(start({}, store));
    const before = session.sessionId;
    await session.regenerate();
    assertNotEquals(session.sessionId, before);
    assertEquals(seen.calls, []);
    assertEquals((await finish()).headers.getSetCookie(), []);
  });

  Deno.test(`Session.regenerate() on ${name} loses no write of a concurrent request, and revives nothing`, async () => {
    const store = make();
    const middleware = start({}, store);
    const cookie = await signUp(middleware, { first: true });
    const others = await Promise.all(Array.from({ length: 30 }, () => open(middleware, cookie)));
    const { session, finish } = await open(middleware, cookie);
    const old = session.sessionId;
    const outcomes = others.map(async ({ session }, i) => {
      // Some writes begin before the renewal, some during it, some after it.
      await microtasks(i);
      return await session.set(`key ${i}`, i).then(() => "written", (error) => error);
    });
    const renewal = (async () => {
      await microtasks(10);
      await session.regenerate();
    })();
    const results = await Promise.all(outcomes);
    await renewal;
    assertEquals(await store.exist(old), false);
    const next = cookieOf(await finish());
    for (const [i, result] of results.entries()) {
      if (result !== "written") assertInstanceOf(result, SessionGoneError);
      assertEquals(await read(middleware, next, `key ${i}`), result === "written" ? i : undefined);
    }
    assert(results.includes("written") && results.some((result) => result !== "written"));
  });

  Deno.test(`Session.regenerate() on ${name} refuses a session that ended meanwhile`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware);
    const { session, finish } = await open(middleware, cookie);
    await session.set("late", 1);
    await session.store.delete(session.sessionId);
    const renewal = session.regenerate();
    const write = session.set("later", 1);
    await assertRejects(() => renewal, SessionGoneError);
    await assertRejects(() => write, SessionGoneError);
    assertEquals((await finish()).headers.getSetCookie(), []);
  });

  Deno.test(`Session.regenerate() on ${name} keeps the old id if the store fails`, async () => {
    const { store, probe: seen } = probe(make());
    const events: SessionEvent[] = [];
    const middleware = start({ onEvent: (event) => events.push(event) }, store);
    const cookie = await signUp(middleware);
    const { session, finish } = await open(middleware, cookie);
    const id = session.sessionId;
    // On a basic store a move takes several calls. Each of them may fail.
    for (const broken of ["moveRecord", "get", "create", "setValue", "delete"]) {
      if ((name === "MemoryStore") !== (broken === "moveRecord")) continue;
      let failed = false;
      seen.before = (method) => {
        if (method !== broken || failed) return;
        failed = true;
        throw new Error("down");
      };
      await assertRejects(() => session.regenerate(), SessionStoreError);
      seen.before = working;
      assertEquals(session.sessionId, id);
      assertEquals(await session.get("user"), "ada");
    }
    assertEquals((await finish()).headers.getSetCookie(), []);
    assertEquals(await read(middleware, cookie), "ada");
    assertEquals(countRecords(store), 1);
    // The old id was never replaced, so a request with it is no reuse once the record is removed.
    await store.delete(id);
    events.length = 0;
    assertEquals(await read(middleware, cookie), undefined);
    assertEquals(eventNames(events), ["refused unknown"]);
  });

  Deno.test(`Session.regenerate() on ${name} reports the old id as reuse until the session's deadline`, async () => {
    using clock = new FakeClock();
    const events: SessionEvent[] = [];
    const middleware = start({ maxAge: 60, onEvent: (event) => events.push(event) }, make());
    const old = await signUp(middleware);
    await renew(middleware, old);
    for (const [tick, reason] of [[0, "refused reuse"], [59_999, "refused reuse"], [1, "refused unknown"]] as const) {
      clock.tick(tick);
      events.length = 0;
      assertEquals(await read(middleware, old), undefined);
      assertEquals(eventNames(events), [reason]);
    }
  });

  Deno.test(`Session.regenerate() on ${name} refuses options out of range, and changes nothing`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware);
    const { session, finish } = await open(middleware, cookie);
    const cases: [RegenerateOptions, typeof TypeError | typeof RangeError][] = [
      [{ graceSeconds: 5, principal: "42" }, TypeError],
      [{ graceSeconds: 0, principal: "42" }, TypeError],
      [{ graceSeconds: -1 }, RangeError],
      [{ graceSeconds: NaN }, RangeError],
      [{ graceSeconds: Infinity }, RangeError],
      // The grace would end after the last time that a Date can hold.
      [{ graceSeconds: 8.64e12 }, RangeError],
      [{ graceSeconds: "5" as unknown as number }, TypeError],
      [{ principal: "" }, RangeError],
      [{ principal: 42 as unknown as string }, TypeError],
      [{ principal: "\ud800" }, TypeError],
    ];
    for (const [options, errorClass] of cases) {
      await assertRejects(() => session.regenerate(options), errorClass, "Cannot regenerate");
    }
    assertEquals((await finish()).headers.getSetCookie(), []);
    assertEquals(await read(middleware, cookie), "ada");
  });

  Deno.test(`Session.regenerate({ principal }) on ${name} binds the session to the user, without a grace`, async () => {
    const events: SessionEvent[] = [];
    const middleware = start({ onEvent: (event) => events.push(event) }, make());
    const old = await signUp(middleware, { cart: 1 });
    events.length = 0;
    const next = await renew(middleware, old, { principal: "42" });
    assertEquals(events.map((event) => [event.type, "principal" in event && event.principal]), [["renewed", "42"]]);
    assertEquals(await read(middleware, old, "cart"), undefined);
    const { session } = await open(middleware, next);
    assertEquals([session.principal, await session.get("cart")], ["42", 1]);
    // The session stays bound under later ids.
    const after = await renew(middleware, next);
    assertEquals((await open(middleware, after)).session.principal, "42");
  });

  Deno.test(`Session.regenerate({ principal }) on ${name} creates the session of a new visitor, and reports the user`, async () => {
    const events: SessionEvent[] = [];
    const middleware = start({ onEvent: (event) => events.push(event) }, make());
    const { session, finish } = await open(middleware);
    assertEquals(session.principal, undefined);
    await session.regenerate({ principal: "42" });
    assertEquals(session.principal, "42");
    assertEquals(events.map((event) => [event.type, "principal" in event && event.principal]), [["created", "42"]]);
    assertEquals((await open(middleware, cookieOf(await finish()))).session.principal, "42");
  });
}

Deno.test("Session.regenerate() succeeds if the store moved the record but its answer was lost", async (t) => {
  for (const error of [new Error("connection lost"), new SessionGoneError("regenerate")]) {
    for (const options of [{}, { graceSeconds: 30 }] as RegenerateOptions[]) {
      await t.step(`${error.name}, ${JSON.stringify(options)}`, async () => {
        const memory = new MemoryStore();
        const middleware = start({}, memory);
        const cookie = await signIn(middleware, "ada");
        const moveRecord = memory.moveRecord.bind(memory);
        memory.moveRecord = async (...args) => {
          await moveRecord(...args);
          throw error;
        };
        const next = await renew(middleware, cookie, options);
        const isOldIdLive = options.graceSeconds !== undefined;
        assertEquals([await read(middleware, next), await read(middleware, cookie)], [
          "ada",
          isOldIdLive ? "ada" : undefined,
        ]);
        assertEquals((await middleware.sessions.list("ada")).length, 1);
      });
    }
  }
  await t.step("a basic store that has removed the old record", async () => {
    const store = new BasicStore();
    const middleware = start({}, store);
    const cookie = await signUp(middleware);
    const remove = store.delete.bind(store);
    store.delete = async (sid) => {
      await remove(sid);
      throw new Error("connection lost");
    };
    assertEquals(await read(middleware, await renew(middleware, cookie)), "ada");
    assertEquals(store.records.size, 1);
  });
});

Deno.test("Session.regenerate() refuses an option that does not exist, and names the nearest", async () => {
  const middleware = start();
  const cookie = await signUp(middleware);
  const { session } = await open(middleware, cookie);
  const cases: [unknown, string][] = [
    [{ maxage: 60 }, "Cannot regenerate: unknown option `maxage`; did you mean `maxAge`?"],
    [{ principle: "ada" }, "Cannot regenerate: unknown option `principle`; did you mean `principal`?"],
    [{ user: "ada" }, "Cannot regenerate: unknown option `user`"],
    [null, "Cannot regenerate: the options must be an object; received null"],
  ];
  for (const [options, message] of cases) {
    const error = await assertRejects(() => session.regenerate(options as RegenerateOptions), TypeError);
    assertEquals(error.message, message);
  }
  assertEquals([`sid=${session.sessionId}`, await read(middleware, cookie)], [cookie.split(".")[0], "ada"]);
});
