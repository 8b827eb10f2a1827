/** Calls within the function of an `update()` that would wait for that update. */
import { assert, assertEquals, assertInstanceOf, assertRejects } from "../helpers/assert.ts";
import { microtasks } from "../helpers/microtasks.ts";
import { open, read, signIn, signUp, start } from "../helpers/request.ts";
import { LOCAL_STORES, WRITES } from "../helpers/local_stores.ts";
import { outcomeOf } from "../helpers/timers.ts";
import { type Session, SessionGoneError } from "../../mod.ts";

for (const [name, make] of LOCAL_STORES) {
  Deno.test(`Session.update() on ${name} refuses the writes of its own function, and writes its own value`, async (t) => {
    for (const [operation, write] of WRITES) {
      const act = async (session: Session): Promise<unknown> => {
        let refusal: unknown;
        const updated = await outcomeOf(session.update<number>("n", async (n = 0) => {
          refusal = await outcomeOf(write(session));
          return n + 1;
        }));
        return { updated, refusal };
      };
      await t.step(`${operation}()`, async () => {
        for (const storeTimeout of [undefined, 1]) {
          const middleware = start({ storeTimeout, onEvent: () => {} }, await make());
          for (const cookie of [undefined, await signUp(middleware, { n: 1 })]) {
            const { session, finish } = await open(middleware, cookie);
            const { updated, refusal } = await act(session) as Record<string, unknown>;
            assertInstanceOf(refusal, TypeError);
            assertEquals(
              refusal.message,
              `Cannot ${
                operation === "csrfToken" ? "create a CSRF token" : operation
              } within the function of update(): it would wait for that update forever. ` +
                `Do it after update() has resolved.`,
            );
            assertEquals(updated, cookie === undefined ? 1 : 2);
            // The refusal has changed nothing, and the session goes on.
            assertEquals(await session.get("n"), updated);
            assertEquals(await session.has("x"), false);
            await session.set("x", 2);
            await finish();
          }
        }
      });
    }
  });

  Deno.test(`Session.update() on ${name} refuses a write of its function wherever that is called from`, async (t) => {
    const helper = async (session: Session): Promise<void> => {
      await microtasks(3);
      await session.set("x", 1);
    };
    const callers: [string, (session: Session) => Promise<unknown>][] = [
      ["another function, after an await", helper],
      [
        "a timer",
        (session) => new Promise((resolve, reject) => setTimeout(() => helper(session).then(resolve, reject))),
      ],
      ["Promise.all()", (session) => Promise.all([microtasks(1), helper(session)])],
      ["then()", (session) => Promise.resolve().then(() => session.set("x", 1))],
      ["the function of an update() of another session", async (session) => {
        const middleware = start();
        const other = await open(middleware, await signUp(middleware));
        await other.session.update("n", () => helper(session));
      }],
    ];
    for (const [caller, call] of callers) {
      await t.step(caller, async () => {
        const middleware = start({ onEvent: () => {} }, await make());
        const { session } = await open(middleware, await signUp(middleware, { n: 1 }));
        await assertRejects(
          () => session.update("n", () => call(session)),
          TypeError,
          "Cannot set within the function of update()",
        );
        assertEquals(await session.get("n"), 1);
      });
    }
  });

  Deno.test(`Session.update() on ${name} refuses a sign-in and a sign-out within its function`, async () => {
    const middleware = start({ onEvent: () => {} }, await make());
    const scheme = { signInAsync: () => Promise.resolve(), signOutAsync: () => Promise.resolve() };
    const { session, context } = await open(middleware, await signUp(middleware, { n: 1 }));
    const { auth } = context.security;
    const signIn = await outcomeOf(session.update("n", () => auth.signInAsync(scheme, { id: 1 })));
    const signOut = await outcomeOf(session.update("n", () => auth.signOutAsync(scheme)));
    for (const refusal of [signIn, signOut]) assertInstanceOf(refusal, TypeError);
    assertEquals(await session.get("n"), 1);
  });

  Deno.test(`Session.update() on ${name} fails a request whose function does not await a write`, async () => {
    const middleware = start({ onEvent: () => {} }, await make());
    const cookie = await signUp(middleware, { n: 1 });
    const { session, finish } = await open(middleware, cookie);
    const updated = await session.update<number>("n", (n = 0) => {
      session.set("x", 1);
      return n + 1;
    });
    await assertRejects(finish, TypeError, "Cannot set within the function of update()");
    assertEquals([updated, await read(middleware, cookie, "x")], [2, undefined]);
  });

  Deno.test(`Session.update() on ${name} does not refuse what its function begins and leaves for later`, async () => {
    const middleware = start({}, await make());
    const { session } = await open(middleware, await signUp(middleware, { n: 1 }));
    const later = Promise.withResolvers<void>();
    let written: Promise<void> | undefined;
    await session.update<number>("n", (n = 0) => {
      written = later.promise.then(() => session.set("x", 1));
      return n + 1;
    });
    // The function of another visitor's update is running.
    const hang = Promise.withResolvers<number>();
    const other = await open(middleware, await signUp(middleware, { n: 1 }));
    const hanging = other.session.update("n", () => hang.promise);
    later.resolve();
    await written;
    hang.resolve(2);
    assertEquals(await hanging, 2);
    assertEquals(await session.get("x"), 1);
  });

  Deno.test(`Session.update() on ${name} refuses an update of the same key by another request within its function`, async () => {
    const middleware = start({ storeTimeout: 1, onEvent: () => {} }, await make());
    const cookie = await signUp(middleware, { n: 1 });
    const { session } = await open(middleware, cookie);
    for (const write of [(other: Session) => other.update("n", () => 5), (other: Session) => other.take("n")]) {
      let refusal: unknown;
      const updated = await outcomeOf(session.update<number>("n", async (n = 0) => {
        const other = await open(middleware, cookie);
        refusal = await outcomeOf(write(other.session));
        return n + 1;
      }));
      assertInstanceOf(refusal, TypeError);
      assert(refusal.message.includes("within the function of update()"));
      assert(typeof updated === "number");
    }
    assertEquals(await read(middleware, cookie, "n"), 3);
  });

  Deno.test(`Session.update() on ${name} lets its function write to the session of another visitor`, async () => {
    const middleware = start({}, await make());
    const { session } = await open(middleware, await signUp(middleware, { n: 1 }));
    const other = await open(middleware, await signUp(middleware, { n: 5 }));
    assertEquals(
      await session.update<number>("n", async (n = 0) => n + await other.session.update<number>("n", (m = 0) => m + 1)),
      7,
    );
  });
}

/** These stores do not find the sessions of a user. */
const WITHOUT_USERS = ["a basic store", "UnstorageStore"];

for (const [name, make] of LOCAL_STORES.filter(([name]) => !WITHOUT_USERS.includes(name))) {
  Deno.test(`Session.update() on ${name} rejects, and does not hang, if its function ends the session of the user`, async () => {
    const middleware = start({ onEvent: () => {} }, await make());
    const cookie = await signIn(middleware, "ada");
    const { session } = await open(middleware, cookie);
    let revoked: unknown;
    const updated = await outcomeOf(session.update("n", async () => {
      revoked = await outcomeOf(middleware.sessions.revokeAll("ada"));
      return 2;
    }));
    assertEquals(revoked, 1);
    assertInstanceOf(updated, SessionGoneError);
    assertEquals(await read(middleware, cookie), undefined);
  });
}
