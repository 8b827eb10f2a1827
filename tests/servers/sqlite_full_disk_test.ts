/**
 * SQLite on a full disk.
 *
 * The disk is a small tmpfs in a mount namespace of one process, and disappears with that process.
 */
import { assert, assertEquals } from "../helpers/assert.ts";

/**
 * Runs a command with a disk of 1 MiB mounted at `folder`. Fails if this machine does not allow
 * that.
 */
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
if (!success) console.log("Ignored: SqliteStore on a full disk. This machine does not allow to mount one.");

Deno.test("SqliteStore works again after the disk was full, and loses no acknowledged write", {
  ignore: !success,
}, async () => {
  const file = (path: string): string => new URL(path, import.meta.url).pathname;
  const script = [
    "run",
    "-A",
    "--quiet",
    "--config",
    file("../../deno.json"),
    file("_sqlite_full_disk_process.ts"),
    folder,
  ];
  const { code, stdout } = await onSmallDisk(folder, [Deno.execPath(), ...script]);
  assertEquals(code, 0);
  const { integrity_check, lost, ...outcome } = JSON.parse(new TextDecoder().decode(stdout));
  assertEquals([integrity_check, lost], ["ok", 0]);
  assert(outcome.answered > 0 && outcome.refused > 0);
  console.log(`full disk: ${JSON.stringify(outcome)}, acknowledged writes lost: ${lost}`);
});
