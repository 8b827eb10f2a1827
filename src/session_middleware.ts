/**
 * The middleware: from a request's cookie to its session, and from the session to the response.
 *
 * @module
 */
import type { HttpContext, MiddlewareTarget } from "../deps.ts";
import { SessionCookie } from "./cookie/session_cookie.ts";
import { SessionGoneError, SessionStoreError } from "./errors.ts";
import { Reporter } from "./events.ts";
import { activityInterval, effectiveExpiry } from "./core/lifetime.ts";
import { type ResolvedOptions, resolveOptions, type SessionOptions } from "./options.ts";
import { Security } from "./security_context.ts";
import {
  beginSession,
  isCookiePending,
  makeSession,
  makeUnavailable,
  noteActivity,
  sendCookie,
  type Session,
  type SessionHost,
  writesOf,
} from "./session.ts";
import type { SessionStore } from "./session_store.ts";
import { generateSecret } from "./secrets.ts";
import { newSessionId } from "./cookie/session_id.ts";
import { Signer, type VerifiedId } from "./cookie/signer.ts";
import { checkUsers, UserSessions } from "./user_sessions.ts";
import type { MaybePromise } from "./util/maybe_promise.ts";
import { CookieWarnings } from "./cookie/cookie_warnings.ts";
import { LoadedSession } from "./core/loaded_session.ts";
import { type Ended, type Found, type Records, recordsOf } from "./persistence/session_repository.ts";
import type { CookiePolicy } from "./cookie/response_cookie.ts";

/** For how long requests under way find a session by the id that it had before its renewal, in seconds. */
const RENEWAL_GRACE = 30;

/** What a context has of ours. */
interface Holder {
  security?: { session?: unknown };
  [given: symbol]: Session | undefined;
}

/**
 * Gives every request that it sees a session, at `context.security.session`.
 *
 * @example
 * ```ts
 * import { assertEquals } from "jsr:@std/assert@1.0.13";
 * import { MemoryStore, SecurityContext, SessionMiddleware } from "@alosaur/session";
 *
 * const store = new MemoryStore();
 * await store.init();
 * const middleware = new SessionMiddleware(store, { secret: crypto.getRandomValues(new Uint8Array(32)) });
 *
 * const context = new SecurityContext(new Request("http://localhost/"));
 * await middleware.onPreRequest(context);
 * await context.security.session.set("visits", 1);
 * await middleware.onPostRequest(context);
 *
 * assertEquals(context.response.headers.getSetCookie().length, 1);
 * ```
 */
export class SessionMiddleware implements MiddlewareTarget {
  readonly #settings: ResolvedOptions;
  readonly #signer: Signer;
  readonly #cookie: SessionCookie;
  readonly #records: Records;
  readonly #host: SessionHost;
  readonly #reporter: Reporter;
  readonly #activityInterval: number;
  readonly #cookieWarnings: CookieWarnings;
  /** Where a context has its session. */
  readonly #place: symbol;

  /** Lists and ends the sessions of a user. */
  readonly sessions: UserSessions;

  /**
   * Makes a secret for {@linkcode SessionOptions.secret}: 32 random bytes in 43 characters. Keep it in the environment.
   *
   * @returns another one at each call
   */
  static generateSecret(): string {
    return generateSecret();
  }

  /**
   * Checks the store and the options; asks the store nothing.
   *
   * @param store keeps the sessions; call its `init()` before the first request
   * @param options only `secret` is needed
   * @throws {TypeError} if the store lacks one of the eight methods, an option is of the wrong shape, or two contradict each other
   * @throws {RangeError} if an option is out of range
   * @throws {SessionNotSupportedError} if an option needs what the store cannot do
   */
  constructor(store: SessionStore, options: SessionOptions) {
    const settings = resolveOptions(options);
    const signer = new Signer(settings.name, settings.keys);
    const records = recordsOf(store, settings.storeTimeout);
    this.#settings = settings;
    this.#signer = signer;
    this.#cookie = new SessionCookie(settings);
    this.#records = records;
    this.#place = records.placeOf(settings.name);
    const reporter = new Reporter(settings.onEvent, (id) => signer.eventHash(id));
    checkUsers(settings, records);
    this.#reporter = reporter;
    this.#activityInterval = activityInterval(settings);
    this.#cookieWarnings = new CookieWarnings(settings);
    this.sessions = new UserSessions(settings, signer, records, reporter);
    const cookies: CookiePolicy = {
      cookie: this.#cookie,
      isSecure: (context) => this.#isSecure(context),
      onCookieSet: (context, line) =>
        this.#cookieWarnings.checkSetCookie(context, line, this.#isSecure(context), this.#isHttps(context)),
    };
    this.#host = { settings, signer, store, records, reporter, users: this.sessions, cookies };
  }

