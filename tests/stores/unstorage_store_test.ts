import { createStorage, type Driver, prefixStorage, type Storage } from "npm:unstorage@1.17.6";
import denoKvDriver from "npm:unstorage@1.17.6/drivers/deno-kv";
import fsDriver from "npm:unstorage@1.17.6/drivers/fs";
import { assert, assertEquals, assertRejects, assertThrows } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { idOf, optionalCookieOf, read, signUp, start, visit } from "../helpers/request.ts";
import { FakeTimers, outcomeOf, quiet } from "../helpers/timers.ts";
import { type Session, SessionGoneError, SessionStoreError, UnreadableRecordError } from "../../mod.ts";
import { EncryptedStore } from "../../src/stores/encrypted_store.ts";
import { type UnstorageLike, UnstorageStore } from "../../src/stores/unstorage_store.ts";
import { testSessionStore } from "../../src/testing.ts";

const directory = Deno.makeTempDirSync();
const memory = createStorage();
const files = createStorage({ driver: fsDriver({ base: directory }) });
const kv = createStorage({ driver: denoKvDriver({ path: ":memory:" }) });
addEventListener("unload", () => {
  kv.dispose();
  Deno.removeSync(directory, { recursive: true });
});

testSessionStore("UnstorageStore in memory", () => new UnstorageStore(memory), {
  values: "all",
  neighbour: () => new UnstorageStore(memory, { prefix: "another" }),
  broken: () => new UnstorageStore(storageOf({ getItem: fail, setItem: fail, removeItem: fail, getKeys: fail })),
});
testSessionStore("UnstorageStore on files", () => new UnstorageStore(files), {
  values: "all",
  // A folder within the folder of the store.
  neighbour: () => new UnstorageStore(files, { prefix: "session:another" }),
  // A folder within a file: every call fails.
  broken: () => new UnstorageStore(createStorage({ driver: fsDriver({ base: `${import.meta.filename}/folder` }) })),
});
testSessionStore(
  "EncryptedStore on an UnstorageStore",
  () => new EncryptedStore(new UnstorageStore(memory, { prefix: "encrypted" }), "k".repeat(43)),
  { values: "all" },
);

function fail(): never {
  throw new Error("the backend cannot be reached");
}

/** A write of a {@linkcode RecordingDriver}. */
interface Written {
  key: string;
  text: string;
  ttl: number | undefined;
}

/** A driver in memory that records what is written, and removes an item at the end of its time to live. */
interface RecordingDriver extends Driver {
  items: Map<string, { text: string; expiresAt: number }>;
  written: Written[];
}

function recordingDriver(): RecordingDriver {
  const items: RecordingDriver["items"] = new Map();
  const written: Written[] = [];
  const live = (key: string): string | null => {
    const item = items.get(key);
    return item !== undefined && Date.now() < item.expiresAt ? item.text : null;
  };
  return {
    items,
    written,
    hasItem: (key) => live(key) !== null,
    getItem: live,
    setItem: (key, text, { ttl }) => {
      written.push({ key, text, ttl });
      items.set(key, { text, expiresAt: ttl === undefined ? Infinity : Date.now() + ttl * 1000 });
    },
    removeItem: (key) => void items.delete(key),
    getKeys: () => [...items.keys()],
  };
}

/** A storage on a recording driver some of whose methods are replaced. */
function storageOf(overrides: Partial<Driver>): Storage {
  return createStorage({ driver: { ...recordingDriver(), ...overrides } });
}

/** Lets a test decide when a call goes on, and whether it fails. */
function gate(): { promise: Promise<void>; resolve: () => void; reject: (error: Error) => void } {
  return Promise.withResolvers<void>();
}

const OF_SESSION_A = "session:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
const MINUTE = 60_000;

Deno.test("UnstorageStore() accepts every storage of unstorage without a cast", () => {
  const storages: UnstorageLike[] = [
    createStorage(),
    createStorage<string>(),
    createStorage<{ items: { counter: number } }>(),
    prefixStorage(createStorage(), "application"),
    createStorage().mount("session", recordingDriver()),
  ];
  for (const storage of storages) new UnstorageStore(storage);
});

