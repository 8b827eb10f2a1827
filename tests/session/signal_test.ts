/** `session.signal`, which aborts when the session ends. */
import { assert, assertEquals, assertInstanceOf, assertStrictEquals } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { cookieOf, idOf, open, renew, signIn, signUp, start, visit } from "../helpers/request.ts";
import { endOf, seconds } from "../helpers/signals.ts";
import { BasicStore, delayReads, failing, probe, STORES, waiting, without, working } from "../helpers/stores.ts";
import { FakeTimers, quiet } from "../helpers/timers.ts";
import {
  MemoryStore,
  type Session,
  type SessionEvent,
  type SessionMiddleware,
  type SessionOptions,
  type SessionStore,
  SessionStoreError,
  type Watch,
} from "../../mod.ts";

async function signalOf(middleware: SessionMiddleware, cookie: string): Promise<AbortSignal> {
  const { session } = await open(middleware, cookie);
  return session.signal;
}

/** A middleware, and one on the same records as in another process. */
function twoProcesses(
  make: () => SessionStore,
  options: Partial<SessionOptions> = {},
): [SessionMiddleware, SessionMiddleware] {
  const store = make();
  return [start(options, store), start(options, probe(store).store)];
}

const SILENT: [name: string, make: () => SessionStore] = [
  "a store that reports no changes",
  () => without(new MemoryStore(), "watch"),
];

