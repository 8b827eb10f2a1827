/**
 * The options of `SessionMiddleware` and their defaults.
 *
 * @module
 */
import type { SessionEvent } from "./events.ts";
import type { CacheLimits } from "./persistence/session_cache.ts";
import type { SessionSecret } from "./secrets.ts";

/**
 * Whether browsers send the cookie with requests that other sites initiate (RFC 6265bis section
 * 4.1.2.7).
 */
export type SameSite = "Strict" | "Lax" | "None";

/** The options of `SessionMiddleware`. Only `secret` is required. */
export interface SessionOptions {
  /**
   * The secret that signs the session cookie. Use 32 random bytes, and read them from the
   * environment, never from source code. Secrets shorter than 16 bytes cause a warning.
   *
   * An array rotates secrets: the first one signs, and all of them verify. A cookie that was signed
   * with an older secret is signed again with the first one. To rotate, add the new secret at the
   * front, and remove the old one when every session that it signed has ended.
   */
  secret: SessionSecret | readonly SessionSecret[];
  /**
   * The name of the cookie, an RFC 6265 token. Browsers enforce the prefix of a cookie's name
   * (RFC 6265bis section 4.1.3 and draft-ietf-httpbis-layered-cookies-02 section 4.1.3), so the
   * server knows who can have set it:
   *
   * - `__Host-`: requires Secure, `Path=/` and no Domain. Only this host can have set the cookie,
   *   and only over HTTPS. Use it in production: `"__Host-sid"`.
   * - `__Host-Http-`: also requires HttpOnly. No script can have set the cookie either.
   * - `__Secure-`: requires Secure. For a cookie with a Domain or another Path.
   * - `__Http-`: also requires HttpOnly.
   *
   * The options are completed accordingly, and a contradiction throws. Browsers that do not know a
   * prefix treat it as a part of the name.
   *
   * Note: another name is another cookie, so changing it signs all users out.
   *
   * @default {"sid"}
   */
  name?: string;
  /**
   * A fixed time at which every session ends. It sets the Expires attribute of the cookie, and the
   * server enforces it too. It must be in the future. If `maxAge` is given as well, `maxAge` takes
   * precedence (RFC 6265 section 5.3).
   *
   * @default {undefined} the cookie ends with the browser session, and the server keeps the session
   * for a day
   */
  expires?: Date;
  /**
   * How long a session lasts after its first write, in seconds. An integer above 0. It sets the
   * Max-Age attribute of the cookie, and the server enforces it too. Use the shortest lifetime that
   * your users accept.
   *
   * @default {undefined} the cookie ends with the browser session, and the server keeps the session
   * for a day
   */
  maxAge?: number;
  /**
   * Whether `maxAge` counts from the last activity instead of the first write, in the cookie and on
   * the server. Requires `maxAge`.
   *
   * Activity is written at most once per tenth of `maxAge` or `idleTimeout`, whichever is shorter.
   * A session may therefore end early by up to that tenth.
   *
   * @default {false}
   */
  rolling?: boolean;
  /**
   * Ends a session after this long without a request, in seconds (OWASP Session Management, "Idle
   * Timeout"). An integer above 0. As activity is not written on every request, the session may end
   * early by up to a tenth of this time.
   *
   * @default {undefined} no idle timeout
   */
  idleTimeout?: number;
  /**
   * Ends a session this long after its first write, regardless of activity, in seconds (OWASP
   * Session Management, "Absolute Timeout"). An integer above 0.
   *
   * @default {undefined} no absolute timeout
   */
  absoluteTimeout?: number;
  /**
   * Gives a session a new id when it has had its current one for this long, in seconds (OWASP
   * Session Management, "Renewal Timeout"). An integer above 0. Concurrent requests with the old id
   * still find the session for another 30 seconds. Until a request has presented the new id, every
   * request with the old one receives it, because a response may be lost.
   *
   * @default {undefined} only `regenerate()` gives a session a new id
   */
  renewalTimeout?: number;
  /**
   * The maximum number of sessions of one user, an integer above 0. If a sign-in exceeds it, the
   * user's oldest sessions end. With concurrent sign-ins on several servers, one of the new
   * sessions may end at once. Each sign-in lists the user's sessions twice.
   * Requires a store that finds the sessions of a user (`PrincipalStore`).
   *
   * @default {undefined} no limit
   */
  maxSessionsPerPrincipal?: number;
  /**
   * The Domain attribute: a host name, without scheme or port. Browsers send the cookie to this
   * host and to all its subdomains.
   *
   * For an application on several domains, pass a function that returns the domain for a request,
   * or `undefined` to omit the attribute. It is called at most once for each request, and only if
   * the response sets or deletes the cookie. Return only domains that you know, because clients
   * choose the Host header.
   *
   * If the function throws, or returns something other than a host name or `undefined`, the call
   * that needs a cookie rejects with a `TypeError` and changes nothing. `destroy()` ends the
   * session and then rejects. A cookie that is only sent again is left out, and the error is
   * reported.
   *
   * @default {undefined} browsers send the cookie only to the host that set it, which is the
   * narrowest scope
   */
  domain?: string | ((request: Request) => string | undefined);
  /**
   * The Path attribute: browsers send the cookie only with requests to this path and the paths
   * below it. `false` omits the attribute.
   *
   * @default {"/"}
   */
  path?: string | false;
  /**
   * The Secure attribute: whether browsers send the cookie over HTTPS only.
   *
   * @default {undefined} `true` if the request came over HTTPS
   */
  secure?: boolean;
  /**
   * The HttpOnly attribute: whether the cookie is hidden from scripts.
   *
   * @default {true}
   */
  httpOnly?: boolean;
  /**
   * The SameSite attribute: which requests from other sites carry the cookie. `"None"` implies
   * Secure. `false` omits the attribute.
   *
   * @default {"Lax"}
   */
  sameSite?: SameSite | false;
  /**
   * The Partitioned attribute (CHIPS): whether browsers keep a separate cookie for each site that
   * the visitor sees in the address bar. For pages that other sites embed, with `sameSite: "None"`.
   * A session in a frame is then another one on each site. Implies Secure.
   *
   * Note: for the browser, a cookie that was set before this option is a different cookie. It stays
   * until it expires.
   *
   * @default {false}
   */
  partitioned?: boolean;
  /**
   * The Priority attribute: Chromium evicts cookies of a lower priority first if a site has more
   * than 180. Other browsers ignore it.
   *
   * @default {undefined} no attribute, which is as `"Medium"`
   */
  priority?: "Low" | "Medium" | "High";
  /**
   * Whether to trust the header `X-Forwarded-Proto`. A proxy that terminates TLS sets it to `https`
   * if the request came over HTTPS. Enable it only if every request passes through such a proxy.
   * Otherwise clients can forge the header.
   *
   * @default {false}
   */
  trustProxy?: boolean;
  /**
   * Whether a new visitor gets a record and a cookie before anything is written. This also creates
   * a record for every visit of a crawler.
   *
   * @default {false}
   */
  saveUninitialized?: boolean;
  /**
   * Whether to warn in the console about a session cookie that the browser will drop or never
   * receive, and about options that give up protection, once for each cause.
   *
   * @default {undefined} `true` if the host of the request is this machine (`localhost`,
   * 127.0.0.0/8, [::1])
   */
  diagnose?: boolean;
  /**
   * How to handle a request if the store fails to look up its session.
   *
   * - `"fail"`: the request fails with `SessionStoreError`, to which Alosaur responds with status
   *   503.
   * - `"anonymous"`: the request continues without its session. Until it ends, `session.available`
   *   is `false`, reads return no values, every write rejects, and no cookie is set.
   *
   * Note: with `"anonymous"`, nobody is signed in during an outage. If the application stores a
   * restriction in the session, such as a lockout, it does not apply during the outage.
   *
   * @default {"fail"}
   */
  onStoreError?: "fail" | "anonymous";
  /**
   * How long each call of the store may take, in seconds, above 0 and at most 2,147,483. Fractions
   * are allowed.
   *
   * After the timeout the call counts as failed and its result is ignored. Calls that wait for it
   * fail too. The timed-out call may still take effect, and may then overwrite a later write. If
   * several middlewares share a store, the shortest timeout applies.
   *
   * It does not limit `sessions.count()` and `sessions.revokeEverybody()`, which take longer the
   * more sessions there are.
   *
   * It is also how long a call waits for the `update()` of another request to finish. It does not
   * limit the function of an `update()`.
   *
   * @default {undefined} no timeout; if the store hangs, the requests that call it hang too. A call
   * waits for the `update()` of another request for 10 seconds.
   */
  storeTimeout?: number;
  /**
   * Whether a response says `Cache-Control: private` if the action has read the session (a value,
   * `principal`, `expiresAt`, a CSRF token), so that no shared cache gives it to another visitor
   * (RFC 9111 section 5.2.2.7). If the application itself says `private`, `no-store` or `no-cache`,
   * its header is kept. A response that sets the session cookie says `no-store`, unless the
   * application says `private` or `no-store`.
   *
   * @default {true}
   */
  privateResponses?: boolean;
  /**
   * Answers the lookups of requests from memory, as long as the store proves that it reports
   * every change to this process. `{}` enables it with the defaults.
   *
   * A request may then see values and a user that are up to `staleSeconds` old, even if another
   * process has ended the session since. Changes that this process has made through a session or
   * `middleware.sessions` are seen at once. Only lookups are answered from memory. Writes,
   * `update()`, `take()`, `reload()` and lists ask the store, and a write to a session that has
   * ended rejects. Call `reload()` first if an action must not rely on an older state.
   *
   * It needs a store that reports every change: `RedisStore`, except in a Cluster, or
   * `PostgresStore` with `notify: "all"`. If several middlewares share a store, the smaller values
   * apply.
   *
   * @default {undefined} every request asks the store
   */
  cache?: CacheOptions;
  /**
   * Receives the events of sessions. It is not awaited, and its errors are ignored.
   *
   * @default {undefined} failed writes that are not awaited are logged to the console; nothing else
   * is reported
   */
  onEvent?: (event: SessionEvent) => unknown;
}

