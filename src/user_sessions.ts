/**
 * The sessions of a user.
 *
 * @module
 */
import type { Signer } from "./cookie/signer.ts";
import { computeExpiry } from "./core/lifetime.ts";
import { checkPrincipal } from "./core/validate.ts";
import { SessionNotSupportedError, SessionStoreError } from "./errors.ts";
import type { Reporter } from "./events.ts";
import type { ResolvedOptions } from "./options.ts";
import type { SessionRepository } from "./persistence/session_repository.ts";
import type { SessionMeta } from "./session_store.ts";

/** One session of a user, as it may be shown to that user. */
export interface UserSession {
  /**
   * Identifies the session to its user: 22 characters of base64url, derived from the session id. It
   * cannot be reversed. `regenerate()` changes it together with the id.
   */
  handle: string;
  /** When the session was created. */
  createdAt: Date;
  /**
   * When the session was last used, as far as the store knows. With a sliding limit (`rolling`,
   * `idleTimeout`), it may lag behind by up to a tenth of that limit. Without one, it is the time
   * at which the session got its current id.
   */
  lastSeenAt: Date;
  /** Whether this is the session whose id was passed as the option `current`. */
  current: boolean;
}

/** A session as a store lists it. */
interface ListedSession {
  readonly sid: string;
  readonly meta: SessionMeta;
}

/**
 * Lists and ends the sessions of a user, at `middleware.sessions`. `regenerate({ principal })`
 * binds a session to a user. Requires a store that can find them (`PrincipalStore`). Every store of
 * this project can.
 */
export class UserSessions {
  readonly #options: ResolvedOptions;
  readonly #signer: Signer;
  readonly #repository: SessionRepository;
  readonly #reporter: Reporter;

  /**
   * Note: `SessionMiddleware` creates it.
   *
   * @throws {SessionNotSupportedError} if `maxSessionsPerPrincipal` is given and the store cannot
   * find the sessions of a user
   */
  constructor(options: ResolvedOptions, signer: Signer, repository: SessionRepository, reporter: Reporter) {
    if (options.maxSessionsPerPrincipal !== undefined && !repository.supportsPrincipals) {
      throw new SessionNotSupportedError(
        "limit",
        "Cannot start sessions: `maxSessionsPerPrincipal` needs a store that finds the sessions of a user",
      );
    }
    this.#options = options;
    this.#signer = signer;
    this.#repository = repository;
    this.#reporter = reporter;
  }

  /**
   * Lists a user's live sessions in the order of their sign-in.
   *
   * @param principal the user
   * @param options `current`: the id of the caller's own session, which is then marked as current
   * @throws {TypeError} if `principal` is not a well-formed string
   * @throws {RangeError} if it is empty
   * @throws {SessionNotSupportedError} if the store cannot find the sessions of a user
   * @throws {SessionStoreError} if the store failed
   */
  async list(principal: string, options: { current?: string } = {}): Promise<UserSession[]> {
    const current = await this.#currentId("list", options.current);
    return (await this.#find("list", principal)).map(({ sid, meta }) => ({
      handle: this.#signer.handle(sid),
      createdAt: new Date(meta.createdAt),
      lastSeenAt: new Date(Math.max(meta.seenAt, meta.renewedAt)),
      current: sid === current,
    }));
  }

  /**
   * Ends one session of a user.
   *
   * @param principal the user; a handle of another user's session is ignored
   * @param handle the session, as {@linkcode UserSessions.list} returned it
   * @returns whether there was such a session
   * @throws as {@linkcode UserSessions.list}
   */
  async revoke(principal: string, handle: string): Promise<boolean> {
    for (const session of await this.#find("revoke", principal)) {
      if (this.#signer.handle(session.sid) !== handle) continue;
      await this.#end("revoke", principal, session);
      return true;
    }
    return false;
  }

  /**
   * Ends all sessions of a user, for example after a password change.
   *
   * @param principal the user
   * @param options `except`: the id of a session to keep
   * @returns the number of sessions that were ended
   * @throws as {@linkcode UserSessions.list}
   */
  async revokeAll(principal: string, options: { except?: string } = {}): Promise<number> {
    const except = await this.#currentId("revoke", options.except);
    const sessions = (await this.#find("revoke", principal)).filter(({ sid }) => sid !== except);
    await Promise.all(sessions.map((session) => this.#end("revoke", principal, session)));
    return sessions.length;
  }

  /**
   * If a user has more sessions than `maxSessionsPerPrincipal`, ends the oldest ones except
   * `current`. A failure of the store is reported but not thrown, because the user has already
   * signed in and the next sign-in tries again.
   */
  async limit(principal: string, current: string): Promise<void> {
    const { maxSessionsPerPrincipal } = this.#options;
    if (maxSessionsPerPrincipal === undefined) return;
    // Serialized, because two concurrent sign-ins must not end each other's session.
    await this.#repository.userMutex.run(principal, async () => {
      const sessions = await this.#find("limit", principal);
      // A later sign-in may already have ended this session.
      if (!sessions.some(({ sid }) => sid === current)) return;
      const others = sessions.filter(({ sid }) => sid !== current);
      const excess = others.slice(0, Math.max(0, sessions.length - maxSessionsPerPrincipal));
      await Promise.all(excess.map((session) => this.#end("limit", principal, session)));
    }).catch((error) => {
      if (!(error instanceof SessionStoreError)) throw error;
    });
  }

  /** Returns the current id of a session, which another request may have renewed. */
  async #currentId(operation: string, sid: string | undefined): Promise<string | undefined> {
    if (sid === undefined) return undefined;
    const found = await this.#reporter.reportFailures(operation, sid, this.#repository.read(sid));
    return typeof found === "object" ? found.id : sid;
  }

  /**
   * Returns the live sessions of a user, in the order of their sign-in and not of their creation.
   */
  async #find(operation: string, principal: string): Promise<ListedSession[]> {
    checkPrincipal(operation, principal);
    const now = Date.now();
    return (await this.#reporter.reportFailures(operation, undefined, this.#repository.list(principal)))
      .filter(({ meta }) => now < computeExpiry(this.#options, meta))
      .sort((a, b) => signedInAt(a) - signedInAt(b));
  }

  async #end(operation: string, principal: string, { sid, meta }: ListedSession): Promise<void> {
    const expiresAt = computeExpiry(this.#options, meta);
    const lastId = await this.#reporter.reportFailures(operation, sid, this.#repository.delete(sid, expiresAt));
    this.#reporter.emitEnded("revoked", lastId, principal);
  }
}

function signedInAt({ meta }: ListedSession): number {
  return meta.boundAt ?? meta.createdAt;
}
