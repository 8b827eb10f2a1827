/** The option `cache`: lookups that are answered from memory. */
import { EncryptedStore } from "@alosaur/session/encrypted";
import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { cookieOf, open, optionalCookieOf, renew, signIn, signUp, start, visit } from "../helpers/request.ts";
import { BasicStore, failing, type Probe, probe, without, working } from "../helpers/stores.ts";
import { FakeTimers, quiet } from "../helpers/timers.ts";
import {
  MemoryStore,
  type Session,
  type SessionEvent,
  SessionGoneError,
  type SessionMiddleware,
  SessionNotSupportedError,
  type SessionOptions,
  type SessionStore,
  SessionStoreError,
  type Watch,
} from "../../mod.ts";

/** A store whose connection for changes a test can cut. */
class CutStore extends MemoryStore {
  /** Whether nothing is reported, and nobody has noticed. */
  isSilent = false;
  changed: ((key: string | undefined) => void) | undefined;
  confirmations = 0;

  override async watch(changed: (key: string | undefined) => void): Promise<Watch> {
    this.changed = changed;
    const watch = await super.watch((key) => this.isSilent || changed(key));
    const confirm = (): Promise<void> => {
      this.confirmations++;
      return this.isSilent ? Promise.reject(new Error("no answer")) : watch.confirm();
    };
    return { ...watch, confirm };
  }
}

/** A process with a cache, and another process on the same records. */
class World implements Disposable {
  readonly backend = new CutStore();
  readonly calls: Probe;
  readonly store: SessionStore;
  readonly here: SessionMiddleware;
  readonly there: SessionMiddleware;
  readonly events: SessionEvent[] = [];
  readonly #clock = new FakeClock();
  readonly #timers = new FakeTimers();

  constructor(options: Partial<SessionOptions> = {}) {
    const { store, probe: calls } = probe(this.backend);
    this.calls = calls;
    this.store = store;
    this.here = start({ cache: {}, onEvent: (event) => this.events.push(event), ...options }, store);
    this.there = start({ ...options, cache: undefined }, probe(this.backend).store);
  }

  /** Opens the watch, and confirms that it reports changes. */
  async warmUp(): Promise<this> {
    for (let i = 0; i < 2; i++) {
      await visit(this.here, { cookie: await signUp(this.there) });
      await quiet();
    }
    return this;
  }

  /** Lets time pass, by all clocks. */
  tick(milliseconds: number): void {
    this.#clock.tick(milliseconds);
    this.#timers.tick(milliseconds);
  }

  /** Returns how often a request asks the store for its session. */
  async lookups(
    cookie: string,
    act: (session: Session) => unknown = () => {},
    middleware = this.here,
  ): Promise<number> {
    this.calls.calls.length = 0;
    await visit(middleware, { cookie }, ({ security: { session } }) => act(session));
    return this.calls.calls.filter((name) => name === "readRecord").length;
  }

  [Symbol.dispose](): void {
    this.#timers[Symbol.dispose]();
    this.#clock[Symbol.dispose]();
  }
}

const warm = (options?: Partial<SessionOptions>): Promise<World> => new World(options).warmUp();

Deno.test("a cached session is looked up once, and again after each write of any process", async () => {
  using world = await warm();
  const { here, there } = world;
  const cookie = await signUp(there, { n: 1 });
  assertEquals([await world.lookups(cookie), await world.lookups(cookie), await world.lookups(cookie)], [1, 0, 0]);
  for (const [n, middleware] of [here, there].entries()) {
    await visit(middleware, { cookie }, ({ security: { session } }) => session.set("n", n));
    const read = async (session: Session): Promise<void> => assertEquals(await session.get("n"), n);
    assertEquals([await world.lookups(cookie, read), await world.lookups(cookie, read)], [1, 0]);
  }
  const next = await renew(here, cookie, { principal: "ada" });
  assertEquals([await world.lookups(next), await world.lookups(next)], [1, 0]);
  await visit(there, { cookie: next }, ({ security: { session } }) => session.destroy());
  const { session } = await open(here, next);
  assertEquals([session.isNew, session.principal], [true, undefined]);
});

