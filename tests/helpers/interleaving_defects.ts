/**
 * Defects that the interleaving tests must find.
 *
 * @module
 */
import {
  type PrincipalStore,
  SessionGoneError,
  type SessionMeta,
  type SessionMiddleware,
  type SessionOptions,
  type SessionRecord,
} from "../../mod.ts";
import { withMethods } from "../conformance/defects/defect.ts";
import type { Interleaving } from "./interleaving.ts";
import type { Backend } from "./interleaving_round.ts";

/** A defect of a store or of a middleware. */
export interface Defect {
  /** The wrong behavior, such as "a store that lists nothing". */
  readonly name: string;
  /** The beginning of the name of the scenario that finds it. */
  readonly scenario: string;
  /** A rule that does not hold then. */
  readonly violation: string;
  /** Returns a backend whose machines have the defect. */
  plant(backend: Backend): Backend;
}

/** What the methods of a defective store are made from. */
interface Correct {
  /** The correct store, whose commands are delayed. */
  readonly store: PrincipalStore;
  /** The same store without delays. */
  readonly direct: PrincipalStore;
  readonly delays: Interleaving;
  /** The ids of all sessions. */
  readonly ids: ReadonlySet<string>;
}

/** Replaces some methods of the machines' stores. */
function withStore(methods: (correct: Correct) => Partial<PrincipalStore>): Defect["plant"] {
  return (backend) => {
    const ids = new Set<string>();
    const connect = (machine: number, delays: Interleaving | undefined): PrincipalStore => {
      const store = backend.connect(machine, delays) as PrincipalStore;
      return withMethods(store, {
        createRecord: (sid, record) => store.createRecord(sid, record).finally(() => ids.add(sid)),
        moveRecord: (sid, newSid, move) => store.moveRecord(sid, newSid, move).finally(() => ids.add(newSid)),
      });
    };
    return {
      ...backend,
      connect(machine, delays): PrincipalStore {
        const store = connect(machine, delays);
        if (delays === undefined) return store;
        return withMethods(store, methods({ store, direct: connect(machine, undefined), delays, ids }));
      },
    };
  };
}

/** Changes the machines' middlewares. */
function withMiddleware(
  change: (store: PrincipalStore, middleware: SessionMiddleware, options: Partial<SessionOptions>) => void,
): Defect["plant"] {
  return (backend) => ({
    ...backend,
    change: ({ store, middleware }, options) => change(store as PrincipalStore, middleware, options),
  });
}

/** Returns a live record, or throws. */
async function readLive(store: PrincipalStore, sid: string): Promise<SessionRecord> {
  const answer = await store.readRecord(sid);
  if (answer === undefined || !("values" in answer)) throw new SessionGoneError("read");
  return { values: answer.values, expiresAt: answer.expiresAt, meta: answer.meta };
}

/** Ends a session, even if it gets a new id in the meantime. */
async function end(store: PrincipalStore, sid: string): Promise<void> {
  await store.delete(sid);
  const answer = await store.readRecord(sid);
  if (answer !== undefined && "movedTo" in answer) await end(store, answer.movedTo);
}

function byBinding({ meta: a }: { meta: SessionMeta }, { meta: b }: { meta: SessionMeta }): number {
  return (a.boundAt ?? 0) - (b.boundAt ?? 0);
}

