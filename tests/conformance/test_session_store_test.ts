import { MemoryStore, type SessionStore } from "../../mod.ts";
import { Harness } from "../../src/conformance/harness.ts";
import { SUITE } from "../../src/conformance/suite.ts";
import { type MakeStore, type SessionStoreTestOptions, testSessionStore } from "../../src/testing.ts";
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "../helpers/assert.ts";
import {
  basicStore,
  fullStore,
  rejectUnreachable,
  throwing,
  unreachableStore,
  unreachableStoreThatThrows,
  withMethods,
} from "./defects/defect.ts";
import { DEFECTS } from "./defects/defects.ts";
import { editWritten } from "./defects/store_edits.ts";
import { UNUSUAL_WATCHES } from "./defects/watch_defects.ts";

/** Runs the checks whose `group title: check name` contains a text. Returns their errors. */
async function runChecks(
  create: MakeStore,
  options: SessionStoreTestOptions,
  text = "",
): Promise<Map<string, string | undefined>> {
  const harness = new Harness(create, { values: "all", traces: "deadline", maxValueBytes: 70_000, ...options }, 0.02);
  const results = new Map<string, string | undefined>();
  for (const { title, checks } of SUITE) {
    await using stores = await harness.open();
    for (const check of checks(stores)) {
      const name = `${title}: ${check.name}`;
      if (check.isSkipped || !name.includes(text)) continue;
      results.set(name, await stores.run(check).then(() => undefined, String));
    }
  }
  return results;
}

Deno.test("testSessionStore() passes correct stores", async (t) => {
  const stores: [string, MakeStore, SessionStoreTestOptions][] = [
    ["a basic store", basicStore(() => ({})), { broken: unreachableStore }],
    ["a store with every capability", fullStore(() => ({})), { broken: unreachableStore }],
    ...UNUSUAL_WATCHES.map(([name, create]): [string, MakeStore, SessionStoreTestOptions] => [name, create, {}]),
    ["a store in memory", () => new MemoryStore(), { shared: false }],
    [
      "a store that rejects values of more than 1,024 bytes",
      basicStore((correct) => editWritten(correct, rejectLargeValues)),
      { values: "json", maxValueBytes: 1024 },
    ],
    [
      "a store that throws synchronously if its backend cannot be reached",
      basicStore(() => ({})),
      { broken: unreachableStoreThatThrows },
    ],
    [
      "a store that cannot be created if its backend cannot be reached",
      basicStore(() => ({})),
      { broken: throwing(new Error("the backend is unreachable")) },
    ],
  ];
  for (const [name, create, options] of stores) {
    await t.step(name, async () => {
      const results = await runChecks(create, { maxValueBytes: 512 * 1024, ...options });
      assertEquals([...results].filter(([, error]) => error !== undefined), []);
    });
  }
});

/** Throws for a value of more than 1,024 bytes of JSON and the quotes of a string. */
function rejectLargeValues(value: unknown, key: string): unknown {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch {
    // JSON cannot represent the value; the correct store decides.
  }
  if (new TextEncoder().encode(text).length > 1026) throw new RangeError(`${key} is too large`);
  return value;
}

Deno.test("testSessionStore() finds every defect with the check for it", async (t) => {
  const failed = new Set<string>();
  for (const { name, create, foundBy, options = {} } of DEFECTS) {
    await t.step(`a store that ${name}`, async () => {
      const results = await runChecks(create, options, foundBy);
      const failing = [...results].filter(([, error]) => error !== undefined);
      assert(failing.length > 0, `none of these checks fails: ${[...results.keys()]}`);
      for (const [check] of failing) failed.add(check);
    });
  }
  await t.step("every check fails for at least one of these stores", async () => {
    const all = new Set([
      ...(await runChecks(basicStore(() => ({})), { broken: unreachableStore, neighbour: unreachableStore })).keys(),
      ...(await runChecks(basicStore(() => ({})), { values: "json" })).keys(),
      ...(await runChecks(fullStore(() => ({})), {})).keys(),
    ]);
    assertEquals([...all.difference(failed)], []);
  });
});

