/**
 * What the machines do in a round, and what must hold afterwards.
 *
 * @module
 */
import type { PrincipalStore, SessionOptions } from "../../mod.ts";
import { waitUntil } from "./interleaving.ts";
import { type Round, type Track, unlessGone } from "./interleaving_round.ts";
import { open, type Opened } from "./request.ts";

/** What the machines do in a round. */
export interface Scenario {
  /** Completes "ended means ended: ...". */
  readonly name: string;
  /** How many rounds a test plays. */
  readonly rounds: number;
  /** How many of them run at the same time, on the same backend. */
  readonly parallel: number;
  /** Whether it also applies to a store that has only the eight methods. */
  readonly isBasic?: boolean;
  /** The options of the middlewares. */
  options(random: Round["random"]): Partial<SessionOptions>;
  play(round: Round): Promise<void>;
}

/** One thing that a request does with its session. */
type Act = (request: Opened) => Promise<void>;

const MOVE_WITH_GRACE: Act = ({ session }) => session.regenerate({ graceSeconds: 30 });
const MOVE: Act = ({ session }) => session.regenerate();
const WRITE: Act = ({ session }) => session.set("k", Math.random());
const UPDATE: Act = ({ session }) => session.update("n", (n = 0) => n + 1).then(() => {});
const TOUCH: Act = ({ session }) => session.touch();
/** The lookup renews the id of a session that is due. */
const LOOK: Act = () => Promise.resolve();

const ACTS: readonly [Act, ...Act[]] = [MOVE_WITH_GRACE, MOVE, MOVE_WITH_GRACE, WRITE, UPDATE, TOUCH, LOOK];

/** Begins requests of a session. */
function requests(round: Round, track: Track, count: number, acts = ACTS): void {
  // A few kinds of acts, many times: this finds what a wider mix would hide.
  const few: [Act, Act] = [round.random.pick(acts), round.random.pick(acts)];
  for (let i = 0; i < count; i++) {
    const chosen = Array.from({ length: 1 + round.random.below(2) }, () => round.random.pick(few));
    round.request(track, async (request) => {
      for (const act of chosen) await act(request);
    });
  }
}

/** Creates sessions of the round's user. */
async function sessionsOfUser(round: Round, count: number): Promise<Track[]> {
  const tracks: Track[] = [];
  for (let i = 0; i < count; i++) {
    tracks.push(await round.create({ renewalIsDue: round.random.chance(0.4), age: count - i }));
  }
  return tracks;
}

const RENEWING = (): Partial<SessionOptions> => ({ renewalTimeout: 3600 });

/** A sign-in of a new visitor. */
function signIn(round: Round): void {
  const { middleware } = round.machine;
  round.begin(async () => {
    const { session, finish } = await open(middleware);
    await unlessGone(async () => {
      await session.regenerate({ principal: round.principal });
      await session.set("user", "ada");
      await finish();
    });
  });
}

