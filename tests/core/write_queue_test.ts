import { assert, assertEquals, assertRejects } from "../helpers/assert.ts";
import { WriteQueue } from "../../src/core/write_queue.ts";

const wait = (steps: number): Promise<void> =>
  steps === 0 ? Promise.resolve() : Promise.resolve().then(() => wait(steps - 1));
const quiet = (): WriteQueue => new WriteQueue(() => {});

Deno.test("WriteQueue runs the writes in their order, one at a time", async () => {
  const queue = quiet();
  const log: string[] = [];
  for (const [name, steps] of [["a", 9], ["b", 0], ["c", 3]] as const) {
    queue.run(name, () => async () => {
      log.push(`${name} begins`);
      await wait(steps);
      log.push(`${name} ends`);
    });
  }
  await queue.settle();
  assertEquals(log, ["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]);
});

Deno.test("WriteQueue begins at once, and the first write steps at once", () => {
  const queue = quiet();
  const log: string[] = [];
  queue.run("a", () => {
    log.push("begin");
    return () => {
      log.push("step");
      return Promise.resolve();
    };
  });
  assertEquals(log, ["begin", "step"]);
});

Deno.test("WriteQueue goes on after a write that failed", async () => {
  const queue = quiet();
  const log: string[] = [];
  queue.run("a", () => () => Promise.reject(new Error("a failed")));
  queue.run("b", () => {
    throw new Error("b failed");
  });
  queue.run("c", () => () => {
    log.push("c");
    return Promise.resolve();
  });
  await assertRejects(() => queue.settle(), Error, "a failed");
  assertEquals(log, ["c"]);
});

Deno.test("WriteQueue keeps the order past a write that failed at once", async () => {
  const queue = quiet();
  const log: string[] = [];
  queue.run("slow", () => async () => {
    await wait(20);
    log.push("slow");
  });
  queue.run("refused", () => {
    throw new Error("refused");
  });
  queue.run("nothing to do", () => () => Promise.resolve());
  queue.run("last", () => {
    return () => {
      log.push("last");
      return Promise.resolve();
    };
  });
  await queue.idle();
  assertEquals(log, ["slow", "last"]);
});

Deno.test("WriteQueue.settle() fails where nobody awaited the write, and only there", async (t) => {
  await t.step("awaited and caught", async () => {
    const queue = quiet();
    await assertRejects(() => queue.run("a", () => () => Promise.reject(new Error("x"))), Error, "x");
    await queue.settle();
  });
  await t.step("caught by catch()", async () => {
    const queue = quiet();
    queue.run("a", () => () => Promise.reject(new Error("x"))).catch(() => {});
    await queue.settle();
  });
  await t.step("awaited together", async () => {
    const queue = quiet();
    await assertRejects(
      () =>
        Promise.all([
          queue.run("a", () => () => Promise.reject(new Error("x"))),
          queue.run("b", () => () => Promise.resolve()),
        ]),
      Error,
      "x",
    );
    await queue.settle();
  });
  await t.step("not awaited", async () => {
    const queue = quiet();
    queue.run("a", () => () => Promise.reject(new Error("x")));
    await assertRejects(() => queue.settle(), Error, "x");
  });
});

Deno.test("WriteQueue tells of each failure once, and whether the application heard of it", async () => {
  const told: unknown[] = [];
  const queue = new WriteQueue((operation, error, awaited) => told.push([operation, error.message, awaited]));
  queue.run("alone", () => () => Promise.reject(new Error("x")));
  queue.run("thrown", () => {
    throw new Error("y");
  });
  await queue.run("heard", () => () => Promise.reject(new Error("z"))).catch(() => {});
  await queue.settle().catch(() => {});
  await wait(9);
  assertEquals(told.length, 3);
  assert(JSON.stringify(told).includes('["alone","x",false]'));
  assert(JSON.stringify(told).includes('["thrown","y",false]'));
  assert(JSON.stringify(told).includes('["heard","z",true]'));
});

Deno.test("WriteQueue keeps the order where an earlier write ends while a later one runs", async () => {
  const queue = quiet();
  const log: string[] = [];
  const first = queue.run("first", () => () => wait(1));
  queue.run("slow", () => async () => {
    await wait(30);
    log.push("slow");
  });
  await first;
  await wait(9);
  queue.run("last", () => () => {
    log.push("last");
    return Promise.resolve();
  });
  await queue.idle();
  assertEquals(log, ["slow", "last"]);
});

Deno.test("WriteQueue takes a write for awaited that was refused at once", async (t) => {
  const hear: [string, (write: () => Promise<void>) => Promise<unknown>][] = [
    ["by await", async (write) => await write()],
    ["together with others", (write) => Promise.all([write(), Promise.resolve()])],
    ["by the caller of the caller", async (write) => {
      const helper = async (): Promise<void> => await write();
      await helper();
    }],
    // deno-lint-ignore require-await -- a promise that is returned from an async function is awaited a moment later
    ["by whom it was returned to", async (write) => write()],
  ];
  for (const [name, act] of hear) {
    await t.step(name, async () => {
      const told: boolean[] = [];
      const queue = new WriteQueue((_operation, _error, awaited) => told.push(awaited));
      await assertRejects(
        () =>
          act(() =>
            queue.run("a", () => {
              throw new Error("refused");
            })
          ),
        Error,
        "refused",
      );
      await wait(9);
      assertEquals(told, [true]);
      await queue.settle();
    });
  }
});
