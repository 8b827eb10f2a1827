/**
 * What sessions on a store have to do: requests through the middleware.
 *
 * @module
 */
import type { SessionOptions } from "../options.ts";
import type { Session } from "../session.ts";
import { SessionMiddleware } from "../session_middleware.ts";
import type { SessionStore } from "../session_store.ts";
import { isPrincipalStore, isRecordStore } from "../session_store.ts";
import { type Check, note, type OpenBench } from "./bench.ts";
import { Clock } from "./clock.ts";
import { expect, expectEqual, show } from "./expect.ts";
import { expectGone } from "./record_steps.ts";
import { Visitor } from "./visitor.ts";

const SECRET = SessionMiddleware.generateSecret();

/** A server on a store. All of them have one secret, as the processes of one application have. */
function serve(store: SessionStore, options: Partial<SessionOptions> = {}): SessionMiddleware {
  return new SessionMiddleware(store, { secret: SECRET, maxAge: 3600, onEvent: () => {}, ...options });
}

/** Two servers, which are one where the store is the same. */
function serveBoth(
  a: SessionStore,
  b: SessionStore,
  options?: Partial<SessionOptions>,
): [SessionMiddleware, SessionMiddleware] {
  const first = serve(a, options);
  return [first, a === b ? first : serve(b, options)];
}

/** Fails unless a request comes without a session, whatever its cookie says. */
async function expectNew(visitor: Visitor, what: string): Promise<void> {
  const found = await visitor.visit(async (session) => ({ isNew: session.isNew, key: await session.get("key") }));
  expectEqual(found, { isNew: true, key: undefined }, `a request with the cookie of ${what}`);
}

/** Fails unless a request finds a value. */
async function expectValue(visitor: Visitor, value: unknown, what: string): Promise<void> {
  expectEqual(await visitor.visit((session) => session.get("key")), value, `a request's value, ${what}`);
}

/** Every way to write to a session. */
const WRITES: [string, (session: Session) => Promise<unknown>][] = [
  ["set()", (session) => session.set("key", "too late")],
  ["delete()", (session) => session.delete("key")],
  ["update()", (session) => session.update("key", () => "too late")],
  ["take()", (session) => session.take("key")],
  ["clear()", (session) => session.clear()],
  ["touch()", (session) => session.touch()],
  ["regenerate()", (session) => session.regenerate()],
  ["regenerate() with a grace", (session) => session.regenerate({ graceSeconds: 60 })],
  ["csrfToken() after set()", (session) => session.set("key", "too late").then(() => session.csrfToken())],
];

