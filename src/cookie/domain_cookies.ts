/**
 * The option `domain` as a function of the request.
 *
 * @module
 */
import type { HttpContext } from "../../deps.ts";
import type { ResolvedOptions } from "../options.ts";
import { isHostName } from "../resolve_options.ts";
import { TwoGenerationCache } from "../util/two_generation_cache.ts";
import { SessionCookie } from "./session_cookie.ts";

/**
 * For how many domains the attributes are kept, at about 500 bytes each. The limit matters if the
 * function returns the host of the request, which clients choose.
 */
const MAX_CACHED_DOMAINS = 1_000;

/** Finds the cookie for the domain of a request. */
export class DomainCookies {
  readonly #options: ResolvedOptions;
  readonly #domainOf: (request: Request) => unknown;
  readonly #byDomain = new TwoGenerationCache<SessionCookie>(MAX_CACHED_DOMAINS);
  /**
   * The cookies of the requests under way. The function is called once for each request, so that a
   * session never gets a new id whose cookie then cannot be set.
   */
  readonly #byRequest = new WeakMap<HttpContext, SessionCookie>();

  /** @param domainOf the option `domain` */
  constructor(options: ResolvedOptions, domainOf: (request: Request) => unknown) {
    this.#options = options;
    this.#domainOf = domainOf;
  }

  /**
   * Returns the cookie for the domain of a request.
   *
   * @throws {TypeError} if the function threw, or returned something else than a host name or
   * `undefined`
   */
  cookieFor(context: HttpContext): SessionCookie {
    let cookie = this.#byRequest.get(context);
    if (cookie === undefined) {
      cookie = this.#cookieWith(this.#readDomain(context.request.serverRequest));
      this.#byRequest.set(context, cookie);
    }
    return cookie;
  }

  #cookieWith(domain: string | undefined): SessionCookie {
    const key = domain ?? "";
    let cookie = this.#byDomain.get(key);
    if (cookie === undefined) {
      cookie = new SessionCookie(this.#options, domain);
      this.#byDomain.set(key, cookie);
    }
    return cookie;
  }

  #readDomain(request: Request): string | undefined {
    let domain: unknown;
    try {
      domain = this.#domainOf(request);
    } catch (cause) {
      throw new TypeError(
        "Cannot set the session cookie: the function `domain` threw an error; return a host name, or undefined for the host of the request",
        { cause },
      );
    }
    if (domain === undefined || isHostName(domain)) return domain;
    // Its rejection would end the process.
    if (domain instanceof Promise) domain.catch(() => {});
    throw new TypeError(
      "Cannot set the session cookie: the function `domain` did not return a host name; expected one without port or scheme, or undefined",
    );
  }
}
