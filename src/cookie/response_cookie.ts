/**
 * Brings the session cookie to the client, whatever the application answers with.
 *
 * @module
 */
import type { AlosaurResponse, HttpContext } from "../../deps.ts";
import type { CookiePolicy } from "./cookie_policy.ts";
import { isDeletion, type SessionCookie } from "./session_cookie.ts";

type Merged = ReturnType<AlosaurResponse["getMergedResult"]>;

/** What a response's cookie needs to know of the options. */
type Policy = Pick<CookiePolicy, "cookie" | "isSecure" | "onCookieSet">;

/**
 * The session's `Set-Cookie` line of one response.
 *
 * The line goes into `context.response.headers` at once, because Alosaur skips `onPostRequest` in several paths. That alone
 * would not do: Alosaur returns a native `Response` without those headers, and it appends them to the headers of an action result,
 * which the application (or a cache) may return to somebody else next. So `getMergedResult()`, through which every
 * answer but that to an uncaught error passes, is replaced on this one response.
 */
export class ResponseCookie {
  readonly #context: HttpContext;
  readonly #cookie: SessionCookie;
  readonly #policy: Policy;
  #line: string | undefined;
  #wasMerged = false;
  #isFinal = false;
  #isDisabled = false;

  constructor(context: HttpContext, policy: Policy) {
    this.#context = context;
    this.#cookie = policy.cookie;
    this.#policy = policy;
    const response = context.response;
    const merge = response.getMergedResult;
    response.getMergedResult = () => this.#merge(response, merge);
  }

  /** Whether there is a line that did not leave (yet). */
  get isPending(): boolean {
    return this.#line !== undefined && !this.#wasMerged;
  }

  /**
   * Gives the client the cookie.
   *
   * @param value the signed id
   * @param until the end of the cookie, in milliseconds since the epoch
   */
  send(value: string, until: number): void {
    const line = this.#cookie.serialize(value, this.#policy.isSecure(this.#context), until);
    this.#put(line);
    this.#policy.onCookieSet(this.#context, line);
  }

  /** Removes the cookie from the client. Later calls change nothing. */
  clear(): void {
    this.#put(this.#cookie.serializeDeletion(this.#policy.isSecure(this.#context)));
    this.#isFinal = true;
  }

  /** Says nothing, whatever was said before. */
  cancel(): void {
    this.#put(undefined);
  }

  /** From now on neither gives nor takes the cookie. */
  disable(): void {
    this.cancel();
    this.#isDisabled = true;
  }

  #put(line: string | undefined): void {
    if (this.#isDisabled || this.#isFinal) return;
    this.#line = line;
    this.#rewrite(this.#context.response.headers, line);
  }

  /** Leaves at most one line of our name in `headers`: `line`. */
  #rewrite(headers: Headers, line: string | undefined): void {
    const lines = cookiesIn(headers);
    if (lines.length === 1 && lines[0] === line) return;
    if (lines.some((other) => this.#cookie.matches(other))) {
      headers.delete("set-cookie");
      for (const other of lines) {
        if (!this.#cookie.matches(other)) headers.append("set-cookie", other);
      }
    }
    if (line !== undefined) headers.append("set-cookie", line);
  }

  #merge(response: AlosaurResponse, merge: AlosaurResponse["getMergedResult"]): Merged {
    this.#wasMerged = true;
    if (this.#isDisabled) return merge.call(response);
    const result: unknown = response.result;
    const own = cookiesIn(response.headers);
    const theirs = cookiesIn(headersOf(result));
    if (this.#line === undefined && own.length === 0 && theirs.length === 0) return merge.call(response);
    // A line that something else put there after ours, and that takes the cookie away, is obeyed.
    const clears = (line: string): boolean => line !== this.#line && this.#cookie.matches(line) && isDeletion(line);
    if (own.some(clears) || theirs.some(clears)) this.clear();
    let merged: Merged;
    try {
      // Alosaur appends our header to the result's own headers: to a copy, so that no client's cookie stays on a shared result.
      if (isActionResult(result)) response.result = { ...result, headers: new Headers(result.headers) };
      merged = merge.call(response);
    } finally {
      response.result = result;
    }
    if (merged instanceof Response) return this.#applyToResponse(merged);
    this.#finalizeHeaders(merged.headers);
    return merged;
  }

  /** Puts the line on a native response, which may be immutable and may be returned again: on a copy. */
  #applyToResponse(response: Response): Response {
    // An upgrade to a WebSocket and a network error cannot be copied; a body that was read cannot be sent at all.
    if (response.status < 200 || response.bodyUsed) return response;
    const headers = new Headers(response.headers);
    this.#finalizeHeaders(headers);
    return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
  }

  #finalizeHeaders(headers: Headers): void {
    this.#rewrite(headers, this.#line);
    if (this.#line !== undefined && !isPrivate(headers.get("cache-control"))) headers.set("cache-control", "no-store");
  }
}

/** The `Set-Cookie` lines in headers. Most have none, which is told faster than a list of them is made. */
function cookiesIn(headers: Headers | undefined): readonly string[] {
  return headers !== undefined && headers.has("set-cookie") ? headers.getSetCookie() : NONE;
}

const NONE: readonly string[] = [];

function headersOf(result: unknown): Headers | undefined {
  return result instanceof Response || isActionResult(result) ? result.headers : undefined;
}

function isActionResult(result: unknown): result is { headers: Headers; __isActionResult: true } {
  return typeof result === "object" && result !== null && "__isActionResult" in result && "headers" in result &&
    result.headers instanceof Headers;
}

/** Tells whether a Cache-Control keeps a response from shared caches (RFC 9111 section 5.2.2). `private="field"` does not. */
function isPrivate(cacheControl: string | null): boolean {
  if (cacheControl === null) return false;
  return cacheControl.toLowerCase().split(",").some((directive) => ["no-store", "private"].includes(directive.trim()));
}
