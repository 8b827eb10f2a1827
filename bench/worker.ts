/**
 * Measures one subject in a worker of its own, so that subjects share neither the garbage collector
 * nor V8's type feedback.
 *
 * Before it measures anything, it verifies the subject's responses to every case.
 *
 * @module
 */
import {
  type Action,
  CASE_NAMES,
  type CaseName,
  CASES,
  type ReceivedResponse,
  type Side,
  type Subject,
} from "./subjects/subject.ts";
import { type SubjectName, SUBJECTS } from "./subjects/mod.ts";
import { median, quantile } from "./statistics.ts";

/** A command to the worker, and the type of its result. */
export interface Commands {
  /** Loads and verifies the subject, then warms up each case. */
  load: {
    parameters: { subject: SubjectName; entryPoint?: string; visitors: number; warmUp: Effort };
    result: void;
  };
  /** Deletes every session and signs up the visitors. */
  reset: { parameters: Record<never, never>; result: void };
  /**
   * Resets, then stores more sessions, up to the given number. The visitors' sessions count too.
   */
  fill: { parameters: { sessions: number; elsewhere: boolean }; result: void };
  /** Measures the time of a case. */
  measureTime: { parameters: { case: CaseName } & Effort; result: Times };
  /** Measures the bytes that a case allocates on V8's heap. */
  measureAllocation: { parameters: { case: CaseName }; result: Record<Side, number> };
}

export type CommandName = keyof Commands;

/** The message that carries a command. */
export type Command = { [Name in CommandName]: { command: Name } & Commands[Name]["parameters"] }[CommandName];

/** The message that carries the result of a command, or the reason why it failed. */
export type Reply = { result: unknown } | { error: string };

/** How long to measure. */
export interface Effort {
  milliseconds: number;
  /**
   * The minimum number of requests with sessions. V8 optimizes a function after a number of calls,
   * which may take longer than `milliseconds` on a busy machine.
   *
   * @default {0}
   */
  requests?: number;
}

/** Microseconds per request. */
export interface Times {
  /** The median of the batches' means. */
  with: number;
  without: number;
  /**
   * The first quartile of the requests. Other processes and garbage collection barely affect it.
   */
  withQ1: number;
  withoutQ1: number;
  withP99: number;
  withoutP99: number;
}

/**
 * The target duration of a batch, in milliseconds. Every batch then includes some garbage
 * collections.
 */
const BATCH_MS = 3;
/**
 * The requests of a batch that measures allocation. They are so few that most batches include no
 * garbage collection.
 */
const ALLOCATION_BATCH = 50;
const ALLOCATION_BATCHES = 41;
const MAX_SAMPLES = 100_000;

let subject: Subject;
let visitors = 0;
let encodedCookies: Record<"valid" | "forged", Uint8Array[]> = { valid: [], forged: [] };
let nextVisitor = 0;
const batchSizes = new Map<string, number>();
const samples: Record<Side, Float64Array> = {
  with: new Float64Array(MAX_SAMPLES),
  without: new Float64Array(MAX_SAMPLES),
};

// @hono/session logs every forged cookie. The benchmark does not measure logging.
console.error = (): void => {};

const scope = self as unknown as Worker;
scope.onmessage = async ({ data }: MessageEvent<Command>): Promise<void> => {
  let reply: Reply;
  try {
    reply = { result: await handle(data) };
  } catch (error) {
    reply = { error: error instanceof Error ? error.stack ?? error.message : String(error) };
  }
  scope.postMessage(reply);
};

async function handle(command: Command): Promise<Commands[CommandName]["result"]> {
  switch (command.command) {
    case "load":
      subject = await SUBJECTS[command.subject].load(command.entryPoint);
      visitors = command.visitors;
      await reset();
      await verify();
      for (const name of CASE_NAMES) await measureTime(name, command.warmUp);
      return;
    case "reset":
      return await reset();
    case "fill":
      await reset();
      await subject.fill?.(command.sessions - visitors, command.elsewhere);
      return;
    case "measureTime":
      return await measureTime(command.case, command);
    case "measureAllocation":
      return await measureAllocation(command.case);
  }
}

/**
 * Deletes all sessions and signs up the visitors. So each case starts with the same number of
 * sessions.
 */
async function reset(): Promise<void> {
  subject.clear();
  encodedCookies = { valid: [], forged: [] };
  const encoder = new TextEncoder();
  for (let i = 0; i < visitors; i++) {
    const cookie = cookieHeaderOf(await request("with", "write", undefined));
    encodedCookies.valid.push(encoder.encode(cookie));
    encodedCookies.forged.push(encoder.encode(forge(cookie)));
  }
}

/**
 * Verifies the subject's responses to every case. A subject that fails silently would look fast.
 */
async function verify(): Promise<void> {
  const valid = nextCookie("valid");
  for (const { title, action, cookie: kind } of Object.values(CASES)) {
    const plain = await request("without", action, kind === "no" ? undefined : nextCookie(kind));
    expect(`without sessions: ${title}`, plain, action === "untouched" ? "ok" : "1", false);
  }
  const { isEager = false } = subject;
  expect("read", await request("with", "read", valid), "1");
  const written = await request("with", "readWrite", valid);
  // A subject that keeps the session in the cookie has sent a new cookie.
  const current = written.cookies.length > 0 ? cookieHeaderOf(written) : valid;
  expect("readWrite, next read", await request("with", "read", current), "2");
  expect("readWrite, next write", await request("with", "readWrite", current), "3");
  expect("untouched", await request("with", "untouched", undefined), "ok", isEager);
  const created = await request("with", "write", undefined);
  expect("newSession", created, "1", true);
  expect("newSession, next read", await request("with", "read", cookieHeaderOf(created)), "1");
  expect("forged", await request("with", "read", nextCookie("forged")), "none");
  expect("knownUntouched", await request("with", "untouched", valid), "ok");
}

