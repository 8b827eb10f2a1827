import { assert, assertEquals, assertThrows } from "./_assert.ts";
import { MemoryStore, type SessionStore } from "../mod.ts";
import { AREAS } from "../src/_conformance/areas.ts";
import { Bench } from "../src/_conformance/bench.ts";
import { type MakeStore, type SessionStoreTestOptions, testSessionStore } from "../src/testing.ts";
import { away, bare, DEFECTS, full } from "./_defects.ts";
import { RECORD_DEFECTS } from "./_record_defects.ts";

/** Runs the checks in whose area and name there is a text; returns what each of them found, by its area and name. */
async function run(
  create: MakeStore,
  options: SessionStoreTestOptions,
  text = "",
): Promise<Map<string, string | undefined>> {
  const bench = new Bench(create, { values: "all", traces: "deadline", maxValueBytes: 70_000, ...options }, 20);
  const found = new Map<string, string | undefined>();
  for (const { title, checks } of AREAS) {
    await using open = await bench.open();
    for (const check of checks(open)) {
      const name = `${title}: ${check.name}`;
      if (check.isNote || !name.includes(text)) continue;
      const error = await open.run(check).then(() => undefined, String);
      found.set(name, error);
    }
  }
  return found;
}

Deno.test("testSessionStore() finds nothing wrong with stores that are right", async (t) => {
  const stores: [string, MakeStore, SessionStoreTestOptions][] = [
    ["with the eight methods", bare(() => ({})), { broken: away }],
    ["with every capability", full(() => ({})), { broken: away }],
    ["in memory", () => new MemoryStore(), { shared: false }],
  ];
  for (const [name, create, options] of stores) {
    await t.step(name, async () => {
      const found = await run(create, { maxValueBytes: 512 * 1024, ...options });
      assertEquals([...found].filter(([, error]) => error !== undefined), []);
    });
  }
});

Deno.test("testSessionStore() finds stores out, each by the check that is for its defect", async (t) => {
  const failed = new Set<string>();
  for (const [name, create, text, options = {}] of [...DEFECTS, ...RECORD_DEFECTS]) {
    await t.step(`a store that ${name}`, async () => {
      const found = await run(create, options, text);
      const failing = [...found].filter(([, error]) => error !== undefined);
      assert(failing.length > 0, `none of these fails: ${[...found.keys()]}`);
      for (const [check] of failing) failed.add(check);
    });
  }
  await t.step("and there is no check that none of them fails", async () => {
    const all = new Set([
      ...(await run(bare(() => ({})), { broken: away, neighbour: away })).keys(),
      ...(await run(bare(() => ({})), { values: "json" })).keys(),
      ...(await run(full(() => ({})), {})).keys(),
    ]);
    assertEquals([...all.difference(failed)], []);
  });
});

Deno.test("testSessionStore() closes what it has made, and gives the time back", async () => {
  const now = Date.now;
  let open = 0;
  const made = <S extends SessionStore>(store: S, dispose: symbol): S => {
    open++;
    return Object.assign(store, { [dispose]: () => Promise.resolve(void open--) });
  };
  const create = full(() => ({}));
  await run(async () => made(await create(), Symbol.asyncDispose), {
    broken: () => made(away(), Symbol.asyncDispose),
    neighbour: async () => made(await create(), Symbol.dispose),
  });
  assertEquals(open, 0);
  assert(Date.now === now);
});

Deno.test("testSessionStore() refuses wrong arguments", () => {
  const create = (): MemoryStore => new MemoryStore();
  // @ts-expect-error -- what JavaScript can pass
  assertThrows(() => testSessionStore(create), TypeError, "name");
  // @ts-expect-error -- what JavaScript can pass
  assertThrows(() => testSessionStore("a store", new MemoryStore()), TypeError, "create");
  for (const maxValueBytes of [0, -1, 1.5, NaN]) {
    assertThrows(() => testSessionStore("a store", create, { maxValueBytes }), RangeError, "maxValueBytes");
  }
});
