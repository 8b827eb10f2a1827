import { assertEquals, assertRejects, assertStrictEquals } from "./helpers/assert.ts";
import { Captured } from "./helpers/console.ts";
import { SessionGoneError, SessionStoreError } from "../src/errors.ts";
import { Reporter, type SessionEvent } from "../src/events.ts";

const hash = (id: string): string => `hash of ${id}`;
const down = new SessionStoreError("set", "Cannot set", { cause: new TypeError("postgres://user:password@host") });

/** Calls a reporter with a listener; returns the events that the listener received. */
async function eventsOf(act: (reporter: Reporter) => unknown): Promise<SessionEvent[]> {
  const events: SessionEvent[] = [];
  await act(new Reporter((event) => events.push(event), hash));
  return events;
}

Deno.test("Reporter passes each event to the listener, with hashes in place of ids", async (t) => {
  const gone = new SessionGoneError("set");
  const cases: [string, (reporter: Reporter) => unknown, SessionEvent[]][] = [
    ["created", (r) => r.emitCreated("a", undefined), [{ type: "created", session: "hash of a" }]],
    ["created with a principal", (r) => r.emitCreated("a", "7"), [
      { type: "created", session: "hash of a", principal: "7" },
    ]],
    ["renewed", (r) => r.emitRenewed("b", "a", "7"), [
      { type: "renewed", session: "hash of b", previous: "hash of a", principal: "7" },
    ]],
    ["destroyed", (r) => r.emitEnded("destroyed", "a"), [{ type: "destroyed", session: "hash of a" }]],
    ["revoked", (r) => r.emitEnded("revoked", "a", "7"), [
      { type: "revoked", session: "hash of a", principal: "7" },
    ]],
    ["refused, counted for each reason", (r) => {
      r.emitRefused("malformed");
      r.emitRefused("unknown", "a");
      r.emitRefused("malformed");
    }, [
      { type: "refused", reason: "malformed", count: 1 },
      { type: "refused", reason: "unknown", count: 1, session: "hash of a" },
      { type: "refused", reason: "malformed", count: 2 },
    ]],
    ["storeFailed", (r) => r.emitStoreFailed("set", down), [{ type: "storeFailed", operation: "set", error: down }]],
    ["a failed write that is not awaited", (r) => r.emitWriteFailed("set", gone, "a", false), [
      { type: "writeFailed", operation: "set", error: gone, session: "hash of a" },
    ]],
    ["no failed write that is awaited", (r) => r.emitWriteFailed("set", gone, "a", true), []],
    ["a write that failed because of the store, awaited or not", (r) => {
      r.emitWriteFailed("set", down, "a", true);
      r.emitWriteFailed("set", down, undefined, false);
    }, [
      { type: "storeFailed", operation: "set", error: down, session: "hash of a" },
      { type: "storeFailed", operation: "set", error: down },
    ]],
  ];
  for (const [name, act, events] of cases) {
    await t.step(name, async () => {
      using errors = new Captured("error");
      assertEquals(await eventsOf(act), events);
      assertEquals(errors.lines, []);
    });
  }
});

Deno.test("Reporter hashes nothing without a listener", () => {
  const hashed: string[] = [];
  const reporter = new Reporter(undefined, (id) => {
    hashed.push(id);
    return id;
  });
  reporter.emitCreated("a", "7");
  reporter.emitRenewed("b", "a", undefined);
  reporter.emitEnded("expired", "a");
  reporter.emitRefused("unknown", "a");
  reporter.emitStoreFailed("get", down, "a");
  assertEquals(hashed, []);
});

Deno.test("Reporter without a listener prints a failed write that is not awaited, without the message of its error", () => {
  using errors = new Captured("error");
  const reporter = new Reporter(undefined, hash);
  reporter.emitWriteFailed("set", down, "a", true);
  assertEquals(errors.lines, []);
  reporter.emitWriteFailed("set", down, "a", false);
  reporter.emitWriteFailed("update", "a secret" as unknown as Error, "a", false);
  const [first, second, ...others] = errors.lines.map(String);
  assertEquals([first?.includes("set"), first?.includes("SessionStoreError"), first?.includes("TypeError")], [
    true,
    true,
    true,
  ]);
  assertEquals([first?.includes("password"), first?.includes("hash of a")], [false, false]);
  assertEquals([second?.includes("update"), second?.includes("a secret")], [true, false]);
  assertEquals(others, []);
});

Deno.test("Reporter.reportFailures() reports a store that rejects, and rejects with the same error", async () => {
  const other = new TypeError("the application's own");
  const events = await eventsOf(async (reporter) => {
    assertEquals(reporter.reportFailures("get", "a", 1), 1);
    assertEquals(await reporter.reportFailures("get", "a", Promise.resolve(2)), 2);
    for (const error of [down, other]) {
      const failed = Promise.resolve(reporter.reportFailures("get", "a", Promise.reject(error)));
      assertStrictEquals(await assertRejects(() => failed, Error), error);
    }
  });
  assertEquals(events, [{ type: "storeFailed", operation: "get", error: down, session: "hash of a" }]);
});

Deno.test("Reporter ignores a listener that throws or rejects", async () => {
  const calls: string[] = [];
  const listeners: ((event: SessionEvent) => unknown)[] = [
    ({ type }) => {
      calls.push(`${type} throws`);
      throw new Error("listener");
    },
    ({ type }) => {
      calls.push(`${type} rejects`);
      return Promise.reject(new Error("listener"));
    },
  ];
  for (const listener of listeners) new Reporter(listener, hash).emitCreated("a", undefined);
  // A rejection that is not handled would fail this test.
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals(calls, ["created throws", "created rejects"]);
});
