/** The documentation quotes tests that exist. */
import { assert, assertEquals } from "./helpers/assert.ts";
import { filesIn, ROOT } from "./helpers/files.ts";

/**
 * Returns the lines of the tests that may hold a title: `Deno.test(…)`, `t.step(…)`, or a string on
 * a line of its own.
 */
async function titleLines(): Promise<string[]> {
  const lines: string[] = [];
  for await (const path of filesIn("tests/")) {
    if (path.endsWith("_test.ts")) lines.push(...(await Deno.readTextFile(new URL(path, ROOT))).split("\n"));
  }
  return lines.filter((line) => /Deno\.test\(|^\s*name: |^\s*[`"]/.test(line));
}

Deno.test("docs/SECURITY.md quotes existing tests, and every rule has a test or a recipe", async () => {
  const text = await Deno.readTextFile(new URL("docs/SECURITY.md", ROOT));
  const rows = text.split("\n").filter((line) => line.startsWith("|")).slice(2)
    .map((line) => line.split("|").map((cell) => cell.trim()));
  assert(rows.length >= 25, `${rows.length} rules`);
  const titles = await titleLines();
  const missing: string[] = [];
  for (const [, rule = "", implementation = "", tests = ""] of rows) {
    const quoted = Array.from(tests.matchAll(/`([^`]+)`/g), ([, name = ""]) => name);
    if (quoted.length === 0 && !implementation.startsWith("yours")) missing.push(`${rule}: a test or a recipe`);
    for (const name of quoted) {
      const parts = name.split("…");
      if (!titles.some((line) => parts.every((part) => line.includes(part)))) missing.push(`${rule}: the test ${name}`);
    }
    for (const [, anchor = ""] of implementation.matchAll(/\]\(#([^)]+)\)/g)) {
      const heading = new RegExp(`^### ${anchor.replaceAll("-", "[- ]")}$`, "im");
      if (!heading.test(text)) missing.push(`${rule}: the recipe ${anchor}`);
    }
  }
  assertEquals(missing, []);
});
