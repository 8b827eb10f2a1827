/**
 * Every kind of answer that a store may give: a value, a native promise, another thenable, an
 * error.
 */
import { assertEquals, assertRejects } from "../helpers/assert.ts";
import { cookieOf, open, read, signUp, start, visit } from "../helpers/request.ts";
import { probe } from "../helpers/stores.ts";
import { MemoryStore, type SessionStore, SessionStoreError } from "../../mod.ts";

/**
 * Answers that `await` understands. A `then()` need not return anything, and may call back
 * synchronously.
 */
const ANSWERS: Record<string, (answer: Promise<unknown>) => unknown> = {
  "a promise": (answer) => answer,
  "an instance of a subclass of Promise": (answer) => (class extends Promise<unknown> {}).resolve(answer),
  "an object with nothing but then()": (answer) => ({
    then: (resolve: (value: unknown) => void, reject: (error: unknown) => void): void => {
      answer.then(resolve, reject);
    },
  }),
};

/** Creates a store whose answers are converted. */
function answeringWith(
  convert: (answer: Promise<unknown>) => unknown,
): { store: SessionStore; fail: (on: boolean) => void } {
  let fails = false;
  const store = new MemoryStore();
  const proxy = new Proxy(store, {
    get(target, name): unknown {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== "function") return method;
      return (...args: unknown[]) =>
        convert(fails ? Promise.reject(new Error("down")) : Promise.resolve(method.apply(target, args)));
    },
  });
  return { store: proxy, fail: (on) => fails = on };
}

for (const [name, convert] of Object.entries(ANSWERS)) {
  for (const storeTimeout of [undefined, 10]) {
    Deno.test(`Session waits for a store that answers with ${name}${storeTimeout === undefined ? "" : " (with a storeTimeout)"}`, async (t) => {
      const { store, fail } = answeringWith(convert);
      const middleware = start({ storeTimeout, onEvent: () => {} }, store);
      const cookie = await signUp(middleware);
      await t.step("that succeeds", async () => {
        const { session, finish } = await open(middleware, cookie);
        await session.set("n", 1);
        await session.update("n", (n = 0) => n + 1);
        await session.regenerate();
        const next = cookieOf(await finish());
        assertEquals(await read(middleware, next, "n"), 2);
        assertEquals(await read(middleware, cookie, "n"), undefined);
        await visit(middleware, { cookie: next }, ({ security }) => security.session.destroy());
        assertEquals(await read(middleware, next, "n"), undefined);
      });
      await t.step("that fails", async () => {
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
  Deno.test(`Session does not wait for a store that answers synchronously${storeTimeout === undefined ? "" : " (with a storeTimeout)"}`, async () => {
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

for (const how of ["throws", "rejects"] as const) {
  Deno.test(`Session keeps no part of a session if the store ${how} at its creation`, async () => {
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
    await assertRejects(() => cart, SessionStoreError, "Cannot set: MemoryStore could not create the session");
    assertEquals(await session.entries(), {});
  });
}