/** What holds on any store, however many processes share it. */
function simple(a: SessionStore, b: SessionStore): Check[] {
  return [{
    name: "a visitor who writes nothing makes no session; the first write makes one, and the next request finds it",
    run: async () => {
      const [first, second] = serveBoth(a, b);
      const visitor = new Visitor(first);
      await visitor.visit((session) => session.get("key"));
      expectEqual(visitor.cookie, undefined, "the cookie of a visitor who wrote nothing");
      await visitor.visit((session) => session.set("key", { list: [1] }));
      expectEqual(typeof visitor.cookie, "string", "the type of a visitor's cookie after a write");
      const next = visitor.at(second);
      await expectValue(next, { list: [1] }, "after the first write");
      await next.visit((session) => session.set("other", 1));
      const entries = await visitor.visit((session) => session.entries());
      expectEqual({ ...entries }, { key: { list: [1] }, other: 1 }, "entries() after two requests");
      expectEqual(await visitor.visit((session) => session.isNew), false, "isNew of a visitor who has a session");
    },
  }, {
    name: "odd keys stay apart, also those that begin like the session's own",
    run: async () => {
      const [first, second] = serveBoth(a, b);
      const keys = ["", "__proto__", "constructor", "\0", "__session", "__session:", "__session:__session", "🍪"];
      const visitor = await Visitor.signUp(first, "__session", 0);
      await visitor.visit(async (session) => {
        for (const key of keys) await session.set(key, `of ${show(key)}`);
      });
      await visitor.at(second).visit(async (session) => {
        for (const key of keys) expectEqual(await session.get(key), `of ${show(key)}`, `get() of ${show(key)}`);
        expectEqual(Object.keys(await session.entries()).sort(), keys.toSorted(), "the keys in entries()");
        for (const key of keys) await session.delete(key);
      });
      const left = await visitor.visit((session) => session.entries());
      expectEqual(Object.keys(left), [], "the keys in entries() after each was deleted");
    },
  }, {
    name: "50 requests of one session write different keys at once: none is lost",
    run: async () => {
      const [first, second] = serveBoth(a, b);
      const visitor = await Visitor.signUp(first);
      const numbers = Array.from({ length: 50 }, (_, n) => n);
      await Promise.all(
        numbers.map((n) => visitor.at(n % 2 ? second : first).visit((session) => session.set(`key ${n}`, n))),
      );
      const entries = await visitor.visit((session) => session.entries());
      const expected = Object.fromEntries([["key", "value"], ...numbers.map((n) => [`key ${n}`, n])]);
      expectEqual({ ...entries }, expected, "entries() after 50 requests at once");
    },
  }, {
    name: "a session ends at its deadline: later requests and writes under way are refused",
    run: async () => {
      using clock = new Clock();
      const [first, second] = serveBoth(a, b, { maxAge: 60 });
      const visitor = await Visitor.signUp(first);
      clock.tick(59_999);
      await expectValue(visitor.at(second), "value", "a millisecond before the deadline");
      const late = await visitor.at(second).begin();
      clock.tick(1);
      for (const [what, write] of WRITES) {
        await expectGone(`${what} of a request under way at the deadline`, () => write(late.session));
      }
      await late.finish();
      await expectNew(visitor.at(first), "an expired session");
      await expectNew(visitor.at(second), "an expired session");
    },
  }, {
    name: "activity keeps a session with an idle limit, and silence ends it",
    run: async () => {
      using clock = new Clock();
      const [first, second] = serveBoth(a, b, { maxAge: undefined, idleTimeout: 60 });
      const visitor = await Visitor.signUp(first);
      for (let n = 0; n < 4; n++) {
        clock.tick(50_000);
        await expectValue(visitor.at(n % 2 ? first : second), "value", "50 seconds after the last request, of 60");
      }
      clock.tick(60_000);
      await expectNew(visitor.at(second), "a session that was idle for too long");
    },
  }, {
    name: "a new id keeps the data, and the old id is dead at once, also for writes under way",
    run: async () => {
      const [first, second] = serveBoth(a, b);
      const visitor = await Visitor.signUp(first);
      const old = visitor.at(second);
      const late = await Promise.all(WRITES.map(() => old.begin()));
      const before = await visitor.visit((session) => session.sessionId);
      await visitor.visit((session) => session.regenerate());
      const after = await visitor.visit((session) => session.sessionId);
      expect(before !== after && visitor.cookie !== old.cookie, "regenerate(): expected another id and cookie");
      expectEqual(await b.exist(before), false, "exist() of the id before regenerate()");
      for (const [n, [what, write]] of WRITES.entries()) {
        const { session } = late[n] ?? await old.begin();
        await expectGone(`${what} of a request under way with the id before regenerate()`, () => write(session));
      }
      await expectNew(old, "the id before regenerate()");
      await expectValue(visitor, "value", "after regenerate()");
      await expectValue(visitor.at(second), "value", "after regenerate()");
    },
  }, {
    name: "a destroyed session is gone: writes of requests under way are refused, and nothing comes back",
    run: async () => {
      const [first, second] = serveBoth(a, b);
      for (const [what, write] of WRITES) {
        const visitor = await Visitor.signUp(first);
        const old = visitor.at(second);
        const late = await old.begin();
        const sid = late.session.sessionId;
        await visitor.visit((session) => session.destroy());
        await expectGone(
          `${what} of a request under way while another destroyed the session`,
          () => write(late.session),
        );
        await late.finish();
        expectEqual(await b.exist(sid), false, `exist() of a destroyed session, after ${what} was refused`);
        expectEqual(await a.get(sid), undefined, `get() of a destroyed session, after ${what} was refused`);
        await expectNew(old, `a destroyed session, after ${what} was refused`);
        expectEqual(visitor.cookie, undefined, "the cookie after destroy()");
      }
    },
  }, {
    name: "a session that is destroyed beside writes stays destroyed",
    run: async () => {
      const [first, second] = serveBoth(a, b);
      for (let round = 0; round < 5; round++) {
        const visitor = await Visitor.signUp(first);
        const old = visitor.at(second);
        const { session } = await visitor.begin();
        const { sessionId } = session;
        const late = await Promise.all(Array.from({ length: 6 }, () => old.begin()));
        const write = (from: number, to: number): Promise<unknown>[] =>
          late.slice(from, to).map(({ session }, n) => session.set(`key ${n}`, n));
        await Promise.allSettled([...write(0, round), session.destroy(), ...write(round, 6)]);
        await Promise.allSettled(late.map(({ finish }) => finish()));
        expectEqual(await b.exist(sessionId), false, "exist() of a session that was destroyed beside writes");
        await expectNew(old, "a session that was destroyed beside writes");
      }
    },
  }];
}