for (const [name, make] of [...STORES, SILENT]) {
  const endings: [
    end: string,
    name: string,
    call: (session: Session, server: SessionMiddleware) => Promise<unknown>,
  ][] = [
    ["destroyed", "destroy()", (session) => session.destroy()],
    ["cleared", "clear()", (session) => session.clear()],
    ["rebound", "the sign-in of another user", (session) => session.regenerate({ principal: "grace" })],
    ["revoked", "revokeEverybody()", (_, { sessions }) => sessions.revokeEverybody()],
  ];
  for (const [end, ending, call] of endings) {
    Deno.test(`session.signal on ${name} is aborted at once by ${ending} of this process`, async () => {
      const middleware = start({}, make());
      const { session } = await open(middleware);
      await session.regenerate({ principal: "ada" });
      const { signal } = session;
      const cookie = await signIn(middleware, "ada");
      const other = await signalOf(middleware, cookie);
      const reasons: unknown[] = [];
      other.addEventListener("abort", () => reasons.push(other.reason.end), { once: true });
      assertEquals([endOf(signal), endOf(other)], [undefined, undefined]);
      await call(session, middleware);
      await visit(middleware, { cookie }, ({ security }) => call(security.session, middleware));
      assertEquals([endOf(signal), endOf(other), reasons], [end, end, [end]]);
    });
  }

  Deno.test(`session.signal on ${name} follows the session through new ids and a sign-in`, async () => {
    const middleware = start({}, make());
    let cookie = await signUp(middleware);
    const signal = await signalOf(middleware, cookie);
    for (const options of [{}, { graceSeconds: 60 }, { principal: "ada" }, { principal: "ada" }, { set: { a: 1 } }]) {
      cookie = await renew(middleware, cookie, options);
      assertEquals(endOf(signal), undefined);
    }
    const current = await open(middleware, cookie);
    assertStrictEquals(await signalOf(middleware, cookie), current.session.signal);
    await current.session.setLabel("laptop");
    await current.session.touch();
    await current.session.setMaxAge(1000);
    assertEquals(endOf(signal), undefined);
    await current.session.destroy();
    assertEquals(endOf(signal), "destroyed");
  });

  Deno.test(`session.signal on ${name} of a session that has ended is aborted`, async () => {
    using clock = new FakeClock();
    const [here, there] = twoProcesses(make, { maxAge: 100 });
    const own = await open(here, await signUp(here));
    await own.session.destroy();
    assertEquals(endOf(own.session.signal), "destroyed");

    const cookie = await signUp(here);
    const opened = await open(here, cookie);
    await visit(here, { cookie }, ({ security: { session } }) => session.destroy());
    assertEquals(endOf(opened.session.signal), "destroyed", "another request of this process");

    const remote = await signUp(here);
    const reader = await open(here, remote);
    await visit(there, { cookie: remote }, ({ security: { session } }) => session.destroy());
    const { signal } = reader.session;
    await quiet();
    assertEquals(endOf(signal), "gone", "another process, before the signal was asked for");

    const late = await open(here, await signUp(here));
    clock.tick(100_000);
    assertEquals(endOf(late.session.signal), "expired");
  });

  Deno.test(`session.signal on ${name} follows the session that the request creates`, async () => {
    const middleware = start({}, make());
    const { session, finish } = await open(middleware);
    const { signal } = session;
    assertEquals(endOf(signal), undefined);
    const created = session.set("user", 1);
    const second = session.signal;
    await created;
    await quiet();
    assertEquals([endOf(signal), endOf(second)], [undefined, undefined]);
    const cookie = await renew(middleware, cookieOf(await finish()), { principal: "ada" });
    assertEquals([endOf(signal), endOf(second)], [undefined, undefined]);
    await visit(middleware, { cookie }, ({ security: { session } }) => session.destroy());
    assertEquals([endOf(signal), endOf(second)], ["destroyed", "destroyed"]);
    const visitor = await open(middleware);
    const never = visitor.session.signal;
    await visitor.session.destroy();
    assertEquals([endOf(never), endOf(visitor.session.signal)], [undefined, "destroyed"]);
  });

  Deno.test(`session.signal on ${name} learns within seconds what another process does`, async () => {
    using timers = new FakeTimers();
    const [here, there] = twoProcesses(make);
    const cookies = [
      await signIn(here, "ada"),
      await signIn(here, "ada"),
      await signIn(here, "ada"),
      await signIn(here, "ada"),
    ];
    const signals = await Promise.all(cookies.map((cookie) => signalOf(here, cookie)));
    const [destroyed = "", rebound = "", cleared = "", renewed = ""] = cookies;
    await quiet();
    await visit(there, { cookie: destroyed }, ({ security: { session } }) => session.destroy());
    await renew(there, rebound, { principal: "grace" });
    await visit(there, { cookie: cleared }, ({ security: { session } }) => session.clear());
    const next = await renew(there, await renew(there, renewed), { graceSeconds: 60 });
    for (let seconds = 0; seconds < 7; seconds++) {
      timers.tick(1000);
      await quiet();
    }
    // The eight methods of a basic store cannot tell another process that a session has a new id.
    const isBasic = name === "a basic store";
    const sofar = ["gone", isBasic ? "gone" : "rebound", "cleared", isBasic ? "gone" : undefined];
    assertEquals(signals.map(endOf), sofar);
    await visit(there, { cookie: next }, ({ security: { session } }) => session.destroy());
    for (let seconds = 0; seconds < 7; seconds++) {
      timers.tick(1000);
      await quiet();
    }
    assertEquals(signals.map(endOf), [...sofar.slice(0, 3), "gone"]);
    assertEquals(timers.pending, 0, "no timer is left");
  });

  Deno.test(`session.signal on ${name} aborts when the session expires, and not before activity has extended it`, async () => {
    using clock = new FakeClock();
    using timers = new FakeTimers();
    const [here, there] = twoProcesses(make, { maxAge: 100, rolling: true });
    const cookie = await signUp(here);
    const signal = await signalOf(here, cookie);
    const seconds = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) {
        clock.tick(1000);
        timers.tick(1000);
        await quiet();
      }
    };
    await seconds(60);
    await visit(there, { cookie });
    await seconds(60);
    await visit(here, { cookie });
    await seconds(99);
    assertEquals(endOf(signal), undefined);
    await seconds(2);
    assertEquals([endOf(signal), timers.pending], ["expired", 0]);
    const shortened = await open(here, await signUp(here));
    const { signal: short } = shortened.session;
    await shortened.session.setMaxAge(10);
    await quiet();
    await seconds(9);
    assertEquals(endOf(short), undefined);
    await seconds(2);
    assertEquals(endOf(short), "expired");
  });
}

