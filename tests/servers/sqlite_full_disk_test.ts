/**
 * SQLite on a disk that is full: a small one in memory, mounted where only one process sees it, which goes with that process.
 */
import { assert, assertEquals } from "../helpers/assert.ts";

/** Runs a command with a disk of 1 MiB at `folder`. */
async function onSmallDisk(folder: string, command: string[]): Promise<Deno.CommandOutput> {
  const mount = 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"';
  try {
    return await new Deno.Command("unshare", {
      args: ["--map-root-user", "--mount", "sh", "-c", mount, folder, ...command],
      stderr: "inherit",
    }).output();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return { success: false, code: 127, signal: null, stdout: new Uint8Array(), stderr: new Uint8Array() };
  }
}

const folder = Deno.makeTempDirSync();
Deno.test.afterAll(() => Deno.removeSync(folder));

const { success } = await onSmallDisk(folder, ["true"]);
if (!success) console.log("SqliteStore on a full disk is left out: this machine does not let us mount one");

Deno.test("SqliteStore goes on when the disk is full, and loses nothing that it has acknowledged", {
  ignore: !success,
}, async () => {
  const file = (path: string): string => new URL(path, import.meta.url).pathname;
  const script = ["run", "-A", "--quiet", "--config", file("../../deno.json"), file("_sqlite_full_disk.ts"), folder];
  const { code, stdout } = await onSmallDisk(folder, [Deno.execPath(), ...script]);
  assertEquals(code, 0);
  const { integrity_check, lost, ...seen } = JSON.parse(new TextDecoder().decode(stdout));
  assertEquals([integrity_check, lost], ["ok", 0]);
  assert(seen.answered > 0 && seen.refused > 0);
  console.log(`full disk: ${JSON.stringify(seen)}, acknowledged writes lost: ${lost}`);
});
