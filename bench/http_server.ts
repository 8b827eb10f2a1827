/**
 * One server of `http.ts`, in its own process. It prints its port, and deletes its data on SIGTERM.
 *
 * @module
 */
import { createServer, type RequestListener } from "node:http";
import { MemoryStore, SecurityContext, SessionMiddleware, type SessionOptions, type SessionStore } from "../mod.ts";
import { createApp, noop, plainPages, sessionPages } from "./application.ts";
import type { PeerStore } from "./subjects/fastify.ts";

const REDIS_URL = Deno.env.get("TEST_REDIS_URL") ?? "redis://127.0.0.1:6379";
const POSTGRES_URL = Deno.env.get("TEST_POSTGRES_URL") ?? "postgres://postgres@127.0.0.1:5432/test";
/** The prefix of this process's data in a database that other processes use too. */
const NAMESPACE = `bench_http_${Deno.pid}`;

const SERVERS: Record<string, () => Promise<() => Promise<void>>> = {
  plain: () => serveAlosaur(undefined),
  memory: () => serveAlosaur(new MemoryStore()),
  sqlite: async () => {
    const folder = await Deno.makeTempDir();
    const remove = await serveAlosaur(await openStore("Sqlite", `${folder}/sessions.sqlite`));
    return async () => {
      await remove();
      await Deno.remove(folder, { recursive: true });
    };
  },
  redis: () => serveRedis(),
  redisCache: () => serveRedis({ cache: {} }),
  postgres: () => servePostgres(),
  postgresCache: () => servePostgres({ cache: {} }),
  expressRedis: async () => await servePeer("express", await openPeerRedis()),
  fastifyRedis: async () => await servePeer("fastify", await openPeerRedis()),
  expressPostgres: async () => await servePeer("express", await openPeerPostgres()),
  fastifyPostgres: async () => await servePeer("fastify", await openPeerPostgres()),
};

const serve = SERVERS[Deno.args[0] ?? ""];
if (serve === undefined) {
  throw new RangeError(
    `Cannot serve "${Deno.args[0]}": no such server; expected one of ${Object.keys(SERVERS).join()}`,
  );
}
const remove = await serve();
Deno.addSignalListener("SIGTERM", () => void remove().finally(() => Deno.exit()));

/**
 * Serves the Alosaur application, without sessions if there is no store. Alosaur prints the port
 * itself.
 */
async function serveAlosaur(
  store: SessionStore | undefined,
  options: Partial<SessionOptions> = {},
): Promise<() => Promise<void>> {
  await store?.init();
  const app = createApp([store === undefined ? plainPages("") : sessionPages("")], SecurityContext);
  const middleware = store && new SessionMiddleware(store, { secret: SessionMiddleware.generateSecret(), ...options });
  app.use(/\//, middleware ?? noop);
  await app.listen({ hostname: "127.0.0.1", port: 0 });
  return async () => await store?.clear();
}

async function serveRedis(options?: Partial<SessionOptions>): Promise<() => Promise<void>> {
  return await serveAlosaur(await openStore("Redis", REDIS_URL, { prefix: `${NAMESPACE}:` }), options);
}

async function servePostgres(options?: Partial<SessionOptions>): Promise<() => Promise<void>> {
  await createSchema();
  const notify = options?.cache === undefined ? {} : { notify: "all" };
  const store = await openStore("Postgres", POSTGRES_URL, { table: `${NAMESPACE}.sessions`, ...notify });
  await serveAlosaur(store, options);
  return dropSchema;
}

/**
 * Opens a store of this project. The import is dynamic, so that each server loads only the database
 * client that it uses.
 */
async function openStore(name: string, location: string, options?: object): Promise<SessionStore> {
  const module: Record<string, new (location: string, options?: object) => SessionStore> = await import(
    new URL(`../src/stores/${name.toLowerCase()}_store.ts`, import.meta.url).href
  );
  const Store = module[`${name}Store`];
  if (Store === undefined) throw new Error(`Cannot open ${name}Store: its module does not export it`);
  return new Store(location, options);
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

async function openPeerRedis(): Promise<{ store: PeerStore; remove: () => Promise<void> }> {
  const { createClient } = await import("npm:redis@6.3.1");
  const { RedisStore } = await import("npm:connect-redis@10.0.0");
  const client = createClient({ url: REDIS_URL });
  await client.connect();
  const prefix = `${NAMESPACE}:`;
  // No sliding expiry, as in this project by default. It would add a round trip to each request.
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

async function openPeerPostgres(): Promise<{ store: PeerStore; remove: () => Promise<void> }> {
  const { session } = await import("./subjects/express.ts");
  const { default: untyped } = await import("npm:connect-pg-simple@10.0.0");
  await createSchema();
  const connect: (session: unknown) => new (options: Record<string, unknown>) => PeerStore = untyped;
  const Store = connect(session);
  const store = new Store({
    conString: POSTGRES_URL,
    schemaName: NAMESPACE,
    createTableIfMissing: true,
    pruneSessionInterval: false,
    disableTouch: true,
  });
  return { store, remove: dropSchema };
}

async function createSchema(): Promise<void> {
  await query(`CREATE SCHEMA ${NAMESPACE}`);
}

async function dropSchema(): Promise<void> {
  await query(`DROP SCHEMA ${NAMESPACE} CASCADE`);
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
