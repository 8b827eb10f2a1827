/**
 * Offers browsers to bind their session.
 *
 * @module
 */
import type { HttpContext } from "../../deps.ts";
import type { LoadedSession } from "../core/loaded_session.ts";
import { TwoGenerationCache } from "../util/two_generation_cache.ts";
import type { DeviceChallenges } from "./device_challenges.ts";
import type { ResolvedDeviceOptions } from "./device_options.ts";
import { isPage } from "./device_responses.ts";

/** After what time a page offers it again, in milliseconds. A browser does not retry a registration. */
const REPEAT_MS = 600_000;

/** For how long after a request that is no page none is expected, in milliseconds. */
const QUIET_MS = 1000;

/** For how long a browser may be about to register its key after an offer, in milliseconds. */
export const REGISTRATION_MS = 60_000;

/** How many sessions are remembered, at about 100 bytes each. */
const MAX_REMEMBERED = 10_000;

/** Decides when a response offers to bind its session, and creates the header. */
export class DeviceOffers {
  readonly #challenges: DeviceChallenges;
  readonly #algorithms: string;
  readonly #path: string;
  readonly #hasInitiators: boolean;
  /** When this process has last offered each session, by its id. */
  readonly #offeredAt = new TwoGenerationCache<number>(MAX_REMEMBERED);
  /** When a request of each session was last found to be no page, by its id. */
  readonly #quietAt = new TwoGenerationCache<number>(MAX_REMEMBERED);

  constructor(
    challenges: DeviceChallenges,
    { algorithms, path, refreshInitiators }: Pick<ResolvedDeviceOptions, "algorithms" | "path" | "refreshInitiators">,
  ) {
    this.#challenges = challenges;
    this.#algorithms = algorithms.join(" ");
    this.#path = path;
    this.#hasInitiators = refreshInitiators.length > 0;
  }

  /** How long ago this process has offered a session, in milliseconds. */
  ageOf({ id }: LoadedSession): number {
    return Date.now() - (this.#offeredAt.get(id) ?? -Infinity);
  }

  /** Returns whether a response should make an offer: it sets a new cookie, or is a page. */
  isDue({ request: { headers } }: HttpContext, session: LoadedSession, isNewCookie: boolean): boolean {
    if (!isNewCookie && !this.#isPageDue(headers, session)) return false;
    const site = headers.get("sec-fetch-site");
    // The registration would come from that site too, without a `SameSite` cookie. A later page
    // offers it.
    if (site === "cross-site") return false;
    // The script of a sibling origin would be refused as soon as the bound cookie has expired,
    // because the browser refreshes only for the initiators that the instructions name.
    return site !== "same-site" || isPage(headers) || this.#hasInitiators;
  }

  /** Returns whether a response is a page, and the last offer is long ago. */
  #isPageDue(headers: Headers, session: LoadedSession): boolean {
    const now = Date.now();
    // Reading a header takes longer than everything else here.
    if (now - (this.#quietAt.get(session.id) ?? -Infinity) < QUIET_MS) return false;
    if (isPage(headers)) return this.ageOf(session) >= REPEAT_MS;
    this.#quietAt.set(session.id, now);
    return false;
  }

  /** Returns the value of the header `Secure-Session-Registration`. */
  create(session: LoadedSession): string {
    this.#offeredAt.set(session.id, Date.now());
    const challenge = this.#challenges.forRegistration(session);
    return `(${this.#algorithms});path="${this.#path}";challenge="${challenge}"`;
  }
}
