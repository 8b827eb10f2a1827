/** Sessions in Redis that have ended stay ended, whatever other machines do at the same time. */
import { createClient, type RedisClientType } from "npm:redis@6.3.1";
import { type RedisClientLike, RedisStore } from "@alosaur/session/redis";
import { delayed } from "../helpers/interleaving.ts";
import { DEFECTS } from "../helpers/interleaving_defects.ts";
import type { Backend } from "../helpers/interleaving_round.ts";
import { SCENARIOS } from "../helpers/interleaving_scenarios.ts";
import { playRounds, testInterleavings } from "../helpers/interleaving_suite.ts";
import { asCluster } from "./_redis_client.ts";
import { findRedisServer, type OwnRedis, startRedis } from "./_redis.ts";
import { isThere } from "./_require.ts";

if (await isThere("redis", "the interleavings on Redis", findRedisServer)) {
  let server: OwnRedis | undefined;
  const clients: RedisClientType[] = [];

  const opening = async (isCluster: boolean): Promise<Backend> => {
    if (server === undefined) {
      // A server of its own, because `clear()` scans all keys.
      const { url } = server = await startRedis();
      for (let i = 0; i < 3; i++) clients.push(await createClient({ url }).connect() as RedisClientType);
    }
    const backend = redisBackend(clients, isCluster);
    // Until the server has cached a script, it takes two commands, which would change a repeated
    // round.
    for (const scenario of SCENARIOS) await playRounds(backend, scenario, { rounds: 1 });
    return backend;
  };
  testInterleavings("RedisStore", () => opening(false), { defects: DEFECTS });
  testInterleavings("RedisStore on a cluster", () => opening(true), { share: 0.5 });

  Deno.test("RedisStore, interleaved: the server stops", async () => {
    for (const client of clients) client.destroy();
    await server?.[Symbol.asyncDispose]();
  });
}

function redisBackend(clients: readonly RedisClientLike[], isCluster: boolean): Backend {
  return {
    connect: (machine, delays) => {
      const client = clients[machine];
      if (client === undefined) throw new Error(`There is no machine ${machine}`);
      const slow = delayed(scanningSlowly(client), delays, ["eval", "evalSha", "sendCommand"]);
      return new RedisStore(isCluster ? asCluster(slow) : slow);
    },
  };
}

/** Returns few keys at each step of a scan, as if there were thousands. */
function scanningSlowly(client: RedisClientLike): RedisClientLike {
  return new Proxy(client, {
    get: (target, name): unknown => {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== "function") return member;
      if (name !== "sendCommand") return member.bind(target);
      return (args: string[]) => target.sendCommand(args[0] === "SCAN" ? args.with(-1, "3") : args);
    },
  });
}
