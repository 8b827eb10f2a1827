/**
 * Runs an example as a child process, with only the permissions that its README gives it.
 *
 * @module
 */
import { Lines } from "./lines.ts";
import { withoutCoverage } from "./permissions.ts";

/** The name of an example's folder. */
export type ExampleName = "counter" | "login" | "custom_store" | "live" | "admin" | "bound";

/** The names of all examples. */
export const EXAMPLES: readonly ExampleName[] = ["counter", "login", "custom_store", "live", "admin", "bound"];

/** An example that is serving. */
export interface RunningExample extends AsyncDisposable {
  /** The address that it has printed. */
  readonly url: string;
  /** Waits for a line of its output after the one with the address. Skips the lines before it. */
  printed(line: RegExp): Promise<RegExpExecArray>;
  /** Sets the clock of the process ten minutes ahead. */
  waitTenMinutes(): Promise<void>;
  /** Stops the process gracefully. Returns its exit code and its errors. */
  stop(): Promise<{ code: number; errors: string }>;
}

const root = `${import.meta.dirname}/../..`;

/**
 * The configuration decides which Alosaur the examples use. The environment variable ALOSAUR_CONFIG
 * names another one.
 */
const config = Deno.env.get("ALOSAUR_CONFIG") ?? `${root}/deno.json`;

/**
 * Creates the command of an example.
 *
 * @param env is added to the environment of the test
 * @param flags the permissions; by default those of the example's README on any port
 */
export function exampleCommand(
  name: ExampleName,
  env: Record<string, string>,
  flags: readonly string[] = permissionsFor(name, env),
): Deno.Command {
  const { env: inherited, clearEnv } = withoutCoverage();
  return new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-prompt", "--config", config],
      ...["--preload", `${import.meta.dirname}/shifting_clock.ts`],
      ...flags,
      `${root}/examples/${name}/main.ts`,
    ],
    clearEnv,
    env: { ...inherited, SESSION_SECRET: "a secret of the browser tests", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

function permissionsFor(
  name: ExampleName,
  { SESSION_DIR: directory, STORE_URL: url }: Record<string, string>,
): string[] {
  const host = name === "bound" ? "127.0.0.1" : "0.0.0.0";
  const files = directory === undefined ? [] : [`--allow-read=${directory}`, `--allow-write=${directory}`];
  const net = url === undefined ? "" : `,${new URL(url).host}`;
  return [`--allow-net=${host}${net}`, "--allow-env=PORT,SESSION_SECRET,SESSION_DIR,STORE_URL", ...files];
}

/** Starts an example on a free port and waits until it says that it serves. */
export async function startExample(
  name: ExampleName,
  env: Record<string, string> = {},
  flags?: readonly string[],
): Promise<RunningExample> {
  const child = exampleCommand(name, { PORT: "0", ...env }, flags).spawn();
  // Read to its end, because a full pipe would block the child. The examples print only a few lines
  // to the other one.
  const errors = new Response(child.stderr).text();
  const lines = new Lines(child.stdout);
  const printed = async (line: RegExp): Promise<RegExpExecArray> => {
    try {
      return await lines.find(line);
    } catch (cause) {
      throw new Error(`The example ${name} exited: ${await errors}`, { cause });
    }
  };

  const end = async (signal: Deno.Signal): Promise<{ code: number; errors: string }> => {
    try {
      child.kill(signal);
    } catch (error) {
      // It has already exited.
      if (!(error instanceof TypeError)) throw error;
    }
    await lines.end();
    return { code: (await child.status).code, errors: await errors };
  };
  const [, url = ""] = await printed(/^Listening on (http\S+)$/);
  return {
    url,
    printed,
    async waitTenMinutes(): Promise<void> {
      child.kill("SIGUSR2");
      await printed(/^The clock is ten minutes ahead$/);
    },
    stop: () => end("SIGTERM"),
    // Immediately. A graceful stop would wait for the event streams of pages that are still open.
    [Symbol.asyncDispose]: async () => void await end("SIGKILL"),
  };
}
