import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "../helpers/assert.ts";
import { BareStore } from "../helpers/stores.ts";
import { jsonFileStore } from "../../examples/custom_store/json_file_store.ts";
import {
  MemoryStore,
  type PrincipalStore,
  SessionGoneError,
  SessionMiddleware,
  type SessionRecord,
  type SessionStore,
  SessionStoreError,
} from "../../mod.ts";
import { DenoKvStore } from "../../src/stores/deno_kv_store.ts";
import { EncryptedStore } from "../../src/stores/encrypted_store.ts";
import type { EncryptionKey } from "../../src/stores/_session_cipher.ts";
import { SqliteStore } from "../../src/stores/sqlite_store.ts";
import { testSessionStore } from "../../src/testing.ts";

const KEY = SessionMiddleware.generateSecret();
const OTHER_KEY = crypto.getRandomValues(new Uint8Array(32));
const META = { createdAt: 1, seenAt: 2, renewedAt: 3 };

const directory = Deno.makeTempDirSync();
const kv = await Deno.openKv(":memory:");
const closedKv = await Deno.openKv(":memory:");
closedKv.close();
addEventListener("unload", () => {
  kv.close();
  Deno.removeSync(directory, { recursive: true });
});

const shared = new MemoryStore();
testSessionStore("EncryptedStore on a MemoryStore", () => new EncryptedStore(shared, KEY), {
  values: "all",
  traces: "deadline",
});
testSessionStore("EncryptedStore on eight methods", () => new EncryptedStore(new BareStore(), KEY), {
  shared: false,
  values: "all",
});
testSessionStore("EncryptedStore on files of JSON", () => new EncryptedStore(jsonFileStore(directory), KEY), {
  shared: false,
  values: "all",
  neighbour: () => new EncryptedStore(jsonFileStore(`${directory}/another`), KEY),
  broken: () => new EncryptedStore(jsonFileStore(`${import.meta.filename}/sessions`), KEY),
});
testSessionStore("EncryptedStore on a DenoKvStore", () => new EncryptedStore(new DenoKvStore(kv), KEY), {
  values: "all",
  traces: "deadline",
  maxValueBytes: 431 * 1024,
  neighbour: () => new EncryptedStore(new DenoKvStore(kv, { prefix: ["another"] }), KEY),
  broken: () => new EncryptedStore(new DenoKvStore(closedKv), KEY),
});
testSessionStore("EncryptedStore on a SqliteStore", () => {
  const beneath = new SqliteStore(`${directory}/sessions.db`, { synchronous: "normal" });
  // The suite closes what it has made, and an EncryptedStore does not close the store beneath.
  return Object.assign(new EncryptedStore(beneath, KEY), {
    [Symbol.asyncDispose]: () => beneath[Symbol.asyncDispose](),
  });
}, {
  values: "all",
  traces: "deadline",
  broken: () => new EncryptedStore(new SqliteStore(`${directory}/no folder/sessions.db`), KEY),
});

Deno.test("EncryptedStore keeps on a DenoKvStore as much as its documentation says", async () => {
  const store = new EncryptedStore(new DenoKvStore(kv, { prefix: ["limit"] }), KEY);
  for (const value of ["x".repeat(575 * 1024), new Uint8Array(431 * 1024)]) {
    await store.create("a");
    await store.setValue("a", "k", value);
    assertEquals(await store.getValue("a", "k"), value);
    await assertRejects(() => store.setValue("a", "l", "x".repeat(4096)), RangeError, '"l"');
    await store.delete("a");
  }
});

function record(values: [string, unknown][], principal?: string): SessionRecord {
  return {
    expiresAt: Infinity,
    values: new Map(values),
    meta: principal === undefined ? META : { ...META, principal },
  };
}

/** A store with every capability, on a MemoryStore. */
function encrypted(...keys: EncryptionKey[]): { beneath: MemoryStore; store: PrincipalStore } {
  const beneath = new MemoryStore();
  return { beneath, store: new EncryptedStore(beneath, keys) as unknown as PrincipalStore };
}

Deno.test("EncryptedStore has the optional capabilities that the store beneath has", () => {
  const names = ["createRecord", "readRecord", "changeRecord", "moveRecord", "listSessions"];
  const has = (store: SessionStore): string[] => names.filter((name) => name in store);
  const noUsers = new Proxy(new MemoryStore(), { has: (target, name) => name !== "listSessions" && name in target });
  assertEquals(has(new EncryptedStore(new MemoryStore(), KEY)), names);
  assertEquals(has(new EncryptedStore(noUsers, KEY)), names.slice(0, 4));
  assertEquals(has(new EncryptedStore(new BareStore(), KEY)), []);
});

