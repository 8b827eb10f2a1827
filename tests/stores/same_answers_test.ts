import { assert, assertEquals, assertRejects } from "../helpers/assert.ts";
import { MemoryStore, type RecordStore, SessionMiddleware, type SessionRecord, SessionStoreError } from "../../mod.ts";
import { DenoKvStore } from "../../src/stores/deno_kv_store.ts";
import { EncryptedStore } from "../../src/stores/encrypted_store.ts";
import { SqliteStore } from "../../src/stores/sqlite_store.ts";

const kv = await Deno.openKv(":memory:");
addEventListener("unload", () => kv.close());

/** The stores that need no server. */
const STORES: Record<string, () => RecordStore> = {
  MemoryStore: () => new MemoryStore(),
  SqliteStore: () => new SqliteStore(":memory:"),
  DenoKvStore: () => new DenoKvStore(kv, { prefix: [crypto.randomUUID()] }),
  EncryptedStore: () =>
    new EncryptedStore(new MemoryStore(), SessionMiddleware.generateSecret()) as unknown as RecordStore,
};

function record(expiresAt: number): SessionRecord {
  return { expiresAt, values: new Map(), meta: { createdAt: 1, seenAt: 1, renewedAt: 1 } };
}

for (const [name, createStore] of Object.entries(STORES)) {
  Deno.test(`${name} treats an expiry that is negative or not a number as expired`, async () => {
    const store = createStore();
    for (const expiresAt of [NaN, -Infinity, -1]) {
      await store.createRecord("created", record(expiresAt));
      await store.createRecord("changed", record(Infinity));
      await store.changeRecord("changed", { expiresAt });
      for (const sid of ["created", "changed"]) {
        await assertRejects(() => store.setValue(sid, "k", 1), Error, "the session has ended");
        assertEquals(await store.exist(sid), false);
        const read = await store.readRecord(sid);
        assert(read === undefined || "expired" in read);
      }
    }
    for (const graceUntil of [NaN, -Infinity, -1]) {
      await store.createRecord("a", record(Infinity));
      await store.moveRecord("a", "b", { meta: {}, graceUntil });
      assertEquals(await store.readRecord("a"), { movedTo: "b", graceUntil: 0 });
      await store.delete("b");
    }
  });

  Deno.test(`${name}.moveRecord() accepts an infinite graceUntil`, async () => {
    const store = createStore();
    await store.createRecord("a", record(Infinity));
    await store.moveRecord("a", "b", { meta: {}, graceUntil: Infinity });
    assertEquals(await store.readRecord("a"), { movedTo: "b", graceUntil: Infinity });
  });

  Deno.test(`${name}.moveRecord() refuses an id in use before it compares versions`, async () => {
    const store = createStore();
    for (const sid of ["a", "b"]) await store.create(sid);
    const move = { meta: {}, graceUntil: 0, ifVersion: -1 };
    await assertRejects(
      () => store.moveRecord("a", "b", move),
      SessionStoreError,
      "already has a session with the new session id",
    );
    assertEquals(await store.moveRecord("a", "c", move), false);
  });

  Deno.test(`${name} refuses an unsupported value before it looks up the session`, async () => {
    const store = createStore();
    const set = new Map([["k", () => {}]]);
    const move = { meta: {}, graceUntil: 0, set };
    await store.create("a");
    for (
      const write of [
        () => store.createRecord("a", { ...record(Infinity), values: set }),
        () => store.setValue("missing", "k", () => {}),
        () => store.changeRecord("missing", { set }),
        () => store.changeRecord("a", { set, ifVersion: -1 }),
        () => store.moveRecord("missing", "b", move),
        () => store.moveRecord("a", "b", { ...move, ifVersion: -1 }),
      ]
    ) await assertRejects(write, TypeError, '"k"');
  });

  Deno.test(`${name} writes several values in one change`, async () => {
    const store = createStore();
    const keys = ["__proto__", "", "\0", "\ud800", '"', "%", ...Array.from({ length: 30 }, (_, i) => `k${i}`)];
    const some = (): Map<string, unknown> =>
      new Map(
        keys.filter(() => Math.random() < 0.8).map((key, i) => {
          return [key, Math.random() < 0.3 ? undefined : [i, { [key]: "\ud800\0" }]];
        }),
      );
    const model = new Map<string, unknown>();
    const write = (set: Map<string, unknown>, clear = false): void => {
      if (clear) model.clear();
      for (const [key, value] of set) {
        if (value === undefined) model.delete(key);
        else model.set(key, value);
      }
    };
    const values = some();
    write(values);
    await store.createRecord("0", { ...record(Infinity), values });
    for (let i = 0; i < 20; i++) {
      const set = some();
      if (i % 5 === 4) {
        await store.moveRecord(`${i - 4}`, `${i + 1}`, { meta: {}, graceUntil: 0, set });
        write(set);
      } else {
        const clear = i % 5 === 3;
        await store.changeRecord(`${i - i % 5}`, { clear, set });
        write(set, clear);
      }
      assertEquals(new Map(Object.entries(await store.get(`${i + 1 - (i + 1) % 5}`) ?? {})), model);
    }
    await assertRejects(() => store.changeRecord("0", { set: some() }), Error, "the session has ended");
    const read = await store.readRecord("20");
    assert(read !== undefined && "values" in read);
    assertEquals(await store.changeRecord("20", { set: some(), ifVersion: read.version + 1 }), false);
    assertEquals(await store.readRecord("20"), read);
  });

  Deno.test(`${name} stores thousands of values in a session`, async () => {
    const store = createStore();
    const many = new Map(Array.from({ length: 4000 }, (_, i) => [`k${i}`, i]));
    await store.createRecord("a", { ...record(Infinity), values: many });
    await store.changeRecord("a", {
      set: new Map(Array.from(many, ([key, i]): [string, unknown] => [key, i % 2 === 0 ? undefined : -i])),
    });
    await store.moveRecord("a", "b", {
      meta: {},
      graceUntil: 0,
      set: new Map<string, unknown>([["k1", "one"], ["new", true]]),
    });
    const values = await store.get("b") ?? {};
    assertEquals(Object.keys(values).length, 2001);
    assertEquals([values.k0, values.k1, values.k3999, values.new], [undefined, "one", -3999, true]);
  });
}
