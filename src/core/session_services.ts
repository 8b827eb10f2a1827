/**
 * The objects that a middleware shares with all of its sessions.
 *
 * @module
 */
import type { CookiePolicy } from "../cookie/cookie_policy.ts";
import type { ResponseCookie } from "../cookie/response_cookie.ts";
import type { Signer } from "../cookie/signer.ts";
import type { Reporter } from "../events.ts";
import type { ResolvedOptions } from "../options.ts";
import type { SignalPolicy } from "../persistence/held_session.ts";
import type { SessionRepository } from "../persistence/session_repository.ts";
import type { SessionStore } from "../session_store.ts";
import type { LoadedSession } from "./loaded_session.ts";

/** Created once by each middleware. */
export interface SessionServices {
  readonly options: ResolvedOptions;
  readonly signer: Signer;
  readonly store: SessionStore;
  readonly repository: SessionRepository;
  readonly reporter: Reporter;
  readonly cookies: CookiePolicy;
  readonly signalPolicy: SignalPolicy;
  /**
   * If a user has more sessions than `maxSessionsPerPrincipal`, ends the oldest ones. If later
   * sign-ins have ended `session` itself, marks it as gone.
   */
  enforceSessionLimit(principal: string, session: LoadedSession, cookie: ResponseCookie): Promise<void>;
}