Deno.test("EncryptedStore gives the store beneath strings that hold nothing of a value", async (t) => {
  const values: [string, unknown][] = [
    ["text", "a secret"],
    ["number", 424_242],
    ["nested", { inner: ["a secret", new Map([["a secret", new Date(424_242)]])] }],
    ["empty", ""],
    ["nothing", null],
    ["yes", true],
    ["bytes", new TextEncoder().encode("a secret")],
  ];
  const check = (stored: Iterable<[string, unknown]>): void => {
    let count = 0;
    for (const [key, sealed] of stored) {
      count++;
      assert(typeof sealed === "string" && /^[\w-]{44,}$/.test(sealed), `${key}: ${sealed}`);
      for (const text of [sealed, atob(sealed.replaceAll("-", "+").replaceAll("_", "/"))]) {
        for (const plain of ["secret", "424242", "inner", "Date", "true", "null", btoa("a secret").slice(0, 9)]) {
          assert(!text.includes(plain), `${key} shows ${plain}`);
        }
      }
    }
    assertEquals(count, values.length);
  };
  await t.step("made, changed and moved as a record", async () => {
    const { beneath, store } = encrypted(KEY);
    const seen = async (sid: string): Promise<void> => check(Object.entries(await beneath.get(sid) ?? {}));
    await store.createRecord("a", record(values));
    await seen("a");
    await store.changeRecord("a", { clear: true, set: new Map(values) });
    await seen("a");
    await store.moveRecord("a", "b", { meta: {}, graceUntil: 0, set: new Map([["text", "another secret"]]) });
    await seen("b");
    assertEquals({ ...await store.get("b") }, { ...Object.fromEntries(values), text: "another secret" });
  });
  await t.step("written one by one", async () => {
    const beneath = new BareStore();
    const store = new EncryptedStore(beneath, KEY);
    await store.create("a");
    for (const [key, value] of values) await store.setValue("a", key, value);
    check([...beneath.records.get("a") ?? []]);
  });
});

Deno.test("EncryptedStore encrypts each time with another nonce", async () => {
  const { beneath, store } = encrypted(KEY);
  await store.create("a");
  const sealed = new Set<string>();
  const nonces = new Set<string>();
  for (let i = 0; i < 200; i++) {
    await store.setValue("a", "k", "the same");
    const text = await beneath.getValue("a", "k");
    sealed.add(text);
    nonces.add(bytesOf(text).slice(5, 17).join());
  }
  assertEquals([sealed.size, nonces.size], [200, 200]);
});

Deno.test("EncryptedStore refuses a value that was altered or belongs elsewhere", async (t) => {
  const { beneath, store } = encrypted(KEY);
  await store.createRecord("a", record([["k", { admin: false }], ["l", { admin: true }]]));
  await store.createRecord("b", record([["k", { admin: true }]]));
  const own: string = await beneath.getValue("a", "k");
  const flip = (at: number): string => {
    const bytes = bytesOf(own);
    const index = at < 0 ? bytes.length + at : at;
    bytes[index] = (bytes[index] ?? 0) ^ 1;
    return textOf(bytes);
  };
  const cases: [string, unknown][] = [
    ["of another key", await beneath.getValue("a", "l")],
    ["of another session", await beneath.getValue("b", "k")],
    ["with another version", flip(0)],
    ["with another key's id", flip(1)],
    ["with another nonce", flip(5)],
    ["with other text", flip(17)],
    ["with another tag", flip(-1)],
    ["without the last byte", textOf(bytesOf(own).slice(0, -1))],
    ["with the head alone", textOf(bytesOf(own).slice(0, 20))],
    ["with a part of the head", textOf(bytesOf(own).slice(0, 5))],
    ["empty", ""],
    ["not encrypted", "plain"],
    ["not a string", { admin: true }],
    ["null", null],
  ];
  for (const [name, sealed] of cases) {
    await t.step(name, async () => {
      await beneath.setValue("a", "k", sealed);
      for (
        const ask of [
          () => store.getValue("a", "k"),
          () => store.get("a"),
          () => store.readRecord("a"),
          () => store.moveRecord("a", "c", { meta: {}, graceUntil: 0 }),
        ]
      ) {
        const error = await assertRejects(async () => await ask(), SessionStoreError, 'Cannot get "k": ');
        assert(!`${error.stack}${error.cause}`.includes("admin"), error.stack);
      }
      assertEquals([await store.exist("a"), await store.exist("c")], [true, false]);
      assertEquals(await store.getValue("a", "l"), { admin: true });
    });
  }
  await beneath.setValue("a", "k", own);
  assertEquals(await store.getValue("a", "k"), { admin: false });
});