Deno.test("session.signal is aborted by revoke(), revokeAll() and maxSessionsPerPrincipal", async () => {
  const middleware = start({ maxSessionsPerPrincipal: 3 });
  const { sessions } = middleware;
  const cookies = [await signIn(middleware, "ada"), await signIn(middleware, "ada"), await signIn(middleware, "ada")];
  const signals = await Promise.all(cookies.map((cookie) => signalOf(middleware, cookie)));
  await signIn(middleware, "ada");
  assertEquals(signals.map(endOf), ["revoked", undefined, undefined]);
  const [first] = await sessions.list("ada");
  await sessions.revoke("ada", first?.handle ?? "");
  assertEquals(signals.map(endOf), ["revoked", "revoked", undefined]);
  const { session } = await open(middleware, cookies[2]);
  await sessions.revokeAll("ada", { except: session.sessionId });
  assertEquals(signals.map(endOf), ["revoked", "revoked", undefined]);
  await sessions.revokeAll("ada");
  assertEquals(signals.map(endOf), ["revoked", "revoked", "revoked"]);
});

Deno.test("session.signal after clear() belongs to the session of whoever uses it then", async () => {
  const middleware = start();
  const { session } = await open(middleware, await signIn(middleware, "ada"));
  const { signal } = session;
  await session.clear();
  const next = session.signal;
  assert(next !== signal);
  assertEquals([endOf(signal), endOf(next)], ["cleared", undefined]);
  await session.destroy();
  assertEquals(endOf(next), "destroyed");
});

Deno.test("session.signal of a session that the store could not look up is aborted with its error", async () => {
  const { store, probe: control } = probe(new MemoryStore());
  const middleware = start({ onStoreError: "anonymous" }, store);
  const cookie = await signUp(middleware);
  control.before = failing("readRecord");
  const { session } = await open(middleware, cookie);
  assertInstanceOf(session.signal.reason, SessionStoreError);
});

Deno.test("session.signal ends in this process also if the store fails to end the session", async () => {
  const { store, probe: control } = probe(new MemoryStore());
  const middleware = start({}, store);
  const { session } = await open(middleware, await signUp(middleware));
  const { signal } = session;
  control.before = failing("delete");
  await session.destroy().catch(() => {});
  assertEquals(endOf(signal), "destroyed");
});

Deno.test("session.signal does not abort while the store fails, and is right once it works again", async () => {
  using timers = new FakeTimers();
  const backend = new MemoryStore();
  const { store, probe: control } = probe(backend);
  const [here, there] = [start({}, store), start({}, probe(backend).store)];
  const cookies = [await signUp(here), await signUp(here)];
  const signals = await Promise.all(cookies.map((cookie) => signalOf(here, cookie)));
  await quiet();
  control.before = failing("readRecord");
  await visit(there, { cookie: cookies[0] }, ({ security: { session } }) => session.destroy());
  for (let i = 0; i < 20; i++) {
    timers.tick(1000);
    await quiet();
  }
  assertEquals(signals.map(endOf), [undefined, undefined]);
  control.before = working;
  timers.tick(1000);
  await quiet();
  assertEquals(signals.map(endOf), ["gone", undefined]);
});

Deno.test("session.signal looks a session up once every few seconds, however many requests have asked for it", async () => {
  using timers = new FakeTimers();
  const { store, probe: control } = probe(new BasicStore());
  const middleware = start({}, store);
  const cookie = await signUp(middleware);
  const opened = await Promise.all(Array.from({ length: 50 }, () => open(middleware, cookie)));
  control.calls.length = 0;
  const signals = new Set(opened.map(({ session }) => session.signal));
  await quiet();
  assertEquals([signals.size, control.calls.length], [1, 1]);
  for (let i = 0; i < 60; i++) {
    timers.tick(1000);
    await quiet();
  }
  assert(control.calls.length >= 10 && control.calls.length <= 13, `${control.calls.length} lookups in a minute`);
  assertEquals(timers.pending, 1);
});

Deno.test("session.signal reports no event and no error where nothing fails", async () => {
  const events: SessionEvent[] = [];
  const middleware = start({ onEvent: (event) => events.push(event) });
  const { signal } = (await open(middleware, await signUp(middleware))).session;
  await quiet();
  assertEquals([events.map(({ type }) => type), endOf(signal)], [["created"], undefined]);
  await middleware.sessions.revokeEverybody();
  assertEquals(endOf(signal), "revoked");
});

