/**
 * What a session reports of itself.
 *
 * @module
 */
import type { MaybePromise } from "./util/maybe_promise.ts";
import { SessionStoreError } from "./errors.ts";

/**
 * Something that an operator wants to know, told to `options.onEvent`. `type` says what it is.
 *
 * `session`, where there is one, stands for the session: a keyed hash of its verified id, the same for the same id, from which
 * the id cannot be had. No event carries a session id, a cookie or a value.
 */
export type SessionEvent =
  | SessionCreated
  | SessionRenewed
  | SessionEnded
  | SessionRefused
  | SessionStoreFailed
  | SessionWriteFailed;

/** A session began: its record was made. */
export interface SessionCreated {
  /** What it is. */
  type: "created";
  /** Stands for the session. */
  session: string;
  /** The user that it is bound to, if any. */
  principal?: string;
}

/** A session got a new id. */
export interface SessionRenewed {
  /** What it is. */
  type: "renewed";
  /** Stands for the session under its new id. */
  session: string;
  /** Stands for the session under its old id. */
  previous: string;
  /** The user that it is bound to, if any. */
  principal?: string;
}

/** A session ended. */
export interface SessionEnded {
  /**
   * `"destroyed"`: by `destroy()`. `"expired"`: its time was over when a request asked for it. `"revoked"`: remotely, or because its user
   * had too many.
   */
  type: "destroyed" | "expired" | "revoked";
  /** Stands for the session. */
  session: string;
  /** The user that it was bound to, where that is known; never with `"expired"`. */
  principal?: string;
}

/** Why a cookie was refused. */
export type RefusalReason = SessionRefused["reason"];

/** A cookie of the session's name was not accepted, or not without doubt. */
export interface SessionRefused {
  /** What it is. */
  type: "refused";
  /**
   * `"malformed"`: not of our form. `"signature"`: signed by nobody. `"unknown"`: validly signed, but its session has ended.
   * `"reuse"`: validly signed, but its session has had another id for longer than was granted. `"ambiguous"`: the request carries two
   * live sessions (cookie tossing); the first is used.
   */
  reason: "malformed" | "signature" | "unknown" | "reuse" | "ambiguous";
  /** How many were refused for this reason since the middleware was made: what grows fast is somebody guessing. */
  count: number;
  /** Stands for the session; absent where the id was not verified. */
  session?: string;
}

/** The store rejected, threw, or could not be reached. */
export interface SessionStoreFailed {
  /** What it is. */
  type: "storeFailed";
  /** What was being done, such as `"set"`. */
  operation: string;
  /** Its `cause` is the store's own error. */
  error: SessionStoreError;
  /** Stands for the session; absent where there was none yet. */
  session?: string;
}

/** A write that nobody awaited was refused: its session is gone, or its value cannot be kept. */
export interface SessionWriteFailed {
  /** What it is. */
  type: "writeFailed";
  /** What was being done, such as `"set"`. */
  operation: string;
  /** Why. */
  error: Error;
  /** Stands for the session; absent where there was none yet. */
  session?: string;
}

/**
 * Tells a listener; whatever it throws or rejects with disturbs nothing.
 *
 * Its methods take session ids, verified ones or our own, and hash them here: so no event can carry one as it is, and without a listener
 * nothing is hashed.
 */
export class Reporter {
  readonly #listener: ((event: SessionEvent) => unknown) | undefined;
  readonly #eventHash: (id: string) => string;
  readonly #refused: Record<RefusalReason, number> = { malformed: 0, signature: 0, unknown: 0, reuse: 0, ambiguous: 0 };

  /**
   * @param hash makes of a session id what stands for it
   */
  constructor(listener: ((event: SessionEvent) => unknown) | undefined, hash: (id: string) => string) {
    this.#listener = listener;
    this.#eventHash = hash;
  }

  /** Tells of a session that began. */
  emitCreated(id: string, principal: string | undefined): void {
    this.#emit(() => ({ type: "created", session: this.#eventHash(id), ...principalField(principal) }));
  }

  /** Tells of a session that got a new id. */
  emitRenewed(id: string, previous: string, principal: string | undefined): void {
    this.#emit(() => ({
      type: "renewed",
      session: this.#eventHash(id),
      previous: this.#eventHash(previous),
      ...principalField(principal),
    }));
  }

  /** Tells of a session that ended. */
  emitEnded(type: SessionEnded["type"], id: string, principal?: string): void {
    this.#emit(() => ({ type, session: this.#eventHash(id), ...principalField(principal) }));
  }

  /** Tells of a cookie that was refused, and counts it. */
  emitRefused(reason: RefusalReason, id?: string): void {
    const count = ++this.#refused[reason];
    this.#emit(() => ({ type: "refused", reason, count, ...this.#sessionField(id) }));
  }

  /** Tells of a store that failed. */
  emitStoreFailed(operation: string, error: SessionStoreError, id?: string): void {
    this.#emit(() => ({ type: "storeFailed", operation, error, ...this.#sessionField(id) }));
  }

  /** Tells where a store fails; an answer that is there has not. */
  reportFailures<T>(operation: string, id: string | undefined, answer: MaybePromise<T>): MaybePromise<T> {
    if (!(answer instanceof Promise)) return answer;
    return answer.catch((error) => {
      if (error instanceof SessionStoreError) this.emitStoreFailed(operation, error, id);
      throw error;
    });
  }

  /**
   * Reports a write that failed.
   *
   * @param awaited whether the application will hear of it from the promise
   */
  emitWriteFailed(operation: string, error: Error, id: string | undefined, awaited: boolean): void {
    if (error instanceof SessionStoreError) this.emitStoreFailed(operation, error, id);
    else if (!awaited) this.#emit(() => ({ type: "writeFailed", operation, error, ...this.#sessionField(id) }));
    if (!awaited && this.#listener === undefined) console.error(describe(operation, error));
  }

  #sessionField(id: string | undefined): { session?: string } {
    return id === undefined ? {} : { session: this.#eventHash(id) };
  }

  #emit(event: () => SessionEvent): void {
    if (this.#listener === undefined) return;
    try {
      const told = this.#listener(event());
      if (told instanceof Promise) told.catch(() => {});
    } catch {
      // A listener that throws disturbs nothing.
    }
  }
}

function principalField(principal: string | undefined): { principal?: string } {
  return principal === undefined ? {} : { principal };
}

/** One line for the console. The message of a store's error stays out: it may hold the id, or a database's password. */
function describe(operation: string, error: unknown): string {
  // The function of an update may throw anything.
  const name = error instanceof Error ? error.name : "a value that is no error was thrown";
  const because = error instanceof Error && error.cause instanceof Error
    ? ` because of ${error.cause.constructor.name}`
    : "";
  return `[session] ${operation} failed and nobody awaited it: ${name}${because}. Await it, or give options.onEvent.`;
}
