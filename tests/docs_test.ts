/** The documentation quotes tests that exist. */
import { assert, assertEquals } from "./helpers/assert.ts";

const root = new URL("..", import.meta.url);

/** Every file of a folder and of the folders in it. */
async function* filesIn(folder: URL): AsyncGenerator<URL> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) yield* filesIn(new URL(`${name}/`, folder));
    else yield new URL(name, folder);
  }
}

/** The lines of the tests that begin one: `Deno.test(…)`, `t.step(…)`, or the name on a line of its own below. */
async function testSources(): Promise<string[]> {
  const lines: string[] = [];
  for await (const file of filesIn(new URL("tests/", root))) {
    if (file.pathname.endsWith("_test.ts")) lines.push(...(await Deno.readTextFile(file)).split("\n"));
  }
  return lines.filter((line) => /Deno\.test\(|^\s*name: |^\s*[`"]/.test(line));
}

Deno.test("docs/SECURITY.md quotes existing tests, and every rule has a test or a recipe", async () => {
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
