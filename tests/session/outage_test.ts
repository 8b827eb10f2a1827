/** Requests during an outage of the store, and after it: `onStoreError` and `storeTimeout`. */
import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { Captured } from "../helpers/console.ts";
import {
  contextOf,
  cookieOf,
  eventNames,
  idOf,
  merged,
  onlyCookie,
  open,
  read,
  renew,
  SECRET,
  signIn,
  signUp,
  start,
  visit,
} from "../helpers/request.ts";
import { BasicStore, failing, probe, STORES, working } from "../helpers/stores.ts";
import { FakeTimers, outcomeOf, quiet } from "../helpers/timers.ts";
import {
  MemoryStore,
  type Session,
  type SessionEvent,
  SessionMiddleware,
  type SessionOptions,
  type SessionStore,
  SessionStoreError,
} from "../../mod.ts";
import { CsrfMiddleware } from "../../src/csrf_middleware.ts";
import { nameOf } from "../../src/util/describe_value.ts";

const down = (): never => {
  throw new Error("connection refused");
};

/** Every operation of a session that uses the store. */
const WRITES: [string, (session: Session) => Promise<unknown>][] = [
  ["set", (session) => session.set("k", 1)],
  ["update", (session) => session.update("k", () => 1)],
  ["take", (session) => session.take("k")],
  ["delete", (session) => session.delete("k")],
  ["clear", (session) => session.clear()],
  ["touch", (session) => session.touch()],
  ["reload", (session) => session.reload()],
  ["regenerate", (session) => session.regenerate()],
  ["regenerate", (session) => session.regenerate({ principal: "ada" })],
  ["destroy", (session) => session.destroy()],
  ["csrfToken", (session) => session.csrfToken()],
];

for (const [name, make] of STORES) {
  Deno.test(`onStoreError "anonymous" lets a request go on without its session (${name})`, async (t) => {
    const { store, probe: seen } = probe(make());
    const events: SessionEvent[] = [];
    const middleware = start({ onStoreError: "anonymous", onEvent: (event) => events.push(event) }, store);
    const cookie = await signUp(middleware, { user: "ada" });

    seen.before = down;
    const { session, finish } = await open(middleware, cookie);
    await t.step("reads are empty", async () => {
      assertEquals(session.available, false);
      assertEquals(await session.get("user"), undefined);
      assertEquals(await session.get("user", "nobody"), "nobody");
      assertEquals(await session.has("user"), false);
      assertEquals({ ...await session.entries() }, {});
      assertEquals([session.principal, session.expiresAt, session.isNew], [undefined, undefined, true]);
    });
    await t.step("every write rejects with the store's error, and asks the store nothing", async () => {
      const asked = seen.calls.length;
      for (const [operation, write] of WRITES) {
        const reason = `the session is not available, because ${nameOf(store)} failed at the beginning of the request`;
        const error = await assertRejects(() => write(session), SessionStoreError, reason);
        assertEquals([error.operation, (error.cause as Error).name], [operation, "SessionStoreError"]);
      }
      assertEquals(seen.calls.length, asked);
    });
    await t.step("even if the store is back in the meantime", async () => {
      seen.before = working;
      const asked = seen.calls.length;
      for (const [, write] of WRITES) await assertRejects(() => write(session), SessionStoreError);
      assertEquals([await session.get("user"), session.available], [undefined, false]);
      assertEquals(seen.calls.length, asked);
    });
    await t.step("no cookie is set or cleared", async () => {
      assertEquals((await finish()).headers.getSetCookie(), []);
    });
    await t.step("the failure is reported", () => {
      const [first] = events.filter(({ type }) => type === "storeFailed");
      assert(first?.type === "storeFailed" && first.operation === "get");
    });
    await t.step("the next request has its session", async () => {
      assertEquals(await read(middleware, cookie), "ada");
      assertEquals((await open(middleware, cookie)).session.available, true);
    });
  });

  Deno.test(`onStoreError "fail", the default, refuses a request whose session cannot be looked up (${name})`, async () => {
    for (const options of [{}, { onStoreError: "fail" } as const]) {
      const { store, probe: seen } = probe(make());
      const middleware = start(options, store);
      const cookie = await signUp(middleware);
      seen.before = down;
      const error = await assertRejects(() => open(middleware, cookie), SessionStoreError);
      assertEquals(error.httpCode, 503);
      seen.before = working;
      assertEquals(await read(middleware, cookie), "ada");
    }
  });

  Deno.test(`storeTimeout treats a store that hangs as failed (${name})`, async (t) => {
    const { store, probe: seen } = probe(make());
    const middleware = start({ storeTimeout: 0.02 }, store);
    const anonymous = start({ storeTimeout: 0.02, onStoreError: "anonymous" }, store);
    const cookie = await signUp(middleware);
    const hang = Promise.withResolvers<void>();

    const { session } = await open(middleware, cookie);
    seen.before = () => hang.promise;
    await t.step("a lookup fails", async () => {
      const error = await assertRejects(() => open(middleware, cookie), SessionStoreError, "Cannot get");
      assertEquals((error.cause as Error).message, `${nameOf(store)} did not answer within 0.02 s`);
    });
    await t.step('with onStoreError "anonymous" the request goes on without its session', async () => {
      assertEquals((await open(anonymous, cookie)).session.available, false);
    });
    await t.step("a write fails", async () => {
      await assertRejects(() => session.set("late", 1), SessionStoreError, 'Cannot set "late"');
      await assertRejects(() => session.update("late", () => 1), SessionStoreError);
    });
    await t.step("the next request works when the store is back, although the calls never returned", async () => {
      seen.before = working;
      assertEquals(await read(middleware, cookie), "ada");
      await visit(middleware, { cookie }, ({ security }) => security.session.update("n", (n = 0) => n + 1));
      assertEquals(await read(middleware, cookie, "n"), 1);
    });
    hang.reject(new Error("too late, and ignored"));
    await new Promise((resolve) => setTimeout(resolve, 5));
  });
}

