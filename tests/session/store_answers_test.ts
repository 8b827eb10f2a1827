/** Whatever a store answers with, and whenever: at once, later, with a promise of its own, or with an error. */
import { assertEquals, assertRejects } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { open, read, signUp, start, visit } from "../helpers/request.ts";
import { probe } from "../helpers/stores.ts";
import { MemoryStore, type SessionEvent, type SessionStore, SessionStoreError } from "../../mod.ts";

/** Ways to answer that `await` understands. A `then()` need not return anything, nor wait before it calls back. */
const ANSWERS: Record<string, (answer: Promise<unknown>) => unknown> = {
  "a promise": (answer) => answer,
  "a promise of a class of its own": (answer) => (class extends Promise<unknown> {}).resolve(answer),
  "an object that has no more than then()": (answer) => ({
    then: (resolve: (value: unknown) => void, reject: (error: unknown) => void): void => {
      answer.then(resolve, reject);
    },
  }),
};

/** A store whose every answer is made into another. */
function answering(of: (answer: Promise<unknown>) => unknown): { store: SessionStore; fail: (on: boolean) => void } {
  let fails = false;
  const store = new MemoryStore();
  const proxy = new Proxy(store, {
    get(target, name): unknown {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== "function") return method;
      return (...args: unknown[]) =>
        of(fails ? Promise.reject(new Error("down")) : Promise.resolve(method.apply(target, args)));
    },
  });
  return { store: proxy, fail: (on) => fails = on };
}

for (const [name, of] of Object.entries(ANSWERS)) {
  for (const storeTimeout of [undefined, 10]) {
    Deno.test(`a store that answers with ${name}${storeTimeout === undefined ? "" : ", in time"}`, async (t) => {
      const { store, fail } = answering(of);
      const middleware = start({ storeTimeout, onEvent: () => {} }, store);
      const cookie = await signUp(middleware);
      await t.step("is waited for", async () => {
        const { session, finish } = await open(middleware, cookie);
        await session.set("n", 1);
        await session.update("n", (n = 0) => n + 1);
        await session.regenerate();
        const next = (await finish()).headers.getSetCookie().join().split(";", 1)[0] ?? "";
        assertEquals(await read(middleware, next, "n"), 2);
        assertEquals(await read(middleware, cookie, "n"), undefined);
        await visit(middleware, { cookie: next }, ({ security }) => security.session.destroy());
        assertEquals(await read(middleware, next, "n"), undefined);
      });
      await t.step("and fails what it fails", async () => {
        const later = await signUp(middleware);
        const { session } = await open(middleware, later);
        const { session: fresh } = await open(middleware);
        fail(true);
        await assertRejects(() => open(middleware, later), SessionStoreError, "Cannot get");
        await assertRejects(() => session.set("n", 1), SessionStoreError, 'Cannot set "n"');
        await assertRejects(() => session.update("n", () => 1), SessionStoreError);
        await assertRejects(() => session.regenerate(), SessionStoreError);
        await assertRejects(() => session.destroy(), SessionStoreError);
        await assertRejects(() => fresh.set("n", 1), SessionStoreError);
      });
    });
  }
}

for (const storeTimeout of [undefined, 10]) {
  const how = storeTimeout === undefined ? "" : ", also with a limit of time";
  Deno.test(`a store that is done at once is not waited for${how}`, async () => {
    const store = new MemoryStore();
    const { session } = await open(start({ storeTimeout }, store));
    const id = session.sessionId;
    const valuesOf = (): unknown => {
      const read = store.readRecord(id);
      return read !== undefined && "values" in read ? Object.fromEntries(read.values) : read;
    };
    const begun = session.set("user", "ada");
    assertEquals(valuesOf(), { user: "ada" });
    const added = session.set("cart", ["apple"]);
    assertEquals(valuesOf(), { user: "ada", cart: ["apple"] });
    await Promise.all([begun, added]);
  });
}

for (const how of ["throws", "rejects"]) {
  Deno.test(`a store that ${how} when a session is made leaves no half of it`, async () => {
    const { store, probe: seen } = probe(new MemoryStore());
    let first = true;
    seen.before = (method) => {
      if (method !== "createRecord" || !first) return;
      first = false;
      if (how === "throws") throw new Error("down");
      return Promise.reject(new Error("down"));
    };
    const { session } = await open(start({ onEvent: () => {} }, store));
    const user = session.set("user", "ada");
    const cart = session.set("cart", 1);
    await assertRejects(() => user, SessionStoreError, "Cannot create");
    await assertRejects(() => cart, SessionStoreError, "Cannot set: the session could not be created");
    assertEquals(await session.entries(), {});
  });
}

Deno.test("all reads answer from what is there when they are called", async () => {
  const middleware = start();
  const { session } = await open(middleware, await signUp(middleware, { a: 1 }));
  const reads = Promise.all([session.get("a"), session.has("a"), session.entries()]);
  session.delete("a");
  assertEquals(await reads, [1, true, Object.assign(Object.create(null), { a: 1 })]);
  assertEquals(await session.has("a"), false);
});

Deno.test("a write that a listener begins within another is finished in time too", async () => {
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
    return "ok";
  });
  order.push("response");
  await inner;
  assertEquals(order, ["inner", "response"]);
});

Deno.test("a session that stricter options have ended is new to its request, and is told of", async () => {
  using clock = new FakeClock();
  const store = new MemoryStore();
  const events: SessionEvent[] = [];
  const cookie = await signUp(start({ maxAge: 3600 }, store));
  clock.tick(60_000);
  const { session } = await open(start({ maxAge: 60, onEvent: (event) => events.push(event) }, store), cookie);
  assertEquals(session.isNew, true);
  assertEquals(events.map(({ type }) => type), ["expired"]);
});

Deno.test("the request that renews a session knows what its forms are made of", async () => {
  using clock = new FakeClock();
  const middleware = start({ renewalTimeout: 60 });
  const cookie = await signUp(middleware);
  const before = await open(middleware, cookie);
  const token = await before.session.csrfToken();
  clock.tick(60_000);
  const { session } = await open(middleware, cookie);
  assertEquals(session.sessionId === before.session.sessionId, false);
  assertEquals(await session.csrfToken(), token);
});

Deno.test("a session that ends while a request renews it is new to that, and is told of", async () => {
  using clock = new FakeClock();
  const { store, probe: seen } = probe(new MemoryStore());
  const events: SessionEvent[] = [];
  const middleware = start({ renewalTimeout: 60, onEvent: (event) => events.push(event) }, store);
  const cookie = await signUp(middleware);
  events.length = 0;
  clock.tick(60_000);
  seen.before = async (method) => {
    if (method === "moveRecord") await store.delete(cookie.slice(4, 28));
  };
  assertEquals((await open(middleware, cookie)).session.isNew, true);
  assertEquals(events.map((event) => event.type === "refused" ? event.reason : event.type), ["unknown"]);
});
