/** Stores with a defect in `moveRecord()`, or in the traces of replaced ids. */
import type { SessionTrace, StoredRecord } from "../../../mod.ts";
import { type Defect, fullStore } from "./defect.ts";
import { editMoveRecord, editTrace, readLive } from "./record_edits.ts";

export const MOVE_DEFECTS: Defect[] = [
  {
    name: "does not delete a session that has moved",
    create: fullStore((correct) => {
      const moved = new Set<string>();
      return {
        moveRecord: (sid, newSid, move) => {
          moved.add(newSid);
          return correct.moveRecord(sid, newSid, move);
        },
        delete: async (sid) => moved.has(sid) ? undefined : await correct.delete(sid),
      };
    }),
    foundBy: "a session that is destroyed during regenerate() is gone",
  },
  {
    name: "keeps the traces of replaced ids in clear()",
    create: fullStore((correct) => {
      const traces = new Map<string, SessionTrace>();
      return {
        moveRecord: async (sid, newSid, move) => {
          const moved = await correct.moveRecord(sid, newSid, move);
          if (moved) traces.set(sid, { movedTo: newSid, graceUntil: move.graceUntil });
          return moved;
        },
        readRecord: async (sid) => await correct.readRecord(sid) ?? traces.get(sid),
      };
    }),
    foundBy: "clear() removes the trace of a replaced id",
  },
  {
    name: "drops a value in moveRecord()",
    create: fullStore((correct) =>
      editMoveRecord(correct, (move) => ({ ...move, set: new Map([["__proto__", undefined]]) }))
    ),
    foundBy: "moveRecord() moves the whole record",
  },
  {
    name: "does not write meta in moveRecord()",
    create: fullStore((correct) => editMoveRecord(correct, (move) => ({ ...move, meta: {} }))),
    foundBy: "moveRecord() moves the whole record",
  },
  {
    name: "does not write values in moveRecord()",
    create: fullStore((correct) => editMoveRecord(correct, ({ set: _, ...move }) => move)),
    foundBy: "moveRecord() writes values together with the move",
  },
  {
    name: "does not write the deadline in moveRecord()",
    create: fullStore((correct) => editMoveRecord(correct, ({ expiresAt: _, ...move }) => move)),
    foundBy: "moveRecord() writes a new deadline together with the move",
  },
  {
    name: "keeps the session under its old id",
    create: fullStore((correct) => ({
      moveRecord: async (sid, newSid, move) => {
        const record = await readLive(correct, sid);
        const moved = await correct.moveRecord(sid, newSid, move);
        if (moved && record !== undefined) await correct.createRecord(sid, record);
        return moved;
      },
    })),
    foundBy: "regenerate() keeps the values under a new id",
  },
  {
    name: "removes the trace of a replaced id in delete()",
    create: fullStore((correct) => {
      const deleted = new Set<string>();
      return {
        ...editTrace(correct, (trace, sid) => deleted.has(sid) ? undefined : trace),
        delete: async (sid) => {
          deleted.add(sid);
          await correct.delete(sid);
        },
      };
    }),
    foundBy: "a replaced id is missing to every method but readRecord(), also after delete()",
  },
  {
    name: "deletes the session in delete() of its replaced id",
    create: fullStore((correct) => ({
      delete: async (sid) => {
        const read = await correct.readRecord(sid);
        await correct.delete(read !== undefined && "movedTo" in read ? read.movedTo : sid);
      },
    })),
    foundBy: "a replaced id is missing to every method but readRecord(), also after delete()",
  },
  {
    name: "writes to the session in setValue() with its replaced id",
    create: fullStore((correct) => ({
      setValue: async (sid, key, value) => {
        const read = await correct.readRecord(sid);
        await correct.setValue(read !== undefined && "movedTo" in read ? read.movedTo : sid, key, value);
      },
    })),
    foundBy: "a replaced id is missing to every method",
  },
  {
    name: "remembers only the last replaced id",
    create: fullStore((correct) => {
      let last = "";
      return {
        moveRecord: (sid, newSid, move) => {
          last = sid;
          return correct.moveRecord(sid, newSid, move);
        },
        ...editTrace(correct, (trace, sid) => sid === last ? trace : undefined),
      };
    }),
    foundBy: "each id of a session that moved three times",
  },
  {
    name: "replaces a session whose id is passed to moveRecord()",
    create: fullStore((correct) => ({
      moveRecord: async (sid, newSid, move) => {
        if (await correct.exist(sid)) await correct.delete(newSid);
        return await correct.moveRecord(sid, newSid, move);
      },
    })),
    foundBy: "moveRecord() rejects a new id that is in use",
  },
  {
    name: "creates a session in moveRecord()",
    create: fullStore((correct) => ({
      moveRecord: async (sid, newSid, move) => {
        if (await correct.readRecord(sid) === undefined) await correct.create(sid);
        return await correct.moveRecord(sid, newSid, move);
      },
    })),
    foundBy: "moveRecord() rejects for a missing session, and creates nothing",
  },
  {
    name: "forgets a replaced id when its session expires",
    create: fullStore((correct) => {
      const deadlines = new Map<string, number>();
      return {
        ...editTrace(correct, (trace, sid) => Date.now() < (deadlines.get(sid) ?? 0) ? trace : undefined),
        moveRecord: async (sid, newSid, move) => {
          deadlines.set(sid, (await readLive(correct, sid))?.expiresAt ?? 0);
          return await correct.moveRecord(sid, newSid, move);
        },
      };
    }),
    foundBy: "a replaced id is remembered for its grace period, even if the session expires earlier",
  },
  {
    name: "forgets a replaced id immediately",
    create: fullStore((correct) => editTrace(correct, () => undefined)),
    foundBy: "a session that is destroyed during a grace period is gone under both ids",
  },
  {
    name: "forgets a replaced id after its grace period",
    create: fullStore((correct) => editTrace(correct, (trace) => Date.now() < trace.graceUntil ? trace : undefined)),
    foundBy: "a replaced id is remembered until the session's deadline",
  },
  {
    name: "brings a replaced id back after its grace period",
    create: fullStore((correct) => {
      const old = new Map<string, StoredRecord>();
      return {
        moveRecord: async (sid, newSid, move) => {
          const record = await readLive(correct, sid);
          if (record !== undefined) old.set(sid, record);
          return await correct.moveRecord(sid, newSid, move);
        },
        ...editTrace(correct, (trace, sid) => Date.now() > trace.graceUntil + 1000 ? old.get(sid) : trace),
      };
    }),
    foundBy: "a replaced id never leads to a record again",
  },
  {
    name: "stores the grace period in seconds",
    create: fullStore((correct) =>
      editMoveRecord(correct, (move) => ({ ...move, graceUntil: Math.floor(move.graceUntil / 1000) }))
    ),
    foundBy: "during its grace period the old id leads to the session",
  },

  {
    name: "moves a session in moveRecord() of its replaced id",
    create: fullStore((correct) => ({
      moveRecord: async (sid, newSid, move) => {
        const read = await correct.readRecord(sid);
        return await correct.moveRecord(read !== undefined && "movedTo" in read ? read.movedTo : sid, newSid, move);
      },
    })),
    foundBy: "a replaced id is missing to every method",
  },
  {
    name: "creates a session under the new id before it rejects moveRecord() of a replaced id",
    create: fullStore((correct) => ({
      moveRecord: async (sid, newSid, move) => {
        const read = await correct.readRecord(sid);
        if (read !== undefined && "movedTo" in read) await correct.create(newSid).catch(() => {});
        return await correct.moveRecord(sid, newSid, move);
      },
    })),
    foundBy: "a replaced id is missing to every method",
  },
  {
    name: "silently ignores a write to a replaced id",
    create: fullStore((correct) => {
      const isReplaced = async (sid: string): Promise<boolean> => {
        const read = await correct.readRecord(sid);
        return read !== undefined && "movedTo" in read;
      };
      return {
        setValue: async (sid, key, value) =>
          await isReplaced(sid) ? undefined : await correct.setValue(sid, key, value),
        changeRecord: async (sid, change) => await isReplaced(sid) || await correct.changeRecord(sid, change),
      };
    }),
    foundBy: "during its grace period the old id leads to the session",
  },
];