export const SCENARIOS: readonly Scenario[] = [
  {
    name: "revokeAll() ends every session, whatever its requests do",
    rounds: 200,
    parallel: 10,
    options: RENEWING,
    async play(round): Promise<void> {
      const tracks = await sessionsOfUser(round, 1 + round.random.below(3));
      for (const track of tracks) requests(round, track, 1 + round.random.below(3));
      let ended = -1;
      const { middleware } = round.machine;
      round.begin(async () => {
        ended = await middleware.sessions.revokeAll(round.principal);
      });
      await round.settle();
      const { live, listed } = await round.judge();
      round.expect(live.size === 0, `revokeAll() returned ${ended}, and a session is live`);
      round.expect(listed.length === 0, "an ended session is listed");
      round.expect(ended === tracks.length, "revokeAll() returned a wrong number");
    },
  },
  {
    name: "revokeAll() has ended every session when it succeeds, also while the backend fails at times",
    rounds: 100,
    parallel: 10,
    options: () => ({ renewalTimeout: 3600, onEvent: () => {} }),
    async play(round): Promise<void> {
      const tracks = await sessionsOfUser(round, 1 + round.random.below(3));
      for (const track of tracks) requests(round, track, 2);
      round.delays.failureRate = 0.05;
      const { sessions } = round.machine.middleware;
      let succeeded = false;
      round.begin(async () => {
        await sessions.revokeAll(round.principal);
        succeeded = true;
      });
      await round.settle();
      round.delays.stop();
      if (!succeeded) await sessions.revokeAll(round.principal);
      const { live } = await round.judge();
      round.expect(live.size === 0, `a session is live after ${succeeded ? "one" : "the second"} revokeAll()`);
    },
  },
  {
    name: "revokeAll() leaves no session unlisted that signs in meanwhile",
    rounds: 100,
    parallel: 10,
    options: RENEWING,
    async play(round): Promise<void> {
      const before = await sessionsOfUser(round, 1);
      const anonymous = await round.create({ isAnonymous: true });
      const signsIn: Act = ({ session }) => session.regenerate({ principal: round.principal });
      round.request(anonymous, signsIn);
      requests(round, anonymous, 1, [MOVE_WITH_GRACE, MOVE, WRITE]);
      for (const track of before) requests(round, track, 2, [...ACTS, signsIn, signsIn]);
      signIn(round);
      const { middleware } = round.machine;
      round.begin(async () => void await middleware.sessions.revokeAll(round.principal));
      await round.settle();
      const finding = await round.judge();
      for (const track of before) round.expect(round.liveIds(track, finding).length === 0, "a session is live");
      const { sessions } = round.machines[0].middleware;
      await sessions.revokeAll(round.principal);
      const { listed } = await round.judge();
      round.expect(listed.length === 0, "a session is listed after the second revokeAll()");
    },
  },
  {
    name: "revokeAll() keeps the session that it shall keep, while that one is renewed",
    rounds: 100,
    parallel: 10,
    options: RENEWING,
    play: (round) => keepOne(round, [LOOK, MOVE_WITH_GRACE, WRITE, TOUCH], true),
  },
  {
    name: "revokeAll() keeps the session that it shall keep, while that one gets another id",
    rounds: 100,
    parallel: 10,
    options: () => ({}),
    play: (round) => keepOne(round, [MOVE], false),
  },
  {
    name: "revoke() ends the session that it found",
    rounds: 100,
    parallel: 10,
    options: RENEWING,
    async play(round): Promise<void> {
      const [track, other] = await sessionsOfUser(round, 2);
      if (track === undefined || other === undefined) return;
      const { sessions } = round.machine.middleware;
      const found = (await sessions.list(round.principal, { current: track.first })).find(({ current }) => current);
      requests(round, track, 2);
      let ended = false;
      round.begin(async () => {
        ended = await sessions.revoke(round.principal, found?.handle ?? "");
      });
      await round.settle();
      const finding = await round.judge();
      const isLive = round.liveIds(track, finding).length > 0;
      round.expect(isLive !== ended, `revoke() returned ${ended}, and the session is ${isLive ? "" : "not "}live`);
      round.expect(round.liveIds(other, finding).length === 1, "revoke() ended another session");
    },
  },
  {
    name: "destroy() ends the session, whatever its other requests do",
    rounds: 150,
    parallel: 10,
    isBasic: true,
    options: RENEWING,
    async play(round): Promise<void> {
      const track = round.isBasic
        ? await round.createBasic()
        : await round.create({ renewalIsDue: round.random.chance(0.4) });
      requests(round, track, 1 + round.random.below(3));
      let ended = false;
      round.request(track, async ({ session }) => {
        // Also if its own bookkeeping has met the new id of another request.
        await session.destroy();
        ended ||= !session.isNew;
      });
      await round.settle();
      const { live } = await round.judge();
      round.expect(!ended || live.size === 0, "a session is live after destroy()");
    },
  },
  {
    name: "maxSessionsPerPrincipal keeps the latest sign-ins of all machines",
    rounds: 150,
    parallel: 10,
    options: (random) => ({ maxSessionsPerPrincipal: 1 + random.below(3) }),
    async play(round): Promise<void> {
      const max = round.options.maxSessionsPerPrincipal ?? 0;
      const before = await sessionsOfUser(round, round.random.below(max + 1));
      for (let i = 0, signIns = 2 + round.random.below(2); i < signIns; i++) signIn(round);
      for (const track of before) if (round.random.chance(0.3)) requests(round, track, 1, [MOVE_WITH_GRACE, MOVE]);
      await round.settle();
      const finding = await round.judge();
      const byOrder = round.tracks.toSorted(latestFirst);
      const kept = byOrder.map((track) => round.liveIds(track, finding).length);
      const expected = byOrder.map((_, i) => i < max ? 1 : 0);
      const live = kept.filter((count) => count > 0).length;
      round.expect(live <= max, "too many sessions are live");
      round.expect(live === Math.min(max, kept.length), "too few sessions are live");
      round.expect(kept.join() === expected.join(), "a later sign-in was ended instead of an earlier one");
    },
  },
  {
    name: "clear() ends every session that began before it",
    rounds: 30,
    parallel: 1,
    options: RENEWING,
    play: (round) => endAll(round, ({ store }) => store.clear()),
  },
  {
    name: "revokeEverybody() ends every session that began before it",
    rounds: 60,
    parallel: 1,
    isBasic: true,
    options: RENEWING,
    play: (round) => endAll(round, ({ middleware }) => middleware.sessions.revokeEverybody()),
  },
  {
    name: "revokeEverybody() has ended every session when it succeeds, also while the backend fails at times",
    rounds: 60,
    parallel: 1,
    isBasic: true,
    options: () => ({ renewalTimeout: 3600, onEvent: () => {} }),
    async play(round): Promise<void> {
      const { sessions } = round.machine.middleware;
      let succeeded = false;
      await endAll(round, async () => {
        await sessions.revokeEverybody();
        succeeded = true;
      }, async () => {
        if (!succeeded) await sessions.revokeEverybody();
      });
    },
  },
  {
    name: "an expired session does not come back",
    rounds: 100,
    parallel: 100,
    options: () => ({}),
    async play(round): Promise<void> {
      const deadline = Date.now() + 500;
      const track = await round.create({ expiresAt: deadline });
      const { sessions } = round.machine.middleware;
      let refused = false;
      const expire = async (): Promise<void> => {
        refused = await round.delays.run(async () => {
          // Longer than a command takes, because a store knows the server's clock only so
          // precisely.
          await waitUntil(deadline + 400);
          return await round.refuses(track);
        });
        await sessions.revokeAll(round.principal);
      };
      // The touch is often sent before the deadline and executed after it.
      round.request(track, async (request) => void await Promise.all([unlessGone(() => TOUCH(request)), expire()]));
      await round.settle();
      const { live } = await round.judge();
      round.expect(!refused || live.size === 0, "a session is live after it was refused");
    },
  },
  {
    name: "a listing has each session once, whatever happens meanwhile",
    rounds: 150,
    parallel: 10,
    options: RENEWING,
    async play(round): Promise<void> {
      const tracks = await sessionsOfUser(round, 3);
      for (const track of tracks) requests(round, track, 2);
      const store = round.machine.store as PrincipalStore;
      const listings: string[][] = [];
      for (let i = 0; i < 2; i++) {
        round.begin(async () => void listings.push((await store.listSessions(round.principal)).map(({ sid }) => sid)));
      }
      await round.settle();
      await round.judge();
      for (const listing of listings) {
        const found = tracks.map(({ ids }) => listing.filter((id) => ids.includes(id)).length);
        round.expect(found.every((count) => count > 0), "a live session was not listed");
        round.expect(found.every((count) => count === 1), "a session was listed twice");
      }
    },
  },
];