Deno.test("storeTimeout does not limit the function of an update", async () => {
  const middleware = start({ storeTimeout: 0.01 });
  const cookie = await signUp(middleware);
  const { session } = await open(middleware, cookie);
  await session.update("k", () => new Promise<number>((resolve) => setTimeout(resolve, 30, 1)));
  assertEquals(await session.get("k"), 1);
});

for (const [name, make] of STORES) {
  Deno.test(`storeTimeout fails queued calls together, without waiting once for each (${name})`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({ storeTimeout: 0.05 }, store);
    const cookie = await signUp(middleware, { n: 0 });
    const opened = await Promise.all(Array.from({ length: 10 }, () => open(middleware, cookie)));
    const calls = seen.calls.length;
    seen.before = () => new Promise(() => {});
    const [first] = opened;
    assert(first !== undefined);
    const all = [
      // Ten requests wait for one another, and ten writes of one request do.
      ...opened.map(({ session }) => session.update<number>("n", (n = 0) => n + 1)),
      ...Array.from({ length: 10 }, (_, i) => first.session.set(`k${i}`, i)),
    ];
    for (const write of all) await assertRejects(() => write, SessionStoreError);
    // Only the first call of each queue reached the store and hung.
    assert(seen.calls.length - calls <= 3, seen.calls.slice(calls).join());
    seen.before = working;
    await visit(middleware, { cookie }, ({ security }) => security.session.set("n", 5));
    assertEquals(await read(middleware, cookie, "n"), 5);
  });

  Deno.test(`storeTimeout fails queued calls together if a refused one is between them (${name})`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({ storeTimeout: 0.05, onEvent: () => {} }, store);
    const { session } = await open(middleware, await signUp(middleware));
    const calls = seen.calls.length;
    seen.before = () => new Promise(() => {});
    const first = session.set("a", 1);
    const refused = session.set("b", () => 1);
    const last = session.set("c", 1);
    await assertRejects(() => first, SessionStoreError);
    await assertRejects(() => refused, TypeError);
    await assertRejects(() => last, SessionStoreError);
    assertEquals(seen.calls.slice(calls), ["setValue"]);
  });
}

