/**
 * The session of one request.
 *
 * @module
 */
import type { HttpContext } from "../deps.ts";
import { SessionGoneError, SessionStoreError } from "./errors.ts";
import type { Reporter } from "./events.ts";
import { computeExpiry, cookieExpiry, effectiveExpiry } from "./core/lifetime.ts";
import { MAX_DATE_MS, type ResolvedOptions } from "./options.ts";
import { newSessionId } from "./cookie/session_id.ts";
import type { Signer } from "./cookie/signer.ts";
import type { SessionMeta, SessionRecord, SessionStore } from "./session_store.ts";
import type { UserSessions } from "./user_sessions.ts";
import { chain, type MaybePromise, noop } from "./util/maybe_promise.ts";
import { LoadedSession } from "./core/loaded_session.ts";
import type { Compute, Ended, Found, Records } from "./persistence/session_repository.ts";
import { type CookiePolicy, ResponseCookie } from "./cookie/response_cookie.ts";
import { cloneValue, toObject } from "./util/clone_value.ts";
import { WriteQueue } from "./core/write_queue.ts";

/** The values of a session whose keys and types were not declared. */
// deno-lint-ignore no-explicit-any -- what an application kept under a key only the application knows
export type SessionData = Record<string, any>;

/** A key of a session whose data was declared. */
export type SessionKey<TData extends object> = keyof TData & string;

/** Any string where the session's data was not declared, and noop where it was. */
export type AnyKey<TData extends object> = string extends keyof TData ? string : never;

/** How a session gets a new id. */
export interface RegenerateOptions {
  /**
   * For how many seconds, 0 or more, requests with the old id still find the session, to read and to write. They are not given the new
   * cookie. Not together with `principal`.
   *
   * @default {0} the old id is dead at once
   */
  graceSeconds?: number;
  /**
   * The user that the session belongs to from now on, such as the user's id: a string that is not empty. Not together with
   * `graceSeconds`, because an id from before the sign-in must not reach a signed-in session.
   *
   * @default {undefined} as it was
   */
  principal?: string;
}

/** The session as an application sees it. */
export interface SessionInterface<TData extends object = SessionData> {
  /** The session id. */
  readonly sessionId: string;
  /** The cookie's name. */
  readonly sessionKey: string;
  /** The store beneath, raw. */
  readonly store: SessionStore;
  /** Whether the request came without a live session. */
  readonly isNew: boolean;
  /** Whether the store could be asked for the session. */
  readonly available: boolean;
  /** The moment from which the session is gone. */
  readonly expiresAt: Date | undefined;
  /** The user that the session is bound to. */
  readonly principal: string | undefined;
  /** Reads one value. */
  // deno-lint-ignore no-explicit-any -- the seed's own signature
  get<T = any>(key: AnyKey<TData>, fallback?: T): Promise<T>;
  /** Reads one value of declared data. */
  get<K extends SessionKey<TData>>(key: K): Promise<TData[K] | undefined>;
  /** Reads one value of declared data, or the fallback. */
  get<K extends SessionKey<TData>>(
    key: K,
    fallback: Exclude<TData[K], undefined>,
  ): Promise<Exclude<TData[K], undefined>>;
  /** Writes one value. */
  set<T>(key: AnyKey<TData>, value: T): Promise<void>;
  /** Writes one value of declared data. */
  set<K extends SessionKey<TData>>(key: K, value: TData[K] | undefined): Promise<void>;
  /** Makes the next value of the one that is there. */
  // deno-lint-ignore no-explicit-any -- as `get()`
  update<T = any>(key: AnyKey<TData>, fn: (value: T | undefined) => T | undefined | Promise<T | undefined>): Promise<T>;
  /** Makes the next value of declared data. */
  update<K extends SessionKey<TData>>(key: K, fn: Updater<TData[K]>): Promise<TData[K] | undefined>;
  /** Reads and removes one value. */
  // deno-lint-ignore no-explicit-any -- as `get()`
  take<T = any>(key: AnyKey<TData>): Promise<T | undefined>;
  /** Reads and removes one value of declared data. */
  take<K extends SessionKey<TData>>(key: K): Promise<TData[K] | undefined>;
  /** Tells whether there is a value. */
  has(key: SessionKey<TData>): Promise<boolean>;
  /** Removes one value. */
  delete(key: SessionKey<TData>): Promise<void>;
  /** Removes all values. */
  clear(): Promise<void>;
  /** Reads all values. */
  entries(): Promise<Partial<TData>>;
  /** Notes activity. */
  touch(): Promise<void>;
  /** Reads the record again. */
  reload(): Promise<void>;
  /** Gives the session a new id. */
  regenerate(options?: RegenerateOptions): Promise<void>;
  /** Ends the session. */
  destroy(): Promise<void>;
  /** The token that forms of this session carry. */
  csrfToken(): Promise<string>;
}

