/**
 * Sessions that are bound to the device of the visitor, with W3C Device Bound Session Credentials
 * (DBSC): a copy of the session cookie is worth nothing on another device.
 *
 * **Unstable.** It follows the editor's draft of February 2026 as Chromium 156 implements it. The
 * draft may change, and this module with it. Browsers without support keep ordinary sessions.
 *
 * @module
 */
import type { HttpContext, MiddlewareTarget } from "../deps.ts";
import { type DeviceGuard, REGISTRATION_HEADER } from "./cookie/device_guard.ts";
import type { LoadedSession } from "./core/loaded_session.ts";
import type { SessionServices } from "./core/session_services.ts";
import type { SessionState } from "./core/session_state.ts";
import { BoundCookie } from "./dbsc/bound_cookie.ts";
import { DeviceChallenges } from "./dbsc/device_challenges.ts";
import { DeviceEndpoint } from "./dbsc/device_endpoint.ts";
import { DeviceOffers, REGISTRATION_MS } from "./dbsc/device_offers.ts";
import { type DeviceBoundOptions, type ResolvedDeviceOptions, resolveDeviceOptions } from "./dbsc/device_options.ts";
import { demandResponse, isForeignPage, isPage, refusedResponse } from "./dbsc/device_responses.ts";
import type { Security } from "./security_context.ts";
import { stateOf } from "./session.ts";
import { servicesOf, type SessionMiddleware } from "./session_middleware.ts";

export type { DeviceBoundOptions } from "./dbsc/device_options.ts";
export type { DeviceAlgorithm, SessionDevice } from "./session_types.ts";

/** How long after an offer a page that demands a bound session reloads itself, in milliseconds. */
const RELOAD_MS = 10_000;

/**
 * Binds sessions to the device of their visitor, and refuses a bound session on every other device.
 * Register it directly after `SessionMiddleware`, for the same paths.
 *
 * 1. The response that signs a user in offers the browser to bind the session. A browser with
 *    support creates a key that never leaves the device, and registers it at the endpoint (`path`).
 * 2. The browser then gets a second cookie, the bound cookie, which lasts for `maxAge`. Shortly
 *    before it expires, the browser proves at the endpoint that it still holds the key, and gets a
 *    new one. Requests wait meanwhile, so the visitor notices nothing.
 * 3. A request of a bound session without a valid bound cookie gets a response with status 401, and
 *    no action runs. The session is neither read, extended nor ended by it. A page shows a button
 *    that deletes the cookies of this browser, so that the visitor can sign in again.
 *
 * A thief with a copy of both cookies can use the session until the bound cookie expires, 30
 * seconds after `maxAge` at most. A WebSocket or a stream that was opened before then lasts as long
 * as the session. A browser without support ignores the offer, and its sessions stay as they were.
 *
 * @example
 * ```ts
 * import { assertEquals } from "jsr:@std/assert@1.0.13";
 * import { MemoryStore, SecurityContext, SessionMiddleware } from "@alosaur/session";
 * import { DeviceBoundMiddleware } from "@alosaur/session/dbsc";
 *
 * const sessions = new SessionMiddleware(new MemoryStore(), { secret: SessionMiddleware.generateSecret() });
 * const devices = new DeviceBoundMiddleware(sessions);
 * // app.use(/\//, sessions);
 * // app.use(/\//, devices);
 *
 * const context = new SecurityContext(new Request("https://localhost/sign-in", { method: "POST" }));
 * await sessions.onPreRequest(context);
 * await devices.onPreRequest(context);
 * await context.security.session.regenerate({ principal: "ada" });
 * context.response.result = "Welcome";
 *
 * const { headers } = context.response.getMergedResult();
 * assertEquals(new Headers(headers).get("secure-session-registration")?.split(";")[0], "(ES256 RS256)");
 * assertEquals(context.security.session.device, undefined);
 * ```
 */
export class DeviceBoundMiddleware implements MiddlewareTarget {
  readonly #sessions: SessionMiddleware;
  readonly #services: SessionServices;
  readonly #cookie: BoundCookie;
  readonly #offers: DeviceOffers;
  readonly #endpoint: DeviceEndpoint;
  readonly #options: ResolvedDeviceOptions;

