/**
 * Requests a second over HTTP: the same application with and without sessions, on each store, and beside Express and Fastify on the
 * same Redis and PostgreSQL.
 *
 * The server has one core and the load generator another, and servers take turns. It needs `wrk` and `taskset`; on Debian:
 * `apt-get install wrk util-linux`. TEST_REDIS_URL and TEST_POSTGRES_URL name the servers.
 *
 * `--quick` takes some 40 seconds; `--servers=plain,memory` and `--cases=a,c` leave others out; `--rounds=5`, `--seconds=2` and
 * `--connections=64` say how much is measured; `--config=FILE` is another deno.json, such as one that maps `alosaur/` to another
 * Alosaur. Only a whole run is kept; one with `--config` as `http_alosaur.json`.
 */
import { parseArgs } from "node:util";
import { digits, environment, keep, median, printTable, printTargets, type Target, target } from "./figures.ts";
import { type CaseName, CASES } from "./subjects/subject.ts";

const TITLES = {
  plain: "without sessions",
  memory: "MemoryStore",
  sqlite: "SqliteStore",
  redis: "RedisStore",
  expressRedis: "express-session, connect-redis",
  fastifyRedis: "@fastify/session, connect-redis",
  postgres: "PostgresStore",
  expressPostgres: "express-session, connect-pg-simple",
  fastifyPostgres: "@fastify/session, connect-pg-simple",
} as const;

type ServerName = keyof typeof TITLES;

/** What one run of wrk found. */
interface Load {
  /** Requests a second. */
  rate: number;
  /** The 99th percentile of the time to an answer, in milliseconds. */
  p99: number;
  /** The share of its core that the server has used: where it is far from 1, something else was the bound. */
  busy: number;
}

/** What is kept of a server, by case. */
interface Result extends Load {
  /** Requests a second, over those without sessions: the median of the rounds' ratios. */
  ratio: number;
  /** The same of requests a second of the server's processor time: near the other one unless something else was the bound. */
  ratioByWork: number;
}

/** What is kept in `results/http.json`. */
export interface HttpResults {
  environment: ReturnType<typeof environment>;
  alosaur: string;
  rounds: number;
  seconds: number;
  connections: number;
  visitors: number;
  servers: { name: ServerName; title: string; cases: Partial<Record<CaseName, Result>> }[];
  targets: Target[];
}

interface Server {
  name: ServerName;
  process: Deno.ChildProcess;
  url: string;
  /** wrk's script that sends the cookies of its visitors. */
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
    config: { type: "string" },
  },
});
const rounds = Number(options.rounds ?? (options.quick ? 3 : 5));
const seconds = Number(options.seconds ?? (options.quick ? 1 : 2));
const connections = Number(options.connections);
const visitors = Number(options.visitors);
const wanted = (options.servers ?? (options.quick ? "plain,memory,sqlite" : Object.keys(TITLES).join())).split(",");
const caseNames = (options.cases ?? "a,b,c").split(",") as CaseName[];

for (const tool of ["wrk", "taskset"]) {
  if (await isThere(tool)) continue;
  console.error(`This needs ${tool}; on Debian: apt-get install wrk util-linux`);
  Deno.exit(1);
}
const [clientCore, serverCore] = navigator.hardwareConcurrency > 1 ? ["0", "1"] : ["0", "0"];
const folder = await Deno.makeTempDir();
const servers: Server[] = [];
const processes: Deno.ChildProcess[] = [];
try {
  for (const name of wanted as ServerName[]) {
    const server = await start(name);
    if (server !== undefined) servers.push(server);
  }
  // V8 needs a while.
  for (const server of servers) for (const name of caseNames) await load(server, name, 1);

  const measured = new Map<string, Load[]>();
  for (let round = 0; round < rounds; round++) {
    for (const caseName of caseNames) {
      for (const server of round % 2 === 0 ? servers : servers.toReversed()) {
        const key = `${server.name} ${caseName}`;
        measured.set(key, [...measured.get(key) ?? [], await load(server, caseName, seconds)]);
      }
    }
  }
  const results = summarise(measured);
  print(results);
  const isWhole = !options.quick && options.servers === undefined && options.cases === undefined;
  if (!isWhole) console.log("\nNot kept: this was not a whole run.");
  else await keep(options.config === undefined ? "http.json" : "http_alosaur.json", results);
} finally {
  for (const process of processes) {
    try {
      process.kill("SIGTERM");
    } catch {
      // It has ended by itself.
    }
    await process.status;
  }
  await Deno.remove(folder, { recursive: true });
}

