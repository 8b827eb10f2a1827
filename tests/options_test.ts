import { CsrfMiddleware } from "@alosaur/session/csrf";
import { DenoKvStore } from "@alosaur/session/kv";
import { PostgresStore } from "@alosaur/session/postgres";
import { SqliteStore } from "@alosaur/session/sqlite";
import { sessionCookie, testSessionStore } from "@alosaur/session/testing";
import { UnstorageStore } from "@alosaur/session/unstorage";
import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "./helpers/assert.ts";
import { FakeClock } from "./helpers/clock.ts";
import { Captured } from "./helpers/console.ts";
import { idOf, read, SECRET, signIn, start } from "./helpers/request.ts";
import { MemoryStore, SessionMiddleware, type SessionStore } from "../mod.ts";
import { resolveOptions } from "../src/resolve_options.ts";
import { noop } from "../src/util/maybe_promise.ts";

// deno-lint-ignore no-explicit-any -- what JavaScript can pass
const REFUSED: [string, any, typeof RangeError | typeof TypeError, string][] = [
  ["an empty name", { name: "" }, TypeError, "name"],
  ["a name with a space", { name: "my sid" }, TypeError, "name"],
  ["a name with =", { name: "a=b" }, TypeError, "name"],
  ["a name with ;", { name: "a;b" }, TypeError, "name"],
  ["a name that is not ASCII", { name: "sïd" }, TypeError, "name"],
  ["a name with a line break", { name: "sid\r\nx" }, TypeError, "name"],
  ["a name that is no string", { name: 1 }, TypeError, "name"],
  ["a maxAge of 0", { maxAge: 0 }, RangeError, "maxAge"],
  ["a negative maxAge", { maxAge: -1 }, RangeError, "maxAge"],
  ["a fractional maxAge", { maxAge: 1.5 }, RangeError, "maxAge"],
  ["a maxAge of NaN", { maxAge: NaN }, RangeError, "maxAge"],
  ["an infinite maxAge", { maxAge: Infinity }, RangeError, "maxAge"],
  ["a maxAge beyond the last Date", { maxAge: Number.MAX_SAFE_INTEGER }, RangeError, "maxAge"],
  ["a maxAge that is a string", { maxAge: "60" }, TypeError, "maxAge"],
  ["a maxAge that ends after the last Date", { maxAge: 8.64e12 }, RangeError, "maxAge"],
  ["rolling without maxAge", { rolling: true }, TypeError, "rolling"],
  ["rolling as a string", { maxAge: 60, rolling: "yes" }, TypeError, "rolling"],
  ["an idleTimeout of 0", { idleTimeout: 0 }, RangeError, "idleTimeout"],
  ["a fractional absoluteTimeout", { absoluteTimeout: 0.5 }, RangeError, "absoluteTimeout"],
  ["a renewalTimeout that is a string", { renewalTimeout: "60" }, TypeError, "renewalTimeout"],
  ["a maxSessionsPerPrincipal of 0", { maxSessionsPerPrincipal: 0 }, RangeError, "maxSessionsPerPrincipal"],
  ["maxSessionsPerPrincipal as a string", { maxSessionsPerPrincipal: "3" }, TypeError, "maxSessionsPerPrincipal"],
  ["an expires in the past", { expires: new Date(0) }, RangeError, "expires"],
  ["an expires in the past beside maxAge", { maxAge: 60, expires: new Date(0) }, RangeError, "expires"],
  ["an invalid expires", { expires: new Date(NaN) }, RangeError, "expires"],
  ["an expires that is no Date", { expires: 1e15 }, TypeError, "expires"],
  ["a domain with a scheme", { domain: "https://example.com" }, TypeError, "domain"],
  ["a domain with a port", { domain: "example.com:80" }, TypeError, "domain"],
  ["a domain with an attribute", { domain: "example.com; Path=/x" }, TypeError, "domain"],
  ["a domain with a label that ends in a hyphen", { domain: "a-.example.com" }, TypeError, "domain"],
  ["a domain that begins with a hyphen", { domain: "-example.com" }, TypeError, "domain"],
  ["a domain with an empty label", { domain: "a..example.com" }, TypeError, "domain"],
  ["an empty domain", { domain: "" }, TypeError, "domain"],
  ["a domain of 254 characters", { domain: `${"a.".repeat(126)}aa` }, TypeError, "domain"],
  ["a domain that is no string", { domain: 1 }, TypeError, "domain"],
  ["a relative path", { path: "admin" }, TypeError, "path"],
  ["an empty path", { path: "" }, TypeError, "path"],
  ["a path with an attribute", { path: "/; Domain=x" }, TypeError, "path"],
  ["a path with a control character", { path: "/\x7f" }, TypeError, "path"],
  ["a path that is not ASCII", { path: "/ü" }, TypeError, "path"],
  ["a path of true", { path: true }, TypeError, "path"],
  ["a path of 1025 characters", { path: `/${"x".repeat(1024)}` }, RangeError, "path"],
  ["a name that makes a cookie of more than 4096 bytes", { name: "x".repeat(4000) }, RangeError, "name"],
  ["secure as a string", { secure: "yes" }, TypeError, "secure"],
  ["httpOnly as a number", { httpOnly: 1 }, TypeError, "httpOnly"],
  ["trustProxy as a string", { trustProxy: "loopback" }, TypeError, "trustProxy"],
  ["saveUninitialized as a number", { saveUninitialized: 0 }, TypeError, "saveUninitialized"],
  ["diagnose as a string", { diagnose: "no" }, TypeError, "diagnose"],
  ["sameSite in lower case", { sameSite: "lax" }, TypeError, "sameSite"],
  ["sameSite true", { sameSite: true }, TypeError, "sameSite"],
  ["partitioned as a number", { partitioned: 1 }, TypeError, "partitioned"],
  ["partitioned without Secure", { partitioned: true, secure: false }, TypeError, "secure"],
  ["priority in lower case", { priority: "high" }, TypeError, "priority"],
  ["priority true", { priority: true }, TypeError, "priority"],
  ["cache as a boolean", { cache: true }, TypeError, "cache"],
  ["a cache that is null", { cache: null }, TypeError, "cache"],
  ["a misspelled option of the cache", { cache: { staleSecond: 2 } }, TypeError, "staleSecond"],
  ["cache.sessions as a string", { cache: { sessions: "9" } }, TypeError, "cache.sessions"],
  ["a cache of 0 sessions", { cache: { sessions: 0 } }, RangeError, "cache.sessions"],
  ["a cache of half a session", { cache: { sessions: 0.5 } }, RangeError, "cache.sessions"],
  ["cache.staleSeconds as a string", { cache: { staleSeconds: "2" } }, TypeError, "cache.staleSeconds"],
  ["a cache.staleSeconds of 0", { cache: { staleSeconds: 0 } }, RangeError, "cache.staleSeconds"],
  ["a cache.staleSeconds of NaN", { cache: { staleSeconds: NaN } }, RangeError, "cache.staleSeconds"],
  ["a cache.staleSeconds in milliseconds", { cache: { staleSeconds: 2000 } }, RangeError, "cache.staleSeconds"],
  ["onEvent that is no function", { onEvent: {} }, TypeError, "onEvent"],
  ["sameSite None without Secure", { sameSite: "None", secure: false }, TypeError, "secure"],
  ["__Host- without Secure", { name: "__Host-sid", secure: false }, TypeError, "secure"],
  ["__Host- with a domain", { name: "__Host-sid", domain: "example.com" }, TypeError, "domain"],
  ["__Host- with a path", { name: "__Host-sid", path: "/admin" }, TypeError, "path"],
  ["__Host- without a path", { name: "__Host-sid", path: false }, TypeError, "path"],
  ["__HOST- with a domain", { name: "__HOST-sid", domain: "example.com" }, TypeError, "domain"],
  ["__Host- with a domain that depends on the request", { name: "__Host-sid", domain: () => {} }, TypeError, "domain"],
  ["__Host-Http- without Secure", { name: "__Host-Http-sid", secure: false }, TypeError, "secure"],
  ["__Host-Http- without HttpOnly", { name: "__Host-Http-sid", httpOnly: false }, TypeError, "httpOnly"],
  ["__Host-Http- with a domain", { name: "__Host-Http-sid", domain: "example.com" }, TypeError, "domain"],
  ["__Host-Http- with a path", { name: "__Host-Http-sid", path: "/admin" }, TypeError, "path"],
  ["__HOST-HTTP- without HttpOnly", { name: "__HOST-HTTP-sid", httpOnly: false }, TypeError, "httpOnly"],
  ["__Http- without Secure", { name: "__Http-sid", secure: false }, TypeError, "secure"],
  ["__Http- without HttpOnly", { name: "__Http-sid", httpOnly: false }, TypeError, "httpOnly"],
  ["__HTTP- without HttpOnly", { name: "__HTTP-sid", httpOnly: false }, TypeError, "httpOnly"],
  ["__Secure- without Secure", { name: "__Secure-sid", secure: false }, TypeError, "secure"],
  ["__SECURE- without Secure", { name: "__SECURE-sid", secure: false }, TypeError, "secure"],
];