Deno.test("storeTimeout works with a frozen store, with private fields, and with synchronous answers", async () => {
  const inner = new BasicStore();
  const methods = ["init", "exist", "create", "delete", "get", "setValue", "getValue", "clear"] as const;
  const frozen = Object.freeze(
    Object.fromEntries(methods.map((name) => [name, (inner[name] as (...args: unknown[]) => unknown).bind(inner)])),
  ) as unknown as SessionStore;
  for (const store of [frozen, new MemoryStore({ maxSessions: 10 })]) {
    const middleware = start({ storeTimeout: 1 }, store);
    assertEquals(await read(middleware, await signUp(middleware)), "ada");
  }
  // A synchronous answer needs no timer and no promise.
  const middleware = start({ storeTimeout: 1 });
  const cookie = await signUp(middleware);
  assertEquals(middleware.onPreRequest(contextOf({ cookie })), undefined);
});

Deno.test("storeTimeout lets sign-ins of one user continue together if the store cannot list the user's sessions", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const middleware = start({ storeTimeout: 0.05, maxSessionsPerPrincipal: 1, onEvent: () => {} }, store);
  seen.before = (method) => method === "listSessions" ? new Promise(() => {}) : undefined;
  const cookies = await Promise.all(Array.from({ length: 5 }, () => signIn(middleware, "ada")));
  for (const cookie of cookies) assertEquals(await read(middleware, cookie), "ada");
  // Each sign-in lists the sessions before its write. After it, the limit lists them for all.
  assertEquals(seen.calls.filter((method) => method === "listSessions").length, 5 + 1);
});

Deno.test("storeTimeout fails no write that waits for a healthy operation of several calls on a basic store", async () => {
  using timers = new FakeTimers();
  const { store, probe: seen } = probe(new BasicStore());
  const middleware = start({ storeTimeout: 1 }, store);
  const cookie = await signUp(middleware, { a: 1, b: 2, c: 3 });
  const [first, second] = [await open(middleware, cookie), await open(middleware, cookie)];
  // Each call takes 0.9 s.
  seen.before = () => new Promise((resolve) => setTimeout(resolve, 900));
  const moved = first.session.regenerate({ graceSeconds: 60 });
  const written = second.session.set("d", 4);
  for (let i = 0; i < 40; i++) {
    await quiet();
    timers.tick(900);
  }
  await moved;
  await written;
  seen.before = working;
  assertEquals(await read(middleware, cookieOf(await first.finish()), "d"), 4);
});

Deno.test("Without a storeTimeout, a sign-in waits 10 s for another sign-in of the user, and goes on", async () => {
  using timers = new FakeTimers();
  const { store, probe: seen } = probe(new MemoryStore());
  const events: SessionEvent[] = [];
  const middleware = start({ maxSessionsPerPrincipal: 1, onEvent: (event) => events.push(event) }, store);
  // A sign-in lists the sessions before its record is written, and again to enforce the limit.
  let listings = 0;
  seen.before = (method) => method === "listSessions" && ++listings === 2 ? new Promise(() => {}) : undefined;
  const hanging = signIn(middleware, "ada");
  await quiet();
  const waiting = signIn(middleware, "ada");
  await quiet();
  timers.tick(9999);
  assertEquals(await outcomeOf(waiting), "pending");
  timers.tick(1);
  assertEquals(await read(middleware, await waiting), "ada");
  assertEquals([await outcomeOf(hanging), timers.pending], ["pending", 0]);
  const reported = events.flatMap((event) =>
    event.type === "storeFailed" ? [[event.operation, event.error.message]] : []
  );
  assertEquals(reported, [[
    "limit",
    "Cannot limit the sessions of the user: another sign-in of the user has not finished within 10 s; the user is " +
    "signed in, and may have too many sessions until the next sign-in; check that MemoryStore answers",
  ]]);
});

