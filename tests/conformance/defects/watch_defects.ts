/** Stores with a defect in `watch()`. */
import type { RecordChange, Watch } from "../../../mod.ts";
import type { MakeStore } from "../../../src/testing.ts";
import { type Defect, fullStore, rejectUnreachable } from "./defect.ts";

type Report = (key: string | undefined) => void;

/** Creates a store whose watches have a defect. */
function defectiveWatch(
  defect: (watch: Watch) => Partial<Watch>,
  report = (changed: Report): Report => changed,
): MakeStore {
  return fullStore((correct) => ({
    watch: async (changed) => {
      const watch = await correct.watch(report(changed));
      return { ...watch, ...defect(watch) };
    },
  }));
}

/** Creates a store that executes some calls without reporting them. */
function silentDuring(isSilent: (method: string, change: RecordChange) => boolean, reportsAll = true): MakeStore {
  return fullStore((correct) => {
    let isQuiet = false;
    const run = <T>(call: () => T, method: string, change: RecordChange = {}): T => {
      isQuiet = isSilent(method, change);
      // A `MemoryStore` reports a change before it returns.
      try {
        return call();
      } finally {
        isQuiet = false;
      }
    };
    return {
      delete: (sid) => run(() => correct.delete(sid), "delete"),
      clear: () => run(() => correct.clear(), "clear"),
      setValue: (sid, key, value) => run(() => correct.setValue(sid, key, value), "setValue"),
      changeRecord: (sid, change) => run(() => correct.changeRecord(sid, change), "changeRecord", change),
      moveRecord: (sid, newSid, move) => run(() => correct.moveRecord(sid, newSid, move), "moveRecord"),
      watch: (changed) => correct.watch((key) => isQuiet || changed(key)),
      reportsAll,
    };
  });
}

/** Creates a store that reports its changes later, and whose `confirm()` resolves after `confirmDelay`. */
function delayed(confirmDelay: number): MakeStore {
  return defectiveWatch(
    ({ confirm }) => ({
      confirm: async () => {
        await new Promise((resolve) => setTimeout(resolve, confirmDelay));
        await confirm();
      },
    }),
    (changed) => (key) => setTimeout(changed, 5, key),
  );
}

/** A store that is correct, although it reports less, later or more than a `MemoryStore`. */
export const UNUSUAL_WATCHES: [string, MakeStore][] = [
  ["a store that reports only the end of sessions", silentDuring(isHarmless, false)],
  ["a store that reports changes a little later", delayed(10)],
  [
    "a store that always reports that anything may have changed",
    defectiveWatch(() => ({}), (changed) => () => changed(undefined)),
  ],
  [
    "a store that reports hashes",
    defectiveWatch(
      ({ keyOf }) => ({ keyOf: (sid) => `#${keyOf(sid)}` }),
      (changed) => (key) => changed(key === undefined ? key : `#${key}`),
    ),
  ],
];

/** Returns whether a call neither ends a session nor may do so. */
function isHarmless(method: string, { meta = {}, expiresAt = Infinity }: RecordChange): boolean {
  if (method === "setValue") return true;
  return method === "changeRecord" && !("principal" in meta) && expiresAt > Date.now() + 1.5 * 60 * 60 * 1000;
}

const ENDING = "watch() reports every change that ends a session or may do so";

export const WATCH_DEFECTS: Defect[] = [
  {
    name: "does not report delete()",
    create: silentDuring((method) => method === "delete"),
    foundBy: ENDING,
  },
  {
    name: "does not report moveRecord()",
    create: silentDuring((method) => method === "moveRecord"),
    foundBy: ENDING,
  },
  {
    name: "reports moveRecord() under the new id only",
    create: fullStore((correct) => {
      let old: string | undefined;
      return {
        moveRecord: (sid, newSid, move) => {
          old = sid;
          return correct.moveRecord(sid, newSid, move);
        },
        watch: (changed) => correct.watch((key) => key === undefined || key !== old ? changed(key) : undefined),
      };
    }),
    foundBy: ENDING,
  },
  {
    name: "does not report a session that is unbound from its user",
    create: silentDuring((_, { meta = {} }) => "principal" in meta && meta.principal === undefined),
    foundBy: ENDING,
  },
  {
    name: "does not report a session that is bound to another user",
    create: silentDuring((_, { meta = {} }) => meta.principal !== undefined),
    foundBy: ENDING,
  },
  {
    name: "does not report an earlier expiry unless it has passed",
    create: silentDuring((_, { expiresAt = 0 }) => expiresAt > Date.now()),
    foundBy: ENDING,
  },
  {
    name: "does not report an expiry that has passed",
    create: silentDuring((_, { expiresAt = Infinity }) => expiresAt <= Date.now()),
    foundBy: ENDING,
  },
  {
    name: "reports only the end of sessions, but says that it reports every write",
    create: silentDuring(isHarmless, true),
    foundBy: "watch() reports every other write",
  },
  {
    name: "does not report that a session was bound to a device",
    create: silentDuring((_, { ifNoDevice = false }) => ifNoDevice),
    foundBy: "watch() reports every other write",
  },
  {
    name: "does not report clear()",
    create: silentDuring((method) => method === "clear"),
    foundBy: "watch() reports every session that clear() removes",
  },
  {
    name: "reports a write after confirm() has resolved",
    create: delayed(0),
    foundBy: "confirm() resolves after every earlier write was reported",
  },
  {
    name: "rejects confirm() although its backend answers",
    create: defectiveWatch(() => ({ confirm: rejectUnreachable })),
    foundBy: "confirm() resolves after every earlier write was reported",
  },
  {
    name: "reports other keys than keyOf() returns",
    create: defectiveWatch(({ keyOf }) => ({ keyOf: (sid) => `#${keyOf(sid)}` })),
    foundBy: ENDING,
  },
  {
    name: "confuses the keys of sessions",
    create: defectiveWatch(
      () => ({ keyOf: (sid) => sid.slice(0, 1) }),
      (changed) => (key) => changed(key?.slice(0, 1)),
    ),
    foundBy: "keyOf() differs between sessions",
  },
  {
    name: "returns another key of the same session each time",
    create: defectiveWatch(() => ({ keyOf: (sid) => sid + Math.random() }), (changed) => () => changed(undefined)),
    foundBy: "keyOf() differs between sessions",
  },
  {
    name: "reports changes after a watch was disposed of",
    create: defectiveWatch(() => ({ [Symbol.asyncDispose]: () => Promise.resolve() })),
    foundBy: "nothing is reported after a watch was disposed of",
  },
  {
    name: "confirms that everything was reported after a watch was disposed of",
    create: defectiveWatch(() => ({ confirm: () => Promise.resolve() })),
    foundBy: "confirm() rejects after its watch was disposed of",
  },
  {
    name: "reports only its latest watch",
    create: fullStore((correct) => {
      let latest: Report | undefined;
      return {
        watch: (changed) => {
          latest = changed;
          return correct.watch((key) => latest === changed ? changed(key) : undefined);
        },
      };
    }),
    foundBy: "two watches receive the same reports",
  },
  {
    name: "ends all watches when one is disposed of",
    create: fullStore((correct) => {
      const watches: Watch[] = [];
      return {
        watch: async (changed) => {
          const watch = await correct.watch(changed);
          watches.push(watch);
          const disposeAll = async (): Promise<void> => {
            for (const each of watches) await each[Symbol.asyncDispose]();
          };
          return { ...watch, [Symbol.asyncDispose]: disposeAll };
        },
      };
    }),
    foundBy: "one keeps receiving them when the other is disposed of",
  },
];