  /**
   * Validates the options, and lets `sessions` withhold bound sessions from now on.
   *
   * @param sessions the middleware whose sessions are bound
   * @param options the options, all of them optional
   * @throws {TypeError} if an option is unknown or has the wrong type; if `sessions` has one of the
   * options `domain`, `partitioned` or `secure: false`, because a bound cookie belongs to one host
   * and to HTTPS; or if its sessions are bound by another middleware already
   * @throws {RangeError} if `maxAge` is out of range
   */
  constructor(sessions: SessionMiddleware, options: DeviceBoundOptions = {}) {
    const services = servicesOf(sessions);
    const { keys, name, sameSite } = services.options;
    const resolved = resolveDeviceOptions(options, services.options);
    if (services.cookies.shared.guard !== undefined) {
      throw new TypeError(
        "Cannot bind sessions: another DeviceBoundMiddleware binds the sessions of this cookie already",
      );
    }
    this.#sessions = sessions;
    this.#services = services;
    this.#options = resolved;
    this.#cookie = new BoundCookie(keys, name, sameSite, resolved.maxAge);
    const challenges = new DeviceChallenges(keys);
    this.#offers = new DeviceOffers(challenges, resolved);
    this.#endpoint = new DeviceEndpoint(services, this.#cookie, challenges, this.#offers, resolved);
    services.cookies.shared.guard = this.#guard(resolved.offer);
  }

  /**
   * Serves the endpoint, and refuses a request that may not use its session. Alosaur calls it
   * before the action, and sends the response that it returns.
   *
   * @param context the context of the request
   * @returns the response of the endpoint, or the one that refuses the request; `undefined` if the
   * request may continue
   * @throws {SessionError} if the `SessionMiddleware` did not run for the request, or failed to
   * look up the session
   */
  onPreRequest(context: HttpContext): Response | undefined | Promise<Response | undefined> {
    const state = this.#stateOf(context);
    if (this.#isEndpoint(context)) return this.#endpoint.respond(context, state);
    const { loaded } = state;
    if (loaded?.ended === "withheld") return this.#refuse(context, loaded);
    const { require } = this.#options;
    if (require === undefined || loaded?.isLive !== true || loaded.meta.deviceKey !== undefined) return undefined;
    return require(context) ? this.#demand(context, loaded) : undefined;
  }

  /** Does nothing, because requests are checked before the action. */
  onPostRequest(_context: HttpContext): void {}

  #guard(isOffered: DeviceBoundOptions["offer"]): DeviceGuard {
    return {
      check: (header, deviceKey) => this.#cookie.check(header, deviceKey),
      handles: (context) => this.#isEndpoint(context),
      offer: (context, isNewCookie) => {
        const session = this.#stateOf(context).loaded;
        if (session === undefined || session.ended !== undefined || session.meta.deviceKey !== undefined) {
          return undefined;
        }
        const isSignedIn = session.meta.principal !== undefined || (isNewCookie && hasIdentity(context));
        if (isOffered === undefined && !isSignedIn) return undefined;
        if (!this.#offers.isDue(context, session, isNewCookie)) return undefined;
        const isWanted = isOffered === undefined || this.#asksApplication(isOffered, context, session);
        return isWanted ? this.#offers.create(session) : undefined;
      },
    };
  }

  /** A failure of the application's function must not spoil the response. */
  #asksApplication(
    isOffered: (context: HttpContext) => boolean,
    context: HttpContext,
    session: LoadedSession,
  ): boolean {
    try {
      return isOffered(context);
    } catch (error) {
      this.#services.reporter.emitWriteFailed("offer", error as Error, session.id, false);
      return false;
    }
  }

  #stateOf(context: HttpContext): SessionState {
    return stateOf(this.#sessions.sessionOf(context));
  }

  #isEndpoint({ request }: HttpContext): boolean {
    return request.method === "POST" && request.parserUrl.pathname === this.#options.path;
  }

  #refuse({ request: { headers, method } }: HttpContext, { id, meta }: LoadedSession): Response {
    // Every visitor who follows a link from another site would be reported.
    if (!isForeignPage(headers, method)) {
      const failure = this.#cookie.check(headers.get("cookie") ?? "", meta.deviceKey ?? "");
      this.#services.reporter.emitBoundRefused(failure ?? "expired", id);
    }
    return refusedResponse(headers, method, this.#options.path);
  }

  #demand(context: HttpContext, session: LoadedSession): Response {
    const { headers } = context.request;
    this.#services.reporter.emitBoundRefused("unbound", session.id);
    // Not with each request, because browsers limit how many keys they create.
    const offer = isPage(headers) && this.#offers.ageOf(session) >= REGISTRATION_MS
      ? this.#offers.create(session)
      : undefined;
    const response = demandResponse(headers, this.#offers.ageOf(session) < RELOAD_MS);
    if (offer !== undefined) response.headers.set(REGISTRATION_HEADER, offer);
    return this.#sessions.sessionOf(context).applyTo(response);
  }
}

/** Returns whether one of Alosaur's schemes has signed a user in. */
function hasIdentity(context: HttpContext): boolean {
  const { security } = context as HttpContext & { security?: Partial<Security> };
  return security?.auth?.identity() !== undefined;
}
