import { assert, assertEquals, assertThrows } from "../helpers/assert.ts";
import { FakeClock } from "../helpers/clock.ts";
import { SECRET, setCookies } from "../helpers/request.ts";
import { isDeletion, SessionCookie } from "../../src/cookie/session_cookie.ts";
import { COOKIE_VALUE_LENGTH } from "../../src/cookie/signer.ts";
import type { SessionOptions } from "../../src/options.ts";
import { resolveOptions } from "../../src/resolve_options.ts";

const cookie = (options: Partial<SessionOptions> = {}): SessionCookie =>
  new SessionCookie(resolveOptions({ secret: SECRET, ...options }));

const HEADERS: [string, string[]][] = [
  ["", []],
  ["sid=a", ["a"]],
  ["sid=", [""]],
  ["sid", []],
  ["xsid=a", []],
  ["sid2=a", []],
  ["SID=a", []],
  ["a=1; sid=b; c=3", ["b"]],
  ["a=1;sid=b;c=3", ["b"]],
  ["a=1;  \t sid=b  ; c=3", ["b"]],
  ["=;;;=", []],
  ["=; sid=a", ["a"]],
  [";;;sid=a;;;", ["a"]],
  ["sid=a=b", ["a=b"]],
  ["x=sid=a", []],
  ["x=1 sid=a", []],
  ["sid =a", []],
  ['sid="a"', ['"a"']],
  ["sid=a; sid=b", ["a", "b"]],
  ["sid=a; sid=a; sid=b", ["a", "b"]],
  ["sid=1; sid=2; sid=3; sid=4; sid=5", ["1", "2", "3", "4"]],
  ["sid=1; sid=1; sid=1; sid=1; sid=5", ["1"]],
  ["sid=sid=sid=", ["sid=sid="]],
  ["sid= a", ["a"]],
  ["sid=\ta b \t; c=3", ["a b"]],
  ["sid= ", [""]],
];

Deno.test("SessionCookie.read() finds", async (t) => {
  for (const [header, values] of HEADERS) {
    await t.step(
      JSON.stringify(header),
      () => assertEquals(cookie().read(header), values.map((value) => `sid=${value}`)),
    );
  }
});

Deno.test("SessionCookie.read() does not treat the name as a pattern", () => {
  assertEquals(cookie({ name: "s.d" }).read("sid=a"), []);
  assertEquals(cookie({ name: "$^|" }).read("a=1; $^|=b"), ["$^|=b"]);
});

Deno.test("SessionCookie.read() skips a megabyte of separators and blanks", () => {
  const noise = " sid".repeat(100_000) + ";".repeat(100_000) + " ".repeat(400_000);
  assertEquals(cookie().read(`${noise}; sid=a`), ["sid=a"]);
});

Deno.test("SessionCookie.serialize() writes the attributes", async (t) => {
  using clock = new FakeClock();
  const expires = new Date(clock.now + 3600_000);
  const inAMinute = clock.now + 60_000;
  const cases: [Partial<SessionOptions>, boolean, Record<string, string | true>, expiresAt?: number][] = [
    [{}, false, { path: "/", httponly: true, samesite: "Lax" }],
    [{}, true, { path: "/", httponly: true, samesite: "Lax", secure: true }],
    [{ path: "/a", domain: "example.com", sameSite: "Strict" }, false, {
      path: "/a",
      domain: "example.com",
      httponly: true,
      samesite: "Strict",
    }],
    [{ path: false, httpOnly: false, sameSite: false }, false, {}],
    [{}, false, { path: "/", httponly: true, samesite: "Lax", "max-age": "60" }, inAMinute],
    [{}, false, { path: "/", httponly: true, samesite: "Lax" }, Infinity],
    [{ partitioned: true, sameSite: "None" }, true, {
      path: "/",
      httponly: true,
      samesite: "None",
      secure: true,
      partitioned: true,
    }],
    [{ partitioned: false, priority: "High" }, false, {
      path: "/",
      httponly: true,
      samesite: "Lax",
      priority: "High",
    }],
    [{ expires }, false, { path: "/", httponly: true, samesite: "Lax", expires: expires.toUTCString() }],
    [{ expires }, false, { path: "/", httponly: true, samesite: "Lax", "max-age": "60" }, inAMinute],
    [{ expires }, false, { path: "/", httponly: true, samesite: "Lax" }, Infinity],
  ];
  for (const [options, secure, attributes, expiresAt] of cases) {
    await t.step(`${JSON.stringify(options)}, expires ${expiresAt}`, () => {
      const line = cookie(options).serialize("value", secure, expiresAt);
      assertEquals(setCookies(new Headers([["set-cookie", line]])), [{ name: "sid", value: "value", attributes }]);
    });
  }
});

