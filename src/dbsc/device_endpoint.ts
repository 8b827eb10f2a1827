/**
 * The endpoint to which browsers send the key of a device and its proofs.
 *
 * @module
 */
import type { HttpContext } from "../../deps.ts";
import { algorithmOf } from "../core/session_device.ts";
import type { LoadedSession } from "../core/loaded_session.ts";
import type { SessionServices } from "../core/session_services.ts";
import type { SessionState } from "../core/session_state.ts";
import { SessionError, SessionGoneError, SessionStoreError } from "../errors.ts";
import type { DeviceRefusalReason } from "../events.ts";
import type { BoundCookie } from "./bound_cookie.ts";
import type { DeviceChallenges } from "./device_challenges.ts";
import { type DeviceOffers, REGISTRATION_MS } from "./device_offers.ts";
import type { ResolvedDeviceOptions } from "./device_options.ts";
import { readChallenge, verifyProof } from "./device_proof.ts";
import { jsonResponse, textResponse } from "./device_responses.ts";

/** Answers registrations and refreshes. */
export class DeviceEndpoint {
  readonly #services: SessionServices;
  readonly #cookie: BoundCookie;
  readonly #challenges: DeviceChallenges;
  readonly #offers: DeviceOffers;
  readonly #options: ResolvedDeviceOptions;
  /**
   * The name of the bound session in the browser. It is the same for all, so that a new sign-in
   * replaces the former one. Browsers send it neither quoted nor escaped.
   */
  readonly #identifier: string;

  constructor(
    services: SessionServices,
    cookie: BoundCookie,
    challenges: DeviceChallenges,
    offers: DeviceOffers,
    options: ResolvedDeviceOptions,
  ) {
    this.#services = services;
    this.#cookie = cookie;
    this.#challenges = challenges;
    this.#offers = offers;
    this.#options = options;
    this.#identifier = services.options.name.replaceAll(/[^\w-]/g, "_");
  }

  /** Answers a request to the endpoint. */
  async respond({ request: { headers } }: HttpContext, state: SessionState): Promise<Response> {
    const { loaded } = state;
    const session = loaded?.isLive || loaded?.ended === "withheld" ? loaded : undefined;
    const mode = headers.get("sec-fetch-mode");
    const isOwn = headers.get("sec-fetch-site") === "same-origin";
    if (isOwn && mode === "navigate") return this.#forget(session);
    // In this mode a page's script cannot attach the headers below, so the browser itself has sent
    // them. Otherwise an injected script could bind the session to a key of its own.
    if (!isOwn || mode !== "no-cors") return this.#refuse(403, "origin", session);
    // The browser keeps its bound session after a 5xx, and ends it after a 4xx.
    if (session === undefined && state.refusal("get") !== undefined) return textResponse(503);
    const proof = headers.get("secure-session-response");
    const isRefresh = headers.has("sec-secure-session-id");
    const response = isRefresh ? await this.#refresh(session, proof) : await this.#register(session, proof);
    return state.applyTo(response);
  }

