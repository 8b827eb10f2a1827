/** `SessionRepository.bindDevice()`: a session is bound to the key of a device at most once. */
import {
  MemoryStore,
  type RecordChange,
  type SessionError,
  SessionGoneError,
  SessionMiddleware,
  type SessionRecord,
  type SessionStore,
  SessionStoreError,
  type Watch,
} from "../../mod.ts";
import type { SessionRef } from "../../src/persistence/lookup.ts";
import { SessionRepository } from "../../src/persistence/session_repository.ts";
import { EncryptedStore } from "../../src/stores/encrypted_store.ts";
import { noop } from "../../src/util/maybe_promise.ts";
import { assert, assertEquals, assertRejects } from "../helpers/assert.ts";
import { LOCAL_STORES } from "../helpers/local_stores.ts";
import { BasicStore, probe, working } from "../helpers/stores.ts";
import { quiet } from "../helpers/timers.ts";

const KEY = '{"kty":"EC","crv":"P-256","x":"one","y":"one"}';
const OTHER_KEY = '{"kty":"EC","crv":"P-256","x":"two","y":"two"}';
const MOVE = { meta: {}, graceUntil: Infinity };

const STORES: typeof LOCAL_STORES = [
  ...LOCAL_STORES,
  ["EncryptedStore", () => Promise.resolve(encrypted(new MemoryStore()))],
  ["EncryptedStore on a basic store", () => Promise.resolve(encrypted(new BasicStore()))],
];

function encrypted(store: SessionStore): SessionStore {
  return new EncryptedStore(store, SessionMiddleware.generateSecret());
}

function record(expiresAt = Date.now() + 60_000): SessionRecord {
  return { values: new Map([["x", 1]]), expiresAt, meta: { createdAt: 1, seenAt: 2, renewedAt: 3, principal: "ada" } };
}

function ref(id: string): SessionRef {
  return { id, viaOldId: false };
}

async function readRecord(repository: SessionRepository, sid: string): Promise<SessionRecord> {
  const found = await repository.read(sid);
  assert(typeof found === "object");
  const { values, expiresAt } = found.record;
  return { values, expiresAt, meta: found.meta };
}

/** A store whose answers a test can replace after it has executed the write. */
class LossyStore extends MemoryStore {
  /** Runs once, after the next change. Its result is the answer. */
  instead: ((sid: string, change: RecordChange) => Promise<boolean>) | undefined;

  override async changeRecord(sid: string, change: RecordChange): Promise<boolean> {
    const answer = await super.changeRecord(sid, change);
    const { instead } = this;
    this.instead = undefined;
    return instead === undefined ? answer : await instead(sid, change);
  }
}

async function openLossy(): Promise<{ store: LossyStore; repository: SessionRepository }> {
  const store = new LossyStore();
  const repository = new SessionRepository(store, undefined);
  await repository.create("a", record());
  return { store, repository };
}

