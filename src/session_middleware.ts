/**
 * The middleware, which loads the session of each request and sets its cookie on the response.
 *
 * @module
 */
import type { HttpContext, MiddlewareTarget } from "../deps.ts";
import { CookiePolicy } from "./cookie/cookie_policy.ts";
import type { SharedCookie } from "./cookie/device_guard.ts";
import { Signer } from "./cookie/signer.ts";
import { effectiveExpiry, isActivityDue } from "./core/lifetime.ts";
import type { LoadedSession } from "./core/loaded_session.ts";
import { SessionLoader } from "./core/session_loader.ts";
import type { SessionServices } from "./core/session_services.ts";
import { SessionState } from "./core/session_state.ts";
import { checkHealth, type StoreHealth } from "./core/store_health.ts";
import { SessionError, SessionStoreError } from "./errors.ts";
import { Reporter } from "./events.ts";
import { REGISTER_MIDDLEWARE } from "./missing_session.ts";
import type { SessionOptions } from "./options.ts";
import { SessionRepository } from "./persistence/session_repository.ts";
import { resolveOptions } from "./resolve_options.ts";
import { generateSecret } from "./secrets.ts";
import { Security } from "./security_context.ts";
import { Session, stateOf } from "./session.ts";
import type { SessionStore } from "./session_store.ts";
import type { SessionData } from "./session_types.ts";
import { UserSessions } from "./user_sessions.ts";
import { isPending } from "./util/maybe_promise.ts";

/** Returns what a middleware shares with its sessions. For `DeviceBoundMiddleware`. */
export let servicesOf: (middleware: SessionMiddleware) => SessionServices;

/** The properties that this middleware adds to a context. */
interface ContextWithSession {
  security?: { session?: unknown };
  [contextKey: symbol]: Session | undefined;
}

