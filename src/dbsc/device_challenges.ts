/**
 * The challenges that browsers sign.
 *
 * @module
 */
import { TimedTokens } from "../cookie/timed_token.ts";
import type { LoadedSession } from "../core/loaded_session.ts";

/**
 * How long a challenge is valid, in milliseconds. Until then it is accepted again, because a
 * browser may send the same proof twice. Nothing is stored for a challenge.
 */
const LIFETIME_MS = 60_000;

/** Creates and verifies challenges. */
export class DeviceChallenges {
  readonly #tokens: TimedTokens;

  constructor(keys: readonly Uint8Array[]) {
    this.#tokens = new TimedTokens(keys, "device/challenge");
  }

  /** Returns a challenge for the registration of a key. */
  forRegistration(session: LoadedSession): string {
    return this.#sign(registrationSubject(session));
  }

  /** Returns a challenge for a refresh. */
  forRefresh(deviceKey: string): string {
    return this.#sign(refreshSubject(deviceKey));
  }

  /** Returns whether a challenge was made for the registration of this session, and is still valid. */
  acceptsRegistration(session: LoadedSession, challenge: string): boolean {
    return this.#accepts(registrationSubject(session), challenge);
  }

  /** Returns whether a challenge was made for a refresh with this key, and is still valid. */
  acceptsRefresh(deviceKey: string, challenge: string): boolean {
    return this.#accepts(refreshSubject(deviceKey), challenge);
  }

  #sign(subject: string): string {
    return this.#tokens.sign(subject, Date.now() + LIFETIME_MS);
  }

  #accepts(subject: string, challenge: string): boolean {
    const expiresAt = this.#tokens.verify(subject, challenge);
    return expiresAt !== undefined && Date.now() < expiresAt;
  }
}

/** The seed and not the id, because a renewal of the id may come between the offer and the proof. */
function registrationSubject({ csrfSeed }: LoadedSession): string {
  return `register ${csrfSeed}`;
}

/** The key and not the id, because it never changes. */
function refreshSubject(deviceKey: string): string {
  return `refresh ${deviceKey}`;
}
