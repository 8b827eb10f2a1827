/**
 * The state of a request's session, and the operations on it.
 *
 * `Session` documents the operations.
 *
 * @module
 */
import type { HttpContext } from "../../deps.ts";
import { ResponseCookie } from "../cookie/response_cookie.ts";
import { newSessionId } from "../cookie/session_id.ts";
import { DeviceProofError, type SessionError, SessionGoneError, type SessionStoreError } from "../errors.ts";
import { isHeldByCaller } from "../persistence/running_update.ts";
import type { ValueUpdater } from "../persistence/store_adapter.ts";
import { unavailableError } from "../persistence/store_errors.ts";
import type { SessionRecord, SessionStore } from "../session_store.ts";
import type { RegenerateOptions } from "../session_types.ts";
import { cloneValue } from "../util/clone_value.ts";
import { type MaybePromise, noop } from "../util/maybe_promise.ts";
import { signOut } from "./end_sessions.ts";
import { ownLifetime } from "./lifetime.ts";
import type { LoadedSession } from "./loaded_session.ts";
import * as changes from "./session_changes.ts";
import type { SessionDetails } from "./session_meta.ts";
import type { SessionServices } from "./session_services.ts";
import { sessionSignal } from "./session_signal.ts";
import { loadValues, NO_VALUES, reloadValues, type Values, withoutUndefined } from "./session_values.ts";
import { updateSession } from "./session_update.ts";
import { checkKey, checkLabel, checkMaxAge, copyValues, readRegenerateOptions } from "./validate.ts";
import { WriteQueue } from "./write_queue.ts";

/** The session of one request. */
export class SessionState {
  // Private, as are all fields: an application that logs its context must not log the keys.
  readonly #services: SessionServices;
  /** Whether the request came without a live session. */
  isNew: boolean;
  readonly #cookie: ResponseCookie;
  #queue: WriteQueue | undefined = undefined;
  /** `undefined` while the visitor has no session. */
  #loaded: LoadedSession | undefined;
  /** The id that the session will have once it is created. */
  #nextId: string | undefined = undefined;
  #isDestroyed = false;
  /** Why the session is not available to this request. */
  #outage: SessionStoreError | undefined = undefined;

  constructor(services: SessionServices, context: HttpContext, loaded: LoadedSession | undefined) {
    this.#services = services;
    this.#cookie = new ResponseCookie(context, services.cookies);
    this.#loaded = loaded;
    this.isNew = loaded === undefined;
  }

  // For the middleware.

  /** Lets the request continue without its session, because the store could not look it up. */
  markUnavailable(error: SessionStoreError): void {
    this.#outage = error;
    this.#loaded = undefined;
    this.isNew = true;
    this.#cookie.disable();
  }

  /** Creates an empty session with its cookie. */
  create(): Promise<void> {
    return this.#writes.run("create", () => this.#create("create", new Map()));
  }

  /** The session, unless this request has destroyed it. It may have ended, or be withheld. */
  get loaded(): LoadedSession | undefined {
    return this.#isDestroyed ? undefined : this.#loaded;
  }

  /** Sends the cookie of the session again. */
  resendCookie(): void {
    if (this.#loaded !== undefined) changes.resendCookie(this.#services, this.#cookie, this.#loaded);
  }

  /**
   * Waits for the writes, as {@linkcode WriteQueue.settle}. Then drops a cookie that is only sent
   * again, if the session has got a new id in the meantime.
   */
  settle(): MaybePromise<void> {
    const queue = this.#queue;
    if (queue === undefined) return this.#checkResentCookie();
    return queue.mayResendCookie || this.#cookie.isResendPending ? this.#settleAndCheck(queue) : queue.settle();
  }

  async #settleAndCheck(queue: WriteQueue): Promise<void> {
    await queue.settle();
    await this.#checkResentCookie();
  }

  #checkResentCookie(): MaybePromise<void> {
    if (!this.#cookie.isResendPending) return;
    return this.current && changes.checkResentCookie(this.#services, this.#cookie, this.current);
  }

  /** Reports the cookie of a request whose action threw, if it is not sent. */
  reportLostCookie(): void {
    this.#services.cookies.lost.reportUnsentAfterError(this.#cookie);
  }

  /** Writes the activity. Never fails: a failure is reported, and the page can be served. */
  recordActivity(cookieIsSent: boolean): Promise<void> {
    return this.#writes.run("touch", () => {
      const session = this.#requireWritable("touch");
      if (session === undefined) return noop;
      return changes.recordActivity(this.#services, this.#cookie, session, this.#writes, cookieIsSent);
    }).catch(noop);
  }

