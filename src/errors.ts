/**
 * The errors that a session throws while a request runs. Invalid options and arguments throw
 * `TypeError` or `RangeError` instead.
 *
 * Note: Alosaur sends the enumerable own properties of an uncaught error to the client as JSON.
 * These classes define their properties as accessors on the prototype, so that `JSON.stringify()`
 * of each error is `{}`.
 *
 * @module
 */

/** What an operation does, for messages, if its name is not a plain verb. */
const ACTIONS: ReadonlyMap<string, string> = new Map([
  ["bindDevice", "bind the session to a device"],
  ["csrfToken", "create a CSRF token"],
  ["revokeEverybody", "end all sessions"],
  ["setLabel", "set the label"],
  ["setMaxAge", "set the lifetime"],
  ["signal", "watch the session"],
  ["users", "list the users"],
]);

/** Returns what an operation does, to complete a message that begins with "Cannot". */
export function actionOf(operation: string): string {
  return ACTIONS.get(operation) ?? operation;
}

/** Returns the message of an operation that has failed. */
export function cannot(operation: string, reason: string): string {
  return `Cannot ${actionOf(operation)}: ${reason}`;
}

/** The base class of the errors that a session throws while a request runs. */
export class SessionError extends Error {
  static {
    defineName(this, "SessionError");
  }
  readonly #operation: string;

  /**
   * Creates the error.
   *
   * @param operation the operation that failed, such as `"set"`
   * @param message the description, without any session id, cookie or secret
   * @param options `cause`: the underlying error
   */
  constructor(operation: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.#operation = operation;
  }

  /**
   * The operation that failed, such as `"get"`, `"set"`, `"create"`, `"regenerate"` or `"destroy"`.
   */
  get operation(): string {
    return this.#operation;
  }
}

/**
 * The store failed: it rejected, threw or could not be reached. `cause` is the store's own error.
 * Also thrown if a call has waited too long for the `update()` of another request, or for a call
 * that timed out.
 *
 * Alosaur responds with status 503 if the application does not catch it.
 */
export class SessionStoreError extends SessionError {
  static {
    defineName(this, "SessionStoreError");
  }

  /** The status of Alosaur's response if the error is not caught: 503 Service Unavailable. */
  get httpCode(): number {
    return 503;
  }
}

/**
 * The store has a record, but can never read it: the key that encrypted it is missing, or the
 * stored data is not what the store wrote. Trying again does not help, so the middleware treats the
 * session as ended, and the visitor can begin a new one.
 *
 * A store rejects with this error. It must not use it if the record could be read later, for
 * example because a connection failed.
 */
export class UnreadableRecordError extends SessionStoreError {
  static {
    defineName(this, "UnreadableRecordError");
  }
}

/**
 * How a session has ended, or why its signal has aborted although the session continues:
 *
 * - `"destroyed"`: `session.destroy()` of this process
 * - `"revoked"`: `middleware.sessions` of this process, or a sign-in with `maxSessionsPerPrincipal`
 * - `"expired"`
 * - `"cleared"`: `session.clear()`, which unbinds the session from its user
 * - `"rebound"`: the session was bound to another user
 * - `"gone"`: the store does not have it any more, because another process has destroyed or revoked
 *   it; or it cannot read it, or could not create it
 */
export type SessionEnd = "destroyed" | "revoked" | "expired" | "cleared" | "rebound" | "gone";

const END_MESSAGES: Record<SessionEnd, string> = {
  destroyed: "The session has ended: it was destroyed",
  revoked: "The session has ended: it was revoked",
  expired: "The session has ended: it has expired",
  cleared: "The session was cleared and is no longer bound to its user",
  rebound: "The session was bound to another user",
  gone: "The session has ended: it was ended elsewhere, or its record could not be read or created",
};

/**
 * A write was refused because the session has ended. Nothing was written, and no
 * session was created. Also the reason of a `session.signal` that has aborted.
 *
 * Alosaur responds with status 409 if the application does not catch it. A store rejects with this
 * error if a write finds its record missing or expired.
 */
export class SessionGoneError extends SessionError {
  static {
    defineName(this, "SessionGoneError");
  }
  readonly #end: SessionEnd | undefined;

  /**
   * Creates the error.
   *
   * @param operation the operation that was refused, such as `"set"`
   * @param options `cause`: the underlying error; `end`: how the session has ended, if known
   */
  constructor(operation: string, options?: ErrorOptions & { end?: SessionEnd }) {
    const { end } = options ?? {};
    const message = end === undefined
      ? cannot(operation, "the session has ended; nothing was written; this request can no longer use it")
      : END_MESSAGES[end];
    super(operation, message, options);
    this.#end = end;
  }

  /** How the session has ended; `undefined` for a refused write, which does not know it. */
  get end(): SessionEnd | undefined {
    return this.#end;
  }

  /** The status of Alosaur's response if the error is not caught: 409 Conflict. */
  get httpCode(): number {
    return 409;
  }
}

/**
 * A call was refused because the session is bound to a device, and the request does not prove that
 * it comes from there. Nothing was read or written. `DeviceBoundMiddleware` refuses such a request
 * before the action runs, so an action sees this error only if that middleware did not run.
 *
 * Alosaur responds with status 401 if the application does not catch it.
 */
export class DeviceProofError extends SessionError {
  static {
    defineName(this, "DeviceProofError");
  }

  /**
   * Creates the error.
   *
   * @param operation the operation that was refused, such as `"set"`
   */
  constructor(operation: string) {
    super(
      operation,
      cannot(
        operation,
        "the session is bound to a device, and the request does not prove that it comes from that device; register " +
          "DeviceBoundMiddleware for this path, which refuses such requests",
      ),
    );
  }

  /** The status of Alosaur's response if the error is not caught: 401 Unauthorized. */
  get httpCode(): number {
    return 401;
  }
}

/**
 * A call was refused because it needs a new session cookie, and the headers of the response have
 * already left. That is the case in the body of a streamed response, in a WebSocket, and in code
 * that runs after the response. Nothing was written. The client has its response already, so this
 * error has no `httpCode`.
 */
export class HeadersSentError extends SessionError {
  static {
    defineName(this, "HeadersSentError");
  }

  /**
   * Creates the error.
   *
   * @param operation the operation that was refused, such as `"set"`
   */
  constructor(operation: string) {
    super(
      operation,
      cannot(
        operation,
        "the headers of the response have been sent, so the client would not receive the session cookie; nothing was " +
          "written; begin the session, or give it a new id, before you return the response",
      ),
    );
  }
}

/**
 * The store lacks the optional capability that an operation needs, such as listing the sessions of
 * a user.
 *
 * Alosaur responds with status 501 if the application does not catch it.
 */
export class SessionNotSupportedError extends SessionError {
  static {
    defineName(this, "SessionNotSupportedError");
  }

  /** The status of Alosaur's response if the error is not caught: 501 Not Implemented. */
  get httpCode(): number {
    return 501;
  }
}

/** Defines `name` on the prototype, not enumerable, as the built-in errors do. */
function defineName(errorClass: { prototype: Error }, name: string): void {
  Object.defineProperty(errorClass.prototype, "name", { value: name, configurable: true, writable: true });
}
