/**
 * The middleware: from a request's cookie to its session, and from the session to the response.
 *
 * @module
 */
import type { HttpContext, MiddlewareTarget } from "../deps.ts";
import { SessionCookie } from "./cookie.ts";
import { SessionGoneError, SessionStoreError } from "./errors.ts";
import { Reporter } from "./events.ts";
import { activityInterval, deadlineOf, readOptions, type SessionOptions, type Settings } from "./options.ts";
import { Security } from "./security_context.ts";
import {
  beginSession,
  makeSession,
  makeUnavailable,
  noteActivity,
  recordIdOf,
  sendCookie,
  type Session,
  type SessionHost,
} from "./session.ts";
import type { SessionMeta, SessionStore } from "./session_store.ts";
import { generateSecret, newSessionId, Signer, type VerifiedId } from "./signature.ts";
import { checkUsers, UserSessions } from "./user_sessions.ts";
import { type Ended, type Found, type Records, recordsOf } from "./_records.ts";
import { Diagnosis } from "./_diagnosis.ts";
import { type CookieRequest, ResponseCookie } from "./_response_cookie.ts";
import { WriteQueue } from "./_write_queue.ts";

/** For how long requests under way find a session by the id that it had before its renewal, in seconds. */
const RENEWAL_GRACE = 30;

