/**
 * The objects that a middleware shares with all of its sessions.
 *
 * @module
 */
import type { CookiePolicy } from "../cookie/cookie_policy.ts";
import type { Signer } from "../cookie/signer.ts";
import type { Reporter } from "../events.ts";
import type { ResolvedOptions } from "../options.ts";
import type { SessionRepository } from "../persistence/session_repository.ts";
import type { SessionStore } from "../session_store.ts";

/** Created once by each middleware. */
export interface SessionServices {
  readonly options: ResolvedOptions;
  readonly signer: Signer;
  readonly store: SessionStore;
  readonly repository: SessionRepository;
  readonly reporter: Reporter;
  readonly cookies: CookiePolicy;
  /**
   * If a user has more sessions than `maxSessionsPerPrincipal`, ends the oldest ones except `id`.
   */
  enforceSessionLimit(principal: string, id: string): Promise<void>;
}
