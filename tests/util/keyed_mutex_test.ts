import { assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "../helpers/assert.ts";
import { FakeTimers, outcomeOf, quiet } from "../helpers/timers.ts";
import { KeyedMutex } from "../../src/util/keyed_mutex.ts";

class Refusal extends Error {}

const fatal = new Error("fails the others too");

function limited(maxWait = 10): KeyedMutex {
  return new KeyedMutex({
    failureFor: (error) => error === fatal ? fatal : undefined,
    maxWait,
    createTimeoutError: (seconds) => new Refusal(`${seconds} s`),
  });
}

/** An operation that runs until it is released. */
function operation(): { run: () => Promise<string>; hasStarted: boolean; release: (error?: Error) => void } {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const state = {
    hasStarted: false,
    run: () => {
      state.hasStarted = true;
      return promise;
    },
    release: (error?: Error) => error === undefined ? resolve("done") : reject(error),
  };
  return state;
}

Deno.test("KeyedMutex runs operations of one key one at a time, in order, and those of other keys at once", async () => {
  const mutex = limited();
  const [first, second, third, other] = [operation(), operation(), operation(), operation()];
  const results = [first, second, third].map(({ run }) => mutex.run("a", run));
  results.push(mutex.run("b", other.run));
  const started = (): boolean[] => [first, second, third, other].map(({ hasStarted }) => hasStarted);
  assertEquals(started(), [true, false, false, true]);
  first.release();
  await quiet();
  assertEquals(started(), [true, true, false, true]);
  second.release(new Error("fails alone"));
  await assertRejects(() => results[1] ?? Promise.resolve(), Error, "fails alone");
  await quiet();
  assertEquals([...started(), mutex.has("a"), mutex.has("b"), mutex.has("c")], [
    true,
    true,
    true,
    true,
    true,
    true,
    false,
  ]);
  third.release();
  other.release();
  assertEquals([await results[2], await results[3]], ["done", "done"]);
  assertEquals([mutex.has("a"), mutex.has("b")], [false, false]);
});

Deno.test("KeyedMutex holds the key while an operation runs synchronously, and frees it if that throws or returns at once", async () => {
  const mutex = limited();
  let held = false;
  assertEquals(await mutex.run("a", () => ((held = mutex.has("a")), 1)), 1);
  await assertRejects(
    () =>
      mutex.run("a", () => {
        throw new Error("at once");
      }),
    Error,
    "at once",
  );
  assertEquals([held, mutex.has("a")], [true, false]);
});

Deno.test("KeyedMutex fails the operations that wait for one that failed as the rule says", async () => {
  using timers = new FakeTimers();
  const mutex = limited();
  const first = operation();
  const all = [mutex.run("a", first.run), mutex.run("a", operation().run), mutex.run("a", operation().run)];
  first.release(fatal);
  for (const result of all) assertStrictEquals(await outcomeOf(result), fatal);
  assertEquals([await mutex.run("a", () => 1), timers.pending, mutex.has("a")], [1, 0, false]);
});

Deno.test("KeyedMutex fails an operation that waits too long for another one, and never runs it", async () => {
  using timers = new FakeTimers();
  const mutex = limited();
  const [hanging, tired, later] = [operation(), operation(), operation()];
  const first = mutex.run("a", hanging.run);
  const second = mutex.run("a", tired.run);
  timers.tick(9000);
  const third = mutex.run("a", later.run);
  timers.tick(1000);
  const error = await outcomeOf(second);
  assertInstanceOf(error, Refusal);
  assertEquals([error.message, await outcomeOf(third), timers.pending], ["10 s", "pending", 1]);
  hanging.release();
  later.release();
  assertEquals([await first, await third, tired.hasStarted, timers.pending, mutex.has("a")], [
    "done",
    "done",
    false,
    0,
    false,
  ]);
});

Deno.test("KeyedMutex fails no operation in a long queue that moves on, and all of them once it does not", async () => {
  using timers = new FakeTimers();
  const mutex = limited();
  const operations = Array.from({ length: 5 }, operation);
  const results = operations.map(({ run }) => mutex.run("a", run));
  for (const { release } of operations.slice(0, 3)) {
    timers.tick(6000);
    await quiet();
    release();
    await quiet();
  }
  // 18 s have passed, and the fourth operation has just started.
  timers.tick(9999);
  assertEquals(await outcomeOf(results[4] ?? Promise.resolve()), "pending");
  timers.tick(1);
  assertInstanceOf(await outcomeOf(results[4] ?? Promise.resolve()), Refusal);
  operations[3]?.release();
  assertEquals([await Promise.all(results.slice(0, 4)), timers.pending], [["done", "done", "done", "done"], 0]);
});

Deno.test("KeyedMutex without rules never fails an operation that waits, and starts no timer", async () => {
  using timers = new FakeTimers();
  const mutex = new KeyedMutex();
  const first = operation();
  const failing = mutex.run("a", first.run);
  const second = mutex.run("a", () => "done");
  assertEquals(timers.pending, 0);
  first.release(fatal);
  assertStrictEquals(await outcomeOf(failing), fatal);
  assertEquals(await second, "done");
});
