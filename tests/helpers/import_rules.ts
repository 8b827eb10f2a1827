/**
 * The rules about imports and file lengths that `tests/imports_test.ts` checks.
 *
 * @module
 */

/** The text of each file, by its path from the root of the repository. */
export type SourceFiles = ReadonlyMap<string, string>;

/**
 * The layers from the ground up, each with the paths that belong to it. A path that ends in `/` is
 * a folder.
 */
export const LAYERS: readonly (readonly [name: string, paths: readonly string[]])[] = [
  [
    "contract",
    [
      "src/session_store.ts",
      "src/session_record.ts",
      "src/admin_store.ts",
      "src/watched_store.ts",
      "src/errors.ts",
      "deps.ts",
    ],
  ],
  ["util", ["src/util/"]],
  ["persistence", ["src/persistence/"]],
  [
    "options",
    ["src/options.ts", "src/resolve_options.ts", "src/secrets.ts", "src/events.ts", "src/session_types.ts"],
  ],
  ["cookie", ["src/cookie/"]],
  ["core", ["src/core/"]],
  ["session", ["src/session.ts", "src/user_sessions.ts"]],
  ["middleware", [
    "src/missing_session.ts",
    "src/security_context.ts",
    "src/session_middleware.ts",
    "src/csrf_middleware.ts",
    "src/device_bound_middleware.ts",
    "src/dbsc/",
  ]],
  ["testing", ["src/conformance/", "src/testing_session_cookie.ts"]],
  ["entry points", ["src/testing.ts", "mod.ts"]],
];

/**
 * The stores stand beside the layers: they import these files and their own folder, and only
 * `mod.ts` imports them.
 */
const STORES = "src/stores/";
const STORES_MAY_IMPORT: readonly string[] = [
  "src/session_store.ts",
  "src/session_record.ts",
  "src/admin_store.ts",
  "src/watched_store.ts",
  "src/errors.ts",
  "src/util/",
];
const MAY_IMPORT_STORES = "mod.ts";

/**
 * A file with more lines than this holds more than one idea. A store and `Session` are one class
 * each, most of it documentation, so they may be longer.
 */
export const MAX_LINES = 400;

const IMPORTS: readonly RegExp[] = [
  // import … from "…", export … from "…"
  /^(?:import|export)\s+(?:type\s+)?(?:\*(?:\s+as\s+\w+)?|(?:\w+\s*,\s*)?\{[^}]*\}|\w+(?:\s*,\s*\*\s+as\s+\w+)?)\s+from\s+"([^"]+)"/gm,
  // import "…"
  /^import\s+"([^"]+)"/gm,
  // await import("…"), and the type import("…").Name
  /\bimport\(\s*"([^"]+)"/g,
];

/**
 * Returns the files of the repository that a file imports, type imports included. Other modules are
 * left out.
 */
export function importsOf(path: string, text: string): string[] {
  const code = text.replace(/^\s*(?:\/\*\*|\*|\/\/).*$/gm, "");
  const specifiers = IMPORTS.flatMap((pattern) =>
    Array.from(code.matchAll(pattern), ([, specifier = ""]) => specifier)
  );
  const base = new URL(path, "file:///");
  return specifiers.filter((specifier) => /^\.\.?\//.test(specifier)).map((specifier) =>
    new URL(specifier, base).pathname.slice(1)
  );
}

/**
 * Returns one line for each violation: a file of no layer, a forbidden import, a cycle, a file that
 * is too long.
 */
export function violations(files: SourceFiles): string[] {
  const found: string[] = [];
  const allowed = new Map<string, string[]>();
  for (const [path, text] of files) {
    if (layerOf(path) === undefined && !path.startsWith(STORES)) found.push(`${path} belongs to no layer`);
    const imports = importsOf(path, text);
    for (const to of imports.filter((to) => isForbidden(path, to))) found.push(`${named(path)} imports ${named(to)}`);
    allowed.set(path, imports.filter((to) => !isForbidden(path, to)));
    if (isTooLong(path, text)) found.push(`${path} has more than ${MAX_LINES} lines`);
  }
  // A cycle through several layers has an import that goes up, which is reported by now. The others
  // stay in one layer.
  for (const cycle of cyclesOf(allowed)) found.push(`a cycle: ${cycle.map(named).join(" -> ")}`);
  return found;
}

function isTooLong(path: string, text: string): boolean {
  const lines = text.split("\n").length - 1;
  return lines > MAX_LINES && path.startsWith("src/") && !/^src\/(session|stores\/[a-z]\w*_store)\.ts$/.test(path);
}

function matches(path: string, rule: string): boolean {
  return rule.endsWith("/") ? path.startsWith(rule) : path === rule;
}

function layerOf(path: string): number | undefined {
  const index = LAYERS.findIndex(([, paths]) => paths.some((rule) => matches(path, rule)));
  return index === -1 ? undefined : index;
}

function isForbidden(from: string, to: string): boolean {
  if (to.startsWith(STORES)) return !from.startsWith(STORES) && from !== MAY_IMPORT_STORES;
  if (from.startsWith(STORES)) return !STORES_MAY_IMPORT.some((rule) => matches(to, rule));
  const [lower, upper] = [layerOf(from), layerOf(to)];
  // A file of no layer is reported as such.
  return lower !== undefined && upper !== undefined && upper > lower;
}

/** A path with its layer, for messages. */
function named(path: string): string {
  const layer = layerOf(path);
  if (layer !== undefined) return `${path} (layer ${layer}, ${LAYERS[layer]?.[0]})`;
  return path.startsWith(STORES) ? `${path} (stores)` : `${path} (no layer)`;
}

/**
 * Returns the cycles of a graph: the shortest one through each node, each cycle once, beginning and
 * ending at its first node by name.
 */
function cyclesOf(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const cycles = new Map<string, string[]>();
  for (const start of graph.keys()) {
    const cycle = shortestCycle(graph, start);
    if (cycle === undefined) continue;
    const first = cycle.indexOf(cycle.toSorted()[0] ?? start);
    const nodes = [...cycle.slice(first), ...cycle.slice(0, first)];
    cycles.set(nodes.join(), [...nodes, ...nodes.slice(0, 1)]);
  }
  return [...cycles.values()];
}

/**
 * Searches breadth first for the way from a node back to itself; returns the nodes on it, each
 * once.
 */
function shortestCycle(graph: ReadonlyMap<string, readonly string[]>, start: string): string[] | undefined {
  const seen = new Set<string>();
  const queue: string[][] = [[start]];
  for (const path of queue) {
    for (const next of graph.get(path.at(-1) ?? "") ?? []) {
      if (next === start) return path;
      if (seen.has(next)) continue;
      seen.add(next);
      queue.push([...path, next]);
    }
  }
  return undefined;
}
