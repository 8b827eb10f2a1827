/**
 * One round of the interleaving tests: two machines, their sessions, and what is left in the end.
 *
 * @module
 */
import {
  type PrincipalStore,
  SessionGoneError,
  type SessionMiddleware,
  type SessionOptions,
  type SessionRecord,
  type SessionStore,
  SessionStoreError,
} from "../../mod.ts";
import { newSessionId } from "../../src/cookie/session_id.ts";
import { Signer } from "../../src/cookie/signer.ts";
import { isPrincipalStore } from "../../src/session_store.ts";
import { Interleaving, Random } from "./interleaving.ts";
import { open, type Opened, SECRET, start } from "./request.ts";

const signer = new Signer("sid", [new TextEncoder().encode(SECRET)]);
const HOUR = 3_600_000;

/** Where the sessions of a round are stored. */
export interface Backend {
  /**
   * Returns a store of one machine. Each machine has a connection of its own where the backend has
   * connections.
   *
   * @param machine 0, 1 or 2
   * @param delays delays the commands to the backend; `undefined` for no delays
   */
  connect(machine: number, delays: Interleaving | undefined): SessionStore;
  /** Whether the backend executes commands concurrently. */
  readonly overlaps?: boolean;
  /** Whether only one process may use it. Both machines are then one. */
  readonly isLocal?: boolean;
  /** Changes the middleware of each machine. */
  readonly change?: (machine: Machine, options: Partial<SessionOptions>) => void;
}

/** One of the machines. */
export interface Machine {
  readonly middleware: SessionMiddleware;
  readonly store: SessionStore;
}

/** A session, under all ids that it ever had. */
export class Track {
  /** Every id under which a machine tried to store it. */
  readonly ids: string[];
  /** When it was bound to its user; `undefined` if it was created without a user. */
  readonly boundAt: number | undefined;
  /** The moves that succeeded. */
  readonly moves = new Map<string, string>();

  constructor(id: string, boundAt?: number) {
    this.ids = [id];
    this.boundAt = boundAt;
  }

  /** The first id. */
  get first(): string {
    return this.ids[0] ?? "";
  }

  /** The current id, as far as the machines know. */
  get newest(): string {
    let id = this.first;
    // One step for each move, so that a defective store cannot make this endless.
    for (let i = 0; i < this.moves.size; i++) id = this.moves.get(id) ?? id;
    return id;
  }
}

/** What one machine finds in the end. */
interface Finding {
  /** The live sessions, by each id that leads to them. */
  readonly live: ReadonlyMap<string, { id: string; principal: string | undefined }>;
  /** The ids that the store lists for the user. */
  readonly listed: readonly string[];
}

/** A rule that does not hold. */
export class Violation extends Error {}

/** One round. */
export class Round {
  readonly random: Random;
  readonly delays: Interleaving;
  readonly machines: readonly [Machine, Machine];
  /** The user of this round. */
  readonly principal = `user ${crypto.randomUUID()}`;
  readonly #backend: Backend;
  readonly #direct: SessionStore;
  readonly options: Partial<SessionOptions>;
  readonly #tracks: Track[] = [];
  readonly #tasks: Promise<void>[] = [];

  constructor(backend: Backend, seed: number, optionsOf: (random: Random) => Partial<SessionOptions>) {
    this.random = new Random(seed);
    this.delays = new Interleaving(this.random, backend.overlaps);
    this.#backend = backend;
    const options = this.options = optionsOf(this.random);
    this.#direct = this.#recording(backend.connect(0, undefined));
    const machine = (i: number): Machine => {
      const store = this.#recording(backend.connect(i, this.delays));
      const middleware = start({ idleTimeout: 3600, ...options }, store);
      backend.change?.({ middleware, store }, options);
      return { middleware, store };
    };
    const first = machine(0);
    this.machines = [first, backend.isLocal ? first : machine(1)];
  }

  /** Begins the round. */
  async start(): Promise<void> {
    for (const { store } of this.machines) await store.init();
    this.delays.start();
  }

