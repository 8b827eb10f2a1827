/** The texts of `CsrfMiddleware`. A refusal is one of them, so it repeats nothing of the request. */
export const REFUSALS: readonly string[] = [
  "the browser reports that the request comes from another origin; add that origin to `trustedOrigins` if it may send requests",
  "the header Origin names neither the host of the request nor a trusted origin; add the origin to `trustedOrigins`, or check " +
  "that the proxy passes the header Host on",
  "the request has neither Sec-Fetch-Site nor an Origin other than null, and it has no session; load the page again, or send one " +
  "of these headers; check that SessionMiddleware runs before CsrfMiddleware, or list the path in `exempt`",
  "the request has neither Sec-Fetch-Site nor an Origin other than null, and it does not carry the token of its session; load the " +
  "page again, and send csrfToken() in the field _csrf or the header x-csrf-token",
].map((reason) => `Refused (CSRF): ${reason}.`);
