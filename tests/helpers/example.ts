/**
 * Runs an example as a child process, with only the permissions that its README gives it.
 *
 * @module
 */

/** The name of an example's folder. */
export type ExampleName = "counter" | "login" | "custom_store" | "live";

/** The names of all examples. */
export const EXAMPLES: readonly ExampleName[] = ["counter", "login", "custom_store", "live"];

/** An example that is serving. */
export interface RunningExample extends AsyncDisposable {
  /** The address that it has printed. */
  readonly url: string;
  /** Sets the clock of the process ten minutes ahead. */
  waitTenMinutes(): Promise<void>;
  /** Ends the process and waits for that. */
  stop(): Promise<void>;
}

const root = `${import.meta.dirname}/../..`;

/**
 * The configuration decides which Alosaur the examples use. The environment variable ALOSAUR_CONFIG
 * names another one.
 */
const config = Deno.env.get("ALOSAUR_CONFIG") ?? `${root}/deno.json`;

/** Creates the command of an example. `env` is added to the environment of the test. */
export function exampleCommand(name: ExampleName, env: Record<string, string>): Deno.Command {
  const files = env.SESSION_DIR === undefined
    ? []
    : [`--allow-read=${env.SESSION_DIR}`, `--allow-write=${env.SESSION_DIR}`];
  return new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-prompt", "--config", config],
      ...["--preload", `${import.meta.dirname}/shifting_clock.ts`],
      ...["--allow-net=0.0.0.0", "--allow-env=PORT,SESSION_SECRET,SESSION_DIR", ...files],
      `${root}/examples/${name}/main.ts`,
    ],
    env: { SESSION_SECRET: "a secret of the browser tests", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

/** Starts an example on a free port and waits until it says that it serves. */
export async function startExample(name: ExampleName, env: Record<string, string> = {}): Promise<RunningExample> {
  const child = exampleCommand(name, { PORT: "0", ...env }).spawn();
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

  const stop = async (): Promise<void> => {
    try {
      child.kill("SIGTERM");
    } catch (error) {
      // It has already exited.
      if (!(error instanceof TypeError)) throw error;
    }
    await Promise.all([child.status, output, errors]);
  };
  const waitTenMinutes = async (): Promise<void> => {
    shifted = Promise.withResolvers();
    child.kill("SIGUSR2");
    await shifted.promise;
  };
  return { url: await listening.promise, waitTenMinutes, stop, [Symbol.asyncDispose]: stop };
}