Deno.test("SessionCookie.serialize() writes the remaining lifetime as Max-Age, rounded up and at least 1", () => {
  using clock = new FakeClock();
  const written = cookie({ maxAge: 60 });
  const maxAge = (left: number): unknown =>
    setCookies(new Headers([["set-cookie", written.serialize("v", false, clock.now + left)]]))[0]
      ?.attributes["max-age"];
  assertEquals([60_000, 59_999, 59_001, 1000, 1, 0, -5000].map(maxAge), ["60", "60", "60", "1", "1", "1", "1"]);
});

Deno.test("SessionCookie.serializeDeletion() has the attributes of the cookie it clears", () => {
  const [cleared] = setCookies(
    new Headers([["set-cookie", cookie({ path: "/a", domain: "example.com", maxAge: 9 }).serializeDeletion(true)]]),
  );
  assertEquals(cleared, {
    name: "sid",
    value: "",
    attributes: {
      path: "/a",
      domain: "example.com",
      httponly: true,
      samesite: "Lax",
      secure: true,
      "max-age": "0",
      expires: "Thu, 01 Jan 1970 00:00:00 GMT",
    },
  });
});

Deno.test("SessionCookie.serializeDeletion() is Partitioned too, and has no Priority", () => {
  const written = cookie({ partitioned: true, priority: "Low" });
  const [cleared] = setCookies(new Headers([["set-cookie", written.serializeDeletion(true)]]));
  assertEquals([cleared?.attributes.partitioned, cleared?.attributes.priority], [true, undefined]);
});

Deno.test("new SessionCookie() refuses a cookie that can have more than 4096 bytes", async (t) => {
  const domain = `.${"d.".repeat(126)}d`;
  const longest: Partial<SessionOptions> = { path: `/${"p".repeat(1023)}`, sameSite: "Strict", priority: "Medium" };
  const cases: [string, Partial<SessionOptions>][] = [
    ["without a domain", { ...longest, partitioned: true }],
    ["with a domain", { ...longest, domain }],
    ["with a function for the domain", { ...longest, domain: () => domain }],
    ["with the defaults", {}],
  ];
  for (const [name, options] of cases) {
    await t.step(name, () => {
      const named = (length: number): SessionCookie => cookie({ ...options, name: "n".repeat(length) });
      const sizeOf = (length: number): number =>
        Number(
          /can have (\d+) bytes/.exec(assertThrows(() => named(length), RangeError, "shorten `name`").message)?.[1],
        );
      const longestName = 4096 - (sizeOf(4096) - 4096);
      named(longestName);
      assertEquals(sizeOf(longestName + 1), 4097);

      using clock = new FakeClock();
      const resolved = resolveOptions({ secret: SECRET, ...options, maxAge: 8e12, name: "n".repeat(longestName) });
      const sent = new SessionCookie(resolved, resolved.domainOf === undefined ? resolved.domain : domain);
      const line = sent.serialize("v".repeat(COOKIE_VALUE_LENGTH), true, clock.now + 8e15);
      // The deletion has both attributes of the expiry, so there is room for Expires too.
      assertEquals(line.length, 4096 - "; Expires=Thu, 01 Jan 1970 00:00:00 GMT".length);
    });
  }
});

Deno.test("isDeletion() recognises a line that deletes a cookie", () => {
  for (
    const line of [
      "sid=",
      "sid=; Path=/",
      "sid=x; Max-Age=0",
      "sid=x; max-age=-5; Expires=Fri, 01 Jan 2999 00:00:00 GMT",
      "sid=x; Path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT",
    ]
  ) assert(isDeletion(line), line);
  for (
    const line of [
      "sid=x",
      "sid=x; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
      "sid=x; Expires=Fri, 01 Jan 2999 00:00:00 GMT",
      "sid=x; Expires=never",
      "sid=x; Path=/Max-Age=0",
    ]
  ) assert(!isDeletion(line), line);
});