Deno.test("UnstorageStore() refuses wrong arguments", () => {
  const wrong: [unknown, unknown, typeof TypeError | typeof RangeError, string][] = [
    [undefined, {}, TypeError, "`storage` must be a Storage of unstorage; received undefined"],
    [null, {}, TypeError, "pass the result of `createStorage({ driver })`"],
    [new Map(), {}, TypeError, "`storage` must be"],
    [recordingDriver, {}, TypeError, "received a function"],
    [{ ...memory, getKeys: undefined }, {}, TypeError, "`storage` must be"],
    [memory, { prefix: 1 }, TypeError, "`prefix` must be a string; received 1"],
    ...["", ":", "a:", ":a", "a::b", "A", "é", "a b", "a/b", "a?b", ".", "..", "a:..", "a\n", "*"].map(
      (prefix): [unknown, unknown, typeof RangeError, string] => [memory, { prefix }, RangeError, "lower-case letters"],
    ),
  ];
  for (const [storage, options, type, message] of wrong) {
    assertThrows(() => Reflect.construct(UnstorageStore, [storage, options]), type, message);
  }
  for (const prefix of ["a", "session-2", "my_app:sessions:1"]) new UnstorageStore(memory, { prefix });
});

Deno.test("UnstorageStore stores a session as one item, whose key does not disclose the id", async () => {
  const driver = recordingDriver();
  const store = new UnstorageStore(createStorage({ driver }));
  await store.create("a");
  await store.setValue("a", "k", 1);
  assertEquals(driver.written, [
    { key: OF_SESSION_A, text: "session/1 {}", ttl: undefined },
    { key: OF_SESSION_A, text: 'session/1 {"k":[1]}', ttl: undefined },
  ]);
});

Deno.test("UnstorageStore makes the documented number of storage calls", async (t) => {
  let calls = 0;
  const driver = recordingDriver();
  const counted = <A extends unknown[], R>(method: (...args: A) => R) => (...args: A): R => (calls++, method(...args));
  const store = new UnstorageStore(createStorage({
    driver: {
      ...driver,
      getItem: counted(driver.getItem),
      setItem: counted(driver.setItem ?? fail),
      removeItem: counted(driver.removeItem ?? fail),
    },
  }));
  const middleware = start({}, store);
  let cookie = "";
  const on = (action: (session: Session) => Promise<unknown>) => async (): Promise<void> => {
    const response = await visit(middleware, { cookie }, ({ security: { session } }) => action(session));
    cookie = optionalCookieOf(response) ?? cookie;
  };
  const steps: [string, () => Promise<unknown>, number][] = [
    ["a new session with one value", on((session) => session.set("k", 1)), 6],
    ["a lookup", on((session) => session.get("k")), 1],
    ["a lookup and a write", on((session) => session.set("k", 2)), 3],
    ["a lookup and a sign-in with one value", on((session) => session.regenerate({ principal: "ada" })), 10],
    ["a lookup and a sign-out", on((session) => session.destroy()), 4],
  ];
  for (const [name, step, expected] of steps) {
    await t.step(name, async () => {
      calls = 0;
      await step();
      assertEquals(calls, expected);
    });
  }
});

Deno.test("UnstorageStore reads the stored format of the first release", async () => {
  const storage = createStorage();
  await storage.setItem(OF_SESSION_A, 'session/1 {"k%00250000%00e9":[{"n":1},1],"":[["Set",1],"%d83c%df6a"]}');
  const store = new UnstorageStore(storage);
  assertEquals({ ...await store.get("a") }, { "k\0é": { n: 1 }, "": new Set(["🍪"]) });
});

Deno.test("UnstorageStore writes ASCII only, so that any character set of a database keeps the text", async () => {
  const driver = recordingDriver();
  const store = new UnstorageStore(createStorage({ driver }));
  const values: [string, unknown][] = [["é%", "ü%00e9"], ["日本語", { "🍪": "\ud800" }], ["\u0080\uffff", "\u2028"]];
  await store.create("a");
  for (const [key, value] of values) await store.setValue("a", key, value);
  for (const { text } of driver.written) assert(/^[ -~]*$/.test(text), text);
  assertEquals(Object.entries(await store.get("a") ?? {}), values);
});

Deno.test("UnstorageStore keeps values that unstorage itself would change", async () => {
  const values: [string, unknown][] = [
    ["true", "true"],
    ["number", "1e3"],
    ["null", "null"],
    ["quoted", '"text"'],
    ["object", '{"__proto__":{"polluted":true}}'],
    ["base64", "base64:AAAA"],
    ["__proto__", "a key"],
    ["constructor", { prototype: 1 }],
    ["nested", JSON.parse('{"__proto__":{"constructor":1}}')],
  ];
  for (const [name, storage] of Object.entries({ memory, files })) {
    const store = new UnstorageStore(storage, { prefix: "values" });
    await store.create(name);
    for (const [key, value] of values) await store.setValue(name, key, value);
    assertEquals(Object.entries(await store.get(name) ?? {}).sort(), values.toSorted());
    for (const [key, value] of values) assertEquals(await store.getValue(name, key), value);
    await store.clear();
  }
});

