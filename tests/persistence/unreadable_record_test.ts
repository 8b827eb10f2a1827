/** Records that a store finds and can never read. */
import { assert, assertEquals, assertRejects } from "../helpers/assert.ts";
import { signUp, start } from "../helpers/request.ts";
import { BasicStore } from "../helpers/stores.ts";
import {
  MemoryStore,
  type PrincipalStore,
  type SessionMeta,
  SessionMiddleware,
  type SessionStore,
  UnreadableRecordError,
} from "../../mod.ts";
import { SessionRepository } from "../../src/persistence/session_repository.ts";
import { sharedStoreOf } from "../../src/persistence/shared_store.ts";
import { DenoKvStore } from "../../src/stores/deno_kv_store.ts";
import { EncryptedStore } from "../../src/stores/encrypted_store.ts";
import { SqliteStore } from "../../src/stores/sqlite_store.ts";

const KEY = SessionMiddleware.generateSecret();
const OTHER_KEY = SessionMiddleware.generateSecret();
const META: SessionMeta = { createdAt: 1, seenAt: 2, renewedAt: 3 };
const SID = "the id of a session";
const MOVE = { meta: {}, graceUntil: 0 };

const kv = await Deno.openKv(":memory:");
addEventListener("unload", () => kv.close());

/** The stores that have records, and need no server. */
const RECORD_STORES: Record<string, () => PrincipalStore> = {
  MemoryStore: () => new MemoryStore(),
  SqliteStore: () => new SqliteStore(":memory:"),
  DenoKvStore: () => new DenoKvStore(kv, { prefix: [crypto.randomUUID()] }),
};

/** The stores that an `EncryptedStore` can be put over. */
const STORES: Record<string, () => SessionStore> = { ...RECORD_STORES, "basic store": () => new BasicStore() };

function encrypted(store: SessionStore, key = KEY): PrincipalStore {
  return new EncryptedStore(store, key) as unknown as PrincipalStore;
}

/** Returns the session id of a signed-up visitor. */
async function signUpOn(store: SessionStore, values?: Record<string, unknown>): Promise<string> {
  return (await signUp(start({}, store), values)).slice(4, 28);
}

/** Fails unless every operation that reads the session rejects, as the adapter of the store does. */
async function expectUnreadable(store: SessionStore, sid: string, message: string): Promise<void> {
  const { adapter } = sharedStoreOf(store);
  const repository = new SessionRepository(store, 5);
  const calls: [operation: string, call: () => unknown][] = [
    ["get", () => repository.read(sid)],
    ["", () => adapter.update(sid, "admin", () => true)],
    ["", () => repository.update({ id: sid, viaOldId: false }, "update", "admin", () => true)],
  ];
  for (const [operation, call] of calls) {
    const error = await assertRejects(async () => await call(), UnreadableRecordError, message);
    if (operation !== "") assertEquals(error.operation, operation);
    assert(!`${error.message}${error.cause}`.includes(sid));
  }
}

for (const [name, createStore] of Object.entries(STORES)) {
  Deno.test(`a middleware on a ${name} without its EncryptedStore reads no encrypted text as values`, async () => {
    const store = createStore();
    const sid = await signUpOn(encrypted(store), { admin: false });
    assertEquals(await encrypted(store).getValue(sid, "admin"), false);
    const message = name in RECORD_STORES
      ? `the session's values in ${name} are encrypted`
      : '"__session" in BasicStore is not what';
    await expectUnreadable(store, sid, message);
    // The session ends like any other.
    await sharedStoreOf(store).adapter.delete(sid);
    assertEquals(await sharedStoreOf(store).adapter.read(sid), undefined);
  });

  Deno.test(`an EncryptedStore on a ${name} reads no session of another key or without encryption`, async () => {
    const store = createStore();
    const ofOtherKey = await signUpOn(encrypted(store, OTHER_KEY), { admin: true });
    await expectUnreadable(
      encrypted(store),
      ofOtherKey,
      "EncryptedStore does not have the key that encrypted the value",
    );
    const plain = await signUpOn(store, { admin: true });
    await expectUnreadable(encrypted(store), plain, "EncryptedStore found a value that is not encrypted");
    for (const sid of [ofOtherKey, plain]) {
      const { adapter } = sharedStoreOf(encrypted(store));
      await assertRejects(() => adapter.move(sid, "a new id", MOVE), UnreadableRecordError, "Cannot ");
      assertEquals(await store.exist("a new id"), false);
      await adapter.delete(sid);
      assertEquals(await store.exist(sid), false);
    }
  });
}

