/**
 * A process with a `SessionCache`, its store, and another process that writes to the store. A test
 * decides the order of everything that happens, and the rules that a cache keeps are checked.
 *
 * @module
 */
import { MemoryStore, type RecordMove, type Watch } from "../../mod.ts";
import type { RecordAnswer } from "../../src/session_store.ts";
import type { LookupHit, LookupMiss, SessionRef } from "../../src/persistence/lookup.ts";
import type { SessionRepository } from "../../src/persistence/session_repository.ts";
import { assert } from "./assert.ts";
import { microtasks } from "./microtasks.ts";

/** `staleSeconds`, in milliseconds. */
export const BOUND_MS = 1000;

/** How long a session lasts, in milliseconds. */
const LIFETIME_MS = 2500;

/** How long it lasts if it is extended, in milliseconds. */
const EXTENDED_MS = 100_000;

/** A step that a test takes. Most steps choose something that is pending by a number. */
export type Step =
  | [name: "lookUp" | "setHere" | "moveHere" | "deleteHere", session: number]
  | [name: "setThere" | "moveThere" | "deleteThere" | "extendThere", session: number]
  | [name: "execute" | "answer" | "confirm" | "refuse", pending: number]
  | [name: "tick" | "suspend" | "setClockBack", milliseconds: number]
  | [name: "finish" | "clearHere" | "clearThere" | "report" | "lose" | "fallSilent" | "listen", unused: number];

/** A call that the store has received. */
interface Call {
  /** Reads or changes the records. */
  execute(): Promise<() => void>;
  /** Sends the answer; `undefined` before the call was executed. */
  answer: (() => void) | undefined;
}

/** One state of an id. Each write begins another one. */
interface State {
  /** The version of the record; `Infinity` if the id has none any more. */
  readonly version: number;
  /** When its acknowledgement reached the process that wrote it, by real time; `undefined` before that. */
  acknowledged: number | undefined;
  /** Whether the process with the cache wrote it. */
  readonly isOwn: boolean;
}

/** A question on the connection over which the store reports changes. */
interface Question {
  /** How many notices were on their way when it was asked. */
  notices: number;
  readonly outcome: PromiseWithResolvers<void>;
}

/** The clocks of the process, and the real time. */
export class Clocks implements Disposable {
  /** The real time. */
  now = 0;
  wall = Date.UTC(2030, 0, 1);
  steady = 0;
  readonly #real = [Date.now, performance.now] as const;

  constructor() {
    Date.now = () => this.wall;
    performance.now = () => this.steady;
  }

  [Symbol.dispose](): void {
    [Date.now, performance.now] = this.#real;
  }
}

/** Plays the steps of one round. */
export class CacheWorld {
  readonly #clocks: Clocks;
  readonly #repository: SessionRepository;
  readonly #backend = new MemoryStore();
  readonly #calls: Call[] = [];
  readonly #questions: Question[] = [];
  /** What the store has reported and the process has not received yet. */
  #notices: (string | undefined)[] = [];
  #changed: ((key: string | undefined) => void) | undefined;
  #connection: "listens" | "silent" | "lost" = "listens";
  /** The current id of each session. */
  readonly #ids: string[] = [];
  readonly #sessions: string[][] = [];
  /** The states of each id, the first one first. */
  readonly #states = new Map<string, State[]>();
  #lastId = 0;
  /** How many writes of this process are running, by id. */
  readonly #writing = new Map<string, number>();
  /** What happens to the clocks in this round. */
  #disturbance: "suspend" | "setClockBack" | undefined;
  #violation: string | undefined;
  /** How many lookups were answered from memory. */
  hits = 0;

  constructor(clocks: Clocks, makeRepository: (store: MemoryStore) => SessionRepository) {
    this.#clocks = clocks;
    this.#repository = makeRepository(this.#store());
  }

  /** Creates the sessions. */
  async start(sessions: number): Promise<void> {
    for (let i = 0; i < sessions; i++) await this.#createSession(i);
    // The first one opens the watch, and the second one asks for a confirmation.
    for (let i = 0; i < 2; i++) {
      this.#cached("none");
      await microtasks();
    }
    await this.play(["confirm", 0]);
  }

