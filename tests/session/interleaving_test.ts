/** Sessions that have ended stay ended on every machine, whatever happens at the same time. */
import { EncryptedStore } from "@alosaur/session/encrypted";
import { DenoKvStore } from "@alosaur/session/kv";
import { SqliteStore } from "@alosaur/session/sqlite";
import { MemoryStore, type SessionStore } from "../../mod.ts";
import { delayed, delayedStore, type Interleaving } from "../helpers/interleaving.ts";
import { DEFECTS } from "../helpers/interleaving_defects.ts";
import type { Backend } from "../helpers/interleaving_round.ts";
import { SCENARIOS } from "../helpers/interleaving_scenarios.ts";
import { testInterleavings } from "../helpers/interleaving_suite.ts";
import { BasicStore } from "../helpers/stores.ts";

const directory = await Deno.makeTempDir();
const opened = new DisposableStack();
addEventListener("unload", () => {
  opened.dispose();
  Deno.removeSync(directory, { recursive: true });
});

/**
 * A backend of local stores, whose calls are delayed.
 *
 * @param stores the store of each machine. Each round wraps them anew, so that its machines share
 * nothing but the stored sessions.
 */
function localBackend(stores: readonly [SessionStore, ...SessionStore[]]): Backend {
  return { connect: (machine, delays) => delayedStore(stores[machine % stores.length] ?? stores[0], delays) };
}

/** Opens a file twice, as two processes would. */
function sqliteBackend(name: string): Backend {
  const path = `${directory}/${name}.sqlite3`;
  return localBackend([0, 1].map(() => new SqliteStore(path, { synchronous: "normal" })) as [SqliteStore, SqliteStore]);
}

testInterleavings("MemoryStore", () => localBackend([new MemoryStore()]), {
  defects: DEFECTS,
  share: 0.5,
});

testInterleavings("SqliteStore", () => sqliteBackend("plain"), {
  share: 0.5,
});

testInterleavings("EncryptedStore", () => {
  const { connect } = sqliteBackend("encrypted");
  const key = crypto.getRandomValues(new Uint8Array(32));
  return { connect: (machine, delays) => new EncryptedStore(connect(machine, delays), key) };
}, {
  share: 0.4,
});

testInterleavings("DenoKvStore", async () => {
  const path = `${directory}/kv.sqlite3`;
  const databases = [await Deno.openKv(path), await Deno.openKv(path)] as const;
  for (const database of databases) opened.defer(() => database.close());
  return {
    connect: (machine, delays) => new DenoKvStore(delayedKv(databases[machine % 2 === 0 ? 0 : 1], delays)),
  };
}, {
  share: 0.25,
});

testInterleavings("a basic store", () => {
  const store = new BasicStore();
  return { ...localBackend([store]), isLocal: true };
}, {
  scenarios: SCENARIOS.filter(({ isBasic }) => isBasic),
});

/** Delays each entry that is read, and each commit. */
function delayedKv(kv: Deno.Kv, delays: Interleaving | undefined): Deno.Kv {
  if (delays === undefined) return kv;
  return new Proxy(kv, {
    get: (target, name): unknown => {
      if (name === "atomic") return () => delayed(target.atomic(), delays, ["commit"]);
      if (name === "list") {
        return (...args: Parameters<Deno.Kv["list"]>) => delayedEntries(target.list(...args), delays);
      }
      const member: unknown = Reflect.get(target, name);
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
}

async function* delayedEntries<T>(
  entries: Deno.KvListIterator<T>,
  delays: Interleaving,
): AsyncGenerator<Deno.KvEntry<T>> {
  for (;;) {
    const { done, value } = await delays.run(() => entries.next());
    if (done) return;
    yield value;
  }
}
