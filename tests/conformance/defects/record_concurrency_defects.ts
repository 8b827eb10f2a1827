/** Stores with a defect under concurrent calls on records. */
import { type MemoryStore, SessionGoneError } from "../../../mod.ts";
import { type Defect, fullStore, yieldToOthers } from "./defect.ts";
import { editChangeRecord, readLive } from "./record_edits.ts";

/** Compares the version in one step and changes the record in another. */
const compareThenChange = fullStore((correct) => ({
  changeRecord: async (sid, { ifVersion, ...change }) => {
    const record = await readLive(correct, sid);
    if (record !== undefined && ifVersion !== undefined && record.version !== ifVersion) return false;
    await yieldToOthers();
    return await correct.changeRecord(sid, change);
  },
}));

export const RECORD_CONCURRENCY_DEFECTS: Defect[] = [
  {
    name: "writes the whole record back in setValue()",
    create: fullStore((correct) => ({
      setValue: async (sid, key, value) => {
        const record = await readLive(correct, sid);
        await yieldToOthers();
        const set = new Map(record?.values ?? []).set(key, value);
        await correct.changeRecord(sid, { clear: true, set });
      },
    })),
    foundBy: "50 concurrent requests that write different keys",
  },
  {
    name: "caches a record",
    create: fullStore((correct) => {
      const read = new Map<string, ReturnType<MemoryStore["readRecord"]>>();
      return {
        readRecord: async (sid) => {
          const record = read.get(sid) ?? correct.readRecord(sid);
          if (await record !== undefined) read.set(sid, record);
          return await record;
        },
        ...editChangeRecord(correct, ({ ifVersion: _, ...change }) => change),
      };
    }),
    foundBy: "200 concurrent requests that increment with update()",
  },
  {
    name: "ignores a change that depends on the version",
    create: fullStore((correct) => editChangeRecord(correct, (change) => change.ifVersion === undefined ? change : {})),
    foundBy: "of 50 concurrent requests that take() one value",
  },
  {
    name: "compares the version before it changes, not atomically",
    create: compareThenChange,
    foundBy: "100 concurrent increments that retry with the current version",
  },
  {
    name: "compares the version before it changes, not atomically, seen by two servers",
    create: compareThenChange,
    foundBy: "middleware: across two instances: 200 concurrent requests that increment",
  },
  {
    name: "returns false from changeRecord() during other changes",
    create: fullStore((correct) => {
      let busy = 0;
      return {
        changeRecord: async (sid, change) => {
          if (busy > 0 && change.set !== undefined) return false;
          busy++;
          await yieldToOthers();
          return await correct.changeRecord(sid, change).finally(() => busy--);
        },
      };
    }),
    foundBy: "concurrent changes of different keys, of meta and of the deadline",
  },
  {
    name: "writes all values back together with meta",
    create: fullStore((correct) => ({
      changeRecord: async (sid, change) => {
        const record = await readLive(correct, sid);
        if (record === undefined) throw new SessionGoneError("change");
        await yieldToOthers();
        const set = new Map([...change.clear ? [] : record.values, ...change.set ?? []]);
        return await correct.changeRecord(sid, { ...change, clear: true, set });
      },
    })),
    foundBy: "concurrent changes of different keys, of meta and of the deadline",
  },
  {
    name: "moves a session twice",
    create: fullStore((correct) => ({
      moveRecord: async (sid, newSid, move) => {
        const record = await readLive(correct, sid);
        if (record === undefined) throw new SessionGoneError("regenerate");
        await yieldToOthers();
        return await correct.moveRecord(sid, newSid, move).catch(async () => {
          await correct.createRecord(newSid, record);
          return true;
        });
      },
    })),
    foundBy: "of two concurrent moves of one session exactly one succeeds",
  },
  {
    name: "moves two sessions to one id",
    create: fullStore((correct) => ({
      moveRecord: async (sid, newSid, move) => {
        const used = await correct.exist(newSid);
        await yieldToOthers();
        if (!used) void correct.delete(newSid);
        return await correct.moveRecord(sid, newSid, move);
      },
    })),
    foundBy: "of two sessions moved concurrently to one id exactly one moves",
  },
  {
    name: "loses a write during a move",
    create: fullStore((correct) => ({
      moveRecord: async (sid, newSid, move) => {
        const record = await readLive(correct, sid);
        await yieldToOthers();
        const moved = await correct.moveRecord(sid, newSid, move);
        if (moved && record !== undefined) await correct.changeRecord(newSid, { clear: true, set: record.values });
        return moved;
      },
    })),
    foundBy: "a write during a move reaches the session or rejects",
  },
  {
    name: "leaves a copy under the new id of a session that is deleted during a move",
    create: fullStore((correct) => ({
      moveRecord: async (sid, newSid, { set: _, ...move }) => {
        const record = await readLive(correct, sid);
        if (record === undefined) throw new SessionGoneError("regenerate");
        await correct.createRecord(newSid, record);
        await yieldToOthers();
        if (!await correct.exist(sid)) throw new SessionGoneError("regenerate");
        void correct.delete(newSid);
        return await correct.moveRecord(sid, newSid, move);
      },
    })),
    foundBy: "a session that is deleted during a move is gone",
  },
  {
    name: "restores a session that is deleted during a change",
    create: fullStore((correct) => ({
      changeRecord: async (sid, change) => {
        const record = await readLive(correct, sid);
        await yieldToOthers();
        if (record !== undefined && await correct.readRecord(sid) === undefined) {
          await correct.createRecord(sid, record);
        }
        return await correct.changeRecord(sid, change);
      },
    })),
    foundBy: "a session that is deleted during concurrent changes does not come back",
  },

  {
    name: "creates a session under the new id of a moveRecord() that rejects",
    create: fullStore((correct) => ({
      moveRecord: (sid, newSid, move) =>
        correct.moveRecord(sid, newSid, move).catch(async (error) => {
          await correct.create(newSid);
          throw error;
        }),
    })),
    foundBy: "of two concurrent moves of one session exactly one succeeds",
  },
  {
    name: "deletes a session whose new id is in use",
    create: fullStore((correct) => ({
      moveRecord: (sid, newSid, move) =>
        correct.moveRecord(sid, newSid, move).catch(async (error) => {
          await correct.delete(sid);
          throw error;
        }),
    })),
    foundBy: "of two sessions moved concurrently to one id exactly one moves",
  },
];
