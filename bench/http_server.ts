/**
 * One server of `http.ts`, in a process of its own: it prints its port, and on SIGTERM removes what it has kept.
 *
 * @module
 */
import { createServer, type RequestListener } from "node:http";
import { MemoryStore, SessionMiddleware, type SessionStore } from "../mod.ts";
import { createApp, noop, plainPages, sessionPages } from "./application.ts";
import type { PeerStore } from "./subjects/fastify.ts";

const REDIS_URL = Deno.env.get("TEST_REDIS_URL") ?? "redis://127.0.0.1:6379";
const POSTGRES_URL = Deno.env.get("TEST_POSTGRES_URL") ?? "postgres://postgres@127.0.0.1:5432/test";
/** What this process keeps in a server that others use too. */
const PLACE = `bench_http_${Deno.pid}`;

const SERVERS: Record<string, () => Promise<() => Promise<void>>> = {
  plain: () => serveAlosaur(undefined),
  memory: () => serveAlosaur(new MemoryStore()),
  sqlite: async () => {
    const folder = await Deno.makeTempDir();
    const remove = await serveAlosaur(await ourStore("Sqlite", `${folder}/sessions.sqlite`));
    return async () => {
      await remove();
      await Deno.remove(folder, { recursive: true });
    };
  },
  redis: async () => await serveAlosaur(await ourStore("Redis", REDIS_URL, { prefix: `${PLACE}:` })),
  postgres: async () => {
    await makeSchema();
    await serveAlosaur(await ourStore("Postgres", POSTGRES_URL, { table: `${PLACE}.sessions` }));
    return dropSchema;
  },
  expressRedis: async () => await servePeer("express", await redisOfPeers()),
  fastifyRedis: async () => await servePeer("fastify", await redisOfPeers()),
  expressPostgres: async () => await servePeer("express", await postgresOfPeers()),
  fastifyPostgres: async () => await servePeer("fastify", await postgresOfPeers()),
};

const serve = SERVERS[Deno.args[0] ?? ""];
if (serve === undefined) throw new RangeError(`There is no server ${Deno.args[0]}`);
const remove = await serve();
Deno.addSignalListener("SIGTERM", () => void remove().finally(() => Deno.exit()));

/** Alosaur prints the port itself. */
async function serveAlosaur(store: SessionStore | undefined): Promise<() => Promise<void>> {
  await store?.init();
  const app = createApp(store === undefined ? plainPages("") : sessionPages(""));
  const middleware = store && new SessionMiddleware(store, { secret: SessionMiddleware.generateSecret() });
  app.use(/\//, middleware ?? noop);
  await app.listen({ hostname: "127.0.0.1", port: 0 });
  return async () => await store?.clear();
}

/** A store of this project, by its own module: what a benchmark leaves out need not be there. */
async function ourStore(name: string, place: string, options?: object): Promise<SessionStore> {
  const module: Record<string, new (place: string, options?: object) => SessionStore> = await import(
    new URL(`../src/stores/${name.toLowerCase()}_store.ts`, import.meta.url).href
  );
  const Store = module[`${name}Store`];
  if (Store === undefined) throw new Error(`There is no ${name}Store`);
  return new Store(place, options);
}

async function servePeer(
  framework: "express" | "fastify",
  { store, remove }: { store: PeerStore; remove: () => Promise<void> },
): Promise<() => Promise<void>> {
  if (framework === "fastify") {
    const { fastifyApp } = await import("./subjects/fastify.ts");
    const app = await fastifyApp(true, store);
    const address = await app.listen({ host: "127.0.0.1", port: 0 });
    console.log("port:", new URL(address).port);
  } else {
    const { expressApp } = await import("./subjects/express.ts");
    const listener: RequestListener = expressApp(store);
    const server = createServer(listener);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      if (address !== null && typeof address === "object") console.log("port:", address.port);
    });
  }
  return remove;
}

async function redisOfPeers(): Promise<{ store: PeerStore; remove: () => Promise<void> }> {
  const { createClient } = await import("npm:redis@6.3.1");
  const { RedisStore } = await import("npm:connect-redis@10.0.0");
  const client = createClient({ url: REDIS_URL });
  await client.connect();
  const prefix = `${PLACE}:`;
  // Without a sliding deadline, as this project by default: every request would be two round trips.
  const store = new RedisStore({ client, prefix, disableTouch: true });
  return {
    store,
    async remove(): Promise<void> {
      for await (const keys of client.scanIterator({ MATCH: `${prefix}*`, COUNT: 1000 })) {
        if (keys.length > 0) await client.del(keys);
      }
    },
  };
}

async function postgresOfPeers(): Promise<{ store: PeerStore; remove: () => Promise<void> }> {
  const { session } = await import("./subjects/express.ts");
  const { default: untyped } = await import("npm:connect-pg-simple@10.0.0");
  await makeSchema();
  const connect: (session: unknown) => new (options: Record<string, unknown>) => PeerStore = untyped;
  const Store = connect(session);
  const store = new Store({
    conString: POSTGRES_URL,
    schemaName: PLACE,
    createTableIfMissing: true,
    pruneSessionInterval: false,
    disableTouch: true,
  });
  return { store, remove: dropSchema };
}

async function makeSchema(): Promise<void> {
  await query(`CREATE SCHEMA ${PLACE}`);
}

async function dropSchema(): Promise<void> {
  await query(`DROP SCHEMA ${PLACE} CASCADE`);
}

async function query(sql: string): Promise<void> {
  const { default: untyped } = await import("npm:pg@8.23.1");
  const { Client }: { Client: new (url: string) => PostgresClient } = untyped;
  const client = new Client(POSTGRES_URL);
  await client.connect();
  await client.query(sql);
  await client.end();
}

interface PostgresClient {
  connect(): Promise<void>;
  query(sql: string): Promise<unknown>;
  end(): Promise<void>;
}
