/**
 * Measures the memory of sessions, and the cost of a large number of them:
 * - `heap`: bytes per session
 * - `expiry`: requests while a million sessions expire
 * - `crowd`: requests while a million sessions are stored
 * - `day`: two simulated days of visitors
 *
 * It takes about two minutes. `--only=heap,expiry` runs only these parts. Only a complete run is
 * saved to `results/memory.json`.
 *
 * @module
 */
import { parseArgs } from "node:util";
import type { DayResult, ExpiryResult, HeapResult } from "./memory_worker.ts";
import {
  checkTarget,
  environment,
  formatNumber,
  printTable,
  printTargets,
  saveResults,
  type Target,
} from "./report.ts";
import { median } from "./statistics.ts";
import { WorkerClient } from "./worker_client.ts";

/** Pauses of V8's garbage collector, in milliseconds. */
interface Pauses {
  count: number;
  longest: number;
  /** The number of pauses of more than 10 ms. */
  over10: number;
}

/** The added time of the case `read`, in microseconds, for a number of stored sessions. */
interface Crowd {
  title: string;
  sessions: number;
  visitors: number;
  added: number;
  /** The ratio to the first row; the median over the rounds. */
  ratio: number;
}

/** The content of `results/memory.json`. */
export interface MemoryResults {
  environment: ReturnType<typeof environment>;
  heap?: { title: string; bytes: HeapResult }[];
  expiry?: ExpiryResult & { controlPauses: Pauses; expiringPauses: Pauses };
  crowd?: Crowd[];
  day?: DayResult;
  targets: Target[];
}

const { values: options } = parseArgs({ args: Deno.args, options: { only: { type: "string" } } });
const only = options.only?.split(",") ?? ["heap", "expiry", "crowd", "day"];
Deno.env.set("NODE_ENV", "production");

const results: MemoryResults = { environment: environment(), targets: [] };
const { deno, cpu } = results.environment;
console.log(`Deno ${deno}, ${cpu}`);
if (only.includes("heap")) await measureHeap();
if (only.includes("expiry")) await measureExpiry();
if (only.includes("crowd")) await measureCrowd();
if (only.includes("day")) await measureDay();
printTargets(results.targets);
if (options.only !== undefined) console.log("\nNot saved: the run was not complete.");
else await saveResults("memory.json", results);

/** Runs a part of `memory_worker.ts` in a process of its own. */
async function run<T>(part: string, flags = ""): Promise<{ result: T; output: string }> {
  const script = new URL("memory_worker.ts", import.meta.url).pathname;
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", `--v8-flags=--expose-gc,--max-old-space-size=6000${flags}`, script, part],
    env: { NO_COLOR: "1" },
  }).output();
  const errors = new TextDecoder().decode(stderr);
  if (code !== 0) throw new Error(`Cannot measure part ${part}: its process failed: ${errors}`);
  return { result: JSON.parse(errors), output: new TextDecoder().decode(stdout) };
}

async function measureHeap(): Promise<void> {
  const heap = results.heap = [];
  const rows: { title: string; bytes: HeapResult }[] = heap;
  for (
    const [part, title] of [
      ["ours", "MemoryStore"],
      ["express", "MemoryStore of express-session 1.19.0"],
      ["memorystore", "memorystore 1.6.8"],
    ] as const
  ) rows.push({ title, bytes: (await run<HeapResult>(part)).result });
  const counts = Object.keys(rows[0]?.bytes ?? {}).map(Number);
  console.log("\nBytes a session, one small value\n");
  printTable([
    ["", ...counts.map((count) => count.toLocaleString("en"))],
    ...rows.map(({ title, bytes }) => [title, ...counts.map((count) => (bytes[count] ?? NaN).toFixed(0))]),
  ]);
  const ours = rows[0]?.bytes[1_000_000] ?? NaN;
  results.targets.push(checkTarget("MemoryStore: bytes a session at 1,000,000", ours, "at most", 226));
}

async function measureExpiry(): Promise<void> {
  const { result, output } = await run<ExpiryResult>("expiry", ",--trace-gc");
  const { control, expiring } = result;
  const [controlPauses, expiringPauses] = pausesIn(output);
  results.expiry = { ...result, controlPauses, expiringPauses };
  console.log(`\nRequests of new visitors beside ${result.sessions.toLocaleString("en")} sessions, milliseconds\n`);
  printTable([
    ["", "requests", "slowest", "p99.9", "over 10", "GC pauses", "longest", "over 10"],
    ...([["nothing expires", control, controlPauses], ["all expire", expiring, expiringPauses]] as const).map((
      [title, slow, pauses],
    ) => [
      title,
      String(slow.requests),
      formatNumber(slow.slowest),
      formatNumber(slow.p999),
      String(slow.over10),
      String(pauses.count),
      formatNumber(pauses.longest),
      String(pauses.over10),
    ]),
  ]);
  console.log(`At the end ${result.held} records are stored, ${result.heldExpired} of them expired.`);
  results.targets.push(
    checkTarget("slowest request while 1,000,000 sessions expire, ms", expiring.slowest, "at most", 10),
  );
}