for (const [name, make] of STORES) {
  Deno.test(`SessionRepository.bindDevice() on ${name} binds a session once`, async () => {
    const repository = new SessionRepository(await make(), undefined);
    const created = record();
    await repository.create("a", created);
    assertEquals(await repository.bindDevice(ref("a"), KEY, 7), true);
    const expected = { ...created, meta: { ...created.meta, deviceKey: KEY, deviceBoundAt: 7 } };
    assertEquals(await readRecord(repository, "a"), expected);

    assertEquals(await repository.bindDevice(ref("a"), OTHER_KEY, 8), false);
    assertEquals(await readRecord(repository, "a"), expected);
    // The same device may have sent its key twice.
    assertEquals(await repository.bindDevice(ref("a"), KEY, 9), true);
    assertEquals(await readRecord(repository, "a"), expected);
  });

  Deno.test(`SessionRepository.bindDevice() on ${name} binds a session to one of 20 concurrent devices`, async () => {
    const store = await make();
    const repositories = [new SessionRepository(store, undefined), new SessionRepository(store, 60)];
    const [repository] = repositories;
    assert(repository !== undefined);
    await repository.create("a", record());
    const bound = await Promise.all(Array.from({ length: 20 }, async (_, n) => {
      await repository.set(ref("a"), "set", `key ${n}`, n);
      return await repositories[n % 2]?.bindDevice(ref("a"), `{"x":${n}}`, n);
    }));
    assertEquals(bound.filter((isBound) => isBound).length, 1);
    const { meta, values } = await readRecord(repository, "a");
    const first = bound.indexOf(true);
    assertEquals([meta.deviceKey, meta.deviceBoundAt, values.size], [`{"x":${first}}`, first, 21]);
  });

  Deno.test(`SessionRepository keeps the key of a device on ${name}`, async () => {
    const repository = new SessionRepository(await make(), undefined);
    await repository.create("a", record());
    await repository.bindDevice(ref("a"), KEY, 7);
    const session = ref("a");
    await repository.set(session, "set", "x", 2);
    await repository.setAll(session, "set", new Map([["y", 2]]));
    await repository.update(session, "update", "x", (x) => Number(x) + 1);
    await repository.change(session, "touch", { meta: { seenAt: 9 }, expiresAt: Date.now() + 90_000 });
    await repository.change(session, "clear", { clear: true, meta: { principal: undefined } });
    await repository.move(session, "b", { meta: { renewedAt: 9 }, graceUntil: 0 });
    assertEquals((await readRecord(repository, "b")).meta, {
      createdAt: 1,
      seenAt: 9,
      renewedAt: 9,
      deviceKey: KEY,
      deviceBoundAt: 7,
    });
    assertEquals(await repository.bindDevice(ref("b"), OTHER_KEY, 8), false);
  });

  Deno.test(`SessionRepository.bindDevice() on ${name} follows a session that has moved`, async () => {
    const repository = new SessionRepository(await make(), undefined);
    await repository.create("a", record());
    await repository.move(ref("a"), "b", MOVE);
    await repository.move(ref("b"), "c", MOVE);
    const session = ref("a");
    assertEquals(await repository.bindDevice(session, KEY, 7), true);
    assertEquals(session, { id: "c", viaOldId: true });
    assertEquals((await readRecord(repository, "c")).meta.deviceKey, KEY);
    assertEquals(await repository.bindDevice(ref("b"), OTHER_KEY, 8), false);
    assertEquals((await readRecord(repository, "c")).meta.deviceKey, KEY);
  });

  Deno.test(`SessionRepository.bindDevice() on ${name} rejects for a session that has ended`, async () => {
    const store = await make();
    const repository = new SessionRepository(store, undefined);
    for (const sid of ["destroyed", "moved", "gone"]) await repository.create(sid, record());
    await repository.create("expired", record(Date.now() - 1));
    await repository.bindDevice(ref("destroyed"), KEY, 7);
    await repository.delete("destroyed", "destroyed");
    await repository.move(ref("moved"), "b", { meta: {}, graceUntil: 0 });
    await store.delete("gone");
    for (const sid of ["destroyed", "moved", "gone", "expired", "unknown"]) {
      const error = await assertRejects(() => repository.bindDevice(ref(sid), KEY, 7), SessionGoneError);
      assertEquals((error as SessionError).operation, "bindDevice", sid);
    }
  });
}

