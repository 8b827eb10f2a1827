/** Ending the sessions of a user while other requests renew, create and end them. */
import { assert, assertEquals, assertMatch, assertRejects } from "../helpers/assert.ts";
import { everyOrder } from "../helpers/every_order.ts";
import { microtasks } from "../helpers/microtasks.ts";
import { eventNames, idOf, open, optionalCookieOf, read, renew, signIn, signUp, start } from "../helpers/request.ts";
import { countRecords, probe, STORES, working } from "../helpers/stores.ts";
import {
  MemoryStore,
  type RegenerateOptions,
  type Session,
  type SessionEvent,
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
      const error = await assertRejects(() => revoked, SessionStoreError, "2 of 5 sessions could not be ended");
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
