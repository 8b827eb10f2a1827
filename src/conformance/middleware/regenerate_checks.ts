/**
 * Checks of `session.regenerate()` in requests.
 *
 * @module
 */
import type { SessionStore } from "../../session_store.ts";
import type { Check } from "../check.ts";
import { Clock } from "../clock.ts";
import { expect, expectEqual } from "../expect.ts";
import { expectGone } from "../record_store/record_fixtures.ts";
import { expectNewSession, expectValue, serveBoth, WRITES } from "./request_fixtures.ts";
import { Visitor } from "./visitor.ts";

/** Checks of `regenerate()` without a grace period. */
export function regenerateChecks(a: SessionStore, b: SessionStore): Check[] {
  return [{
    name:
      "regenerate() keeps the values under a new id; the old id is invalid immediately, also in requests in progress",
    run: async () => {
      const [first, second] = serveBoth(a, b);
      const visitor = await Visitor.signUp(first);
      const old = visitor.at(second);
      const requests = await Promise.all(WRITES.map(() => old.begin()));
      const oldId = await visitor.visit((session) => session.sessionId);
      await visitor.visit((session) => session.regenerate());
      const newId = await visitor.visit((session) => session.sessionId);
      const isRenewed = oldId !== newId && visitor.cookie !== old.cookie;
      expect(isRenewed, "regenerate(): expected another session id and cookie, got the same");
      expectEqual(await b.exist(oldId), false, "exist() of the old id after regenerate()");
      for (const [n, [what, write]] of WRITES.entries()) {
        const { session } = requests[n] ?? await old.begin();
        await expectGone(`${what} in a request that began before regenerate()`, () => write(session));
      }
      await expectNewSession(old, "the id before regenerate()");
      await expectValue(visitor, "value", "after regenerate()");
      await expectValue(visitor.at(second), "value", "after regenerate()");
    },
  }];
}

/** Checks of `regenerate()` with a grace period. */
export function gracePeriodChecks(a: SessionStore, b: SessionStore): Check[] {
  return [{
    name: "during its grace period the old id leads to the session, and not a millisecond longer",
    run: async () => {
      using clock = new Clock();
      const [first, second] = serveBoth(a, b);
      const visitor = await Visitor.signUp(first);
      const old = visitor.at(second);
      const request = await old.begin();
      await visitor.visit((session) => session.regenerate({ graceSeconds: 30 }));
      await request.session.set("written by", "a request in progress");
      await request.finish();
      clock.tick(29_999);
      const { cookie } = old;
      await expectValue(old, "value", "with the old id, a millisecond before its grace period ends");
      await old.visit((session) => session.set("key", "by the old id"));
      expectEqual(old.cookie, cookie, "cookie of a visitor with the old id, who must not get the new id");
      await expectValue(visitor, "by the old id", "after a write with the old id in its grace period");
      const written = await visitor.visit((session) => session.get("written by"));
      expectEqual(written, "a request in progress", "value that a request with the old id wrote in its grace period");
      clock.tick(1);
      await expectNewSession(old, "a replaced id after its grace period");
      await expectValue(visitor, "by the old id", "with the new id, after the grace period of the old one");
    },
  }];
}
