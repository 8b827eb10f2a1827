/**
 * The session of a visitor in the tests of an application.
 *
 * @module
 */
import { SecurityContext } from "./security_context.ts";
import type { SessionMiddleware } from "./session_middleware.ts";
import type { RegenerateOptions, SessionData, SessionValues } from "./session_types.ts";
import { checkOptionNames } from "./util/option_names.ts";

/** The contents of the session of {@linkcode sessionCookie}. */
export interface SessionCookieOptions<TData extends object = SessionData>
  extends Pick<RegenerateOptions<TData>, "principal" | "label" | "maxAge"> {
  /**
   * The values of the session by key.
   *
   * @default {{}}
   */
  values?: SessionValues<TData>;
  /**
   * The address of the request that creates the session. If the middleware has a `domain`, give an
   * address of that domain.
   *
   * @default {"https://localhost/"}
   */
  url?: string | URL;
}

/**
 * Creates a session, and returns the `Cookie` header of its visitor. A test of an application
 * begins as a signed-in visitor without the sign-in form.
 *
 * The session is created by the middleware itself, as in a request. Call the store's `init()`
 * before.
 *
 * @typeParam TData the type of the session's values by key, such as `{ cart: Cart; user: User }`
 * @param middleware the `SessionMiddleware` of the application
 * @param options what the session holds. Without options, the session is empty and belongs to no
 * user.
 * @returns one `name=value` pair, without attributes; another session on each call
 * @throws {TypeError} if there is an unknown option; as `Session.regenerate()`
 * @throws {RangeError} as `Session.regenerate()`
 * @throws {SessionStoreError} if the store failed
 *
 * @example
 * ```ts
 * import { assertEquals } from "jsr:@std/assert@1.0.13";
 * import { MemoryStore, SecurityContext, SessionMiddleware } from "@alosaur/session";
 * import { sessionCookie } from "@alosaur/session/testing";
 *
 * const middleware = new SessionMiddleware(new MemoryStore(), { secret: SessionMiddleware.generateSecret() });
 * const cookie = await sessionCookie(middleware, { principal: "42", values: { cart: ["apple"] } });
 *
 * const context = new SecurityContext(new Request("http://localhost/cart", { headers: { cookie } }));
 * await middleware.onPreRequest(context);
 * assertEquals(context.security.session.principal, "42");
 * assertEquals(await context.security.session.get("cart"), ["apple"]);
 * ```
 */
export async function sessionCookie<TData extends object = SessionData>(
  middleware: SessionMiddleware,
  options: SessionCookieOptions<TData> = {},
): Promise<string> {
  const names = { principal: true, label: true, maxAge: true, values: true, url: true };
  checkOptionNames("create a session", options, names);
  const { principal, label, maxAge, values, url = "https://localhost/" } = options;
  const context = new SecurityContext(new Request(url));
  await middleware.onPreRequest(context);
  const session = middleware.sessionOf<TData>(context);
  await session.regenerate({ principal, label, maxAge, set: values });
  // Without options, only the id has changed. The token creates an empty session.
  if (session.expiresAt === undefined) await session.csrfToken();
  await middleware.onPostRequest(context);

  // Merged as for a client. Otherwise the middleware would report a cookie that was not sent.
  context.response.result = "";
  const { headers } = context.response.getMergedResult();
  const lines = new Headers(headers).getSetCookie();
  const [pair] = lines.find((line) => line.startsWith(`${session.sessionKey}=`))?.split(";", 1) ?? [];
  if (pair === undefined) throw new Error("Cannot create a session: the middleware has set no cookie");
  return pair;
}
