/**
 * The device that a session is bound to.
 *
 * @module
 */
import type { CookiePolicy } from "../cookie/cookie_policy.ts";
import type { SessionMeta } from "../session_store.ts";
import type { DeviceAlgorithm, SessionDevice } from "../session_types.ts";

/**
 * How long after its binding a session can still be used without the bound cookie, in milliseconds.
 * A browser may have sent a request just before it received that cookie.
 */
const BINDING_GRACE_MS = 5000;

/** The type of a key (RFC 7517 section 4.1) with which each algorithm signs. */
export const KEY_TYPES = { ES256: "EC", RS256: "RSA" } as const satisfies Record<DeviceAlgorithm, string>;

/** Returns the algorithm with which a stored key signs. */
export function algorithmOf(deviceKey: string): DeviceAlgorithm {
  return deviceKey.includes(`"kty":"${KEY_TYPES.RS256}"`) ? "RS256" : "ES256";
}

/** Returns the device of a session; `undefined` if it is not bound to one. */
export function deviceOf({ deviceKey, deviceBoundAt }: SessionMeta): SessionDevice | undefined {
  if (deviceKey === undefined || deviceBoundAt === undefined) return undefined;
  return { boundAt: new Date(deviceBoundAt), algorithm: algorithmOf(deviceKey) };
}

/**
 * Returns whether a session is withheld from a request, because it is bound to a device and the
 * request does not prove that it comes from there.
 *
 * @param header the Cookie header of the request
 */
export function isWithheld(
  { shared: { guard } }: CookiePolicy,
  header: string,
  { deviceKey, deviceBoundAt = 0 }: SessionMeta,
): boolean {
  return deviceKey !== undefined && guard !== undefined && guard.check(header, deviceKey) !== undefined &&
    Date.now() >= deviceBoundAt + BINDING_GRACE_MS;
}
