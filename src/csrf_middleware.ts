/**
 * Protection against cross-site request forgery (CSRF).
 *
 * The rules follow the OWASP Cross-Site Request Forgery Prevention Cheat Sheet: Fetch Metadata
 * first, then the Origin, then a token.
 *
 * @module
 */
import type { HttpContext, MiddlewareTarget } from "../deps.ts";
import { Session, stateOf } from "./session.ts";
import { optionError } from "./util/describe_value.ts";
import { checkOptionNames } from "./util/option_names.ts";

/** The options of `CsrfMiddleware`. */
export interface CsrfOptions {
  /**
   * Other origins whose pages may send unsafe requests to this application. Write each as browsers
   * do in the Origin header (RFC 6454 section 6.2), such as `"https://other.example"`: without a
   * path, without a trailing slash and without the default port of the scheme. Wildcards are not
   * supported.
   *
   * @default {[]}
   */
  trustedOrigins?: readonly string[];
  /**
   * Paths that are not checked, such as a webhook that verifies signatures instead. Each pattern is
   * matched against the pathname of the URL. Start it with `^`, otherwise it also matches in the
   * middle of a path.
   *
   * @default {[]}
   */
  exempt?: readonly RegExp[];
}

/**
 * The safe methods (RFC 9110 section 9.2.1). Methods are case-sensitive, so `get` is not a safe
 * method.
 */
const SAFE_METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);

/** The header and the form field that carry a token. */
const TOKEN_HEADER = "x-csrf-token";
const TOKEN_FIELD = "_csrf";

const UNKNOWN_ORIGIN = "the request has neither Sec-Fetch-Site nor an Origin other than null";