/** A store whose changes the test reports. */
class ReportingStore extends MemoryStore {
  changed: ((key: string | undefined) => void) | undefined;
  watches = 0;
  disposed = 0;
  /** What `watch()` and `confirm()` fail with. */
  failure: Error | undefined;
  override watch(changed: (key: string | undefined) => void): Promise<Watch> {
    this.watches++;
    const confirm = (): Promise<void> => this.failure === undefined ? Promise.resolve() : Promise.reject(this.failure);
    return confirm().then(() => {
      this.changed = changed;
      const dispose = (): Promise<void> => Promise.resolve(void this.disposed++);
      return { keyOf: (sid) => `key of ${sid}`, confirm, [Symbol.asyncDispose]: dispose };
    });
  }
}

Deno.test("session.signal on a store that reports changes looks up only what was reported", async () => {
  using timers = new FakeTimers();
  const backend = new ReportingStore();
  const { store, probe: control } = probe(backend);
  const [here, there] = [start({}, store), start({}, probe(backend).store)];
  const cookies = [await signUp(here), await signUp(here), await signUp(here)];
  const signals = await Promise.all(cookies.map((cookie) => signalOf(here, cookie)));
  await quiet();
  assertEquals([backend.watches, control.calls.filter((name) => name === "readRecord").length >= 3], [1, true]);
  control.calls.length = 0;
  await seconds(timers, 30);
  assertEquals(control.calls, [], "nothing is looked up as long as the store confirms that it reports changes");
  await visit(there, { cookie: cookies[0] }, ({ security: { session } }) => session.destroy());
  backend.changed?.("key of another session");
  await quiet();
  assertEquals([control.calls, signals.map(endOf)], [[], [undefined, undefined, undefined]]);
  backend.changed?.(`key of ${idOf(cookies[0] ?? "")}`);
  await quiet();
  assertEquals([control.calls, signals.map(endOf)], [["readRecord"], ["gone", undefined, undefined]]);

  // The connection is lost and comes back.
  await visit(there, { cookie: cookies[1] }, ({ security: { session } }) => session.destroy());
  control.calls.length = 0;
  backend.changed?.(undefined);
  await quiet();
  assertEquals([control.calls.length, signals.map(endOf)], [2, ["gone", "gone", undefined]]);
  await visit(here, { cookie: cookies[2] }, ({ security: { session } }) => session.destroy());
  assertEquals([backend.disposed, timers.pending], [1, 0], "nobody watches any more");
});

Deno.test("session.signal looks a session up every few seconds while the store does not report changes", async () => {
  using timers = new FakeTimers();
  const backend = new ReportingStore();
  backend.failure = new Error("no such command");
  const events: SessionEvent[] = [];
  const { store, probe: control } = probe(backend);
  const here = start({ onEvent: (event) => events.push(event) }, store);
  const there = start({}, probe(backend).store);
  const cookies = [await signUp(here), await signUp(here), await signUp(here)];
  const signals = await Promise.all(cookies.map((cookie) => signalOf(here, cookie)));
  await quiet();
  const failures = events.filter((event) => event.type === "storeFailed");
  assertEquals(failures.map(({ operation, error, session }) => [operation, error.cause, session]), [
    ["watch", backend.failure, undefined],
  ]);
  await visit(there, { cookie: cookies[0] }, ({ security: { session } }) => session.destroy());
  await seconds(timers, 7);
  assertEquals([signals.map(endOf), backend.watches], [["gone", undefined, undefined], 1]);

  backend.failure = undefined;
  await seconds(timers, 60);
  assertEquals(backend.watches, 2, "a store that refused is asked again after a minute");
  control.calls.length = 0;
  await seconds(timers, 10);
  assertEquals(control.calls, []);

  backend.failure = new Error("not connected");
  await seconds(timers, 6);
  await visit(there, { cookie: cookies[1] }, ({ security: { session } }) => session.destroy());
  await seconds(timers, 6);
  assertEquals(signals.map(endOf), ["gone", "gone", undefined], "the connection is lost, and nothing was reported");
});

