import { Buffer } from "node:buffer";
import { createClient, createClientPool, createCluster, RESP_TYPES } from "npm:redis@6.3.1";
import { SessionGoneError, SessionStoreError, UnreadableRecordError } from "@alosaur/session";
import { type RedisClientLike, type RedisClusterLike, RedisStore } from "@alosaur/session/redis";
import { testSessionStore } from "@alosaur/session/testing";
import { assert, assertEquals, assertRejects, assertThrows } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { without } from "../helpers/stores.ts";
import { isThere } from "./_require.ts";
import { findRedis, findRedisServer, type OwnCluster, REDIS_URL, startCluster, until } from "./_redis.ts";
import { open, PREFIX, record, sidsOf } from "./_redis_client.ts";

const CLAIMS = { values: "all", traces: "deadline" } as const;

/** A store on a client of the application, which it closes too. */
class StoreWithClient extends RedisStore {
  readonly #client: { close(): Promise<unknown> };

  constructor(client: (RedisClientLike | RedisClusterLike) & { close(): Promise<unknown> }, prefix: string) {
    super(client, { prefix });
    this.#client = client;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    await this.#client.close();
  }
}

const MINUTE = 60_000;

Deno.test("RedisStore() accepts every kind of client without a cast", () => {
  const clients: (RedisClientLike | RedisClusterLike)[] = [
    createClient(),
    createClient({ RESP: 2 }),
    createClient({ RESP: 3, scripts: {}, functions: {}, modules: {} }).withCommandOptions({}),
    createClientPool(),
    createCluster({ rootNodes: [] }),
  ];
  for (const client of clients) new RedisStore(client);
});

Deno.test("RedisStore() refuses wrong arguments without naming a password", () => {
  const wrong: [unknown, unknown, typeof TypeError | typeof RangeError, string][] = [
    [undefined, {}, TypeError, "a client of npm:redis, or a URL"],
    [{}, {}, TypeError, "a client of npm:redis, or a URL"],
    ["http://secret@localhost", {}, TypeError, "redis:// or rediss://"],
    ["secret", {}, TypeError, "redis:// or rediss://"],
    [REDIS_URL, { prefix: 1 }, TypeError, "`prefix` must be a well-formed string"],
    [REDIS_URL, { prefix: "\ud800" }, TypeError, "`prefix` must be a well-formed string"],
    [REDIS_URL, { prefix: "" }, RangeError, "`prefix` must not be empty"],
    [REDIS_URL, { prefx: "a:" }, TypeError, "unknown option `prefx`; did you mean `prefix`?"],
  ];
  for (const [client, options, type, message] of wrong) {
    const error = assertThrows(() => Reflect.construct(RedisStore, [client, options]), type, message);
    assert(!error.message.includes("secret"));
  }
});