/** Makes the next value of the one that is there; `undefined` stands for none. */
export type Updater<T> = (value: T | undefined) => T | undefined | Promise<T | undefined>;

/** What the middleware gives each of its sessions. */
export interface SessionHost {
  readonly settings: ResolvedOptions;
  readonly signer: Signer;
  readonly store: SessionStore;
  readonly records: Records;
  readonly reporter: Reporter;
  readonly users: UserSessions;
  readonly cookies: CookiePolicy;
}

/** Lets a request go on without its session, which the store could not be asked for. The middleware's, not the application's. */
export let makeUnavailable: (session: Session, error: SessionStoreError) => void;

/** Makes the record and the cookie of a new visitor, empty. The middleware's, not the application's. */
export let beginSession: (session: Session) => Promise<void>;

/** Makes the session of a request. The middleware's, not the application's. */
export let makeSession: (host: SessionHost, context: HttpContext, live: LoadedSession | undefined) => Session;

/** The writes of a session; `undefined` where none ever began. The middleware's, not the application's. */
export let writesOf: (session: Session) => WriteQueue | undefined;

/** Tells whether the cookie of a session did not leave (yet). The middleware's, not the application's. */
export let isCookiePending: (session: Session) => boolean;

/** Gives the client the cookie of its session anew. The middleware's, not the application's. */
export let sendCookie: (session: Session) => void;

/** Notes the activity of a request. A session that ends meanwhile has none. */
export let noteActivity: (session: Session) => Promise<void>;

/** Tells whether a CSRF token is the session's. The CSRF middleware's, not the application's. */
export let verifyCsrfToken: (session: Session, token: string) => boolean;

const NO_VALUES: ReadonlyMap<string, unknown> = new Map();

/**
 * The session of one request, at `context.security.session`.
 *
 * A visitor who sends no session gets one at the first write: that call makes the record and puts the cookie on the response.
 * Reading costs noop after the middleware has loaded the record; a write goes to the store at once, by its key alone, so that
 * concurrent requests of one session never undo each other's writes to other keys.
 *
 * Values are copies: changing what {@linkcode Session.get} returned changes noop until it is given to {@linkcode Session.set}.
 *
 * Note: await the writes. One that is not awaited keeps its order and is finished before the response leaves, and if it fails the
 * request fails; but after `response.setImmediately()` Alosaur waits for noop.
 *
 * @typeParam TData the values by key, such as `{ cart: Cart; user: User }`; without it every key is allowed and its value is `any`
 */
export class Session<TData extends object = SessionData> implements SessionInterface<TData> {
  readonly #host: SessionHost;
  readonly #cookie: ResponseCookie;
  #queue: WriteQueue | undefined = undefined;
  #live: LoadedSession | undefined;
  #isNew: boolean;
  #nextId: string | undefined = undefined;
  #destroyed = false;
  /** Why there is no session for the rest of this request. */
  #outage: SessionStoreError | undefined = undefined;
  /** Steps under way whose outcome nobody knows before they are taken. */
  #unknown = 0;
  /** Functions of updates that are running. */
  #computing = 0;

