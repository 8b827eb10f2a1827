/**
 * Measures requests per second over HTTP, with the same application without sessions and with
 * sessions on each store. Express and Fastify on the same Redis and PostgreSQL are measured too.
 *
 * The server runs on one core and the load generator on another. The servers are measured
 * alternately. It needs `wrk` and `taskset`; on Debian: `apt-get install wrk util-linux`.
 * TEST_REDIS_URL and TEST_POSTGRES_URL name the databases.
 *
 * Options:
 * - `--quick`: a run of about 40 seconds
 * - `--servers=plain,memory`: only these servers
 * - `--cases=read,untouched`: only these cases
 * - `--rounds=5`, `--seconds=2` (the duration of one case on one server in a round),
 *   `--connections=64`, `--visitors=100`
 * - `--before=FOLDER`: another checkout of this repository, whose servers are measured too
 * - `--config=FILE`: another deno.json, for example one that maps `alosaur/` to another Alosaur
 *
 * Only a complete run is saved to `results/http.json`, or to `results/http_alosaur.json` with
 * `--config`. With `--before`, the comparison of `PostgresStore` is saved to
 * `results/http_before_64.json`, with the number of connections in its name.
 *
 * @module
 */
import { parseArgs } from "node:util";
import {
  checkTarget,
  environment,
  formatNumber,
  printTable,
  printTargets,
  saveResults,
  type Target,
} from "./report.ts";
import { median } from "./statistics.ts";
import { caseLegend, type CaseName, CASES, parseCaseNames } from "./subjects/subject.ts";

const TITLES = {
  plain: "without sessions",
  memory: "MemoryStore",
  sqlite: "SqliteStore",
  redis: "RedisStore",
  redisCache: "RedisStore, cache",
  expressRedis: "express-session, connect-redis",
  fastifyRedis: "@fastify/session, connect-redis",
  postgres: "PostgresStore",
  postgresCache: "PostgresStore, cache",
  expressPostgres: "express-session, connect-pg-simple",
  fastifyPostgres: "@fastify/session, connect-pg-simple",
} as const;

type ServerName = keyof typeof TITLES;

/** The result of one run of wrk. */
interface Load {
  /** Requests a second. */
  rate: number;
  /** The 99th percentile of the latency, in milliseconds. */
  p99: number;
  /**
   * The share of its core that the server used. If it is far from 1, the server was not the
   * bottleneck.
   */
  cpuShare: number;
}

/** The saved result of one case on one server. */
interface Result extends Load {
  /** Requests per second divided by those without sessions; the median over the rounds. */
  ratio: number;
  /**
   * The same ratio of requests per second of CPU time. The two differ if the server was not the
   * bottleneck.
   */
  ratioByCpuTime: number;
}

/** The content of `results/http.json`. */
export interface HttpResults {
  environment: ReturnType<typeof environment>;
  alosaur: string;
  rounds: number;
  seconds: number;
  connections: number;
  visitors: number;
  servers: { name: ServerName; title: string; cases: Partial<Record<CaseName, Result>> }[];
  /**
   * Requests per second divided by those of another checkout (`--before`); the median over the
   * rounds.
   */
  afterBefore?: { name: ServerName; cases: Partial<Record<CaseName, { ratio: number; ratioByCpuTime: number }>> }[];
  targets: Target[];
}

interface Server {
  name: ServerName;
  /** Whether it is the server of another checkout. */
  isBefore: boolean;
  process: Deno.ChildProcess;
  url: string;
  /** The path of the wrk script that sends the cookies of the visitors. */
  script: string;
}

const { values: options } = parseArgs({
  args: Deno.args,
  options: {
    quick: { type: "boolean", default: false },
    servers: { type: "string" },
    cases: { type: "string" },
    rounds: { type: "string" },
    seconds: { type: "string" },
    connections: { type: "string", default: "64" },
    visitors: { type: "string", default: "100" },
    before: { type: "string" },
    config: { type: "string" },
  },
});
const rounds = Number(options.rounds ?? (options.quick ? 3 : 5));
const seconds = Number(options.seconds ?? (options.quick ? 1 : 2));
const connections = Number(options.connections);
const visitors = Number(options.visitors);
const wanted = (options.servers ?? (options.quick ? "plain,memory,sqlite" : Object.keys(TITLES).join())).split(",");
const caseNames = parseCaseNames(options.cases ?? "read,readWrite,untouched");