Deno.test("UnstorageStore keeps ids that differ in case apart in a backend that ignores case", async () => {
  const driver = recordingDriver();
  const lower = (key: string): string => key.toLowerCase();
  const store = new UnstorageStore(storageOf({
    ...driver,
    getItem: (key) => driver.getItem(lower(key)),
    setItem: (key, text, options) => driver.setItem?.(lower(key), text, options),
    removeItem: (key, options) => driver.removeItem?.(lower(key), options),
  }));
  await store.create("abc");
  await store.create("aBc");
  await store.setValue("abc", "k", 1);
  await store.delete("aBc");
  assertEquals([await store.getValue("abc", "k"), await store.exist("aBc")], [1, false]);
  // A key that is not in lower case would come back changed from such a backend.
  assertEquals([...driver.items.keys()], [...driver.items.keys()].map(lower));
  await store.clear();
  assertEquals(driver.items.size, 0);
});

Deno.test("UnstorageStore accepts ids that are paths, patterns and prefixes of keys", async () => {
  for (const storage of [memory, files]) {
    const store = new UnstorageStore(storage, { prefix: "ids" });
    const sids = ["a", "a:b", "a/b", "a\\b", "a?b", "a?c", "../a", "..", ".", "", ":", "a$", "*", "ids:a", "é", "\0"];
    for (const [n, sid] of sids.entries()) {
      assertEquals(await store.exist(sid), false, sid);
      await store.create(sid);
      await store.setValue(sid, "n", n);
    }
    for (const [n, sid] of sids.entries()) assertEquals(await store.getValue(sid, "n"), n, sid);
    await store.clear();
    assertEquals(await storage.getKeys("ids"), []);
  }
});

Deno.test("UnstorageStore.init() finds a driver that does not keep what is written", async (t) => {
  const drivers: [string, Partial<Driver>][] = [
    ["ignores writes", { setItem: undefined }],
    ["ignores removals", { removeItem: undefined }],
    ["answers with an older state", { getItem: () => null }],
    ["parses the text", { getItem: () => ({}) }],
    ["changes the text", { getItem: () => "session/1" }],
  ];
  for (const [name, overrides] of drivers) {
    await t.step(name, async () => {
      const store = new UnstorageStore(storageOf(overrides));
      await assertRejects(() => store.init(), SessionStoreError, "ignores or changes what is written to it");
    });
  }
  await t.step("fails", async () => {
    const store = new UnstorageStore(storageOf({ setItem: fail }));
    const error = await assertRejects(
      () => store.init(),
      SessionStoreError,
      "the backend cannot be reached; check the options",
    );
    assert(error.cause instanceof Error && error.cause.message === "the backend cannot be reached");
  });
  await t.step("a working one, also if two processes open it at the same time", async () => {
    const driver = recordingDriver();
    const held = gate();
    const slow = new UnstorageStore(createStorage({
      driver: { ...driver, getItem: (key) => held.promise.then(() => driver.getItem(key)) },
    }));
    const opened = slow.init();
    await quiet();
    await new UnstorageStore(createStorage({ driver })).init();
    held.resolve();
    await opened;
  });
  await t.step("a working one, and leaves nothing behind", async () => {
    const driver = recordingDriver();
    const store = new UnstorageStore(createStorage({ driver }));
    await Promise.all([store.init(), store.init()]);
    assertEquals([driver.items.size, driver.written.length], [0, 2]);
    // If the process ends in between, the backend removes the item.
    assertEquals(driver.written.map(({ ttl }) => ttl), [600, 600]);
  });
});

Deno.test("UnstorageStore.ping() rejects if the backend does not answer", async () => {
  await new UnstorageStore(createStorage()).ping();
  await new UnstorageStore(files).ping();
  // hasItem() of the same driver returns false.
  const missing = createStorage({ driver: fsDriver({ base: `${import.meta.filename}/folder` }) });
  assertEquals(await missing.hasItem("session:ping"), false);
  await assertRejects(() => new UnstorageStore(missing).ping(), Error, "ENOTDIR");
});

Deno.test("UnstorageStore passes the time to live of the middleware's session, and ten minutes more", async () => {
  using clock = new FakeClock();
  const driver = recordingDriver();
  const store = new UnstorageStore(createStorage({ driver }));
  const middleware = start({ maxAge: 3600, rolling: true }, store);
  const cookie = await signUp(middleware, { user: "ada" });
  const last = (): number | undefined => driver.written.at(-1)?.ttl;
  assertEquals(last(), 3600 + 600);

  clock.tick(1_000_500);
  await visit(middleware, { cookie }, ({ security: { session } }) => session.set("cart", 1));
  // `rolling` has extended the session.
  assertEquals(last(), 3600 + 600);
  clock.tick(60_200);
  await visit(middleware, { cookie }, ({ security: { session } }) => session.set("cart", 2));
  // Rounded up: 3539.8 seconds are left.
  assertEquals(last(), 3540 + 600);
});

