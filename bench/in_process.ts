/**
 * Measures the time that sessions add to a request: the time with sessions minus the time of the
 * same request without. Requests do not go over a network.
 *
 * Machines are noisy. Therefore each round measures every subject, and batches with and without
 * sessions alternate. Trust the ratios within one run. Do not compare the figures of two runs.
 *
 * Options:
 * - `--quick`: a run of about 20 seconds
 * - `--only=ours,floor`: only these subjects
 * - `--rounds=15`
 * - `--milliseconds=100`: the duration of one case of one subject in a round
 * - `--visitors=100`: the number of sessions
 *
 * Only a complete run is saved to `results/in_process.json`.
 *
 * @module
 */
import { parseArgs } from "node:util";
import {
  alosaurName,
  checkTarget,
  environment,
  formatNumber,
  printTable,
  printTargets,
  saveResults,
  type Target,
} from "./report.ts";
import { measureRefresh, type RefreshResult } from "./device_refresh.ts";
import { median } from "./statistics.ts";
import { CASE_NAMES, caseLegend, type CaseName, CASES } from "./subjects/subject.ts";
import { type SubjectEntry, type SubjectName, SUBJECTS } from "./subjects/mod.ts";
import type { Times } from "./worker.ts";
import { WorkerClient } from "./worker_client.ts";

/** Microseconds a request. */
export interface AddedTime {
  /** With sessions minus without; the median over the rounds. */
  median: number;
  /** The 99th percentile with sessions minus the 99th percentile without. */
  p99: number;
  with: number;
  without: number;
}

/** The content of `results/in_process.json`. */
export interface InProcessResults {
  environment: ReturnType<typeof environment>;
  alosaur: string;
  rounds: number;
  /** The duration of one case of one subject in a round. */
  milliseconds: number;
  visitors: number;
  /** The titles of the cases. */
  cases: Record<CaseName, string>;
  /** Refreshes of bound sessions. */
  refreshes: RefreshResult[];
  subjects: (Omit<SubjectEntry, "load"> & { name: SubjectName; cases: Record<CaseName, AddedTime> })[];
  targets: Target[];
}

const { values: options } = parseArgs({
  args: Deno.args,
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string" },
    rounds: { type: "string" },
    milliseconds: { type: "string" },
    visitors: { type: "string", default: "100" },
  },
});
const rounds = Number(options.rounds ?? (options.quick ? 3 : 15));
const milliseconds = Number(options.milliseconds ?? (options.quick ? 50 : 100));
const warmUp = { milliseconds: options.quick ? 120 : 300 };
const visitors = Number(options.visitors);
const names = (options.only?.split(",") ?? Object.keys(SUBJECTS)) as SubjectName[];
for (const name of names) {
  if (!(name in SUBJECTS)) {
    throw new RangeError(`Cannot measure "${name}": no such subject; expected some of ${Object.keys(SUBJECTS).join()}`);
  }
}

// Express, Koa and Fastify do less work per request in production mode.
Deno.env.set("NODE_ENV", "production");

const workers: [SubjectName, WorkerClient][] = [];
for (const name of names) {
  const worker = new WorkerClient(name);
  workers.push([name, worker]);
  await worker.run("load", { subject: name, visitors, warmUp });
}

const measured = new Map<string, Times[]>();
for (let round = 0; round < rounds; round++) {
  const first = round % workers.length;
  const order = [...workers.slice(first), ...workers.slice(0, first)];
  for (const caseName of CASE_NAMES) {
    for (const [name, worker] of order) {
      // Removes the sessions that the case `newSession` left behind.
      await worker.run("reset", {});
      const times = await worker.run("measureTime", { case: caseName, milliseconds });
      const key = `${name} ${caseName}`;
      measured.set(key, [...measured.get(key) ?? [], times]);
    }
  }
}
for (const [, worker] of workers) worker[Symbol.dispose]();

const refreshes: RefreshResult[] = [];
for (const algorithm of ["ES256", "RS256"] as const) {
  refreshes.push(await measureRefresh(algorithm, options.quick ? 50 : 500));
}

const results: InProcessResults = {
  environment: environment(),
  alosaur: alosaurName(),
  rounds,
  milliseconds,
  visitors,
  cases: perCase((name) => CASES[name].title),
  refreshes,
  subjects: names.map((name) => {
    const { load: _, ...entry }: SubjectEntry = SUBJECTS[name];
    return { name, ...entry, cases: perCase((caseName) => addedTime(measured.get(`${name} ${caseName}`) ?? [])) };
  }),
  targets: [],
};
results.targets = checkTargets();
print();
if (options.quick || options.only !== undefined) console.log("\nNot saved: the run was not complete.");
else await saveResults("in_process.json", results);

function perCase<T>(valueOf: (name: CaseName) => T): Record<CaseName, T> {
  return Object.fromEntries(CASE_NAMES.map((name) => [name, valueOf(name)])) as Record<CaseName, T>;
}

