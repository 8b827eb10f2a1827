/** A session in Redis is one record at each moment of its moves, and is listed once. */
import { SessionGoneError } from "@alosaur/session";
import { RedisStore } from "@alosaur/session/redis";
import { assertEquals, assertRejects } from "../helpers/assert.ts";
import { isThere } from "./_require.ts";
import { findRedis, until } from "./_redis.ts";
import { asCluster, interrupted, open, type OpenedStore, PREFIX, record, sidsOf } from "./_redis_client.ts";

const MINUTE = 60_000;
const MOVE = { meta: {}, graceUntil: 0 };

if (await isThere("redis", "the moves of sessions in Redis", findRedis)) {
  /** Moves the session `a` to `b`, and loses the connection before the old record is replaced. */
  const failToMove = async ({ store, interrupt }: OpenedStore, principal?: string): Promise<void> => {
    const index = principal === undefined ? [] : [() => {}];
    interrupt.before = [() => {}, () => {}, ...index, loseConnection];
    const failed = store.moveRecord("a", "b", { ...MOVE, meta: { principal } });
    await assertRejects(() => failed, Error, "the connection is lost");
  };

  Deno.test("RedisStore treats the copy of a move that has not happened as missing", async () => {
    await using opened = await open();
    const { store, client } = opened;
    await store.createRecord("a", record(MINUTE));
    await failToMove(opened, "ada");
    // Nobody knows this id. But if the store listed it, revoking it would end nothing: the move may
    // be tried again.
    assertEquals(await sidsOf(store, "ada"), []);
    for (const end of [() => {}, () => store.moveRecord("a", "c", MOVE), () => store.delete("c")]) {
      const copy = await client.hGetAll(`${PREFIX}id:b`);
      await end();
      // Also if it could not be removed.
      if (await client.exists(`${PREFIX}id:b`) === 0) await client.hSet(`${PREFIX}id:b`, copy);
      assertEquals(await store.exist("b"), false);
      assertEquals(await store.get("b"), undefined);
      assertEquals(await store.getValue("b", "k"), undefined);
      assertEquals(await store.readRecord("b"), undefined);
      await assertRejects(() => store.setValue("b", "k", 2), SessionGoneError);
      await assertRejects(() => store.changeRecord("b", { meta: { principal: "eve" } }), SessionGoneError);
      await assertRejects(() => store.moveRecord("b", "d", MOVE), SessionGoneError);
      assertEquals(await sidsOf(store, "ada"), []);
    }
  });

  Deno.test("RedisStore on a cluster accepts a session whose copy is still marked as such", async () => {
    await using opened = await open();
    const { client, interrupt } = opened;
    const store = new RedisStore(asCluster(interrupted(client, interrupt)), { prefix: PREFIX });
    const isMarked = async (): Promise<boolean> => await client.hExists(`${PREFIX}id:b`, "copyOf") === 1;
    const uses: [string, () => Promise<unknown>][] = [
      ["setValue", () => store.setValue("b", "k", 2)],
      ["changeRecord", () => store.changeRecord("b", { meta: { seenAt: 1 } })],
      ["moveRecord", () => store.moveRecord("b", "c", MOVE)],
      ["delete", () => store.delete("b")],
    ];
    for (const [what, use] of uses) {
      await store.createRecord("a", record(MINUTE, { principal: "ada" }));
      // The epoch is read with each of the first three. Then the old id is removed from the index.
      interrupt.before = [...Array.from({ length: 8 }, () => () => {}), loseConnection];
      assertEquals(await store.moveRecord("a", "b", MOVE), true);
      assertEquals(await isMarked(), true);
      assertEquals(await store.exist("b"), true);
      assertEquals({ ...await store.get("b") }, { k: 1 });
      assertEquals(await sidsOf(store, "ada"), ["b"]);
      await use();
      assertEquals(await isMarked(), false, what);
      assertEquals(await store.exist("b"), what === "setValue" || what === "changeRecord", what);
      assertEquals(await store.exist("c"), what === "moveRecord", what);
      await store.clear();
    }
  });

  Deno.test("RedisStore.listSessions() finds a session that got the id of a copy which another process removes", async () => {
    await using winning = await open();
    await using losing = await open();
    const { store, client } = losing;
    await store.createRecord("a", record(MINUTE, { principal: "ada" }));
    const { promise: isListed, resolve: listed } = Promise.withResolvers<void>();
    let won: Promise<unknown> | undefined;
    losing.interrupt.before = [() => {}, () => {}, () => {}, async () => {
      // The scripts: begin, create the copy, add it to the index, replace, remove the old id from
      // the index, remove the other copy. A further one would be late.
      winning.interrupt.before = [...Array.from({ length: 6 }, () => () => {}), () => isListed];
      won = winning.store.moveRecord("a", "c", MOVE);
      await until("the copy is removed", async () => await client.exists(`${PREFIX}id:b`) === 0);
    }];
    try {
      await assertRejects(() => store.moveRecord("a", "b", MOVE), SessionGoneError);
      await store.moveRecord("c", "b", MOVE);
    } finally {
      listed();
      await won;
    }
    assertEquals(await sidsOf(store, "ada"), ["b"]);
  });

  const orders: [title: string, lateId: string][] = [
    ["lists a session once that it has read under two ids", "b"],
    ["finds a session whose new id it read as the copy of another record", "a"],
  ];
  for (const [title, lateId] of orders) {
    Deno.test(`RedisStore.listSessions() ${title}`, async () => {
      await using opened = await open();
      await using listing = await open();
      const { store } = opened;
      await store.createRecord("a", record(MINUTE, { principal: "ada" }));
      // The index has the id `b` from now on.
      await failToMove(opened, "ada");
      const read = async (keys: string[]): Promise<void> => {
        if (!keys[0]?.endsWith(`id:${lateId}`)) return;
        // The other id is read before this one.
        await new Promise((resolve) => setTimeout(resolve));
        await listing.client.ping();
        await store.moveRecord("a", "c", MOVE);
        await store.moveRecord("c", "b", MOVE);
      };
      listing.interrupt.before = [() => {}, read, read];
      assertEquals(await sidsOf(listing.store, "ada"), ["b"]);
    });
  }
}

function loseConnection(): never {
  throw new Error("the connection is lost");
}
