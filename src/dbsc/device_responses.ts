/**
 * The responses of `DeviceBoundMiddleware`. None of them repeats content of the request.
 *
 * @module
 */

/** Pages are readable without it, if the application's Content-Security-Policy does not allow it. */
const STYLE = "body{max-width:36rem;margin:2rem auto;padding:0 1rem;font:1.0625rem/1.5 system-ui,sans-serif}" +
  "button{padding:.5rem 1rem;font:inherit}";

/** Returns a response with one line of text, or without a body. */
export function textResponse(status: number, text?: string): Response {
  return new Response(text === undefined ? null : `${text}\n`, {
    status,
    headers: { "cache-control": "no-store", "content-type": "text/plain; charset=utf-8" },
  });
}

/** Returns a response with JSON. */
export function jsonResponse(body: object): Response {
  return Response.json(body, { headers: { "cache-control": "no-store" } });
}

/**
 * Returns the response to a request that does not prove that it comes from the device of its
 * session.
 *
 * @param path the endpoint, which deletes the cookies of a browser that posts the form to it
 */
export function refusedResponse(headers: Headers, method: string, path: string): Response {
  if (!isPage(headers)) {
    return textResponse(
      401,
      "Refused: the session is bound to a device, and the request does not prove that it comes from there.",
    );
  }
  // The proof can fail for a moment only: a network error, or a browser that has signed too often.
  const retry = method === "GET" ? `<a href="">Try again</a>` : "Go back and try again";
  const response = page(
    401,
    "This device is not confirmed",
    "<p>Your session is bound to one device, and this browser could not prove that it runs there.\n" +
      `<p>${retry}. If that does not help, this browser has lost its key to the session.\n` +
      `<form method="post" action="${path}"><button>Sign in again</button></form>`,
  );
  // The reload comes from this page, so the browser renews the bound cookie then, and the page
  // cannot reload a second time.
  if (isForeignPage(headers, method)) response.headers.set("refresh", "0");
  return response;
}

/**
 * Returns the response to a request that demands a bound session.
 *
 * @param isPending whether the browser may be about to register its key; a page then reloads itself
 */
export function demandResponse(headers: Headers, isPending: boolean): Response {
  if (!isPage(headers)) return textResponse(403, "Refused: this page needs a session that is bound to a device.");
  const response = page(
    403,
    "This browser is not supported",
    "<p>This page needs a session that is bound to your device. Sign in with a browser that can bind it, such as a current\n" +
      "Chrome on Windows.",
  );
  if (isPending) response.headers.set("refresh", "1");
  return response;
}

/** Returns whether a browser will show the response as a page, perhaps in a frame. */
export function isPage(headers: Headers): boolean {
  return headers.get("sec-fetch-mode") === "navigate";
}

/** Returns whether another site has opened this page. Browsers do not renew the bound cookie for it. */
export function isForeignPage(headers: Headers, method: string): boolean {
  const site = headers.get("sec-fetch-site");
  return method === "GET" && isPage(headers) && (site === "cross-site" || site === "same-site");
}

function page(status: number, title: string, body: string): Response {
  const html = `<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n` +
    `<meta name="viewport" content="width=device-width">\n<meta name="color-scheme" content="light dark">\n` +
    // Without it, the browser would request an icon, and that is refused as well.
    `<link rel="icon" href="data:,">\n<title>${title}</title>\n<style>${STYLE}</style>\n<h1>${title}</h1>\n${body}\n`;
  return new Response(html, {
    status,
    headers: { "cache-control": "no-store", "content-type": "text/html; charset=utf-8" },
  });
}
