/** Stores and examples start with the permissions that docs/stores.md lists, and need all of them. */
import { assertEquals } from "./helpers/assert.ts";
import { type ExampleName, EXAMPLES, startExample } from "./helpers/example.ts";
import { ROOT } from "./helpers/files.ts";
import { assertLeastPermissions, listedPermissions, narrower, type Result, useStore } from "./helpers/permissions.ts";
import { trustingClient } from "./helpers/tls.ts";

const listed = await listedPermissions();

/** The stores that need no server: the import, and the expression that creates the store. */
const STORES: [name: string, imports: string, store: string][] = [
  ["MemoryStore", "", "new MemoryStore()"],
  ["SqliteStore", `import { SqliteStore } from "@alosaur/session/sqlite";`, `new SqliteStore("sessions.db")`],
  [
    "DenoKvStore",
    `import { DenoKvStore } from "@alosaur/session/kv";`,
    `new DenoKvStore(await Deno.openKv("sessions.kv"))`,
  ],
  [
    "UnstorageStore",
    `import { createStorage } from "npm:unstorage@1.17.6";
    import { UnstorageStore } from "@alosaur/session/unstorage";`,
    "new UnstorageStore(createStorage())",
  ],
  [
    "EncryptedStore",
    `import { EncryptedStore } from "@alosaur/session/encrypted";`,
    "new EncryptedStore(new MemoryStore(), SessionMiddleware.generateSecret())",
  ],
];

for (const [name, imports, store] of STORES) {
  Deno.test(`${name} needs the permissions of docs/stores.md and no others`, async () => {
    await assertLeastPermissions(listed.get(name) ?? [], (flags) => useStore(flags, imports, store));
  });
}

for (const name of EXAMPLES) {
  Deno.test(`examples/${name} needs the permissions of docs/stores.md and no others`, async () => {
    await assertLeastPermissions(listed.get(`examples/${name}`) ?? [], (flags) => useExample(name, flags));
  });
}

/** Starts an example with some permissions, makes two requests, and stops it. */
async function useExample(name: ExampleName, flags: readonly string[]): Promise<Result> {
  const directory = await Deno.makeTempDir({ prefix: "permissions_" });
  try {
    const port = freePort();
    const adapted = flags.map((flag) =>
      flag.replace(":8000", `:${port}`).replace(`examples/${name}/sessions`, directory)
    );
    const env = { PORT: String(port), ...(adapted.join().includes(directory) ? { SESSION_DIR: directory } : {}) };
    const example = await startExample(name, env, adapted);
    using client = example.url.startsWith("https:") ? await trustingClient(example.url) : undefined;
    // Two requests of one visitor. Only one of the examples has this path, and keeps the note.
    const first = await fetch(`${example.url}add`, {
      client,
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: "note=milk",
      redirect: "manual",
    });
    await first.body?.cancel();
    const [cookie = ""] = first.headers.getSetCookie()[0]?.split(";") ?? [];
    const second = await fetch(example.url, { client, headers: { cookie } });
    await second.body?.cancel();
    const { code, errors } = await example.stop();
    return { success: first.status < 500 && second.status === 200 && code === 0, errors };
  } catch (error) {
    return { success: false, errors: String(error) };
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "0.0.0.0", port: 0 });
  return listener.addr.port;
}

Deno.test("docs/stores.md lists the permissions of each example, as its README does", async () => {
  const names: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(new URL("examples/", ROOT))) {
    if (!isDirectory) continue;
    names.push(`examples/${name}`);
    const readme = (await Deno.readTextFile(new URL(`examples/${name}/README.md`, ROOT))).replaceAll(/ \\\n */g, " ");
    const [, flags] = new RegExp(`^deno run (.*) examples/${name}/main\\.ts$`, "m").exec(readme) ?? [];
    assertEquals(flags, listed.get(`examples/${name}`)?.join(" "), name);
  }
  assertEquals([...listed.keys()].filter((name) => name.startsWith("examples/")).toSorted(), names.toSorted());
  assertEquals(EXAMPLES.map((name) => `examples/${name}`).toSorted(), names.toSorted());
});

Deno.test("narrower() leaves out each flag and each item of a flag", () => {
  assertEquals(narrower([]), []);
  assertEquals(narrower(["--a=1", "--b=2,3"]), [["--b=2,3"], ["--a=1"], ["--a=1", "--b=3"], ["--a=1", "--b=2"]]);
});
