/**
 * Compares random requests of a few clients with the model in `tests/helpers/model.ts`. The
 * requests are interleaved at random at every store call.
 *
 * `FC_SEED=… deno test -A tests/session/model_test.ts` replays a run, and `FC_RUNS=…` sets the
 * number of runs.
 */
import fc from "npm:fast-check@4.10.2";
import { assertEquals } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { FakeTimers } from "../helpers/timers.ts";
import { contextOf, merged, SECRET, setCookies, signUp, start, visit } from "../helpers/request.ts";
import { STORES } from "../helpers/stores.ts";
import {
  MemoryStore,
  type RegenerateOptions,
  type Session,
  type SessionCreated,
  type SessionEvent,
  SessionGoneError,
  type SessionMiddleware,
  type SessionOptions,
  type SessionStore,
  SessionStoreError,
} from "../../mod.ts";
import { ResponseCookie } from "../../src/cookie/response_cookie.ts";
import { LoadedSession } from "../../src/core/loaded_session.ts";
import { SessionRepository } from "../../src/persistence/session_repository.ts";
import { KeyedMutex } from "../../src/util/keyed_mutex.ts";
import { readSecrets } from "../../src/secrets.ts";
import { Signer } from "../../src/cookie/signer.ts";
import {
  describe,
  type Id,
  isAlive,
  isDead,
  isReached,
  isUndelivered,
  LABEL,
  type Lifetime,
  ModelSession,
  type Move,
  PRINCIPAL,
} from "../helpers/model.ts";
import { isBefore, type Operation, type Value } from "../helpers/model_linearizable.ts";

const SEED = Number(Deno.env.get("FC_SEED") ?? crypto.getRandomValues(new Int32Array(1))[0]);
const RUNS = Number(Deno.env.get("FC_RUNS") ?? 1000);

const signer = new Signer("sid", readSecrets(SECRET).keys);
const KEYS = ["a", "b"];
const GRACE = 5;
const RENEWAL_GRACE = 30;

/** One operation of a request. */
interface Act {
  kind: keyof typeof KINDS;
  key: string;
  /** Whether the request awaits it. */
  awaited: boolean;
  /** How far the clock moves if the operation is `tick`. */
  seconds: number;
  /** The lifetime that `setMaxAge()` sets; `regenerate()` sets none if it is `undefined`. */
  maxAge: number | null | undefined;
  /** Whether `setLabel()` and `regenerate()` set a label. `setLabel()` removes it otherwise. */
  hasLabel: boolean;
  /** What is written to the other key together with `key`; `regenerate()` writes neither if it is `undefined`. */
  other: "value" | "nothing" | undefined;
}

/** One request: its client, its cookie and its operations. */
interface Request {
  client: number;
  /**
   * Which cookie of the client it sends: 0 for the current one, n for the one that the client had n
   * cookies ago.
   */
  age: number;
  acts: Act[];
  /** Whether the client never receives the response. */
  lost: boolean;
}

/** The weight of each operation. */
const KINDS = {
  get: 3,
  has: 1,
  reload: 1,
  set: 4,
  setSeveral: 2,
  delete: 1,
  update: 3,
  hang: 1,
  take: 2,
  clear: 1,
  touch: 1,
  setMaxAge: 2,
  setLabel: 1,
  regenerate: 1,
  regenerateWithGrace: 2,
  signIn: 1,
  signInAgain: 1,
  destroy: 2,
  tick: 2,
};

const arbitraryKind = fc.oneof(
  ...Object.entries(KINDS).map(([kind, weight]) => ({ weight, arbitrary: fc.constant(kind as Act["kind"]) })),
);

const actsOf = (kind: fc.Arbitrary<Act["kind"]>, maxLength: number): fc.Arbitrary<Act[]> =>
  fc.array(
    fc.record({
      kind,
      key: fc.constantFrom(...KEYS),
      awaited: fc.boolean(),
      seconds: fc.constantFrom(1, 4, 5, 20, 40, 60),
      maxAge: fc.constantFrom(undefined, undefined, undefined, 10, 40, 600, null),
      hasLabel: fc.constantFrom(false, false, true),
      other: fc.constantFrom(undefined, undefined, "value", "nothing"),
    }),
    { maxLength },
  );

const arbitraryRequest: fc.Arbitrary<Request> = fc.record({
  client: fc.constantFrom(0, 0, 0, 0, 1, 2),
  age: fc.constantFrom(0, 0, 0, 1, 2),
  acts: actsOf(arbitraryKind, 5),
  lost: fc.constantFrom(false, false, false, true),
});

/** The requests of one wave overlap. They begin after the wave before has ended. */
const arbitraryWaves: fc.Arbitrary<Request[][]> = fc.oneof(
  fc.array(fc.array(arbitraryRequest, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 3 }),
  // A few requests of one session with only two kinds of operations: this finds what a wider mix
  // would hide.
  fc.uniqueArray(arbitraryKind, { minLength: 2, maxLength: 2 }).chain((kinds) => {
    const acts = actsOf(fc.constantFrom(...kinds), 3);
    const request = fc.record({
      client: fc.constant(0),
      age: fc.constant(0),
      acts,
      lost: fc.constant(false),
    });
    return fc.array(request, { minLength: 2, maxLength: 3 }).map((requests) => [requests]);
  }),
);

const arbitraryOptions: fc.Arbitrary<Partial<SessionOptions>> = fc.constantFrom(
  {},
  {},
  { maxAge: 60 },
  { maxAge: 60, rolling: true },
  { idleTimeout: 60, absoluteTimeout: 200 },
  { renewalTimeout: 30 },
  { renewalTimeout: 30, maxAge: 60, rolling: true },
);

/** The state of one run. */
class World {
  readonly clock: FakeClock;
  readonly options: Partial<SessionOptions>;
  readonly store: SessionStore;
  readonly #raw: SessionStore;
  readonly sessions: ModelSession[] = [];
  /** The ids by the hash that stands for them in events. */
  readonly ids = new Map<string, Id>();
  /** Every id under which a record was created. */
  readonly sids = new Set<string>();
  /**
   * The cookies that each client received, the last one first. `undefined` stands for a cookie that
   * was cleared.
   */
  readonly jars: (string | undefined)[][] = [[undefined], [undefined], [undefined]];
  /** The log for the report. */
  readonly log: string[] = [];
  /** The functions of updates that hang now, until {@linkcode World.release}. */
  readonly hanging = new Set<{ by: number; session: ModelSession | undefined; key: string }>();
  /** Every function that has hung. */
  readonly hung: { session: ModelSession | undefined; key: string }[] = [];
  readonly #released: (() => void)[] = [];
  /** The requests that have not ended. */
  readonly running = new Set<number>();
  /** Interleaves the requests. Without it they run one after the other. */
  scheduler: fc.Scheduler | undefined;
  readonly #middleware: SessionMiddleware;
  #alone: Visit | undefined;
  /** The first failed expectation, also of an event listener, whose errors nobody receives. */
  failure: Error | undefined;
  #ticks = 0;
  #requests = 0;
  #values = 0;

