/** What `middleware.sessions` does for administrators: `count()`, `users()` and `revokeEverybody()`. */
import { assert, assertEquals, assertInstanceOf, assertRejects } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { everyOrder } from "../helpers/every_order.ts";
import { LOCAL_STORES, WRITES } from "../helpers/local_stores.ts";
import { microtasks } from "../helpers/microtasks.ts";
import { eventNames, open, optionalCookieOf, read, renew, signIn, signUp, start, visit } from "../helpers/request.ts";
import {
  BasicStore,
  countRecords,
  delayReads,
  failing,
  probe,
  STORES,
  waiting,
  without,
  working,
} from "../helpers/stores.ts";
import { FakeTimers, outcomeOf, quiet } from "../helpers/timers.ts";
import {
  MemoryStore,
  type Session,
  type SessionEvent,
  SessionGoneError,
  type SessionMiddleware,
  SessionNotSupportedError,
  type SessionStore,
  SessionStoreError,
} from "../../mod.ts";

/** Returns whether a Cookie header leads to a session. */
async function isLive(server: SessionMiddleware, cookie: string | undefined): Promise<boolean> {
  return cookie !== undefined && !(await open(server, cookie)).session.isNew;
}

Deno.test("middleware.sessions.count() counts the live sessions, and those of users", async () => {
  using clock = new FakeClock();
  const middleware = start({ maxAge: 100 });
  const { sessions } = middleware;
  assertEquals(await sessions.count(), { total: 0, signedIn: 0 });
  await signUp(middleware);
  const ada = await signIn(middleware, "ada");
  await signIn(middleware, "ada");
  clock.tick(50_000);
  const renewed = await renew(middleware, ada, { graceSeconds: 30 });
  assertEquals(await sessions.count(), { total: 3, signedIn: 2 });
  await visit(middleware, { cookie: renewed }, ({ security: { session } }) => session.clear());
  await signIn(middleware, "bob");
  assertEquals(await sessions.count(), { total: 4, signedIn: 2 });
  clock.tick(50_000);
  assertEquals(await sessions.count(), { total: 1, signedIn: 1 });
});

Deno.test("middleware.sessions.users() lists the users who are signed in, page by page", async () => {
  const middleware = start();
  const { sessions } = middleware;
  assertEquals(await sessions.users(), { users: [], next: undefined });
  await signUp(middleware);
  for (let i = 0; i < 5; i++) await signIn(middleware, `user ${i}`);
  await signIn(middleware, "user 3");
  const { users, next } = await sessions.users();
  assertEquals([next, users.length], [undefined, 5]);
  assertEquals(users.find(({ principal }) => principal === "user 3"), { principal: "user 3", sessions: 2 });
  for (const limit of [1, 2, 4, 5, 1000]) {
    const pages: (typeof users)[] = [];
    let after: string | undefined;
    do {
      const page = await sessions.users({ after, limit });
      assert(page.users.length > 0 && page.users.length <= limit);
      pages.push(page.users);
      after = page.next;
    } while (after !== undefined);
    assertEquals([pages.length, pages.flat()], [Math.ceil(5 / limit), users]);
  }
});

Deno.test("middleware.sessions.users() refuses a page out of range", async () => {
  const { sessions } = start();
  for (const limit of [0, -1, 1.5, NaN, 1001, Infinity]) {
    await assertRejects(() => sessions.users({ limit }), RangeError, "`limit` must be an integer from 1 to 1000");
  }
  await assertRejects(() => sessions.users({ limit: "9" as unknown as number }), TypeError, "`limit`");
  await assertRejects(
    () => sessions.users({ after: "" }),
    RangeError,
    "the principal must have 1 to 512 characters; received 0",
  );
  await assertRejects(() => sessions.users({ after: "\ud800" }), TypeError, "well-formed");
  await assertRejects(
    () => sessions.users({ after: "u".repeat(513) }),
    RangeError,
    "1 to 512 characters; received 513",
  );
});

Deno.test("A user's name has at most 512 characters", async () => {
  const middleware = start();
  const cookie = await signIn(middleware, "u".repeat(512));
  assertEquals((await middleware.sessions.list("u".repeat(512))).length, 1);
  const { session } = await open(middleware, cookie);
  await assertRejects(
    () => session.regenerate({ principal: "u".repeat(513) }),
    RangeError,
    "1 to 512 characters; received 513",
  );
  await assertRejects(() => middleware.sessions.list("u".repeat(513)), RangeError, "1 to 512 characters; received 513");
});

