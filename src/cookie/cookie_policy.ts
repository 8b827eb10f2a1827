/**
 * Decides how the options apply to the cookie of each request.
 *
 * @module
 */
import type { HttpContext } from "../../deps.ts";
import type { Reporter } from "../events.ts";
import type { ResolvedOptions } from "../options.ts";
import type { SharedCookie } from "./device_guard.ts";
import { CookieWarnings } from "./cookie_warnings.ts";
import { DomainCookies } from "./domain_cookies.ts";
import { LostCookies } from "./lost_cookies.ts";
import { SessionCookie } from "./session_cookie.ts";

/** The cookie of all requests, and the decisions that depend on the request. */
export class CookiePolicy {
  /** Reads the cookie of every request. For its attributes, see {@linkcode cookieFor}. */
  readonly cookie: SessionCookie;
  readonly lost: LostCookies;
  readonly shared: SharedCookie;
  readonly #options: ResolvedOptions;
  readonly #reporter: Reporter;
  /** `undefined` if all requests have the same domain. */
  readonly #byDomain: DomainCookies | undefined;
  readonly #warnings: CookieWarnings;

  constructor(options: ResolvedOptions, reporter: Reporter, shared: SharedCookie) {
    this.cookie = new SessionCookie(options);
    this.#options = options;
    this.#reporter = reporter;
    this.shared = shared;
    this.#byDomain = options.domainOf && new DomainCookies(options, options.domainOf);
    this.#warnings = new CookieWarnings(options);
    this.lost = new LostCookies(this.#warnings, reporter);
  }

  /**
   * Returns the cookie with the attributes for a request.
   *
   * @throws {TypeError} if the function `domain` failed
   */
  cookieFor(context: HttpContext): SessionCookie {
    return this.#byDomain === undefined ? this.cookie : this.#byDomain.cookieFor(context);
  }

  /**
   * Returns the cookie with the attributes for a request whose response may leave without it;
   * reports the error and returns `undefined` if the function `domain` failed.
   */
  cookieIfKnown(context: HttpContext): SessionCookie | undefined {
    try {
      return this.cookieFor(context);
    } catch (error) {
      this.#reporter.emitCookieFailed(error as TypeError);
      return undefined;
    }
  }

  /** Returns whether the cookie of a request is Secure. */
  isSecure(context: HttpContext): boolean {
    return this.#options.secure ?? this.#isHttps(context);
  }

  /** Warns if the browser will drop a cookie that was set. */
  onCookieSet(context: HttpContext, cookie: SessionCookie): void {
    this.#warnings.checkSetCookie(context, cookie.domain, this.isSecure(context), this.#isHttps(context));
  }

  /**
   * Returns whether a request came over HTTPS. The header of a proxy counts only with the option
   * `trustProxy`.
   */
  #isHttps({ request }: HttpContext): boolean {
    if (request.url.startsWith("https:")) return true;
    if (!this.#options.trustProxy) return false;
    // The first entry is the client's scheme. Further entries are those between proxies.
    const [forwarded = ""] = (request.headers.get("x-forwarded-proto") ?? "").split(",");
    return forwarded.trim().toLowerCase() === "https";
  }
}
