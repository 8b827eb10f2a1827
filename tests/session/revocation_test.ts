/** Ending the sessions of a user while other requests renew, create and end them. */
import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { everyOrder } from "../helpers/every_order.ts";
import { microtasks } from "../helpers/microtasks.ts";
import { eventNames, idOf, open, optionalCookieOf, read, renew, signIn, signUp, start } from "../helpers/request.ts";
import { countRecords, probe, STORES, working } from "../helpers/stores.ts";
import {
  MemoryStore,
  type RegenerateOptions,
  type Session,
  type SessionEvent,
  SessionGoneError,
  type SessionMiddleware,
  type SessionStore,
  SessionStoreError,
  type UserSession,
} from "../../mod.ts";

/** Returns which of these Cookie headers lead to a session, on each of these servers. */
function liveCookies(servers: SessionMiddleware[], ...cookies: (string | undefined)[]): Promise<boolean[][]> {
  const isLive = async (server: SessionMiddleware, cookie: string | undefined): Promise<boolean> =>
    cookie !== undefined && !(await open(server, cookie)).session.isNew;
  return Promise.all(servers.map((server) => Promise.all(cookies.map((cookie) => isLive(server, cookie)))));
}

/** Returns the result of {@linkcode trySignIn} in an order. */
function cookieOfResult(result: PromiseSettledResult<unknown>): string | undefined {
  return result.status === "fulfilled" && typeof result.value === "string" ? result.value : undefined;
}

/** Signs a browser in. Returns its Cookie header, unless the response set no cookie. */
async function trySignIn(server: SessionMiddleware, cookie?: string): Promise<string | undefined> {
  const { session, finish } = await open(server, cookie);
  try {
    await session.regenerate({ principal: "ada" });
  } catch (error) {
    assertInstanceOf(error, SessionGoneError);
  }
  return optionalCookieOf(await finish());
}

Deno.test("middleware.sessions.revokeAll() keeps the excepted session in every order with its renewals", async (t) => {
  for (const options of [{ graceSeconds: 30 }, {}] as RegenerateOptions[]) {
    for (const given of ["the current id", "an old id"]) {
      await t.step(`${JSON.stringify(options)}, given ${given}`, async () => {
        const orders = await everyOrder(async (order) => {
          const memory = new MemoryStore();
          const a = start({}, order.through(memory));
          const b = start({}, order.through(memory));
          const first = await signIn(a, "ada");
          const laptop = given === "an old id" ? await renew(b, first, options) : first;
          const phone = await signIn(b, "ada");
          let last = laptop;
          const [ended] = await order.run(
            () => a.sessions.revokeAll("ada", { except: idOf(first) }),
            async () => {
              for (let n = 0; n < 2; n++) last = await renew(b, last, options);
            },
          );
          assertEquals(await liveCookies([a, b], last, phone), [[true, false], [true, false]]);
          assertEquals(ended, { status: "fulfilled", value: 1 });
        });
        assert(orders > 10);
      });
    }
  }
});

Deno.test("middleware.sessions.list() marks the current session in every order with its renewal", async () => {
  await everyOrder(async (order) => {
    const memory = new MemoryStore();
    const [a, b] = [start({}, order.through(memory)), start({}, order.through(memory))];
    const laptop = await signIn(a, "ada");
    await signIn(b, "ada");
    const [list] = await order.run(
      () => a.sessions.list("ada", { current: idOf(laptop) }),
      () => renew(b, laptop, { graceSeconds: 30 }),
    );
    assert(list?.status === "fulfilled");
    assertEquals((list.value as UserSession[]).map(({ current }) => current).sort(), [false, true]);
  });
});

Deno.test("middleware.sessions.revokeAll() ends all other sessions if the excepted one has ended", async () => {
  await everyOrder(async (order) => {
    const memory = new MemoryStore();
    const [a, b] = [start({}, order.through(memory)), start({}, order.through(memory))];
    const laptop = await signIn(a, "ada");
    const phone = await signIn(b, "ada");
    await order.run(
      () => a.sessions.revokeAll("ada", { except: idOf(laptop) }),
      async () => await (await open(b, laptop)).session.destroy(),
    );
    assertEquals(await liveCookies([a, b], laptop, phone), [[false, false], [false, false]]);
  });
});

