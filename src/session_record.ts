/**
 * A session as it is passed to a store and returned by it: its values, its expiry and its metadata.
 *
 * @module
 */

/**
 * The metadata of a session, stored beside its values. Times are in milliseconds since the epoch.
 */
export interface SessionMeta {
  /** When the session was created. */
  createdAt: number;
  /**
   * When the session was last used. Activity is not written on every request, so the actual last
   * use may be more recent.
   */
  seenAt: number;
  /** When the session got its current id. */
  renewedAt: number;
  /**
   * When the cookie was last sent. Only `rolling` uses it, to decide when to send the cookie again.
   */
  sentAt?: number;
  /**
   * The user that the session is bound to. A well-formed string; a store accepts at least 512
   * characters.
   */
  principal?: string;
  /**
   * When the session was bound to that user. With `maxSessionsPerPrincipal`, later than that of
   * every session that the user already had, even if the clock is behind.
   */
  boundAt?: number;
  /** When the user signed in, if `boundAt` is later than that. */
  signedInAt?: number;
  /**
   * The name of the device or browser, which the user will be shown. At most 256 characters.
   */
  label?: string;
  /**
   * The session's own `maxAge`, in seconds. Absent: the option applies. 0: the cookie ends with the
   * browser, and the server keeps the session as if there were no `maxAge`.
   */
  maxAge?: number;
  /** The time from which `maxAge` counts. Absent: it counts from `createdAt`. */
  maxAgeSince?: number;
  /**
   * The `maxAgeSince` with which the cookie was last sent. If it differs from `maxAgeSince`, the
   * cookie must be sent again.
   */
  maxAgeSent?: number;
  /** When `clear()` was last called. Streams that began before end with it. */
  clearedAt?: number;
  /**
   * The older session id that the CSRF token is still derived from. Absent if the token is derived
   * from the current id.
   */
  csrfSeed?: string;
  /**
   * The session id that `renewalTimeout` has replaced by the current one. Absent once a request has
   * presented the current id. Until then the client may not have received it.
   */
  replaces?: string;
  /**
   * How many times `EncryptedStore` has encrypted the values: 1, or more if one `EncryptedStore` is
   * over another. Absent if the values are not encrypted. `EncryptedStore` sets it, so that a
   * middleware without that store does not take the encrypted text for values.
   */
  encrypted?: number;
  /**
   * The public key of the device that the session is bound to: a JSON Web Key (RFC 7517) with its
   * public members only, as JSON. At most 1,024 characters. It is never changed or removed while
   * the record lives.
   */
  deviceKey?: string;
  /** When the session was bound to that device. */
  deviceBoundAt?: number;
}

/** A complete session as it is passed to a store and returned by it. */
export interface SessionRecord {
  /** The values by key. If a value passed to a store is `undefined`, the store omits the key. */
  values: Map<string, unknown>;
  /**
   * When the session expires, in milliseconds since the epoch. `Infinity` means that it does not
   * expire.
   */
  expiresAt: number;
  /** The metadata. */
  meta: SessionMeta;
}

/**
 * A record as a {@linkcode RecordStore} reads it.
 *
 * Note: a store may compute the properties on access, and `values` anew on each access. Read each
 * property once, and do not spread the record.
 */
export interface StoredRecord extends Readonly<SessionRecord> {
  /**
   * The version, which `RecordChange.ifVersion` is compared with. Every change of a value
   * must result in another number, also under the new id after a move. A change of the metadata or
   * the expiry may result in another number too.
   */
  readonly version: number;
}

/**
 * The information that a store keeps about a session id that is no longer live. A store may delete
 * it once the session would have expired.
 */
export type SessionTrace =
  /** The session has expired. */
  | { expired: true }
  /**
   * The session has moved to the id `movedTo`. Until `graceUntil`, in milliseconds since the epoch,
   * the middleware still accepts the old id.
   */
  | { movedTo: string; graceUntil: number };

/** A session as `PrincipalStore.listSessions()` returns it. */
export interface ListedSession {
  /** The session id. */
  sid: string;
  /** When the session expires, as in {@linkcode SessionRecord.expiresAt}. */
  expiresAt: number;
  /** A copy of the metadata. */
  meta: SessionMeta;
}

/** The type of each member of a {@linkcode SessionMeta}. */
export const META_TYPES = {
  createdAt: "number",
  seenAt: "number",
  renewedAt: "number",
  sentAt: "number",
  principal: "string",
  boundAt: "number",
  signedInAt: "number",
  label: "string",
  maxAge: "number",
  maxAgeSince: "number",
  maxAgeSent: "number",
  clearedAt: "number",
  csrfSeed: "string",
  replaces: "string",
  encrypted: "number",
  deviceKey: "string",
  deviceBoundAt: "number",
} as const satisfies Record<keyof SessionMeta, "number" | "string">;

/** The members that every {@linkcode SessionMeta} has. */
export const REQUIRED_META = ["createdAt", "seenAt", "renewedAt"] as const satisfies readonly (keyof SessionMeta)[];

/** All other members of a {@linkcode SessionMeta}. */
export const OPTIONAL_META = (Object.keys(META_TYPES) as (keyof SessionMeta)[])
  .filter((name): name is Exclude<keyof SessionMeta, typeof REQUIRED_META[number]> => !isRequired(name));

function isRequired(name: keyof SessionMeta): boolean {
  return REQUIRED_META.some((required) => required === name);
}

/**
 * Returns whether decoded data has the shape of a {@linkcode SessionMeta}. If it has not, the
 * record can never be read.
 */
export function isSessionMeta(data: unknown): data is SessionMeta {
  if (typeof data !== "object" || data === null) return false;
  const meta = data as SessionMeta;
  return REQUIRED_META.every((name) => typeof meta[name] === META_TYPES[name]) &&
    OPTIONAL_META.every((name) => meta[name] === undefined || typeof meta[name] === META_TYPES[name]);
}
