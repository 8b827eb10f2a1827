/**
 * A session's steps on a store that has the eight methods and no more.
 *
 * What the store has no word for lives in the record, under a reserved key. A step that needs several calls is atomic within this
 * process, by a queue per session.
 *
 * @module
 */
import { SessionGoneError, SessionStoreError } from "../errors.ts";
import type { RecordChange, SessionMeta, SessionRecord, SessionStore, SessionTrace } from "../session_store.ts";
import { withStoreErrors } from "./store_errors.ts";
import type { Compute, Move, Steps } from "./session_repository.ts";
import { ExpiringMap } from "../util/expiring_map.ts";
import { findTimeout } from "./store_timeout.ts";
import { KeyedMutex } from "../util/keyed_mutex.ts";

/** Where a bare store keeps what is not the application's: a key that every backend can hold. */
const RESERVED = "__session";

/** What is kept there. */
interface Reserved extends SessionMeta {
  expiresAt: number;
}

/** How many ids that were replaced are remembered. */
const MAX_TRACES = 100_000;

/** The application's keys that begin like the reserved one move behind it, so that none is ever equal to it. */
function toStored(key: string): string {
  return key.startsWith(RESERVED) ? `${RESERVED}:${key}` : key;
}

/** Undoes {@linkcode toStored}; `undefined` where the key is the reserved one. */
function fromStored(key: string): string | undefined {
  if (!key.startsWith(RESERVED)) return key;
  return key === RESERVED ? undefined : key.slice(RESERVED.length + 1);
}

/** The steps on a store with the eight methods alone. */
export class BareSteps implements Steps {
  #store: SessionStore;
  readonly #turns = new KeyedMutex(findTimeout);
  /** Where the ids went that were replaced here, in the order of that. */
  readonly #traces = new ExpiringMap<{ movedTo: string; graceUntil: number; readonly expiresAt: number }>(MAX_TRACES);
  /** The deadlines of sessions whose id was replaced here, by their present id: the traces of a session end with it. */
  readonly #deadlines = new ExpiringMap<{ expiresAt: number }>(MAX_TRACES);

  constructor(store: SessionStore) {
    this.#store = store;
  }

  use(store: SessionStore): void {
    this.#store = store;
  }

  async read(sid: string): Promise<SessionRecord | SessionTrace | undefined> {
    const stored = await this.#get("get", sid);
    const reserved = stored && reservedOf(stored);
    // Without a deadline it is a record whose making was cut off: nobody was given a cookie for it.
    if (stored === undefined || reserved === undefined) return this.#traces.get(sid);
    const { expiresAt, ...meta } = reserved;
    if (Date.now() >= expiresAt) {
      await this.#discardExpired(sid);
      return { expired: true };
    }
    const values = new Map<string, unknown>();
    for (const [name, value] of Object.entries(stored)) {
      const key = fromStored(name);
      if (key !== undefined && value !== undefined) values.set(key, value);
    }
    return { values, expiresAt, meta };
  }