/** A session that a request's cookie names, and that lives. */
interface Presented extends Found {
  /** Whether its cookie is to be signed anew. */
  outdated: boolean;
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
  readonly #settings: Settings;
  readonly #signer: Signer;
  readonly #cookie: SessionCookie;
  readonly #records: Records;
  readonly #host: SessionHost;
  readonly #reporter: Reporter;
  readonly #activityInterval: number;
  readonly #diagnosis: Diagnosis;
  readonly #requests = new WeakMap<HttpContext, { writes: WriteQueue; cookie: ResponseCookie }>();
  readonly #cookieRequest: CookieRequest = {
    isSecure: (context) => this.#isSecure(context),
    sent: (context, line) => this.#diagnosis.sent(context, line, this.#isSecure(context), this.#isHttps(context)),
  };

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
    const settings = readOptions(options);
    const signer = new Signer(settings.name, settings.keys);
    const records = recordsOf(store, settings.storeTimeout);
    this.#settings = settings;
    this.#signer = signer;
    this.#cookie = new SessionCookie(settings);
    this.#records = records;
    const reporter = new Reporter(settings.onEvent, (id) => signer.hash(id));
    checkUsers(settings, records);
    this.#reporter = reporter;
    this.#activityInterval = activityInterval(settings);
    this.#diagnosis = new Diagnosis(settings);
    this.sessions = new UserSessions(settings, signer, records, reporter);
    this.#host = { settings, signer, store, records, reporter, users: this.sessions };
  }

  /**
   * Finds the session of a request. Alosaur calls it before the action.
   *
   * @param context the request; its `security` is used where it has one
   * @throws {SessionStoreError} if the cookie is validly signed and the store failed to look its session up; not with
   * `onStoreError: "anonymous"`
   */
  onPreRequest(context: HttpContext): void | Promise<void> {
    // Registered for two patterns that both match: the first has done it.
    if (this.#requests.has(context)) return;
    const header = context.request.headers.get("cookie");
    const verified = header === null ? [] : this.#verify(this.#cookie.read(header));
    if (verified.length === 0) return this.#attach(context, undefined);
    return this.#find(context, verified).then(
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
    const request = this.#requests.get(context);
    if (request === undefined) return;
    const { writes, cookie } = request;
    const threw = context.response.error !== undefined;
    if (threw && cookie.isPending) this.#diagnosis.threw(context, () => !cookie.isPending);
    if (writes.isSettled) return;
    // Where the action has thrown, Alosaur would answer with our error in place of the application's own.
    return threw ? writes.idle() : writes.settle();
  }

  /** Verifies what the client presented. Whatever that is, nothing is thrown and nothing asked of the store. */
  #verify(values: string[]): VerifiedId[] {
    const verified: VerifiedId[] = [];
    for (const value of values) {
      const id = this.#signer.verify(value);
      if (typeof id === "string") this.#reporter.refused(id);
      // Two secrets can have signed the same id.
      else if (!verified.some((other) => other.id === id.id)) verified.push(id);
    }
    return verified;
  }

  /** Looks verified ids up: the first that lives counts. */
  async #find(context: HttpContext, verified: VerifiedId[]): Promise<Presented | undefined> {
    const live: Presented[] = [];
    for (const { id, outdated, found } of await Promise.all(verified.map((id) => this.#lookUp(id)))) {
      if (typeof found === "object") live.push({ ...found, outdated });
      else if (found === "expired") this.#reporter.ended("expired", id);
      else this.#reporter.refused(found, id);
    }
    for (const { id } of live.slice(1)) this.#reporter.refused("ambiguous", id);
    const [first] = live;
    // The answer to an upgrade, such as to a WebSocket, carries no cookie: the client would be left with the old id.
    const renews = first !== undefined && !context.request.headers.has("upgrade") && this.#isDueForRenewal(first);
    const found = renews ? await this.#renew(first) : first;
    // Its time may be over while it was looked up and renewed.
    return found !== undefined && Date.now() < found.record.expiresAt ? found : undefined;
  }

  async #lookUp(verified: VerifiedId): Promise<VerifiedId & { found: Found | Ended }> {
    const { id } = verified;
    const found = await this.#reporter.watch("get", id, () => this.#records.read(id));
    if (typeof found === "string") return { ...verified, found };
    const expiresAt = deadlineOf(this.#settings, found.record);
    if (Date.now() >= expiresAt) return { ...verified, found: "expired" };
    return { ...verified, found: { ...found, record: { ...found.record, expiresAt } } };
  }

  #isDueForRenewal({ record, graced }: Presented): boolean {
    const { renewalTimeout } = this.#settings;
    return renewalTimeout !== undefined && !graced && Date.now() - record.meta.renewedAt >= renewalTimeout * 1000;
  }

  /** Gives a session a new id, with a grace for the requests that are under way with the old one. */
  async #renew(session: Presented): Promise<Presented | undefined> {
    const { id: old, record } = session;
    const id = newSessionId();
    const now = Date.now();
    // Only what changes: another request may be unbinding the session from its user.
    const changed = { renewedAt: now, sentAt: now, csrfSeed: record.meta.csrfSeed ?? old };
    try {
      await this.#records.renew(old, id, { meta: changed, graceUntil: now + RENEWAL_GRACE * 1000 });
    } catch (error) {
      if (error instanceof SessionStoreError) {
        // It was found: what could not be renewed goes on with the id that it has.
        this.#reporter.storeFailed("regenerate", error, old);
        return session;
      }
      if (!(error instanceof SessionGoneError)) throw error;
      // Another request of this session has renewed it at the same time, or ended it.
      const { found } = await this.#lookUp(session);
      return typeof found === "object" ? { ...found, outdated: session.outdated } : undefined;
    }
    const meta = { ...record.meta, ...changed };
    this.#reporter.renewed(id, old, meta.principal);
    // Its cookie has to be written anew, as one that an older secret has signed.
    return { id, record: { ...record, meta }, graced: false, outdated: true };
  }

  /** Puts the session on the context, and takes the steps that it needs before the action. */
  #attach(context: HttpContext, found: Presented | undefined): void | Promise<void> {
    const session = this.#makeSession(context, found);
    if (found !== undefined && found.outdated) sendCookie(session);
    return this.#firstStep(session, found)?.catch((error) => makeUnavailable(session, this.#tolerated(error)));
  }

  #firstStep(session: Session, found: Presented | undefined): Promise<void> | undefined {
    if (found === undefined) return this.#beginsAtOnce() ? beginSession(session) : undefined;
    // Awaited: the longer life that the cookie promises is the session's before the action runs.
    return this.#isActivityDue(found.record.meta, found.graced) ? noteActivity(session) : undefined;
  }

  /** Returns an error where a request goes on without its session in spite of it, and throws every other. */
  #tolerated(error: unknown): SessionStoreError {
    if (this.#settings.onStoreError === "anonymous" && error instanceof SessionStoreError) return error;
    throw error;
  }

  #makeSession(context: HttpContext, found: Presented | undefined): Session {
    const cookie = new ResponseCookie(context, this.#cookie, this.#cookieRequest);
    const writes = new WriteQueue((operation, error, awaited) => {
      this.#reporter.writeFailed(operation, error, recordIdOf(session), awaited);
    });
    const session = makeSession(this.#host, cookie, writes, found);
    this.#requests.set(context, { writes, cookie });
    const holder: { security?: { session?: unknown } } = context as HttpContext & { security?: Security };
    // Alosaur's own context has a `security` already; a bare one (no provider, or one that Alosaur ignores) has none.
    (holder.security ??= new Security(context)).session = session;
    return session;
  }

  /** Tells whether the activity of a request is to be written; with `rolling` its cookie is sent again too. */
  #isActivityDue({ seenAt, sentAt, createdAt }: SessionMeta, graced: boolean): boolean {
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
