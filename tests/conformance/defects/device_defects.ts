/** Stores that bind a session to a device wrongly, or lose the key of its device. */
import type { RecordChange, SessionMeta } from "../../../mod.ts";
import { HOUR } from "../../../src/conformance/record_store/record_fixtures.ts";
import { type Defect, fullStore, yieldToOthers } from "./defect.ts";
import { editChangeRecord, editCreateRecord, editMoveRecord, editReadRecord, readLive } from "./record_edits.ts";

const CHANGES = "changeRecord() with `ifNoDevice` changes a record that has no key";
const REFUSES = "changeRecord() with `ifNoDevice` changes nothing in a record that has the key";
const KEEPS = "a session keeps the key of its device until it is deleted";
const NEEDS_BOTH = "changeRecord() with `ifNoDevice` and `ifVersion` needs both";
const REJECTS = "changeRecord() with `ifNoDevice` rejects for a session that is missing";
const EXACTLY_ONE = "of 20 concurrent changes with `ifNoDevice` exactly one is made";
const DURING_MOVE = "a session that is bound to a device during a move";

function withoutCondition({ ifNoDevice: _, ...change }: RecordChange): RecordChange {
  return change;
}

/** Returns the members of meta with a key of 255 characters at most. */
function shorten<M extends Partial<SessionMeta>>(meta: M): M {
  return meta.deviceKey === undefined ? meta : { ...meta, deviceKey: meta.deviceKey.slice(0, 255) };
}

/** Checks in one step whether a session is bound, and changes the record in another. */
const checkThenBind = fullStore((correct) => ({
  changeRecord: async (sid, change) => {
    const record = await readLive(correct, sid);
    if (change.ifNoDevice && record?.meta.deviceKey !== undefined) return false;
    await yieldToOthers();
    return await correct.changeRecord(sid, withoutCondition(change));
  },
}));

