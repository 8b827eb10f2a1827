/**
 * "Why is there no cookie?": what a developer would look for in vain, said once in the console.
 *
 * @module
 */
import type { HttpContext } from "../../deps.ts";
import type { ResolvedOptions } from "../options.ts";

/** What every browser keeps of a cookie at least, and what most keep at most, in bytes (RFC 6265 section 6.1). */
const MAX_COOKIE = 4096;

/** How many promise jobs Alosaur may need from the end of the middlewares to the merge of the response. */
const MERGE_MICROTASK_LIMIT = 20;

/** Warns of cookies that the browser will not keep or never gets, each cause once. */
export class CookieWarnings {
  readonly #settings: ResolvedOptions;
  readonly #warned = new Set<string>();

  constructor(settings: ResolvedOptions) {
    this.#settings = settings;
  }

  /** Looks at a `Set-Cookie` line that is on its way. */
  checkSetCookie(context: HttpContext, line: string, isSecure: boolean, isHttps: boolean): void {
    const { domain: configured } = this.#settings;
    // Nearly every line is beyond suspicion: only for another is the host worth looking at.
    if ((isHttps || !isSecure) && configured === undefined && line.length <= MAX_COOKIE) return;
    const { hostname } = new URL(context.request.url);
    if (!this.#isEnabled(hostname)) return;
    if (isSecure && !isHttps) {
      this.#warnOnce(
        "secure",
        isLoopback(hostname)
          ? "The session cookie is Secure and the request came over http. On localhost most browsers keep it all the same; Safari does not."
          : "The session cookie is Secure and the request came over http: browsers drop it. Serve https; behind a proxy that ends TLS, set trustProxy. " +
            "(On localhost most browsers keep it all the same; Safari does not.)",
      );
    }
    const domain = configured?.replace(/^\./, "").toLowerCase();
    if (domain !== undefined && hostname !== domain && !hostname.endsWith(`.${domain}`)) {
      this.#warnOnce(
        "domain",
        `The session cookie's Domain, ${domain}, does not match the host of the request: browsers drop it. Leave the option out, and it ` +
          "is for the very host.",
      );
    }
    if (line.length > MAX_COOKIE) {
      this.#warnOnce(
        "size",
        `The session cookie has more than ${MAX_COOKIE} bytes: browsers drop it. Shorten its name or path.`,
      );
    }
  }

  /**
   * Looks whether the cookie of a request whose action has thrown gets lost.
   *
   * @param wasMerged tells whether the response's headers were used by now
   */
  async checkLostCookie(context: HttpContext, wasMerged: () => boolean): Promise<void> {
    if (!this.#isEnabled(new URL(context.request.url).hostname)) return;
    for (let i = 0; i < MERGE_MICROTASK_LIMIT; i++) await undefined;
    if (wasMerged()) return;
    this.#warnOnce(
      "lost",
      "The session cookie was lost: the action threw, and Alosaur answers an uncaught error without the response's headers. Catch it in the " +
        "action, or answer it in app.error() with context.response.setImmediately().",
    );
  }

  #isEnabled(hostname: string): boolean {
    return this.#settings.diagnose ?? isLoopback(hostname);
  }

  #warnOnce(cause: string, text: string): void {
    if (this.#warned.has(cause)) return;
    this.#warned.add(cause);
    console.warn(`[session] ${text} (Said once. Option diagnose: false keeps it quiet.)`);
  }
}

/** Tells whether a host's name means this machine (RFC 6761 section 6.3, RFC 5735 section 3, RFC 4291 section 2.5.3). */
function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname.endsWith(".localhost") || hostname === "[::1]" ||
    /^127\.\d+\.\d+\.\d+$/.test(hostname);
}
