/** Stores with a defect in `createRecord()`, `readRecord()` or `changeRecord()`. */
import { SessionGoneError, type SessionMeta, type StoredRecord } from "../../../mod.ts";
import { HOUR, META } from "../../../src/conformance/record_store/record_fixtures.ts";
import { type Defect, fullStore } from "./defect.ts";
import { definedMembers, editChangeRecord, editCreateRecord, editReadRecord, readLive } from "./record_edits.ts";

export const RECORD_DEFECTS: Defect[] = [
  {
    name: "does not keep the lifetime of a session",
    create: fullStore((correct) =>
      editReadRecord(correct, ({ meta: { maxAge: _, ...meta }, ...record }) => ({ ...record, meta }))
    ),
    foundBy: "setMaxAge() gives one session a lifetime of its own",
  },
  {
    name: "writes only the first of several values in changeRecord()",
    create: fullStore((correct) =>
      editChangeRecord(correct, (change) => ({ ...change, set: new Map(Array.from(change.set ?? []).slice(0, 1)) }))
    ),
    foundBy: "set() writes several values at once",
  },
  {
    name: "does not delete records",
    create: fullStore(() => ({ delete: async () => {} })),
    foundBy: "middleware: ",
  },
  {
    name: "drops the CSRF seed",
    create: fullStore((correct) =>
      editCreateRecord(correct, ({ meta: { csrfSeed: _, ...meta }, ...rest }) => ({ ...rest, meta }))
    ),
    foundBy: "createRecord() keeps values, deadline and meta exactly",
  },
  {
    name: "does not remember that the values are encrypted",
    create: fullStore((correct) =>
      editCreateRecord(correct, ({ meta: { encrypted: _, ...meta }, ...rest }) => ({ ...rest, meta }))
    ),
    foundBy: "createRecord() keeps values, deadline and meta exactly",
  },
  {
    name: "forgets at a change that the values are encrypted",
    create: fullStore((correct) =>
      editChangeRecord(correct, ({ meta, ...rest }) => ({ ...rest, meta: { ...meta, encrypted: undefined } }))
    ),
    foundBy: "changeRecord() writes and removes members of meta",
  },
  {
    name: "returns null for absent members of meta",
    create: fullStore((correct) =>
      editReadRecord(correct, (record) => ({
        ...record,
        meta: { ...{ sentAt: null, principal: null }, ...record.meta } as unknown as SessionMeta,
      }))
    ),
    foundBy: "createRecord() keeps values, deadline and meta exactly",
  },
  {
    name: "rounds the deadline up to seconds",
    create: fullStore((correct) =>
      editCreateRecord(correct, (record) => ({ ...record, expiresAt: Math.ceil(record.expiresAt / 1000) * 1000 }))
    ),
    foundBy: "createRecord() keeps values, deadline and meta exactly",
  },
  {
    name: "drops a first value with the key __proto__",
    create: fullStore((correct) =>
      editCreateRecord(correct, (record) => ({
        ...record,
        values: new Map([...record.values].filter(([key]) => key !== "__proto__")),
      }))
    ),
    foundBy: "createRecord() keeps values",
  },
  {
    name: "replaces a record whose id is passed to createRecord()",
    create: fullStore((correct) => ({
      createRecord: async (sid, record) => {
        await correct.delete(sid);
        await correct.createRecord(sid, record);
      },
    })),
    foundBy: "createRecord() rejects an id that is in use",
  },
  {
    name: "gives a session without a deadline a deadline after one day",
    create: fullStore((correct) => ({
      create: (sid) => correct.createRecord(sid, { values: new Map(), expiresAt: Date.now() + 24 * HOUR, meta: META }),
    })),
    foundBy: "create() creates a record without a deadline, whose times in meta are the current time",
  },
  {
    name: "reports a deleted session as expired",
    create: fullStore((correct) => ({ readRecord: async (sid) => await correct.readRecord(sid) ?? { expired: true } })),
    foundBy: "readRecord() returns undefined for a session that never existed",
  },
  {
    name: "does not remove values in changeRecord()",
    create: fullStore((correct) =>
      editChangeRecord(correct, ({ set, ...rest }) => ({
        ...rest,
        set: new Map([...set ?? []].filter(([, value]) => value !== undefined)),
      }))
    ),
    foundBy: "changeRecord() writes and removes values",
  },
  {
    name: "removes the other values in changeRecord()",
    create: fullStore((correct) =>
      editChangeRecord(correct, (change) => change.set === undefined ? change : { ...change, clear: true })
    ),
    foundBy: "changeRecord() writes and removes values",
  },
  {
    name: "clears after it has written",
    create: fullStore((correct) =>
      editChangeRecord(correct, ({ set, ...rest }) => ({ ...rest, ...(rest.clear ? {} : { set }) }))
    ),
    foundBy: "changeRecord() with `clear` removes all values",
  },
  {
    name: "ignores `clear`",
    create: fullStore((correct) => editChangeRecord(correct, ({ clear: _, ...rest }) => rest)),
    foundBy: "clear() removes every value",
  },
  {
    name: "replaces the whole meta",
    create: fullStore((correct) => ({
      changeRecord: async (sid, change) => {
        const all = {
          sentAt: undefined,
          principal: undefined,
          boundAt: undefined,
          csrfSeed: undefined,
          replaces: undefined,
        };
        return await correct.changeRecord(
          sid,
          change.meta === undefined ? change : { ...change, meta: { ...all, ...change.meta } },
        );
      },
    })),
    foundBy: "changeRecord() writes and removes members of meta",
  },
  {
    name: "does not remove members of meta",
    create: fullStore((correct) =>
      editChangeRecord(correct, ({ meta = {}, ...rest }) => ({ ...rest, meta: definedMembers(meta) }))
    ),
    foundBy: "clear() unbinds a session from its user",
  },
  {
    name: "does not move the deadline",
    create: fullStore((correct) => editChangeRecord(correct, ({ expiresAt: _, ...rest }) => rest)),
    foundBy: "a session with an idle timeout stays live",
  },
  {
    name: "moves the deadline only later",
    create: fullStore((correct) => ({
      changeRecord: async (sid, { expiresAt, ...rest }) => {
        const before = (await readLive(correct, sid))?.expiresAt ?? 0;
        return await correct.changeRecord(sid, { ...rest, expiresAt: Math.max(expiresAt ?? 0, before) });
      },
    })),
    foundBy: "changeRecord() moves the deadline later and earlier",
  },
  {
    name: "copies the record of createRecord() asynchronously",
    create: fullStore((correct) => ({
      createRecord: async (sid, record) => {
        await undefined;
        await correct.createRecord(sid, record);
      },
    })),
    foundBy: "createRecord() and changeRecord() copy synchronously",
  },
  {
    name: "copies a change asynchronously",
    create: fullStore((correct) => ({
      changeRecord: async (sid, change) => {
        await undefined;
        return await correct.changeRecord(sid, change);
      },
    })),
    foundBy: "createRecord() and changeRecord() copy synchronously",
  },
  {
    name: "returns its own record from readRecord()",
    create: fullStore((correct) => {
      const given = new Map<string, StoredRecord>();
      return {
        readRecord: async (sid) => {
          const record = await readLive(correct, sid);
          if (record === undefined) return await correct.readRecord(sid);
          const before = given.get(sid);
          if (before?.version === record.version) return before;
          given.set(sid, record);
          return record;
        },
      };
    }),
    foundBy: "createRecord() and changeRecord() copy synchronously",
  },
  {
    name: "writes a part of a change that it rejects",
    create: fullStore((correct) => ({
      changeRecord: async (sid, change) => {
        await correct.changeRecord(sid, { ifVersion: change.ifVersion, meta: change.meta });
        return await correct.changeRecord(sid, change);
      },
    })),
    foundBy: "a value that cannot be kept is rejected",
  },
  {
    name: "creates a session that it rejects",
    create: fullStore((correct) => ({
      createRecord: async (sid, record) => {
        await correct.createRecord(sid, { ...record, values: new Map() });
        await correct.changeRecord(sid, { set: record.values });
      },
    })),
    foundBy: "a value that cannot be kept is rejected",
  },
  {
    name: "creates a session in changeRecord()",
    create: fullStore((correct) => ({
      changeRecord: async (sid, change) => {
        if (await correct.readRecord(sid) === undefined) await correct.create(sid);
        return await correct.changeRecord(sid, change);
      },
    })),
    foundBy: "changeRecord() rejects for a missing session, and creates nothing",
  },
  {
    name: "returns false from changeRecord() of a missing session",
    create: fullStore((correct) => ({
      changeRecord: (sid, change) => correct.changeRecord(sid, change).catch(() => false),
    })),
    foundBy: "changeRecord() rejects for a missing session",
  },
  {
    name: "rejects setValue() of a replaced id with another error than a SessionGoneError",
    create: fullStore((correct) => ({
      setValue: (sid, key, value) =>
        correct.setValue(sid, key, value).catch((error) => {
          throw error instanceof SessionGoneError ? new Error("no such session") : error;
        }),
    })),
    foundBy: "a replaced id is missing to every method",
  },
  {
    name: "rejects setValue() of a destroyed session with another error than a SessionGoneError",
    create: fullStore((correct) => ({
      setValue: (sid, key, value) =>
        correct.setValue(sid, key, value).catch((error) => {
          throw error instanceof SessionGoneError ? new Error("no such session") : error;
        }),
    })),
    foundBy: "writes to a destroyed session reject, also in requests in progress",
  },

  {
    name: "silently ignores create() with the id of a record",
    create: fullStore((correct) => ({ create: (sid) => correct.create(sid).catch(() => {}) })),
    foundBy: "createRecord() rejects an id that is in use",
  },
  {
    name: "returns its own meta from readRecord()",
    create: fullStore((correct) => {
      const returned = new Map<string, SessionMeta>();
      return editReadRecord(correct, (record) => {
        const key = JSON.stringify([record.version, record.meta]);
        const meta = returned.get(key) ?? record.meta;
        returned.set(key, meta);
        return { ...record, meta };
      });
    }),
    foundBy: "createRecord() and changeRecord() copy synchronously, readRecord() returns a copy",
  },
  {
    name: "silently ignores a change of the deadline of a missing session",
    create: fullStore((correct) => ({
      changeRecord: async (sid, change) =>
        change.set === undefined && !change.clear && await readLive(correct, sid) === undefined
          ? true
          : await correct.changeRecord(sid, change),
    })),
    foundBy: "writes to a destroyed session reject, also in requests in progress",
  },
];
