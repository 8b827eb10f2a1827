/**
 * Calls of the store that fail: what the application is told, and what the session knows
 * afterwards.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
} from "../helpers/assert.ts";
import { microtasks } from "../helpers/microtasks.ts";
import { cookieOf, eventNames, open, read, signIn, signUp, start } from "../helpers/request.ts";
import { BasicStore, delayReads, failing, type Probe, probe, STORES, waiting, working } from "../helpers/stores.ts";
import {
  MemoryStore,
  type Session,
  SessionError,
  type SessionEvent,
  SessionGoneError,
  SessionStoreError,
  UnreadableRecordError,
} from "../../mod.ts";
import { StoreTimeoutError } from "../../src/persistence/store_timeout.ts";

for (const [name, make] of STORES) {
  Deno.test(`Session.get() on ${name} asks the store again after a failed write`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({ onEvent: () => {} }, store);
    const cookie = await signUp(middleware, { a: 1 });
    const { session } = await open(middleware, cookie);
    seen.before = failing("setValue");
    await assertRejects(() => session.set("a", 2), SessionStoreError, '"a"');
    assertEquals(await session.get("a"), 1);
    seen.before = failing();
    await assertRejects(() => session.set("a", 2), SessionStoreError);
    await assertRejects(() => session.get("a"), SessionStoreError);
    seen.before = working;
    await session.set("a", 3);
    assertEquals(await session.get("a"), 3);
  });

  Deno.test(`Session.get() on ${name} asks the store only once after a failed write`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({ onEvent: () => {} }, store);
    const { session } = await open(middleware, await signUp(middleware));
    seen.before = failing("setValue");
    await assertRejects(() => session.set("a", 1), SessionStoreError);
    seen.calls.length = 0;
    assertEquals(await session.get("a"), undefined);
    assertEquals(await session.get("user"), "ada");
    await session.entries();
    assertEquals(seen.calls.length, 1);
  });

  Deno.test(`Session.get() on ${name} after a failed write waits for the writes under way`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({ onEvent: () => {} }, store);
    const { session } = await open(middleware, await signUp(middleware));
    seen.before = failing("setValue");
    await assertRejects(() => session.set("a", 1), SessionStoreError);
    const gate = Promise.withResolvers<void>();
    seen.before = waiting(gate.promise, "setValue");
    seen.calls.length = 0;
    session.set("b", "under way");
    const reading = session.get("b");
    await microtasks();
    assertEquals(seen.calls, ["setValue"]);
    gate.resolve();
    assertEquals(await reading, "under way");
  });

  Deno.test(`Session.get() on ${name} after a failed write finds out that the session has ended`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({ onEvent: () => {} }, store);
    const { session } = await open(middleware, await signUp(middleware));
    seen.before = failing("setValue");
    await assertRejects(() => session.set("a", 1), SessionStoreError);
    seen.before = working;
    const id = session.sessionId;
    await store.delete(id);
    assertEquals(await session.get("user"), undefined);
    assertEquals(session.expiresAt, undefined);
    assertNotEquals(session.sessionId, id);
    await assertRejects(() => session.set("a", 1), SessionGoneError);
  });

  Deno.test(`Session.get() on ${name} after a failed write keeps a write that began before the store was asked`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({ onEvent: () => {} }, store);
    const { session } = await open(middleware, await signUp(middleware, { a: 1 }));
    let fail = true;
    const gate = Promise.withResolvers<void>();
    seen.before = (method) => {
      if (method === "setValue" && fail) throw new Error("down");
      if (method === "readRecord" || method === "get") return gate.promise;
    };
    await assertRejects(() => session.set("a", 2), SessionStoreError);
    fail = false;
    const reading = session.get("b");
    session.set("b", "written meanwhile");
    gate.resolve();
    await reading;
    assertEquals(await session.get("b"), "written meanwhile");
  });

  Deno.test(`Session.get() on ${name} after a failed write keeps changes that were made while the store was asked`, async (t) => {
    for (
      const [how, act] of [
        ["a write that has finished", async (session: Session) => await session.set("b", "meanwhile")],
        ["a write that is still under way", (session: Session, seen: Probe) => {
          seen.before = (method) => method === "setValue" ? microtasks() : undefined;
          session.set("b", "meanwhile");
        }],
        ["a new id", async (session: Session) => {
          await session.regenerate();
          await session.set("b", "meanwhile");
        }],
      ] as const
    ) {
      await t.step(how, async () => {
        const store = make();
        const { store: watched, probe: seen } = probe(store);
        const middleware = start({ onEvent: () => {} }, watched);
        const { session, finish } = await open(middleware, await signUp(middleware));
        seen.before = failing("setValue");
        await assertRejects(() => session.set("a", 1), SessionStoreError);
        seen.before = working;
        // The store has read the record, but answers late.
        const slow = delayReads(store);
        const reading = session.get("b");
        await slow.asked;
        slow.stop();
        await act(session, seen);
        slow.release();
        assertEquals(await reading, "meanwhile");
        assertEquals(await session.get("b"), "meanwhile");
        await session.set("c", 1);
        await finish();
      });
    }
  });

  Deno.test(`Session.delete() on ${name} names the operation and the key in its error`, async () => {
    const { store, probe: seen } = probe(make());
    const middleware = start({ onEvent: () => {} }, store);
    const { session } = await open(middleware, await signUp(middleware));
    seen.before = failing();
    const error = await assertRejects(() => session.delete("user"), SessionStoreError, 'Cannot delete "user"');
    assertEquals(error.operation, "delete");
  });

  Deno.test(`Session on ${name} reports a store failure of a read as well as of a write`, async () => {
    const { store, probe: seen } = probe(make());
    const events: SessionEvent[] = [];
    const middleware = start({ onEvent: (event) => events.push(event) }, store);
    const { session } = await open(middleware, await signUp(middleware));
    events.length = 0;
    seen.before = failing();
    await assertRejects(() => session.set("a", 1), SessionStoreError);
    await assertRejects(() => session.get("a"), SessionStoreError);
    assertEquals(eventNames(events), ["storeFailed", "storeFailed"]);
    if (!(store instanceof MemoryStore)) return;
    events.length = 0;
    const { sessions } = middleware;
    await assertRejects(() => sessions.list("ada", { current: session.sessionId }), SessionStoreError);
    await assertRejects(() => sessions.revokeAll("ada"), SessionStoreError);
    assertEquals(eventNames(events), ["storeFailed", "storeFailed"]);
  });
}

Deno.test("Session on a basic store keeps the first write if the second one is refused", async () => {
  const store = new BasicStore();
  const real = store.setValue.bind(store);
  store.setValue = (sid, key, value) => value === 13 ? Promise.reject(new TypeError("13")) : real(sid, key, value);
  const middleware = start({ onEvent: () => {} }, store);
  const { session, finish } = await open(middleware);
  const first = session.set("a", 1);
  const second = session.set("n", 13);
  await first;
  await assertRejects(() => second, SessionStoreError, '"n"');
  assertEquals(await session.get("a"), 1);
  assertEquals(await read(middleware, cookieOf(await finish()), "a"), 1);
});

Deno.test("SessionGoneError has the error of a basic store as its cause", async () => {
  const store = new BasicStore();
  const middleware = start({}, store);
  const { session } = await open(middleware, await signUp(middleware));
  await store.delete(session.sessionId);
  const error = await assertRejects(() => session.set("a", 1), SessionGoneError);
  assertEquals((error.cause as Error).message, "no such session");
});

Deno.test("Session never shows the error classes of a store, and no id in a message", async () => {
  const { store, probe: seen } = probe(new BasicStore());
  const middleware = start({ onEvent: () => {} }, store);
  const { session } = await open(middleware, await signUp(middleware));
  seen.before = (_method, args) => {
    throw new Error(`no ${args[0]}`);
  };
  for (const act of [() => session.set("a", 1), () => session.regenerate(), () => session.destroy()]) {
    const error = await assertRejects(act, SessionError);
    assert(!error.message.includes(session.sessionId));
    assertMatch(error.message, /^Cannot (set "a"|regenerate|destroy): BasicStore failed; [a-z `,;]+$/);
  }
});

Deno.test("A SessionStoreError names the store, what became of the session and what to do", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const middleware = start({ onEvent: () => {}, storeTimeout: 0.01 }, store);
  const cookie = await signIn(middleware, "ada");
  const { session } = await open(middleware, cookie);
  const { session: visitor } = await open(middleware);
  const { sessions } = middleware;
  const calls: [call: () => Promise<unknown>, action: string, outcome: string][] = [
    [() => open(middleware, cookie), "get", "nothing was changed"],
    [() => sessions.list("ada"), "list", "nothing was changed"],
    [() => sessions.revokeAll("ada"), "list", "nothing was changed"],
    [() => sessions.count(), "count", "nothing was changed"],
    [() => sessions.users(), "list the users", "nothing was changed"],
    [() => visitor.set("a", 1), "create", "the visitor gets no session"],
    [() => session.set("a", 1), 'set "a"', "the change may or may not be stored"],
    [() => session.update("a", () => 1), 'update "a"', "the change may or may not be stored"],
    [() => session.take("user"), 'take "user"', "the change may or may not be stored"],
    [() => session.setMaxAge(60), "set the lifetime", "the change may or may not be stored"],
    [() => session.clear(), "clear", "the values may still be stored, and the user may still be signed in"],
    [() => session.regenerate(), "regenerate", "the session may have a new id that the visitor does not receive"],
    [() => sessions.revokeEverybody(), "end all sessions", "some sessions may not have ended"],
    [() => session.destroy(), "destroy", "the session may not have ended"],
  ];
  for (const [call, action, outcome] of calls) {
    seen.before = () => Promise.reject(new Error("down"));
    const { message } = await assertRejects(call, SessionStoreError);
    assertEquals(
      message,
      `Cannot ${action}: MemoryStore failed; ${outcome}; see \`cause\`, and try again when the store works`,
    );
  }
});

Deno.test("A write that waited for a touch() that timed out is not read back", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const middleware = start({ onEvent: () => {}, storeTimeout: 0.01, idleTimeout: 60 }, store);
  const cookie = await signUp(middleware, { a: 1 });
  const { session } = await open(middleware, cookie);
  assertEquals(await session.get("a"), 1);
  seen.before = () => new Promise(() => {});
  const calls = await Promise.allSettled([session.touch(), session.set("a", 2)]);
  assertEquals(calls.map(({ status }) => status), ["rejected", "rejected"]);
  seen.before = working;
  assertEquals(await session.get("a"), 1);
});

Deno.test("A call that waited for another request's call on a basic store fails with a message of its own", async () => {
  const { store, probe: seen } = probe(new BasicStore());
  const middleware = start({ onEvent: () => {}, storeTimeout: 0.02 }, store);
  const cookie = await signUp(middleware);
  const [first, second] = await Promise.all([open(middleware, cookie), open(middleware, cookie)]);
  seen.before = () => new Promise(() => {});
  const write = first.session.set({ a: 1, b: 2 });
  const later = second.session.set("c", 3);
  await assertRejects(() => write, SessionStoreError, "BasicStore did not answer within 0.02 s");
  await assertRejects(
    () => later,
    SessionStoreError,
    'Cannot set "c": BasicStore did not answer an earlier call within 0.02 s, so this call was not sent to it; try again when the store works',
  );
});

Deno.test("What the function of an update throws says nothing about the session that is updated", async (t) => {
  const errors: Record<string, () => Error> = {
    "a timeout of another store": () =>
      new SessionStoreError("set", "Cannot set", { cause: new StoreTimeoutError("OtherStore", 1) }),
    "the end of another session": () => new SessionGoneError("set"),
    "an unreadable record": () => new UnreadableRecordError("get", "Cannot get"),
  };
  for (const [name, create] of Object.entries(errors)) {
    await t.step(name, async () => {
      const events: SessionEvent[] = [];
      const middleware = start({ onEvent: (event) => events.push(event) }, new MemoryStore());
      const cookie = await signUp(middleware);
      const [first, second] = await Promise.all([open(middleware, cookie), open(middleware, cookie)]);
      const error = create();
      const fail = (): never => {
        throw error;
      };
      const [update, ...later] = await Promise.allSettled([
        first.session.update("n", fail),
        first.session.set("b", 2),
        second.session.update("n", () => 3),
      ]);
      assertStrictEquals(update?.status === "rejected" && update.reason, error);
      assertEquals(later.map(({ status }) => status), ["fulfilled", "fulfilled"]);
      assertEquals((await first.finish()).headers.getSetCookie(), []);
      events.length = 0;
      second.session.update("n", fail);
      assertStrictEquals(await assertRejects(() => second.finish(), Error), error);
      assertEquals(events.map((event) => event.type === "writeFailed" && event.error === error), [true]);
      assertEquals([await read(middleware, cookie, "b"), await read(middleware, cookie, "n")], [2, 3]);
    });
  }
});

Deno.test("A SessionStoreError says whether a call timed out, did not run, or was refused", async () => {
  const { store, probe: seen } = probe(new MemoryStore());
  const middleware = start({ onEvent: () => {}, storeTimeout: 0.01 }, store);
  const cookie = await signUp(middleware);
  const { session } = await open(middleware, cookie);
  seen.before = () => new Promise(() => {});
  const write = session.set("a", 1);
  const end = session.destroy();
  await assertRejects(
    () => write,
    SessionStoreError,
    'Cannot set "a": MemoryStore did not answer within 0.01 s; the change may or may not be stored',
  );
  await assertRejects(
    () => end,
    SessionStoreError,
    "Cannot destroy: MemoryStore did not answer an earlier call within 0.01 s, so this call was not sent to it; try again when the store works; the session may not have ended",
  );

  seen.before = working;
  const { session: next } = await open(middleware, cookie);
  seen.before = () => Promise.reject(new RangeError("a value has at most 1 MB"));
  await assertRejects(
    () => next.set("a", 1),
    SessionStoreError,
    'Cannot set "a": MemoryStore refused a value; nothing was changed; see `cause`',
  );
});
