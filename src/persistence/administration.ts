/**
 * The operations that concern all sessions of a store.
 *
 * @module
 */
import type { SessionCount, SignedInUser } from "../admin_store.ts";
import { SessionNotSupportedError } from "../errors.ts";
import type { SharedStore } from "./shared_store.ts";
import { withStoreErrors } from "./store_errors.ts";

/** Counts and ends all sessions, and lists the users. Every method fails with a `SessionError`. */
export class Administration {
  readonly #shared: SharedStore;

  constructor(shared: SharedStore) {
    this.#shared = shared;
  }

  /** Counts the live sessions. */
  count(): Promise<SessionCount> {
    return withStoreErrors("count", () => {
      const { counting } = this.#shared.capabilities;
      return supported(counting, "count", "count its sessions").countSessions();
    });
  }

  /** Lists the users who are signed in. */
  users(page: { after?: string; limit: number }): Promise<SignedInUser[]> {
    return withStoreErrors("users", () => {
      const { principalLists } = this.#shared.capabilities;
      return supported(principalLists, "users", "list the users without reading all sessions").listPrincipals(page);
    });
  }

  /** Ends all sessions. */
  revokeEverybody(): Promise<void> {
    return withStoreErrors("revokeEverybody", async () => {
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

/**
 * Returns a store that has a capability.
 *
 * @throws {SessionNotSupportedError} if it is `undefined`, because the store lacks the capability
 */
export function supported<S>(store: S | undefined, operation: string, capability: string): S {
  if (store !== undefined) return store;
  throw new SessionNotSupportedError(operation, `Cannot ${operation}: this store does not ${capability}`);
}