  static {
    makeSession = (host, context, live) => new Session(host, context, live);
    writesOf = (session) => session.#queue;
    isCookiePending = (session) => session.#cookie.isPending;
    makeUnavailable = (session, error) => {
      session.#outage = error;
      session.#live = undefined;
      session.#nextId = undefined;
      session.#isNew = true;
      session.#cookie.disable();
    };
    beginSession = (session) => session.#writes.run("create", () => session.#start(new Map()));
    sendCookie = (session) => {
      if (session.#live !== undefined) session.#send(session.#live);
    };
    noteActivity = (session) =>
      session.#touch(true).catch((error) => {
        if (!(error instanceof SessionGoneError)) throw error;
      });
    verifyCsrfToken = (session, token) => {
      const live = session.#current();
      return live !== undefined && session.#host.signer.verifyCsrfToken(csrfSeed(live), token);
    };
  }

  private constructor(host: SessionHost, context: HttpContext, live: LoadedSession | undefined) {
    this.#host = host;
    this.#cookie = new ResponseCookie(context, host.cookies);
    this.#live = live;
    this.#isNew = live === undefined;
  }

  get #writes(): WriteQueue {
    return this.#queue ??= new WriteQueue((operation, error, awaited) => {
      this.#host.reporter.emitWriteFailed(operation, error, this.#live?.id, awaited);
    });
  }

  /** The session id; for a new visitor the one that the session will have. It is a secret: whoever has it and a signature is the visitor. */
  get sessionId(): string {
    return this.#current()?.id ?? (this.#nextId ??= newSessionId());
  }

  /** The cookie's name, the option `name`. */
  get sessionKey(): string {
    return this.#host.settings.name;
  }

  /** The store beneath, raw: what it does, this object does not see. */
  get store(): SessionStore {
    return this.#host.store;
  }

  /** Whether the request came without a live session, as far as the store could tell. Stays `true` for the rest of the request. */
  get isNew(): boolean {
    return this.#isNew;
  }

  /**
   * Whether there is a session to read and write. `false` only with `onStoreError: "anonymous"`, for the rest of a request whose session the
   * store could not look up: reads are empty then, every write rejects with {@linkcode SessionStoreError}, and no cookie is set.
   */
  get available(): boolean {
    return this.#outage === undefined;
  }

  /** The moment from which the session is gone, to the second; `undefined` where it has no record (yet). */
  get expiresAt(): Date | undefined {
    const live = this.#current();
    return live === undefined ? undefined : new Date(live.expiresAt);
  }

  /** The user that the session is bound to by `regenerate({ principal })`; `undefined` where it is to none. */
  get principal(): string | undefined {
    return this.#current()?.meta.principal;
  }

  /**
   * Reads one value.
   *
   * @param key the value's key
   * @param fallback what to return where there is no such value
   * @returns a copy of the value, else `fallback`, else `undefined`
   * @throws {SessionStoreError} only where a write of this request has failed and the record cannot be read again
   */
  // deno-lint-ignore no-explicit-any -- the seed's own signature
  get<T = any>(key: AnyKey<TData>, fallback?: T): Promise<T>;
  get<K extends SessionKey<TData>>(key: K): Promise<TData[K] | undefined>;
  get<K extends SessionKey<TData>>(
    key: K,
    fallback: Exclude<TData[K], undefined>,
  ): Promise<Exclude<TData[K], undefined>>;
  get(key: string, fallback?: unknown): Promise<unknown> {
    return this.#look((values) => values.has(key) ? cloneValue(key, values.get(key)) : fallback);
  }

  /**
   * Writes one value, and makes the session where there is none yet. `sessionId` and the cookie are there before the promise is.
   *
   * @param key any well-formed string
   * @param value what JSON knows, and `Date`, `Map`, `Set`, `bigint`, typed arrays, `ArrayBuffer`; it is copied at once. `undefined` removes.
   * @throws {TypeError} if the value cannot be kept (a function, a symbol, a promise, an instance of a class) or the key is not a
   * well-formed string
   * @throws {SessionGoneError} if the session was destroyed or has expired; noop is written and noop created
   * @throws {SessionStoreError} if the store failed
   */
  set<T>(key: AnyKey<TData>, value: T): Promise<void>;
  set<K extends SessionKey<TData>>(key: K, value: TData[K] | undefined): Promise<void>;
  set(key: string, value: unknown): Promise<void> {
    return this.#put("set", key, value);
  }

  /**
   * Reads one value as it is in the store now, and writes what a function makes of it, so that of any number of concurrent updates none
   * is lost. Makes the session where there is none yet.
   *
   * On a store with the eight methods alone this holds within one process.
   *
   * @param key any well-formed string
   * @param fn given a copy of the value, or `undefined`, returns the next one; `undefined` removes it. It may be called more than
   * once, as where somebody else wrote meanwhile, and must not wait for another call of this session that was begun before. What it reads from
   * this session is from before.
   * @returns a copy of what was written
   * @throws what `fn` throws; then noop is written
   * @throws {TypeError} as {@linkcode Session.set}
   * @throws {SessionGoneError} if the session was destroyed or has expired
   * @throws {SessionStoreError} if the store failed
   */
  // deno-lint-ignore no-explicit-any -- as `get()`
  update<T = any>(key: AnyKey<TData>, fn: (value: T | undefined) => T | undefined | Promise<T | undefined>): Promise<T>;
  update<K extends SessionKey<TData>>(key: K, fn: Updater<TData[K]>): Promise<TData[K] | undefined>;
  update(key: string, fn: Updater<unknown>): Promise<unknown> {
    const compute: Compute = async (value) => cloneValue(key, await fn(cloneValue(key, value)));
    return this.#compute("update", key, compute, true, (_before, next) => next);
  }

  /**
   * Reads and removes one value, in one step: of any number of concurrent takers one gets it. Never makes a session.
   *
   * On a store with the eight methods alone this holds within one process.
   *
   * @param key the value's key
   * @returns the value, or `undefined` where there is none (any more)
   * @throws {SessionGoneError} if the session was destroyed or has expired
   * @throws {SessionStoreError} if the store failed
   */
  // deno-lint-ignore no-explicit-any -- as `get()`
  take<T = any>(key: AnyKey<TData>): Promise<T | undefined>;
  take<K extends SessionKey<TData>>(key: K): Promise<TData[K] | undefined>;
  take(key: string): Promise<unknown> {
    return this.#compute("take", key, () => undefined, false, (before) => before);
  }

  /**
   * Tells whether there is a value.
   *
   * @param key the value's key
   * @throws {SessionStoreError} as {@linkcode Session.get}
   */
  has(key: SessionKey<TData>): Promise<boolean> {
    return this.#look((values) => values.has(key));
  }

  /**
   * Removes one value. Does noop where there is none, and never makes a session.
   *
   * @param key the value's key
   * @throws {SessionGoneError} if the session was destroyed or has expired
   * @throws {SessionStoreError} if the store failed
   */
  delete(key: SessionKey<TData>): Promise<void> {
    return this.#put("delete", key, undefined);
  }

  /**
   * Removes all values and unbinds the session from its user. To sign out with a notice: `clear()`, `regenerate()`, `set()`.
   *
   * @throws {SessionGoneError} if the session was destroyed or has expired
   * @throws {SessionStoreError} if the store failed
   */
  clear(): Promise<void> {
    return this.#writes.run("clear", () => {
      const live = this.#writable("clear");
      if (live === undefined) return noop;
      live.values = new Map();
      return () =>
        this.#step("clear", live, async () => {
          await this.#host.records.change(live, "clear", { clear: true, meta: { principal: undefined } });
          live.meta = { ...live.meta, principal: undefined };
        });
    });
  }

  /**
   * Reads all values.
   *
   * @returns a plain object without prototype, with a copy of each value
   * @throws {SessionStoreError} as {@linkcode Session.get}
   */
  entries(): Promise<Partial<TData>> {
    return this.#look((values) => {
      const copies = new Map<string, unknown>();
      for (const [key, value] of values) copies.set(key, cloneValue(key, value));
      return toObject(copies) as Partial<TData>;
    });
  }

  /**
   * Notes activity now: the sliding limits (`rolling`, `idleTimeout`) begin anew. The middleware notes that of requests by itself; this is for a
   * request that lasts, such as a WebSocket. Does noop for a visitor without a record.
   *
   * @throws {SessionGoneError} if the session was destroyed or has expired
   * @throws {SessionStoreError} if the store failed
   */
  touch(): Promise<void> {
    return this.#touch(false);
  }

  /**
   * Reads the record again: what other requests have written meanwhile is there from then on.
   *
   * @throws {SessionStoreError} if the store failed
   */
  reload(): Promise<void> {
    return this.#writes.run("reload", () => {
      this.#refuseInOutage("reload");
      const live = this.#live;
      // Not `#current()`: other requests may have kept a session alive whose time is over by what this one knows.
      if (live === undefined || this.#destroyed || live.end !== undefined) return noop;
      live.values = undefined;
      const turn = this.#writes.revision;
      return async () => {
        const found = await this.#read(live);
        if (typeof found === "string") this.#learnEnd(live);
        // What was written since is not in the answer: the next read asks again.
        else if (this.#writes.revision === turn) this.#learn(live, found);
      };
    });
  }

  /**
   * Gives the session a new id, with the same values and the same deadlines: an absolute limit goes on counting from the first visit. Call it whenever a visitor's rights change (OWASP
   * Session Management, "Renew the Session ID After Any Privilege Level Change").
   *
   * The old id is dead at once, unless there is a grace. Presenting it later is refused, and reported as reuse until the session's deadline.
   * For a visitor without a record, whose id nobody can know, it only changes the id; with a `principal` it makes the session.
   *
   * @param options a grace for the old id, or the user that signs in
   * @throws {TypeError} if an option is of the wrong type, or both are given
   * @throws {RangeError} if `graceSeconds` is negative, or longer than a Date can tell, or `principal` is empty
   * @throws {SessionGoneError} if the session was destroyed or has expired
   * @throws {SessionStoreError} if the store failed: the session keeps its old id. Where it was cut off or took too long, it may still do what it
   * was asked: the old id is dead then, and the visitor begins anew.
   */
  regenerate(options: RegenerateOptions = {}): Promise<void> {
    return this.#writes.run("regenerate", () => {
      const { graceSeconds, principal } = checkRegenerate(options);
      const live = this.#writable("regenerate");
      if (live === undefined) {
        this.#nextId = undefined;
        return principal === undefined ? noop : this.#start(new Map(), principal);
      }
      return () => this.#step("regenerate", live, () => this.#move(live, graceSeconds, principal));
    });
  }

  /**
   * Ends the session: its record is removed and its cookie taken from the client. Every later write of this request, and of one still
   * running, rejects with {@linkcode SessionGoneError}.
   *
   * @throws {SessionStoreError} if the store failed: the cookie is taken from the client all the same
   */
  destroy(): Promise<void> {
    return this.#writes.run("destroy", () => {
      this.#refuseInOutage("destroy");
      const live = this.#live;
      // The writes before this one still have their turn; those that come after it are too late.
      this.#destroyed = true;
      this.#nextId = undefined;
      this.#cookie.clear();
      if (live === undefined) return noop;
      return async () => {
        if (live.end !== undefined) return;
        live.id = await this.#host.records.delete(live.id, live.expiresAt);
        live.end = "gone";
        this.#host.reporter.emitEnded("destroyed", live.id, live.meta.principal);
      };
    });
  }

  /**
   * Returns the token that a form of this session carries, in the field `_csrf` or the header `x-csrf-token`, for `CsrfMiddleware`. Makes
   * the session where there is none yet. It changes with every new id that is given without a grace.
   *
   * @returns 43 characters of base64url
   * @throws {SessionGoneError} if the session was destroyed or has expired
   * @throws {SessionStoreError} if the store failed
   */
  csrfToken(): Promise<string> {
    return this.#writes.run("csrfToken", () => {
      const begin = this.#writable("csrfToken") === undefined ? this.#start(new Map()) : noop;
      return async () => {
        await begin();
        // Asked in turn: a new id that was under way makes another token.
        const live = this.#current();
        if (live === undefined) throw new SessionGoneError("csrfToken");
        return this.#host.signer.csrfToken(csrfSeed(live));
      };
    });
  }

  /**
   * Notes activity now.
   *
   * @param resends whether the response can give the client the cookie again, with a longer life
   */
  #touch(resends: boolean): Promise<void> {
    return this.#writes.run("touch", () => {
      const live = this.#writable("touch");
      if (live === undefined) return noop;
      const { settings, records } = this.#host;
      const seenAt = Date.now();
      const changed = settings.rolling && resends && !live.graced ? { seenAt, sentAt: seenAt } : { seenAt };
      live.meta = { ...live.meta, ...changed };
      const expiresAt = live.expiresAt = computeExpiry(settings, live.meta);
      return () =>
        this.#step("touch", live, async () => {
          await records.change(live, "touch", { expiresAt, meta: changed });
          // Not before: the session may have got another id meanwhile, whose cookie this one would replace in the browser.
          if (settings.rolling && this.#current() !== undefined) this.#send(live);
        });
    });
  }

  /** The session, unless it has ended. */
  #current(): LoadedSession | undefined {
    const live = this.#live;
    if (live === undefined || this.#destroyed || live.end !== undefined) return undefined;
    return Date.now() >= live.expiresAt ? undefined : live;
  }

  #refuseAfterEnd(operation: string): void {
    this.#refuseInOutage(operation);
    if (this.#destroyed || (this.#live !== undefined && this.#current() === undefined)) {
      throw new SessionGoneError(operation);
    }
  }

  #refuseInOutage(operation: string): void {
    if (this.#outage === undefined) return;
    throw new SessionStoreError(
      operation,
      `Cannot ${operation}: the session is not available, because the store failed`,
      {
        cause: this.#outage,
      },
    );
  }

  /** The session that a write is for; `undefined` where there is none yet. */
  #writable(operation: string): LoadedSession | undefined {
    this.#refuseAfterEnd(operation);
    if (this.#live !== undefined) this.#live.version = undefined;
    return this.#live;
  }

  /** Answers from what is in the record, as it is at the call where that is known. */
  async #look<T>(answer: (values: ReadonlyMap<string, unknown>) => T): Promise<T> {
    const values = this.#values();
    return answer(values instanceof Promise ? await values : values);
  }

  /** What is in the record, with the writes of this request: at once where that is known. */
  #values(): MaybePromise<ReadonlyMap<string, unknown>> {
    // Within the function of an update there is no waiting for that update: there the answer is what was before it.
    const waits = this.#computing === 0;
    if (this.#unknown > 0 && waits) return this.#writes.idle().then(() => this.#valuesOf(this.#current(), waits));
    return this.#valuesOf(this.#current(), waits);
  }

  #valuesOf(live: LoadedSession | undefined, waits: boolean): MaybePromise<ReadonlyMap<string, unknown>> {
    return live === undefined ? NO_VALUES : live.values ?? this.#readValues(live, waits);
  }

  async #readValues(live: LoadedSession, waits: boolean): Promise<ReadonlyMap<string, unknown>> {
    let found: Found | Ended;
    let begun: number;
    do {
      if (waits) await this.#writes.idle();
      begun = this.#writes.revision;
      found = await this.#read(live);
      // What was written while the store was asked is not in its answer.
    } while (begun !== this.#writes.revision);
    if (typeof found !== "string") return this.#learn(live, found);
    this.#learnEnd(live);
    return NO_VALUES;
  }

  /** Begins a session: everything but the record is there when this returns. */
  #start(values: Map<string, unknown>, principal?: string): () => MaybePromise<void> {
    this.#refuseAfterEnd("create");
    const { settings, records } = this.#host;
    const now = Date.now();
    const meta: SessionMeta = { createdAt: now, seenAt: now, renewedAt: now };
    if (principal !== undefined) Object.assign(meta, { principal, boundAt: now });
    const expiresAt = computeExpiry(settings, meta);
    // The option `expires` is a fixed moment: an application that runs past it can begin no more sessions.
    if (now >= expiresAt) throw new SessionGoneError("create");
    const live = new LoadedSession(this.sessionId, expiresAt, meta, { values });
    const record: SessionRecord = { values: new Map(values), expiresAt, meta };
    this.#live = live;
    this.#nextId = undefined;
    this.#send(live);
    return () =>
      chain(() => records.create(live.id, record), () => {
        this.#host.reporter.emitCreated(live.id, live.meta.principal);
        return principal === undefined ? undefined : this.#host.users.limit(principal, live.id);
      }, (error) => {
        // There is no record that the cookie could name, and the next write may begin again.
        live.end = { error: error as Error };
        this.#live = undefined;
        if (!this.#destroyed) this.#cookie.cancel();
        throw error;
      });
  }

  /** Gives the session a new id. */
  async #move(live: LoadedSession, graceSeconds: number, principal: string | undefined): Promise<void> {
    const { records, reporter, users } = this.#host;
    const id = newSessionId();
    const now = Date.now();
    const meta: Partial<SessionMeta> = {
      renewedAt: now,
      sentAt: now,
      // With a grace the forms that are open go on to work, until the next new id without one.
      csrfSeed: graceSeconds > 0 ? csrfSeed(live) : undefined,
    };
    if (principal !== undefined) Object.assign(meta, { principal, boundAt: now });
    await records.move(live, id, { meta, graceUntil: now + graceSeconds * 1000 });
    const previous = live.id;
    live.id = id;
    live.meta = { ...live.meta, ...meta };
    live.graced = false;
    if (!this.#destroyed) this.#send(live);
    reporter.emitRenewed(id, previous, live.meta.principal);
    if (principal !== undefined) await users.limit(principal, id);
  }

  /** Gives the client the cookie, unless it asked with an older id: whoever has that is not to be given the present one. */
  #send(live: LoadedSession): void {
    if (live.graced) return;
    this.#cookie.send(this.#host.signer.sign(live.id), cookieExpiry(this.#host.settings, live.meta));
  }

  /** Writes one value, or removes it where it is `undefined`. */
  #put(operation: "set" | "delete", key: string, value: unknown): Promise<void> {
    return this.#writes.run(operation, () => {
      checkKey(operation, key);
      const kept = cloneValue(key, value);
      const live = this.#writable(operation);
      if (live === undefined) return kept === undefined ? noop : this.#start(new Map([[key, kept]]));
      if (kept === undefined) live.values?.delete(key);
      else live.values?.set(key, kept);
      return () => this.#step(operation, live, () => this.#host.records.set(live, operation, key, kept));
    });
  }

  /**
   * Makes the next value of the one that is in the store.
   *
   * @param begins whether this makes a session where there is none
   * @param answer chooses what to return
   */
  #compute(
    operation: string,
    key: string,
    compute: Compute,
    begins: boolean,
    answer: (before: unknown, next: unknown) => unknown,
  ): Promise<unknown> {
    const { records } = this.#host;
    return this.#writes.run<unknown>(operation, () => {
      checkKey(operation, key);
      const version = this.#live?.version;
      let begin = noop;
      if (this.#writable(operation) === undefined && begins) begin = this.#start(new Map());
      const session = this.#live;
      if (session === undefined) return noop;
      const known = version === undefined ? undefined : { version, value: session.values?.get(key) };
      this.#unknown++;
      const turn = this.#writes.revision;
      return async () => {
        try {
          await begin();
          let before: unknown;
          let next: unknown;
          const remembering: Compute = async (value) => {
            before = value;
            this.#computing++;
            try {
              return next = await compute(value);
            } finally {
              this.#computing--;
            }
          };
          await this.#step(operation, session, () => records.update(session, operation, key, remembering, known));
          // A write that began since counts as later, and is in `values` already: what is left there in the end, the store knows.
          if (this.#writes.revision !== turn) session.values = undefined;
          else if (next === undefined) session.values?.delete(key);
          else session.values?.set(key, next);
          return cloneValue(key, answer(before, next));
        } finally {
          this.#unknown--;
        }
      };
    });
  }

  /** Takes one step with the record, and learns from how it ends. */
  #step(operation: string, live: LoadedSession, step: () => MaybePromise<void>): MaybePromise<void> {
    if (typeof live.end === "object") {
      throw new SessionStoreError(operation, `Cannot ${operation}: the session could not be made`, {
        cause: live.end.error,
      });
    }
    // It may have expired while it waited for its turn.
    if (live.end === "gone" || Date.now() >= live.expiresAt) throw new SessionGoneError(operation);
    const { graced, id } = live;
    return chain(step, () => {
      if (live.graced && !graced) this.#learnMove(live, id);
    }, (error) => {
      if (error instanceof SessionGoneError) this.#learnEnd(live);
      // Whether the value was written is not known: the next read asks.
      else live.values = undefined;
      throw error;
    });
  }

  /** Asks the store; a failure is reported here, because not every read is a write's. */
  #read({ id }: LoadedSession): MaybePromise<Found | Ended> {
    const { records, reporter } = this.#host;
    return reporter.reportFailures("get", id, records.read(id));
  }

  /** Takes over what is in the store. */
  #learn(live: LoadedSession, { id, record, graced }: Found): ReadonlyMap<string, unknown> {
    if (graced && id !== live.id) this.#learnMove(live, live.id);
    live.id = id;
    live.graced ||= graced;
    live.meta = record.meta;
    live.expiresAt = effectiveExpiry(this.#host.settings, record.expiresAt, record.meta);
    return live.values = record.values;
  }

  /** Another request has given the session a new id: a cookie of the old one, on its way, would replace that in the browser. */
  #learnMove(live: LoadedSession, old: string): void {
    // It was with a grace, or noop would have led to the new id; so the token goes on being made of the old one.
    live.meta = { ...live.meta, csrfSeed: live.meta.csrfSeed ?? old };
    if (!this.#destroyed) this.#cookie.cancel();
  }

  /** Somebody else has ended the session: a cookie that is on its way would lead nowhere. */
  #learnEnd(live: LoadedSession): void {
    live.end = "gone";
    if (!this.#destroyed) this.#cookie.cancel();
  }
}

