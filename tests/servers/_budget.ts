/** Checks the round trips of a request (README, "Stores") on the wire. */
import { assertEquals } from "../helpers/assert.ts";
import { signUp, start, visit } from "../helpers/request.ts";
import type { SecurityContext, SessionStore } from "../../mod.ts";

/**
 * Checks that each kind of request takes the round trips of the budget.
 *
 * @param t the context of the test
 * @param store the store, connected through the proxy
 * @param proxy counts the round trips
 * @param each the round trips of the client for one operation of the store
 */
export async function keepsToBudget(
  t: Deno.TestContext,
  store: SessionStore,
  proxy: { readonly trips: number },
  each = 1,
): Promise<void> {
  const middleware = start({}, store);
  const cookie = await signUp(middleware);

  const read = async ({ security: { session } }: SecurityContext): Promise<void> => {
    assertEquals(await session.get("user"), "ada");
    await session.get("other");
    await session.has("user");
    await session.entries();
  };
  const write = ({ security: { session } }: SecurityContext): Promise<void> => session.set("k", 1);
  const forged = `sid=${"A".repeat(24)}.${"A".repeat(43)}`;
  const requests: [string, number, string | undefined, (context: SecurityContext) => Promise<void>][] = [
    ["no cookie, untouched", 0, undefined, async () => {}],
    ["forged cookie, untouched", 0, forged, async () => {}],
    ["bad cookie, untouched", 0, "sid=%", async () => {}],
    ["valid cookie, untouched", 1, cookie, async () => {}],
    ["valid cookie, any number of reads", 1, cookie, read],
    ["valid cookie, one write after reads", 2, cookie, async (context) => {
      await read(context);
      await write(context);
    }],
    ["new visitor, one write", 1, undefined, write],
  ];
  // A first pass, so that the server has cached every script or statement.
  for (const [, , cookie, action] of requests) await visit(middleware, { cookie }, action);
  for (const [what, budget, cookie, action] of requests) {
    const trips = budget * each;
    await t.step(`${what}: ${trips}`, async () => {
      const before = proxy.trips;
      await visit(middleware, { cookie }, action);
      assertEquals(proxy.trips - before, trips);
    });
  }
}
