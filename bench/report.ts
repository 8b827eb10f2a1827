/**
 * Describes results, compares them with their targets, prints and saves them.
 *
 * @module
 */

/** The machine and the versions that produced the results. Contains no host name. */
export interface Environment {
  /** The day, as `YYYY-MM-DD`. */
  date: string;
  deno: string;
  v8: string;
  cpu: string;
  cores: number;
}

/** Describes this machine. */
export function environment(): Environment {
  let cpu = Deno.build.arch as string;
  try {
    cpu = Deno.readTextFileSync("/proc/cpuinfo").match(/^model name\s*:\s*(.+)$/m)?.[1] ?? cpu;
  } catch {
    // Only Linux has this file.
  }
  return {
    date: new Date().toISOString().slice(0, 10),
    deno: Deno.version.deno,
    v8: Deno.version.v8,
    cpu: `${cpu} (${Deno.build.os})`,
    cores: navigator.hardwareConcurrency,
  };
}

/** Names the Alosaur that `alosaur/` is mapped to: this repository's stand-in or another one. */
export function alosaurName(): string {
  const url = import.meta.resolve("alosaur/mod.ts");
  return url === new URL("../tests/alosaur/mod.ts", import.meta.url).href ? "the stand-in" : "another Alosaur";
}

/** Writes results to `bench/results/`. */
export async function saveResults(name: string, results: unknown): Promise<void> {
  const folder = new URL("results/", import.meta.url);
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(new URL(name, folder), JSON.stringify(results, null, 2) + "\n");
}

/** Prints rows in columns, the first aligned to the left, the others to the right. */
export function printTable(rows: string[][]): void {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => widths[i] = Math.max(widths[i] ?? 0, cell.length));
  for (const row of rows) {
    const cells = row.map((cell, i) => i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0));
    console.log(cells.join("  ").trimEnd());
  }
}

/** Formats a number with three significant digits, and no more than two decimals. */
export function formatNumber(value: number): string {
  const size = Math.abs(value);
  return value.toFixed(size >= 99.5 ? 0 : size >= 9.95 ? 1 : 2);
}

/** A performance target and the measured value. */
export interface Target {
  name: string;
  measured: number;
  limit: number;
  /** Whether the limit is an upper or a lower bound. */
  is: "at most" | "at least";
  met: boolean;
}

/** Compares a measured value with its target. */
export function checkTarget(name: string, measured: number, is: Target["is"], limit: number): Target {
  return { name, measured, limit, is, met: is === "at most" ? measured <= limit : measured >= limit };
}

/** Prints the targets and whether each is met. */
export function printTargets(targets: Target[]): void {
  if (targets.length === 0) return;
  console.log();
  printTable([
    ["target", "", "", "measured", ""],
    ...targets.map((
      { name, is, limit, measured, met },
    ) => [name, is, formatNumber(limit), formatNumber(measured), met ? "met" : "NOT MET"]),
  ]);
}
