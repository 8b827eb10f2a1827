/**
 * Compares what sessions add to a request in two checkouts of this repository, for example before
 * and after a refactoring. A is the first given checkout. B is the second given one, or this one by
 * default.
 *
 * ```sh
 * git worktree add /tmp/before HEAD~1
 * deno task bench:compare /tmp/before --rounds 12 --milliseconds 240 --cases read,untouched
 * ```
 *
 * Both run in this checkout's worker, with this checkout's application and import map. Only
 * `mod.ts` and the files that it imports come from the compared checkouts, which may therefore be
 * older. To see the error of the method on this machine, compare a checkout with itself. The
 * distance of its ratios from 1 is that error.
 *
 * - Each round starts a new worker for each checkout, because V8 does not optimize the same code
 *   identically in every worker. Within a round, the checkouts are measured alternately in slices
 *   of 20 ms, or of 400 requests if these take longer.
 * - A slice yields `(with - without) / without`, where both are the first quartile of the request
 *   times, with and without sessions. Other processes slow both sides of a slice by about the same
 *   factor, which the division cancels.
 * - The first quartile does not show garbage collection, which delays few requests. Compare the
 *   bytes for that.
 *
 * @module
 */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { environment, formatNumber, printTable } from "./report.ts";
import { median, quantile } from "./statistics.ts";
import { CASE_NAMES, caseLegend, type CaseName, parseCaseNames } from "./subjects/subject.ts";
import { WorkerClient } from "./worker_client.ts";

const SLICE = { milliseconds: 20, requests: 400 };
const WARM_UP = { milliseconds: 200, requests: 4000 };

/** One case of one checkout in one round. */
interface Measurement {
  /**
   * The time that sessions add, as a share of the time without them; the median over the slices.
   */
  added: number;
  /** The microseconds of a request without sessions; the median over the slices. */
  without: number;
  /** The bytes that a request allocates with sessions, minus those without. */
  bytes: number;
}

const { values: options, positionals: [pathA, pathB = resolve(import.meta.dirname ?? ".", "..")] } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "12" },
    milliseconds: { type: "string", default: "240" },
    cases: { type: "string", default: CASE_NAMES.join() },
  },
});
if (pathA === undefined) {
  console.error("Cannot compare: the path of a checkout is missing; expected one path, or two");
  Deno.exit(1);
}
const rounds = Number(options.rounds);
const slices = Math.ceil(Number(options.milliseconds) / SLICE.milliseconds);
const caseNames = parseCaseNames(options.cases);
const paths = [resolve(pathA), resolve(pathB)] as const;

/** The measurements of A and B, by case, one pair a round. */
const measured = new Map<CaseName, [a: Measurement, b: Measurement][]>(caseNames.map((name) => [name, []]));
for (let round = 0; round < rounds; round++) await measureRound(round);
print();

async function measureRound(round: number): Promise<void> {
  using a = new WorkerClient("ours");
  using b = new WorkerClient("ours");
  const workers = [a, b];
  // The order alternates, so that neither checkout has an advantage.
  const order = round % 2 === 0 ? [0, 1] : [1, 0];
  for (const i of order) {
    const entryPoint = pathToFileURL(`${paths[i]}/mod.ts`).href;
    await workers[i]?.run("load", { subject: "ours", entryPoint, visitors: 100, warmUp: WARM_UP });
  }
  for (const [name, pairs] of measured) pairs.push(await measureCase(name, workers, order) as typeof pairs[number]);
}

async function measureCase(name: CaseName, workers: WorkerClient[], order: number[]): Promise<Measurement[]> {
  const added: number[][] = workers.map(() => []);
  const without: number[][] = workers.map(() => []);
  for (let slice = 0; slice < slices; slice++) {
    for (const i of slice % 2 === 0 ? order : order.toReversed()) {
      // Removes the sessions that the case `newSession` left behind.
      await workers[i]?.run("reset", {});
      const times = await workers[i]?.run("measureTime", { case: name, ...SLICE });
      if (times === undefined) continue;
      added[i]?.push((times.withQ1 - times.withoutQ1) / times.withoutQ1);
      without[i]?.push(times.withoutQ1);
    }
  }
  return await Promise.all(workers.map(async (worker, i) => {
    const bytes = await worker.run("measureAllocation", { case: name });
    return {
      added: median(added[i] ?? []),
      without: median(without[i] ?? []),
      bytes: bytes.with - bytes.without,
    };
  }));
}

function print(): void {
  const { deno, cpu, cores } = environment();
  console.log(`Deno ${deno}, ${cpu}, ${cores} cores, ${rounds} rounds of ${slices * SLICE.milliseconds} ms a case`);
  for (const [i, path] of paths.entries()) console.log(`  ${"AB"[i]}  ${path} (${commitOf(path)})`);
  console.log(caseLegend(caseNames));
  console.log(
    "\nThe cost that sessions add to a request. Time: the median of the rounds' ratios, its standard error, the quartiles of the " +
      "rounds, and A in microseconds. Bytes: the ratio, A and B.\n",
  );
  printTable([
    ["", "time B/A", "+-", "quartiles", "A, us", "bytes B/A", "A", "B"],
    ...caseNames.map((name) => [name, ...row(measured.get(name) ?? [])]),
  ]);
}

function row(pairs: [a: Measurement, b: Measurement][]): string[] {
  const ratios = pairs.map(([a, b]) => b.added / a.added);
  const [q1, ratio, q3] = [quantile(ratios, 0.25), median(ratios), quantile(ratios, 0.75)];
  // For a normal distribution, the quartiles are 1.35 standard deviations apart, and the standard
  // error of the median is 1.25 times that of the mean.
  const error = 1.25 * (q3 - q1) / 1.35 / Math.sqrt(ratios.length);
  const without = median(pairs.flat().map(({ without }) => without));
  const added = median(pairs.map(([a]) => a.added)) * without;
  const [aBytes, bBytes] = [median(pairs.map(([a]) => a.bytes)), median(pairs.map(([, b]) => b.bytes))];
  return [
    ratio.toFixed(2),
    error.toFixed(2),
    `${q1.toFixed(2)} to ${q3.toFixed(2)}`,
    formatNumber(added),
    (bBytes / aBytes).toFixed(2),
    aBytes.toFixed(0),
    bBytes.toFixed(0),
  ];
}

/**
 * Returns the commit of a checkout, with the suffix "-dirty" if its files differ from the commit.
 */
function commitOf(path: string): string {
  try {
    const { success, stdout } = new Deno.Command("git", {
      args: ["-C", path, "describe", "--always", "--dirty"],
      stderr: "null",
    }).outputSync();
    return success ? new TextDecoder().decode(stdout).trim() : "no commit";
  } catch {
    return "no commit";
  }
}