Deno.test("EncryptedStore tells session id and key apart, however they join", async () => {
  const beneath = new BareStore();
  const store = new EncryptedStore(beneath, KEY);
  const names: [string, string][] = [["a", "bc"], ["ab", "c"], ["a", '"b'], ['a"', "b"], ["a,b", "c"], ["a", "b,c"]];
  for (const [sid] of names) if (!await store.exist(sid)) await store.create(sid);
  for (const [sid, key] of names) {
    await store.setValue(sid, key, 1);
    const sealed = beneath.records.get(sid)?.get(key);
    for (const [otherSid, otherKey] of names) {
      if (sid === otherSid && key === otherKey) continue;
      await beneath.setValue(otherSid, otherKey, sealed);
      await assertRejects(() => store.getValue(otherSid, otherKey), SessionStoreError, "belongs to another");
    }
  }
});

Deno.test("EncryptedStore decrypts with every key, and encrypts with the first", async () => {
  const beneath = new MemoryStore();
  const before = new EncryptedStore(beneath, OTHER_KEY);
  const between = new EncryptedStore(beneath, [KEY, OTHER_KEY]) as unknown as PrincipalStore;
  const after = new EncryptedStore(beneath, [KEY]);
  await before.create("a");
  await before.setValue("a", "k", 1);
  await before.setValue("a", "l", 1);
  assertEquals(await between.getValue("a", "k"), 1);
  await assertRejects(() => after.getValue("a", "k"), SessionStoreError, "is not among `keys`");
  await between.setValue("a", "k", 2);
  assertEquals(await after.getValue("a", "k"), 2);
  await assertRejects(() => before.getValue("a", "k"), SessionStoreError, "is not among `keys`");
  await assertRejects(() => after.get("a"), SessionStoreError, '"l"');
  // A new id encrypts the rest anew.
  await between.moveRecord("a", "b", { meta: {}, graceUntil: 0 });
  assertEquals({ ...await after.get("b") }, { k: 2, l: 1 });
});

Deno.test("EncryptedStore moves what is there when it moves, and not what it read before", async () => {
  const { beneath, store } = encrypted(KEY);
  await store.createRecord("a", record([["k", 1], ["gone", 1], ["new", 1]]));
  const move = beneath.moveRecord.bind(beneath);
  let moves = 0;
  beneath.moveRecord = async (...args) => {
    if (++moves === 1) await store.changeRecord("a", { set: new Map([["k", 2], ["late", 3]]) });
    return await move(...args);
  };
  const set = new Map<string, unknown>([["gone", undefined], ["new", [2]]]);
  const meta = { renewedAt: 9 };
  const moving = store.moveRecord("a", "b", { meta, graceUntil: 7, set });
  // Later changes of what was handed in are not seen.
  (set.get("new") as number[]).push(3);
  meta.renewedAt = 10;
  assertEquals([await moving, moves], [true, 2]);
  assertEquals({ ...await store.get("b") }, { k: 2, new: [2], late: 3 });
  const read = await store.readRecord("b");
  assert(read && "values" in read);
  assertEquals(read.meta.renewedAt, 9);
  assertEquals(await store.moveRecord("b", "c", { meta: {}, graceUntil: 0, ifVersion: read.version - 1 }), false);
  await assertRejects(() => store.moveRecord("a", "c", { meta: {}, graceUntil: 0 }), SessionGoneError);
  assertEquals(await store.moveRecord("b", "c", { meta: {}, graceUntil: 0, ifVersion: read.version }), true);
});

Deno.test("EncryptedStore.moveRecord() gives up where the store beneath refuses every time", async () => {
  const { beneath, store } = encrypted(KEY);
  await store.createRecord("a", record([["k", 1]]));
  let tries = 0;
  beneath.moveRecord = (): Promise<boolean> => {
    // A mistake in the store is not to hang the test.
    return ++tries > 2000 ? Promise.resolve(true) : Promise.resolve(false);
  };
  await assertRejects(() => store.moveRecord("a", "b", { meta: {}, graceUntil: 0 }), SessionStoreError, "all the time");
  assertEquals([await store.exist("a"), tries], [true, 1000]);
});

