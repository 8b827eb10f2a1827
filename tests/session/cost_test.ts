/** The cost of a request in countable operations. Time would make the test unreliable. */
import { assertEquals } from "../helpers/assert.ts";
import { contextOf, merged, signUp, start } from "../helpers/request.ts";
import { probe } from "../helpers/stores.ts";
import { MemoryStore, type SecurityContext, type StoredRecord } from "../../mod.ts";

/** The operations of one request. */
interface Cost {
  /** The store calls. */
  store: string[];
  /** HMACs and new ids: each is encoded as base64url once. */
  hashes: number;
  /** How often the values of a record were copied. */
  copies: number;
  /** How many headers were appended to the response and its result. */
  headers: number;
  /** Whether `onPreRequest()` and `onPostRequest()` returned a promise. */
  waits: [before: boolean, after: boolean];
}

/** Counts the calls of a method or getter while a function runs. */
async function counted<T extends object>(target: T, name: keyof T & string, run: () => Promise<void>): Promise<number> {
  const real = Object.getOwnPropertyDescriptor(target, name) as PropertyDescriptor;
  let count = 0;
  const counting = (method: (...args: unknown[]) => unknown) =>
    function (this: unknown, ...args: unknown[]): unknown {
      count++;
      return method.apply(this, args);
    };
  const changed = real.get === undefined
    ? { value: counting(real.value) }
    : { get: counting(real.get) as () => unknown };
  Object.defineProperty(target, name, { ...real, ...changed });
  try {
    await run();
    return count;
  } finally {
    Object.defineProperty(target, name, real);
  }
}

const { store, probe: { calls } } = probe(new MemoryStore());
const middleware = start({}, store);
const valid = await signUp(middleware, { user: "ada", cart: ["apple"] });
const forged = `sid=${"A".repeat(24)}.${"A".repeat(43)}`;

// The prototype of the records of a MemoryStore.
const record: StoredRecord = await (async () => {
  const store = new MemoryStore();
  await store.create("a");
  return Object.getPrototypeOf(store.readRecord("a"));
})();

async function costOf(cookie: string | undefined, action: (context: SecurityContext) => unknown): Promise<Cost> {
  const waits: Cost["waits"] = [false, false];
  const request = async (): Promise<void> => {
    const context = contextOf({ cookie });
    const before = middleware.onPreRequest(context);
    waits[0] = before !== undefined;
    await before;
    await action(context);
    context.response.result = "ok";
    const after = middleware.onPostRequest(context);
    waits[1] = after !== undefined;
    await after;
    merged(context);
  };
  calls.length = 0;
  let copies = 0;
  let headers = 0;
  const hashes = await counted(Uint8Array.prototype, "toBase64", async () => {
    copies = await counted(record, "values", async () => {
      headers = await counted(Headers.prototype, "append", request);
    });
  });
  return { store: [...calls], hashes, copies, headers, waits };
}

const read = ({ security }: SecurityContext): Promise<unknown> => security.session.get("user");
const write = ({ security }: SecurityContext): Promise<void> => security.session.set("user", "ada");
const nothing = (): void => {};
const NONE: Cost = { store: [], hashes: 0, copies: 0, headers: 0, waits: [false, false] };

/** Those with a name first are the cases of the benchmarks. */
const CASES: [string, string | undefined, (context: SecurityContext) => unknown, Partial<Cost>][] = [
  ["read (a valid cookie, one read)", valid, read, { store: ["readRecord"], copies: 1 }],
  ["a valid cookie, ten reads", valid, async (context) => {
    for (let i = 0; i < 10; i++) await read(context);
  }, { store: ["readRecord"], copies: 1 }],
  ["readWrite (a valid cookie, a read and a write)", valid, async (context) => {
    await read(context);
    await write(context);
  }, { store: ["readRecord", "setValue"], copies: 1, waits: [false, true] }],
  ["a valid cookie, a read and an update", valid, async (context) => {
    await read(context);
    await context.security.session.update<string>("user", (user = "") => user);
  }, { store: ["readRecord", "changeRecord"], copies: 1, waits: [false, true] }],
  ["untouched (no cookie)", undefined, nothing, {}],
  // Two hashes: the signature and the id. Two headers: our Set-Cookie line on the context, and its
  // copy, which Alosaur appends to the response.
  ["newSession (no cookie, one write)", undefined, write, {
    store: ["createRecord"],
    hashes: 2,
    headers: 2,
    waits: [false, true],
  }],
  ["forged (a forged cookie, one read)", forged, read, { hashes: 1 }],
  ["knownUntouched (a valid cookie)", valid, nothing, { store: ["readRecord"] }],
];

for (const [name, cookie, action, expected] of CASES) {
  Deno.test(`SessionMiddleware keeps the cost of a request: ${name}`, async () => {
    await costOf(cookie, action); // The first request verifies the cookie. Later ones find it in the cache.
    assertEquals(await costOf(cookie, action), { ...NONE, ...expected });
  });
}