async function isThere(tool: string): Promise<boolean> {
  try {
    await new Deno.Command(tool, { args: ["--version"], stdout: "null", stderr: "null" }).output();
    return true;
  } catch {
    return false;
  }
}

/** Starts a server, proves that it does each case, and signs up its visitors. */
async function start(name: ServerName): Promise<Server | undefined> {
  const config = options.config === undefined ? [] : ["--config", options.config];
  const script = new URL("http_server.ts", import.meta.url).pathname;
  const process = new Deno.Command("taskset", {
    args: ["-c", serverCore, Deno.execPath(), "run", "-A", "--quiet", ...config, script, name],
    env: { NODE_ENV: "production", NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  processes.push(process);
  const errors = new Response(process.stderr).text();
  const port = await portOf(process.stdout);
  if (port === undefined) {
    console.log(`Left out: ${TITLES[name]}. ${(await errors).trim().split("\n")[0]}`);
    return undefined;
  }
  const url = `http://127.0.0.1:${port}`;
  const cookies: string[] = [];
  for (let i = 0; i < visitors; i++) cookies.push((await ask(`${url}/write`)).cookie);
  await verify(name, url, cookies[0] ?? "");
  // Without sessions the same load: cookies of the same length.
  const sent = cookies.map((cookie) => cookie || `sid=${"A".repeat(68)}`);
  const path = `${folder}/${name}.lua`;
  await Deno.writeTextFile(path, luaOf(sent));
  return { name, process, url, script: path };
}

async function portOf(output: ReadableStream<Uint8Array>): Promise<string | undefined> {
  let text = "";
  const reader = output.pipeThrough(new TextDecoderStream()).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    text += part.value;
    const [, port] = text.match(/port: (\d+)\D/) ?? [];
    if (port === undefined) continue;
    // Read on: a full pipe would block the server.
    void (async () => {
      while (!(await reader.read()).done);
    })();
    return port;
  }
}

async function ask(url: string, cookie?: string): Promise<{ status: number; text: string; cookie: string }> {
  const response = await fetch(url, cookie ? { headers: { cookie } } : {});
  const [line = ""] = response.headers.getSetCookie();
  return { status: response.status, text: await response.text(), cookie: line.split(";", 1)[0] ?? "" };
}

async function verify(name: ServerName, url: string, cookie: string): Promise<void> {
  const isPlain = name === "plain";
  const before = await ask(`${url}/read`, cookie);
  const both = await ask(`${url}/both`, cookie);
  const after = await ask(`${url}/read`, cookie);
  const none = await ask(`${url}/none`);
  const texts = [before, both, after, none].map(({ status, text }) => `${status} ${text}`).join();
  const right = (isPlain ? "1,1,1,ok" : "1,2,2,ok").replaceAll(/\w+/g, "200 $&");
  if (texts !== right || none.cookie !== "" || (cookie === "") !== isPlain) {
    throw new Error(`${TITLES[name]} does not do what is measured: ${texts}`);
  }
}

/** The requests of the visitors, one after the other. */
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
  const begun = performance.now();
  const { stdout } = await new Deno.Command("taskset", {
    args: ["-c", clientCore, "wrk", "-t1", `-c${connections}`, `-d${time}s`, "--latency", ...script].concat(
      `${server.url}/${action}`,
    ),
  }).output();
  const text = new TextDecoder().decode(stdout);
  const busy = (await cpuSeconds(server.process.pid) - before) / ((performance.now() - begun) / 1000);
  const rate = Number(text.match(/Requests\/sec:\s+([\d.]+)/)?.[1]);
  const [, p99, unit = ""] = text.match(/ 99%\s+([\d.]+)(us|ms|s)/) ?? [];
  const scale: Record<string, number> = { us: 0.001, ms: 1, s: 1000 };
  const failed = text.match(/(Non-2xx or 3xx responses|Socket errors).*/)?.[0];
  if (failed !== undefined || !(rate > 0)) throw new Error(`${TITLES[server.name]}, ${caseName}: ${failed ?? text}`);
  return { rate, p99: Number(p99) * (scale[unit] ?? NaN), busy };
}

/** The processor time that a process has used, its threads included; 0 where the system does not tell. */
async function cpuSeconds(pid: number): Promise<number> {
  try {
    const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    return 0;
  }
}

function summarise(measured: Map<string, Load[]>): HttpResults {
  const loads = (name: ServerName, caseName: CaseName): Load[] => measured.get(`${name} ${caseName}`) ?? [];
  /** The median of the rounds' ratios. */
  const over = (
    name: ServerName,
    other: ServerName,
    caseName: CaseName,
    of: (load: Load) => number = ({ rate }) => rate,
  ): number => {
    const others = loads(other, caseName).map(of);
    return median(loads(name, caseName).map((load, round) => of(load) / (others[round] ?? NaN)));
  };
  const has = (...names: ServerName[]): boolean => names.every((name) => servers.some((s) => s.name === name));

  const targets: Target[] = [];
  const add = (name: string, measured: number, limit: number): void => {
    if (!Number.isNaN(measured)) targets.push(target(name, measured, "at least", limit));
  };
  if (has("plain", "memory")) {
    add("MemoryStore, a: with / without", over("memory", "plain", "a"), 0.85);
    add("MemoryStore, c: with / without", over("memory", "plain", "c"), 0.97);
  }
  if (has("sqlite", "memory")) add("SqliteStore, a / MemoryStore, a", over("sqlite", "memory", "a"), 0.65);
  for (
    const [ours, express, fastify] of [
      ["redis", "expressRedis", "fastifyRedis"],
      ["postgres", "expressPostgres", "fastifyPostgres"],
    ] as const
  ) {
    if (!has(ours, express, fastify)) continue;
    for (const caseName of ["a", "b"] as const) {
      const ratio = Math.min(over(ours, express, caseName), over(ours, fastify, caseName));
      add(`${TITLES[ours]}, ${caseName}: ours / the better of Express and Fastify`, ratio, 2);
    }
  }
  return {
    environment: environment(),
    alosaur: options.config === undefined ? "the stand-in" : "another Alosaur",
    rounds,
    seconds,
    connections,
    visitors,
    servers: servers.map(({ name }) => ({
      name,
      title: TITLES[name],
      cases: Object.fromEntries(caseNames.map((caseName) => {
        const all = loads(name, caseName);
        return [caseName, {
          rate: median(all.map(({ rate }) => rate)),
          p99: median(all.map(({ p99 }) => p99)),
          busy: median(all.map(({ busy }) => busy)),
          ratio: over(name, "plain", caseName),
          ratioByWork: over(name, "plain", caseName, ({ rate, busy }) => rate / busy),
        }];
      })),
    })),
    targets,
  };
}

function print({ environment: { deno, cpu }, alosaur, servers, targets }: HttpResults): void {
  console.log(
    `Deno ${deno}, ${cpu}, ${alosaur} of Alosaur, ${connections} connections, ${rounds} rounds of ${seconds} s`,
  );
  for (const name of caseNames) console.log(`  ${name}  ${CASES[name].title}`);
  console.log(
    "\nRequests a second (over those without sessions; the same by the server's processor time; p99 in ms; share of the core)\n",
  );
  printTable([
    ["", ...caseNames],
    ...servers.map(({ title, cases }) => [
      title,
      ...caseNames.map((name) => {
        const result = cases[name];
        if (result === undefined) return "";
        const { rate, ratio, ratioByWork, p99, busy } = result;
        return `${Math.round(rate)} (${ratio.toFixed(2)}; ${ratioByWork.toFixed(2)}; ${digits(p99)}; ${
          busy.toFixed(2)
        })`;
      }),
    ]),
  ]);
  printTargets(targets);
}
