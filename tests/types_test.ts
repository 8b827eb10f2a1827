/**
 * The types that this add-on promises.
 *
 * Each case is a file of its own that `deno check` reads in a child process: it is accepted, or
 * refused with one error of the compiler. A promise that is broken in either direction fails its
 * own case.
 */
import { assertEquals } from "./helpers/assert.ts";
import { ROOT } from "./helpers/files.ts";

/**
 * Declarations that every case may use. `same<A, B>(true)` is accepted if A and B are the same
 * type.
 */
const PRELUDE = `
import type {
  MemoryStore,
  SecurityContext,
  Session,
  SessionInterface,
  SessionMiddleware,
  SessionStore,
} from "@alosaur/session";
import { sessionCookie } from "@alosaur/session/testing";
type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
declare function same<A, B>(equal: Equal<A, B>): void;
interface Data {
  cart: string[];
  user: { name: string };
  nickname?: string;
}
declare const open: SecurityContext["security"]["session"];
declare const typed: SecurityContext<unknown, Data>["security"]["session"];
declare const memory: MemoryStore;
declare const middleware: SessionMiddleware;
declare const context: SecurityContext<unknown, Data>;
export type Used = [Session, SessionInterface, SessionStore];
`;

const ACCEPTED: [string, string][] = [
  ["same() compares types", "same<string, string>(true); same<string, number>(false); same<any, string>(false);"],
  ["a session without a data type takes any key and value", `await open.set("testValue", { any: 1 });`],
  ["get() returns its type argument", `const n = await open.get<number>("n"); same<typeof n, number>(true);`],
  ["get() returns the type of its fallback", `const n = await open.get("n", 0); same<typeof n, number>(true);`],
  ["get() returns any without a type argument", `const n = await open.get("n"); same<typeof n, any>(true);`],
  ["update() infers the value from a default", `await open.update("n", (n = 0) => n + 1);`],
  [
    "update() returns its type argument",
    `const n = await open.update<number>("n", (n = 0) => n + 1);
      same<typeof n, number>(true);`,
  ],
  [
    "take() may return undefined",
    `const x = await open.take<string>("x"); same<typeof x, string | undefined>(true);`,
  ],
  ["has() returns a boolean", `const x = await open.has("x"); same<typeof x, boolean>(true);`],
  [
    "the store is a SessionStore",
    "same<typeof open.store, SessionStore>(true); same<typeof open.sessionId, string>(true);",
  ],
  [
    "get() of a declared key may return undefined",
    `const cart = await typed.get("cart");
      same<typeof cart, string[] | undefined>(true);`,
  ],
  [
    "get() of a declared key with a fallback",
    `const cart = await typed.get("cart", []); same<typeof cart, string[]>(true);`,
  ],
  [
    "get() of an optional key with a fallback",
    `const nickname = await typed.get("nickname", "nobody");
      same<typeof nickname, string>(true);`,
  ],
  [
    "update() of a declared key",
    `const cart = await typed.update("cart", (cart) => [...(cart ?? []), "apple"]);
      same<typeof cart, string[] | undefined>(true);`,
  ],
  [
    "take() of a declared key",
    `const user = await typed.take("user");
      same<typeof user, { name: string } | undefined>(true);`,
  ],
  [
    "set() of a declared key, and its removal",
    `await typed.set("user", { name: "ada" }); await typed.set("user", undefined);`,
  ],
  ["set() of several values", `await open.set({ a: 1, b: "x" });`],
  [
    "set() of several declared keys",
    `await typed.set({ cart: ["apple"], nickname: undefined }); await typed.set({});`,
  ],
  [
    "regenerate() with declared values",
    `await typed.regenerate({ principal: "42", maxAge: null, label: "Firefox", set: { user: { name: "ada" } } });`,
  ],
  ["delete() and has() of a declared key", `await typed.delete("user"); await typed.has("cart");`],
  [
    "entries() returns what is declared, each key optional",
    `const entries = await typed.entries();
      same<typeof entries, Partial<Data>>(true);`,
  ],
  [
    "sessionOf() is open without a type argument, and typed with one",
    `const session = middleware.sessionOf(context); same<typeof session, Session>(true);
      const cart = await middleware.sessionOf<Data>(context).get("cart", []); same<typeof cart, string[]>(true);`,
  ],
  [
    "sessionCookie() takes declared data, and any data without a type",
    `await sessionCookie<Data>(middleware, { values: { cart: ["apple"] } });
      await sessionCookie(middleware, { values: { any: 1 } });`,
  ],
  ["a MemoryStore is a SessionStore", "const store: SessionStore = memory; void store;"],
  [
    "a Session is a SessionInterface",
    `declare const session: Session; const plain: SessionInterface = session; void plain;
      const data: SessionInterface<Data> = typed; void data;`,
  ],
];