for (const tool of ["wrk", "taskset"]) {
  if (await isInstalled(tool)) continue;
  console.error(`Cannot run: ${tool} is not installed; on Debian: apt-get install wrk util-linux`);
  Deno.exit(1);
}
const [clientCore, serverCore] = navigator.hardwareConcurrency > 1 ? ["0", "1"] : ["0", "0"];
const folder = await Deno.makeTempDir();
const servers: Server[] = [];
const processes: Deno.ChildProcess[] = [];
try {
  for (const name of wanted as ServerName[]) {
    for (const isBefore of options.before === undefined ? [false] : [false, true]) {
      const server = await start(name, isBefore);
      if (server !== undefined) servers.push(server);
    }
  }
  // Warms up V8's optimising compiler.
  for (const server of servers) for (const name of caseNames) await load(server, name, 1);

  const measured = new Map<string, Load[]>();
  for (let round = 0; round < rounds; round++) {
    for (const caseName of caseNames) {
      for (const server of round % 2 === 0 ? servers : servers.toReversed()) {
        const key = loadsKey(server.name, caseName, server.isBefore);
        measured.set(key, [...measured.get(key) ?? [], await load(server, caseName, seconds)]);
      }
    }
  }
  const results = summarize(measured);
  print(results);
  const file = fileOf();
  if (file === undefined) console.log("\nNot saved: the run was not complete.");
  else await saveResults(file, results);
} finally {
  for (const process of processes) {
    try {
      process.kill("SIGTERM");
    } catch {
      // The process has exited already.
    }
    await process.status;
  }
  await Deno.remove(folder, { recursive: true });
}

/** Returns the file for the results, if the run was complete. */
function fileOf(): string | undefined {
  const { quick, servers, cases, before, config } = options;
  if (quick || cases !== undefined) return undefined;
  if (before !== undefined) return servers === "postgres" ? `http_before_${connections}.json` : undefined;
  if (servers !== undefined) return undefined;
  return config === undefined ? "http.json" : "http_alosaur.json";
}

function loadsKey(name: ServerName, caseName: CaseName, isBefore: boolean): string {
  return `${name} ${caseName} ${isBefore}`;
}

async function isInstalled(tool: string): Promise<boolean> {
  try {
    await new Deno.Command(tool, { args: ["--version"], stdout: "null", stderr: "null" }).output();
    return true;
  } catch {
    return false;
  }
}

