/**
 * A session's record, packed to take little memory.
 *
 * @module
 */
import type { SessionMeta, SessionRecord, StoredRecord } from "../session_store.ts";
import { cloneValue } from "../util/clone_value.ts";

const OPTIONAL_META = ["sentAt", "principal", "boundAt", "csrfSeed"] as const;

/** The metadata of a session that cannot be computed from its expiry and its lifetime. */
interface ExtraMeta {
  readonly meta: Readonly<SessionMeta>;
  /** Set once the session has had another id. */
  readonly sharedExpiry: SharedExpiry | undefined;
}

/** The expiry of a session, shared by its record and the traces of its earlier ids. Mutable. */
export interface SharedExpiry {
  expiresAt: number;
}

/**
 * An immutable record. A write creates a new one, so a reader keeps what it has read, and values
 * are copied only when they are read.
 *
 * A million sessions with one small value take 205 bytes each. A comment "(229 bytes)" says how
 * many they take without the measure that it explains. Do not add a `#private` method: V8 marks
 * every object of a class that has one (213 bytes).
 */
export class PackedRecord implements StoredRecord {
  // Small integers instead of timestamps in milliseconds, which V8 boxes (229 bytes).
  readonly #seconds: number;
  readonly #milliseconds: number;
  readonly #version: number;
  /** From `createdAt` to `expiresAt`, in seconds. Not used if there is `#extra`. */
  readonly #lifetime: number;
  /** Only there once the session was used after its creation (341 bytes). */
  readonly #extra: ExtraMeta | undefined;
  /** Key, value, key, value, instead of a `Map` (381 bytes). */
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
   * Packs a record. Its values are copied.
   *
   * @throws {TypeError} if a session cannot store a value
   */
  static from({ values, expiresAt, meta }: SessionRecord): PackedRecord {
    // Allocated in its exact size, because push() reserves space for 16 more (341 bytes).
    const entries: unknown[] = new Array(values.size * 2);
    let length = 0;
    for (const [key, value] of values) {
      if (value === undefined) continue;
      entries[length++] = key;
      entries[length++] = cloneValue(key, value);
    }
    entries.length = length;
    const lifetime = (expiresAt - meta.createdAt) / 1000;
    // The comparison fails for an infinite expiry, and when the division has lost a fraction.
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

  /** A copy. */
  get values(): Map<string, unknown> {
    const values = new Map<string, unknown>();
    for (let i = 0; i < this.#entries.length; i += 2) {
      const key = this.#entries[i] as string;
      values.set(key, cloneValue(key, this.#entries[i + 1]));
    }
    return values;
  }

  /** A copy. */
  get meta(): SessionMeta {
    if (this.#extra !== undefined) return { ...this.#extra.meta };
    const createdAt = this.expiresAt - this.#lifetime * 1000;
    return { createdAt, seenAt: createdAt, renewedAt: createdAt };
  }

  get principal(): string | undefined {
    return this.#extra?.meta.principal;
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

  /** Returns the record with a value set, which must be a copy already; `undefined` removes it. */
  withValue(key: string, value: unknown): PackedRecord {
    const entries = setEntry(this.#entries, key, value);
    return new PackedRecord(entries, this.expiresAt, this.#version + 1, this.#lifetime, this.#extra);
  }

  /**
   * Returns the record with values set, which must be copies already; `undefined` removes one.
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
    const merged: SessionMeta = { ...this.meta, ...meta };
    for (const name of OPTIONAL_META) if (merged[name] === undefined) delete merged[name];
    return new PackedRecord(this.#entries, expiresAt, this.#version, 0, { meta: merged, sharedExpiry });
  }
}

/** Returns whether a session was created and then neither visited, renewed nor bound. */
function isUnused(meta: SessionMeta): boolean {
  return meta.seenAt === meta.createdAt && meta.renewedAt === meta.createdAt &&
    OPTIONAL_META.every((name) => meta[name] === undefined);
}

/** Sets one entry without the `Map` of `setEntries()`: `setValue()` takes 160 instead of 225 ns. */
function setEntry(entries: readonly unknown[], key: string, value: unknown): readonly unknown[] {
  let at = 0;
  while (at < entries.length && entries[at] !== key) at += 2;
  // concat() allocates the exact size: 221 bytes with two values, and 349 with a spread.
  if (at === entries.length) return value === undefined ? entries : entries.concat([key, value]);
  return value === undefined ? entries.toSpliced(at, 2) : entries.with(at + 1, value);
}

/** Sets many entries in one pass: 16,000 calls of `setEntry()` took 19 s, each with a copy. */
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
