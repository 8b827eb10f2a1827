/**
 * Checks of the absolute and the idle timeout in requests.
 *
 * @module
 */
import type { SessionStore } from "../../session_store.ts";
import type { Check } from "../check.ts";
import { Clock } from "../clock.ts";
import { expectGone } from "../record_store/record_fixtures.ts";
import { expectNewSession, expectValue, serveBoth, WRITES } from "./request_fixtures.ts";
import { Visitor } from "./visitor.ts";

/** Checks that a session expires for requests that arrive later and for those in progress. */
export function expiryChecks(a: SessionStore, b: SessionStore): Check[] {
  return [{
    name: "after the deadline of a session its cookie is not accepted, and writes of requests in progress reject",
    run: async () => {
      using clock = new Clock();
      const [first, second] = serveBoth(a, b, { maxAge: 60 });
      const visitor = await Visitor.signUp(first);
      clock.tick(59_999);
      await expectValue(visitor.at(second), "value", "a millisecond before the deadline");
      const request = await visitor.at(second).begin();
      clock.tick(1);
      for (const [what, write] of WRITES) {
        await expectGone(`${what} in a request that was in progress at the deadline`, () => write(request.session));
      }
      await request.finish();
      await expectNewSession(visitor.at(first), "an expired session");
      await expectNewSession(visitor.at(second), "an expired session");
    },
  }, {
    name: "a session with an idle timeout stays live with requests, and expires without them",
    run: async () => {
      using clock = new Clock();
      const [first, second] = serveBoth(a, b, { maxAge: undefined, idleTimeout: 60 });
      const visitor = await Visitor.signUp(first);
      for (let n = 0; n < 4; n++) {
        clock.tick(50_000);
        const what = "50 seconds after the last request, with an idle timeout of 60";
        await expectValue(visitor.at(n % 2 ? first : second), "value", what);
      }
      clock.tick(60_000);
      await expectNewSession(visitor.at(second), "a session that was idle for too long");
    },
  }, {
    name: "setMaxAge() gives one session a lifetime of its own, in requests in progress and after a new id",
    run: async () => {
      using clock = new Clock();
      const [first, second] = serveBoth(a, b, { maxAge: 60 });
      const visitor = await Visitor.signUp(first);
      const request = await visitor.at(second).begin();
      await visitor.visit((session) => session.setMaxAge(600));
      await request.session.set("later", 1);
      await request.finish();
      clock.tick(599_999);
      await expectValue(visitor.at(second), "value", "a millisecond before the deadline that setMaxAge() gave");
      const renewing = visitor.at(first);
      await renewing.visit((session) => session.regenerate({ maxAge: 1200 }));
      clock.tick(1_199_999);
      await expectValue(renewing.at(second), "value", "a millisecond before the deadline that regenerate() gave");
      clock.tick(1);
      await expectNewSession(renewing.at(second), "a session at the deadline that regenerate() gave");
    },
  }];
}
