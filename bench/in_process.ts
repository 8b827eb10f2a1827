/**
 * What sessions add to a request, in process: the time of a request with them, less that of the same request without.
 *
 * Rounds go through all subjects again and again, and batches with and without take turns, because machines are noisy: trust the
 * ratios of one run, not the figures of two.
 *
 * `--quick` takes some 20 seconds; `--only=ours,floor` leaves others out; `--rounds=15`, `--ms=100` (a round of one case, of one
 * subject) and `--visitors=100` say how much is measured. Only a whole run is kept.
 */
import { parseArgs } from "node:util";
import {
  alosaurName,
  digits,
  environment,
  keep,
  median,
  printTable,
  printTargets,
  type Target,
  target,
} from "./figures.ts";
import { type CaseName, CASES } from "./subjects/subject.ts";
import { type Entry, type SubjectName, SUBJECTS } from "./subjects/mod.ts";
import type { Round } from "./in_process_worker.ts";
import { InProcess } from "./in_process_worker_client.ts";

/** Microseconds a request. */
export interface Added {
  /** With sessions less without: the median of the rounds' differences between medians of batches. */
  median: number;
  /** The 99th percentile with sessions, less that without. */
  p99: number;
  with: number;
  without: number;
}

/** What is kept in `results/in_process.json`. */
export interface InProcessResults {
  environment: ReturnType<typeof environment>;
  alosaur: string;
  rounds: number;
  millisecondsARound: number;
  visitors: number;
  cases: Record<CaseName, string>;
  subjects: (Omit<Entry, "load"> & { name: SubjectName; cases: Record<CaseName, Added> })[];
  targets: Target[];
}

const { values: options } = parseArgs({
  args: Deno.args,
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string" },
    rounds: { type: "string" },
    ms: { type: "string" },
    visitors: { type: "string", default: "100" },
  },
});
const rounds = Number(options.rounds ?? (options.quick ? 3 : 15));
const milliseconds = Number(options.ms ?? (options.quick ? 50 : 100));
const warmUp = options.quick ? 120 : 300;
const visitors = Number(options.visitors);
const names = (options.only?.split(",") ?? Object.keys(SUBJECTS)) as SubjectName[];
for (const name of names) {
  if (!(name in SUBJECTS)) throw new RangeError(`There is no ${name}; there are ${Object.keys(SUBJECTS).join(", ")}`);
}
const caseNames = Object.keys(CASES) as CaseName[];

// Express, Koa and Fastify do less in production.
Deno.env.set("NODE_ENV", "production");

const workers = new Map<SubjectName, InProcess>();
for (const name of names) {
  const worker = new InProcess(name);
  workers.set(name, worker);
  await worker.ask({ order: "load", subject: name, visitors, warmUp });
}

const measured = new Map<string, Round[]>();
for (let round = 0; round < rounds; round++) {
  const all = [...workers];
  const turn = [...all.slice(round % all.length), ...all.slice(0, round % all.length)];
  for (const caseName of caseNames) {
    for (const [name, worker] of turn) {
      // Or the cases after the one that makes sessions would be measured beside all of them.
      await worker.ask({ order: "begin" });
      const result = await worker.ask({ order: "measure", case: caseName, milliseconds });
      if (result === undefined) continue;
      const key = `${name} ${caseName}`;
      measured.set(key, [...measured.get(key) ?? [], result]);
    }
  }
}
for (const worker of workers.values()) worker.end();

const results: InProcessResults = {
  environment: environment(),
  alosaur: alosaurName(),
  rounds,
  millisecondsARound: milliseconds,
  visitors,
  cases: perCase((name) => CASES[name].title),
  subjects: names.map((name) => {
    const { load: _, ...entry }: Entry = SUBJECTS[name];
    return { name, ...entry, cases: perCase((caseName) => addedOf(measured.get(`${name} ${caseName}`) ?? [])) };
  }),
  targets: [],
};
results.targets = targetsOf();
print();
if (options.quick || options.only !== undefined) console.log("\nNot kept: this was not a whole run.");
else await keep("in_process.json", results);

function perCase<T>(of: (name: CaseName) => T): Record<CaseName, T> {
  return Object.fromEntries(caseNames.map((name) => [name, of(name)])) as Record<CaseName, T>;
}

function addedOf(results: Round[]): Added {
  return {
    median: median(results.map((round) => round.with - round.without)),
    p99: median(results.map((round) => round.withP99 - round.withoutP99)),
    with: median(results.map((round) => round.with)),
    without: median(results.map((round) => round.without)),
  };
}

function addedBy(name: SubjectName, caseName: CaseName): number | undefined {
  return results.subjects.find((subject) => subject.name === name)?.cases[caseName].median;
}

/** What the cheapest peer adds of those that have a store. */
function bestPeer(caseName: CaseName): number {
  return Math.min(...results.subjects.filter((s) => s.isPeer && s.hasStore).map((s) => s.cases[caseName].median));
}

function targetsOf(): Target[] {
  const targets: Target[] = [];
  for (const [caseName, limit] of [["a", 1 / 5], ["e", 1 / 5], ["b", 1 / 3], ["d", 1 / 2]] as const) {
    const ours = addedBy("ours", caseName);
    if (ours === undefined || !isFinite(bestPeer(caseName))) continue;
    targets.push(target(`${caseName}: ours / cheapest peer with a store`, ours / bestPeer(caseName), "at most", limit));
  }
  for (const caseName of ["c", "f"] as const) {
    const ours = addedBy("ours", caseName);
    if (ours === undefined || !isFinite(bestPeer(caseName))) continue;
    const limit = Math.max(0.6, bestPeer(caseName) / 5);
    targets.push(target(`${caseName}: ours, microseconds (1/5 of that peer, or 0.6)`, ours, "at most", limit));
  }
  const [ours, floor] = [addedBy("ours", "a"), addedBy("floor", "a")];
  if (ours !== undefined && floor !== undefined) {
    targets.push(target("a: ours / floor without remembered verification", ours / floor, "at most", 2));
  }
  return targets;
}

function print(): void {
  const { environment: { deno, cpu, cores }, alosaur, subjects } = results;
  console.log(
    `Deno ${deno}, ${cpu}, ${cores} cores, ${alosaur} of Alosaur, ${rounds} rounds of ${milliseconds} ms a case`,
  );
  for (const name of caseNames) console.log(`  ${name}  ${CASES[name].title}`);
  console.log("\nMicroseconds added to a request: median (p99)\n");
  const ratios = perCase((caseName) => (addedBy("ours", caseName) ?? NaN) / bestPeer(caseName));
  printTable([
    ["", ...caseNames],
    ...subjects.map(({ title, cases }) => [
      title,
      ...caseNames.map((name) => `${digits(cases[name].median)} (${digits(cases[name].p99)})`),
    ]),
    ...(ratios.a > 0 ? [["ours / best peer with a store", ...caseNames.map((name) => digits(ratios[name]))]] : []),
  ]);
  console.log("\nWithout sessions: median\n");
  printTable([
    ["", ...caseNames],
    ...subjects.map(({ title, cases }) => [title, ...caseNames.map((name) => digits(cases[name].without))]),
  ]);
  printTargets(results.targets);
}
