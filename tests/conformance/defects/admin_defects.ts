/** Stores with a defect in `countSessions()` or `listPrincipals()`. */
import { MemoryStore } from "../../../mod.ts";
import type { SignedInUser } from "../../../src/admin_store.ts";
import { type Defect, fullStore, withMethods } from "./defect.ts";
import { withClockBehind } from "./record_edits.ts";

const neighbour = new MemoryStore();

/** Lists all users of a store, in its order. */
function allUsers(store: MemoryStore): Promise<SignedInUser[]> {
  return store.listPrincipals({ limit: 10_000 });
}

/** A defect that finds its own users by the sessions that were created. */
function withCreated(correct: MemoryStore, created: (principal: string | undefined) => void): Partial<MemoryStore> {
  return {
    createRecord: async (sid, record) => {
      await correct.createRecord(sid, record);
      created(record.meta.principal);
    },
  };
}

export const ADMIN_DEFECTS: Defect[] = [
  {
    name: "counts another application's sessions",
    create: fullStore((correct) => ({
      countSessions: async () => {
        const [own, other] = [await correct.countSessions(), await neighbour.countSessions()];
        return { total: own.total + other.total, signedIn: own.signedIn + other.signedIn };
      },
    })),
    foundBy: "another application's sessions in the same backend",
    options: { neighbour: () => withMethods(neighbour, {}) },
  },
  {
    name: "lists another application's users",
    create: fullStore((correct) => ({
      listPrincipals: async (page) => [...await correct.listPrincipals(page), ...await neighbour.listPrincipals(page)],
    })),
    foundBy: "another application's sessions in the same backend",
    options: { neighbour: () => withMethods(neighbour, {}) },
  },
  {
    name: "counts a session as signed in that is not any more",
    create: fullStore((correct) => {
      let signedIn = 0;
      return {
        ...withCreated(correct, (principal) => signedIn += principal === undefined ? 0 : 1),
        countSessions: async () => ({ ...await correct.countSessions(), signedIn }),
      };
    }),
    foundBy: "countSessions() counts all sessions, and those of users",
  },
  {
    name: "counts replaced ids",
    create: fullStore((correct) => {
      let replaced = 0;
      return {
        moveRecord: async (sid, newSid, move) => {
          const moved = await correct.moveRecord(sid, newSid, move);
          if (moved) replaced++;
          return moved;
        },
        countSessions: async () => {
          const { total, signedIn } = await correct.countSessions();
          return { total: total + replaced, signedIn };
        },
      };
    }),
    foundBy: "countSessions() counts a session with a new id once",
  },
  {
    name: "counts expired sessions",
    create: fullStore((correct) => ({ countSessions: () => withClockBehind(1, () => correct.countSessions()) })),
    foundBy: "countSessions() omits a session from its deadline on",
  },
  {
    name: "counts only the first 200 sessions",
    create: fullStore((correct) => ({
      countSessions: async () => {
        const { total, signedIn } = await correct.countSessions();
        return { total: Math.min(total, 200), signedIn };
      },
    })),
    foundBy: "countSessions() counts 250 sessions",
  },
  {
    name: "counts one session less after each deletion, even of an id that has moved",
    create: fullStore((correct) => {
      let total = 0;
      return {
        ...withCreated(correct, () => total++),
        create: async (sid) => {
          await correct.create(sid);
          total++;
        },
        delete: async (sid) => {
          await correct.delete(sid);
          total--;
        },
        clear: async () => {
          await correct.clear();
          total = 0;
        },
        countSessions: async () => ({ ...await correct.countSessions(), total }),
      };
    }),
    foundBy: "countSessions() counts exactly the live sessions after concurrent",
  },
  {
    name: "lists each user with one session",
    create: fullStore((correct) => ({
      listPrincipals: async (page) =>
        (await correct.listPrincipals(page)).map(({ principal }) => ({ principal, sessions: 1 })),
    })),
    foundBy: "listPrincipals() lists each user once",
  },
  {
    name: "lists users who have signed out",
    create: fullStore((correct) => {
      const seen = new Map<string, SignedInUser>();
      return {
        listPrincipals: async (page) => {
          for (const user of await correct.listPrincipals(page)) seen.set(user.principal, user);
          return Array.from(seen.values());
        },
      };
    }),
    foundBy: "listPrincipals() follows sessions to new ids, and omits removed ones",
  },
  {
    name: "does not distinguish upper and lower case in the order of users",
    create: fullStore((correct) => ({
      listPrincipals: async ({ after, limit }) =>
        (await allUsers(correct))
          .map((user) => ({ ...user, key: user.principal.toLowerCase() }))
          .sort((a, b) => a.key < b.key ? -1 : 1)
          .filter(({ key }) => after === undefined || key > after.toLowerCase())
          .slice(0, limit)
          .map(({ principal, sessions }) => ({ principal, sessions })),
    })),
    foundBy: "listPrincipals() lists users with similar, unusual or long names",
  },
  {
    name: "ignores the limit of a page",
    create: fullStore((correct) => ({
      listPrincipals: ({ after }) => correct.listPrincipals({ after, limit: 10_000 }),
    })),
    foundBy: "listPrincipals() lists users with similar, unusual or long names",
  },
  {
    name: "begins again if the last user of the page before has signed out",
    create: fullStore((correct) => ({
      listPrincipals: async ({ after, limit }) => {
        const users = await allUsers(correct);
        const from = users.findIndex(({ principal }) => principal === after) + 1;
        return users.slice(from, from + limit);
      },
    })),
    foundBy: "listPrincipals() continues after a user who has signed out",
  },
  {
    name: "lists users in the order of their last sign-in",
    create: fullStore((correct) => {
      let order: string[] = [];
      return {
        ...withCreated(correct, (principal = "") => order = [principal, ...order.filter((user) => user !== principal)]),
        listPrincipals: async ({ after, limit }) => {
          const users = new Map((await allUsers(correct)).map((user) => [user.principal, user]));
          const from = after === undefined ? 0 : order.indexOf(after) + 1;
          return order.slice(from).flatMap((principal) => users.get(principal) ?? []).slice(0, limit);
        },
      };
    }),
    foundBy: "listPrincipals() continues after a user who has signed out",
  },
  {
    name: "lists users whose sessions have expired",
    create: fullStore((correct) => ({
      listPrincipals: (page) => withClockBehind(1, () => correct.listPrincipals(page)),
    })),
    foundBy: "listPrincipals() omits a session from its deadline on",
  },
  {
    name: "lists only the first 100 sessions",
    create: fullStore((correct) => ({
      listPrincipals: async (page) => {
        let left = 100;
        return (await correct.listPrincipals(page)).flatMap(({ principal, sessions }) => {
          const counted = Math.min(sessions, left);
          left -= counted;
          return counted === 0 ? [] : [{ principal, sessions: counted }];
        });
      },
    })),
    foundBy: "listPrincipals() lists 100 users and 150 sessions of one of them",
  },
  {
    name: "lists only users who had a session from its creation on",
    create: fullStore((correct) => {
      const users = new Set<string>();
      return {
        ...withCreated(correct, (principal) => principal !== undefined && users.add(principal)),
        listPrincipals: async (page) =>
          (await correct.listPrincipals(page)).filter(({ principal }) => users.has(principal)),
      };
    }),
    foundBy: "listPrincipals() lists exactly the users of live sessions after concurrent",
  },
];
