/** Stores with every capability and a defect each. */
import {
  MemoryStore,
  type PrincipalStore,
  type RecordChange,
  type RecordMove,
  SessionGoneError,
  type SessionMeta,
  type SessionRecord,
  type SessionTrace,
  type StoredRecord,
} from "../../../mod.ts";
import { HOUR, META } from "../../../src/conformance/record_steps.ts";
import { change, type Defect, full, METHODS, pause } from "./store_defects.ts";

/** Calls with a clock that goes so many milliseconds after. */
function late<T>(milliseconds: number, call: () => T): T {
  const real = Date.now;
  Date.now = () => real() - milliseconds;
  try {
    return call();
  } finally {
    Date.now = real;
  }
}

/** A store whose clock goes wrong. */
function allLate(right: MemoryStore, milliseconds: number): Partial<PrincipalStore> {
  return Object.fromEntries(METHODS.map((name) => {
    const method = Reflect.get(right, name) as (...args: unknown[]) => unknown;
    return [name, (...args: unknown[]) => late(milliseconds, () => method.apply(right, args))];
  }));
}

/** The live record of a session, as far as there is one, as a plain object. */
async function recordIn(right: MemoryStore, sid: string): Promise<StoredRecord | undefined> {
  const read = await right.readRecord(sid);
  if (read === undefined || !("values" in read)) return undefined;
  const { values, expiresAt, meta, version } = read;
  return { values, expiresAt, meta, version };
}

/** Changes what `readRecord()` answers with a record. */
function readAs(right: MemoryStore, edit: (record: StoredRecord) => StoredRecord): Partial<PrincipalStore> {
  return {
    readRecord: async (sid) => {
      const record = await recordIn(right, sid);
      return record === undefined ? await right.readRecord(sid) : edit(record);
    },
  };
}

/** Changes what is given to `createRecord()`. */
function createAs(right: MemoryStore, edit: (record: SessionRecord) => SessionRecord): Partial<PrincipalStore> {
  return { createRecord: (sid, record) => right.createRecord(sid, edit(record)) };
}

/** Changes what is given to `changeRecord()`. */
function changeAs(right: MemoryStore, edit: (change: RecordChange) => RecordChange): Partial<PrincipalStore> {
  return { changeRecord: (sid, change) => right.changeRecord(sid, edit(change)) };
}

/** Changes what is given to `moveRecord()`. */
function moveAs(right: MemoryStore, edit: (move: RecordMove) => RecordMove): Partial<PrincipalStore> {
  return { moveRecord: (sid, newSid, move) => right.moveRecord(sid, newSid, edit(move)) };
}

/** Changes which traces `readRecord()` answers with. */
function traceAs(
  right: MemoryStore,
  edit: (trace: { movedTo: string; graceUntil: number }, sid: string) => unknown,
): Partial<PrincipalStore> {
  return {
    readRecord: async (sid) => {
      const read = await right.readRecord(sid);
      return read !== undefined && "movedTo" in read ? edit(read, sid) as typeof read : read;
    },
  };
}

const neighbour = new MemoryStore();

