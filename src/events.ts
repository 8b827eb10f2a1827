/**
 * The events that a session middleware emits to `options.onEvent`.
 *
 * @module
 */
import type { MaybePromise } from "./util/maybe_promise.ts";
import { SessionGoneError, SessionStoreError, UnreadableRecordError } from "./errors.ts";
import { UpdaterError } from "./persistence/running_update.ts";
import type { DeviceAlgorithm } from "./session_types.ts";

/**
 * An event for operators, passed to `options.onEvent`. `type` tells the events apart.
 *
 * `session`, if present, identifies the session without revealing its id. It is the handle that
 * `middleware.sessions.list()` returns: a keyed hash of the verified session id. The same id has
 * the same handle while the first secret stays the same. A handle cannot be reversed. No event
 * contains a session id, a cookie or a value.
 */
export type SessionEvent =
  | SessionCreated
  | SessionRenewed
  | SessionEnded
  | EverybodyRevoked
  | SessionRefused
  | SessionUnreadable
  | SessionCookieLost
  | SessionStoreFailed
  | SessionWriteFailed
  | DeviceBound
  | DeviceRefreshed
  | DeviceRefused;

/** A session was created: the store has its record. */
export interface SessionCreated {
  /** The type of the event. */
  type: "created";
  /** The handle of the session. */
  session: string;
  /** The user that the session is bound to, if any. */
  principal?: string;
}

/** A session got a new id, from `regenerate()` or from `renewalTimeout`. */
export interface SessionRenewed {
  /** The type of the event. */
  type: "renewed";
  /** The handle of the session under its new id. */
  session: string;
  /** The handle of the session under its old id. */
  previous: string;
  /** The user that the session is bound to, if any. */
  principal?: string;
}

/** A session ended. */
export interface SessionEnded {
  /**
   * - `"destroyed"`: the application called `destroy()`.
   * - `"expired"`: a request presented a session that had expired.
   * - `"revoked"`: the session was ended through `middleware.sessions`, or because its user had
   *   more than `maxSessionsPerPrincipal`.
   */
  type: "destroyed" | "expired" | "revoked";
  /** The handle of the session. */
  session: string;
  /** The user that the session was bound to, if known. Never present with `"expired"`. */
  principal?: string;
}

/**
 * All sessions of the store were ended, by `middleware.sessions.revokeEverybody()`. There is no
 * event for each of them. Other processes emit none; they refuse the cookies with `"unknown"`.
 */
export interface EverybodyRevoked {
  /** The type of the event. */
  type: "everybodyRevoked";
  /** Absent, because the event concerns all sessions. */
  session?: undefined;
}

/** Why a cookie was refused. */
export type RefusalReason = SessionRefused["reason"];

/** A cookie with the session's name was refused, or, with `"ambiguous"`, ignored. */
export interface SessionRefused {
  /** The type of the event. */
  type: "refused";
  /**
   * - `"malformed"`: the value does not have the form of a session cookie.
   * - `"signature"`: none of the secrets has signed the value.
   * - `"unknown"`: the signature is valid, but the session has ended.
   * - `"reuse"`: the signature is valid, but the session got another id and the grace period of
   *   this one has passed.
   * - `"ambiguous"`: the request carries two live sessions, possibly from cookie tossing. The first
   *   one is used.
   */
  reason: "malformed" | "signature" | "unknown" | "reuse" | "ambiguous";
  /**
   * How many cookies this middleware has refused for this reason since it was constructed. A
   * fast-growing count suggests a brute-force attack.
   */
  count: number;
  /** The handle of the session. Absent if the id was not verified. */
  session?: string;
}

/**
 * The store has a record, but can never read it: the key that encrypted it is missing, or another
 * program has changed it. The session counts as ended. The record is kept until it expires.
 */
export interface SessionUnreadable {
  /** The type of the event. */
  type: "unreadable";
  /** The error. Its `cause` is the store's own error, if there is one. */
  error: UnreadableRecordError;
  /** The handle of the session. Absent if the operation concerned several sessions. */
  session?: string;
}

/** A session cookie was set, but the client has not received it. */
export interface SessionCookieLost {
  /** The type of the event. */
  type: "cookieLost";
  /**
   * - `"error"`: the action threw, and Alosaur responds to an uncaught error without the headers of
   *   the response.
   * - `"late"`: the session got its new id after the headers of the response had left.
   * - `"unsent"`: the cookie was not sent within 5 seconds. A middleware has probably returned a
   *   response of its own, which Alosaur sends without the cookie. Reported by a later request.
   */
  reason: "error" | "late" | "unsent";
  /** The handle of the session. */
  session: string;
}

