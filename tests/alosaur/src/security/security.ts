import type { AuthenticationScheme, AuthInterface, Identity } from "./authentication/core/auth.interface.ts";
import type { SecurityContext } from "./context/security-context.ts";
import type { SessionInterface } from "./session/src/session.interface.ts";

class Auth implements AuthInterface {
  constructor(private readonly context: SecurityContext) {}

  identity: <T>() => Identity<T> | undefined = () => undefined;

  signInAsync<T, R>(scheme: AuthenticationScheme, identity: Identity<T>): Promise<R> {
    return scheme.signInAsync<T, R>(this.context, identity);
  }

  signOutAsync<_T, R>(scheme: AuthenticationScheme): Promise<R> {
    return scheme.signOutAsync<unknown, R>(this.context);
  }
}

/** The visitor's identity, and the session after a middleware has set it. */
export class Security {
  readonly auth: AuthInterface;
  private _session?: SessionInterface;

  constructor(context: SecurityContext) {
    this.auth = new Auth(context);
  }

  get session(): SessionInterface | undefined {
    return this._session;
  }

  set session(session: SessionInterface | undefined) {
    this._session = session;
  }
}