if (await isThere("redis", "the tests on a Redis server", findRedis)) {
  // Also removes what a failed test has left.
  Deno.test.afterAll(async () => {
    const client = await createClient({ url: REDIS_URL }).connect();
    for await (const keys of client.scanIterator({ MATCH: `*${PREFIX}*` })) {
      for (const key of keys) await client.del(key);
    }
    await client.close();
  });

  testSessionStore("RedisStore on a URL", () => new RedisStore(REDIS_URL, { prefix: PREFIX }), {
    ...CLAIMS,
    neighbour: () => new RedisStore(REDIS_URL, { prefix: `another-${PREFIX}` }),
    broken: () => new RedisStore("redis://127.0.0.1:1"),
  });
  testSessionStore(
    "RedisStore on a pool",
    () => new StoreWithClient(createClientPool({ url: REDIS_URL }, { minimum: 2, maximum: 4 }), PREFIX),
    CLAIMS,
  );

  Deno.test("RedisStore keeps a session in one hash, which Redis removes five minutes after its expiry", async () => {
    // No store with this prefix was cleared before.
    const prefix = `${PREFIX}one hash:`;
    await using opened = await open(prefix);
    const { store, client } = opened;
    await store.createRecord("a", record(MINUTE, { principal: "ada", boundAt: 5 }));
    const hash = await client.hGetAll(`${prefix}id:a`);
    assertEquals(Object.keys(hash).sort(), [
      "expiresAt",
      ...["boundAt", "createdAt", "principal", "renewedAt", "seenAt"].map((name) => `m:${name}`),
      "v:k",
      "version",
    ]);
    const minutesLeft = async (key: string): Promise<number> =>
      Math.ceil(await client.pTTL(`${prefix}${key}`) / MINUTE);
    assertEquals(await minutesLeft("id:a"), 6);
    await store.changeRecord("a", { expiresAt: Date.now() + 10 * MINUTE });
    assertEquals(await minutesLeft("id:a"), 15);
    // A write does not change it.
    await store.setValue("a", "k", 2);
    assertEquals(await minutesLeft("id:a"), 15);
    await store.moveRecord("a", "b", { meta: {}, graceUntil: Date.now() + 20 * MINUTE });
    assertEquals(await minutesLeft("id:b"), 15);
    assertEquals(await minutesLeft("id:a"), 25);
    // The index of the user is removed with the last of its sessions.
    assertEquals(await minutesLeft("user:ada"), 25);
    await store.createRecord("c", record(MINUTE, { principal: "ada" }));
    assertEquals(await minutesLeft("user:ada"), 25);

    await store.create("forever");
    assertEquals(await client.pTTL(`${prefix}id:forever`), -1);
    await store.changeRecord("forever", { meta: { principal: "ada" } });
    assertEquals(await client.pTTL(`${prefix}user:ada`), -1);
    await store.changeRecord("forever", { expiresAt: Date.now() + MINUTE });
    assertEquals(await minutesLeft("id:forever"), 6);
    await store.changeRecord("forever", { expiresAt: Infinity });
    assertEquals(await client.pTTL(`${prefix}id:forever`), -1);
  });

  Deno.test("RedisStore keeps the keys of sessions and of indexes apart", async () => {
    await using opened = await open();
    const { store } = opened;
    for (const sid of ["a", "user:ada", "id:a", "er:ada"]) {
      await store.createRecord(sid, record(MINUTE, { principal: "ada" }));
      await store.createRecord(`${sid} of id:a`, record(MINUTE, { principal: "id:a" }));
    }
    assertEquals(await sidsOf(store, "ada"), ["a", "er:ada", "id:a", "user:ada"]);
    assertEquals((await sidsOf(store, "id:a")).length, 4);
  });

  Deno.test("RedisStore.clear() leaves every other key alone if the prefix has pattern characters", async () => {
    const odd = `${PREFIX}*[a-z]?\\`;
    await using opened = await open(odd);
    const { store, client } = opened;
    const others = [`${odd}other`, `${PREFIX}xb?\\id:a`, `${PREFIX}*aq\\id:a`, `${PREFIX}id:a`];
    for (const key of others) await client.set(key, "");
    await store.createRecord("a", record(MINUTE, { principal: "ada" }));
    await store.clear();
    assertEquals(await client.exists([`${odd}id:a`, `${odd}user:ada`]), 0);
    assertEquals(await client.exists(others), others.length);
    await client.del(others);
  });

  Deno.test("RedisStore.clear() removes more keys than one SCAN returns", async () => {
    await using opened = await open();
    const { store, client } = opened;
    const keys = Array.from({ length: 3000 }, (_, i) => `${PREFIX}id:${i}`);
    await client.mSet(keys.map((key): [string, string] => [key, ""]));
    await store.clear();
    assertEquals(await client.exists(keys), 0);
  });

  Deno.test("RedisStore works on a client that adds a prefix to every key", async () => {
    await using opened = await open();
    const { client: plain } = opened;
    const client = createClient({ url: REDIS_URL, keyPrefix: `app-${PREFIX}` });
    const store = new RedisStore(client, { prefix: PREFIX });
    await store.init();
    const other = `${PREFIX}id:of another application`;
    const own = [`app-${PREFIX}${PREFIX}id:a`, `app-${PREFIX}${PREFIX}user:ada`];
    await plain.set(other, "");
    await store.createRecord("a", record(MINUTE, { principal: "ada" }));
    assertEquals(await plain.exists(own), 2);
    await store.clear();
    assertEquals(await plain.exists(own), 0);
    assertEquals(await plain.exists(other), 1);
    await client.close();
  });

  Deno.test("RedisStore.init() refuses a client that answers with Buffers", async () => {
    const client = createClient({ url: REDIS_URL }).withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
    await assertRejects(() => new RedisStore(client).init(), TypeError, "it answers with Buffers");
    await client.close();
  });

  Deno.test("RedisStore connects a client of the application, adds a listener for errors if it has none, and never closes it", async () => {
    for (const listens of [false, true]) {
      const client = createClient({ url: REDIS_URL });
      if (listens) client.on("error", () => {});
      {
        await using store = new RedisStore(client, { prefix: PREFIX });
        assertEquals(client.isOpen, false);
        await Promise.all([store.init(), store.init()]);
        await store.init();
        assertEquals(client.listenerCount("error"), 1);
      }
      assertEquals(client.isReady, true);
      await client.close();
    }
  });

  Deno.test({
    name: "RedisStore needs only the permission to connect",
    permissions: { net: true },
    fn: async () => {
      await using store = new RedisStore(REDIS_URL, { prefix: PREFIX });
      await store.init();
      assertEquals(await store.exist("a"), false);
    },
  });

  Deno.test("RedisStore works after Redis has dropped its cached scripts", async () => {
    await using opened = await open();
    const { store, client } = opened;
    const dropScripts = (): Promise<unknown> => client.scriptFlush("SYNC");
    await dropScripts();
    await store.createRecord("a", record(MINUTE, { principal: "ada" }));
    await dropScripts();
    await store.setValue("a", "k", 2);
    await dropScripts();
    assertEquals(await store.getValue("a", "k"), 2);
    await dropScripts();
    assertEquals(await sidsOf(store, "ada"), ["a"]);
    await dropScripts();
    await store.moveRecord("a", "b", { meta: {}, graceUntil: 0 });
    await dropScripts();
    await store.delete("b");
    assertEquals(await store.exist("b"), false);
  });

  Deno.test("RedisStore.moveRecord() keeps a write that happens during the move", async () => {
    await using opened = await open();
    const { store, interrupt } = opened;
    await store.createRecord("a", record(MINUTE, { principal: "ada" }));
    // The scripts: read, create the copy, add it to the index, replace with the trace.
    interrupt.before = [() => {}, () => {}, () => {}, () => store.setValue("a", "meanwhile", true)];
    const set = new Map([["with it", true]]);
    assertEquals(await store.moveRecord("a", "b", { meta: { principal: "eve" }, set, graceUntil: 0 }), true);
    assertEquals({ ...await store.get("b") }, { k: 1, meanwhile: true, "with it": true });
    assertEquals(await sidsOf(store, "ada"), []);
    assertEquals(await sidsOf(store, "eve"), ["b"]);
  });

  Deno.test("RedisStore.moveRecord() leaves no copy of a session that ends during the move", async () => {
    using clock = new FakeClock(Date.now());
    await using opened = await open();
    const { store, client, interrupt } = opened;
    const ends: [string, () => unknown][] = [
      ["deleted", () => store.delete("a")],
      ["moved", () => store.moveRecord("a", "c", { meta: {}, graceUntil: 0 })],
      ["made to expire", () => store.changeRecord("a", { expiresAt: Date.now() })],
      ["expired", () => clock.tick(MINUTE)],
    ];
    for (const [how, end] of ends) {
      await store.createRecord("a", record(MINUTE, { principal: "ada" }));
      // The expiry is checked by the caller's clock, which is read before the last script is
      // called.
      const last = how === "expired" ? [end] : [() => {}, end];
      interrupt.before = [() => {}, () => {}, ...last];
      await assertRejects(() => store.moveRecord("a", "b", { meta: {}, graceUntil: 0 }), SessionGoneError);
      assertEquals(await client.exists(`${PREFIX}id:b`), 0, how);
      assertEquals(await sidsOf(store, "ada"), how === "moved" ? ["c"] : [], how);
      // The index has no entry of the copy either.
      assertEquals(await client.zCard(`${PREFIX}user:ada`), how === "deleted" ? 0 : 1, how);
      await store.clear();
    }
  });

  Deno.test("RedisStore.moveRecord() leaves the session unchanged when it fails, and a copy that ends with it", async () => {
    await using opened = await open();
    const { store, client, interrupt } = opened;
    const loseConnection = (): never => {
      throw new Error("the connection is lost");
    };
    const failToMove = async (): Promise<void> => {
      await store.createRecord("a", record(MINUTE, { principal: "ada" }));
      interrupt.before = [() => {}, () => {}, () => {}, loseConnection];
      const failed = store.moveRecord("a", "b", { meta: {}, graceUntil: 0 });
      await assertRejects(() => failed, Error, "the connection is lost");
      assertEquals({ ...await store.get("a") }, { k: 1 });
      assert(await client.pTTL(`${PREFIX}id:b`) > 0);
      assertEquals(await sidsOf(store, "ada"), ["a"]);
    };
    const ends: [string, () => Promise<unknown>, string[]][] = [
      ["deleted", () => store.delete("a"), []],
      ["moved", () => store.moveRecord("a", "c", { meta: {}, graceUntil: 0 }), ["c"]],
    ];
    for (const [how, end, left] of ends) {
      await failToMove();
      await end();
      assertEquals(await client.exists(`${PREFIX}id:b`), 0, how);
      assertEquals(await sidsOf(store, "ada"), left, how);
      await store.clear();
    }
  });

  Deno.test("RedisStore.moveRecord() to an id in use does not let the session end the other one", async () => {
    await using opened = await open();
    const { store } = opened;
    for (const sid of ["a", "b"]) await store.createRecord(sid, record(MINUTE));
    await assertRejects(
      () => store.moveRecord("a", "b", { meta: {}, graceUntil: 0 }),
      Error,
      "RedisStore already has a session with the new session id",
    );
    await store.delete("a");
    assertEquals(await store.exist("b"), true);
  });

  Deno.test("RedisStore.moveRecord() gives up on a session that other requests keep changing", async () => {
    await using opened = await open();
    const { store, client, interrupt } = opened;
    await store.createRecord("a", record(MINUTE, { principal: "ada" }));
    let moves = 0;
    const realNow = performance.now;
    let passed = 0;
    performance.now = () => realNow.call(performance) + passed;
    // The scripts: begin, create the copy, add it to the index, replace, delete the copy, remove it
    // from the index.
    const change = async (): Promise<void> => {
      // More often than in an endless loop, which must not hang the test.
      if (++moves > 20) throw new Error("moveRecord() does not give up");
      await client.hIncrBy(`${PREFIX}id:a`, "version", 1);
      passed += 1000;
      interrupt.before?.push(() => {}, () => {}, () => {}, () => {}, () => {}, change);
    };
    interrupt.before = [() => {}, () => {}, () => {}, change];
    try {
      const move = store.moveRecord("a", "b", { meta: {}, graceUntil: 0 });
      const error = await assertRejects(() => move, SessionStoreError, "other requests changed the session in Redis");
      assertEquals(error.operation, "regenerate");
    } finally {
      performance.now = realNow;
      interrupt.before = [];
    }
    assert(moves > 1 && moves <= 6);
    assertEquals(await sidsOf(store, "ada"), ["a"]);
    assertEquals(await client.exists(`${PREFIX}id:b`), 0);
  });

  Deno.test("RedisStore ends and moves a session even if updating the index fails afterwards", async () => {
    await using opened = await open();
    const { store, interrupt } = opened;
    const fail = (): never => {
      throw new Error("the connection is lost");
    };
    for (const sid of ["a", "b"]) await store.createRecord(sid, record(MINUTE, { principal: "ada" }));
    interrupt.before = [() => {}, fail];
    await store.delete("a");
    interrupt.before = [() => {}, () => {}, () => {}, () => {}, fail];
    await store.moveRecord("b", "c", { meta: {}, graceUntil: 0 });
    assertEquals(await sidsOf(store, "ada"), ["c"]);
    // But a session that could not be added to the index is not bound.
    interrupt.before = [fail];
    await assertRejects(() => store.createRecord("d", record(MINUTE, { principal: "ada" })), Error, "lost");
    assertEquals(await store.exist("d"), false);
    await store.create("e");
    interrupt.before = [() => {}, fail];
    await assertRejects(() => store.changeRecord("e", { meta: { principal: "ada" } }), Error, "lost");
    assertEquals(await sidsOf(store, "ada"), ["c"]);
    interrupt.before = [() => {}, fail];
    await assertRejects(() => store.changeRecord("c", { expiresAt: Infinity }), Error, "lost");
  });

  Deno.test("RedisStore.listSessions() finds a session that moves during the call", async () => {
    await using opened = await open();
    const { store, interrupt } = opened;
    await store.createRecord("a", record(MINUTE, { principal: "ada" }));
    interrupt.before = [() => {}, async () => {
      await store.moveRecord("a", "b", { meta: {}, graceUntil: 0 });
      await store.moveRecord("b", "c", { meta: {}, graceUntil: 0 });
    }];
    assertEquals(await sidsOf(store, "ada"), ["c"]);
  });

  Deno.test("RedisStore.listSessions() finds a session whose new id it read before that existed", async () => {
    await using moving = await open();
    await using listing = await open();
    for (const principal of ["ada", undefined]) {
      await moving.store.createRecord("a", record(MINUTE, { principal: "ada" }));
      const { promise: mayCopy, resolve: copy } = Promise.withResolvers<void>();
      const { promise: isIndexed, resolve: indexed } = Promise.withResolvers<void>();
      // The scripts: begin, create the copy and at the same time add it to the index, replace.
      moving.interrupt.before = [() => {}, () => mayCopy];
      const moved = (async () => {
        const move = moving.store.moveRecord("a", "b", { meta: {}, graceUntil: 0 });
        await until("the new id is in the index", async () => await listing.client.zCard(`${PREFIX}user:ada`) === 2);
        indexed();
        await move;
        // Also if that has moved again.
        if (principal === undefined) await moving.store.moveRecord("b", "c", { meta: {}, graceUntil: 0 });
      })();
      await isIndexed;
      const read = async (keys: string[]): Promise<void> => {
        if (!keys[0]?.endsWith("id:a")) return;
        // The other id is read before this one, and does not exist.
        await pause();
        await listing.client.ping();
        copy();
        await moved;
      };
      listing.interrupt.before = [() => {}, read, read];
      assertEquals(await sidsOf(listing.store, "ada"), [principal === undefined ? "c" : "b"]);
      await moving.store.clear();
    }
  });

  Deno.test("RedisStore.listSessions() lists a session once during its move", async () => {
    await using opened = await open();
    const { store, interrupt } = opened;
    await store.createRecord("a", record(MINUTE, { principal: "ada" }));
    let listed: string[] = [];
    interrupt.before = [() => {}, () => {}, () => {}, async () => {
      listed = await sidsOf(store, "ada");
    }];
    await store.moveRecord("a", "b", { meta: {}, graceUntil: 0 });
    assertEquals(listed, ["a"]);
  });

  Deno.test("RedisStore.listSessions() finds a session whose expiry was extended many times", async () => {
    using clock = new FakeClock(Date.now());
    await using opened = await open();
    const { store, client, interrupt } = opened;
    await store.createRecord("a", record(MINUTE, { principal: "ada" }));
    for (let i = 0; i < 20; i++) {
      clock.tick(MINUTE * 0.9);
      // Every other extension fails to update the index.
      if (i % 2 === 0) {
        interrupt.before = [() => {}, () => {
          throw new Error("the connection is lost");
        }];
      }
      await store.changeRecord("a", { expiresAt: clock.now + MINUTE }).catch(() => {});
      interrupt.before = [];
      // Another sign-in removes the entries whose time has passed.
      await store.createRecord(`b${i}`, record(1, { principal: "ada" }));
      assertEquals(await sidsOf(store, "ada"), ["a", `b${i}`]);
      await store.delete(`b${i}`);
    }
    clock.tick(10 * MINUTE);
    await store.createRecord("c", record(1, { principal: "ada" }));
    assertEquals(await client.zCard(`${PREFIX}user:ada`), 1);
    assertEquals(await sidsOf(store, "ada"), ["c"]);
  });

  Deno.test("RedisStore.listSessions() finds a session whose expiries are written out of order", async () => {
    using clock = new FakeClock(Date.now());
    await using opened = await open();
    const { store, interrupt } = opened;
    await store.createRecord("a", record(MINUTE, { principal: "ada" }));
    interrupt.before = [() => {}, () => store.changeRecord("a", { expiresAt: clock.now + 60 * MINUTE })];
    await store.changeRecord("a", { expiresAt: clock.now + 2 * MINUTE });
    clock.tick(59 * MINUTE);
    await store.createRecord("b", record(MINUTE, { principal: "ada" }));
    assertEquals(await sidsOf(store, "ada"), ["a", "b"]);
  });

  Deno.test("RedisStore.listSessions() finds a session that was bound and extended although the index failed then", async () => {
    using clock = new FakeClock(Date.now());
    await using opened = await open();
    const { store, interrupt } = opened;
    await store.createRecord("a", record(MINUTE));
    // The scripts: read the expiry, add to the index, change, and extend the time in the index.
    interrupt.before = [() => {}, () => {}, () => {}, () => {
      throw new Error("the connection is lost");
    }];
    const change = { meta: { principal: "ada" }, expiresAt: clock.now + 60 * MINUTE };
    await assertRejects(() => store.changeRecord("a", change), Error, "the connection is lost");
    clock.tick(59 * MINUTE);
    await store.createRecord("b", record(MINUTE, { principal: "ada" }));
    assertEquals(await sidsOf(store, "ada"), ["a", "b"]);
  });

  Deno.test("RedisStore.listSessions() finds a session that was extended while it was bound", async () => {
    using clock = new FakeClock(Date.now());
    await using opened = await open();
    const { store, interrupt } = opened;
    await store.createRecord("a", record(MINUTE));
    // The scripts: read the expiry, add to the index, change.
    interrupt.before = [
      () => {},
      () => {},
      () => store.changeRecord("a", { expiresAt: clock.now + 60 * MINUTE }),
    ];
    await store.changeRecord("a", { meta: { principal: "ada" } });
    clock.tick(59 * MINUTE);
    await store.createRecord("b", record(MINUTE, { principal: "ada" }));
    assertEquals(await sidsOf(store, "ada"), ["a", "b"]);
  });

  Deno.test("RedisStore.changeRecord() adds no missing session to the index of a user", async () => {
    await using opened = await open();
    const { store, client } = opened;
    await assertRejects(() => store.changeRecord("a", { meta: { principal: "ada" } }), SessionGoneError);
    assertEquals(await client.exists(`${PREFIX}user:ada`), 0);
  });

  Deno.test("RedisStore.init() connects again after the store was disposed of", async () => {
    await using store = new RedisStore(REDIS_URL, { prefix: PREFIX });
    await store.init();
    await store[Symbol.asyncDispose]();
    await assertRejects(() => store.exist("a"), Error, "closed");
    await store.init();
    assertEquals(await store.exist("a"), false);
  });

  Deno.test("RedisStore.readRecord() tells an expired session from an unknown one", async () => {
    using clock = new FakeClock(Date.now());
    await using opened = await open();
    const { store } = opened;
    await store.createRecord("a", record(MINUTE));
    clock.tick(MINUTE);
    assertEquals([await store.readRecord("a"), await store.readRecord("b")], [{ expired: true }, undefined]);
  });

  Deno.test("RedisStore accepts an expiry in the distant past and one that is never reached", async () => {
    await using opened = await open();
    const { store } = opened;
    const expiries = [-Infinity, 0, Date.now() - MINUTE, 8.64e15, 1e300, Number.MAX_VALUE, Infinity];
    for (const [i, expiresAt] of expiries.entries()) {
      await store.createRecord(`a${i}`, { ...record(0, { principal: "ada" }), expiresAt });
      await store.createRecord(`b${i}`, record(MINUTE, { principal: "ada" }));
      await store.changeRecord(`b${i}`, { expiresAt });
      const read = await store.readRecord(`a${i}`);
      assertEquals(read && "values" in read ? read.expiresAt : -Infinity, i < 3 ? -Infinity : expiresAt);
    }
    assertEquals(await sidsOf(store, "ada"), ["a3", "a4", "a5", "a6", "b3", "b4", "b5", "b6"]);
  });

  Deno.test("RedisStore rejects with UnreadableRecordError if a record is not what it wrote, and can remove it", async (t) => {
    const prefix = `${PREFIX}unreadable:`;
    await using opened = await open(prefix);
    const { store, client } = opened;
    const sid = "an id";
    const secret = "a secret";
    const key = `${prefix}id:${sid}`;
    type Call = "exist" | "create" | "get" | "getValue" | "setValue" | "readRecord" | "changeRecord" | "moveRecord";
    const calls: Record<Call, () => Promise<unknown>> = {
      exist: () => store.exist(sid),
      create: () => store.create(sid),
      get: () => store.get(sid),
      getValue: () => store.getValue(sid, "k"),
      setValue: () => store.setValue(sid, "l", 1),
      readRecord: () => store.readRecord(sid),
      changeRecord: () => store.changeRecord(sid, { expiresAt: Date.now() + MINUTE }),
      moveRecord: () => store.moveRecord(sid, "b", { meta: {}, graceUntil: 0 }),
    };
    const all = Object.keys(calls) as Call[];
    const reads: Call[] = ["get", "getValue", "readRecord"];
    const writes: Call[] = ["create", "setValue", "changeRecord", "moveRecord"];
    const corruptions: [string, () => Promise<unknown>, Call[]][] = [
      ["a text in place of the hash", () => client.set(key, secret), all],
      ["a list in place of the hash", () => client.rPush(key, secret), all],
      ["a hash of something else", () => client.hSet(key, "k", secret), all],
      ["an expiry that is no number", () => client.hSet(key, "expiresAt", secret), all],
      ["an empty expiry", () => client.hSet(key, "expiresAt", ""), all],
      ["a version that is no number", () => client.hSet(key, "version", secret), ["readRecord", ...writes]],
      ["an epoch that is no number", () => client.hSet(key, "epoch", secret), all],
      ["a value that is no JSON", () => client.hSet(key, "v:k", secret), reads],
      ["a value of another encoding", () => client.hSet(key, "v:k", "{}"), reads],
      ["a time that is no number", () => client.hSet(key, "m:seenAt", secret), ["readRecord"]],
      ["a time that is missing", () => client.hDel(key, "m:createdAt"), ["readRecord"]],
      ["a trace without a time", () => client.hSet(key, "movedTo", "b"), ["readRecord"]],
    ];
    for (const [what, corrupt, rejecting] of corruptions) {
      await t.step(what, async () => {
        for (const call of rejecting) {
          await client.del(key);
          if (!/ hash/.test(what)) await store.createRecord(sid, record(MINUTE));
          if (what.startsWith("a trace")) await client.hDel(key, "expiresAt");
          await corrupt();
          const error = await assertRejects(
            calls[call],
            UnreadableRecordError,
            "RedisStore found a stored session that it cannot read",
          );
          assert(!Deno.inspect(error).includes(secret) && !Deno.inspect(error).includes(sid), call);
          assertEquals(await store.exist("b"), false, call);
        }
        await client.hDel(key, "movedTo").catch(() => {});
        await store.delete(sid);
        assertEquals(await client.exists(key), 0);
      });
    }
  });

  Deno.test("RedisStore.listSessions() leaves out a record that cannot be read, and lists the others", async () => {
    await using opened = await open();
    const { store, client } = opened;
    const corruptions = [
      async (key: string) => {
        await client.del(key);
        await client.set(key, "text");
      },
      (key: string) => client.hSet(key, "expiresAt", "text"),
      (key: string) => client.hSet(key, "m:createdAt", "text"),
    ];
    for (const [i, corrupt] of corruptions.entries()) {
      await store.createRecord(`bad ${i}`, record(MINUTE, { principal: "ada" }));
      await store.createRecord(`good ${i}`, record(MINUTE, { principal: "ada" }));
      await corrupt(`${PREFIX}id:bad ${i}`);
    }
    // A list reads no values, so that such a session can be revoked.
    await client.hSet(`${PREFIX}id:good 0`, "v:k", "text");
    assertEquals(await sidsOf(store, "ada"), ["good 0", "good 1", "good 2"]);
  });

  Deno.test("RedisStore rejects if the key of an index or of the epoch holds another type, and names no user", async () => {
    const prefix = `${PREFIX}wrong types:`;
    await using opened = await open(prefix);
    const { store, client } = opened;
    await client.set(`${prefix}user:ada`, "text");
    for (
      const call of [
        () => store.listSessions("ada"),
        () => store.createRecord("b", record(MINUTE, { principal: "ada" })),
      ]
    ) {
      const error = await assertRejects(call, Error, "WRONGTYPE");
      assert(!error.message.includes("ada") && !(error instanceof UnreadableRecordError));
    }
    assertEquals(await store.exist("b"), false);

    await store.createRecord("a", record(MINUTE));
    for (const wrong of [() => client.set(`${prefix}epoch`, "text"), () => client.hSet(`${prefix}epoch`, "k", "v")]) {
      await client.del(`${prefix}epoch`);
      await wrong();
      for (const call of [() => store.exist("a"), () => store.readRecord("a"), () => store.setValue("a", "k", 1)]) {
        const error = await assertRejects(call, Error);
        assert(!(error instanceof UnreadableRecordError || error instanceof SessionGoneError));
      }
    }
    await store.clear();
    assertEquals(await store.exist("a"), false);
  });
}

/** Lets everything run that waits for nothing else. */
function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

if (await isThere("redis", "the suite on a Redis Cluster", findRedisServer)) {
  let cluster: OwnCluster;
  Deno.test.beforeAll(async () => {
    cluster = await startCluster();
  });
  Deno.test.afterAll(async () => await cluster[Symbol.asyncDispose]());

  const store = (prefix: string): RedisStore =>
    new StoreWithClient(
      // Replicas lag behind. This option would show any command that may run on one.
      createCluster({ rootNodes: cluster.nodes.map(({ url }) => ({ url })), useReplicas: true }),
      prefix,
    );
  // Its watch() always rejects.
  testSessionStore("RedisStore on a cluster", () => without(store("session:"), "watch"), {
    ...CLAIMS,
    neighbour: () => store("another:"),
  });
}