/** Matches an Origin, and captures its scheme and its host with the optional port. */
const ORIGIN_PATTERN = /^(https?:)\/\/([^\s/\\?#@]+)$/i;
/** Matches a host with an optional port, as in the Host header. */
const AUTHORITY_PATTERN = /^[^\s/\\?#@]+$/;

/**
 * Refuses unsafe requests (all methods except GET, HEAD, OPTIONS and TRACE) that may have been
 * initiated by another site. Register it after `SessionMiddleware`.
 *
 * The first rule that applies decides:
 *
 * 1. If the request has a `Sec-Fetch-Site` header, it passes if the header is `same-origin` or
 *    `none`, or if the Origin is trusted.
 * 2. If it has an `Origin` header other than `null`, it passes if the host and port of the Origin
 *    equal the Host header, or if the Origin is trusted.
 * 3. Otherwise it passes if the form field `_csrf` or the header `x-csrf-token` has a token that
 *    `session.csrfToken()` has returned.
 *
 * A refused request gets a response with status 403 and one line with the reason and what to do. No
 * action and no later middleware runs. If a request passes, the action can still read its body.
 *
 * Behind a proxy that terminates TLS no option is needed, but the proxy must pass the Host header
 * on. Schemes are not compared, and `X-Forwarded-Host` is not trusted.
 *
 * @example Only requests of the same origin pass
 * ```ts
 * import { assertEquals } from "jsr:@std/assert@1.0.13";
 * import { SecurityContext } from "@alosaur/session";
 * import { CsrfMiddleware } from "@alosaur/session/csrf";
 *
 * const csrf = new CsrfMiddleware({ trustedOrigins: ["https://other.example"], exempt: [/^\/webhooks\//] });
 *
 * async function statusOf(site: string): Promise<number | undefined> {
 *   const request = new Request("http://localhost/order", { method: "POST", headers: { "sec-fetch-site": site } });
 *   return (await csrf.onPreRequest(new SecurityContext(request)))?.status;
 * }
 * assertEquals(await statusOf("same-origin"), undefined);
 * assertEquals(await statusOf("cross-site"), 403);
 * ```
 */
export class CsrfMiddleware implements MiddlewareTarget {
  readonly #trusted: ReadonlySet<string>;
  readonly #exempt: readonly RegExp[];

  /**
   * Validates the options.
   *
   * @param options the options, all of them optional
   * @throws {TypeError} if there is an unknown option, `trustedOrigins` is not an array of origins
   * as browsers write them, or `exempt` is not an array of RegExps
   */
  constructor(options: CsrfOptions = {}) {
    checkOptionNames("check requests", options, { trustedOrigins: true, exempt: true });
    const { trustedOrigins = [], exempt = [] } = options;
    if (!Array.isArray(trustedOrigins)) throw invalid("trustedOrigins", "must be an array of origins", trustedOrigins);
    if (!Array.isArray(exempt)) throw invalid("exempt", "must be an array of regular expressions", exempt);
    trustedOrigins.forEach(checkOrigin);
    exempt.forEach(checkRegExp);
    this.#trusted = new Set(trustedOrigins);
    this.#exempt = [...exempt];
  }

  /**
   * Checks a request. Alosaur calls it before the action, and sends the response that it returns.
   *
   * @param context the context of the request
   * @returns the response that refuses the request, or `undefined` if it passes
   * @throws {SessionStoreError} if rule 3 applies and the session is not available because the
   * store failed
   * @throws {DeviceProofError} if rule 3 applies and the session is bound to another device
   */
  onPreRequest(context: HttpContext): Response | undefined | Promise<Response | undefined> {
    const { request } = context;
    if (SAFE_METHODS.has(request.method) || this.#isExempt(request.parserUrl.pathname)) return undefined;

    const origin = request.headers.get("origin");
    const site = request.headers.get("sec-fetch-site");
    if (site !== null) {
      if (site === "same-origin" || site === "none" || this.#isTrusted(origin)) return undefined;
      return refuse(
        context,
        "the browser reports that the request comes from another origin; add that origin to `trustedOrigins` if it may send requests",
      );
    }
    // Browsers also send `null` for a page's own form if the page has
    // `Referrer-Policy: no-referrer` (Fetch Standard, "append a request Origin header"), so `null`
    // says nothing about the origin.
    if (origin !== null && origin !== "null") {
      if (this.#isTrusted(origin) || isSameHost(origin, hostOf(context))) return undefined;
      return refuse(
        context,
        "the header Origin names neither the host of the request nor a trusted origin; add the origin to `trustedOrigins`, or " +
          "check that the proxy passes the header Host on",
      );
    }
    return this.#checkToken(context);
  }

  /** Does nothing, because requests are checked before the action. */
  onPostRequest(_context: HttpContext): void {}

  #isExempt(pathname: string): boolean {
    // `test()` is stateful for patterns with /g or /y; `search()` is not.
    return this.#exempt.some((pattern) => pathname.search(pattern) !== -1);
  }

  #isTrusted(origin: string | null): boolean {
    return origin !== null && this.#trusted.has(origin);
  }

  async #checkToken(context: HttpContext): Promise<Response | undefined> {
    const session = sessionOf(context);
    // Not a refusal, because the token may be valid and the client can retry.
    if (session !== undefined) stateOf(session).requireAvailable("csrfToken");
    // Without a session there is no valid token, so the body need not be read.
    if (session?.expiresAt === undefined) {
      return refuse(
        context,
        `${UNKNOWN_ORIGIN}, and it has no session; load the page again, or send one of these headers; check that ` +
          "SessionMiddleware runs before CsrfMiddleware, or list the path in `exempt`",
      );
    }
    const header = context.request.headers.get(TOKEN_HEADER);
    if (header !== null && session.verifyCsrfToken(header)) return undefined;
    const field = await readTokenField(context);
    if (field !== undefined && session.verifyCsrfToken(field)) return undefined;
    return refuse(
      context,
      `${UNKNOWN_ORIGIN}, and it does not carry the token of its session; load the page again, and send csrfToken() in ` +
        `the field ${TOKEN_FIELD} or the header ${TOKEN_HEADER}`,
    );
  }
}

/** Returns the session that `SessionMiddleware` has attached to the context. */
function sessionOf(context: HttpContext): Session | undefined {
  const session = (context as HttpContext & { security?: { session?: unknown } }).security?.session;
  return session instanceof Session ? session : undefined;
}

/** Returns the host of the request, with the port if the client sent one. */
function hostOf({ request }: HttpContext): string {
  // HTTP/2 replaces Host with `:authority` (RFC 9113 section 8.3.1), which Deno exposes in the URL
  // only.
  return request.headers.get("host") ?? request.parserUrl.host;
}

/**
 * Returns whether an Origin has the host and port of the Host header.
 *
 * Schemes are not compared, because they differ behind a proxy that terminates TLS. The scheme of
 * the Origin determines the default port, which some proxies include, as in `example.com:443`.
 */
function isSameHost(origin: string, host: string): boolean {
  const [, scheme, authority = ""] = ORIGIN_PATTERN.exec(origin) ?? [];
  if (scheme === undefined || !AUTHORITY_PATTERN.test(host)) return false;
  const own = URL.parse(`${scheme}//${host}`)?.host;
  return own !== undefined && own === URL.parse(`${scheme}//${authority}`)?.host;
}

/**
 * Reads the token field if the body is a form. A malformed body never throws.
 *
 * This reads a copy of the body, because `request.body()` has three problems. It caches its result,
 * so the action's `Body()` would get a body that was parsed without its options. It does not parse
 * `application/x-www-form-urlencoded; charset=UTF-8`. It rejects for a malformed multipart body.
 */
async function readTokenField({ request }: HttpContext): Promise<string | undefined> {
  const type = request.headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase();
  if (type !== "application/x-www-form-urlencoded" && type !== "multipart/form-data") return undefined;
  try {
    const { serverRequest } = request;
    // If an earlier middleware has read the body, Alosaur has cached the parsed form.
    const form: unknown = serverRequest.bodyUsed ? await request.body() : await serverRequest.clone().formData();
    const field = form instanceof FormData
      ? form.get(TOKEN_FIELD)
      : (form as Record<string, unknown> | undefined)?.[TOKEN_FIELD];
    return typeof field === "string" ? field : undefined;
  } catch {
    return undefined;
  }
}

/** Returns the response that refuses a request. It never repeats content of the request. */
function refuse(context: HttpContext, reason: string): Response {
  // Alosaur sends the response of a middleware without the context's headers.
  const headers = new Headers(context.response.headers);
  headers.set("content-type", "text/plain; charset=utf-8");
  headers.set("cache-control", "no-store");
  const response = new Response(`Refused (CSRF): ${reason}.`, { status: 403, headers });
  return sessionOf(context)?.applyTo(response) ?? response;
}

function checkOrigin(origin: unknown): void {
  const url = typeof origin === "string" ? URL.parse(origin) : null;
  // A URL may have the host `*`, which looks like a wildcard but is not one.
  const isOrigin = url !== null && !url.host.includes("*") && ORIGIN_PATTERN.test(url.origin);
  if (isOrigin && url.origin === origin) return;
  const example = isOrigin ? `; write ${JSON.stringify(url.origin)}` : ', such as "https://other.example"';
  throw invalid("trustedOrigins", `must contain origins as browsers send them${example}`, origin);
}

function checkRegExp(pattern: unknown): void {
  if (!(pattern instanceof RegExp)) throw invalid("exempt", "must contain regular expressions", pattern);
}

function invalid(option: string, requirement: string, received: unknown): TypeError {
  return optionError("check requests", option, requirement, received);
}