/** What takes one step, within an instance on any store, across instances on a `RecordStore`. */
function atomic(a: SessionStore, b: SessionStore): Check[] {
  return [{
    name: "200 increments with update() in as many requests at once end at 200",
    run: async () => {
      const [first, second] = serveBoth(a, b);
      const visitor = await Visitor.signUp(first, "n", 0);
      const requests = Array.from({ length: 200 }, (_, n) => visitor.at(n % 2 ? second : first));
      await Promise.all(
        requests.map((request) => request.visit((session) => session.update("n", (n: number) => n + 1))),
      );
      expectEqual(await visitor.visit((session) => session.get("n")), 200, "the sum of 200 update() at once");
    },
  }, {
    name: "of 50 take() in as many requests at once, one gets the value",
    run: async () => {
      const [first, second] = serveBoth(a, b);
      const visitor = await Visitor.signUp(first, "ticket", "the only one");
      const requests = Array.from({ length: 50 }, (_, n) => visitor.at(n % 2 ? second : first));
      const taken = await Promise.all(requests.map((request) => request.visit((session) => session.take("ticket"))));
      expectEqual(taken.filter((value) => value !== undefined), ["the only one"], "what 50 take() at once returned");
      expectEqual(await visitor.visit((session) => session.has("ticket")), false, "has() after take()");
    },
  }, {
    name: "clear() leaves no value",
    run: async () => {
      const [first, second] = serveBoth(a, b);
      const visitor = await Visitor.signUp(first);
      await visitor.visit((session) => session.set("__proto__", 1));
      await visitor.at(second).visit((session) => session.clear());
      const entries = await visitor.visit((session) => session.entries());
      expectEqual(Object.keys(entries), [], "the keys in entries() after clear()");
      expectEqual(await visitor.visit((session) => session.isNew), false, "isNew after clear()");
    },
  }, {
    name: "with a grace the old id leads to the session for that time, and no longer",
    run: async () => {
      using clock = new Clock();
      const [first, second] = serveBoth(a, b);
      const visitor = await Visitor.signUp(first);
      const old = visitor.at(second);
      const late = await old.begin();
      await visitor.visit((session) => session.regenerate({ graceSeconds: 30 }));
      await late.session.set("written by", "a request under way");
      await late.finish();
      clock.tick(29_999);
      const { cookie } = old;
      await expectValue(old, "value", "with the old id, a millisecond before its grace is over");
      await old.visit((session) => session.set("key", "by the old id"));
      expectEqual(old.cookie, cookie, "the cookie of a visitor with the old id, who must not be given the new one");
      await expectValue(visitor, "by the old id", "after a write with the old id in its grace");
      expectEqual(
        await visitor.visit((session) => session.get("written by")),
        "a request under way",
        "what a request under way wrote with the old id in its grace",
      );
      clock.tick(1);
      await expectNew(old, "a replaced id after its grace");
      await expectValue(visitor, "by the old id", "with the new id, after the grace of the old one");
    },
  }, {
    name: "a session that is destroyed in the grace of an older id is gone for both",
    run: async () => {
      const [first, second] = serveBoth(a, b);
      for (const destroysByOld of [true, false]) {
        const visitor = await Visitor.signUp(first);
        const old = visitor.at(second);
        await visitor.visit((session) => session.regenerate({ graceSeconds: 30 }));
        const late = await (destroysByOld ? visitor : old).begin();
        await (destroysByOld ? old : visitor.at(second)).visit((session) => session.destroy());
        await expectGone("set() of a request under way", () => late.session.set("key", "too late"));
        await late.finish();
        await expectNew(old, "an older id of a destroyed session");
        await expectNew(visitor, "a destroyed session");
      }
    },
  }, {
    name: "a session that is destroyed while it gets a new id is gone",
    run: async () => {
      const [first, second] = serveBoth(a, b);
      for (let round = 0; round < 10; round++) {
        const visitor = await Visitor.signUp(first);
        const another = visitor.at(second);
        const renewing = await another.begin();
        const ending = await visitor.begin();
        const { sessionId } = ending.session;
        await (round % 2
          ? Promise.allSettled([ending.session.destroy(), renewing.session.regenerate()])
          : Promise.allSettled([renewing.session.regenerate(), ending.session.destroy()]));
        const ids = [sessionId, renewing.session.sessionId];
        await Promise.allSettled([renewing.finish(), ending.finish()]);
        for (const id of ids) {
          expectEqual(await b.exist(id), false, "exist() of a session that was destroyed while it got a new id");
        }
        await expectNew(another, "a session that was destroyed while it got a new id");
      }
    },
  }];
}

/** Checks of requests that reach one instance. */
export function inOneInstance({ store }: OpenBench): Check[] {
  return [...simple(store, store), ...atomic(store, store)];
}