Deno.test("UnstorageStore lets the backend remove an abandoned session, but not early", async () => {
  using clock = new FakeClock();
  const driver = recordingDriver();
  const store = new UnstorageStore(createStorage({ driver }));
  const sid = idOf(await signUp(start({ maxAge: 3600 }, store)));
  // The clock of another machine may be behind by ten minutes, and still find the session live.
  clock.tick(4_199_000);
  assertEquals(await store.exist(sid), true);
  clock.tick(2000);
  assertEquals(await store.exist(sid), false);
});

Deno.test("UnstorageStore passes no time to live that is unknown or too long for a backend", async () => {
  using clock = new FakeClock();
  const driver = recordingDriver();
  const store = new UnstorageStore(createStorage({ driver }));
  await store.create("a");
  const now = clock.now;
  const cases: [unknown, number | undefined][] = [
    [{ expiresAt: now + 1 }, 601],
    [{ expiresAt: now }, 600],
    [{ expiresAt: now - 1e9 }, 600],
    [{ expiresAt: now + (2 ** 31 - 1 - 600) * 1000 }, 2 ** 31 - 1],
    [{ expiresAt: now + (2 ** 31 - 600) * 1000 }, undefined],
    [{ expiresAt: Infinity }, undefined],
    [{ expiresAt: NaN }, undefined],
    [{ expiresAt: "1" }, undefined],
    [{}, undefined],
    [null, undefined],
    ["encrypted", undefined],
    [undefined, undefined],
  ];
  for (const [reserved, expected] of cases) {
    await store.setValue("a", "__session", reserved);
    assertEquals(driver.written.at(-1)?.ttl, expected, String(reserved));
    // A write of another value keeps it.
    await store.setValue("a", "k", 1);
    assertEquals(driver.written.at(-1)?.ttl, expected, String(reserved));
  }
});

Deno.test("UnstorageStore.removeExpired() removes sessions that expired at least ten minutes ago", async () => {
  using clock = new FakeClock();
  // Without a time to live.
  const storage = createStorage();
  const store = new UnstorageStore(storage);
  const short = idOf(await signUp(start({ maxAge: 60 }, store)));
  const long = idOf(await signUp(start({ maxAge: 3600 }, store)));
  await store.create("without an expiry");
  await storage.setItem(OF_SESSION_A, "session/1 {torn");
  await storage.setItem("session:note", "of another program");
  const encrypted = new EncryptedStore(store, "k".repeat(43));
  const hidden = idOf(await signUp(start({ maxAge: 60 }, encrypted)));

  clock.tick(659_000);
  assertEquals(await store.removeExpired(), 0);
  clock.tick(1000);
  assertEquals(await store.removeExpired(), 1);
  assertEquals(await store.removeExpired(), 0);
  assertEquals(await Promise.all([short, long, "without an expiry", "a", hidden].map((sid) => store.exist(sid))), [
    false,
    true,
    true,
    true,
    true,
  ]);
  assertEquals(await storage.getItem("session:note"), "of another program");
});

Deno.test("UnstorageStore.removeExpired() keeps a session that a write extends meanwhile", async () => {
  using clock = new FakeClock();
  const storage = createStorage();
  const store = new UnstorageStore(storage);
  await store.create("a");
  await store.setValue("a", "__session", { expiresAt: clock.now });
  clock.tick(601_000);
  const write = store.setValue("a", "__session", { expiresAt: clock.now + MINUTE });
  assertEquals([await store.removeExpired(), await write, await store.exist("a")], [0, undefined, true]);
});

Deno.test("UnstorageStore.clear() removes its own items only, also from a list that is incomplete or outdated", async () => {
  const driver = recordingDriver();
  // As the driver for S3, which also ignores the prefix.
  const storage = createStorage({ driver: { ...driver, getKeys: () => [...driver.items.keys()].slice(0, 1000) } });
  const store = new UnstorageStore(storage);
  await Promise.all(Array.from({ length: 2500 }, (_, n) => store.create(`${n}`)));
  const another = new UnstorageStore(storage, { prefix: "session:another" });
  await another.create("a");
  for (const key of ["session:note", "sessions:a", "note", `${OF_SESSION_A}0`]) await storage.setItem(key, "kept");
  await store.clear();
  assertEquals([...driver.items.keys()].map((key) => key.replace(/:[\da-f]{64}$/, ":<hash>")), [
    "session:another:<hash>",
    "session:note",
    "sessions:a",
    "note",
    `${OF_SESSION_A}0`,
  ]);

  const stale = Array.from({ length: 1000 }, (_, n) => `session:${n.toString(16).padStart(64, "0")}`);
  await new UnstorageStore(storageOf({ getKeys: () => stale })).clear();
});

