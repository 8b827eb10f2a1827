/**
 * Random requests of a few clients, interleaved at random at every call of the store, against the model in `_model.ts`.
 *
 * `FC_SEED=… deno test -A tests/life_cycle_model_test.ts` replays a run, `FC_RUNS=…` makes more of them.
 */
import fc from "npm:fast-check@4.10.2";
import { assertEquals } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { contextOf, merged, SECRET, setCookies, signUp, start, visit } from "../helpers/request.ts";
import { STORES } from "../helpers/stores.ts";
import {
  type Session,
  type SessionEvent,
  SessionGoneError,
  type SessionMiddleware,
  type SessionOptions,
  type SessionStore,
} from "../../mod.ts";
import { readSecrets } from "../../src/secrets.ts";
import { Signer } from "../../src/cookie/signer.ts";
import { describe, type Id, isAlive, isDead, isReached, Life, type Move, PRINCIPAL } from "../helpers/model.ts";
import type { Step, Value } from "../helpers/model_linearizable.ts";

const SEED = Number(Deno.env.get("FC_SEED") ?? crypto.getRandomValues(new Int32Array(1))[0]);
const RUNS = Number(Deno.env.get("FC_RUNS") ?? 1000);

const signer = new Signer("sid", readSecrets(SECRET).keys);
const KEYS = ["a", "b"];
const GRACE = 5;
const RENEWAL_GRACE = 30;

/** One thing that a request does. */
interface Act {
  kind: keyof typeof KINDS;
  key: string;
  /** Whether the request waits for it. */
  awaited: boolean;
  /** How far the clock moves, where that is what it does. */
  seconds: number;
}

/** One request: with which cookie of whom, and what it does. */
interface Request {
  client: number;
  /** 0: the cookie that the client has when the request begins; 1 and more: one that it had so many cookies ago. */
  age: number;
  acts: Act[];
}

/** How often each act comes. */
const KINDS = {
  get: 3,
  has: 1,
  reload: 1,
  set: 4,
  delete: 1,
  update: 3,
  take: 2,
  clear: 1,
  touch: 1,
  regenerate: 1,
  regenerateWithGrace: 2,
  signIn: 1,
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
    }),
    { maxLength },
  );

const arbitraryRequest: fc.Arbitrary<Request> = fc.record({
  client: fc.constantFrom(0, 0, 0, 0, 1, 2),
  age: fc.constantFrom(0, 0, 0, 1, 2),
  acts: actsOf(arbitraryKind, 5),
});

