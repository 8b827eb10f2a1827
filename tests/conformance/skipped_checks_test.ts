import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";

const NO_RECORD_STORE =
  "the store is not a RecordStore, it has no createRecord(), readRecord(), changeRecord(), moveRecord()";
const NO_NEIGHBOUR = "skipped: clear() keeps other applications' sessions (option `neighbour` not given)";
const NO_BROKEN = "skipped: a failure of the backend never looks like a missing session (option `broken` not given)";
const NO_CAPABILITIES = [
  `skipped: records (${NO_RECORD_STORE}; without them update(), take(), clear() and regenerate() are atomic within one ` +
  "process only, a new session takes several round trips, and an expired session stays in the store unless its visitor " +
  "returns)",
  `skipped: new session ids (${NO_RECORD_STORE})`,
  `skipped: keys of devices (${NO_RECORD_STORE})`,
  `skipped: deadlines (${NO_RECORD_STORE})`,
  `skipped: concurrent calls on records (${NO_RECORD_STORE})`,
  "skipped: sessions of a user (the store is not a PrincipalStore, it has no listSessions(); without it " +
  "middleware.sessions cannot list or revoke the sessions of a user, and the option maxSessionsPerPrincipal is rejected)",
  "skipped: a health check of its own (the store is not a PingableStore, it has no ping(); middleware.health() calls " +
  "exist() instead)",
  "skipped: changes that any process makes (the store is not a WatchedStore, it has no watch(); session.signal looks " +
  "the session up every few seconds instead)",
  "skipped: number of sessions (the store is not a CountingStore, it has no countSessions(); without it " +
  "middleware.sessions.count() rejects)",
  "skipped: users who are signed in (the store is not a PrincipalListStore, it has no listPrincipals(); without it " +
  "middleware.sessions.users() rejects)",
];
const NO_USERS = "skipped: listing and revoking the sessions of a user (the store is not a PrincipalStore)";

/** The names of all skipped checks, by store, in their order. */
const SKIPPED = {
  "one process": [
    NO_NEIGHBOUR,
    "skipped: concurrent calls across two instances (option `shared` is false)",
    NO_BROKEN,
    ...NO_CAPABILITIES,
    "skipped: requests to two instances (option `shared` is false; an application on such a store must run in one process)",
    NO_USERS,
  ],
  "basic store": [
    NO_NEIGHBOUR,
    NO_BROKEN,
    ...NO_CAPABILITIES,
    "skipped: update(), take(), clear() and grace periods across two instances (the store is not a RecordStore; with " +
    "several processes concurrent update() can lose an update, take() can return one value twice, and a grace period " +
    "holds only in the process that called regenerate())",
    NO_USERS,
  ],
  "RecordStore": [
    NO_NEIGHBOUR,
    NO_BROKEN,
    'skipped: a replaced id is remembered until the session\'s deadline (option `traces` is not "deadline")',
  ],
};

Deno.test("testSessionStore() shows a skipped check as ignored, with the reason", async () => {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "--no-check", new URL("limited_stores.ts", import.meta.url).pathname],
    env: { NO_COLOR: "1" },
  }).output();
  const output = new TextDecoder().decode(stdout);
  assert(success, output + new TextDecoder().decode(stderr));

  // Lines of `deno test`: "store: group ..." and, indented, "name ... ok (1ms)" or "... ignored".
  const ignored: Record<string, string[]> = { "one process": [], "basic store": [], "RecordStore": [] };
  let store = "";
  for (const line of output.split("\n")) {
    const [, group] = line.match(/^(one process|basic store|RecordStore): /) ?? [];
    store = group ?? store;
    const [, name = "", result] = line.match(/^ {2}(.*) \.\.\. (ok|ignored) \(\d+m?s\)$/) ?? [];
    assertEquals(result === "ignored", name.startsWith("skipped: "), line);
    if (result === "ignored") ignored[store]?.push(name);
  }
  assertEquals(ignored, SKIPPED);
  const steps = Object.values(SKIPPED).flat().length;
  assertMatch(
    output,
    new RegExp(`^ok \\| 66 passed \\(\\d+ steps\\) \\| 0 failed \\| 0 ignored \\(${steps} steps\\)`, "m"),
  );
});
