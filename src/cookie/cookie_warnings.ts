/**
 * Development warnings about session cookies that never arrive in the browser.
 *
 * @module
 */
import type { HttpContext } from "../../deps.ts";
import type { SessionCookieLost } from "../events.ts";
import type { ResolvedOptions } from "../options.ts";

type LossReason = SessionCookieLost["reason"];

/** The warnings about cookies that were set and not sent. */
const LOSSES: Readonly<Record<LossReason, string>> = {
  error:
    "The session cookie was lost, because the action threw and Alosaur responds to an uncaught error without the response's headers. " +
    "Catch the error in the action, or respond to it in app.error() with context.response.setImmediately().",
  late:
    "The session got a new id after its response had been sent, so the browser still has the old id. Await the call " +
    "before you return the response or call setImmediately().",
  unsent:
    "A session cookie was set more than 5 seconds ago and has not been sent. If a middleware or a hook answers a request with " +
    "a Response of its own, Alosaur sends that without the cookie: return session.applyTo(response) instead.",
};

/**
 * Warns in the console about cookies that the browser drops or never receives, once for each cause.
 */
export class CookieWarnings {
  readonly #options: ResolvedOptions;
  readonly #warned = new Set<string>();

  constructor(options: ResolvedOptions) {
    this.#options = options;
  }

  /**
   * Warns if the browser will drop a cookie that was set.
   *
   * @param domain the Domain attribute
   */
  checkSetCookie(context: HttpContext, domain: string | undefined, isSecure: boolean, isHttps: boolean): void {
    // Most cookies pass here, without parsing the URL of the request.
    if ((isHttps || !isSecure) && domain === undefined) return;
    if (!this.isEnabled(context)) return;
    const { hostname } = new URL(context.request.url);
    if (isSecure && !isHttps) {
      this.#warnOnce(
        "secure",
        isLoopback(hostname)
          ? "The session cookie is Secure, but the request came over http. On localhost most browsers keep it anyway; Safari does not."
          : "The session cookie is Secure, but the request came over http, so browsers drop it. Serve https; behind a proxy that " +
            "terminates TLS, set trustProxy. (On localhost most browsers keep it anyway; Safari does not.)",
      );
    }
    const host = domain?.replace(/^\./, "").toLowerCase();
    if (host !== undefined && hostname !== host && !hostname.endsWith(`.${host}`)) {
      this.#warnOnce(
        "domain",
        `The session cookie's Domain, ${host}, does not match the host of the request, so browsers drop it. Omit the option domain ` +
          "to set the cookie for the host of the request only.",
      );
    }
  }

  /** Warns about a cookie that was set and not sent. */
  warnLost(context: HttpContext, reason: LossReason): void {
    if (this.isEnabled(context)) this.#warnOnce(reason, LOSSES[reason]);
  }

  /** Returns whether warnings are shown for a request. */
  isEnabled(context: HttpContext): boolean {
    return this.#options.diagnose ?? isLoopback(new URL(context.request.url).hostname);
  }

  #warnOnce(cause: string, text: string): void {
    if (this.#warned.has(cause)) return;
    this.#warned.add(cause);
    console.warn(`[session] ${text} (Shown once. Set the option diagnose to false to disable this.)`);
  }
}

/**
 * Returns whether a host name means this machine (RFC 6761 section 6.3, RFC 5735 section 3, RFC
 * 4291 section 2.5.3).
 */
function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname.endsWith(".localhost") || hostname === "[::1]" ||
    /^127\.\d+\.\d+\.\d+$/.test(hostname);
}