export const DEVICE_DEFECTS: Defect[] = [
  {
    name: "ignores `ifNoDevice`",
    create: fullStore((correct) => editChangeRecord(correct, withoutCondition)),
    foundBy: EXACTLY_ONE,
  },
  ...["", "clear", "set", "meta", "expiresAt"].map((members): Defect => ({
    name: `ignores \`ifNoDevice\` in a change of ${members || "nothing"}`,
    create: fullStore((correct) =>
      editChangeRecord(correct, (change) => {
        const rest = withoutCondition(change);
        return Object.keys(rest).join() === members ? rest : change;
      })
    ),
    foundBy: REFUSES,
  })),
  {
    name: "ignores `ifNoDevice` in a change of many values",
    create: fullStore((correct) =>
      editChangeRecord(correct, (change) => (change.set?.size ?? 0) > 16 ? withoutCondition(change) : change)
    ),
    foundBy: REFUSES,
  },
  {
    name: "writes meta regardless of `ifNoDevice`",
    create: fullStore((correct) => ({
      changeRecord: async (sid, change) => {
        const changed = await correct.changeRecord(sid, change);
        if (!changed) await correct.changeRecord(sid, { meta: change.meta });
        return changed;
      },
    })),
    foundBy: REFUSES,
  },
  {
    name: "extends the expiry although the session is bound",
    create: fullStore((correct) => ({
      changeRecord: async (sid, change) => {
        const changed = await correct.changeRecord(sid, change);
        if (!changed) await correct.changeRecord(sid, { expiresAt: change.expiresAt });
        return changed;
      },
    })),
    foundBy: REFUSES,
  },
  {
    name: "compares the key of the device with the one to write",
    create: fullStore((correct) => ({
      changeRecord: async (sid, change) => {
        const record = await readLive(correct, sid);
        const isSame = record?.meta.deviceKey !== undefined && record.meta.deviceKey === change.meta?.deviceKey;
        return await correct.changeRecord(sid, isSame ? withoutCondition(change) : change);
      },
    })),
    foundBy: REFUSES,
  },
  {
    name: "does not find the key of a device that the session was created with",
    create: fullStore((correct) => {
      const created = new Set<string>();
      return {
        createRecord: (sid, record) => {
          if (record.meta.deviceKey !== undefined) created.add(sid);
          return correct.createRecord(sid, record);
        },
        changeRecord: (sid, change) => correct.changeRecord(sid, created.has(sid) ? withoutCondition(change) : change),
      };
    }),
    foundBy: REFUSES,
  },
  {
    name: "refuses every change with `ifNoDevice`",
    create: fullStore((correct) => ({
      changeRecord: async (sid, change) => change.ifNoDevice ? false : await correct.changeRecord(sid, change),
    })),
    foundBy: CHANGES,
  },
  {
    name: "ignores `clear` in a change with `ifNoDevice`",
    create: fullStore((correct) =>
      editChangeRecord(correct, ({ clear, ...change }) => change.ifNoDevice ? change : { ...change, clear })
    ),
    foundBy: CHANGES,
  },
  {
    name: "keeps only 255 characters of the key of a device",
    create: fullStore((correct) =>
      editChangeRecord(correct, ({ meta, ...change }) => ({ ...change, ...(meta && { meta: shorten(meta) }) }))
    ),
    foundBy: CHANGES,
  },
  {
    name: "drops the key of a device that a session is created with",
    create: fullStore((correct) =>
      editCreateRecord(correct, ({ meta: { deviceKey: _, ...meta }, ...record }) => ({ ...record, meta }))
    ),
    foundBy: "createRecord() keeps values, deadline and meta exactly",
  },
  {
    name: "does not return when a session was bound to its device",
    create: fullStore((correct) =>
      editReadRecord(correct, ({ meta: { deviceBoundAt: _, ...meta }, ...record }) => ({ ...record, meta }))
    ),
    foundBy: KEEPS,
  },
  {
    name: "drops the key of a device at a move",
    create: fullStore((correct) =>
      editMoveRecord(correct, (move) => ({ ...move, meta: { deviceKey: undefined, ...move.meta } }))
    ),
    foundBy: KEEPS,
  },
  {
    name: "drops the key of a device in a change with `clear`",
    create: fullStore((correct) =>
      editChangeRecord(
        correct,
        (change) => change.clear ? { ...change, meta: { ...change.meta, deviceKey: undefined } } : change,
      )
    ),
    foundBy: KEEPS,
  },
  {
    name: "unbinds a session from its device together with its user",
    create: fullStore((correct) =>
      editChangeRecord(correct, ({ meta = {}, ...change }) => {
        const isUnbound = "principal" in meta && meta.principal === undefined;
        return { ...change, meta: isUnbound ? { ...meta, deviceKey: undefined } : meta };
      })
    ),
    foundBy: KEEPS,
  },
  {
    name: "keeps the key of a device for the next session with the id",
    create: fullStore((correct) => {
      const keys = new Map<string, string | undefined>();
      return {
        delete: async (sid) => {
          keys.set(sid, (await readLive(correct, sid))?.meta.deviceKey);
          await correct.delete(sid);
        },
        createRecord: (sid, record) =>
          correct.createRecord(sid, { ...record, meta: { deviceKey: keys.get(sid), ...record.meta } }),
      };
    }),
    foundBy: KEEPS,
  },
  {
    name: "ignores the version in a change with `ifNoDevice`",
    create: fullStore((correct) =>
      editChangeRecord(correct, ({ ifVersion, ...change }) => change.ifNoDevice ? change : { ...change, ifVersion })
    ),
    foundBy: NEEDS_BOTH,
  },
  {
    name: "ignores `ifNoDevice` in a change with a version",
    create: fullStore((correct) =>
      editChangeRecord(correct, (change) => change.ifVersion === undefined ? change : withoutCondition(change))
    ),
    foundBy: NEEDS_BOTH,
  },
  {
    name: "returns false from a change with `ifNoDevice` of a missing session",
    create: fullStore((correct) => ({
      changeRecord: (sid, change) =>
        correct.changeRecord(sid, change).catch((error) => {
          if (change.ifNoDevice) return false;
          throw error;
        }),
    })),
    foundBy: REJECTS,
  },
  {
    name: "binds an expired session",
    create: fullStore((correct) => {
      const expired = new Set<string>();
      return {
        createRecord: (sid, record) => {
          if (record.expiresAt < Date.now() + HOUR) expired.add(sid);
          return correct.createRecord(sid, record);
        },
        changeRecord: async (sid, change) =>
          change.ifNoDevice && expired.has(sid) || await correct.changeRecord(sid, change),
      };
    }),
    foundBy: REJECTS,
  },
  {
    name: "checks whether a session is bound before it changes it, not atomically",
    create: checkThenBind,
    foundBy: EXACTLY_ONE,
  },
  {
    name: "loses the key of a device that the session is bound to during a move",
    create: fullStore((correct) => ({
      moveRecord: async (sid, newSid, move) => {
        const record = await readLive(correct, sid);
        await yieldToOthers();
        return await correct.moveRecord(sid, newSid, {
          ...move,
          meta: { deviceKey: record?.meta.deviceKey, ...move.meta },
        });
      },
    })),
    foundBy: DURING_MOVE,
  },
];
