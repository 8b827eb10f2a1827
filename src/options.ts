/**
 * What an application can choose, and the check of what it chose.
 *
 * @module
 */
import type { SessionEvent } from "./events.ts";
import { readSecrets, type SessionSecret } from "./secrets.ts";

/** Whether a browser sends the cookie along with requests that come from another site (RFC 6265bis section 4.1.2.7). */
export type SameSite = "Strict" | "Lax" | "None";

/** The options of `SessionMiddleware`. Only `secret` is needed. */
export interface SessionOptions {
  /**
   * Signs the session cookie. At least 16 bytes, best 32 random ones, from the environment and never from the source.
   *
   * An array rotates: the first signs, all verify, and a cookie signed by an older one is signed anew. Put the new secret first and
   * take the old one out when the sessions of its time have ended.
   */
  secret: SessionSecret | readonly SessionSecret[];
  /**
   * The cookie's name (an RFC 6265 token). With `__Host-` in front, browsers hold the cookie to Secure, `Path=/` and this very host;
   * with `__Secure-` to Secure.
   *
   * @default {"sid"}
   */
  name?: string;
  /**
   * The moment at which every session ends, as the cookie's Expires and on the server alike. Must lie in the future. With `maxAge`
   * too, that wins (RFC 6265 section 5.3).
   *
   * @default {undefined} the cookie ends with the browser, the session on the server after a day
   */
  expires?: Date;
  /**
   * How long a session lives from its first write, in seconds, as the cookie's Max-Age and on the server alike. An integer above 0.
   *
   * @default {undefined} the cookie ends with the browser, the session on the server after a day
   */
  maxAge?: number;
  /**
   * Whether `maxAge` counts from the last activity instead of the first write, in the cookie and on the server alike.
   *
   * Activity is written at most once per tenth of the shortest of `maxAge` and `idleTimeout`, so the session may end up to that tenth early.
   *
   * @default {false}
   */
  rolling?: boolean;
  /**
   * Ends a session that had no request for so long, in seconds (OWASP Session Management, "Idle Timeout"). An integer above 0. As
   * activity is not written with every request, it may end up to a tenth of this early.
   *
   * @default {undefined} no such limit
   */
  idleTimeout?: number;
  /**
   * Ends a session so long after its first write, whatever its activity, in seconds (OWASP Session Management, "Absolute Timeout"). An
   * integer above 0.
   *
   * @default {undefined} no such limit
   */
  absoluteTimeout?: number;
  /**
   * Gives a session a new id when it has had one for so long, in seconds (OWASP Session Management, "Renewal Timeout"). An integer above
   * 0. Requests under way with the old id find the session for 30 seconds more.
   *
   * @default {undefined} the id is renewed by `regenerate()` alone
   */
  renewalTimeout?: number;
  /**
   * How many sessions a user may have, an integer above 0: one more, and the oldest ends. Needs a store that finds the sessions of
   * a user (`PrincipalStore`).
   *
   * @default {undefined} as many as they like
   */
  maxSessionsPerPrincipal?: number;
  /**
   * The host, with all its subdomains, that the cookie is sent to.
   *
   * @default {undefined} only the host that set it, which is the narrowest
   */
  domain?: string;
  /**
   * The path that a request must be under for the cookie to be sent; `false` leaves the attribute out.
   *
   * @default {"/"}
   */
  path?: string | false;
  /**
   * Whether the cookie is sent over https alone.
   *
   * @default {undefined} yes where the request came over https
   */
  secure?: boolean;
  /**
   * Whether the cookie is hidden from scripts.
   *
   * @default {true}
   */
  httpOnly?: boolean;
  /**
   * Which requests from other sites carry the cookie; `"None"` makes it Secure, `false` leaves the attribute out.
   *
   * @default {"Lax"}
   */
  sameSite?: SameSite | false;
  /**
   * Whether to believe `X-Forwarded-Proto`, which tells behind a TLS-ending proxy that the request came over https. Only where every
   * request passes such a proxy: otherwise a client writes that header itself.
   *
   * @default {false}
   */
  trustProxy?: boolean;
  /**
   * Whether a visitor gets a record and a cookie before anything is written. It costs a record for every crawler.
   *
   * @default {false}
   */
  saveUninitialized?: boolean;
  /**
   * Whether to warn in the console, once for each cause, of a session cookie that the browser will not keep or never gets.
   *
   * @default {undefined} where the request's host is this machine (`localhost`, 127.0.0.0/8, [::1])
   */
  diagnose?: boolean;
  /**
   * What becomes of a request whose session the store could not look up. `"fail"`: it is refused, `SessionStoreError`, which Alosaur answers
   * with 503. `"anonymous"`: it goes on without its session: `session.available` is false, reads are empty, every write rejects, and no cookie
   * is set, for the rest of that request.
   *
   * Note: with `"anonymous"` nobody is signed in during an outage, and whatever is denied by an entry in the session is allowed.
   *
   * @default {"fail"}
   */
  onStoreError?: "fail" | "anonymous";
  /**
   * How long the store may take for one call, in seconds, above 0 and at most 2,147,483 (fractions are fine). Then it has failed, and what comes
   * of the call later, nobody hears of: it may still be done, and then undo a later write. What waits for that call fails with it. Of several middlewares on one store the shortest counts.
   *
   * @default {undefined} as long as it likes: a store that hangs makes the requests hang
   */
  storeTimeout?: number;
  /** Told what happens to sessions. What it throws or rejects with disturbs nothing. */
  onEvent?: (event: SessionEvent) => unknown;
}

