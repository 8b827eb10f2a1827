/** Figures, and where they are kept. */

/** The value under which a share of the others lie. */
export function quantile(values: ArrayLike<number>, share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

export function median(values: ArrayLike<number>): number {
  return quantile(values, 0.5);
}

/** What the figures were taken on. No name of a machine. */
export interface Environment {
  date: string;
  deno: string;
  v8: string;
  cpu: string;
  cores: number;
}

export function environment(): Environment {
  let cpu = Deno.build.arch as string;
  try {
    cpu = Deno.readTextFileSync("/proc/cpuinfo").match(/^model name\s*:\s*(.+)$/m)?.[1] ?? cpu;
  } catch {
    // Not a Linux.
  }
  return {
    date: new Date().toISOString().slice(0, 10),
    deno: Deno.version.deno,
    v8: Deno.version.v8,
    cpu: `${cpu} (${Deno.build.os})`,
    cores: navigator.hardwareConcurrency,
  };
}

/** Whether `alosaur/` is mapped to this repository's stand-in. */
export function alosaurName(): string {
  const url = import.meta.resolve("alosaur/mod.ts");
  return url === new URL("../tests/alosaur/mod.ts", import.meta.url).href ? "the stand-in" : "another Alosaur";
}

/** Keeps results beside the others. */
export async function keep(name: string, results: unknown): Promise<void> {
  const folder = new URL("results/", import.meta.url);
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(new URL(name, folder), JSON.stringify(results, null, 2) + "\n");
}

/** Prints rows in columns; the first is left-aligned. */
export function printTable(rows: string[][]): void {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => widths[i] = Math.max(widths[i] ?? 0, cell.length));
  for (const row of rows) {
    const cells = row.map((cell, i) => i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0));
    console.log(cells.join("  ").trimEnd());
  }
}

/** A figure with three digits that count. */
export function digits(value: number): string {
  const size = Math.abs(value);
  return value.toFixed(size >= 99.5 ? 0 : size >= 9.95 ? 1 : 2);
}

/** A target of the project, and what was measured. */
export interface Target {
  name: string;
  measured: number;
  limit: number;
  /** Whether the limit is the most that may be, or the least. */
  is: "at most" | "at least";
  met: boolean;
}

export function target(name: string, measured: number, is: Target["is"], limit: number): Target {
  return { name, measured, limit, is, met: is === "at most" ? measured <= limit : measured >= limit };
}

export function printTargets(targets: Target[]): void {
  if (targets.length === 0) return;
  console.log();
  printTable([
    ["target", "", "", "measured", ""],
    ...targets.map((
      { name, is, limit, measured, met },
    ) => [name, is, digits(limit), digits(measured), met ? "met" : "NOT MET"]),
  ]);
}
