/** `update()` and `take()`. */
import { assertEquals, assertRejects } from "../helpers/assert.ts";
import { cookieOf, open, type Opened, read, signUp, start, visit } from "../helpers/request.ts";
import { failing, type Probe, probe, STORES, working } from "../helpers/stores.ts";
import { MemoryStore, type Session, SessionStoreError } from "../../mod.ts";

for (const [name, make] of STORES) {
  Deno.test(`Session.update() on ${name} reads the store's current value, and creates the session if there is none`, async () => {
    const middleware = start({}, make());
    const { session, finish } = await open(middleware);
    const first = session.update("list", (list: number[] | undefined) => [...(list ?? []), 1]);
    session.set("other", true);
    const second = session.update("list", async (list: number[] | undefined) => {
      await undefined;
      return [...(list ?? []), 2];
    });
    // A read after an update waits for it, awaited or not.
    assertEquals(await session.get("list"), [1, 2]);
    assertEquals([await first, await second], [[1], [1, 2]]);
    const cookie = cookieOf(await finish());
    const other = await open(middleware, cookie);
    await open(middleware, cookie).then(({ session }) => session.set("list", [9]));
    assertEquals(await other.session.update("list", (list: number[] | undefined) => [...(list ?? []), 3]), [9, 3]);
    assertEquals(await other.session.update("list", () => undefined), undefined);
    assertEquals(await other.session.has("list"), false);
    assertEquals(await read(middleware, cookie, "list"), undefined);
  });

  Deno.test(`Session.update() on ${name} rethrows what its function throws, and writes nothing`, async () => {
    const middleware = start({ onEvent: () => {} }, make());
    const cookie = await signUp(middleware, { n: 1 });
    const { session, finish } = await open(middleware, cookie);
    await assertRejects(
      () =>
        session.update("n", () => {
          throw new RangeError("mine");
        }),
      RangeError,
      "mine",
    );
    await assertRejects(() => session.update("n", () => (() => 1) as never), TypeError, '"n"');
    await assertRejects(() => session.update("\ud800", () => 1), TypeError, "well-formed");
    assertEquals(await session.get("n"), 1);
    await finish();
    assertEquals(await read(middleware, cookie, "n"), 1);
  });

  Deno.test(`Session.update() on ${name} lets its function read the session as it was before the update`, async () => {
    const middleware = start({}, make());
    const { session } = await open(middleware, await signUp(middleware, { step: 2, n: 1 }));
    const next = await session.update<number>(
      "n",
      async (n = 0) => n + await session.get("step", 0) + await session.get("n", 0),
    );
    assertEquals(next, 4);
    assertEquals(await session.get("n"), 4);
  });

  Deno.test(`Session on ${name} reads the result of an update whose function is still running`, async () => {
    const middleware = start({}, make());
    const { session } = await open(middleware, await signUp(middleware, { n: 1 }));
    const hasStarted = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    session.update<number>("n", async (n = 0) => {
      hasStarted.resolve();
      await goOn.promise;
      return n + 1;
    });
    await hasStarted.promise;
    const reading = session.get("n");
    goOn.resolve();
    assertEquals(await reading, 2);
  });

  Deno.test(`Session.update() on ${name} runs before the writes after it, awaited or not`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware, { a: 1, b: 1 });
    const { session, finish } = await open(middleware, cookie);
    session.update("a", (n = 0) => n + 1);
    session.set("a", 9);
    session.update("b", (n = 0) => n + 1);
    session.clear();
    session.update("c", () => 1);
    session.delete("c");
    session.take("d");
    session.set("d", 1);
    assertEquals({ ...await session.entries() }, { d: 1 });
    await finish();
    await visit(middleware, { cookie }, async ({ security: { session } }) => {
      assertEquals({ ...await session.entries() }, { d: 1 });
    });
  });

  Deno.test(`Session on ${name} rejects with SessionStoreError if the store fails in update(), take(), clear() or touch()`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({ onEvent: () => {} }, store);
    const { session } = await open(middleware, await signUp(middleware, { n: 1 }));
    seen.before = failing();
    await assertRejects(() => session.update("n", () => 2), SessionStoreError, '"n"');
    await assertRejects(() => session.take("n"), SessionStoreError, '"n"');
    await assertRejects(() => session.clear(), SessionStoreError);
    await assertRejects(() => session.touch(), SessionStoreError);
  });

  Deno.test(`Session.take() on ${name} reads and removes a value, and never creates a session`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware, { notice: { text: "hello" } });
    const { session } = await open(middleware, cookie);
    const other = await open(middleware, cookie);
    assertEquals(await session.take("notice"), { text: "hello" });
    assertEquals(await session.get("notice"), undefined);
    assertEquals(await session.take("notice"), undefined);
    assertEquals(await other.session.take("notice"), undefined);
    const fresh = await open(middleware);
    assertEquals(await fresh.session.take("notice"), undefined);
    assertEquals((await fresh.finish()).headers.getSetCookie(), []);
  });

  Deno.test(`Session on ${name} writes nothing if take() or update() changes nothing`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({}, store);
    const { session } = await open(middleware, await signUp(middleware));
    seen.calls.length = 0;
    assertEquals(await session.take("absent"), undefined);
    assertEquals(await session.update("absent", () => undefined), undefined);
    assertEquals(seen.calls, Array(2).fill(store instanceof MemoryStore ? "readRecord" : "get"));
  });
}

