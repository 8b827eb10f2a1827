/**
 * The steps that a session takes on its store, the same for every store.
 *
 * @module
 */
import { SessionGoneError, SessionNotSupportedError } from "../errors.ts";
import {
  isPrincipalStore,
  isRecordStore,
  type PrincipalStore,
  type RecordAnswer,
  type RecordChange,
  type RecordMove,
  type RecordStore,
  type SessionMeta,
  type SessionRecord,
  type SessionStore,
  type SessionTrace,
  STORE_METHODS,
  type StoredRecord,
} from "../session_store.ts";
import { callAsync, chain, isPending, type MaybePromise, noop } from "../util/maybe_promise.ts";
import { toSessionError, withStoreErrors } from "./store_errors.ts";
import { BareSteps } from "./basic_store_adapter.ts";
import { ExpiringMap } from "../util/expiring_map.ts";
import { findTimeout, withStoreTimeout } from "./store_timeout.ts";
import { KeyedMutex } from "../util/keyed_mutex.ts";

/** What a session needs a store to do, each in one atomic step. */
export interface Steps {
  /** From now on takes the steps on the same store in another guise. */
  use(store: SessionStore): void;
  read(sid: string): MaybePromise<Found["record"] | SessionTrace | undefined>;
  create(sid: string, record: SessionRecord): MaybePromise<void>;
  /** Writes one value, or removes it where it is `undefined`. */
  set(sid: string, key: string, value: unknown): MaybePromise<void>;
  /** Reads one value, and writes what `compute` makes of it. */
  update(sid: string, key: string, compute: Compute, known?: Known): Promise<void>;
  /** Changes more than one value. */
  change(sid: string, change: Omit<RecordChange, "ifVersion" | "set">): Promise<void>;
  move(sid: string, newSid: string, move: Move): Promise<void>;
  delete(sid: string): Promise<void>;
}

/** Makes the next value of the one that is there. It may be called again, with the value that somebody else wrote meanwhile. */
export type Compute = (value: unknown) => unknown;

/** A value that was read before, and the version of the record that it was in. */
export interface Known {
  readonly version: number;
  readonly value: unknown;
}

/** How a record moves to a new id. */
export type Move = Pick<RecordMove, "meta" | "graceUntil">;

/** Why a validly signed id leads to no session. */
export type Ended = "unknown" | "expired" | "reuse";

/** A session that was found. */
export interface Found {
  /** Its present id. */
  id: string;
  record: Readonly<SessionRecord> & Partial<Pick<StoredRecord, "version">>;
  /** Whether it was asked for by an older id, which leads to it for a short time. */
  graced: boolean;
}

/** A session's id, as far as it is known: a step that finds it moved puts the new one here. */
export interface Named {
  id: string;
  /** Whether the client has an older one. */
  graced: boolean;
}

/** How many times a session may have been given a new id within the grace of the first. */
const MAX_MOVES = 16;

/** How often an update is tried. Each time that one fails, another has come before it. */
const MAX_TRIES = 1000;

/** How many ended sessions are remembered. Only answers that were already under way when they ended have to be met. */
const MAX_ENDED = 10_000;

/** One `Records` a store: two middlewares on one store share the queues of its sessions. */
const known = new WeakMap<SessionStore, Records>();

/**
 * Returns the steps on a store.
 *
 * @param storeTimeout how long each call of the store may take, in seconds; where several are given for one store, the shortest counts
 * @throws {TypeError} if one of the eight methods is missing
 */
export function recordsOf(store: SessionStore, storeTimeout = Infinity): Records {
  const missing = STORE_METHODS.filter((name) => typeof store?.[name] !== "function");
  if (missing.length > 0) throw new TypeError(`Cannot start sessions: the store has no method ${missing.join(", ")}`);
  let records = known.get(store);
  if (records === undefined) known.set(store, records = new Records(store));
  records.answerWithin(storeTimeout);
  return records;
}

/** The steps of sessions. Every method rejects with a {@linkcode SessionError} and with noop else. */
export class Records {
  readonly #store: SessionStore;
  readonly #steps: Steps;
  #users: PrincipalStore | undefined;
  #timeout = Infinity;
  /** Steps of users that wait for one another, by the user. */
  readonly turnsOfUsers: KeyedMutex = new KeyedMutex(findTimeout);
  /** Where a context has its session, by the name of the cookie: a property, as a `WeakMap` takes several times as long. */
  readonly #places = new Map<string, symbol>();
  /** Ids of sessions that were ended here, with their deadlines. */
  readonly #ended = new ExpiringMap<{ expiresAt: number }>(MAX_ENDED);

