/**
 * Server processes, for tests that need several of them on one store.
 *
 * Each process runs this file with an entry point, the name of the store's class and the
 * constructor's arguments as JSON. It reads actions from its standard input, one line of JSON each,
 * and writes their results to its standard output.
 *
 * @module
 */
import { type SessionMiddleware, type SessionStore, SessionStoreError } from "../../mod.ts";
import { open, type Opened, signUp, start, visit } from "../helpers/request.ts";

/** The actions of a process. Most of them take the cookie of a session. */
const ACTIONS = {
  /** Creates a session and returns its cookie. */
  signUp: (middleware: SessionMiddleware) => signUp(middleware, { user: "ada" }),
  /** Returns the user of the session, read in a new request. */
  async user(middleware: SessionMiddleware, cookie: string): Promise<unknown> {
    let user: unknown;
    await visit(middleware, { cookie }, async ({ security }) => user = await security.session.get("user"));
    return user ?? null;
  },
  /** Increments a counter in as many requests as given, ten of them concurrently. */
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
  /** Returns the counter. */
  async counted(middleware: SessionMiddleware, cookie: string): Promise<unknown> {
    let counted: unknown;
    await visit(middleware, { cookie }, async ({ security }) => counted = await security.session.get("count"));
    return counted;
  },
  /** Begins a request that stays pending, and returns the user of the session. */
  async begin(middleware: SessionMiddleware, cookie: string): Promise<unknown> {
    pendingRequest = await open(middleware, cookie);
    return await pendingRequest.session.get("user");
  },
  /** Writes in the pending request and returns the name of the error, if any. */
  write: async (): Promise<string | undefined> =>
    await pendingRequest?.session.set("user", "eve").then(() => undefined, (error: Error) => error.name),
  /** Destroys the session. */
  async logout(middleware: SessionMiddleware, cookie: string): Promise<void> {
    await visit(middleware, { cookie }, ({ security }) => security.session.destroy());
  },
};

let pendingRequest: Opened | undefined;

/** A server process. */
export interface ServerProcess extends AsyncDisposable {
  /** Runs an action in the process. Rejects if the action failed. */
  tell(action: keyof typeof ACTIONS, ...args: unknown[]): Promise<unknown>;
}

/**
 * Starts a process with a store, as in `startProcess("@alosaur/session/redis", "RedisStore", url)`.
 */
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
    async tell(...message): Promise<unknown> {
      await input.write(new TextEncoder().encode(`${JSON.stringify(message)}\n`));
      const { value } = await answers.next();
      if (value === undefined) throw new Error(`The process ended during ${message[0]}`);
      const { result, error } = JSON.parse(value);
      if (error !== undefined) throw new Error(`${message[0]} failed: ${error}`);
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
