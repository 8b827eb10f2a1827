/**
 * The operations of a session on a basic store, which has the eight methods of `SessionStore` and
 * no more.
 *
 * The expiry and the metadata of a session are kept in its record, under a reserved key. An
 * operation that needs several calls is atomic within this process only.
 *
 * @module
 */
import { SessionGoneError, UnreadableRecordError } from "../errors.ts";
import { isSessionMeta } from "../session_record.ts";
import {
  RESERVED_KEY,
  type SessionMeta,
  type SessionRecord,
  type SessionStore,
  type SessionTrace,
} from "../session_store.ts";
import { describeType, nameOf } from "../util/describe_value.ts";
import { areEqual } from "../util/equal_values.ts";
import { ExpiringMap } from "../util/expiring_map.ts";
import { noop } from "../util/maybe_promise.ts";
import type { KeyedMutex } from "../util/keyed_mutex.ts";
import { withoutUndefined } from "../util/without_undefined.ts";
import type { Clears } from "./clears.ts";
import type { RenewOptions, SessionChange, StoreAdapter, ValueUpdater } from "./store_adapter.ts";
import { withStoreErrors } from "./store_errors.ts";
import { findTimeout } from "./store_timeout.ts";
import { updateValue, type ValueAccess } from "./update_value.ts";

/** The value of {@linkcode RESERVED_KEY}. */
interface ReservedValue extends SessionMeta {
  expiresAt: number;
}

/**
 * Returns the key that a value is stored under. If a key of the application starts with the
 * reserved key, it gets a prefix.
 */
function toStoredKey(key: string): string {
  return key.startsWith(RESERVED_KEY) ? `${RESERVED_KEY}:${key}` : key;
}

/** Reverses {@linkcode toStoredKey}; `undefined` for the reserved key. */
function fromStoredKey(key: string): string | undefined {
  if (!key.startsWith(RESERVED_KEY)) return key;
  return key === RESERVED_KEY ? undefined : key.slice(RESERVED_KEY.length + 1);
}

const NO_VALUES: ReadonlyMap<string, unknown> = new Map();

/** The maximum number of replaced ids that are remembered. */
const MAX_TRACES = 100_000;

/** The new id of a session whose id was replaced. */
interface Trace {
  readonly movedTo: string;
  readonly graceUntil: number;
  readonly expiresAt: number;
}

/** State of the sessions of a basic store that the store does not keep. The process keeps it. */
export class BasicStoreState {
  /** Runs the operations on a session one after the other. */
  readonly mutex: KeyedMutex;
  /** Runs the updates of a value one after the other. */
  readonly updateMutex: KeyedMutex;
  /** The sessions whose id was replaced, by their old id. */
  readonly traces: ExpiringMap<Trace> = new ExpiringMap(MAX_TRACES);
  /**
   * The expiry of the sessions in `traces`, by their current id. All traces of a session share one
   * object, because the expiry can be extended.
   */
  readonly traceExpiry: ExpiringMap<{ expiresAt: number }> = new ExpiringMap(MAX_TRACES);

  /** The calls that end all sessions. */
  readonly clears: Clears;

  constructor(mutex: KeyedMutex, updateMutex: KeyedMutex, clears: Clears) {
    this.mutex = mutex;
    this.updateMutex = updateMutex;
    this.clears = clears;
  }
}

/** Implements the operations with the eight methods. */
export class BasicStoreAdapter implements StoreAdapter {
  readonly #store: SessionStore;
  readonly #state: BasicStoreState;

  constructor(store: SessionStore, state: BasicStoreState) {
    this.#store = store;
    this.#state = state;
  }

