/**
 * Validates the options of `SessionMiddleware` and applies their defaults.
 *
 * @module
 */
import { type CacheOptions, MAX_DATE_MS, type ResolvedOptions, type SessionOptions } from "./options.ts";
import type { CacheLimits } from "./persistence/session_cache.ts";
import { readSecrets } from "./secrets.ts";
import { describeType, optionError } from "./util/describe_value.ts";
import { warnIfMilliseconds } from "./util/likely_milliseconds.ts";
import { checkOptionNames } from "./util/option_names.ts";

/**
 * The longest delay of a timer, in seconds (HTML section 8.7: a signed 32-bit number of
 * milliseconds).
 */
const MAX_TIMER_SECONDS = 2_147_483;

/** Browsers ignore an attribute whose value is longer, in bytes (RFC 6265bis section 5.6). */
const MAX_ATTRIBUTE_LENGTH = 1024;

/** The length of the longest host name: 255 octets with their lengths (RFC 1035 section 2.3.4). */
const MAX_HOST_LENGTH = 253;

const COOKIE_NAME_PATTERN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const PATH_PATTERN = /^\/[\x20-\x3a\x3c-\x7e]*$/;
const HOST_PATTERN = /^\.?[0-9A-Za-z]([0-9A-Za-z-]*[0-9A-Za-z])?(\.[0-9A-Za-z]([0-9A-Za-z-]*[0-9A-Za-z])?)*$/;

/** The greatest `staleSeconds`. A longer time would save no more questions worth mentioning. */
const MAX_STALE_SECONDS = 60;

/** A check of one option, and the requirement to report if it fails. */
type Check = readonly [isValid: (value: unknown) => boolean, requirement: string];
/** `readSecrets()` checks the secret. */
type CheckedOption = Exclude<keyof SessionOptions, "secret">;

const BOOLEAN: Check = [(value) => typeof value === "boolean", "must be true or false"];
const NUMBER: Check = [(value) => typeof value === "number", "must be a number"];
const SECONDS: Check = [(value) => typeof value === "number", "must be a number of seconds"];
/** What {@linkcode isDuration} requires. */
export const DURATION_REQUIREMENT = "must be an integer above 0, in seconds, and end within the range of a Date";
const DURATION: Check = [isDuration, DURATION_REQUIREMENT];

/** If one of these fails, the constructor throws a TypeError. */
const TYPE_CHECKS: Readonly<Record<CheckedOption, Check>> = {
  name: [(value) => matches(COOKIE_NAME_PATTERN, value), "must be a cookie name (RFC 6265 token)"],
  expires: [(value) => value instanceof Date, "must be a Date"],
  maxAge: SECONDS,
  rolling: BOOLEAN,
  idleTimeout: SECONDS,
  absoluteTimeout: SECONDS,
  renewalTimeout: SECONDS,
  maxSessionsPerPrincipal: NUMBER,
  domain: [
    (value) => typeof value === "function" || isHostName(value),
    `must be a host name of at most ${MAX_HOST_LENGTH} characters, without port or scheme, or a function that returns one`,
  ],
  path: [
    (value) => value === false || matches(PATH_PATTERN, value),
    "must begin with a slash and contain only printable ASCII without semicolons, or be false",
  ],
  secure: BOOLEAN,
  httpOnly: BOOLEAN,
  sameSite: [isOneOf("Strict", "Lax", "None", false), 'must be "Strict", "Lax", "None" or false'],
  partitioned: BOOLEAN,
  priority: [isOneOf("Low", "Medium", "High"), 'must be "Low", "Medium" or "High"'],
  trustProxy: BOOLEAN,
  saveUninitialized: BOOLEAN,
  diagnose: BOOLEAN,
  onStoreError: [isOneOf("fail", "anonymous"), 'must be "fail" or "anonymous"'],
  storeTimeout: SECONDS,
  privateResponses: BOOLEAN,
  cache: [(value) => typeof value === "object" && value !== null, "must be an object"],
  onEvent: [(value) => typeof value === "function", "must be a function"],
};

