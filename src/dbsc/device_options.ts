/**
 * The options of `DeviceBoundMiddleware`.
 *
 * @module
 */
import type { HttpContext } from "../../deps.ts";
import type { ResolvedOptions } from "../options.ts";
import { isDuration } from "../resolve_options.ts";
import type { DeviceAlgorithm } from "../session_types.ts";
import { optionError } from "../util/describe_value.ts";
import { warnIfMilliseconds } from "../util/likely_milliseconds.ts";
import { checkOptionNames } from "../util/option_names.ts";

/** The options of `DeviceBoundMiddleware`. */
export interface DeviceBoundOptions {
  /**
   * The path of the endpoint to which browsers send the key and its proofs, as the browser sees it.
   * It must be within the path of the session cookie. No route is needed. Exempt it from rate
   * limits, because a browser gives up a bound session if the endpoint answers with status 429.
   *
   * @default {"/.session/device"}
   */
  path?: string;
  /**
   * How long the bound cookie lasts, in seconds: an integer of 150 or more. A thief who has copied
   * both cookies can use the session until then.
   *
   * The minimum has a reason: Chromium renews a cookie that has two minutes or less left, and signs
   * six times in nine minutes at most.
   *
   * @default {600}
   */
  maxAge?: number;
  /**
   * The algorithms that are offered, in the order of preference. A session that is bound already
   * keeps the algorithm of its key.
   *
   * @default {["ES256", "RS256"]}
   */
  algorithms?: readonly DeviceAlgorithm[];
  /**
   * Returns whether to offer the browser to bind the session of this request. It is called when a
   * response sets a new session cookie, and for a page every ten minutes while the session is not
   * bound. If it throws, the session is not offered, and `onEvent` receives `writeFailed`.
   *
   * @default {undefined} yes, if a user is signed in: with `regenerate({ principal })`, or with an
   * identity at `context.security.auth`
   */
  offer?: (context: HttpContext) => boolean;
  /**
   * Returns whether this request demands a bound session, such as one for an admin page. It is
   * called for every session that is not bound, also if nobody is signed in. If it returns true,
   * the request gets a response with status 403 and no action runs. Just after the sign-in, when
   * the browser may be about to register its key, a page reloads itself.
   *
   * @default {undefined} browsers without support keep ordinary sessions
   */
  require?: (context: HttpContext) => boolean;
  /**
   * Other hosts of the same site whose pages send requests with the session cookie, such as
   * `["app.example.com"]` or `["*.example.com"]` for an API on `api.example.com`. The browser
   * renews the bound cookie for them too. Without this option, their requests are refused when the
   * bound cookie has expired, and a sign-in by their scripts is not bound.
   *
   * @default {[]}
   */
  refreshInitiators?: readonly string[];
}

/** The options with their defaults. */
export interface ResolvedDeviceOptions {
  readonly path: string;
  readonly maxAge: number;
  readonly algorithms: readonly DeviceAlgorithm[];
  readonly offer: ((context: HttpContext) => boolean) | undefined;
  readonly require: ((context: HttpContext) => boolean) | undefined;
  readonly refreshInitiators: readonly string[];
}

const DEFAULT_MAX_AGE = 600;

/** Chromium renews a cookie with 120 s or less left, and signs 6 times in 9 minutes. */
const MIN_MAX_AGE = 150;

const ALGORITHMS: readonly DeviceAlgorithm[] = ["ES256", "RS256"];

const PATH_PATTERN = /^\/[\w./~-]*$/;

/** A host name, perhaps with `*.` before it. A `*` alone would include other sites. */
const INITIATOR_PATTERN = /^(\*\.)?[\w-]+(\.[\w-]+)*$/;

const OPTION_NAMES: Record<keyof DeviceBoundOptions, true> = {
  path: true,
  maxAge: true,
  algorithms: true,
  offer: true,
  require: true,
  refreshInitiators: true,
};

