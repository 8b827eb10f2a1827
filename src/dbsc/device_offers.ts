/**
 * Offers browsers to bind their session.
 *
 * @module
 */
import type { HttpContext } from "../../deps.ts";
import type { LoadedSession } from "../core/loaded_session.ts";
import type { DeviceAlgorithm } from "../session_types.ts";
import { TwoGenerationCache } from "../util/two_generation_cache.ts";
import type { DeviceChallenges } from "./device_challenges.ts";

/** After what time a page offers it again, in milliseconds. A registration that failed is not retried. */
const REPEAT_MS = 600_000;

/** How many sessions are remembered, at about 100 bytes each. */
const MAX_REMEMBERED = 10_000;

/** Decides when a response offers to bind its session, and creates the header. */
export class DeviceOffers {
  readonly #challenges: DeviceChallenges;
  readonly #algorithms: string;
  readonly #path: string;
  /** When each session was last offered, by its id. */
  readonly #offeredAt = new TwoGenerationCache<number>(MAX_REMEMBERED);

  constructor(challenges: DeviceChallenges, algorithms: readonly DeviceAlgorithm[], path: string) {
    this.#challenges = challenges;
    this.#algorithms = algorithms.join(" ");
    this.#path = path;
  }

  /** Returns whether a response should make an offer: it sets a new cookie, or is a page. */
  isDue({ request }: HttpContext, { id }: LoadedSession, isNewCookie: boolean): boolean {
    if (isNewCookie) return true;
    const offeredAt = this.#offeredAt.get(id);
    if (offeredAt !== undefined && Date.now() < offeredAt + REPEAT_MS) return false;
    return isPage(request.headers);
  }

  /** Returns the value of the header `Secure-Session-Registration`. */
  create(session: LoadedSession): string {
    this.#offeredAt.set(session.id, Date.now());
    const challenge = this.#challenges.forRegistration(session);
    return `(${this.#algorithms});path="${this.#path}";challenge="${challenge}"`;
  }
}

/** Returns whether a browser will show the response as a page of its own. */
export function isPage(headers: Headers): boolean {
  return headers.get("sec-fetch-dest") === "document";
}
