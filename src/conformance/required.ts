/**
 * What every store has to do with sessions.
 *
 * @module
 */
import type { SessionStore } from "../session_store.ts";
import { newSessionId } from "../cookie/session_id.ts";
import { isPrincipalStore, isRecordStore } from "../session_store.ts";
import { type Check, dispose, isStore, note, type OpenBench } from "./bench.ts";
import { expectEqual, expectRejects } from "./expect.ts";
import { META, recordOf } from "./record_steps.ts";
import { createWith, expectMissing, expectSilent, GONE, settle, valuesOf } from "./steps.ts";

/** Checks of `init()`. */
export function opening(bench: OpenBench): Check[] {
  return [{
    name: "init() opens the store, also called several times at once, and again later",
    run: async () => {
      await using made = new AsyncDisposableStack();
      const stores: SessionStore[] = [];
      for (let n = bench.other === undefined ? 1 : 3; n > 0; n--) {
        stores.push(await bench.bench.make(made));
      }
      await Promise.all(stores.flatMap((store) => [store.init(), store.init()]));
      for (const store of stores) {
        const sid = await createWith(store, { key: "value" });
        await store.init();
        expectEqual(await store.getValue(sid, "key"), "value", "getValue() after one more init()");
      }
    },
  }, {
    name: "init() leaves the sessions that are there",
    run: async () => {
      const sid = await createWith(bench.store, { key: "value" });
      await Promise.all([bench.store.init(), bench.reader.init()]);
      expectEqual(await bench.store.getValue(sid, "key"), "value", "getValue() after init()");
    },
  }];
}

/** Checks of sessions that are not there. */
export function missing({ store, reader }: OpenBench): Check[] {
  const cases: [string, () => Promise<string>][] = [
    ["that never was", () => Promise.resolve(newSessionId())],
    ["that was deleted", async () => {
      const sid = await createWith(store, { key: "value" });
      await store.delete(sid);
      return sid;
    }],
    ["that clear() removed", async () => {
      const sid = await createWith(store, { key: "value" });
      await store.clear();
      return sid;
    }],
  ];
  return cases.flatMap(([what, make]): Check[] => [{
    name: `exist() is false, get() and getValue() are undefined for a session ${what}`,
    run: async () => await expectMissing(reader, await make(), `a session ${what}`),
  }, {
    name: `delete() does nothing for a session ${what}`,
    run: async () => {
      const sid = await make();
      await reader.delete(sid);
      await reader.delete(sid);
      await expectMissing(reader, sid, `a session ${what}, after delete()`);
    },
  }, {
    name: `setValue() rejects for a session ${what}, and creates nothing`,
    run: async () => {
      const sid = await make();
      await expectRejects(`setValue() of a session ${what}`, () => reader.setValue(sid, "key", 1), GONE);
      await expectRejects(
        `setValue() with undefined of a session ${what}`,
        () => reader.setValue(sid, "key", undefined),
        GONE,
      );
      await expectMissing(reader, sid, `a session ${what}, after setValue() was refused`);
    },
  }]);
}

