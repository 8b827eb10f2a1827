/**
 * The operations that concern all sessions of a store.
 *
 * @module
 */
import type { SessionCount, SignedInUser } from "../admin_store.ts";
import { nameOf } from "../util/describe_value.ts";
import type { SharedStore } from "./shared_store.ts";
import { unsupportedError, withStoreErrors } from "./store_errors.ts";

/** Counts and ends all sessions, and lists the users. Every method fails with a `SessionError`. */
export class Administration {
  readonly #shared: SharedStore;

  constructor(shared: SharedStore) {
    this.#shared = shared;
  }

  /** The name of the store, for messages. */
  get storeName(): string {
    return nameOf(this.#shared.store);
  }

  /** Counts the live sessions. */
  count(): Promise<SessionCount> {
    return withStoreErrors(this.#shared.store, "count", () => {
      const { store, capabilities: { counting } } = this.#shared;
      if (counting === undefined) throw unsupportedError("count", "count the sessions", store, "countSessions");
      return counting.countSessions();
    });
  }

  /** Lists the users who are signed in. */
  users(page: { after?: string; limit: number }): Promise<SignedInUser[]> {
    return withStoreErrors(this.#shared.store, "users", () => {
      const { store, capabilities: { principalLists } } = this.#shared;
      if (principalLists === undefined) throw unsupportedError("users", "list the users", store, "listPrincipals");
      return principalLists.listPrincipals(page);
    });
  }

  /** Ends all sessions. */
  revokeEverybody(): Promise<void> {
    return withStoreErrors(this.#shared.store, "revokeEverybody", async () => {
      const { clears, adapter, signals } = this.#shared;
      try {
        await clears.run(async () => {
          await adapter.clear();
          signals.endAll("revoked");
        });
      } catch (error) {
        // It may have ended some sessions.
        signals.lookUpAll();
        throw error;
      }
    });
  }
}
