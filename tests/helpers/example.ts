/**
 * Runs an example as a child process, with only the permissions that its README gives it.
 *
 * @module
 */
import { withoutCoverage } from "./permissions.ts";

/** The name of an example's folder. */
export type ExampleName = "counter" | "login" | "custom_store" | "live" | "admin";

/** The names of all examples. */
export const EXAMPLES: readonly ExampleName[] = ["counter", "login", "custom_store", "live", "admin"];

/** An example that is serving. */
export interface RunningExample extends AsyncDisposable {
  /** The address that it has printed. */
  readonly url: string;
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
  flags: readonly string[] = permissionsFor(env),
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

function permissionsFor({ SESSION_DIR: directory, STORE_URL: url }: Record<string, string>): string[] {
  const files = directory === undefined ? [] : [`--allow-read=${directory}`, `--allow-write=${directory}`];
  const net = url === undefined ? "" : `,${new URL(url).host}`;
  return [`--allow-net=0.0.0.0${net}`, "--allow-env=PORT,SESSION_SECRET,SESSION_DIR,STORE_URL", ...files];
}

/** Starts an example on a free port and waits until it says that it serves. */
export async function startExample(
  name: ExampleName,
  env: Record<string, string> = {},
  flags?: readonly string[],
): Promise<RunningExample> {
  const child = exampleCommand(name, { PORT: "0", ...env }, flags).spawn();
  // Both pipes are read to their end, because a full pipe would block the child.
  const errors = new Response(child.stderr).text();
  const listening = Promise.withResolvers<string>();
  let shifted = Promise.withResolvers<void>();
  const output = (async () => {
    let text = "";
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      const url = /^Listening on (http\S+)$/m.exec(text)?.[1];
      if (url !== undefined) listening.resolve(url);
      if (text.endsWith("The clock is ten minutes ahead\n")) shifted.resolve();
    }
    listening.reject(new Error(`The example ${name} exited before it served: ${text}${await errors}`));
  })();

  const end = async (signal: Deno.Signal): Promise<{ code: number; errors: string }> => {
    try {
      child.kill(signal);
    } catch (error) {
      // It has already exited.
      if (!(error instanceof TypeError)) throw error;
    }
    await output;
    return { code: (await child.status).code, errors: await errors };
  };
  const waitTenMinutes = async (): Promise<void> => {
    shifted = Promise.withResolvers();
    child.kill("SIGUSR2");
    await shifted.promise;
  };
  return {
    url: await listening.promise,
    waitTenMinutes,
    stop: () => end("SIGTERM"),
    // Immediately. A graceful stop would wait for the event streams of pages that are still open.
    [Symbol.asyncDispose]: async () => void await end("SIGKILL"),
  };
}
