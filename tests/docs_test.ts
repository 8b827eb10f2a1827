/** The documentation names tests, recipes and requirements that exist. */
import { assert, assertEquals } from "./helpers/assert.ts";
import { filesIn, ROOT } from "./helpers/files.ts";

/** The requirements of OWASP ASVS 5.0.0 that docs/SECURITY.md covers, with their levels. */
const ASVS: readonly string[] = [
  ...["3.3.1 1", "3.3.2 2", "3.3.3 2", "3.3.4 2", "3.3.5 3"],
  ...["7.1.1 2", "7.1.2 2", "7.1.3 2", "7.2.1 1", "7.2.2 1", "7.2.3 1", "7.2.4 1", "7.3.1 2", "7.3.2 2"],
  ...["7.4.1 1", "7.4.2 1", "7.4.3 2", "7.4.4 2", "7.4.5 2", "7.5.1 2", "7.5.2 2", "7.5.3 3", "7.6.1 2", "7.6.2 2"],
];

/** Returns the cells of the rows of all tables, without the heads of the tables. */
function rowsOf(text: string): string[][] {
  const lines = text.split("\n");
  const isRule = (line = ""): boolean => /^\|( -+:? \|)+$/.test(line);
  return lines.filter((line, i) => line.startsWith("|") && !isRule(line) && !isRule(lines[i + 1]))
    .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
}

/** Returns the anchors of the headings, as GitHub builds them. */
function anchorsOf(text: string): string[] {
  const headings = Array.from(text.matchAll(/^#{1,4} (.+)$/gm), ([, heading = ""]) => heading);
  return headings.map((heading) => heading.toLowerCase().replaceAll(/[^\p{L}\p{N}\s-]/gu, "").replaceAll(" ", "-"));
}

const SECURITY = new URL("docs/SECURITY.md", ROOT);

Deno.test("each row of docs/SECURITY.md names an existing test, or says that the application must do it", async () => {
  const tests = new Set<string>();
  for await (const path of filesIn("tests/")) tests.add(path.slice(path.lastIndexOf("/") + 1));
  const rows = rowsOf(await Deno.readTextFile(SECURITY));
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

Deno.test("docs/SECURITY.md has a row for each requirement of ASVS 5.0 V3.3 and V7, with its level", async () => {
  const rows = rowsOf(await Deno.readTextFile(SECURITY));
  const numbers = rows.filter(([, level = ""]) => /^[123]$/.test(level)).map(([number, level]) => `${number} ${level}`);
  assertEquals(numbers, [...ASVS]);
});

Deno.test("each link of docs/SECURITY.md within the repository leads to a file and a heading", async () => {
  const text = await Deno.readTextFile(SECURITY);
  const broken: string[] = [];
  for (const [, target = ""] of text.matchAll(/\]\((?!https:)([^)]+)\)/g)) {
    const url = new URL(target, SECURITY);
    const anchor = url.hash.slice(1);
    url.hash = "";
    const isFile = await Deno.stat(url).then(({ isFile }) => isFile, () => undefined);
    if (isFile === undefined) broken.push(target);
    else if (anchor !== "" && !anchorsOf(await Deno.readTextFile(url)).includes(anchor)) broken.push(target);
  }
  assertEquals(broken, []);
});
