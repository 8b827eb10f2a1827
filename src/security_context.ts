/**
 * The context that actions receive: Alosaur's, with `security`.
 *
 * @module
 */
import { HttpContext, Injectable, SERVER_REQUEST } from "../deps.ts";
import type { Session, SessionData } from "./session.ts";

/** Who is signed in. */
export interface Identity<T = unknown> {
  /** The user's id. */
  id: string | number;
  /** What else is known of the user. */
  data?: T;
  /** What the user may do. */
  readonly roles?: string[];
}

/** A way to sign in and out, such as Alosaur's `CookiesScheme`. */
export interface AuthenticationScheme {
  /** Signs in. */
  signInAsync(context: HttpContext, identity: Identity): Promise<unknown>;
  /** Signs out. */
  signOutAsync(context: HttpContext): Promise<unknown>;
}

/** Signing in and out, as Alosaur's `AuthMiddleware`, schemes and `Authorize` expect it at `context.security.auth`. */
export interface AuthInterface {
  /** Who is signed in; a scheme assigns this function. */
  identity: <T>() => Identity<T> | undefined;

  /**
   * Signs in, under a new session id: what knew the id before the sign-in must not be signed in with it.
   *
   * @param scheme does the signing in
   * @param identity who signs in
   * @returns what the scheme returns
   */
  signInAsync<T, R = unknown>(scheme: AuthenticationScheme, identity: Identity<T>): Promise<R>;

  /**
   * Signs out and ends the session, also where the scheme fails.
   *
   * @param scheme does the signing out
   * @returns what the scheme returns
   */
  signOutAsync<R = unknown>(scheme: AuthenticationScheme): Promise<R>;
}

/** What is known of the visitor: at `context.security`. */
export class Security<TData extends object = SessionData> {
  /** Signing in and out. */
  readonly auth: AuthInterface;

  /**
   * The visitor's session.
   *
   * Note: it is `undefined` where no `SessionMiddleware` ran before, because it is registered later or its RegExp does not match the
   * path. Alosaur's `AuthMiddleware` takes that for "nobody is signed in".
   */
  declare session: Session<TData>;

  /**
   * Begins with nobody signed in and no session.
   *
   * @param context the request that this is about
   */
  constructor(context: HttpContext) {
    this.auth = new Auth(context, this as unknown as Security);
  }
}

class Auth implements AuthInterface {
  readonly #context: HttpContext;
  readonly #security: Security;

  constructor(context: HttpContext, security: Security) {
    this.#context = context;
    this.#security = security;
  }

  identity: <T>() => Identity<T> | undefined = () => undefined;

  async signInAsync<T, R>(scheme: AuthenticationScheme, identity: Identity<T>): Promise<R> {
    // The new id first: an id from before the sign-in is never, not even for a moment, that of a signed-in session.
    await this.#security.session.regenerate();
    return await scheme.signInAsync(this.#context, identity) as R;
  }

  async signOutAsync<R>(scheme: AuthenticationScheme): Promise<R> {
    try {
      return await scheme.signOutAsync(this.#context) as R;
    } finally {
      await this.#security.session.destroy();
    }
  }
}

/**
 * Alosaur's `HttpContext` with `security`, for an application's providers:
 * `{ token: Context, useClass: SecurityContext }`.
 *
 * @typeParam TState the type of `state`
 * @typeParam TData the session's values by key, such as `{ cart: Cart; user: User }`
 */
@Injectable({ inject: [SERVER_REQUEST] })
// deno-lint-ignore no-explicit-any -- as Alosaur declares its HttpContext
export class SecurityContext<TState = any, TData extends object = SessionData> extends HttpContext<TState> {
  /** What is known of the visitor. */
  readonly security: Security<TData>;

  /**
   * Alosaur makes one for each request.
   *
   * @param serverRequest the request, which Alosaur injects
   */
  constructor(serverRequest: Request) {
    super(serverRequest);
    this.security = new Security<TData>(this);
  }
}