export const DEFECTS: readonly Defect[] = [
  {
    name: "a store that lists the ids first, and does not follow those that have moved since",
    scenario: "revokeAll() ends",
    violation: "a session is live",
    plant: withStore(({ store }) => ({
      async listSessions(principal): ReturnType<PrincipalStore["listSessions"]> {
        const index = await store.listSessions(principal);
        const found = await Promise.all(index.map(async (session) => {
          const answer = await store.readRecord(session.sid);
          return answer !== undefined && "values" in answer ? [session] : [];
        }));
        return found.flat();
      },
    })),
  },
  {
    name: "a store that lists a session under its old and its new id",
    scenario: "a listing",
    violation: "a session was listed twice",
    plant: withStore(({ store }) => ({
      async listSessions(principal): ReturnType<PrincipalStore["listSessions"]> {
        const sessions = [...await store.listSessions(principal), ...await store.listSessions(principal)];
        return [...new Map(sessions.map((session) => [session.sid, session])).values()];
      },
    })),
  },
  {
    name: "a store that binds a moved session to its user in a second step",
    scenario: "revokeAll() ends",
    violation: "a session is live",
    plant: withStore(({ store }) => ({
      async moveRecord(sid, newSid, move): Promise<boolean> {
        const { meta: { principal } } = await readLive(store, sid);
        const moved = await store.moveRecord(sid, newSid, { ...move, meta: { ...move.meta, principal: undefined } });
        const binding = { meta: { principal: move.meta.principal ?? principal } };
        // The session may have moved on. The move has succeeded all the same.
        if (moved) await store.changeRecord(newSid, binding).catch(() => {});
        return moved;
      },
    })),
  },
  {
    name: "a store that extends the expiry of a session that was live when the call was sent",
    scenario: "an expired session",
    violation: "a session is live after it was refused",
    plant: withStore(({ direct, delays }) => ({
      async changeRecord(sid, change): Promise<boolean> {
        const record = await readLive(direct, sid);
        return await delays.run(async () => {
          const { expiresAt = record.expiresAt } = change;
          if (!await direct.exist(sid)) await direct.createRecord(sid, { ...record, expiresAt });
          return await direct.changeRecord(sid, change);
        });
      },
    })),
  },
  {
    name: "a store that does not remember a move without grace",
    scenario: "revokeAll() ends",
    violation: "a session is live",
    plant: withStore(({ store }) => ({
      async readRecord(sid): Promise<Awaited<ReturnType<PrincipalStore["readRecord"]>>> {
        const answer = await store.readRecord(sid);
        return answer !== undefined && "movedTo" in answer && answer.graceUntil <= Date.now() ? undefined : answer;
      },
    })),
  },
  {
    name: "a store that copies a session to its new id and then removes the old one",
    scenario: "destroy() ends",
    violation: "a session is live after destroy()",
    plant: withStore(({ store }) => ({
      async moveRecord(sid, newSid, { meta }): Promise<boolean> {
        const record = await readLive(store, sid);
        await store.createRecord(newSid, { ...record, meta: { ...record.meta, ...meta } });
        await store.delete(sid);
        return true;
      },
    })),
  },
  {
    name: "a store that creates the session that it writes to",
    scenario: "destroy() ends",
    // The machine that has ended the session remembers that.
    violation: "two machines disagree about the live sessions",
    plant: withStore(({ store }) => ({
      async setValue(sid, key, value): Promise<void> {
        const record = await readLive(store, sid);
        // A moved session has not ended.
        if (await store.readRecord(sid) === undefined) await store.createRecord(sid, record);
        await store.setValue(sid, key, value);
      },
      async changeRecord(sid, change): Promise<boolean> {
        const record = await readLive(store, sid);
        if (await store.readRecord(sid) === undefined) await store.createRecord(sid, record);
        return await store.changeRecord(sid, change);
      },
    })),
  },
  {
    name: "a store that answers from its own memory",
    scenario: "destroy() ends",
    violation: "two machines disagree about the live sessions",
    plant: withStore(({ store }) => {
      const cache = new Map<string, Awaited<ReturnType<PrincipalStore["readRecord"]>>>();
      return {
        async readRecord(sid): Promise<Awaited<ReturnType<PrincipalStore["readRecord"]>>> {
          const answer = cache.get(sid) ?? await store.readRecord(sid);
          cache.set(sid, answer);
          return answer;
        },
      };
    }),
  },
  {
    name: "a store that clears the sessions that it has listed",
    scenario: "clear() ends",
    violation: "a session from before is live",
    plant: withStore(({ store, ids }) => ({
      async clear(): Promise<void> {
        for (const sid of [...ids]) await store.delete(sid);
      },
    })),
  },
  {
    name: "a store that clears only the sessions of users",
    scenario: "revokeEverybody() ends",
    violation: "a session from before is live",
    plant: withStore(({ store, direct, ids }) => ({
      async clear(): Promise<void> {
        for (const sid of [...ids]) {
          const answer = await direct.readRecord(sid);
          if (answer !== undefined && "values" in answer && answer.meta.principal !== undefined) {
            await store.delete(sid);
          }
        }
      },
    })),
  },
  {
    name: "a middleware that ends all sessions but the id that it was given",
    scenario: "revokeAll() keeps the session that it shall keep, while that one is renewed",
    violation: "the session to keep is not live",
    plant: withMiddleware((store, { sessions }) => {
      sessions.revokeAll = async (principal, { except } = {}): Promise<number> => {
        const others = (await store.listSessions(principal)).filter(({ sid }) => sid !== except);
        await Promise.all(others.map(({ sid }) => end(store, sid)));
        return others.length;
      };
    }),
  },
  {
    name: "a middleware that ends later sign-ins too when there are too many",
    scenario: "maxSessionsPerPrincipal",
    violation: "too few sessions are live",
    plant: withMiddleware((store, { sessions }, { maxSessionsPerPrincipal = Infinity }) => {
      sessions.limit = async (principal, current): Promise<boolean> => {
        const all = (await store.listSessions(principal)).toSorted(byBinding);
        const excess = all.filter(({ sid }) => sid !== current).slice(
          0,
          Math.max(0, all.length - maxSessionsPerPrincipal),
        );
        await Promise.all(excess.map(({ sid }) => end(store, sid)));
        return all.some(({ sid }) => sid === current);
      };
    }),
  },
  {
    name: "a middleware that does not count sessions",
    scenario: "maxSessionsPerPrincipal",
    violation: "too many sessions are live",
    plant: withMiddleware((_, { sessions }) => {
      sessions.limit = () => Promise.resolve(true);
    }),
  },
];
