/** Stores with a defect in deadlines. */
import type { SessionRecord } from "../../../mod.ts";
import { HOUR } from "../../../src/conformance/record_store/record_fixtures.ts";
import { type Defect, fullStore } from "./defect.ts";
import { editChangeRecord, editCreateRecord, withAllClocksBehind, withClockBehind } from "./record_edits.ts";

export const DEADLINE_DEFECTS: Defect[] = [
  {
    name: "does not remove the deadline",
    create: fullStore((correct) =>
      editChangeRecord(
        correct,
        (change) => change.expiresAt === Infinity ? { ...change, expiresAt: undefined } : change,
      )
    ),
    foundBy: "a session without a deadline has none under its new id",
  },
  {
    name: "expires a session a millisecond too early",
    create: fullStore((correct) => withAllClocksBehind(correct, -1)),
    foundBy: "a session is live until a millisecond before its deadline",
  },
  {
    name: "expires a session a millisecond too late",
    create: fullStore((correct) => withAllClocksBehind(correct, 1)),
    foundBy: "from its deadline on a session is missing to every method",
  },
  {
    name: "expires a session a second too early",
    create: fullStore((correct) => withAllClocksBehind(correct, -1000)),
    foundBy: "after the deadline of a session its cookie is not accepted",
  },
  {
    name: "returns an expired record",
    create: fullStore((correct) => ({ readRecord: (sid) => withClockBehind(1, () => correct.readRecord(sid)) })),
    foundBy: "readRecord() of an expired session returns { expired: true }",
  },
  {
    name: "prolongs an expired session",
    create: fullStore((correct) => ({
      changeRecord: (sid, change) => withClockBehind(1, () => correct.changeRecord(sid, change)),
    })),
    foundBy: "from its deadline on a session is missing to every method",
  },
  {
    name: "adds a member to the trace of an expired session",
    create: fullStore((correct) => ({
      readRecord: async (sid) => {
        const read = await correct.readRecord(sid);
        return read !== undefined && "expired" in read ? Object.assign(read, { at: 1 }) : read;
      },
    })),
    foundBy: "readRecord() of an expired session returns { expired: true }",
  },
  {
    name: "rejects create() with the id of an expired session",
    create: fullStore((correct) => ({ create: (sid) => withClockBehind(1, () => correct.create(sid)) })),
    foundBy: "create() and createRecord() replace an expired session",
  },
  {
    name: "keeps values of an expired session",
    create: fullStore((correct) => {
      const values = new Map<string, SessionRecord["values"]>();
      return {
        createRecord: async (sid, record) => {
          await correct.createRecord(sid, { ...record, values: new Map([...values.get(sid) ?? [], ...record.values]) });
          values.set(sid, record.values);
        },
      };
    }),
    foundBy: "create() and createRecord() replace an expired session",
  },
  {
    name: "restarts the deadline under a new id",
    create: fullStore((correct) => ({
      moveRecord: async (sid, newSid, move) => {
        const moved = await correct.moveRecord(sid, newSid, move);
        if (moved) await correct.changeRecord(newSid, { expiresAt: Date.now() + HOUR });
        return moved;
      },
    })),
    foundBy: "a session keeps its deadline under a new id",
  },
  {
    name: "keeps a session no longer than a timer can run",
    create: fullStore((correct) =>
      editCreateRecord(
        correct,
        (record) => ({ ...record, expiresAt: Math.min(record.expiresAt, Date.now() + 2 ** 31) }),
      )
    ),
    foundBy: "a session whose deadline is years away is live until then",
  },

  {
    name: "writes to an expired session",
    create: fullStore((correct) => ({
      setValue: (sid, key, value) => withClockBehind(1, () => correct.setValue(sid, key, value)),
    })),
    foundBy: "from its deadline on a session is missing to every method",
  },
  {
    name: "moves an expired session",
    create: fullStore((correct) => ({
      moveRecord: (sid, newSid, move) => withClockBehind(1, () => correct.moveRecord(sid, newSid, move)),
    })),
    foundBy: "from its deadline on a session is missing to every method",
  },
];