/** The options, checked, with their defaults. */
export interface ResolvedOptions {
  readonly keys: readonly Uint8Array[];
  readonly name: string;
  readonly expires: number | undefined;
  readonly maxAge: number | undefined;
  readonly rolling: boolean;
  readonly idleTimeout: number | undefined;
  readonly absoluteTimeout: number | undefined;
  readonly renewalTimeout: number | undefined;
  readonly maxSessionsPerPrincipal: number | undefined;
  readonly domain: string | undefined;
  readonly path: string | undefined;
  /** `undefined`: as the request came. */
  readonly secure: boolean | undefined;
  readonly httpOnly: boolean;
  readonly sameSite: SameSite | undefined;
  readonly trustProxy: boolean;
  readonly saveUninitialized: boolean;
  /** `undefined`: where the request's host is this machine. */
  readonly diagnose: boolean | undefined;
  readonly onStoreError: "fail" | "anonymous";
  readonly storeTimeout: number | undefined;
  readonly onEvent: ((event: SessionEvent) => unknown) | undefined;
}

/** The last moment that a Date can hold (ECMA-262 section 21.4.1.1), in milliseconds since the epoch. */
export const MAX_DATE_MS = 8.64e15;

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const PATH = /^\/[\x20-\x3a\x3c-\x7e]*$/;
const HOST = /^\.?[0-9A-Za-z]([0-9A-Za-z-]*[0-9A-Za-z])?(\.[0-9A-Za-z]([0-9A-Za-z-]*[0-9A-Za-z])?)*$/;

/**
 * Checks the options.
 *
 * @throws {TypeError} if an option is of the wrong shape, or two contradict each other
 * @throws {RangeError} if an option is out of range
 */
