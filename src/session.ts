/**
 * The session API for applications.
 *
 * @module
 */
import type { SessionState } from "./core/session_state.ts";
import type { SessionStore } from "./session_store.ts";
import { deviceOf } from "./core/session_device.ts";
import type {
  AnyKey,
  RegenerateOptions,
  SessionData,
  SessionDevice,
  SessionKey,
  SessionValues,
  Updater,
} from "./session_types.ts";
import { cloneValue, toObject } from "./util/clone_value.ts";

/** Returns the state of a session. For the middleware, which keeps the session on the context. */
export let stateOf: (session: Session) => SessionState;

/** The members of a {@linkcode Session}, for applications that pass a test double in its place. */
export interface SessionInterface<TData extends object = SessionData>
  extends Pick<Session<TData>, keyof Session<TData>> {}

/**
 * The session of one request, at `context.security.session`.
 *
 * The first write of a new visitor creates the session: that call creates the record and puts the
 * cookie on the response. Reads usually need no store call, because the middleware has already
 * loaded the record. Each write goes to the store immediately and changes one key only. Concurrent
 * requests of one session that write different keys therefore never overwrite each other's values.
 *
 * {@linkcode Session.get} returns a copy. Changes to the copy have no effect until it is passed to
 * {@linkcode Session.set}.
 *
 * Note: await the writes. Writes that are not awaited still run in order and finish before the
 * response is sent, and if one of them fails, the request fails. After `response.setImmediately()`,
 * however, Alosaur sends the response without waiting for them.
 *
 * Note: a write is refused with a `TypeError` if the function of an {@linkcode Session.update} of
 * the same session calls it. It would wait for that update forever.
 *
 * @typeParam TData the values by key, such as `{ cart: Cart; user: User }`; without it, every key
 * is allowed and values are `any`
 */
export class Session<TData extends object = SessionData> {
  static {
    stateOf = (session): SessionState => session.#state;
  }
  readonly #state: SessionState;

  /** Note: `SessionMiddleware` creates it. */
  constructor(state: SessionState) {
    this.#state = state;
  }

  /**
   * The session id. Before the first write of a new visitor, it is the id that the session will
   * have. Keep it secret, because the signed id authenticates the visitor.
   */
  get sessionId(): string {
    return this.#state.sessionId;
  }

  /** The cookie's name, the option `name`. */
  get sessionKey(): string {
    return this.#state.cookieName;
  }

  /** The underlying store. Changes made through it bypass this session. */
  get store(): SessionStore {
    return this.#state.store;
  }

  /** Whether the request came without a live session. Stays `true` for the rest of the request. */
  get isNew(): boolean {
    return this.#state.isNew;
  }

  /**
   * Whether the session can be read and written. `false` in three cases:
   *
   * - with `onStoreError: "anonymous"`, for the rest of a request whose session the store failed to
   *   look up: reads are empty, every write rejects with {@linkcode SessionStoreError}, and no
   *   cookie is set
   * - if the session is bound to a device, and the request does not prove that it comes from there:
   *   reads are empty, and every write rejects with {@linkcode DeviceProofError}
   * - if no `SessionMiddleware` ran for the request: everything else throws
   *   {@linkcode SessionError}
   */
  get available(): boolean {
    return this.#state.refusal("get") === undefined;
  }

