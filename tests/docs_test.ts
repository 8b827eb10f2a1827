/** What the documentation says of the tests is so. */
import { assert, assertEquals } from "./_assert.ts";

const root = new URL("..", import.meta.url);

/** The lines of the tests that begin one: `Deno.test(…)`, `t.step(…)`, or the name on a line of its own below. */
async function testSources(): Promise<string[]> {
  const lines: string[] = [];
  for (const folder of ["tests/", "tests/stores/", "tests/servers/"]) {
    for await (const { name, isFile } of Deno.readDir(new URL(folder, root))) {
      if (!isFile || !name.endsWith("_test.ts")) continue;
      lines.push(...(await Deno.readTextFile(new URL(folder + name, root))).split("\n"));
    }
  }
  return lines.filter((line) => /Deno\.test\(|^\s*name: |^\s*[`"]/.test(line));
}

Deno.test("docs/SECURITY.md names tests that exist, and every rule has one or a recipe", async () => {
  const text = await Deno.readTextFile(new URL("docs/SECURITY.md", root));
  const rows = text.split("\n").filter((line) => line.startsWith("|")).slice(2)
    .map((line) => line.split("|").map((cell) => cell.trim()));
  assert(rows.length >= 25, `${rows.length} rules`);
  const sources = await testSources();
  for (const [, rule = "", deed = "", tests = ""] of rows) {
    const names = Array.from(tests.matchAll(/`([^`]+)`/g), ([, name = ""]) => name);
    if (names.length === 0) assert(deed.startsWith("yours"), `${rule}: neither a test nor the application's`);
    for (const name of names) {
      const parts = name.split("…");
      const found = sources.some((line) => parts.every((part) => line.includes(part)));
      assert(found, `${rule}: there is no test ${name}`);
    }
    for (const [, anchor = ""] of deed.matchAll(/\]\(#([^)]+)\)/g)) {
      const heading = new RegExp(`^### ${anchor.replaceAll("-", "[- ]")}$`, "im");
      assertEquals(heading.test(text), true, `${rule}: there is no recipe ${anchor}`);
    }
  }
});