export function resolveOptions(options: SessionOptions): ResolvedOptions {
  if (typeof options !== "object" || options === null) {
    throw new TypeError("Cannot start sessions: the options are missing; `secret` is needed");
  }
  const { name = "sid", expires, maxAge, domain, path = "/", secure, sameSite = "Lax", onEvent } = options;
  const { onStoreError = "fail", storeTimeout } = options;

  if (typeof name !== "string" || !TOKEN.test(name)) throw invalid("name", "must be a cookie name (RFC 6265 token)");
  for (const key of DURATIONS) checkDuration(key, options[key]);
  checkCount("maxSessionsPerPrincipal", options.maxSessionsPerPrincipal);
  if (expires !== undefined) checkExpires(expires);
  if (domain !== undefined && (typeof domain !== "string" || !HOST.test(domain))) {
    throw invalid("domain", "must be a host name, without port or scheme");
  }
  if (path !== false && (typeof path !== "string" || !PATH.test(path))) {
    throw invalid("path", "must begin with a slash and be of printable ASCII without a semicolon, or be false");
  }
  if (sameSite !== false && !["Strict", "Lax", "None"].includes(sameSite)) {
    throw invalid("sameSite", 'must be "Strict", "Lax", "None" or false');
  }
  if (!["fail", "anonymous"].includes(onStoreError)) throw invalid("onStoreError", 'must be "fail" or "anonymous"');
  if (storeTimeout !== undefined) checkTimeout(storeTimeout);
  if (onEvent !== undefined && typeof onEvent !== "function") throw invalid("onEvent", "must be a function");
  for (const key of ["secure", "httpOnly", "trustProxy", "saveUninitialized", "rolling", "diagnose"] as const) {
    if (options[key] !== undefined && typeof options[key] !== "boolean") throw invalid(key, "must be true or false");
  }

  if (options.rolling && maxAge === undefined) {
    throw invalid("rolling", "needs `maxAge`, which it makes count from the last activity");
  }

  // Browsers compare these prefixes without regard to case (RFC 6265bis section 5.7).
  const hostOnly = /^__Host-/i.test(name);
  const needsSecure = hostOnly || /^__Secure-/i.test(name) || sameSite === "None";
  if (needsSecure && secure === false) {
    throw invalid("secure", `cannot be false: ${sameSite === "None" ? 'sameSite "None"' : name} needs Secure`);
  }
  if (hostOnly && domain !== undefined) throw invalid("domain", `cannot be given: ${name} is for one host`);
  if (hostOnly && path !== "/") throw invalid("path", `must be "/": ${name} is for the whole host`);

  const { keys, weak } = readSecrets(options.secret);
  if (weak) warnOfWeakSecret();
  return {
    keys,
    name,
    expires: expires?.getTime(),
    maxAge,
    rolling: options.rolling ?? false,
    idleTimeout: options.idleTimeout,
    absoluteTimeout: options.absoluteTimeout,
    renewalTimeout: options.renewalTimeout,
    maxSessionsPerPrincipal: options.maxSessionsPerPrincipal,
    domain,
    path: path === false ? undefined : path,
    secure: needsSecure ? true : secure,
    httpOnly: options.httpOnly ?? true,
    sameSite: sameSite === false ? undefined : sameSite,
    trustProxy: options.trustProxy ?? false,
    saveUninitialized: options.saveUninitialized ?? false,
    diagnose: options.diagnose,
    onStoreError,
    storeTimeout,
    onEvent,
  };
}

/** The longest that a timer waits, in seconds (HTML section 8.7: a signed 32-bit number of milliseconds). */
const LONGEST_TIMER = 2_147_483;

function checkTimeout(seconds: number): void {
  if (typeof seconds !== "number") throw invalid("storeTimeout", "must be a number of seconds");
  if (!(seconds > 0 && seconds <= LONGEST_TIMER)) {
    throw new RangeError(
      `Cannot start sessions: \`storeTimeout\` must be above 0 and at most ${LONGEST_TIMER} seconds`,
    );
  }
}

const DURATIONS = ["maxAge", "idleTimeout", "absoluteTimeout", "renewalTimeout"] as const;

function checkDuration(option: typeof DURATIONS[number], seconds: number | undefined): void {
  if (seconds === undefined) return;
  if (typeof seconds !== "number") throw invalid(option, "must be a number of seconds");
  if (!Number.isInteger(seconds) || seconds <= 0 || Date.now() + seconds * 1000 > MAX_DATE_MS) {
    throw new RangeError(`Cannot start sessions: \`${option}\` must be an integer above 0, in seconds`);
  }
}

function checkCount(option: "maxSessionsPerPrincipal", count: number | undefined): void {
  if (count === undefined) return;
  if (typeof count !== "number") throw invalid(option, "must be a number");
  if (!Number.isInteger(count) || count <= 0) {
    throw new RangeError(`Cannot start sessions: \`${option}\` must be an integer above 0`);
  }
}

function checkExpires(expires: Date): void {
  if (!(expires instanceof Date)) throw invalid("expires", "must be a Date");
  if (!(expires.getTime() > Date.now())) {
    throw new RangeError("Cannot start sessions: `expires` must be a valid Date that lies in the future");
  }
}

function invalid(option: keyof SessionOptions, what: string): TypeError {
  return new TypeError(`Cannot start sessions: \`${option}\` ${what}`);
}

function warnOfWeakSecret(): void {
  console.warn(
    "[session] This secret is too easily guessed: whoever has it signs in as anybody. Make one of 32 random bytes, keep it in the " +
      "environment: deno eval 'console.log(crypto.getRandomValues(new Uint8Array(32)).toHex())'",
  );
}