Deno.test("middleware.sessions.revokeAll() does not follow an outdated listing to the excepted session", async () => {
  const memory = new MemoryStore();
  const events: SessionEvent[] = [];
  const middleware = start({ onEvent: (event) => events.push(event) }, memory);
  const old = await signIn(middleware, "ada");
  const outdated = await memory.listSessions("ada");
  const next = await renew(middleware, old, { graceSeconds: 30 });
  memory.listSessions = () => Promise.resolve(outdated);
  events.length = 0;
  assertEquals(await middleware.sessions.revokeAll("ada", { except: idOf(next) }), 0);
  assertEquals([await read(middleware, next), eventNames(events)], ["ada", []]);
});

Deno.test("middleware.sessions.revokeAll() ends every session in every order with its renewal", async () => {
  await everyOrder(async (order) => {
    const memory = new MemoryStore();
    const [a, b] = [start({}, order.through(memory)), start({}, order.through(memory))];
    const laptop = await signIn(a, "ada");
    await order.run(() => a.sessions.revokeAll("ada"), () => renew(b, laptop).catch(() => {}));
    assertEquals(memory.size, 0);
  });
});

Deno.test("middleware.sessions.revokeAll() tries every session, and says how many are left", async (t) => {
  for (const [what, failing] of [["removal", "delete"], ["lookup after the removal", "readRecord"]] as const) {
    await t.step(`the ${what} fails`, async () => {
      const memory = new MemoryStore();
      const { store, probe: seen } = probe(memory);
      const events: SessionEvent[] = [];
      const a = start({ onEvent: (event) => events.push(event) }, store);
      const b = start({}, probe(memory).store);
      const cookies: string[] = [];
      for (let n = 0; n < 5; n++) cookies.push(await signIn(a, "ada"));
      const broken = cookies.slice(0, 2).map(idOf);
      const slow = Promise.withResolvers<void>();
      seen.before = (method, [sid]) => {
        if (method === failing && broken.includes(String(sid))) throw new Error(`down ${sid}`);
        return method === "delete" && sid === idOf(cookies[4] ?? "") ? slow.promise : undefined;
      };
      events.length = 0;
      let isSettled = false;
      const revoked = a.sessions.revokeAll("ada").finally(() => isSettled = true);
      revoked.catch(() => {});
      await microtasks();
      assertEquals(isSettled, false, "one session is still being ended");
      slow.resolve();
      const error = await assertRejects(
        () => revoked,
        SessionStoreError,
        "Cannot revoke: MemoryStore failed, so 2 of 5 sessions may not have ended",
      );
      assertEquals(error.operation, "revoke");
      assertMatch(String(error.cause), /down/);
      for (const cookie of cookies) assertEquals(error.message.includes(idOf(cookie)), false);
      assertEquals(eventNames(events).sort(), ["revoked", "revoked", "revoked", "storeFailed", "storeFailed"]);
      seen.before = working;
      const isLeft = failing === "delete";
      assertEquals(await liveCookies([a, b], ...cookies), [
        [false, false, false, false, false],
        [isLeft, isLeft, false, false, false],
      ]);

      assertEquals((await a.sessions.list("ada")).length, isLeft ? 2 : 0);
      assertEquals(await a.sessions.revokeAll("ada"), isLeft ? 2 : 0);
      assertEquals(await liveCookies([a, b], ...cookies), Array(2).fill(Array(5).fill(false)));
    });
  }
});

/** Returns a store that lists the sessions of another one in the opposite order. */
function listingBackwards(memory: MemoryStore): MemoryStore {
  const { store } = probe(memory);
  return new Proxy(store, {
    get: (target, name): unknown =>
      name === "listSessions"
        ? async (principal: string) => (await target.listSessions(principal)).reverse()
        : Reflect.get(target, name),
  });
}

