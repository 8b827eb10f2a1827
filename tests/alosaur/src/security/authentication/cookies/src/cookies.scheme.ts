import { deleteCookie as stdDeleteCookie } from "jsr:@std/http@1.0.25/cookie";
import { Redirect } from "../../../../renderer/mod.ts";
import type { SecurityContext } from "../../../context/security-context.ts";
import type { SessionInterface } from "../../../session/src/session.interface.ts";
import type { AuthClaims, AuthenticationScheme, Identity } from "../../core/auth.interface.ts";

const deleteCookie: (headers: Headers, name: string) => void = stdDeleteCookie;

/** The session key of the identity. */
export const IdentityKey = "__identity_cookie";

/** Returns the session; throws if there is none. */
export function CookieGetSession(context: SecurityContext): SessionInterface {
  if (!context.security.session) throw new Error("The cookies scheme needs a session, and no middleware has set one");
  return context.security.session;
}

/** Keeps the identity in the session. */
export class CookiesScheme implements AuthenticationScheme {
  constructor(private readonly loginUrl: string) {}

  /** Note: does nothing without a session. */
  async authenticate(context: SecurityContext): Promise<void> {
    if (!context.security.session) return;
    const identity = await context.security.session.get<Identity<unknown> | undefined>(IdentityKey);
    context.security.auth.identity = <T>() => identity as Identity<T> | undefined;
  }

  /** Note: the claims are not used. */
  async signInAsync<I, R>(context: SecurityContext, identity: Identity<I>, _claims?: AuthClaims): Promise<R> {
    await CookieGetSession(context).set(IdentityKey, identity);
    await this.authenticate(context);
    return true as R;
  }

  /** Note: the cookies are deleted without a Path. A cookie that was set with another Path may stay. */
  async signOutAsync<_T, R>(context: SecurityContext): Promise<R> {
    const session = CookieGetSession(context);
    const sessionId = session.sessionId;
    await session.store.delete(sessionId);
    context.security.auth.identity = () => undefined;

    const cleared = context.security.session as SessionInterface;
    deleteCookie(context.response.headers, cleared.sessionKey);
    deleteCookie(context.response.headers, `${cleared.sessionKey}-s`);
    return true as R;
  }

  onFailureResult(context: SecurityContext): void {
    context.response.result = Redirect(this.loginUrl);
    context.response.setImmediately();
  }

  onSuccessResult(_context: SecurityContext): void {}
}
