/**
 * Checks of `session.destroy()` in requests.
 *
 * @module
 */
import type { SessionStore } from "../../session_store.ts";
import type { Check } from "../check.ts";
import { expectEqual } from "../expect.ts";
import { expectGone } from "../record_store/record_fixtures.ts";
import { expectNewSession, serveBoth, WRITES } from "./request_fixtures.ts";
import { Visitor } from "./visitor.ts";

/** Checks of `destroy()` during writes. */
export function destroyChecks(a: SessionStore, b: SessionStore): Check[] {
  return [{
    name: "writes to a destroyed session reject, also in requests in progress, and do not bring it back",
    run: async () => {
      const [first, second] = serveBoth(a, b);
      for (const [what, write] of WRITES) {
        const visitor = await Visitor.signUp(first);
        const old = visitor.at(second);
        const request = await old.begin();
        const sid = request.session.sessionId;
        await visitor.visit((session) => session.destroy());
        await expectGone(`${what} in a request that began before destroy()`, () => write(request.session));
        await request.finish();
        const destroyed = `a destroyed session, after ${what} rejected`;
        expectEqual(await b.exist(sid), false, `exist() of ${destroyed}`);
        expectEqual(await a.get(sid), undefined, `get() of ${destroyed}`);
        await expectNewSession(old, destroyed);
        expectEqual(visitor.cookie, undefined, "cookie after destroy()");
      }
    },
  }, {
    name: "a session that is destroyed during concurrent writes stays destroyed",
    run: async () => {
      const [first, second] = serveBoth(a, b);
      for (let round = 0; round < 5; round++) {
        const visitor = await Visitor.signUp(first);
        const old = visitor.at(second);
        const { session } = await visitor.begin();
        const { sessionId } = session;
        const requests = await Promise.all(Array.from({ length: 6 }, () => old.begin()));
        const write = (from: number, to: number): Promise<unknown>[] =>
          requests.slice(from, to).map(({ session }, n) => session.set(`key ${n}`, n));
        await Promise.allSettled([...write(0, round), session.destroy(), ...write(round, 6)]);
        await Promise.allSettled(requests.map(({ finish }) => finish()));
        const destroyed = "a session that was destroyed during concurrent writes";
        expectEqual(await b.exist(sessionId), false, `exist() of ${destroyed}`);
        await expectNewSession(old, destroyed);
      }
    },
  }];
}

/** Checks of `destroy()` during and after `regenerate()`. */
export function atomicDestroyChecks(a: SessionStore, b: SessionStore): Check[] {
  return [{
    name: "a session that is destroyed during a grace period is gone under both ids",
    run: async () => {
      const [first, second] = serveBoth(a, b);
      for (const destroysByOldId of [true, false]) {
        const visitor = await Visitor.signUp(first);
        const old = visitor.at(second);
        await visitor.visit((session) => session.regenerate({ graceSeconds: 30 }));
        const request = await (destroysByOldId ? visitor : old).begin();
        await (destroysByOldId ? old : visitor.at(second)).visit((session) => session.destroy());
        const what = "set() in a request that began before destroy()";
        await expectGone(what, () => request.session.set("key", "too late"));
        await request.finish();
        await expectNewSession(old, "the replaced id of a destroyed session");
        await expectNewSession(visitor, "a destroyed session");
      }
    },
  }, {
    name: "a session that is destroyed during regenerate() is gone under both ids",
    run: async () => {
      const [first, second] = serveBoth(a, b);
      for (let round = 0; round < 10; round++) {
        const visitor = await Visitor.signUp(first);
        const old = visitor.at(second);
        const regenerating = await old.begin();
        const destroying = await visitor.begin();
        const { sessionId } = destroying.session;
        await (round % 2
          ? Promise.allSettled([destroying.session.destroy(), regenerating.session.regenerate()])
          : Promise.allSettled([regenerating.session.regenerate(), destroying.session.destroy()]));
        const sids = [sessionId, regenerating.session.sessionId];
        await Promise.allSettled([regenerating.finish(), destroying.finish()]);
        const destroyed = "a session that was destroyed during regenerate()";
        for (const sid of sids) expectEqual(await b.exist(sid), false, `exist() of ${destroyed}`);
        await expectNewSession(old, destroyed);
      }
    },
  }];
}
