import { assert, assertEquals, assertRejects } from "../helpers/assert.ts";
import { retry } from "../../src/util/retry.ts";

/** An operation that fails with "busy" so many times, and the number of its calls. */
function busyTimes(failures: number): { calls: number; run: () => Promise<string> } {
  const operation = {
    calls: 0,
    run: () => ++operation.calls <= failures ? Promise.reject(new Error("busy")) : Promise.resolve("done"),
  };
  return operation;
}

const isBusy = (error: unknown): boolean => error instanceof Error && error.message === "busy";

/** Replaces the timer, the clock and the random numbers, and records the delays. No time passes. */
function fakeDelays(random: number): { delays: number[] } & Disposable {
  const { setTimeout } = globalThis;
  const { now } = performance;
  const { random: realRandom } = Math;
  const delays: number[] = [];
  let time = 0;
  performance.now = () => time;
  Math.random = () => random;
  Object.assign(globalThis, {
    setTimeout: (run: () => void, delay: number): void => {
      delays.push(delay);
      time += delay;
      queueMicrotask(run);
    },
  });
  return {
    delays,
    [Symbol.dispose](): void {
      globalThis.setTimeout = setTimeout;
      performance.now = now;
      Math.random = realRandom;
    },
  };
}

Deno.test("retry() calls the operation synchronously and returns its result", async () => {
  let calls = 0;
  const result = retry(() => ++calls, performance.now(), isBusy);
  assertEquals(calls, 1);
  assertEquals(await result, 1);
});

Deno.test("retry() calls a failing operation again until it succeeds", async () => {
  const operation = busyTimes(3);
  assertEquals(await retry(operation.run, performance.now() + 60_000, isBusy), "done");
  assertEquals(operation.calls, 4);
});

Deno.test("retry() also retries an operation that throws synchronously", async () => {
  let calls = 0;
  const operation = (): number => {
    if (++calls < 3) throw new Error("busy");
    return calls;
  };
  assertEquals(await retry(operation, performance.now() + 60_000, isBusy), 3);
});

Deno.test("retry() throws an error that is not retryable without another call", async () => {
  const failure = new Error("the disk is full");
  let calls = 0;
  const error = await assertRejects(
    () =>
      retry(
        () => {
          calls++;
          throw failure;
        },
        performance.now() + 60_000,
        isBusy,
      ),
    Error,
  );
  assert(error === failure);
  assertEquals(calls, 1);
});

Deno.test("retry() doubles the longest delay up to 32 ms", async () => {
  using fake = fakeDelays(0.5);
  await retry(busyTimes(8).run, Infinity, isBusy);
  assertEquals(fake.delays, [0.5, 1, 2, 4, 8, 16, 16, 16]);
});

Deno.test("retry() makes no call at the deadline or later, and throws the last error", async () => {
  using fake = fakeDelays(1);
  // Calls at 0, 1, 3 and 7 ms; the next one would be at 15 ms.
  for (const [deadline, calls] of [[0, 1], [1, 1], [1.5, 2], [15, 4], [15.5, 5]] as const) {
    fake.delays.length = 0;
    const operation = busyTimes(10);
    await assertRejects(() => retry(operation.run, performance.now() + deadline, isBusy), Error, "busy");
    assertEquals(operation.calls, calls, `a deadline after ${deadline} ms`);
  }
});
