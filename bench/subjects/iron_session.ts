/**
 * iron-session, which keeps the values in the cookie, on a function from `Request` to `Response`.
 *
 * @module
 */
import { getIronSession, webCookies } from "npm:iron-session@9.0.1";
import { overFetch, type Subject } from "./subject.ts";

interface Values {
  n?: number;
}

const OPTIONS = {
  cookieName: "session",
  password: "a password of at least 32 characters, of this benchmark",
  cookieOptions: { secure: false },
};

export function ironSession(): Subject<Response> {
  return overFetch({ with: withSessions, without }, () => {});
}

async function withSessions(request: Request): Promise<Response> {
  switch (actionOf(request)) {
    case "read": {
      const session = await getIronSession<Values>(webCookies(request, new Headers()), OPTIONS);
      return new Response(String(session.n ?? "none"));
    }
    case "readWrite": {
      const headers = new Headers();
      const session = await getIronSession<Values>(webCookies(request, headers), OPTIONS);
      const n = session.n = (session.n ?? 0) + 1;
      await session.save();
      return new Response(String(n), { headers });
    }
    case "write": {
      const headers = new Headers();
      const session = await getIronSession<Values>(webCookies(request, headers), OPTIONS);
      session.n = 1;
      await session.save();
      return new Response("1", { headers });
    }
    default:
      return new Response("ok");
  }
}

// deno-lint-ignore require-await -- async like `withSessions`, so that both sides pay for the promise
async function without(request: Request): Promise<Response> {
  return new Response(actionOf(request) === "untouched" ? "ok" : "1");
}

function actionOf(request: Request): string {
  return request.url.slice(request.url.lastIndexOf("/") + 1);
}