/** If one of these fails, the constructor throws a RangeError. */
const RANGE_CHECKS: Readonly<Partial<Record<CheckedOption, Check>>> = {
  expires: [(value) => Number(value) > Date.now(), "must be a valid Date in the future"],
  maxAge: DURATION,
  idleTimeout: DURATION,
  absoluteTimeout: DURATION,
  renewalTimeout: DURATION,
  maxSessionsPerPrincipal: [isPositiveInteger, "must be an integer above 0"],
  path: [
    (value) => value === false || `${value}`.length <= MAX_ATTRIBUTE_LENGTH,
    `must have at most ${MAX_ATTRIBUTE_LENGTH} characters, because browsers ignore a longer attribute`,
  ],
  storeTimeout: [
    (value) => Number(value) > 0 && Number(value) <= MAX_TIMER_SECONDS,
    `must be above 0 and at most ${MAX_TIMER_SECONDS} seconds`,
  ],
};

/** The checks of the option `cache`. */
const CACHE_CHECKS: Readonly<Record<keyof CacheOptions, Check>> = {
  sessions: [isPositiveInteger, "must be an integer above 0"],
  staleSeconds: [
    (value) => Number(value) > 0 && Number(value) <= MAX_STALE_SECONDS,
    `must be above 0 and at most ${MAX_STALE_SECONDS} seconds`,
  ],
};

/**
 * Validates the options and applies the defaults.
 *
 * @throws {TypeError} if there is an unknown option, an option has the wrong type or form, or two
 * options contradict each other
 * @throws {RangeError} if an option is out of range
 */
export function resolveOptions(options: SessionOptions): ResolvedOptions {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(
      `Cannot start sessions: the options must be an object with a \`secret\`; received ${describeType(options)}`,
    );
  }
  checkOptionNames("start sessions", options, { secret: true, ...TYPE_CHECKS });
  runChecks(options, TYPE_CHECKS, false);
  runChecks(options, RANGE_CHECKS, true);
  const { maxAge, idleTimeout, absoluteTimeout, renewalTimeout } = options;
  for (const [option, seconds] of Object.entries({ maxAge, idleTimeout, absoluteTimeout, renewalTimeout })) {
    warnIfMilliseconds(option, seconds);
  }
  const { name = "sid", path = "/", sameSite = "Lax" } = options;
  const needsSecure = checkCombinations(options);
  const { keys, weak } = readSecrets(options.secret);
  if (weak) warnAboutWeakSecret();
  return {
    keys,
    name,
    expires: options.expires?.getTime(),
    maxAge: options.maxAge,
    rolling: options.rolling ?? false,
    idleTimeout: options.idleTimeout,
    absoluteTimeout: options.absoluteTimeout,
    renewalTimeout: options.renewalTimeout,
    maxSessionsPerPrincipal: options.maxSessionsPerPrincipal,
    domain: typeof options.domain === "function" ? undefined : options.domain,
    domainOf: typeof options.domain === "function" ? options.domain : undefined,
    path: path === false ? undefined : path,
    secure: needsSecure ? true : options.secure,
    httpOnly: options.httpOnly ?? true,
    sameSite: sameSite === false ? undefined : sameSite,
    partitioned: options.partitioned ?? false,
    priority: options.priority,
    trustProxy: options.trustProxy ?? false,
    saveUninitialized: options.saveUninitialized ?? false,
    diagnose: options.diagnose,
    onStoreError: options.onStoreError ?? "fail",
    storeTimeout: options.storeTimeout,
    privateResponses: options.privateResponses ?? true,
    cache: options.cache && resolveCache(options.cache),
    onEvent: options.onEvent,
  };
}