Deno.test("EncryptedStore writes what any AES-256-GCM reads", async () => {
  const key = Uint8Array.from({ length: 32 }, (_, i) => i);
  const text = new TextEncoder();
  const hmac = async (secret: Uint8Array<ArrayBuffer>, message: string): Promise<Uint8Array<ArrayBuffer>> => {
    const imported = await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    return new Uint8Array(await crypto.subtle.sign("HMAC", imported, text.encode(message)));
  };
  const sid = 'séance "1"';
  const root = await hmac(key, "session/encrypted/1");
  const sessionKey = await crypto.subtle.importKey("raw", await hmac(root, sid), "AES-GCM", false, ["decrypt"]);
  const decrypt = async (sealed: string, name: string): Promise<string> => {
    const bytes = bytesOf(sealed);
    assertEquals(bytes[0], 1);
    assertEquals(bytes.slice(1, 5), (await hmac(key, "session/encrypted-id/1")).slice(0, 4));
    const additionalData = text.encode(JSON.stringify([sid, name]));
    const algorithm = { name: "AES-GCM", iv: bytes.slice(5, 17), additionalData, tagLength: 128 };
    return new TextDecoder().decode(await crypto.subtle.decrypt(algorithm, sessionKey, bytes.slice(17)));
  };
  const { beneath, store } = encrypted(key);
  await store.create(sid);
  await store.setValue(sid, "k\0", { n: "é" });
  assertEquals(await decrypt(await beneath.getValue(sid, "k\0"), "k\0"), '[{"n":1},"é"]');
  // And it reads what it wrote when this test was written.
  const known = "AdW3qXHZp3sfS4P4S99KVGrlDvVcTLJyY8gHDrZrG1cAWoAuu19McW7DnN0";
  assertEquals(await decrypt(known, "k"), "[[1,2],1,2]");
  await beneath.setValue(sid, "k", known);
  assertEquals(await store.getValue(sid, "k"), [1, 2]);
});

Deno.test("EncryptedStore passes on what it has nothing to encrypt in", async () => {
  const { beneath, store } = encrypted(KEY);
  let opened = 0;
  beneath.init = () => Promise.resolve(void opened++);
  await store.init();
  assertEquals(opened, 1);
  // What was handed in is the application's to close.
  assertEquals([Symbol.asyncDispose in store, Symbol.dispose in store], [false, false]);
  await store.createRecord("a", record([["k", 1]], "ada"));
  assertEquals(await store.listSessions("ada"), [{ sid: "a", meta: { ...META, principal: "ada" } }]);
  await store.changeRecord("a", { meta: { seenAt: 9 } });
  assertEquals(await store.readRecord("a"), {
    ...record([["k", 1]]),
    meta: { ...META, principal: "ada", seenAt: 9 },
    version: 0,
  });
  await store.setValue("a", "k", undefined);
  assertEquals({ ...await beneath.get("a") }, {});
  await store.clear();
  assertEquals(beneath.size, 0);
});

Deno.test("EncryptedStore refuses what is no store and what is no key, and does not show it", () => {
  assertThrows(() => new EncryptedStore(undefined as unknown as SessionStore, KEY), TypeError, "`store` must be");
  const cases: [unknown, typeof TypeError | typeof RangeError][] = [
    [undefined, TypeError],
    [[], TypeError],
    [[undefined], TypeError],
    [[KEY, 1], TypeError],
    [new ArrayBuffer(32), TypeError],
    [Array(32).fill(1), TypeError],
    ["", RangeError],
    [new Uint8Array(32), RangeError],
    ["A".repeat(43), RangeError],
    [new Uint8Array(16).fill(1), RangeError],
    [new Uint8Array(33).fill(1), RangeError],
    [[KEY, "k".repeat(32)], RangeError],
    [`${KEY}=`, RangeError],
    [`${KEY}\n`, RangeError],
    [KEY.slice(1), RangeError],
    [`+${KEY.slice(1)}`, RangeError],
  ];
  for (const [keys, type] of cases) {
    const error = assertThrows(
      () => new EncryptedStore(new MemoryStore(), keys as EncryptionKey),
      type,
      "Cannot encrypt",
    );
    assert(!error.message.includes(KEY.slice(1, 20)));
  }
});

Deno.test("EncryptedStore takes a key as bytes or as text, and copies it", async () => {
  const bytes = bytesOf(KEY);
  const { beneath, store } = encrypted(bytes);
  bytes.fill(0);
  await store.create("a");
  await store.setValue("a", "k", 1);
  assertEquals(await new EncryptedStore(beneath, KEY).getValue("a", "k"), 1);
  assertNotEquals(await beneath.getValue("a", "k"), 1);
});

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.fromBase64(text, { alphabet: "base64url" });
}

function textOf(bytes: Uint8Array): string {
  return bytes.toBase64({ alphabet: "base64url", omitPadding: true });
}
