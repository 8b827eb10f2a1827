/**
 * The stores that the benchmarks of stores measure.
 *
 * TEST_REDIS_URL and TEST_POSTGRES_URL name the databases. A store whose database does not respond
 * is skipped with a message.
 *
 * @module
 */
import { MemoryStore, type SessionStore } from "../mod.ts";
import { DenoKvStore } from "../src/stores/deno_kv_store.ts";
import { EncryptedStore } from "../src/stores/encrypted_store.ts";
import { PostgresStore } from "../src/stores/postgres_store.ts";
import { RedisStore } from "../src/stores/redis_store.ts";
import { SqliteStore } from "../src/stores/sqlite_store.ts";
import type { RecordStore } from "../src/session_store.ts";
import { createClient } from "npm:redis@6.3.1";
import postgres from "npm:postgres@3.4.9";

/** How many calls are in flight at the same time. */
export const CONCURRENCY = 32;

/** A store, and the bytes of all its sessions if the backend can report them. */
export interface StoreSubject {
  store: RecordStore & SessionStore;
  bytes?: () => Promise<number>;
  close: () => Promise<void>;
}

const folder = await Deno.makeTempDir({ prefix: "bench_stores_" });
const redisUrl = Deno.env.get("TEST_REDIS_URL") ?? "redis://127.0.0.1:6379";
const postgresUrl = Deno.env.get("TEST_POSTGRES_URL") ?? "postgres://postgres@127.0.0.1:5432/test";
const unique = `bench_${crypto.randomUUID().slice(0, 8)}`;

const SUBJECTS: Record<string, () => Promise<StoreSubject>> = {
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

function sqlite(synchronous: "full" | "normal"): Promise<StoreSubject> {
  const path = `${folder}/${synchronous}`;
  const store = new SqliteStore(path, { synchronous });
  return Promise.resolve({
    store,
    bytes: () => Promise.resolve(Deno.statSync(path).size),
    close: async () => await store[Symbol.asyncDispose](),
  });
}

/**
 * Opens each store, passes it to a function and closes it. Then removes the files of all.
 *
 * @param beginning the beginning of the names of the stores
 */
export async function withStores(
  measure: (name: string, subject: StoreSubject) => Promise<void>,
  beginning = "",
): Promise<void> {
  for (const [name, open] of Object.entries(SUBJECTS)) {
    if (!name.startsWith(beginning)) continue;
    let subject: StoreSubject;
    try {
      subject = await open();
    } catch (error) {
      console.log(`Skipped: ${name}, ${error instanceof Error ? error.message : error}`);
      continue;
    }
    try {
      await measure(name, subject);
    } finally {
      await subject.close();
    }
  }
  await Deno.remove(folder, { recursive: true });
}