/**
 * Validates the options and applies the defaults.
 *
 * @param sessions the options of the middleware whose sessions are bound
 * @throws {TypeError} if an option is unknown or has the wrong type, or the options of the sessions
 * exclude a bound cookie
 * @throws {RangeError} if `maxAge` is out of range
 */
export function resolveDeviceOptions(options: DeviceBoundOptions, sessions: ResolvedOptions): ResolvedDeviceOptions {
  checkOptionNames("bind sessions", options, OPTION_NAMES);
  checkSessionOptions(sessions);
  const {
    path = "/.session/device",
    maxAge = DEFAULT_MAX_AGE,
    algorithms = ALGORITHMS,
    offer,
    require,
    refreshInitiators = [],
  } = options;
  checkPath(path, sessions.path ?? "/");
  checkMaxAge(maxAge);
  checkList("algorithms", 'only "ES256" and "RS256"', algorithms, (algorithm) => ALGORITHMS.includes(algorithm));
  if (algorithms.length === 0) throw invalid("algorithms", "must not be empty", algorithms);
  if (offer !== undefined && typeof offer !== "function") throw invalid("offer", "must be a function", offer);
  if (require !== undefined && typeof require !== "function") throw invalid("require", "must be a function", require);
  checkList(
    "refreshInitiators",
    'only host names such as "app.example.com" or "*.example.com"',
    refreshInitiators,
    (host) => typeof host === "string" && INITIATOR_PATTERN.test(host),
  );
  return {
    path,
    maxAge,
    algorithms: [...new Set(algorithms)],
    offer,
    require,
    refreshInitiators: [...refreshInitiators],
  };
}

/** A bound cookie has the prefix `__Host-`: it belongs to one host, the path `/`, and HTTPS. */
function checkSessionOptions({ domain, domainOf, partitioned, secure }: ResolvedOptions): void {
  const conflict = domain !== undefined || domainOf !== undefined
    ? "`domain`, because a bound cookie belongs to one host, and other hosts would be refused"
    : partitioned
    ? "`partitioned`, because browsers do not bind partitioned cookies"
    : secure === false
    ? "`secure: false`, because browsers bind sessions on HTTPS only"
    : undefined;
  if (conflict !== undefined) {
    throw new TypeError(`Cannot bind sessions: the SessionMiddleware must not have ${conflict}`);
  }
}

function checkPath(path: string, cookiePath: string): void {
  // Browsers resolve dots, and take what follows two slashes for a host.
  const isPlain = typeof path === "string" && PATH_PATTERN.test(path) &&
    URL.parse(path, "https://host.invalid/")?.href === `https://host.invalid${path}`;
  if (!isPlain) {
    throw invalid(
      "path",
      'must be a path such as "/device", of letters, digits and - . _ ~ /, without empty or dot segments',
      path,
    );
  }
  const folder = cookiePath.endsWith("/") ? cookiePath : `${cookiePath}/`;
  if (!path.startsWith(folder)) {
    throw invalid("path", `must be within the path of the session cookie, such as "${folder}.session/device"`, path);
  }
}

function checkMaxAge(maxAge: number): void {
  if (typeof maxAge !== "number") throw invalid("maxAge", "must be a number of seconds", maxAge);
  warnIfMilliseconds("maxAge", maxAge);
  if (isDuration(maxAge) && maxAge >= MIN_MAX_AGE) return;
  const requirement =
    `must be an integer of at least ${MIN_MAX_AGE}, in seconds, because browsers renew a cookie that has ` +
    "two minutes left, and may only sign six times in nine minutes";
  throw optionError("bind sessions", "maxAge", requirement, maxAge, true);
}

function checkList<T>(option: string, content: string, list: readonly T[], isValid: (item: T) => boolean): void {
  if (!Array.isArray(list)) throw invalid(option, `must be an array that contains ${content}`, list);
  for (const item of list) {
    if (!isValid(item)) throw invalid(option, `must contain ${content}`, item);
  }
}

function invalid(option: string, requirement: string, received: unknown): TypeError {
  return optionError("bind sessions", option, requirement, received);
}
