// deno-lint-ignore-file require-await -- an `async` method rejects when its body throws
/** Stores with a defect under concurrent calls. */
import { cloneValue } from "../../../src/util/clone_value.ts";
import { basicStore, type Defect, fullStore, throwing, yieldToOthers } from "./defect.ts";

export const CONCURRENCY_DEFECTS: Defect[] = [
  {
    name: "checks for an id in use before it creates, not atomically",
    create: basicStore((_, backend) => ({
      create: async (sid) => {
        if (backend.has(sid)) throw new Error("in use");
        await yieldToOthers();
        backend.set(sid, new Map());
      },
    })),
    foundBy: "of 20 concurrent create() with one id exactly one succeeds",
  },
  {
    name: "deletes after delete() has resolved",
    create: basicStore((correct) => ({ delete: async (sid) => void setTimeout(() => correct.delete(sid), 10) })),
    foundBy: "a session that is destroyed during concurrent writes stays destroyed",
  },
  {
    name: "writes the whole session back in setValue()",
    create: basicStore((_, backend) => ({
      setValue: async (sid, key, value) => {
        const values = new Map(backend.get(sid) ?? throwing(new Error("missing"))()).set(key, cloneValue(key, value));
        await yieldToOthers();
        backend.set(sid, values);
      },
    })),
    foundBy: "100 concurrent writes to different keys are all kept, in one instance",
  },
  {
    name: "writes the whole session back in setValue(), serialized within an instance",
    create: basicStore((_, backend) => {
      let last: Promise<unknown> = Promise.resolve();
      return {
        setValue: (sid, key, value) => {
          const copy = cloneValue(key, value);
          const turn = last.then(async () => {
            const values = new Map(backend.get(sid) ?? throwing(new Error("missing"))()).set(key, copy);
            await yieldToOthers();
            if (backend.has(sid)) backend.set(sid, values);
          });
          last = turn.catch(() => {});
          return turn;
        },
      };
    }),
    foundBy: "100 concurrent writes to different keys are all kept, across two instances",
  },
  {
    name: "writes a value in two parts",
    create: basicStore((correct) => ({
      setValue: async (sid, key, value) => {
        if (typeof value !== "string" || value.length < 500) return await correct.setValue(sid, key, value);
        await correct.setValue(sid, key, value.slice(0, 500));
        for (let i = value.charCodeAt(0) % 5; i > 0; i--) await yieldToOthers();
        await correct.setValue(sid, key, await correct.getValue(sid, key) + value.slice(500));
      },
    })),
    foundBy: "concurrent writes to one key leave one of the values, whole",
  },
  {
    name: "rejects a write during another write",
    create: basicStore((correct) => {
      let busy = false;
      return {
        setValue: async (sid, key, value) => {
          if (busy) throw new Error("busy");
          busy = true;
          await correct.setValue(sid, key, value).finally(() => busy = false);
        },
      };
    }),
    foundBy: "create() with an id that is in use never empties",
  },
  {
    name: "undoes concurrent removals",
    create: basicStore((correct, backend) => {
      const removed: string[] = [];
      return {
        setValue: async (sid, key, value) => {
          if (value !== undefined) return await correct.setValue(sid, key, value);
          const before = new Map(backend.get(sid));
          removed.push(key);
          await correct.setValue(sid, key, value);
          if (removed.length > 10) { for (const [key, value] of before) backend.get(sid)?.set(key, value); }
        },
      };
    }),
    foundBy: "concurrent writes and removals of different keys",
  },
  {
    name: "restores a session that was deleted during a write",
    create: basicStore((_, backend) => ({
      setValue: async (sid, key, value) => {
        const values = backend.get(sid) ?? throwing(new Error("missing"))();
        const copy = cloneValue(key, value);
        await yieldToOthers();
        if (copy === undefined) values.delete(key);
        else values.set(key, copy);
        backend.set(sid, values);
      },
    })),
    foundBy: "a session that is deleted during concurrent writes does not come back",
  },
  {
    name: "restores a session that was cleared during a write",
    create: basicStore((correct, backend) => {
      const deleted = new Set<string>();
      return {
        delete: async (sid) => {
          deleted.add(sid);
          await correct.delete(sid);
        },
        setValue: async (sid, key, value) => {
          const values = backend.get(sid) ?? throwing(new Error("missing"))();
          values.set(key, cloneValue(key, value));
          await yieldToOthers();
          if (!deleted.has(sid)) backend.set(sid, values);
        },
      };
    }),
    foundBy: "sessions that are cleared during concurrent writes do not come back",
  },
  {
    name: "clears only the sessions that nobody has written to for a moment",
    create: basicStore((correct, backend) => {
      let recent: string | undefined;
      return {
        setValue: async (sid, key, value) => {
          await correct.setValue(sid, key, value);
          recent = sid;
        },
        clear: async () => {
          await undefined;
          for (const sid of [...backend.keys()]) if (sid !== recent) backend.delete(sid);
        },
      };
    }),
    foundBy: "revokeEverybody() ends all sessions, also for requests in progress",
  },
  {
    name: "clears the sessions that were there when it began",
    create: fullStore((correct) => {
      const ids = new Set<string>();
      return {
        createRecord: async (sid, record) => {
          await correct.createRecord(sid, record);
          ids.add(sid);
        },
        moveRecord: async (sid, newSid, move) => {
          const moved = await correct.moveRecord(sid, newSid, move);
          ids.add(newSid);
          return moved;
        },
        clear: async () => {
          const old = [...ids];
          await yieldToOthers();
          for (const sid of old) await correct.delete(sid);
        },
      };
    }),
    foundBy: "revokeEverybody() ends a session that gets a new id at the same time",
  },
  {
    name: "empties a session before it rejects create() with its id",
    create: basicStore((correct, backend) => ({
      create: async (sid) => {
        backend.get(sid)?.clear();
        await correct.create(sid);
      },
    })),
    foundBy: "create() with an id that is in use never empties",
  },
];
