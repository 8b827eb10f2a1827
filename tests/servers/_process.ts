/**
 * A server process of its own, for tests that need two of them on one store.
 *
 * It is this file too, run with an entry point, the name of the store's class, and what that is made with, as JSON. It does what it is
 * told on its standard input, a line of JSON each, and answers on its standard output.
 *
 * @module
 */
import { type SessionMiddleware, type SessionStore, SessionStoreError } from "../../mod.ts";
import { open, type Opened, signUp, start, visit } from "../helpers/request.ts";

/** What a process can be told to do with the session of a cookie. */
const ACTIONS = {
  /** Begins a session. */
  signUp: (middleware: SessionMiddleware) => signUp(middleware, { user: "ada" }),
  /** What the session's user is, as a new request finds it. */
  async user(middleware: SessionMiddleware, cookie: string): Promise<unknown> {
    let user: unknown;
    await visit(middleware, { cookie }, async ({ security }) => user = await security.session.get("user"));
    return user ?? null;
  },
  /** Counts up, in so many requests, ten of them at a time. */
  async count(middleware: SessionMiddleware, cookie: string, times: number): Promise<void> {
    const countUp = async (): Promise<void> => {
      while (times-- > 0) {
        await visit(
          middleware,
          { cookie },
          ({ security }) => security.session.update<number>("count", (count = 0) => count + 1),
        );
      }
    };
    await Promise.all(Array.from({ length: 10 }, countUp));
  },
  /** How far it has been counted. */
  async counted(middleware: SessionMiddleware, cookie: string): Promise<unknown> {
    let counted: unknown;
    await visit(middleware, { cookie }, async ({ security }) => counted = await security.session.get("count"));
    return counted;
  },
  /** Begins a request that goes on. */
  async begin(middleware: SessionMiddleware, cookie: string): Promise<unknown> {
    underWay = await open(middleware, cookie);
    return await underWay.session.get("user");
  },
  /** Writes in the request that goes on; returns the name of the error. */
  write: async (): Promise<string | undefined> =>
    await underWay?.session.set("user", "eve").then(() => undefined, (error: Error) => error.name),
  /** Ends the session. */
  async logout(middleware: SessionMiddleware, cookie: string): Promise<void> {
    await visit(middleware, { cookie }, ({ security }) => security.session.destroy());
  },
};

let underWay: Opened | undefined;

/** A server process. */
export interface ServerProcess extends AsyncDisposable {
  /** Has it do something; fails where that failed there. */
  tell(action: keyof typeof ACTIONS, ...args: unknown[]): Promise<unknown>;
}

/** Starts a process with a store of its own, such as `startProcess("@alosaur/session/redis", "RedisStore", url)`. */
export function startProcess(entryPoint: string, className: string, ...args: unknown[]): ServerProcess {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", import.meta.filename ?? "", entryPoint, className, JSON.stringify(args)],
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const input = child.stdin.getWriter();
  const answers = linesOf(child.stdout);
  return {
    async tell(...what): Promise<unknown> {
      await input.write(new TextEncoder().encode(`${JSON.stringify(what)}\n`));
      const { value } = await answers.next();
      if (value === undefined) throw new Error(`The process has ended instead of ${what[0]}`);
      const { result, error } = JSON.parse(value);
      if (error !== undefined) throw new Error(`${what[0]} failed: ${error}`);
      return result;
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await input.close();
      while (!(await answers.next()).done);
      await child.status;
    },
  };
}

async function* linesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

if (import.meta.main) {
  const [entryPoint = "", className = "", args = ""] = Deno.args;
  const { [className]: Store } = await import(entryPoint);
  await using store: SessionStore & AsyncDisposable = new Store(...JSON.parse(args));
  await store.init();
  const middleware = start({}, store);
  for await (const line of linesOf(Deno.stdin.readable)) {
    const [action, ...rest]: [keyof typeof ACTIONS, string, number] = JSON.parse(line);
    const answer = await ACTIONS[action](middleware, ...rest).then(
      (result) => ({ result }),
      (error: Error) => ({ error: String(error instanceof SessionStoreError ? error.cause : error) }),
    );
    console.log(JSON.stringify(answer));
  }
}