  /**
   * Finds the session of a request. Alosaur calls it before the action.
   *
   * @param context the request; its `security` is used where it has one
   * @throws {SessionStoreError} if the cookie is validly signed and the store failed to look its session up; not with
   * `onStoreError: "anonymous"`
   */
  onPreRequest(context: HttpContext): void | Promise<void> {
    // Registered for two patterns that both match, or another with the same cookie: the first has done it.
    if (this.#sessionOf(context) !== undefined) return;
    const header = context.request.headers.get("cookie");
    const found = header === null ? undefined : this.#find(context, this.#cookie.read(header));
    if (!(found instanceof Promise)) return this.#attach(context, found);
    return found.then(
      (found) => this.#attach(context, found),
      (error) => {
        const outage = this.#tolerated(error);
        makeUnavailable(this.#makeSession(context, undefined), outage);
      },
    );
  }

  /**
   * Finishes the writes that nobody awaited. Alosaur calls it after the action.
   *
   * @param context the request
   * @throws {SessionError} if a write failed and the application did not hear of it
   */
  onPostRequest(context: HttpContext): void | Promise<void> {
    const session = this.#sessionOf(context);
    if (session === undefined) return;
    const threw = context.response.error !== undefined;
    if (threw && isCookiePending(session)) {
      this.#cookieWarnings.checkLostCookie(context, () => !isCookiePending(session));
    }
    const writes = writesOf(session);
    if (writes === undefined) return;
    // Where the action has thrown, Alosaur would answer with our error in place of the application's own.
    return threw ? writes.idle() : writes.settle();
  }

  /** Finds the session that the client presents, with another id where that is due. */
  #find(context: HttpContext, cookies: readonly string[]): MaybePromise<LoadedSession | undefined> {
    const found = this.#lookUpAll(cookies);
    return found instanceof Promise
      ? found.then((found) => this.#renewIfDue(context, found))
      : this.#renewIfDue(context, found);
  }

  /** Verifies cookies and looks up what is validly signed: the first session that lives counts. */
  #lookUpAll(cookies: readonly string[]): MaybePromise<LoadedSession | undefined> {
    const [first] = cookies;
    // Nearly every request presents one, whose answer may be there at once.
    if (first !== undefined && cookies.length === 1) {
      const id = this.#verify(first);
      return id && this.#lookUp(id);
    }
    // By their ids: two secrets can have signed the same one.
    const verified = new Map<string, VerifiedId>();
    for (const cookie of cookies) {
      const id = this.#verify(cookie);
      if (id !== undefined && !verified.has(id.id)) verified.set(id.id, id);
    }
    if (verified.size === 0) return undefined;
    return Promise.all(Array.from(verified.values(), (id) => this.#lookUp(id))).then((found) => {
      const [first, ...others] = found.filter((live) => live !== undefined);
      for (const { id } of others) this.#reporter.emitRefused("ambiguous", id);
      return first;
    });
  }

  /** Verifies what the client presented. Whatever that is, nothing is thrown and nothing asked of the store. */
  #verify(cookie: string): VerifiedId | undefined {
    const verified = this.#signer.verify(cookie);
    if (typeof verified !== "string") return verified;
    this.#reporter.emitRefused(verified);
    return undefined;
  }

  /** Looks a session up. */
  #lookUp(verified: VerifiedId): MaybePromise<LoadedSession | undefined> {
    const found = this.#reporter.reportFailures("get", verified.id, this.#records.read(verified.id));
    return found instanceof Promise
      ? found.then((found) => this.#judge(verified, found))
      : this.#judge(verified, found);
  }

  #judge({ id, needsResign }: VerifiedId, found: Found | Ended): LoadedSession | undefined {
    if (typeof found === "string") return this.#noteEnd(id, found);
    const { record } = found;
    const { meta } = record;
    const expiresAt = effectiveExpiry(this.#settings, record.expiresAt, meta);
    if (Date.now() >= expiresAt) return this.#noteEnd(id, "expired");
    return new LoadedSession(found.id, expiresAt, meta, record, found.graced, needsResign);
  }