/** Checks of requests that reach one instance or another. */
export function acrossInstances({ store, other }: OpenBench): Check[] {
  if (other === undefined) {
    return [note("instances do not share their sessions: an application on this store runs in one process")];
  }
  if (isRecordStore(store) && isRecordStore(other)) return [...simple(store, other), ...atomic(store, other)];
  return [
    ...simple(store, other),
    note(
      "does not have RecordStore: with several processes concurrent update() can lose an update, take() can give one value " +
        "to two, and a grace holds only where the new id was given",
    ),
  ];
}

/** Checks of the sessions of users. */
export function usersSessions(bench: OpenBench): Check[] {
  const pairs = bench.pairs(isPrincipalStore);
  if (pairs.length > 0) return pairs.flatMap(({ where, a, b }) => usersOf(where, a, b));
  return [note("does not have PrincipalStore")];
}

function usersOf(where: string, a: SessionStore, b: SessionStore): Check[] {
  /** Signs a user in, from a new browser. */
  const signIn = async (server: SessionMiddleware, principal: string): Promise<Visitor> => {
    const visitor = await Visitor.signUp(server);
    await visitor.visit((session) => session.regenerate({ principal }));
    return visitor;
  };
  return [{
    name: `a user's sessions are listed, and one is revoked, also for a request under way, ${where}`,
    run: async () => {
      const [first, second] = serveBoth(a, b);
      const [laptop, phone] = [await signIn(first, "ada"), await signIn(second, "ada")];
      const bob = await signIn(first, "bob");
      const current = await laptop.visit((session) => session.sessionId);
      const sessions = await second.sessions.list("ada", { current });
      expectEqual(
        sessions.map((session) => session.current).sort(),
        [false, true],
        "`current` of a user's two sessions",
      );
      const { handle } = sessions.find((session) => !session.current) ?? { handle: "" };
      const late = await phone.begin();
      expectEqual(await first.sessions.revoke("bob", handle), false, "revoke() of another user's session");
      expectEqual(await first.sessions.revoke("ada", handle), true, "revoke() of a user's session");
      expectEqual(await first.sessions.revoke("ada", handle), false, "revoke() of a session that is gone");
      await expectGone("set() of a request under way while its session was revoked", () => late.session.set("key", 1));
      await late.finish();
      await expectNew(phone, "a revoked session");
      await expectValue(laptop.at(second), "value", "in the session that was not revoked");
      await expectValue(bob.at(second), "value", "in another user's session");
      expectEqual((await second.sessions.list("ada")).length, 1, "how many sessions are listed after revoke()");
    },
  }, {
    name: `all of a user's sessions are revoked but the one that asks, ${where}`,
    run: async () => {
      const [first, second] = serveBoth(a, b);
      const [laptop, phone, tablet] = [
        await signIn(first, "ada"),
        await signIn(second, "ada"),
        await signIn(second, "ada"),
      ];
      const bob = await signIn(first, "bob");
      const except = await laptop.visit((session) => session.sessionId);
      expectEqual(await second.sessions.revokeAll("ada", { except }), 2, "how many revokeAll() has ended");
      await expectNew(phone.at(first), "a revoked session");
      await expectNew(tablet.at(second), "a revoked session");
      await expectValue(laptop.at(second), "value", "in the session that was kept");
      await expectValue(bob, "value", "in another user's session");
      expectEqual(await first.sessions.revokeAll("ada"), 1, "how many revokeAll() has ended without `except`");
      await expectNew(laptop, "a revoked session");
    },
  }, {
    name: `a user who signs in too often loses the oldest session, ${where}`,
    run: async () => {
      using clock = new Clock();
      const [first, second] = serveBoth(a, b, { maxSessionsPerPrincipal: 2 });
      const visitors: Visitor[] = [];
      for (let n = 0; n < 4; n++) {
        clock.tick(1000);
        visitors.push(await signIn(n % 2 ? second : first, "ada"));
      }
      for (const visitor of visitors.slice(0, 2)) {
        await expectNew(visitor, "the oldest session of a user with too many");
      }
      for (const visitor of visitors.slice(2)) {
        await expectValue(visitor, "value", "in one of a user's newest sessions");
      }
    },
  }, {
    name: `a session that is cleared is no longer its user's, ${where}`,
    run: async () => {
      const [first, second] = serveBoth(a, b);
      const visitor = await signIn(first, "ada");
      expectEqual(await visitor.at(second).visit((session) => session.principal), "ada", "principal after the sign-in");
      await visitor.at(second).visit((session) => session.clear());
      expectEqual(await visitor.visit((session) => session.principal), undefined, "principal after clear()");
      expectEqual(await first.sessions.list("ada"), [], "the user's sessions after clear()");
    },
  }];
}