for (const [name, createStore] of Object.entries(RECORD_STORES)) {
  Deno.test(`an EncryptedStore on a ${name} marks every session that it creates or moves`, async () => {
    const underlying = createStore();
    const store = encrypted(underlying);
    await store.create("created");
    await store.setValue("created", "admin", false);
    await expectUnreadable(underlying, "created", `the session's values in ${name} are encrypted`);
    const created = await sharedStoreOf(store).adapter.read("created");
    assert(created !== undefined && "values" in created);
    assertEquals([created.values, created.meta.encrypted], [new Map([["admin", false]]), undefined]);

    // A session from before there was a mark.
    await store.createRecord("old", { values: new Map([["k", 1]]), expiresAt: Infinity, meta: META });
    await underlying.changeRecord("old", { meta: { encrypted: undefined } });
    assertEquals(await store.getValue("old", "k"), 1);
    const read = await store.readRecord("old");
    assert(read !== undefined && "values" in read);
    assertEquals([read.values, read.meta], [new Map([["k", 1]]), META]);
    assertEquals(await store.moveRecord("old", "new", { meta: { seenAt: 9 }, graceUntil: 0 }), true);
    await expectUnreadable(underlying, "new", `the session's values in ${name} are encrypted`);
    assertEquals(await store.getValue("new", "k"), 1);
    // A change keeps the mark.
    await store.changeRecord("new", { meta: { seenAt: 10, principal: "ada" }, clear: true });
    await expectUnreadable(underlying, "new", `the session's values in ${name} are encrypted`);
    assertEquals((await store.listSessions("ada"))[0]?.meta, { ...META, seenAt: 10, principal: "ada" });
  });

  Deno.test(`two EncryptedStores on a ${name} are each needed to read a session`, async () => {
    const underlying = createStore();
    const inner = encrypted(underlying);
    const outer = encrypted(inner, OTHER_KEY);
    const sid = await signUpOn(outer, { admin: false });
    assertEquals(await outer.getValue(sid, "admin"), false);
    await expectUnreadable(inner, sid, `the session's values in EncryptedStore over ${name} are encrypted`);
    await expectUnreadable(underlying, sid, `the session's values in ${name} are encrypted`);
  });

  Deno.test(`unreadable sessions on a ${name} are listed and revoked with the others`, async () => {
    const underlying = createStore();
    const meta = { ...META, createdAt: Date.now(), renewedAt: Date.now(), principal: "ada" };
    const record = { values: new Map([["k", 1]]), expiresAt: Date.now() + 60_000, meta };
    await encrypted(underlying, OTHER_KEY).createRecord("of another key", record);
    await underlying.createRecord("plain", record);
    await encrypted(underlying).createRecord("readable", record);
    for (const store of [encrypted(underlying), underlying]) {
      assertEquals((await start({}, store).sessions.list("ada")).length, 3);
    }
    assertEquals(await start({}, encrypted(underlying)).sessions.revokeAll("ada"), 3);
    for (const sid of ["of another key", "plain", "readable"]) assertEquals(await underlying.exist(sid), false);
  });
}

Deno.test("a basic store's record that the middleware did not write is unreadable", async (t) => {
  const expiresAt = Date.now() + 60_000;
  const records: [string, unknown][] = [
    ["a text", "nonsense"],
    ["a number", 13],
    ["an array", [1]],
    ["reserved value: text", { k: 1, __session: "AbCd" }],
    ["reserved value: null", { k: 1, __session: null }],
    ["reserved value: a number", { k: 1, __session: 1 }],
    ["reserved value: empty", { k: 1, __session: {} }],
    ["reserved value: no metadata", { k: 1, __session: { expiresAt } }],
    ["reserved value: an expiry that is a text", { k: 1, __session: { ...META, expiresAt: "soon" } }],
    ["reserved value: an expiry that is NaN", { k: 1, __session: { ...META, expiresAt: NaN } }],
    ["reserved value: no createdAt", { k: 1, __session: { ...META, createdAt: undefined, expiresAt } }],
    ["reserved value: a user that is a number", { k: 1, __session: { ...META, principal: 1, expiresAt } }],
  ];
  for (const [name, stored] of records) {
    await t.step(name, async () => {
      const store = new BasicStore();
      await store.create(SID);
      store.get = () => Promise.resolve(stored);
      await expectUnreadable(store, SID, "Cannot ");
      const { adapter } = sharedStoreOf(store);
      const error = await assertRejects(() => adapter.change(SID, { expiresAt }), UnreadableRecordError);
      assertEquals(error.operation, "change");
      const moveError = await assertRejects(() => adapter.move(SID, "b", MOVE), UnreadableRecordError);
      assertEquals([moveError.operation, await store.exist("b")], ["regenerate", false]);
      await adapter.delete(SID);
      assertEquals(await store.exist(SID), false);
    });
  }
});