Deno.test("UnstorageStore.clear() that fails half way removes the rest, and can be called again", async () => {
  const driver = recordingDriver();
  let calls = 0;
  let failing = 1;
  const removeItem = (key: string): void => ++calls <= failing ? fail() : void driver.items.delete(key);
  const store = new UnstorageStore(createStorage({ driver: { ...driver, removeItem } }));
  await Promise.all(Array.from({ length: 250 }, (_, n) => store.create(`${n}`)));
  await assertRejects(() => store.clear(), Error, "cannot be reached");
  assertEquals(driver.items.size, 1);
  await store.clear();
  assertEquals(driver.items.size, 0);

  // A backend that is down is asked only once, for a hundred items.
  await Promise.all(Array.from({ length: 250 }, (_, n) => store.create(`${n}`)));
  [calls, failing] = [0, Infinity];
  await assertRejects(() => store.clear(), Error, "cannot be reached");
  assertEquals([calls, driver.items.size], [100, 250]);
});

Deno.test("UnstorageStore.delete() does nothing if the driver rejects because the item is missing", async () => {
  const driver = recordingDriver();
  const removeItem = (key: string): void => {
    if (!driver.items.delete(key)) throw new Error("404");
  };
  const store = new UnstorageStore(createStorage({ driver: { ...driver, removeItem } }));
  await store.delete("a");
  await store.create("a");
  await store.delete("a");
  assertEquals(driver.items.size, 0);
});

Deno.test("UnstorageStore.delete() and clear() reject if the session is still there, also if the driver says nothing", async (t) => {
  const drivers: [string, Partial<Driver>, string][] = [
    ["rejects", { removeItem: fail }, "cannot be reached"],
    ["rejects reads, too", { removeItem: fail, getItem: fail }, "cannot be reached"],
    ["is read-only", { removeItem: undefined }, "still has the session after its removal"],
    ["returns its error", { removeItem: () => new Error("EACCES") as unknown as void }, "still has the session"],
  ];
  for (const [name, overrides, message] of drivers) {
    await t.step(name, async () => {
      const driver = recordingDriver();
      await new UnstorageStore(createStorage({ driver })).create("a");
      const store = new UnstorageStore(createStorage({ driver: { ...driver, ...overrides } }));
      await assertRejects(() => store.delete("a"), Error, message);
      await assertRejects(() => store.clear(), Error, message);
      assertEquals(driver.items.size, 1);
    });
  }
  await t.step("a folder that cannot be written to", async () => {
    const base = `${directory}/read-only`;
    const store = new UnstorageStore(createStorage({ driver: fsDriver({ base }) }));
    await store.create("a");
    const readOnly = new UnstorageStore(createStorage({ driver: fsDriver({ base, readOnly: true }) }));
    await assertRejects(() => readOnly.delete("a"), SessionStoreError, "still has the session");
    assertEquals(await store.exist("a"), true);
  });
});

Deno.test("UnstorageStore removes from a driver's error what may quote the session", async () => {
  // As the clients of MySQL and Redis do.
  const failing = (...parameters: unknown[]): never => {
    throw Object.assign(new RangeError("it failed"), { code: "E42", sql: `INSERT ${parameters.join()}`, parameters });
  };
  const driver = recordingDriver();
  await new UnstorageStore(createStorage({ driver })).create("a");
  const check = async (
    overrides: Partial<Driver>,
    call: (store: UnstorageStore) => Promise<unknown>,
  ): Promise<void> => {
    const store = new UnstorageStore(createStorage({ driver: { ...driver, ...overrides } }));
    const error = await assertRejects(() => call(store), Error);
    const text = Deno.inspect(error);
    assert(text.includes("RangeError]: it failed") && text.includes("E42"), text);
    assert(!text.includes("secret") && !text.includes(OF_SESSION_A.slice(8)), text);
  };
  await check({ setItem: failing }, (store) => store.setValue("a", "k", "secret"));
  await check({ setItem: failing }, (store) => store.create("b"));
  await check({ setItem: failing }, (store) => store.init());
  await check({ getItem: failing }, (store) => store.get("a"));
  await check(
    { getItem: (key) => Object.assign(new RangeError("it failed"), { code: "E42", key }) },
    (store) => store.get("a"),
  );
  await check({ removeItem: failing }, (store) => store.delete("a"));
  await check({ getKeys: failing }, (store) => store.clear());
});

