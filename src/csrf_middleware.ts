/**
 * Refuses requests that another site makes in a visitor's name (cross-site request forgery).
 *
 * The rules are those of the OWASP Cross-Site Request Forgery Prevention Cheat Sheet: Fetch Metadata first, then the Origin, then a
 * token.
 *
 * @module
 */
import type { HttpContext, MiddlewareTarget } from "../deps.ts";
import { SessionStoreError } from "./errors.ts";
import { Session } from "./session.ts";

/** The options of `CsrfMiddleware`. */
export interface CsrfOptions {
  /**
   * Other origins whose pages may send unsafe requests here, each as a browser writes it in the Origin header (RFC 6454 section 6.2):
   * `"https://other.example"`, without a path, a slash at the end or the scheme's own port. There are no wildcards.
   *
   * @default {[]}
   */
  trustedOrigins?: readonly string[];
  /**
   * Paths that are not checked, such as a webhook's, which proves by a signature where it comes from. Each is matched against the URL's
   * pathname; begin it with `^`, or it matches in the middle of a path too.
   *
   * @default {[]}
   */
  exempt?: readonly RegExp[];
}

/** The methods that ask for nothing but a look (RFC 9110 section 9.2.1). Methods are case-sensitive: `get` is none of these. */
const SAFE_METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);

/** Where a token is looked for. */
const HEADER = "x-csrf-token";
const FIELD = "_csrf";

