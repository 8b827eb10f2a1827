/** Requests without a server: what Alosaur does with a middleware, in its order. */
import {
  type Context,
  MemoryStore,
  SecurityContext,
  type Session,
  SessionMiddleware,
  type SessionOptions,
  type SessionStore,
} from "../../mod.ts";

/** 32 bytes that are nobody's secret. */
export const SECRET = "kept out of every log and message";

/** What a request is made of; all of it may be left out. */
export interface Visit {
  /** The Cookie header. */
  cookie?: string;
  url?: string;
  method?: string;
  headers?: Record<string, string>;
}

/** A middleware on a store, ready. */
export function start(
  options: Partial<SessionOptions> = {},
  store: SessionStore = new MemoryStore(),
): SessionMiddleware {
  return new SessionMiddleware(store, { secret: SECRET, ...options });
}

/** A request's context. */
export function contextOf({ cookie, url = "http://localhost/", method, headers = {} }: Visit = {}): SecurityContext {
  const request = new Request(url, { headers, method });
  // `Request` refuses to set a Cookie header in some runtimes' constructors; its headers do not.
  if (cookie !== undefined) request.headers.set("cookie", cookie);
  return new SecurityContext(request);
}

/** Sends a request through the middleware: before, the action, after, merge. */
export async function visit(
  middleware: SessionMiddleware,
  request: Visit,
  action: (context: SecurityContext) => unknown = () => "ok",
): Promise<Response> {
  const context = contextOf(request);
  await middleware.onPreRequest(context);
  context.response.result = await action(context);
  await middleware.onPostRequest(context);
  return merged(context);
}

/** A session under way, as an action has it. */
export interface Opened {
  session: Session;
  context: SecurityContext;
  /** Ends the request. */
  finish: () => Promise<Response>;
}

/** Begins a request, and leaves it to the test to go on. */
export async function open(middleware: SessionMiddleware, cookie?: string): Promise<Opened> {
  const context = contextOf({ cookie });
  await middleware.onPreRequest(context);
  return {
    session: context.security.session,
    context,
    finish: async () => {
      context.response.result = "ok";
      await middleware.onPostRequest(context);
      return merged(context);
    },
  };
}

/** The response as it goes to the client. */
export function merged(context: Context): Response {
  const result = context.response.getMergedResult();
  if (result instanceof Response) return result;
  return new Response(result.body as BodyInit | null, { status: result.status, headers: result.headers });
}

/** A `Set-Cookie` line, taken apart. Attribute names are in lower case; one without a value is `true`. */
export interface SetCookie {
  name: string;
  value: string;
  attributes: Record<string, string | true>;
}

/** The cookies that a response sets. */
export function setCookies(headers: Headers): SetCookie[] {
  return headers.getSetCookie().map((line) => {
    const [pair = "", ...rest] = line.split("; ");
    const at = pair.indexOf("=");
    const attributes: Record<string, string | true> = {};
    for (const attribute of rest) {
      const [name = "", ...value] = attribute.split("=");
      attributes[name.toLowerCase()] = value.length === 0 ? true : value.join("=");
    }
    return { name: pair.slice(0, at), value: pair.slice(at + 1), attributes };
  });
}

/** The one cookie that a response sets. */
export function onlyCookie(headers: Headers): SetCookie {
  const cookies = setCookies(headers);
  const [cookie] = cookies;
  if (cookie === undefined || cookies.length !== 1) throw new Error(`${cookies.length} cookies where one was expected`);
  return cookie;
}

/** The Cookie header of a client that has received a response. */
export function cookieOf(response: { headers: Headers }): string {
  const { name, value } = onlyCookie(response.headers);
  return `${name}=${value}`;
}

/** Begins a session with some values; returns the Cookie header of its client. */
export async function signUp(
  middleware: SessionMiddleware,
  values: Record<string, unknown> = { user: "ada" },
): Promise<string> {
  const response = await visit(middleware, {}, async (context) => {
    for (const [key, value] of Object.entries(values)) await context.security.session.set(key, value);
    return "ok";
  });
  return cookieOf(response);
}

/** Reads one value with a client's cookie. */
export async function read(middleware: SessionMiddleware, cookie: string, key = "user"): Promise<unknown> {
  let value: unknown;
  await visit(middleware, { cookie }, async (context) => {
    value = await context.security.session.get(key);
    return "ok";
  });
  return value;
}