  /** When the session expires; `undefined` if there is no live session. */
  get expiresAt(): Date | undefined {
    return toDate(this.#state.observed?.expiresAt);
  }

  /** When the session was created; `undefined` if there is no live session. */
  get createdAt(): Date | undefined {
    return toDate(this.#state.observed?.meta.createdAt);
  }

  /**
   * When the session was last used, as far as the store knows, as in `UserSession.lastSeenAt`;
   * `undefined` if there is no live session.
   */
  get lastSeenAt(): Date | undefined {
    const meta = this.#state.observed?.meta;
    return toDate(meta && Math.max(meta.seenAt, meta.renewedAt));
  }

  /**
   * When `regenerate({ principal })` bound the session to its user; `undefined` if it is not bound.
   * If that was long ago, ask for the password again before a sensitive action.
   */
  get signedInAt(): Date | undefined {
    const meta = this.#state.observed?.meta;
    return toDate(meta?.principal === undefined ? undefined : meta.signedInAt ?? meta.boundAt);
  }

  /**
   * Aborts when the session is destroyed or revoked, when it expires, when `clear()` unbinds it
   * from its user, and when it is bound to another user. Use it for a stream or a WebSocket that
   * must not outlive the session (OWASP ASVS 5.0, 7.4.1). The {@linkcode SessionGoneError.end} of
   * its `reason` says which. A new id does not abort it, nor does the first sign-in.
   *
   * If this process ends the session, the signal aborts at once; after an expiry, within a second.
   * If another process does, it depends on the store: within milliseconds or six seconds, see
   * docs/streams.md. Without a session, it follows the one that this request creates.
   *
   * All requests of a session receive the same signal. Remove your listener when you no longer need
   * it, for example when a socket closes.
   *
   * @example A stream that ends with the session
   * ```ts ignore
   * const stream = readable.pipeThrough(new TextEncoderStream(), { signal: session.signal });
   * return new Response(stream);
   * ```
   */
  get signal(): AbortSignal {
    return this.#state.signal;
  }

  /**
   * The device that the session is bound to; `undefined` if it is not bound to one. See
   * `DeviceBoundMiddleware` of `@alosaur/session/dbsc`.
   */
  get device(): SessionDevice | undefined {
    const meta = this.#state.observed?.meta;
    return meta && deviceOf(meta);
  }

  /** The name of the device or browser; `undefined` if `setLabel()` or `regenerate()` set none. */
  get label(): string | undefined {
    return this.#state.observed?.meta.label;
  }

  /**
   * The user that `regenerate({ principal })` has bound the session to; `undefined` if it is not
   * bound.
   */
  get principal(): string | undefined {
    return this.#state.observed?.meta.principal;
  }

  /**
   * Reads one value.
   *
   * @param key the value's key
   * @param fallback the value to return if the key is missing
   * @returns a copy of the value; if the key is missing, `fallback`, or `undefined` without one
   * @throws {SessionStoreError} if the store failed. The store is asked only if this request no
   * longer knows the values, for example after a failed write.
   */
  // deno-lint-ignore no-explicit-any -- Alosaur's own signature
  get<T = any>(key: AnyKey<TData>, fallback?: T): Promise<T>;
  /** Reads one value of declared data. */
  get<K extends SessionKey<TData>>(key: K): Promise<TData[K] | undefined>;
  /** Reads one value of declared data, or returns the fallback. */
  get<K extends SessionKey<TData>>(
    key: K,
    fallback: Exclude<TData[K], undefined>,
  ): Promise<Exclude<TData[K], undefined>>;
  get(key: string, fallback?: unknown): Promise<unknown> {
    return this.#state.read((values) => values.has(key) ? cloneValue(key, values.get(key)) : fallback);
  }

  /**
   * Writes one value, and creates the session if there is none yet. `sessionId` and the cookie
   * exist as soon as this call returns its promise.
   *
   * @param key any well-formed Unicode string
   * @param value JSON values, `Date`, `Map`, `Set`, `bigint`, typed arrays and `ArrayBuffer`; it is
   * copied immediately. `undefined` removes the key.
   * @throws {TypeError} if the value cannot be stored (a function, a symbol, a promise, an instance
   * of a class) or the key is not a well-formed string
   * @throws {SessionGoneError} if the session has ended; nothing is written, and
   * no session is created
   * @throws {HeadersSentError} if there is no session yet, and the headers of the response have
   * left
   * @throws {SessionStoreError} if the store failed
   */
  set<T>(key: AnyKey<TData>, value: T): Promise<void>;
  /** Writes one value of declared data. */
  set<K extends SessionKey<TData>>(key: K, value: TData[K] | undefined): Promise<void>;
  /**
   * Writes several values at once, and creates the session if there is none yet. All of them are
   * written, or none. Values whose keys are not given do not change.
   *
   * On a basic store (one that is not a `RecordStore`), they are written one after the other, and a
   * concurrent request may read some of them. If one fails, the others are undone, if the store
   * still works.
   *
   * @param values a plain object of values by key; `undefined` removes a key
   * @throws as with one value; a `TypeError` also if `values` is not a plain object
   */
  set(values: SessionValues<TData>): Promise<void>;
  set(...args: [values: object] | [key: string, value: unknown]): Promise<void> {
    return args.length === 1 ? this.#state.writeAll(args[0]) : this.#state.write("set", ...args);
  }

  /**
   * Replaces one value with the result of a function that receives the stored value. No concurrent
   * update is lost. Creates the session if there is none yet.
   *
   * On a basic store (one that is not a `RecordStore`), this is atomic within one process only.
   *
   * While the function runs, only `update()` and `take()` of the same key wait in other requests of
   * this process. They fail after `storeTimeout`, or after 10 seconds without one. Nothing limits
   * the function itself: later calls of its own request wait for it, and so does the response.
   *
   * @param key any well-formed Unicode string
   * @param fn receives a copy of the current value, or `undefined`, and returns the new one;
   * `undefined` removes it. It may be called again if another request changes the value or the id
   * of the session in the meantime. Its reads from this session return the values from before the
   * update. Its writes to this session are refused, also if it does not await them: write after
   * `update()` has resolved. It must not await a call on this session that was made after
   * `update()` outside of it, or it deadlocks.
   * @returns a copy of the new value
   * @throws any error that `fn` throws; nothing is written
   * @throws {TypeError} as {@linkcode Session.set}, and if the function of another update of this
   * session calls it
   * @throws {SessionGoneError} if the session has ended
   * @throws {HeadersSentError} as {@linkcode Session.set}
   * @throws {SessionStoreError} if the store failed, or an update of another request did not finish
   * in time
   */
  // deno-lint-ignore no-explicit-any -- as `get()`
  update<T = any>(key: AnyKey<TData>, fn: (value: T | undefined) => T | undefined | Promise<T | undefined>): Promise<T>;
  /** Replaces one value of declared data. */
  update<K extends SessionKey<TData>>(key: K, fn: Updater<TData[K]>): Promise<TData[K] | undefined>;
  update(key: string, fn: Updater<unknown>): Promise<unknown> {
    const updater = async (value: unknown): Promise<unknown> => cloneValue(key, await fn(cloneValue(key, value)));
    return this.#state.update("update", key, updater, true, (_before, after) => after);
  }

  /**
   * Reads and removes one value atomically. Only one of several concurrent calls receives it. Never
   * creates a session.
   *
   * On a basic store (one that is not a `RecordStore`), this is atomic within one process only.
   *
   * @param key the value's key
   * @returns the value, or `undefined` if there is none
   * @throws {SessionGoneError} if the session has ended
   * @throws {SessionStoreError} as {@linkcode Session.update}
   */
  // deno-lint-ignore no-explicit-any -- as `get()`
  take<T = any>(key: AnyKey<TData>): Promise<T | undefined>;
  /** Reads and removes one value of declared data. */
  take<K extends SessionKey<TData>>(key: K): Promise<TData[K] | undefined>;
  take(key: string): Promise<unknown> {
    return this.#state.update("take", key, () => undefined, false, (before) => before);
  }

  /**
   * Returns whether there is a value.
   *
   * @param key the value's key
   * @throws {SessionStoreError} as {@linkcode Session.get}
   */
  has(key: SessionKey<TData>): Promise<boolean> {
    return this.#state.read((values) => values.has(key));
  }

  /**
   * Removes one value, if it exists. Never creates a session.
   *
   * @param key the value's key
   * @throws {SessionError} as {@linkcode Session.set}
   */
  delete(key: SessionKey<TData>): Promise<void> {
    return this.#state.write("delete", key, undefined);
  }

  /**
   * Removes all values, the label and the `maxAge` of the session, and unbinds it from its user. To
   * sign a user out and then show a notice, call `clear()`, and then `regenerate()` with the notice
   * in `set`.
   *
   * @throws {SessionError} as {@linkcode Session.set}
   */
  clear(): Promise<void> {
    return this.#state.clear();
  }

  /**
   * Reads all values.
   *
   * @returns a plain object without a prototype, with a copy of each value
   * @throws {SessionStoreError} as {@linkcode Session.get}
   */
  entries(): Promise<Partial<TData>> {
    return this.#state.read((values) => {
      const copies = new Map<string, unknown>();
      for (const [key, value] of values) copies.set(key, cloneValue(key, value));
      return toObject(copies) as Partial<TData>;
    });
  }