Deno.test("Session.update() reads again if another request wrote since this one began", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const middleware = start({}, store);
  const cookie = await signUp(middleware, { n: 1 });
  const { session } = await open(middleware, cookie);
  await visit(middleware, { cookie }, ({ security }) => security.session.update<number>("n", (n = 0) => n + 1));
  seen.calls.length = 0;
  const given: unknown[] = [];
  await session.update<number>("n", (n = 0) => {
    given.push(n);
    return n + 1;
  });
  assertEquals([given, await session.get("n")], [[1, 2], 3]);
  assertEquals(seen.calls, ["changeRecord", "readRecord", "changeRecord"]);
});

Deno.test("Session.take() takes what another request wrote since this one began", async () => {
  const middleware = start();
  const cookie = await signUp(middleware, { n: 1 });
  const { session } = await open(middleware, cookie);
  await visit(middleware, { cookie }, ({ security }) => security.session.set("notice", "later"));
  assertEquals([await session.take("notice"), await session.take("notice")], ["later", undefined]);
});

Deno.test("Session.update() reads what an earlier write of the same request wrote", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const middleware = start({}, store);
  const cookie = await signUp(middleware, { n: 1 });
  const { session } = await open(middleware, cookie);
  session.set("n", 5);
  assertEquals(await session.update<number>("n", (n = 0) => n + 1), 6);
  assertEquals(seen.calls.slice(-4), ["readRecord", "setValue", "readRecord", "changeRecord"]);
});

Deno.test("Session.update() gives up on a store that never accepts its change", async () => {
  const store = new MemoryStore();
  const middleware = start({}, store);
  const cookie = await signUp(middleware, { n: 1 });
  store.changeRecord = () => Promise.resolve(false);
  const { session } = await open(middleware, cookie);
  await assertRejects(() => session.update("n", () => 2), SessionStoreError, 'Cannot update "n"');
});

Deno.test("Session.update() never uses a value that is no longer known to be current", async (t) => {
  const increment = (session: Session): Promise<unknown> => session.update<number>("n", (n = 0) => n + 1);
  const begin = async (): Promise<Opened & { seen: Probe }> => {
    const { store, probe: seen } = probe(new MemoryStore());
    const middleware = start({}, store);
    return { ...await open(middleware, await signUp(middleware, { n: 5 })), seen };
  };
  await t.step("while reload() is under way", async () => {
    const { session } = await begin();
    session.reload();
    assertEquals(await increment(session), 6);
  });
  await t.step("after reload()", async () => {
    const { session } = await begin();
    await session.reload();
    assertEquals(await increment(session), 6);
  });
  await t.step("after reload() failed", async () => {
    const { session, seen } = await begin();
    seen.before = failing("readRecord");
    await assertRejects(() => session.reload(), SessionStoreError);
    seen.before = working;
    assertEquals(await increment(session), 6);
  });
  await t.step("after a write failed, and an update that had read the record again failed too", async () => {
    const { session, seen } = await begin();
    seen.before = failing("setValue");
    await assertRejects(() => session.set("x", 1), SessionStoreError);
    seen.before = failing("changeRecord");
    const reading = session.update("y", async () => await session.get("n"));
    await assertRejects(() => reading, SessionStoreError);
    seen.before = working;
    assertEquals(await increment(session), 6);
  });
});

Deno.test("Session.update() passes a copy to its function, and returns a copy", async () => {
  const middleware = start();
  const { session } = await open(middleware, await signUp(middleware, { list: [1] }));
  let during: unknown;
  await session.update<number[]>("list", async (list = []) => {
    list.push(2);
    during = await session.get("list");
    return [1];
  });
  assertEquals(during, [1]);
  const thrown = new Error("not now");
  const failing = session.update<number[]>("list", (list = []) => {
    list.push(2);
    throw thrown;
  });
  await assertRejects(() => failing, Error, "not now");
  assertEquals(await session.get("list"), [1]);
  const returned = await session.update<number[]>("list", (list = []) => [...list, 3]);
  returned.push(4);
  assertEquals(await session.get("list"), [1, 3]);
});

Deno.test("Session.update() in concurrent requests of one process calls each function once", async () => {
  const middleware = start();
  const cookie = await signUp(middleware, { n: 0 });
  const requests = await Promise.all([open(middleware, cookie), open(middleware, cookie), open(middleware, cookie)]);
  const seen: number[] = [];
  await Promise.all(requests.map(({ session }) =>
    session.update<number>("n", (n = 0) => {
      seen.push(n);
      return n + 1;
    })
  ));
  assertEquals(seen, [0, 1, 2]);
});
