/** What the types promise, checked by the compiler: the functions here are never called. */
import type { SecurityContext, Session, SessionInterface, SessionStore } from "../mod.ts";
import type { MemoryStore } from "../mod.ts";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Equal<A, B>): void => {};

interface Data {
  cart: string[];
  user: { name: string };
  nickname?: string;
}

/** The seed's spelling. */
async function untyped(context: SecurityContext): Promise<void> {
  const { session } = context.security;
  session.set("testValue", 1);
  session.get("testValue", 1);
  const number = await session.get<number>("n");
  same<typeof number, number>(true);
  const fallback = await session.get("n", 0);
  same<typeof fallback, number>(true);
  const unknown = await session.get("n");
  unknown.whatever();
  await session.update("n", (n = 0) => n + 1);
  const counted = await session.update<number>("n", (n = 0) => n + 1);
  same<typeof counted, number>(true);
  const taken = await session.take<string>("x");
  same<typeof taken, string | undefined>(true);
  await session.store.exist(session.sessionId);
  const bool: boolean = await session.has("x");
  await session.delete(String(bool));
  // @ts-expect-error -- a key is a string
  await session.set(1, 1);
}

async function typed({ security: { session } }: SecurityContext<unknown, Data>): Promise<void> {
  const cart = await session.get("cart");
  same<typeof cart, string[] | undefined>(true);
  const sure = await session.get("cart", []);
  same<typeof sure, string[]>(true);
  const nickname = await session.get("nickname", "nobody");
  same<typeof nickname, string>(true);
  const updated = await session.update("cart", (cart) => [...(cart ?? []), "apple"]);
  same<typeof updated, string[] | undefined>(true);
  const taken = await session.take("user");
  same<typeof taken, { name: string } | undefined>(true);
  // @ts-expect-error -- another type
  await session.update("cart", () => 1);
  // @ts-expect-error -- no such key
  await session.take("basket");
  await session.set("user", { name: "ada" });
  await session.set("user", undefined);
  await session.delete("user");
  await session.has("cart");
  const entries = await session.entries();
  same<typeof entries, Partial<Data>>(true);
  // @ts-expect-error -- no such key
  await session.get("basket");
  // @ts-expect-error -- no such key
  await session.set("basket", []);
  // @ts-expect-error -- another type
  await session.set("cart", 1);
  // @ts-expect-error -- another type
  await session.get("cart", 1);
  // @ts-expect-error -- the type of a declared key is not to be claimed
  await session.get<number>("cart");
  // @ts-expect-error -- no such key
  await session.has("basket");
  // @ts-expect-error -- no such key
  await session.delete("basket");
}

Deno.test("types: a session is typed by its data, and open without", () => {
  const checked: unknown[] = [untyped, typed];
  const store = (memory: MemoryStore): SessionStore => memory;
  const plain = (session: Session): SessionInterface => session;
  const withData = (session: Session<Data>): SessionInterface<Data> => session;
  if (checked.includes(store) || checked.includes(plain) || checked.includes(withData)) throw new Error("unreachable");
});
