/**
 * What the eight methods have to do.
 *
 * @module
 */
import { inspect } from "node:util";
import { SessionStoreError } from "../errors.ts";
import { SessionMiddleware } from "../session_middleware.ts";
import type { SessionStore } from "../session_store.ts";
import { newSessionId } from "../signature.ts";
import {
  type Area,
  type Check,
  dispose,
  isPrincipalStore,
  isRecordStore,
  isStore,
  note,
  type OpenBench,
} from "./bench.ts";
import { expect, expectEqual, expectRejects, messageOf, show } from "./expect.ts";
import { Visitor } from "./visitor.ts";

/** The areas of what every store has to do, but for its values. */
export const REQUIRED: readonly Area[] = [
  { title: "required: init()", checks: opening },
  { title: "required: missing sessions", checks: missing },
  { title: "required: sessions come and go", checks: records },
  { title: "required: keys", checks: keys },
  { title: "required: concurrency", checks: concurrency },
  { title: "required: failure", checks: failure },
];

const GONE = "there is no such session";

/** Fails unless every method answers that there is no such session. */
export async function expectMissing(store: SessionStore, sid: string, what: string): Promise<void> {
  expectEqual(await store.exist(sid), false, `exist() of ${what}`);
  expectEqual(await store.get(sid), undefined, `get() of ${what}`);
  expectEqual(await store.getValue(sid, "key"), undefined, `getValue() of ${what}`);
}

/** What is in a session; a key whose value is `undefined` is absent. */
export async function valuesOf(store: SessionStore, sid: string): Promise<Map<string, unknown>> {
  const values: unknown = await store.get(sid);
  expect(
    typeof values === "object" && values !== null,
    `get() of a live session: expected an object with its values, got ${show(values)}`,
  );
  return new Map(Object.entries(values).filter(([, value]) => value !== undefined));
}

/** Makes a session with values. */
export async function createWith(store: SessionStore, values: Record<string, unknown> = {}): Promise<string> {
  const sid = newSessionId();
  await store.create(sid);
  for (const [key, value] of Object.entries(values)) await store.setValue(sid, key, value);
  return sid;
}

/** How many of several calls were fulfilled. */
export async function countFulfilled(calls: Promise<unknown>[]): Promise<number> {
  return (await Promise.allSettled(calls)).filter(({ status }) => status === "fulfilled").length;
}

function opening(bench: OpenBench): Check[] {
  return [{
    name: "init() opens the store, also called several times at once, and again later",
    run: async () => {
      const stores = [await bench.bench.create()];
      if (bench.other !== undefined) stores.push(await bench.bench.create(), await bench.bench.create());
      try {
        await Promise.all(stores.flatMap((store) => [store.init(), store.init()]));
        for (const store of stores) {
          const sid = await createWith(store, { key: "value" });
          await store.init();
          expectEqual(await store.getValue(sid, "key"), "value", "getValue() after one more init()");
        }
      } finally {
        for (const store of stores) await dispose(store);
      }
    },
  }, {
    name: "init() leaves the sessions that are there",
    run: async () => {
      const sid = await createWith(bench.store, { key: "value" });
      await Promise.all([bench.store.init(), bench.reader.init()]);
      expectEqual(await bench.store.getValue(sid, "key"), "value", "getValue() after init()");
    },
  }];
}

function missing({ store, reader }: OpenBench): Check[] {
  const cases: [string, () => Promise<string>][] = [
    ["that never was", () => Promise.resolve(newSessionId())],
    ["that was deleted", async () => {
      const sid = await createWith(store, { key: "value" });
      await store.delete(sid);
      return sid;
    }],
    ["that clear() removed", async () => {
      const sid = await createWith(store, { key: "value" });
      await store.clear();
      return sid;
    }],
  ];
  return cases.flatMap(([what, make]): Check[] => [{
    name: `exist() is false, get() and getValue() are undefined for a session ${what}`,
    run: async () => await expectMissing(reader, await make(), `a session ${what}`),
  }, {
    name: `delete() does nothing for a session ${what}`,
    run: async () => {
      const sid = await make();
      await reader.delete(sid);
      await reader.delete(sid);
      await expectMissing(reader, sid, `a session ${what}, after delete()`);
    },
  }, {
    name: `setValue() rejects for a session ${what}, and creates nothing`,
    run: async () => {
      const sid = await make();
      await expectRejects(`setValue() of a session ${what}`, () => reader.setValue(sid, "key", 1), GONE);
      await expectRejects(
        `setValue() with undefined of a session ${what}`,
        () => reader.setValue(sid, "key", undefined),
        GONE,
      );
      await expectMissing(reader, sid, `a session ${what}, after setValue() was refused`);
    },
  }]);
}