  /** Writes that the client has received the new id of its last renewal. Never fails. */
  confirmRenewal(): Promise<void> {
    return this.#writes.run("touch", () => {
      const session = this.#requireWritable("touch");
      if (session === undefined) return noop;
      return () => changes.writeMeta(this.#services, this.#cookie, session, "touch", { replaces: undefined });
    }).catch(noop);
  }

  /** The writes of this request; `undefined` if there were none. */
  get writes(): WriteQueue | undefined {
    return this.#queue;
  }

  // For `Session`.

  /** The session, if it is live. */
  get current(): LoadedSession | undefined {
    return this.#isDestroyed || !this.#loaded?.isLive ? undefined : this.#loaded;
  }

  get sessionId(): string {
    return this.current?.id ?? (this.#nextId ??= newSessionId());
  }

  get cookieName(): string {
    return this.#services.options.name;
  }

  get store(): SessionStore {
    return this.#services.store;
  }

  /** A signal that aborts when the session ends. */
  get signal(): AbortSignal {
    this.#markPrivate();
    const refusal = this.refusal("signal");
    if (refusal !== undefined) return AbortSignal.abort(refusal);
    if (this.#isDestroyed) return AbortSignal.abort(new SessionGoneError("signal", { end: "destroyed" }));
    return sessionSignal(this.#services, this.#cookie, this.#loaded);
  }

  /** The session, if it is live, for an application that reads it. */
  get observed(): LoadedSession | undefined {
    this.#markPrivate();
    return this.current;
  }

  /** Passes the values, with the writes of this request applied, to a function. */
  async read<T>(select: (values: Values) => T): Promise<T> {
    this.#markPrivate();
    const values = this.#currentValues();
    return select(values instanceof Promise ? await values : values);
  }

  /** Writes one value; `undefined` removes it. */
  write(operation: "set" | "delete", key: string, value: unknown): Promise<void> {
    return this.#writes.run(operation, () => {
      checkKey(operation, key);
      const copy = cloneValue(key, value);
      const session = this.#requireWritable(operation);
      if (session === undefined) return copy === undefined ? noop : this.#create(operation, new Map([[key, copy]]));
      session.setValue(key, copy);
      return () =>
        session.run(operation, this.#cookie, () => this.#services.repository.set(session, operation, key, copy));
    });
  }

  /** Writes several values; `undefined` removes one. */
  writeAll(values: object): Promise<void> {
    return this.#writes.run("set", () => {
      const copies = copyValues("set", values);
      const session = this.#requireWritable("set");
      const first = session === undefined ? withoutUndefined(copies) : copies;
      if (first.size === 0) return noop;
      if (session === undefined) return this.#create("set", first);
      for (const [key, value] of copies) session.setValue(key, value);
      return () => session.run("set", this.#cookie, () => this.#services.repository.setAll(session, "set", copies));
    });
  }

  /**
   * Replaces one value with the result of an updater.
   *
   * @param createsSession whether a session is created if there is none
   * @param select selects the result from the values before and after the update
   */
  update(
    operation: "update" | "take",
    key: string,
    updater: ValueUpdater,
    createsSession: boolean,
    select: (before: unknown, after: unknown) => unknown,
  ): Promise<unknown> {
    this.#markPrivate();
    return this.#writes.run<unknown>(operation, () => {
      checkKey(operation, key);
      const version = this.#loaded?.version;
      const isMissing = this.#requireWritable(operation) === undefined;
      const create = isMissing && createsSession ? this.#create(operation, new Map()) : noop;
      const session = this.#loaded;
      if (session === undefined) return noop;
      const update = { operation, key, updater, select, version };
      return updateSession(this.#services, this.#cookie, session, this.#writes, create, update);
    });
  }

  clear(): Promise<void> {
    return this.#writes.run("clear", () => {
      const session = this.#requireWritable("clear");
      if (session === undefined) return noop;
      session.values = new Map();
      return () => changes.clearSession(this.#services, this.#cookie, session);
    });
  }

  touch(): Promise<void> {
    return this.#writes.run("touch", () => {
      const session = this.#requireWritable("touch");
      this.#writes.mayResendCookie = true;
      return session === undefined ? noop : () => changes.touchSession(this.#services, this.#cookie, session);
    });
  }

  setMaxAge(maxAge: number | null): Promise<void> {
    return this.#writes.run("setMaxAge", () => {
      checkMaxAge("setMaxAge", maxAge);
      const session = this.#requireWritable("setMaxAge");
      if (session === undefined) return this.#create("setMaxAge", new Map(), { maxAge });
      const now = Date.now();
      const meta = { seenAt: now, ...ownLifetime(maxAge, now) };
      this.#writes.mayResendCookie = true;
      return () => changes.writeActivity(this.#services, this.#cookie, session, "setMaxAge", meta, true);
    });
  }

  setLabel(label: string | undefined): Promise<void> {
    return this.#writes.run("setLabel", () => {
      if (label !== undefined) checkLabel("setLabel", label);
      const session = this.#requireWritable("setLabel");
      if (session === undefined) return label === undefined ? noop : this.#create("setLabel", new Map(), { label });
      return () => changes.writeMeta(this.#services, this.#cookie, session, "setLabel", { label });
    });
  }

  reload(): Promise<void> {
    return this.#writes.run("reload", () => {
      this.requireAvailable("reload");
      const session = this.#loaded;
      // Not `current`, because other requests may have extended a session that this one considers
      // expired.
      if (session === undefined || this.#isDestroyed || session.ended !== undefined) return noop;
      session.values = undefined;
      const { revision } = this.#writes;
      return () => reloadValues(this.#services, this.#cookie, session, this.#writes, revision);
    });
  }

  regenerate(options: RegenerateOptions): Promise<void> {
    return this.#writes.run("regenerate", () => {
      const regeneration = readRegenerateOptions(options);
      const { details, values } = regeneration;
      const isSignIn = details.principal !== undefined;
      const session = isSignIn ? this.#requireUnended() : this.#requireWritable("regenerate");
      if (session === undefined) {
        this.#nextId = undefined;
        const creates = values.size > 0 || Object.values(details).some((detail) => detail !== undefined);
        return creates ? this.#create("regenerate", withoutUndefined(values), details) : noop;
      }
      if (session.isLive) changes.prepareCookie("regenerate", this.#cookie);
      session.version = undefined;
      for (const [key, value] of values) session.setValue(key, value);
      return () =>
        (isSignIn ? changes.signIn : changes.moveSession)(this.#services, this.#cookie, session, regeneration);
    });
  }

  /** Returns the session to sign in to. It may have got another id, see {@linkcode changes.signIn}. */
  #requireUnended(): LoadedSession | undefined {
    this.requireAvailable("regenerate");
    const hasExpired = this.#loaded !== undefined && Date.now() >= this.#loaded.expiresAt;
    if (this.#isDestroyed || hasExpired) throw new SessionGoneError("regenerate");
    return this.#loaded;
  }

  destroy(): Promise<void> {
    return this.#writes.run("destroy", () => {
      this.requireAvailable("destroy");
      const session = this.#loaded;
      // Earlier writes still run. Later ones are refused.
      this.#isDestroyed = true;
      this.#nextId = undefined;
      return signOut(this.#services, this.#cookie, session, this.isNew);
    });
  }

  csrfToken(): Promise<string> {
    this.#markPrivate();
    return this.#writes.run("csrfToken", () => {
      const create = this.#requireWritable("csrfToken") === undefined ? this.#create("csrfToken", new Map()) : noop;
      return async () => {
        await create();
        // Read only after the earlier writes, because a new id changes the token.
        const session = this.current;
        if (session === undefined) throw new SessionGoneError("csrfToken");
        return this.#services.signer.csrfToken(session.csrfSeed);
      };
    });
  }

  applyTo(response: Response): Response {
    return this.#cookie.applyTo(response);
  }

  verifyCsrfToken(token: string): boolean {
    const session = this.current;
    return session !== undefined && this.#services.signer.verifyCsrfToken(session.csrfSeed, token);
  }

  get #writes(): WriteQueue {
    return this.#queue ??= new WriteQueue((operation, error, awaited) => {
      this.#services.reporter.emitWriteFailed(operation, error, this.#loaded?.id, awaited);
    });
  }

  #markPrivate(): void {
    if (this.#services.options.privateResponses) this.#cookie.markPrivate();
  }

  /** Returns why this request cannot use its session, if it cannot. */
  refusal(operation: string): SessionError | undefined {
    if (this.#loaded?.ended === "withheld") return new DeviceProofError(operation);
    return this.#outage && unavailableError(operation, this.store, this.#outage);
  }

  /** @throws {SessionError} if this request cannot use its session */
  requireAvailable(operation: string): void {
    const refusal = this.refusal(operation);
    if (refusal !== undefined) throw refusal;
  }

  /** Returns the session to write to, and forgets its version; `undefined` if there is none yet. */
  #requireWritable(operation: string): LoadedSession | undefined {
    this.requireAvailable(operation);
    if (this.#isDestroyed || this.#loaded?.isLive === false) throw new SessionGoneError(operation);
    if (this.#loaded !== undefined) this.#loaded.version = undefined;
    return this.#loaded;
  }

  #currentValues(): MaybePromise<Values> {
    const session = this.#loaded;
    // An updater must not wait for its own update.
    const waits = session !== undefined && session.pendingUpdates > 0 && !isHeldByCaller(this.#queue);
    return waits ? this.#valuesAfterWrites() : this.#knownValues();
  }

  async #valuesAfterWrites(): Promise<Values> {
    await this.#writes.idle();
    return await this.#knownValues();
  }

  #knownValues(): MaybePromise<Values> {
    const session = this.current;
    if (session === undefined) return NO_VALUES;
    return session.values ??
      loadValues(this.#services, this.#cookie, session, this.#writes, !isHeldByCaller(this.#queue));
  }

  /**
   * Creates a session. The session and its cookie exist when this returns. The returned function
   * creates the record.
   */
  #create(operation: string, values: Map<string, unknown>, details?: SessionDetails): () => MaybePromise<void> {
    changes.prepareCookie(operation, this.#cookie);
    const session = changes.newSession(this.#services.options, this.sessionId, values, details);
    const record: SessionRecord = { values: new Map(values), expiresAt: session.expiresAt, meta: session.meta };
    this.#loaded = session;
    this.#nextId = undefined;
    changes.sendCookie(this.#services, this.#cookie, session);
    return () =>
      changes.createRecord(this.#services, this.#cookie, session, record, () => {
        // The next write may create another session.
        this.#loaded = undefined;
      });
  }
}