/** The option {@linkcode SessionOptions.cache}. */
export interface CacheOptions {
  /**
   * How many sessions are kept in memory, an integer above 0. One with a small value takes less
   * than a kilobyte.
   *
   * @default {10000}
   */
  sessions?: number;
  /**
   * The greatest age of a cached answer, in seconds: above 0 and at most 60, fractions allowed. A
   * change by another process is usually seen within milliseconds. If the connection over which the
   * store reports changes is lost, it may be missing for this long. The store is asked twice in
   * this time whether it has reported everything.
   *
   * @default {2}
   */
  staleSeconds?: number;
}

/** The validated options, with their defaults. */
export interface ResolvedOptions {
  readonly keys: readonly Uint8Array[];
  readonly name: string;
  /** In milliseconds since the epoch. */
  readonly expires: number | undefined;
  readonly maxAge: number | undefined;
  readonly rolling: boolean;
  readonly idleTimeout: number | undefined;
  readonly absoluteTimeout: number | undefined;
  readonly renewalTimeout: number | undefined;
  readonly maxSessionsPerPrincipal: number | undefined;
  readonly domain: string | undefined;
  /** The option `domain` if it is a function. */
  readonly domainOf: ((request: Request) => unknown) | undefined;
  readonly path: string | undefined;
  /** `undefined`: depends on the request. */
  readonly secure: boolean | undefined;
  readonly httpOnly: boolean;
  readonly sameSite: SameSite | undefined;
  readonly partitioned: boolean;
  readonly priority: "Low" | "Medium" | "High" | undefined;
  readonly trustProxy: boolean;
  readonly saveUninitialized: boolean;
  /** `undefined`: depends on the host of the request. */
  readonly diagnose: boolean | undefined;
  readonly onStoreError: "fail" | "anonymous";
  readonly storeTimeout: number | undefined;
  readonly privateResponses: boolean;
  readonly cache: CacheLimits | undefined;
  readonly onEvent: ((event: SessionEvent) => unknown) | undefined;
}

/**
 * The latest time that a Date can hold (ECMA-262 section 21.4.1.1), in milliseconds since the
 * epoch.
 */
export const MAX_DATE_MS = 8.64e15;
