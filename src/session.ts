/**
 * The session of one request.
 *
 * @module
 */
import { SessionGoneError, SessionStoreError } from "./errors.ts";
import { newSessionId } from "./signature.ts";
import type { SessionRecord, SessionStore } from "./session_store.ts";
import type { Records } from "./_records.ts";
import type { ResponseCookie } from "./_response_cookie.ts";
import { copyValue, toObject } from "./_values.ts";
import type { WriteQueue } from "./_write_queue.ts";

/** The values of a session whose keys and types were not declared. */
// deno-lint-ignore no-explicit-any -- what an application kept under a key only the application knows
export type SessionData = Record<string, any>;

/** A key of a session whose data was declared. */
export type SessionKey<TData extends object> = keyof TData & string;

/** Any string where the session's data was not declared, and nothing where it was. */
export type AnyKey<TData extends object> = string extends keyof TData ? string : never;

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
  /** The moment from which the session is gone. */
  readonly expiresAt: Date | undefined;
  /** Reads one value. */
  // deno-lint-ignore no-explicit-any -- the seed's own signature
  get<T = any>(key: AnyKey<TData>, fallback?: T): Promise<T>;
  /** Reads one value of declared data. */
  get<K extends SessionKey<TData>>(key: K): Promise<TData[K] | undefined>;
  /** Reads one value of declared data, or the fallback. */
  get<K extends SessionKey<TData>>(key: K, fallback: TData[K]): Promise<TData[K]>;
  /** Writes one value. */
  set<T>(key: AnyKey<TData>, value: T): Promise<void>;
  /** Writes one value of declared data. */
  set<K extends SessionKey<TData>>(key: K, value: TData[K] | undefined): Promise<void>;
  /** Tells whether there is a value. */
  has(key: SessionKey<TData>): Promise<boolean>;
  /** Removes one value. */
  delete(key: SessionKey<TData>): Promise<void>;
  /** Reads all values. */
  entries(): Promise<Partial<TData>>;
  /** Gives the session a new id. */
  regenerate(): Promise<void>;
  /** Ends the session. */
  destroy(): Promise<void>;
}

/** What the middleware gives each of its sessions. */
export interface SessionHost {
  readonly name: string;
  readonly store: SessionStore;
  readonly records: Records;
  /** The moment at which a session that begins now ends, in milliseconds since the epoch. */
  deadline(): number;
  /** The cookie's value for an id. */
  sign(id: string): string;
}

/** A session that has a record, or is about to have one. */
interface Live {
  id: string;
  readonly expiresAt: number;
  /** What is in the record, with the writes under way; `undefined` where a failed write leaves that unknown. */
  values: Map<string, unknown> | undefined;
  /** Why no more can be written. */
  end?: "gone" | { error: Error };
}

/** Makes the record and the cookie of a new visitor, empty. The middleware's, not the application's. */
export let beginSession: (session: Session) => Promise<void>;

const NO_VALUES: ReadonlyMap<string, unknown> = new Map();

/**
 * The session of one request, at `context.security.session`.
 *
 * A visitor who sends no session gets one at the first write: that call makes the record and puts the cookie on the response.
 * Reading costs nothing after the middleware has loaded the record; a write goes to the store at once, by its key alone, so that
 * concurrent requests of one session never undo each other's writes to other keys.
 *
 * Values are copies: changing what {@linkcode Session.get} returned changes nothing until it is given to {@linkcode Session.set}.
 *
 * Note: await the writes. One that is not awaited keeps its order and is finished before the response leaves, and if it fails the
 * request fails; but after `response.setImmediately()` Alosaur waits for nothing.
 *
 * @typeParam TData the values by key, such as `{ cart: Cart; user: User }`; without it every key is allowed and its value is `any`
 */
export class Session<TData extends object = SessionData> implements SessionInterface<TData> {
  readonly #host: SessionHost;
  readonly #cookie: ResponseCookie;
  readonly #writes: WriteQueue;
  #live: Live | undefined;
  #nextId: string | undefined;
  #destroyed = false;

