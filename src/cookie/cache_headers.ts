/**
 * Keeps the response to one visitor out of caches that several visitors share.
 *
 * @module
 */

/**
 * Headers that tell a shared cache more than `Cache-Control` does, and take precedence over it
 * there: RFC 9213 and its vendors, the Edge Architecture Specification, Akamai and nginx.
 */
const TARGETED_HEADERS = [
  "cdn-cache-control",
  "cloudflare-cdn-cache-control",
  "netlify-cdn-cache-control",
  "vercel-cdn-cache-control",
  "surrogate-control",
  "edge-control",
  "x-accel-expires",
];

/**
 * Forbids shared caches to store the response, unless the application has done so. For a response
 * that sets the session cookie.
 */
export function forbidSharedCaching(headers: Headers): void {
  if (!hasDirective(headers.get("cache-control"), NOT_STORED)) headers.set("cache-control", "no-store");
}

/**
 * Marks the response as private, unless the application has restricted shared caches itself. For a
 * response that was made for one visitor. Directives for the browser's own cache, such as
 * `max-age`, are kept.
 */
export function markPrivate(headers: Headers): void {
  const current = headers.get("cache-control");
  if (current === null) {
    headers.set("cache-control", "private");
  } else if (!hasDirective(current, NOT_SHARED)) {
    const kept = directivesOf(current).filter((directive) => !/^(public|s-maxage\b.*|)$/i.test(directive));
    headers.set("cache-control", ["private", ...kept].join(", "));
  }
}

/**
 * Removes headers for one kind of cache that allow more than `Cache-Control` does, after
 * {@linkcode forbidSharedCaching} or {@linkcode markPrivate}.
 */
export function removeTargetedHeaders(headers: Headers): void {
  const accepted = hasDirective(headers.get("cache-control"), ["no-store"]) ? NOT_STORED : NOT_SHARED;
  for (const name of TARGETED_HEADERS) {
    const value = headers.get(name);
    // In X-Accel-Expires, 0 disables caching.
    if (value !== null && value.trim() !== "0" && !hasDirective(value, accepted)) headers.delete(name);
  }
}

/** Returns whether there are no headers. `forEach()` takes 0.04 µs then, and an iterator 0.7 µs. */
export function isEmpty(headers: Headers): boolean {
  let empty = true;
  headers.forEach(() => empty = false);
  return empty;
}

/** With one of these, no shared cache stores the response (RFC 9111 section 5.2.2). */
const NOT_STORED: readonly string[] = ["no-store", "private"];

/** With one of these, no shared cache uses the response without asking the server. */
const NOT_SHARED: readonly string[] = [...NOT_STORED, "no-cache"];

/** A qualified directive such as `private="field"` covers one field only, so it does not count. */
function hasDirective(value: string | null, accepted: readonly string[]): boolean {
  return value !== null && directivesOf(value).some((directive) => accepted.includes(directive.toLowerCase()));
}

function directivesOf(value: string): string[] {
  return value.split(",").map((directive) => directive.trim());
}
