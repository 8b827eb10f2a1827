/** Stores that compare or change the version of a record wrongly. */
import { type Defect, fullStore } from "./defect.ts";
import { editChangeRecord, editMoveRecord, editReadRecord, readLive } from "./record_edits.ts";

export const VERSION_DEFECTS: Defect[] = [
  {
    name: "ignores the version in changeRecord()",
    create: fullStore((correct) => editChangeRecord(correct, ({ ifVersion: _, ...rest }) => rest)),
    foundBy: "of 20 concurrent changes with one version exactly one is made",
  },
  ...["clear", "meta", "expiresAt"].map((member): Defect => ({
    name: `ignores the version in changeRecord() of ${member} only`,
    create: fullStore((correct) =>
      editChangeRecord(
        correct,
        ({ ifVersion, ...rest }) => Object.keys(rest).join() === member ? rest : { ...rest, ifVersion },
      )
    ),
    foundBy: "changeRecord() with an outdated version changes nothing",
  })),
  {
    name: "ignores the version in moveRecord() without values",
    create: fullStore((correct) =>
      editMoveRecord(correct, ({ ifVersion, ...move }) => move.set === undefined ? move : { ...move, ifVersion })
    ),
    foundBy: "moveRecord() with an outdated version moves nothing",
  },
  {
    name: "writes meta regardless of the version",
    create: fullStore((correct) => ({
      changeRecord: async (sid, change) => {
        await correct.changeRecord(sid, { meta: change.meta });
        return await correct.changeRecord(sid, change);
      },
    })),
    foundBy: "changeRecord() with an outdated version changes nothing",
  },
  {
    name: "never changes the version",
    create: fullStore((correct) => ({
      ...editReadRecord(correct, (record) => ({ ...record, version: 1 })),
      ...editChangeRecord(correct, ({ ifVersion: _, ...rest }) => rest),
    })),
    foundBy: "every change of values sets a version",
  },
  {
    name: "ignores the version in moveRecord()",
    create: fullStore((correct) => editMoveRecord(correct, ({ ifVersion: _, ...move }) => move)),
    foundBy: "moveRecord() with an outdated version moves nothing",
  },
  {
    name: "starts with the first version under a new id",
    create: fullStore((correct) => ({
      moveRecord: async (sid, newSid, move) => {
        const record = await readLive(correct, sid);
        const moved = await correct.moveRecord(sid, newSid, move);
        const after = await readLive(correct, newSid);
        if (!moved || record === undefined || after === undefined) return moved;
        await correct.delete(newSid);
        await correct.createRecord(newSid, after);
        return true;
      },
    })),
    foundBy: "a version from before moveRecord() is outdated",
  },

  {
    name: "creates a session under the new id of a moveRecord() with an outdated version",
    create: fullStore((correct) => ({
      moveRecord: async (sid, newSid, move) => {
        const record = await readLive(correct, sid);
        const moved = await correct.moveRecord(sid, newSid, move);
        // Only for the last move of the check: MemoryStore rejects another move to an id in use.
        if (!moved && move.set === undefined && record !== undefined) await correct.createRecord(newSid, record);
        return moved;
      },
    })),
    foundBy: "moveRecord() with an outdated version moves nothing",
  },
];
