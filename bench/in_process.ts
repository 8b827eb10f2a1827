/**
 * What sessions add to a request, in process: the time of a request with the middleware, less that of the same request without.
 *
 * Rounds with and without alternate, because machines are noisy: trust the ratios of one run, not figures of two.
 */
import { Context, MemoryStore, SecurityContext, SessionMiddleware } from "../mod.ts";

const ROUNDS = 15;
const REQUESTS = 4000;

type Action = (context: SecurityContext) => unknown;

const read: Action = ({ security }) => security.session.get("user");
const readAndWrite: Action = async ({ security }) => {
  await security.session.get("user");
  await security.session.set("user", "ada");
};
const untouched: Action = () => undefined;
const write: Action = ({ security }) => security.session.set("user", "ada");

const store = new MemoryStore();
await store.init();
const middleware = new SessionMiddleware(store, { secret: crypto.getRandomValues(new Uint8Array(32)) });
const valid = await signUp();
const forged = `sid=${"A".repeat(24)}.${"A".repeat(43)}`;

const CASES: [name: string, cookie: string | undefined, action: Action][] = [
  ["a  valid cookie, one read", valid, read],
  ["b  valid cookie, one read and one write", valid, readAndWrite],
  ["c  no cookie, untouched", undefined, untouched],
  ["d  no cookie, one write", undefined, write],
  ["e  forged cookie, untouched", forged, untouched],
  ["f  valid cookie, untouched", valid, untouched],
];

console.log(
  `Deno ${Deno.version.deno}, MemoryStore, ${ROUNDS} rounds of ${REQUESTS} requests, medians in microseconds`,
);
for (const [name, cookie, action] of CASES) {
  const added: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const without = await time(() => withoutSession(cookie));
    added.push(await time(() => withSession(cookie, action)) - without);
  }
  console.log(`${name.padEnd(42)} ${median(added).toFixed(2).padStart(7)}`);
}

async function signUp(): Promise<string> {
  const context = new SecurityContext(new Request("http://localhost/"));
  await middleware.onPreRequest(context);
  await context.security.session.set("user", "ada");
  const [line = ""] = context.response.headers.getSetCookie();
  return line.slice(0, line.indexOf(";"));
}

function request(cookie: string | undefined): Request {
  return new Request("http://localhost/", cookie === undefined ? {} : { headers: { cookie } });
}

async function withoutSession(cookie: string | undefined): Promise<void> {
  const context = new Context(request(cookie));
  await undefined;
  context.response.result = "ok";
  context.response.getMergedResult();
}

async function withSession(cookie: string | undefined, action: Action): Promise<void> {
  const context = new SecurityContext(request(cookie));
  await middleware.onPreRequest(context);
  await action(context);
  context.response.result = "ok";
  await middleware.onPostRequest(context);
  context.response.getMergedResult();
}

/** Microseconds a call. */
async function time(call: () => Promise<void>): Promise<number> {
  const begin = performance.now();
  for (let i = 0; i < REQUESTS; i++) await call();
  return (performance.now() - begin) * 1000 / REQUESTS;
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}
