import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "../helpers/assert.ts";
import { MemoryStore, type SessionStore } from "../../mod.ts";
import { AREAS } from "../../src/conformance/areas.ts";
import { Bench } from "../../src/conformance/bench.ts";
import { type MakeStore, type SessionStoreTestOptions, testSessionStore } from "../../src/testing.ts";
import { away, awayAtOnce, bare, change, DEFECTS, fail, full, keep, throws } from "./defects/store_defects.ts";
import { RECORD_DEFECTS } from "./defects/record_store_defects.ts";

/** Runs the checks in whose area and name there is a text; returns what each of them found, by its area and name. */
async function run(
  create: MakeStore,
  options: SessionStoreTestOptions,
  text = "",
): Promise<Map<string, string | undefined>> {
  const bench = new Bench(create, { values: "all", traces: "deadline", maxValueBytes: 70_000, ...options }, 0.02);
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
    ["with small values", bare((right) => keep(right, smallAlone)), { values: "json", maxValueBytes: 1024 }],
    ["that throw at once where they cannot look", bare(() => ({})), { broken: awayAtOnce }],
    ["that cannot be made where they cannot look", bare(() => ({})), { broken: throws(new Error("away")) }],
  ];
  for (const [name, create, options] of stores) {
    await t.step(name, async () => {
      const found = await run(create, { maxValueBytes: 512 * 1024, ...options });
      assertEquals([...found].filter(([, error]) => error !== undefined), []);
    });
  }
});

/** Refuses what is larger as JSON than 1,024 bytes and two quotes. */
function smallAlone(value: unknown, key: string): unknown {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch {
    // Not JSON: the store itself refuses it, or keeps it.
  }
  return new TextEncoder().encode(text).length > 1026 ? throws(new RangeError(`${key} is too large`))() : value;
}

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
  const failing: [string, MakeStore][] = [
    ["cannot be made twice", () => open === 1 ? fail() : new MemoryStore()],
    ["cannot be opened twice", () => change(new MemoryStore(), open === 1 ? { init: fail } : {})],
    ["cannot be cleared", () => change(new MemoryStore(), { clear: fail })],
  ];
  for (const [name, create] of failing) {
    await assertRejects(
      async () => {
        await using _ = await new Bench(async () => made(await create(), Symbol.asyncDispose), {}).open();
      },
      Error,
      "the backend is away",
    );
    assertEquals(open, 0, `what is left open of a store that ${name}`);
  }
});

Deno.test("testSessionStore() gives up on a store that does not answer, says which method, and gives the time back", async () => {
  const now = Date.now;
  const create = full(() => ({ setValue: () => new Promise(() => {}) }));
  const name = "a session lives until a millisecond before its deadline, in one instance";
  const [found] = (await run(create, { timeout: 0.1 }, name)).values();
  assertMatch(found ?? "", /not done after 0\.1 seconds; the store has not answered setValue\(\)$/);
  assert(Date.now === now);
  await assertRejects(
    () => new Bench(() => change(new MemoryStore(), { init: () => new Promise(() => {}) }), { timeout: 0.1 }).open(),
    Error,
    "init()",
  );
});

Deno.test("testSessionStore() says which time counts where a deadline is missed", async () => {
  const found = await run(
    full(() => ({ exist: () => Promise.resolve(true) })),
    {},
    "from its deadline on a session is missing",
  );
  for (const message of found.values()) assertMatch(message ?? "", /exist\(\) of an expired session.*Date\.now\(\)/);
});

Deno.test("testSessionStore() asks for another instance at each call, where they share their sessions", async () => {
  const store = new MemoryStore();
  await assertRejects(() => new Bench(() => store, {}).open(), TypeError, "another instance");
  await using _ = await new Bench(() => store, { shared: false }).open();
});

Deno.test("testSessionStore() refuses wrong arguments", () => {
  const create = (): MemoryStore => new MemoryStore();
  // @ts-expect-error -- what JavaScript can pass
  assertThrows(() => testSessionStore(create), TypeError, "name");
  // @ts-expect-error -- what JavaScript can pass
  assertThrows(() => testSessionStore("a store", new MemoryStore()), TypeError, "create");
  const wrong: [string, unknown[]][] = [
    ["maxValueBytes", [0, -1, 1023, 2000.5, NaN, "2000"]],
    ["timeout", [0, -1, 3601, NaN, Infinity]],
    ["values", ["All", "", null]],
    ["traces", ["session", "Deadline", null]],
  ];
  for (const [name, values] of wrong) {
    for (const value of values) {
      assertThrows(() => testSessionStore("a store", create, { [name]: value }), RangeError, name);
    }
  }
});