/** Checks of `create()`, `delete()` and `clear()`. */
export function sessions(bench: OpenBench): Check[] {
  const checks = bench.pairs(isStore).flatMap(({ where, a, b }): Check[] => [{
    name: `create() makes an empty record, ${where}`,
    run: async () => {
      const sid = await createWith(a);
      expectEqual(await b.exist(sid), true, "exist() after create()");
      expectEqual(await valuesOf(b, sid), new Map(), "get() after create()");
      expectEqual(await b.getValue(sid, "key"), undefined, "getValue() after create()");
    },
  }, {
    name: `create() refuses an id in use, and leaves the record there as it is, ${where}`,
    run: async () => {
      const sid = await createWith(a, { key: "value" });
      await expectRejects("create() of an id in use", () => b.create(sid), "it would empty somebody's session");
      expectEqual(await valuesOf(a, sid), new Map([["key", "value"]]), "get() after a refused create()");
    },
  }, {
    name: `delete() removes a session with all of its values, and no other, ${where}`,
    run: async () => {
      const sid = await createWith(a, { key: "value", other: 1 });
      const neighbour = await createWith(a, { key: "its own" });
      await b.delete(sid);
      await expectMissing(a, sid, "a deleted session");
      expectEqual(await a.getValue(neighbour, "key"), "its own", "getValue() of another session than the deleted one");
      await a.create(sid);
      expectEqual(await valuesOf(b, sid), new Map(), "get() of a session made under the id of a deleted one");
    },
  }, {
    name: `clear() removes every session with all of its values, ${where}`,
    run: async () => {
      const sids = await Promise.all([1, 2, 3].map((n) => createWith(a, { n })));
      // More than a backend hands out at once.
      sids.push(...await Promise.all(Array.from({ length: 250 }, () => createWith(a))));
      await b.clear();
      for (const sid of sids) await expectMissing(a, sid, "a session after clear()");
      const [first = newSessionId()] = sids;
      await a.create(first);
      expectEqual(await valuesOf(b, first), new Map(), "get() of a session made under an id from before clear()");
    },
  }, {
    name: `ids that differ in a little are different sessions, ${where}`,
    run: async () => {
      const stem = newSessionId().slice(0, -2);
      const sids = ["aa", "aA", "Aa", "AA", "__", "--", "_-", "00"].map((end) => stem + end);
      for (const [n, id] of sids.entries()) {
        expectEqual(await b.exist(id), false, "exist() of an id that differs from others in a little");
        await a.create(id);
        await a.setValue(id, "n", n);
      }
      for (const [n, id] of sids.entries()) {
        expectEqual(await b.getValue(id, "n"), n, "getValue() of an id that differs from others in a little");
        await b.delete(id);
        await expectMissing(a, id, "a deleted session whose id differs from others in a little");
      }
    },
  }]);
  return [...checks, noSecrets(bench), foreignSessions(bench)];
}

function noSecrets({ store }: OpenBench): Check {
  return {
    name: "no error tells the session id or a value: whoever has the id is the visitor",
    run: async () => {
      const sid = await createWith(store);
      const taken = await createWith(store);
      const gone = newSessionId();
      const value = `a secret value ${newSessionId()}`;
      const errors = await settle<unknown>([
        () => store.create(sid),
        () => store.setValue(gone, "key", value),
        () => store.setValue(sid, "key", { value, refused: () => value }),
        ...(isRecordStore(store)
          ? [
            () => store.changeRecord(gone, { set: new Map([["key", value]]) }),
            () => store.moveRecord(gone, newSessionId(), { meta: {}, graceUntil: 0 }),
            () => store.moveRecord(sid, taken, { meta: {}, graceUntil: 0 }),
          ]
          : []),
      ]);
      for (const error of errors) {
        if (error.status === "fulfilled") continue;
        expectSilent(error.reason, {
          "a session id": sid,
          "the id of a missing session": gone,
          "a new id": taken,
          "a value": value,
        });
      }
    },
  };
}

function foreignSessions({ store, options: { neighbour } }: OpenBench): Check {
  if (neighbour === undefined) {
    return note("not shown that clear() leaves what else lives in the backend: the option `neighbour` was not given");
  }
  return {
    name: "the sessions of another store in the same backend are not found, and clear() leaves them",
    run: async () => {
      const other = await neighbour();
      try {
        await other.init();
        const [sid, another] = [newSessionId(), newSessionId()];
        await other.create(sid);
        await other.setValue(sid, "key", "value");
        await expectMissing(store, sid, "a session of another store in the same backend");
        await store.create(sid);
        const lists = isPrincipalStore(store) && isPrincipalStore(other);
        if (lists) {
          await other.createRecord(another, recordOf({}, { meta: { ...META, principal: "a user" } }));
          expectEqual(
            await store.listSessions("a user"),
            [],
            "listSessions() of a user who has sessions elsewhere alone",
          );
        }
        await store.clear();
        expectEqual(await other.getValue(sid, "key"), "value", "getValue() of another store, after this one's clear()");
        if (lists) {
          const { length } = await other.listSessions("a user");
          expectEqual(length, 1, "how many sessions another store lists, after this one's clear()");
        }
        await other.delete(sid);
        await other.delete(another);
      } finally {
        await dispose(other);
      }
    },
  };
}
