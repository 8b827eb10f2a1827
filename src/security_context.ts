/**
 * The context that actions receive: Alosaur's context with a `security` property.
 *
 * @module
 */
import { HttpContext, Injectable, SERVER_REQUEST } from "../deps.ts";
import { missingSession } from "./missing_session.ts";
import type { Session } from "./session.ts";
import type { SessionData } from "./session_types.ts";

/** The user who is signed in. */
export interface Identity<T = unknown> {
  /** The user's id. */
  id: string | number;
  /** Further data about the user, defined by the application. */
  data?: T;
  /** The roles of the user. */
  readonly roles?: string[];
}

/** Performs sign-in and sign-out, such as Alosaur's `CookiesScheme`. */
export interface AuthenticationScheme {
  /** Signs the user in. */
  signInAsync(context: HttpContext, identity: Identity): Promise<unknown>;
  /** Signs the user out. */
  signOutAsync(context: HttpContext): Promise<unknown>;
}

/**
 * Sign-in and sign-out at `context.security.auth`, as Alosaur's `AuthMiddleware`, schemes and
 * `Authorize` expect it.
 */
export interface AuthInterface {
  /**
   * Returns the user who is signed in, or `undefined`. The authentication scheme assigns this
   * function.
   */
  identity: <T>() => Identity<T> | undefined;

  /**
   * Gives the session a new id, then signs the user in. An id from before the sign-in never reaches
   * the signed-in session, which prevents session fixation. If no `SessionMiddleware` ran for the
   * request, only the scheme signs in. Some schemes need no session, such as Alosaur's for JWT.
   *
   * Note: the scheme keeps the user as a value and does not bind the session to the user. So a
   * label and a `maxAge` that were set remain. `session.regenerate({ principal })` binds it.
   *
   * @param scheme performs the sign-in
   * @param identity the user
   * @returns the result of the scheme
   */
  signInAsync<T, R = unknown>(scheme: AuthenticationScheme, identity: Identity<T>): Promise<R>;

  /**
   * Signs the user out and destroys the session, even if the scheme fails.
   *
   * @param scheme performs the sign-out
   * @returns the result of the scheme
   */
  signOutAsync<R = unknown>(scheme: AuthenticationScheme): Promise<R>;
}

/** The session and the identity of the visitor, at `context.security`. */
export class Security<TData extends object = SessionData> {
  static {
    // On the prototype, because a field of each instance would take 5 ns for each request.
    this.prototype.session = missingSession;
  }

  /** Sign-in and sign-out. */
  readonly auth: AuthInterface;

  /**
   * The visitor's session.
   *
   * Note: if no `SessionMiddleware` ran for the request, because it is registered later or its
   * RegExp does not match the path, every use of the session throws a {@linkcode SessionError} that
   * says so. Only `available` can be read, and is `false`. Alosaur's `AuthMiddleware` then treats
   * the visitor as not signed in.
   */
  declare session: Session<TData>;

  /**
   * Starts without a session and without a signed-in user.
   *
   * @param context the context of the request
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
    // This comes before the sign-in, so that the old id never belongs to a signed-in session, not
    // even briefly.
    await sessionOf(this.#security)?.regenerate();
    return await scheme.signInAsync(this.#context, identity) as R;
  }

  async signOutAsync<R>(scheme: AuthenticationScheme): Promise<R> {
    try {
      return await scheme.signOutAsync(this.#context) as R;
    } finally {
      await sessionOf(this.#security)?.destroy();
    }
  }
}

/** Returns the session, or `undefined` if no `SessionMiddleware` ran. */
function sessionOf({ session }: Security): Session | undefined {
  return session === missingSession ? undefined : session;
}

/**
 * Alosaur's `HttpContext` with a `security` property. Register it in the providers of the
 * application: `{ token: Context, useClass: SecurityContext }`.
 *
 * @typeParam TState the type of `state`
 * @typeParam TData the type of the session's values by key, such as `{ cart: Cart; user: User }`
 */
@Injectable({ inject: [SERVER_REQUEST] })
// deno-lint-ignore no-explicit-any -- as Alosaur declares its HttpContext
export class SecurityContext<TState = any, TData extends object = SessionData> extends HttpContext<TState> {
  /** The session and the identity of the visitor. */
  readonly security: Security<TData>;

  /**
   * Note: Alosaur creates an instance for each request.
   *
   * @param serverRequest the request, injected by Alosaur
   */
  constructor(serverRequest: Request) {
    super(serverRequest);
    this.security = new Security<TData>(this);
  }
}
