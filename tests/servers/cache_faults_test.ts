/**
 * The option `cache` on two machines, while connections are cut, answers are late and the server is
 * restarted. No request may see a session that has ended, or a value that was replaced, for longer
 * than the bound.
 */
import { PostgresStore } from "@alosaur/session/postgres";
import { RedisStore } from "@alosaur/session/redis";
import { type RecordStore, type SessionMiddleware, SessionStoreError } from "../../mod.ts";
import { assert, assertEquals } from "../helpers/assert.ts";
import { cookieOf, open, signUp, start, visit } from "../helpers/request.ts";
import { type FaultyProxy, faultyProxy } from "./_faulty_proxy.ts";
import { ownServer, postgresCanBeStarted, sleep, through } from "./_postgres.ts";
import { postgresFaults, type PushFaults, redisFaults } from "./_push_faults.ts";
import { findRedisServer, startRedis, until } from "./_redis.ts";
import { isThere } from "./_require.ts";

/** How many requests read at least. The environment variable READS sets another number. */
const READS = Number(Deno.env.get("READS") ?? 50_000);

/** The bound, in milliseconds. It is short, so that faults take longer. */
const STALE_MS = 400;

const VISITORS = 40;
const READERS = 16;
/** How long a reader waits between two requests at most, in milliseconds. */
const READ_MS = 10;
/** How long a writer waits after a write, in milliseconds. */
const WRITE_MS = 15;

/** The share of the answers of the store that are late, and by how many milliseconds at most. */
const LATE = { share: 0.2, milliseconds: 30 };

/** A machine whose middleware has a cache. */
interface Machine {
  readonly middleware: SessionMiddleware;
  readonly proxy: FaultyProxy;
  /** How many lookups have asked the store. */
  lookups: number;
}

/** A session and its cookie. One request at a time writes to it. */
interface Visitor {
  readonly cookie: string;
  isBusy: boolean;
  /** The acknowledged writes, the first one first. The end of the session is `Infinity`. */
  readonly writes: { readonly n: number; readonly at: number; readonly by: Machine }[];
}

function machineOn(store: RecordStore, proxy: FaultyProxy): Machine {
  const read = store.readRecord.bind(store);
  store.readRecord = async (sid) => {
    machine.lookups++;
    const answer = await read(sid);
    if (Math.random() < LATE.share) await sleep(Math.random() * LATE.milliseconds);
    return answer;
  };
  const options = { cache: { staleSeconds: STALE_MS / 1000 }, storeTimeout: 1, onEvent: (): void => {} };
  const machine: Machine = { middleware: start(options, store), proxy, lookups: 0 };
  return machine;
}

