/**
 * Checks of the sessions of users in requests.
 *
 * @module
 */
import { SessionGoneError } from "../../errors.ts";
import type { SessionMiddleware } from "../../session_middleware.ts";
import { isPrincipalStore, type PrincipalStore } from "../../session_store.ts";
import { type Check, skipped, type StorePair } from "../check.ts";
import { Clock } from "../clock.ts";
import { expectEqual } from "../expect.ts";
import type { TestedStores } from "../harness.ts";
import { expectGone } from "../record_store/record_fixtures.ts";
import { expectNewSession, expectValue, serveBoth } from "./request_fixtures.ts";
import { Visitor } from "./visitor.ts";

/** Checks of `middleware.sessions` on a `PrincipalStore`. They are skipped for any other store. */
export function userChecks(stores: TestedStores): Check[] {
  const pairs = stores.pairsWith(isPrincipalStore);
  if (pairs.length > 0) return pairs.flatMap(checksOfPair);
  return [skipped("listing and revoking the sessions of a user", "the store is not a PrincipalStore")];
}

/** How many times a check repeats concurrent calls, each time with another delay of one of them. */
const ROUNDS = 20;

/** Waits for a number of microtasks. */
async function microtasks(count: number): Promise<void> {
  for (let n = 0; n < count; n++) await undefined;
}

/** Signs a user in from a new browser. */
async function signIn(server: SessionMiddleware, principal: string): Promise<Visitor> {
  const visitor = await Visitor.signUp(server);
  await visitor.visit((session) => session.regenerate({ principal }));
  return visitor;
}

/** Rethrows an error, unless it says that the session has ended. */
function expectOnlyGone(error: unknown): void {
  if (!(error instanceof SessionGoneError)) throw error;
}

function checksOfPair({ where, a, b }: StorePair<PrincipalStore>): Check[] {
  return [{
    name: `list() lists the sessions of a user, and revoke() ends one, also for a request in progress, ${where}`,
    run: async () => {
      const [first, second] = serveBoth(a, b);
      const [laptop, phone] = [await signIn(first, "ada"), await signIn(second, "ada")];
      const bob = await signIn(first, "bob");
      const current = await laptop.visit((session) => session.sessionId);
      const sessions = await second.sessions.list("ada", { current });
      const flags = sessions.map((session) => session.current).sort();
      expectEqual(flags, [false, true], "`current` of the two sessions of a user");
      const { handle } = sessions.find((session) => !session.current) ?? { handle: "" };
      const request = await phone.begin();
      expectEqual(await first.sessions.revoke("bob", handle), false, "revoke() of another user's session");
      expectEqual(await first.sessions.revoke("ada", handle), true, "revoke() of a user's session");
      expectEqual(await first.sessions.revoke("ada", handle), false, "revoke() of a session that is gone");
      await expectGone("set() in a request that began before revoke()", () => request.session.set("key", 1));
      await request.finish();
      await expectNewSession(phone, "a revoked session");
      await expectValue(laptop.at(second), "value", "in the session that was not revoked");
      await expectValue(bob.at(second), "value", "in another user's session");
      expectEqual((await second.sessions.list("ada")).length, 1, "number of sessions listed after revoke()");
    },
  }, {
    name: `revokeAll() ends all sessions of a user but the excepted one, ${where}`,
    run: async () => {
      const [first, second] = serveBoth(a, b);
      const laptop = await signIn(first, "ada");
      const phone = await signIn(second, "ada");
      const tablet = await signIn(second, "ada");
      const bob = await signIn(first, "bob");
      const except = await laptop.visit((session) => session.sessionId);
      expectEqual(await second.sessions.revokeAll("ada", { except }), 2, "number of sessions that revokeAll() ended");
      await expectNewSession(phone.at(first), "a revoked session");
      await expectNewSession(tablet.at(second), "a revoked session");
      await expectValue(laptop.at(second), "value", "in the excepted session");
      await expectValue(bob, "value", "in another user's session");
      const what = "number of sessions that revokeAll() without `except` ended";
      expectEqual(await first.sessions.revokeAll("ada"), 1, what);
      await expectNewSession(laptop, "a revoked session");
    },
  }, {
    name: `revokeAll() keeps the excepted session and ends the others while they get new ids, ${where}`,
    run: async () => {
      const [first, second] = serveBoth(a, b);
      for (let round = 0; round < ROUNDS; round++) {
        const [laptop, phone] = [await signIn(first, "ada"), (await signIn(first, "ada")).at(second)];
        const except = await laptop.visit((session) => session.sessionId);
        const renewed = laptop.at(second);
        const [ended] = await Promise.all([
          first.sessions.revokeAll("ada", { except }),
          renewed.visit(async (session) => {
            await microtasks(round);
            await session.regenerate({ graceSeconds: 60 });
          }),
          phone.visit(async (session) => {
            await microtasks(round);
            await session.regenerate({ graceSeconds: 60 }).catch(expectOnlyGone);
          }),
        ]);
        expectEqual(ended, 1, "number of sessions that revokeAll() ended, during a renewal of the excepted one");
        await expectValue(renewed.at(first), "value", "in the excepted session, which was renewed during revokeAll()");
        await expectNewSession(phone.at(first), "a session that was revoked while it was renewed");
        expectEqual(await second.sessions.revokeAll("ada"), 1, "number of sessions left after revokeAll()");
      }
    },
  }, {
    name: `a sign-in beyond maxSessionsPerPrincipal ends the user's oldest session, ${where}`,
    run: async () => {
      using clock = new Clock();
      const [first, second] = serveBoth(a, b, { maxSessionsPerPrincipal: 2 });
      const visitors: Visitor[] = [];
      for (let n = 0; n < 4; n++) {
        clock.tick(1000);
        visitors.push(await signIn(n % 2 ? second : first, "ada"));
      }
      for (const visitor of visitors.slice(0, 2)) {
        await expectNewSession(visitor, "one of a user's oldest sessions, beyond maxSessionsPerPrincipal");
      }
      for (const visitor of visitors.slice(2)) {
        await expectValue(visitor, "value", "in one of a user's newest sessions");
      }
    },
  }, {
    name: `concurrent sign-ins leave as many sessions as maxSessionsPerPrincipal allows, ${where}`,
    run: async () => {
      const [first, second] = serveBoth(a, b, { maxSessionsPerPrincipal: 1 });
      for (let round = 0; round < ROUNDS; round++) {
        const visitors = [await Visitor.signUp(first), await Visitor.signUp(second)];
        await Promise.all(visitors.map((visitor, n) =>
          visitor.visit(async (session) => {
            await microtasks(n * round);
            await session.regenerate({ principal: "ada" });
          })
        ));
        const users = await Promise.all(visitors.map((visitor) => visitor.visit((session) => session.principal)));
        expectEqual(users.filter((user) => user === "ada"), ["ada"], "users of two visitors that signed in at once");
        expectEqual((await first.sessions.list("ada")).length, 1, "number of sessions after two sign-ins at once");
      }
    },
  }, {
    name: `clear() unbinds a session from its user, ${where}`,
    run: async () => {
      const [first, second] = serveBoth(a, b);
      const visitor = await signIn(first, "ada");
      expectEqual(await visitor.at(second).visit((session) => session.principal), "ada", "principal after the sign-in");
      await visitor.at(second).visit((session) => session.clear());
      expectEqual(await visitor.visit((session) => session.principal), undefined, "principal after clear()");
      expectEqual(await first.sessions.list("ada"), [], "sessions of the user after clear()");
    },
  }];
}
