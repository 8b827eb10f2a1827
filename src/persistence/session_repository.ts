/**
 * Finds sessions in a store, by their current id or an older one, and changes them.
 *
 * @module
 */
import { type SessionEnd, SessionGoneError, type SessionStoreError, UnreadableRecordError } from "../errors.ts";
import type {
  ListedSession,
  PrincipalStore,
  SessionMeta,
  SessionRecord,
  SessionStore,
  SessionTrace,
} from "../session_store.ts";
import type { KeyedMutex } from "../util/keyed_mutex.ts";
import { chain, isPending, type MaybePromise, noop } from "../util/maybe_promise.ts";
import { Administration } from "./administration.ts";
import { bindDevice } from "./bind_device.ts";
import { followMoves } from "./follow_moves.ts";
import type { LookupHit, LookupMiss, SessionRef } from "./lookup.ts";
import { isUndelivered, withoutDelivery } from "./renewal_delivery.ts";
import { UpdaterError } from "./running_update.ts";
import type { CacheLimits, SessionCache } from "./session_cache.ts";
import type { SessionSignals } from "./session_signals.ts";
import { type SharedStore, sharedStoreOf } from "./shared_store.ts";
import type { CachedValue, RenewOptions, SessionChange, StoreAdapter, ValueUpdater } from "./store_adapter.ts";
import { encryptedError, toSessionError, unsupportedError, withStoreErrors } from "./store_errors.ts";
import { findTimeout } from "./store_timeout.ts";

type AdapterResult = ReturnType<StoreAdapter["read"]>;

/** The trace of an id that was replaced. */
type MoveTrace = Extract<SessionTrace, { movedTo: string }>;

/** How many moves a lookup follows. A session can move several times within the grace of its first id. */
const MAX_MOVES = 16;

/**
 * The sessions of a store. Every method fails with a {@linkcode SessionError}, except for
 * {@linkcode UpdaterError}.
 */
export class SessionRepository {
  /** What concerns all sessions of the store. */
  readonly administration: Administration;
  readonly #shared: SharedStore;
  readonly #ordersSignIns: boolean;
  #cache: SessionCache | undefined = undefined;

  /**
   * @param storeTimeout the timeout of each store call, in seconds; `undefined` for none. The
   * shortest timeout of all repositories on a store applies to all of them.
   * @param ordersSignIns whether the `boundAt` of a sign-in must be later than that of every
   * session that its user already has. Costs one listing for each sign-in.
   * @throws {TypeError} if one of the eight methods is missing
   */
  constructor(store: SessionStore, storeTimeout: number | undefined, ordersSignIns = false) {
    this.#shared = sharedStoreOf(store);
    this.administration = new Administration(this.#shared);
    this.#ordersSignIns = ordersSignIns;
    if (storeTimeout !== undefined) this.#shared.limit(storeTimeout);
  }

  /** @throws {SessionNotSupportedError} if the store cannot find the sessions of a user */
  requirePrincipals(operation: string, action: string): Pick<PrincipalStore, "listSessions"> {
    const { store, capabilities: { principals } } = this.#shared;
    if (principals === undefined) throw unsupportedError(operation, action, store, "listSessions");
    return principals;
  }

  /** Runs the operations on a user's sessions one after the other, within this process. */
  get userMutex(): KeyedMutex {
    return this.#shared.userMutex;
  }

  /** The sessions whose signals are in use. */
  get signals(): SessionSignals {
    return this.#shared.signals;
  }

  /**
   * Answers {@linkcode cached} from memory.
   *
   * @param report receives the error if the store does not report changes
   * @throws {SessionNotSupportedError} if the store does not report every change
   */
  enableCache(limits: CacheLimits, report: (error: SessionStoreError) => void): void {
    this.#cache = this.#shared.enableCache(limits);
    this.#shared.watch.report = report;
  }

  /** Returns a session that a recent {@linkcode readCached} has found, and that is unchanged. */
  cached(sid: string): LookupHit | undefined {
    const hit = this.#cache?.get(sid);
    // This process refuses a session that it has ended or moved, also if the store has failed.
    return hit !== undefined && this.isCurrent(sid) ? hit : undefined;
  }

  /** Looks up a session as {@linkcode read}, and keeps it for {@linkcode cached}. */
  readCached(sid: string): MaybePromise<LookupHit | LookupMiss> {
    return this.#cache === undefined ? this.read(sid) : this.#cache.fill(sid, () => this.read(sid));
  }

  /** Looks up a session. The result is synchronous if the store answers synchronously. */
  read(sid: string): MaybePromise<LookupHit | LookupMiss> {
    return this.#read(sid, 0);
  }

  #read(sid: string, moves: number): MaybePromise<LookupHit | LookupMiss> {
    const found = this.#shared.adapter.read(sid);
    return isPending(found) ? this.#readLater(sid, found, moves) : this.#resolveTrace(sid, found, moves);
  }

