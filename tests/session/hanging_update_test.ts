/** An `update()` whose function does not return, and the requests that wait for it. */
import { assert, assertEquals, assertInstanceOf } from "../helpers/assert.ts";
import { LOCAL_STORES, WRITES } from "../helpers/local_stores.ts";
import { microtasks } from "../helpers/microtasks.ts";
import { open, read, signUp, start, visit } from "../helpers/request.ts";
import { probe } from "../helpers/stores.ts";
import { FakeTimers, outcomeOf, quiet } from "../helpers/timers.ts";
import { SessionGoneError, SessionStoreError } from "../../mod.ts";

const never = (): Promise<never> => new Promise(() => {});

for (const [name, make] of LOCAL_STORES) {
  Deno.test(`Session.update() on ${name} whose function hangs fails others after 10 s, or storeTimeout, and not for ever`, async () => {
    for (const storeTimeout of [undefined, 2]) {
      const seconds = storeTimeout ?? 10;
      using timers = new FakeTimers();
      const middleware = start({ storeTimeout, onEvent: () => {} }, await make());
      const cookie = await signUp(middleware, { n: 1 });
      const hung = await open(middleware, cookie);
      const hanging = hung.session.update("n", never);
      await quiet();
      const writes = await Promise.all(["update", "take"].map(async (operation) => {
        const { session } = await open(middleware, cookie);
        return { operation, write: operation === "take" ? session.take("n") : session.update("n", () => 2) };
      }));
      await quiet();
      timers.tick(seconds * 1000 - 1);
      for (const { write } of writes) assertEquals(await outcomeOf(write), "pending");
      timers.tick(1);
      for (const { operation, write } of writes) {
        const error = await outcomeOf(write);
        assertInstanceOf(error, SessionStoreError);
        assertEquals(
          error.message,
          `Cannot ${operation} "n": another update() of the value has not finished within ${seconds} s; nothing was written; ` +
            `check that its function returns, and that ${name === "a basic store" ? "BasicStore" : name} answers`,
        );
      }
      assertEquals([await outcomeOf(hanging), timers.pending], ["pending", 0]);
      assertEquals(await read(middleware, cookie, "n"), 1);
    }
  });

  Deno.test(`Session.update() on ${name} can be called again when the function that hung has returned`, async () => {
    using timers = new FakeTimers();
    const middleware = start({ onEvent: () => {} }, await make());
    const cookie = await signUp(middleware, { n: 1 });
    const hang = Promise.withResolvers<number>();
    const requests = await Promise.all(Array.from({ length: 3 }, () => open(middleware, cookie)));
    const [first, tired, patient] = requests.map(({ session }) => session);
    assert(first !== undefined && tired !== undefined && patient !== undefined);
    const seen: number[] = [];
    const increment = (n = 0): number => {
      seen.push(n);
      return n + 1;
    };
    const hanging = first.update<number>("n", () => hang.promise);
    await quiet();
    const refused = tired.update<number>("n", increment);
    await quiet();
    timers.tick(9000);
    const waiting = patient.update<number>("n", increment);
    await quiet();
    timers.tick(1000);
    assertInstanceOf(await outcomeOf(refused), SessionStoreError);
    hang.resolve(10);
    assertEquals([await hanging, await waiting], [10, 11]);
    const last = await open(middleware, cookie);
    assertEquals(await last.session.update<number>("n", increment), 12);
    assertEquals([seen, timers.pending], [[10, 11], 0]);
  });

  Deno.test(`Session.update() on ${name} that has waited too long does not fail the writes after it`, async () => {
    using timers = new FakeTimers();
    const middleware = start({ onEvent: () => {} }, await make());
    const cookie = await signUp(middleware, { n: 1 });
    const hung = await open(middleware, cookie);
    void hung.session.update("n", never);
    await quiet();
    const { session } = await open(middleware, cookie);
    const waiting = session.take("n");
    const writing = session.set("x", 1);
    await quiet();
    timers.tick(10_000);
    assertInstanceOf(await outcomeOf(waiting), SessionStoreError);
    assertEquals(await outcomeOf(writing), undefined);
    assertEquals(await read(middleware, cookie, "x"), 1);
  });

  Deno.test(`Session.update() on ${name} starts no timer if nothing waits`, async () => {
    using timers = new FakeTimers();
    const middleware = start({}, await make());
    const { session } = await open(middleware, await signUp(middleware, { n: 1 }));
    let during = 0;
    await session.update("n", () => during = timers.pending);
    assertEquals(during, 0);
  });

  Deno.test(`Session.update() on ${name} does not wait for an update of another key`, async () => {
    const middleware = start({}, await make());
    const cookie = await signUp(middleware, { n: 1, m: 1 });
    const hang = Promise.withResolvers<number>();
    const hung = await open(middleware, cookie);
    let calls = 0;
    const hanging = hung.session.update<number>("n", (n = 0) => {
      calls++;
      return hang.promise.then((added) => n + added);
    });
    await quiet();
    const { session } = await open(middleware, cookie);
    assertEquals(await outcomeOf(session.update<number>("m", (m = 0) => m + 1)), 2);
    assertEquals(await outcomeOf(session.take("m")), 2);
    assertEquals(await outcomeOf(session.set("x", 1)), undefined);
    hang.resolve(5);
    // The record has changed and the value has not: the function is not called again.
    assertEquals([await hanging, calls], [6, 1]);
    assertEquals({ ...await session.reload().then(() => session.entries()) }, { n: 6, x: 1 });
  });

  Deno.test(`Session.update() on ${name} calls each function once if other keys are updated at the same time`, async () => {
    const { store, probe: seen } = probe(await make());
    const middleware = start({}, store);
    const cookie = await signUp(middleware, { x: 1 });
    // Each call of the store takes a while, so that the updates overlap.
    seen.before = () => microtasks(5);
    let calls = 0;
    await Promise.all(
      Array.from(
        { length: 50 },
        (_, i) =>
          visit(middleware, { cookie }, ({ security: { session } }) =>
            session.update<number>(`n${i % 5}`, (n = 0) => {
              calls++;
              return n + 1;
            })),
      ),
    );
    seen.before = () => {};
    await visit(middleware, { cookie }, async ({ security: { session } }) => {
      assertEquals({ ...await session.entries() }, { x: 1, n0: 10, n1: 10, n2: 10, n3: 10, n4: 10 });
    });
    assertEquals(calls, 50);
  });

  Deno.test(`Session on ${name} does not wait for the function of an update of another request`, async (t) => {
    for (const [operation, write] of WRITES) {
      await t.step(`${operation}()`, async () => {
        using timers = new FakeTimers();
        const middleware = start({ onEvent: () => {} }, await make());
        const cookie = await signUp(middleware, { n: 1, x: 1 });
        const hang = Promise.withResolvers<number>();
        const hung = await open(middleware, cookie);
        const hanging = hung.session.update("n", () => hang.promise);
        await quiet();
        const { session } = await open(middleware, cookie);
        const outcome = await outcomeOf(write(session));
        assert(outcome !== "pending" && !(outcome instanceof Error), String(outcome));
        assertEquals([await session.get("n"), timers.pending], [
          session.expiresAt && operation !== "clear" ? 1 : undefined,
          0,
        ]);
        hang.resolve(5);
        // The session has ended, or its old id has.
        const hasEnded = operation === "destroy" || operation === "regenerate";
        const updated = await outcomeOf(hanging);
        if (hasEnded) assertInstanceOf(updated, SessionGoneError);
        else assertEquals([updated, await read(middleware, cookie, "n")], [5, 5]);
      });
    }
  });

  Deno.test(`Session.update() on ${name} calls its function again if its value was written in the meantime`, async () => {
    const middleware = start({}, await make());
    const cookie = await signUp(middleware, { list: [1] });
    const { session } = await open(middleware, cookie);
    const other = await open(middleware, cookie);
    const seen: number[][] = [];
    const updated = await session.update<number[]>("list", async (list = []) => {
      seen.push(list);
      if (seen.length < 3) {
        await visit(middleware, { cookie }, ({ security }) => security.session.set("list", [...list, 2]));
      }
      await other.session.set("x", seen.length);
      return [...list, 3];
    });
    assertEquals([seen, updated], [[[1], [1, 2], [1, 2, 2]], [1, 2, 2, 3]]);
    assertEquals(await read(middleware, cookie, "list"), [1, 2, 2, 3]);
  });
}
