/** The output of Deno's own commands. */
import { ROOT } from "./files.ts";

/**
 * Runs `deno` in the root of the repository, and returns what it prints.
 *
 * @param input what it reads
 */
export async function denoOutput(args: readonly string[], input = ""): Promise<string> {
  const process = new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  await new Blob([input]).stream().pipeTo(process.stdin);
  const { success, stdout } = await process.output();
  if (!success) throw new Error(`Cannot run deno ${args[0]}: it has failed`);
  return new TextDecoder().decode(stdout);
}