  /**
   * Records activity now, which restarts the sliding limits (`rolling`, `idleTimeout`). The
   * middleware already does this for ordinary requests. Call it in a long-running request, such as
   * a WebSocket. Does nothing for a visitor without a session.
   *
   * @throws {SessionError} as {@linkcode Session.set}
   */
  touch(): Promise<void> {
    return this.#state.touch();
  }

  /**
   * Sets how long this session lasts from now on, in place of the options `maxAge` and `expires`,
   * and creates it if there is none yet. The cookie gets the same `Max-Age`. With `rolling`, the
   * time counts from the last activity. `idleTimeout` and `absoluteTimeout` still end the session
   * earlier.
   *
   * It applies until `clear()`, and until a sign-in binds the session to its first user or to
   * another one. The response to the next request sends the cookie once more, because this response
   * may have left already.
   *
   * @param maxAge an integer above 0, in seconds; browsers keep a cookie for at most 400 days (RFC
   * 6265bis section 5.5). `null`: the cookie ends with the browser. The server then keeps the
   * session for a day from now, or until `idleTimeout` or `absoluteTimeout` if one of them is
   * given.
   * @throws {TypeError | RangeError} if `maxAge` is neither such a number nor `null`
   * @throws {SessionError} as {@linkcode Session.set}
   */
  setMaxAge(maxAge: number | null): Promise<void> {
    return this.#state.setMaxAge(maxAge);
  }

