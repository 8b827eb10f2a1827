/**
 * The types of a session's values, and of what its methods take.
 *
 * @module
 */

/** The values of a session whose keys and types were not declared. */
// deno-lint-ignore no-explicit-any -- only the application knows the types of its values
export type SessionData = Record<string, any>;

/** A key of a session whose data was declared. */
export type SessionKey<TData extends object> = keyof TData & string;

/** Any string if the session's data was not declared, otherwise `never`. */
export type AnyKey<TData extends object> = string extends keyof TData ? string : never;

/** Values of a session by key, some or all of them; `undefined` stands for no value. */
export type SessionValues<TData extends object> = { [K in SessionKey<TData>]?: TData[K] | undefined };

/** Computes a new value from the current one; `undefined` stands for no value. */
export type Updater<T> = (value: T | undefined) => T | undefined | Promise<T | undefined>;

/** The options of `Session.regenerate()`. */
export interface RegenerateOptions<TData extends object = SessionData> {
  /**
   * How long requests with the old id can still read and write the session, in seconds. 0 or more.
   * These requests do not receive the new cookie. Cannot be combined with `principal`.
   *
   * @default {0} the old id is refused immediately
   */
  graceSeconds?: number;
  /**
   * The user that the session is bound to from now on, such as the user's id. A well-formed string
   * of 1 to 512 characters. Cannot be combined with `graceSeconds`, because an id from before the
   * sign-in must not reach a signed-in session.
   *
   * @default {undefined} unchanged
   */
  principal?: string;
  /**
   * How long this session lasts from now on, in seconds, as in `Session.setMaxAge()`. `null`: the
   * cookie ends with the browser.
   *
   * @default {undefined} unchanged; after a sign-in of the first user or of another one, as the
   * options of the middleware say
   */
  maxAge?: number | null;
  /**
   * The name of the device or browser, as in `Session.setLabel()`.
   *
   * @default {undefined} unchanged; no label after a sign-in of the first user or of another one
   */
  label?: string;
  /**
   * Values to write atomically with the new id, as in `Session.set()`.
   *
   * @default {undefined} no value is changed
   */
  set?: SessionValues<TData>;
}

/** The algorithm with which the key of a device signs (RFC 7518 section 3.1). */
export type DeviceAlgorithm = "ES256" | "RS256";

/** The device that a session is bound to. */
export interface SessionDevice {
  /** When the browser proved for the first time that it holds the key. */
  boundAt: Date;
  /** The algorithm with which the key signs. */
  algorithm: DeviceAlgorithm;
}