  async play([name, n]: Step): Promise<void> {
    const session = n % this.#ids.length;
    const sid = this.#ids[session] ?? "";
    if (name === "lookUp") void this.#lookUp(this.#sessions[session]?.at(n % 2 === 0 ? -1 : -2) ?? sid);
    else if (name === "execute") await this.#execute(this.#pick(this.#calls.filter(({ answer }) => !answer), n));
    else if (name === "answer") this.#answer(this.#pick(this.#calls.filter(({ answer }) => answer), n));
    else if (name === "confirm" || name === "refuse") this.#settle(this.#pick(this.#questions, n), name === "confirm");
    else if (name.endsWith("Here")) this.#writeHere(name, sid, session);
    else if (name.endsWith("There")) await this.#writeThere(name, sid, session);
    else if (name === "report") this.#report();
    else if (name === "finish") await this.#finish();
    else if (name === "tick" || name === "suspend" || name === "setClockBack") this.#pass(name, n);
    else this.#setConnection(name);
    await microtasks();
    for (const id of this.#ids) {
      if (this.#cached(id) === undefined) continue;
      if (this.#connection === "lost") this.#violation ??= "a session was kept although the connection is lost";
      if (this.#writing.get(id)) this.#violation ??= "a session was kept during a write of this process";
    }
    assert(this.#violation === undefined, this.#violation);
  }

  /** A store that receives calls, and executes and answers them when the test says so. */
  #store(): MemoryStore {
    const backend = this.#backend;
    const isWrite = new Set(["setValue", "changeRecord", "moveRecord", "delete", "clear"]);
    return new Proxy(backend, {
      get: (_, name): unknown => {
        if (name === "watch") return (changed: (key: string | undefined) => void) => this.#watch(changed);
        const method: unknown = Reflect.get(backend, name);
        if (typeof method !== "function") return method;
        if (name !== "readRecord" && !isWrite.has(String(name))) return method.bind(backend);
        return (...args: unknown[]) => this.#receive(String(name), args as [string]);
      },
    });
  }

  #receive(name: string, args: [sid: string]): Promise<unknown> {
    const outcome = Promise.withResolvers<unknown>();
    const execute = async (): Promise<() => void> => {
      const method = Reflect.get(this.#backend, name) as (...args: unknown[]) => Promise<unknown>;
      try {
        const answer = await method.apply(this.#backend, args);
        const result = name === "readRecord" ? withVersion(answer as RecordAnswer) : answer;
        const written = name === "readRecord" ? [] : await this.#note(name, args[0], true);
        return () => {
          for (const state of written) state.acknowledged = this.#clocks.now;
          outcome.resolve(result);
        };
      } catch (error) {
        return () => outcome.reject(error);
      }
    };
    this.#calls.push({ execute, answer: undefined });
    return outcome.promise;
  }

  #watch(changed: (key: string | undefined) => void): Promise<Watch> {
    this.#changed = changed;
    this.#connection = "listens";
    this.#questions.length = 0;
    return Promise.resolve({
      keyOf: (sid) => `#${sid}`,
      confirm: () => {
        if (this.#connection === "lost") return Promise.reject(new Error("lost"));
        const question = { notices: this.#notices.length, outcome: Promise.withResolvers<void>() };
        this.#questions.push(question);
        return question.outcome.promise;
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
  }

  async #createSession(session: number): Promise<void> {
    const sid = this.#newId(session);
    const now = this.#clocks.wall;
    await this.#backend.createRecord(sid, {
      values: new Map(),
      expiresAt: now + LIFETIME_MS,
      meta: { createdAt: now, seenAt: now, renewedAt: now },
    });
  }

  /** Notes what a write has changed, and sends the notices. */
  async #note(name: string, sid: string, isOwn: boolean): Promise<State[]> {
    const isClear = name === "clear";
    if (this.#connection === "listens") this.#notices.push(isClear ? undefined : `#${sid}`);
    const written: State[] = [];
    for (const id of isClear ? this.#ids : [sid]) {
      const answer = await this.#backend.readRecord(id);
      const version = answer !== undefined && "values" in answer ? answer.version : Infinity;
      const state: State = { version, acknowledged: undefined, isOwn };
      this.#states.set(id, [...this.#states.get(id) ?? [], state]);
      written.push(state);
    }
    return written;
  }

  #cached(sid: string): LookupHit | undefined {
    return this.#repository.cached(sid);
  }

  async #lookUp(sid: string): Promise<void> {
    // What has been acknowledged until now, and what has been for longer than the bound.
    const { now } = this.#clocks;
    const isDue = ({ acknowledged = Infinity, isOwn }: State): boolean =>
      isOwn ? acknowledged < Infinity : acknowledged < now - BOUND_MS;
    const due = new Map(this.#states.entries().map(([id, states]) => [id, states.findLast(isDue)]));
    const hit = this.#cached(sid);
    if (hit !== undefined) {
      this.hits++;
      if (this.#clocks.wall >= hit.record.expiresAt) this.#violation ??= "a record was returned after its expiry";
      this.#check(hit, due);
    }
    const found = await Promise.resolve(this.#repository.readCached(sid)).catch(() => "unknown" as const);
    this.#check(found, due);
  }

  /** @param due the state of each id that a lookup must not miss */
  #check(found: LookupHit | LookupMiss, due: ReadonlyMap<string, State | undefined>): void {
    if (typeof found === "string") return;
    const version = Number(found.record.values.get("version"));
    const state = due.get(found.id);
    if (state === undefined || version >= state.version) return;
    this.#violation ??= `a lookup missed a change of ${state.isOwn ? "this" : "another"} process`;
  }

  #writeHere(name: string, sid: string, session: number): void {
    const ref: SessionRef = { id: sid, viaOldId: false };
    const sids = [sid];
    let write: () => unknown;
    if (name === "setHere") write = () => this.#repository.set(ref, "set", "n", 1);
    else if (name === "moveHere") {
      const newSid = this.#newId(session);
      sids.push(newSid);
      write = () => this.#repository.move(ref, newSid, this.#move());
    } else if (name === "deleteHere") write = () => this.#repository.delete(sid, "destroyed");
    else {
      sids.push(...this.#ids);
      write = () => this.#repository.administration.revokeEverybody();
    }
    for (const id of sids) this.#writing.set(id, (this.#writing.get(id) ?? 0) + 1);
    // It ends when the cache lets the caller go on.
    void Promise.try(write).catch(() => {}).finally(() => {
      for (const id of sids) this.#writing.set(id, (this.#writing.get(id) ?? 1) - 1);
    });
  }

  async #writeThere(name: string, sid: string, session: number): Promise<void> {
    const backend = this.#backend;
    if (!(await backend.exist(sid))) return;
    if (name === "setThere") await backend.setValue(sid, "n", 1);
    else if (name === "extendThere") await backend.changeRecord(sid, { expiresAt: this.#clocks.wall + EXTENDED_MS });
    else if (name === "moveThere") await backend.moveRecord(sid, this.#newId(session), this.#move());
    else if (name === "deleteThere") await backend.delete(sid);
    else await backend.clear();
    const written = await this.#note(name === "clearThere" ? "clear" : "write", sid, false);
    for (const state of written) state.acknowledged = this.#clocks.now;
  }

  #move(): RecordMove {
    return { meta: {}, graceUntil: this.#clocks.wall + 2 * BOUND_MS };
  }

  #newId(session: number): string {
    const sid = `session ${session}, id ${this.#lastId++}`;
    this.#ids[session] = sid;
    (this.#sessions[session] ??= []).push(sid);
    return sid;
  }

  async #execute(call: Call | undefined): Promise<void> {
    if (call !== undefined) call.answer = await call.execute();
  }

  /** Executes and answers every call, confirms that everything was reported, and replaces sessions that have ended. */
  async #finish(): Promise<void> {
    for (let call = this.#calls[0]; call !== undefined; call = this.#calls[0]) {
      if (call.answer === undefined) await this.#execute(call);
      this.#answer(call);
      await microtasks();
    }
    for (const question of [...this.#questions]) this.#settle(question, true);
    for (const [session, sid] of this.#ids.entries()) {
      if (!(await this.#backend.exist(sid))) await this.#createSession(session);
    }
  }

  #answer(call: Call | undefined): void {
    if (call === undefined) return;
    this.#calls.splice(this.#calls.indexOf(call), 1);
    call.answer?.();
  }

  /** The answer comes after the notices that were on their way when the question was asked. */
  #settle(question: Question | undefined, isConfirmed: boolean): void {
    if (question === undefined || (isConfirmed && this.#connection === "silent")) return;
    while (isConfirmed && question.notices > 0) this.#report();
    this.#questions.splice(this.#questions.indexOf(question), 1);
    if (isConfirmed) question.outcome.resolve();
    else question.outcome.reject(new Error("not confirmed"));
  }

  #report(): void {
    if (this.#notices.length === 0 || this.#connection === "silent") return;
    const key = this.#notices.shift();
    for (const question of this.#questions) question.notices--;
    this.#changed?.(key);
  }

  #pass(name: "tick" | "suspend" | "setClockBack", milliseconds: number): void {
    // No clock would notice the time if one stands still and the other is set back.
    if (name !== "tick" && name !== (this.#disturbance ??= name)) return;
    if (name === "setClockBack") this.#clocks.wall -= milliseconds;
    else {
      this.#clocks.now += milliseconds;
      this.#clocks.wall += milliseconds;
      if (name === "tick") this.#clocks.steady += milliseconds;
    }
  }

  #setConnection(name: string): void {
    if (name === "fallSilent" && this.#connection === "listens") {
      this.#connection = "silent";
      this.#notices = [];
    } else if (name === "lose" && this.#connection !== "lost") {
      // The answer to a question may have been received already, unless a notice should have come
      // first.
      for (const question of [...this.#questions]) {
        if (this.#connection === "silent" || question.notices > 0) this.#settle(question, false);
      }
      this.#connection = "lost";
      this.#notices = [];
      this.#changed?.(undefined);
    } else if (name === "listen" && this.#connection === "lost") {
      this.#connection = "listens";
      this.#changed?.(undefined);
    }
  }

  #pick<T>(list: readonly T[], n: number): T | undefined {
    return list[n % Math.max(list.length, 1)];
  }
}

/** Adds the version of a record to its values, because the cache does not keep it. */
function withVersion(answer: RecordAnswer): RecordAnswer {
  if (answer === undefined || !("values" in answer)) return answer;
  const { values, expiresAt, meta, version } = answer;
  return { values: new Map(values).set("version", version), expiresAt, meta, version };
}
