/** The add-on in an application, installed as the README says. */
import { assert, assertEquals } from "./helpers/assert.ts";
import { withoutCoverage } from "./helpers/permissions.ts";

const root = new URL("..", import.meta.url);

/** Copies files and folders of this repository. */
async function copy(to: string, ...names: string[]): Promise<void> {
  for (const name of names) {
    const from = new URL(name, root);
    if ((await Deno.stat(from)).isDirectory) {
      await Deno.mkdir(`${to}/${name}`, { recursive: true });
      for await (const entry of Deno.readDir(from)) await copy(to, `${name}/${entry.name}`);
    } else {
      await Deno.copyFile(from, `${to}/${name}`);
    }
  }
}

/**
 * Makes a folder with a copy of the add-on, and a `deno.json` with these imports and those of std.
 *
 * The `deno.json` of this repository is not copied. If it were in the folder, Deno would resolve
 * the add-on's imports with it instead of the application's.
 */
async function install(imports: Record<string, string>): Promise<string> {
  const directory = await Deno.makeTempDir({ prefix: "application_" });
  await Deno.mkdir(`${directory}/session`);
  await copy(`${directory}/session`, "mod.ts", "deps.ts", "src");
  const own: { imports: Record<string, string> } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
  const std = Object.entries(own.imports).filter(([name]) => name.startsWith("jsr:"));
  const config = JSON.stringify({ imports: { ...imports, ...Object.fromEntries(std) } });
  await Deno.writeTextFile(`${directory}/deno.json`, config);
  return directory;
}

/** Returns the blocks of code of a section of a page, by language. */
function blocksOf(page: string, heading: string): { language: string; code: string }[] {
  const [, section = ""] = page.split(`\n## ${heading}\n`);
  const blocks = (section.split("\n## ")[0] ?? "").matchAll(/^```(\w+).*\n([\s\S]*?)^```$/gm);
  return Array.from(blocks, ([, language = "", code = ""]) => ({ language, code }));
}

/** Returns a port that nobody uses. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Returns the text of a page, and the cookie for the next request, when the server answers. */
async function visit(url: string, cookie?: string): Promise<{ text: string; cookie: string }> {
  for (let attempt = 0;; attempt++) {
    try {
      const response = await fetch(url, cookie === undefined ? {} : { headers: { cookie } });
      return { text: await response.text(), cookie: response.headers.getSetCookie()[0]?.split(";")[0] ?? "" };
    } catch (error) {
      if (attempt === 200) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

Deno.test('README.md, "Add it to your application", followed to the letter, counts visits', async () => {
  const readme = await Deno.readTextFile(new URL("README.md", root));
  const blocks = blocksOf(readme, "Add it to your application");
  assertEquals(blocks.map(({ language }) => language), ["json", "ts", "sh"]);
  const [config, main, commands] = blocks.map(({ code }) => code) as [string, string, string];
  // The tag on GitHub and the std modules are not where this test runs. The stand-in takes their
  // place.
  const imports: Record<string, string> = JSON.parse(config).imports;
  assertEquals(imports["alosaur/"], "https://raw.githubusercontent.com/alosaur/alosaur/v2.0.0/");
  const directory = await install({ ...imports, "alosaur/": new URL("tests/alosaur/", root).href });
  try {
    // Another process may use the port of the README.
    const port = freePort();
    await Deno.writeTextFile(`${directory}/main.ts`, main.replaceAll("8000", String(port)));
    const [secret = "", run = ""] = commands.trim().split("\n");
    assert(secret.startsWith("export SESSION_SECRET=$(deno eval ") && run.startsWith("deno run "), commands);
    const { env, clearEnv } = withoutCoverage();
    const script = `deno() { "${Deno.execPath()}" "$@"; }\n${secret}\nexec "${Deno.execPath()}" ${
      run.slice("deno ".length).replaceAll("8000", String(port)).replace("run ", "run --no-prompt --no-lock --check ")
    }`;
    await using _server = {
      process: new Deno.Command("bash", { args: ["-c", script], cwd: directory, clearEnv, env, stdout: "null" })
        .spawn(),
      async [Symbol.asyncDispose](): Promise<void> {
        this.process.kill();
        await this.process.status;
      },
    };
    const url = `http://localhost:${port}/counter`;
    const first = await visit(url);
    assertEquals(first.text, "Visit 1");
    assertEquals((await visit(url, first.cookie)).text, "Visit 2");
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("an application and its copy of the add-on use the same Alosaur", async () => {
  const directory = await install({
    "alosaur/": "./the application's/tests/alosaur/",
    "@alosaur/session": "./session/mod.ts",
  });
  try {
    await Deno.mkdir(`${directory}/the application's`);
    for (const name of ["tests", "tests/alosaur"]) await Deno.mkdir(`${directory}/the application's/${name}`);
    await copy(`${directory}/the application's`, "tests/alosaur");
    await Deno.writeTextFile(
      `${directory}/main.ts`,
      `import { App, Area, Controller, HttpContext } from "alosaur/mod.ts";
      import { Context, MemoryStore, SecurityContext, SessionMiddleware } from "@alosaur/session";
      @Controller() class Home {}
      @Area({ controllers: [Home] }) class Main {}
      const app = new App({ areas: [Main], providers: [{ token: Context, useClass: SecurityContext }], logging: false });
      app.use(/\\//, new SessionMiddleware(new MemoryStore(), { secret: SessionMiddleware.generateSecret() }));
      console.log(Context === HttpContext, new SecurityContext(new Request("http://localhost/")) instanceof HttpContext);`,
    );
    const { env, clearEnv } = withoutCoverage();
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--check", "--no-lock", "--quiet", "main.ts"],
      cwd: directory,
      clearEnv,
      env: { ...env, NO_COLOR: "1" },
    }).output();
    assertEquals(new TextDecoder().decode(stdout), "true true\n", new TextDecoder().decode(stderr));
    assert(code === 0);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
