/**
 * Checks of `watch()`.
 *
 * @module
 */
import { newSessionId } from "../../cookie/session_id.ts";
import type { RecordChange } from "../../session_store.ts";
import { isWatchedStore, type Watch, type WatchedStore } from "../../watched_store.ts";
import { type Check, skipped, type StorePair } from "../check.ts";
import { expect, expectEqual, expectRejects, show } from "../expect.ts";
import type { TestedStores } from "../harness.ts";
import { createRecord, createSessionOf, HOUR, META } from "../record_store/record_fixtures.ts";

/** How many concurrent writes a check begins. */
const WRITES = 100;

/** What a check does to sessions, which are bound to the user "ada" and expire in an hour. */
type Action = (store: WatchedStore, sids: readonly string[]) => Promise<unknown>;

/** Checks that a store reports the changes to records. */
export function watchChecks(stores: TestedStores): Check[] {
  const pairs = stores.pairsWith(isWatchedStore);
  if (pairs.length > 0) return pairs.flatMap((pair) => [...changeChecks(pair), ...watchLifetimeChecks(pair)]);
  return [skipped(
    "changes that any process makes",
    "the store is not a WatchedStore, it has no watch(); session.signal looks the session up every few seconds instead",
  )];
}

/** A watch and the keys that it has reported. */
class Watcher implements AsyncDisposable {
  readonly watch: Watch;
  /** The keys, since the last call of {@linkcode forget}. */
  readonly reported: Set<string | undefined>;

  private constructor(watch: Watch, reported: Set<string | undefined>) {
    this.watch = watch;
    this.reported = reported;
  }

  static async start(store: WatchedStore): Promise<Watcher> {
    const reported = new Set<string | undefined>();
    return new Watcher(await store.watch((key) => reported.add(key)), reported);
  }

  /** Forgets the reports of writes that were acknowledged before. */
  async forget(): Promise<void> {
    await this.watch.confirm();
    this.reported.clear();
  }

