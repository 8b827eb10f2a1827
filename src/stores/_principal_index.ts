/**
 * The sessions of each user in memory.
 *
 * @module
 */

/** A page of users sorts one bucket or a few: a thousand users each, if there are a million. */
const BUCKETS = 1024;

/**
 * The session ids of each user, in an order in which the users after any other one are found
 * without looking at those before it. The order is that of a hash of the user, then of the user.
 */
export class PrincipalIndex {
  readonly #buckets: (Map<string, Set<string>> | undefined)[] = Array.from({ length: BUCKETS }, () => undefined);

  /** Returns the session ids of a user. */
  get(principal: string): Iterable<string> {
    return this.#buckets[bucketOf(principal)]?.get(principal) ?? [];
  }

  /** Adds a session to a user; nothing if there is no user. */
  add(principal: string | undefined, sid: string): void {
    if (principal === undefined) return;
    const bucket = this.#buckets[bucketOf(principal)] ??= new Map();
    const sids = bucket.get(principal);
    if (sids === undefined) bucket.set(principal, new Set([sid]));
    else sids.add(sid);
  }

  /** Removes a session from a user. Removes a user without sessions. */
  delete(principal: string | undefined, sid: string): void {
    if (principal === undefined) return;
    const index = bucketOf(principal);
    const bucket = this.#buckets[index];
    const sids = bucket?.get(principal);
    sids?.delete(sid);
    if (sids?.size === 0) bucket?.delete(principal);
    if (bucket?.size === 0) this.#buckets[index] = undefined;
  }

  clear(): void {
    this.#buckets.fill(undefined);
  }

  /**
   * Iterates over the users after another one, or over all. Users may be added and removed in the
   * meantime.
   */
  *usersAfter(after: string | undefined): Generator<string> {
    const first = after === undefined ? 0 : bucketOf(after);
    for (let index = first; index < BUCKETS; index++) {
      const bucket = this.#buckets[index];
      if (bucket === undefined) continue;
      const users = Array.from(bucket.keys()).sort();
      for (const user of users) if (after === undefined || index > first || user > after) yield user;
    }
  }
}

/** Returns the number of a user's bucket (FNV-1a). */
function bucketOf(principal: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < principal.length; i++) hash = Math.imul(hash ^ principal.charCodeAt(i), 0x01000193);
  return (hash ^ (hash >>> 15)) & (BUCKETS - 1);
}