  constructor(store: SessionStore) {
    this.#store = store;
    this.#steps = isRecordStore(store) ? new StoreSteps(store) : new BareSteps(store);
    this.#users = isPrincipalStore(store) ? store : undefined;
  }

  /** Limits how long each call of the store may take, in seconds. A longer limit than the present one changes noop. */
  answerWithin(seconds: number): void {
    if (seconds >= this.#timeout) return;
    this.#timeout = seconds;
    const store = withStoreTimeout(this.#store, seconds);
    this.#steps.use(store);
    this.#users &&= store as PrincipalStore;
  }

  /** Where a context has the session of a cookie: one place for all middlewares with that cookie on this store. */
  placeOf(cookieName: string): symbol {
    let place = this.#places.get(cookieName);
    if (place === undefined) this.#places.set(cookieName, place = Symbol("session"));
    return place;
  }

  /** Whether the store finds the sessions of a user. */
  get findsUsers(): boolean {
    return this.#users !== undefined;
  }

  /** Reads a session, or tells why there is none: at once where the store answers at once. */
  read(sid: string, moves = 0): MaybePromise<Found | Ended> {
    const answer = this.#steps.read(sid);
    return isPending(answer) ? this.#readLater(sid, answer, moves) : this.#follow(sid, answer, moves);
  }

  async #readLater(sid: string, answer: ReturnType<Steps["read"]>, moves: number): Promise<Found | Ended> {
    return this.#follow(sid, await withStoreErrors("get", () => answer), moves);
  }

  #follow(sid: string, read: Found["record"] | SessionTrace | undefined, moves: number): MaybePromise<Found | Ended> {
    // It may have been ended here while the store was asked.
    if (read === undefined || this.#ended.get(sid) !== undefined) return "unknown";
    if ("values" in read) return { id: sid, record: read, graced: moves > 0 };
    if ("expired" in read) return "expired";
    if (Date.now() >= read.graceUntil) return "reuse";
    return moves === MAX_MOVES ? "unknown" : this.read(read.movedTo, moves + 1);
  }

  /** Makes a session with its first values. */
  create(sid: string, record: SessionRecord): MaybePromise<void> {
    return chain(() => this.#steps.create(sid, record), noop, (cause) => {
      throw toSessionError("create", cause);
    });
  }

  /** Writes one value, or removes it where it is `undefined`. */
  set(session: Named, operation: string, key: string, value: unknown): MaybePromise<void> {
    return this.#reach(session, operation, (sid) => this.#steps.set(sid, key, value), key);
  }

  /** Reads one value, and writes what `compute` makes of it. */
  async update(session: Named, operation: string, key: string, compute: Compute, known?: Known): Promise<void> {
    // What the application's function throws is the application's.
    let thrown: { error: unknown } | undefined;
    const guarded: Compute = async (value) => {
      try {
        return await compute(value);
      } catch (error) {
        thrown = { error };
        throw error;
      }
    };
    try {
      await this.#reach(session, operation, (sid) => this.#steps.update(sid, key, guarded, known), key);
    } catch (error) {
      throw thrown === undefined ? error : thrown.error;
    }
  }

  /** Changes more than one value. */
  change(session: Named, operation: string, change: Omit<RecordChange, "ifVersion" | "set">): MaybePromise<void> {
    return this.#reach(session, operation, (sid) => this.#steps.change(sid, change));
  }

  /** Gives a session a new id, also where it has got another meanwhile. */
  move(session: Named, newSid: string, move: Move): MaybePromise<void> {
    return this.#reach(session, "regenerate", (sid) => this.#move(sid, newSid, move));
  }

