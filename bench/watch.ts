/**
 * Measures what a store that reports changes costs, and what it is worth:
 *
 * - 10,000 sessions whose signals are in use: the idle processor time, and the bytes of each
 * - 10,000 sessions in the cache: the bytes of each, and the time of a request
 * - `PostgresStore`: writes a second with `notify: "all"`, compared with `"endings"`
 *
 * TEST_REDIS_URL and TEST_POSTGRES_URL name the databases. A store whose database does not respond
 * is skipped with a message. `--quick` measures less, and is not saved to `results/watch.json`.
 *
 * @module
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { MemoryStore, SecurityContext, SessionMiddleware, type SessionStore } from "../mod.ts";
import { newSessionId } from "../src/cookie/session_id.ts";
import { sharedStoreOf } from "../src/persistence/shared_store.ts";
import { PostgresStore } from "../src/stores/postgres_store.ts";
import { RedisStore } from "../src/stores/redis_store.ts";
import { SqliteStore } from "../src/stores/sqlite_store.ts";
import { checkTarget, environment, formatNumber, printTable, printTargets, saveResults } from "./report.ts";
import { median } from "./statistics.ts";

const { values: { quick } } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
const SESSIONS = quick ? 1000 : 10_000;
const IDLE_SECONDS = quick ? 2 : 20;
const ROUNDS = quick ? 3 : 7;
const WRITE_SECONDS = quick ? 0.3 : 1;

const redisUrl = Deno.env.get("TEST_REDIS_URL") ?? "redis://127.0.0.1:6379";
const postgresUrl = Deno.env.get("TEST_POSTGRES_URL") ?? "postgres://postgres@127.0.0.1:5432/test";
const unique = `bench_watch_${Deno.pid}`;
const secret = SessionMiddleware.generateSecret();
/** No cookie of this benchmark is sent, and a warning about that would be measured. */
const diagnose = false;

type ClosableStore = SessionStore & Partial<AsyncDisposable>;

const STORES: Record<string, (folder: string) => ClosableStore> = {
  MemoryStore: () => new MemoryStore(),
  RedisStore: () => new RedisStore(redisUrl, { prefix: `${unique}:` }),
  PostgresStore: () => new PostgresStore(postgresUrl, { table: unique, notify: "all" }),
  "SqliteStore, looked up": (folder) => new SqliteStore(`${folder}/sessions.sqlite`),
};

/** The signals of one store. */
interface SignalResult {
  name: string;
  /** Bytes of heap for each session whose signal is in use. */
  bytes: number;
  /** The same with one listener on each signal. */
  bytesWithListener: number;
  /** The share of one core that the process uses while nothing happens. */
  idleShare: number;
  /** The same with no signal in use. */
  idleShareWithout: number;
}

/** The cache on one store. */
interface CacheResult {
  name: string;
  bytes: number;
  /** Microseconds of a request that reads one value, answered from the cache and without it. */
  hit: number;
  lookup: number;
}

/** Writes a second with a number of concurrent writers. */
interface NotifyResult {
  writers: number;
  endings: number;
  /** The median over the rounds of the rate with `"all"`, divided by that with `"endings"`. */
  ratio: number;
}

async function withStore<T>(
  name: string,
  measure: (store: ClosableStore, folder: string) => Promise<T>,
): Promise<T | undefined> {
  const folder = await Deno.makeTempDir({ prefix: "bench_watch_" });
  const store = STORES[name]?.(folder);
  if (store === undefined) throw new RangeError(`Cannot measure ${name}: no such store`);
  try {
    await store.init();
  } catch (error) {
    console.log(`Skipped: ${name}, ${error instanceof Error ? error.message : error}`);
    return undefined;
  }
  try {
    return await measure(store, folder);
  } finally {
    await store.clear();
    await store[Symbol.asyncDispose]?.();
    await Deno.remove(folder, { recursive: true });
  }
}

