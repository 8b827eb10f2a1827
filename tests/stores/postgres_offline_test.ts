/**
 * What a `PostgresStore` does without a server. tests/servers/postgres_store_test.ts has the tests
 * that need one.
 */
import { assert, assertEquals, assertRejects, assertThrows } from "../helpers/assert.ts";
import postgres from "npm:postgres@3.4.9";
import { FakeClock } from "../helpers/clock.ts";
import { microtasks } from "../helpers/microtasks.ts";
import { FakeTimers, quiet } from "../helpers/timers.ts";
import { type PostgresRows, type PostgresSql, PostgresStore } from "../../src/stores/postgres_store.ts";

/** Nobody listens on port 1. */
const UNREACHABLE = "postgres://user:top-secret@127.0.0.1:1/test";

/**
 * A client that returns or throws what `answer` does, without a server, even if no real client
 * would.
 */
function fakeClient(answer: () => unknown): PostgresSql {
  return { unsafe: () => ({ raw: () => Promise.resolve().then(answer) as Promise<never> }) };
}

function encode(cell: string): Uint8Array {
  return new TextEncoder().encode(cell);
}

/** The result of a statement that has changed a session. */
const written = Object.assign([["1", "t", "2000", "0", "1000"].map(encode)], { count: 1 });

Deno.test("PostgresStore rejects invalid arguments without repeating the URL", () => {
  // @ts-expect-error -- JavaScript can pass anything
  assertThrows(() => new PostgresStore(UNREACHABLE, { migrate: 1 }), TypeError, "`migrate`");
  // @ts-expect-error -- the same
  assertThrows(() => new PostgresStore(UNREACHABLE, { notify: true }), TypeError, '`notify` must be "endings"');
  for (const max of ["3", null, true]) {
    // @ts-expect-error -- the same
    assertThrows(() => new PostgresStore(UNREACHABLE, { max }), TypeError, "`max` must be an integer from 1 to 1000");
  }
  for (const max of [0, -1, 1.5, NaN, Infinity, 1001]) {
    assertThrows(() => new PostgresStore(UNREACHABLE, { max }), RangeError, "from 1 to 1000");
  }
  new PostgresStore(UNREACHABLE, { max: 1000 });
  assertThrows(() => new PostgresStore(postgres(UNREACHABLE), { max: 3 }), TypeError, "`max` needs a URL");
  for (const sql of [undefined, null, {}, 1, "mysql://user:top-secret@127.0.0.1", "postgres://user:top-secret@:::/"]) {
    // @ts-expect-error -- the same
    const error = assertThrows(() => new PostgresStore(sql), TypeError, "Cannot create a PostgresStore");
    assert(!Deno.inspect(error).includes("top-secret"));
  }
  new PostgresStore(UNREACHABLE.replace("postgres:", "postgresql:"));
});

Deno.test("PostgresStore accepts an application's client of any type", () => {
  new PostgresStore(postgres(UNREACHABLE));
  new PostgresStore(postgres(UNREACHABLE, { types: { bigint: postgres.BigInt }, transform: postgres.camel }));
});

Deno.test("PostgresStore connects at the first call and rejects if the server is unreachable", async () => {
  await using store = new PostgresStore(UNREACHABLE);
  for (
    const call of [() => store.init(), () => store.exist("an-id"), () => store.setValue("an-id", "key", "a value")]
  ) {
    const error = await assertRejects(call, Error, "ECONNREFUSED");
    for (const secret of ["top-secret", "an-id", "a value"]) assert(!Deno.inspect(error).includes(secret));
  }
});

Deno.test("PostgresStore removes from errors what quotes rows and parameters", async () => {
  const error = Object.assign(new Error("duplicate key value violates unique constraint"), {
    name: "PostgresError",
    code: "23505",
    detail: "Key (id)=(an-id) already exists.",
    where: "JSON data, line 1: a value",
    parameters: ["an-id", "a value"],
  });
  const store = new PostgresStore(fakeClient(() => {
    throw error;
  }));
  const thrown = await assertRejects(() => store.exist("an-id"), Error, "duplicate key");
  assertEquals([thrown.name, Reflect.get(thrown, "code")], ["PostgresError", "23505"]);
  assertEquals(thrown.cause, undefined);
  for (const secret of ["an-id", "a value"]) assert(!Deno.inspect(thrown).includes(secret));
});

Deno.test("PostgresStore rejects if its client returns no usable result, and never reports a missing session", async () => {
  const missingRow = Object.assign([undefined, [encode("1")]], { count: 2 });
  const noResult = Object.assign([], { count: null });
  const transformed = Object.assign([{}], { count: 1 });
  for (const rows of [missingRow, noResult, transformed]) {
    const store = new PostgresStore(fakeClient(() => rows));
    for (
      const call of [
        () => store.get("a"),
        () => store.getValue("a", "k"),
        () => store.readRecord("a"),
        () => store.changeRecord("a", {}),
        () => store.moveRecord("a", "b", { meta: {}, graceUntil: 0 }),
        () => store.listSessions("ada"),
      ]
    ) await assertRejects(call, Error, "the client of PostgresStore returned");
  }
  for (const rows of [missingRow, noResult]) {
    const store = new PostgresStore(fakeClient(() => rows));
    for (
      const call of [
        () => store.exist("a"),
        () => store.setValue("a", "k", 1),
        () => store.create("a"),
        () => store.delete("a"),
        () => store.clear(),
      ]
    ) await assertRejects(call, Error, "the client of PostgresStore returned");
  }
});