function records(bench: OpenBench): Check[] {
  const checks = bench.pairs(isStore).flatMap(({ where, a, b }): Check[] => [{
    name: `create() makes an empty record, ${where}`,
    run: async () => {
      const sid = await createWith(a);
      expectEqual(await b.exist(sid), true, "exist() after create()");
      expectEqual(await valuesOf(b, sid), new Map(), "get() after create()");
      expectEqual(await b.getValue(sid, "key"), undefined, "getValue() after create()");
    },
  }, {
    name: `create() refuses an id in use, and leaves the record there as it is, ${where}`,
    run: async () => {
      const sid = await createWith(a, { key: "value" });
      await expectRejects("create() of an id in use", () => b.create(sid), "it would empty somebody's session");
      expectEqual(await valuesOf(a, sid), new Map([["key", "value"]]), "get() after a refused create()");
    },
  }, {
    name: `delete() removes a session with all of its values, and no other, ${where}`,
    run: async () => {
      const sid = await createWith(a, { key: "value", other: 1 });
      const neighbour = await createWith(a, { key: "its own" });
      await b.delete(sid);
      await expectMissing(a, sid, "a deleted session");
      expectEqual(await a.getValue(neighbour, "key"), "its own", "getValue() of another session than the deleted one");
      await a.create(sid);
      expectEqual(await valuesOf(b, sid), new Map(), "get() of a session made under the id of a deleted one");
    },
  }, {
    name: `clear() removes every session with all of its values, ${where}`,
    run: async () => {
      const sids = await Promise.all([1, 2, 3].map((n) => createWith(a, { n })));
      await b.clear();
      for (const sid of sids) await expectMissing(a, sid, "a session after clear()");
      const [first = newSessionId()] = sids;
      await a.create(first);
      expectEqual(await valuesOf(b, first), new Map(), "get() of a session made under an id from before clear()");
    },
  }, {
    name: `ids that differ in a little are different sessions, ${where}`,
    run: async () => {
      const stem = newSessionId().slice(0, -2);
      const sids = ["aa", "aA", "Aa", "AA", "__", "--", "_-", "00"].map((end) => stem + end);
      for (const [n, id] of sids.entries()) {
        expectEqual(await b.exist(id), false, "exist() of an id that differs from others in a little");
        await a.create(id);
        await a.setValue(id, "n", n);
      }
      for (const [n, id] of sids.entries()) {
        expectEqual(await b.getValue(id, "n"), n, "getValue() of an id that differs from others in a little");
        await b.delete(id);
        await expectMissing(a, id, "a deleted session whose id differs from others in a little");
      }
    },
  }]);
  return [...checks, noSecrets(bench), foreignSessions(bench)];
}

function noSecrets({ store }: OpenBench): Check {
  return {
    name: "no error tells the session id or a value: whoever has the id is the visitor",
    run: async () => {
      const sid = await createWith(store);
      const taken = await createWith(store);
      const gone = newSessionId();
      const value = `a secret value ${newSessionId()}`;
      const errors = await Promise.allSettled([
        store.create(sid),
        store.setValue(gone, "key", value),
        store.setValue(sid, "key", { value, refused: () => value }),
        ...(isRecordStore(store)
          ? [
            store.changeRecord(gone, { set: new Map([["key", value]]) }),
            store.moveRecord(gone, newSessionId(), { meta: {}, graceUntil: 0 }),
            store.moveRecord(sid, taken, { meta: {}, graceUntil: 0 }),
          ]
          : []),
      ]);
      for (const error of errors) {
        if (error.status === "fulfilled") continue;
        expectSilent(error.reason, {
          "a session id": sid,
          "the id of a missing session": gone,
          "a new id": taken,
          "a value": value,
        });
      }
    },
  };
}