/** Creates sessions. Returns the Cookie headers of their clients. */
async function signUp(middleware: SessionMiddleware, count: number): Promise<string[]> {
  const cookies: string[] = [];
  for (let i = 0; i < count; i++) {
    const context = new SecurityContext(new Request("http://localhost/"));
    await middleware.onPreRequest(context);
    await context.security.session.set("user", { name: "ada", visits: i });
    await middleware.onPostRequest(context);
    cookies.push(context.response.headers.getSetCookie()[0]?.split(";", 1)[0] ?? "");
  }
  return cookies;
}

async function begin(middleware: SessionMiddleware, cookie: string): Promise<SecurityContext> {
  const context = new SecurityContext(new Request("http://localhost/", { headers: { cookie } }));
  await middleware.onPreRequest(context);
  return context;
}

async function heap(): Promise<number> {
  const { gc } = globalThis as { gc?: () => void };
  if (gc === undefined) throw new Error("Cannot measure memory: run with --v8-flags=--expose-gc");
  for (let i = 0; i < 5; i++) {
    await sleep(20);
    gc();
  }
  return Deno.memoryUsage().heapUsed;
}

async function idleShare(): Promise<number> {
  const { user, system } = process.cpuUsage();
  const start = performance.now();
  await sleep(IDLE_SECONDS * 1000);
  const used = process.cpuUsage({ user, system });
  return (used.user + used.system) / 1000 / (performance.now() - start);
}

async function measureSignals(name: string, store: ClosableStore): Promise<SignalResult> {
  const middleware = new SessionMiddleware(store, { secret, diagnose });
  const cookies = await signUp(middleware, SESSIONS);
  await settle();
  const idleShareWithout = await idleShare();
  // Opens the watch, which loads the client of the database.
  const [first = ""] = cookies;
  const { security: { session } } = await begin(middleware, first);
  const signals = [session.signal];
  // Fills the cache of verified cookies, so that its entries are not counted as bytes of a signal.
  for (const cookie of cookies) await begin(middleware, cookie);
  await settle();
  const before = await heap();
  for (const cookie of cookies.slice(1)) signals.push((await begin(middleware, cookie)).security.session.signal);
  await settle();
  const bytes = (await heap() - before) / SESSIONS;
  const listener = (): void => {};
  for (const signal of signals) signal.addEventListener("abort", listener);
  const bytesWithListener = (await heap() - before) / SESSIONS;
  const share = await idleShare();
  const { size } = sharedStoreOf(store).signals;
  if (size !== SESSIONS) throw new Error(`Cannot measure ${name}: ${size} of ${SESSIONS} sessions are held`);
  await middleware.sessions.revokeEverybody();
  const aborted = signals.filter(({ aborted }) => aborted).length;
  if (aborted !== SESSIONS) throw new Error(`Cannot measure ${name}: ${aborted} of ${SESSIONS} signals have aborted`);
  return { name, bytes, bytesWithListener, idleShare: share, idleShareWithout };
}

async function measureCache(name: string, store: ClosableStore): Promise<CacheResult> {
  const cached = new SessionMiddleware(store, { secret, diagnose, cache: { sessions: SESSIONS, staleSeconds: 60 } });
  const plain = new SessionMiddleware(store, { secret, diagnose });
  const cookies = await signUp(plain, SESSIONS);
  const time = async (middleware: SessionMiddleware): Promise<number> => {
    const start = performance.now();
    for (const cookie of cookies) await (await begin(middleware, cookie)).security.session.get("user");
    return (performance.now() - start) * 1000 / SESSIONS;
  };
  await time(plain);
  await begin(cached, cookies[0] ?? "");
  await settle();
  const before = await heap();
  await time(cached);
  await settle();
  const bytes = (await heap() - before) / SESSIONS;
  const hits: number[] = [];
  const lookups: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    hits.push(await time(cached));
    lookups.push(await time(plain));
  }
  return { name, bytes, hit: median(hits), lookup: median(lookups) };
}

