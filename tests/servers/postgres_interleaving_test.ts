/** Two stores that change a session at the same time. A held row lock decides who comes first. */
import { PostgresStore } from "@alosaur/session/postgres";
import { assert, assertEquals } from "../helpers/assert.ts";
import { ownSchema, POSTGRES_URL, postgresIsThere, sleep } from "./_postgres.ts";
import { hold } from "./_postgres_locks.ts";

const MOVE = { meta: {}, graceUntil: Date.now() + 60_000 };

/** The connections of the second store. */
const ISOLATIONS = ["read committed", "repeatable read", "serializable"];

function create(store: PostgresStore, sid: string): Promise<void> {
  const now = Date.now();
  const meta = { createdAt: now, seenAt: now, renewedAt: now, principal: "ada" };
  return store.createRecord(sid, { values: new Map(), expiresAt: now + 60_000, meta });
}

/** Returns the ids of live sessions, and checks that none of them was moved. */
async function liveIds(store: PostgresStore, ids: string[]): Promise<string[]> {
  const live: string[] = [];
  for (const sid of ids) {
    const found = await store.readRecord(sid);
    if (found !== undefined && "values" in found) live.push(sid);
  }
  assertEquals((await store.listSessions("ada")).map(({ sid }) => sid).sort(), [...live].sort());
  return live;
}

/** Waits until an operation is done, and returns the name of its error, or "done". */
function outcome(operation: Promise<unknown>): Promise<string> {
  return operation.then(() => "done", (error) => error.name);
}

if (await postgresIsThere("interleavings on a PostgreSQL")) {
  for (const isolation of ISOLATIONS) {
    const open = (table: string): PostgresStore =>
      new PostgresStore(`${POSTGRES_URL}?default_transaction_isolation=${encodeURIComponent(isolation)}`, { table });

    Deno.test(`PostgresStore ends a session that is moved at the same time, at the level ${isolation}`, async (t) => {
      await using schema = await ownSchema();
      const table = schema.table();
      await using mover = open(table);
      await using other = open(table);
      await mover.init();

      for (const [name, end] of [["clear", () => other.clear()], ["delete", () => other.delete("a")]] as const) {
        for (const first of ["move", name]) {
          await t.step(`moveRecord() and ${name}(), ${first} first`, async () => {
            await mover.clear();
            await create(mover, "a");
            await using holder = await hold(table, `SELECT FROM ${table} WHERE id = 'a' FOR UPDATE`);
            const operations = [() => mover.moveRecord("a", "b", MOVE), end];
            if (first === name) operations.reverse();
            const outcomes: Promise<string>[] = [];
            for (const [i, operation] of operations.entries()) {
              outcomes.push(outcome(operation()));
              await holder.waiting(i + 1);
            }
            await holder.query("COMMIT");
            const [moved, ended] = first === name
              ? (await Promise.all(outcomes)).reverse()
              : await Promise.all(outcomes);
            assertEquals(ended, "done");
            const live = await liveIds(mover, ["a", "b"]);
            if (name === "clear") {
              assertEquals(live, []);
            } else if (moved === "done") {
              // The session has left the id. Whoever ends it follows the trace.
              assertEquals([live, await other.readRecord("a")], [["b"], { movedTo: "b", graceUntil: MOVE.graceUntil }]);
            } else {
              assertEquals([moved, live, await other.readRecord("a")], ["SessionGoneError", [], undefined]);
            }
          });
        }
      }
    });

    Deno.test(`PostgresStore.clear() ends the sessions that are moved while it runs, at the level ${isolation}`, async () => {
      await using schema = await ownSchema();
      const table = schema.table();
      await using mover = open(table);
      await using other = open(table);
      await mover.init();
      for (let round = 0; round < 10; round++) {
        const ids = Array.from({ length: 50 }, (_, i) => `${round}.${i}`);
        await Promise.all(ids.map((sid) => create(mover, sid)));
        const idAfter = (sid: string, moves: number): string => `${sid}${"+".repeat(moves)}`;
        let cleared = false;
        let moved = 0;
        // Every session is moved again and again.
        const moving = ids.map(async (sid) => {
          let moves = 0;
          while (
            !cleared && await outcome(mover.moveRecord(idAfter(sid, moves), idAfter(sid, moves + 1), MOVE)) === "done"
          ) {
            moves++;
            moved++;
          }
          return [idAfter(sid, moves), idAfter(sid, moves + 1)];
        });
        while (moved < 100) await sleep(1);
        await other.clear();
        cleared = true;
        assertEquals(await liveIds(other, (await Promise.all(moving)).flat()), []);
      }
    });

    Deno.test(`PostgresStore.listSessions() lists a session once while it is moved, at the level ${isolation}`, async () => {
      await using schema = await ownSchema();
      const table = schema.table();
      await using mover = open(table);
      await using other = open(table);
      await mover.init();
      await create(mover, "0");
      let moves = 0;
      let stopped = false;
      const moving = (async () => {
        while (!stopped) await mover.moveRecord(`${moves}`, `${++moves}`, MOVE);
      })();
      for (let i = 0; i < 200; i++) {
        const listed = (await other.listSessions("ada")).map(({ sid }) => Number(sid));
        assertEquals(listed.length, 1);
        assert((listed[0] ?? NaN) <= moves);
      }
      stopped = true;
      await moving;
      assert(moves > 10);
    });
  }

  Deno.test("PostgresStore.listSessions() lists one id of a session whose move is not committed", async () => {
    await using schema = await ownSchema();
    const table = schema.table();
    await using store = new PostgresStore(POSTGRES_URL, { table });
    await store.init();
    await create(store, "a");
    // The statement waits after it has moved the session, and before it commits.
    await using holder = await hold(table, `LOCK TABLE ${table} IN ROW EXCLUSIVE MODE`);
    await holder.query(`UPDATE ${table} SET id = 'b';
      INSERT INTO ${table} (id, data, meta, version, expires_at, moved_to, grace_until) VALUES ('a', '{}', '{}', 0, 9e12, 'b', 0)`);
    assertEquals((await store.listSessions("ada")).map(({ sid }) => sid), ["a"]);
    await holder.query("COMMIT");
    assertEquals((await store.listSessions("ada")).map(({ sid }) => sid), ["b"]);
  });
}
