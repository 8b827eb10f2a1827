/**
 * Follows a session through its new ids.
 *
 * @module
 */
import type { SessionTrace } from "../session_store.ts";
import type { AdapterRecord, StoreAdapter } from "./store_adapter.ts";

/**
 * Yields an id with its answer, and each id that its session got later. Follows every move, even if
 * the grace period of an id has passed. It ends if traces form a circle.
 */
export async function* followMoves(
  adapter: () => Pick<StoreAdapter, "read">,
  sid: string,
): AsyncGenerator<[id: string, answer: AdapterRecord | SessionTrace | undefined]> {
  const ids = new Set([sid]);
  // The loop also visits the ids that it adds.
  for (const id of ids) {
    const answer = await adapter().read(id);
    yield [id, answer];
    if (answer !== undefined && "movedTo" in answer) ids.add(answer.movedTo);
  }
}