Deno.test("Without a storeTimeout, a write on a basic store waits 10 s for the write of another request", async () => {
  using timers = new FakeTimers();
  const { store, probe: seen } = probe(new BasicStore());
  const middleware = start({ onEvent: () => {} }, store);
  const cookie = await signUp(middleware);
  const [first, second, third] = await Promise.all(Array.from({ length: 3 }, () => open(middleware, cookie)));
  assert(first !== undefined && second !== undefined && third !== undefined);
  seen.before = () => new Promise(() => {});
  void first.session.set("a", 1);
  seen.before = working;
  const writes = [second.session.set("b", 1), third.session.destroy()];
  await quiet();
  timers.tick(10_000);
  const reason =
    "an earlier operation on the session has not finished within 10 s, so this one did not begin; check that " +
    "BasicStore answers";
  const messages = [`Cannot set "b": ${reason}`, `Cannot destroy: ${reason}; the session may not have ended`];
  for (const [i, write] of writes.entries()) {
    const error = await outcomeOf(write);
    assertInstanceOf(error, SessionStoreError);
    assertEquals(error.message, messages[i]);
  }
});

Deno.test("storeTimeout also limits the list of a user's sessions", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const middleware = start({ storeTimeout: 0.01 }, store);
  seen.before = () => new Promise(() => {});
  await assertRejects(() => middleware.sessions.list("ada"), SessionStoreError, "Cannot list");
});

Deno.test('onStoreError "anonymous" tolerates failures of the store only', async () => {
  const middleware = start({ onStoreError: "anonymous" });
  const cookie = await signUp(middleware);
  // A context that cannot hold a session is a programming error, not an outage.
  const context = Object.freeze(contextOf({ cookie }));
  assertThrows(() => void middleware.onPreRequest(context), TypeError);
});

Deno.test('onStoreError "anonymous" neither sets nor clears the cookie of a session that is not available', async () => {
  using clock = new FakeClock();
  const newer = crypto.getRandomValues(new Uint8Array(32));
  const { store, probe: seen } = probe(new MemoryStore());
  const options = { onStoreError: "anonymous", maxAge: 100, rolling: true } as const;
  const cookie = await signUp(start(options, store));
  const middleware = start({ ...options, secret: [newer, SECRET] }, store);
  clock.tick(50_000);
  seen.before = down;
  const response = await visit(middleware, { cookie }, ({ security: { session } }) => {
    assertEquals([session.available, session.isNew], [false, true]);
    assert(session.sessionId !== idOf(cookie));
  });
  assertEquals(response.headers.getSetCookie(), []);
  // Alosaur's CookiesScheme appends such a line when it signs out. It is left as it is.
  const line = "sid=; Max-Age=0";
  const cleared = await visit(middleware, { cookie }, ({ response }) => response.headers.append("set-cookie", line));
  assertEquals(cleared.headers.getSetCookie(), [line]);
});

Deno.test("SessionMiddleware leaves the session to an earlier middleware with the same cookie and store", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const options = { onStoreError: "anonymous" } as const;
  const [outer, inner] = [start(options, store), start(options, store)];
  const cookie = await signUp(outer);
  const context = contextOf({ cookie });
  seen.before = down;
  await outer.onPreRequest(context);
  seen.before = working;
  await inner.onPreRequest(context);
  assertEquals(context.security.session.available, false);
  // Another cookie name is another session.
  await start({ ...options, name: "other" }, store).onPreRequest(context);
  assertEquals([context.security.session.available, context.security.session.sessionKey], [true, "other"]);
});