Deno.test("UnstorageStore cuts off the message of a driver where it begins to quote the session", async (t) => {
  const hash = OF_SESSION_A.slice("session:".length);
  const written = 'session/1 {"k":["secret"]}';
  const messages: [string, string, string][] = [
    // As @upstash/redis does.
    ["a command", `ERR too large, command was: ${JSON.stringify([["set", OF_SESSION_A, written]])}`, "ERR too large, "],
    ["the text alone", `Data too long: '${written}'`, "Data too long: '…"],
    ["escaped text", `Data too long: ${JSON.stringify(written).replace("/", "\\/")}`, 'Data too long: "…'],
    ["encoded text", `400 Bad Request: POST /?value=${encodeURIComponent(written)}`, "400 Bad Request: POST /?value=…"],
    ["the text over several lines", `failed:\n${written}\n{"l":["secret"]}`, "failed:"],
    [
      "the key in a URL",
      `PUT https://kv.example/session%3A${hash}: 500 "secret"`,
      "PUT https://kv.example/session%…",
    ],
    ["the key in upper case", `ENOENT: open '/sessions/${hash.toUpperCase()}'`, "ENOENT: open '/sessions/…"],
  ];
  for (const [name, message, expected] of messages) {
    await t.step(name, async () => {
      const failing = (): never => {
        throw Object.assign(new RangeError(message), { code: "E42" });
      };
      const driver = recordingDriver();
      await new UnstorageStore(createStorage({ driver })).create("a");
      const calls: [Partial<Driver>, (store: UnstorageStore) => Promise<unknown>][] = [
        [{ setItem: failing }, (store) => store.setValue("a", "k", "secret")],
        [{ getItem: failing }, (store) => store.get("a")],
        [{ removeItem: failing }, (store) => store.delete("a")],
        [{ getKeys: failing }, (store) => store.clear()],
        [{ setItem: failing }, (store) => store.init()],
      ];
      for (const [overrides, call] of calls) {
        const store = new UnstorageStore(createStorage({ driver: { ...driver, ...overrides } }));
        const text = Deno.inspect(await assertRejects(() => call(store), Error));
        assert(text.includes(`RangeError: ${expected}`) || text.includes(`RangeError]: ${expected}`), text);
        assert(!text.includes("secret") && !text.toLowerCase().includes(hash), text);
      }
    });
  }
});

Deno.test("UnstorageStore rejects with an error if a driver rejects with something else", async () => {
  const store = new UnstorageStore(storageOf({ getItem: () => Promise.reject("a secret") }));
  const error = await assertRejects(() => store.get("a"), Error, "The client failed without an error");
  assert(!Deno.inspect(error).includes("secret"));
});

Deno.test("UnstorageStore keeps the session if the driver fails half way through a write", async (t) => {
  const driver = recordingDriver();
  let isDown = false;
  const store = new UnstorageStore(createStorage({
    driver: { ...driver, setItem: (...args) => isDown ? fail() : driver.setItem?.(...args) },
  }));
  await store.create("a");
  await store.setValue("a", "k", 1);
  await t.step("setValue() names the key, not the value, and keeps what was there", async () => {
    isDown = true;
    const error = await assertRejects(
      () => store.setValue("a", "k", "secret"),
      SessionStoreError,
      'Cannot set "k": UnstorageStore failed',
    );
    assertEquals(Deno.inspect(error).includes("secret"), false);
    assertEquals(error.operation, "set");
    await assertRejects(
      () => store.setValue("a", "k", undefined),
      SessionStoreError,
      'Cannot set "k": UnstorageStore failed',
    );
    assertEquals({ ...await store.get("a") }, { k: 1 });
  });
  await t.step("create() rejects and creates nothing", async () => {
    await assertRejects(() => store.create("b"), Error, "cannot be reached");
    assertEquals(await store.exist("b"), false);
  });
  await t.step("the next write works again", async () => {
    isDown = false;
    await store.setValue("a", "l", 2);
    assertEquals({ ...await store.get("a") }, { k: 1, l: 2 });
  });
  await t.step("a request gets 503, and the next one works", async () => {
    const middleware = start({ onEvent: () => {} }, store);
    const cookie = await signUp(middleware);
    isDown = true;
    const error = await assertRejects(
      () => visit(middleware, { cookie }, ({ security: { session } }) => session.set("cart", 1)),
      SessionStoreError,
    );
    assertEquals(error.httpCode, 503);
    isDown = false;
    assertEquals(await read(middleware, cookie, "user"), "ada");
  });
});