Deno.test("testSessionStore() closes the stores that it created, and restores Date.now", async () => {
  const now = Date.now;
  let open = 0;
  const counted = <S extends SessionStore>(store: S, dispose: symbol): S => {
    let isOpen = true;
    open++;
    const close = (): void => {
      if (isOpen) open--;
      isOpen = false;
    };
    return Object.assign(store, { [dispose]: () => Promise.resolve(close()) });
  };
  const create = fullStore(() => ({}));
  await runChecks(async () => counted(await create(), Symbol.asyncDispose), {
    broken: () => counted(unreachableStore(), Symbol.asyncDispose),
    neighbour: async () => counted(await create(), Symbol.dispose),
  });
  assertEquals(open, 0);
  assert(Date.now === now);
  const failing: [string, MakeStore][] = [
    ["cannot be created twice", () => open === 1 ? rejectUnreachable() : new MemoryStore()],
    ["cannot be opened twice", () => withMethods(new MemoryStore(), open === 1 ? { init: rejectUnreachable } : {})],
    ["cannot be cleared", () => withMethods(new MemoryStore(), { clear: rejectUnreachable })],
  ];
  for (const [name, create] of failing) {
    await assertRejects(
      async () => {
        await using _ = await new Harness(async () => counted(await create(), Symbol.asyncDispose), {}).open();
      },
      Error,
      "the backend is unreachable",
    );
    assertEquals(open, 0, `number of open instances of a store that ${name}`);
  }
});

Deno.test("testSessionStore() fails a check that takes too long, names the pending methods and restores Date.now", async () => {
  const now = Date.now;
  const create = fullStore(() => ({ setValue: () => new Promise(() => {}) }));
  const name = "a session is live until a millisecond before its deadline, in one instance";
  const [error] = (await runChecks(create, { timeout: 0.1 }, name)).values();
  assertMatch(error ?? "", /not finished after 0\.1 seconds; the store has not answered setValue\(\)/);
  assert(Date.now === now);
  const hanging = (): SessionStore => withMethods(new MemoryStore(), { init: () => new Promise(() => {}) });
  await assertRejects(() => new Harness(hanging, { timeout: 0.1 }).open(), Error, "init()");
});

Deno.test("testSessionStore() says in failures of deadlines that they are compared with Date.now()", async () => {
  const results = await runChecks(
    fullStore(() => ({ exist: () => Promise.resolve(true) })),
    {},
    "from its deadline on a session is missing",
  );
  assertEquals(results.size, 2);
  for (const error of results.values()) assertMatch(error ?? "", /exist\(\) of an expired session.*Date\.now\(\)/);
});

Deno.test("testSessionStore() demands another instance at each call if instances share their sessions", async () => {
  const store = new MemoryStore();
  await assertRejects(() => new Harness(() => store, {}).open(), TypeError, "another instance");
  await using _ = await new Harness(() => store, { shared: false }).open();
});

Deno.test("testSessionStore() throws for arguments of the wrong type or out of range", () => {
  const create = (): MemoryStore => new MemoryStore();
  // @ts-expect-error -- what JavaScript can pass
  assertThrows(() => testSessionStore(create), TypeError, "name");
  // @ts-expect-error -- what JavaScript can pass
  assertThrows(() => testSessionStore("a store", new MemoryStore()), TypeError, "create");
  const outOfRange: [string, unknown[]][] = [
    ["maxValueBytes", [0, -1, 1023, 2000.5, NaN, "2000"]],
    ["timeout", [0, -1, 3601, NaN, Infinity]],
    ["values", ["All", "", null]],
    ["traces", ["session", "Deadline", null]],
  ];
  for (const [name, values] of outOfRange) {
    for (const value of values) {
      assertThrows(() => testSessionStore("a store", create, { [name]: value }), RangeError, name);
    }
  }
});
