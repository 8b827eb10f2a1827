/**
 * Checks of `sessions.revokeEverybody()`.
 *
 * @module
 */
import { SessionGoneError } from "../../errors.ts";
import type { SessionStore } from "../../session_store.ts";
import type { Check } from "../check.ts";
import { expectEqual } from "../expect.ts";
import { expectGone } from "../record_store/record_fixtures.ts";
import { expectNewSession, expectValue, serveBoth, WRITES } from "./request_fixtures.ts";
import { Visitor } from "./visitor.ts";

/** Checks of `revokeEverybody()` during requests. */
export function everybodyChecks(a: SessionStore, b: SessionStore): Check[] {
  return [{
    name: "revokeEverybody() ends all sessions, also for requests in progress",
    run: async () => {
      const [first, second] = serveBoth(a, b);
      const requests = await Promise.all(WRITES.map(async ([what, write], n) => {
        const visitor = await Visitor.signUp(n % 2 === 0 ? first : second);
        const old = visitor.at(first);
        return { what, write, old, request: await visitor.begin() };
      }));
      await second.sessions.revokeEverybody();
      for (const { what, write, old, request: { session, finish } } of requests) {
        await expectGone(`${what} in a request that began before revokeEverybody()`, () => write(session));
        await finish();
        for (const server of [first, second]) {
          await expectNewSession(old.at(server), `a session from before revokeEverybody(), after ${what} rejected`);
        }
      }
      const visitor = await Visitor.signUp(first);
      await expectValue(visitor.at(second), "value", "in a session from after revokeEverybody()");
    },
  }];
}

/** Checks of `revokeEverybody()` during `regenerate()`. */
export function atomicEverybodyChecks(a: SessionStore, b: SessionStore): Check[] {
  return [{
    name: "revokeEverybody() ends a session that gets a new id at the same time",
    run: async () => {
      const [first, second] = serveBoth(a, b);
      for (let round = 0; round < 10; round++) {
        const visitor = await Visitor.signUp(first);
        const old = visitor.at(first);
        const { session, finish } = await visitor.begin();
        const calls = [() => session.regenerate({ graceSeconds: 60 }), () => second.sessions.revokeEverybody()];
        if (round % 2 === 1) calls.reverse();
        for (const result of await Promise.allSettled(calls.map((call) => call()))) {
          if (result.status === "rejected" && !(result.reason instanceof SessionGoneError)) throw result.reason;
        }
        const ended = "a session that got a new id during revokeEverybody()";
        expectEqual(await b.exist(session.sessionId), false, `exist() of ${ended}`);
        await finish();
        for (const cookie of [old, visitor]) await expectNewSession(cookie.at(second), ended);
      }
    },
  }];
}