/** Fails if an error tells something, in its message, its properties or its causes. */
function expectSilent(error: unknown, secrets: Record<string, string>): void {
  const text = inspect(error, { depth: 8, maxStringLength: null });
  for (const [what, secret] of Object.entries(secrets)) {
    expect(
      !text.includes(secret),
      `an error tells ${what}, which then stands in logs: ${messageOf(error).replaceAll(secret, "<secret>")}`,
    );
  }
}

function foreignSessions({ store, options: { neighbour } }: OpenBench): Check {
  if (neighbour === undefined) {
    return note("not shown that clear() leaves what else lives in the backend: the option `neighbour` was not given");
  }
  return {
    name: "clear() leaves the sessions of another store in the same backend",
    run: async () => {
      const other = await neighbour();
      try {
        await other.init();
        const sid = newSessionId();
        await other.create(sid);
        await other.setValue(sid, "key", "value");
        await expectMissing(store, sid, "a session of another store in the same backend");
        await store.create(sid);
        await store.clear();
        expectEqual(await other.getValue(sid, "key"), "value", "getValue() of another store, after this one's clear()");
        await other.delete(sid);
      } finally {
        await dispose(other);
      }
    },
  };
}

const KEYS = [
  "key",
  "KEY",
  "Key",
  "ke",
  "keyy",
  "key ",
  " key",
  "",
  " ",
  "0",
  "-1",
  "length",
  "__proto__",
  "__proto___",
  "constructor",
  "prototype",
  "toString",
  "hasOwnProperty",
  "valueOf",
  "then",
  "__session",
  "__session:",
  "__session:key",
  "undefined",
  "null",
  "\0",
  "\0\0",
  "a\0b",
  "a\\0b",
  "\\",
  "\\\\",
  "\\0",
  "'",
  '"',
  "`",
  "a'; DROP TABLE sessions; --",
  "a.b",
  "a/b",
  "../a",
  "a:b",
  "{a}",
  "$set",
  "%",
  "_",
  "*",
  "a?b",
  "[a]",
  "\n",
  "\r\n",
  "\t",
  "\u{7f}",
  "\u{feff}",
  "\u{2028}",
  "\u{ffff}",
  "é",
  "e\u{301}",
  "ß",
  "Ω",
  "日本語",
  "\u{202e}key",
  "🍪",
  "👩‍👩‍👧‍👦",
  "k".repeat(512),
  "\0".repeat(512),
  "\\".repeat(512),
  "€".repeat(512),
  "🍪".repeat(256),
];

function keys({ store, reader }: OpenBench): Check[] {
  const name = (key: string): string => key.length > 40 ? `512 characters of ${show(key.slice(0, 2))}` : show(key);
  return [{
    name: "every key is kept apart from every other: odd ones, names that objects have, 512 characters",
    run: async () => {
      const sid = await createWith(store);
      for (const key of KEYS) {
        expectEqual(await reader.getValue(sid, key), undefined, `getValue() of ${name(key)} before it is written`);
      }
      for (const [n, key] of KEYS.entries()) await store.setValue(sid, key, n);
      const values = await valuesOf(reader, sid);
      for (const [n, key] of KEYS.entries()) {
        expectEqual(await reader.getValue(sid, key), n, `getValue() of the key ${name(key)}`);
        expectEqual(values.get(key), n, `the value of the key ${name(key)} in get()`);
      }
      const unknown = [...values.keys()].filter((key) => !KEYS.includes(key));
      expectEqual(unknown, [], "keys in get() that nobody wrote");
    },
  }, {
    name: "setValue() with undefined removes that key alone",
    run: async () => {
      const sid = await createWith(store);
      for (const [n, key] of KEYS.entries()) await store.setValue(sid, key, n);
      const kept = new Map(KEYS.map((key, n) => [key, n]));
      for (const key of KEYS.filter((_, n) => n % 2 === 0)) {
        await store.setValue(sid, key, undefined);
        kept.delete(key);
        expectEqual(await reader.getValue(sid, key), undefined, `getValue() of the removed key ${name(key)}`);
      }
      await store.setValue(sid, "never written", undefined);
      expectEqual(await valuesOf(reader, sid), kept, "get() after every other key was removed");
    },
  }, {
    name: "a key that is written again has the last value",
    run: async () => {
      const sid = await createWith(store);
      for (const key of ["key", "__proto__", "\0"]) {
        for (const value of [1, { two: 2 }, undefined, "three", null]) {
          await store.setValue(sid, key, value);
          expectEqual(await reader.getValue(sid, key), value, `getValue() of ${name(key)} after one more setValue()`);
        }
      }
    },
  }];
}