/** The store rejected, threw or could not be reached. */
export interface SessionStoreFailed {
  /** The type of the event. */
  type: "storeFailed";
  /** The operation that failed, such as `"set"`. */
  operation: string;
  /** The error. Its `cause` is the store's own error. */
  error: SessionStoreError;
  /** The handle of the session. Absent if there was no session yet. */
  session?: string;
}

/**
 * A write that was not awaited failed, although the store did not: its session had ended, an
 * argument was invalid, such as a value that cannot be stored, or the function passed to `update()`
 * threw. Or the option `domain` failed, so a cookie was not sent again or not deleted. Or the
 * option `offer` of `DeviceBoundMiddleware` failed, so the browser was not offered to bind the
 * session.
 */
export interface SessionWriteFailed {
  /** The type of the event. */
  type: "writeFailed";
  /**
   * The operation that failed, such as `"set"`; `"setCookie"` if the option `domain` failed,
   * `"offer"` if that option failed.
   */
  operation: string;
  /** The reason. */
  error: Error;
  /** The handle of the session. Absent if there was no session yet, and with `"setCookie"`. */
  session?: string;
}

/** A session was bound to a device, by `DeviceBoundMiddleware`. */
export interface DeviceBound {
  /** The type of the event. */
  type: "bound";
  /** The handle of the session. */
  session: string;
  /** The user that the session is bound to, if any. */
  principal?: string;
  /** The algorithm with which the key of the device signs. */
  algorithm: DeviceAlgorithm;
}

/** The device of a bound session has proved again that it holds the key, and got a new bound cookie. */
export interface DeviceRefreshed {
  /** The type of the event. */
  type: "refreshed";
  /** The handle of the session. */
  session: string;
  /** How many refreshes this middleware has accepted since it was constructed. */
  count: number;
}

/** Why `DeviceBoundMiddleware` has refused a request. */
export type DeviceRefusalReason = DeviceRefused["reason"];

/** `DeviceBoundMiddleware` has refused a request. The session has not changed. */
export interface DeviceRefused {
  /** The type of the event. */
  type: "boundRefused";
  /**
   * A request of a bound session did not prove that it comes from its device:
   * - `"missing"`: it has no bound cookie. A stolen session cookie looks like this. A link from
   *   another site is not reported, because browsers do not send a new bound cookie with it.
   * - `"expired"`: its bound cookie has expired.
   * - `"invalid"`: its bound cookie was not made for this session's device.
   *
   * A page demands a bound session:
   * - `"unbound"`: the session is not bound (the option `require`).
   *
   * A request to the endpoint was refused:
   * - `"origin"`: a page's script or another site has sent it.
   * - `"proof"`: the proof is malformed, or the key of the session has not signed it.
   * - `"challenge"`: the proof signs a challenge that has expired or belongs to another session.
   * - `"alreadyBound"`: the session is bound to another key.
   * - `"unknown"`: there is no session to bind.
   */
  reason:
    | "missing"
    | "expired"
    | "invalid"
    | "unbound"
    | "origin"
    | "proof"
    | "challenge"
    | "alreadyBound"
    | "unknown";
  /** How many requests this middleware has refused for this reason since it was constructed. */
  count: number;
  /** The handle of the session. Absent if there is none. */
  session?: string;
}

/**
 * Emits events to the listener of the options. Errors that the listener throws or rejects with are
 * ignored.
 *
 * Its methods take session ids, either verified or generated by the server, and hash them here. No
 * event can carry an id, and without a listener nothing is hashed.
 */
export class Reporter {
  readonly #listener: ((event: SessionEvent) => unknown) | undefined;
  readonly #handleOf: (id: string) => string;
  readonly #refused: Record<RefusalReason, number> = { malformed: 0, signature: 0, unknown: 0, reuse: 0, ambiguous: 0 };
  readonly #devicesRefused: Partial<Record<DeviceRefusalReason, number>> = {};
  #devicesRefreshed = 0;

  /**
   * @param listener receives the events
   * @param handleOf returns the handle of a session id
   */
  constructor(listener: ((event: SessionEvent) => unknown) | undefined, handleOf: (id: string) => string) {
    this.#listener = listener;
    this.#handleOf = handleOf;
  }

  /** Whether the application receives events. */
  get isListening(): boolean {
    return this.#listener !== undefined;
  }

  emitCreated(id: string, principal: string | undefined): void {
    this.#emit(() => ({ type: "created", session: this.#handleOf(id), ...principalField(principal) }));
  }

