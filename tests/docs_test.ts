/** The handbook: its links, its length, its index, and the tests that its tables name. */
import { assert, assertEquals } from "./helpers/assert.ts";
import { filesIn, ROOT } from "./helpers/files.ts";

/** The requirements of OWASP ASVS 5.0.0 that docs/security.md covers, with their levels. */
const ASVS: readonly string[] = [
  ...["3.3.1 1", "3.3.2 2", "3.3.3 2", "3.3.4 2", "3.3.5 3"],
  ...["7.1.1 2", "7.1.2 2", "7.1.3 2", "7.2.1 1", "7.2.2 1", "7.2.3 1", "7.2.4 1", "7.3.1 2", "7.3.2 2"],
  ...["7.4.1 1", "7.4.2 1", "7.4.3 2", "7.4.4 2", "7.4.5 2", "7.5.1 2", "7.5.2 2", "7.5.3 3", "7.6.1 2", "7.6.2 2"],
];

/** The pages with tables of requirements. */
const STANDARDS = ["docs/security.md", "docs/security-nist.md"];

/** The pages that are written by hand must stay below this number of lines. */
const MAX_PAGE_LINES = 200;
const MAX_README_LINES = 180;

async function read(path: string): Promise<string> {
  return await Deno.readTextFile(new URL(path, ROOT));
}

/** Returns the pages of the handbook. */
async function handbook(): Promise<string[]> {
  const paths = await Array.fromAsync(filesIn("docs/"));
  return paths.filter((path) => /^docs\/[^/]+\.md$/.test(path)).sort();
}

/** Returns every Markdown file that a reader may open. */
async function markdownFiles(): Promise<string[]> {
  const nested = [];
  for (const folder of ["docs/", "examples/"]) nested.push(...await Array.fromAsync(filesIn(folder)));
  const root = await Array.fromAsync(Deno.readDir(ROOT), ({ name }) => name);
  return [...root, ...nested].filter((path) => path.endsWith(".md")).sort();
}

/** Returns a page without its blocks of code. */
function prose(text: string): string {
  return text.replaceAll(/^( *)```[\s\S]*?^\1```$/gm, "");
}

/** Returns the cells of the rows of all tables, without the heads of the tables. */
function rowsOf(text: string): string[][] {
  const lines = text.split("\n");
  const isRule = (line = ""): boolean => /^\|( -+:? \|)+$/.test(line);
  return lines.filter((line, i) => line.startsWith("|") && !isRule(line) && !isRule(lines[i + 1]))
    .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
}