  /** The button of the page that refuses a request: forgets the session in this browser only. */
  #forget(session: LoadedSession | undefined): Response {
    const response = textResponse(303);
    response.headers.set("location", this.#services.options.path ?? "/");
    if (session?.ended !== "withheld") return response;
    response.headers.append("set-cookie", this.#services.cookies.cookie.serializeDeletion(true));
    response.headers.append("set-cookie", this.#cookie.serializeDeletion());
    return response;
  }

  async #register(session: LoadedSession | undefined, proof: string | null): Promise<Response> {
    if (session === undefined) return this.#refuse(400, "unknown", session);
    const { repository, reporter } = this.#services;
    // Only for its grace period may the holder of an old id use the session.
    if (session.viaOldId) return textResponse(503);
    const token = tokenOf(proof);
    const challenge = readChallenge(token);
    if (challenge === undefined) return this.#refuse(400, "proof", session);
    if (!this.#challenges.acceptsRegistration(session, challenge)) return this.#refuse(400, "challenge", session);
    const deviceKey = await verifyProof(token, this.#options.algorithms, undefined);
    if (deviceKey === undefined) return this.#refuse(400, "proof", session);
    const bound = session.meta.deviceKey;
    if (bound !== undefined) {
      // A browser may send the same proof twice.
      return bound === deviceKey ? this.#confirm(deviceKey) : this.#refuse(400, "alreadyBound", session);
    }
    try {
      const isBound = await repository.bindDevice(session, deviceKey, Date.now());
      if (!isBound) return this.#refuse(400, "alreadyBound", session);
    } catch (error) {
      if (!(error instanceof SessionError)) throw error;
      if (error instanceof SessionGoneError) return this.#refuse(400, "unknown", session);
      if (error instanceof SessionStoreError) reporter.emitStoreFailed("bindDevice", error, session.id);
      return textResponse(503);
    }
    reporter.emitBound(session.id, session.meta.principal, algorithmOf(deviceKey));
    return this.#confirm(deviceKey);
  }

  async #refresh(session: LoadedSession | undefined, proof: string | null): Promise<Response> {
    if (session === undefined) return this.#end();
    const { deviceKey, deviceBoundAt = 0, principal, renewedAt } = session.meta;
    if (deviceKey === undefined) {
      // The browser may be about to register a key, and refresh the session of its former sign-in
      // meanwhile. Both have the same identifier, so an end of that one would also end the new one.
      // Another process may have made the offer at the sign-in.
      const signedInAge = principal === undefined ? Infinity : Date.now() - renewedAt;
      const isPending = Math.min(this.#offers.ageOf(session), signedInAge) < REGISTRATION_MS;
      return isPending ? textResponse(503) : this.#end();
    }
    if (proof === null) return this.#challenge(deviceKey);
    const token = tokenOf(proof);
    const challenge = readChallenge(token);
    if (challenge !== undefined && !this.#challenges.acceptsRefresh(deviceKey, challenge)) {
      this.#services.reporter.emitBoundRefused("challenge", session.id);
      return this.#challenge(deviceKey);
    }
    if (challenge === undefined || await verifyProof(token, [algorithmOf(deviceKey)], deviceKey) === undefined) {
      // The key may be that of the former sign-in, as above.
      const isNew = Date.now() < deviceBoundAt + REGISTRATION_MS;
      return this.#refuse(isNew ? 503 : 400, "proof", session);
    }
    this.#services.reporter.emitRefreshed(session.id);
    return this.#confirm(deviceKey);
  }

  /** Asks the browser to sign a challenge. */
  #challenge(deviceKey: string): Response {
    const response = textResponse(403);
    const challenge = this.#challenges.forRefresh(deviceKey);
    response.headers.set("secure-session-challenge", `"${challenge}";id="${this.#identifier}"`);
    return response;
  }

  /** Sets a new bound cookie. The instructions are complete, because browsers expect them each time. */
  #confirm(deviceKey: string): Response {
    const { name, attributes } = this.#cookie;
    const { path, refreshInitiators } = this.#options;
    const response = jsonResponse({
      session_identifier: this.#identifier,
      refresh_url: path,
      scope: { include_site: false },
      credentials: [{ type: "cookie", name, attributes }],
      ...(refreshInitiators.length > 0 && { allowed_refresh_initiators: refreshInitiators }),
    });
    response.headers.append("set-cookie", this.#cookie.serialize(deviceKey));
    return response;
  }

  /** Tells the browser that its bound session has ended. */
  #end(): Response {
    return jsonResponse({ session_identifier: this.#identifier, continue: false });
  }

  #refuse(status: 400 | 403 | 503, reason: DeviceRefusalReason, session: LoadedSession | undefined): Response {
    this.#services.reporter.emitBoundRefused(reason, session?.id);
    return textResponse(status, "Refused: the registration or the proof of the device is not valid.");
  }
}

/** Returns the proof of a header. The draft has it as a quoted string; Chromium sends no quotes. */
function tokenOf(header: string | null): string {
  return header?.replace(/^"(.*)"$/, "$1") ?? "";
}