  /** Fails unless a change of each session was reported. */
  async expectReported(sids: readonly string[], what: string): Promise<void> {
    await this.watch.confirm();
    const unreported = sids.filter((sid) => !this.reported.has(this.watch.keyOf(sid)));
    expect(
      this.reported.has(undefined) || unreported.length === 0,
      `watch(): expected it to report ${what} before confirm() resolved, but it did not report ${unreported.length} of ` +
        `${sids.length} sessions; it reported ${show([...this.reported])}`,
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve(this.watch[Symbol.asyncDispose]());
  }
}

const change = (change: RecordChange): Action => (store, [sid = ""]) => store.changeRecord(sid, change);

/** The changes that end a session or may do so. Every store must report them. */
const ENDING: Record<string, Action> = {
  "delete()": (store, [sid = ""]) => store.delete(sid),
  "moveRecord(), under the old id": (store, [sid = ""]) =>
    store.moveRecord(sid, newSessionId(), { meta: META, graceUntil: Date.now() + HOUR }),
  "changeRecord() that unbinds the session from its user": change({ meta: { principal: undefined } }),
  "changeRecord() that binds the session to another user": change({ meta: { principal: "bob" } }),
  "changeRecord() that makes the expiry earlier": (store, [sid = ""]) =>
    store.changeRecord(sid, { expiresAt: Date.now() + HOUR / 2 }),
  "changeRecord() with an expiry that has passed": change({ expiresAt: 1 }),
};

/** All other writes. Stores with `reportsAll` must report them. */
const OTHER: Record<string, Action> = {
  "setValue()": (store, [sid = ""]) => store.setValue(sid, "key", 1),
  "changeRecord() that sets a value": change({ set: new Map([["key", 1]]) }),
  "changeRecord() that removes all values": change({ clear: true }),
  "changeRecord() that binds the session to a device": change({ ifNoDevice: true, meta: { deviceKey: "{}" } }),
  "changeRecord() that makes the expiry later": (store, [sid = ""]) =>
    store.changeRecord(sid, { expiresAt: Date.now() + 2 * HOUR, meta: { seenAt: Date.now() } }),
};

function changeChecks({ where, a, b }: StorePair<WatchedStore>): Check[] {
  const reports = (name: string, actions: Record<string, Action>): Check => ({
    name: `${name}, ${where}`,
    run: async () => {
      await using watcher = await Watcher.start(b);
      for (const [what, act] of Object.entries(actions)) {
        const sid = await createSessionOf(a, "ada", Date.now() + HOUR);
        await watcher.forget();
        await act(a, [sid]);
        await watcher.expectReported([sid], what);
      }
    },
  });
  return [
    reports("watch() reports every change that ends a session or may do so", ENDING),
    b.reportsAll
      ? reports("watch() reports every other write", OTHER)
      : skipped("watch() reports every other write", "the store has no `reportsAll`; the option `cache` refuses it"),
    {
      name: `watch() reports every session that clear() removes, ${where}`,
      run: async () => {
        const sids = [await createRecord(a), await createSessionOf(b, "ada")];
        await using watcher = await Watcher.start(b);
        await watcher.forget();
        await a.clear();
        await watcher.expectReported(sids, "clear()");
      },
    },
    {
      name: `confirm() resolves after every earlier write was reported, ${where}`,
      run: async () => {
        const sids: string[] = [];
        for (let i = 0; i < WRITES; i++) sids.push(await createRecord(a));
        await using watcher = await Watcher.start(b);
        await watcher.forget();
        // Each session has its own confirm(), which begins as soon as the write is acknowledged.
        await Promise.all(sids.map(async (sid) => {
          await a.delete(sid);
          await watcher.expectReported([sid], `one of ${WRITES} concurrent calls of delete()`);
        }));
      },
    },
    {
      name: `keyOf() differs between sessions, and is the same each time, ${where}`,
      run: async () => {
        await using watcher = await Watcher.start(b);
        const { watch } = watcher;
        const sids = Array.from({ length: WRITES }, newSessionId);
        const keys = sids.map((sid) => watch.keyOf(sid));
        expectEqual(new Set(keys).size, WRITES, "number of different keys");
        expectEqual(sids.map((sid) => watch.keyOf(sid)), keys, "keyOf() of the same session ids");
      },
    },
  ];
}

function watchLifetimeChecks({ where, a, b }: StorePair<WatchedStore>): Check[] {
  return [
    {
      name: `nothing is reported after a watch was disposed of, ${where}`,
      run: async () => {
        const watcher = await Watcher.start(b);
        await using other = await Watcher.start(b);
        const sid = await createRecord(a);
        await watcher.forget();
        await watcher[Symbol.asyncDispose]();
        watcher.reported.clear();
        await a.delete(sid);
        await other.expectReported([sid], "delete()");
        expectEqual([...watcher.reported], [], "what was reported after the watch was disposed of");
      },
    },
    {
      name: `confirm() rejects after its watch was disposed of, ${where}`,
      run: async () => {
        const watcher = await Watcher.start(b);
        await watcher[Symbol.asyncDispose]();
        await expectRejects(
          "confirm()",
          () => watcher.watch.confirm(),
          "its watch was disposed of, so nothing is reported",
        );
      },
    },
    {
      name:
        `two watches receive the same reports, and one keeps receiving them when the other is disposed of, ${where}`,
      run: async () => {
        const sids = [await createRecord(a), await createRecord(a)];
        const [first = "", second = ""] = sids;
        await using watcher = await Watcher.start(b);
        {
          await using other = await Watcher.start(b);
          await Promise.all([watcher.forget(), other.forget()]);
          await a.delete(first);
          await watcher.expectReported([first], "delete() to the first watch");
          await other.expectReported([first], "delete() to the second watch");
        }
        await watcher.forget();
        await a.delete(second);
        await watcher.expectReported([second], "delete() after another watch was disposed of");
      },
    },
  ];
}
