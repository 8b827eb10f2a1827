/**
 * Measures each store: the time of a lookup, a write and a new session in sequence, the time of
 * concurrent lookups, and the bytes of a session.
 *
 * TEST_REDIS_URL and TEST_POSTGRES_URL name the databases. A store whose database does not respond
 * is skipped with a message. `--quick` measures a tenth of the sessions and calls, and is not saved
 * to `results/stores.json`.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { MemoryStore, type SessionStore } from "../mod.ts";
import { newSessionId } from "../src/cookie/session_id.ts";
import { DenoKvStore } from "../src/stores/deno_kv_store.ts";
import { EncryptedStore } from "../src/stores/encrypted_store.ts";
import { PostgresStore } from "../src/stores/postgres_store.ts";
import { RedisStore } from "../src/stores/redis_store.ts";
import { SqliteStore } from "../src/stores/sqlite_store.ts";
import type { RecordStore } from "../src/session_store.ts";
import { environment, formatNumber, printTable, saveResults } from "./report.ts";
import { median } from "./statistics.ts";
import { createClient } from "npm:redis@6.3.1";
import postgres from "npm:postgres@3.4.9";

const { values: { quick } } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
const SESSIONS = quick ? 1000 : 10_000;
const CALLS = quick ? 100 : 1000;
const CONCURRENCY = 32;

/** A store, and the bytes of all its sessions if the backend can report them. */
interface Subject {
  store: RecordStore & SessionStore;
  bytes?: () => Promise<number>;
  close: () => Promise<void>;
}

/** Microseconds per call, and bytes per session. */
interface StoreResult {
  name: string;
  lookup: number;
  /** A write after a lookup, as in a request. */
  write: number;
  create: number;
  /** A lookup while 32 are in flight: the total time divided by the number of lookups. */
  concurrentLookup: number;
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
    const sql = postgres(postgresUrl, { max: CONCURRENCY, onnotice: () => {} });
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

/** Returns the median time of sequential calls in microseconds. */
async function timeCalls(ids: string[], call: (id: string, i: number) => unknown): Promise<number> {
  const times: number[] = [];
  for (const [i, id] of ids.entries()) {
    const start = performance.now();
    await call(id, i);
    times.push((performance.now() - start) * 1000);
  }
  return median(times);
}

async function measure(name: string, { store, bytes }: Subject): Promise<StoreResult> {
  await store.init();
  const create = (sid: string): Promise<void> => {
    const now = Date.now();
    const meta = { createdAt: now, seenAt: now, renewedAt: now };
    return store.createRecord(sid, { values: new Map([["user", "ada"]]), expiresAt: now + 86_400_000, meta });
  };
  const ids = Array.from({ length: SESSIONS }, newSessionId);
  for (let i = 0; i < SESSIONS; i += CONCURRENCY) await Promise.all(ids.slice(i, i + CONCURRENCY).map(create));
  const size = await bytes?.();
  // Requests use the sessions in random order.
  const sample = Array.from({ length: CALLS }, () => ids[Math.floor(Math.random() * SESSIONS)] as string);
  const readRecord = (sid: string): unknown => store.readRecord(sid);
  await timeCalls(sample, readRecord);
  const result = {
    name,
    lookup: await timeCalls(sample, readRecord),
    write: 0,
    create: await timeCalls(Array.from({ length: CALLS }, newSessionId), create),
    concurrentLookup: 0,
    bytes: size === undefined ? undefined : size / SESSIONS,
  };
  const writes: number[] = [];
  for (const sid of sample) {
    await store.readRecord(sid);
    const start = performance.now();
    await store.setValue(sid, "user", "eve");
    writes.push((performance.now() - start) * 1000);
  }
  result.write = median(writes);
  const start = performance.now();
  for (let i = 0; i < CALLS; i += CONCURRENCY) await Promise.all(sample.slice(i, i + CONCURRENCY).map(readRecord));
  result.concurrentLookup = (performance.now() - start) * 1000 / CALLS;
  return result;
}

const all: StoreResult[] = [];
for (const [name, open] of Object.entries(SUBJECTS)) {
  let subject: Subject;
  try {
    subject = await open();
  } catch (error) {
    console.log(`Skipped: ${name}, ${error instanceof Error ? error.message : error}`);
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
  ["", "lookup", "write", "new session", `lookup, ${CONCURRENCY} in flight`, "bytes a session"],
  ...all.map(({ name, lookup, write, create, concurrentLookup, bytes }) => [
    name,
    ...[lookup, write, create, concurrentLookup].map(formatNumber),
    bytes === undefined ? "" : bytes.toFixed(0),
  ]),
]);
console.log(`Medians in microseconds, ${SESSIONS} sessions with one small value.`);
if (quick) console.log("\nNot saved: the run was not complete.");
else await saveResults("stores.json", { environment: environment(), sessions: SESSIONS, stores: all });
