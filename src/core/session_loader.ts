/**
 * Loads the session that the Cookie header of a request identifies.
 *
 * @module
 */
import { newSessionId } from "../cookie/session_id.ts";
import type { VerifiedId } from "../cookie/signer.ts";
import { SessionGoneError, SessionStoreError } from "../errors.ts";
import type { LookupHit, LookupMiss } from "../persistence/lookup.ts";
import { isPending, type MaybePromise } from "../util/maybe_promise.ts";
import { computeExpiry, effectiveExpiry, isActivityDue } from "./lifetime.ts";
import { LoadedSession } from "./loaded_session.ts";
import { type Lookup, lookUp } from "./look_up.ts";
import { renewedMeta } from "./session_meta.ts";
import { isWithheld } from "./session_device.ts";
import type { SessionServices } from "./session_services.ts";

/** How long concurrent requests can still use the old id after a renewal, in milliseconds. */
const RENEWAL_GRACE_MS = 30_000;

/** Verifies the cookie, looks up the session, and renews its id if that is due. */
export class SessionLoader {
  readonly #services: SessionServices;

  constructor(services: SessionServices) {
    this.#services = services;
  }

  /**
   * Returns the session of a request, or `undefined`. The result is synchronous if the store
   * answers synchronously. A session that is withheld from the request is returned with its `ended`
   * set.
   *
   * @throws {SessionStoreError} if the cookie is validly signed and the store failed
   */
  load(headers: Headers): MaybePromise<LoadedSession | undefined> {
    const header = headers.get("cookie");
    if (header === null) return undefined;
    const found = this.#find(this.#services.cookies.cookie.read(header), header);
    return isPending(found) ? this.#renewLater(found, headers, header) : this.#renewIfDue(found, headers, header);
  }

