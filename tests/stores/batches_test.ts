import { Batches } from "../../src/stores/_batches.ts";
import { assertEquals, assertRejects } from "../helpers/assert.ts";
import { outcomeOf, quiet } from "../helpers/timers.ts";

/** A backend whose queries are answered by the test. */
class Backend {
  /** The keys of each query, in the order in which they were sent. */
  readonly sent: string[][] = [];
  readonly #queries: PromiseWithResolvers<(string | undefined | Promise<string>)[]>[] = [];
  readonly lookups = new Batches<string, string>((keys) => {
    this.sent.push(keys);
    const query = Promise.withResolvers<(string | undefined | Promise<string>)[]>();
    this.#queries.push(query);
    return query.promise;
  }, { queries: 2, items: 3 });

  /** Begins a lookup of each key. Its outcome is the row, or the message of the error. */
  get(...keys: string[]): Promise<unknown>[] {
    return keys.map((key) => this.lookups.get(key).catch((error) => error.message));
  }

  /** Answers a query. By default, the row of each key is the key in capitals. */
  async answer(n: number, rows?: (string | undefined | Promise<string>)[]): Promise<void> {
    this.#queries[n]?.resolve(rows ?? this.sent[n]?.map((key) => key.toUpperCase()) ?? []);
    await quiet();
  }

  async fail(n: number, message: string): Promise<void> {
    this.#queries[n]?.reject(new Error(message));
    await quiet();
  }

  /** Waits until that many queries were sent. The timer of the lookups keeps nothing alive. */
  async hasSent(count: number): Promise<void> {
    for (let i = 0; i < 5000 && this.sent.length < count; i++) await new Promise((resolve) => setTimeout(resolve, 1));
    assertEquals(this.sent.length, count);
  }
}

Deno.test("Batches sends two lookups at once, and those that wait meanwhile together", async () => {
  const backend = new Backend();
  const found = backend.get("a", "b", "c", "d");
  assertEquals(backend.sent, [["a"], ["b"]]);
  await backend.answer(1);
  assertEquals(backend.sent.slice(2), [["c", "d"]]);
  // It never joins a query that was sent.
  const later = backend.get("c");
  await backend.answer(2, [undefined, "D"]);
  assertEquals(backend.sent.slice(3), [["c"]]);
  await backend.answer(0);
  await backend.answer(3);
  assertEquals(await Promise.all([...found, ...later]), ["A", "B", undefined, "D", "C"]);
  assertEquals(backend.lookups.pending, 0);
});

Deno.test("Batches sends a key once that several wait for, and no more keys than the limit", async () => {
  const backend = new Backend();
  const found = backend.get("x", "y", "a", "b", "a", "c", "d", "a", "e");
  assertEquals(backend.lookups.pending, 9);
  await backend.answer(0);
  assertEquals(backend.sent.slice(2), [["a", "b", "c"]]);
  await backend.answer(1);
  assertEquals(backend.sent.slice(3), [["d", "e"]]);
  await backend.answer(2);
  await backend.answer(3);
  assertEquals((await Promise.all(found)).join(""), "XYABACDAE");
  assertEquals(backend.lookups.pending, 0);
});

Deno.test("Batches rejects the lookups of a failed query, or of a failed row, alone", async () => {
  const backend = new Backend();
  const found = backend.get("x", "y", "a", "b", "a", "c", "d");
  await backend.fail(0, "lost");
  assertEquals(backend.sent.slice(2), [["a", "b", "c"]]);
  await backend.fail(2, "lost too");
  assertEquals(backend.sent.slice(3), [["d"]]);
  const later = backend.get("e", "f");
  await backend.answer(1);
  await backend.answer(3);
  await backend.answer(4, [Promise.reject(new Error("damaged")), Promise.resolve("F")]);
  assertEquals(await Promise.all(found), ["lost", "Y", "lost too", "lost too", "lost too", "lost too", "D"]);
  assertEquals(await Promise.all(later), ["damaged", "F"]);
  assertEquals(backend.lookups.pending, 0);
});

Deno.test("Batches does not wait for queries that take long", async () => {
  const backend = new Backend();
  const [hung, hungToo, ...found] = backend.get("x", "y", "a", "b", "c", "d");
  await backend.hasSent(4);
  assertEquals(backend.sent.slice(2), [["a", "b", "c"], ["d"]]);
  await backend.answer(2);
  await backend.answer(3);
  assertEquals(await Promise.all(found), ["A", "B", "C", "D"]);
  // The two queries no longer count.
  const next = backend.get("e", "f", "g");
  assertEquals(backend.sent.slice(4), [["e"], ["f"]]);
  // Their results arrive, but release no lookup that waits for others.
  await backend.answer(0);
  assertEquals(await hung, "X");
  await backend.hasSent(7);
  for (const n of [4, 5, 6]) await backend.answer(n);
  assertEquals(await Promise.all(next), ["E", "F", "G"]);
  assertEquals(await outcomeOf(hungToo ?? Promise.resolve()), "pending");
  assertEquals(backend.lookups.pending, 1);
});

Deno.test("Batches.flush() sends everything that waits", () => {
  const backend = new Backend();
  backend.get("x", "y", "a", "b", "c", "d", "e", "f", "g");
  backend.lookups.flush();
  assertEquals(backend.sent.slice(2), [["a", "b", "c"], ["d", "e", "f"], ["g"]]);
  backend.lookups.flush();
  assertEquals(backend.sent.length, 5);
});

Deno.test("Batches rejects if the backend throws", async () => {
  const lookups = new Batches<string, string>(() => {
    throw new TypeError("no backend");
  }, { queries: 2, items: 3 });
  for (let i = 0; i < 5; i++) await assertRejects(() => lookups.get("a"), TypeError, "no backend");
  assertEquals(lookups.pending, 0);
});
