/**
 * Writes that nobody awaits: they keep their order, finish before the response and fail the
 * request.
 */
import { assert, assertEquals, assertMatch, assertRejects } from "../helpers/assert.ts";
import { Captured } from "../helpers/console.ts";
import { microtasks } from "../helpers/microtasks.ts";
import { cookieOf, idOf, open, read, signUp, start, visit } from "../helpers/request.ts";
import { failing, probe, STORES, waiting } from "../helpers/stores.ts";
import { MemoryStore, type Session, SessionGoneError, SessionStoreError } from "../../mod.ts";

for (const [name, make] of STORES) {
  Deno.test(`Session on ${name} keeps the order of writes that nobody awaits, and finishes them before the response`, async () => {
    const middleware = start({}, make());
    const response = await visit(middleware, {}, ({ security: { session } }) => {
      session.set("a", 1);
      session.set("a", 2);
      session.set("b", 1);
      session.delete("b");
      session.set("a", 3);
    });
    const cookie = cookieOf(response);
    assertEquals(await read(middleware, cookie, "a"), 3);
    assertEquals(await read(middleware, cookie, "b"), undefined);
  });

  Deno.test(`Session on ${name} reads what an earlier write wrote, awaited or not`, async () => {
    const middleware = start({}, make());
    const { session } = await open(middleware, await signUp(middleware, { a: 1 }));
    session.set("a", 2);
    assertEquals(await session.get("a"), 2);
    session.delete("a");
    assertEquals(await session.has("a"), false);
  });

  Deno.test(`Session on ${name} also finishes writes that begin after another write`, async (t) => {
    const acts: [string, (session: Session) => void][] = [
      ["by then()", (session) => void session.set("a", 1).then(() => session.set("b", 2))],
      ["in an async function", (session) => {
        const act = async (): Promise<void> => {
          await session.set("a", 1);
          await session.set("b", 2);
        };
        act();
      }],
      ["in nested async functions", (session) => {
        const inner = async (): Promise<void> => await session.set("a", 1);
        const middle = async (): Promise<void> => await inner();
        const outer = async (): Promise<void> => {
          await Promise.all([middle()]);
          await session.set("b", 2);
        };
        outer();
      }],
    ];
    for (const [how, act] of acts) {
      await t.step(how, async () => {
        const { store, probe: seen } = probe(make());
        const middleware = start({}, store);
        const cookie = await signUp(middleware);
        seen.before = (method) => method === "setValue" ? microtasks() : undefined;
        await visit(middleware, { cookie }, ({ security: { session } }) => {
          act(session);
        });
        assertEquals(await store.getValue(idOf(cookie), "b"), 2);
      });
    }
  });

  Deno.test(`Session on ${name} finishes all writes of a function that nobody awaits`, async () => {
    const store = make();
    const middleware = start({}, store);
    const cookie = await signUp(middleware);
    await visit(middleware, { cookie }, ({ security: { session } }) => {
      void (async () => {
        for (let i = 1; i <= 30; i++) await session.set("a", i);
      })();
    });
    assertEquals(await store.getValue(idOf(cookie), "a"), 30);
  });

  Deno.test(`Session on ${name} finishes a write on a slow store`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({}, store);
    const cookie = await signUp(middleware);
    const gate = Promise.withResolvers<void>();
    seen.before = waiting(gate.promise, "setValue");
    let finished = false;
    const request = visit(middleware, { cookie }, ({ security: { session } }) => {
      session.set("late", true);
    }).then(() => finished = true);
    await microtasks();
    assertEquals(finished, false);
    gate.resolve();
    await request;
    assertEquals(await read(middleware, cookie, "late"), true);
  });

  Deno.test(`Session on ${name} fails the request and reports it if a write that nobody awaited failed`, async (t) => {
    const causes: [
      string,
      (session: Session) => void,
      typeof Error | typeof SessionStoreError | typeof SessionGoneError,
      string,
    ][] = [
      ["the store is down", (session) => void session.set("a", "down"), SessionStoreError, "storeFailed"],
      ["the value is refused", (session) => void session.set("a", () => 1), TypeError, "writeFailed"],
      [
        "the session is gone",
        (session) => {
          session.destroy();
          session.set("a", 1);
        },
        SessionGoneError,
        "writeFailed",
      ],
    ];
    for (const [why, act, errorClass, type] of causes) {
      await t.step(why, async () => {
        const events: { type: string; session?: string }[] = [];
        const { store, probe: seen } = probe(make());
        const middleware = start({ onEvent: (event) => events.push(event) }, store);
        const cookie = await signUp(middleware);
        events.length = 0;
        seen.before = (_method, args) => {
          if (args.includes("down")) throw new Error("down");
        };
        const { session, finish } = await open(middleware, cookie);
        act(session);
        await assertRejects(finish, errorClass);
        assertEquals(events.map((event) => event.type).filter((type) => type !== "destroyed"), [type]);
        assert(!JSON.stringify(events).includes(idOf(cookie)));
      });
    }
    await t.step("without a listener: on the console, without ids", async () => {
      using errors = new Captured("error");
      const { store, probe: seen } = probe(make());
      const middleware = start({}, store);
      const cookie = await signUp(middleware);
      const { session, finish } = await open(middleware, cookie);
      seen.before = (_method, args) => {
        throw new RangeError(`cannot reach redis://user:password@host for ${args[0]}`);
      };
      session.set("a", 1);
      await assertRejects(finish, SessionStoreError);
      assertEquals(errors.lines.length, 1);
      const line = `${errors.lines[0]}`;
      assertMatch(line, /set failed and was not awaited: SessionStoreError caused by RangeError/);
      assert(!line.includes("password") && !line.includes(idOf(cookie)));
    });
    await t.step("not if the application caught the error", async () => {
      using errors = new Captured("error");
      const { store, probe: seen } = probe(make());
      const { session, finish } = await open(start({}, store));
      seen.before = failing();
      await assertRejects(() => session.set("a", 1), SessionStoreError);
      await finish();
      await microtasks();
      assertEquals(errors.lines, []);
    });
  });

  Deno.test(`Session.set() on ${name} fails the request even if it was refused long before the action ended`, async () => {
    const request = visit(start({ onEvent: () => {} }, make()), {}, async ({ security: { session } }) => {
      session.set("a", () => 1);
      await microtasks();
    });
    await assertRejects(() => request, TypeError, '"a"');
  });

  Deno.test(`Session on ${name}: take(), update(), clear(), touch() and regenerate() that nobody awaits fail the request, and not the process`, async (t) => {
    const writes: [string, (session: Session) => Promise<unknown>][] = [
      ["take()", (session) => session.take("user")],
      ["update()", (session) => session.update("user", () => "bob")],
      ["clear()", (session) => session.clear()],
      ["touch()", (session) => session.touch()],
      ["regenerate()", (session) => session.regenerate()],
    ];
    for (const [operation, write] of writes) {
      await t.step(operation, async () => {
        const middleware = start({ onEvent: () => {} }, make());
        const cookie = await signUp(middleware);
        const { session, finish } = await open(middleware, cookie);
        await (await open(middleware, cookie)).session.destroy();
        void write(session);
        await assertRejects(finish, SessionGoneError);
      });
    }
  });

  Deno.test(`Session on ${name}: csrfToken() and reload() that nobody awaits fail the request, and not the process`, async (t) => {
    const cases: [string, boolean, (session: Session) => Promise<unknown>][] = [
      ["csrfToken() of a new visitor", false, (session) => session.csrfToken()],
      ["reload()", true, (session) => session.reload()],
    ];
    for (const [operation, hasSession, call] of cases) {
      await t.step(operation, async () => {
        const { store, probe: seen } = probe(make());
        const middleware = start({ onEvent: () => {} }, store);
        const { session, finish } = await open(middleware, hasSession ? await signUp(middleware) : undefined);
        seen.before = failing();
        void call(session);
        await assertRejects(finish, SessionStoreError);
      });
    }
  });
}

Deno.test("Session.update() never ends the process if its function throws null", async () => {
  using errors = new Captured("error");
  const middleware = start();
  const { session, finish } = await open(middleware, await signUp(middleware));
  session.update("k", () => {
    throw null;
  });
  const outcome = await finish().then(() => "succeeded", (error) => error);
  assertEquals([outcome, errors.lines.length], [null, 1]);
});

Deno.test("Session finishes a write that an event listener begins during another write", async () => {
  const store = new MemoryStore();
  let inner: Promise<unknown> | undefined;
  let begin = (): Promise<unknown> => Promise.resolve();
  const middleware = start({
    maxSessionsPerPrincipal: 3,
    onEvent: ({ type }) => {
      if (type === "created") inner = begin();
    },
  }, store);
  const order: string[] = [];
  await visit(middleware, {}, ({ security: { session } }) => {
    begin = async () => {
      await session.update("n", async () => {
        for (let i = 0; i < 40; i++) await undefined;
        return 1;
      });
      order.push("inner");
    };
    void session.regenerate({ principal: "42" });
  });
  order.push("response");
  await inner;
  assertEquals(order, ["inner", "response"]);
});