Deno.test("each way to end sessions of this process or of another ends cached ones at once", async () => {
  using world = await warm();
  for (const middleware of [world.here, world.there]) {
    const endings: ((cookie: string) => Promise<unknown>)[] = [
      (cookie) => visit(middleware, { cookie }, ({ security: { session } }) => session.destroy()),
      () => middleware.sessions.revokeAll("ada"),
      () => middleware.sessions.revokeEverybody(),
      (cookie) => visit(middleware, { cookie }, ({ security: { session } }) => session.clear()),
      (cookie) => renew(middleware, cookie, { principal: "grace" }),
    ];
    for (const end of endings) {
      const cookie = await signIn(world.there, "ada");
      assertEquals([await world.lookups(cookie), await world.lookups(cookie)], [1, 0]);
      await end(cookie);
      assertEquals((await open(world.here, cookie)).session.principal, undefined);
    }
  }
});

Deno.test("an ended session can be read until `staleSeconds` are over if the connection is cut, and never written", async () => {
  using world = await warm({ cache: { staleSeconds: 4 } });
  const { here, there, backend } = world;
  const cookie = await signIn(there, "ada");
  world.tick(2000);
  assertEquals([await world.lookups(cookie), await world.lookups(cookie)], [1, 0]);
  await quiet();
  backend.isSilent = true;
  await visit(there, { cookie }, ({ security: { session } }) => session.destroy());
  world.tick(1999);
  const { session } = await open(here, cookie);
  assertEquals(session.principal, "ada");
  await assertRejects(() => session.set("n", 1), SessionGoneError);
  const reader = await open(here, cookie);
  assertEquals(reader.session.isNew, true, "a refused write asks the store, and later requests do too");
});

Deno.test("reload() asks the store, and so do update() and take()", async () => {
  using world = await warm({ cache: { staleSeconds: 60 } });
  const { there, backend } = world;
  const cookie = await signIn(there, "ada");
  await visit(there, { cookie }, ({ security: { session } }) => session.set("n", 1));
  const read = (session: Session): Promise<unknown> => session.get("n");
  await world.lookups(cookie, read);
  backend.isSilent = true;
  await visit(there, { cookie }, ({ security: { session } }) => session.set("n", 2));
  const values: unknown[] = [];
  const note = async (value: Promise<unknown>): Promise<void> => void values.push(await value);
  assertEquals(await world.lookups(cookie, (session) => note(read(session))), 0);
  await world.lookups(cookie, async (session) => {
    await session.reload();
    await note(read(session));
  });
  await world.lookups(cookie, (session) => note(session.update<number>("n", (n = 0) => n + 1)));
  assertEquals(values, [1, 2, 3]);

  // An updater that refuses the value decides on that of the store, too.
  await world.lookups(cookie, read);
  await visit(there, { cookie }, ({ security: { session } }) => session.set("n", 100));
  await world.lookups(cookie, (session) =>
    note(session.update<number>("n", (n = 0) => {
      if (n < 100) throw new RangeError("not enough");
      return 3;
    })));
  assertEquals(values.pop(), 3);

  // The last write was one of this process, so the record is read again, and then written
  // elsewhere.
  await world.lookups(cookie, read);
  await visit(there, { cookie }, ({ security: { session } }) => session.set("n", 7));
  await world.lookups(cookie, (session) => note(session.take("n")));
  assertEquals(values, [1, 2, 3, 7]);
});

Deno.test("nothing is cached while the connection is cut, and everything is looked up again when it is back", async () => {
  using world = await warm({ cache: { staleSeconds: 2 } });
  const { backend, there } = world;
  const cookie = await signUp(there);
  assertEquals([await world.lookups(cookie), await world.lookups(cookie)], [1, 0]);
  backend.isSilent = true;
  backend.changed?.(undefined);
  assertEquals([await world.lookups(cookie), await world.lookups(cookie)], [1, 1]);
  backend.isSilent = false;
  backend.changed?.(undefined);
  assertEquals(await world.lookups(cookie), 1);
  await quiet();
  assertEquals([await world.lookups(cookie), await world.lookups(cookie)], [1, 0]);
});

Deno.test("the store is asked twice in `staleSeconds` while there are requests, and never without", async () => {
  using world = await warm({ cache: { staleSeconds: 2 } });
  const { backend, there } = world;
  const cookie = await signUp(there);
  await world.lookups(cookie);
  const before = backend.confirmations;
  for (let second = 0; second < 10; second++) {
    for (let i = 0; i < 10; i++) {
      assertEquals(await world.lookups(cookie), 0);
      world.tick(100);
    }
    await quiet();
  }
  assertEquals(backend.confirmations - before, 9);
  world.tick(3_600_000);
  await quiet();
  assertEquals(backend.confirmations - before, 9);
});

