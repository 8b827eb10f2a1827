/**
 * Creates a session, gives it a new id, and puts its cookie on the response.
 *
 * @module
 */
import type { ResponseCookie } from "../cookie/response_cookie.ts";
import { newSessionId } from "../cookie/session_id.ts";
import { HeadersSentError, SessionGoneError } from "../errors.ts";
import type { ResolvedOptions } from "../options.ts";
import type { RenewOptions } from "../persistence/store_adapter.ts";
import type { SessionMeta, SessionRecord } from "../session_store.ts";
import { nameOf } from "../util/describe_value.ts";
import { chain, type MaybePromise, noop } from "../util/maybe_promise.ts";
import { computeExpiry, cookieExpiry, deliveryMeta, effectiveExpiry, isCookieDue } from "./lifetime.ts";
import { LoadedSession } from "./loaded_session.ts";
import { lookUp } from "./look_up.ts";
import { expectCreation, onCreated, onNotCreated } from "./session_signal.ts";
import { detailsMeta, forgottenDetails, initialMeta, renewedMeta, type SessionDetails } from "./session_meta.ts";
import type { SessionServices } from "./session_services.ts";
import type { WriteQueue } from "./write_queue.ts";

/**
 * Returns a session that has no record yet.
 *
 * @throws {SessionGoneError} if it would have expired already: the option `expires` is a fixed date
 */
export function newSession(
  options: ResolvedOptions,
  id: string,
  values: Map<string, unknown>,
  details?: SessionDetails,
  before?: SessionMeta,
): LoadedSession {
  const meta = initialMeta(details, before);
  const expiresAt = computeExpiry(options, meta);
  if (meta.createdAt >= expiresAt) {
    const cause = new RangeError(
      "The option `expires` has passed, so a new session would have expired; set a later date",
    );
    throw new SessionGoneError("create", { cause });
  }
  const session = new LoadedSession(id, expiresAt, meta, { values });
  expectCreation(session);
  return session;
}

/**
 * Creates the record of a new session. If that fails, its cookie is not sent.
 *
 * @param failed is called before the error is thrown
 */
export function createRecord(
  services: SessionServices,
  cookie: ResponseCookie,
  session: LoadedSession,
  record: SessionRecord,
  failed = noop,
): MaybePromise<void> {
  const { repository, reporter, enforceSessionLimit } = services;
  const { id, meta: { principal } } = session;
  return chain(() => repository.create(id, record), () => {
    reporter.emitCreated(id, principal);
    onCreated(services, cookie, session);
    return principal === undefined ? undefined : enforceSessionLimit(principal, session, cookie);
  }, (error) => {
    session.ended = { error: error as Error, store: nameOf(services.store) };
    onNotCreated(services, session);
    cookie.cancel();
    failed();
    throw error;
  });
}

/** The arguments of `regenerate()`, checked and copied. */
export interface Regeneration {
  readonly graceSeconds: number;
  readonly details: SessionDetails;
  /** Values to write with the move; `undefined` removes one. */
  readonly values: ReadonlyMap<string, unknown>;
}

/**
 * Gives a session a new id, and sends its cookie.
 *
 * @throws {HeadersSentError} if the cookie would not reach the client
 * @throws {TypeError} if the function `domain` failed
 */