Deno.test("middleware.sessions says which capability a store lacks", async () => {
  const cases: [SessionStore, "count" | "users", string][] = [
    [new BasicStore(), "count", "Cannot count the sessions: BasicStore has no countSessions()"],
    [new BasicStore(), "users", "Cannot list the users: BasicStore has no listPrincipals()"],
    [without(new MemoryStore(), "countSessions"), "count", "has no countSessions()"],
    [
      without(new MemoryStore(), "listPrincipals"),
      "users",
      "has no listPrincipals()",
    ],
  ];
  for (const [store, call, message] of cases) {
    const events: SessionEvent[] = [];
    const middleware = start({ onEvent: (event) => events.push(event) }, store);
    const error = await assertRejects(() => middleware.sessions[call](), SessionNotSupportedError, message);
    assertEquals([error.httpCode, error.operation, events], [501, call, []]);
    // The others work.
    if (!(store instanceof BasicStore)) assertEquals((await middleware.sessions.list("ada")).length, 0);
    await middleware.sessions.revokeEverybody();
  }
});

Deno.test("middleware.sessions reports and rejects if the store fails to count, to list users or to end all sessions", async () => {
  const calls = [
    ["count", "countSessions", "count"],
    ["users", "listPrincipals", "list the users"],
    ["revokeEverybody", "clear", "end all sessions"],
  ] as const;
  for (const [call, method, action] of calls) {
    const { store, probe: seen } = probe(new MemoryStore());
    const events: SessionEvent[] = [];
    const middleware = start({ onEvent: (event) => events.push(event) }, store);
    const cookie = await signIn(middleware, "ada");
    events.length = 0;
    seen.before = failing(method);
    const error = await assertRejects(() => middleware.sessions[call](), SessionStoreError, `Cannot ${action}: `);
    assertEquals([(error.cause as Error).message, eventNames(events)], ["down", ["storeFailed"]]);
    assertEquals(await isLive(middleware, cookie), true);
    seen.before = working;
    await middleware.sessions[call]();
    assertEquals(await isLive(middleware, cookie), call !== "revokeEverybody");
  }
});

Deno.test("storeTimeout limits neither count() nor revokeEverybody(), which take longer the more sessions there are", async () => {
  using timers = new FakeTimers();
  const { store, probe: seen } = probe(new MemoryStore());
  const middleware = start({ storeTimeout: 1, onEvent: () => {} }, store);
  await signIn(middleware, "ada");
  const gate = Promise.withResolvers<void>();
  seen.before = waiting(gate.promise, "countSessions", "listPrincipals", "clear");
  const users = middleware.sessions.users();
  const count = middleware.sessions.count();
  const revoked = middleware.sessions.revokeEverybody();
  users.catch(() => {});
  await quiet();
  timers.tick(60_000);
  assertInstanceOf(await outcomeOf(users), SessionStoreError);
  assertEquals(await outcomeOf(Promise.race([count, revoked])), "pending");
  gate.resolve();
  await Promise.all([count, revoked]);
});

for (const [name, make] of LOCAL_STORES) {
  Deno.test(`middleware.sessions.revokeEverybody() on ${name} ends all sessions, and the requests under way`, async (t) => {
    for (const [operation, write] of WRITES) {
      await t.step(operation, async () => {
        const store = await make();
        const events: SessionEvent[] = [];
        const middleware = start({ rolling: true, maxAge: 1000, onEvent: (event) => events.push(event) }, store);
        const cookies = [await signUp(middleware), await signIn(middleware, "ada"), await signIn(middleware, "bob")];
        const under = await Promise.all(cookies.map((cookie) => open(middleware, cookie)));
        events.length = 0;
        assertEquals(await middleware.sessions.revokeEverybody(), undefined);
        assertEquals(events, [{ type: "everybodyRevoked" }]);

        for (const { session, finish } of under) {
          assertEquals(await session.get("user") !== undefined, true);
          if (operation === "destroy") await write(session);
          else if (!["reload", "csrfToken"].includes(operation)) {
            await assertRejects(() => write(session), SessionGoneError);
          } else {
            // These need not ask the store.
            await write(session);
            await assertRejects(() => session.set("x", 1), SessionGoneError);
          }
          const sent = (await finish()).headers.getSetCookie().filter((line) => !/^sid=;/.test(line));
          assertEquals(sent, []);
        }
        for (const cookie of cookies) assertEquals(await isLive(middleware, cookie), false);
        assertEquals(eventNames(events).filter((type) => type.startsWith("refused")), Array(3).fill("refused unknown"));

        // Who comes afterwards starts anew.
        const anew = await signIn(middleware, "ada");
        assertEquals(await read(middleware, anew), "ada");
        await (store as SessionStore & Partial<AsyncDisposable>)[Symbol.asyncDispose]?.();
      });
    }
  });
}

