import { assertEquals } from "../helpers/assert.ts";
import { jsonFileStore } from "../../examples/custom_store/json_file_store.ts";
import { testSessionStore } from "../../src/testing.ts";

const directory = Deno.makeTempDirSync();
addEventListener("unload", () => Deno.removeSync(directory, { recursive: true }));

testSessionStore("jsonFileStore()", () => jsonFileStore(directory), {
  // The store serializes writes within one instance only.
  shared: false,
  neighbour: () => jsonFileStore(`${directory}/another`),
  // A directory inside a file: every file operation fails.
  broken: () => jsonFileStore(`${import.meta.filename}/sessions`),
});

Deno.test("jsonFileStore() finds the sessions of an earlier process", async () => {
  const earlier = jsonFileStore(`${directory}/restart`);
  await earlier.init();
  await earlier.create("a");
  await earlier.setValue("a", "key", "value");
  const store = jsonFileStore(`${directory}/restart`);
  await store.init();
  assertEquals(await store.getValue("a", "key"), "value");
});

Deno.test("jsonFileStore().clear() keeps files that are not its own", async () => {
  const store = jsonFileStore(`${directory}/shared`);
  await store.init();
  await store.create("a");
  await Deno.writeTextFile(`${directory}/shared/notes.json`, "{}");
  await store.clear();
  assertEquals(Array.from(Deno.readDirSync(`${directory}/shared`), ({ name }) => name), ["notes.json"]);
});
