/**
 * How the middleware for device-bound sessions takes part in every request.
 *
 * @module
 */
import type { HttpContext } from "../../deps.ts";

/** The header that offers a browser to bind the session (W3C Device Bound Session Credentials). */
export const REGISTRATION_HEADER = "secure-session-registration";

/** Why a request does not prove that it comes from the device of its session. */
export type ProofFailure = "missing" | "expired" | "invalid";

/** Decides which requests may use a session that is bound to a device. */
export interface DeviceGuard {
  /**
   * Checks the bound cookie of a request.
   *
   * @param cookieHeader the Cookie header, as the client sent it
   * @param deviceKey the key that the session is bound to
   * @returns `undefined` if the cookie proves it
   */
  check(cookieHeader: string, deviceKey: string): ProofFailure | undefined;
  /** Returns whether the browser sends this request to register or to refresh a bound session. */
  handles(context: HttpContext): boolean;
  /**
   * Returns the header that offers the browser to bind the session; `undefined` if that is not due.
   *
   * @param isNewCookie whether the response sets a cookie that the client does not have yet
   */
  offer(context: HttpContext, isNewCookie: boolean): string | undefined;
}

/** What the middlewares with the same store and the same cookie name share. */
export interface SharedCookie {
  /** The property of a context that holds its session. */
  readonly contextKey: symbol;
  /** Absent if no middleware for device-bound sessions is registered. */
  guard?: DeviceGuard;
}
