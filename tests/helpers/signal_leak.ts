/**
 * Prints what `session.signal` leaves behind when sockets come and go, as JSON. Run it with
 * `--v8-flags=--expose-gc`.
 */
import { sharedStoreOf } from "../../src/persistence/shared_store.ts";
import { MemoryStore } from "../../mod.ts";
import { open, signUp, start, visit } from "./request.ts";
import { FakeTimers, quiet } from "./timers.ts";

const SOCKETS = 100_000;
/** Each with a socket of its own. */
const SESSIONS = 20_000;
const gc: () => void = Reflect.get(globalThis, "gc");
const store = new MemoryStore();
const middleware = start({}, store);
const { signals } = sharedStoreOf(store);
const timers = new FakeTimers();

/** Runs the garbage collector and 31 seconds of the timers, and returns the bytes of the heap. */
async function settle(): Promise<number> {
  // A new WeakRef keeps its target until the end of the task.
  await quiet();
  gc();
  for (let seconds = 0; seconds < 31; seconds++) {
    timers.tick(1000);
    await quiet();
  }
  gc();
  return Deno.memoryUsage().heapUsed;
}

/** A socket opens, and closes again. */
async function socket(cookie: string): Promise<void> {
  const { session, finish } = await open(middleware, cookie);
  const { signal } = session;
  const close = (): void => {};
  signal.addEventListener("abort", close);
  await finish();
  signal.removeEventListener("abort", close);
}

const cookie = await signUp(middleware);
const aborted: string[] = [];

/** Uses a signal, and keeps no reference to it. */
async function use(name: string, follow: (signal: AbortSignal) => void): Promise<void> {
  const cookie = await signUp(middleware);
  follow((await open(middleware, cookie)).session.signal);
  uses.push([name, cookie]);
}

const producers: unknown[] = [];
const uses: [name: string, cookie: string][] = [];
await use("listener", (signal) => signal.addEventListener("abort", () => aborted.push("listener")));
await use("any", (signal) => {
  const either = AbortSignal.any([signal, new AbortController().signal]);
  either.addEventListener("abort", () => aborted.push("any"));
});
await use("pipe", (signal) => {
  const piped = new ReadableStream({ start: (producer) => void producers.push(producer) })
    .pipeTo(new WritableStream(), { signal });
  piped.catch(() => aborted.push("pipe"));
});
await settle();
for (const [name, cookie] of uses) {
  await visit(middleware, { cookie }, ({ security: { session } }) => session.destroy());
  await quiet();
  if (aborted.at(-1) !== name) throw new Error(`${name} did not abort`);
}

const kept = (await open(middleware, cookie)).session.signal;
kept.addEventListener("abort", () => aborted.push("kept"));
for (let i = 0; i < SOCKETS / 10; i++) await socket(cookie);
const before = await settle();
for (let i = 0; i < SOCKETS; i++) await socket(cookie);
const oneSession = (await settle() - before) / SOCKETS;
const heldOfOne = signals.size;

const cookies: string[] = [];
for (let i = 0; i < SESSIONS; i++) cookies.push(await signUp(middleware));
const beforeMany = await settle();
for (const cookie of cookies) await socket(cookie);
const heldWhileOpen = signals.size;
const manySessions = (await settle() - beforeMany) / SESSIONS;
const heldOfMany = signals.size;

for (const cookie of cookies.slice(0, 1000)) {
  (await open(middleware, cookie)).session.signal.addEventListener("abort", () => {});
  await visit(middleware, { cookie }, ({ security: { session } }) => session.destroy());
}
const heldOfEnded = signals.size;
await visit(middleware, { cookie }, ({ security: { session } }) => session.destroy());
console.log(JSON.stringify({
  oneSession,
  heldOfOne,
  heldWhileOpen,
  manySessions,
  heldOfMany,
  heldOfEnded,
  aborted,
  held: signals.size,
  timers: timers.pending,
}));
