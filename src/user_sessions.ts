/**
 * The sessions of a user.
 *
 * @module
 */
import type { SessionCount, SignedInUser } from "./admin_store.ts";
import type { Signer } from "./cookie/signer.ts";
import { deviceOf } from "./core/session_device.ts";
import { effectiveExpiry } from "./core/lifetime.ts";
import { checkPageLimit, checkPrincipal } from "./core/validate.ts";
import { SessionStoreError } from "./errors.ts";
import type { Reporter } from "./events.ts";
import type { ResolvedOptions } from "./options.ts";
import type { SessionRepository } from "./persistence/session_repository.ts";
import { ReasonError, WaitTimeoutError } from "./persistence/store_timeout.ts";
import type { ListedSession, SessionMeta } from "./session_store.ts";
import type { SessionDevice } from "./session_types.ts";
import type { MaybePromise } from "./util/maybe_promise.ts";
import { checkOptionNames } from "./util/option_names.ts";

/** One session of a user, as it may be shown to that user. */
export interface UserSession {
  /**
   * Identifies the session to its user: 22 characters of base64url, derived from the session id. It
   * cannot be reversed. `regenerate()` changes it together with the id. The property `session` of
   * an event is the same handle.
   */
  handle: string;
  /**
   * The name of the device or browser, as `session.setLabel()` or `regenerate()` has set it. Escape
   * it when you show it, because it usually comes from the client.
   */
  label?: string;
  /** The device that the session is bound to. Absent if it is not bound to one. */
  device?: SessionDevice;
  /** When the session was created. */
  createdAt: Date;
  /** When the user signed in. */
  signedInAt: Date;
  /**
   * When the session was last used, as far as the store knows. With a sliding limit (`rolling`,
   * `idleTimeout`), it may lag behind by up to a tenth of that limit. Without one, it is the time
   * at which the session got its current id.
   */
  lastSeenAt: Date;
  /** When the session expires, unless activity extends it. */
  expiresAt: Date;
  /** Whether this is the session whose id was passed as the option `current`. */
  current: boolean;
}

/** A page of the users who are signed in. */
export interface UserPage {
  /** The users, and how many live sessions each of them has. */
  users: SignedInUser[];
  /** Pass it as `after` to get the next page; `undefined` if this is the last one. */
  next: string | undefined;
}

/** Returns whether the new id of a listed session must not be ended. */
type KeepRule = (newSid: string, listed: ListedSession) => MaybePromise<boolean>;

