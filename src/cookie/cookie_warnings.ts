/**
 * Development warnings about session cookies that never arrive in the browser.
 *
 * @module
 */
import type { HttpContext } from "../../deps.ts";
import type { ResolvedOptions } from "../options.ts";

/**
 * Browsers support at least this many bytes per cookie (RFC 6265 section 6.1). Most drop larger
 * ones.
 */
const MAX_COOKIE_BYTES = 4096;

/** Alosaur merges the response within this many microtasks after `onPostRequest`. */
const MERGE_MICROTASK_LIMIT = 20;

/**
 * Warns in the console about cookies that the browser drops or never receives, once for each cause.
 */
export class CookieWarnings {
  readonly #options: ResolvedOptions;
  readonly #warned = new Set<string>();

  constructor(options: ResolvedOptions) {
    this.#options = options;
  }

  /** Warns if the browser will drop the cookie of a `Set-Cookie` line. */
  checkSetCookie(context: HttpContext, line: string, isSecure: boolean, isHttps: boolean): void {
    const { domain: configured } = this.#options;
    // Most lines pass here, without parsing the URL of the request.
    if ((isHttps || !isSecure) && configured === undefined && line.length <= MAX_COOKIE_BYTES) return;
    const { hostname } = new URL(context.request.url);
    if (!this.#isEnabled(hostname)) return;
    if (isSecure && !isHttps) {
      this.#warnOnce(
        "secure",
        isLoopback(hostname)
          ? "The session cookie is Secure, but the request came over http. On localhost most browsers keep it anyway; Safari does not."
          : "The session cookie is Secure, but the request came over http, so browsers drop it. Serve https; behind a proxy that " +
            "terminates TLS, set trustProxy. (On localhost most browsers keep it anyway; Safari does not.)",
      );
    }
    const domain = configured?.replace(/^\./, "").toLowerCase();
    if (domain !== undefined && hostname !== domain && !hostname.endsWith(`.${domain}`)) {
      this.#warnOnce(
        "domain",
        `The session cookie's Domain, ${domain}, does not match the host of the request, so browsers drop it. Omit the option domain ` +
          "to set the cookie for the host of the request only.",
      );
    }
    if (line.length > MAX_COOKIE_BYTES) {
      this.#warnOnce(
        "size",
        `The session cookie is larger than ${MAX_COOKIE_BYTES} bytes, so browsers drop it. Shorten its name or path.`,
      );
    }
  }

  /**
   * Warns if Alosaur drops the cookie because the action threw.
   *
   * @param wasMerged returns whether Alosaur has merged the headers of the response
   */
  async checkLostCookie(context: HttpContext, wasMerged: () => boolean): Promise<void> {
    if (!this.#isEnabled(new URL(context.request.url).hostname)) return;
    for (let i = 0; i < MERGE_MICROTASK_LIMIT; i++) await undefined;
    if (wasMerged()) return;
    this.#warnOnce(
      "lost",
      "The session cookie was lost, because the action threw and Alosaur responds to an uncaught error without the response's headers. " +
        "Catch the error in the action, or respond to it in app.error() with context.response.setImmediately().",
    );
  }

  #isEnabled(hostname: string): boolean {
    return this.#options.diagnose ?? isLoopback(hostname);
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
