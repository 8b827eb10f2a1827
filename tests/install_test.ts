/** The add-on in an application, installed as the README says. */
import { assert, assertEquals } from "./helpers/assert.ts";

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

Deno.test("an application and its copy of the add-on use the same Alosaur", async () => {
  const directory = await Deno.makeTempDir({ prefix: "application_" });
  try {
    // Without `deno.json`. If it were in the folder, Deno would resolve the add-on's imports with
    // it instead of the application's.
    await Deno.mkdir(`${directory}/session`);
    await copy(`${directory}/session`, "mod.ts", "deps.ts", "src");
    await Deno.mkdir(`${directory}/the application's`);
    for (const name of ["tests", "tests/alosaur"]) await Deno.mkdir(`${directory}/the application's/${name}`);
    await copy(`${directory}/the application's`, "tests/alosaur");
    const own: { imports: Record<string, string> } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
    const std = Object.entries(own.imports).filter(([name]) => name.startsWith("jsr:"));
    await Deno.writeTextFile(
      `${directory}/deno.json`,
      JSON.stringify({
        imports: {
          "alosaur/": "./the application's/tests/alosaur/",
          "@alosaur/session": "./session/mod.ts",
          ...Object.fromEntries(std),
        },
      }),
    );
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
    // The coverage of the child process does not belong to this run.
    const { DENO_COVERAGE_DIR: _, ...env } = Deno.env.toObject();
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--check", "--no-lock", "--quiet", "main.ts"],
      cwd: directory,
      clearEnv: true,
      env: { ...env, NO_COLOR: "1" },
    }).output();
    assertEquals(new TextDecoder().decode(stdout), "true true\n", new TextDecoder().decode(stderr));
    assert(code === 0);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