Deno.test("session.signal is not misled by the late answer of a lookup", async () => {
  using timers = new FakeTimers();
  const store = new MemoryStore();
  const middleware = start({}, store);
  const { session } = await open(middleware, await signIn(middleware, "ada"));
  const lookups = delayReads(store);
  const before = session.signal;
  await lookups.asked;
  lookups.stop();
  await session.clear();
  const after = session.signal;
  // It says that the session is bound to its user.
  lookups.release();
  await seconds(timers, 12);
  assertEquals([endOf(before), endOf(after)], ["cleared", undefined]);
});

Deno.test("session.signal asks again if a change was reported while a lookup was under way", async () => {
  const store = new ReportingStore();
  const here = start({}, store);
  const there = start({}, probe(store).store);
  const cookie = await signUp(here);
  const signal = await signalOf(here, cookie);
  await quiet();
  const lookups = delayReads(store);
  store.changed?.(`key of ${idOf(cookie)}`);
  await lookups.asked;
  lookups.stop();
  await visit(there, { cookie }, ({ security: { session } }) => session.destroy());
  store.changed?.(`key of ${idOf(cookie)}`);
  // It says that the session is live.
  lookups.release();
  await quiet();
  assertEquals(endOf(signal), "gone");
});

Deno.test("session.signal on a store that reports changes is right after new ids, an expiry and a failed clear()", async () => {
  using clock = new FakeClock();
  using timers = new FakeTimers();
  const backend = new ReportingStore();
  const { store, probe: control } = probe(backend);
  const [here, there] = [start({ maxAge: 100 }, store), start({ maxAge: 100 }, probe(backend).store)];

  const renewed = await renew(here, await signUp(here));
  const moved = await signUp(here);
  const signals = [await signalOf(here, renewed), await signalOf(here, moved)];
  await quiet();
  const current = await renew(here, renewed);
  await visit(there, { cookie: current }, ({ security: { session } }) => session.destroy());
  backend.changed?.(`key of ${idOf(current)}`);
  await quiet();
  assertEquals(signals.map(endOf), ["gone", undefined], "a change of the new id was reported");

  const opened = await open(here, moved);
  await renew(there, moved, { graceSeconds: 60 });
  await opened.session.destroy();
  assertEquals(signals.map(endOf), ["gone", "destroyed"], "another process had given it a new id");

  const expiring = await signalOf(here, await signUp(here));
  await quiet();
  clock.tick(100_000);
  control.calls.length = 0;
  const gate = Promise.withResolvers<void>();
  control.before = waiting(gate.promise, "readRecord");
  await seconds(timers, 3);
  gate.resolve();
  await quiet();
  assertEquals([endOf(expiring), control.calls], ["expired", ["readRecord"]], "ticks do not repeat a slow lookup");

  control.before = working;
  const cleared = await signalOf(here, await signUp(here));
  await quiet();
  control.before = async (method) => {
    if (method !== "clear") return;
    await backend.clear();
    throw new Error("the connection broke");
  };
  await here.sessions.revokeEverybody().catch(() => {});
  await quiet();
  assertEquals(endOf(cleared), "gone");
});

Deno.test("session.signal looks a session up again once the store reports changes", async () => {
  const store = new ReportingStore();
  const middleware = start({}, store);
  const cookie = await signUp(middleware);
  const gate = Promise.withResolvers<void>();
  const watch = store.watch.bind(store);
  store.watch = async (changed) => {
    await gate.promise;
    return await watch(changed);
  };
  const signal = await signalOf(middleware, cookie);
  await quiet();
  // Nothing is reported, and the first lookup has found it live.
  await store.delete(idOf(cookie));
  gate.resolve();
  await quiet();
  assertEquals(endOf(signal), "gone");
});

Deno.test("session.signal keeps the response out of shared caches", async () => {
  const middleware = start();
  const cookie = await signUp(middleware);
  const { headers } = await visit(middleware, { cookie }, ({ security: { session } }) => void session.signal);
  assertEquals(headers.get("cache-control"), "private");
});