  #noteEnd(id: string, ended: Ended): undefined {
    if (ended === "expired") this.#reporter.emitEnded(ended, id);
    else this.#reporter.emitRefused(ended, id);
  }

  #renewIfDue(context: HttpContext, live: LoadedSession | undefined): MaybePromise<LoadedSession | undefined> {
    // The answer to an upgrade, such as to a WebSocket, carries no cookie: the client would be left with the old id.
    if (live === undefined || !this.#isDueForRenewal(live) || context.request.headers.has("upgrade")) return live;
    return this.#renew(live).then((live) => live !== undefined && Date.now() < live.expiresAt ? live : undefined);
  }

  #isDueForRenewal({ meta, graced }: LoadedSession): boolean {
    const { renewalTimeout } = this.#settings;
    return renewalTimeout !== undefined && !graced && Date.now() - meta.renewedAt >= renewalTimeout * 1000;
  }

  /** Gives a session a new id, with a grace for the requests that are under way with the old one. */
  async #renew(live: LoadedSession): Promise<LoadedSession | undefined> {
    const { id: old, meta } = live;
    const id = newSessionId();
    const now = Date.now();
    // Only what changes: another request may be unbinding the session from its user.
    const changed = { renewedAt: now, sentAt: now, csrfSeed: meta.csrfSeed ?? old };
    try {
      await this.#records.renew(old, id, { meta: changed, graceUntil: now + RENEWAL_GRACE * 1000 });
    } catch (error) {
      if (error instanceof SessionStoreError) {
        // It was found: what could not be renewed goes on with the id that it has.
        this.#reporter.emitStoreFailed("regenerate", error, old);
        return live;
      }
      if (!(error instanceof SessionGoneError)) throw error;
      // Another request of this session has renewed it at the same time, or ended it.
      return await this.#lookUp(live);
    }
    this.#reporter.emitRenewed(id, old, meta.principal);
    live.id = id;
    live.meta = { ...meta, ...changed };
    // Its cookie has to be written anew, as one that an older secret has signed.
    live.needsResign = true;
    return live;
  }

  /** Puts the session on the context, and takes the steps that it needs before the action. */
  #attach(context: HttpContext, live: LoadedSession | undefined): void | Promise<void> {
    const session = this.#makeSession(context, live);
    if (live !== undefined && live.needsResign) sendCookie(session);
    return this.#firstStep(session, live)?.catch((error) => makeUnavailable(session, this.#tolerated(error)));
  }

  #firstStep(session: Session, live: LoadedSession | undefined): Promise<void> | undefined {
    if (live === undefined) return this.#beginsAtOnce() ? beginSession(session) : undefined;
    // Awaited: the longer life that the cookie promises is the session's before the action runs.
    return this.#isActivityDue(live) ? noteActivity(session) : undefined;
  }

  /** Returns an error where a request goes on without its session in spite of it, and throws every other. */
  #tolerated(error: unknown): SessionStoreError {
    if (this.#settings.onStoreError === "anonymous" && error instanceof SessionStoreError) return error;
    throw error;
  }

  #makeSession(context: HttpContext, live: LoadedSession | undefined): Session {
    const session = makeSession(this.#host, context, live);
    const holder = context as unknown as Holder;
    holder[this.#place] = session;
    // Alosaur's own context has a `security` already; a bare one (no provider, or one that Alosaur ignores) has none.
    (holder.security ??= new Security(context)).session = session;
    return session;
  }

  #sessionOf(context: HttpContext): Session | undefined {
    return (context as unknown as Holder)[this.#place];
  }

  /** Tells whether the activity of a request is to be written; with `rolling` its cookie is sent again too. */
  #isActivityDue({ meta: { seenAt, sentAt, createdAt }, graced }: LoadedSession): boolean {
    if (this.#activityInterval === Infinity) return false;
    const since = this.#settings.rolling && !graced ? Math.min(seenAt, sentAt ?? createdAt) : seenAt;
    return Date.now() - since >= this.#activityInterval;
  }

  /** Tells whether a visitor gets a session before anything is written. After the moment in `expires` no session can begin. */
  #beginsAtOnce(): boolean {
    const { saveUninitialized, maxAge, expires } = this.#settings;
    return saveUninitialized && (maxAge !== undefined || expires === undefined || Date.now() < expires);
  }

  /** Tells whether the cookie of this request is for https alone. */
  #isSecure(context: HttpContext): boolean {
    return this.#settings.secure ?? this.#isHttps(context);
  }

  /** Tells whether a request came over https, as far as that can be believed. */
  #isHttps(context: HttpContext): boolean {
    if (context.request.url.startsWith("https:")) return true;
    if (!this.#settings.trustProxy) return false;
    // The first is what the client used, the others are the hops between proxies.
    const [forwarded = ""] = (context.request.headers.get("x-forwarded-proto") ?? "").split(",");
    return forwarded.trim().toLowerCase() === "https";
  }
}