const REFUSED: [string, string][] = [
  ["same() of two types", "same<string, number>(true);"],
  ["a key that is no string", "await open.set(1, 1);"],
  ["update() of a declared key to another type", `await typed.update("cart", () => 1);`],
  ["take() of no declared key", `await typed.take("basket");`],
  ["get() of no declared key", `await typed.get("basket");`],
  ["set() of no declared key", `await typed.set("basket", []);`],
  ["set() of a declared key to another type", `await typed.set("cart", 1);`],
  ["set() of several values with one of no declared key", `await typed.set({ cart: [], basket: [] });`],
  ["set() of several values with one of another type", `await typed.set({ cart: 1 });`],
  ["regenerate() with a value of another type", `await typed.regenerate({ set: { cart: 1 } });`],
  ["regenerate() with an option that does not exist", `await open.regenerate({ maxage: 1 });`],
  ["a fallback of another type", `await typed.get("cart", 1);`],
  ["another type for a declared key", `await typed.get<number>("cart");`],
  ["set() of no declared key of sessionOf()", `await middleware.sessionOf<Data>(context).set("basket", []);`],
  ["sessionCookie() with another type for a key", `await sessionCookie<Data>(middleware, { values: { cart: 1 } });`],
  ["has() of no declared key", `await typed.has("basket");`],
  ["delete() of no declared key", `await typed.delete("basket");`],
  [
    "a session as a SessionInterface of other data",
    "const other: SessionInterface<{ a: 1 }> = typed; void other;",
  ],
  ["an object that is no store as a SessionStore", "const store: SessionStore = {}; void store;"],
];

/**
 * The compiler's codes for a type that is not assignable; the last two for an unknown property. A
 * case that is refused for another reason proves nothing.
 */
const NOT_ASSIGNABLE = ["TS2322", "TS2344", "TS2345", "TS2740", "TS2769", "TS2353", "TS2561"];

/**
 * Checks every case in one run of the compiler; returns the codes of the errors of each, by title.
 */
async function check(cases: readonly [title: string, code: string][]): Promise<Map<string, string[]>> {
  const directory = await Deno.makeTempDir({ prefix: "types_" });
  try {
    const files = cases.map((_, i) => `${directory}/case_${i}.ts`);
    await Promise.all(cases.map(([, code], i) => Deno.writeTextFile(files[i] ?? "", PRELUDE + code)));
    const { stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["check", "--quiet", "--config", new URL("deno.json", ROOT).pathname, ...files],
      env: { NO_COLOR: "1" },
    }).output();
    const found = new Map<string, string[]>(cases.map(([title]) => [title, []]));
    // The compiler indents related information, such as the declaration of the function, after its
    // code.
    for (const error of new TextDecoder().decode(stderr).split(/^(?=TS\d+ \[ERROR\]: \S)/m)) {
      const [, code] = /^(TS\d+)/.exec(error) ?? [];
      const [, index] = /at file:\S*\/case_(\d+)\.ts:/.exec(error) ?? [];
      const [title] = cases[Number(index)] ?? [];
      if (code !== undefined && title === undefined) throw new Error(`An error outside of the cases: ${error}`);
      if (code !== undefined && title !== undefined) found.get(title)?.push(code);
    }
    return found;
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("a session is typed by its data, and open without", async (t) => {
  const found = await check([...ACCEPTED, ...REFUSED]);
  for (const [title] of ACCEPTED) {
    await t.step(`accepted: ${title}`, () => assertEquals(found.get(title), []));
  }
  for (const [title] of REFUSED) {
    await t.step(`refused: ${title}`, () => {
      const errors = found.get(title) ?? [];
      assertEquals([errors.length, errors.filter((code) => !NOT_ASSIGNABLE.includes(code))], [1, []]);
    });
  }
});
