/**
 * What the suite tests, in its order.
 *
 * @module
 */
import { RECORD_METHODS, type RecordStore } from "../session_store.ts";
import { isRecordStore } from "../session_store.ts";
import { type Area, type Check, note, type OpenBench, type Pair } from "./bench.ts";
import { deadlines } from "./deadlines.ts";
import { failure } from "./failure.ts";
import { keys } from "./keys.ts";
import { acrossInstances, inOneInstance, usersSessions } from "./life_cycle.ts";
import { moves } from "./moves.ts";
import { races } from "./races.ts";
import { recordRaces } from "./record_races.ts";
import { changes } from "./records.ts";
import { missing, opening, sessions } from "./required.ts";
import { users } from "./users.ts";
import { copies, sizes, values } from "./values.ts";

/** What a store without the capability means for its sessions: said once. */
const LACKING =
  ": update(), take(), clear() and regenerate() are one step within one process only, a new session takes several round " +
  "trips, and sessions whose visitors do not come back stay";

/** What is tested of a store: what is required, what an optional capability adds, and the life of sessions on it. */
export const AREAS: readonly Area[] = [
  { title: "required: init()", checks: opening },
  { title: "required: missing sessions", checks: missing },
  { title: "required: sessions come and go", checks: sessions },
  { title: "required: keys", checks: keys },
  { title: "required: values", checks: values },
  { title: "required: sizes", checks: sizes },
  { title: "required: copies", checks: copies },
  { title: "required: concurrency", checks: races },
  { title: "required: failure", checks: failure },
  { title: "RecordStore: records and changes", checks: onRecords(changes, LACKING) },
  { title: "RecordStore: new ids", checks: onRecords(moves) },
  { title: "RecordStore: deadlines", checks: onRecords(deadlines) },
  { title: "RecordStore: concurrency", checks: onRecords(recordRaces) },
  { title: "PrincipalStore: sessions of a user", checks: users },
  { title: "life cycle: in one instance", checks: inOneInstance },
  { title: "life cycle: across two instances", checks: acrossInstances },
  { title: "life cycle: users", checks: usersSessions },
];

/** Checks of a store that has the capability; of another it is said what it lacks. */
function onRecords(checks: (pair: Pair<RecordStore>, bench: OpenBench) => Check[], lacking = ""): Area["checks"] {
  return (bench) => {
    const pairs = bench.pairs(isRecordStore);
    if (pairs.length > 0) return pairs.flatMap((pair) => checks(pair, bench));
    const missing = RECORD_METHODS.filter((name) => !(name in bench.store)).map((name) => `${name}()`).join(", ");
    return [note(`does not have RecordStore (${missing})${lacking}`)];
  };
}
