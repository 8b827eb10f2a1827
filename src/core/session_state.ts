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
import { SessionGoneError, type SessionStoreError } from "../errors.ts";
import { isHeldByCaller, runUpdater } from "../persistence/running_update.ts";
import type { ValueUpdater } from "../persistence/store_adapter.ts";
import type { SessionMeta, SessionRecord, SessionStore } from "../session_store.ts";
import { cloneValue } from "../util/clone_value.ts";
import { type MaybePromise, noop } from "../util/maybe_promise.ts";
import { endPresentedSessions } from "./end_sessions.ts";
import type { LoadedSession } from "./loaded_session.ts";
import { lookUp } from "./look_up.ts";
import {
  checkResentCookie,
  createRecord,
  moveSession,
  newSession,
  requireHeadersNotSent,
  resendCookie,
  sendCookie,
  signIn,
  writeMeta,
} from "./session_changes.ts";
import type { SessionServices } from "./session_services.ts";
import { applyRecord, loadValues, NO_VALUES, type Values } from "./session_values.ts";
import { checkKey, checkRegenerateOptions, type RegenerateOptions, unavailableError } from "./validate.ts";
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

  /** Sends the cookie of the session again. */
  resendCookie(): void {
    if (this.#loaded !== undefined) resendCookie(this.#services, this.#cookie, this.#loaded);
  }

  /** Whether the response sends a cookie again, or a write under way may do so. */
  get mayResendCookie(): boolean {
    return this.#cookie.isResendPending || (this.#queue !== undefined && this.#services.options.rolling);
  }

  /** Drops a cookie that is only sent again, if the session has got a new id in the meantime. */
  checkResentCookie(): MaybePromise<void> {
    if (!this.#cookie.isResendPending) return;
    const session = this.current;
    return session === undefined ? undefined : checkResentCookie(this.#services, this.#cookie, session);
  }

  /** Reports the cookie of a request whose action threw, if it is not sent. */
  reportLostCookie(): void {
    this.#services.cookies.lost.reportUnsentAfterError(this.#cookie);
  }

  /**
   * Writes the activity of this request. With `rolling`, also sends the cookie again. Never fails:
   * a failure of the store is reported, and a page that only reads can be served without the write.
   */
  recordActivity(): Promise<void> {
    return this.touch(true).catch(noop);
  }

  /** Writes that the client has received the new id of the last renewal. Never fails either. */
  confirmRenewal(): Promise<void> {
    return this.#writes.run("touch", () => {
      const session = this.#requireWritable("touch");
      return session === undefined
        ? noop
        : () => writeMeta(this.#services, this.#cookie, session, { replaces: undefined });
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

  get isAvailable(): boolean {
    return this.#outage === undefined;
  }

  get principal(): string | undefined {
    this.#markPrivate();
    return this.current?.meta.principal;
  }

  get expiresAt(): number | undefined {
    this.#markPrivate();
    return this.current?.expiresAt;
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

  /**
   * Replaces one value with the result of an updater that receives the stored value.
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
      const cached = version === undefined ? undefined : { version, value: session.values?.get(key) };
      session.pendingUpdates++;
      const { revision } = this.#writes;
      return async () => {
        try {
          await create();
          let before: unknown;
          let after: unknown;
          const observed: ValueUpdater = async (value) =>
            after = await runUpdater(operation, this.#writes, session.id, key, updater, before = value);
          await session.run(
            operation,
            this.#cookie,
            () => this.#services.repository.update(session, operation, key, observed, cached),
          );
          // If a later write has started, `values` already contains it, and this result must not
          // overwrite it. The next read then asks the store.
          if (this.#writes.revision !== revision) session.values = undefined;
          else session.setValue(key, after);
          return cloneValue(key, select(before, after));
        } finally {
          session.pendingUpdates--;
        }
      };
    });
  }

  clear(): Promise<void> {
    return this.#writes.run("clear", () => {
      const session = this.#requireWritable("clear");
      if (session === undefined) return noop;
      session.values = new Map();
      return () =>
        session.run("clear", this.#cookie, async () => {
          await this.#services.repository.change(session, "clear", { clear: true, meta: { principal: undefined } });
          session.meta = { ...session.meta, principal: undefined };
        });
    });
  }

  /**
   * @param cookieIsSent whether the response is sure to carry the cookie. With `rolling`, `sentAt`
   * is then written too.
   */
  touch(cookieIsSent = false): Promise<void> {
    return this.#writes.run("touch", () => {
      const session = this.#requireWritable("touch");
      if (session === undefined) return noop;
      const { rolling } = this.#services.options;
      const meta: Partial<SessionMeta> = { seenAt: Date.now() };
      if (rolling && cookieIsSent && !session.viaOldId) meta.sentAt = meta.seenAt;
      if (session.isRenewalDelivered) meta.replaces = undefined;
      return async () => {
        await writeMeta(this.#services, this.#cookie, session, meta);
        // Only after the write, which detects a renewal by another request. The old cookie must not
        // replace the new one.
        if (rolling && this.current !== undefined) resendCookie(this.#services, this.#cookie, session);
      };
    });
  }

  reload(): Promise<void> {
    return this.#writes.run("reload", () => {
      this.#requireAvailable("reload");
      const session = this.#loaded;
      // Not `current`, because other requests may have extended a session that this one considers
      // expired.
      if (session === undefined || this.#isDestroyed || session.ended !== undefined) return noop;
      session.values = undefined;
      const { revision } = this.#writes;
      return async () => {
        const found = await lookUp(this.#services, session.id);
        if (typeof found === "string") session.markGone(this.#cookie);
        // A write that started since may be missing in the record, so the next read asks again.
        else if (this.#writes.revision === revision) applyRecord(this.#services, this.#cookie, session, found);
      };
    });
  }

  regenerate(options: RegenerateOptions): Promise<void> {
    return this.#writes.run("regenerate", () => {
      const { graceSeconds, principal } = options;
      checkRegenerateOptions({ graceSeconds, principal });
      if (principal !== undefined) return this.#signIn(principal);
      const session = this.#requireWritable("regenerate");
      if (session !== undefined) return () => moveSession(this.#services, this.#cookie, session, graceSeconds);
      this.#nextId = undefined;
      return noop;
    });
  }

  #signIn(principal: string): () => MaybePromise<void> {
    this.#requireAvailable("regenerate");
    const session = this.#loaded;
    const hasExpired = session !== undefined && Date.now() >= session.expiresAt;
    if (this.#isDestroyed || hasExpired) throw new SessionGoneError("regenerate");
    if (session === undefined) {
      this.#nextId = undefined;
      return this.#create("regenerate", new Map(), principal);
    }
    session.version = undefined;
    return () => signIn(this.#services, this.#cookie, session, principal);
  }

  destroy(): Promise<void> {
    return this.#writes.run("destroy", () => {
      this.#requireAvailable("destroy");
      const session = this.#loaded;
      // Earlier writes still run. Later ones are refused.
      this.#isDestroyed = true;
      this.#nextId = undefined;
      this.#cookie.clear();
      const { presented } = this.#cookie;
      const isOnlyOne = !this.isNew && presented.length === 1;
      return () => endPresentedSessions(this.#services, isOnlyOne ? [] : presented, session);
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

  #requireAvailable(operation: string): void {
    if (this.#outage !== undefined) throw unavailableError(operation, this.#outage);
  }

  /** Returns the session to write to, and forgets its version; `undefined` if there is none yet. */
  #requireWritable(operation: string): LoadedSession | undefined {
    this.#requireAvailable(operation);
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
    return session === undefined ? NO_VALUES : session.values ?? this.#loadValues(session);
  }

  #loadValues(session: LoadedSession): Promise<Values> {
    return loadValues(this.#services, this.#cookie, session, this.#writes, !isHeldByCaller(this.#queue));
  }

  /**
   * Creates a session. The session and its cookie exist when this returns. The returned function
   * creates the record.
   */
  #create(operation: string, values: Map<string, unknown>, principal?: string): () => MaybePromise<void> {
    requireHeadersNotSent(operation, this.#cookie);
    const session = newSession(this.#services.options, this.sessionId, values, principal);
    const record: SessionRecord = { values: new Map(values), expiresAt: session.expiresAt, meta: session.meta };
    this.#loaded = session;
    this.#nextId = undefined;
    sendCookie(this.#services, this.#cookie, session);
    return () =>
      createRecord(this.#services, this.#cookie, session, record, () => {
        // The next write may create another session.
        this.#loaded = undefined;
      });
  }
}