  async read(sid: string): Promise<SessionRecord | SessionTrace | undefined> {
    const stored = await this.#get("get", sid);
    const reserved = stored && reservedValue(this.#store, "get", stored);
    // A record without an expiry was not created completely, so no client has its cookie.
    if (stored === undefined || reserved === undefined) return this.#state.traces.get(sid);
    const { expiresAt, ...meta } = reserved;
    if (Date.now() >= expiresAt) return await this.#deleteExpired(sid) ? { expired: true } : await this.read(sid);
    const values = new Map<string, unknown>();
    for (const [storedKey, value] of Object.entries(stored)) {
      const key = fromStoredKey(storedKey);
      if (key !== undefined && value !== undefined) values.set(key, value);
    }
    return { values, expiresAt, meta };
  }

  create(sid: string, { values, expiresAt, meta }: SessionRecord): Promise<void> {
    return this.#exclusively(sid, async () => {
      await this.#store.create(sid);
      const stored = Array.from(values, ([key, value]): [string, unknown] => [toStoredKey(key), value]);
      await this.#fill("create", sid, stored, { ...meta, expiresAt }, noop);
    });
  }

  set(sid: string, key: string, value: unknown): Promise<void> {
    return this.#exclusively(sid, () => this.#setValue("set", sid, toStoredKey(key), value));
  }

  setAll(sid: string, values: ReadonlyMap<string, unknown>): Promise<void> {
    return this.#exclusively(sid, async () => {
      const stored = await this.#getLive("set", sid);
      const written: string[] = [];
      try {
        for (const [key, value] of values) {
          const storedKey = toStoredKey(key);
          written.push(storedKey);
          await withStoreErrors(this.#store, "set", () => this.#setValue("set", sid, storedKey, value), key);
        }
      } catch (error) {
        // A store that hangs would hang at each value.
        if (findTimeout(error) !== undefined) throw error;
        await this.#undo(sid, written, stored).catch(noop);
        throw error;
      }
    });
  }

  /** Writes former values again, up to the first failure. */
  async #undo(sid: string, written: readonly string[], stored: Record<string, unknown>): Promise<void> {
    for (const storedKey of written) {
      await this.#setValue("set", sid, storedKey, Object.hasOwn(stored, storedKey) ? stored[storedKey] : undefined);
    }
  }

  update(sid: string, key: string, updater: ValueUpdater): Promise<void> {
    const storedKey = toStoredKey(key);
    const read = async (): Promise<{ value: unknown }> => {
      const stored = await this.#getLive("update", sid);
      return { value: Object.hasOwn(stored, storedKey) ? stored[storedKey] : undefined };
    };
    const access: ValueAccess<{ value: unknown }> = {
      read: () => this.#exclusively(sid, read),
      write: ({ value }, next) =>
        this.#exclusively(sid, async () => {
          if (!areEqual((await read()).value, value)) return false;
          await this.#setValue("update", sid, storedKey, next);
          return true;
        }),
    };
    return updateValue(this.#state.updateMutex, sid, key, updater, access);
  }

  change(sid: string, { ifNoDevice, clear, meta, expiresAt }: SessionChange): Promise<boolean> {
    return this.#exclusively(sid, async () => {
      const stored = await this.#getLive("change", sid);
      const before = reservedValue(this.#store, "change", stored);
      if (ifNoDevice && before?.deviceKey !== undefined) return false;
      const traceExpiry = this.#extendTraces(sid, expiresAt);
      if (clear) {
        for (const storedKey of Object.keys(stored)) {
          if (storedKey !== RESERVED_KEY) await this.#setValue("clear", sid, storedKey, undefined);
        }
      }
      const reserved = { ...before, ...meta, ...expiryField(expiresAt) };
      // Every backend then stores the same value as a JSON backend.
      await this.#setValue("change", sid, RESERVED_KEY, withoutUndefined(reserved));
      if (traceExpiry !== undefined && expiresAt !== undefined) traceExpiry.expiresAt = expiresAt;
      return true;
    });
  }

  move(sid: string, newSid: string, { meta, expiresAt, set = NO_VALUES, graceUntil }: RenewOptions): Promise<void> {
    return this.#exclusively(sid, async () => {
      const { clears } = this.#state;
      const { finished } = clears;
      const stored = await this.#getLive("regenerate", sid);
      const reserved = {
        ...reservedValue(this.#store, "regenerate", stored),
        ...meta,
        ...expiryField(expiresAt),
      };
      const traceExpiry = this.#extendTraces(sid, expiresAt) ?? { expiresAt: 0 };
      const values = new Map(Object.entries(stored));
      values.delete(RESERVED_KEY);
      for (const [key, value] of set) values.set(toStoredKey(key), value);
      await this.#store.create(newSid);
      await this.#fill("regenerate", newSid, values, reserved, () => {
        // Otherwise a session that was read before all sessions were ended would come back.
        if (clears.overlap(finished)) throw new SessionGoneError("regenerate");
      });
      // The new record is complete, so lookups of the old id may now lead to it.
      traceExpiry.expiresAt = reserved.expiresAt ?? traceExpiry.expiresAt;
      this.#state.traceExpiry.set(newSid, traceExpiry);
      this.#state.traces.set(sid, {
        movedTo: newSid,
        graceUntil,
        // A getter, because a sliding expiry can be extended later.
        get expiresAt(): number {
          return Math.max(traceExpiry.expiresAt, graceUntil);
        },
      });
      try {
        await this.#store.delete(sid);
      } catch (error) {
        // If the connection broke after the store had removed the record, the move has succeeded.
        if (findTimeout(error) === undefined && await this.#isMissing(sid)) return;
        // Two live ids are worse than a failed renewal. The old one stays, because the client has
        // it.
        this.#state.traces.delete(sid);
        await this.#deleteQuietly(newSid);
        throw error;
      }
    });
  }

  delete(sid: string): Promise<void> {
    return this.#exclusively(sid, () => this.#store.delete(sid));
  }

  async clear(): Promise<void> {
    await this.#store.clear();
    this.#state.traces.clear();
    this.#state.traceExpiry.clear();
  }

  /** Runs an operation after the earlier operations on the same session. */
  #exclusively<T>(sid: string, operation: () => Promise<T>): Promise<T> {
    return this.#state.mutex.run(sid, operation);
  }

  async #get(operation: string, sid: string): Promise<Record<string, unknown> | undefined> {
    const stored: unknown = await this.#store.get(sid);
    if (stored === undefined || stored === null) return undefined;
    if (typeof stored === "object" && !Array.isArray(stored)) return stored as Record<string, unknown>;
    throw new UnreadableRecordError(
      operation,
      `Cannot ${operation}: get() of ${nameOf(this.#store)} returned ${describeType(stored)}; expected an object of ` +
        "values by key, or undefined; the session counts as ended",
    );
  }

  /** Returns a live record, or throws {@linkcode SessionGoneError}. */
  async #getLive(operation: string, sid: string): Promise<Record<string, unknown>> {
    const stored = await this.#get(operation, sid);
    const expiresAt = stored && reservedValue(this.#store, operation, stored)?.expiresAt;
    if (stored === undefined || expiresAt === undefined || Date.now() >= expiresAt) {
      throw new SessionGoneError(operation);
    }
    return stored;
  }

  /**
   * Returns the expiry of the traces of a live session, extended to the one that is about to be
   * written. It is extended before the write, because the former one may pass until the store has
   * answered, and traces that have expired are lost.
   */
  #extendTraces(sid: string, expiresAt = 0): { expiresAt: number } | undefined {
    const traceExpiry = this.#state.traceExpiry.get(sid);
    if (traceExpiry !== undefined) traceExpiry.expiresAt = Math.max(traceExpiry.expiresAt, expiresAt);
    return traceExpiry;
  }

  /** Writes one value of an existing record. */
  async #setValue(operation: string, sid: string, storedKey: string, value: unknown): Promise<void> {
    try {
      await this.#store.setValue(sid, storedKey, value);
    } catch (error) {
      // A basic store reports a missing record with an error of its own, so ask whether it is
      // missing.
      const isKnown = error instanceof SessionGoneError || findTimeout(error) !== undefined;
      if (!isKnown && await this.#isMissing(sid)) throw new SessionGoneError(operation, { cause: error });
      throw error;
    }
  }

  /**
   * Fills a record that was just created. Removes it if that fails.
   *
   * @param check throws if the record must not become a session
   */
  async #fill(
    operation: string,
    sid: string,
    values: Iterable<[string, unknown]>,
    reserved: object,
    check: () => void,
  ): Promise<void> {
    try {
      for (const [storedKey, value] of values) {
        await withStoreErrors(
          this.#store,
          "set",
          () => this.#setValue("set", sid, storedKey, value),
          fromStoredKey(storedKey),
        );
      }
      check();
      // Last, because a record is a session only once it has an expiry.
      await this.#setValue(operation, sid, RESERVED_KEY, withoutUndefined(reserved));
      check();
    } catch (error) {
      await this.#deleteQuietly(sid);
      throw error;
    }
  }

  /**
   * Removes an expired record. Nothing else ever would, because a basic store does not handle
   * expiry.
   *
   * @returns `false` if another request has extended or moved the session meanwhile
   */
  async #deleteExpired(sid: string): Promise<boolean> {
    try {
      return await this.#exclusively(sid, async () => {
        const stored = await this.#get("destroy", sid);
        const expiresAt = stored && reservedValue(this.#store, "destroy", stored)?.expiresAt;
        if (expiresAt === undefined) return this.#state.traces.get(sid) === undefined;
        if (Date.now() < expiresAt) return false;
        await this.#store.delete(sid);
        return true;
      });
    } catch {
      // The session has expired in any case. The next lookup tries to remove it again.
      return true;
    }
  }

  /**
   * Removes the record that a failed operation left. Errors are ignored, because the caller reports
   * the original failure.
   */
  async #deleteQuietly(sid: string): Promise<void> {
    try {
      await this.#store.delete(sid);
    } catch {
      // Harmless: the record has no expiry, or no client has its id.
    }
  }

  async #isMissing(sid: string): Promise<boolean> {
    try {
      return !(await this.#store.exist(sid));
    } catch {
      return false;
    }
  }
}

/**
 * Returns the expiry and the metadata of a record; `undefined` if it has none.
 *
 * @throws {UnreadableRecordError} if the value is something else, such as text that an
 * `EncryptedStore` wrote
 */
function reservedValue(store: SessionStore, operation: string, stored: object): ReservedValue | undefined {
  const value: unknown = Object.hasOwn(stored, RESERVED_KEY) ? Reflect.get(stored, RESERVED_KEY) : undefined;
  if (value === undefined) return undefined;
  if (isSessionMeta(value) && "expiresAt" in value && Number.isFinite(value.expiresAt)) return value as ReservedValue;
  throw new UnreadableRecordError(
    operation,
    `Cannot ${operation}: the value ${JSON.stringify(RESERVED_KEY)} in ${nameOf(store)} is not what the middleware ` +
      "wrote; the session counts as ended; if an EncryptedStore wrote it, pass the middleware an EncryptedStore " +
      "over this store",
  );
}

function expiryField(expiresAt: number | undefined): { expiresAt?: number } {
  return expiresAt === undefined ? {} : { expiresAt };
}