Deno.test("new SessionMiddleware() refuses", async (t) => {
  for (const [name, options, errorClass, what] of REFUSED) {
    await t.step(name, () => {
      assertThrows(() => start(options), errorClass, `\`${what}\``);
    });
  }
  await t.step("an expires that is now", () => {
    using clock = new FakeClock();
    assertThrows(() => start({ expires: new Date(clock.now) }), RangeError, "`expires`");
    start({ expires: new Date(clock.now + 1) });
  });
  await t.step("no options", () => {
    // @ts-expect-error -- what JavaScript can pass
    assertThrows(() => new SessionMiddleware(new MemoryStore()), TypeError, "secret");
    // @ts-expect-error -- what JavaScript can pass
    assertThrows(() => new SessionMiddleware(new MemoryStore(), null), TypeError, "secret");
    // @ts-expect-error -- what JavaScript can pass
    assertThrows(() => new SessionMiddleware(new MemoryStore(), {}), TypeError, "secret");
  });
  await t.step("a store that lacks methods", () => {
    const partial = { get: () => {}, create: () => {} } as unknown as SessionStore;
    const lacks = "a SessionStore; received an object, which lacks init, exist, delete, setValue, getValue, clear";
    assertThrows(() => new SessionMiddleware(partial, { secret: SECRET }), TypeError, lacks);
    const nothing = undefined as unknown as SessionStore;
    const received = "the first argument must be a SessionStore; received undefined";
    assertThrows(() => new SessionMiddleware(nothing, { secret: SECRET }), TypeError, received);
  });
});