Deno.test("storeTimeout applies to the store: the shortest of several middlewares counts", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const cookie = await signUp(start({ storeTimeout: 0.01 }, store));
  const patient = start({ storeTimeout: 60 }, store);
  seen.before = () => new Promise(() => {});
  await assertRejects(() => open(patient, cookie), SessionStoreError, "MemoryStore did not answer within 0.01 s");
  const none = start({}, store);
  await assertRejects(() => open(none, cookie), SessionStoreError, "did not answer within 0.01 s");
});

Deno.test("storeTimeout does not change the kind of a store", async () => {
  const memory = new MemoryStore();
  const calls: string[] = [];
  // It answers to every name, but has none of the optional methods for the operator `in`.
  const store = new Proxy({} as SessionStore, {
    get: (_, name): unknown => {
      const method: unknown = Reflect.get(memory, name);
      if (typeof method !== "function") return undefined;
      return (...args: unknown[]): unknown => {
        calls.push(String(name));
        return method.apply(memory, args);
      };
    },
  });
  const cookie = await signUp(start({ storeTimeout: 5 }, store));
  assertEquals(await read(start({}, store), cookie), "ada");
  assertEquals(calls, ["create", "setValue", "setValue", "get"]);
});

Deno.test("storeTimeout of a later middleware on a basic store keeps the grace period of old ids", async () => {
  const store = new BasicStore();
  const middleware = start({}, store);
  const old = await signUp(middleware);
  await renew(middleware, old, { graceSeconds: 30 });
  const later = start({ storeTimeout: 10 }, store);
  assertEquals([await read(middleware, old), await read(later, old)], ["ada", "ada"]);
});

Deno.test("storeTimeout fails regenerate() after one timeout, without asking the store for the outcome", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const middleware = start({ storeTimeout: 0.05, onEvent: () => {} }, store);
  const { session } = await open(middleware, await signUp(middleware));
  seen.calls.length = 0;
  seen.before = () => new Promise(() => {});
  await assertRejects(() => session.regenerate(), SessionStoreError);
  assertEquals(seen.calls, ["moveRecord"]);
});

Deno.test("onStoreError makes no difference to a visitor without a session", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  seen.before = down;
  const middleware = start({ onStoreError: "anonymous" }, store);
  for (const cookie of [undefined, "sid=forged"]) {
    const { session } = await open(middleware, cookie);
    assertEquals([session.available, session.isNew], [true, true]);
    // Only the write finds out that the store is down.
    await assertRejects(() => session.set("k", 1), SessionStoreError);
  }
});

Deno.test('onStoreError "anonymous" with saveUninitialized: a session that could not be created is not available', async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  seen.before = down;
  const middleware = start({ onStoreError: "anonymous", saveUninitialized: true }, store);
  const response = await visit(middleware, {}, async ({ security: { session } }) => {
    assertEquals(session.available, false);
    await assertRejects(() => session.set("k", 1), SessionStoreError, "not available");
  });
  assertEquals(response.headers.getSetCookie(), []);
  await assertRejects(() => visit(start({ saveUninitialized: true }, store), {}), SessionStoreError);
});

