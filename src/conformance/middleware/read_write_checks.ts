/**
 * Checks of reading and writing values in requests.
 *
 * @module
 */
import type { SessionStore } from "../../session_store.ts";
import type { Check } from "../check.ts";
import { expectEqual, show } from "../expect.ts";
import { expectValue, serveBoth } from "./request_fixtures.ts";
import { Visitor } from "./visitor.ts";

/** Checks of `get()`, `set()`, `delete()` and `entries()`. */
export function readWriteChecks(a: SessionStore, b: SessionStore): Check[] {
  return [{
    name: "a visitor who writes nothing gets no session; the first write creates one, and the next request finds it",
    run: async () => {
      const [first, second] = serveBoth(a, b);
      const visitor = new Visitor(first);
      await visitor.visit((session) => session.get("key"));
      expectEqual(visitor.cookie, undefined, "cookie of a visitor who wrote nothing");
      await visitor.visit((session) => session.set("key", { list: [1] }));
      expectEqual(typeof visitor.cookie, "string", "type of the cookie after a write");
      const next = visitor.at(second);
      await expectValue(next, { list: [1] }, "in the request after the first write");
      await next.visit((session) => session.set("other", 1));
      const entries = await visitor.visit((session) => session.entries());
      expectEqual({ ...entries }, { key: { list: [1] }, other: 1 }, "entries() after two writes");
      expectEqual(await visitor.visit((session) => session.isNew), false, "isNew of a visitor who has a session");
    },
  }, {
    name: "unusual keys are distinct, also those that begin like the session's own keys in the store",
    run: async () => {
      const [first, second] = serveBoth(a, b);
      const keys = ["", "__proto__", "constructor", "\0", "__session", "__session:", "__session:__session", "🍪"];
      const visitor = await Visitor.signUp(first, "__session", 0);
      await visitor.visit(async (session) => {
        for (const key of keys) await session.set(key, `of ${show(key)}`);
      });
      await visitor.at(second).visit(async (session) => {
        for (const key of keys) expectEqual(await session.get(key), `of ${show(key)}`, `get() of ${show(key)}`);
        expectEqual(Object.keys(await session.entries()).sort(), keys.toSorted(), "keys in entries()");
        for (const key of keys) await session.delete(key);
      });
      const left = await visitor.visit((session) => session.entries());
      expectEqual(Object.keys(left), [], "keys in entries() after each was deleted");
    },
  }, {
    name: "50 concurrent requests that write different keys of one session are all kept",
    run: async () => {
      const [first, second] = serveBoth(a, b);
      const visitor = await Visitor.signUp(first);
      const numbers = Array.from({ length: 50 }, (_, n) => n);
      await Promise.all(
        numbers.map((n) => visitor.at(n % 2 ? second : first).visit((session) => session.set(`key ${n}`, n))),
      );
      const entries = await visitor.visit((session) => session.entries());
      const expected = Object.fromEntries([["key", "value"], ...numbers.map((n) => [`key ${n}`, n])]);
      expectEqual({ ...entries }, expected, "entries() after 50 concurrent requests");
    },
  }];
}

/** Checks of `update()`, `take()` and `clear()`. */
export function atomicReadWriteChecks(a: SessionStore, b: SessionStore): Check[] {
  return [{
    name: "200 concurrent requests that increment with update() all count",
    run: async () => {
      const [first, second] = serveBoth(a, b);
      const visitor = await Visitor.signUp(first, "n", 0);
      const requests = Array.from({ length: 200 }, (_, n) => visitor.at(n % 2 ? second : first));
      await Promise.all(
        requests.map((request) => request.visit((session) => session.update("n", (n: number) => n + 1))),
      );
      expectEqual(await visitor.visit((session) => session.get("n")), 200, "sum of 200 concurrent update()");
    },
  }, {
    name: "of 50 concurrent requests that take() one value, exactly one gets it",
    run: async () => {
      const [first, second] = serveBoth(a, b);
      const visitor = await Visitor.signUp(first, "ticket", "the only one");
      const requests = Array.from({ length: 50 }, (_, n) => visitor.at(n % 2 ? second : first));
      const taken = await Promise.all(requests.map((request) => request.visit((session) => session.take("ticket"))));
      expectEqual(taken.filter((value) => value !== undefined), ["the only one"], "results of 50 concurrent take()");
      expectEqual(await visitor.visit((session) => session.has("ticket")), false, "has() after take()");
    },
  }, {
    name: "clear() removes every value and keeps the session",
    run: async () => {
      const [first, second] = serveBoth(a, b);
      const visitor = await Visitor.signUp(first);
      await visitor.visit((session) => session.set("__proto__", 1));
      await visitor.at(second).visit((session) => session.clear());
      const entries = await visitor.visit((session) => session.entries());
      expectEqual(Object.keys(entries), [], "keys in entries() after clear()");
      expectEqual(await visitor.visit((session) => session.isNew), false, "isNew after clear()");
    },
  }, {
    name: "set() writes several values at once and keeps the others, and regenerate() writes them with the new id",
    run: async () => {
      const [first, second] = serveBoth(a, b);
      const visitor = await Visitor.signUp(first);
      const values = (at: Visitor): Promise<unknown> => at.visit(async (session) => ({ ...await session.entries() }));
      const both = [visitor.at(first), visitor.at(second)];
      await Promise.all(both.map((at, n) => at.visit((session) => session.set({ [`a${n}`]: n, [`b${n}`]: [n] }))));
      const expected = { key: "value", a0: 0, b0: [0], a1: 1, b1: [1] };
      expectEqual(await values(visitor.at(second)), expected, "entries() after two concurrent set() of two values");
      await visitor.visit((session) =>
        session.regenerate({ label: "A device", set: { key: undefined, a1: 2, __proto: 1 } })
      );
      const moved = { a0: 0, b0: [0], a1: 2, b1: [1], __proto: 1 };
      expectEqual(await values(visitor.at(second)), moved, "entries() after regenerate() with values");
      const label = await visitor.at(second).visit((session) => session.label);
      expectEqual(label, "A device", "label after regenerate()");
      await visitor.visit((session) => session.setLabel("Another \u{1f427} 'name'"));
      const changed = await visitor.at(second).visit((session) => session.label);
      expectEqual(changed, "Another \u{1f427} 'name'", "label after setLabel()");
    },
  }];
}