function addedTime(times: Times[]): AddedTime {
  return {
    median: median(times.map((time) => time.with - time.without)),
    p99: median(times.map((time) => time.withP99 - time.withoutP99)),
    with: median(times.map((time) => time.with)),
    without: median(times.map((time) => time.without)),
  };
}

function addedBy(name: SubjectName, caseName: CaseName): number | undefined {
  return results.subjects.find((subject) => subject.name === name)?.cases[caseName].median;
}

/** Returns the median over the rounds of what `DeviceBoundMiddleware` adds to a request. */
function costOfDevices(name: "oursUnbound" | "oursBound", caseName: CaseName): number | undefined {
  const added = (subject: SubjectName): number[] =>
    (measured.get(`${subject} ${caseName}`) ?? []).map((times) => times.with - times.without);
  const without = added("oursSignedIn");
  const devices = added(name);
  return without.length === 0 || devices.length === 0
    ? undefined
    : median(devices.map((time, round) => time - (without[round] ?? NaN)));
}

/**
 * Returns the added time of the cheapest peer that has a store; `Infinity` if none was measured.
 */
function bestPeer(caseName: CaseName): number {
  return Math.min(...results.subjects.filter((s) => s.isPeer && s.hasStore).map((s) => s.cases[caseName].median));
}

function checkTargets(): Target[] {
  const targets: Target[] = [];
  for (
    const [caseName, limit] of [["read", 1 / 5], ["forged", 1 / 5], ["readWrite", 1 / 3], [
      "newSession",
      1 / 2,
    ]] as const
  ) {
    const ours = addedBy("ours", caseName);
    const peer = bestPeer(caseName);
    if (ours === undefined || !isFinite(peer)) continue;
    targets.push(checkTarget(`${caseName}: ours / cheapest peer with a store`, ours / peer, "at most", limit));
  }
  for (const caseName of ["untouched", "knownUntouched"] as const) {
    const ours = addedBy("ours", caseName);
    const peer = bestPeer(caseName);
    if (ours === undefined || !isFinite(peer)) continue;
    const limit = Math.max(0.6, peer / 5);
    targets.push(
      checkTarget(`${caseName}: ours, microseconds (limit: 1/5 of the cheapest peer, or 0.6)`, ours, "at most", limit),
    );
  }
  for (
    const [name, title, caseName, limit] of [
      ["oursBound", "a bound session", "read", 1.5],
      ["oursUnbound", "a session that is not bound", "read", 0.3],
      ["oursUnbound", "a session that is not bound", "untouched", 0.3],
      ["oursUnbound", "a session that is not bound", "knownUntouched", 0.3],
    ] as const
  ) {
    const cost = costOfDevices(name, caseName);
    // Less than 0.3 µs cannot be measured.
    if (cost !== undefined) {
      targets.push(checkTarget(`${caseName}: ${title}, microseconds more than without DBSC`, cost, "at most", limit));
    }
  }
  const [ours, floor] = [addedBy("ours", "read"), addedBy("floor", "read")];
  if (ours !== undefined && floor !== undefined) {
    targets.push(checkTarget("read: ours / floor without cached verification", ours / floor, "at most", 2));
  }
  return targets;
}

function print(): void {
  const { environment: { deno, cpu, cores }, alosaur, subjects } = results;
  console.log(
    `Deno ${deno}, ${cpu}, ${cores} cores, ${alosaur} of Alosaur, ${rounds} rounds of ${milliseconds} ms a case`,
  );
  console.log(caseLegend(CASE_NAMES));
  console.log("\nMicroseconds added to a request: median (p99)\n");
  const ratios = perCase((caseName) => (addedBy("ours", caseName) ?? NaN) / bestPeer(caseName));
  printTable([
    ["", ...CASE_NAMES],
    ...subjects.map(({ title, cases }) => [
      title,
      ...CASE_NAMES.map((name) => `${formatNumber(cases[name].median)} (${formatNumber(cases[name].p99)})`),
    ]),
    ...(ratios.read > 0
      ? [["ours / best peer with a store", ...CASE_NAMES.map((name) => formatNumber(ratios[name]))]]
      : []),
  ]);
  console.log("\nMicroseconds of a request without sessions: median\n");
  printTable([
    ["", ...CASE_NAMES],
    ...subjects.map(({ title, cases }) => [title, ...CASE_NAMES.map((name) => formatNumber(cases[name].without))]),
  ]);
  console.log("\nA refresh of a bound session, on the server\n");
  printTable([
    ["", "microseconds", "writes"],
    ...results.refreshes.map(({ algorithm, microseconds, writes }) => [
      algorithm,
      formatNumber(microseconds),
      String(writes),
    ]),
  ]);
  printTargets(results.targets);
}