// deno-lint-ignore no-explicit-any -- what JavaScript can pass
const TAKES_OPTIONS: [string, (options: any) => unknown, string, string][] = [
  ["SessionMiddleware", start, "start sessions", "maxAge"],
  ["CsrfMiddleware", (options) => new CsrfMiddleware(options), "check requests", "trustedOrigins"],
  ["MemoryStore", (options) => new MemoryStore(options), "create a MemoryStore", "maxSessions"],
  ["SqliteStore", (options) => new SqliteStore(":memory:", options), "create a SqliteStore", "busyTimeout"],
  [
    "DenoKvStore",
    (options) => new DenoKvStore({ list: noop, atomic: noop } as unknown as Deno.Kv, options),
    "create a DenoKvStore",
    "prefix",
  ],
  [
    "PostgresStore",
    (options) => new PostgresStore("postgres://localhost/sessions", options),
    "create a PostgresStore",
    "migrate",
  ],
  [
    "UnstorageStore",
    (options) =>
      new UnstorageStore({ getItem: noop, setItem: noop, removeItem: noop, getKeys: noop } as never, options),
    "create an UnstorageStore",
    "prefix",
  ],
  [
    "testSessionStore",
    (options) => testSessionStore("a store", () => new MemoryStore(), options),
    "test a store",
    "maxValueBytes",
  ],
];

Deno.test("every constructor refuses an unknown option, and names the nearest", async (t) => {
  for (const [name, create, action, option] of TAKES_OPTIONS) {
    await t.step(name, () => {
      const typo = option.toLowerCase().slice(0, -1);
      const { message } = assertThrows(() => create({ [typo]: 1 }), TypeError);
      assertEquals(message, `Cannot ${action}: unknown option \`${typo}\`; did you mean \`${option}\`?`);
    });
  }
});

Deno.test("sessionCookie() refuses an unknown option", async () => {
  // @ts-expect-error -- what JavaScript can pass
  const { message } = await assertRejects(() => sessionCookie(start(), { principle: "ada" }), TypeError);
  assertEquals(message, "Cannot create a session: unknown option `principle`; did you mean `principal`?");
});

