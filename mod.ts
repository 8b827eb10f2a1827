/**
 * Server-side sessions for Alosaur: one signed cookie, and the data in a store.
 *
 * In an application the store, the provider and the middleware are set up once, and actions receive a `SecurityContext`:
 *
 * ```ts ignore
 * const store = new MemoryStore();
 * await store.init();
 *
 * const app = new App({ areas: [MainArea], providers: [{ token: Context, useClass: SecurityContext }] });
 * app.use(/\//, new SessionMiddleware(store, { secret: Deno.env.get("SESSION_SECRET") ?? "" }));
 * ```
 *
 * What happens to one visitor, without a server:
 *
 * @example A visitor is counted
 * ```ts
 * import { assertEquals } from "jsr:@std/assert@1.0.13";
 * import { MemoryStore, SecurityContext, SessionMiddleware } from "@alosaur/session";
 *
 * const middleware = new SessionMiddleware(new MemoryStore(), { secret: SessionMiddleware.generateSecret() });
 *
 * async function visit(cookie?: string): Promise<{ visits: number; cookie: string | undefined }> {
 *   const context = new SecurityContext(new Request("http://localhost/", { headers: cookie ? { cookie } : {} }));
 *   await middleware.onPreRequest(context);
 *   const visits = await context.security.session.update<number>("visits", (n = 0) => n + 1);
 *   await middleware.onPostRequest(context);
 *   const [line] = context.response.headers.getSetCookie();
 *   return { visits, cookie: line?.split(";")[0] };
 * }
 *
 * const first = await visit();
 * const second = await visit(first.cookie);
 * assertEquals([first.visits, second.visits], [1, 2]);
 * assertEquals(second.cookie, undefined); // the visitor has it already
 * ```
 *
 * @module
 */
export { HttpContext as Context } from "./deps.ts";
export type { MiddlewareTarget } from "./deps.ts";
export { SessionError, SessionGoneError, SessionNotSupportedError, SessionStoreError } from "./src/errors.ts";
export type {
  RefusalReason,
  SessionCreated,
  SessionEnded,
  SessionEvent,
  SessionRefused,
  SessionRenewed,
  SessionStoreFailed,
  SessionWriteFailed,
} from "./src/events.ts";
export type { SameSite, SessionOptions } from "./src/options.ts";
export { Security, SecurityContext } from "./src/security_context.ts";
export type { AuthenticationScheme, AuthInterface, Identity } from "./src/security_context.ts";
export { Session } from "./src/session.ts";
export type { AnyKey, RegenerateOptions, SessionData, SessionInterface, SessionKey, Updater } from "./src/session.ts";
export { SessionMiddleware } from "./src/session_middleware.ts";
export type {
  PrincipalStore,
  RecordAnswer,
  RecordChange,
  RecordMove,
  RecordStore,
  SessionMeta,
  SessionRecord,
  SessionStore,
  SessionTrace,
  StoredRecord,
} from "./src/session_store.ts";
export type { SessionSecret } from "./src/secrets.ts";
export { MemoryStore } from "./src/stores/memory_store.ts";
export type { MemoryStoreOptions } from "./src/stores/memory_store.ts";
export type { UserSession, UserSessions } from "./src/user_sessions.ts";