Deno.test("PostgresStore uses a result that begins with empty places", async () => {
  const store = new PostgresStore(fakeClient(() => Object.assign([undefined, undefined, ...written], { count: 1 })));
  await store.setValue("a", "k", 1);
  assertEquals(await store.exist("a"), true);
});

Deno.test("PostgresStore sends a write to a session after five seconds if an earlier one is still pending", async () => {
  const pending = Promise.withResolvers<unknown>();
  let calls = 0;
  const store = new PostgresStore(fakeClient(() => ++calls === 1 ? pending.promise : written));
  const delays: (number | undefined)[] = [];
  const { setTimeout } = globalThis;
  // The timer fires immediately.
  Object.assign(globalThis, {
    setTimeout: (run: () => void, delay?: number): unknown => {
      delays.push(delay);
      return setTimeout(run, 0);
    },
  });
  try {
    const first = store.setValue("a", "k", 1);
    await store.setValue("b", "k", 1);
    assertEquals([delays, calls], [[], 2]);
    await store.setValue("a", "k", 2);
    assertEquals([delays, calls], [[5000], 3]);
    pending.resolve(written);
    await first;
    // No write is pending.
    await store.setValue("a", "k", 3);
    assertEquals(delays, [5000]);
  } finally {
    globalThis.setTimeout = setTimeout;
  }
});

Deno.test("PostgresStore sends the writes to a session one after another", async () => {
  const calls: PromiseWithResolvers<unknown>[] = [];
  const store = new PostgresStore(fakeClient(() => {
    const call = Promise.withResolvers<unknown>();
    calls.push(call);
    return call.promise;
  }));
  const writes = [store.setValue("a", "k", 1), store.setValue("a", "k", 2)];
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve));
    assertEquals(calls.length, i + 1);
    // The third write is requested while the second one is pending and the first one is done.
    if (i === 1) writes.push(store.setValue("a", "k", 3));
    await new Promise((resolve) => setTimeout(resolve));
    assertEquals(calls.length, i + 1);
    calls[i]?.resolve(written);
  }
  await Promise.all(writes);
});

Deno.test("PostgresStore starts a cleanup after a session was created, once a minute at most", async () => {
  using clock = new FakeClock();
  let cleanups = 0;
  const store = new PostgresStore({
    unsafe: (query) => {
      if (query.startsWith("DELETE")) cleanups++;
      return { raw: () => Promise.resolve(Object.assign([], { count: 1 })) };
    },
  });
  for (const [milliseconds, expected] of [[0, 0], [59_999, 0], [1, 1], [0, 1], [59_999, 1], [1, 2]] as const) {
    clock.tick(milliseconds);
    await store.create("a");
    // The cleanup finishes.
    await new Promise((resolve) => setTimeout(resolve));
    assertEquals(cleanups, expected);
  }
});

/** A store whose statements are answered by the test. */
function unansweredStore(): {
  store: PostgresStore;
  statements: { text: string; parameters: readonly unknown[]; answer: (rows: Uint8Array[][]) => void }[];
} {
  const statements: ReturnType<typeof unansweredStore>["statements"] = [];
  const store = new PostgresStore({
    unsafe: (text, parameters = []) => {
      const { promise, resolve } = Promise.withResolvers<PostgresRows>();
      const answer = (rows: Uint8Array[][]): void => resolve(Object.assign(rows, { count: rows.length }));
      statements.push({ text, parameters, answer });
      return { raw: () => promise };
    },
  });
  return { store, statements };
}

function writtenRow(id: string): Uint8Array[] {
  return [id, "t", "1000", ""].map(encode);
}

Deno.test("PostgresStore lets writes wait while eight are pending, and sends those together", async () => {
  const { store, statements } = unansweredStore();
  const ids = Array.from({ length: 20 }, (_, i) => `session ${i}`);
  const writes: Promise<void>[] = [];
  for (const id of ids) {
    writes.push(store.setValue(id, "k", 1));
    await microtasks(5);
  }
  assertEquals(statements.length, 8);
  while (statements.length < 9) await new Promise((resolve) => setTimeout(resolve, 1));
  assertEquals(ids.filter((id) => String(statements[8]?.parameters[0]).includes(`"${id}"`)), ids.slice(8));
  for (const [i, { answer }] of statements.entries()) {
    answer(i < 8 ? [writtenRow(`session ${i}`)] : ids.slice(8).map(writtenRow));
  }
  await Promise.all(writes);
});

Deno.test("PostgresStore applies both of two writes to one session that have waited too long for an earlier one", async () => {
  using timers = new FakeTimers();
  const { store, statements } = unansweredStore();
  for (let i = 0; i < 7; i++) void store.setValue(`other ${i}`, "k", 1);
  void store.setValue("a", "first", 1);
  const writes = [store.setValue("a", "second", 2), store.setValue("a", "third", 3)];
  await quiet();
  assertEquals(statements.length, 8);
  timers.tick(5000);
  for (let i = 0; i < 1000 && statements.length < 9; i++) await quiet();
  const has = (n: number, key: string): boolean => JSON.stringify(statements[n]?.parameters).includes(key);
  assertEquals([statements.length, has(8, "second"), has(8, "third")], [9, true, false]);
  statements[8]?.answer([writtenRow("a")]);
  await quiet();
  assertEquals([statements.length, has(9, "third")], [10, true]);
  statements[9]?.answer([writtenRow("a")]);
  await Promise.all(writes);
});