async function measureNotify(): Promise<NotifyResult[]> {
  const stores = (["endings", "all"] as const).map((notify) =>
    new PostgresStore(postgresUrl, { table: unique, notify, max: 64 })
  );
  const [first] = stores;
  if (first === undefined) return [];
  await first.init();
  const ids = Array.from({ length: 1000 }, newSessionId);
  for (const id of ids) await first.create(id);
  const results: NotifyResult[] = [];
  for (const writers of [1, 4, 16, 64]) {
    const ratios: number[] = [];
    const endings: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const rates: number[] = [];
      for (const i of round % 2 === 0 ? [0, 1] : [1, 0]) rates[i] = await writeRate(stores[i] ?? first, ids, writers);
      endings.push(rates[0] ?? NaN);
      ratios.push((rates[1] ?? NaN) / (rates[0] ?? NaN));
    }
    results.push({ writers, endings: median(endings), ratio: median(ratios) });
  }
  await first.clear();
  for (const store of stores) await store[Symbol.asyncDispose]();
  return results;
}

async function writeRate(store: PostgresStore, ids: readonly string[], writers: number): Promise<number> {
  const end = performance.now() + WRITE_SECONDS * 1000;
  let writes = 0;
  await Promise.all(Array.from({ length: writers }, async () => {
    while (performance.now() < end) {
      await store.setValue(ids[writes++ % ids.length] ?? "", "n", writes);
    }
  }));
  return writes / WRITE_SECONDS;
}

/** Waits until the clients of the databases have dropped what they keep for some seconds after a call. */
function settle(): Promise<void> {
  return sleep(quick ? 2000 : 10_000);
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Returns the bytes of a signal that is derived from that of a controller. */
async function measureDeno(): Promise<number> {
  const before = await heap();
  const kept: unknown[] = [];
  for (let i = 0; i < SESSIONS; i++) {
    const controller = new AbortController();
    kept.push(controller, AbortSignal.any([controller.signal]));
  }
  const bytes = (await heap() - before) / SESSIONS;
  if (kept.length !== 2 * SESSIONS) throw new Error("Cannot measure signals: some are missing");
  return bytes;
}

const denoBytes = await measureDeno();
const signals: SignalResult[] = [];
const caches: CacheResult[] = [];
for (const name of Object.keys(STORES)) {
  const result = await withStore(name, (store) => measureSignals(name, store));
  if (result !== undefined) signals.push(result);
}
for (const name of ["RedisStore", "PostgresStore"]) {
  const result = await withStore(name, (store) => measureCache(name, store));
  if (result !== undefined) caches.push(result);
}
const notify = await measureNotify().catch((error) => {
  console.log(`Skipped: writes with notify, ${error instanceof Error ? error.message : error}`);
  return [];
});
const targets = signals.filter(({ name }) => !name.startsWith("Sqlite")).flatMap(({ name, bytes, idleShare }) => [
  checkTarget(`${name}, ${SESSIONS} signals: idle share of a core`, idleShare, "at most", 0.01),
  checkTarget(`${name}, a signal: bytes`, bytes, "at most", 1024),
]);

const percent = (share: number): string => `${(share * 100).toFixed(2)} %`;
console.log(`\n${SESSIONS} sessions whose signals are in use; Deno's own part is ${denoBytes.toFixed(0)} bytes\n`);
printTable([
  ["", "bytes each", "with a listener", "idle", "idle without"],
  ...signals.map(({ name, bytes, bytesWithListener, idleShare, idleShareWithout }) => [
    name,
    bytes.toFixed(0),
    bytesWithListener.toFixed(0),
    percent(idleShare),
    percent(idleShareWithout),
  ]),
]);
console.log(`\n${SESSIONS} sessions in the cache; microseconds of a request that reads a value\n`);
printTable([
  ["", "bytes each", "cached", "looked up"],
  ...caches.map(({ name, bytes, hit, lookup }) => [name, bytes.toFixed(0), formatNumber(hit), formatNumber(lookup)]),
]);
console.log('\nPostgresStore: writes a second with notify "endings", and the ratio of "all" to that\n');
printTable([
  ["writers", '"endings"', '"all"'],
  ...notify.map(({ writers, endings, ratio }) => [`${writers}`, endings.toFixed(0), ratio.toFixed(2)]),
]);
printTargets(targets);
const results = { environment: environment(), sessions: SESSIONS, denoBytes, signals, caches, notify, targets };
if (quick) console.log("\nNot saved: the run was not complete.");
else await saveResults("watch.json", results);
