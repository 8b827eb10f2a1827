/**
 * One part of `memory.ts`, in a process of its own that has `gc()`: it writes what it found to its standard error, as JSON.
 *
 * @module
 */
import untypedMemoryStore from "npm:memorystore@1.6.8";
import { MemoryStore, SecurityContext, SessionMiddleware } from "../mod.ts";
import { FakeClock } from "../tests/helpers/clock.ts";
import { quantile } from "./figures.ts";
import { fill } from "./subjects/alosaur.ts";
import { type ExpressStore, session } from "./subjects/express.ts";

/** Bytes a session, by how many sessions there are. */
export type HeapPart = Record<number, number>;

/** Milliseconds. */
export interface Slow {
  requests: number;
  slowest: number;
  p999: number;
  /** How many took more than 10 ms. */
  over10: number;
}

export interface ExpiryPart {
  sessions: number;
  /** Requests while nothing expires. */
  control: Slow;
  /** Requests while everything expires that was there. */
  expiring: Slow;
  /** What was held in the end, and how many of it had expired. */
  held: number;
  heldExpired: number;
}

export interface Hour {
  hour: number;
  live: number;
  held: number;
  heapMegabytes: number;
}

export interface DayPart {
  visitors: number;
  requests: number;
  hours: Hour[];
}

const DAY = 86_400_000;
const COUNTS = [10_000, 100_000, 1_000_000];

const parts: Record<string, () => Promise<HeapPart | ExpiryPart | DayPart>> = {
  ours: async () => {
    const store = new MemoryStore();
    return await heap(() => fill(store, 1));
  },
  express: async () => await heap(ofExpress(new session.MemoryStore())),
  memorystore: async () => {
    const create: (session: unknown) => new (options: object) => ExpressStore & { stopInterval(): void } =
      untypedMemoryStore as never;
    const Store = create(session);
    const store = new Store({ checkPeriod: DAY });
    store.stopInterval();
    return await heap(ofExpress(store));
  },
  expiry,
  day,
};

const part = parts[Deno.args[0] ?? ""];
if (part === undefined) throw new RangeError(`There is no part ${Deno.args[0]}`);
console.error(JSON.stringify(await part()));
Deno.exit();

function collect(): void {
  const { gc } = globalThis as { gc?: () => void };
  if (gc === undefined) throw new Error("This needs --v8-flags=--expose-gc");
  gc();
}

function heapBytes(): number {
  collect();
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}

/** A session of one small value, as express-session makes it. */
function ofExpress(store: ExpressStore): (n: number) => Promise<void> {
  const pool = new Uint8Array(24);
  return (n) => {
    const id = crypto.getRandomValues(pool).toBase64({ alphabet: "base64url" });
    const { promise, resolve } = Promise.withResolvers<void>();
    store.set(id, { cookie: new session.Cookie({ maxAge: DAY }), n }, resolve);
    return promise;
  };
}

async function heap(add: (n: number) => Promise<void>): Promise<HeapPart> {
  // What is made once does not count.
  for (let i = 0; i < 1000; i++) await add(i);
  const before = heapBytes();
  const bytes: HeapPart = {};
  let made = 0;
  for (const count of COUNTS) {
    while (made < count) await add(made++);
    bytes[count] = (heapBytes() - before) / count;
  }
  return bytes;
}

/** New visitors while a million sessions expire at once; each request looks for some of these. */
async function expiry(): Promise<ExpiryPart> {
  const sessions = 1_000_000;
  const store = new MemoryStore({ maxSessions: 2 * sessions });
  const middleware = new SessionMiddleware(store, { secret: SessionMiddleware.generateSecret(), maxAge: 2 * 86_400 });
  using clock = new FakeClock();
  await fill(store, sessions);
  for (let i = 0; i < 10_000; i++) await visit(middleware);

  // Each is a mark in the trace of V8's collections, too.
  collect();
  const fresh = store.size - sessions;
  const control = await slowest(middleware, (requests) => requests < 20_000);
  collect();
  clock.tick(DAY);
  let made = 0;
  const before = fresh + control.requests;
  const expiring = await slowest(middleware, (requests) => {
    made = requests;
    return store.size > before + requests && requests < 200_000;
  });
  collect();
  return { sessions, control, expiring, held: store.size, heldExpired: store.size - before - made };
}

async function slowest(middleware: SessionMiddleware, goesOn: (requests: number) => boolean): Promise<Slow> {
  const times: number[] = [];
  while (goesOn(times.length)) {
    const begun = performance.now();
    await visit(middleware);
    times.push(performance.now() - begun);
  }
  return {
    requests: times.length,
    slowest: quantile(times, 1),
    p999: quantile(times, 0.999),
    over10: times.filter((time) => time > 10).length,
  };
}

/** One request that writes; returns the cookie that it was given. */
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

/** Two days of visitors whose sessions last from half an hour to a day: on the second as many end as begin. */
async function day(): Promise<DayPart> {
  const every = 500;
  const store = new MemoryStore();
  const kinds = [0.5, 1, 3, 8, 24].map((hours) => ({
    life: hours * 3_600_000,
    middleware: new SessionMiddleware(store, {
      secret: SessionMiddleware.generateSecret(),
      maxAge: hours * 3600,
    }),
  }));
  using clock = new FakeClock();
  const begun = clock.now;
  const hours: Hour[] = [];
  let visitors = 0;
  let requests = 0;
  const recent: { middleware: SessionMiddleware; cookie: string }[] = [];
  for (let hour = 0; hour <= 48; hour++) {
    if (hour > 0) {
      for (const end = begun + hour * 3_600_000; clock.now < end; clock.tick(every)) {
        const kind = kinds[visitors % kinds.length];
        if (kind === undefined) continue;
        const cookie = await visit(kind.middleware);
        recent[visitors % 1000] = { middleware: kind.middleware, cookie };
        visitors++;
        // One that came lately comes again.
        const again = recent[(visitors * 7) % recent.length];
        if (again !== undefined) await visit(again.middleware, again.cookie);
        requests += 2;
      }
    }
    const rate = 1 / every / kinds.length;
    const live = kinds.reduce((sum, { life }) => sum + rate * Math.min(life, clock.now - begun), 0);
    hours.push({ hour, live: Math.round(live), held: store.size, heapMegabytes: heapBytes() / 2 ** 20 });
  }
  return { visitors, requests, hours };
}