/**
 * Lists and ends the sessions of a user, at `middleware.sessions`. `regenerate({ principal })`
 * binds a session to a user. Requires a store that can find them (`PrincipalStore`), as all stores
 * of this project do, except `UnstorageStore`.
 *
 * For administrators, it counts all sessions, lists the users who are signed in, and ends all
 * sessions (OWASP ASVS 5.0, 7.4.5). docs/administration.md says what that costs on each store.
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
    if (options.maxSessionsPerPrincipal !== undefined) {
      repository.requirePrincipals("limit", "apply `maxSessionsPerPrincipal`");
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
   * @throws {TypeError} if `principal` is not a well-formed string, or there is an unknown option
   * @throws {RangeError} if it is empty or has more than 512 characters
   * @throws {SessionNotSupportedError} if the store cannot find the sessions of a user
   * @throws {SessionStoreError} if the store failed
   */
  async list(principal: string, options: { current?: string } = {}): Promise<UserSession[]> {
    checkOptionNames("list", options, { current: true });
    const sessions = await this.#find("list", principal);
    const current = await this.#idsSince("list", options.current);
    return sessions.map(({ sid, expiresAt, meta }) => ({
      handle: this.#signer.handle(sid),
      ...(meta.label === undefined ? {} : { label: meta.label }),
      ...(meta.deviceKey === undefined ? {} : { device: deviceOf(meta) }),
      createdAt: new Date(meta.createdAt),
      signedInAt: new Date(meta.signedInAt ?? signInOrder(meta)),
      lastSeenAt: new Date(Math.max(meta.seenAt, meta.renewedAt)),
      expiresAt: new Date(expiresAt),
      current: current.has(sid),
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
   * Ends all sessions of a user, for example after a password change. If the store fails to remove
   * some of them, the others are ended nevertheless. Call it again until it succeeds, because other
   * processes still accept a session that was not removed.
   *
   * @param principal the user
   * @param options `except`: the id of a session to keep, which may have got another id since
   * @returns the number of sessions that were ended
   * @throws {SessionStoreError} if the store failed; if it failed to remove sessions, after all
   * removals were tried
   * @throws as {@linkcode UserSessions.list}
   */
  async revokeAll(principal: string, options: { except?: string } = {}): Promise<number> {
    checkOptionNames("revoke", options, { except: true });
    const sessions = await this.#find("revoke", principal);
    const kept = await this.#idsSince("revoke", options.except);
    const isKept = (sid: string): boolean => kept.has(sid);
    return await this.#endAll("revoke", principal, sessions.filter(({ sid }) => !isKept(sid)), isKept);
  }

  /**
   * Counts the live sessions of the store, and those that are bound to a user. Sessions that begin
   * or end during the call may or may not be counted. `storeTimeout` does not limit the call.
   *
   * Note: the store counts by the expiry in each record. If an option has become stricter since, it
   * also counts sessions that the middleware will refuse.
   *
   * @throws {SessionNotSupportedError} if the store cannot count its sessions (`CountingStore`)
   * @throws {SessionStoreError} if the store failed
   */
  count(): Promise<SessionCount> {
    return this.#report("count", this.#repository.administration.count());
  }

  /**
   * Lists the users with a live session, page by page, in an order of the store's own. The position
   * of a user in that order never changes.
   *
   * @param page `after`: the `next` of the page before, or any user; omit it for the first page.
   * `limit`: the greatest number of users, an integer from 1 to 1,000, by default 100
   * @throws {TypeError} if `after` is not a well-formed string, or `limit` is not a number
   * @throws {RangeError} if `after` is empty or has more than 512 characters, or `limit` is out of
   * range
   * @throws {SessionNotSupportedError} if the store has no ordered index of users
   * (`PrincipalListStore`). A `RedisStore` has none.
   * @throws {SessionStoreError} if the store failed
   */
  async users(page: { after?: string; limit?: number } = {}): Promise<UserPage> {
    const { after, limit = 100 } = page;
    if (after !== undefined) checkPrincipal("users", after);
    checkPageLimit("users", limit);
    // One more shows whether there is another page.
    const users = await this.#report("users", this.#repository.administration.users({ after, limit: limit + 1 }));
    return users.length > limit
      ? { users: users.slice(0, limit), next: users[limit - 1]?.principal }
      : { users, next: undefined };
  }

  /**
   * Ends all sessions of the store, including the caller's own and those of visitors who have not
   * signed in. From then on, every process refuses them: a write of a request under way rejects
   * with {@linkcode SessionGoneError}, and no session comes back under another id. On a store that
   * is not a `RecordStore`, that holds for this process; a session that another process is giving a
   * new id at the same time may survive. `storeTimeout` does not limit the call.
   *
   * Call this instead of the `clear()` of the store, which does not stop requests under way.
   *
   * @throws {SessionStoreError} if the store failed. Some or all sessions may have ended. Call it
   * again until it succeeds.
   */
  async revokeEverybody(): Promise<void> {
    await this.#report("revokeEverybody", this.#repository.administration.revokeEverybody());
    this.#reporter.emitEverybodyRevoked();
  }

  /**
   * If a user has more sessions than `maxSessionsPerPrincipal`, ends the oldest ones. A failure of
   * the store is reported but not thrown, because the user has already signed in and the next
   * sign-in tries again.
   *
   * All processes order the sessions in the same way, and none ends a session that comes after its
   * own. Each sign-in calls this after its record exists. If two are concurrent, at least one of
   * them therefore sees the other.
   *
   * @param current the session that has just signed in
   * @returns whether `current` is still live. If others have signed in at the same time, it may be
   * one of the oldest itself.
   */
  async limit(principal: string, current: string): Promise<boolean> {
    const { maxSessionsPerPrincipal } = this.#options;
    if (maxSessionsPerPrincipal === undefined) return true;
    let isLive = true;
    // Serialized, so that concurrent sign-ins do not all end the same sessions.
    await this.#repository.userMutex.run(principal, async () => {
      const sessions = await this.#find("limit", principal);
      const own = sessions.findIndex(({ sid }) => sid === current);
      if (own === -1) {
        // Another sign-in has ended it, or the store does not list it yet.
        const found = await this.#reporter.reportFailures("limit", current, this.#repository.read(current));
        isLive = typeof found === "object";
        return;
      }
      const excess = Math.max(0, sessions.length - maxSessionsPerPrincipal);
      isLive = own >= excess;
      const isKept: KeepRule = (sid, { meta }) => this.#hasSignedInAgain(sid, meta);
      // Those after its own see a later sign-in themselves, or are seen by it.
      await this.#endAll("limit", principal, sessions.slice(0, Math.min(excess, own + 1)), isKept);
    }).catch((error) => {
      if (error instanceof WaitTimeoutError) {
        const message = `Cannot limit the sessions of the user: ${error.message}`;
        this.#reporter.emitStoreFailed("limit", new SessionStoreError("limit", message), current);
      } else if (!(error instanceof SessionStoreError || error instanceof ReasonError)) throw error;
    });
    return isLive;
  }

  /** Passes a result of the store through, and reports its rejection if the store failed. */
  async #report<T>(operation: string, result: Promise<T>): Promise<T> {
    return await this.#reporter.reportFailures(operation, undefined, result);
  }

  /** Returns whether a listed session has got an id from a later sign-in. */
  async #hasSignedInAgain(sid: string, listed: SessionMeta): Promise<boolean> {
    const found = await this.#repository.read(sid);
    return typeof found === "object" && signInOrder(found.meta) !== signInOrder(listed);
  }

  /**
   * Returns an id and all ids that its session got later; nothing if there is no id.
   *
   * Call it after the sessions were listed. Then the result contains the id under which the session
   * was listed, whether it was renewed before, during or after the listing.
   */
  async #idsSince(operation: string, sid: string | undefined): Promise<ReadonlySet<string>> {
    if (sid === undefined) return new Set();
    return await this.#reporter.reportFailures(operation, sid, this.#repository.idsSince(sid));
  }

  /**
   * Returns the live sessions of a user, in the order of their sign-in and not of their creation.
   * The order is the same in all processes.
   */
  async #find(operation: string, principal: string): Promise<ListedSession[]> {
    checkPrincipal(operation, principal);
    const now = Date.now();
    const listed = await this.#reporter.reportFailures(operation, undefined, this.#repository.list(principal));
    return listed
      .map((session) => ({ ...session, expiresAt: effectiveExpiry(this.#options, session.expiresAt, session.meta) }))
      .filter(({ expiresAt }) => now < expiresAt)
      .sort((a, b) => signInOrder(a.meta) - signInOrder(b.meta) || (a.sid < b.sid ? -1 : 1));
  }

  /**
   * Ends several sessions, and returns how many were ended.
   *
   * @throws {SessionStoreError} if some could not be ended, after all were tried
   */
  async #endAll(
    operation: string,
    principal: string,
    sessions: readonly ListedSession[],
    isKept: KeepRule,
  ): Promise<number> {
    const results = await Promise.allSettled(
      sessions.map((session) => this.#end(operation, principal, session, isKept)),
    );
    const failures = results.filter((result) => result.status === "rejected");
    const [first] = failures;
    if (first === undefined) {
      return results.filter((result) => result.status === "fulfilled" && result.value).length;
    }
    const { reason } = first;
    throw new SessionStoreError(
      operation,
      `Cannot ${operation}: ${this.#repository.administration.storeName} failed, so ${failures.length} of ${results.length} sessions may ` +
        "not have ended; see `cause`, and call the method again",
      { cause: reason instanceof SessionStoreError && reason.cause !== undefined ? reason.cause : reason },
    );
  }

  /** Ends one session. Returns whether it was ended. */
  async #end(
    operation: string,
    principal: string,
    session: ListedSession,
    isKept: KeepRule = () => false,
  ): Promise<boolean> {
    const { sid } = session;
    const deletion = this.#repository.delete(sid, "revoked", (newSid) => isKept(newSid, session));
    const lastId = await this.#reporter.reportFailures(operation, sid, deletion);
    if (lastId === undefined) return false;
    this.#reporter.emitEnded("revoked", lastId, principal);
    return true;
  }
}

/** Returns the number by which all processes order the sessions of a user. */
function signInOrder({ boundAt, createdAt }: SessionMeta): number {
  return boundAt ?? createdAt;
}