/** The form of an Origin, and of what stands behind its scheme: a host with a port or without. */
const ORIGIN = /^(https?:)\/\/([^\s/\\?#@]+)$/i;
const AUTHORITY = /^[^\s/\\?#@]+$/;

/**
 * Lets an unsafe request (any but GET, HEAD, OPTIONS and TRACE) pass only where the visitor's own browser says that it comes from this
 * application, or where it carries the session's token. Register it after `SessionMiddleware`.
 *
 * 1. With a header `Sec-Fetch-Site`: `same-origin` and `none` pass; anything else only where the Origin is trusted.
 * 2. Else with an `Origin`: its host must be the request's Host, or it must be trusted. `null` is neither.
 * 3. Else the field `_csrf` of a form, or the header `x-csrf-token`, must be `await session.csrfToken()`.
 *
 * What is refused is answered with 403 and one line that says why; no action and no later middleware runs. The body stays as it was, for
 * the action to read.
 *
 * Schemes are not compared and `X-Forwarded-Host` is not believed, so a proxy that ends TLS needs no option: it only has to pass the
 * Host header on.
 *
 * @example
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
   * Checks the options.
   *
   * @param options none is needed
   * @throws {TypeError} if `trustedOrigins` holds what no browser would write as an Origin, or `exempt` what is not a RegExp
   */
  constructor(options: CsrfOptions = {}) {
    if (typeof options !== "object" || options === null) throw invalid("the options", "must be an object");
    const { trustedOrigins = [], exempt = [] } = options;
    if (!Array.isArray(trustedOrigins)) throw invalid("`trustedOrigins`", "must be an array");
    if (!Array.isArray(exempt)) throw invalid("`exempt`", "must be an array");
    trustedOrigins.forEach(checkOrigin);
    exempt.forEach(checkRegExp);
    this.#trusted = new Set(trustedOrigins);
    this.#exempt = [...exempt];
  }

  /**
   * Decides whether a request may go on. Alosaur calls it before the action, and sends what it returns.
   *
   * @param context the request
   * @returns the refusal; `undefined` where the request may go on
   * @throws {SessionStoreError} if it is the token that decides, and the store could not be asked for its session
   */
  onPreRequest(context: HttpContext): Response | undefined | Promise<Response | undefined> {
    const { request } = context;
    if (SAFE_METHODS.has(request.method) || this.#isExempt(request.parserUrl.pathname)) return undefined;

    const origin = request.headers.get("origin");
    const site = request.headers.get("sec-fetch-site");
    if (site !== null) {
      if (site === "same-origin" || site === "none" || this.#isTrusted(origin)) return undefined;
      return refusal(
        context,
        "the browser says that the request comes from another origin, and that is not a trusted one",
      );
    }
    if (origin !== null) {
      if (this.#isTrusted(origin) || isOwn(origin, hostOf(context))) return undefined;
      return refusal(context, "the Origin of the request is neither its Host nor a trusted one");
    }
    return this.#checkToken(context);
  }

  /** Does nothing: all is decided before the action. */
  onPostRequest(_context: HttpContext): void {}

  #isExempt(pathname: string): boolean {
    // Not `test()`: with /g and /y that begins where the last request's match ended.
    return this.#exempt.some((pattern) => pathname.search(pattern) !== -1);
  }

  #isTrusted(origin: string | null): boolean {
    return origin !== null && this.#trusted.has(origin);
  }

  async #checkToken(context: HttpContext): Promise<Response | undefined> {
    const session = sessionOf(context);
    if (session?.available === false) {
      // Not a refusal: the request may be as it should be, and can be sent again.
      throw new SessionStoreError(
        "csrfToken",
        "Cannot check the CSRF token: the session is not available, because the store failed",
      );
    }
    // Who has no record has no token: their body is not worth reading.
    if (session?.expiresAt === undefined) {
      return refusal(
        context,
        "the request says nothing of where it comes from, and has no session whose token it could carry",
      );
    }
    const header = context.request.headers.get(HEADER);
    if (header !== null && session.verifyCsrfToken(header)) return undefined;
    const field = await readField(context);
    if (field !== undefined && session.verifyCsrfToken(field)) return undefined;
    return refusal(
      context,
      "the request says nothing of where it comes from, and does not carry the token of its session",
    );
  }
}

/** The session that `SessionMiddleware` has put on the context. */
function sessionOf(context: HttpContext): Session | undefined {
  const session = (context as HttpContext & { security?: { session?: unknown } }).security?.session;
  return session instanceof Session ? session : undefined;
}

/** The request's host, with its port where the client has named one. */
function hostOf({ request }: HttpContext): string {
  // HTTP/2 has `:authority` in place of Host (RFC 9113 section 8.3.1), which Deno puts into the URL alone.
  return request.headers.get("host") ?? request.parserUrl.host;
}

/**
 * Tells whether an Origin is that of the host which the request is for.
 *
 * The schemes are not compared, because behind a proxy that ends TLS they differ. The scheme of the Origin says which port may be left
 * out: some proxies write `example.com:443`.
 */
function isOwn(origin: string, host: string): boolean {
  const [, scheme, authority = ""] = ORIGIN.exec(origin) ?? [];
  if (scheme === undefined || !AUTHORITY.test(host)) return false;
  const own = URL.parse(`${scheme}//${host}`)?.host;
  return own !== undefined && own === URL.parse(`${scheme}//${authority}`)?.host;
}

/**
 * Reads the token's field out of a form, if the body is one. Nothing that a client sends makes this throw.
 *
 * A copy of the body is read. `request.body()` would keep what it parsed for the action, but without the options that the action's `Body()`
 * gives it; it leaves `application/x-www-form-urlencoded; charset=UTF-8` unparsed; and it rejects where a multipart body is malformed.
 */
async function readField({ request }: HttpContext): Promise<string | undefined> {
  const type = request.headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase();
  if (type !== "application/x-www-form-urlencoded" && type !== "multipart/form-data") return undefined;
  try {
    const { serverRequest } = request;
    // Where a middleware before this one has read the body, what it parsed is kept.
    const form: unknown = serverRequest.bodyUsed ? await request.body() : await serverRequest.clone().formData();
    const field = form instanceof FormData ? form.get(FIELD) : (form as Record<string, unknown> | undefined)?.[FIELD];
    return typeof field === "string" ? field : undefined;
  } catch {
    return undefined;
  }
}

/** The answer to a request that is not let through. `why` is ours alone: nothing of the request is repeated. */
function refusal({ response }: HttpContext, why: string): Response {
  // Alosaur sends what a middleware returns without these headers. The new cookie of a session whose id has just been renewed is one.
  const headers = new Headers(response.headers);
  headers.set("content-type", "text/plain; charset=utf-8");
  headers.set("cache-control", "no-store");
  return new Response(`Refused (CSRF): ${why}.`, { status: 403, headers });
}

function checkOrigin(origin: unknown): void {
  if (typeof origin !== "string") throw invalid("`trustedOrigins`", "must hold strings");
  const url = URL.parse(origin);
  // URLs allow a host of `*`, which would look as if it matched anything.
  const isPattern = origin.includes("*");
  if (!isPattern && ORIGIN.test(origin) && url?.origin === origin) return;
  const hint = isPattern || url === null || url.origin === "null" ? "" : `: write ${JSON.stringify(url.origin)}`;
  throw invalid(
    "`trustedOrigins`",
    `must hold origins as browsers send them ("https://other.example"), which ${JSON.stringify(origin)} is not${hint}`,
  );
}

function checkRegExp(pattern: unknown): void {
  if (!(pattern instanceof RegExp)) throw invalid("`exempt`", "must hold regular expressions");
}

function invalid(option: string, what: string): TypeError {
  return new TypeError(`Cannot check requests: ${option} ${what}`);
}
