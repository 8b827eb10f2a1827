/**
 * What sessions cost in memory, and what many of them cost in time: bytes a session, requests while a million expire, requests
 * beside a million, and a day of visitors.
 *
 * It takes about two minutes. `--only=heap,expiry,crowd,day` leaves parts out; only a whole run is kept.
 */
import { parseArgs } from "node:util";
import { digits, environment, keep, median, printTable, printTargets, type Target, target } from "./figures.ts";
import type { DayPart, ExpiryPart, HeapPart } from "./memory_part.ts";
import { InProcess } from "./in_process_worker_client.ts";

/** Pauses of V8's collector, in milliseconds. */
interface Pauses {
  count: number;
  longest: number;
  over10: number;
}

/** The added cost of a request that reads, in microseconds, by the sessions that are kept. */
interface Crowd {
  title: string;
  sessions: number;
  visitors: number;
  added: number;
  /** Over the first one: the median of the rounds' ratios. */
  ratio: number;
}

/** What is kept in `results/memory.json`. */
export interface MemoryResults {
  environment: ReturnType<typeof environment>;
  heap?: { title: string; bytes: HeapPart }[];
  expiry?: ExpiryPart & { controlPauses: Pauses; expiringPauses: Pauses };
  crowd?: Crowd[];
  day?: DayPart;
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
if (options.only !== undefined) console.log("\nNot kept: this was not a whole run.");
else await keep("memory.json", results);

/** Runs a part in a process of its own. */
async function run<T>(part: string, flags = ""): Promise<{ found: T; output: string }> {
  const script = new URL("memory_part.ts", import.meta.url).pathname;
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", `--v8-flags=--expose-gc,--max-old-space-size=6000${flags}`, script, part],
    env: { NO_COLOR: "1" },
  }).output();
  const errors = new TextDecoder().decode(stderr);
  if (code !== 0) throw new Error(`The part ${part} failed: ${errors}`);
  return { found: JSON.parse(errors), output: new TextDecoder().decode(stdout) };
}

async function measureHeap(): Promise<void> {
  const heap = results.heap = [];
  const rows: { title: string; bytes: HeapPart }[] = heap;
  for (
    const [part, title] of [
      ["ours", "MemoryStore"],
      ["express", "MemoryStore of express-session 1.19.0"],
      ["memorystore", "memorystore 1.6.8"],
    ] as const
  ) rows.push({ title, bytes: (await run<HeapPart>(part)).found });
  const counts = Object.keys(rows[0]?.bytes ?? {}).map(Number);
  console.log("\nBytes a session, one small value\n");
  printTable([
    ["", ...counts.map((count) => count.toLocaleString("en"))],
    ...rows.map(({ title, bytes }) => [title, ...counts.map((count) => (bytes[count] ?? NaN).toFixed(0))]),
  ]);
  const ours = rows[0]?.bytes[1_000_000] ?? NaN;
  results.targets.push(target("MemoryStore: bytes a session at 1,000,000", ours, "at most", 226));
}

async function measureExpiry(): Promise<void> {
  const { found, output } = await run<ExpiryPart>("expiry", ",--trace-gc");
  const { control, expiring } = found;
  const [controlPauses, expiringPauses] = pausesIn(output);
  results.expiry = { ...found, controlPauses, expiringPauses };
  console.log(`\nRequests of new visitors beside ${found.sessions.toLocaleString("en")} sessions, milliseconds\n`);
  printTable([
    ["", "requests", "slowest", "p99.9", "over 10", "GC pauses", "longest", "over 10"],
    ...([["nothing expires", control, controlPauses], ["all expire", expiring, expiringPauses]] as const).map((
      [title, slow, pauses],
    ) => [
      title,
      String(slow.requests),
      digits(slow.slowest),
      digits(slow.p999),
      String(slow.over10),
      String(pauses.count),
      digits(pauses.longest),
      String(pauses.over10),
    ]),
  ]);
  console.log(`In the end ${found.held} were held, ${found.heldExpired} of them expired.`);
  results.targets.push(
    target("slowest request while 1,000,000 sessions expire, ms", expiring.slowest, "at most", 10),
  );
}

/** V8's pauses between the last three collections that were asked for: during the control, and during the expiry. */
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
    { title: "1,000 sessions, all of them visit", sessions: 1000, visitors: 1000, aside: false },
    { title: "1,000,000 sessions, 1,000 of them visit", sessions: 1_000_000, visitors: 1000, aside: false },
    { title: "1,000,000 sessions, 100,000 of them visit", sessions: 1_000_000, visitors: 100_000, aside: false },
    // What every program pays for as many objects in its heap.
    {
      title: "1,000 sessions, all of them visit; 999,000 in another store",
      sessions: 1_000_000,
      visitors: 1000,
      aside: true,
    },
  ].map((crowd) => ({ ...crowd, worker: new InProcess("ours"), added: [] as number[] }));
  for (const { worker, sessions, visitors, aside } of crowds) {
    await worker.ask({ order: "load", subject: "ours", visitors, warmUp: 300 });
    await worker.ask({ order: "fill", sessions, aside });
    await worker.ask({ order: "measure", case: "a", milliseconds: 500 });
  }
  for (let round = 0; round < 15; round++) {
    for (const { worker, added } of crowds) {
      const figures = await worker.ask({ order: "measure", case: "a", milliseconds: 200 });
      if (figures !== undefined) added.push(figures.with - figures.without);
    }
  }
  const few = crowds[0]?.added ?? [];
  const rows = results.crowd = crowds.map(({ title, sessions, visitors, added, worker }): Crowd => {
    worker.end();
    const ratio = median(added.map((value, round) => value / (few[round] ?? NaN)));
    return { title, sessions, visitors, added: median(added), ratio };
  });
  console.log("\nMicroseconds added to a request that reads, in process\n");
  printTable([
    ["", "added", "over the first"],
    ...rows.map(({ title, added, ratio }) => [title, digits(added), digits(ratio)]),
  ]);
  const ratio = rows[1]?.ratio ?? NaN;
  results.targets.push(target("added cost at 1,000,000 sessions / at 1,000", ratio, "at most", 1.5));
}

async function measureDay(): Promise<void> {
  const { found } = await run<DayPart>("day");
  results.day = found;
  console.log(
    `\n${
      found.visitors.toLocaleString("en")
    } visitors in two simulated days, sessions of half an hour to a day; from hour 24 on ` +
      "as many end as begin\n",
  );
  const shown = found.hours.filter(({ hour }) => hour % 4 === 0);
  printTable([
    ["hour", ...shown.map(({ hour }) => String(hour))],
    ["live sessions", ...shown.map(({ live }) => String(live))],
    ["records held", ...shown.map(({ held }) => String(held))],
    ["heap, MB", ...shown.map(({ heapMegabytes }) => heapMegabytes.toFixed(1))],
  ]);
  const flat = found.hours.filter(({ hour }) => hour >= 24);
  const growth = (of: (hour: DayPart["hours"][number]) => number): number =>
    Math.max(...flat.map(of)) / Math.min(...flat.map(of));
  results.targets.push(
    target("records held, hours 24 to 48: most / least", growth(({ held }) => held), "at most", 1.1),
    target("heap, hours 24 to 48: most / least", growth(({ heapMegabytes }) => heapMegabytes), "at most", 1.1),
  );
}