/** Something that is wrong with a store with every capability, and the check that has to find it. */
export const RECORD_DEFECTS: Defect[] = [
  [
    "lists the sessions of another store",
    full((right) => ({
      listSessions: async (principal) => [
        ...await right.listSessions(principal),
        ...await neighbour.listSessions(principal),
      ],
    })),
    "the sessions of another store in the same backend",
    { neighbour: () => change(neighbour, {}) },
  ],
  [
    "writes the whole record back with a value",
    full((right) => ({
      setValue: async (sid, key, value) => {
        const record = await recordIn(right, sid);
        await pause();
        const set = new Map(record?.values ?? []).set(key, value);
        await right.changeRecord(sid, { clear: true, set });
      },
    })),
    "50 requests of one session write different keys at once: none is lost",
  ],
  [
    "reads a record once",
    full((right) => {
      const read = new Map<string, ReturnType<MemoryStore["readRecord"]>>();
      return {
        readRecord: async (sid) => {
          const record = read.get(sid) ?? right.readRecord(sid);
          if (await record !== undefined) read.set(sid, record);
          return await record;
        },
        ...changeAs(right, ({ ifVersion: _, ...change }) => change),
      };
    }),
    "200 increments with update()",
  ],
  [
    "gives a value to whoever asks",
    full((right) => changeAs(right, (change) => change.ifVersion === undefined ? change : {})),
    "of 50 take() in as many requests at once, one gets the value",
  ],
  ["does not delete", full(() => ({ delete: async () => {} })), "life cycle: "],
  [
    "does not delete a session that has had another id",
    full((right) => {
      const moved = new Set<string>();
      return {
        moveRecord: (sid, newSid, move) => {
          moved.add(newSid);
          return right.moveRecord(sid, newSid, move);
        },
        delete: async (sid) => moved.has(sid) ? undefined : await right.delete(sid),
      };
    }),
    "a session that is destroyed while it gets a new id is gone",
  ],
  [
    "forgets what a CSRF token is made of",
    full((right) => createAs(right, ({ meta: { csrfSeed: _, ...meta }, ...rest }) => ({ ...rest, meta }))),
    "createRecord() keeps values, deadline and meta exactly",
  ],
  [
    "answers null for what is not in meta",
    full((right) =>
      readAs(right, (record) => ({
        ...record,
        meta: { ...{ sentAt: null, principal: null }, ...record.meta } as unknown as SessionMeta,
      }))
    ),
    "createRecord() keeps values, deadline and meta exactly",
  ],
  [
    "keeps the deadline in seconds",
    full((right) => createAs(right, (record) => ({ ...record, expiresAt: Math.ceil(record.expiresAt / 1000) * 1000 }))),
    "createRecord() keeps values, deadline and meta exactly",
  ],
  [
    "loses first values whose key is odd",
    full((right) =>
      createAs(right, (record) => ({
        ...record,
        values: new Map([...record.values].filter(([key]) => key !== "__proto__")),
      }))
    ),
    "createRecord() keeps values",
  ],
  [
    "replaces a record whose id is given to createRecord()",
    full((right) => ({
      createRecord: async (sid, record) => {
        await right.delete(sid);
        await right.createRecord(sid, record);
      },
    })),
    "createRecord() refuses an id in use",
  ],
  [
    "gives a session a day where no deadline was given",
    full((right) => ({
      create: (sid) => right.createRecord(sid, { values: new Map(), expiresAt: Date.now() + 24 * HOUR, meta: META }),
    })),
    "create() makes a record that begins now and has no deadline",
  ],
  [
    "says that a deleted session has expired",
    full((right) => ({ readRecord: async (sid) => await right.readRecord(sid) ?? { expired: true } })),
    "readRecord() is undefined for a session that never was",
  ],
  [
    "removes no value in a change",
    full((right) =>
      changeAs(right, ({ set, ...rest }) => ({
        ...rest,
        set: new Map([...set ?? []].filter(([, value]) => value !== undefined)),
      }))
    ),
    "changeRecord() writes and removes values",
  ],
  [
    "removes the other values in a change",
    full((right) => changeAs(right, (change) => change.set === undefined ? change : { ...change, clear: true })),
    "changeRecord() writes and removes values",
  ],
  [
    "removes values after it has written others",
    full((right) => changeAs(right, ({ set, ...rest }) => ({ ...rest, ...(rest.clear ? {} : { set }) }))),
    "changeRecord() with `clear` removes all values",
  ],
  [
    "does not clear a record",
    full((right) => changeAs(right, ({ clear: _, ...rest }) => rest)),
    "clear() leaves no value",
  ],
  [
    "writes meta anew",
    full((right) => ({
      changeRecord: async (sid, change) => {
        const all = { sentAt: undefined, principal: undefined, boundAt: undefined, csrfSeed: undefined };
        return await right.changeRecord(
          sid,
          change.meta === undefined ? change : { ...change, meta: { ...all, ...change.meta } },
        );
      },
    })),
    "changeRecord() writes and removes members of meta",
  ],
  [
    "removes no member of meta",
    full((right) => changeAs(right, ({ meta = {}, ...rest }) => ({ ...rest, meta: present(meta) }))),
    "a session that is cleared is no longer its user's",
  ],
  [
    "moves no deadline",
    full((right) => changeAs(right, ({ expiresAt: _, ...rest }) => rest)),
    "activity keeps a session with an idle limit",
  ],
  [
    "moves a deadline later alone",
    full((right) => ({
      changeRecord: async (sid, { expiresAt, ...rest }) => {
        const before = (await recordIn(right, sid))?.expiresAt ?? 0;
        return await right.changeRecord(sid, { ...rest, expiresAt: Math.max(expiresAt ?? 0, before) });
      },
    })),
    "changeRecord() moves the deadline, later and earlier",
  ],
  [
    "does not look at the version of a change",
    full((right) => changeAs(right, ({ ifVersion: _, ...rest }) => rest)),
    "of changes at once with one version, one is made",
  ],
  ...["clear", "meta", "expiresAt"].map((member): Defect => [
    `does not look at the version of a change of ${member} alone`,
    full((right) =>
      changeAs(right, ({ ifVersion, ...rest }) => Object.keys(rest).join() === member ? rest : { ...rest, ifVersion })
    ),
    "changeRecord() takes all of a change or nothing where the version is another",
  ]),
  [
    "does not look at the version of a move without values",
    full((right) => moveAs(right, ({ ifVersion, ...move }) => move.set === undefined ? move : { ...move, ifVersion })),
    "moveRecord() moves nothing where the version is another",
  ],
  [
    "remembers where replaced ids went beyond clear()",
    full((right) => {
      const traces = new Map<string, SessionTrace>();
      return {
        moveRecord: async (sid, newSid, move) => {
          const moved = await right.moveRecord(sid, newSid, move);
          if (moved) traces.set(sid, { movedTo: newSid, graceUntil: move.graceUntil });
          return moved;
        },
        readRecord: async (sid) => await right.readRecord(sid) ?? traces.get(sid),
      };
    }),
    "clear() leaves nothing of a replaced id either",
  ],
  [
    "takes no deadline away",
    full((right) =>
      changeAs(right, (change) => change.expiresAt === Infinity ? { ...change, expiresAt: undefined } : change)
    ),
    "a session without a deadline has none under its new id",
  ],
  [
    "writes meta whatever the version is",
    full((right) => ({
      changeRecord: async (sid, change) => {
        await right.changeRecord(sid, { meta: change.meta });
        return await right.changeRecord(sid, change);
      },
    })),
    "changeRecord() takes all of a change or nothing where the version is another",
  ],
  [
    "keeps its version",
    full((right) => ({
      ...readAs(right, (record) => ({ ...record, version: 1 })),
      ...changeAs(right, ({ ifVersion: _, ...rest }) => rest),
    })),
    "every change of values makes another version",
  ],
  [
    "copies a record when it gets to it",
    full((right) => ({
      createRecord: async (sid, record) => {
        await undefined;
        await right.createRecord(sid, record);
      },
    })),
    "values are copied in at the call, and copied out",
  ],
  [
    "copies a change when it gets to it",
    full((right) => ({
      changeRecord: async (sid, change) => {
        await undefined;
        return await right.changeRecord(sid, change);
      },
    })),
    "values are copied in at the call, and copied out",
  ],
  [
    "gives its own record away",
    full((right) => {
      const given = new Map<string, StoredRecord>();
      return {
        readRecord: async (sid) => {
          const record = await recordIn(right, sid);
          if (record === undefined) return await right.readRecord(sid);
          const before = given.get(sid);
          if (before?.version === record.version) return before;
          given.set(sid, record);
          return record;
        },
      };
    }),
    "values are copied in at the call, and copied out",
  ],
  [
    "writes a part of a change that it refuses",
    full((right) => ({
      changeRecord: async (sid, change) => {
        await right.changeRecord(sid, { ifVersion: change.ifVersion, meta: change.meta });
        return await right.changeRecord(sid, change);
      },
    })),
    "a value that cannot be kept is refused by its key",
  ],
  [
    "makes what it refuses",
    full((right) => ({
      createRecord: async (sid, record) => {
        await right.createRecord(sid, { ...record, values: new Map() });
        await right.changeRecord(sid, { set: record.values });
      },
    })),
    "a value that cannot be kept is refused by its key",
  ],
  [
    "makes a session of a change",
    full((right) => ({
      changeRecord: async (sid, change) => {
        if (await right.readRecord(sid) === undefined) await right.create(sid);
        return await right.changeRecord(sid, change);
      },
    })),
    "changeRecord() rejects for a missing session, and creates nothing",
  ],
  [
    "answers false for a missing session",
    full((right) => ({ changeRecord: (sid, change) => right.changeRecord(sid, change).catch(() => false) })),
    "changeRecord() rejects for a missing session",
  ],
  [
    "says in its own words that a session is gone",
    full((right) => ({
      setValue: (sid, key, value) =>
        right.setValue(sid, key, value).catch((error) => {
          throw error instanceof SessionGoneError ? new Error("no such session") : error;
        }),
    })),
    "a replaced id is missing to every other method",
  ],
  [
    "says in its own words that a session is gone, to a request",
    full((right) => ({
      setValue: (sid, key, value) =>
        right.setValue(sid, key, value).catch((error) => {
          throw error instanceof SessionGoneError ? new Error("no such session") : error;
        }),
    })),
    "a destroyed session is gone: writes of requests under way are refused, and nothing comes back",
  ],
  [
    "forgets values on the way to a new id",
    full((right) => moveAs(right, (move) => ({ ...move, set: new Map([["__proto__", undefined]]) }))),
    "moveRecord() gives the record a new id",
  ],
  [
    "writes no meta with a new id",
    full((right) => moveAs(right, (move) => ({ ...move, meta: {} }))),
    "moveRecord() gives the record a new id",
  ],
  [
    "writes no values with a new id",
    full((right) => moveAs(right, ({ set: _, ...move }) => move)),
    "moveRecord() writes values with the move",
  ],
  [
    "does not look at the version of a move",
    full((right) => moveAs(right, ({ ifVersion: _, ...move }) => move)),
    "moveRecord() moves nothing where the version is another",
  ],
  [
    "begins to count anew under a new id",
    full((right) => ({
      moveRecord: async (sid, newSid, move) => {
        const record = await recordIn(right, sid);
        const moved = await right.moveRecord(sid, newSid, move);
        const after = await recordIn(right, newSid);
        if (!moved || record === undefined || after === undefined) return moved;
        await right.delete(newSid);
        await right.createRecord(newSid, after);
        return true;
      },
    })),
    "the version goes on under the new id",
  ],
  [
    "leaves the session under its old id",
    full((right) => ({
      moveRecord: async (sid, newSid, move) => {
        const record = await recordIn(right, sid);
        const moved = await right.moveRecord(sid, newSid, move);
        if (moved && record !== undefined) await right.createRecord(sid, record);
        return moved;
      },
    })),
    "a new id keeps the data, and the old id is dead at once",
  ],
  [
    "lets delete() forget where a replaced id went",
    full((right) => {
      const deleted = new Set<string>();
      return {
        ...traceAs(right, (trace, sid) => deleted.has(sid) ? undefined : trace),
        delete: async (sid) => {
          deleted.add(sid);
          await right.delete(sid);
        },
      };
    }),
    "a replaced id is missing to every other method, and delete() leaves where it went",
  ],
  [
    "deletes the session by an old id",
    full((right) => ({
      delete: async (sid) => {
        const read = await right.readRecord(sid);
        await right.delete(read !== undefined && "movedTo" in read ? read.movedTo : sid);
      },
    })),
    "a replaced id is missing to every other method, and delete() leaves",
  ],
  [
    "writes by an old id",
    full((right) => ({
      setValue: async (sid, key, value) => {
        const read = await right.readRecord(sid);
        await right.setValue(read !== undefined && "movedTo" in read ? read.movedTo : sid, key, value);
      },
    })),
    "a replaced id is missing to every other method",
  ],
  [
    "remembers one replaced id",
    full((right) => {
      let last = "";
      return {
        moveRecord: (sid, newSid, move) => {
          last = sid;
          return right.moveRecord(sid, newSid, move);
        },
        ...traceAs(right, (trace, sid) => sid === last ? trace : undefined),
      };
    }),
    "ids that are replaced one after the other lead on",
  ],
  [
    "moves a session over another",
    full((right) => ({
      moveRecord: async (sid, newSid, move) => {
        if (await right.exist(sid)) await right.delete(newSid);
        return await right.moveRecord(sid, newSid, move);
      },
    })),
    "moveRecord() refuses a new id in use",
  ],
  [
    "makes a session of a move",
    full((right) => ({
      moveRecord: async (sid, newSid, move) => {
        if (await right.readRecord(sid) === undefined) await right.create(sid);
        return await right.moveRecord(sid, newSid, move);
      },
    })),
    "moveRecord() rejects for a missing session, and creates nothing",
  ],
  [
    "forgets a replaced id with its session",
    full((right) => {
      const deadlines = new Map<string, number>();
      return {
        ...traceAs(right, (trace, sid) => Date.now() < (deadlines.get(sid) ?? 0) ? trace : undefined),
        moveRecord: async (sid, newSid, move) => {
          deadlines.set(sid, (await recordIn(right, sid))?.expiresAt ?? 0);
          return await right.moveRecord(sid, newSid, move);
        },
      };
    }),
    "a replaced id is remembered until its grace is over, however soon the session ends",
  ],
  [
    "forgets a replaced id at once",
    full((right) => traceAs(right, () => undefined)),
    "a session that is destroyed in the grace of an older id is gone for both",
  ],
  [
    "forgets a replaced id after its grace",
    full((right) => traceAs(right, (trace) => Date.now() < trace.graceUntil ? trace : undefined)),
    "a replaced id is remembered until the session's deadline",
  ],
  [
    "lets a replaced id live again",
    full((right) => {
      const old = new Map<string, StoredRecord>();
      return {
        moveRecord: async (sid, newSid, move) => {
          const record = await recordIn(right, sid);
          if (record !== undefined) old.set(sid, record);
          return await right.moveRecord(sid, newSid, move);
        },
        ...traceAs(right, (trace, sid) => Date.now() > trace.graceUntil + 1000 ? old.get(sid) : trace),
      };
    }),
    "a replaced id is never again a session",
  ],
  [
    "counts a grace in seconds",
    full((right) => moveAs(right, (move) => ({ ...move, graceUntil: Math.floor(move.graceUntil / 1000) }))),
    "with a grace the old id leads to the session for that time",
  ],
  [
    "ends a session a millisecond too early",
    full((right) => allLate(right, -1)),
    "a session lives until a millisecond before its deadline",
  ],
  [
    "ends a session a millisecond too late",
    full((right) => allLate(right, 1)),
    "from its deadline on a session is missing to every method",
  ],
  [
    "ends a session a second too early",
    full((right) => allLate(right, -1000)),
    "a session ends at its deadline: later requests and writes under way are refused",
  ],
  [
    "shows a record that has expired",
    full((right) => ({ readRecord: (sid) => late(1, () => right.readRecord(sid)) })),
    "readRecord() of an expired session is { expired: true }",
  ],
  [
    "prolongs a session that has expired",
    full((right) => ({ changeRecord: (sid, change) => late(1, () => right.changeRecord(sid, change)) })),
    "from its deadline on a session is missing to every method",
  ],
  [
    "answers in its own words that a session has expired",
    full((right) => ({
      readRecord: async (sid) => {
        const read = await right.readRecord(sid);
        return read !== undefined && "expired" in read ? Object.assign(read, { at: 1 }) : read;
      },
    })),
    "readRecord() of an expired session is { expired: true }",
  ],
  [
    "does not give an expired session's id away",
    full((right) => ({ create: (sid) => late(1, () => right.create(sid)) })),
    "create() and createRecord() take the place of an expired session",
  ],
  [
    "leaves values of an expired session",
    full((right) => {
      const values = new Map<string, SessionRecord["values"]>();
      return {
        createRecord: async (sid, record) => {
          await right.createRecord(sid, { ...record, values: new Map([...values.get(sid) ?? [], ...record.values]) });
          values.set(sid, record.values);
        },
      };
    }),
    "create() and createRecord() take the place of an expired session",
  ],
  [
    "begins a deadline anew under a new id",
    full((right) => ({
      moveRecord: async (sid, newSid, move) => {
        const moved = await right.moveRecord(sid, newSid, move);
        if (moved) await right.changeRecord(newSid, { expiresAt: Date.now() + HOUR });
        return moved;
      },
    })),
    "a session keeps its deadline under a new id",
  ],
  [
    "keeps a session no longer than a timer can run",
    full((right) =>
      createAs(right, (record) => ({ ...record, expiresAt: Math.min(record.expiresAt, Date.now() + 2 ** 31) }))
    ),
    "a session whose deadline is years away lives until then",
  ],
  [
    "looks before it changes, and not while",
    full((right) => ({
      changeRecord: async (sid, { ifVersion, ...change }) => {
        const record = await recordIn(right, sid);
        if (record !== undefined && ifVersion !== undefined && record.version !== ifVersion) return false;
        await pause();
        return await right.changeRecord(sid, change);
      },
    })),
    "100 increments at once, each tried again where the version is another: none is lost",
  ],
  [
    "looks before it changes, where others look as well",
    full((right) => ({
      changeRecord: async (sid, { ifVersion, ...change }) => {
        const record = await recordIn(right, sid);
        if (record !== undefined && ifVersion !== undefined && record.version !== ifVersion) return false;
        await pause();
        return await right.changeRecord(sid, change);
      },
    })),
    "life cycle: across two instances: 200 increments with update()",
  ],
  [
    "answers false beside other changes",
    full((right) => {
      let busy = 0;
      return {
        changeRecord: async (sid, change) => {
          if (busy > 0 && change.set !== undefined) return false;
          busy++;
          await pause();
          return await right.changeRecord(sid, change).finally(() => busy--);
        },
      };
    }),
    "writes to different keys beside changes of meta and deadline: none is lost",
  ],
  [
    "writes all values back with meta",
    full((right) => ({
      changeRecord: async (sid, change) => {
        const record = await recordIn(right, sid);
        if (record === undefined) throw new SessionGoneError("change");
        await pause();
        const set = new Map([...change.clear ? [] : record.values, ...change.set ?? []]);
        return await right.changeRecord(sid, { ...change, clear: true, set });
      },
    })),
    "writes to different keys beside changes of meta and deadline: none is lost",
  ],
  [
    "moves a session twice",
    full((right) => ({
      moveRecord: async (sid, newSid, move) => {
        const record = await recordIn(right, sid);
        if (record === undefined) throw new SessionGoneError("regenerate");
        await pause();
        return await right.moveRecord(sid, newSid, move).catch(async () => {
          await right.createRecord(newSid, record);
          return true;
        });
      },
    })),
    "of two new ids given at once one is the session's",
  ],
  [
    "moves two sessions to one id",
    full((right) => ({
      moveRecord: async (sid, newSid, move) => {
        const used = await right.exist(newSid);
        await pause();
        if (!used) void right.delete(newSid);
        return await right.moveRecord(sid, newSid, move);
      },
    })),
    "of two sessions moved to one id at once",
  ],
  [
    "loses what is written beside a new id",
    full((right) => ({
      moveRecord: async (sid, newSid, move) => {
        const record = await recordIn(right, sid);
        await pause();
        const moved = await right.moveRecord(sid, newSid, move);
        if (moved && record !== undefined) await right.changeRecord(newSid, { clear: true, set: record.values });
        return moved;
      },
    })),
    "a write beside a new id reaches the session, or is refused",
  ],
  [
    "leaves a copy under the new id of what is deleted meanwhile",
    full((right) => ({
      moveRecord: async (sid, newSid, { set: _, ...move }) => {
        const record = await recordIn(right, sid);
        if (record === undefined) throw new SessionGoneError("regenerate");
        await right.createRecord(newSid, record);
        await pause();
        if (!await right.exist(sid)) throw new SessionGoneError("regenerate");
        void right.delete(newSid);
        return await right.moveRecord(sid, newSid, move);
      },
    })),
    "delete() beside a new id: the session is gone, or lives under the new id alone",
  ],
  [
    "changes what is deleted meanwhile",
    full((right) => ({
      changeRecord: async (sid, change) => {
        const record = await recordIn(right, sid);
        await pause();
        if (record !== undefined && await right.readRecord(sid) === undefined) await right.createRecord(sid, record);
        return await right.changeRecord(sid, change);
      },
    })),
    "delete() beside changes: nothing comes back",
  ],
  [
    "lists another meta",
    full((right) => ({
      listSessions: async (principal) => (await right.listSessions(principal)).map(({ sid }) => ({ sid, meta: META })),
    })),
    "listSessions() finds the sessions that were made for a user, with their meta",
  ],
  [
    "lists nobody's session",
    full((right) => ({ listSessions: async () => await right.listSessions("") })),
    "life cycle: users",
  ],
  [
    "does not follow a session that is bound to a user later",
    full((right) => {
      const first = new Map<string, string | undefined>();
      return {
        createRecord: async (sid, record) => {
          await right.createRecord(sid, record);
          first.set(sid, record.meta.principal);
        },
        listSessions: async (principal) =>
          (await right.listSessions(principal)).filter(({ sid }) => first.get(sid) === principal),
      };
    }),
    "listSessions() finds exactly what lives after changes at once",
  ],
  [
    "lists whom a session was bound to",
    full((right) => {
      const bound = new Map<string, Set<string>>();
      const note = (sid: string, principal?: string): void => {
        if (principal !== undefined) bound.set(principal, (bound.get(principal) ?? new Set()).add(sid));
      };
      return {
        createRecord: async (sid, record) => {
          await right.createRecord(sid, record);
          note(sid, record.meta.principal);
        },
        changeRecord: (sid, change) => {
          note(sid, change.meta?.principal);
          return right.changeRecord(sid, change);
        },
        moveRecord: async (sid, newSid, move) => {
          const before = await recordIn(right, sid);
          const moved = await right.moveRecord(sid, newSid, move);
          if (moved) note(newSid, "principal" in move.meta ? move.meta.principal : before?.meta.principal);
          return moved;
        },
        listSessions: async (principal) => {
          const sessions: { sid: string; meta: SessionMeta }[] = [];
          for (const sid of bound.get(principal) ?? []) {
            const record = await recordIn(right, sid);
            if (record !== undefined) sessions.push({ sid, meta: record.meta });
          }
          return sessions;
        },
      };
    }),
    "listSessions()",
  ],
  [
    "lists a session by its old id",
    full((right) => {
      const old = new Map<string, string>();
      return {
        moveRecord: async (sid, newSid, move) => {
          const moved = await right.moveRecord(sid, newSid, move);
          if (moved) old.set(newSid, sid);
          return moved;
        },
        listSessions: async (principal) =>
          (await right.listSessions(principal)).map(({ sid, meta }) => ({ sid: old.get(sid) ?? sid, meta })),
      };
    }),
    "listSessions() follows a session to its new id",
  ],
  [
    "lists what is gone",
    full((right) => {
      const seen = new Map<string, Map<string, SessionMeta>>();
      return {
        listSessions: async (principal) => {
          const sessions = seen.get(principal) ?? new Map<string, SessionMeta>();
          seen.set(principal, sessions);
          for (const { sid, meta } of await right.listSessions(principal)) sessions.set(sid, meta);
          return Array.from(sessions, ([sid, meta]) => ({ sid, meta }));
        },
      };
    }),
    "listSessions() forgets what delete() and clear() remove",
  ],
  [
    "lists what has expired",
    full((right) => ({ listSessions: (principal) => late(1, () => right.listSessions(principal)) })),
    "listSessions() finds no session from its deadline on",
  ],
  [
    "takes one user for another",
    full((right) => ({
      createRecord: (sid, record) => {
        const { principal } = record.meta;
        const meta = principal === undefined ? record.meta : { ...record.meta, principal: principal.trim() };
        return right.createRecord(sid, { ...record, meta });
      },
    })),
    "users are told apart, whatever their names",
  ],
  [
    "lists the first 50",
    full((right) => ({ listSessions: async (principal) => (await right.listSessions(principal)).slice(0, 50) })),
    "listSessions() finds 100 sessions of a user",
  ],
];

/** The members that are there. */
function present(meta: Partial<SessionMeta>): Partial<SessionMeta> {
  return Object.fromEntries(Object.entries(meta).filter(([, value]) => value !== undefined));
}
