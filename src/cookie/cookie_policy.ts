/**
 * Which cookie a request gets: its attributes, and whether it is Secure.
 *
 * @module
 */
import type { HttpContext } from "../../deps.ts";
import type { ResolvedOptions } from "../options.ts";
import { CookieWarnings } from "./cookie_warnings.ts";
import { SessionCookie } from "./session_cookie.ts";

/** What the options say about the cookies of all requests. */
export class CookiePolicy {
  /** The cookie. */
  readonly cookie: SessionCookie;
  readonly #options: ResolvedOptions;
  readonly #warnings: CookieWarnings;

  constructor(options: ResolvedOptions) {
    this.cookie = new SessionCookie(options);
    this.#options = options;
    this.#warnings = new CookieWarnings(options);
  }

  /** Returns whether the cookie of a request is Secure. */
  isSecure(context: HttpContext): boolean {
    return this.#options.secure ?? this.#isHttps(context);
  }

  /** Warns of a `Set-Cookie` line that the browser will drop. */
  onCookieSet(context: HttpContext, line: string): void {
    this.#warnings.checkSetCookie(context, line, this.isSecure(context), this.#isHttps(context));
  }

  /**
   * Warns if the cookie of a request whose action threw is lost.
   *
   * @param wasSent returns whether the response's headers were used by now
   */
  checkLostCookie(context: HttpContext, wasSent: () => boolean): void {
    this.#warnings.checkLostCookie(context, wasSent);
  }

  /** Returns whether a request came over https, as far as the options allow to believe it. */
  #isHttps({ request }: HttpContext): boolean {
    if (request.url.startsWith("https:")) return true;
    if (!this.#options.trustProxy) return false;
    // The first is the client's scheme, the others are those between proxies.
    const [forwarded = ""] = (request.headers.get("x-forwarded-proto") ?? "").split(",");
    return forwarded.trim().toLowerCase() === "https";
  }
}