Deno.test("UnstorageStore never takes a failure of the driver for a missing session", async () => {
  // The drivers for files return the error.
  const returnsError = (): unknown => new Error("the backend cannot be reached");
  for (const getItem of [fail, returnsError as Driver["getItem"]]) {
    const store = new UnstorageStore(storageOf({ getItem }));
    for (
      const call of [
        () => store.ping(),
        () => store.exist("a"),
        () => store.get("a"),
        () => store.getValue("a", "k"),
        () => store.create("a"),
        () => store.setValue("a", "k", 1),
        () => store.delete("a"),
      ]
    ) {
      const error = await assertRejects(call, Error, "cannot be reached");
      assert(!(error instanceof SessionGoneError) && !(error instanceof UnreadableRecordError));
    }
  }
});

Deno.test("UnstorageStore rejects with UnreadableRecordError where the item is not what it wrote", async (t) => {
  const storage = createStorage();
  const store = new UnstorageStore(storage);
  const texts: [string, string | number | object][] = [
    ["empty", ""],
    ["torn", 'session/1 {"k":[1'],
    ["of another version", "session/2 {}"],
    ["JSON", { k: [1] }],
    ["a number", 1],
    ["an array", "session/1 []"],
    ["a value that is not encoded", 'session/1 {"k":1.5}'],
  ];
  for (const [name, text] of texts) {
    await t.step(name, async () => {
      await storage.setItem(OF_SESSION_A, text);
      const calls = { get: () => store.get("a"), set: () => store.setValue("a", "k", 2) };
      for (const [operation, call] of Object.entries(calls)) {
        const error = await assertRejects(
          call,
          UnreadableRecordError,
          `Cannot ${operation}: UnstorageStore found a stored session that it cannot read`,
        );
        assertEquals([error.operation, error.cause], [operation, undefined]);
      }
      await assertRejects(() => store.getValue("a", "k"), UnreadableRecordError);
      // It is in use, and can be removed.
      await assertRejects(() => store.create("a"), SessionStoreError, "already has a session");
      assertEquals(await store.exist("a"), true);
      await store.delete("a");
      assertEquals(await store.exist("a"), false);
    });
  }
});

Deno.test("UnstorageStore reads a session again that a driver shows half written", async () => {
  const driver = recordingDriver();
  const isHalfWritten = gate();
  let goOn = Promise.resolve();
  const store = new UnstorageStore(createStorage({
    driver: {
      ...driver,
      // As a file system does: the file is emptied, then written.
      setItem: async (key, text, options) => {
        driver.setItem?.(key, text.slice(0, 20), options);
        isHalfWritten.resolve();
        await goOn;
        driver.setItem?.(key, text, options);
      },
    },
  }));
  await store.create("a");
  const written = gate();
  goOn = written.promise;
  const write = store.setValue("a", "key", "a long value");
  await isHalfWritten.promise;
  await quiet();
  const reads = [store.get("a"), store.getValue("a", "key")];
  await quiet();
  written.resolve();
  assertEquals([{ ...await reads[0] }, await reads[1]], [{ key: "a long value" }, "a long value"]);
  await write;
});

Deno.test("UnstorageStore refuses a session that is too large for the driver, names the key, and changes nothing", async () => {
  const store = new UnstorageStore(kv);
  await store.init();
  await store.create("a");
  await store.setValue("a", "k", "x".repeat(60_000));
  const error = await assertRejects(() => store.setValue("a", "long", "x".repeat(6000)), SessionStoreError, '"long"');
  assert(error.cause instanceof Error && error.cause.message.startsWith("Value too large"));
  assertEquals(Object.keys(await store.get("a") ?? {}), ["k"]);
});

Deno.test("UnstorageStore loses no concurrent write of several stores on one storage", async () => {
  const stores = [1, 2, 3].map(() => new UnstorageStore(files, { prefix: "concurrent" }));
  const [store] = stores;
  await store?.create("a");
  await Promise.all(Array.from({ length: 60 }, (_, n) => stores[n % 3]?.setValue("a", `${n}`, n)));
  assertEquals(Object.keys(await store?.get("a") ?? {}).length, 60);
  await store?.clear();
});