/**
 * Provides every request that it handles with a session, at `context.security.session`.
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
  static {
    servicesOf = (middleware): SessionServices => middleware.#services;
  }
  /** Lists and ends the sessions of a user. */
  readonly sessions: UserSessions;

  readonly #services: SessionServices;
  readonly #loader: SessionLoader;
  readonly #shared: SharedCookie;

  /**
   * Creates a secret for {@linkcode SessionOptions.secret}: 32 random bytes in 43 characters of
   * base64url. Keep it in the environment.
   *
   * @returns a new secret on each call
   */
  static generateSecret(): string {
    return generateSecret();
  }

  /**
   * Checks the store and the options, without calling the store.
   *
   * @param store keeps the sessions; call its `init()` before the first request
   * @param options only `secret` is required
   * @throws {TypeError} if the store lacks one of the eight methods, there is an unknown option, an
   * option has the wrong type, or two options contradict each other
   * @throws {RangeError} if an option is out of range
   * @throws {SessionNotSupportedError} if an option needs a capability that the store does not have
   */
  constructor(store: SessionStore, options: SessionOptions) {
    const resolved = resolveOptions(options);
    const signer = new Signer(resolved.name, resolved.keys);
    const ordersSignIns = resolved.maxSessionsPerPrincipal !== undefined;
    const repository = new SessionRepository(store, resolved.storeTimeout, ordersSignIns);
    const reporter = new Reporter(resolved.onEvent, (id) => signer.handle(id));
    const report = (error: SessionStoreError): void => reporter.emitStoreFailed("watch", error);
    if (resolved.cache !== undefined) repository.enableCache(resolved.cache, report);
    this.#shared = sharedCookie(store, resolved.name);
    const sessions = new UserSessions(resolved, signer, repository, reporter);
    this.sessions = sessions;
    this.#services = {
      options: resolved,
      signer,
      store,
      repository,
      reporter,
      cookies: new CookiePolicy(resolved, reporter, this.#shared),
      signalPolicy: {
        expiryOf: ({ expiresAt, meta }) => effectiveExpiry(resolved, expiresAt, meta),
        report,
      },
      enforceSessionLimit: async (principal, session, cookie) => {
        if (!(await sessions.limit(principal, session.id))) session.markGone(cookie);
      },
    };
    this.#loader = new SessionLoader(this.#services);
  }

  /**
   * Loads the session of a request. Alosaur calls it before the action.
   *
   * @param context the context of the request; an existing `security` property is reused
   * @throws {SessionStoreError} if the store failed to look up the session of a validly signed
   * cookie, or to create a session (`saveUninitialized`); not with `onStoreError: "anonymous"`
   */
  onPreRequest(context: HttpContext): void | Promise<void> {
    // The first of several middlewares with the same store and cookie name loads the session.
    if (this.#sessionOn(context) !== undefined) return;
    const loaded = this.#loader.load(context.request.headers);
    return isPending(loaded) ? this.#attachLater(context, loaded) : this.#attach(context, loaded);
  }

  /**
   * Waits for the writes that the application did not await. Alosaur calls it after the action.
   *
   * @param context the context of the request
   * @throws {SessionError} if such a write failed
   * @throws {TypeError} if the key or the value of such a write cannot be stored
   */
  onPostRequest(context: HttpContext): void | Promise<void> {
    const session = this.#sessionOn(context);
    if (session === undefined) return;
    const state = stateOf(session);
    if (context.response.error === undefined) return state.settle();
    state.reportLostCookie();
    // An error of ours would replace that of the application.
    return state.writes?.idle();
  }

  /**
   * Returns the session of this middleware, if several are registered, such as one for an admin
   * area with its own cookie. `context.security.session` is the session of the last one that ran.
   *
   * @example An admin area with its own sessions
   * ```ts
   * import { assertEquals, assertNotStrictEquals } from "jsr:@std/assert@1.0.13";
   * import { MemoryStore, SecurityContext, SessionMiddleware } from "@alosaur/session";
   *
   * const secret = SessionMiddleware.generateSecret();
   * const shop = new SessionMiddleware(new MemoryStore(), { secret });
   * const admin = new SessionMiddleware(new MemoryStore(), { secret, name: "admin_sid", path: "/admin" });
   * // app.use(/^\//, shop);
   * // app.use(/^\/admin/, admin);
   *
   * const context = new SecurityContext(new Request("http://localhost/admin"));
   * await shop.onPreRequest(context);
   * await admin.onPreRequest(context);
   * await shop.sessionOf<{ cart: string[] }>(context).set("cart", ["apple"]);
   * await admin.sessionOf(context).regenerate({ principal: "root" });
   *
   * assertEquals(shop.sessionOf(context).principal, undefined);
   * assertEquals(context.security.session, admin.sessionOf(context));
   * assertNotStrictEquals(shop.sessionOf(context), admin.sessionOf(context));
   * assertEquals(context.response.headers.getSetCookie().length, 2);
   * ```
   *
   * @typeParam TData the type of the session's values by key, such as `{ cart: Cart; user: User }`
   * @param context the context of the request
   * @returns the same object on each call. Two middlewares with the same store and cookie name have
   * the same session.
   * @throws {SessionError} if this middleware did not run for the request, or failed to look up the
   * session
   */
  sessionOf<TData extends object = SessionData>(context: HttpContext): Session<TData> {
    const session = this.#sessionOn(context);
    if (session !== undefined) return session as unknown as Session<TData>;
    throw new SessionError(
      "sessionOf",
      "Cannot return the session: this SessionMiddleware did not run for the request, or failed to look up the session; " +
        `if it did not run, ${REGISTER_MIDDLEWARE}`,
    );
  }

  /**
   * Asks the store whether its backend answers: with `ping()` if the store has it, otherwise with
   * `exist()` of a random id. For the health check of a load balancer; see docs/outages.md.
   *
   * @returns the store's name and latency
   * @throws {SessionStoreError} if the store fails, or does not answer within `storeTimeout`, or
   * within five seconds without that option
   */
  health(): Promise<StoreHealth> {
    return checkHealth(this.#services.store, this.#services.options.storeTimeout);
  }

  async #attachLater(context: HttpContext, loading: Promise<LoadedSession | undefined>): Promise<void> {
    let loaded: LoadedSession | undefined;
    try {
      loaded = await loading;
    } catch (error) {
      const tolerated = this.#toleratedOrThrow(error, context);
      this.#createState(context, undefined).markUnavailable(tolerated);
      return;
    }
    await this.#attach(context, loaded);
  }

  #attach(context: HttpContext, loaded: LoadedSession | undefined): void | Promise<void> {
    const state = this.#createState(context, loaded);
    if (loaded !== undefined && loaded.ended === "withheld") return;
    if (loaded !== undefined && loaded.needsResign) state.resendCookie();
    return this.#prepare(context, state, loaded)?.catch((error) =>
      state.markUnavailable(this.#toleratedOrThrow(error, context))
    );
  }

  /** Starts the write that must finish before the action runs, if one is due. */
  #prepare(
    { request }: HttpContext,
    state: SessionState,
    loaded: LoadedSession | undefined,
  ): Promise<void> | undefined {
    if (loaded === undefined) return this.#shouldCreateEagerly() ? state.create() : undefined;
    // The response to an upgrade, such as to a WebSocket, carries no cookie.
    if (isActivityDue(this.#services.options, loaded)) return state.recordActivity(!request.headers.has("upgrade"));
    return loaded.isRenewalDelivered ? state.confirmRenewal() : undefined;
  }

  /**
   * With `saveUninitialized`, every visitor gets a session, unless it would already be expired
   * because of the option `expires`.
   */
  #shouldCreateEagerly(): boolean {
    const { saveUninitialized, maxAge, expires } = this.#services.options;
    return saveUninitialized && (maxAge !== undefined || expires === undefined || Date.now() < expires);
  }

  /** Returns the error if the request may continue without its session; throws it otherwise. */
  #toleratedOrThrow(error: unknown, context: HttpContext): SessionStoreError {
    const tolerates = this.#services.options.onStoreError === "anonymous" ||
      // A browser ends a bound session if the error page of the application has another status than
      // 5xx.
      this.#shared.guard?.handles(context);
    if (tolerates && error instanceof SessionStoreError) return error;
    throw error;
  }

  #createState(context: HttpContext, loaded: LoadedSession | undefined): SessionState {
    this.#services.cookies.lost.reportUnsent();
    const state = new SessionState(this.#services, context, loaded);
    const session = new Session(state);
    const holder = context as unknown as ContextWithSession;
    holder[this.#shared.contextKey] = session;
    // If the provider is missing or Alosaur ignores it, the context is Alosaur's own and has no
    // `security`.
    (holder.security ??= new Security(context)).session = session;
    return state;
  }

  #sessionOn(context: HttpContext): Session | undefined {
    return (context as unknown as ContextWithSession)[this.#shared.contextKey];
  }
}

const sharedCookies = new WeakMap<SessionStore, Map<string, SharedCookie>>();

/**
 * Returns what two middlewares with the same store and the same cookie name share. The property of
 * the context is a symbol, because a `WeakMap` by context would take 0.3 µs for each request. If a
 * request does not use its session, that is as much time as everything else takes together.
 */
function sharedCookie(store: SessionStore, cookieName: string): SharedCookie {
  const byName = sharedCookies.get(store) ?? new Map<string, SharedCookie>();
  sharedCookies.set(store, byName);
  const shared = byName.get(cookieName) ?? { contextKey: Symbol("session") };
  byName.set(cookieName, shared);
  return shared;
}