Deno.test("a session whose activity or renewal is due is looked up", async () => {
  using world = await warm({ idleTimeout: 100, renewalTimeout: 50, cache: { staleSeconds: 60 } });
  const { here, there } = world;
  let cookie = await signUp(there);
  assertEquals([await world.lookups(cookie), await world.lookups(cookie)], [1, 0]);
  world.tick(10_000);
  assertEquals([await world.lookups(cookie), await world.lookups(cookie), await world.lookups(cookie)], [1, 1, 0]);
  world.tick(45_000);
  const renewed = await visit(here, { cookie });
  cookie = cookieOf(renewed);
  // The first request with the new id says that it was delivered.
  assertEquals([await world.lookups(cookie), await world.lookups(cookie), await world.lookups(cookie)], [1, 1, 0]);
});

Deno.test("a cached session ends at its deadline, unless another process has extended it", async () => {
  using world = await warm({ maxAge: 100, rolling: true, cache: { staleSeconds: 60, sessions: 10 } });
  const { here, there } = world;
  const [extended, expired] = [await signUp(there), await signUp(there)];
  await world.lookups(extended);
  await world.lookups(expired);
  world.tick(50_000);
  await visit(there, { cookie: extended });
  world.tick(50_000);
  const sessions = [await open(here, extended), await open(here, expired)];
  assertEquals(sessions.map(({ session }) => session.isNew), [false, true]);
});

Deno.test("two requests of a cached session share no values", async () => {
  using world = await warm();
  const cookie = await signUp(world.there, { list: [1] });
  const [first, second] = [await open(world.here, cookie), await open(world.here, cookie)];
  const third = await open(world.here, cookie);
  const list = await second.session.get<number[]>("list");
  list?.push(2);
  await second.session.update<number[]>("list", (list = []) => {
    list.push(3);
    throw new Error("changed its mind");
  }).catch(() => {});
  second.session.set("other", 1);
  assertEquals(await first.session.get("list"), [1]);
  assertEquals(await third.session.entries(), { list: [1] });
  await second.finish();
});

Deno.test("a cached session can be read while the store fails, until `staleSeconds` are over", async () => {
  using world = await warm({ cache: { staleSeconds: 2 } });
  const { here, there, calls } = world;
  const cookie = await signIn(there, "ada");
  world.tick(1000);
  await world.lookups(cookie);
  await quiet();
  calls.before = failing("readRecord", "setValue");
  world.backend.isSilent = true;
  world.tick(1000);
  const { session } = await open(here, cookie);
  assertEquals(session.principal, "ada");
  await assertRejects(() => session.set("n", 1), SessionStoreError);
  await assertRejects(() => open(here, cookie), SessionStoreError);
  calls.before = working;
  assertEquals((await open(here, cookie)).session.principal, "ada");
});

Deno.test("a session that this process could not remove is not served from the cache", async () => {
  using world = await warm();
  const cookie = await signIn(world.there, "ada");
  await world.lookups(cookie);
  world.calls.before = failing("delete");
  await visit(
    world.here,
    { cookie },
    ({ security: { session } }) => assertRejects(() => session.destroy(), SessionStoreError),
  );
  world.calls.before = working;
  for (let i = 0; i < 2; i++) assertEquals((await open(world.here, cookie)).session.principal, undefined);
});

Deno.test("an old id is looked up at each request, and leads to the session", async () => {
  using world = await warm();
  const old = await signUp(world.there, { n: 1 });
  const cookie = await renew(world.there, old, { graceSeconds: 60 });
  await world.lookups(cookie);
  for (let i = 0; i < 2; i++) {
    const read = async (session: Session): Promise<void> => assertEquals(await session.get("n"), 1);
    assertEquals(await world.lookups(old, read), 2);
    assertEquals(await world.lookups(cookie), 0);
  }
});

