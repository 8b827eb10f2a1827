/**
 * Sends the session cookie with every kind of response that Alosaur supports.
 *
 * @module
 */
import type { AlosaurResponse, HttpContext } from "../../deps.ts";
import { forbidSharedCaching, isEmpty, markPrivate, removeTargetedHeaders } from "./cache_headers.ts";
import type { CookiePolicy } from "./cookie_policy.ts";
import { REGISTRATION_HEADER } from "./device_guard.ts";
import { isDeletion, type SessionCookie } from "./session_cookie.ts";

type MergedResult = ReturnType<AlosaurResponse["getMergedResult"]>;

/** The part of the policy that a response needs. */
type Policy =
  & Pick<CookiePolicy, "cookie" | "cookieFor" | "cookieIfKnown" | "isSecure" | "onCookieSet" | "lost">
  & Partial<Pick<CookiePolicy, "shared">>;

/** A cookie that the response carries. */
interface SentCookie {
  readonly line: string;
  /** For a cookie that is only sent again: returns whether it still is that of the session. */
  readonly isCurrent: (() => boolean) | undefined;
}

/**
 * The `Set-Cookie` line of one response.
 *
 * The line is added to `context.response.headers` immediately, because Alosaur skips
 * `onPostRequest` in several cases. The headers alone are not enough. Alosaur ignores them if an
 * action returns a native `Response`. If an action returns an action result, Alosaur appends them
 * to the headers of that object, which the application or a cache may also return to other clients.
 * Every response except the one to an uncaught error passes through `getMergedResult()`, so this
 * class replaces that method on this one response. See docs/decisions/0002.
 */
export class ResponseCookie {
  readonly #context: HttpContext;
  readonly #policy: Policy;
  #sent: SentCookie | undefined;
  /**
   * Whether the line can still change. If it is disabled, the cookies that the application sets are
   * left unchanged.
   */
  #mode: "open" | "final" | "disabled" = "open";
  /** Whether the headers have left. */
  #wasMerged = false;
  /** Whether the response was made for one visitor, because the action has read the session. */
  #isPrivate = false;