  constructor(clock: FakeClock, options: Partial<SessionOptions>, raw: SessionStore) {
    this.clock = clock;
    this.options = options;
    this.#raw = raw;
    // Both the call and its answer are delayed.
    this.store = new Proxy(raw, {
      get: (target, name): unknown => {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== "function") return member;
        return async (...args: unknown[]): Promise<unknown> => {
          if (name === "create" || name === "createRecord") this.sids.add(String(args[0]));
          if (name === "moveRecord") this.sids.add(String(args[1]));
          if (this.scheduler === undefined) return await member.apply(target, args);
          await this.wait(`${String(name)} is called`);
          // Errors of the store are delayed as well.
          const outcome = await Promise.allSettled([member.apply(target, args)]);
          await this.wait(`${String(name)} answers`);
          const [settled] = outcome;
          if (settled?.status === "rejected") throw settled.reason;
          return settled?.value;
        };
      },
    });
    this.#middleware = start({ ...options, onEvent: (event) => this.#alone?.onEvent(event) }, this.store);
  }

  get now(): number {
    return this.clock.now;
  }

  /** Waits for the scheduler. */
  async wait(what: string): Promise<void> {
    await this.scheduler?.schedule(Promise.resolve(), what);
  }

  /** Waits like the function of an update that never returns, until nobody else has anything to do. */
  async hang(by: number, session: ModelSession | undefined, key: string): Promise<void> {
    const hang = { by, session, key };
    this.hung.push(hang);
    this.hanging.add(hang);
    await new Promise<void>((resolve) => this.#released.push(resolve));
    this.hanging.delete(hang);
  }

  /** Lets the functions that hang return. Only their own requests may still wait for them. */
  release(): void {
    const waiting = Array.from(this.running).filter((by) => !Array.from(this.hanging).some((hang) => hang.by === by));
    this.expect(waiting.length === 0, `the requests ${waiting.join()} wait forever`);
    this.expect(this.#released.length > 0, "nothing goes on");
    for (const release of this.#released.splice(0)) release();
  }

  /** Returns whether a write of a session may have waited too long for a function that hung. */
  mayWait(session: ModelSession | undefined, write: Write): boolean {
    return this.hung.some((hang) =>
      (hang.session === session || hang.session === write.held?.session) && write.updates &&
      write.operations.some(([key]) => key === hang.key)
    );
  }

  /**
   * Returns a middleware of its own for each request that may overlap with others, to tell their
   * events apart.
   */
  middlewareOf(visit: Visit): SessionMiddleware {
    if (this.scheduler !== undefined) {
      return start({ ...this.options, onEvent: (event) => visit.onEvent(event) }, this.store);
    }
    this.#alone = visit;
    return this.#middleware;
  }

  /** Returns the next tick of the logical clock. */
  tick(): number {
    return ++this.#ticks;
  }

  newValue(): string {
    return `v${++this.#values}`;
  }

  idOf(hash: string, model: ModelSession): Id {
    let id = this.ids.get(hash);
    if (id === undefined) this.ids.set(hash, id = { session: model });
    this.expect(id.session === model, "an id belongs to two sessions");
    return id;
  }

  expect(truth: boolean, otherwise: string): asserts truth {
    if (truth) return;
    const failure = new Error(`${otherwise}\n${this.log.join("\n")}`);
    this.failure ??= failure;
    throw failure;
  }

  /** Runs a request from its arrival to its response. */
  async request({ client, age, acts, lost }: Request): Promise<void> {
    const jar = this.jars[client] ?? [];
    const number = ++this.#requests;
    this.running.add(number);
    await this.wait(`request ${number} arrives`);
    const response = await new Visit(this, number, jar[Math.min(age, jar.length - 1)]).run(acts);
    this.running.delete(number);
    if (response === undefined || lost) return;
    for (const { name, value } of setCookies(response.headers)) {
      if (name === "sid") jar.unshift(value === "" ? undefined : value);
    }
  }

  /** Sends a request with every id that ever existed, and counts the records. */
  async audit(): Promise<void> {
    this.log.push("audit");
    for (const sid of this.sids) {
      const logged = this.log.length;
      const response = await new Visit(this, ++this.#requests, signer.sign(sid)).run([]);
      this.expect(response !== undefined, "a request that does nothing failed");
      this.log.length = logged;
    }
    const live = new Map<ModelSession, number>();
    for (const sid of this.sids) {
      if (!await this.#raw.exist(sid)) continue;
      const id = this.ids.get(signer.handle(sid));
      this.expect(id !== undefined, "there is a record with an unknown id");
      this.expect(!id.session.destroyed, "a destroyed session has a record");
      live.set(id.session, (live.get(id.session) ?? 0) + 1);
    }
    for (const count of live.values()) this.expect(count === 1, `one session has ${count} records`);
  }

  /** Checks that every register is linearizable. */
  explain(): void {
    for (const model of this.sessions) {
      for (const [key, operations] of model.unexplained()) {
        this.expect(false, `${key} is not linearizable:\n${describe(operations)}`);
      }
    }
  }
}

/** A write under way. */
interface Write {
  what: string;
  /** Its operations on registers. */
  operations: [key: string, operation: Operation][];
  /** The id that the request had when it began the write. */
  held: Id | undefined;
  /** The time at which it began. */
  begunAt: number;
  /** When the session expires, as far as the request knows. */
  until: number;
  /** Whether it must not succeed. */
  tooLate: boolean;
  move?: Move;
  /** Whether it waits for other updates of its key. */
  updates: boolean;
  /** Notes the result. */
  learn?: (result: unknown) => void;
  destroys: boolean;
  signsIn: boolean;
  /** The session whose activity it writes. */
  touches?: ModelSession;
  /** The lifetime that it sets, if it sets one. */
  lifetime?: Lifetime;
  /** Whether its response must carry the cookie with that lifetime. */
  sendsLifetime: boolean;
  /**
   * For a sign-in of the user whom the session is bound to, as far as the request knows. The
   * session then keeps its label and its lifetime.
   */
  confirms?: { isCertain: boolean };
}

/** One request, which compares what it sees with the model. */
class Visit {
  readonly #world: World;
  readonly #number: number;
  readonly #presented: string | undefined;
  #model: ModelSession | undefined;
  #session: Session | undefined;
  /** The id that the request was given, and whether its cookie named an older one. */
  #found: Id | undefined;
  #graced = false;
  /** The last id that the request itself created, and whether that was an automatic renewal. */
  #own: string | undefined;
  #ownIsRenewal = false;
  #destroyed = false;
  /**
   * The expected result of `get()` for each key, unless the request has read the record again
   * since.
   */
  readonly #view = new Map<string, { since: number; value: () => Value }>();
  /** When the session expires, as far as the request knew while it was alive. */
  #until = 0;
  /** The last lifetime that the request has set together with the cookie. */
  #sentLifetime: Lifetime | undefined;
  /** The tick and the time at which it arrived. */
  #startedAt = 0;
  #arrivedAt = 0;
  #pending = 0;
  readonly #moves: Move[] = [];
  /** The automatic renewal, before anything else. */
  readonly #renewal: Move;
  readonly #forgotten: Write[] = [];
  /** The write that the request waits for. */
  #awaited: Write[] = [];

  constructor(world: World, number: number, presented: string | undefined) {
    this.#world = world;
    this.#number = number;
    this.#presented = presented;
    this.#renewal = { ...this.#move(RENEWAL_GRACE), isRenewal: true };
  }

  /**
   * Returns the response, or `undefined` if the request failed because of a write that it did not
   * await.
   */
  async run(acts: readonly Act[]): Promise<Response | undefined> {
    const world = this.#world;
    const middleware = world.middlewareOf(this);
    const context = contextOf({ cookie: this.#presented === undefined ? undefined : `sid=${this.#presented}` });
    const presented = this.#presented === undefined
      ? undefined
      : world.ids.get(signer.handle(this.#presented.split(".")[0] ?? ""));

    this.#log(
      "arrives" + (presented === undefined ? "" : ` with session ${world.sessions.indexOf(presented.session)}`),
    );
    const startedAt = this.#startedAt = world.tick();
    this.#arrivedAt = world.now;
    presented?.session.enter(world.now);
    const wasDead = presented === undefined || isDead(presented, world.now);
    const until = presented?.session.livesUntil ?? 0;
    const wasAlive = presented !== undefined && isAlive(presented, world.now, this.#number, until);
    if (world.options.renewalTimeout !== undefined) presented?.session.moves.add(this.#renewal);
    this.#model = presented?.session;

    const mayFind = presented !== undefined && !wasDead;
    if (presented !== undefined) presented.wasPresented = true;
    if (mayFind) presented.session.active++;
    await middleware.onPreRequest(context);
    if (mayFind) presented.session.active--;
    const session = this.#session = context.security.session;
    presented?.session.moves.delete(this.#renewal);
    if (session.isNew) {
      this.#log("finds nothing");
      const mustFind = presented !== undefined && wasAlive && isAlive(presented, world.now, this.#number, until);
      this.#expect(!mustFind, "a live session was not found");
      this.#expect(session.expiresAt === undefined, "a new visitor's session has a deadline");
      this.#expect(!world.sids.has(session.sessionId), "an id was used again");
      this.#model = undefined;
    } else {
      this.#expect(!wasDead && presented !== undefined, "a dead id was accepted");
      await this.#load(session, presented, startedAt);
    }

    for (const act of acts) {
      await world.wait(`request ${this.#number} goes on`);
      await this.#act(session, act);
      this.#noteExpiry(session);
    }

    const error = await this.#finish(() => middleware.onPostRequest(context));
    presented?.session.leave(!session.isNew && session.expiresAt !== undefined);
    if (error !== undefined) return undefined;
    context.response.result = "ok";
    const response = merged(context);
    this.#checkCookies(session, response);
    return response;
  }

  /** Compares the session that the request found with the model. */
  async #load(session: Session, presented: Id, startedAt: number): Promise<void> {
    const world = this.#world;
    const { session: model } = presented;
    // The session may have expired while its id was renewed.
    if (session.expiresAt === undefined) return;
    // If the model does not know the id yet, the request that created it is still waiting for the
    // answer.
    const id = world.idOf(signer.handle(session.sessionId), model);
    this.#graced = id !== presented && this.#own === undefined;
    this.#found = id;
    if (id === presented) id.wasFound = true;
    model.see(world.now);
    this.#expect(Number(session.expiresAt) <= model.endsBy(startedAt), "a session lasts longer than it may");
    this.#noteExpiry(session);
    await this.#read(session, startedAt);
    this.#noteRead(PRINCIPAL, "reads", startedAt, session.principal);
    this.#noteRead(LABEL, "reads", startedAt, session.label);
  }

  /** Notes all values, as the store has them now. */
  async #read(session: Session, startedAt: number): Promise<void> {
    const entries: Record<string, unknown> = await session.entries();
    if (session.expiresAt === undefined) return;
    this.#log(`reads ${JSON.stringify(entries)}`);
    for (const key of new Set([...KEYS, ...Object.keys(entries)])) {
      this.#noteRead(key, "reads", startedAt, entries[key] as Value);
    }
  }

  /** Notes a value that the request read at some time since the given tick. */
  #noteRead(key: string, what: string, startedAt: number, value: Value): void {
    this.#model?.note(key, {
      what,
      by: this.#number,
      startedAt,
      endedAt: this.#world.tick(),
      maybe: false,
      read: { value },
    });
    this.#view.set(key, { since: startedAt, value: () => value });
  }

  async #act(session: Session, act: Act): Promise<void> {
    const { kind, key, awaited, seconds } = act;
    const world = this.#world;
    switch (kind) {
      case "tick":
        this.#log(`${seconds} seconds pass`);
        return world.clock.tick(seconds * 1000);
      case "get":
      case "has": {
        const { now } = world;
        const value = await session.get<Value>(key);
        const has = kind === "has" ? await session.has(key) : undefined;
        // The session may have expired between the two calls.
        if (has !== undefined && world.now === now) {
          this.#expect(has === (value !== undefined), "get() and has() differ");
        }
        this.#log(`gets ${key}: ${value}`);
        if (value === undefined && session.expiresAt === undefined) return;
        this.#expect(!this.#destroyed, "a destroyed session was read");
        const view = this.#view.get(key);
        // The request may have read the record again, some time after its own last write.
        if (value !== view?.value()) this.#noteRead(key, "gets", (view?.since ?? 0) + 0.5, value);
        return;
      }
      case "reload": {
        const startedAt = world.tick();
        await session.reload();
        return await this.#read(session, startedAt);
      }
      default: {
        const write = this.#begin(session, act);
        const promise = write.call();
        if (this.#model === undefined && session.expiresAt !== undefined) this.#onCreated(session);
        this.#noteExpiry(session);
        for (const [key, operation] of write.operations) this.#model?.note(key, operation);
        if (write.lifetime !== undefined) this.#model?.setLifetime(write.lifetime);
        if (write.move !== undefined) this.#model?.moves.add(write.move);
        // Reads while the function hangs would wait for it.
        if (!awaited && kind !== "hang") {
          this.#log(`${write.what}, and does not wait`);
          this.#forgotten.push(write);
          this.#pending++;
          return;
        }
        this.#awaited = [write];
        const outcome = await promise.then((value) => ({ value }), (error: Error) => error);
        this.#awaited = [];
        this.#noteOutcome(write, outcome);
      }
    }
  }

  /** Creates a write and its operations on the model. */
  #begin(session: Session, act: Act): Write & { call: () => Promise<unknown> } {
    const { kind, key } = act;
    const world = this.#world;
    const startedAt = world.tick();
    const model = this.#model;
    const held = model && session.expiresAt !== undefined ? world.ids.get(signer.handle(session.sessionId)) : undefined;
    const signsIn = kind === "signIn" || kind === "signInAgain";
    const write: Write = {
      what: `${kind} ${key}`,
      operations: [],
      held,
      begunAt: world.now,
      until: Math.min(Number(session.expiresAt ?? 0), model?.livesUntil ?? 0),
      // A sign-in whose id was replaced begins a session of its own.
      tooLate: this.#destroyed || (!signsIn && model !== undefined && session.expiresAt === undefined) ||
        (!signsIn && this.#pending === 0 && held !== undefined && isDead(held, world.now, this.#startedAt)),
      destroys: kind === "destroy",
      signsIn,
      sendsLifetime: false,
      updates: kind === "update" || kind === "hang" || kind === "take",
    };
    const onRegister = (key: string, written: Value): Operation => {
      const operation: Operation = {
        what: kind,
        by: this.#number,
        startedAt,
        endedAt: Infinity,
        maybe: true,
        wrote: { value: written },
      };
      write.operations.push([key, operation]);
      this.#view.set(key, { since: startedAt, value: () => operation.wrote?.value });
      return operation;
    };
    const move = (seconds: number): void => {
      if (model !== undefined) this.#moves.push(write.move = this.#move(seconds));
    };
    const values = (): Record<string, Value> => {
      const written: Record<string, Value> = { [key]: world.newValue() };
      for (const other of KEYS) {
        if (other !== key) written[other] = act.other === "value" ? world.newValue() : undefined;
      }
      for (const [key, value] of Object.entries(written)) onRegister(key, value);
      write.what += ` with ${JSON.stringify(written)}`;
      return written;
    };
    const label = (): Value => {
      const label = act.hasLabel ? world.newValue() : undefined;
      write.what += ` with the label ${label}`;
      write.learn = () => {
        this.#expect(session.expiresAt === undefined || session.label === label, `${write.what}: ${session.label}`);
      };
      return label;
    };
    /** It writes the time at which it runs as that of the last activity. */
    const touch = (): void => {
      if (model !== undefined) model.active++;
      write.touches = model;
    };
    const lifetime = (maxAge: number | null | undefined, countsAnew: boolean | undefined): void => {
      const created = model?.created ?? { from: world.now, to: world.now };
      // `setMaxAge()` counts from its call, and the others from the time at which they run.
      const to = kind === "setMaxAge" ? world.now : Infinity;
      const since = countsAnew === false ? created : { from: countsAnew ? world.now : created.from, to };
      const keepsExpiry = kind === "clear" && countsAnew !== true;
      const span = { by: this.#number, startedAt, endedAt: Infinity, maybe: true };
      write.lifetime = { ...span, maxAge, since, countsAnew, keepsExpiry };
      touch();
      if (maxAge !== undefined) write.what += ` with the lifetime ${maxAge}`;
    };
    // The lifetime of the options applies again. It counts from now if the request knows of
    // another.
    const forgetLifetime = (): void => {
      const known = new Set(model?.lifetimes(this.#startedAt).map(({ countsAnew }) => countsAnew));
      lifetime(undefined, known.size === 1 ? known.values().next().value : undefined);
    };
    const details = (): RegenerateOptions => {
      const { maxAge } = act;
      if (maxAge !== undefined) lifetime(maxAge, true);
      else if (signsIn && model !== undefined) forgetLifetime();
      write.sendsLifetime = write.lifetime !== undefined;
      const options: RegenerateOptions = { maxAge };
      if (act.other !== undefined) options.set = values();
      if (act.hasLabel) options.label = label();
      if (act.hasLabel || signsIn) onRegister(LABEL, options.label);
      return options;
    };
    switch (kind) {
      case "setSeveral": {
        const written = values();
        return { ...write, call: () => session.set(written) };
      }
      case "setLabel": {
        const set = label();
        onRegister(LABEL, set);
        return { ...write, call: () => session.setLabel(set) };
      }
      case "setMaxAge": {
        const { maxAge = null } = act;
        lifetime(maxAge, true);
        write.sendsLifetime = true;
        return { ...write, call: () => session.setMaxAge(maxAge) };
      }
      case "set": {
        const value = world.newValue();
        write.what += ` to ${value}`;
        onRegister(key, value);
        return { ...write, call: () => session.set(key, value) };
      }
      case "delete":
        onRegister(key, undefined);
        return { ...write, call: () => session.delete(key) };
      case "update":
      case "hang": {
        const added = world.newValue();
        const operation = onRegister(key, undefined);
        return {
          ...write,
          call: () =>
            session.update<string>(key, async (value) => {
              const next = value === undefined ? added : `${value}+${added}`;
              operation.read = { value };
              operation.wrote = { value: next };
              if (kind === "hang") {
                const refusal = await session.set(key, "never written").catch((error) => error);
                this.#expect(refusal instanceof TypeError, `a write within an update ended with ${refusal}`);
                await world.hang(this.#number, this.#model, key);
              }
              return next;
            }),
        };
      }
      case "take": {
        const operation = onRegister(key, undefined);
        write.learn = (value) => operation.read = { value: value as Value };
        return { ...write, call: () => session.take<string>(key) };
      }
      case "clear":
        for (const key of [...KEYS, PRINCIPAL, LABEL]) onRegister(key, undefined);
        forgetLifetime();
        return { ...write, call: () => session.clear() };
      case "touch":
        touch();
        return { ...write, call: () => session.touch() };
      case "regenerate": {
        const options = details();
        move(0);
        return { ...write, call: () => session.regenerate(options) };
      }
      case "regenerateWithGrace": {
        const options = { ...details(), graceSeconds: GRACE };
        move(GRACE);
        return { ...write, call: () => session.regenerate(options) };
      }
      case "signIn":
      case "signInAgain": {
        const principal = (kind === "signInAgain" ? session.principal : undefined) ?? world.newValue();
        if (principal === session.principal) write.confirms = { isCertain: this.#pending === 0 };
        onRegister(PRINCIPAL, principal);
        const options = { ...details(), principal };
        move(0);
        return { ...write, call: () => session.regenerate(options) };
      }
      default:
        return {
          ...write,
          call: () => {
            this.#destroyed = true;
            if (this.#model !== undefined) this.#model.destroying = true;
            return session.destroy();
          },
        };
    }
  }

  /** Notes the outcome of a write. */
  #noteOutcome(write: Write, outcome: { value: unknown } | Error | undefined): void {
    const world = this.#world;
    const model = this.#model;
    const endedAt = world.tick();
    this.#noteTouch(write);
    if (write.move !== undefined) model?.moves.delete(write.move);
    if (outcome instanceof Error) {
      this.#log(`${write.what}: ${outcome.name}`);
      const isLate = outcome instanceof SessionStoreError && world.mayWait(model, write);
      this.#expect(isLate || outcome instanceof SessionGoneError, `${write.what} failed: ${outcome}`);
      const alive = write.held !== undefined && isAlive(write.held, world.now, this.#number, write.until);
      this.#expect(isLate || this.#destroyed || !alive, `${write.what} was refused, and the session is alive`);
      const { next, session } = write.held ?? {};
      const wasReplaced = next !== undefined && next.by !== this.#number && !session?.destroying;
      this.#expect(
        !write.signsIn || !wasReplaced || this.#destroyed || world.now >= Math.min(write.until, model?.livesUntil ?? 0),
        `${write.what} was refused, because another request had replaced the id`,
      );
      for (const [key, operation] of write.operations) model?.forget(key, operation);
      if (write.lifetime !== undefined) model?.forgetLifetime(write.lifetime);
      if (write.move !== undefined) this.#moves.splice(this.#moves.indexOf(write.move), 1);
      return;
    }
    this.#log(`${write.what}: done`);
    this.#expect(write.destroys || !write.tooLate, `${write.what} succeeded, and the session or its id was dead`);
    for (const [, operation] of write.operations) Object.assign(operation, { endedAt, maybe: false });
    if (write.lifetime !== undefined) this.#noteLifetime(write.lifetime, endedAt, false);
    if (write.confirms !== undefined) this.#noteConfirmation(write, write.confirms.isCertain);
    if (write.sendsLifetime && write.lifetime?.maybe === false) {
      const sent = this.#sentLifetime;
      if (sent === undefined || sent.startedAt < write.lifetime.startedAt) this.#sentLifetime = write.lifetime;
    }
    if (outcome !== undefined) write.learn?.(outcome.value);
    if (model === undefined || !write.destroys || write.held === undefined) return;
    if (isReached(write.held, world.now, this.#number)) model.destroyed = true;
  }

  /** Notes that a `touch()` has ended. */
  #noteTouch({ touches }: Write): void {
    if (touches === undefined) return;
    touches.active--;
    touches.see(this.#world.now);
  }

  /** Notes that a write of the lifetime has ended. */
  #noteLifetime(lifetime: Lifetime, endedAt: number, maybe: boolean): void {
    const { maxAge, startedAt, since: { from, to } } = lifetime;
    let { countsAnew } = lifetime;
    // A write that had to wait may have learned of a lifetime that was set meanwhile.
    const others = this.#model?.lifetimes(startedAt) ?? [];
    const mayHaveLearned = maxAge === undefined && others.some((other) => other.countsAnew !== countsAnew);
    if (mayHaveLearned) countsAnew = undefined;
    const since = { from, to: Math.min(mayHaveLearned ? Infinity : to, this.#world.now) };
    Object.assign(lifetime, { endedAt, maybe, countsAnew, since });
  }

  /** Notes that the user of a session has signed in again, which keeps the label and the lifetime. */
  #noteConfirmation({ operations, lifetime }: Write, isCertain: boolean): void {
    const model = this.#model;
    // Another request may have bound the session to another user in the meantime.
    const isSame = isCertain &&
      !model?.registers.get(PRINCIPAL)?.some(({ by, wrote, endedAt }) =>
        by !== this.#number && wrote !== undefined && endedAt > this.#startedAt
      );
    for (const [key, operation] of operations) {
      if (key !== LABEL || operation.wrote?.value !== undefined) continue;
      operation.maybe = true;
      if (isSame) model?.forget(key, operation);
    }
    if (lifetime === undefined || lifetime.maxAge !== undefined) return;
    lifetime.maybe = true;
    if (isSame) model?.forgetLifetime(lifetime);
  }

  /** Ends the request, with all writes that it did not await. */
  async #finish(post: () => void | Promise<void>): Promise<unknown> {
    let error: unknown;
    try {
      await post();
    } catch (thrown) {
      error = thrown;
      this.#log(`fails with ${thrown}`);
      const isLate = thrown instanceof SessionStoreError &&
        this.#forgotten.some((write) => this.#world.mayWait(this.#model, write));
      this.#expect(
        this.#forgotten.length > 0 && (isLate || thrown instanceof SessionGoneError),
        `the request failed: ${thrown}`,
      );
    }
    for (const write of this.#forgotten) {
      if (error === undefined || write.destroys) {
        this.#noteOutcome(write, undefined);
        continue;
      }
      // It is unknown which of the writes failed.
      this.#noteTouch(write);
      if (write.move !== undefined) this.#model?.moves.delete(write.move);
      for (const [, operation] of write.operations) operation.endedAt = this.#world.tick();
      if (write.lifetime !== undefined) this.#noteLifetime(write.lifetime, this.#world.tick(), true);
    }
    return error;
  }

  #checkCookies(session: Session, { headers }: Response): void {
    const cookies = setCookies(headers).filter(({ name }) => name === "sid");
    this.#expect(cookies.length <= 1, `${cookies.length} cookies in one response`);
    const [cookie] = cookies;
    const sid = cookie?.value.split(".")[0];
    this.#log(
      `responds ${cookie === undefined ? "without a cookie" : sid === "" ? "and clears the cookie" : "with a cookie"}`,
    );
    if (this.#destroyed) {
      if (this.#presented === undefined) return this.#expect(sid === undefined, "a cookie was sent after destroy()");
      return this.#expect(sid === "" && cookie?.attributes["max-age"] === "0", "the cookie was not cleared");
    }
    this.#expect(sid !== "", "a cookie was cleared and nobody asked for it");
    const hash = sid === undefined ? undefined : signer.handle(sid);
    const hasEnded = session.expiresAt === undefined && this.#model !== undefined;
    // If the session has only expired, its cookie does no harm.
    const isGone = hasEnded && this.#world.now < Math.min(this.#until, this.#model?.livesUntil ?? 0);
    this.#expect(
      !isGone || sid === undefined,
      "a request sends the cookie of a session although it knows that it is gone",
    );
    if (cookie !== undefined && !hasEnded) this.#checkMaxAge(cookie.attributes["max-age"]);
    if (this.#own !== undefined) {
      // If the request has learned a later id, its own cookie would replace the cookie of that id
      // in the browser.
      const isReplaced = signer.handle(session.sessionId) !== this.#own;
      const isDropped = this.#ownIsRenewal &&
        !(this.#isUnchanged(this.#world.ids.get(this.#own)) && this.#isOnlyLifetime);
      const isMissing = hash === undefined && !hasEnded && !isReplaced && !isDropped;
      this.#expect(!isMissing, "a response lacks the cookie of the id that the request created");
      this.#expect(
        hash === undefined || hash === this.#own,
        "a response has the cookie of an id that another request created",
      );
      return;
    }
    const presented = this.#presentedId;
    const mustReceive = this.#graced && presented !== undefined && isUndelivered(presented) && !hasEnded;
    if (mustReceive && this.#isUnchanged(this.#found) && this.#isOnlyLifetime) {
      this.#expect(hash !== undefined, "a response lacks the cookie of a renewal that the client has not received");
    }
    if (this.#sentLifetime !== undefined && !this.#graced && !hasEnded && this.#isUnchanged(this.#found)) {
      // The activity of another request may have shortened the session again.
      const mayHaveExpired = this.#world.now >= (this.#model?.livesUntil ?? 0);
      const isSent = hash !== undefined || mayHaveExpired || !this.#isOnlyLifetime;
      this.#expect(isSent, "a response lacks the cookie with the lifetime that was set");
    }
    // Without an id, the session had expired before the request could see it.
    if (hash === undefined || this.#found === undefined) return;
    this.#expect(this.#world.ids.get(hash) === this.#found, "a response has the cookie of another id");
    this.#expect(this.#found?.next === undefined, "a response has the cookie of an id that was replaced");
    if (this.#graced) {
      const { next, session: { moves } = { moves: new Set<Move>() } } = this.#presentedId ?? {};
      // The request that renews the id may still wait for the answer.
      const mayBeRenewed = next === undefined && [...moves].some(({ isRenewal }) => isRenewal);
      this.#expect(
        mayBeRenewed || (next !== undefined && next.isRenewal && next.id === this.#found),
        "a request with an id from before regenerate() was given the new one",
      );
    } else {
      const isAsked = this.#world.options.rolling === true || this.#model?.hadOwnLifetime === true;
      this.#expect(isAsked, "a response has a cookie that nobody asked for");
    }
  }

  /** Compares the `Max-Age` of the cookie with the lifetimes that the request may have known. */
  #checkMaxAge(sent: string | true | undefined): void {
    const maxAge = sent === undefined ? undefined : Number(sent);
    const own = this.#sentLifetime;
    const model = this.#model;
    const isKnown = model === undefined ||
      model.lifetimes(this.#startedAt).some((lifetime) =>
        !(own !== undefined && isBefore(lifetime, own)) &&
        model.sends(lifetime, maxAge, this.#arrivedAt, this.#world.now)
      );
    this.#expect(isKnown, `a response has a cookie with the Max-Age ${maxAge}`);
  }

  /** Returns whether the id is certainly the current one of a session that nobody is ending. */
  #isUnchanged(id: Id | undefined): boolean {
    return id !== undefined && id.next === undefined && !id.session.destroying && id.session.moves.size === 0;
  }

  /**
   * Whether certainly no other request has set the lifetime since this one arrived. Otherwise the
   * cookie may be dropped, because that of the other request must not be replaced.
   */
  get #isOnlyLifetime(): boolean {
    const lifetimes = this.#model?.lifetimes(this.#startedAt) ?? [];
    return lifetimes.every(({ by, endedAt }) => by === this.#number || endedAt < this.#startedAt);
  }

  get #presentedId(): Id | undefined {
    const sid = this.#presented?.split(".")[0];
    return sid === undefined ? undefined : this.#world.ids.get(signer.handle(sid));
  }

  /** Receives an event of its own middleware. */
  onEvent(event: SessionEvent): void {
    if (event.type === "created" && this.#model !== undefined && event.session !== this.#own) this.#onOwnSession(event);
    if (event.type !== "renewed" || this.#model === undefined) return;
    const { now } = this.#world;
    const previous = this.#world.idOf(event.previous, this.#model);
    const id = this.#world.idOf(event.session, this.#model);
    this.#expect(previous.next === undefined, "one id was replaced twice");
    const isRenewal = this.#moves.length === 0;
    const { grace, graceFrom } = this.#moves.shift() ?? this.#renewal;
    this.#log(`renews the id with ${grace / 1000} seconds of grace`);
    previous.next = { id, by: this.#number, graceFrom, graceTo: now + grace, isRenewal };
    this.#model.moved.push({ by: this.#number, graceFrom });
    this.#own = event.session;
    this.#ownIsRenewal = isRenewal;
  }

  /** Notes that the first write of a new visitor created a session. */
  #onCreated(session: Session): void {
    const world = this.#world;
    this.#expect(session.isNew, "a session was created that existed");
    this.#model = new ModelSession(world.options, world.now);
    world.sessions.push(this.#model);
    this.#own = signer.handle(session.sessionId);
    this.#expect(!world.ids.has(this.#own), "an id was used again");
    world.idOf(this.#own, this.#model);
    this.#log(`begins session ${world.sessions.length - 1}`);
  }

  /** Notes that a sign-in began a session of its own, because another request had replaced the id. */
  #onOwnSession({ session, principal }: SessionCreated): void {
    const world = this.#world;
    const former = this.#model;
    this.#expect(former !== undefined && former.moved.some(({ by }) => by !== this.#number), "the id was not replaced");
    // The sign-in, and the writes that wait behind it, belong to the new session.
    const writes = [...this.#forgotten, ...this.#awaited];
    const first = writes.findIndex(({ move, operations }) =>
      move !== undefined && this.#moves.includes(move) &&
      operations.some(([key, { wrote }]) => key === PRINCIPAL && wrote?.value === principal)
    );
    const signIn = writes[first];
    const model = this.#model = new ModelSession(world.options, signIn?.begunAt ?? 0, world.now);
    world.sessions.push(model);
    this.#own = session;
    const id = world.idOf(session, model);
    model.destroying = this.#destroyed;
    this.#log(`begins session ${world.sessions.length - 1} of its own`);
    if (signIn?.move !== undefined) this.#moves.splice(0, this.#moves.indexOf(signIn.move) + 1);
    if (signIn !== undefined) this.#continueFormer(signIn, former, model);
    this.#sentLifetime = undefined;
    for (const write of writes.slice(0, first)) write.sendsLifetime = false;
    for (const write of writes.slice(first)) {
      const { operations, move, lifetime } = write;
      if (move !== undefined && former.moves.delete(move) && write !== signIn) model.moves.add(move);
      if (write !== signIn) write.held = id;
      for (const [key, operation] of operations) {
        former.forget(key, operation);
        model.note(key, operation);
      }
      if (lifetime !== undefined) {
        former.forgetLifetime(lifetime);
        if (lifetime.maxAge === undefined) {
          Object.assign(lifetime, { since: { from: model.created.from, to: Infinity }, countsAnew: undefined });
        }
        model.setLifetime(lifetime);
      }
    }
    const [[, { startedAt }] = [PRINCIPAL, { startedAt: 0 }]] = signIn?.operations ?? [];
    for (const [key, { since }] of this.#view) {
      if (since < startedAt) this.#view.set(key, { since: startedAt, value: () => undefined });
    }
  }

  /** Notes what a session of its own may have taken over from the one before. */
  #continueFormer(signIn: Write, former: ModelSession, model: ModelSession): void {
    const { confirms, lifetime, operations } = signIn;
    if (lifetime !== undefined && lifetime.maxAge === undefined) {
      former.forgetLifetime(lifetime);
      signIn.lifetime = undefined;
    }
    if (confirms === undefined) return;
    confirms.isCertain = false;
    const [[, { startedAt }] = [PRINCIPAL, { startedAt: 0 }]] = operations;
    for (const key of [...KEYS, LABEL]) {
      // The values that the request knows are those of all its writes, also of later ones that wait
      // behind the sign-in.
      for (const { by, read, wrote } of former.registers.get(key) ?? []) {
        if (by !== this.#number) continue;
        model.note(key, {
          what: "continues",
          by,
          startedAt: startedAt - 0.5,
          endedAt: this.#world.tick(),
          maybe: true,
          wrote: wrote ?? read,
        });
      }
    }
    for (const continued of former.lifetimes(this.#startedAt)) {
      model.setLifetime({ ...continued, startedAt: 0, endedAt: 0, maybe: true });
    }
  }

  #noteExpiry(session: Session): void {
    if (session.expiresAt !== undefined) this.#until = Number(session.expiresAt);
  }

  #move(seconds: number): Move {
    return { by: this.#number, grace: seconds * 1000, graceFrom: this.#world.now + seconds * 1000, isRenewal: false };
  }

  #log(what: string): void {
    this.#world.log.push(`${this.#world.now % 1e7 / 1000} s: request ${this.#number} ${what}`);
  }

  #expect(truth: boolean, otherwise: string): asserts truth {
    this.#world.expect(truth, `request ${this.#number}: ${otherwise}`);
  }
}

/** Runs a few waves of requests, then checks what is left. */
async function runWaves(
  raw: SessionStore,
  options: Partial<SessionOptions>,
  waves: Request[][],
  scheduler: fc.Scheduler,
): Promise<void> {
  using clock = new FakeClock();
  const world = new World(clock, options, raw);
  for (const client of [0, 1]) {
    // Time passes, so that the session is soon due for renewal, if the options ask for that.
    const kinds: Act["kind"][] = ["set", "signIn", "tick"];
    const acts = kinds.map((kind): Act => {
      return { kind, key: "a", awaited: true, seconds: 20, maxAge: undefined, hasLabel: false, other: undefined };
    });
    await world.request({ client, age: 0, acts, lost: false });
  }

  world.scheduler = scheduler;
  for (const wave of waves) {
    await untilEnded(world, scheduler, Promise.all(wave.map((request) => world.request(request))));
  }
  world.scheduler = undefined;

  for (const seconds of [0, GRACE, RENEWAL_GRACE, 24 * 60 * 60]) {
    clock.tick(seconds * 1000);
    await world.audit();
  }
  world.explain();
  if (world.failure !== undefined) throw world.failure;
}

/**
 * Waits until the requests of a wave have ended. When none of them goes on, time passes, and at
 * last the functions that hang return.
 */
async function untilEnded(world: World, scheduler: fc.Scheduler, wave: Promise<unknown>): Promise<void> {
  using timers = new FakeTimers();
  let hasEnded = false;
  const ended = scheduler.waitFor(wave).finally(() => hasEnded = true);
  const watch = async (): Promise<void> => {
    for (let quiet = 0; !hasEnded; quiet++) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (scheduler.count() > 0) quiet = 0;
      if (quiet < 3) continue;
      quiet = 0;
      if (timers.pending > 0) timers.tick(10_000);
      else world.release();
    }
  };
  await Promise.race([ended, watch()]);
  await ended;
}

/** Collects unhandled rejections, which would otherwise end the process. */
class Unhandled implements Disposable {
  #reasons: unknown[] = [];
  readonly #listener = (event: PromiseRejectionEvent): void => {
    event.preventDefault();
    this.#reasons.push(event.reason);
  };

  constructor() {
    addEventListener("unhandledrejection", this.#listener);
  }

  /** Fails if there was one since the last call. */
  async check(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    const reasons = this.#reasons;
    this.#reasons = [];
    if (reasons.length > 0) throw new Error(`unhandled rejection: ${reasons.join(", ")}`);
  }

  [Symbol.dispose](): void {
    removeEventListener("unhandledrejection", this.#listener);
  }
}

/** Replaces a member of a class until it is disposed. */
function plant<T extends object>(prototype: T, name: keyof T & string, descriptor: PropertyDescriptor): Disposable {
  const real = Object.getOwnPropertyDescriptor(prototype, name);
  if (real === undefined) throw new Error(`There is no member ${name}`);
  Object.defineProperty(prototype, name, { configurable: true, ...descriptor });
  return { [Symbol.dispose]: () => void Object.defineProperty(prototype, name, real) };
}

const { renew, move, setAll, change } = SessionRepository.prototype;
const { run } = KeyedMutex.prototype;

/**
 * Faults that users of other libraries have reported, and a few of our own. The model must find
 * each of them.
 */
const FAULTS: Record<string, () => Disposable[]> = {
  "a sign-in fails if another one has replaced the id": () => [
    plant(SessionRepository.prototype, "findReplacement", { value: () => Promise.resolve(undefined) }),
  ],
  "the new id of a renewal is sent only once": () => [
    plant(SessionRepository.prototype, "renew", {
      value: function (this: SessionRepository, ...[sid, newSid, options]: Parameters<typeof renew>): Promise<void> {
        return renew.call(this, sid, newSid, { ...options, meta: { ...options.meta, replaces: undefined } });
      },
    }),
  ],
  "the old id of a renewal is accepted for ever": () => [
    plant(LoadedSession.prototype, "isRenewalDelivered", { get: () => false }),
  ],
  "a late response sends a cookie again that was replaced": () => [
    plant(SessionRepository.prototype, "isCurrent", { value: () => true }),
    plant(ResponseCookie.prototype, "isResendPending", { get: () => false }),
  ],
  "an update waits without a limit for another whose function hangs": () => [
    plant(KeyedMutex.prototype, "run", {
      value: async function (this: KeyedMutex, ...[key, operation]: Parameters<typeof run>): Promise<unknown> {
        // Far longer than the model waits, and not for ever.
        for (let i = 0; this.has(key) && i < 1000; i++) await new Promise<void>((resolve) => setImmediate(resolve));
        return await run.call(this, key, operation);
      },
    }),
  ],
  "destroy() clears a cookie that was not presented": () => [
    plant(ResponseCookie.prototype, "presented", { get: () => ["sid=any"] }),
  ],
  "regenerate() does not store the lifetime": () => [
    plant(SessionRepository.prototype, "move", {
      value: function (this: SessionRepository, ...[session, newSid, options]: Parameters<typeof move>): Promise<void> {
        const { maxAge: _, ...meta } = options.meta;
        return move.call(this, session, newSid, { ...options, meta });
      },
    }),
  ],
  "set() writes only one of several values": () => [
    plant(SessionRepository.prototype, "setAll", {
      value: function (this: SessionRepository, ...[session, operation, values]: Parameters<typeof setAll>): unknown {
        return setAll.call(this, session, operation, new Map(Array.from(values).slice(0, 1)));
      },
    }),
  ],
  "clear() keeps the label": () => [
    plant(SessionRepository.prototype, "change", {
      value: function (this: SessionRepository, ...[session, operation, changed]: Parameters<typeof change>): unknown {
        const { label: _, ...meta } = changed.meta ?? {};
        return change.call(this, session, operation, changed.clear ? { ...changed, meta } : changed);
      },
    }),
  ],
};

Deno.test("The model finds each planted fault", async (t) => {
  for (const [fault, plantFault] of Object.entries(FAULTS)) {
    await t.step(fault, async () => {
      using planted = new DisposableStack();
      for (const part of plantFault()) planted.use(part);
      const property = fc.asyncProperty(
        arbitraryOptions,
        arbitraryWaves,
        fc.scheduler(),
        (options, waves, scheduler) => runWaves(new MemoryStore(), options, waves, scheduler),
      );
      const { failed, numRuns } = await fc.check(property, { numRuns: 10_000, endOnFailure: true });
      if (!failed) throw new Error(`not found in ${numRuns} runs`);
    });
  }
});

for (const [name, make] of STORES) {
  Deno.test(`Session on ${name} matches the model in ${RUNS} random runs`, async () => {
    console.log(`replay with FC_SEED=${SEED}`);
    using unhandled = new Unhandled();
    const property = fc.asyncProperty(
      arbitraryOptions,
      arbitraryWaves,
      fc.scheduler(),
      async (options, waves, scheduler) => {
        await runWaves(make(), options, waves, scheduler);
        await unhandled.check();
      },
    );
    await fc.assert(property, { seed: SEED, numRuns: RUNS });
  });

  Deno.test(`Session.update() on ${name} loses none of 1,000 concurrent increments in 100 requests`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware, { n: 0 });
    const increment = (n: number | undefined): number => (n ?? 0) + 1;
    const seen = await Promise.all(Array.from({ length: 100 }, async () => {
      const results: number[] = [];
      await visit(middleware, { cookie }, async ({ security: { session } }) => {
        const updates = Array.from({ length: 10 }, () => session.update<number>("n", increment));
        results.push(...await Promise.all(updates));
      });
      return results;
    }));
    // Each of them returned another number.
    assertEquals(seen.flat().sort((a, b) => a - b), Array.from({ length: 1000 }, (_, i) => i + 1));
    await visit(middleware, { cookie }, async ({ security: { session } }) => {
      assertEquals(await session.get("n"), 1000);
    });
  });

  Deno.test(`Session.take() on ${name} gives the value to only one of 100 concurrent requests`, async () => {
    const middleware = start({}, make());
    const cookie = await signUp(middleware, { ticket: "the only one" });
    const taken: unknown[] = [];
    await Promise.all(
      Array.from({ length: 100 }, () =>
        visit(middleware, { cookie }, async ({ security: { session } }) => {
          taken.push(await session.take("ticket"));
        })),
    );
    assertEquals(taken.filter((value) => value !== undefined), ["the only one"]);
    assertEquals(taken.length, 100);
  });
}
