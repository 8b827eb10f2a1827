/**
 * The middleware: from a request's cookie to its session, and from the session to the response.
 *
 * @module
 */
import type { HttpContext, MiddlewareTarget } from "../deps.ts";
import { SessionCookie } from "./cookie.ts";
import { SessionStoreError } from "./errors.ts";
import { Reporter } from "./events.ts";
import { deadline, readOptions, type SessionOptions, type Settings } from "./options.ts";
import { Security } from "./security_context.ts";
import { beginSession, Session, type SessionHost } from "./session.ts";
import type { SessionRecord, SessionStore } from "./session_store.ts";
import { Signer, type VerifiedId } from "./signature.ts";
import { type Records, recordsOf } from "./_records.ts";
import { ResponseCookie } from "./_response_cookie.ts";
import { WriteQueue } from "./_write_queue.ts";

/** A session that a request's cookie names, and that lives. */
interface Found extends VerifiedId {
  record: SessionRecord;
}

/**
 * Gives every request that it sees a session, at `context.security.session`.
 *
 * @example
 * ```ts
 * import { assertEquals } from "jsr:@std/assert@1.0.13";
 * import { MemoryStore, SecurityContext, SessionMiddleware } from "@alosaur/session";
 *
 * const store = new MemoryStore();
 * await store.init();
 * const middleware = new SessionMiddleware(store, { secret: crypto.getRandomValues(new Uint8Array(32)) });
 *
 * const context = new SecurityContext(new Request("http://localhost/"));
 * await middleware.onPreRequest(context);
 * await context.security.session.set("visits", 1);
 * await middleware.onPostRequest(context);
 *
 * assertEquals(context.response.headers.getSetCookie().length, 1);
 * ```
 */
export class SessionMiddleware implements MiddlewareTarget {
  readonly #settings: Settings;
  readonly #signer: Signer;
  readonly #cookie: SessionCookie;
  readonly #records: Records;
  readonly #host: SessionHost;
  readonly #reporter: Reporter;
  readonly #requests = new WeakMap<HttpContext, WriteQueue>();

  /**
   * Checks the store and the options; asks the store nothing.
   *
   * @param store keeps the sessions; call its `init()` before the first request
   * @param options only `secret` is needed
   * @throws {TypeError} if the store lacks one of the eight methods, an option is of the wrong shape, or two contradict each other
   * @throws {RangeError} if an option is out of range
   */
  constructor(store: SessionStore, options: SessionOptions) {
    const settings = readOptions(options);
    const signer = new Signer(settings.name, settings.keys);
    const records = recordsOf(store);
    this.#settings = settings;
    this.#signer = signer;
    this.#cookie = new SessionCookie(settings);
    this.#records = records;
    this.#reporter = new Reporter(settings.onEvent);
    this.#host = {
      name: settings.name,
      store,
      records,
      deadline: () => deadline(settings, Date.now()),
      sign: (id) => signer.sign(id),
    };
  }

  /**
   * Finds the session of a request. Alosaur calls it before the action.
   *
   * @param context the request; its `security` is used where it has one
   * @throws {SessionStoreError} if the cookie is validly signed and the store failed to look its session up
   */
  onPreRequest(context: HttpContext): void | Promise<void> {
    // Registered for two patterns that both match: the first has done it.
    if (this.#requests.has(context)) return;
    const header = context.request.headers.get("cookie");
    const verified = header === null ? [] : this.#verify(this.#cookie.read(header));
    if (verified.length > 0) return this.#find(verified).then((found) => this.#attach(context, found));
    return this.#attach(context, undefined);
  }

  /**
   * Finishes the writes that nobody awaited. Alosaur calls it after the action.
   *
   * @param context the request
   * @throws {SessionError} if a write failed and the application did not hear of it
   */
  onPostRequest(context: HttpContext): void | Promise<void> {
    const writes = this.#requests.get(context);
    if (writes === undefined || writes.isSettled) return;
    // Where the action has thrown, Alosaur would answer with our error in place of the application's own.
    return context.response.error === undefined ? writes.settle() : writes.idle();
  }

  /** Verifies what the client presented. Whatever that is, nothing is thrown and nothing asked of the store. */
  #verify(values: string[]): VerifiedId[] {
    const verified: VerifiedId[] = [];
    for (const value of values) {
      if (!Signer.isWellFormed(value)) {
        this.#reporter.tell({ type: "refused", reason: "malformed" });
        continue;
      }
      const id = this.#signer.verify(value);
      if (id === undefined) this.#reporter.tell({ type: "refused", reason: "signature" });
      // Two secrets can have signed the same id.
      else if (!verified.some((other) => other.id === id.id)) verified.push(id);
    }
    return verified;
  }

  /** Looks verified ids up: the first that lives counts. */
  async #find(verified: VerifiedId[]): Promise<Found | undefined> {
    const live: Found[] = [];
    for (const { found, id } of await Promise.all(verified.map((id) => this.#lookUp(id)))) {
      if (found !== undefined) live.push(found);
      else this.#reporter.tell({ type: "refused", reason: "unknown", session: this.#signer.hash(id) });
    }
    for (const { id } of live.slice(1)) {
      this.#reporter.tell({ type: "refused", reason: "ambiguous", session: this.#signer.hash(id) });
    }
    return live[0];
  }

  async #lookUp(verified: VerifiedId): Promise<{ id: string; found: Found | undefined }> {
    const { id } = verified;
    try {
      const record = await this.#records.read(id);
      return { id, found: record && { ...verified, record } };
    } catch (error) {
      if (error instanceof SessionStoreError) {
        this.#reporter.tell({ type: "storeFailed", operation: "get", error, session: this.#signer.hash(id) });
      }
      throw error;
    }
  }

  /** Puts the session on the context. */
  #attach(context: HttpContext, found: Found | undefined): void | Promise<void> {
    const cookie = new ResponseCookie(context, this.#cookie, (context) => this.#isSecure(context));
    const writes = new WriteQueue((operation, error, awaited) => {
      const hash = session.expiresAt === undefined ? undefined : this.#signer.hash(session.sessionId);
      this.#reporter.writeFailed(operation, error, hash, awaited);
    });
    const session = new Session(this.#host, cookie, writes, found);
    this.#requests.set(context, writes);
    const holder: { security?: { session?: unknown } } = context as HttpContext & { security?: Security };
    // Alosaur's own context has a `security` already; a bare one (no provider, or one that Alosaur ignores) has none.
    (holder.security ??= new Security(context)).session = session;

    if (found?.outdated) cookie.send(this.#signer.sign(found.id), found.record.expiresAt);
    if (found === undefined && this.#settings.saveUninitialized) return beginSession(session);
  }

  /** Tells whether the cookie of this request is for https alone. */
  #isSecure(context: HttpContext): boolean {
    const { secure, trustProxy } = this.#settings;
    if (secure !== undefined) return secure;
    if (context.request.url.startsWith("https:")) return true;
    if (!trustProxy) return false;
    // The first is what the client used, the others are the hops between proxies.
    const [forwarded = ""] = (context.request.headers.get("x-forwarded-proto") ?? "").split(",");
    return forwarded.trim().toLowerCase() === "https";
  }
}