  /** Returns the first live session that the cookies identify. */
  #find(cookies: readonly string[], header: string): MaybePromise<LoadedSession | undefined> {
    const [first] = cookies;
    // Nearly every request has one cookie. Skipping the Map and Promise.all() halves the time that
    // sessions add to it.
    if (first !== undefined && cookies.length === 1) {
      const id = this.#verify(first);
      return id && this.#lookUp(id);
    }
    return cookies.length === 0 ? undefined : this.#findFirst(cookies, header);
  }

  #findFirst(cookies: readonly string[], header: string): MaybePromise<LoadedSession | undefined> {
    // Keyed by id, because two cookies can contain the same id, signed with different secrets.
    const ids = new Map<string, VerifiedId>();
    for (const cookie of cookies) {
      const id = this.#verify(cookie);
      if (id !== undefined && !ids.has(id.id)) ids.set(id.id, id);
    }
    if (ids.size === 0) return undefined;
    return Promise.all(Array.from(ids.values(), (id) => this.#lookUp(id))).then((found) => {
      const live = found.filter((session) => session !== undefined);
      // Another host may have planted the cookie of a session that is bound to its own device.
      const first = live.find(({ meta }) => !isWithheld(this.#services.cookies, header, meta)) ?? live[0];
      for (const { id } of live) {
        // An old id within its grace period leads to the same session.
        if (id !== first?.id) this.#services.reporter.emitRefused("ambiguous", id);
      }
      return first;
    });
  }

  /** Verifies a cookie. Never throws, whatever the client sent. */
  #verify(cookie: string): VerifiedId | undefined {
    const verified = this.#services.signer.verify(cookie);
    if (typeof verified !== "string") return verified;
    this.#services.reporter.emitRefused(verified);
    return undefined;
  }

  #lookUp(verified: VerifiedId): MaybePromise<LoadedSession | undefined> {
    return this.#recall(verified) ?? this.#ask(verified);
  }

  /**
   * Returns a session from the cache, unless it has expired, or its activity or a new id is about
   * to be written. That should follow from what the store has now.
   */
  #recall(verified: VerifiedId): LoadedSession | undefined {
    const hit = this.#services.repository.cached(verified.id);
    const session = hit && this.#toLive(verified, hit);
    if (session === undefined || session.isRenewalDelivered) return undefined;
    const { options } = this.#services;
    return isActivityDue(options, session) || this.#isRenewalDue(session) ? undefined : session;
  }

  /** Looks a session up in the store. */
  #ask(verified: VerifiedId): MaybePromise<LoadedSession | undefined> {
    const found = lookUp(this.#services, verified.id, true);
    return isPending(found) ? this.#toLoadedLater(verified, found) : this.#toLoadedSession(verified, found);
  }

  // These are methods, because a function with a closure such as `found.then((found) => …)`
  // allocates 50 bytes at each call, even if nothing is pending.
  async #toLoadedLater(
    verified: VerifiedId,
    found: Promise<Lookup>,
  ): Promise<LoadedSession | undefined> {
    return this.#toLoadedSession(verified, await found);
  }

  async #renewLater(
    found: Promise<LoadedSession | undefined>,
    headers: Headers,
    header: string,
  ): Promise<LoadedSession | undefined> {
    return await this.#renewIfDue(await found, headers, header);
  }

  #toLoadedSession(verified: VerifiedId, found: Lookup): LoadedSession | undefined {
    if (typeof found === "string") return this.#reportMiss(verified.id, found);
    return this.#toLive(verified, found) ?? this.#reportMiss(verified.id, "expired");
  }

  /** Returns a session that was found; `undefined` if it has expired. */
  #toLive({ id, needsResign }: VerifiedId, found: LookupHit): LoadedSession | undefined {
    const { record, meta, viaOldId } = found;
    const expiresAt = effectiveExpiry(this.#services.options, record.expiresAt, meta);
    if (Date.now() >= expiresAt) return undefined;
    // The client has not received the new id of its last renewal yet.
    const isUndelivered = found.id !== id && !viaOldId;
    return new LoadedSession(found.id, expiresAt, meta, record, viaOldId, needsResign || isUndelivered);
  }

  #reportMiss(id: string, miss: LookupMiss | "unreadable"): undefined {
    // An unreadable record was reported with its error.
    if (miss === "unreadable") return;
    if (miss === "expired") this.#services.reporter.emitEnded(miss, id);
    else this.#services.reporter.emitRefused(miss, id);
  }

  #renewIfDue(
    session: LoadedSession | undefined,
    headers: Headers,
    header: string,
  ): MaybePromise<LoadedSession | undefined> {
    if (session === undefined || this.#withhold(session, header) || !this.#isRenewalDue(session)) return session;
    // The response to an upgrade, such as to a WebSocket, carries no cookie, so the client would
    // keep the old id.
    if (headers.has("upgrade")) return session;
    return this.#renew(session).then((renewed) =>
      renewed !== undefined && Date.now() < renewed.expiresAt ? renewed : undefined
    );
  }

  /** Withholds a bound session from a request that does not prove that it comes from its device. */
  #withhold(session: LoadedSession, header: string): boolean {
    if (session.meta.deviceKey === undefined) return false;
    if (!isWithheld(this.#services.cookies, header, session.meta)) return false;
    session.ended = "withheld";
    return true;
  }

  #isRenewalDue({ meta, viaOldId, needsResign }: LoadedSession): boolean {
    const { renewalTimeout } = this.#services.options;
    if (renewalTimeout === undefined || viaOldId || Date.now() - meta.renewedAt < renewalTimeout * 1000) return false;
    // The client has not received the new id of the last renewal yet.
    return !(needsResign && meta.replaces !== undefined);
  }

  async #renew(session: LoadedSession): Promise<LoadedSession | undefined> {
    const { options, repository, reporter } = this.#services;
    const { id: oldId, meta } = session;
    const id = newSessionId();
    const now = Date.now();
    // Only the changed properties, because another request may be unbinding the session from its
    // user. With the activity of this request, because a store may accept the old id only until the
    // expiry that the session has now, and the client may never receive the new id.
    const activity = isActivityDue(options, session) ? { seenAt: now } : undefined;
    const changed = { ...renewedMeta(session.csrfSeed, meta, now), replaces: oldId, ...activity };
    const expiresAt = activity && computeExpiry(options, { ...meta, ...activity });
    try {
      await repository.renew(oldId, id, { meta: changed, expiresAt, graceUntil: now + RENEWAL_GRACE_MS });
    } catch (error) {
      if (error instanceof SessionStoreError) {
        // The session was found, so the request continues with the id that it has.
        reporter.emitStoreFailed("regenerate", error, oldId);
        return session;
      }
      if (!(error instanceof SessionGoneError)) throw error;
      // Another request has renewed or ended the session in the meantime.
      return await this.#ask({ id: oldId, needsResign: session.needsResign });
    }
    reporter.emitRenewed(id, oldId, meta.principal);
    session.id = id;
    session.meta = { ...meta, ...changed };
    session.expiresAt = expiresAt ?? session.expiresAt;
    session.needsResign = true;
    return session;
  }
}