/**
 * Returns V8's pauses during the measurements without and with expiry. Explicit collections
 * separate the measurements: the last three are before, between and after them.
 */
function pausesIn(trace: string): [Pauses, Pauses] {
  const lines = trace.split("\n").filter((line) => / ms: /.test(line));
  const marks = lines.flatMap((line, i) => / testing/.test(line) ? [i] : []).slice(-3);
  const between = (from = 0, to = 0): Pauses => {
    const pauses = lines.slice(from + 1, to).map((line) => Number(line.match(/, ([\d.]+) \/ [\d.]+ ms/)?.[1]));
    return {
      count: pauses.length,
      longest: Math.max(0, ...pauses),
      over10: pauses.filter((pause) => pause > 10).length,
    };
  };
  return [between(marks[0], marks[1]), between(marks[1], marks[2])];
}

async function measureCrowd(): Promise<void> {
  const crowds = [
    { title: "1,000 sessions, all of them visit", sessions: 1000, visitors: 1000, elsewhere: false },
    { title: "1,000,000 sessions, 1,000 of them visit", sessions: 1_000_000, visitors: 1000, elsewhere: false },
    { title: "1,000,000 sessions, 100,000 of them visit", sessions: 1_000_000, visitors: 100_000, elsewhere: false },
    // The control: as many objects in the heap, in a store that no request uses.
    {
      title: "1,000 sessions, all of them visit; 999,000 in another store",
      sessions: 1_000_000,
      visitors: 1000,
      elsewhere: true,
    },
  ].map((crowd) => ({ ...crowd, worker: new WorkerClient("ours"), added: [] as number[] }));
  for (const { worker, sessions, visitors, elsewhere } of crowds) {
    await worker.run("load", { subject: "ours", visitors, warmUp: { milliseconds: 300 } });
    await worker.run("fill", { sessions, elsewhere });
    await worker.run("measureTime", { case: "read", milliseconds: 500 });
  }
  for (let round = 0; round < 15; round++) {
    for (const { worker, added } of crowds) {
      const times = await worker.run("measureTime", { case: "read", milliseconds: 200 });
      added.push(times.with - times.without);
    }
  }
  const few = crowds[0]?.added ?? [];
  const rows = results.crowd = crowds.map(({ title, sessions, visitors, added, worker }): Crowd => {
    worker[Symbol.dispose]();
    const ratio = median(added.map((value, round) => value / (few[round] ?? NaN)));
    return { title, sessions, visitors, added: median(added), ratio };
  });
  console.log("\nMicroseconds added to a request that reads, in process\n");
  printTable([
    ["", "added", "ratio to the first"],
    ...rows.map(({ title, added, ratio }) => [title, formatNumber(added), formatNumber(ratio)]),
  ]);
  const ratio = rows[1]?.ratio ?? NaN;
  results.targets.push(checkTarget("added cost at 1,000,000 sessions / at 1,000", ratio, "at most", 1.5));
}

async function measureDay(): Promise<void> {
  const { result } = await run<DayResult>("day");
  results.day = result;
  console.log(
    `\n${
      result.visitors.toLocaleString("en")
    } visitors in two simulated days, sessions of half an hour to a day; from hour 24 on ` +
      "as many sessions expire as are created\n",
  );
  const shown = result.hours.filter(({ hour }) => hour % 4 === 0);
  printTable([
    ["hour", ...shown.map(({ hour }) => String(hour))],
    ["live sessions", ...shown.map(({ live }) => String(live))],
    ["stored records", ...shown.map(({ held }) => String(held))],
    ["heap, MB", ...shown.map(({ heapMegabytes }) => heapMegabytes.toFixed(1))],
  ]);
  const steady = result.hours.filter(({ hour }) => hour >= 24);
  const spread = (valueOf: (hour: DayResult["hours"][number]) => number): number =>
    Math.max(...steady.map(valueOf)) / Math.min(...steady.map(valueOf));
  results.targets.push(
    checkTarget("stored records, hours 24 to 48: most / least", spread(({ held }) => held), "at most", 1.1),
    checkTarget("heap, hours 24 to 48: most / least", spread(({ heapMegabytes }) => heapMegabytes), "at most", 1.1),
  );
}