Deno.test("UserSessions refuses unknown options, and ends nothing", async () => {
  const middleware = start();
  const cookie = await signIn(middleware, "ada");
  const { sessions } = middleware;
  // @ts-expect-error -- what JavaScript can pass
  const listed = await assertRejects(() => sessions.list("ada", { Current: idOf(cookie) }), TypeError);
  assertEquals(listed.message, "Cannot list: unknown option `Current`; did you mean `current`?");
  // @ts-expect-error -- what JavaScript can pass
  const revoked = await assertRejects(() => sessions.revokeAll("ada", { exept: idOf(cookie) }), TypeError);
  assertEquals(revoked.message, "Cannot revoke: unknown option `exept`; did you mean `except`?");
  // @ts-expect-error -- what JavaScript can pass
  const given = await assertRejects(() => sessions.revokeAll("ada", idOf(cookie)), TypeError);
  assertEquals(given.message, "Cannot revoke: the options must be an object; received a string");
  assertEquals(await read(middleware, cookie), "ada");
});

Deno.test("constructors warn once about a duration that looks like milliseconds", () => {
  using warnings = new Captured("warn");
  const month = 30 * 24 * 60 * 60 * 1000;
  for (let i = 0; i < 2; i++) {
    start({ maxAge: month, idleTimeout: month, absoluteTimeout: month, renewalTimeout: month });
    new SqliteStore(":memory:", { busyTimeout: month });
  }
  const told = warnings.lines.map((line) =>
    /^\[session\] `(\w+)` is 2592000000; expected seconds/.exec(`${line}`)?.[1]
  );
  assertEquals(told, ["maxAge", "idleTimeout", "absoluteTimeout", "renewalTimeout", "busyTimeout"]);
});

Deno.test("new SessionMiddleware() accepts", async (t) => {
  for (
    const options of [
      {},
      { name: "__Host-sid" },
      { name: "__Host-sid", path: "/" as const, secure: true },
      { name: "__Secure-sid", domain: "example.com", path: "/a b" },
      { domain: ".example.com" },
      { domain: "localhost" },
      { domain: "127.0.0.1" },
      { domain: `.${"a.".repeat(126)}a` },
      { path: `/${"x".repeat(1023)}` as const },
      { name: "__Http-sid", domain: "example.com", path: "/admin" },
      { name: "__Host-Http-sid", httpOnly: true },
      { name: "__Host-sid", httpOnly: false },
      { name: "Http-sid", httpOnly: false, secure: false },
      { partitioned: false, secure: false },
      { partitioned: true, priority: "High" as const },
      { path: false as const, sameSite: false as const, secure: false, httpOnly: false },
      { maxAge: 1 },
      { storeTimeout: 0.001 },
      { storeTimeout: 2_147_483 },
      { diagnose: false },
      { cache: {} },
      { cache: undefined },
      { cache: { sessions: 1, staleSeconds: 0.001 } },
      { cache: { staleSeconds: 60 } },
      { maxAge: 10 * 365 * 24 * 60 * 60 },
      { secret: ["a secret of more than 16 bytes", "an older one of more than 16"] },
    ]
  ) {
    await t.step(JSON.stringify(options), () => {
      start(options);
    });
  }
});

Deno.test("new SessionMiddleware() warns once about a secret that is easily guessed, and does not print it", () => {
  using warnings = new Captured("warn");
  for (const secret of ["short", "6b911fd37cdf5c81d4c0adb1ab7fa822ed253ab0ad9aa18d77257c88b29b718e", 77701]) {
    warnings.lines.length = 0;
    start({ secret });
    assertEquals(warnings.lines.length, 1);
    assertStringIncludes(`${warnings.lines[0]}`, "getRandomValues(new Uint8Array(32))");
    assert(!`${warnings.lines[0]}`.includes(`${secret}`));
  }
  warnings.lines.length = 0;
  start({ secret: ["short", "tiny"] });
  assertEquals(warnings.lines.length, 1);
  warnings.lines.length = 0;
  start({ secret: [SECRET, "6b911fd37cdf5c81d4c0adb1ab7fa822ed253ab0ad9aa18d77257c88b29b718e"] });
  assertEquals(warnings.lines.length, 1);
  warnings.lines.length = 0;
  start();
  assertEquals(warnings.lines, []);
});

Deno.test("resolveOptions() copies the Date in expires", () => {
  using clock = new FakeClock();
  const expires = new Date(clock.now + 5000);
  const settings = resolveOptions({ secret: SECRET, expires });
  expires.setTime(0);
  assertEquals(settings.expires, clock.now + 5000);
});