const SERVERS: [string, () => SessionStore, boolean][] = [
  ...STORES.map(([name, make]): [string, () => SessionStore, boolean] => [name, make, false]),
  ["a MemoryStore of two servers", () => new MemoryStore(), true],
];

for (const [name, make, isOtherServer] of SERVERS) {
  Deno.test(`middleware.sessions.revokeEverybody() on ${name} ends a session in every order with its requests`, async (t) => {
    const others: Record<string, (session: Session) => Promise<unknown>> = {
      regenerate: (session) => session.regenerate(),
      "regenerate with a grace": (session) => session.regenerate({ graceSeconds: 30 }),
      "regenerate twice": async (session) => {
        await session.regenerate({ graceSeconds: 30 });
        await session.regenerate({ graceSeconds: 30 });
      },
      "a sign-in": (session) => session.regenerate({ principal: "ada" }),
      set: (session) => session.set("user", "back"),
      update: (session) => session.update("user", () => "back"),
      touch: (session) => session.touch(),
      clear: (session) => session.clear(),
      destroy: (session) => session.destroy(),
    };
    for (const [what, other] of Object.entries(others)) {
      await t.step(what, async () => {
        const orders = await everyOrder(async (order) => {
          const backend = make();
          const events: SessionEvent[] = [];
          const options = { onEvent: (event: SessionEvent): unknown => events.push(event) };
          const a = start(options, order.through(backend));
          const b = isOtherServer ? start(options, order.through(backend)) : a;
          const cookie = await signUp(a, { user: "ada", cart: 1 });
          const { session, finish } = await open(a, cookie);
          const [written, revoked] = await order.run(() => other(session), () => b.sessions.revokeEverybody());
          assertEquals([revoked?.status, countRecords(backend)], ["fulfilled", 0]);
          if (written?.status === "rejected") assertInstanceOf(written.reason, SessionGoneError);
          const next = optionalCookieOf(await finish());
          for (const server of [a, b]) {
            for (const each of [cookie, next]) assertEquals(await isLive(server, each), false);
          }
          // An old id of an ended session is not a stolen one.
          assert(!eventNames(events).includes("refused reuse"));
        });
        assert(orders > 1);
      });
    }
  });

  Deno.test(`middleware.sessions.revokeEverybody() on ${name} ends or leaves a session that begins meanwhile`, async () => {
    const outcomes = new Set<string>();
    await everyOrder(async (order) => {
      const backend = make();
      const a = start({}, order.through(backend));
      const b = isOtherServer ? start({}, order.through(backend)) : a;
      let cookie: string | undefined;
      const [created, revoked] = await order.run(async () => {
        const { session, finish } = await open(a);
        try {
          await session.set("user", "ada");
        } finally {
          cookie = optionalCookieOf(await finish().catch(() => new Response()));
        }
      }, () => b.sessions.revokeEverybody());
      assertEquals(revoked?.status, "fulfilled");
      if (created?.status === "rejected") assertInstanceOf(created.reason, SessionGoneError);
      const live = await isLive(a, cookie);
      assertEquals(countRecords(backend), live ? 1 : 0);
      assertEquals(cookie !== undefined, created?.status === "fulfilled");
      if (live) assertEquals(await read(b, cookie ?? ""), "ada");
      outcomes.add(`${created?.status}, ${live ? "live" : "ended"}`);
    });
    assert(outcomes.has("fulfilled, live") && outcomes.has("fulfilled, ended"), [...outcomes].join("; "));
  });
}