function resolveCache(options: CacheOptions): CacheLimits {
  const { sessions = 10_000, staleSeconds = 2 } = options;
  checkOptionNames("start sessions", options, CACHE_CHECKS);
  runChecks(options, { sessions: NUMBER, staleSeconds: NUMBER }, false, "cache.");
  runChecks(options, CACHE_CHECKS, true, "cache.");
  return { sessions, staleSeconds };
}

/**
 * @param areTypesRight whether an earlier check has found the types right
 * @param prefix what precedes the name of an option in the message
 */
function runChecks(
  options: object,
  checks: Readonly<Record<string, Check>>,
  areTypesRight: boolean,
  prefix = "",
): void {
  for (const [option, [isValid, requirement]] of Object.entries(checks)) {
    const value: unknown = Reflect.get(options, option);
    if (value !== undefined && !isValid(value)) {
      throw optionError("start sessions", `${prefix}${option}`, requirement, value, areTypesRight);
    }
  }
}

/** Checks options that depend on each other, and returns whether the cookie must be Secure. */
function checkCombinations({ name = "sid", path = "/", ...options }: SessionOptions): boolean {
  if (options.rolling && options.maxAge === undefined) {
    throw contradiction("rolling", "requires `maxAge`; set it, or remove `rolling`");
  }
  const secureReason = reasonForSecure(name, options);
  if (secureReason !== undefined && options.secure === false) {
    throw contradiction("secure", `cannot be false, because ${secureReason} requires Secure`);
  }
  // Browsers compare prefixes case-insensitively (RFC 6265bis section 5.7 and
  // draft-ietf-httpbis-layered-cookies-02 section 5.4.3).
  const isHostOnly = /^__Host-/i.test(name);
  if (/^__(Host-)?Http-/i.test(name) && options.httpOnly === false) {
    throw contradiction("httpOnly", `cannot be false, because the prefix of ${name} requires HttpOnly`);
  }
  if (isHostOnly && options.domain !== undefined) {
    throw contradiction("domain", `must be removed, because the prefix of ${name} limits the cookie to one host`);
  }
  if (isHostOnly && path !== "/") {
    throw contradiction("path", `must be "/", because the prefix of ${name} requires it`);
  }
  return secureReason !== undefined;
}

/** Returns what requires the Secure attribute, if anything does. */
function reasonForSecure(name: string, options: Omit<SessionOptions, "name" | "secret">): string | undefined {
  if (options.sameSite === "None") return 'sameSite "None"';
  if (options.partitioned) return "partitioned";
  return /^__(Secure|Host|Http)-/i.test(name) ? name : undefined;
}

function contradiction(option: keyof SessionOptions, problem: string): TypeError {
  return new TypeError(`Cannot start sessions: \`${option}\` ${problem}`);
}

/** Returns whether a value can be the Domain attribute. */
export function isHostName(value: unknown): value is string {
  return matches(HOST_PATTERN, value) && `${value}`.replace(/^\./, "").length <= MAX_HOST_LENGTH;
}

function matches(pattern: RegExp, value: unknown): boolean {
  return typeof value === "string" && pattern.test(value);
}

function isOneOf(...allowed: unknown[]): (value: unknown) => boolean {
  return (value) => allowed.includes(value);
}

function isPositiveInteger(value: unknown): boolean {
  return Number.isInteger(value) && Number(value) > 0;
}

/** Returns whether a value is an integer above 0, in seconds, that ends within the range of a Date. */
export function isDuration(value: unknown): boolean {
  return isPositiveInteger(value) && Date.now() + Number(value) * 1000 <= MAX_DATE_MS;
}

function warnAboutWeakSecret(): void {
  console.warn(
    "[session] The secret is too easy to guess. Anyone who guesses it can sign in as any user. Generate one of 32 random bytes and " +
      "keep it in the environment: deno eval 'console.log(crypto.getRandomValues(new Uint8Array(32)).toHex())'",
  );
}