for (const onStoreError of ["fail", "anonymous"] as const) {
  for (const [name, make] of STORES) {
    for (
      const [limit, options] of [
        ["idleTimeout", { idleTimeout: 100 }],
        ["rolling", { maxAge: 100, rolling: true }],
      ] as const
    ) {
      Deno.test(`onStoreError "${onStoreError}": a page is served if the activity for ${limit} cannot be written (${name})`, async () => {
        using clock = new FakeClock();
        const events: SessionEvent[] = [];
        const { store, probe: seen } = probe(make());
        const middleware = start({ onStoreError, ...options, onEvent: (event) => events.push(event) }, store);
        const cookie = await signIn(middleware, "ada");
        clock.tick(50_000);
        events.length = 0;
        seen.calls.length = 0;
        seen.before = failing("changeRecord", "setValue");
        const response = await visit(middleware, { cookie }, async ({ security: { session } }) => {
          const known = [session.available, await session.get("user"), session.principal, session.expiresAt?.getTime()];
          assertEquals(known, [true, "ada", "ada", clock.now + 50_000]);
        });
        assertEquals(response.headers.getSetCookie(), []);
        assertEquals(eventNames(events), ["storeFailed"]);
        // The values are still known, so reading them needs no further lookup. On a basic store,
        // the write itself reads the record.
        const lookups = seen.calls.filter((method) => method === "readRecord" || method === "get").length;
        assertEquals(lookups, name === "MemoryStore" ? 1 : 2);
        // The next request tries again.
        seen.before = working;
        await visit(middleware, { cookie });
        clock.tick(99_000);
        assertEquals(await read(middleware, cookie), "ada");
      });
    }
  }
}

Deno.test("A re-signed cookie has the old expiry if the activity cannot be written", async () => {
  using clock = new FakeClock();
  const newer = crypto.getRandomValues(new Uint8Array(32));
  const { store, probe: seen } = probe(new MemoryStore());
  const options = { maxAge: 100, rolling: true };
  const cookie = await signUp(start(options, store));
  const middleware = start({ ...options, secret: [newer, SECRET] }, store);
  clock.tick(40_000);
  seen.before = failing("changeRecord");
  const { headers } = await visit(middleware, { cookie });
  assertEquals(onlyCookie(headers).attributes["max-age"], "60");
});

Deno.test('onStoreError "anonymous" re-signs no cookie of an older secret while its session cannot be looked up', async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const cookie = await signUp(start({}, store));
  const newer = crypto.getRandomValues(new Uint8Array(32));
  const middleware = start({ onStoreError: "anonymous", secret: [newer, SECRET] }, store);
  seen.before = down;
  assertEquals((await visit(middleware, { cookie })).headers.getSetCookie(), []);
  seen.before = working;
  assertEquals((await visit(middleware, { cookie })).headers.getSetCookie().length, 1);
});

Deno.test('onStoreError "anonymous": a write that nobody awaits fails the request, and not the process', async () => {
  using errors = new Captured("error");
  const { store, probe: seen } = probe(new MemoryStore());
  const middleware = start({ onStoreError: "anonymous" }, store);
  const cookie = await signUp(middleware);
  seen.before = down;
  await assertRejects(
    () => visit(middleware, { cookie }, ({ security }) => void security.session.set("k", 1)),
    SessionStoreError,
    "not available",
  );
  assertEquals(errors.lines.length, 1);
  assert(!errors.lines.join().includes(idOf(cookie)));
});

Deno.test("CsrfMiddleware refuses with 503, not 403, if the session is not available", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const middleware = start({ onStoreError: "anonymous" }, store);
  const cookie = await signUp(middleware);
  seen.before = down;
  const context = contextOf({ cookie, method: "POST" });
  await middleware.onPreRequest(context);
  const error = await assertRejects(
    async () => void await new CsrfMiddleware().onPreRequest(context),
    SessionStoreError,
    "not available",
  );
  assertEquals(error.httpCode, 503);
  assertEquals(merged(context).headers.getSetCookie(), []);
});

Deno.test("SessionMiddleware refuses values of onStoreError and storeTimeout that are out of range", () => {
  const store = new MemoryStore();
  for (const storeTimeout of [0, -1, NaN, Infinity, 2_147_484]) {
    assertThrows(() => new SessionMiddleware(store, { secret: SECRET, storeTimeout }), RangeError, "storeTimeout");
  }
  for (const wrong of [{ storeTimeout: "1" }, { onStoreError: "ignore" }, { onStoreError: true }]) {
    const options = { secret: SECRET, ...wrong } as unknown as SessionOptions;
    assertThrows(() => new SessionMiddleware(store, options), TypeError, Object.keys(wrong)[0]);
  }
});
