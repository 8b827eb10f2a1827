/**
 * The reports of a store about changes, over a watch that is opened again if it is lost.
 *
 * @module
 */
import { SessionStoreError } from "../errors.ts";
import type { SessionStore } from "../session_store.ts";
import { nameOf } from "../util/describe_value.ts";
import { noop } from "../util/maybe_promise.ts";
import { isWatchedStore, type Watch } from "../watched_store.ts";

/** How long a store may take to confirm that it reports changes, in milliseconds. */
const ANSWER_MS = 5000;

/** How long a store may fail to confirm it before the watch is replaced, in milliseconds. */
const MAX_UNCONFIRMED_MS = 60_000;

/** How long to wait before a store that refused to report changes is asked again, in milliseconds. */
const RETRY_MS = 60_000;

/** Receives the changes. */
export interface WatchListener {
  /** @param key the key of one session; `undefined` if any of them may have changed */
  onChanged(key: string | undefined): void;
  /** The store has begun to report changes. It has not reported earlier ones. */
  onOpened(): void;
}

/** The time at which something happened, by two clocks. */
interface Moment {
  /** By the clock that is never adjusted, but may stand still while the machine is suspended. */
  readonly steady: number;
  readonly wall: number;
}

/**
 * The watch of a store, which is opened again if it is lost. It is open while there are listeners.
 * Nothing happens if the store has no `watch()`.
 */
export class StoreWatch {
  /** Receives the error if the store does not report changes. */
  report: (error: SessionStoreError) => void = noop;
  readonly #store: SessionStore;
  readonly #listeners = new Set<WatchListener>();
  #watch: Watch | undefined;
  #isOpening = false;
  #retryAt = -Infinity;
  #isConfirmed = false;
  /** When the store was last asked whether it reports changes, by the steady clock. */
  #askedAt = -Infinity;
  /** The question that the store has not answered yet. */
  #question: Moment | undefined;
  /** The last question that it has answered. */
  #confirmed: Moment | undefined;
  /** Since when it has failed to confirm that it reports changes, by the steady clock. */
  #unconfirmedSince: number | undefined;
  /** The last refusal that was reported. */
  #reported: string | undefined;

  constructor(store: SessionStore) {
    this.#store = store;
  }

  /** Whether the store has confirmed, when it was last asked, that it reports changes. */
  get isConfirmed(): boolean {
    return this.#isConfirmed;
  }

  /**
   * How long ago the store was asked whether it has reported every change, and has then confirmed
   * it, in milliseconds. `Infinity` if it has not, or if changes may have been missed since.
   *
   * It counts from the question: a change that was made between the two may not have been reported.
   */
  get confirmedAge(): number {
    const confirmed = this.#confirmed;
    if (confirmed === undefined) return Infinity;
    return Math.max(performance.now() - confirmed.steady, Date.now() - confirmed.wall);
  }

  /** Returns what the store calls a session when it reports a change. */
  keyOf(sid: string): string {
    return this.#watch?.keyOf(sid) ?? sid;
  }

  /** Calls a listener for each change from now on, or from when the store has begun to report them. */
  add(listener: WatchListener): void {
    this.#listeners.add(listener);
    this.#open();
  }

  /** Ends the watch if there is no other listener. */
  remove(listener: WatchListener): void {
    this.#listeners.delete(listener);
    if (this.#listeners.size === 0) this.#close();
  }

  /**
   * Asks the store whether it has reported every change, unless it was asked lately. Watches it
   * again if the watch was lost.
   *
   * @param interval what "lately" means, in milliseconds
   */
  confirm(interval: number): void {
    if (this.#watch === undefined) return this.#open();
    const now = performance.now();
    if (this.#question !== undefined) {
      if (now - this.#question.steady >= ANSWER_MS) this.#onUnconfirmed();
    } else if (now - this.#askedAt >= interval) void this.#ask(this.#watch);
  }

  async #ask(watch: Watch): Promise<void> {
    const question = this.#question = { steady: performance.now(), wall: Date.now() };
    this.#askedAt = question.steady;
    const hasSucceeded = await Promise.try(() => watch.confirm()).then(() => true, () => false);
    // Changes may have been missed meanwhile, or the question was given up.
    if (question !== this.#question) return;
    if (!hasSucceeded) return this.#onUnconfirmed();
    this.#question = this.#unconfirmedSince = undefined;
    this.#confirmed = question;
    this.#isConfirmed = true;
  }

  #onUnconfirmed(): void {
    this.#forget();
    this.#unconfirmedSince ??= this.#askedAt;
    // The store may have been closed and opened again.
    if (performance.now() - this.#unconfirmedSince >= MAX_UNCONFIRMED_MS) this.#close();
  }

  /** Until the store confirms again that it reports changes. */
  #forget(): void {
    this.#question = this.#confirmed = undefined;
    this.#isConfirmed = false;
  }

  /** Begins to watch the store, unless it is watched or has refused it lately. */
  #open(): void {
    const store = this.#store;
    if (this.#watch !== undefined || this.#isOpening || performance.now() < this.#retryAt) return;
    if (!isWatchedStore(store)) return;
    this.#isOpening = true;
    Promise.try(() => store.watch((key) => this.#onChanged(key))).then((watch) => {
      this.#isOpening = false;
      this.#watch = watch;
      if (this.#listeners.size === 0) return this.#close();
      this.#forget();
      this.#isConfirmed = true;
      this.#askedAt = -Infinity;
      this.#unconfirmedSince = this.#reported = undefined;
      for (const listener of this.#listeners) listener.onOpened();
    }, (cause) => {
      this.#isOpening = false;
      this.#retryAt = performance.now() + RETRY_MS;
      this.#reportRefusal(cause);
    });
  }

  #close(): void {
    const watch = this.#watch;
    this.#watch = undefined;
    this.#forget();
    if (watch !== undefined) Promise.try(() => watch[Symbol.asyncDispose]()).then(noop, noop);
  }

  #onChanged(key: string | undefined): void {
    if (key === undefined) {
      this.#forget();
      this.#askedAt = -Infinity;
    }
    for (const listener of this.#listeners) listener.onChanged(key);
  }

  /** Passes on why the store does not report changes, once for each reason. */
  #reportRefusal(cause: unknown): void {
    const reason = String(cause);
    if (reason === this.#reported) return;
    this.#reported = reason;
    const meanwhile = "until it does, the cache answers no lookup, and sessions whose signal is in use are looked up " +
      "every few seconds";
    const message =
      `Cannot watch: ${nameOf(this.#store)} does not report changes; ${meanwhile}; see \`cause\` for what ` +
      "to check";
    this.report(new SessionStoreError("watch", message, { cause }));
  }
}
