/**
 * Keeps records in memory for as long as the store reports changes.
 *
 * @module
 */
import { ExpiringMap } from "../util/expiring_map.ts";
import { isPending, type MaybePromise } from "../util/maybe_promise.ts";
import type { LookupHit, LookupMiss } from "./lookup.ts";
import type { AdapterRecord } from "./store_adapter.ts";
import type { StoreWatch, WatchListener } from "./store_watch.ts";

/** The validated option `cache` of `SessionMiddleware`. */
export interface CacheLimits {
  /** How many sessions are kept at most. */
  readonly sessions: number;
  /** How long after its acknowledgement a change may still be missing in what is read, in seconds. */
  readonly staleSeconds: number;
}

/** A session that is kept. */
interface Entry {
  /** What the store calls the session when it reports a change. */
  readonly key: string;
  readonly hit: LookupHit;
  readonly expiresAt: number;
}

/** A lookup whose answer is kept, unless the session may have changed since it began. */
interface Fill {
  readonly key: string;
}

/** Stands for all sessions. */
const ALL = undefined;

/**
 * The records that lookups of requests have found.
 *
 * A record is returned only if the store was asked less than `staleSeconds` ago whether it has
 * reported every change, and has confirmed it since. It therefore contains every change of another
 * process that was acknowledged before that question, and every change that was acknowledged to a
 * session of this process. Only live records are kept. Once one has expired, the store is asked,
 * because activity may have extended it.
 */
export class SessionCache {
  readonly #watch: StoreWatch;
  readonly #listener: WatchListener = {
    onChanged: (key) => this.#onChanged(key),
    onOpened: () => this.#evict(ALL),
  };
  #limits: CacheLimits;
  #entries: ExpiringMap<Entry>;
  /** The ids by their keys, where the two differ. */
  readonly #ids = new Map<string, string>();
  /** The lookups that are running, by the key of their session. */
  readonly #fills = new Map<string, Fill>();
  /** How many writes of this process are running for each session. */
  readonly #writes = new Map<string | typeof ALL, number>();

  constructor(watch: StoreWatch, limits: CacheLimits) {
    this.#watch = watch;
    this.#limits = limits;
    this.#entries = this.#createEntries();
  }

  /** Applies the limits of a further middleware, where they are stricter. */
  limit({ sessions, staleSeconds }: CacheLimits): void {
    this.#limits = {
      sessions: Math.min(sessions, this.#limits.sessions),
      staleSeconds: Math.min(staleSeconds, this.#limits.staleSeconds),
    };
    this.#evict(ALL);
    this.#entries = this.#createEntries();
  }

  /** Returns a session that is known to have been like this within the last `staleSeconds`. */
  get(sid: string): LookupHit | undefined {
    const limit = this.#limits.staleSeconds * 1000;
    const age = this.#watch.confirmedAge;
    if (age >= limit / 2) {
      this.#watch.add(this.#listener);
      this.#watch.confirm(limit / 2);
      if (age >= limit) return undefined;
    }
    return this.#entries.get(sid)?.hit;
  }

  /** Looks a session up, and keeps it if it was found by its current id. */
  fill(sid: string, read: () => MaybePromise<LookupHit | LookupMiss>): MaybePromise<LookupHit | LookupMiss> {
    // Until the store confirms it again, changes may be missed.
    if (!this.#watch.isConfirmed || this.#writes.has(sid) || this.#writes.has(ALL)) return read();
    const key = this.#watch.keyOf(sid);
    const fill = this.#fills.get(key) ?? { key };
    this.#fills.set(key, fill);
    const found = read();
    return isPending(found) ? this.#keepLater(sid, fill, found) : this.#keep(sid, fill, found);
  }

  /**
   * Runs a write of this process. What it changes is forgotten before and after, and nothing is
   * kept in between.
   *
   * @param sids the sessions that it changes; `undefined` among them stands for all
   */
  async write<T>(sids: readonly (string | typeof ALL)[], write: () => MaybePromise<T>): Promise<T> {
    for (const sid of sids) {
      this.#writes.set(sid, (this.#writes.get(sid) ?? 0) + 1);
      this.#evict(sid);
    }
    try {
      return await write();
    } finally {
      for (const sid of sids) {
        const others = (this.#writes.get(sid) ?? 1) - 1;
        if (others === 0) this.#writes.delete(sid);
        else this.#writes.set(sid, others);
        this.#evict(sid);
      }
    }
  }

  async #keepLater(
    sid: string,
    fill: Fill,
    found: Promise<LookupHit | LookupMiss>,
  ): Promise<LookupHit | LookupMiss> {
    try {
      return this.#keep(sid, fill, await found);
    } catch (error) {
      this.#end(fill);
      throw error;
    }
  }

  #keep(sid: string, fill: Fill, found: LookupHit | LookupMiss): LookupHit | LookupMiss {
    const isUnchanged = this.#end(fill);
    if (!isUnchanged || typeof found === "string" || found.id !== sid || found.viaOldId) return found;
    const { key } = fill;
    const hit = { ...found, record: new KeptRecord(found) };
    // First the id, because the new entry may be the one that a full map evicts.
    if (key !== sid) this.#ids.set(key, sid);
    this.#entries.set(sid, { key, hit, expiresAt: hit.record.expiresAt });
    return found;
  }

  /** Returns whether nothing has happened to the session since the lookup began. */
  #end(fill: Fill): boolean {
    return this.#fills.get(fill.key) === fill && this.#fills.delete(fill.key);
  }

  #evict(sid: string | typeof ALL): void {
    if (sid === ALL) {
      this.#entries.clear();
      this.#ids.clear();
      this.#fills.clear();
    } else {
      this.#entries.delete(sid);
      // The key may have to be computed.
      if (this.#fills.size > 0) this.#fills.delete(this.#watch.keyOf(sid));
    }
  }

  #onChanged(key: string | typeof ALL): void {
    if (key === ALL) return this.#evict(ALL);
    this.#fills.delete(key);
    this.#entries.delete(this.#ids.get(key) ?? key);
  }

  #createEntries(): ExpiringMap<Entry> {
    return new ExpiringMap(this.#limits.sessions, ({ key }) => this.#ids.delete(key));
  }
}

/**
 * A record that several requests receive. Each gets a map of its own. The values in it are shared,
 * as `Session` copies them. It has no version, so `update()` asks the store for the value first.
 */
class KeptRecord implements AdapterRecord {
  readonly expiresAt: number;
  readonly meta: AdapterRecord["meta"];
  readonly #values: ReadonlyMap<string, unknown>;

  constructor({ record, meta }: LookupHit) {
    this.expiresAt = record.expiresAt;
    this.meta = meta;
    // A copy, because the request that has looked it up changes its own.
    this.#values = new Map(record.values);
  }

  get values(): Map<string, unknown> {
    return new Map(this.#values);
  }
}
