/** What requests and signals leave in the heap. */
import { assert, assertEquals } from "../helpers/assert.ts";
import { ROOT } from "../helpers/files.ts";

async function run(script: string, ...flags: string[]): Promise<string> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", ...flags, new URL(`tests/helpers/${script}`, ROOT).pathname],
    signal: AbortSignal.timeout(120_000),
  });
  const { stdout, stderr, success } = await child.output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

Deno.test("A request leaves nothing in the heap that only a full collection frees", async () => {
  const flags = "--v8-flags=--expose-gc,--no-opt,--no-maglev";
  const { visitor, user, oldGarbage } = JSON.parse(await run("request_garbage.ts", flags));
  // In bytes. Otherwise the collections were full ones.
  assert(oldGarbage > 100_000, `${oldGarbage} bytes`);
  // With `response.getMergedResult = …`, they are 800 and more.
  assert(visitor < 50 && user < 50, `${visitor} and ${user} bytes`);
});

Deno.test("session.signal leaves nothing behind when 100,000 sockets come and go", async () => {
  const { oneSession, manySessions, ...rest } = JSON.parse(await run("signal_leak.ts", "--v8-flags=--expose-gc"));
  assertEquals(rest, {
    heldOfOne: 1,
    heldWhileOpen: 20_001,
    heldOfMany: 1,
    heldOfEnded: 1,
    aborted: ["listener", "any", "pipe", "kept"],
    held: 0,
    timers: 0,
  });
  // In bytes for each socket. A derived signal takes 620.
  assert(oneSession < 20 && manySessions < 20, `${oneSession} and ${manySessions} bytes`);
});

Deno.test("session.signal does not keep the process alive", async () => {
  assertEquals(await run("signal_exit.ts"), "held\n");
});
