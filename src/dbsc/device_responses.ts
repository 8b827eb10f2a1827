/**
 * The responses of `DeviceBoundMiddleware`. None of them repeats content of the request.
 *
 * @module
 */
import type { SessionMeta } from "../session_store.ts";
import { isPage } from "./device_offers.ts";

/** How long after the sign-in a page waits for the registration of a key, in milliseconds. */
const REGISTRATION_MS = 10_000;

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
 * Returns the response to a request that does not prove that it comes from the device of its session.
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
  const retry = method === "GET" ? `<a href="">Try again</a>. If that does not help, this` : "This";
  const response = page(
    401,
    "This device is not confirmed",
    "<p>Your session is bound to one device, and this browser could not prove that it runs there.\n" +
      `<p>${retry} browser has lost its key to the session.\n` +
      `<form method="post" action="${path}"><button>Sign in again</button></form>`,
  );
  // A browser does not renew the bound cookie for a link from another site. The reload comes from
  // this page, so the browser renews it then, and the page cannot reload a second time.
  const site = headers.get("sec-fetch-site");
  if (method === "GET" && (site === "cross-site" || site === "same-site")) response.headers.set("refresh", "0");
  return response;
}

/** Returns the response to a request that demands a bound session. */
export function demandResponse(headers: Headers, { boundAt, createdAt }: SessionMeta): Response {
  if (!isPage(headers)) return textResponse(403, "Refused: this page needs a session that is bound to a device.");
  const response = page(
    403,
    "This browser is not supported",
    "<p>This page needs a browser that can bind a session to its device, such as a current Chrome or Edge.\n" +
      "<p>If you use one, sign out and sign in again.",
  );
  // The browser may be about to register its key.
  if (Date.now() < (boundAt ?? createdAt) + REGISTRATION_MS) response.headers.set("refresh", "1");
  return response;
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