export function moveSession(
  services: SessionServices,
  cookie: ResponseCookie,
  session: LoadedSession,
  { graceSeconds, details, values }: Regeneration,
): MaybePromise<void> {
  return session.run("regenerate", cookie, async () => {
    prepareCookie("regenerate", cookie);
    const id = newSessionId();
    const now = Date.now();
    // With a grace period the CSRF token does not change, so that open forms keep working.
    const renewed = renewedMeta(graceSeconds > 0 ? session.csrfSeed : undefined, session.meta, now);
    const changed = detailsMeta(details, now, session.meta);
    const setsLifetime = "maxAgeSince" in changed;
    // With the activity of now. The one that this request knows may be older than that of another
    // request, and would end the session early.
    const meta = { ...renewed, ...changed, ...(setsLifetime && { seenAt: now }) };
    const expiresAt = setsLifetime ? computeExpiry(services.options, { ...session.meta, ...meta }) : undefined;
    const move: RenewOptions = { meta, expiresAt, set: values, graceUntil: now + graceSeconds * 1000 };
    await services.repository.move(session, id, move);
    const previous = session.id;
    session.id = id;
    session.meta = { ...session.meta, ...meta };
    session.expiresAt = expiresAt ?? session.expiresAt;
    session.viaOldId = false;
    sendCookie(services, cookie, session);
    services.reporter.emitRenewed(id, previous, session.meta.principal);
    const { principal } = details;
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
  regeneration: Regeneration,
): Promise<void> {
  try {
    await moveSession(services, cookie, session, regeneration);
  } catch (error) {
    if (!(error instanceof SessionGoneError)) throw error;
    const replacement = await services.repository.findReplacement(session.id);
    if (replacement === undefined) throw error;
    // Not the values of the other session, which an id from before its sign-in must not reach. They
    // may prove more than this sign-in does, such as a second factor.
    const { details } = regeneration;
    const isSameUser = replacement.principal === details.principal;
    const values = new Map(isSameUser ? session.values : undefined);
    for (const [key, value] of regeneration.values) values.set(key, value);
    // The user was signed in already, and has confirmed the password.
    const before = isSameUser && session.meta.principal === details.principal ? session.meta : undefined;
    const own = newSession(services.options, newSessionId(), values, details, before);
    const record = { values, expiresAt: own.expiresAt, meta: own.meta };
    // The same object, because writes that wait in the queue belong to it.
    session.restart(own);
    expectCreation(session);
    sendCookie(services, cookie, session);
    await createRecord(services, cookie, session, record);
  }
}

/** Removes all values and details of a session, and unbinds it from its user. */
export function clearSession(
  { options, repository }: SessionServices,
  cookie: ResponseCookie,
  session: LoadedSession,
): MaybePromise<void> {
  return session.run("clear", cookie, async () => {
    const now = Date.now();
    const clearedAt = Math.max(now, (session.meta.clearedAt ?? 0) + 1);
    const meta: Partial<SessionMeta> = { principal: undefined, clearedAt, ...forgottenDetails(session.meta, now) };
    // With the activity of now, as in `moveSession()`.
    if (meta.maxAgeSince !== undefined) meta.seenAt = now;
    const expiresAt = meta.maxAgeSince && computeExpiry(options, { ...session.meta, ...meta });
    await repository.change(session, "clear", { clear: true, meta, expiresAt });
    session.meta = { ...session.meta, ...meta };
    session.expiresAt = expiresAt ?? session.expiresAt;
  });
}

/** Writes metadata of a session. A new `seenAt` restarts the sliding limits. */
export function writeMeta(
  { options, repository }: SessionServices,
  cookie: ResponseCookie,
  session: LoadedSession,
  operation: string,
  meta: Partial<SessionMeta>,
): MaybePromise<void> {
  return session.run(operation, cookie, async () => {
    const expiresAt = meta.seenAt === undefined ? undefined : computeExpiry(options, { ...session.meta, ...meta });
    await repository.change(session, operation, { expiresAt, meta });
    session.meta = { ...session.meta, ...meta };
    session.expiresAt = expiresAt ?? session.expiresAt;
  });
}

/**
 * Writes the activity of a long request. Reads the record first, because another request may have
 * given the session another lifetime since.
 */
export async function touchSession(
  services: SessionServices,
  cookie: ResponseCookie,
  session: LoadedSession,
): Promise<void> {
  await session.run("touch", cookie, async () => {
    const found = await lookUp(services, session.id);
    if (typeof found === "string") throw new SessionGoneError("touch");
    session.apply(found, effectiveExpiry(services.options, found.record.expiresAt, found.meta), cookie);
  });
  const meta: Partial<SessionMeta> = { seenAt: Date.now() };
  if (session.isRenewalDelivered) meta.replaces = undefined;
  await writeActivity(services, cookie, session, "touch", meta, isCookieDue(services.options, session));
}

/**
 * Returns a function that writes the activity of a request.
 *
 * @param cookieIsSent whether the response can carry a cookie that is due
 */
export function recordActivity(
  services: SessionServices,
  cookie: ResponseCookie,
  session: LoadedSession,
  writes: WriteQueue,
  cookieIsSent: boolean,
): () => MaybePromise<void> {
  const sendsCookie = isCookieDue(services.options, session);
  const seenAt = Date.now();
  const meta: Partial<SessionMeta> = { seenAt, ...(sendsCookie && cookieIsSent && deliveryMeta(session, seenAt)) };
  if (session.isRenewalDelivered) meta.replaces = undefined;
  writes.mayResendCookie ||= sendsCookie;
  return () => writeActivity(services, cookie, session, "touch", meta, sendsCookie);
}

/** Writes activity, and sends the cookie again if that is due. */
export function writeActivity(
  services: SessionServices,
  cookie: ResponseCookie,
  session: LoadedSession,
  operation: string,
  meta: Partial<SessionMeta>,
  sendsCookie: boolean,
): MaybePromise<void> {
  return (sendsCookie ? writeLifetime : writeMeta)(services, cookie, session, operation, meta);
}

/** Writes metadata that changes how long the cookie lasts, and sends the cookie again. */
async function writeLifetime(
  services: SessionServices,
  cookie: ResponseCookie,
  session: LoadedSession,
  operation: string,
  meta: Partial<SessionMeta>,
): Promise<void> {
  await writeMeta(services, cookie, session, operation, meta);
  // Only after the write, which detects a renewal by another request. The old cookie must not
  // replace the new one.
  if (session.isLive) resendCookie(services, cookie, session);
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
 * may have given it a new id or another lifetime, and the cookie of that is in the client already.
 * If the lookup fails, the client keeps the cookie that it has.
 */
export function checkResentCookie(
  { repository }: SessionServices,
  cookie: ResponseCookie,
  { id, meta }: LoadedSession,
): MaybePromise<void> {
  return chain(() => repository.read(id), (found) => {
    if (typeof found === "string" || found.id !== id || found.meta.maxAgeSince !== meta.maxAgeSince) cookie.cancel();
  }, () => cookie.cancel());
}

/**
 * Makes sure that a new cookie will reach the client, before the session changes.
 *
 * @throws {HeadersSentError} if the headers of the response have left
 * @throws {TypeError} if the function `domain` failed
 */
export function prepareCookie(operation: string, cookie: ResponseCookie): void {
  if (cookie.wasMerged) throw new HeadersSentError(operation);
  cookie.prepare();
}
