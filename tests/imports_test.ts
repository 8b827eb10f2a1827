/**
 * Imports go one way, from the middlewares down to the contract, and no file is too long to read.
 */
import { assertEquals } from "./helpers/assert.ts";
import { importsOf, LAYERS, MAX_LINES, violations } from "./helpers/import_rules.ts";
import { filesIn, ROOT } from "./helpers/files.ts";

Deno.test("the imports of src/ go down the layers, without a cycle, and its files are short", async () => {
  const files = new Map<string, string>();
  for (const name of ["mod.ts", "deps.ts"]) files.set(name, await Deno.readTextFile(new URL(name, ROOT)));
  for await (const path of filesIn("src/")) files.set(path, await Deno.readTextFile(new URL(path, ROOT)));
  assertEquals(violations(files), []);
});

Deno.test("no two test files have the same name", async () => {
  const names: string[] = [];
  for await (const path of filesIn("tests/")) {
    if (path.endsWith("_test.ts")) names.push(path.slice(path.lastIndexOf("/") + 1));
  }
  assertEquals(names.filter((name, i) => names.indexOf(name) !== i), []);
});

Deno.test("importsOf() finds every import of src/, and every layer has files", async () => {
  const found: string[] = [];
  for await (const path of filesIn("src/")) {
    found.push(path);
    const text = await Deno.readTextFile(new URL(path, ROOT));
    // A second, simpler way to count the imports. Those of a JSDoc example do not begin their line.
    const lines = text.split("\n").filter((line) => /^(import|export|\}).* from "\.|^import "\./.test(line));
    assertEquals(importsOf(path, text).length, lines.length, path);
  }
  for (const [layer, paths] of LAYERS) {
    for (const rule of paths.filter((rule) => rule.startsWith("src/"))) {
      assertEquals(found.some((path) => path.startsWith(rule)), true, `${layer}: there is no ${rule}`);
    }
  }
});

Deno.test("importsOf() reads every form of import, and none out of a comment", () => {
  const text = `
/**
 * import { a } from "./comment.ts";
 */
// import "./comment.ts";
import a from "./default.ts";
import b, { c } from "./default_and_named.ts";
import * as d from "../namespace.ts";
import type { E } from "./type.ts";
import {
  f,
  type G,
} from "./lines.ts";
import "./effect.ts";
export * from "./star.ts";
export * as h from "./named_star.ts";
export { i } from "./named.ts";
export type { J } from "./exported_type.ts";
import { assert } from "jsr:@std/assert";
export const k: import("./in_type.ts").K = await import("./dynamic.ts");
`;
  assertEquals(importsOf("src/core/x.ts", text), [
    "src/core/default.ts",
    "src/core/default_and_named.ts",
    "src/namespace.ts",
    "src/core/type.ts",
    "src/core/lines.ts",
    "src/core/star.ts",
    "src/core/named_star.ts",
    "src/core/named.ts",
    "src/core/exported_type.ts",
    "src/core/effect.ts",
    "src/core/in_type.ts",
    "src/core/dynamic.ts",
  ]);
});

Deno.test("violations() finds what breaks a rule, and names the files and their layers", async (t) => {
  const long = "\n".repeat(MAX_LINES + 1);
  const cases: [string, Record<string, string>, string[]][] = [
    ["nothing in a good tree", {
      "mod.ts": `export { a } from "./src/session.ts";\nexport { b } from "./src/stores/a_store.ts";`,
      "src/session.ts": `import { a } from "./core/a.ts";\nimport type { b } from "./errors.ts";`,
      "src/core/a.ts": `import { b } from "./b.ts";`,
      "src/core/b.ts": `import "../util/a.ts";`,
      "src/util/a.ts": "\n".repeat(MAX_LINES),
      "src/errors.ts": "",
      "src/stores/a_store.ts": `import "../errors.ts";\nimport "../util/a.ts";\nimport "./_part.ts";${long}`,
      "src/stores/_part.ts": "",
    }, []],
    ["an arrow that goes up", {
      "src/core/a.ts": `import type { Session } from "../session.ts";`,
      "src/session.ts": "",
    }, ["src/core/a.ts (layer 5, core) imports src/session.ts (layer 6, session)"]],
    ["a cycle through two layers, by its arrow that goes up", {
      "src/session.ts": `import { a } from "./core/a.ts";`,
      "src/core/a.ts": `import type { Session } from "../session.ts";`,
    }, ["src/core/a.ts (layer 5, core) imports src/session.ts (layer 6, session)"]],
    ["a cycle within a layer", {
      "src/core/c.ts": `import { a } from "./a.ts";`,
      "src/core/a.ts": `import { b } from "./b.ts";`,
      "src/core/b.ts": `import type { c } from "./c.ts";`,
    }, [
      "a cycle: src/core/a.ts (layer 5, core) -> src/core/b.ts (layer 5, core) -> src/core/c.ts (layer 5, core) -> " +
      "src/core/a.ts (layer 5, core)",
    ]],
    ["two cycles through one file", {
      "src/util/a.ts": `import "./b.ts";\nimport "./c.ts";`,
      "src/util/b.ts": `import "./a.ts";`,
      "src/util/c.ts": `import "./a.ts";`,
    }, [
      "a cycle: src/util/a.ts (layer 1, util) -> src/util/b.ts (layer 1, util) -> src/util/a.ts (layer 1, util)",
      "a cycle: src/util/a.ts (layer 1, util) -> src/util/c.ts (layer 1, util) -> src/util/a.ts (layer 1, util)",
    ]],
    ["a file that imports itself", { "src/util/a.ts": `import "./a.ts";` }, [
      "a cycle: src/util/a.ts (layer 1, util) -> src/util/a.ts (layer 1, util)",
    ]],
    ["a store that knows the options", { "src/stores/a_store.ts": `import "../options.ts";`, "src/options.ts": "" }, [
      "src/stores/a_store.ts (stores) imports src/options.ts (layer 3, options)",
    ]],
    ["a layer that knows a store", {
      "src/conformance/a.ts": `import "../stores/a_store.ts";`,
      "src/stores/a_store.ts": "",
    }, ["src/conformance/a.ts (layer 8, testing) imports src/stores/a_store.ts (stores)"]],
    ["a file of no layer", { "src/misc.ts": "" }, ["src/misc.ts belongs to no layer"]],
    ["a long file", { "src/core/a.ts": long, "src/stores/_part.ts": long }, [
      `src/core/a.ts has more than ${MAX_LINES} lines`,
      `src/stores/_part.ts has more than ${MAX_LINES} lines`,
    ]],
  ];
  for (const [name, files, found] of cases) {
    await t.step(name, () => assertEquals(violations(new Map(Object.entries(files))), found));
  }
});