  // A method, because a closure would allocate 50 bytes at each read, even if nothing is pending.
  async #readLater(
    sid: string,
    found: AdapterResult,
    moves: number,
    isRetry = false,
  ): Promise<LookupHit | LookupMiss> {
    const { finished } = this.#shared.clears;
    const answer = await this.#call("get", () => found);
    // All sessions were ended in the meantime, and the answer may be from before.
    if (finished !== this.#shared.clears.finished) return await this.#read(sid, moves);
    // The session was live when the store read it. Another request may have extended it since.
    if (!isRetry && answer !== undefined && "values" in answer && Date.now() >= answer.expiresAt) {
      return await this.#readLater(sid, this.#shared.adapter.read(sid), moves, true);
    }
    return await this.#resolveTrace(sid, answer, moves);
  }

  #resolveTrace(sid: string, found: Awaited<AdapterResult>, moves: number): MaybePromise<LookupHit | LookupMiss> {
    // This process may have ended the session during the lookup.
    if (found === undefined || this.#shared.ended.get(sid) !== undefined) return "unknown";
    if ("values" in found) {
      const { meta } = found;
      if (meta.encrypted !== undefined) return Promise.reject(encryptedError("get", this.#shared.store));
      return { id: sid, record: found, meta, viaOldId: moves > 0 };
    }
    if ("expired" in found) return "expired";
    return this.#follow(sid, found, moves);
  }

  async #follow(sid: string, trace: MoveTrace, moves: number): Promise<LookupHit | LookupMiss> {
    const isGracePeriod = Date.now() < trace.graceUntil;
    if (!isGracePeriod && moves > 0) return "reuse";
    if (moves === MAX_MOVES) return "unknown";
    const found = await this.#read(trace.movedTo, moves + 1);
    if (moves === 0 && typeof found !== "string" && found.id === trace.movedTo && isUndelivered(sid, found)) {
      return { ...found, viaOldId: false };
    }
    return isGracePeriod ? found : "reuse";
  }

  /**
   * Returns the user of the session that an id was replaced by.
   *
   * @returns no user if that session has ended or can never be read; `undefined` if the id was not
   * replaced
   */
  findReplacement(sid: string): Promise<{ principal?: string } | undefined> {
    return this.#call("regenerate", async () => {
      let last: Awaited<AdapterResult>;
      try {
        for await (const [, found] of followMoves(() => this.#shared.adapter, sid)) {
          const wasMoved = found !== undefined && "movedTo" in found;
          if (last === undefined && !wasMoved) return undefined;
          last = found ?? last;
        }
      } catch (error) {
        if (last === undefined || !(error instanceof UnreadableRecordError)) throw error;
      }
      return last !== undefined && "values" in last ? { principal: last.meta.principal } : {};
    });
  }

  /**
   * Returns whether a session still has this id, as far as this process knows without asking the
   * store.
   */
  isCurrent(sid: string): boolean {
    return this.endOf(sid) === undefined && this.#shared.replaced.get(sid) === undefined;
  }

  /** Returns how this process has ended a session; `undefined` if it has not. */
  endOf(sid: string): SessionEnd | undefined {
    return this.#shared.ended.get(sid)?.end;
  }

  /**
   * Returns an id and all ids that its session got later. Follows every move, even if the grace
   * period of an id has passed.
   */
  idsSince(sid: string): Promise<ReadonlySet<string>> {
    return this.#call("get", async () => {
      const ids = new Set<string>();
      for await (const [id] of followMoves(() => this.#shared.adapter, sid)) ids.add(id);
      return ids;
    });
  }

  /** Creates a session with its first values. */
  create(sid: string, record: SessionRecord): MaybePromise<void> {
    if (this.#mustOrder(record.meta)) return this.#createInOrder(sid, record);
    return chain(() => this.#shared.adapter.create(sid, record), noop, (cause) => {
      throw toSessionError(this.#shared.store, "create", cause);
    });
  }

  async #createInOrder(sid: string, record: SessionRecord): Promise<void> {
    const meta = await this.#afterOthers(record.meta);
    await this.#call("create", () => this.#shared.adapter.create(sid, { ...record, meta }));
  }

  /** Writes one value; `undefined` removes it. */
  set(session: SessionRef, operation: string, key: string, value: unknown): MaybePromise<void> {
    return this.#withMoveRetry(session, operation, (sid) => this.#shared.adapter.set(sid, key, value), key);
  }

  /** Writes several values; `undefined` removes one. */
  setAll(session: SessionRef, operation: string, values: ReadonlyMap<string, unknown>): MaybePromise<void> {
    return this.#withMoveRetry(session, operation, (sid) => this.#shared.adapter.setAll(sid, values));
  }

  /**
   * Reads one value and writes what the updater returns.
   *
   * @throws {UpdaterError} if the updater has thrown
   */
  async update(
    session: SessionRef,
    operation: string,
    key: string,
    updater: ValueUpdater,
    cached?: CachedValue,
  ): Promise<void> {
    const guarded: ValueUpdater = async (value) => {
      try {
        return await updater(value);
      } catch (error) {
        throw new UpdaterError(error);
      }
    };
    await this.#withMoveRetry(
      session,
      operation,
      (sid) => this.#shared.adapter.update(sid, key, guarded, cached),
      key,
    );
  }

  /** Changes the metadata or the expiry, or removes all values. */
  change(session: SessionRef, operation: string, change: SessionChange): MaybePromise<void> {
    const { id } = session;
    return this.#withMoveRetry(session, operation, async (sid) => {
      await this.#shared.adapter.change(sid, sid === id ? change : withoutDelivery(change));
      if (change.clear) this.signals.end(sid, "cleared");
      else if (change.expiresAt !== undefined) this.signals.setExpiry(sid, change.expiresAt);
    });
  }

  /** Binds a session to a device, unless it is bound to another. Returns whether it is bound. */
  async bindDevice(session: SessionRef, deviceKey: string, deviceBoundAt: number): Promise<boolean> {
    let isBound = false;
    await this.#withMoveRetry(session, "bindDevice", async (sid) => {
      isBound = await bindDevice(this.#shared.adapter, sid, { deviceKey, deviceBoundAt });
    });
    return isBound;
  }

  /** Gives a session a new id, even if it got another one in the meantime. */
  async move(session: SessionRef, newSid: string, options: RenewOptions): Promise<void> {
    const meta = this.#mustOrder(options.meta) ? await this.#afterOthers(options.meta) : options.meta;
    await this.#withMoveRetry(session, "regenerate", (sid) => this.#move(sid, newSid, { ...options, meta }));
  }

  /** Gives a session a new id, unless it got another one in the meantime. */
  renew(sid: string, newSid: string, options: RenewOptions): Promise<void> {
    return this.#call("regenerate", () => this.#move(sid, newSid, options));
  }

  async #move(sid: string, newSid: string, options: RenewOptions): Promise<void> {
    try {
      await this.#shared.adapter.move(sid, newSid, options);
    } catch (error) {
      if (findTimeout(error) !== undefined) throw error;
      // If the connection broke after the store had moved the record, the old id leads to the new
      // one, and the move has succeeded. If the store's client then sent the move again, that
      // attempt found the session gone.
      const found = await this.#call("regenerate", () => this.#shared.adapter.read(sid)).catch(noop);
      if (found === undefined || !("movedTo" in found) || found.movedTo !== newSid) throw error;
    }
    this.#shared.replaced.set(sid, { expiresAt: Infinity });
    this.signals.move(sid, newSid, options.meta);
  }

  #mustOrder({ principal }: Partial<SessionMeta>): boolean {
    return this.#ordersSignIns && principal !== undefined;
  }

  /**
   * Returns the metadata of a sign-in, with a `boundAt` that is later than that of all sessions of
   * its user. Otherwise a clock that is behind would make the sign-in look older than sessions that
   * existed before it.
   */
  async #afterOthers<M extends Partial<SessionMeta>>(meta: M): Promise<M> {
    const { principal, boundAt } = meta;
    if (principal === undefined || boundAt === undefined) return meta;
    // A failure is not reported here. The limit lists the sessions again after the sign-in.
    const sessions = await this.list(principal).catch(() => []);
    const latest = sessions.reduce((latest, { meta }) => Math.max(latest, meta.boundAt ?? 0), 0);
    return boundAt > latest ? meta : { ...meta, boundAt: latest + 1, signedInAt: boundAt };
  }

  /**
   * Ends a session, even if it gets a new id in the meantime.
   *
   * @param end the reason of its signal
   * @returns the last id that it had
   */
  delete(sid: string, end: SessionEnd): Promise<string>;
  /**
   * Ends a session, even if it gets a new id in the meantime.
   *
   * @param end the reason of its signal
   * @param isKept returns whether a new id that the session has got must not be ended
   * @returns the last id that the session had; `undefined` if `isKept` returned true
   */
  delete(sid: string, end: SessionEnd, isKept: (sid: string) => MaybePromise<boolean>): Promise<string | undefined>;
  async delete(
    sid: string,
    end: SessionEnd,
    isKept?: (sid: string) => MaybePromise<boolean>,
  ): Promise<string | undefined> {
    const ids = new Set([sid]);
    let lastId = sid;
    try {
      // The loop also visits the ids that it adds. It follows every move and not only `MAX_MOVES`,
      // because a session may move many times during a long request. It ends at a circle.
      for (const id of ids) {
        lastId = id;
        // Not only until the expiry that the caller knows: another request may have extended it.
        this.#shared.ended.set(id, { expiresAt: Infinity, end });
        await this.#call("destroy", () => this.#shared.adapter.delete(id));
        const found = await this.#call("destroy", () => this.#shared.adapter.read(id));
        if (found === undefined || !("movedTo" in found)) break;
        this.signals.move(id, found.movedTo, {});
        if (isKept !== undefined && await isKept(found.movedTo)) return undefined;
        ids.add(found.movedTo);
      }
    } finally {
      // Also if the store failed, because this process refuses the session from now on.
      this.signals.end(lastId, end);
    }
    return lastId;
  }

  /** Lists the sessions of a user. */
  list(principal: string): Promise<ListedSession[]> {
    const find = "find the sessions of a user";
    return this.#call("list", () => this.requirePrincipals("list", find).listSessions(principal));
  }

  /** Calls the store, and converts any error to a {@linkcode SessionError}. */
  #call<T>(operation: string, call: () => T | PromiseLike<T>, key?: string): Promise<T> {
    return withStoreErrors(this.#shared.store, operation, call, key);
  }

  /**
   * Runs an operation. If the session got a new id and the grace period of the old one has not
   * passed, runs it again with the new id.
   */
  #withMoveRetry(
    session: SessionRef,
    operation: string,
    run: (sid: string) => MaybePromise<void>,
    key?: string,
    moves = 0,
  ): MaybePromise<void> {
    const { id } = session;
    if (this.#shared.ended.get(id) !== undefined) throw new SessionGoneError(operation);
    return chain(() => run(id), noop, async (cause) => {
      const error = toSessionError(this.#shared.store, operation, cause, key);
      if (!(error instanceof SessionGoneError) || moves === MAX_MOVES) throw error;
      const found = await this.#call(operation, () => this.#shared.adapter.read(id), key);
      if (found === undefined || !("movedTo" in found)) throw error;
      if (Date.now() >= found.graceUntil) {
        const next = await this.#call(operation, () => this.#shared.adapter.read(found.movedTo), key);
        if (next === undefined || !("values" in next) || !isUndelivered(id, next)) throw error;
      }
      session.id = found.movedTo;
      session.viaOldId = true;
      await this.#withMoveRetry(session, operation, run, key, moves + 1);
    });
  }
}