  /** Whether the store has only the eight methods. */
  get isBasic(): boolean {
    return !isPrincipalStore(this.#direct);
  }

  get tracks(): readonly Track[] {
    return this.#tracks;
  }

  /** One of the machines, at random. */
  get machine(): Machine {
    return this.random.pick(this.machines);
  }

  /** Creates a session without delays. */
  async create({ renewalIsDue = false, isAnonymous = false, age = 1, expiresAt }: {
    renewalIsDue?: boolean;
    isAnonymous?: boolean;
    /** How long ago the user has signed in, in milliseconds. */
    age?: number;
    expiresAt?: number;
  } = {}): Promise<Track> {
    const id = newSessionId();
    const now = Date.now();
    const meta = {
      createdAt: now - 2 * HOUR,
      seenAt: now,
      renewedAt: renewalIsDue ? now - 2 * HOUR : now,
      ...(isAnonymous ? {} : { principal: this.principal, boundAt: now - age }),
    };
    const record: SessionRecord = { values: new Map([["user", "ada"]]), expiresAt: expiresAt ?? now + HOUR, meta };
    await (this.#direct as PrincipalStore).createRecord(id, record);
    return this.trackOf(id);
  }

  /** Creates a session on a store that may have only the eight methods. */
  async createBasic(): Promise<Track> {
    const { session, finish } = await open(this.machine.middleware);
    await session.set("user", "ada");
    await finish();
    return this.trackOf(session.sessionId);
  }

  /** Removes the sessions of earlier rounds, without delays. */
  clear(): Promise<void> {
    return this.#direct.clear();
  }

  trackOf(id: string): Track {
    const track = this.#tracks.find(({ ids }) => ids.includes(id));
    if (track === undefined) throw new Error("A session was created that the round does not know");
    return track;
  }

  /** Begins an operation after a random time. */
  begin(operation: () => Promise<void>): void {
    this.#tasks.push(this.delays.delayStart().then(operation));
  }

  /** Begins a request after a random time, and runs the action if the session is live. */
  request(track: Track, action: (request: Opened) => Promise<void>): void {
    this.begin(() =>
      unlessGone(async () => {
        const id = this.random.pick([track.newest, track.first]);
        const request = await open(this.machine.middleware, cookieOf(id));
        if (request.session.isNew) return;
        await action(request);
        await request.finish();
      })
    );
  }

  /** Waits until all operations have ended. */
  async settle(): Promise<void> {
    for (const outcome of await Promise.allSettled(this.#tasks)) {
      const mayFail = this.delays.failureRate > 0;
      if (outcome.status === "rejected" && !(mayFail && outcome.reason instanceof SessionStoreError)) {
        throw outcome.reason;
      }
    }
  }

  /**
   * Tries every id ever made on both machines and on a third one, which has just started. Checks
   * what always holds: all machines agree, a session is live under one id, and the live sessions of
   * the user are listed once each.
   */
  async judge(): Promise<Finding> {
    this.delays.stop();
    const stores = this.machines.map(({ store }) => store);
    // The one process that may use a local backend remembers what a new process does not know.
    if (!this.#backend.isLocal) stores.push(this.#backend.connect(2, undefined));
    const [finding, ...others] = await Promise.all(stores.map((store) => this.#find(store)));
    if (finding === undefined) throw new Error("Nobody looked");
    const { live, listed } = finding;
    for (const other of others) {
      this.expect(
        sorted(other.live.keys()) === sorted(live.keys()) && sorted(other.listed) === sorted(listed),
        "two machines disagree about the live sessions",
      );
    }
    for (const track of this.#tracks) {
      this.expect(this.liveIds(track, finding).length <= 1, "a session is live under two ids");
    }
    const ofUser = [...live.values()].filter(({ principal }) => principal === this.principal).map(({ id }) => id);
    this.expect(new Set(listed).size === listed.length, "a session is listed twice");
    if (!this.isBasic) {
      this.expect(sorted(listed) === sorted(new Set(ofUser)), "the listed sessions are not the live ones");
    }
    return finding;
  }

  /** Returns whether a machine that delays nothing refuses the session's first id. */
  async refuses(track: Track): Promise<boolean> {
    const { session } = await open(start({}, this.#backend.connect(2, undefined)), cookieOf(track.first));
    return session.isNew;
  }

  /** Returns the current ids under which a session is live. */
  liveIds(track: Track, { live }: Finding): string[] {
    return [...new Set(track.ids.flatMap((id) => live.get(id)?.id ?? []))];
  }

  /** Fails unless a rule holds. */
  expect(holds: boolean, violation: string): void {
    if (!holds) throw new Violation(violation);
  }

  async #find(store: SessionStore): Promise<Finding> {
    const middleware = start({ idleTimeout: 3600 }, store);
    const live = new Map<string, { id: string; principal: string | undefined }>();
    await Promise.all(
      this.#tracks.flatMap(({ ids }) => ids).map(async (id) => {
        const { session } = await open(middleware, cookieOf(id));
        if (!session.isNew) live.set(id, { id: session.sessionId, principal: session.principal });
      }),
    );
    const listed = isPrincipalStore(store) ? await store.listSessions(this.principal) : [];
    return { live, listed: listed.map(({ sid }) => sid) };
  }

  /** Records every id under which a store is asked to keep a session. */
  #recording(store: SessionStore): SessionStore {
    return new Proxy(store, {
      get: (target, name): unknown => {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== "function") return member;
        return (...args: unknown[]): unknown => {
          const result = (): unknown => member.apply(target, args);
          if (name === "create") this.#tracks.push(new Track(String(args[0])));
          if (name === "createRecord") this.#noteCreate(...args as Parameters<PrincipalStore["createRecord"]>);
          if (name !== "moveRecord") return result();
          const noteSuccess = this.#noteMove(String(args[0]), String(args[1]));
          return (result() as Promise<boolean>).then(noteSuccess);
        };
      },
    });
  }

  #noteCreate(id: string, { meta }: SessionRecord): void {
    this.#tracks.push(new Track(id, meta.boundAt));
  }

  #noteMove(id: string, newId: string): (moved: boolean) => boolean {
    const track = this.trackOf(id);
    track.ids.push(newId);
    return (moved) => {
      if (moved) track.moves.set(id, newId);
      return moved;
    };
  }
}

/** Returns the Cookie header for a session id. */
export function cookieOf(id: string): string {
  return `sid=${signer.sign(id)}`;
}

/** Runs an operation that may find its session ended. */
export async function unlessGone(operation: () => Promise<void>): Promise<void> {
  try {
    await operation();
  } catch (error) {
    if (!(error instanceof SessionGoneError)) throw error;
  }
}

function sorted(ids: Iterable<string>): string {
  return [...ids].sort().join();
}
