/**
 * Draws `docs/added-cost.svg` from `results/in_process.json`, and prints the table for the README.
 *
 * The scale is logarithmic, because the results range from a tenth of a microsecond to a
 * millisecond. The results are dots, because the length of a bar means nothing on a logarithmic
 * scale.
 *
 * @module
 */
import { denoOutput } from "../tests/helpers/deno_output.ts";
import type { InProcessResults } from "./in_process.ts";
import { CASE_NAMES, type CaseName, CASES } from "./subjects/subject.ts";

type Row = InProcessResults["subjects"][number];

// Sizes and positions, in pixels.
const WIDTH = 920;
const LABELS = 216;
const GAP = 28;
const PANEL = (WIDTH - LABELS - GAP - 16) / 2;
const ROW = 19;
const HEAD = 26;
const TOP = 74;
/**
 * The scale, in microseconds. Smaller values are drawn at its start, because the benchmark cannot
 * distinguish them from zero.
 */
const [SCALE_MIN, SCALE_MAX] = [0.1, 3000];
const TICKS = [0.1, 1, 10, 100, 1000];
/** The width of the number beside the last dot, in pixels. */
const NUMBER_WIDTH = 40;

const results: InProcessResults = JSON.parse(
  await Deno.readTextFile(new URL("results/in_process.json", import.meta.url)),
);
const rows = [
  ...results.subjects.filter(({ isPeer }) => !isPeer),
  ...results.subjects.filter(({ isPeer }) => isPeer).sort((a, b) => a.cases.read.median - b.cases.read.median),
];

await Deno.writeTextFile(
  new URL("../docs/added-cost.svg", import.meta.url),
  await denoOutput(["fmt", "--ext", "svg", "-"], draw()),
);
console.log(table());

function draw(): string {
  const panelHeight = HEAD + rows.length * ROW + 34;
  const height = TOP + 3 * panelHeight + 40;
  const { date, deno, cpu, cores } = results.environment;
  const panels = CASE_NAMES.map((name, i) => {
    const column = i % 2;
    return panel(name, LABELS + column * (PANEL + GAP), TOP + Math.floor(i / 2) * panelHeight, column === 0);
  });
  const summary = CASE_NAMES.map((name) => {
    const costs = rows.map((row) => `${row.title} ${label(row.cases[name].median)}`).join(", ");
    return `${CASES[name].title}: ${costs}.`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-labelledby="title desc">
<title id="title">What sessions add to a request, in microseconds</title>
<desc id="desc">${escape(summary.join(" "))}</desc>
<style>
svg { --paper: #ffffff; --ink: #1f2328; --faint: #59636e; --line: #d8dee4; --peer: #818b98; --ours: #0969da; --floor: #9a6700; }
@media (prefers-color-scheme: dark) {
svg { --paper: #0d1117; --ink: #e6edf3; --faint: #9198a1; --line: #2d333b; --peer: #8b949e; --ours: #58a6ff; --floor: #d29922; }
}
text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: var(--ink); }
.heading { font-size: 17px; font-weight: 600; }
.case { font-weight: 600; }
.title { font-weight: 400; }
.faint { fill: var(--faint); font-size: 11px; }
.right { text-anchor: end; }
.middle { text-anchor: middle; }
.value { font-size: 11px; font-variant-numeric: tabular-nums; }
.line { stroke: var(--line); }
.peer { fill: var(--peer); }
.cookie { fill: var(--paper); stroke: var(--peer); stroke-width: 2; }
.floor { fill: var(--paper); stroke: var(--floor); stroke-width: 2; }
.ours { fill: var(--ours); }
text.ours { font-weight: 600; }
text.peer, text.cookie, text.floor { fill: var(--ink); }
.value { stroke: var(--paper) !important; stroke-width: 4; paint-order: stroke; }
text.right { stroke: none; }
</style>
<rect width="${WIDTH}" height="${height}" rx="6" fill="var(--paper)"/>
<text x="16" y="30" class="heading">What sessions add to a request</text>
<text x="16" y="50" class="faint">Microseconds, median, compared with the same framework without sessions. Less is better. Logarithmic scale: each line is ten times the previous one.</text>
${panels.join("\n")}
<text x="16" y="${
    height - 30
  }" class="faint">Amber ring: a lower bound, written by hand (it does no lookup if the session is untouched). Grey ring: the session is in the cookie.</text>
<text x="16" y="${height - 13}" class="faint">${escape(`Deno ${deno}, ${cpu}, ${cores} cores, ${date}.`)}</text>
</svg>
`;
}

function panel(name: CaseName, left: number, top: number, hasLabels: boolean): string {
  const bottom = top + HEAD + rows.length * ROW;
  const parts = [
    `<text x="${left}" y="${top + 12}" class="case">${name}<tspan class="title">: ${
      escape(CASES[name].title)
    }</tspan></text>`,
  ];
  for (const tick of TICKS) {
    const x = left + xOf(tick);
    parts.push(`<line x1="${x}" y1="${top + HEAD - 4}" x2="${x}" y2="${bottom}" class="line"/>`);
    parts.push(`<text x="${x}" y="${bottom + 14}" class="faint middle">${tick.toLocaleString("en")}</text>`);
  }
  rows.forEach((row, i) => {
    const y = top + HEAD + i * ROW + ROW / 2;
    const { median } = row.cases[name];
    const x = left + xOf(median);
    const kind = kindOf(row);
    if (hasLabels) parts.push(`<text x="${left - 14}" y="${y + 4}" class="right ${kind}">${escape(row.title)}</text>`);
    parts.push(`<circle cx="${x}" cy="${y}" r="4.5" class="${kind}"/>`);
    parts.push(`<text x="${round(x + 10)}" y="${y + 4}" class="value ${kind}">${escape(label(median))}</text>`);
  });
  return parts.join("\n");
}

function kindOf({ name, isPeer, hasStore }: Row): string {
  if (isPeer) return hasStore ? "peer" : "cookie";
  return name === "ours" ? "ours" : "floor";
}

function xOf(microseconds: number): number {
  const share = Math.log(Math.max(SCALE_MIN, microseconds) / SCALE_MIN) / Math.log(SCALE_MAX / SCALE_MIN);
  return round(6 + share * (PANEL - 6 - NUMBER_WIDTH));
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function label(microseconds: number): string {
  if (microseconds < SCALE_MIN) return `< ${SCALE_MIN}`;
  if (microseconds < 9.95) return microseconds.toFixed(1);
  return Math.round(microseconds).toLocaleString("en");
}

function table(): string {
  const versions = (row: Row): string => {
    const version = row.isPeer ? row.packages[0]?.match(/@([\d.]+)$/)?.[1] : undefined;
    return version === undefined ? row.title : `${row.title} (${version})`;
  };
  const lines = [
    ["µs", ...CASE_NAMES.map((name) => CASES[name].title)],
    ["---", ...CASE_NAMES.map(() => "--:")],
    ...rows.map((row) => [
      row.name === "ours" ? `**${row.title}**` : versions(row),
      ...CASE_NAMES.map((name) => {
        const cell = label(row.cases[name].median).replace("<", "&lt;");
        return row.name === "ours" ? `**${cell}**` : cell;
      }),
    ]),
  ];
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
