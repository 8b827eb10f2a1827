/**
 * Sends the session cookie with every kind of response that Alosaur supports.
 *
 * @module
 */
import type { AlosaurResponse, HttpContext } from "../../deps.ts";
import type { CookiePolicy } from "./cookie_policy.ts";
import { isDeletion, type SessionCookie } from "./session_cookie.ts";

type MergedResult = ReturnType<AlosaurResponse["getMergedResult"]>;

/** The part of the policy that a response needs. */
type Policy = Pick<CookiePolicy, "cookie" | "isSecure" | "onCookieSet">;

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
  #line: string | undefined;
  /**
   * Whether the line can no longer change. If it is final without a line, the cookies that the
   * application sets are left unchanged.
   */
  #isFinal = false;
  #wasMerged = false;

  constructor(context: HttpContext, policy: Policy) {
    this.#context = context;
    this.#policy = policy;
    const response = context.response;
    const merge = response.getMergedResult;
    response.getMergedResult = () => this.#merge(response, merge);
  }

  /** Whether there is a line that Alosaur has not merged into the response yet. */
  get isPending(): boolean {
    return this.#line !== undefined && !this.#wasMerged;
  }

  /**
   * Sets the cookie in the client.
   *
   * @param value the signed id
   * @param expiresAt when the cookie expires, in milliseconds since the epoch
   */
  send(value: string, expiresAt: number): void {
    if (this.#isFinal) return;
    const line = this.#cookie.serialize(value, this.#policy.isSecure(this.#context), expiresAt);
    this.#setLine(line);
    this.#policy.onCookieSet(this.#context, line);
  }

  /** Deletes the cookie in the client. Later calls of `send()` and `cancel()` are ignored. */
  clear(): void {
    if (this.#isDisabled) return;
    this.#setDeletion();
    this.#isFinal = true;
  }

  /** Cancels an earlier {@linkcode send}: the response leaves the client's cookie unchanged. */
  cancel(): void {
    if (!this.#isFinal) this.#setLine(undefined);
  }

  /** Cancels an earlier {@linkcode send}. Later calls change nothing. */
  disable(): void {
    this.#setLine(undefined);
    this.#isFinal = true;
  }

  get #isDisabled(): boolean {
    return this.#isFinal && this.#line === undefined;
  }

  get #cookie(): SessionCookie {
    return this.#policy.cookie;
  }

  #setDeletion(): void {
    this.#setLine(this.#cookie.serializeDeletion(this.#policy.isSecure(this.#context)));
  }

  #setLine(line: string | undefined): void {
    this.#line = line;
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

  #merge(response: AlosaurResponse, merge: AlosaurResponse["getMergedResult"]): MergedResult {
    this.#wasMerged = true;
    if (this.#isDisabled) return merge.call(response);
    const result: unknown = response.result;
    const contextLines = response.headers.getSetCookie();
    const resultLines = headersOf(result)?.getSetCookie() ?? [];
    if (this.#line === undefined && contextLines.length === 0 && resultLines.length === 0) return merge.call(response);
    // If the application has added a line that deletes the cookie, the deletion takes precedence.
    const deletes = (line: string): boolean => line !== this.#line && this.#cookie.matches(line) && isDeletion(line);
    if (contextLines.some(deletes) || resultLines.some(deletes)) this.#setDeletion();
    let merged: MergedResult;
    try {
      // Alosaur appends our line to the headers of the result. It gets a copy, so that a shared
      // result never carries a client's cookie.
      if (isActionResult(result)) response.result = { ...result, headers: new Headers(result.headers) };
      merged = merge.call(response);
    } finally {
      response.result = result;
    }
    if (merged instanceof Response) return this.#applyToResponse(merged);
    this.#finalizeHeaders(merged.headers);
    return merged;
  }

  /**
   * Applies the line to a copy of a native response, because the original may be immutable or
   * shared.
   */
  #applyToResponse(response: Response): Response {
    // A WebSocket upgrade and a network error cannot be copied. A response whose body was read
    // cannot be sent.
    if (response.status < 200 || response.bodyUsed) return response;
    const headers = new Headers(response.headers);
    this.#finalizeHeaders(headers);
    return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
  }

  /** Applies the line, and keeps a response that carries it out of shared caches. */
  #finalizeHeaders(headers: Headers): void {
    this.#replaceLine(headers, this.#line);
    if (this.#line !== undefined && !preventsSharedCaching(headers.get("cache-control"))) {
      headers.set("cache-control", "no-store");
    }
  }
}

function headersOf(result: unknown): Headers | undefined {
  return result instanceof Response || isActionResult(result) ? result.headers : undefined;
}

function isActionResult(result: unknown): result is { headers: Headers; __isActionResult: true } {
  return typeof result === "object" && result !== null && "__isActionResult" in result && "headers" in result &&
    result.headers instanceof Headers;
}

/**
 * Returns whether a Cache-Control header keeps the complete response out of shared caches (RFC 9111
 * section 5.2.2). `private="field"` covers one field only.
 */
function preventsSharedCaching(cacheControl: string | null): boolean {
  if (cacheControl === null) return false;
  return cacheControl.toLowerCase().split(",").some((directive) => ["no-store", "private"].includes(directive.trim()));
}
