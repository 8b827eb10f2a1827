/**
 * The permissions that docs/stores.md lists, and child processes that have no others.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "./assert.ts";
import { ROOT } from "./files.ts";

/** Returns the flags of each row of the table of permissions, by its first cell. */
export async function listedPermissions(): Promise<Map<string, string[]>> {
  const text = await Deno.readTextFile(new URL("docs/stores.md", ROOT));
  const [, section = ""] = /^## Permissions\n(.*?)^## /ms.exec(text) ?? [];
  const rows = section.matchAll(/^\| `([^`]+)` +\| (?:`([^`]+)`|none) +\|$/gm);
  return new Map(Array.from(rows, ([, name = "", flags]) => [name, flags?.split(" ") ?? []]));
}

/** The result of a child process. */
export type Result = Pick<Deno.CommandOutput, "success"> & { errors: string };

/**
 * Checks that a program works with some permissions, and fails if it lacks any of them.
 *
 * @param flags the permissions, such as `["--allow-env=PORT,HOME"]`
 * @param run runs the program with some of the permissions
 */
export async function assertLeastPermissions(
  flags: readonly string[],
  run: (flags: readonly string[]) => Promise<Result>,
): Promise<void> {
  const { success, errors } = await run(flags);
  assert(success, `with ${flags.join(" ")}: ${errors}`);
  for (const fewer of narrower(flags)) {
    const { success, errors } = await run(fewer);
    assertEquals(success, false, `it needs less than ${flags.join(" ")}: it works with ${fewer.join(" ") || "none"}`);
    assertMatch(errors, /--allow-|--unstable-kv|EPERM/);
  }
}

/** Returns the permissions without one of the flags, or without one item of a flag's list. */
export function narrower(flags: readonly string[]): string[][] {
  return flags.flatMap((flag, at) => {
    const [name = "", list = ""] = flag.split("=");
    const items = list.split(",");
    const rest = items.length > 1 ? items.map((item) => [`${name}=${items.filter((other) => other !== item)}`]) : [];
    return [[], ...rest].map((replacement) => flags.toSpliced(at, 1, ...replacement));
  });
}

/** Keeps sessions with `store`, as an application does: it opens it, writes, reads and closes it. */
const USE = `
  await using _ = store;
  await store.init();
  const middleware = new SessionMiddleware(store, { secret: "a secret of the permission tests" });
  const visit = async (cookie, action) => {
    const context = new SecurityContext(new Request("http://localhost/", { headers: { cookie } }));
    await middleware.onPreRequest(context);
    await action(context.security.session);
    await middleware.onPostRequest(context);
    return context.response.headers.getSetCookie()[0];
  };
  const [cookie] = (await visit("", (session) => session.set("user", "ada"))).split(";");
  await visit(cookie, async (session) => {
    if (await session.get("user") !== "ada") throw new Error("The value is lost");
  });
  await middleware.health();
  await store.clear();`;

/**
 * Keeps sessions in a store, in a child process with some permissions.
 *
 * @param flags the permissions. Paths are relative to the folder.
 * @param imports the imports of the store's module
 * @param store the expression that creates the store
 * @param folder the working directory; by default an empty one
 */
export async function useStore(
  flags: readonly string[],
  imports: string,
  store: string,
  folder = Deno.makeTempDirSync({ prefix: "permissions_" }),
): Promise<Result> {
  try {
    // A configuration without `unstable`, so that the flags decide.
    const { imports: map }: { imports: Record<string, string> } = JSON.parse(
      await Deno.readTextFile(new URL("deno.json", ROOT)),
    );
    const absolute = Object.entries(map).map(([name, to]) => [name, to.startsWith("./") ? new URL(to, ROOT).href : to]);
    const config = `${folder}/deno.json`;
    await Deno.writeTextFile(config, JSON.stringify({ imports: Object.fromEntries(absolute) }));
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-prompt", "--no-check", "--no-lock", "--config", config, ...flags, "-"],
      cwd: folder,
      ...withoutCoverage(),
      stdin: "piped",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const program = `import { MemoryStore, SecurityContext, SessionMiddleware } from "@alosaur/session";
      ${imports}
      const store = ${store};
      ${USE}`;
    await new Blob([program]).stream().pipeTo(child.stdin);
    const { success, stderr } = await child.output();
    return { success, errors: new TextDecoder().decode(stderr) };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The environment of a child process whose coverage does not belong to this run. */
export function withoutCoverage(): { clearEnv: true; env: Record<string, string> } {
  const { DENO_COVERAGE_DIR: _, ...env } = Deno.env.toObject();
  return { clearEnv: true, env };
}
