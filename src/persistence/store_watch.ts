/**
 * Keeps a store telling of changes.
 *
 * @module
 */
import { SessionStoreError } from "../errors.ts";
import type { SessionStore } from "../session_store.ts";
import { noop } from "../util/maybe_promise.ts";
import { isWatchedStore, type Watch } from "../watched_store.ts";

/** After how many ticks a store is asked again whether it tells of changes. */
const CONFIRM_TICKS = 5;

/** How often in a row a store may fail to confirm it, before the watch is replaced. */
const MAX_UNCONFIRMED = 12;

/** How long to wait before a store that refused to tell of changes is asked again, in milliseconds. */
const RETRY_MS = 60_000;

/** The watch of a store, which is opened again if it is lost. Nothing happens if the store has none. */
export class StoreWatch {
  /** Reports that the store does not tell of changes. */
  report: (error: SessionStoreError) => void = noop;
  readonly #store: SessionStore;
  readonly #onChanged: (key: string | undefined) => void;
  readonly #onOpened: () => void;
  #watch: Watch | undefined;
  #isOpening = false;
  #retryAt = -Infinity;
  #isTold = false;
  /** How many ticks ago the store was asked whether it tells of changes. */
  #age = 0;
  /** Whether it has not answered that question yet. */
  #isAsking = false;
  /** How often in a row it has failed to confirm it. */
  #unconfirmed = 0;
  /** The last refusal that was reported. */
  #reported: string | undefined;

  /**
   * @param onChanged as the argument of `WatchedStore.watch()`
   * @param onOpened is called when the store has begun to tell of changes
   */
  constructor(store: SessionStore, onChanged: (key: string | undefined) => void, onOpened: () => void) {
    this.#store = store;
    this.#onChanged = (key): void => {
      if (key === undefined) {
        // Until the store confirms that it tells of changes again.
        this.#isTold = false;
        this.#age = Infinity;
      }
      onChanged(key);
    };
    this.#onOpened = onOpened;
  }

  /** Whether the store has confirmed, when it was last asked, that it tells of changes. */
  get isTold(): boolean {
    return this.#isTold;
  }

  /** Returns what the store calls a session when it tells of a change. */
  keyOf(sid: string): string {
    return this.#watch?.keyOf(sid) ?? sid;
  }

  /** Begins to watch the store, unless it is watched or has refused it lately. */
  open(): void {
    const store = this.#store;
    if (this.#watch !== undefined || this.#isOpening || performance.now() < this.#retryAt) return;
    if (!isWatchedStore(store)) return;
    this.#isOpening = true;
    Promise.try(() => store.watch(this.#onChanged)).then((watch) => {
      this.#isOpening = false;
      this.#watch = watch;
      this.#isTold = true;
      this.#age = this.#unconfirmed = 0;
      this.#reported = undefined;
      this.#onOpened();
    }, (cause) => {
      this.#isOpening = false;
      this.#retryAt = performance.now() + RETRY_MS;
      this.#reportRefusal(cause);
    });
  }

  /** Asks the store every few ticks whether it still tells of changes. */
  tick(): void {
    if (this.#watch === undefined) this.open();
    else if (++this.#age >= CONFIRM_TICKS) void this.#confirm(this.#watch);
  }

  /** Ends the watch. */
  close(): void {
    const watch = this.#watch;
    this.#watch = undefined;
    this.#isTold = this.#isAsking = false;
    if (watch !== undefined) Promise.try(() => watch[Symbol.asyncDispose]()).then(noop, noop);
  }

  async #confirm(watch: Watch): Promise<void> {
    this.#age = 0;
    if (this.#isAsking) return this.#setTold(false);
    this.#isAsking = true;
    const isConfirmed = await Promise.try(() => watch.confirm()).then(() => true, () => false);
    if (watch !== this.#watch) return;
    this.#isAsking = false;
    this.#setTold(isConfirmed);
  }

  #setTold(isTold: boolean): void {
    this.#isTold = isTold;
    this.#unconfirmed = isTold ? 0 : this.#unconfirmed + 1;
    // The store may have been closed and opened again.
    if (this.#unconfirmed >= MAX_UNCONFIRMED) this.close();
  }

  /** Reports why the store does not tell of changes, once for each reason. */
  #reportRefusal(cause: unknown): void {
    const reason = String(cause);
    if (reason === this.#reported) return;
    this.#reported = reason;
    const advice = "sessions whose signal is in use are looked up every few seconds instead";
    this.report(
      new SessionStoreError("watch", `Cannot watch: the store does not tell of changes; ${advice}`, { cause }),
    );
  }
}
