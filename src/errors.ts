/**
 * What can go wrong with a session while a request runs. Wrong options and wrong arguments are `TypeError` and `RangeError`.
 *
 * Note: Alosaur sends an uncaught error's own enumerable fields to the client as JSON. That is why everything these classes
 * add is an accessor of the prototype: `JSON.stringify()` of any of them is `{}`.
 *
 * @module
 */

/** The parent of every error that a session raises while a request runs. */
export class SessionError extends Error {
  static {
    nameClass(this, "SessionError");
  }
  readonly #operation: string;

  /**
   * Makes the error.
   *
   * @param operation what was being done, such as `"set"`
   * @param message what happened, without any session id, cookie or secret
   * @param options `cause`: the error underneath
   */
  constructor(operation: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.#operation = operation;
  }

  /** What was being done, such as `"get"`, `"set"`, `"create"`, `"regenerate"` or `"destroy"`. */
  get operation(): string {
    return this.#operation;
  }
}

/**
 * The store failed: it rejected, threw, or could not be reached. `cause` is the store's own error.
 *
 * Alosaur answers it with status 503, because `httpCode` says so.
 */
export class SessionStoreError extends SessionError {
  static {
    nameClass(this, "SessionStoreError");
  }

  /** The status that Alosaur answers with when nobody catches the error: 503 Service Unavailable. */
  get httpCode(): number {
    return 503;
  }
}

/**
 * A write came too late: the session was destroyed or has expired. Nothing was written and nothing was created.
 *
 * Alosaur answers it with status 409, because `httpCode` says so. A store rejects with it where the record of a write is
 * missing or expired.
 */
export class SessionGoneError extends SessionError {
  static {
    nameClass(this, "SessionGoneError");
  }

  /**
   * Makes the error.
   *
   * @param operation what was being done, such as `"set"`
   * @param options `cause`: the error underneath
   */
  constructor(operation: string, options?: ErrorOptions) {
    super(operation, `Cannot ${operation}: the session was destroyed or has expired`, options);
  }

  /** The status that Alosaur answers with when nobody catches the error: 409 Conflict. */
  get httpCode(): number {
    return 409;
  }
}

/**
 * The store lacks the optional capability that an operation needs, such as finding the sessions of a user.
 */
export class SessionNotSupportedError extends SessionError {
  static {
    nameClass(this, "SessionNotSupportedError");
  }

  /** The status that Alosaur answers with when nobody catches the error: 501 Not Implemented. */
  get httpCode(): number {
    return 501;
  }
}

/** Puts `name` on the prototype, not enumerable, as the built-in errors have it. */
function nameClass(errorClass: { prototype: Error }, name: string): void {
  Object.defineProperty(errorClass.prototype, "name", { value: name, configurable: true, writable: true });
}