  emitRenewed(id: string, previous: string, principal: string | undefined): void {
    this.#emit(() => ({
      type: "renewed",
      session: this.#handleOf(id),
      previous: this.#handleOf(previous),
      ...principalField(principal),
    }));
  }

  emitEnded(type: SessionEnded["type"], id: string, principal?: string): void {
    this.#emit(() => ({ type, session: this.#handleOf(id), ...principalField(principal) }));
  }

  emitEverybodyRevoked(): void {
    this.#emit(() => ({ type: "everybodyRevoked" }));
  }

  /** Counts and reports a refused cookie. */
  emitRefused(reason: RefusalReason, id?: string): void {
    const count = ++this.#refused[reason];
    this.#emit(() => ({ type: "refused", reason, count, ...this.#sessionField(id) }));
  }

  emitBound(id: string, principal: string | undefined, algorithm: DeviceAlgorithm): void {
    this.#emit(() => ({ type: "bound", session: this.#handleOf(id), ...principalField(principal), algorithm }));
  }

  emitRefreshed(id: string): void {
    const count = ++this.#devicesRefreshed;
    this.#emit(() => ({ type: "refreshed", session: this.#handleOf(id), count }));
  }

  /** Counts and reports a request that was refused because of the device. */
  emitBoundRefused(reason: DeviceRefusalReason, id: string | undefined): void {
    const count = this.#devicesRefused[reason] = (this.#devicesRefused[reason] ?? 0) + 1;
    this.#emit(() => ({ type: "boundRefused", reason, count, ...this.#sessionField(id) }));
  }

  emitCookieLost(reason: SessionCookieLost["reason"], id: string): void {
    this.#emit(() => ({ type: "cookieLost", reason, session: this.#handleOf(id) }));
  }

  /** Reports a cookie that a response leaves without, because its Domain is not known. */
  emitCookieFailed(error: TypeError): void {
    this.#emit(() => ({ type: "writeFailed", operation: "setCookie", error }));
    if (this.#listener === undefined) console.error(`[session] ${error.message}`);
  }

  emitStoreFailed(operation: string, error: SessionStoreError, id?: string): void {
    this.#emit(() => ({
      ...(error instanceof UnreadableRecordError
        ? { type: "unreadable", error }
        : { type: "storeFailed", operation, error }),
      ...this.#sessionField(id),
    }));
  }

  /**
   * Reports a failed write.
   *
   * @param failure an {@linkcode UpdaterError} if the function of an update has thrown
   * @param awaited whether the application awaits the promise and therefore handles the error
   * itself
   */
  emitWriteFailed(operation: string, failure: Error, id: string | undefined, awaited: boolean): void {
    const isThrown = failure instanceof UpdaterError;
    const error = (isThrown ? failure.thrown : failure) as Error;
    const cause = error instanceof SessionGoneError ? error.cause : undefined;
    if (error instanceof SessionStoreError && !isThrown) this.emitStoreFailed(operation, error, id);
    else if (cause instanceof UnreadableRecordError && !isThrown) this.emitStoreFailed(operation, cause, id);
    else if (!awaited) this.#emit(() => ({ type: "writeFailed", operation, error, ...this.#sessionField(id) }));
    if (!awaited && this.#listener === undefined) console.error(describeFailure(operation, error));
  }

  /** Passes a result of the store through, and reports its rejection if the store failed. */
  reportFailures<T>(operation: string, id: string | undefined, result: MaybePromise<T>): MaybePromise<T> {
    if (!(result instanceof Promise)) return result;
    return result.catch((error) => {
      if (error instanceof SessionStoreError) this.emitStoreFailed(operation, error, id);
      throw error;
    });
  }

  #sessionField(id: string | undefined): { session?: string } {
    return id === undefined ? {} : { session: this.#handleOf(id) };
  }

  #emit(createEvent: () => SessionEvent): void {
    if (this.#listener === undefined) return;
    try {
      const result = this.#listener(createEvent());
      if (result instanceof Promise) result.catch(() => {});
    } catch {
      // An error of the listener must not fail the request.
    }
  }
}

function principalField(principal: string | undefined): { principal?: string } {
  return principal === undefined ? {} : { principal };
}

/**
 * Describes a failed write in one line for the console. The message of the store's error is left
 * out, because it may contain the session id or a database password.
 */
function describeFailure(operation: string, error: unknown): string {
  // The function passed to `update()` may throw any value.
  const name = error instanceof Error ? error.name : "a thrown value that is not an Error";
  const cause = error instanceof Error && error.cause instanceof Error
    ? ` caused by ${error.cause.constructor.name}`
    : "";
  return `[session] ${operation} failed and was not awaited: ${name}${cause}. Await the call, or set options.onEvent.`;
}