Deno.test("maxSessionsPerPrincipal holds in every order of two sign-ins on two servers", async (t) => {
  const cases: [string, { max: number; before: number; ahead: number }][] = [
    ["the first sign-in", { max: 1, before: 0, ahead: 0 }],
    ["one session before", { max: 1, before: 1, ahead: 0 }],
    ["two sessions allowed", { max: 2, before: 1, ahead: 0 }],
    ["one clock is ahead of the other", { max: 1, before: 0, ahead: 60_000 }],
  ];
  for (const [what, { max, before, ahead }] of cases) {
    await t.step(what, async () => {
      await everyOrder(async (order) => {
        using clock = new FakeClock();
        const memory = new MemoryStore();
        const options = { maxSessionsPerPrincipal: max };
        const isQueued = before > 0;
        const a = start(options, order.through(memory, isQueued));
        const b = start(options, order.through(listingBackwards(memory), isQueued));
        const older: string[] = [];
        for (let n = 0; n < before; n++) {
          older.push(await signIn(a, "ada"));
          clock.tick(1000);
        }
        const [first, second] = [await open(a), await open(b)];
        const results = await order.run(
          () => {
            clock.tick(ahead);
            const signedIn = first.session.regenerate({ principal: "ada" });
            clock.tick(-ahead);
            return signedIn;
          },
          () => second.session.regenerate({ principal: "ada" }),
        );
        assertEquals(results.map(({ status }) => status), ["fulfilled", "fulfilled"]);
        const cookies = [optionalCookieOf(await first.finish()), optionalCookieOf(await second.finish())];
        const [live = []] = await liveCookies([a, b], ...cookies);
        assertEquals([live.filter(Boolean).length, memory.size], [max, max]);
        assertEquals((await liveCookies([a, b], ...older)).flat().some(Boolean), false);
      });
    });
  }
});

Deno.test("maxSessionsPerPrincipal holds in every order of two sign-ins on one server", async () => {
  await everyOrder(async (order) => {
    const server = start({ maxSessionsPerPrincipal: 1 }, order.through(new MemoryStore()));
    const results = await order.run(() => trySignIn(server), () => trySignIn(server));
    const cookies = results.map(cookieOfResult);
    const [live = []] = await liveCookies([server], ...cookies);
    assertEquals(live.filter(Boolean).length, 1);
  });
});

Deno.test("maxSessionsPerPrincipal leaves one session in every order of a sign-in and another sign-in of an old session", async () => {
  await everyOrder(async (order) => {
    using clock = new FakeClock();
    const memory = new MemoryStore();
    const options = { maxSessionsPerPrincipal: 1 };
    const [a, b] = [start(options, order.through(memory)), start(options, order.through(memory))];
    const old = await signIn(a, "ada");
    clock.tick(1000);
    const results = await order.run(() => trySignIn(a), () => trySignIn(b, old));
    const cookies = results.map(cookieOfResult);
    const [live = []] = await liveCookies([a, b], ...cookies);
    assertEquals([live.filter(Boolean).length, memory.size], [1, 1]);
  });
});

Deno.test("maxSessionsPerPrincipal does not end a session from a later sign-in on a server whose clock is behind", async (t) => {
  for (const isNew of [true, false]) {
    await t.step(isNew ? "the sign-in creates a session" : "the sign-in binds a session", async () => {
      using clock = new FakeClock();
      const memory = new MemoryStore();
      const options = { maxSessionsPerPrincipal: 1 };
      const [a, b] = [start(options, probe(memory).store), start(options, probe(memory).store)];
      const cookies: (string | undefined)[] = [];
      for (const [server, skew] of [[a, 60_000], [b, 0], [a, 60_000], [b, 0]] as const) {
        const anonymous = isNew ? undefined : await signUp(server);
        clock.tick(skew);
        cookies.push(await trySignIn(server, anonymous));
        clock.tick(-skew);
        const expected = cookies.map((_, n) => n === cookies.length - 1);
        assertEquals(await liveCookies([a, b], ...cookies), [expected, expected]);
      }
    });
  }
});

Deno.test("maxSessionsPerPrincipal sends no cookie of a session that later sign-ins have ended", async (t) => {
  for (
    const [what, waitsAt] of [
      ["the other server has ended it", undefined],
      ["it finds the later sign-in itself", "listSessions"],
    ] as const
  ) {
    for (const isRenewal of [false, true]) {
      await t.step(`${what}, ${isRenewal ? "it was bound" : "it was created"} by the sign-in`, async () => {
        using clock = new FakeClock();
        const memory = new MemoryStore();
        const [first, second] = [probe(memory), probe(memory)];
        const events: SessionEvent[] = [];
        const options = { maxSessionsPerPrincipal: 1, onEvent: (event: SessionEvent) => events.push(event) };
        const [a, b] = [start(options, first.store), start(options, second.store)];
        const { session, finish } = await open(a, isRenewal ? await signUp(a) : undefined);
        const gate = Promise.withResolvers<void>();
        let later: Promise<string | undefined> | undefined;
        let isWritten = false;
        first.probe.before = async (method) => {
          if (method === "createRecord" || method === "moveRecord") isWritten = true;
          // The limit lists the sessions after the record was written.
          if (method !== "listSessions" || !isWritten || later !== undefined) return;
          clock.tick(1000);
          second.probe.before = (method) => method === waitsAt && memory.size === 2 ? gate.promise : undefined;
          later = trySignIn(b);
          await microtasks();
        };
        await session.regenerate({ principal: "ada" });
        assertEquals([session.principal, session.expiresAt], [undefined, undefined]);
        const asked = first.probe.calls.length;
        await assertRejects(() => session.set("user", "ada"), SessionGoneError);
        assertEquals(first.probe.calls.length, asked);
        assertEquals((await finish()).headers.getSetCookie(), []);
        gate.resolve();
        assertEquals(await liveCookies([a, b], await later), [[true], [true]]);
        assertEquals([memory.size, eventNames(events).filter((name) => name === "revoked")], [1, ["revoked"]]);
      });
    }
  }
});

