/**
 * The device that a session is bound to.
 *
 * @module
 */
import type { SessionMeta } from "../session_store.ts";
import type { DeviceAlgorithm, SessionDevice } from "../session_types.ts";

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
