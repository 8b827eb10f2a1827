/**
 * The sessions of a user.
 *
 * @module
 */
import { SessionNotSupportedError, SessionStoreError } from "./errors.ts";
import type { Reporter } from "./events.ts";
import { computeExpiry } from "./core/lifetime.ts";
import type { ResolvedOptions } from "./options.ts";
import { checkPrincipal } from "./session.ts";
import type { SessionMeta } from "./session_store.ts";
import type { Signer } from "./cookie/signer.ts";
import type { Records } from "./persistence/session_repository.ts";

/** One session of a user, as it may be shown to that user. */
export interface UserSession {
  /**
   * Names the session towards its user: 22 characters of base64url, derived from its id, which cannot be had from it. It changes with the
   * id: after a `regenerate()` the session has another.
   */
  handle: string;
  /** When the session began. */
  createdAt: Date;
  /** When it was last used, as far as that was written: with a sliding limit at least once per tenth of it, else when it got its id. */
  lastSeenAt: Date;
  /** Whether it is the session that `current` names. */
  current: boolean;
}

/**
 * Lists and ends the sessions of a user, at `middleware.sessions`. A session belongs to the user whom `regenerate({ principal })` has
 * bound it to. Needs a store that finds them (`PrincipalStore`, as every store of this project is).
 */
export class UserSessions {
  readonly #settings: ResolvedOptions;
  readonly #signer: Signer;
  readonly #records: Records;
  readonly #reporter: Reporter;

  /** Note: `SessionMiddleware` makes it. */
  constructor(settings: ResolvedOptions, signer: Signer, records: Records, reporter: Reporter) {
    this.#settings = settings;
    this.#signer = signer;
    this.#records = records;
    this.#reporter = reporter;
  }

  /**
   * Lists a user's live sessions, the one that signed in first at the top.
   *
   * @param principal the user
   * @param options `current`: the id of the session that asks, to be marked
   * @throws {TypeError} if `principal` is not a well-formed string
   * @throws {RangeError} if it is empty
   * @throws {SessionNotSupportedError} if the store does not find the sessions of a user
   * @throws {SessionStoreError} if the store failed
   */
  async list(principal: string, options: { current?: string } = {}): Promise<UserSession[]> {
    const current = await this.#present("list", options.current);
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
   * @param principal the user; a handle of another user's session ends nothing
   * @param handle names the session, as {@linkcode UserSessions.list} told it
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
   * Ends all sessions of a user, as after a change of the password.
   *
   * @param principal the user
   * @param options `except`: the id of a session to be kept
   * @returns how many were ended
   * @throws as {@linkcode UserSessions.list}
   */
  async revokeAll(principal: string, options: { except?: string } = {}): Promise<number> {
    const except = await this.#present("revoke", options.except);
    const sessions = (await this.#find("revoke", principal)).filter(({ sid }) => sid !== except);
    await Promise.all(sessions.map((session) => this.#end("revoke", principal, session)));
    return sessions.length;
  }

  /**
   * Ends the oldest sessions of a user who has more than the options allow; `current` is kept. A store that fails is reported and no more: the
   * user is signed in by now, and the next sign-in tries again.
   */
  async limit(principal: string, current: string): Promise<void> {
    const { maxSessionsPerPrincipal } = this.#settings;
    if (maxSessionsPerPrincipal === undefined) return;
    // In turn: two sign-ins at once must not each end the other.
    await this.#records.turnsOfUsers.run(principal, async () => {
      const sessions = await this.#find("limit", principal);
      // One that signed in after this one may have ended it already.
      if (!sessions.some(({ sid }) => sid === current)) return;
      const others = sessions.filter(({ sid }) => sid !== current);
      const tooMany = others.slice(0, Math.max(0, sessions.length - maxSessionsPerPrincipal));
      await Promise.all(tooMany.map((session) => this.#end("limit", principal, session)));
    }).catch((error) => {
      if (!(error instanceof SessionStoreError)) throw error;
    });
  }

  /** The id that a session has now, where another request has given it a new one. */
  async #present(operation: string, sid: string | undefined): Promise<string | undefined> {
    if (sid === undefined) return undefined;
    const found = await this.#reporter.reportFailures(operation, sid, this.#records.read(sid));
    return typeof found === "object" ? found.id : sid;
  }

  async #find(operation: string, principal: string): Promise<{ sid: string; meta: SessionMeta }[]> {
    checkPrincipal(operation, principal);
    const now = Date.now();
    return (await this.#reporter.reportFailures(operation, undefined, this.#records.list(principal)))
      .filter(({ meta }) => now < computeExpiry(this.#settings, meta))
      .sort((a, b) => boundAt(a) - boundAt(b));
  }

  async #end(operation: string, principal: string, { sid, meta }: { sid: string; meta: SessionMeta }): Promise<void> {
    const expiresAt = computeExpiry(this.#settings, meta);
    const last = await this.#reporter.reportFailures(operation, sid, this.#records.delete(sid, expiresAt));
    this.#reporter.emitEnded("revoked", last, principal);
  }
}

/** The oldest session of a user is the one that has been signed in for longest, however long it was there before. */
function boundAt({ meta }: { meta: SessionMeta }): number {
  return meta.boundAt ?? meta.createdAt;
}

/**
 * Checks that a store can do what the options ask.
 *
 * @throws {SessionNotSupportedError} if it does not find the sessions of a user, and `maxSessionsPerPrincipal` is given
 */
export function checkUsers(settings: ResolvedOptions, records: Records): void {
  if (settings.maxSessionsPerPrincipal === undefined || records.findsUsers) return;
  throw new SessionNotSupportedError(
    "limit",
    "Cannot start sessions: `maxSessionsPerPrincipal` needs a store that finds the sessions of a user",
  );
}