  /** Gives a session a new id, unless it has got another meanwhile. */
  renew(sid: string, newSid: string, move: Move): Promise<void> {
    return withStoreErrors("regenerate", () => this.#move(sid, newSid, move));
  }

  /** A connection that broke may have broken after the move: then the old id leads to the new one. */
  async #move(sid: string, newSid: string, move: Move): Promise<void> {
    try {
      await this.#steps.move(sid, newSid, move);
    } catch (error) {
      if (error instanceof SessionGoneError || findTimeout(error) !== undefined) throw error;
      const read = await withStoreErrors("regenerate", () => this.#steps.read(sid)).catch(() => undefined);
      if (read === undefined || !("movedTo" in read) || read.movedTo !== newSid) throw error;
    }
  }

  /** Ends a session; returns the id that it had in the end. */
  async delete(sid: string, expiresAt: number): Promise<string> {
    this.#ended.set(sid, { expiresAt });
    await withStoreErrors("destroy", () => this.#steps.delete(sid));
    // Asked after that: it may have got a new id while it was being removed. It is this session that is to end, whatever its id.
    const read = await withStoreErrors("destroy", () => this.#steps.read(sid));
    return read !== undefined && "movedTo" in read ? await this.delete(read.movedTo, expiresAt) : sid;
  }

  /** Lists the sessions of a user. */
  list(principal: string): Promise<{ sid: string; meta: SessionMeta }[]> {
    return withStoreErrors("list", () => {
      if (this.#users === undefined) {
        throw new SessionNotSupportedError("list", "Cannot list: this store does not find the sessions of a user");
      }
      return this.#users.listSessions(principal);
    });
  }

  /** Takes a step; where the session has got a new id meanwhile, and the old one still leads there, with that one. */
  #reach(
    session: Named,
    operation: string,
    step: (sid: string) => MaybePromise<void>,
    key?: string,
    moves = 0,
  ): MaybePromise<void> {
    const { id } = session;
    if (this.#ended.get(id) !== undefined) throw new SessionGoneError(operation);
    return chain(() => step(id), noop, async (cause) => {
      const error = toSessionError(operation, cause, key);
      if (!(error instanceof SessionGoneError) || moves === MAX_MOVES) throw error;
      const read = await withStoreErrors(operation, () => this.#steps.read(id), key);
      const moved = read !== undefined && "movedTo" in read && Date.now() < read.graceUntil;
      if (!moved) throw error;
      session.id = read.movedTo;
      // The client has the older id, and is not to be given this one.
      session.graced = true;
      await this.#reach(session, operation, step, key, moves + 1);
    });
  }
}

/** On a store with the capability: one round trip a step. */
class StoreSteps implements Steps {
  #store: RecordStore;
  readonly #turns = new KeyedMutex(findTimeout);

  constructor(store: RecordStore) {
    this.#store = store;
  }

  use(store: SessionStore): void {
    this.#store = store as RecordStore;
  }

  read(sid: string): MaybePromise<RecordAnswer> {
    const answer = callAsync(() => this.#store.readRecord(sid));
    // A store in JavaScript may say null.
    return isPending(answer) ? answer.then((read) => read ?? undefined) : answer ?? undefined;
  }

  create(sid: string, record: SessionRecord): Promise<void> {
    return this.#store.createRecord(sid, record);
  }

  set(sid: string, key: string, value: unknown): Promise<void> {
    return this.#store.setValue(sid, key, value);
  }

  update(sid: string, key: string, compute: Compute, known?: Known): Promise<void> {
    // What this request knows is not worth trying where another is about to change it.
    let guess = this.#turns.has(sid) ? undefined : known;
    // Updates of this process wait for one another: only those of other processes can come between.
    return this.#turns.run(sid, async () => {
      for (let tries = 0; tries < MAX_TRIES; tries++) {
        const { version, value } = guess ?? await this.#read(sid, key);
        const next = await compute(value);
        // That there is noop to write holds only for what is in the store now.
        if (next !== undefined || value !== undefined) {
          if (await this.#store.changeRecord(sid, { ifVersion: version, set: new Map([[key, next]]) })) return;
        } else if (guess === undefined) return;
        guess = undefined;
      }
      throw new Error("The session store refused every change, as if each time somebody else had written before");
    });
  }

  async #read(sid: string, key: string): Promise<Known> {
    const read = await this.read(sid);
    if (read === undefined || !("values" in read)) throw new SessionGoneError("update");
    return { version: read.version, value: read.values.get(key) };
  }

  async change(sid: string, change: RecordChange): Promise<void> {
    await this.#store.changeRecord(sid, change);
  }

  async move(sid: string, newSid: string, move: Move): Promise<void> {
    await this.#store.moveRecord(sid, newSid, move);
  }

  delete(sid: string): Promise<void> {
    return this.#store.delete(sid);
  }
}