/** Returns the anchors of the headings, as GitHub builds them. */
function anchorsOf(text: string): Set<string> {
  const headings = Array.from(prose(text).matchAll(/^#{1,4} (.+)$/gm), ([, heading = ""]) => heading);
  return new Set(
    headings.map((heading) => heading.toLowerCase().replaceAll(/[^\p{L}\p{N}\s_-]/gu, "").replaceAll(" ", "-")),
  );
}

/** Returns the links of a page that lead into the repository. */
function linksOf(text: string): string[] {
  const targets = Array.from(prose(text).matchAll(/\]\(([^()\s]+)\)/g), ([, target = ""]) => target);
  return targets.filter((target) => !/^[a-z]+:/.test(target));
}

Deno.test("each link of a Markdown file within the repository leads to a file and a heading", async () => {
  const broken: string[] = [];
  for (const path of await markdownFiles()) {
    const page = new URL(path, ROOT);
    for (const target of linksOf(await read(path))) {
      const url = new URL(target, page);
      const anchor = decodeURIComponent(url.hash.slice(1));
      url.hash = "";
      const exists = await Deno.stat(url).then(() => true, () => false);
      const isFound = exists && (anchor === "" || anchorsOf(await Deno.readTextFile(url)).has(anchor));
      if (!isFound) broken.push(`${path}: ${target}`);
    }
  }
  assertEquals(broken, []);
});

Deno.test("the index of the handbook names every page once, and the README names every page", async () => {
  const pages = (await handbook()).filter((path) => path !== "docs/README.md");
  assert(pages.length >= 20, `${pages.length} pages`);
  const index = linksOf(await read("docs/README.md")).map((target) => `docs/${target}`);
  assertEquals(pages.filter((path) => index.filter((link) => link === path).length !== 1), []);
  const readme = linksOf(await read("README.md"));
  assertEquals(pages.filter((path) => !readme.includes(path)), []);
});

Deno.test("each page of the handbook has one task: below 200 lines, and one heading of the first level", async () => {
  const wrong: string[] = [];
  for (const path of await handbook()) {
    if (path === "docs/api.md") continue;
    const text = await read(path);
    const lines = text.split("\n").length - 1;
    if (lines >= MAX_PAGE_LINES) wrong.push(`${path} has ${lines} lines`);
    if (prose(text).match(/^# .+/gm)?.length !== 1) wrong.push(`${path} has not exactly one title`);
  }
  const lines = (await read("README.md")).split("\n").length - 1;
  if (lines >= MAX_README_LINES) wrong.push(`README.md has ${lines} lines`);
  assertEquals(wrong, []);
});

Deno.test("docs/configuration.md has a heading for each option of SessionMiddleware", async () => {
  const [, options = ""] = /^export interface SessionOptions \{$([\s\S]*?)^\}$/m.exec(await read("src/options.ts")) ??
    [];
  const names = Array.from(options.matchAll(/^ {2}(\w+)\??:/gm), ([, name = ""]) => name);
  assert(names.length >= 24, `${names.length} options`);
  const anchors = anchorsOf(await read("docs/configuration.md"));
  assertEquals(names.filter((name) => !anchors.has(name.toLowerCase())), []);
});

Deno.test("docs/observability.md names every event and every reason", async () => {
  const events = await read("src/events.ts");
  const page = await read("docs/observability.md");
  const names = new Set(
    Array.from(events.matchAll(/^ {2}(?:type|reason):((?:[\s|]*"\w+")+);$/gm), ([, list = ""]) => list)
      .flatMap((list) => Array.from(list.matchAll(/"(\w+)"/g), ([, name = ""]) => name)),
  );
  assert(names.size >= 29, `${names.size} names`);
  assertEquals([...names].filter((name) => !page.includes(`\`${name}\``)), []);
});

Deno.test("docs/api.md is what `deno task docs:api` writes", async () => {
  const { apiPage } = await import("../site/api.ts");
  assert(await read("docs/api.md") === await apiPage(), "run `deno task docs:api`");
});

Deno.test("each row about a requirement names an existing test, or says that the application must do it", async () => {
  const tests = new Set<string>();
  for await (const path of filesIn("tests/")) tests.add(path.slice(path.lastIndexOf("/") + 1));
  const rows = (await Promise.all(STANDARDS.map(read))).flatMap(rowsOf);
  assert(rows.length >= 90, `${rows.length} rows`);
  const wrong: string[] = [];
  for (const cells of rows) {
    const [here = "", named = ""] = cells.slice(-2);
    const files = Array.from(named.matchAll(/`([^`]+)`/g), ([, name = ""]) => name);
    if (files.length === 0 && !here.startsWith("yours")) wrong.push(`${cells.join(" | ")}: a test, or "yours"`);
    for (const file of files.filter((file) => !tests.has(file))) wrong.push(`${cells.join(" | ")}: the test ${file}`);
  }
  assertEquals(wrong, []);
});

Deno.test("docs/security.md has a row for each requirement of ASVS 5.0 V3.3 and V7, with its level", async () => {
  const rows = rowsOf(await read("docs/security.md"));
  const numbers = rows.filter(([, level = ""]) => /^[123]$/.test(level)).map(([number, level]) => `${number} ${level}`);
  assertEquals(numbers, [...ASVS]);
});
