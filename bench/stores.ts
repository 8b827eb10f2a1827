/**
 * What a store takes for a look-up, a write and a new session, one after the other; and for how many at once; and the room of a session.
 *
 * Redis is that of TEST_REDIS_URL, PostgreSQL that of TEST_POSTGRES_URL; a store whose server is not there is left out, and that is said.
 */
import { MemoryStore, type SessionStore } from "../mod.ts";
import { newSessionId } from "../src/cookie/session_id.ts";
import { DenoKvStore } from "../src/stores/deno_kv_store.ts";
import { EncryptedStore } from "../src/stores/encrypted_store.ts";
import { PostgresStore } from "../src/stores/postgres_store.ts";
import { RedisStore } from "../src/stores/redis_store.ts";
import { SqliteStore } from "../src/stores/sqlite_store.ts";
import type { RecordStore } from "../src/session_store.ts";
import { digits, environment, keep, median, printTable } from "./figures.ts";
import { createClient } from "npm:redis@6.3.1";
import postgres from "npm:postgres@3.4.9";

const SESSIONS = 10_000;
const CALLS = 1000;
const AT_ONCE = 32;

/** A store, and the bytes that it takes for all its sessions, where that can be said. */
interface Subject {
  store: RecordStore & SessionStore;
  bytes?: () => Promise<number>;
  close: () => Promise<void>;
}

/** Microseconds, and bytes. */
interface Figures {
  name: string;
  lookUp: number;
  write: number;
  create: number;
  lookUpsAtOnce: number;
  bytes: number | undefined;
}

const folder = await Deno.makeTempDir({ prefix: "bench_stores_" });
const redisUrl = Deno.env.get("TEST_REDIS_URL") ?? "redis://127.0.0.1:6379";
const postgresUrl = Deno.env.get("TEST_POSTGRES_URL") ?? "postgres://postgres@127.0.0.1:5432/test";
const unique = `bench_${crypto.randomUUID().slice(0, 8)}`;

const SUBJECTS: Record<string, () => Promise<Subject>> = {
  "MemoryStore": () => Promise.resolve({ store: new MemoryStore(), close: () => Promise.resolve() }),
  'SqliteStore, synchronous "full"': () => sqlite("full"),
  'SqliteStore, synchronous "normal"': () => sqlite("normal"),
  "DenoKvStore, a file": async () => {
    const path = `${folder}/kv`;
    const kv = await Deno.openKv(path);
    return {
      store: new DenoKvStore(kv),
      bytes: () => Promise.resolve(Deno.statSync(path).size),
      close: () => Promise.resolve(kv.close()),
    };
  },
  "RedisStore": async () => {
    const client = createClient({ url: redisUrl, socket: { reconnectStrategy: false } });
    client.on("error", () => {});
    await client.connect();
    const store = new RedisStore(client, { prefix: `${unique}:` });
    return {
      store,
      bytes: async () => {
        let bytes = 0;
        for await (const keys of client.scanIterator({ MATCH: `${unique}:*`, COUNT: 1000 })) {
          for (const size of await Promise.all(keys.map((key) => client.memoryUsage(key)))) bytes += size ?? 0;
        }
        return bytes;
      },
      close: async () => {
        await store.clear();
        client.destroy();
      },
    };
  },
  "PostgresStore": async () => {
    const sql = postgres(postgresUrl, { max: AT_ONCE, onnotice: () => {} });
    await sql`select 1`;
    const store = new PostgresStore(sql, { table: unique });
    return {
      store,
      bytes: async () => Number((await sql`select pg_total_relation_size(${unique}::regclass) as bytes`)[0]?.bytes),
      close: async () => {
        await sql`drop table ${sql(unique)}`;
        await sql.end();
      },
    };
  },
  "EncryptedStore on MemoryStore": () =>
    Promise.resolve({
      store: new EncryptedStore(
        new MemoryStore(),
        crypto.getRandomValues(new Uint8Array(32)),
      ) as unknown as RecordStore,
      close: () => Promise.resolve(),
    }),
};

function sqlite(synchronous: "full" | "normal"): Promise<Subject> {
  const path = `${folder}/${synchronous}`;
  const store = new SqliteStore(path, { synchronous });
  return Promise.resolve({
    store,
    bytes: () => Promise.resolve(Deno.statSync(path).size),
    close: async () => await store[Symbol.asyncDispose](),
  });
}

/** The median of single calls, in microseconds. */
async function each(ids: string[], call: (id: string, i: number) => unknown): Promise<number> {
  const times: number[] = [];
  for (const [i, id] of ids.entries()) {
    const begin = performance.now();
    await call(id, i);
    times.push((performance.now() - begin) * 1000);
  }
  return median(times);
}

async function measure(name: string, { store, bytes }: Subject): Promise<Figures> {
  await store.init();
  const create = (sid: string): Promise<void> => {
    const now = Date.now();
    const meta = { createdAt: now, seenAt: now, renewedAt: now };
    return store.createRecord(sid, { values: new Map([["user", "ada"]]), expiresAt: now + 86_400_000, meta });
  };
  const ids = Array.from({ length: SESSIONS }, newSessionId);
  for (let i = 0; i < SESSIONS; i += AT_ONCE) await Promise.all(ids.slice(i, i + AT_ONCE).map(create));
  const size = await bytes?.();
  // As requests come: any session may be the next.
  const some = Array.from({ length: CALLS }, () => ids[Math.floor(Math.random() * SESSIONS)] as string);
  const lookUp = (sid: string): unknown => store.readRecord(sid);
  await each(some, lookUp);
  const figures = {
    name,
    lookUp: await each(some, lookUp),
    // After its look-up, as in a request.
    write: 0,
    create: await each(Array.from({ length: CALLS }, newSessionId), create),
    lookUpsAtOnce: 0,
    bytes: size === undefined ? undefined : size / SESSIONS,
  };
  const writes: number[] = [];
  for (const sid of some) {
    await store.readRecord(sid);
    const begin = performance.now();
    await store.setValue(sid, "user", "eve");
    writes.push((performance.now() - begin) * 1000);
  }
  figures.write = median(writes);
  const begin = performance.now();
  for (let i = 0; i < CALLS; i += AT_ONCE) await Promise.all(some.slice(i, i + AT_ONCE).map(lookUp));
  figures.lookUpsAtOnce = (performance.now() - begin) * 1000 / CALLS;
  return figures;
}

const all: Figures[] = [];
for (const [name, open] of Object.entries(SUBJECTS)) {
  let subject: Subject;
  try {
    subject = await open();
  } catch (error) {
    console.log(`Left out: ${name}, ${error instanceof Error ? error.message : error}`);
    continue;
  }
  try {
    all.push(await measure(name, subject));
  } finally {
    await subject.close();
  }
}
await Deno.remove(folder, { recursive: true });

printTable([
  ["", "look-up", "write", "new session", `look-up, ${AT_ONCE} at once`, "bytes a session"],
  ...all.map(({ name, lookUp, write, create, lookUpsAtOnce, bytes }) => [
    name,
    ...[lookUp, write, create, lookUpsAtOnce].map(digits),
    bytes === undefined ? "" : bytes.toFixed(0),
  ]),
]);
console.log(`Medians in microseconds, ${SESSIONS} sessions with one small value.`);
await keep("stores.json", { environment: environment(), sessions: SESSIONS, stores: all });