/** What the CSRF token of a session is made of. */
function csrfSeed(live: LoadedSession): string {
  return live.meta.csrfSeed ?? live.id;
}

function checkKey(operation: string, key: string): void {
  if (typeof key !== "string" || !key.isWellFormed()) {
    throw new TypeError(`Cannot ${operation}: the key is not a well-formed string`);
  }
}

function checkRegenerate({ graceSeconds, principal }: RegenerateOptions): { graceSeconds: number; principal?: string } {
  if (graceSeconds !== undefined && principal !== undefined) {
    throw new TypeError(
      "Cannot regenerate: `graceSeconds` and `principal` exclude each other, because an id from before the sign-in must not reach a " +
        "signed-in session",
    );
  }
  if (graceSeconds !== undefined && typeof graceSeconds !== "number") {
    throw new TypeError("Cannot regenerate: `graceSeconds` must be a number");
  }
  if (graceSeconds !== undefined && !(graceSeconds >= 0 && Date.now() + graceSeconds * 1000 <= MAX_DATE_MS)) {
    throw new RangeError(
      "Cannot regenerate: `graceSeconds` must be 0 or more, and end within the time that a Date can tell",
    );
  }
  if (principal !== undefined) checkPrincipal("regenerate", principal);
  return { graceSeconds: graceSeconds ?? 0, principal };
}

/**
 * Checks a user's name.
 *
 * @throws {TypeError} if it is not a well-formed string
 * @throws {RangeError} if it is empty
 */
export function checkPrincipal(operation: string, principal: string): void {
  if (typeof principal !== "string" || !principal.isWellFormed()) {
    throw new TypeError(`Cannot ${operation}: the principal must be a well-formed string`);
  }
  if (principal === "") throw new RangeError(`Cannot ${operation}: the principal is empty`);
}