for (
  const [name, make] of [["MemoryStore", () => new MemoryStore()], ["a basic store", () => new BasicStore()]] as const
) {
  Deno.test(`SessionRepository.bindDevice() on ${name} rejects if the store fails, and can be repeated`, async () => {
    for (const isExecuted of [false, true]) {
      const { store, probe: calls } = probe<SessionStore>(make());
      const repository = new SessionRepository(store, undefined);
      await repository.create("a", record());
      calls.before = (method, args) => {
        if (method !== "changeRecord" && method !== "setValue") return;
        calls.before = working;
        const executed = isExecuted
          ? (Reflect.get(store, method) as (...args: unknown[]) => Promise<unknown>)(...args)
          : 0;
        return Promise.resolve(executed).then(() => {
          throw new Error("the connection is lost");
        });
      };
      const error = await assertRejects(() => repository.bindDevice(ref("a"), KEY, 7), SessionStoreError);
      assertEquals((error as SessionError).operation, "bindDevice");
      assertEquals((await readRecord(repository, "a")).meta.deviceKey, isExecuted ? KEY : undefined);
      assertEquals(await repository.bindDevice(ref("a"), KEY, 8), true);
      assertEquals((await readRecord(repository, "a")).meta.deviceBoundAt, isExecuted ? 7 : 8);
    }
  });
}

Deno.test("SessionRepository.bindDevice() returns true if the client of the store has sent the write twice", async () => {
  const { store, repository } = await openLossy();
  store.instead = (sid, change) => store.changeRecord(sid, change);
  assertEquals(await repository.bindDevice(ref("a"), KEY, 7), true);
  assertEquals((await readRecord(repository, "a")).meta.deviceBoundAt, 7);
});

Deno.test("SessionRepository.bindDevice() finds its key under the id that the session got meanwhile", async (t) => {
  const meanwhile: [string, (store: LossyStore) => (sid: string, change: RecordChange) => Promise<boolean>][] = [
    ["before the write was sent again", (store) => async (sid, change) => {
      await store.moveRecord("a", "b", MOVE);
      return await store.changeRecord(sid, change);
    }],
    ["after the write was sent again", (store) => async (sid, change) => {
      const changed = await store.changeRecord(sid, change);
      await store.moveRecord("a", "b", MOVE);
      return changed;
    }],
  ];
  for (const [when, instead] of meanwhile) {
    await t.step(when, async () => {
      const { store, repository } = await openLossy();
      store.instead = instead(store);
      const session = ref("a");
      assertEquals(await repository.bindDevice(session, KEY, 7), true);
      assertEquals(session, { id: "b", viaOldId: true });
    });
  }
  await t.step("a key of another device", async () => {
    const { store, repository } = await openLossy();
    await repository.bindDevice(ref("a"), OTHER_KEY, 6);
    store.instead = async () => {
      await store.moveRecord("a", "b", MOVE);
      return false;
    };
    const session = ref("a");
    assertEquals(await repository.bindDevice(session, KEY, 7), false);
    assertEquals(session, { id: "b", viaOldId: true });
  });
});

Deno.test("SessionRepository.bindDevice() rejects if the session has ended before its key could be compared", async () => {
  const { store, repository } = await openLossy();
  store.instead = async () => {
    await store.delete("a");
    return false;
  };
  await assertRejects(() => repository.bindDevice(ref("a"), KEY, 7), SessionGoneError);
});

Deno.test("SessionRepository.bindDevice() removes the session from the cache", async () => {
  /** Reports nothing, so that only the process that binds the session can know. */
  class SilentStore extends MemoryStore {
    override watch(): Promise<Watch> {
      return super.watch(noop);
    }
  }
  const store = new SilentStore();
  const repository = new SessionRepository(store, undefined);
  repository.enableCache({ sessions: 10, staleSeconds: 60 }, noop);
  await repository.create("a", record());
  // The first lookups open the watch and confirm that it reports changes.
  for (let i = 0; i < 3; i++) {
    repository.cached("a");
    await repository.readCached("a");
    await quiet();
  }
  assertEquals(repository.cached("a")?.meta.deviceKey, undefined);
  assert(repository.cached("a") !== undefined);
  assertEquals(await repository.bindDevice(ref("a"), KEY, 7), true);
  assertEquals(repository.cached("a"), undefined);
  await repository.readCached("a");
  assertEquals(repository.cached("a")?.meta.deviceKey, KEY);
  // A refused binding may mean that another process has bound the session.
  assertEquals(await repository.bindDevice(ref("a"), OTHER_KEY, 8), false);
  assertEquals(repository.cached("a"), undefined);
});
