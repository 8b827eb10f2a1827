/** Stores with a defect in `listSessions()`. */
import { type ListedSession, MemoryStore, type SessionMeta } from "../../../mod.ts";
import { META } from "../../../src/conformance/record_store/record_fixtures.ts";
import { type Defect, fullStore, withMethods, yieldToOthers } from "./defect.ts";
import { readLive, withClockBehind } from "./record_edits.ts";

const neighbour = new MemoryStore();

export const PRINCIPAL_DEFECTS: Defect[] = [
  {
    name: "lists another application's sessions",
    create: fullStore((correct) => ({
      listSessions: async (principal) => [
        ...await correct.listSessions(principal),
        ...await neighbour.listSessions(principal),
      ],
    })),
    foundBy: "another application's sessions in the same backend",
    options: { neighbour: () => withMethods(neighbour, {}) },
  },
  {
    name: "lists sessions with another meta",
    create: fullStore((correct) => ({
      listSessions: async (principal) =>
        (await correct.listSessions(principal)).map((session) => ({ ...session, meta: META })),
    })),
    foundBy: "listSessions() lists the sessions that createRecord() bound to a user",
  },
  {
    name: "lists sessions with the deadline that they had at their creation",
    create: fullStore((correct) => {
      const deadlines = new Map<string, number>();
      return {
        createRecord: async (sid, record) => {
          await correct.createRecord(sid, record);
          deadlines.set(sid, record.expiresAt);
        },
        listSessions: async (principal) =>
          (await correct.listSessions(principal)).map(({ sid, expiresAt, meta }) => ({
            sid,
            expiresAt: deadlines.get(sid) ?? expiresAt,
            meta,
          })),
      };
    }),
    foundBy: "listSessions() omits a session from its deadline on",
  },
  {
    name: "lists no sessions",
    create: fullStore((correct) => ({ listSessions: async () => await correct.listSessions("") })),
    foundBy: "middleware: sessions of a user",
  },
  {
    name: "does not list a session that was bound after its creation",
    create: fullStore((correct) => {
      const first = new Map<string, string | undefined>();
      return {
        createRecord: async (sid, record) => {
          await correct.createRecord(sid, record);
          first.set(sid, record.meta.principal);
        },
        listSessions: async (principal) =>
          (await correct.listSessions(principal)).filter(({ sid }) => first.get(sid) === principal),
      };
    }),
    foundBy: "listSessions() lists exactly the live sessions after concurrent",
  },
  {
    name: "lists a session for every user that it was ever bound to",
    create: fullStore((correct) => {
      const bound = new Map<string, Set<string>>();
      const note = (sid: string, principal?: string): void => {
        if (principal !== undefined) bound.set(principal, (bound.get(principal) ?? new Set()).add(sid));
      };
      return {
        createRecord: async (sid, record) => {
          await correct.createRecord(sid, record);
          note(sid, record.meta.principal);
        },
        changeRecord: (sid, change) => {
          note(sid, change.meta?.principal);
          return correct.changeRecord(sid, change);
        },
        moveRecord: async (sid, newSid, move) => {
          const before = await readLive(correct, sid);
          const moved = await correct.moveRecord(sid, newSid, move);
          if (moved) note(newSid, "principal" in move.meta ? move.meta.principal : before?.meta.principal);
          return moved;
        },
        listSessions: async (principal) => {
          const sessions: ListedSession[] = [];
          for (const sid of bound.get(principal) ?? []) {
            const record = await readLive(correct, sid);
            if (record !== undefined) sessions.push({ sid, expiresAt: record.expiresAt, meta: record.meta });
          }
          return sessions;
        },
      };
    }),
    foundBy: "listSessions()",
  },
  {
    name: "lists a session under its replaced id",
    create: fullStore((correct) => {
      const old = new Map<string, string>();
      return {
        moveRecord: async (sid, newSid, move) => {
          const moved = await correct.moveRecord(sid, newSid, move);
          if (moved) old.set(newSid, sid);
          return moved;
        },
        listSessions: async (principal) =>
          (await correct.listSessions(principal)).map((session) => ({
            ...session,
            sid: old.get(session.sid) ?? session.sid,
          })),
      };
    }),
    foundBy: "listSessions() follows a session to its new id",
  },
  {
    name: "lists deleted sessions",
    create: fullStore((correct) => {
      const seen = new Map<string, Map<string, ListedSession>>();
      return {
        listSessions: async (principal) => {
          const sessions = seen.get(principal) ?? new Map<string, ListedSession>();
          seen.set(principal, sessions);
          for (const session of await correct.listSessions(principal)) sessions.set(session.sid, session);
          return [...sessions.values()];
        },
      };
    }),
    foundBy: "listSessions() omits sessions that delete() or clear() removed",
  },
  {
    name: "lists expired sessions",
    create: fullStore((correct) => ({
      listSessions: (principal) => withClockBehind(1, () => correct.listSessions(principal)),
    })),
    foundBy: "listSessions() omits a session from its deadline on",
  },
  {
    name: "ignores spaces around the names of users",
    create: fullStore((correct) => ({
      createRecord: (sid, record) => {
        const { principal } = record.meta;
        const meta = principal === undefined ? record.meta : { ...record.meta, principal: principal.trim() };
        return correct.createRecord(sid, { ...record, meta });
      },
    })),
    foundBy: "users with similar, unusual or long names are distinct",
  },
  {
    name: "lists only 50 sessions",
    create: fullStore((correct) => ({
      listSessions: async (principal) => (await correct.listSessions(principal)).slice(0, 50),
    })),
    foundBy: "listSessions() lists 100 sessions of a user",
  },

  {
    name: "does not list a session after delete() of its replaced id",
    create: fullStore((correct) => {
      const unlisted = new Set<string>();
      return {
        delete: async (sid) => {
          const read = await correct.readRecord(sid);
          if (read !== undefined && "movedTo" in read) unlisted.add(read.movedTo);
          await correct.delete(sid);
        },
        listSessions: async (principal) =>
          (await correct.listSessions(principal)).filter(({ sid }) => !unlisted.has(sid)),
      };
    }),
    foundBy: "listSessions() follows a session to its new id",
  },
  {
    name: "lists a session without a user for the user of a deleted session with its id",
    create: fullStore((correct) => {
      const users = new Map<string, string>();
      return {
        createRecord: async (sid, record) => {
          await correct.createRecord(sid, record);
          if (record.meta.principal !== undefined) users.set(sid, record.meta.principal);
        },
        listSessions: async (principal) => {
          const sessions: ListedSession[] = [];
          for (const [sid, user] of users) {
            const record = user === principal ? await readLive(correct, sid) : undefined;
            if (record !== undefined) sessions.push({ sid, expiresAt: record.expiresAt, meta: record.meta });
          }
          return sessions;
        },
      };
    }),
    foundBy: "listSessions() omits sessions that delete() or clear() removed",
  },
  {
    name: "lists sessions with its own meta",
    create: fullStore((correct) => {
      const returned = new Map<string, SessionMeta>();
      return {
        listSessions: async (principal) =>
          (await correct.listSessions(principal)).map((session) => {
            const meta = returned.get(session.sid) ?? session.meta;
            returned.set(session.sid, meta);
            return { ...session, meta };
          }),
      };
    }),
    foundBy: "listSessions() lists the sessions that createRecord() bound to a user",
  },
  {
    name: "moves a session before it remembers the old id",
    create: fullStore((correct) => {
      const moving = new Set<string>();
      return {
        moveRecord: async (sid, newSid, move) => {
          moving.add(sid);
          const moved = await correct.moveRecord(sid, newSid, move);
          await yieldToOthers();
          moving.delete(sid);
          return moved;
        },
        readRecord: (sid) => {
          const read = correct.readRecord(sid);
          return read !== undefined && "movedTo" in read && moving.has(sid) ? undefined : read;
        },
      };
    }),
    foundBy: "revokeAll() keeps the excepted session and ends the others while they get new ids",
  },
  {
    name: "lists a new session only some time after its creation",
    create: fullStore((correct) => {
      const unlisted = new Set<string>();
      const listLater = async (sid: string): Promise<void> => {
        unlisted.add(sid);
        for (let n = 0; n < 10; n++) await yieldToOthers();
        unlisted.delete(sid);
      };
      return {
        moveRecord: async (sid, newSid, move) => {
          const moved = await correct.moveRecord(sid, newSid, move);
          void listLater(newSid);
          return moved;
        },
        listSessions: async (principal) =>
          (await correct.listSessions(principal)).filter(({ sid }) => !unlisted.has(sid)),
      };
    }),
    foundBy: "concurrent sign-ins leave as many sessions as maxSessionsPerPrincipal allows",
  },
];