for (const [name, make] of STORES) {
  Deno.test(`middleware.sessions.revokeEverybody() on ${name} ends a session whose lookup is answered later`, async () => {
    const store = make();
    const middleware = start({}, store);
    const cookie = await signIn(middleware, "ada");
    const reads = delayReads(store);
    const opened = open(middleware, cookie);
    await reads.asked;
    reads.stop();
    await middleware.sessions.revokeEverybody();
    const anew = await signIn(middleware, "ada");
    reads.release();
    assertEquals((await opened).session.principal, undefined);
    assertEquals(await read(middleware, anew), "ada");
  });
}

Deno.test("middleware.sessions.revokeEverybody() does not let an old id look stolen on a basic store", async () => {
  const events: SessionEvent[] = [];
  const middleware = start({ onEvent: (event) => events.push(event) }, new BasicStore());
  const cookie = await signIn(middleware, "ada");
  await renew(middleware, cookie);
  await middleware.sessions.revokeEverybody();
  events.length = 0;
  await open(middleware, cookie);
  assertEquals(eventNames(events), ["refused unknown"]);
});

Deno.test("middleware.sessions.revokeEverybody() on a basic store leaves no session whose removal fails while it gets a new id", async () => {
  const { store, probe: seen } = probe(new BasicStore());
  const middleware = start({ onEvent: () => {} }, store);
  const { session } = await open(middleware, await signUp(middleware));
  const gate = Promise.withResolvers<void>();
  seen.before = waiting(gate.promise, "create");
  const moved = session.regenerate();
  await microtasks();
  await middleware.sessions.revokeEverybody();
  seen.before = failing("delete");
  gate.resolve();
  await assertRejects(() => moved, SessionGoneError);
  // A record without an expiry is not a session.
  assertEquals(Array.from(store.records.values(), (values) => values.has("__session")), [false]);
});

/** The calls of a basic store that are answered late, after they were executed. */
const LATE_ANSWERS: [string, (store: BasicStore, answered: Promise<void>) => void][] = [
  ["clear()", (store, answered): void => {
    const { clear, create } = store;
    const cleared = Promise.withResolvers<void>();
    store.create = async (sid) => {
      await cleared.promise;
      await create.call(store, sid);
    };
    store.clear = async () => {
      await clear.call(store);
      cleared.resolve();
      await answered;
    };
  }],
  ["the last setValue() of a move", (store, answered): void => {
    const { setValue } = store;
    store.setValue = async (sid, key, value) => {
      await setValue.call(store, sid, key, value);
      if (key === "__session") await answered;
    };
  }],
];

for (const [call, delay] of LATE_ANSWERS) {
  Deno.test(`middleware.sessions.revokeEverybody() on a basic store ends a session that gets a new id while ${call} is answered late`, async () => {
    const store = new BasicStore();
    const events: SessionEvent[] = [];
    const middleware = start({ onEvent: (event) => events.push(event) }, store);
    const cookie = await signUp(middleware);
    const { session, finish } = await open(middleware, cookie);
    const gate = Promise.withResolvers<void>();
    delay(store, gate.promise);
    const moved = session.regenerate();
    const refused = assertRejects(() => moved, SessionGoneError);
    await microtasks();
    const revoked = middleware.sessions.revokeEverybody();
    await microtasks();
    gate.resolve();
    await refused;
    await revoked;
    assertEquals([store.records.size, (await finish()).headers.getSetCookie()], [0, []]);
    assertEquals(await isLive(middleware, cookie), false);
    assertEquals(eventNames(events).at(-1), "refused unknown");
  });
}

Deno.test("middleware.sessions.revokeEverybody() that fails on a basic store loses no session that gets a new id", async () => {
  const { store, probe: seen } = probe(new BasicStore());
  const middleware = start({ onEvent: () => {} }, store);
  const cookie = await signUp(middleware);
  const { session } = await open(middleware, cookie);
  const gate = Promise.withResolvers<void>();
  seen.before = (method) => {
    if (method === "create") return gate.promise;
    if (method === "clear") throw new Error("down");
  };
  const moved = session.regenerate();
  await microtasks();
  await assertRejects(() => middleware.sessions.revokeEverybody(), SessionStoreError);
  seen.before = working;
  gate.resolve();
  // Nobody knows what such a call has ended.
  await assertRejects(() => moved, SessionGoneError);
  assertEquals([await read(middleware, cookie), store.records.size], ["ada", 1]);
});
