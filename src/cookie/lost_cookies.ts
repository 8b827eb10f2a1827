/**
 * Finds session cookies that were set and never sent.
 *
 * @module
 */
import type { HttpContext } from "../../deps.ts";
import type { Reporter, SessionCookieLost } from "../events.ts";
import type { CookieWarnings } from "./cookie_warnings.ts";

/** Alosaur merges the response within this many microtasks after `onPostRequest`. */
const MERGE_MICROTASK_LIMIT = 20;

/** After this time without being sent, a cookie counts as lost, in milliseconds. */
const UNSENT_MS = 5_000;

/** A cookie that Alosaur is expected to send. */
interface ExpectedCookie {
  readonly context: HttpContext;
  readonly value: string;
  readonly setAt: number;
}

/**
 * Reports lost cookies as an event, and as a warning for developers.
 *
 * If a later middleware returns a response, Alosaur sends it and calls nothing of ours any more. A
 * cookie that was not sent within 5 seconds therefore counts as lost. There is no timer: the next
 * request reports it.
 */
export class LostCookies {
  readonly #warnings: CookieWarnings;
  readonly #reporter: Reporter;
  /** In the order in which the cookies were set. */
  readonly #expected = new Map<object, ExpectedCookie>();

  constructor(warnings: CookieWarnings, reporter: Reporter) {
    this.#warnings = warnings;
    this.#reporter = reporter;
  }

  /** Remembers a cookie that was set, until it is sent. */
  expect(cookie: object, context: HttpContext, value: string): void {
    if (this.#reporter.isListening || this.#warnings.isEnabled(context)) {
      // A cookie that is set again moves to the end.
      this.#expected.delete(cookie);
      this.#expected.set(cookie, { context, value, setAt: Date.now() });
    }
  }

  markSent(cookie: object): void {
    if (this.#expected.size > 0) this.#expected.delete(cookie);
  }

  /** Reports the cookies that should have been sent by now. */
  reportUnsent(): void {
    if (this.#expected.size > 0) this.#reportOldest();
  }

  #reportOldest(): void {
    const before = Date.now() - UNSENT_MS;
    for (const [cookie, { context, value, setAt }] of this.#expected) {
      if (setAt > before) return;
      this.#expected.delete(cookie);
      this.report("unsent", context, value);
    }
  }

  /** Reports the cookie of a request whose action threw, unless it is sent nevertheless. */
  async reportUnsentAfterError(cookie: object): Promise<void> {
    const expected = this.#expected.get(cookie);
    if (expected === undefined) return;
    for (let i = 0; i < MERGE_MICROTASK_LIMIT; i++) await undefined;
    if (!this.#expected.delete(cookie)) return;
    this.report("error", expected.context, expected.value);
  }

  report(reason: SessionCookieLost["reason"], context: HttpContext, value: string): void {
    this.#warnings.warnLost(context, reason);
    this.#reporter.emitCookieLost(reason, value.slice(0, value.indexOf(".")));
  }
}