/** Requests of one wave overlap, and begin when those of the wave before are over. */
const arbitraryWaves: fc.Arbitrary<Request[][]> = fc.oneof(
  fc.array(fc.array(arbitraryRequest, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 3 }),
  // A few requests of one session that do few kinds of things, and these often: what the others would hide comes to light.
  fc.uniqueArray(arbitraryKind, { minLength: 2, maxLength: 2 }).chain((kinds) => {
    const acts = actsOf(fc.constantFrom(...kinds), 3);
    const request = fc.record({ client: fc.constant(0), age: fc.constant(0), acts });
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

/** Everything that one run is about. */
class World {
  readonly clock: FakeClock;
  readonly options: Partial<SessionOptions>;
  readonly store: SessionStore;
  readonly #raw: SessionStore;
  readonly lives: Life[] = [];
  /** By the hash that events name them by. */
  readonly ids = new Map<string, Id>();
  /** Every id under which a record was made. */
  readonly sids = new Set<string>();
  /** The cookies that each client was given, the last one first; `undefined` where it was taken away. */
  readonly jars: (string | undefined)[][] = [[undefined], [undefined], [undefined]];
  /** What happened, for the report. */
  readonly log: string[] = [];
  /** Where requests overlap; without it they come one after the other, and nothing waits. */
  scheduler: fc.Scheduler | undefined;
  readonly #middleware: SessionMiddleware;
  #alone: Visit | undefined;
  /** The first thing that was not as it should be, also where nobody listens, as in an event. */
  failure: Error | undefined;
  #steps = 0;
  #requests = 0;
  #values = 0;

  constructor(clock: FakeClock, options: Partial<SessionOptions>, raw: SessionStore) {
    this.clock = clock;
    this.options = options;
    this.#raw = raw;
    // Both the call and its answer are under way for a while.
    this.store = new Proxy(raw, {
      get: (target, name): unknown => {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== "function") return member;
        return async (...args: unknown[]): Promise<unknown> => {
          if (name === "create" || name === "createRecord") this.sids.add(String(args[0]));
          if (name === "moveRecord") this.sids.add(String(args[1]));
          if (this.scheduler === undefined) return await member.apply(target, args);
          await this.turn(`${String(name)} is called`);
          // What the store throws is under way for a while as well.
          const outcome = await Promise.allSettled([member.apply(target, args)]);
          await this.turn(`${String(name)} answers`);
          const [settled] = outcome;
          if (settled?.status === "rejected") throw settled.reason;
          return settled?.value;
        };
      },
    });
    this.#middleware = start({ ...options, onEvent: (event) => this.#alone?.hear(event) }, this.store);
  }

  get now(): number {
    return this.clock.now;
  }

  /** Waits until the scheduler says so. */
  async turn(what: string): Promise<void> {
    await this.scheduler?.schedule(Promise.resolve(), what);
  }

  /** Each request that may overlap with others has its own, which tells what is the request's doing. */
  middlewareOf(visit: Visit): SessionMiddleware {
    if (this.scheduler !== undefined) {
      return start({ ...this.options, onEvent: (event) => visit.hear(event) }, this.store);
    }
    this.#alone = visit;
    return this.#middleware;
  }

  /** The next moment. */
  step(): number {
    return ++this.#steps;
  }

  newValue(): string {
    return `v${++this.#values}`;
  }

  idOf(hash: string, life: Life): Id {
    let id = this.ids.get(hash);
    if (id === undefined) this.ids.set(hash, id = { life });
    this.expect(id.life === life, "an id belongs to two sessions");
    return id;
  }

  expect(truth: boolean, otherwise: string): asserts truth {
    if (truth) return;
    const failure = new Error(`${otherwise}\n${this.log.join("\n")}`);
    this.failure ??= failure;
    throw failure;
  }

  /** A request from its arrival to its response. */
  async request({ client, age, acts }: Request): Promise<void> {
    const jar = this.jars[client] ?? [];
    const number = ++this.#requests;
    await this.turn(`request ${number} arrives`);
    const response = await new Visit(this, number, jar[Math.min(age, jar.length - 1)]).run(acts);
    if (response === undefined) return;
    for (const { name, value } of setCookies(response.headers)) {
      if (name === "sid") jar.unshift(value === "" ? undefined : value);
    }
  }

  /** Presents every id that there ever was. */
  async audit(): Promise<void> {
    this.log.push("audit");
    for (const sid of this.sids) {
      const logged = this.log.length;
      const response = await new Visit(this, ++this.#requests, signer.sign(sid)).run([]);
      this.expect(response !== undefined, "a request that does nothing failed");
      this.log.length = logged;
    }
    const live = new Map<Life, number>();
    for (const sid of this.sids) {
      if (!await this.#raw.exist(sid)) continue;
      const id = this.ids.get(signer.eventHash(sid));
      this.expect(id !== undefined, "there is a record that nobody can know of");
      this.expect(!id.life.destroyed, "a destroyed session has a record");
      live.set(id.life, (live.get(id.life) ?? 0) + 1);
    }
    for (const count of live.values()) this.expect(count === 1, `one session has ${count} records`);
  }

  /** Looks for an order of what happened to each value. */
  explain(): void {
    for (const life of this.lives) {
      for (const [key, steps] of life.unexplained()) {
        this.expect(false, `no order explains what happened to ${key}:\n${describe(steps)}`);
      }
    }
  }
}

/** A write under way, of which the model knows more when it has ended. */
interface Write {
  what: string;
  /** What it does to registers. */
  steps: [key: string, step: Step][];
  /** The id that the request had. */
  held: Id | undefined;
  /** When that ends, as the request knows. */
  until: number;
  /** Whether it cannot succeed. */
  tooLate: boolean;
  move?: Move;
  /** Takes the result. */
  learn?: (result: unknown) => void;
  destroys: boolean;
}

/** One request, watched. */
class Visit {
  readonly #world: World;
  readonly #number: number;
  readonly #presented: string | undefined;
  #life: Life | undefined;
  #session: Session | undefined;
  /** Whether its cookie named an id that had been replaced. */
  #graced = false;
  /** The last id that the request itself has caused. */
  #own: string | undefined;
  #destroyed = false;
  /** What `get()` should say of each key, unless the request has asked the store again since. */
  readonly #view = new Map<string, { since: number; value: () => Value }>();
  /** When the session ends, as the request knew while it lived. */
  #until = 0;
  #pending = 0;
  readonly #moves: Move[] = [];
  /** The renewal by itself, before anything else. */
  readonly #renewal: Move;
  readonly #forgotten: Write[] = [];

  constructor(world: World, number: number, presented: string | undefined) {
    this.#world = world;
    this.#number = number;
    this.#presented = presented;
    this.#renewal = this.#move(RENEWAL_GRACE);
  }

  /** Returns the response, unless the request fails because a write did that it did not wait for. */
  async run(acts: readonly Act[]): Promise<Response | undefined> {
    const world = this.#world;
    const middleware = world.middlewareOf(this);
    const context = contextOf({ cookie: this.#presented === undefined ? undefined : `sid=${this.#presented}` });
    const presented = this.#presented === undefined
      ? undefined
      : world.ids.get(signer.eventHash(this.#presented.split(".")[0] ?? ""));

    this.#log("arrives" + (presented === undefined ? "" : ` with session ${world.lives.indexOf(presented.life)}`));
    const begun = world.step();
    presented?.life.enter(world.now);
    const wasDead = presented === undefined || isDead(presented, world.now);
    const until = presented?.life.livesUntil ?? 0;
    const wasAlive = presented !== undefined && isAlive(presented, world.now, this.#number, until);
    if (world.options.renewalTimeout !== undefined) presented?.life.moves.add(this.#renewal);
    this.#life = presented?.life;

    const mayFind = presented !== undefined && !wasDead;
    if (mayFind) presented.life.finding++;
    await middleware.onPreRequest(context);
    if (mayFind) presented.life.finding--;
    const session = this.#session = context.security.session;
    presented?.life.moves.delete(this.#renewal);
    if (session.isNew) {
      this.#log("finds nothing");
      const mustFind = presented !== undefined && wasAlive && isAlive(presented, world.now, this.#number, until);
      this.#expect(!mustFind, "a live session was not found");
      this.#expect(session.expiresAt === undefined, "a new visitor's session has a deadline");
      this.#expect(!world.sids.has(session.sessionId), "an id was used again");
      this.#life = undefined;
    } else {
      this.#expect(!wasDead && presented !== undefined, "a dead id was accepted");
      await this.#load(session, presented, begun);
    }

    for (const act of acts) {
      await world.turn(`request ${this.#number} goes on`);
      await this.#act(session, act);
      this.#lookAtDeadline(session);
    }

    const error = await this.#finish(() => middleware.onPostRequest(context));
    presented?.life.leave(!session.isNew && session.expiresAt !== undefined);
    if (error !== undefined) return undefined;
    context.response.result = "ok";
    const response = merged(context);
    this.#checkCookies(session, response);
    return response;
  }

  /** Compares what the request found with the model. */
  async #load(session: Session, presented: Id, begun: number): Promise<void> {
    const world = this.#world;
    const { life } = presented;
    // Where the id is not known yet, the request that has made it has not heard so.
    const id = world.idOf(signer.eventHash(session.sessionId), life);
    this.#graced = id !== presented && this.#own === undefined;
    life.see(world.now);
    // It may have expired while its id was renewed.
    if (session.expiresAt === undefined) return;
    this.#expect(Number(session.expiresAt) <= life.endsBy, "a session lasts longer than it may");
    this.#lookAtDeadline(session);
    await this.#read(session, begun);
    this.#found(PRINCIPAL, "reads", begun, session.principal);
  }

  /** Notes all values as they are in the store now. */
  async #read(session: Session, begun: number): Promise<void> {
    const entries: Record<string, unknown> = await session.entries();
    if (session.expiresAt === undefined) return;
    this.#log(`reads ${JSON.stringify(entries)}`);
    for (const key of new Set([...KEYS, ...Object.keys(entries)])) {
      this.#found(key, "reads", begun, entries[key] as Value);
    }
  }

  /** The request has learned what is in a register, some time since a moment. */
  #found(key: string, what: string, begun: number, value: Value): void {
    this.#life?.note(key, { what, by: this.#number, begun, ended: this.#world.step(), maybe: false, found: { value } });
    this.#view.set(key, { since: begun, value: () => value });
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
        // Another request may have waited between the two until the session's time was over.
        if (has !== undefined && world.now === now) {
          this.#expect(has === (value !== undefined), "get() and has() differ");
        }
        this.#log(`gets ${key}: ${value}`);
        if (value === undefined && session.expiresAt === undefined) return;
        this.#expect(!this.#destroyed, "a destroyed session was read");
        const view = this.#view.get(key);
        // It may have asked the store again, some time since it last wrote there.
        if (value !== view?.value()) this.#found(key, "gets", (view?.since ?? 0) + 0.5, value);
        return;
      }
      case "reload": {
        const begun = world.step();
        await session.reload();
        return await this.#read(session, begun);
      }
      default: {
        const write = this.#begin(session, act);
        const promise = write.call();
        if (this.#life === undefined && session.expiresAt !== undefined) this.#wasBegun(session);
        this.#lookAtDeadline(session);
        for (const [key, step] of write.steps) this.#life?.note(key, step);
        if (write.move !== undefined) this.#life?.moves.add(write.move);
        if (!awaited) {
          this.#log(`${write.what}, and does not wait`);
          this.#forgotten.push(write);
          this.#pending++;
          return;
        }
        const outcome = await promise.then((value) => ({ value }), (error: Error) => error);
        this.#ended(write, outcome);
      }
    }
  }

  /** Makes a write, with what it would do to the model. */
  #begin(session: Session, { kind, key }: Act): Write & { call: () => Promise<unknown> } {
    const world = this.#world;
    const begun = world.step();
    const life = this.#life;
    const held = life && session.expiresAt !== undefined
      ? world.ids.get(signer.eventHash(session.sessionId))
      : undefined;
    const write: Write = {
      what: `${kind} ${key}`,
      steps: [],
      held,
      until: Math.min(Number(session.expiresAt ?? 0), life?.livesUntil ?? 0),
      tooLate: this.#destroyed || (life !== undefined && session.expiresAt === undefined) ||
        (this.#pending === 0 && held !== undefined && isDead(held, world.now)),
      destroys: kind === "destroy",
    };
    const onRegister = (key: string, left: Value): Step => {
      const step: Step = { what: kind, by: this.#number, begun, ended: Infinity, maybe: true, left: { value: left } };
      write.steps.push([key, step]);
      this.#view.set(key, { since: begun, value: () => step.left?.value });
      return step;
    };
    const move = (seconds: number): void => {
      if (life !== undefined) this.#moves.push(write.move = this.#move(seconds));
    };
    switch (kind) {
      case "set": {
        const value = world.newValue();
        write.what += ` to ${value}`;
        onRegister(key, value);
        return { ...write, call: () => session.set(key, value) };
      }
      case "delete":
        onRegister(key, undefined);
        return { ...write, call: () => session.delete(key) };
      case "update": {
        const added = world.newValue();
        const step = onRegister(key, undefined);
        return {
          ...write,
          call: () =>
            session.update<string>(key, (value) => {
              const next = value === undefined ? added : `${value}+${added}`;
              step.found = { value };
              step.left = { value: next };
              return next;
            }),
        };
      }
      case "take": {
        const step = onRegister(key, undefined);
        write.learn = (value) => step.found = { value: value as Value };
        return { ...write, call: () => session.take<string>(key) };
      }
      case "clear":
        for (const key of [...KEYS, PRINCIPAL]) onRegister(key, undefined);
        return { ...write, call: () => session.clear() };
      case "touch":
        life?.see(world.now);
        return { ...write, call: () => session.touch() };
      case "regenerate":
        move(0);
        return { ...write, call: () => session.regenerate() };
      case "regenerateWithGrace":
        move(GRACE);
        return { ...write, call: () => session.regenerate({ graceSeconds: GRACE }) };
      case "signIn": {
        move(0);
        const principal = world.newValue();
        onRegister(PRINCIPAL, principal);
        return { ...write, call: () => session.regenerate({ principal }) };
      }
      default:
        return {
          ...write,
          call: () => {
            this.#destroyed = true;
            if (this.#life !== undefined) this.#life.destroying = true;
            return session.destroy();
          },
        };
    }
  }

  /** A write has ended. */
  #ended(write: Write, outcome: { value: unknown } | Error | undefined): void {
    const world = this.#world;
    const life = this.#life;
    const ended = world.step();
    if (write.move !== undefined) life?.moves.delete(write.move);
    if (outcome instanceof Error) {
      this.#log(`${write.what}: ${outcome.name}`);
      this.#expect(outcome instanceof SessionGoneError, `${write.what} failed: ${outcome}`);
      const alive = write.held !== undefined && isAlive(write.held, world.now, this.#number, write.until);
      this.#expect(this.#destroyed || !alive, `${write.what} was refused, and the session lives`);
      for (const [key, step] of write.steps) life?.forget(key, step);
      if (write.move !== undefined) this.#moves.splice(this.#moves.indexOf(write.move), 1);
      return;
    }
    this.#log(`${write.what}: done`);
    this.#expect(write.destroys || !write.tooLate, `${write.what} succeeded, and the session or its id was dead`);
    for (const [, step] of write.steps) Object.assign(step, { ended, maybe: false });
    if (outcome !== undefined) write.learn?.(outcome.value);
    if (life === undefined || !write.destroys || write.held === undefined) return;
    if (isReached(write.held, world.now, this.#number)) life.destroyed = true;
  }

  /** The request is over: all that it did not wait for has ended. */
  async #finish(post: () => void | Promise<void>): Promise<unknown> {
    let error: unknown;
    try {
      await post();
    } catch (thrown) {
      error = thrown;
      this.#log(`fails with ${thrown}`);
      this.#expect(this.#forgotten.length > 0 && thrown instanceof SessionGoneError, `the request failed: ${thrown}`);
    }
    for (const write of this.#forgotten) {
      if (error === undefined || write.destroys) {
        this.#ended(write, undefined);
        continue;
      }
      // Which of them failed, nobody was told.
      if (write.move !== undefined) this.#life?.moves.delete(write.move);
      for (const [, step] of write.steps) step.ended = this.#world.step();
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
      return this.#expect(sid === "" && cookie?.attributes["max-age"] === "0", "the cookie was not cleared");
    }
    this.#expect(sid !== "", "a cookie was cleared and nobody asked for it");
    const hash = sid === undefined ? undefined : signer.eventHash(sid);
    const hasEnded = session.expiresAt === undefined && this.#life !== undefined;
    // Where the session is merely too old, its cookie does no harm.
    const isGone = hasEnded && this.#world.now < this.#until;
    this.#expect(!isGone || sid === undefined, "a request that knows that its session is gone hands its cookie out");
    if (this.#own !== undefined) {
      // Where the request has learnt of a later id, its own cookie would replace that one in the browser.
      const isReplaced = signer.eventHash(session.sessionId) !== this.#own;
      const isMissing = hash === undefined && !hasEnded && !isReplaced;
      this.#expect(!isMissing, "a response lacks the cookie of the id that the request made");
      this.#expect(
        hash === undefined || hash === this.#own,
        "a response has the cookie of an id that another request made",
      );
    } else if (sid !== undefined) {
      this.#expect(this.#world.options.rolling === true, "a response has a cookie that nobody asked for");
      this.#expect(
        !this.#graced && sid === this.#presented?.split(".")[0],
        "a request with an old id was given the new one",
      );
    }
  }

  /** Takes an event of its own middleware. */
  hear(event: SessionEvent): void {
    if (event.type !== "renewed" || this.#life === undefined) return;
    const { now } = this.#world;
    const previous = this.#world.idOf(event.previous, this.#life);
    const id = this.#world.idOf(event.session, this.#life);
    this.#expect(previous.next === undefined, "one id was replaced twice");
    const { grace, graceFrom } = this.#moves.shift() ?? this.#renewal;
    this.#log(`renews the id with ${grace / 1000} seconds of grace`);
    previous.next = { id, by: this.#number, graceFrom, graceTo: now + grace };
    this.#life.moved.push({ by: this.#number, graceFrom });
    this.#own = event.session;
  }

  /** A new visitor has written: from here on there is a session. */
  #wasBegun(session: Session): void {
    const world = this.#world;
    this.#expect(session.isNew, "a session began that was there");
    this.#life = new Life(world.options, world.now);
    world.lives.push(this.#life);
    this.#own = signer.eventHash(session.sessionId);
    this.#expect(!world.ids.has(this.#own), "an id was used again");
    world.idOf(this.#own, this.#life);
    this.#log(`begins session ${world.lives.length - 1}`);
  }

  #lookAtDeadline(session: Session): void {
    if (session.expiresAt !== undefined) this.#until = Number(session.expiresAt);
  }

  #move(seconds: number): Move {
    return { by: this.#number, grace: seconds * 1000, graceFrom: this.#world.now + seconds * 1000 };
  }

  #log(what: string): void {
    this.#world.log.push(`${this.#world.now % 1e7 / 1000} s: request ${this.#number} ${what}`);
  }

  #expect(truth: boolean, otherwise: string): asserts truth {
    this.#world.expect(truth, `request ${this.#number}: ${otherwise}`);
  }
}

/** Runs a few waves of requests and then looks at what is left. */
async function live(
  raw: SessionStore,
  options: Partial<SessionOptions>,
  waves: Request[][],
  scheduler: fc.Scheduler,
): Promise<void> {
  using clock = new FakeClock();
  const world = new World(clock, options, raw);
  for (const client of [0, 1]) {
    // It takes a while, so that a session is soon due for its renewal, where that is asked for.
    const kinds: Act["kind"][] = ["set", "signIn", "tick"];
    const acts = kinds.map((kind): Act => ({ kind, key: "a", awaited: true, seconds: 20 }));
    await world.request({ client, age: 0, acts });
  }

  world.scheduler = scheduler;
  for (const wave of waves) {
    await scheduler.waitFor(Promise.all(wave.map((request) => world.request(request))));
  }
  world.scheduler = undefined;

  for (const seconds of [0, GRACE, RENEWAL_GRACE, 24 * 60 * 60]) {
    clock.tick(seconds * 1000);
    await world.audit();
  }
  world.explain();
  if (world.failure !== undefined) throw world.failure;
}

/** Collects the rejections that nobody handles: Deno would end the process. */
class Unhandled implements Disposable {
  #reasons: unknown[] = [];
  readonly #listener = (event: PromiseRejectionEvent): void => {
    event.preventDefault();
    this.#reasons.push(event.reason);
  };

  constructor() {
    addEventListener("unhandledrejection", this.#listener);
  }

  /** Fails where there was one since the last call. */
  async check(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    const reasons = this.#reasons;
    this.#reasons = [];
    if (reasons.length > 0) throw new Error(`nobody handled ${reasons.join(", ")}`);
  }

  [Symbol.dispose](): void {
    removeEventListener("unhandledrejection", this.#listener);
  }
}

for (const [name, make] of STORES) {
  Deno.test(`Session on ${name} keeps to the model in ${RUNS} random lives`, async () => {
    console.log(`replay with FC_SEED=${SEED}`);
    using unhandled = new Unhandled();
    const property = fc.asyncProperty(
      arbitraryOptions,
      arbitraryWaves,
      fc.scheduler(),
      async (options, waves, scheduler) => {
        await live(make(), options, waves, scheduler);
        await unhandled.check();
      },
    );
    await fc.assert(property, { seed: SEED, numRuns: RUNS });
  });

  Deno.test(`Session.update() on ${name}: of 1,000 concurrent increments in 100 requests none is lost`, async () => {
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
    // Each of them saw another number.
    assertEquals(seen.flat().sort((a, b) => a - b), Array.from({ length: 1000 }, (_, i) => i + 1));
    await visit(middleware, { cookie }, async ({ security: { session } }) => {
      assertEquals(await session.get("n"), 1000);
    });
  });

  Deno.test(`Session.take() on ${name}: of 100 concurrent takers one gets the value`, async () => {
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