/** Starts a server, signs up its visitors and verifies that it does the work of each case. */
async function start(name: ServerName, isBefore: boolean): Promise<Server | undefined> {
  const root = isBefore ? Deno.realPathSync(options.before ?? "") : new URL("..", import.meta.url).pathname;
  const config = options.config === undefined ? [] : ["--config", options.config];
  const script = `${root}/bench/http_server.ts`;
  const process = new Deno.Command("taskset", {
    args: ["-c", serverCore, Deno.execPath(), "run", "-A", "--quiet", ...config, script, name],
    cwd: root,
    env: { NODE_ENV: "production", NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  processes.push(process);
  const errors = new Response(process.stderr).text();
  const port = await portOf(process.stdout);
  if (port === undefined) {
    console.log(`Skipped: ${TITLES[name]}. ${(await errors).trim().split("\n")[0]}`);
    return undefined;
  }
  const url = `http://127.0.0.1:${port}`;
  const cookies: string[] = [];
  for (let i = 0; i < visitors; i++) cookies.push((await request(`${url}/write`)).cookie);
  await verify(name, url, cookies[0] ?? "");
  // A server without sessions gets cookies of the same length.
  const sent = cookies.map((cookie) => cookie || `sid=${"A".repeat(68)}`);
  const path = `${folder}/${name}${isBefore ? "_before" : ""}.lua`;
  await Deno.writeTextFile(path, luaOf(sent));
  return { name, isBefore, process, url, script: path };
}

async function portOf(output: ReadableStream<Uint8Array>): Promise<string | undefined> {
  let text = "";
  const reader = output.pipeThrough(new TextDecoderStream()).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    text += part.value;
    const [, port] = text.match(/port: (\d+)\D/) ?? [];
    if (port === undefined) continue;
    // Drains the output, because a full pipe would block the server.
    void (async () => {
      while (!(await reader.read()).done);
    })();
    return port;
  }
}

async function request(url: string, cookie?: string): Promise<{ status: number; text: string; cookie: string }> {
  const response = await fetch(url, cookie ? { headers: { cookie } } : {});
  const [line = ""] = response.headers.getSetCookie();
  return { status: response.status, text: await response.text(), cookie: line.split(";", 1)[0] ?? "" };
}

async function verify(name: ServerName, url: string, cookie: string): Promise<void> {
  const isPlain = name === "plain";
  const before = await request(`${url}/read`, cookie);
  const written = await request(`${url}/readWrite`, cookie);
  const after = await request(`${url}/read`, cookie);
  const untouched = await request(`${url}/untouched`);
  const received = [before, written, after, untouched].map(({ status, text }) => `${status} ${text}`).join();
  const expected = (isPlain ? "1,1,1,ok" : "1,2,2,ok").replaceAll(/\w+/g, "200 $&");
  if (received !== expected || untouched.cookie !== "" || (cookie === "") !== isPlain) {
    throw new Error(
      `Cannot measure ${TITLES[name]}: the server sends wrong responses; expected ${expected}, received ${received}`,
    );
  }
}

/** Creates a wrk script that sends the requests of the visitors one after the other. */
function luaOf(cookies: string[]): string {
  return `local cookies = { ${cookies.map((cookie) => JSON.stringify(cookie)).join(", ")} }
local requests, at = {}, 0
init = function()
  for i, cookie in ipairs(cookies) do requests[i] = wrk.format("GET", wrk.path, { Cookie = cookie }) end
end
request = function()
  at = at % #requests + 1
  return requests[at]
end
`;
}

async function load(server: Server, caseName: CaseName, time: number): Promise<Load> {
  const { action, cookie } = CASES[caseName];
  const script = cookie === "no" ? [] : ["-s", server.script];
  const before = await cpuSeconds(server.process.pid);
  const start = performance.now();
  const { stdout } = await new Deno.Command("taskset", {
    args: ["-c", clientCore, "wrk", "-t1", `-c${connections}`, `-d${time}s`, "--latency", ...script].concat(
      `${server.url}/${action}`,
    ),
  }).output();
  const text = new TextDecoder().decode(stdout);
  const cpuShare = (await cpuSeconds(server.process.pid) - before) / ((performance.now() - start) / 1000);
  const rate = Number(text.match(/Requests\/sec:\s+([\d.]+)/)?.[1]);
  const [, p99, unit = ""] = text.match(/ 99%\s+([\d.]+)(us|ms|s)/) ?? [];
  const scale: Record<string, number> = { us: 0.001, ms: 1, s: 1000 };
  const failed = text.match(/(Non-2xx or 3xx responses|Socket errors).*/)?.[0];
  if (failed !== undefined || !(rate > 0)) throw new Error(`${TITLES[server.name]}, ${caseName}: ${failed ?? text}`);
  return { rate, p99: Number(p99) * (scale[unit] ?? NaN), cpuShare };
}

/**
 * Returns the CPU time of a process and all its threads in seconds, or 0 on a system without
 * `/proc`.
 */
async function cpuSeconds(pid: number): Promise<number> {
  try {
    const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    return 0;
  }
}

function summarize(measured: Map<string, Load[]>): HttpResults {
  const loads = (name: ServerName, caseName: CaseName, isBefore = false): Load[] =>
    measured.get(loadsKey(name, caseName, isBefore)) ?? [];
  const rateByCpuTime = ({ rate, cpuShare }: Load): number => rate / cpuShare;
  /** Returns the ratio of two servers; the median over the rounds. */
  const ratioOf = (
    name: ServerName,
    other: ServerName,
    caseName: CaseName,
    valueOf: (load: Load) => number = ({ rate }) => rate,
    isBefore = false,
  ): number => {
    const others = loads(other, caseName, isBefore).map(valueOf);
    return median(loads(name, caseName).map((load, round) => valueOf(load) / (others[round] ?? NaN)));
  };
  const has = (...names: ServerName[]): boolean => names.every((name) => servers.some((s) => s.name === name));

  const targets: Target[] = [];
  const add = (name: string, measured: number, limit: number): void => {
    if (!Number.isNaN(measured)) targets.push(checkTarget(name, measured, "at least", limit));
  };
  if (has("plain", "memory")) {
    add("MemoryStore, read: with / without", ratioOf("memory", "plain", "read"), 0.85);
    add("MemoryStore, untouched: with / without", ratioOf("memory", "plain", "untouched"), 0.97);
  }
  if (has("sqlite", "memory")) {
    add("SqliteStore, read / MemoryStore, read", ratioOf("sqlite", "memory", "read"), 0.65);
  }
  for (
    const [ours, caseName, limit] of [
      ["redis", "read", 2.5],
      ["redis", "readWrite", 2],
      ["redisCache", "read", 3.5],
      ["postgres", "read", 3.5],
      ["postgres", "readWrite", 2],
      ["postgresCache", "read", 5],
    ] as const
  ) {
    const peers = ours.startsWith("redis")
      ? ["expressRedis", "fastifyRedis"] as const
      : ["expressPostgres", "fastifyPostgres"] as const;
    if (!has(ours, ...peers)) continue;
    const ratio = Math.min(...peers.map((peer) => ratioOf(ours, peer, caseName)));
    add(`${TITLES[ours]}, ${caseName}: ours / the better of Express and Fastify`, ratio, limit);
  }
  for (const cached of ["redisCache", "postgresCache"] as const) {
    if (has(cached, "memory")) {
      add(`${TITLES[cached]}, read / MemoryStore, read`, ratioOf(cached, "memory", "read"), 0.9);
    }
  }
  if (options.before !== undefined && has("postgres")) {
    const isSingle = connections === 1;
    add(
      "PostgresStore, read: after / before",
      ratioOf("postgres", "postgres", "read", undefined, true),
      isSingle ? 0.97 : 2,
    );
    if (!isSingle) {
      add(
        "PostgresStore, readWrite: after / before",
        ratioOf("postgres", "postgres", "readWrite", undefined, true),
        1.2,
      );
    }
  }
  return {
    environment: environment(),
    alosaur: options.config === undefined ? "the stand-in" : "another Alosaur",
    rounds,
    seconds,
    connections,
    visitors,
    servers: servers.filter(({ isBefore }) => !isBefore).map(({ name }) => ({
      name,
      title: TITLES[name],
      cases: Object.fromEntries(caseNames.map((caseName) => {
        const all = loads(name, caseName);
        return [caseName, {
          rate: median(all.map(({ rate }) => rate)),
          p99: median(all.map(({ p99 }) => p99)),
          cpuShare: median(all.map(({ cpuShare }) => cpuShare)),
          ratio: ratioOf(name, "plain", caseName),
          ratioByCpuTime: ratioOf(name, "plain", caseName, rateByCpuTime),
        }];
      })),
    })),
    ...(options.before === undefined ? {} : {
      afterBefore: servers.filter(({ isBefore }) => isBefore).map(({ name }) => ({
        name,
        cases: Object.fromEntries(caseNames.map((caseName) => [caseName, {
          ratio: ratioOf(name, name, caseName, undefined, true),
          ratioByCpuTime: ratioOf(name, name, caseName, rateByCpuTime, true),
        }])),
      })),
    }),
    targets,
  };
}

function print({ environment: { deno, cpu }, alosaur, servers, afterBefore = [], targets }: HttpResults): void {
  console.log(
    `Deno ${deno}, ${cpu}, ${alosaur} of Alosaur, ${connections} connections, ${rounds} rounds of ${seconds} s`,
  );
  console.log(caseLegend(caseNames));
  console.log(
    "\nRequests a second (ratio to those without sessions; the same by CPU time; p99 in ms; CPU share)\n",
  );
  printTable([
    ["", ...caseNames],
    ...servers.map(({ title, cases }) => [
      title,
      ...caseNames.map((name) => {
        const result = cases[name];
        if (result === undefined) return "";
        const { rate, ratio, ratioByCpuTime, p99, cpuShare } = result;
        const details = [ratio.toFixed(2), ratioByCpuTime.toFixed(2), formatNumber(p99), cpuShare.toFixed(2)];
        return `${Math.round(rate)} (${details.join("; ")})`;
      }),
    ]),
  ]);
  for (const { name, cases } of afterBefore) {
    const ratios = Object.entries(cases).map(([caseName, { ratio, ratioByCpuTime }]) =>
      `${caseName} ${ratio.toFixed(2)} (by CPU time ${ratioByCpuTime.toFixed(2)})`
    );
    console.log(`\n${TITLES[name]}, after / before: ${ratios.join(", ")}`);
  }
  printTargets(targets);
}
