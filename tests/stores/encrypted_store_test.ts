import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "../helpers/assert.ts";
import { BasicStore } from "../helpers/stores.ts";
import { jsonFileStore } from "../../examples/custom_store/json_file_store.ts";
import {
  MemoryStore,
  type PrincipalStore,
  SessionGoneError,
  SessionMiddleware,
  type SessionRecord,
  type SessionStore,
  SessionStoreError,
  UnreadableRecordError,
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
testSessionStore("EncryptedStore on a basic store", () => new EncryptedStore(new BasicStore(), KEY), {
  shared: false,
  values: "all",
});
testSessionStore("EncryptedStore on JSON files", () => new EncryptedStore(jsonFileStore(directory), KEY), {
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
const sqliteStore = (): SqliteStore => new SqliteStore(`${directory}/sessions.db`, { synchronous: "normal" });
testSessionStore("EncryptedStore on a SqliteStore", () => new EncryptedStore(sqliteStore(), KEY), {
  values: "all",
  traces: "deadline",
  broken: () => new EncryptedStore(new SqliteStore(`${directory}/no folder/sessions.db`), KEY),
});

Deno.test("EncryptedStore on a DenoKvStore stores as many bytes as its documentation says", async () => {
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

/** Creates a store on a MemoryStore, which has every capability. */
function encrypted(...keys: EncryptionKey[]): { underlying: MemoryStore; store: PrincipalStore } {
  const underlying = new MemoryStore();
  return { underlying, store: new EncryptedStore(underlying, keys) as unknown as PrincipalStore };
}

Deno.test("EncryptedStore has the optional capabilities of the underlying store", () => {
  const record = ["createRecord", "readRecord", "changeRecord", "moveRecord"];
  const capabilities = ["listSessions", "countSessions", "listPrincipals", "ping", "watch"];
  const names = [...record, ...capabilities];
  const has = (store: SessionStore): string[] => names.filter((name) => name in store);
  assertEquals(has(new EncryptedStore(new MemoryStore(), KEY)), names);
  for (const missing of [...capabilities.map((name) => [name]), capabilities]) {
    const without = new Proxy(new MemoryStore(), {
      has: (target, name) => !missing.includes(String(name)) && name in target,
    });
    assertEquals(has(new EncryptedStore(without, KEY)), names.filter((name) => !missing.includes(name)));
  }
  assertEquals(has(new EncryptedStore(new BasicStore(), KEY)), []);
});

Deno.test("EncryptedStore writes strings that reveal nothing of a value", async (t) => {
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
  await t.step("createRecord(), changeRecord() and moveRecord()", async () => {
    const { underlying, store } = encrypted(KEY);
    const checkSession = async (sid: string): Promise<void> => check(Object.entries(await underlying.get(sid) ?? {}));
    await store.createRecord("a", record(values));
    await checkSession("a");
    await store.changeRecord("a", { clear: true, set: new Map(values) });
    await checkSession("a");
    await store.moveRecord("a", "b", { meta: {}, graceUntil: 0, set: new Map([["text", "another secret"]]) });
    await checkSession("b");
    assertEquals({ ...await store.get("b") }, { ...Object.fromEntries(values), text: "another secret" });
  });
  await t.step("setValue()", async () => {
    const underlying = new BasicStore();
    const store = new EncryptedStore(underlying, KEY);
    await store.create("a");
    for (const [key, value] of values) await store.setValue("a", key, value);
    check([...underlying.records.get("a") ?? []]);
  });
});

Deno.test("EncryptedStore uses a new nonce for every value", async () => {
  const { underlying, store } = encrypted(KEY);
  await store.create("a");
  const sealed = new Set<string>();
  const nonces = new Set<string>();
  for (let i = 0; i < 200; i++) {
    await store.setValue("a", "k", "the same");
    const text = await underlying.getValue("a", "k");
    sealed.add(text);
    nonces.add(bytesOf(text).slice(5, 17).join());
  }
  assertEquals([sealed.size, nonces.size], [200, 200]);
});

Deno.test("EncryptedStore rejects a value that was altered or belongs elsewhere", async (t) => {
  const { underlying, store } = encrypted(KEY);
  await store.createRecord("a", record([["k", { admin: false }], ["l", { admin: true }]]));
  await store.createRecord("b", record([["k", { admin: true }]]));
  const own: string = await underlying.getValue("a", "k");
  const flip = (at: number): string => {
    const bytes = bytesOf(own);
    const index = at < 0 ? bytes.length + at : at;
    bytes[index] = (bytes[index] ?? 0) ^ 1;
    return textOf(bytes);
  };
  const altered =
    "found a value that was altered, or that belongs to another session or key; the session counts as ended; check " +
    "what else writes to the underlying store";
  const notEncrypted =
    "found a value that is not encrypted; the session counts as ended; that is normal for a session " +
    "from before the EncryptedStore; otherwise check what else writes to the underlying store";
  const unknownKey =
    "does not have the key that encrypted the value; the session counts as ended; add the old key to `keys`, after " +
    "the new one";
  const cases: [string, unknown, string][] = [
    ["value of another key", await underlying.getValue("a", "l"), altered],
    ["value of another session", await underlying.getValue("b", "k"), altered],
    ["another version", flip(0), notEncrypted],
    ["another key's id", flip(1), unknownKey],
    ["another nonce", flip(5), altered],
    ["another encrypted text", flip(17), altered],
    ["another tag", flip(-1), altered],
    ["without the last byte", textOf(bytesOf(own).slice(0, -1)), altered],
    ["head and tag without text", textOf(bytesOf(own).slice(0, 33)), altered],
    ["head with an incomplete tag", textOf(bytesOf(own).slice(0, 32)), notEncrypted],
    ["part of the head", textOf(bytesOf(own).slice(0, 5)), notEncrypted],
    ["empty", "", notEncrypted],
    ["not encrypted", "plain", notEncrypted],
    ["not a string", { admin: true }, notEncrypted],
    ["null", null, notEncrypted],
  ];
  for (const [name, sealed, reason] of cases) {
    await t.step(name, async () => {
      await underlying.setValue("a", "k", sealed);
      const calls: [string, () => unknown][] = [
        ["get", () => store.getValue("a", "k")],
        ["get", () => store.get("a")],
        ["get", () => store.readRecord("a")],
        ["regenerate", () => store.moveRecord("a", "c", { meta: {}, graceUntil: 0 })],
      ];
      for (const [operation, call] of calls) {
        const error = await assertRejects(async () => await call(), UnreadableRecordError);
        assertEquals([error.operation, error.message], [
          operation,
          `Cannot ${operation} "k": EncryptedStore ${reason}`,
        ]);
        assert(!`${error.stack}${error.cause}`.includes("admin"), error.stack);
      }
      assertEquals([await store.exist("a"), await store.exist("c")], [true, false]);
      assertEquals(await store.getValue("a", "l"), { admin: true });
    });
  }
  await underlying.setValue("a", "k", own);
  assertEquals(await store.getValue("a", "k"), { admin: false });
});

Deno.test("EncryptedStore distinguishes session ids and keys that concatenate to the same text", async () => {
  const underlying = new BasicStore();
  const store = new EncryptedStore(underlying, KEY);
  const names: [string, string][] = [["a", "bc"], ["ab", "c"], ["a", '"b'], ['a"', "b"], ["a,b", "c"], ["a", "b,c"]];
  for (const [sid] of names) if (!await store.exist(sid)) await store.create(sid);
  for (const [sid, key] of names) {
    await store.setValue(sid, key, 1);
    const sealed = underlying.records.get(sid)?.get(key);
    for (const [otherSid, otherKey] of names) {
      if (sid === otherSid && key === otherKey) continue;
      await underlying.setValue(otherSid, otherKey, sealed);
      await assertRejects(() => store.getValue(otherSid, otherKey), SessionStoreError, "belongs to another");
    }
  }
});

Deno.test("EncryptedStore decrypts with every key and encrypts with the first", async () => {
  const underlying = new MemoryStore();
  const before = new EncryptedStore(underlying, OTHER_KEY);
  const rotating = new EncryptedStore(underlying, [KEY, OTHER_KEY]) as unknown as PrincipalStore;
  const after = new EncryptedStore(underlying, [KEY]);
  await before.create("a");
  await before.setValue("a", "k", 1);
  await before.setValue("a", "l", 1);
  assertEquals(await rotating.getValue("a", "k"), 1);
  await assertRejects(
    () => after.getValue("a", "k"),
    SessionStoreError,
    "does not have the key that encrypted the value",
  );
  await rotating.setValue("a", "k", 2);
  assertEquals(await after.getValue("a", "k"), 2);
  await assertRejects(
    () => before.getValue("a", "k"),
    SessionStoreError,
    "does not have the key that encrypted the value",
  );
  await assertRejects(() => after.get("a"), SessionStoreError, '"l"');
  // moveRecord() encrypts the other values with the first key.
  await rotating.moveRecord("a", "b", { meta: {}, graceUntil: 0 });
  assertEquals({ ...await after.get("b") }, { k: 2, l: 1 });
});

Deno.test("EncryptedStore.moveRecord() moves the values that a concurrent write changed after it has read them", async () => {
  const { underlying, store } = encrypted(KEY);
  await store.createRecord("a", record([["k", 1], ["gone", 1], ["new", 1]]));
  const move = underlying.moveRecord.bind(underlying);
  let moves = 0;
  underlying.moveRecord = async (...args) => {
    if (++moves === 1) await store.changeRecord("a", { set: new Map([["k", 2], ["late", 3]]) });
    return await move(...args);
  };
  const set = new Map<string, unknown>([["gone", undefined], ["new", [2]]]);
  const meta = { renewedAt: 9 };
  const moving = store.moveRecord("a", "b", { meta, graceUntil: 7, set });
  // Later changes of the arguments have no effect.
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

Deno.test("EncryptedStore.moveRecord() rejects after 1000 attempts", async () => {
  const { underlying, store } = encrypted(KEY);
  await store.createRecord("a", record([["k", 1]]));
  let attempts = 0;
  underlying.moveRecord = (): Promise<boolean> => {
    // A defect of the store must not hang the test.
    return ++attempts > 2000 ? Promise.resolve(true) : Promise.resolve(false);
  };
  await assertRejects(
    () => store.moveRecord("a", "b", { meta: {}, graceUntil: 0 }),
    SessionStoreError,
    "each of 1000 attempts",
  );
  assertEquals([await store.exist("a"), attempts], [true, 1000]);
});

Deno.test("EncryptedStore writes values that Web Crypto decrypts", async () => {
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
  const { underlying, store } = encrypted(key);
  await store.create(sid);
  await store.setValue(sid, "k\0", { n: "é" });
  assertEquals(await decrypt(await underlying.getValue(sid, "k\0"), "k\0"), '[{"n":1},"é"]');
  // The store decrypts a value that its first version wrote.
  const known = "AdW3qXHZp3sfS4P4S99KVGrlDvVcTLJyY8gHDrZrG1cAWoAuu19McW7DnN0";
  assertEquals(await decrypt(known, "k"), "[[1,2],1,2]");
  await underlying.setValue(sid, "k", known);
  assertEquals(await store.getValue(sid, "k"), [1, 2]);
});

Deno.test("EncryptedStore passes to the underlying store the calls without values", async () => {
  const { underlying, store } = encrypted(KEY);
  let initCalls = 0;
  underlying.init = () => Promise.resolve(void initCalls++);
  await store.init();
  assertEquals(initCalls, 1);
  await store.createRecord("a", record([["k", 1]], "ada"));
  assertEquals(await store.listSessions("ada"), [
    { sid: "a", expiresAt: Infinity, meta: { ...META, principal: "ada" } },
  ]);
  await store.changeRecord("a", { meta: { seenAt: 9 } });
  assertEquals(await store.readRecord("a"), {
    ...record([["k", 1]]),
    meta: { ...META, principal: "ada", seenAt: 9 },
    version: 0,
  });
  await store.setValue("a", "k", undefined);
  assertEquals({ ...await underlying.get("a") }, {});
  await store.clear();
  assertEquals(underlying.size, 0);
});

Deno.test("EncryptedStore closes the underlying store, if that can be closed", async () => {
  const closed: string[] = [];
  const disposable = (symbol: symbol): SessionStore =>
    Object.assign(new BasicStore(), { [symbol]: () => void closed.push(String(symbol)) });
  for (const symbol of [Symbol.asyncDispose, Symbol.dispose]) {
    await using _ = new EncryptedStore(disposable(symbol), KEY);
  }
  await using _ = new EncryptedStore(new BasicStore(), KEY);
  assertEquals(closed, ["Symbol(Symbol.asyncDispose)", "Symbol(Symbol.dispose)"]);
});

Deno.test("EncryptedStore rejects invalid stores and keys without repeating a key", () => {
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

Deno.test("EncryptedStore accepts a key as bytes or as text, and copies it", async () => {
  const bytes = bytesOf(KEY);
  const { underlying, store } = encrypted(bytes);
  bytes.fill(0);
  await store.create("a");
  await store.setValue("a", "k", 1);
  assertEquals(await new EncryptedStore(underlying, KEY).getValue("a", "k"), 1);
  assertNotEquals(await underlying.getValue("a", "k"), 1);
});

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.fromBase64(text, { alphabet: "base64url" });
}

function textOf(bytes: Uint8Array): string {
  return bytes.toBase64({ alphabet: "base64url", omitPadding: true });
}
