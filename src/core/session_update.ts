/**
 * Replaces one value of a session with the result of a function that receives the stored value.
 *
 * @module
 */
import type { ResponseCookie } from "../cookie/response_cookie.ts";
import { runUpdater } from "../persistence/running_update.ts";
import type { ValueUpdater } from "../persistence/store_adapter.ts";
import { cloneValue } from "../util/clone_value.ts";
import type { MaybePromise } from "../util/maybe_promise.ts";
import type { LoadedSession } from "./loaded_session.ts";
import type { SessionServices } from "./session_services.ts";
import type { WriteQueue } from "./write_queue.ts";

/** One call of `Session.update()` or `Session.take()`. */
export interface SessionUpdate {
  readonly operation: "update" | "take";
  readonly key: string;
  readonly updater: ValueUpdater;
  /** Selects the result from the values before and after the update. */
  readonly select: (before: unknown, after: unknown) => unknown;
  /** The version of the record that this request has read; `undefined` if it is not known. */
  readonly version: number | undefined;
}

/**
 * Returns the function that runs an update in the queue of the request.
 *
 * @param create creates the record of a new session first
 */
export function updateSession(
  { repository }: SessionServices,
  cookie: ResponseCookie,
  session: LoadedSession,
  writes: WriteQueue,
  create: () => MaybePromise<void>,
  { operation, key, updater, select, version }: SessionUpdate,
): () => Promise<unknown> {
  const cached = version === undefined ? undefined : { version, value: session.values?.get(key) };
  session.pendingUpdates++;
  const { revision } = writes;
  return async () => {
    try {
      await create();
      let before: unknown;
      let after: unknown;
      const observed: ValueUpdater = async (value) =>
        after = await runUpdater(operation, writes, session.id, key, updater, before = value);
      await session.run(operation, cookie, () => repository.update(session, operation, key, observed, cached));
      // If a later write has started, `values` already contains it, and this result must not
      // overwrite it. The next read then asks the store.
      if (writes.revision !== revision) session.values = undefined;
      else session.setValue(key, after);
      return cloneValue(key, select(before, after));
    } finally {
      session.pendingUpdates--;
    }
  };
}
