/**
 * Development warnings about session cookies that never arrive in the browser, or are less
 * protected than they could be.
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
 * Warns in the console about cookies that the browser drops or never receives, and about options
 * that give up protection, once for each cause.
 */
export class CookieWarnings {
  readonly #options: ResolvedOptions;
  readonly #warned = new Set<string>();
  /** Advice about the options that was not given yet. */
  readonly #advice: string[];
  /** The same, if it is for https only. */
  readonly #httpsAdvice: string[];

  constructor(options: ResolvedOptions) {
    this.#options = options;
    this.#advice = adviceFor(options);
    this.#httpsAdvice = httpsAdviceFor(options);
  }

  /**
   * Warns if the browser will drop a cookie that was set, or if it is less protected than it could
   * be.
   *
   * @param domain the Domain attribute
   */
  checkSetCookie(context: HttpContext, domain: string | undefined, isSecure: boolean, isHttps: boolean): void {
    // Most cookies pass here, without looking at the host of the request.
    const hasAdvice = this.#advice.length > 0 || (isHttps && this.#httpsAdvice.length > 0);
    if ((isHttps || !isSecure) && domain === undefined && !hasAdvice) return;
    if (!this.isEnabled(context)) return;
    if (hasAdvice) this.#advise(isHttps);
    const { hostname } = context.request.parserUrl;
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
    return this.#options.diagnose ?? isLoopback(context.request.parserUrl.hostname);
  }

  #advise(isHttps: boolean): void {
    for (const text of this.#advice.splice(0)) warn(text);
    if (isHttps) { for (const text of this.#httpsAdvice.splice(0)) warn(text); }
  }

  #warnOnce(cause: string, text: string): void {
    if (this.#warned.has(cause)) return;
    this.#warned.add(cause);
    warn(text);
  }
}

function warn(text: string): void {
  console.warn(`[session] ${text} (Shown once. Set the option diagnose to false to disable this.)`);
}

function adviceFor({ httpOnly, sameSite, partitioned }: ResolvedOptions): string[] {
  const advice: string[] = [];
  if (!httpOnly) {
    advice.push(
      "The session cookie is not HttpOnly, so a script that an attacker has injected can steal the session. Remove httpOnly: false, " +
        "because no script needs the cookie.",
    );
  }
  if (sameSite === "None" && !partitioned) {
    advice.push(
      "The session cookie is SameSite=None, so requests from every other site carry it, unless the browser blocks third-party " +
        'cookies. For pages in frames of other sites, set partitioned to true; otherwise set sameSite to "Lax".',
    );
  }
  return advice;
}

/**
 * Over http no prefix would be possible. Given only if the application asks for warnings, because
 * the default name has none.
 */
function httpsAdviceFor({ diagnose, name, path, domain, domainOf }: ResolvedOptions): string[] {
  if (diagnose !== true || /^__(Host|Secure|Http)-/i.test(name)) return [];
  const isOfHost = path === "/" && domain === undefined && domainOf === undefined;
  const [prefix, origin] = isOfHost ? ["__Host-", "this host over https"] : ["__Secure-", "https"];
  return [
    `Other hosts of the same domain, and anybody on the network over http, can set a cookie named ${name} and so put visitors into ` +
    `another session. Set the option name to "${prefix}${name}", which browsers accept from ${origin} only. All users have to sign ` +
    "in again then.",
  ];
}

/**
 * Returns whether a host name means this machine (RFC 6761 section 6.3, RFC 5735 section 3, RFC
 * 4291 section 2.5.3).
 */
function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname.endsWith(".localhost") || hostname === "[::1]" ||
    /^127\.\d+\.\d+\.\d+$/.test(hostname);
}