function concurrency(bench: OpenBench): Check[] {
  const notShared = bench.other === undefined
    ? [note("instances do not share their sessions: nothing is shown across them")]
    : [];
  return [
    ...bench.pairs(isStore).flatMap(({ where, a, b }): Check[] => [{
      name: `100 writes to different keys at once: none is lost, ${where}`,
      run: async () => {
        const sid = await createWith(a, { before: true });
        const numbers = Array.from({ length: 100 }, (_, n) => n);
        await Promise.all(numbers.map((n) => (n % 2 === 0 ? a : b).setValue(sid, `key ${n}`, n)));
        const expected = new Map<string, unknown>([["before", true]]);
        for (const n of numbers) expected.set(`key ${n}`, n);
        const lost = [...expected.keys()].filter((key) => !expected.has(key));
        const values = await valuesOf(b, sid);
        lost.push(...[...expected.keys()].filter((key) => values.get(key) !== expected.get(key)));
        expect(
          lost.length === 0,
          `${lost.length} of 100 acknowledged writes to different keys are lost: ${show(lost)}`,
        );
        expectEqual(values.size, expected.size, "how many keys there are after 100 writes at once");
      },
    }, {
      name: `writes and removals of different keys at once: each counts, ${where}`,
      run: async () => {
        const numbers = Array.from({ length: 20 }, (_, n) => n);
        const sid = await createWith(a, Object.fromEntries(numbers.map((n) => [`old ${n}`, n])));
        await Promise.all(numbers.flatMap((n) => [
          a.setValue(sid, `old ${n}`, undefined),
          b.setValue(sid, `new ${n}`, n),
        ]));
        const expected = new Map(numbers.map((n) => [`new ${n}`, n]));
        expectEqual(await valuesOf(b, sid), expected, "get() after 20 removals and 20 writes at once");
      },
    }, {
      name: `writes to one key at once: one of them is there, whole, ${where}`,
      run: async () => {
        const sid = await createWith(a);
        const texts = Array.from({ length: 20 }, (_, n) => String.fromCharCode(97 + n).repeat(2000));
        await Promise.all(texts.map((text, n) => (n % 2 === 0 ? a : b).setValue(sid, "key", text)));
        const read: unknown = await a.getValue(sid, "key");
        expect(
          texts.some((text) => text === read),
          `20 writes to one key at once: expected one of the values, whole, got ${show(read)}`,
        );
        expectEqual(await b.getValue(sid, "key"), read, "getValue() asked twice after writes to one key");
      },
    }, {
      name: `create() of one id at once: one of them makes it, ${where}`,
      run: async () => {
        for (let round = 0; round < 5; round++) {
          const sid = newSessionId();
          const made = await countFulfilled(Array.from({ length: 20 }, (_, n) => (n % 2 === 0 ? a : b).create(sid)));
          expectEqual(made, 1, "how many of 20 create() of one id at once were fulfilled");
          expectEqual(await valuesOf(b, sid), new Map(), "get() after create() of one id at once");
        }
      },
    }, {
      name: `create() beside writes: a session that is there is never emptied, ${where}`,
      run: async () => {
        const sid = await createWith(a, { key: "value" });
        const calls = Array.from({ length: 20 }, (_, n) => n % 2 ? b.create(sid) : a.setValue(sid, `key ${n}`, n));
        expectEqual(
          await countFulfilled(calls),
          10,
          "how many of 10 writes and 10 create() of an id in use were fulfilled",
        );
        expectEqual((await valuesOf(b, sid)).size, 11, "how many values there are after create() of an id in use");
      },
    }, {
      name: `delete() beside writes: nothing comes back, ${where}`,
      run: async () => {
        for (let round = 0; round < 20; round++) {
          const sid = await createWith(a, { key: "value" });
          const writes = (store: SessionStore, n: number): Promise<unknown>[] =>
            Array.from({ length: n }, (_, i) => store.setValue(sid, `key ${i}`, round));
          await Promise.allSettled([...writes(b, round % 5), a.delete(sid), ...writes(b, 5)]);
          await expectMissing(b, sid, "a session that was deleted while it was written to");
          await expectRejects("setValue() of a deleted session", () => b.setValue(sid, "key", 1), GONE);
        }
      },
    }]),
    ...notShared,
  ];
}

