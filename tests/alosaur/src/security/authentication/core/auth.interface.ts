import type { SecurityContext } from "../../context/security-context.ts";

export interface Identity<T> {
  id: string | number;
  data?: T;
  readonly roles?: string[];
}

export interface AuthClaims {
  roles?: string[];
}

export interface AuthInterface {
  identity<T>(): Identity<T> | undefined;
  signInAsync<T, R>(scheme: AuthenticationScheme, identity: Identity<T>): Promise<R>;
  signOutAsync<T, R>(scheme: AuthenticationScheme): Promise<R>;
}

/** A way to authenticate a visitor. */
export interface AuthenticationScheme {
  authenticate(context: SecurityContext): Promise<void>;
  signInAsync<I, R>(context: SecurityContext, identity: Identity<I>): Promise<R>;
  signOutAsync<T, R>(context: SecurityContext): Promise<R>;
  onFailureResult(context: SecurityContext): void;
  onSuccessResult(context: SecurityContext): void;
}
