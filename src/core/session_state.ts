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
import type { LookupHit, LookupMiss } from "../persistence/session_repository.ts";
import type { ValueUpdater } from "../persistence/store_adapter.ts";
import type { SessionRecord, SessionStore } from "../session_store.ts";
import { cloneValue } from "../util/clone_value.ts";
import { chain, type MaybePromise, noop } from "../util/maybe_promise.ts";
import { computeExpiry, cookieExpiry, effectiveExpiry } from "./lifetime.ts";
import { LoadedSession } from "./loaded_session.ts";
import { initialMeta, renewedMeta } from "./session_meta.ts";
import type { SessionServices } from "./session_services.ts";
import { checkKey, checkRegenerateOptions, type RegenerateOptions, unavailableError } from "./validate.ts";
import { WriteQueue } from "./write_queue.ts";

type Values = ReadonlyMap<string, unknown>;

const NO_VALUES: Values = new Map();

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
    return this.#writes.run("create", () => this.#create(new Map()));
  }

  resendCookie(): void {
    if (this.#loaded !== undefined) this.#setCookie(this.#loaded);
  }

  /**
   * Writes the activity of this request. With `rolling`, also sends the cookie again. Never fails:
   * a failure of the store is reported, and a page that only reads can be served without the write.
   */
  recordActivity(): Promise<void> {
    return this.touch(true).catch(noop);
  }

  /** Whether the response has our cookie, and Alosaur has not merged it yet. */
  get isCookiePending(): boolean {
    return this.#cookie.isPending;
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

  /** Passes the values, with the writes of this request applied, to a function. */
  async read<T>(select: (values: Values) => T): Promise<T> {
    const values = this.#currentValues();
    return select(values instanceof Promise ? await values : values);
  }

  /** Writes one value; `undefined` removes it. */
  write(operation: "set" | "delete", key: string, value: unknown): Promise<void> {
    return this.#writes.run(operation, () => {
      checkKey(operation, key);
      const copy = cloneValue(key, value);
      const session = this.#requireWritable(operation);
      if (session === undefined) return copy === undefined ? noop : this.#create(new Map([[key, copy]]));
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
    return this.#writes.run<unknown>(operation, () => {
      checkKey(operation, key);
      const version = this.#loaded?.version;
      const isMissing = this.#requireWritable(operation) === undefined;
      const create = isMissing && createsSession ? this.#create(new Map()) : noop;
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
          const observed: ValueUpdater = async (value) => {
            session.activeUpdaters++;
            try {
              return after = await updater(before = value);
            } finally {
              session.activeUpdaters--;
            }
          };
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
      const { options } = this.#services;
      const seenAt = Date.now();
      const change = options.rolling && cookieIsSent && !session.viaOldId ? { seenAt, sentAt: seenAt } : { seenAt };
      return () =>
        session.run("touch", this.#cookie, async () => {
          const expiresAt = computeExpiry(options, { ...session.meta, ...change });
          await this.#services.repository.change(session, "touch", { expiresAt, meta: change });
          session.meta = { ...session.meta, ...change };
          session.expiresAt = expiresAt;
          // Only after the write, which detects a renewal by another request. The old cookie must
          // not replace the new one.
          if (options.rolling && this.current !== undefined) this.#setCookie(session);
        });
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
        const found = await this.#lookUp(session);
        if (typeof found === "string") session.markGone(this.#cookie);
        // A write that started since may be missing in the record, so the next read asks again.
        else if (this.#writes.revision === revision) this.#applyRecord(session, found);
      };
    });
  }

  regenerate(options: RegenerateOptions): Promise<void> {
    return this.#writes.run("regenerate", () => {
      const { graceSeconds, principal } = options;
      checkRegenerateOptions({ graceSeconds, principal });
      const session = this.#requireWritable("regenerate");
      if (session === undefined) {
        this.#nextId = undefined;
        return principal === undefined ? noop : this.#create(new Map(), principal);
      }
      return () => session.run("regenerate", this.#cookie, () => this.#move(session, graceSeconds ?? 0, principal));
    });
  }

  destroy(): Promise<void> {
    return this.#writes.run("destroy", () => {
      this.#requireAvailable("destroy");
      const session = this.#loaded;
      // Earlier writes still run. Later ones are refused.
      this.#isDestroyed = true;
      this.#nextId = undefined;
      this.#cookie.clear();
      if (session === undefined) return noop;
      return async () => {
        if (session.ended !== undefined) return;
        session.id = await this.#services.repository.delete(session.id, session.expiresAt);
        session.ended = "gone";
        this.#services.reporter.emitEnded("destroyed", session.id, session.meta.principal);
      };
    });
  }

  csrfToken(): Promise<string> {
    return this.#writes.run("csrfToken", () => {
      const create = this.#requireWritable("csrfToken") === undefined ? this.#create(new Map()) : noop;
      return async () => {
        await create();
        // Read only after the earlier writes, because a new id changes the token.
        const session = this.current;
        if (session === undefined) throw new SessionGoneError("csrfToken");
        return this.#services.signer.csrfToken(session.csrfSeed);
      };
    });
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
    const waits = session !== undefined && session.activeUpdaters === 0;
    if (waits && session.pendingUpdates > 0) return this.#writes.idle().then(() => this.#knownValues(waits));
    return this.#knownValues(waits);
  }

  #knownValues(waits: boolean): MaybePromise<Values> {
    const session = this.current;
    return session === undefined ? NO_VALUES : session.values ?? this.#loadValues(session, waits);
  }

  async #loadValues(session: LoadedSession, waits: boolean): Promise<Values> {
    let found: LookupHit | LookupMiss;
    let revision: number;
    do {
      if (waits) await this.#writes.idle();
      revision = this.#writes.revision;
      found = await this.#lookUp(session);
      // If a write started during the lookup, the record may lack it.
    } while (revision !== this.#writes.revision);
    if (typeof found !== "string") return this.#applyRecord(session, found);
    session.markGone(this.#cookie);
    return NO_VALUES;
  }

  /**
   * Creates a session. The session and its cookie exist when this returns. The returned function
   * creates the record.
   */
  #create(values: Map<string, unknown>, principal?: string): () => MaybePromise<void> {
    const { options, reporter } = this.#services;
    const meta = initialMeta(principal);
    const expiresAt = computeExpiry(options, meta);
    // The option `expires` is a fixed date, after which no session can be created.
    if (meta.createdAt >= expiresAt) throw new SessionGoneError("create");
    const session = new LoadedSession(this.sessionId, expiresAt, meta, { values });
    const record: SessionRecord = { values: new Map(values), expiresAt, meta };
    this.#loaded = session;
    this.#nextId = undefined;
    this.#setCookie(session);
    return () =>
      chain(() => this.#services.repository.create(session.id, record), () => {
        reporter.emitCreated(session.id, session.meta.principal);
        return principal === undefined ? undefined : this.#services.enforceSessionLimit(principal, session.id);
      }, (error) => {
        session.ended = { error: error as Error };
        // The next write may create another session.
        this.#loaded = undefined;
        this.#cookie.cancel();
        throw error;
      });
  }

  /** Gives the session a new id. */
  async #move(session: LoadedSession, graceSeconds: number, principal: string | undefined): Promise<void> {
    const { reporter, enforceSessionLimit } = this.#services;
    const id = newSessionId();
    // With a grace period the CSRF token does not change, so that open forms keep working.
    const meta = renewedMeta(graceSeconds > 0 ? session.csrfSeed : undefined, principal);
    await this.#services.repository.move(session, id, { meta, graceUntil: meta.renewedAt + graceSeconds * 1000 });
    const previous = session.id;
    session.id = id;
    session.meta = { ...session.meta, ...meta };
    session.viaOldId = false;
    this.#setCookie(session);
    reporter.emitRenewed(id, previous, session.meta.principal);
    if (principal !== undefined) await enforceSessionLimit(principal, id);
  }

  /**
   * Puts the cookie on the response, unless the client presented an older id. Such a client must
   * not receive the current one.
   */
  #setCookie(session: LoadedSession): void {
    if (session.viaOldId) return;
    const { options, signer } = this.#services;
    this.#cookie.send(signer.sign(session.id), cookieExpiry(options, session.meta));
  }

  /**
   * Looks the session up, and reports failures of the store. The queue reports only those of
   * writes.
   */
  #lookUp({ id }: LoadedSession): MaybePromise<LookupHit | LookupMiss> {
    return this.#services.reporter.reportFailures("get", id, this.#services.repository.read(id));
  }

  /** Replaces the known state of the session with a record from the store. */
  #applyRecord(session: LoadedSession, found: LookupHit): Values {
    const { record } = found;
    const expiresAt = effectiveExpiry(this.#services.options, record.expiresAt, record.meta);
    session.apply(found, expiresAt, this.#cookie);
    return session.values = record.values;
  }
}
