/**
 * A session's record, packed to take little memory.
 *
 * @module
 */
import { OPTIONAL_META } from "../session_record.ts";
import type { SessionMeta, SessionRecord, StoredRecord } from "../session_store.ts";
import { cloneValue } from "../util/clone_value.ts";
import { withoutUndefined } from "../util/without_undefined.ts";

/** All metadata of a session, if its expiry and its lifetime do not suffice to compute them. */
interface ExtraMeta {
  readonly meta: Readonly<SessionMeta>;
  /** Set when the session moves to a new id. */
  readonly sharedExpiry: SharedExpiry | undefined;
}

/** The expiry of a session, shared by its record and the traces of its earlier ids. Mutable. */
export interface SharedExpiry {
  expiresAt: number;
}

/**
 * An immutable record. A write creates a new record and does not change those that were read
 * before. Therefore values are copied only when a property is read, not when the store returns the
 * record.
 *
 * A session with one small value takes 205 bytes, if there are a million of them. A comment such as
 * "(229 bytes)" gives the size of a session without the optimization that the comment explains. Do
 * not add a `#private` method, because V8 adds a hidden field to every object of a class that has
 * one (213 bytes).
 */
export class PackedRecord implements StoredRecord {
  // The expiry as two small integers. V8 would box a timestamp in milliseconds (229 bytes).
  readonly #seconds: number;
  readonly #milliseconds: number;
  readonly #version: number;
  /** From `createdAt` to `expiresAt`, in seconds. Unused if `#extra` is set. */
  readonly #lifetime: number;
  /**
   * Set only if `#lifetime` cannot replace it, mostly after the session was used again (341 bytes).
   */
  readonly #extra: ExtraMeta | undefined;
  /** Keys and values alternate. A `Map` would take more (381 bytes). */
  readonly #entries: readonly unknown[];

  private constructor(
    entries: readonly unknown[],
    expiresAt: number,
    version: number,
    lifetime: number,
    extra: ExtraMeta | undefined,
  ) {
    this.#seconds = Math.floor(expiresAt / 1000);
    this.#milliseconds = expiresAt === Infinity ? 0 : expiresAt - this.#seconds * 1000;
    this.#version = version;
    this.#lifetime = lifetime;
    this.#extra = extra;
    this.#entries = entries;
  }

  /**
   * Packs a record and copies its values.
   *
   * @throws {TypeError} if a session cannot store a value
   */
  static from({ values, expiresAt, meta }: SessionRecord): PackedRecord {
    // Allocated with its exact size, because push() reserves space for 16 more elements (341
    // bytes).
    const entries: unknown[] = new Array(values.size * 2);
    let length = 0;
    for (const [key, value] of values) {
      if (value === undefined) continue;
      entries[length++] = key;
      entries[length++] = cloneValue(key, value);
    }
    entries.length = length;
    const lifetime = (expiresAt - meta.createdAt) / 1000;
    // The equality is false if the expiry is infinite, or if the division was not exact.
    const isComputable = expiresAt - lifetime * 1000 === meta.createdAt && isUnused(meta);
    return isComputable
      ? new PackedRecord(entries, expiresAt, 0, lifetime, undefined)
      : new PackedRecord(entries, expiresAt, 0, 0, { meta: { ...meta }, sharedExpiry: undefined });
  }

  get expiresAt(): number {
    return this.#seconds * 1000 + this.#milliseconds;
  }

  get version(): number {
    return this.#version;
  }

  /** A copy of the values by key. */
  get values(): Map<string, unknown> {
    const values = new Map<string, unknown>();
    for (let i = 0; i < this.#entries.length; i += 2) {
      const key = this.#entries[i] as string;
      values.set(key, cloneValue(key, this.#entries[i + 1]));
    }
    return values;
  }

  /** A copy of the metadata. */
  get meta(): SessionMeta {
    if (this.#extra !== undefined) return { ...this.#extra.meta };
    const createdAt = this.expiresAt - this.#lifetime * 1000;
    return { createdAt, seenAt: createdAt, renewedAt: createdAt };
  }

  get principal(): string | undefined {
    return this.#extra?.meta.principal;
  }

  get deviceKey(): string | undefined {
    return this.#extra?.meta.deviceKey;
  }

  get sharedExpiry(): SharedExpiry | undefined {
    return this.#extra?.sharedExpiry;
  }

  /** Returns a copy of one value. */
  getValue(key: string): unknown {
    for (let i = 0; i < this.#entries.length; i += 2) {
      if (this.#entries[i] === key) return cloneValue(key, this.#entries[i + 1]);
    }
    return undefined;
  }

  /**
   * Returns the record with one value changed; `undefined` removes it. The caller must have copied
   * the value.
   */
  withValue(key: string, value: unknown): PackedRecord {
    const entries = setEntry(this.#entries, key, value);
    return new PackedRecord(entries, this.expiresAt, this.#version + 1, this.#lifetime, this.#extra);
  }

  /**
   * Returns the record with several values changed; `undefined` removes a value. The caller must
   * have copied the values.
   *
   * @param clear removes all earlier values first
   */
  withValues(values: ReadonlyMap<string, unknown>, clear = false): PackedRecord {
    const entries = setEntries(clear ? [] : this.#entries, values);
    return new PackedRecord(entries, this.expiresAt, this.#version + 1, this.#lifetime, this.#extra);
  }

  /** Returns the record with other metadata or another expiry. */
  withMeta({ meta, expiresAt = this.expiresAt, sharedExpiry = this.sharedExpiry }: {
    meta?: Partial<SessionMeta>;
    expiresAt?: number;
    sharedExpiry?: SharedExpiry;
  }): PackedRecord {
    const extra = { meta: withoutUndefined({ ...this.meta, ...meta }), sharedExpiry };
    return new PackedRecord(this.#entries, expiresAt, this.#version, 0, extra);
  }
}

/** Returns whether all times are the time of creation, and no optional member is set. */
function isUnused(meta: SessionMeta): boolean {
  return meta.seenAt === meta.createdAt && meta.renewedAt === meta.createdAt &&
    OPTIONAL_META.every((name) => meta[name] === undefined);
}

/** Sets one entry without the `Map` of `setEntries()`: `setValue()` takes 160 instead of 225 ns. */
function setEntry(entries: readonly unknown[], key: string, value: unknown): readonly unknown[] {
  let at = 0;
  while (at < entries.length && entries[at] !== key) at += 2;
  // concat() allocates the exact size: a session with two values takes 221 bytes, or 349 with a
  // spread.
  if (at === entries.length) return value === undefined ? entries : entries.concat([key, value]);
  return value === undefined ? entries.toSpliced(at, 2) : entries.with(at + 1, value);
}

/**
 * Sets many entries in one pass. Each call of `setEntry()` copies all entries: 16,000 calls took 19
 * seconds.
 */
function setEntries(entries: readonly unknown[], values: ReadonlyMap<string, unknown>): readonly unknown[] {
  const merged = new Map<unknown, unknown>();
  for (let i = 0; i < entries.length; i += 2) merged.set(entries[i], entries[i + 1]);
  for (const [key, value] of values) {
    if (value === undefined) merged.delete(key);
    else merged.set(key, value);
  }
  const next: unknown[] = new Array(merged.size * 2);
  let length = 0;
  for (const [key, value] of merged) {
    next[length++] = key;
    next[length++] = value;
  }
  return next;
}