  static {
    beginSession = (session) => session.#writes.run("create", () => session.#start(new Map()));
  }

  /** Whether the request came without a live session. Stays `true` for the rest of the request. */
  readonly isNew: boolean;

  /** Note: `SessionMiddleware` makes the sessions. */
  constructor(
    host: SessionHost,
    cookie: ResponseCookie,
    writes: WriteQueue,
    loaded?: { id: string; record: SessionRecord },
  ) {
    this.#host = host;
    this.#cookie = cookie;
    this.#writes = writes;
    this.isNew = loaded === undefined;
    if (loaded !== undefined) this.#live = { id: loaded.id, ...loaded.record };
  }

  /** The session id; for a new visitor the one that the session will have. It is a secret: whoever has it and a signature is the visitor. */
  get sessionId(): string {
    return this.#current()?.id ?? (this.#nextId ??= newSessionId());
  }

  /** The cookie's name, the option `name`. */
  get sessionKey(): string {
    return this.#host.name;
  }

  /** The store beneath, raw: what it does, this object does not see. */
  get store(): SessionStore {
    return this.#host.store;
  }

  /** The moment from which the session is gone, to the second; `undefined` where it has no record (yet). */
  get expiresAt(): Date | undefined {
    const live = this.#current();
    return live === undefined ? undefined : new Date(live.expiresAt);
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
  get<K extends SessionKey<TData>>(key: K, fallback: TData[K]): Promise<TData[K]>;
  async get(key: string, fallback?: unknown): Promise<unknown> {
    const values = await this.#values();
    return values.has(key) ? copyValue(key, values.get(key)) : fallback;
  }

  /**
   * Writes one value, and makes the session where there is none yet. `sessionId` and the cookie are there before the promise is.
   *
   * @param key any well-formed string
   * @param value what JSON knows, and `Date`, `Map`, `Set`, `bigint`, typed arrays, `ArrayBuffer`; it is copied at once. `undefined` removes.
   * @throws {TypeError} if the value cannot be kept (a function, a symbol, a promise, an instance of a class) or the key is not a
   * well-formed string
   * @throws {SessionGoneError} if the session was destroyed or has expired; nothing is written and nothing created
   * @throws {SessionStoreError} if the store failed
   */
  set<T>(key: AnyKey<TData>, value: T): Promise<void>;
  set<K extends SessionKey<TData>>(key: K, value: TData[K] | undefined): Promise<void>;
  set(key: string, value: unknown): Promise<void> {
    return this.#put("set", key, value);
  }

  /**
   * Tells whether there is a value.
   *
   * @param key the value's key
   * @throws {SessionStoreError} as {@linkcode Session.get}
   */
  async has(key: SessionKey<TData>): Promise<boolean> {
    return (await this.#values()).has(key);
  }

  /**
   * Removes one value. Does nothing where there is none, and never makes a session.
   *
   * @param key the value's key
   * @throws {SessionGoneError} if the session was destroyed or has expired
   * @throws {SessionStoreError} if the store failed
   */
  delete(key: SessionKey<TData>): Promise<void> {
    return this.#put("delete", key, undefined);
  }

  /**
   * Reads all values.
   *
   * @returns a plain object without prototype, with a copy of each value
   * @throws {SessionStoreError} as {@linkcode Session.get}
   */
  async entries(): Promise<Partial<TData>> {
    return toObject(await this.#values()) as Partial<TData>;
  }

  /**
   * Gives the session a new id, with the same values and the same deadline; the old id is dead at once. Call it whenever a visitor's
   * rights change (OWASP Session Management, "Renew the Session ID After Any Privilege Level Change"). Does nothing for a visitor
   * without a record, whose id nobody can know.
   *
   * @throws {SessionGoneError} if the session was destroyed or has expired
   * @throws {SessionStoreError} if the store failed: the session keeps its old id
   */
  regenerate(): Promise<void> {
    return this.#writes.run("regenerate", () => {
      this.#refuseAfterEnd("regenerate");
      const live = this.#live;
      if (live === undefined) {
        this.#nextId = undefined;
        return;
      }
      return () =>
        this.#step("regenerate", live, async () => {
          const id = newSessionId();
          await this.#host.records.rename(live.id, id);
          live.id = id;
          if (!this.#destroyed) this.#cookie.send(this.#host.sign(id), live.expiresAt);
        });
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
      const live = this.#live;
      this.#destroyed = true;
      this.#nextId = undefined;
      this.#cookie.clear();
      if (live === undefined) return;
      return async () => {
        // The writes before this one have had their turn; those that come now are too late.
        if (live.end !== undefined) return;
        live.end = "gone";
        await this.#host.records.delete(live.id);
      };
    });
  }

