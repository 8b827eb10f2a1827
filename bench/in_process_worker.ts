/**
 * One subject, in a worker of its own: no other's garbage, and no other's types at the places that V8 has optimised.
 *
 * It first proves that the subject does what is measured.
 */
import { type Action, type Answer, type CaseName, CASES, type Side, type Subject } from "./subjects/subject.ts";
import { type SubjectName, SUBJECTS } from "./subjects/mod.ts";
import { median, quantile } from "./figures.ts";

/** What the worker is asked, one thing at a time. */
export type Order =
  | { order: "load"; subject: SubjectName; visitors: number; warmUp: number }
  | { order: "begin" }
  | { order: "fill"; sessions: number; aside: boolean }
  | { order: "measure"; case: CaseName; milliseconds: number };

/** Microseconds a request, of one round. */
export interface Round {
  with: number;
  without: number;
  withP99: number;
  withoutP99: number;
  requests: number;
}

/** A batch takes this long about: some collections of garbage fall into every one. */
const BATCH_MS = 3;
const MAX_SAMPLES = 100_000;

let subject: Subject;
let visitors = 0;
let presented: Record<"valid" | "forged", Uint8Array[]> = { valid: [], forged: [] };
let asked = 0;
const batchSizes = new Map<string, number>();
const samples: Record<Side, Float64Array> = {
  with: new Float64Array(MAX_SAMPLES),
  without: new Float64Array(MAX_SAMPLES),
};

// @hono/session prints every forged cookie. Here that is not counted.
console.error = (): void => {};

const scope = self as unknown as Worker;
scope.onmessage = async ({ data }: MessageEvent<Order>): Promise<void> => {
  try {
    scope.postMessage({ done: await obey(data) });
  } catch (error) {
    scope.postMessage({ failed: error instanceof Error ? error.stack ?? error.message : String(error) });
  }
};

async function obey(order: Order): Promise<Round | undefined> {
  switch (order.order) {
    case "load":
      subject = await SUBJECTS[order.subject].load();
      visitors = order.visitors;
      await begin();
      await verify();
      for (const name of Object.keys(CASES) as CaseName[]) await measure(name, order.warmUp);
      return;
    case "begin":
      await begin();
      return;
    case "fill":
      await begin();
      await subject.fill?.(order.sessions - visitors, order.aside);
      return;
    case "measure":
      return await measure(order.case, order.milliseconds);
  }
}

/** Forgets every session, so that each case begins with as many as the others, and signs up visitors. */
async function begin(): Promise<void> {
  subject.clear();
  presented = { valid: [], forged: [] };
  const encoder = new TextEncoder();
  for (let i = 0; i < visitors; i++) {
    const cookie = cookieOf(await ask("with", "write", undefined));
    presented.valid.push(encoder.encode(cookie));
    presented.forged.push(encoder.encode(forge(cookie)));
  }
}

/** Proves that every case is what it is called. What fails silently would be fast. */
async function verify(): Promise<void> {
  const valid = cookie("valid");
  for (const { title, action, cookie: kind } of Object.values(CASES)) {
    const plain = await ask("without", action, kind === "no" ? undefined : cookie(kind));
    expect(`without: ${title}`, plain, action === "none" ? "ok" : "1", false);
  }
  const { isEager = false } = subject;
  expect("a", await ask("with", "read", valid), "1");
  const both = await ask("with", "both", valid);
  // Those that keep the session in the cookie have sent another.
  const later = both.cookies.length > 0 ? cookieOf(both) : valid;
  expect("b", await ask("with", "read", later), "2");
  expect("b again", await ask("with", "both", later), "3");
  expect("c", await ask("with", "none", undefined), "ok", isEager);
  const first = await ask("with", "write", undefined);
  expect("d", first, "1", true);
  expect("d, next request", await ask("with", "read", cookieOf(first)), "1");
  expect("e", await ask("with", "read", cookie("forged")), "none");
  expect("f", await ask("with", "none", valid), "ok");
}

function expect(what: string, answer: Answer, text: string, cookies?: boolean): void {
  const wrong = answer.status !== 200 || answer.text !== text ||
    (cookies !== undefined && answer.cookies.length > 0 !== cookies);
  if (wrong) throw new Error(`Case ${what}: ${JSON.stringify(answer)} in place of ${JSON.stringify(text)}`);
}

async function ask(side: Side, action: Action, cookie: string | undefined): Promise<Answer> {
  return await subject.open(await subject.prepare(side, action, cookie)());
}

/** The cookies of an answer, as a client sends them back. */
function cookieOf({ cookies }: Answer): string {
  return cookies.map((line) => line.split(";", 1)[0]).join("; ");
}

/** Changes one character near the end: of the signature, where there is one. */
function forge(cookie: string): string {
  const at = cookie.length - 5;
  return cookie.slice(0, at) + (cookie[at] === "B" ? "C" : "B") + cookie.slice(at + 1);
}

const decoder = new TextDecoder();

/** A string of its own each time, as from a socket: V8 would remember the hash of one that it has seen. */
function cookie(kind: "valid" | "forged" | "no"): string | undefined {
  return kind === "no" ? undefined : decoder.decode(presented[kind][asked++ % visitors]);
}

/** Batches with and without, in turn, for about so many milliseconds. */
async function measure(name: CaseName, milliseconds: number): Promise<Round> {
  const batches: Record<Side, number[]> = { with: [], without: [] };
  const counts: Record<Side, number> = { with: 0, without: 0 };
  const sizes: Record<Side, number> = { with: sizeOf(name, "with"), without: sizeOf(name, "without") };
  const end = performance.now() + milliseconds;
  for (let pair = 0; pair < 3 || performance.now() < end; pair++) {
    for (const side of pair % 2 === 0 ? ["without", "with"] as const : ["with", "without"] as const) {
      const mean = await runBatch(name, side, sizes[side], counts);
      batches[side].push(mean);
      batchSizes.set(name + side, Math.max(5, Math.round(BATCH_MS * 1000 / mean)));
    }
  }
  return {
    with: median(batches.with),
    without: median(batches.without),
    withP99: quantile(samples.with.subarray(0, counts.with), 0.99),
    withoutP99: quantile(samples.without.subarray(0, counts.without), 0.99),
    requests: counts.with,
  };
}

function sizeOf(name: CaseName, side: Side): number {
  return batchSizes.get(name + side) ?? 10;
}

/** Returns the microseconds a request. Only what is between request and response is timed. */
async function runBatch(name: CaseName, side: Side, size: number, counts: Record<Side, number>): Promise<number> {
  const { action, cookie: kind } = CASES[name];
  let sum = 0;
  for (let i = 0; i < size; i++) {
    const send = subject.prepare(side, action, cookie(kind));
    const begun = performance.now();
    const response = await send();
    const took = (performance.now() - begun) * 1000;
    if (subject.statusOf(response) !== 200) throw new Error(`Case ${name}: status ${subject.statusOf(response)}`);
    sum += took;
    if (counts[side] < MAX_SAMPLES) samples[side][counts[side]++] = took;
  }
  return sum / size;
}
