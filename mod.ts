/**
 * Server-side sessions for Alosaur.
 *
 * @module
 */
export { HttpContext as Context } from "./deps.ts";
export type { MiddlewareTarget } from "./deps.ts";
export { SessionError, SessionGoneError, SessionStoreError } from "./src/errors.ts";
export type { SessionEvent, SessionRefused, SessionStoreFailed, SessionWriteFailed } from "./src/events.ts";
export type { SameSite, SessionOptions } from "./src/options.ts";
export { Security, SecurityContext } from "./src/security_context.ts";
export type { AuthenticationScheme, AuthInterface, Identity } from "./src/security_context.ts";
export { Session } from "./src/session.ts";
export type { AnyKey, SessionData, SessionInterface, SessionKey } from "./src/session.ts";
export { SessionMiddleware } from "./src/session_middleware.ts";
export type { RecordStore, RenamingStore, SessionRecord, SessionStore } from "./src/session_store.ts";
export type { SessionSecret } from "./src/signature.ts";
export { MemoryStore } from "./src/stores/memory_store.ts";
export type { MemoryStoreOptions } from "./src/stores/memory_store.ts";