Deno.test("UnstorageStore serializes the writes to a session, and not those to others", async () => {
  const driver = recordingDriver();
  const held = gate();
  const store = new UnstorageStore(createStorage({
    driver: {
      ...driver,
      setItem: async (key, text, options) => {
        if (text.includes("slow")) await held.promise;
        driver.setItem?.(key, text, options);
      },
    },
  }));
  for (const sid of ["a", "b"]) await store.create(sid);
  const slow = store.setValue("a", "slow", 1);
  await quiet();
  const next = store.setValue("a", "k", 2);
  const removal = store.delete("a");
  await store.setValue("b", "k", 3);
  assertEquals(await outcomeOf(next), "pending");
  // Reads do not wait.
  assertEquals({ ...await store.get("a") }, {});
  held.resolve();
  await Promise.all([slow, next, removal]);
  assertEquals(driver.written.slice(2).map(({ text }) => text), [
    'session/1 {"k":[3]}',
    'session/1 {"slow":[1]}',
    'session/1 {"slow":[1],"k":[2]}',
  ]);
  assertEquals([await store.exist("a"), await store.exist("b")], [false, true]);
});

Deno.test("UnstorageStore lets no write overtake one that hangs, and goes on when it has finished", async () => {
  using timers = new FakeTimers();
  const driver = recordingDriver();
  const held = gate();
  const store = new UnstorageStore(createStorage({
    driver: {
      ...driver,
      setItem: async (key, text, options) => {
        if (text.includes("hangs")) await held.promise;
        driver.setItem?.(key, text, options);
      },
    },
  }));
  await store.create("a");
  const write = store.setValue("a", "hangs", 1);
  const removal = store.delete("a");
  timers.tick(9999);
  assertEquals([await outcomeOf(write), await outcomeOf(removal)], ["pending", "pending"]);
  timers.tick(1);
  // Acknowledged now, the removal would be undone when the write takes effect.
  await assertRejects(
    () => removal,
    Error,
    "an earlier write of UnstorageStore to the session has not finished within 10 s",
  );
  assertEquals({ ...await store.get("a") }, {});
  held.resolve();
  await write;
  assertEquals({ ...await store.get("a") }, { hangs: 1 });
  await store.delete("a");
  assertEquals([await store.exist("a"), timers.pending], [false, 0]);
});

Deno.test("UnstorageStore whose driver hangs fails each request within storeTimeout", async () => {
  using timers = new FakeTimers();
  const driver = recordingDriver();
  let held = Promise.resolve();
  const store = new UnstorageStore(createStorage({
    driver: {
      ...driver,
      getItem: async (key) => {
        await held;
        return driver.getItem(key);
      },
    },
  }));
  const middleware = start({ storeTimeout: 2, onEvent: () => {} }, store);
  const cookie = await signUp(middleware);
  const hanging = gate();
  held = hanging.promise;
  const requests = Array.from({ length: 3 }, () => read(middleware, cookie, "user"));
  await quiet();
  timers.tick(2000);
  for (const request of requests) assert(await outcomeOf(request) instanceof SessionStoreError);
  hanging.resolve();
  assertEquals(await read(middleware, cookie, "user"), "ada");
});

Deno.test("UnstorageStore does not dispose of the storage, which belongs to the application", async () => {
  let disposed = false;
  const storage = Object.assign(createStorage(), { dispose: () => Promise.resolve(void (disposed = true)) });
  {
    await using store = new UnstorageStore(storage);
    await store.create("a");
  }
  assertEquals([disposed, await new UnstorageStore(storage).exist("a")], [false, true]);
});

Deno.test("UnstorageStore on files needs access to their folder, and no other permission", async () => {
  const base = `${directory}/permissions`;
  const script = `${directory}/permissions.ts`;
  await Deno.mkdir(base);
  await Deno.writeTextFile(
    script,
    `import { createStorage } from "npm:unstorage@1.17.6";
    import fsDriver from "npm:unstorage@1.17.6/drivers/fs";
    import { UnstorageStore } from "@alosaur/session/unstorage";
    const store = new UnstorageStore(createStorage({ driver: fsDriver({ base: ${JSON.stringify(base)} }) }));
    await store.init();
    await store.create("a");
    await store.setValue("a", "k", 1);
    await store.removeExpired();
    console.log(await store.getValue("a", "k"));
    await store.clear();`,
  );
  // The coverage of the child process does not belong to this run.
  const { DENO_COVERAGE_DIR: _, ...env } = Deno.env.toObject();
  const config = new URL("../../deno.json", import.meta.url).pathname;
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-prompt",
      "--quiet",
      "--config",
      config,
      `--allow-read=${base}`,
      `--allow-write=${base}`,
      script,
    ],
    clearEnv: true,
    env: { ...env, NO_COLOR: "1" },
  }).output();
  assertEquals(new TextDecoder().decode(stdout), "1\n", new TextDecoder().decode(stderr));
});