/**
 * Ends all sessions, while some of them have requests.
 *
 * @param repeat lets commands fail until it is called, after everything else has ended
 */
async function endAll(
  round: Round,
  end: (machine: Round["machine"]) => Promise<void>,
  repeat?: () => Promise<void>,
): Promise<void> {
  await round.clear();
  const tracks: Track[] = [];
  for (let i = 0; i < 20; i++) {
    tracks.push(round.isBasic ? await round.createBasic() : await round.create({ isAnonymous: i % 2 === 1 }));
  }
  for (const track of tracks.slice(0, 4)) {
    requests(round, track, 3, [MOVE_WITH_GRACE, MOVE, LOOK, WRITE, UPDATE, TOUCH]);
  }
  if (repeat !== undefined) round.delays.failureRate = 0.02;
  const { machine } = round;
  round.begin(() => end(machine));
  await round.settle();
  if (repeat !== undefined) {
    round.delays.stop();
    await repeat();
  }
  const { live } = await round.judge();
  round.expect(live.size === 0, "a session from before is live");
  // The store works on.
  signIn(round);
  await round.settle();
  const after = await round.judge();
  round.expect(after.live.size === 1, "a session from afterwards is not live");
}

/** Compares two sessions that were not moved while they signed in. */
function latestFirst(a: Track, b: Track): number {
  return (b.boundAt ?? 0) - (a.boundAt ?? 0) || (b.first > a.first ? 1 : -1);
}

/** Ends all sessions of the user but one. */
async function keepOne(round: Round, acts: [Act, ...Act[]], renews: boolean): Promise<void> {
  const kept = await round.create({ renewalIsDue: renews && round.random.chance(0.7) });
  const others = await sessionsOfUser(round, 1 + round.random.below(2));
  requests(round, kept, 1 + round.random.below(2), acts);
  for (const track of others) requests(round, track, 1);
  const { sessions } = round.machine.middleware;
  let ended = -1;
  round.begin(async () => {
    ended = await sessions.revokeAll(round.principal, { except: kept.first });
  });
  await round.settle();
  const finding = await round.judge();
  for (const track of others) round.expect(round.liveIds(track, finding).length === 0, "a session is live");
  round.expect(round.liveIds(kept, finding).join() === kept.newest, "the session to keep is not live");
  round.expect(ended === others.length, "revokeAll() returned a wrong number");
}