  create(sid: string, { values, expiresAt, meta }: SessionRecord): Promise<void> {
    return this.#turns.run(sid, async () => {
      await this.#store.create(sid);
      const stored = Array.from(values, ([key, value]): [string, unknown] => [toStored(key), value]);
      await this.#fill(sid, stored, { ...meta, expiresAt });
    });
  }

  set(sid: string, key: string, value: unknown): Promise<void> {
    return this.#turns.run(sid, () => this.#write("set", sid, toStored(key), value));
  }

  update(sid: string, key: string, compute: Compute): Promise<void> {
    return this.#turns.run(sid, async () => {
      const stored = await this.#live("update", sid);
      const name = toStored(key);
      const value: unknown = Object.hasOwn(stored, name) ? (stored as Record<string, unknown>)[name] : undefined;
      const next = await compute(value);
      if (next !== undefined || value !== undefined) await this.#write("update", sid, name, next);
    });
  }

  change(sid: string, { clear, meta, expiresAt }: Omit<RecordChange, "ifVersion" | "set">): Promise<void> {
    return this.#turns.run(sid, async () => {
      const stored = await this.#live("change", sid);
      if (clear) {
        for (const name of Object.keys(stored)) {
          if (name !== RESERVED) await this.#write("clear", sid, name, undefined);
        }
      }
      const reserved = { ...reservedOf(stored), ...meta, ...(expiresAt === undefined ? {} : { expiresAt }) };
      await this.#write("change", sid, RESERVED, withoutUndefined(reserved));
      const deadline = this.#deadlines.get(sid);
      if (deadline !== undefined && expiresAt !== undefined) deadline.expiresAt = expiresAt;
    });
  }

  move(sid: string, newSid: string, { meta, graceUntil }: Move): Promise<void> {
    return this.#turns.run(sid, async () => {
      const stored = await this.#live("regenerate", sid);
      const reserved = reservedOf(stored);
      await this.#store.create(newSid);
      const values = Object.entries(stored).filter(([name]) => name !== RESERVED);
      await this.#fill(newSid, values, { ...reserved, ...meta });
      // From here on the old id leads to the new one, which is complete.
      const deadline = this.#deadlines.get(sid) ?? { expiresAt: reserved?.expiresAt ?? 0 };
      this.#deadlines.set(newSid, deadline);
      this.#traces.set(sid, {
        movedTo: newSid,
        graceUntil,
        // Read when it is asked: with a sliding limit the deadline moves on.
        get expiresAt(): number {
          return Math.max(deadline.expiresAt, graceUntil);
        },
      });
      try {
        await this.#store.delete(sid);
      } catch (error) {
        // Both ids would be alive: better the old one alone, which the client has.
        this.#traces.delete(sid);
        await this.#discard(newSid);
        throw error;
      }
    });
  }

  delete(sid: string): Promise<void> {
    return this.#turns.run(sid, () => this.#store.delete(sid));
  }

  async #get(operation: string, sid: string): Promise<object | undefined> {
    const stored: unknown = await this.#store.get(sid);
    if (stored === undefined || stored === null) return undefined;
    if (typeof stored === "object") return stored;
    throw new SessionStoreError(operation, `Cannot ${operation}: the session store did not answer with an object`);
  }

  /** What is in a record that can be written to. */
  async #live(operation: string, sid: string): Promise<object> {
    const stored = await this.#get(operation, sid);
    const expiresAt = stored && reservedOf(stored)?.expiresAt;
    if (stored === undefined || expiresAt === undefined || Date.now() >= expiresAt) {
      throw new SessionGoneError(operation);
    }
    return stored;
  }

  /** Writes into a record that should be there. */
  async #write(operation: string, sid: string, name: string, value: unknown): Promise<void> {
    try {
      await this.#store.setValue(sid, name, value);
    } catch (error) {
      // A store says in its own words that the record is missing: whether it is, it can be asked.
      const isKnown = error instanceof SessionGoneError || findTimeout(error) !== undefined;
      if (!isKnown && await this.#isMissing(sid)) {
        throw new SessionGoneError(operation, { cause: error });
      }
      throw error;
    }
  }

  /** Fills a record that was just created, or removes it. */
  async #fill(sid: string, values: [string, unknown][], reserved: object): Promise<void> {
    try {
      for (const [name, value] of values) {
        await withStoreErrors("set", () => this.#store.setValue(sid, name, value), fromStored(name));
      }
      // Last: until the deadline is there, the record is nobody's session.
      await this.#store.setValue(sid, RESERVED, withoutUndefined(reserved));
    } catch (error) {
      await this.#discard(sid);
      throw error;
    }
  }

  /** Removes an expired record, which nothing else would ever do. That the session has ended is known, whatever comes of this. */
  async #discardExpired(sid: string): Promise<void> {
    await this.#turns.run(sid, async () => {
      try {
        // A step that was under way may have moved the deadline on.
        const stored = await this.#get("destroy", sid);
        const expiresAt = stored && reservedOf(stored)?.expiresAt;
        if (expiresAt !== undefined && Date.now() >= expiresAt) await this.#store.delete(sid);
      } catch {
        // The next one who asks for it tries again.
      }
    });
  }

  /** Removes what a failed step left, as far as the store still can; the failure itself is what the caller hears of. */
  async #discard(sid: string): Promise<void> {
    try {
      await this.#store.delete(sid);
    } catch {
      // Without a deadline, past it, or under an id that nobody has, the record cannot be used.
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

function reservedOf(stored: object): Reserved | undefined {
  const kept: unknown = Object.hasOwn(stored, RESERVED) ? (stored as Record<string, unknown>)[RESERVED] : undefined;
  if (typeof kept !== "object" || kept === null || !("expiresAt" in kept)) return undefined;
  return typeof kept.expiresAt === "number" && Number.isFinite(kept.expiresAt) ? kept as Reserved : undefined;
}

/** A backend of JSON would leave them out; another should not have to keep them. */
function withoutUndefined(object: object): object {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}