Deno.test("maxSessionsPerPrincipal ends no session from a sign-in after the own one", async () => {
  using clock = new FakeClock();
  const store = new MemoryStore();
  const cookies: string[] = [];
  for (let i = 0; i < 4; i++) {
    clock.tick(1_000);
    cookies.push(await signIn(start({}, store), "ada"));
  }
  const middleware = start({ maxSessionsPerPrincipal: 1 }, store);
  // The sign-in of the second session was slow. The others were not limited yet.
  assertEquals(await middleware.sessions.limit("ada", idOf(cookies[1] ?? "")), false);
  assertEquals(await liveCookies([middleware], ...cookies), [[false, false, true, true]]);
});

Deno.test("maxSessionsPerPrincipal keeps a session that the store does not list", async () => {
  const memory = new MemoryStore();
  const middleware = start({ maxSessionsPerPrincipal: 1 }, memory);
  memory.listSessions = () => Promise.resolve([]);
  assertEquals(await read(middleware, await signIn(middleware, "ada")), "ada");
});

Deno.test("maxSessionsPerPrincipal ends the other old sessions if the store fails to remove one", async () => {
  const memory = new MemoryStore();
  const { store, probe: seen } = probe(memory);
  const events: SessionEvent[] = [];
  const before = start({}, memory);
  const older = [await signIn(before, "ada"), await signIn(before, "ada"), await signIn(before, "ada")];
  seen.before = (method, [sid]) => {
    if (method === "delete" && sid === idOf(older[0] ?? "")) throw new Error("down");
  };
  const middleware = start({ maxSessionsPerPrincipal: 1, onEvent: (event) => events.push(event) }, store);
  const cookie = await signIn(middleware, "ada");
  assertEquals(await liveCookies([before], cookie, ...older), [[true, true, false, false]]);
  assertEquals(eventNames(events).sort(), ["created", "revoked", "revoked", "storeFailed"]);
  seen.before = working;
  const last = await signIn(middleware, "ada");
  assertEquals(await liveCookies([before], last, cookie, ...older), [[true, false, false, false, false]]);
});

const DESTROYS: [string, () => SessionStore, boolean][] = [
  ...STORES.map(([name, make]): [string, () => SessionStore, boolean] => [name, make, false]),
  // Processes that share a basic store do not see each other's moves.
  ["a MemoryStore of two servers", () => new MemoryStore(), true],
];

for (const [name, make, isOtherServer] of DESTROYS) {
  Deno.test(`Session.destroy() on ${name} leaves no record in any order with other requests of the session`, async (t) => {
    const others: Record<string, (session: Session) => Promise<unknown>> = {
      regenerate: (session) => session.regenerate(),
      "regenerate with a grace": (session) => session.regenerate({ graceSeconds: 30 }),
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
          const a = start({}, order.through(backend));
          const b = isOtherServer ? start({}, order.through(backend)) : a;
          const cookie = await signUp(a);
          const [first, second] = [await open(a, cookie), await open(b, cookie)];
          const [, destroyed] = await order.run(() => other(first.session), async () => {
            // From its call on, `destroy()` refuses what has not reached the store of this server.
            await microtasks(20);
            await second.session.destroy();
          });
          assertEquals([destroyed?.status, countRecords(backend)], ["fulfilled", 0]);
          const next = optionalCookieOf(await first.finish().catch(() => new Response()));
          assertEquals(await liveCookies([a, b], cookie, next), [[false, false], [false, false]]);
        });
        // A basic store is asked by one call after the other.
        assert(orders > 1 || name === "a basic store");
      });
    }
  });
}
