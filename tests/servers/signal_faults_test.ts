/**
 * `session.signal` while another process ends sessions, the push connection is killed and the
 * server is restarted. No acknowledged ending may be missed.
 */
import { PostgresStore } from "@alosaur/session/postgres";
import { RedisStore } from "@alosaur/session/redis";
import { newSessionId } from "../../src/cookie/session_id.ts";
import { sharedStoreOf } from "../../src/persistence/shared_store.ts";
import type { PrincipalStore } from "../../mod.ts";
import { assert, assertEquals } from "../helpers/assert.ts";
import { ownServer, postgresCanBeStarted } from "./_postgres.ts";
import { postgresFaults, type PushFaults, redisFaults } from "./_push_faults.ts";
import { findRedisServer, startRedis, until } from "./_redis.ts";
import { isThere } from "./_require.ts";

/** How many sessions end. The environment variable SIGNALS sets another number. */
const SESSIONS = Number(Deno.env.get("SIGNALS") ?? 2000);

/** How many sessions end at the same time. */
const CONCURRENCY = 20;

async function missesNoEnding(here: PrincipalStore, there: PrincipalStore, faults: PushFaults): Promise<void> {
  await Promise.all([here.init(), there.init()]);
  const { signals } = sharedStoreOf(here);
  const ids = Array.from({ length: SESSIONS }, newSessionId);
  const now = Date.now();
  const meta = { createdAt: now, seenAt: now, renewedAt: now };
  await inTurn(ids, (id) => there.createRecord(id, { values: new Map(), expiresAt: now + 3_600_000, meta }));
  const held = new Map(ids.map((id) => [
    id,
    signals.hold({
      id,
      principal: undefined,
      clearedAt: undefined,
      expiresAt: now + 3_600_000,
      isStored: true,
      policy: { expiryOf: ({ expiresAt }) => expiresAt, report: () => {} },
    }),
  ]));

  const acknowledged: string[] = [];
  let refused = 0;
  let done = false;
  const endings = inTurn(ids.slice(0, SESSIONS * 0.9), async (id) => {
    // A third of the sessions get a new id first.
    const moves = Math.random() < 0.33;
    for (let current = id;;) {
      try {
        const found = await there.readRecord(current);
        if (found !== undefined && "movedTo" in found) current = found.movedTo;
        else if (moves && current === id && found !== undefined) {
          await there.moveRecord(current, newSessionId(), { meta: {}, graceUntil: Date.now() });
        } else {
          await there.delete(current);
          break;
        }
      } catch {
        refused++;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
    acknowledged.push(id);
  }).finally(() => done = true);
  const share = (part: number) =>
    until(`${part} of the sessions have ended`, () => acknowledged.length >= SESSIONS * part);
  for (const part of [0.1, 0.2, 0.3]) {
    await share(part);
    await faults.killPush();
  }
  await share(0.4);
  await faults.restart();
  await share(0.7);
  await faults.killPush();
  await endings;
  assert(done && refused > 0, "the restart interrupts the endings");

  const missed = (): string[] => acknowledged.filter((id) => held.get(id)?.aborted !== true);
  await until("every ending is reported", () => missed().length === 0);
  assertEquals(signals.size, SESSIONS - acknowledged.length, "no other signal has aborted");
  signals.endAll("destroyed");
}

async function inTurn(ids: readonly string[], run: (id: string) => Promise<unknown>): Promise<void> {
  const queue = ids.values();
  await Promise.all(Array.from({ length: CONCURRENCY }, async () => {
    for (const id of queue) await run(id);
  }));
}

if (await isThere("redis", "the tests of session.signal while Redis fails", findRedisServer)) {
  Deno.test("session.signal on RedisStore misses no ending while connections are killed and Redis is restarted", async () => {
    await using redis = await startRedis({ appendonly: "yes", appendfsync: "always" });
    await using here = new RedisStore(redis.url);
    await using there = new RedisStore(redis.url);
    await missesNoEnding(here, there, redisFaults(redis));
  });
}

if (await postgresCanBeStarted("the tests of session.signal while PostgreSQL fails")) {
  Deno.test("session.signal on PostgresStore misses no ending while connections are killed and PostgreSQL is restarted", async () => {
    await using server = await ownServer();
    await server.start();
    await using here = new PostgresStore(server.url);
    await using there = new PostgresStore(server.url);
    await missesNoEnding(here, there, postgresFaults(server));
  });
}
