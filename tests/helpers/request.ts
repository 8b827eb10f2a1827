/** Requests without a server. They call the middleware in the order in which Alosaur does. */
import {
  type Context,
  MemoryStore,
  type RegenerateOptions,
  SecurityContext,
  type Session,
  type SessionEvent,
  SessionMiddleware,
  type SessionOptions,
  type SessionStore,
} from "../../mod.ts";

/** A secret of 32 bytes that no other test uses. */
export const SECRET = "kept out of every log and message";

/** A request. Every part is optional. */
export interface Visit {
  /** The Cookie header. */
  cookie?: string;
  url?: string;
  method?: string;
  headers?: Record<string, string>;
}

/** Creates a middleware on a store. */
export function start(
  options: Partial<SessionOptions> = {},
  store: SessionStore = new MemoryStore(),
): SessionMiddleware {
  return new SessionMiddleware(store, { secret: SECRET, ...options });
}

/** Creates the context of a request. */
export function contextOf({ cookie, url = "http://localhost/", method, headers = {} }: Visit = {}): SecurityContext {
  const request = new Request(url, { headers, method });
  // Set afterwards: the constructor of `Request` drops a Cookie header in some runtimes.
  if (cookie !== undefined) request.headers.set("cookie", cookie);
  return new SecurityContext(request);
}

/**
 * Sends a request through the middleware: `onPreRequest()`, the action, `onPostRequest()`, then the
 * merged response.
 */
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

/** A request under way. */
export interface Opened {
  session: Session;
  context: SecurityContext;
  /** Ends the request and returns its response. */
  finish: () => Promise<Response>;
}

/** Begins a request. The test takes the place of the action, then calls `finish()`. */
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

/** Returns the response that the client receives. */
export function merged(context: Context): Response {
  const result = context.response.getMergedResult();
  if (result instanceof Response) return result;
  return new Response(result.body as BodyInit | null, { status: result.status, headers: result.headers });
}

/**
 * A parsed `Set-Cookie` line. Attribute names are in lower case; an attribute without a value is
 * `true`.
 */
export interface SetCookie {
  name: string;
  value: string;
  attributes: Record<string, string | true>;
}

/** Returns the cookies that a response sets. */
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

/** Returns the only cookie that a response sets. Throws if there are none or several. */
export function onlyCookie(headers: Headers): SetCookie {
  const cookies = setCookies(headers);
  const [cookie] = cookies;
  if (cookie === undefined || cookies.length !== 1) throw new Error(`Expected one cookie, received ${cookies.length}`);
  return cookie;
}

/** Returns the Cookie header that a client sends after it received a response. */
export function cookieOf(response: { headers: Headers }): string {
  const { name, value } = onlyCookie(response.headers);
  return `${name}=${value}`;
}

/**
 * Returns the Cookie header that a client sends after it received a response, or `undefined` if
 * that set no cookie.
 */
export function optionalCookieOf(response: { headers: Headers }): string | undefined {
  return response.headers.getSetCookie().length === 0 ? undefined : cookieOf(response);
}

/** Returns the session id in a Cookie header. */
export function idOf(cookie: string): string {
  const [id = ""] = cookie.slice(cookie.indexOf("=") + 1).split(".");
  return id;
}

/** Creates a session with some values. Returns the Cookie header of its client. */
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

/**
 * Creates a session of a user, whose value of `user` is the user's name. Returns the Cookie header
 * of its client.
 */
export async function signIn(middleware: SessionMiddleware, principal: string): Promise<string> {
  const { session, finish } = await open(middleware);
  await session.regenerate({ principal });
  await session.set("user", principal);
  return cookieOf(await finish());
}

/** Gives a client's session a new id. Returns the new Cookie header. */
export async function renew(
  middleware: SessionMiddleware,
  cookie: string,
  options?: RegenerateOptions,
): Promise<string> {
  const { session, finish } = await open(middleware, cookie);
  await session.regenerate(options);
  return cookieOf(await finish());
}

/** Returns the types of events; that of a refusal includes its reason. */
export function eventNames(events: readonly SessionEvent[]): string[] {
  return events.map((event) => event.type === "refused" ? `refused ${event.reason}` : event.type);
}