function expect(what: string, received: ReceivedResponse, text: string, cookies?: boolean): void {
  const isWrong = received.status !== 200 || received.text !== text ||
    (cookies !== undefined && received.cookies.length > 0 !== cookies);
  if (!isWrong) return;
  throw new Error(
    `Cannot measure case ${what}: the subject sends a wrong response; ` +
      `expected status 200 and ${JSON.stringify(text)}, received ${JSON.stringify(received)}`,
  );
}

async function request(side: Side, action: Action, cookie: string | undefined): Promise<ReceivedResponse> {
  return await subject.receive(await subject.prepare(side, action, cookie)());
}

/** Returns the `Cookie` header that a client sends after it received this response. */
function cookieHeaderOf({ cookies }: ReceivedResponse): string {
  return cookies.map((line) => line.split(";", 1)[0]).join("; ");
}

/** Changes one character near the end. In a signed cookie this is a character of the signature. */
function forge(cookie: string): string {
  const at = cookie.length - 5;
  return cookie.slice(0, at) + (cookie[at] === "B" ? "C" : "B") + cookie.slice(at + 1);
}

const decoder = new TextDecoder();

/**
 * Returns the cookie of the next visitor as a new string, as if a server had just received it. V8
 * would already have computed the hash of a string that was a map key before.
 */
function nextCookie(kind: "valid" | "forged" | "no"): string | undefined {
  return kind === "no" ? undefined : decoder.decode(encodedCookies[kind][nextVisitor++ % visitors]);
}

/** Runs batches with and without sessions alternately. */
async function measureTime(name: CaseName, { milliseconds, requests: minimum = 0 }: Effort): Promise<Times> {
  const batches: Record<Side, number[]> = { with: [], without: [] };
  const counts: Record<Side, number> = { with: 0, without: 0 };
  const sizes: Record<Side, number> = { with: batchSize(name, "with"), without: batchSize(name, "without") };
  const deadline = performance.now() + milliseconds;
  for (let pair = 0; pair < 3 || counts.with < minimum || performance.now() < deadline; pair++) {
    for (const side of sidesOf(pair)) {
      const mean = await timeBatch(name, side, sizes[side], counts);
      batches[side].push(mean);
      batchSizes.set(name + side, Math.max(5, Math.round(BATCH_MS * 1000 / mean)));
    }
  }
  const requests = {
    with: samples.with.subarray(0, counts.with),
    without: samples.without.subarray(0, counts.without),
  };
  return {
    with: median(batches.with),
    without: median(batches.without),
    withQ1: quantile(requests.with, 0.25),
    withoutQ1: quantile(requests.without, 0.25),
    withP99: quantile(requests.with, 0.99),
    withoutP99: quantile(requests.without, 0.99),
  };
}

/** Returns the two sides in an order that alternates from pair to pair. */
function sidesOf(pair: number): readonly Side[] {
  return pair % 2 === 0 ? ["without", "with"] : ["with", "without"];
}

function batchSize(name: CaseName, side: Side): number {
  return batchSizes.get(name + side) ?? 10;
}

/** Returns the mean time from request to response in microseconds, without the preparation. */
async function timeBatch(name: CaseName, side: Side, size: number, counts: Record<Side, number>): Promise<number> {
  const { action, cookie: kind } = CASES[name];
  let sum = 0;
  for (let i = 0; i < size; i++) {
    const send = subject.prepare(side, action, nextCookie(kind));
    const start = performance.now();
    const response = await send();
    const elapsed = (performance.now() - start) * 1000;
    expectOk(name, response);
    sum += elapsed;
    if (counts[side] < MAX_SAMPLES) samples[side][counts[side]++] = elapsed;
  }
  return sum / size;
}

function expectOk(name: CaseName, response: unknown): void {
  const status = subject.statusOf(response);
  if (status !== 200) throw new Error(`Cannot measure case ${name}: expected status 200, received ${status}`);
}

/**
 * Returns the bytes that a request allocates on V8's heap, including its preparation. Measures
 * small batches and returns their median, because a garbage collection makes a batch an outlier.
 */
async function measureAllocation(name: CaseName): Promise<Record<Side, number>> {
  const { action, cookie: kind } = CASES[name];
  const bytes: Record<Side, number[]> = { with: [], without: [] };
  for (let pair = 0; pair < ALLOCATION_BATCHES; pair++) {
    for (const side of sidesOf(pair)) {
      const before = Deno.memoryUsage().heapUsed;
      for (let i = 0; i < ALLOCATION_BATCH; i++) {
        expectOk(name, await subject.prepare(side, action, nextCookie(kind))());
      }
      bytes[side].push((Deno.memoryUsage().heapUsed - before) / ALLOCATION_BATCH);
    }
  }
  return { with: median(bytes.with), without: median(bytes.without) };
}
