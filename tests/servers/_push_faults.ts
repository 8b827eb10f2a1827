/** Faults of a server that reports changes, for tests that cause them while requests go on. */
import { client, type OwnServer } from "./_postgres.ts";
import type { OwnRedis } from "./_redis.ts";

/** The faults of one server. */
export interface PushFaults {
  /** Kills the connections that report changes. Returns how many there were. */
  killPush(): Promise<number>;
  /** Kills the server, and starts it again. */
  restart(): Promise<void>;
}

export function redisFaults(redis: OwnRedis): PushFaults {
  return {
    async killPush(): Promise<number> {
      const clients = (await redis.cli("CLIENT", "LIST")).split("\n").filter((line) => /flags=\S*t/.test(line));
      for (const line of clients) await redis.cli("CLIENT", "KILL", "ID", /id=(\d+)/.exec(line)?.[1] ?? "");
      return clients.length;
    },
    async restart(): Promise<void> {
      redis.signal("SIGKILL");
      await redis.restart();
    },
  };
}

export function postgresFaults(server: OwnServer): PushFaults {
  return {
    async killPush(): Promise<number> {
      await using sql = client(server.url);
      const killed = await sql.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN sessions_%'",
      );
      return killed.length;
    },
    async restart(): Promise<void> {
      await server.stop("SIGKILL");
      await server.start();
    },
  };
}