/** How long a store whose backend cannot be reached may take to say so, in milliseconds. */
const PATIENCE = 10_000;

/** Fails unless a call of a store whose backend cannot be reached rejects in time. */
async function expectFailure(what: string, call: () => Promise<unknown>): Promise<unknown> {
  const name = `${what} of a store whose backend cannot be reached`;
  const why = "it could not look, and that must never look like an answer";
  const error = await Promise.race([expectRejects(name, call, why), later(PATIENCE)]);
  expect(error !== LATE, `${name}: expected it to reject within ${PATIENCE / 1000} seconds`);
  return error;
}

const LATE = Symbol();

/** Waits without keeping the process alive. */
function later(milliseconds: number): Promise<typeof LATE> {
  return new Promise((resolve) => Deno.unrefTimer(setTimeout(() => resolve(LATE), milliseconds)));
}

function failure({ store: healthy, options: { broken } }: OpenBench): Check[] {
  if (broken === undefined) {
    return [note("not shown that a failure never looks like a missing session: the option `broken` was not given")];
  }
  /** Runs a check on a store whose backend cannot be reached. */
  const onBroken = (name: string, run: (store: SessionStore) => Promise<void>): Check => ({
    name,
    run: async () => {
      const store = await broken();
      try {
        // Whether it tells now or at the first call is its own choice.
        await Promise.race([store.init(), later(PATIENCE)]).catch(() => {});
        await run(store);
      } finally {
        await dispose(store);
      }
    },
  });
  const meta = { createdAt: 1, seenAt: 1, renewedAt: 1 };
  return [
    onBroken("every method rejects where the backend cannot be reached, and tells no session id", async (store) => {
      const sid = newSessionId();
      const calls: [string, () => Promise<unknown>][] = [
        ["exist()", () => store.exist(sid)],
        ["create()", () => store.create(sid)],
        ["delete()", () => store.delete(sid)],
        ["get()", () => store.get(sid)],
        ["setValue()", () => store.setValue(sid, "key", 1)],
        ["getValue()", () => store.getValue(sid, "key")],
        ["clear()", () => store.clear()],
      ];
      if (isRecordStore(store)) {
        const record = { values: new Map(), expiresAt: Date.now() + 60_000, meta };
        calls.push(
          ["createRecord()", () => store.createRecord(sid, record)],
          ["readRecord()", async () => await store.readRecord(sid)],
          ["changeRecord()", () => store.changeRecord(sid, { clear: true })],
          ["moveRecord()", () => store.moveRecord(sid, newSessionId(), { meta: {}, graceUntil: 0 })],
        );
      }
      if (isPrincipalStore(store)) calls.push(["listSessions()", () => store.listSessions("a user")]);
      await Promise.all(calls.map(async ([what, call]) => {
        const error = await expectFailure(what, call);
        expect(
          !(error instanceof Error && error.name === "SessionGoneError"),
          `${what} of a store whose backend cannot be reached says that the session is gone: expected the backend's error`,
        );
        expectSilent(error, { "the session id": sid });
      }));
    }),
    onBroken(
      "a request with a live session's cookie fails, and its visitor does not become a new one",
      async (store) => {
        const options = { secret: SessionMiddleware.generateSecret(), onEvent: (): void => {} };
        const { cookie } = await Visitor.signUp(new SessionMiddleware(healthy, options));
        const visitor = new Visitor(new SessionMiddleware(store, options), cookie);
        const error = await expectFailure("a request", () => visitor.visit((session) => session.get("key")));
        expect(
          error instanceof SessionStoreError,
          `a request on a store whose backend cannot be reached: expected a SessionStoreError, got ${show(error)}`,
        );
      },
    ),
  ];
}
