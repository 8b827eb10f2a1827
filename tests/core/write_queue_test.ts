import { assert, assertEquals, assertRejects, assertStrictEquals } from "../helpers/assert.ts";
import { microtasks } from "../helpers/microtasks.ts";
import { SessionStoreError } from "../../mod.ts";
import { StoreTimeoutError } from "../../src/persistence/store_timeout.ts";
import { WriteQueue } from "../../src/core/write_queue.ts";

const quiet = (): WriteQueue => new WriteQueue(() => {});

Deno.test("WriteQueue runs the writes in order, one at a time", async () => {
  const queue = quiet();
  const log: string[] = [];
  for (const [name, count] of [["a", 9], ["b", 0], ["c", 3]] as const) {
    queue.run(name, () => async () => {
      log.push(`${name} begins`);
      await microtasks(count);
      log.push(`${name} ends`);
    });
  }
  await queue.settle();
  assertEquals(log, ["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]);
});

Deno.test("WriteQueue runs the first write synchronously", () => {
  const queue = quiet();
  const log: string[] = [];
  queue.run("a", () => {
    log.push("begin");
    return () => {
      log.push("write");
      return Promise.resolve();
    };
  });
  assertEquals(log, ["begin", "write"]);
});

Deno.test("WriteQueue goes on after a failed write", async () => {
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

Deno.test("WriteQueue keeps the order after a write that failed synchronously", async () => {
  const queue = quiet();
  const log: string[] = [];
  queue.run("slow", () => async () => {
    await microtasks(20);
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

Deno.test("WriteQueue.settle() rejects only if a failed write was not awaited", async (t) => {
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

Deno.test("WriteQueue reports each failure once, and whether the application awaited it", async () => {
  const reports: unknown[] = [];
  const queue = new WriteQueue((operation, error, awaited) => reports.push([operation, error.message, awaited]));
  queue.run("alone", () => () => Promise.reject(new Error("x")));
  queue.run("thrown", () => {
    throw new Error("y");
  });
  await assertRejects(() => queue.run("heard", () => () => Promise.reject(new Error("z"))), Error, "z");
  await assertRejects(() => queue.settle(), Error);
  await microtasks(9);
  assertEquals(reports.length, 3);
  assert(JSON.stringify(reports).includes('["alone","x",false]'));
  assert(JSON.stringify(reports).includes('["thrown","y",false]'));
  assert(JSON.stringify(reports).includes('["heard","z",true]'));
});

Deno.test("WriteQueue keeps the order if an earlier write ends while a later one runs", async () => {
  const queue = quiet();
  const log: string[] = [];
  const first = queue.run("first", () => () => microtasks(1));
  queue.run("slow", () => async () => {
    await microtasks(30);
    log.push("slow");
  });
  await first;
  await microtasks(9);
  queue.run("last", () => () => {
    log.push("last");
    return Promise.resolve();
  });
  await queue.idle();
  assertEquals(log, ["slow", "last"]);
});

Deno.test("WriteQueue keeps the order if a write starts another one, as a listener may", async () => {
  const queue = quiet();
  const log: string[] = [];
  queue.run("outer", () => {
    queue.run("inner", () => async () => {
      await microtasks(30);
      log.push("inner");
    });
    return async () => {
      await microtasks(1);
      log.push("outer");
    };
  });
  queue.run("last", () => () => {
    log.push("last");
    return Promise.resolve();
  });
  await queue.idle();
  assertEquals(log, ["outer", "inner", "last"]);
});

Deno.test("WriteQueue fails the writes that wait for a write which timed out", async () => {
  const queue = quiet();
  const timeout = new StoreTimeoutError("MemoryStore", 1);
  const first = queue.run("first", () => async () => {
    await microtasks(3);
    throw timeout;
  });
  let hasRun = false;
  const second = queue.run("second", () => () => {
    hasRun = true;
    return Promise.resolve();
  });
  const third = queue.run("third", () => () => Promise.resolve());
  assertStrictEquals(await assertRejects(() => first, StoreTimeoutError), timeout);
  for (const [name, write] of [["second", second], ["third", third]] as const) {
    const { message, operation, cause } = await assertRejects(() => write, SessionStoreError);
    assertEquals(
      message,
      `Cannot ${name}: MemoryStore did not answer an earlier call within 1 s, so this call was not sent to it; try again ` +
        "when the store works",
    );
    assertEquals(operation, name);
    assertStrictEquals(cause, timeout);
  }
  assertEquals(hasRun, false);
});

Deno.test("WriteQueue.idle() waits for a function that awaits one write and starts the next", async (t) => {
  await t.step("if the writes finish synchronously", async () => {
    const queue = quiet();
    const log: string[] = [];
    const act = async (): Promise<void> => {
      for (let i = 0; i < 30; i++) await queue.run("synchronous", () => () => undefined);
      log.push("last");
    };
    const acted = act();
    await queue.idle();
    assertEquals(log, ["last"]);
    await acted;
  });
  await t.step("if functions around it await it too", async () => {
    const queue = quiet();
    const log: string[] = [];
    const write = async (): Promise<void> => await queue.run("first", () => () => microtasks(3));
    const helper = async (): Promise<void> => await write();
    const act = async (): Promise<void> => {
      await helper();
      await queue.run("last", () => async () => {
        await microtasks(3);
        log.push("last");
      });
    };
    const acted = act();
    await queue.idle();
    assertEquals(log, ["last"]);
    await acted;
  });
});

Deno.test("WriteQueue sees that a write which failed synchronously is awaited", async (t) => {
  const callers: [string, (write: () => Promise<void>) => Promise<unknown>][] = [
    ["by await", async (write) => await write()],
    ["together with others", (write) => Promise.all([write(), Promise.resolve()])],
    ["by a function that calls the caller", async (write) => {
      const helper = async (): Promise<void> => await write();
      await helper();
    }],
    ["after another await", async (write) => {
      const promise = write();
      await undefined;
      await promise;
    }],
    // deno-lint-ignore require-await -- a promise returned from an async function is awaited some microtasks later
    ["by the caller that it was returned to", async (write) => write()],
  ];
  for (const [name, act] of callers) {
    await t.step(name, async () => {
      const reports: boolean[] = [];
      const queue = new WriteQueue((_operation, _error, awaited) => reports.push(awaited));
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
      await microtasks(9);
      assertEquals(reports, [true]);
      await queue.settle();
    });
  }
});