/** Reads and writes on two machines while the server fails. */
async function keepsItsBound(machines: [Machine, Machine], faults: PushFaults): Promise<void> {
  const [here, there] = machines;
  const visitors: Visitor[] = [];
  /** Visitors whose session has another id or has ended. Requests still come with their cookies. */
  const former: Visitor[] = [];
  const join = async (i: number): Promise<void> => {
    visitors[i] = { cookie: await signUp(there.middleware, { n: 0 }), isBusy: false, writes: [] };
  };
  for (let i = 0; i < VISITORS; i++) await join(i);
  const count = { reads: 0, late: 0, own: 0, writes: 0, endings: 0, failed: 0 };
  let isOver = false;

  const pick = (): number => Math.floor(Math.random() * VISITORS);
  const tolerate = (error: unknown): void => {
    if (!(error instanceof SessionStoreError)) throw error;
    count.failed++;
  };

  const read = async (machine: Machine): Promise<void> => {
    const visitor = Math.random() < 0.2 ? former.at(-1 - Math.floor(Math.random() * 5)) : visitors[pick()];
    if (visitor === undefined) return;
    const now = performance.now();
    const due = visitor.writes.findLast(({ at, by }) => by === machine || at < now - STALE_MS);
    try {
      const { session } = await open(machine.middleware, visitor.cookie);
      const n = session.isNew ? Infinity : await session.get<number>("n") ?? 0;
      count.reads++;
      if (due !== undefined && n < due.n) due.by === machine ? count.own++ : count.late++;
    } catch (error) {
      tolerate(error);
      await sleep(5);
    }
  };

  /** Writes a number, gives the session a new id, or ends it. */
  const write = async (machine: Machine): Promise<void> => {
    const i = pick();
    const visitor = visitors[i];
    if (visitor === undefined || visitor.isBusy) return;
    visitor.isBusy = true;
    const kind = Math.random();
    const note = (n: number): number => visitor.writes.push({ n, at: performance.now(), by: machine });
    try {
      const n = ++count.writes;
      if (kind < 0.8) {
        await visit(machine.middleware, { cookie: visitor.cookie }, ({ security: { session } }) => session.set("n", n));
        note(n);
        visitor.isBusy = false;
        return;
      }
      count.endings++;
      if (kind < 0.9) {
        const response = await visit(
          machine.middleware,
          { cookie: visitor.cookie },
          ({ security: { session } }) => session.regenerate({ principal: "ada", set: { n } }),
        );
        visitors[i] = {
          cookie: cookieOf(response),
          isBusy: false,
          writes: [{ n, at: performance.now(), by: machine }],
        };
      } else {
        await visit(machine.middleware, { cookie: visitor.cookie }, ({ security: { session } }) => session.destroy());
      }
      note(Infinity);
      former.push(visitor);
      if (kind >= 0.9) await join(i).catch(() => sleep(20));
    } catch (error) {
      tolerate(error);
      // Whether it was written is not known, so nothing is demanded of this session any more.
      await join(i).catch(() => sleep(20));
    }
  };

  const loops = machines.flatMap((machine) => [
    ...Array.from({ length: READERS }, async () => {
      while (!isOver) {
        await read(machine);
        await sleep(Math.random() * READ_MS);
      }
    }),
    ...Array.from({ length: 2 }, async () => {
      while (!isOver) {
        await write(machine);
        await sleep(WRITE_MS);
      }
    }),
  ]);
  const all = Promise.all(loops).finally(() => isOver = true);
  const progress = (share: number): Promise<void> =>
    until(`${share} of the requests have read`, () => count.reads >= READS * share);
  try {
    for (const share of [0.1, 0.2, 0.3]) {
      await progress(share);
      assert(await faults.killPush() > 0, "no connection was killed");
      await sleep(50);
      here.proxy.cut();
    }
    await progress(0.4);
    await faults.restart();
    await progress(0.6);
    // The connections of a machine that are used now say nothing any more, and stay open.
    here.proxy.fault = "swallow";
    await sleep(2 * STALE_MS);
    here.proxy.fault = "none";
    await progress(0.8);
    await until("a connection is killed", async () => await faults.killPush() > 0);
    await progress(1);
  } finally {
    isOver = true;
    await all;
  }
  const { reads, late, own, writes, endings, failed } = count;
  assertEquals({ late, own }, { late: 0, own: 0 });
  const lookups = here.lookups + there.lookups;
  assert(lookups < reads / 2, `${lookups} lookups for ${reads} reads: nothing was cached`);
  assert(writes > 500 && endings > 50 && failed > 0, `${writes} writes, ${endings} endings, ${failed} failed`);
  console.log(JSON.stringify({ ...count, lookups }));
}

if (await isThere("redis", "the test of `cache` while Redis fails", findRedisServer)) {
  Deno.test("cache on RedisStore keeps its bound while connections are cut and Redis is restarted", async () => {
    await using redis = await startRedis({ appendonly: "yes", appendfsync: "always" });
    await using proxies = new AsyncDisposableStack();
    const machine = async (): Promise<Machine> => {
      const proxy = proxies.use(faultyProxy({ hostname: "127.0.0.1", port: redis.port }));
      const store = proxies.use(new RedisStore(through(proxy, redis.url)));
      await store.init();
      return machineOn(store, proxy);
    };
    await keepsItsBound([await machine(), await machine()], redisFaults(redis));
  });
}

if (await postgresCanBeStarted("the test of `cache` while PostgreSQL fails")) {
  Deno.test("cache on PostgresStore keeps its bound while connections are cut and PostgreSQL is restarted", async () => {
    await using server = await ownServer();
    await using proxies = new AsyncDisposableStack();
    const machine = async (): Promise<Machine> => {
      const proxy = proxies.use(faultyProxy({ hostname: "127.0.0.1", port: server.port }));
      const store = proxies.use(new PostgresStore(through(proxy, server.url), { notify: "all" }));
      await store.init();
      return machineOn(store, proxy);
    };
    await keepsItsBound([await machine(), await machine()], postgresFaults(server));
  });
}
