/** Stores that need no server, and the writes of a session. */
import { createStorage } from "npm:unstorage@1.17.6";
import type { Session, SessionStore } from "../../mod.ts";
import { SqliteStore } from "../../src/stores/sqlite_store.ts";
import { UnstorageStore } from "../../src/stores/unstorage_store.ts";
import { STORES } from "./stores.ts";

/** The stores of `STORES`, one that keeps its records in a database, and one on another library. */
export const LOCAL_STORES: readonly [name: string, make: () => Promise<SessionStore>][] = [
  ...STORES.map(([name, make]): [string, () => Promise<SessionStore>] => [name, () => Promise.resolve(make())]),
  ["SqliteStore", async () => {
    const store = new SqliteStore(":memory:");
    await store.init();
    return store;
  }],
  ["UnstorageStore", () => Promise.resolve(new UnstorageStore(createStorage()))],
];

/** The methods of a session that wait for its earlier writes, by the names in their errors. */
export const WRITES: readonly [name: string, write: (session: Session) => Promise<unknown>][] = [
  ["set", (session) => session.set("x", 1)],
  ["delete", (session) => session.delete("x")],
  ["update", (session) => session.update("x", () => 1)],
  ["take", (session) => session.take("x")],
  ["clear", (session) => session.clear()],
  ["touch", (session) => session.touch()],
  ["reload", (session) => session.reload()],
  ["regenerate", (session) => session.regenerate()],
  ["regenerate", (session) => session.regenerate({ principal: "42" })],
  ["csrfToken", (session) => session.csrfToken()],
  ["destroy", (session) => session.destroy()],
];