  /** The session, unless it has ended. */
  #current(): Live | undefined {
    const live = this.#live;
    if (live === undefined || this.#destroyed || live.end !== undefined) return undefined;
    return Date.now() >= live.expiresAt ? undefined : live;
  }

  #refuseAfterEnd(operation: string): void {
    if (this.#destroyed || (this.#live !== undefined && this.#current() === undefined)) {
      throw new SessionGoneError(operation);
    }
  }

  /** What is in the record, with the writes of this request. */
  async #values(): Promise<ReadonlyMap<string, unknown>> {
    const live = this.#current();
    if (live === undefined) return NO_VALUES;
    if (live.values === undefined) {
      let record: SessionRecord | undefined;
      do {
        await this.#writes.idle();
        record = await this.#host.records.read(live.id);
      } while (this.#writes.isBusy);
      if (record === undefined) live.end = "gone";
      live.values = record?.values ?? new Map();
    }
    return live.values;
  }

  /** Begins a session: everything but the record is there when this returns. */
  #start(values: Map<string, unknown>): () => Promise<void> {
    const expiresAt = this.#host.deadline();
    // The option `expires` is a fixed moment: an application that runs past it can begin no more sessions.
    if (Date.now() >= expiresAt) throw new SessionGoneError("create");
    const live: Live = { id: this.sessionId, expiresAt, values };
    const record: SessionRecord = { values: new Map(values), expiresAt };
    this.#live = live;
    this.#nextId = undefined;
    this.#cookie.send(this.#host.sign(live.id), expiresAt);
    return async () => {
      try {
        await this.#host.records.create(live.id, record);
      } catch (error) {
        // There is no record that the cookie could name, and the next write may begin again.
        live.end = { error: error as Error };
        this.#live = undefined;
        if (!this.#destroyed) this.#cookie.withdraw();
        throw error;
      }
    };
  }

  /** Writes one value, or removes it where it is `undefined`. */
  #put(operation: "set" | "delete", key: string, value: unknown): Promise<void> {
    return this.#writes.run(operation, () => {
      if (typeof key !== "string" || !key.isWellFormed()) {
        throw new TypeError(`Cannot ${operation}: the key is not a well-formed string`);
      }
      const kept = copyValue(key, value);
      this.#refuseAfterEnd(operation);
      const live = this.#live;
      if (live === undefined) return kept === undefined ? undefined : this.#start(new Map([[key, kept]]));
      if (kept === undefined) live.values?.delete(key);
      else live.values?.set(key, kept);
      return () => this.#step(operation, live, () => this.#host.records.set(live.id, key, kept, live.expiresAt));
    });
  }

  /** Takes one step with the record, and learns from how it ends. */
  async #step(operation: string, live: Live, step: () => Promise<void>): Promise<void> {
    if (typeof live.end === "object") {
      throw new SessionStoreError(operation, `Cannot ${operation}: the session could not be made`, {
        cause: live.end.error,
      });
    }
    if (live.end === "gone") throw new SessionGoneError(operation);
    try {
      await step();
    } catch (error) {
      if (error instanceof SessionGoneError) live.end = "gone";
      // Whether the value was written is not known: the next read asks.
      else live.values = undefined;
      throw error;
    }
  }
}
