/**
 * Creates a session, gives it a new id, and puts its cookie on the response.
 *
 * @module
 */
import type { ResponseCookie } from "../cookie/response_cookie.ts";
import { newSessionId } from "../cookie/session_id.ts";
import { HeadersSentError, SessionGoneError } from "../errors.ts";
import type { ResolvedOptions } from "../options.ts";
import type { SessionMeta, SessionRecord } from "../session_store.ts";
import { chain, type MaybePromise, noop } from "../util/maybe_promise.ts";
import { computeExpiry, cookieExpiry } from "./lifetime.ts";
import { LoadedSession } from "./loaded_session.ts";
import { initialMeta, renewedMeta } from "./session_meta.ts";
import type { SessionServices } from "./session_services.ts";

/**
 * Returns a session that has no record yet.
 *
 * @throws {SessionGoneError} if it would have expired already: the option `expires` is a fixed date
 */
export function newSession(
  options: ResolvedOptions,
  id: string,
  values: Map<string, unknown>,
  principal?: string,
): LoadedSession {
  const meta = initialMeta(principal);
  const expiresAt = computeExpiry(options, meta);
  if (meta.createdAt >= expiresAt) throw new SessionGoneError("create");
  return new LoadedSession(id, expiresAt, meta, { values });
}

/**
 * Creates the record of a new session. If that fails, its cookie is not sent.
 *
 * @param failed is called before the error is thrown
 */
export function createRecord(
  { repository, reporter, enforceSessionLimit }: SessionServices,
  cookie: ResponseCookie,
  session: LoadedSession,
  record: SessionRecord,
  failed = noop,
): MaybePromise<void> {
  const { id, meta: { principal } } = session;
  return chain(() => repository.create(id, record), () => {
    reporter.emitCreated(id, principal);
    return principal === undefined ? undefined : enforceSessionLimit(principal, session, cookie);
  }, (error) => {
    session.ended = { error: error as Error };
    cookie.cancel();
    failed();
    throw error;
  });
}

/**
 * Gives a session a new id, and sends its cookie.
 *
 * @param principal the user who signs in, if any
 * @throws {HeadersSentError} if the cookie would not reach the client
 */
export function moveSession(
  services: SessionServices,
  cookie: ResponseCookie,
  session: LoadedSession,
  graceSeconds = 0,
  principal?: string,
): MaybePromise<void> {
  requireHeadersNotSent("regenerate", cookie);
  return session.run("regenerate", cookie, async () => {
    const id = newSessionId();
    // With a grace period the CSRF token does not change, so that open forms keep working.
    const meta = renewedMeta(graceSeconds > 0 ? session.csrfSeed : undefined, principal);
    await services.repository.move(session, id, { meta, graceUntil: meta.renewedAt + graceSeconds * 1000 });
    const previous = session.id;
    session.id = id;
    session.meta = { ...session.meta, ...meta };
    session.viaOldId = false;
    sendCookie(services, cookie, session);
    services.reporter.emitRenewed(id, previous, session.meta.principal);
    if (principal !== undefined) await services.enforceSessionLimit(principal, session, cookie);
  });
}

/**
 * Gives the session of a user who signs in a new id.
 *
 * If another request has replaced the id in the meantime, the form was probably submitted twice.
 * The visitor sees the response to the later request, so this sign-in gets a session of its own.
 */
export async function signIn(
  services: SessionServices,
  cookie: ResponseCookie,
  session: LoadedSession,
  principal: string,
): Promise<void> {
  try {
    await moveSession(services, cookie, session, 0, principal);
  } catch (error) {
    if (!(error instanceof SessionGoneError)) throw error;
    const replacement = await services.repository.findReplacement(session.id);
    if (replacement === undefined) throw error;
    // Not the values of the other session, which an id from before its sign-in must not reach. They
    // may prove more than this sign-in does, such as a second factor.
    const values = new Map(replacement.principal === principal ? session.values : undefined);
    const own = newSession(services.options, newSessionId(), values, principal);
    const record = { values, expiresAt: own.expiresAt, meta: own.meta };
    // The same object, because writes that wait in the queue belong to it.
    session.restart(own);
    sendCookie(services, cookie, session);
    await createRecord(services, cookie, session, record);
  }
}

/** Writes metadata of a session. A new `seenAt` restarts the sliding limits. */
export function writeMeta(
  { options, repository }: SessionServices,
  cookie: ResponseCookie,
  session: LoadedSession,
  meta: Partial<SessionMeta>,
): MaybePromise<void> {
  return session.run("touch", cookie, async () => {
    const expiresAt = meta.seenAt === undefined ? undefined : computeExpiry(options, { ...session.meta, ...meta });
    await repository.change(session, "touch", { expiresAt, meta });
    session.meta = { ...session.meta, ...meta };
    session.expiresAt = expiresAt ?? session.expiresAt;
  });
}

/**
 * Puts the cookie on the response, unless the client presented an older id. Such a client must not
 * receive the current one.
 */
export function sendCookie(
  { options, signer }: SessionServices,
  cookie: ResponseCookie,
  session: LoadedSession,
  isCurrent?: () => boolean,
): void {
  if (!session.viaOldId) cookie.send(signer.sign(session.id), cookieExpiry(options, session.meta), isCurrent);
}

/** Sends a cookie that the client should have already, unless the session gets a new id meanwhile. */
export function resendCookie(services: SessionServices, cookie: ResponseCookie, session: LoadedSession): void {
  const { id } = session;
  sendCookie(services, cookie, session, () => services.repository.isCurrent(id));
}

/**
 * Looks up a session whose cookie is sent again, just before the response leaves. Another process
 * may have given it a new id, and the cookie of that is in the client already. If the lookup fails,
 * the client keeps the cookie that it has.
 */
export function checkResentCookie(
  { repository }: SessionServices,
  cookie: ResponseCookie,
  { id }: LoadedSession,
): MaybePromise<void> {
  return chain(() => repository.read(id), (found) => {
    if (typeof found === "string" || found.id !== id) cookie.cancel();
  }, () => cookie.cancel());
}

/**
 * @throws {HeadersSentError} if the headers of the response have left, so that a new cookie would
 * not reach the client
 */
export function requireHeadersNotSent(operation: string, cookie: ResponseCookie): void {
  if (cookie.wasMerged) throw new HeadersSentError(operation);
}
