/**
 * Measures each store: the time of a lookup, a write and a new session in sequence, the time of
 * concurrent lookups, and the bytes of a session.
 *
 * TEST_REDIS_URL and TEST_POSTGRES_URL name the databases. A store whose database does not respond
 * is skipped with a message. `--quick` measures a tenth of the sessions and calls, and is not saved
 * to `results/stores.json`.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { newSessionId } from "../src/cookie/session_id.ts";
import { environment, formatNumber, printTable, saveResults } from "./report.ts";
import { median } from "./statistics.ts";
import { CONCURRENCY, type StoreSubject, withStores } from "./store_subjects.ts";

const { values: { quick } } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
const SESSIONS = quick ? 1000 : 10_000;
const CALLS = quick ? 100 : 1000;

/** Microseconds per call, and bytes per session. */
interface StoreResult {
  name: string;
  lookup: number;
  /** A write after a lookup, as in a request. */
  write: number;
  create: number;
  /** A lookup while 32 are in flight: the total time divided by the number of lookups. */
  concurrentLookup: number;
  bytes: number | undefined;
}

/** Returns the median time of sequential calls in microseconds. */
async function timeCalls(ids: string[], call: (id: string, i: number) => unknown): Promise<number> {
  const times: number[] = [];
  for (const [i, id] of ids.entries()) {
    const start = performance.now();
    await call(id, i);
    times.push((performance.now() - start) * 1000);
  }
  return median(times);
}

async function measure(name: string, { store, bytes }: StoreSubject): Promise<StoreResult> {
  await store.init();
  const create = (sid: string): Promise<void> => {
    const now = Date.now();
    const meta = { createdAt: now, seenAt: now, renewedAt: now };
    return store.createRecord(sid, { values: new Map([["user", "ada"]]), expiresAt: now + 86_400_000, meta });
  };
  const ids = Array.from({ length: SESSIONS }, newSessionId);
  for (let i = 0; i < SESSIONS; i += CONCURRENCY) await Promise.all(ids.slice(i, i + CONCURRENCY).map(create));
  const size = await bytes?.();
  // Requests use the sessions in random order.
  const sample = Array.from({ length: CALLS }, () => ids[Math.floor(Math.random() * SESSIONS)] as string);
  const readRecord = (sid: string): unknown => store.readRecord(sid);
  await timeCalls(sample, readRecord);
  const result = {
    name,
    lookup: await timeCalls(sample, readRecord),
    write: 0,
    create: await timeCalls(Array.from({ length: CALLS }, newSessionId), create),
    concurrentLookup: 0,
    bytes: size === undefined ? undefined : size / SESSIONS,
  };
  const writes: number[] = [];
  for (const sid of sample) {
    await store.readRecord(sid);
    const start = performance.now();
    await store.setValue(sid, "user", "eve");
    writes.push((performance.now() - start) * 1000);
  }
  result.write = median(writes);
  const start = performance.now();
  for (let i = 0; i < CALLS; i += CONCURRENCY) await Promise.all(sample.slice(i, i + CONCURRENCY).map(readRecord));
  result.concurrentLookup = (performance.now() - start) * 1000 / CALLS;
  return result;
}

const all: StoreResult[] = [];
await withStores(async (name, subject) => void all.push(await measure(name, subject)));

printTable([
  ["", "lookup", "write", "new session", `lookup, ${CONCURRENCY} in flight`, "bytes a session"],
  ...all.map(({ name, lookup, write, create, concurrentLookup, bytes }) => [
    name,
    ...[lookup, write, create, concurrentLookup].map(formatNumber),
    bytes === undefined ? "" : bytes.toFixed(0),
  ]),
]);
console.log(`Medians in microseconds, ${SESSIONS} sessions with one small value.`);
if (quick) console.log("\nNot saved: the run was not complete.");
else await saveResults("stores.json", { environment: environment(), sessions: SESSIONS, stores: all });
