/**
 * Fills the disk that `sqlite_full_disk_test.ts` has mounted, and prints the outcome as JSON.
 *
 * Its argument is the folder at which the disk is mounted.
 */
import { DatabaseSync } from "node:sqlite";
import { SqliteStore } from "../../src/stores/sqlite_store.ts";
import { fillDisk } from "../stores/_fill_disk.ts";

const [folder] = Deno.args;
const ballast = `${folder}/ballast`;
const path = `${folder}/sessions.db`;
Deno.writeFileSync(ballast, new Uint8Array(700 * 1024));
await using store = new SqliteStore(path);
const outcome = await fillDisk(store, () => Deno.removeSync(ballast));
using db = new DatabaseSync(path);
console.log(JSON.stringify({ ...outcome, ...db.prepare("PRAGMA integrity_check").get() }));