Deno.test("a middleware without `cache` asks the store, also if another one on the same store has it", async () => {
  using world = await warm();
  const cookie = await signUp(world.there);
  const plain = start({}, world.store);
  await world.lookups(cookie);
  assertEquals([await world.lookups(cookie, undefined, plain), await world.lookups(cookie)], [1, 0]);
  await visit(plain, { cookie }, ({ security: { session } }) => session.set("n", 1));
  assertEquals(await world.lookups(cookie), 1);
});

Deno.test("of several middlewares on one store, the smaller limits of the cache apply", async () => {
  using world = await warm({ cache: { staleSeconds: 2, sessions: 100 } });
  start({ cache: { staleSeconds: 60, sessions: 3 } }, world.store);
  const cookies = await Promise.all(Array.from({ length: 4 }, () => signUp(world.there)));
  for (const cookie of cookies) await world.lookups(cookie);
  const again: number[] = [];
  for (const cookie of cookies.toReversed()) again.push(await world.lookups(cookie));
  assertEquals(again, [0, 0, 0, 1]);
  world.backend.isSilent = true;
  world.tick(2000);
  assertEquals(await world.lookups(cookies[3] ?? ""), 1);
});

Deno.test("session.signal and the cache share one watch, which the cache keeps open", async () => {
  let watches = 0;
  class CountingStore extends MemoryStore {
    override async watch(changed: (key: string | undefined) => void): Promise<Watch> {
      const watch = await super.watch(changed);
      watches++;
      return {
        ...watch,
        [Symbol.asyncDispose]: () => {
          watches--;
          return Promise.resolve(watch[Symbol.asyncDispose]());
        },
      };
    }
  }
  const store = new CountingStore();
  const middleware = start({ cache: {} }, store);
  const { session, finish } = await open(middleware, await signUp(middleware));
  const { signal } = session;
  await quiet();
  assertEquals([watches, signal.aborted], [1, false]);
  await session.destroy();
  await finish();
  await quiet();
  assertEquals([watches, signal.aborted], [1, true]);
});

Deno.test("a store that refuses to be watched is reported once, and asked at each request", async () => {
  const store = new MemoryStore();
  store.watch = () => Promise.reject(new Error("no permission"));
  const events: SessionEvent[] = [];
  const { store: probed, probe: calls } = probe(store);
  const middleware = start({ cache: {}, onEvent: (event) => events.push(event) }, probed);
  const cookie = await signUp(middleware);
  for (let i = 0; i < 3; i++) {
    await visit(middleware, { cookie });
    await quiet();
  }
  assertEquals(calls.calls.filter((name) => name === "readRecord").length, 3);
  const failed = events.filter((event) => event.type === "storeFailed");
  assertEquals(failed.map(({ operation }) => operation), ["watch"]);
});

Deno.test("the cache holds decrypted values of an EncryptedStore", async () => {
  const { store, probe: calls } = probe(new MemoryStore());
  const encrypted = new EncryptedStore(store, new Uint8Array(32).fill(7));
  const middleware = start({ cache: {} }, encrypted);
  const cookie = await signUp(middleware, { n: 1 });
  for (let i = 0; i < 3; i++) {
    await visit(middleware, { cookie });
    await quiet();
  }
  calls.calls.length = 0;
  await visit(middleware, { cookie }, async ({ security: { session } }) => assertEquals(await session.get("n"), 1));
  assertEquals(calls.calls, []);
});

Deno.test("new SessionMiddleware() refuses `cache` on a store that does not report every change", () => {
  const stores: SessionStore[] = [
    new BasicStore(),
    without(new MemoryStore(), "watch"),
    without(new MemoryStore(), "reportsAll"),
    new EncryptedStore(without(new MemoryStore(), "reportsAll"), new Uint8Array(32).fill(7)),
  ];
  for (const store of stores) {
    const error = assertThrows(() => start({ cache: {} }, store), SessionNotSupportedError, 'notify: "all"');
    assert(
      error.message.startsWith("Cannot start sessions: `cache` needs a store that reports every change, and "),
      error.message,
    );
  }
});

Deno.test("an upgrade of a cached session whose renewal is due keeps its id", async () => {
  using world = await warm({ renewalTimeout: 50, cache: { staleSeconds: 60 } });
  const cookie = await signUp(world.there);
  await world.lookups(cookie);
  world.tick(51_000);
  const response = await visit(world.here, { cookie, headers: { upgrade: "websocket" } });
  assertStrictEquals(optionalCookieOf(response), undefined);
});