  /**
   * Names the device or browser of this session, so that the user recognizes it in the list of
   * `middleware.sessions.list()`. Creates the session if there is none yet. `clear()` and the
   * sign-in of another user remove the label.
   *
   * @param label 1 to 256 characters, such as `"Firefox on Linux"`; `undefined` removes the label.
   * Escape it when you show it, because it usually comes from the client.
   * @throws {TypeError | RangeError} if the label is not a well-formed string of that length
   * @throws {SessionError} as {@linkcode Session.set}
   */
  setLabel(label: string | undefined): Promise<void> {
    return this.#state.setLabel(label);
  }

  /**
   * Reads the record again, so that later reads see the writes of other requests.
   *
   * @throws {SessionStoreError} if the store failed
   */
  reload(): Promise<void> {
    return this.#state.reload();
  }

  /**
   * Gives the session a new id. Its values and expiry do not change, unless the options say so. An
   * absolute limit still counts from the first write. Call this whenever the visitor's rights
   * change (OWASP Session Management, "Renew the Session ID After Any Privilege Level Change").
   *
   * Without a grace period, the old id is refused immediately. Until the session expires, a request
   * with the old id is reported as reuse. If the visitor has no session yet, only the id changes
   * and nothing is stored. If there is something to store, such as a `principal`, the session is
   * created.
   *
   * If a sign-in binds the session to its first user or to another one, the session loses its label
   * and its own `maxAge`, unless the options give new ones.
   *
   * If another request has given the session a new id meanwhile, a call with a `principal` creates
   * a session of its own, so that a sign-in form that was submitted twice signs in twice. If that
   * request has signed in the same user, the session begins with the values from before the
   * sign-in.
   *
   * @param options a grace period for the old id, or the user who signs in; and what to write
   * atomically with the new id
   * @throws {TypeError} if an option is unknown or of the wrong type, a value cannot be stored, or
   * both `graceSeconds` and `principal` are given
   * @throws {RangeError} if `graceSeconds` or `maxAge` is out of range, `principal` is empty, or
   * `label` is empty or too long
   * @throws {SessionGoneError} if the session has ended
   * @throws {HeadersSentError} if the headers of the response have left, so that the client would
   * not receive the new id
   * @throws {SessionStoreError} if the store failed. The session then keeps its old id. If the call
   * timed out or its connection broke, the store may still move the record later. In that case the
   * old id is refused, and the visitor gets a new session.
   */
  regenerate(options: RegenerateOptions<TData> = {}): Promise<void> {
    return this.#state.regenerate(options);
  }

  /**
   * Destroys the session: removes its record from the store and its cookie from the client. Later
   * writes of this request and of concurrent ones reject with {@linkcode SessionGoneError}.
   *
   * If the client has presented several session cookies, all of their sessions are destroyed.
   * Otherwise another of these cookies would identify the next request. If the client has presented
   * none, nothing is sent.
   *
   * @throws {SessionStoreError} if the store failed; the cookie is removed from the client anyway,
   * unless the session is not available to this request
   */
  destroy(): Promise<void> {
    return this.#state.destroy();
  }

  /**
   * Returns a CSRF token of this session. A form sends it back in the field `_csrf` or the header
   * `x-csrf-token`, and `CsrfMiddleware` checks it. Creates the session if there is none yet.
   *
   * Each call returns another token, so that compressed responses do not reveal it (BREACH). All of
   * them are valid until the session gets a new id without a grace period.
   *
   * @returns 86 characters of base64url
   * @throws {SessionError} as {@linkcode Session.set}
   */
  csrfToken(): Promise<string> {
    return this.#state.csrfToken();
  }

  /**
   * Adds the session cookie to a response that a middleware or a hook returns by itself. Alosaur
   * sends such a response without the headers of `context.response`. The response of an action
   * needs no such call.
   *
   * @param response any response
   * @returns a copy with the cookie and the `Cache-Control` that belongs to it; `response` itself
   * if there is nothing to add. A WebSocket upgrade carries no cookie.
   */
  applyTo(response: Response): Response {
    return this.#state.applyTo(response);
  }

  /**
   * Returns whether a CSRF token belongs to this session, in constant time. `CsrfMiddleware` calls
   * it; call it yourself if the token comes another way, such as in a WebSocket message.
   *
   * @param token the token that the client sent
   * @returns `false` also for a visitor without a session
   */
  verifyCsrfToken(token: string): boolean {
    return this.#state.verifyCsrfToken(token);
  }
}

function toDate(time: number | undefined): Date | undefined {
  return time === undefined ? undefined : new Date(time);
}
