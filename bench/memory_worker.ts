/**
 * One part of `memory.ts`, in a process of its own that has `gc()`. It writes its result to
 * standard error as JSON, because V8 writes its trace to standard output.
 *
 * @module
 */
import untypedMemoryStore from "npm:memorystore@1.6.8";
import { MemoryStore, SecurityContext, SessionMiddleware } from "../mod.ts";
import { FakeClock } from "../tests/helpers/clock.ts";
import { quantile } from "./statistics.ts";
import { fill } from "./subjects/alosaur.ts";
import { type ExpressStore, session } from "./subjects/express.ts";

/** Bytes per session, by the number of sessions. */
export type HeapResult = Record<number, number>;

/** The slowest requests, in milliseconds. */
export interface TailLatency {
  requests: number;
  slowest: number;
  p999: number;
  /** The number of requests that took more than 10 ms. */
  over10: number;
}

export interface ExpiryResult {
  sessions: number;
  /** Requests while nothing expires. */
  control: TailLatency;
  /** Requests while all earlier sessions expire. */
  expiring: TailLatency;
  /** Stored records after the measurement. */
  held: number;
  /** The expired ones among them. */
  heldExpired: number;
}

/** The state after an hour of `simulateDays()`. */
export interface Hour {
  hour: number;
  /** Sessions that have not expired. */
  live: number;
  /** Stored records. */
  held: number;
  heapMegabytes: number;
}

export interface DayResult {
  visitors: number;
  requests: number;
  hours: Hour[];
}

const DAY = 86_400_000;
const COUNTS = [10_000, 100_000, 1_000_000];

const parts: Record<string, () => Promise<HeapResult | ExpiryResult | DayResult>> = {
  ours: async () => {
    const store = new MemoryStore();
    return await measureHeap(() => fill(store, 1));
  },
  express: async () => await measureHeap(createOn(new session.MemoryStore())),
  memorystore: async () => {
    const create: (session: unknown) => new (options: object) => ExpressStore & { stopInterval(): void } =
      untypedMemoryStore as never;
    const Store = create(session);
    const store = new Store({ checkPeriod: DAY });
    store.stopInterval();
    return await measureHeap(createOn(store));
  },
  expiry: measureExpiry,
  day: simulateDays,
};

const part = parts[Deno.args[0] ?? ""];
if (part === undefined) {
  throw new RangeError(
    `Cannot measure part "${Deno.args[0]}": no such part; expected one of ${Object.keys(parts).join()}`,
  );
}
console.error(JSON.stringify(await part()));
Deno.exit();

function collect(): void {
  const { gc } = globalThis as { gc?: () => void };
  if (gc === undefined) throw new Error("Cannot collect garbage: gc() is missing; run with --v8-flags=--expose-gc");
  gc();
}

function heapBytes(): number {
  collect();
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}

/** Returns a function that creates a session with one small value, as express-session does. */
function createOn(store: ExpressStore): (n: number) => Promise<void> {
  const pool = new Uint8Array(24);
  return (n) => {
    const id = crypto.getRandomValues(pool).toBase64({ alphabet: "base64url" });
    const { promise, resolve } = Promise.withResolvers<void>();
    store.set(id, { cookie: new session.Cookie({ maxAge: DAY }), n }, resolve);
    return promise;
  };
}

async function measureHeap(add: (n: number) => Promise<void>): Promise<HeapResult> {
  // Allocates everything that is allocated once, regardless of the number of sessions.
  for (let i = 0; i < 1000; i++) await add(i);
  const before = heapBytes();
  const bytes: HeapResult = {};
  let created = 0;
  for (const count of COUNTS) {
    while (created < count) await add(created++);
    bytes[count] = (heapBytes() - before) / count;
  }
  return bytes;
}

/**
 * Times requests of new visitors, before and after a million sessions expire at the same time.
 * After that, the requests sweep the expired sessions.
 */
async function measureExpiry(): Promise<ExpiryResult> {
  const sessions = 1_000_000;
  const store = new MemoryStore({ maxSessions: 2 * sessions });
  const secret = SessionMiddleware.generateSecret();
  // The responses are not sent, which would be reported.
  const middleware = new SessionMiddleware(store, { secret, maxAge: 2 * 86_400, diagnose: false });
  using clock = new FakeClock();
  await fill(store, sessions);
  for (let i = 0; i < 10_000; i++) await visit(middleware);

  // V8's trace shows each call of collect(). The calls mark where a measurement starts and ends.
  collect();
  const fresh = store.size - sessions;
  const control = await timeRequests(middleware, (requests) => requests < 20_000);
  collect();
  clock.tick(DAY);
  let created = 0;
  const liveBefore = fresh + control.requests;
  const expiring = await timeRequests(middleware, (requests) => {
    created = requests;
    return store.size > liveBefore + requests && requests < 200_000;
  });
  collect();
  return { sessions, control, expiring, held: store.size, heldExpired: store.size - liveBefore - created };
}

async function timeRequests(
  middleware: SessionMiddleware,
  continues: (requests: number) => boolean,
): Promise<TailLatency> {
  const times: number[] = [];
  while (continues(times.length)) {
    const start = performance.now();
    await visit(middleware);
    times.push(performance.now() - start);
  }
  return {
    requests: times.length,
    slowest: quantile(times, 1),
    p999: quantile(times, 0.999),
    over10: times.filter((time) => time > 10).length,
  };
}

/** Handles one request that writes, and returns the cookie of its response. */
async function visit(middleware: SessionMiddleware, cookie?: string): Promise<string> {
  const context = new SecurityContext(
    new Request("http://localhost/", cookie === undefined ? {} : { headers: { cookie } }),
  );
  await middleware.onPreRequest(context);
  await context.security.session.set("n", 1);
  await middleware.onPostRequest(context);
  const [line = ""] = context.response.headers.getSetCookie();
  return line.split(";", 1)[0] ?? "";
}

/**
 * Simulates two days of visitors whose sessions expire after half an hour to a day. On the second
 * day as many sessions expire as are created.
 */
async function simulateDays(): Promise<DayResult> {
  const millisecondsBetween = 500;
  const store = new MemoryStore();
  const kinds = [0.5, 1, 3, 8, 24].map((hours) => ({
    lifetime: hours * 3_600_000,
    middleware: new SessionMiddleware(store, {
      secret: SessionMiddleware.generateSecret(),
      maxAge: hours * 3600,
      diagnose: false,
    }),
  }));
  using clock = new FakeClock();
  const start = clock.now;
  const hours: Hour[] = [];
  let visitors = 0;
  let requests = 0;
  const recent: { middleware: SessionMiddleware; cookie: string }[] = [];
  for (let hour = 0; hour <= 48; hour++) {
    if (hour > 0) {
      for (const end = start + hour * 3_600_000; clock.now < end; clock.tick(millisecondsBetween)) {
        const kind = kinds[visitors % kinds.length];
        if (kind === undefined) continue;
        const cookie = await visit(kind.middleware);
        recent[visitors % 1000] = { middleware: kind.middleware, cookie };
        visitors++;
        // One of the last 1,000 visitors returns.
        const returning = recent[(visitors * 7) % recent.length];
        if (returning !== undefined) await visit(returning.middleware, returning.cookie);
        requests += 2;
      }
    }
    const rate = 1 / millisecondsBetween / kinds.length;
    const live = kinds.reduce((sum, { lifetime }) => sum + rate * Math.min(lifetime, clock.now - start), 0);
    hours.push({ hour, live: Math.round(live), held: store.size, heapMegabytes: heapBytes() / 2 ** 20 });
  }
  return { visitors, requests, hours };
}
