import { MemoryStore } from "../../mod.ts";
import { SessionRepository } from "../../src/persistence/session_repository.ts";
import type { RecordAnswer } from "../../src/session_store.ts";
import { assertEquals } from "../helpers/assert.ts";

/** A store whose records are traces: each id leads to the next one. */
class TraceStore extends MemoryStore {
  readonly #traces: ReadonlyMap<string, string>;
  readonly deleted: string[] = [];

  constructor(traces: Iterable<[string, string]>) {
    super();
    this.#traces = new Map(traces);
  }

  override readRecord(sid: string): RecordAnswer {
    const movedTo = this.#traces.get(sid);
    return movedTo === undefined ? super.readRecord(sid) : { movedTo, graceUntil: 0 };
  }

  override delete(sid: string): Promise<void> {
    // More often than in an endless loop, which must not hang the test.
    if (this.deleted.push(sid) > 100) throw new Error("delete() does not end");
    return super.delete(sid);
  }
}

Deno.test("SessionRepository.delete() ends if the traces of a session form a circle", async () => {
  const circles: [string, string][][] = [[["a", "a"]], [["a", "b"], ["b", "c"], ["c", "b"]]];
  for (const traces of circles) {
    const store = new TraceStore(traces);
    assertEquals(await new SessionRepository(store, undefined).delete("a", "destroyed"), traces.at(-1)?.[0]);
    assertEquals(store.deleted, traces.map(([sid]) => sid));
  }
});

Deno.test("SessionRepository.delete() ends a session that has got many ids since", async () => {
  const store = new TraceStore(Array.from({ length: 40 }, (_, i) => [`id ${i}`, `id ${i + 1}`]));
  await store.create("id 40");
  assertEquals(await new SessionRepository(store, undefined).delete("id 0", "destroyed"), "id 40");
  assertEquals(await store.exist("id 40"), false);
});