  constructor(context: HttpContext, policy: Policy) {
    this.#context = context;
    this.#policy = policy;
    const response = context.response;
    const merge = response.getMergedResult;
    // Not by assignment: V8 then kept 0.9 to 1.6 KB of each request until a full collection, and
    // allocated more in the old generation, which is slower. Object.assign() takes 20 ns more.
    Object.assign(response, { getMergedResult: () => this.#merge(response, merge) });
  }

  /** Whether the headers of the response have left, so that no cookie reaches the client. */
  get wasMerged(): boolean {
    return this.#wasMerged;
  }

  /** Whether the line only sends the client's cookie again, and has not left yet. */
  get isResendPending(): boolean {
    return this.#sent?.isCurrent !== undefined && !this.#wasMerged;
  }

  /** The Cookie header of the request. */
  get header(): string {
    return this.#context.request.headers.get("cookie") ?? "";
  }

  /** The cookies of this name that the client has presented, as `name=value`. */
  get presented(): string[] {
    return this.#cookie.read(this.header);
  }

  /**
   * Makes sure that a new cookie can be sent, before the session is changed.
   *
   * @throws {TypeError} if the function `domain` failed
   */
  prepare(): void {
    this.#policy.cookieFor(this.#context);
  }

  /**
   * Sets the cookie in the client.
   *
   * @param value the signed id
   * @param expiresAt when the cookie expires, as in {@linkcode SessionCookie.serialize}
   * @param isCurrent for a cookie that is only sent again: returns whether the session still has
   * this id. It is called when the response leaves, because the response to another request may
   * have replaced the cookie since. If the function `domain` fails, such a cookie is not sent.
   * @throws {TypeError} if the function `domain` failed for another cookie
   */
  send(value: string, expiresAt: number | undefined, isCurrent?: () => boolean): void {
    if (this.#mode !== "open") return;
    const cookie = isCurrent === undefined
      ? this.#policy.cookieFor(this.#context)
      : this.#policy.cookieIfKnown(this.#context);
    if (cookie === undefined) return;
    const line = cookie.serialize(value, this.#policy.isSecure(this.#context), expiresAt);
    // If the client does not have this cookie yet, it is sent without a check, even if it is set
    // again.
    const isNew = this.#sent !== undefined && this.#sent.isCurrent === undefined;
    this.#setLine(line, isNew ? undefined : isCurrent);
    this.#policy.onCookieSet(this.#context, cookie);
    if (!this.#wasMerged) this.#policy.lost.expect(this, this.#context, value);
    else if (isCurrent === undefined) this.#policy.lost.report("late", this.#context, value);
  }

  /**
   * Deletes the cookie in the client, if the client has presented one. Later calls of `send()` and
   * `cancel()` are ignored.
   *
   * @throws {TypeError} if the function `domain` failed; an earlier {@linkcode send} is cancelled
   * nevertheless
   */
  clear(): void {
    if (this.#mode === "disabled") return;
    this.#setLine(undefined);
    this.#mode = "final";
    if (this.presented.length > 0) this.#setDeletion(this.#policy.cookieFor(this.#context));
  }

  /** Cancels an earlier {@linkcode send}: the response leaves the client's cookie unchanged. */
  cancel(): void {
    if (this.#mode === "open") this.#setLine(undefined);
  }

  /** Cancels an earlier {@linkcode send}. Later calls change nothing. */
  disable(): void {
    this.#setLine(undefined);
    this.#mode = "disabled";
  }

  /** Keeps the response out of shared caches. */
  markPrivate(): void {
    this.#isPrivate = true;
  }

  /**
   * Brings the cookie onto a response that does not pass through Alosaur's merge.
   *
   * @returns a copy of the response; the response itself if there is nothing to add
   */
  applyTo(response: Response): Response {
    this.#dropOutdatedLine();
    const lines = response.headers.getSetCookie();
    this.#honorDeletion(lines);
    // The caller may have copied a line from `context.response.headers` that is outdated now.
    const isUnchanged = this.#line === undefined && !this.#isPrivate &&
      !lines.some((line) => this.#cookie.matches(line));
    return isUnchanged ? response : this.#copy(response);
  }

  get #cookie(): SessionCookie {
    return this.#policy.cookie;
  }

  #setDeletion(cookie: SessionCookie): void {
    this.#setLine(cookie.serializeDeletion(this.#policy.isSecure(this.#context)));
  }

  get #line(): string | undefined {
    return this.#sent?.line;
  }

  #setLine(line: string | undefined, isCurrent?: () => boolean): void {
    this.#sent = line === undefined ? undefined : { line, isCurrent };
    if (line === undefined) this.#policy.lost.markSent(this);
    this.#replaceLine(this.#context.response.headers, line);
  }

  /** Replaces all lines of this cookie in `headers` by `line`, if there is one. */
  #replaceLine(headers: Headers, line: string | undefined): void {
    const lines = headers.getSetCookie();
    if (lines.length === 1 && lines[0] === line) return;
    if (lines.some((other) => this.#cookie.matches(other))) {
      headers.delete("set-cookie");
      for (const other of lines) {
        if (!this.#cookie.matches(other)) headers.append("set-cookie", other);
      }
    }
    if (line !== undefined) headers.append("set-cookie", line);
  }

  /** Another request may have replaced the cookie, which must not return to the client then. */
  #dropOutdatedLine(): void {
    if (this.#sent?.isCurrent?.() === false) this.cancel();
  }

  // Short, because it is all that an untouched session adds to a response.
  #merge(response: AlosaurResponse, merge: AlosaurResponse["getMergedResult"]): MergedResult {
    if (this.#sent !== undefined) this.#dropOutdatedLine();
    this.#wasMerged = true;
    const offer = this.#policy.shared?.guard?.offer(
      this.#context,
      this.#sent !== undefined && this.#sent.isCurrent === undefined,
    );
    const mayChange = this.#sent !== undefined || this.#isPrivate || offer !== undefined ||
      (this.#mode !== "disabled" && setsCookie(response));
    return mayChange ? this.#mergeCopy(response, merge, offer) : merge.call(response);
  }

  #mergeCopy(
    response: AlosaurResponse,
    merge: AlosaurResponse["getMergedResult"],
    offer: string | undefined,
  ): MergedResult {
    const result: unknown = response.result;
    const contextLines = response.headers.getSetCookie();
    const own = headersOf(result);
    if (contextLines.length > 0 || own !== undefined) this.#honorDeletion(contextLines, own?.getSetCookie() ?? []);
    // The copy below gets the line. Alosaur takes 2 µs to make a response of several headers.
    if (contextLines.length === 1 && contextLines[0] === this.#line) response.headers.delete("set-cookie");
    const isPlain = response.body === undefined && own === undefined && isEmpty(response.headers);
    let merged: MergedResult;
    try {
      // Alosaur appends the context's headers to those of the result. It gets a copy, so that a
      // shared result never carries a client's cookie.
      if (isActionResult(result)) response.result = { ...result, headers: new Headers(result.headers) };
      merged = merge.call(response);
    } finally {
      response.result = result;
    }
    // If it is a `Response`, another middleware has made it, which may forbid more than we do.
    const isOurs = isPlain && (this.#line !== undefined || !(merged instanceof Response));
    return isOurs && offer === undefined ? this.#finishPlain(merged) : this.#copy(merged, offer);
  }

  /**
   * Returns the response of a text or an object. Alosaur has made its only header, Content-Type, so
   * ours need not be compared with others, which takes 0.4 µs.
   */
  #finishPlain(merged: MergedResult): Response {
    this.#policy.lost.markSent(this);
    const response = new Response(merged.body, merged);
    if (this.#line !== undefined) response.headers.append("set-cookie", this.#line);
    response.headers.set("cache-control", this.#line === undefined ? "private" : "no-store");
    return response;
  }

  /** If the application has added a line that deletes the cookie, the deletion takes precedence. */
  #honorDeletion(lines: readonly string[], otherLines: readonly string[] = []): void {
    if (this.#mode === "disabled") return;
    const deletes = (line: string): boolean => line !== this.#line && this.#cookie.matches(line) && isDeletion(line);
    if (!lines.some(deletes) && !otherLines.some(deletes)) return;
    const cookie = this.#policy.cookieIfKnown(this.#context);
    if (cookie !== undefined) this.#setDeletion(cookie);
    // The application's own line may delete the cookie nevertheless.
    else this.#mode = "disabled";
  }

  /**
   * Returns a copy of a response with the line, which keeps a response for one visitor out of
   * shared caches. The original may be immutable or shared.
   */
  #copy(response: MergedResult, offer?: string): Response {
    // A WebSocket upgrade and a network error cannot be copied. A response whose body was read
    // cannot be sent.
    if (response instanceof Response && (response.status < 200 || response.bodyUsed)) return response;
    this.#policy.lost.markSent(this);
    const copy = new Response(response.body, response);
    if (this.#mode !== "disabled") this.#replaceLine(copy.headers, this.#line);
    if (this.#line !== undefined) forbidSharedCaching(copy.headers);
    else if (this.#isPrivate) markPrivate(copy.headers);
    else if (offer === undefined) return copy;
    if (offer !== undefined) {
      copy.headers.set(REGISTRATION_HEADER, offer);
      // A copy from the browser's cache would carry an expired challenge.
      copy.headers.set("cache-control", "no-store");
    }
    removeTargetedHeaders(copy.headers);
    return copy;
  }
}

/** Returns whether a response or its result sets any cookie. */
function setsCookie({ headers, result }: AlosaurResponse): boolean {
  if (headers.getSetCookie().length > 0) return true;
  const own = headersOf(result);
  return own !== undefined && own.getSetCookie().length > 0;
}

function headersOf(result: unknown): Headers | undefined {
  return result instanceof Response || isActionResult(result) ? result.headers : undefined;
}

function isActionResult(result: unknown): result is { headers: Headers; __isActionResult: true } {
  return typeof result === "object" && result !== null && "__isActionResult" in result && "headers" in result &&
    result.headers instanceof Headers;
}
