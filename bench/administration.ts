/**
 * Measures what administrators do with each store: counting the sessions, a page of users, and
 * ending all sessions, with 100,000 sessions, of which two thirds belong to users.
 *
 * `--sessions=1000000` measures another number, and `--only=MemoryStore` the stores whose name
 * begins so. Only a complete run is saved to `results/administration.json`.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import { parseArgs } from "node:util";
import { isCountingStore, isPrincipalListStore } from "../src/admin_store.ts";
import { newSessionId } from "../src/cookie/session_id.ts";
import { environment, formatNumber, printTable, saveResults } from "./report.ts";
import { median } from "./statistics.ts";
import { CONCURRENCY, type StoreSubject, withStores } from "./store_subjects.ts";

const { values: options } = parseArgs({
  options: { sessions: { type: "string", default: "100000" }, only: { type: "string", default: "" } },
});
const SESSIONS = Number(options.sessions);
const PAGE = 100;
const DAY = 86_400_000;

/** Milliseconds. */
interface Duration {
  /** The median of several calls. */
  time: number;
  /** The longest time for which the process handled no other event during a call. */
  blocked: number;
}

interface AdministrationResult {
  name: string;
  count: Duration | undefined;
  page: Duration | undefined;
  revokeEverybody: Duration;
}

/** Times calls one after the other, while a timer watches how long the process is busy. */
async function time(calls: number, call: (i: number) => Promise<unknown>): Promise<Duration> {
  const times: number[] = [];
  let blocked = 0;
  let last = performance.now();
  let ended = false;
  const tick = (): void => {
    blocked = Math.max(blocked, performance.now() - last);
    last = performance.now();
    // The next turn of the event loop. A timer would be up to 4 ms late.
    if (!ended) setImmediate(tick);
  };
  setImmediate(tick);
  for (let i = 0; i < calls; i++) {
    await new Promise((resolve) => setTimeout(resolve));
    const start = performance.now();
    await call(i);
    times.push(performance.now() - start);
    // Also the time since the last turn.
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  ended = true;
  return { time: median(times), blocked };
}

async function measure(name: string, { store }: StoreSubject): Promise<AdministrationResult> {
  await store.init();
  const create = (n: number): Promise<void> => {
    const now = Date.now();
    const meta = { createdAt: now, seenAt: now, renewedAt: now };
    // Each user has two sessions.
    const user = n % 3 === 0 ? {} : { principal: `user ${Math.floor(n / 3)}`, boundAt: now };
    const values = new Map([["user", "ada"]]);
    return store.createRecord(newSessionId(), { values, expiresAt: now + DAY, meta: { ...meta, ...user } });
  };
  for (let n = 0; n < SESSIONS; n += CONCURRENCY) {
    await Promise.all(Array.from({ length: Math.min(CONCURRENCY, SESSIONS - n) }, (_, i) => create(n + i)));
  }
  return {
    name,
    count: isCountingStore(store) ? await time(5, () => store.countSessions()) : undefined,
    page: isPrincipalListStore(store)
      ? await time(20, (i) => store.listPrincipals({ after: `user ${i * 37}`, limit: PAGE }))
      : undefined,
    revokeEverybody: await time(1, () => store.clear()),
  };
}

const all: AdministrationResult[] = [];
await withStores(async (name, subject) => void all.push(await measure(name, subject)), options.only);

const cells = (duration: Duration | undefined): string[] =>
  duration === undefined ? ["", ""] : [formatNumber(duration.time), formatNumber(duration.blocked)];
printTable([
  ["", "count", "blocked", `page of ${PAGE}`, "blocked", "end all", "blocked"],
  ...all.map(({ name, count, page, revokeEverybody }) => [
    name,
    ...cells(count),
    ...cells(page),
    ...cells(revokeEverybody),
  ]),
]);
console.log(`Milliseconds, ${SESSIONS} sessions.`);
if (options.only !== "" || SESSIONS !== 100_000) console.log("\nNot saved: the run was not complete.");
else await saveResults("administration.json", { environment: environment(), sessions: SESSIONS, stores: all });
