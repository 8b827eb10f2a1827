/**
 * Server-side sessions for Alosaur: a signed cookie in the browser, and the data in a store on the
 * server.
 *
 * Set up a store, the provider and the middleware once. Actions then receive a `SecurityContext`,
 * with the session of the request at `context.security.session`.
 *
 * @example An application that counts visits, and a test of it without a server
 * ```ts
 * import { ActionParam, App, Area, Controller, Ctx, Get } from "alosaur/mod.ts";
 * import { Context, MemoryStore, SecurityContext, SessionMiddleware } from "@alosaur/session";
 *
 * @Controller()
 * class CounterController {
 *   @Get("/counter")
 *   @ActionParam(0, Ctx())
 *   async count(context: SecurityContext): Promise<string> {
 *     const visits = await context.security.session.update<number>("visits", (n = 0) => n + 1);
 *     return `Visit ${visits}`;
 *   }
 * }
 *
 * @Area({ controllers: [CounterController] })
 * class MainArea {}
 *
 * const store = new MemoryStore();
 * await store.init();
 *
 * // In production, read the secret from the environment, so that cookies stay valid after a restart.
 * const sessions = new SessionMiddleware(store, { secret: SessionMiddleware.generateSecret() });
 *
 * const app = new App({ areas: [MainArea], providers: [{ token: Context, useClass: SecurityContext }] });
 * app.use(/\//, sessions);
 * if (import.meta.main) await app.listen(":8000");
 *
 * // The test:
 * import { assertEquals } from "jsr:@std/assert@1.0.13";
 *
 * const context = new SecurityContext(new Request("http://localhost/counter"));
 * await sessions.onPreRequest(context);
 * assertEquals(await new CounterController().count(context), "Visit 1");
 * await sessions.onPostRequest(context);
 * assertEquals(context.response.headers.getSetCookie().length, 1);
 * ```
 *
 * @module
 */
export { HttpContext as Context } from "./deps.ts";
export type { MiddlewareTarget } from "./deps.ts";
export {
  DeviceProofError,
  HeadersSentError,
  type SessionEnd,
  SessionError,
  SessionGoneError,
  SessionNotSupportedError,
  SessionStoreError,
  UnreadableRecordError,
} from "./src/errors.ts";
export type {
  DeviceBound,
  DeviceRefreshed,
  DeviceRefusalReason,
  DeviceRefused,
  EverybodyRevoked,
  RefusalReason,
  SessionCookieLost,
  SessionCreated,
  SessionEnded,
  SessionEvent,
  SessionRefused,
  SessionRenewed,
  SessionStoreFailed,
  SessionUnreadable,
  SessionWriteFailed,
} from "./src/events.ts";
export type { CacheOptions, SameSite, SessionOptions } from "./src/options.ts";
export { Security, SecurityContext } from "./src/security_context.ts";
export type { AuthenticationScheme, AuthInterface, Identity } from "./src/security_context.ts";
export { Session } from "./src/session.ts";
export type { SessionInterface } from "./src/session.ts";
export type {
  AnyKey,
  DeviceAlgorithm,
  RegenerateOptions,
  SessionData,
  SessionDevice,
  SessionKey,
  SessionValues,
  Updater,
} from "./src/session_types.ts";
export { SessionMiddleware } from "./src/session_middleware.ts";
export type {
  ListedSession,
  PingableStore,
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
export type { StoreHealth } from "./src/core/store_health.ts";
export type { CountingStore, PrincipalListStore, SessionCount, SignedInUser } from "./src/admin_store.ts";
export type { SessionSecret } from "./src/secrets.ts";
export { MemoryStore } from "./src/stores/memory_store.ts";
export type { MemoryStoreOptions } from "./src/stores/memory_store.ts";
export type { UserPage, UserSession, UserSessions } from "./src/user_sessions.ts";
export type { Watch, WatchedStore } from "./src/watched_store.ts";
