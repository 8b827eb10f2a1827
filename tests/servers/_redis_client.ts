/**
 * Stores on a client whose scripts a test can interrupt.
 *
 * @module
 */
import { createClient, type RedisClientType } from "npm:redis@6.3.1";
import type { SessionMeta } from "@alosaur/session";
import { type RedisClientLike, type RedisClusterLike, RedisStore } from "@alosaur/session/redis";
import { REDIS_URL } from "./_redis.ts";

/** A prefix of this run only, because other runs may share the server. */
export const PREFIX = `test-${crypto.randomUUID()}:`;

/** What happens before the next commands run. */
export interface Interrupt {
  /** One function per script, which receives the keys of the script. */
  before?: ((keys: string[]) => unknown)[];
  /** Called before each SCAN. */
  beforeScan?: () => unknown;
}

/** A store on a client of the test. */
export interface OpenedStore extends AsyncDisposable {
  store: RedisStore;
  client: RedisClientType;
  interrupt: Interrupt;
}

/** Opens a store on a client of the test, with that client and the interruptions of its scripts. */
export async function open(prefix = PREFIX, url = REDIS_URL): Promise<OpenedStore> {
  const client = createClient({ url });
  const interrupt: Interrupt = {};
  const store = new RedisStore(interrupted(client, interrupt), { prefix });
  await store.init();
  return {
    store,
    client,
    interrupt,
    async [Symbol.asyncDispose](): Promise<void> {
      await store.clear();
      await client.close();
    },
  };
}

/** Returns a client that calls the interruptions before its commands. */
export function interrupted<Client extends RedisClientLike>(client: Client, interrupt: Interrupt): Client {
  return new Proxy(client, {
    get(target, name): unknown {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== "function") return member;
      if (name === "evalSha") {
        return async (...args: Parameters<RedisClientLike["evalSha"]>) => {
          await interrupt.before?.shift()?.(args[1].keys);
          return await target.evalSha(...args);
        };
      }
      if (name === "sendCommand") {
        return async (args: string[]) => {
          if (args[0] === "SCAN") await interrupt.beforeScan?.();
          return await target.sendCommand(args);
        };
      }
      return member.bind(target);
    },
  });
}

/** Returns the client of a cluster of one node. A store then uses no two keys in one script. */
export function asCluster(client: RedisClientLike): RedisClusterLike {
  return {
    isOpen: true,
    connect: () => client.connect(),
    listenerCount: (event) => client.listenerCount(event),
    on: (event, listener) => client.on(event, listener),
    eval: (...args) => client.eval(...args),
    evalSha: (...args) => client.evalSha(...args),
    masters: [client],
    nodeClient: () => Promise.resolve(client),
  };
}

/** A record with one value, which expires after some milliseconds. */
export function record(lifetime: number, meta: Partial<SessionMeta> = {}): Parameters<RedisStore["createRecord"]>[1] {
  const now = Date.now();
  const values = new Map<string, unknown>([["k", 1]]);
  return { expiresAt: now + lifetime, values, meta: { createdAt: now, seenAt: now, renewedAt: now, ...meta } };
}

/** Returns the ids of a user's sessions, sorted. */
export async function sidsOf(store: RedisStore, principal: string): Promise<string[]> {
  return (await store.listSessions(principal)).map(({ sid }) => sid).sort();
}
