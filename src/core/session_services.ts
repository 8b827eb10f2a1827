/**
 * What the middleware shares with all of its sessions.
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
  /** Ends the oldest sessions of a user who has more than the options allow, but not `id`. */
  enforceSessionLimit(principal: string, id: string): Promise<void>;
}
