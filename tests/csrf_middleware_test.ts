import { CsrfMiddleware, type CsrfOptions } from "@alosaur/session/csrf";
import { assert, assertEquals, assertMatch, assertNotEquals, assertThrows } from "./helpers/assert.ts";
import { FakeClock } from "./helpers/clock.ts";
import { REFUSALS } from "./helpers/csrf.ts";
import { onlyCookie, signUp, start, visit } from "./helpers/request.ts";
import { Context, MemoryStore, SecurityContext, type SessionMiddleware } from "../mod.ts";

/** A request. Without headers it is like one of a program that is no browser. */
interface Sent {
  method?: string;
  url?: string;
  headers?: Record<string, string>;
  cookie?: string;
  body?: BodyInit;
}

function contextOf(
  { method = "POST", url = "http://app.example/order", headers = {}, cookie, body }: Sent,
): SecurityContext {
  const request = new Request(url, { method, headers, body });
  if (cookie !== undefined) request.headers.set("cookie", cookie);
  return new SecurityContext(request);
}

/**
 * Sends a request through the middleware; returns its refusal, or `undefined` if the request
 * passes.
 */
async function check(sent: Sent, options?: CsrfOptions, sessions?: SessionMiddleware): Promise<Response | undefined> {
  const context = contextOf(sent);
  await sessions?.onPreRequest(context);
  const csrf = new CsrfMiddleware(options);
  const refusal = await csrf.onPreRequest(context);
  csrf.onPostRequest(context);
  return refusal;
}

/** Returns whether a request passes. Checks that a refusal is complete. */
async function passes(sent: Sent, options?: CsrfOptions, sessions?: SessionMiddleware): Promise<boolean> {
  const refusal = await check(sent, options, sessions);
  if (refusal === undefined) return true;
  assertEquals([refusal.status, refusal.headers.get("content-type")], [403, "text/plain; charset=utf-8"]);
  assert(REFUSALS.includes(await refusal.text()));
  return false;
}

/** Returns the CSRF token of a client's session. */
async function tokenOf(sessions: SessionMiddleware, cookie: string): Promise<string> {
  let token = "";
  await visit(sessions, { cookie }, async ({ security }) => token = await security.session.csrfToken());
  return token;
}

/** Regenerates the id of a client's session; returns its new Cookie header. */
async function regenerate(
  sessions: SessionMiddleware,
  cookie: string,
  options?: { graceSeconds?: number; principal?: string },
): Promise<string> {
  const response = await visit(sessions, { cookie }, async ({ security }) => {
    await security.session.regenerate(options);
    return "ok";
  });
  const { name, value } = onlyCookie(response.headers);
  return `${name}=${value}`;
}

Deno.test("CsrfMiddleware lets safe methods pass, and no others", async (t) => {
  for (
    const [method, safe] of [
      ["GET", true],
      ["HEAD", true],
      ["OPTIONS", true],
      ["TRACE", true],
      ["POST", false],
      ["PUT", false],
      ["PATCH", false],
      ["DELETE", false],
      ["PURGE", false],
      // Methods are case-sensitive, so these are other methods.
      ["get", false],
      ["Head", false],
      ["tRaCe", false],
      ["GET ", false],
      ["", false],
    ] as const
  ) {
    await t.step(JSON.stringify(method), async () => {
      const context = contextOf({ headers: { "sec-fetch-site": "cross-site" } });
      // `Request` refuses TRACE and changes some methods to upper case. A server receives them as
      // they were sent.
      Object.defineProperty(context.request, "method", { value: method });
      assertEquals(await new CsrfMiddleware().onPreRequest(context) === undefined, safe);
    });
  }
});

Deno.test("CsrfMiddleware uses Sec-Fetch-Site first", async (t) => {
  const trustedOrigins = ["https://other.example", "http://app.example"];
  for (
    const [site, origin, expected] of [
      ["same-origin", undefined, true],
      ["none", undefined, true],
      ["same-origin", "null", true],
      ["same-origin", "https://evil.example", true],
      ["same-site", undefined, false],
      ["cross-site", undefined, false],
      ["same-site", "https://sub.app.example", false],
      ["cross-site", "https://evil.example", false],
      // The Origin's host does not count beside Sec-Fetch-Site. Here the scheme or the port
      // differs.
      ["cross-site", "https://app.example", false],
      ["same-site", "https://app.example", false],
      ["cross-site", "null", false],
      ["same-site", "https://other.example", true],
      ["cross-site", "https://other.example", true],
      ["cross-site", "http://app.example", true],
      ["cross-site", "https://other.example, https://evil.example", false],
      ["", undefined, false],
      ["Same-Origin", undefined, false],
      ["same-origin, cross-site", undefined, false],
      ["cross-site, same-origin", undefined, false],
      ["same-origin;x", undefined, false],
      ["trust-me", "https://app.example", false],
      ["trust-me", "https://other.example", true],
    ] as const
  ) {
    await t.step(`${JSON.stringify(site)} with ${origin}`, async () => {
      const headers = { host: "app.example", "sec-fetch-site": site, ...(origin === undefined ? {} : { origin }) };
      assertEquals(await passes({ headers }, { trustedOrigins }), expected);
    });
  }

  await t.step("a token does not help a request from another site", async () => {
    const sessions = start();
    const cookie = await signUp(sessions);
    const headers = { "x-csrf-token": await tokenOf(sessions, cookie) };
    assertEquals(await passes({ cookie, headers }, {}, sessions), true);
    assertEquals(await passes({ cookie, headers: { ...headers, "sec-fetch-site": "same-site" } }, {}, sessions), false);
    assertEquals(
      await passes({ cookie, headers: { ...headers, origin: "https://evil.example" } }, {}, sessions),
      false,
    );
    for (const site of ["same-site", "cross-site"]) {
      const sent = { ...headers, "sec-fetch-site": site, origin: "null" };
      assertEquals(await passes({ cookie, headers: sent }, {}, sessions), false);
    }
  });
});

Deno.test("CsrfMiddleware requires the session's token if the Origin is null", async (t) => {
  const sessions = start();
  const cookie = await signUp(sessions);
  const token = await tokenOf(sessions, cookie);
  const other = await tokenOf(sessions, await signUp(sessions));
  const form = "application/x-www-form-urlencoded";
  for (
    const [name, sent, expected] of [
      ["the token in a field", { headers: { "content-type": form }, body: `_csrf=${token}` }, true],
      ["the token in the header", { headers: { "x-csrf-token": token } }, true],
      ["no token", {}, false],
      ["the token of another session", { headers: { "x-csrf-token": other } }, false],
      ["an empty token", { headers: { "x-csrf-token": "" } }, false],
    ] as const satisfies [string, Sent, boolean][]
  ) {
    await t.step(name, async () => {
      const headers = { ...("headers" in sent ? sent.headers : {}), origin: "null" };
      assertEquals(await passes({ ...sent, cookie, headers }, {}, sessions), expected);
    });
  }

  await t.step("a visitor without a session is refused", async () => {
    assertEquals(await passes({ headers: { origin: "null", "x-csrf-token": token } }, {}, sessions), false);
  });

  await t.step("only the exact value null leaves the decision to the token", async () => {
    for (const origin of ["NULL", "null, null", "null null", "", "undefined"]) {
      assertEquals(await passes({ cookie, headers: { origin, "x-csrf-token": token } }, {}, sessions), false, origin);
    }
  });
});

Deno.test("CsrfMiddleware compares the Origin's host with Host if there is no Sec-Fetch-Site", async (t) => {
  for (
    const [origin, host, expected] of [
      ["https://app.example", "app.example", true],
      ["http://app.example", "app.example", true],
      ["https://APP.example", "App.Example", true],
      ["HTTPS://app.example", "app.example", true],
      ["https://app.example:8443", "app.example:8443", true],
      ["https://app.example:8443", "app.example", false],
      ["https://app.example", "app.example:8443", false],
      ["https://app.example:8443", "app.example:8444", false],
      // The default port of the Origin's scheme may be written or not.
      ["https://app.example:443", "app.example", true],
      ["https://app.example", "app.example:443", true],
      ["http://app.example:80", "app.example", true],
      ["http://app.example", "app.example:80", true],
      ["http://app.example:443", "app.example", false],
      ["http://app.example", "app.example:443", false],
      ["https://app.example", "app.example:80", false],
      ["http://[::1]:8000", "[::1]:8000", true],
      ["http://[::1]:80", "[::1]", true],
      ["http://[0:0:0:0:0:0:0:1]", "[::1]", true],
      ["http://[::2]", "[::1]", false],
      ["http://127.0.0.1:8000", "127.0.0.1:8000", true],
      ["http://localhost:8000", "127.0.0.1:8000", false],
      ["https://app.example.", "app.example.", true],
      ["https://app.example.", "app.example", false],
      ["null", "app.example", false],
      ["null", "null", false],
      ["", "app.example", false],
      ["", "", false],
      ["https://", "", false],
      ["https://app.example", "", false],
      ["app.example", "app.example", false],
      ["//app.example", "app.example", false],
      ["https:app.example", "app.example", false],
      ["https://app.example/", "app.example", false],
      ["https://app.example/x", "app.example", false],
      ["https://app.example?x", "app.example", false],
      ["https://app.example#x", "app.example", false],
      ["https://app.example\\x", "app.example", false],
      ["https://app.example\\.evil.example", "app.example", false],
      ["https://app.example.evil.example", "app.example", false],
      ["https://evil-app.example", "app.example", false],
      ["https://sub.app.example", "app.example", false],
      ["https://example", "app.example", false],
      ["https://app.example@evil.example", "app.example", false],
      ["https://evil.example@app.example", "app.example", false],
      ["https://user:pw@app.example", "app.example", false],
      ["https://app.example", "evil@app.example", false],
      ["https://app.example", "app.example/x", false],
      ["https://app.example", "app.example, evil.example", false],
      ["https://app.example, https://evil.example", "app.example", false],
      ["https://evil.example https://app.example", "app.example", false],
      ["https://app.example:", "app.example:x", false],
      ["https://app.example:99999", "app.example:99999", false],
      ["file://app.example", "app.example", false],
      ["ftp://app.example", "app.example", false],
      ["chrome-extension://app.example", "app.example", false],
      ["javascript://app.example", "app.example", false],
    ] as const
  ) {
    await t.step(`${JSON.stringify(origin)} for ${JSON.stringify(host)}`, async () => {
      // Behind a proxy that terminates TLS, the request's own URL is http, or has the proxy's name
      // for the host.
      assertEquals(await passes({ headers: { origin, host } }), expected);
    });
  }

  await t.step("the URL's host is used without Host, as in HTTP/2", async () => {
    assertEquals(await passes({ headers: { origin: "http://app.example" } }), true);
    assertEquals(
      await passes({ url: "https://app.example:8443/", headers: { origin: "https://app.example:8443" } }),
      true,
    );
    assertEquals(await passes({ headers: { origin: "http://evil.example" } }), false);
  });

  await t.step("Host is used instead of the URL's host", async () => {
    const url = "http://evil.example/order";
    assertEquals(await passes({ url, headers: { host: "app.example", origin: "http://evil.example" } }), false);
    assertEquals(await passes({ url, headers: { host: "app.example", origin: "https://app.example" } }), true);
  });

  await t.step("X-Forwarded-Host and Forwarded are ignored", async () => {
    const headers = {
      host: "app.example",
      origin: "https://evil.example",
      "x-forwarded-host": "evil.example",
      "x-forwarded-proto": "https",
      forwarded: "host=evil.example;proto=https",
      referer: "https://app.example/",
    };
    assertEquals(await passes({ headers }), false);
  });

  await t.step("a trusted origin is compared with its scheme, host and port", async () => {
    const trustedOrigins = ["https://other.example", "http://localhost:8001"];
    for (
      const [origin, expected] of [
        ["https://other.example", true],
        ["http://localhost:8001", true],
        ["http://other.example", false],
        ["https://other.example:444", false],
        ["https://sub.other.example", false],
        ["https://other.example.evil.example", false],
        ["http://localhost:8002", false],
        ["null", false],
      ] as const
    ) assertEquals(await passes({ headers: { origin, host: "app.example" } }, { trustedOrigins }), expected, origin);
  });
});

Deno.test("CsrfMiddleware requires the session's token if the request has neither Sec-Fetch-Site nor Origin", async (t) => {
  const form = "application/x-www-form-urlencoded";
  const sessions = start();
  const cookie = await signUp(sessions);
  const token = await tokenOf(sessions, cookie);
  const other = await tokenOf(sessions, await signUp(sessions));
  assertNotEquals(token, other);
  const wrong = token.replace(/^./, token.startsWith("A") ? "B" : "A");
  const multipart = (values: Record<string, string | Blob>): FormData => {
    const data = new FormData();
    for (const [name, value] of Object.entries(values)) data.append(name, value);
    return data;
  };
  const header = (value: string): Sent => ({ headers: { "x-csrf-token": value } });
  const field = (body: BodyInit, type?: string): Sent => ({
    body,
    headers: type === undefined ? {} : { "content-type": type },
  });

  for (
    const [name, sent, expected] of [
      ["no token", {}, false],
      ["the header", header(token), true],
      ["a field", field(`a=1&_csrf=${token}&b=2`, form), true],
      ["a field of a type with a charset", field(new URLSearchParams({ _csrf: token })), true],
      [
        "a field of a type in another spelling",
        field(`_csrf=${token}`, `Application/X-WWW-Form-URLencoded ;charset=x`),
        true,
      ],
      ["a field of a multipart form", field(multipart({ a: new Blob(["file"]), _csrf: token })), true],
      ["another session's header", header(other), false],
      ["another session's field", field(`_csrf=${other}`, form), false],
      ["one wrong character", header(wrong), false],
      ["one character less", header(token.slice(0, -1)), false],
      ["half of the token", header(token.slice(0, 43)), false],
      ["one character more", header(`${token}A`), false],
      [
        "the token in another case",
        header(token.toLowerCase() === token ? token.toUpperCase() : token.toLowerCase()),
        false,
      ],
      ["the token twice", header(`${token}, ${token}`), false],
      ["an empty header", header(""), false],
      ["an empty field", field("_csrf=", form), false],
      ["a header of other characters", header("é".repeat(86)), false],
      ["a field of another name", field(`csrf=${token}`, form), false],
      ["a wrong field before the right one", field(`_csrf=${wrong}&_csrf=${token}`, form), false],
      ["the token in a file", field(multipart({ _csrf: new Blob([token]) })), false],
      ["the token in JSON", field(JSON.stringify({ _csrf: token }), "application/json"), false],
      ["the token in plain text", field(`_csrf=${token}`, "text/plain"), false],
      ["the token in a body without a type", field(new TextEncoder().encode(`_csrf=${token}`)), false],
      ["the token in the query", { url: `http://app.example/order?_csrf=${token}` }, false],
      ["the token in a cookie", { cookie: `${cookie}; _csrf=${token}; x-csrf-token=${token}` }, false],
      ["multipart without a boundary", field(`_csrf=${token}`, "multipart/form-data"), false],
      ["multipart with another boundary", field(`--a\r\n_csrf=${token}`, "multipart/form-data; boundary=b"), false],
      [
        "truncated multipart",
        field("--b\r\nContent-Disposition: form-data; name=", "multipart/form-data; boundary=b"),
        false,
      ],
      ["a body that is not UTF-8", field(new Uint8Array([0xff, 0xfe, 0x25, 0x00]), form), false],
      ["malformed escapes", field("_csrf=%zz%", form), false],
      ["no body", { headers: { "content-type": form } }, false],
    ] as const satisfies [string, Sent, boolean][]
  ) {
    await t.step(name, async () => assertEquals(await passes({ cookie, ...sent }, {}, sessions), expected));
  }

  await t.step("a right field is accepted beside a wrong header", async () => {
    const headers = { "content-type": form, "x-csrf-token": wrong };
    assertEquals(await passes({ cookie, headers, body: `_csrf=${token}` }, {}, sessions), true);
    assertEquals(await passes({ cookie, headers, body: `_csrf=${wrong}` }, {}, sessions), false);
  });

  await t.step("a body that fails while it is read is refused", async () => {
    const body = new ReadableStream({ pull: (controller) => controller.error(new Error("gone")) });
    const request = new Request("http://app.example/", {
      ...{ method: "POST", body, duplex: "half" },
      headers: { cookie, "content-type": form },
    });
    const context = new SecurityContext(request);
    await sessions.onPreRequest(context);
    assertEquals((await new CsrfMiddleware().onPreRequest(context))?.status, 403);
  });

  await t.step("a visitor without a session is refused, and the body is not read", async () => {
    for (const visitor of [undefined, "sid=forged", `sid=${cookie.slice(4, -1)}${cookie.endsWith("A") ? "B" : "A"}`]) {
      const context = contextOf({ cookie: visitor, ...field(`_csrf=${token}`, form) });
      await sessions.onPreRequest(context);
      const refusal = await new CsrfMiddleware().onPreRequest(context);
      assertMatch(await refusal?.text() ?? "", /has no session/);
      assertEquals(context.request.serverRequest.bodyUsed, false);
    }
  });

  await t.step("a request without a Session on its context is refused", async () => {
    const sent = { cookie, ...header(token) };
    assertEquals(await passes(sent), false);
    for (const security of [undefined, null, {}, { session: null }, { session: { expiresAt: new Date() } }]) {
      const context = new Context(contextOf(sent).request.serverRequest);
      Object.assign(context, { security });
      assertEquals((await new CsrfMiddleware().onPreRequest(context))?.status, 403);
    }
  });

  await t.step("a session that has ended has no token", async () => {
    const context = contextOf({ cookie, ...header(token) });
    await sessions.onPreRequest(context);
    await context.security.session.destroy();
    assertEquals((await new CsrfMiddleware().onPreRequest(context))?.status, 403);
    assertEquals(await passes({ cookie, ...header(token) }, {}, sessions), false);
  });
});

Deno.test("CsrfMiddleware accepts the token of the current id, and within the grace that of the old one", async (t) => {
  using clock = new FakeClock();
  const withToken = (cookie: string, token: string): Sent => ({ cookie, headers: { "x-csrf-token": token } });

  for (const options of [undefined, { principal: "42" }]) {
    await t.step(`regenerate(${JSON.stringify(options) ?? ""})`, async () => {
      const sessions = start();
      const cookie = await signUp(sessions);
      const token = await tokenOf(sessions, cookie);
      const next = await regenerate(sessions, cookie, options);
      assertEquals(await passes(withToken(next, token), {}, sessions), false);
      assertEquals(await passes(withToken(cookie, token), {}, sessions), false);
      assertEquals(await passes(withToken(next, await tokenOf(sessions, next)), {}, sessions), true);
    });
  }

  await t.step("regenerate({ graceSeconds })", async () => {
    const sessions = start();
    const cookie = await signUp(sessions);
    const token = await tokenOf(sessions, cookie);
    const next = await regenerate(sessions, cookie, { graceSeconds: 30 });
    clock.tick(29_000);
    assertEquals(await passes(withToken(cookie, token), {}, sessions), true, "the old id, within its grace");
    assertEquals(await passes(withToken(next, token), {}, sessions), true, "a form from before");
    assertEquals(await passes(withToken(cookie, await tokenOf(sessions, next)), {}, sessions), true);
    clock.tick(2_000);
    assertEquals(await passes(withToken(cookie, token), {}, sessions), false, "the old id, after its grace");
  });

  await t.step("a token stays valid after a rotation of the secret", async () => {
    const store = new MemoryStore();
    const before = start({ secret: "the older of two secrets" }, store);
    const cookie = await signUp(before);
    const token = await tokenOf(before, cookie);
    const after = start({ secret: ["the newer of two secrets", "the older of two secrets"] }, store);
    assertEquals(await passes(withToken(cookie, token), {}, after), true);
    assertEquals(await passes(withToken(cookie, token), {}, start({ secret: "quite another secret" }, store)), false);
  });
});

Deno.test("CsrfMiddleware sends a renewed cookie with its refusal", async () => {
  using clock = new FakeClock();
  const sessions = start({ renewalTimeout: 60 });
  const cookie = await signUp(sessions);
  clock.tick(61_000);
  const refusal = await check({ cookie, headers: { "sec-fetch-site": "same-site" } }, {}, sessions);
  assert(refusal);
  assertEquals(refusal.status, 403);
  const { name, value } = onlyCookie(refusal.headers);
  assertNotEquals(`${name}=${value}`, cookie);
  assertEquals(refusal.headers.get("cache-control"), "no-store");
});

Deno.test("CsrfMiddleware keeps the application's response headers on its refusal", async () => {
  const context = contextOf({ headers: { "sec-fetch-site": "cross-site" } });
  context.response.headers.set("strict-transport-security", "max-age=1");
  context.response.headers.set("content-type", "text/html");
  const refusal = await new CsrfMiddleware().onPreRequest(context);
  assertEquals(refusal?.headers.get("strict-transport-security"), "max-age=1");
  assertEquals(refusal?.headers.get("content-type"), "text/plain; charset=utf-8");
});

Deno.test("CsrfMiddleware reflects nothing of the request in its refusal", async () => {
  const mark = "xss-mark";
  const sessions = start();
  const cookie = await signUp(sessions);
  for (
    const headers of [
      { "sec-fetch-site": mark },
      { "sec-fetch-site": "cross-site", origin: `https://${mark}` },
      { origin: `https://${mark}`, host: mark + "2" },
      { "x-csrf-token": mark },
    ] as Record<string, string>[]
  ) {
    const refusal = await check(
      { cookie, url: `http://app.example/${mark}?${mark}`, headers },
      {},
      sessions,
    );
    assert(refusal);
    const text = await refusal.text();
    assert(REFUSALS.includes(text));
    assertEquals(text.includes(mark), false);
  }
});

Deno.test("CsrfMiddleware copies trustedOrigins", async () => {
  const trustedOrigins: string[] = [];
  const csrf = new CsrfMiddleware({ trustedOrigins });
  trustedOrigins.push("https://other.example");
  const context = contextOf({ headers: { origin: "https://other.example" } });
  assertEquals((await csrf.onPreRequest(context))?.status, 403);
});

Deno.test("CsrfMiddleware does not check exempt paths", async (t) => {
  const status = async (csrf: CsrfMiddleware, path: string): Promise<number | undefined> => {
    const context = contextOf({ url: `http://app.example${path}`, headers: { "sec-fetch-site": "cross-site" } });
    return (await csrf.onPreRequest(context))?.status;
  };
  for (const flags of ["", "g", "y", "gy", "i", "u"]) {
    await t.step(`/^\\/webhooks\\//${flags}`, async () => {
      const pattern = new RegExp("^/webhooks/", flags);
      const csrf = new CsrfMiddleware({ exempt: [/^\/never$/, pattern] });
      // The `lastIndex` of a global or sticky RegExp must not affect the next request.
      for (let i = 0; i < 3; i++) {
        pattern.lastIndex = i;
        assertEquals(await status(csrf, "/webhooks/pay"), undefined);
        assertEquals(await status(csrf, "/account/webhooks/"), 403);
      }
      assertEquals(await status(csrf, "/WEBHOOKS/pay"), flags === "i" ? undefined : 403);
    });
  }

  await t.step("the path is matched as Alosaur routes it", async () => {
    const csrf = new CsrfMiddleware({ exempt: [/^\/webhooks\//] });
    assertEquals(await status(csrf, "/webhooks/../order"), 403);
    assertEquals(await status(csrf, "/webhooks/%2e%2e/order"), 403);
    assertEquals(await status(csrf, "/order?/webhooks/"), 403);
    assertEquals(await status(csrf, "//webhooks/"), 403);
    assertEquals(await status(csrf, "/x/../webhooks/pay?x"), undefined);
  });

  await t.step("a sticky RegExp is matched from the start of the path", async () => {
    const csrf = new CsrfMiddleware({ exempt: [/\/webhooks\//y] });
    assertEquals(await status(csrf, "/webhooks/pay"), undefined);
    assertEquals(await status(csrf, "/account/webhooks/"), 403);
  });

  await t.step("the array of patterns is copied", async () => {
    const exempt = [/^\/webhooks\//];
    const csrf = new CsrfMiddleware({ exempt });
    exempt.push(/./);
    assertEquals(await status(csrf, "/order"), 403);
  });
});

Deno.test("new CsrfMiddleware() refuses options of the wrong shape", async (t) => {
  for (
    const [options, message] of [
      [null, "the options must be an object"],
      ["https://other.example", "the options must be an object"],
      [{ trustedOrigins: "https://other.example" }, "`trustedOrigins` must be an array"],
      [{ trustedOrigins: [new URL("https://other.example")] }, "`trustedOrigins` must contain origins"],
      [{ trustedOrigins: [/other/] }, "`trustedOrigins` must contain origins"],
      [{ trustedOrigins: ["https://other.example/"] }, '; write "https://other.example"'],
      [{ trustedOrigins: ["https://other.example/path"] }, '; write "https://other.example"'],
      [{ trustedOrigins: ["https://other.example:443"] }, '; write "https://other.example"'],
      [{ trustedOrigins: ["http://other.example:80"] }, '; write "http://other.example"'],
      [{ trustedOrigins: ["https://Other.example"] }, '; write "https://other.example"'],
      [{ trustedOrigins: [" https://other.example"] }, '; write "https://other.example"'],
      [{ trustedOrigins: ["https://user@other.example"] }, '; write "https://other.example"'],
      [{ trustedOrigins: ["https://ü.example"] }, '; write "https://xn--tda.example"'],
      [{ trustedOrigins: ["https://good.example", "other.example"] }, 'received "other.example"'],
      [{ trustedOrigins: ["null"] }, 'received "null"'],
      [{ trustedOrigins: [""] }, 'received ""'],
      [{ trustedOrigins: ["*"] }, 'received "*"'],
      [{ trustedOrigins: ["https://*.example"] }, 'received "https://*.example"'],
      [{ trustedOrigins: ["file:///x"] }, 'received "file:///x"'],
      [{ trustedOrigins: ["ftp://other.example"] }, 'received "ftp://other.example"'],
      [{ exempt: /^\/webhooks\// }, "`exempt` must be an array"],
      [{ exempt: ["/webhooks/"] }, "`exempt` must contain regular expressions"],
      [{ exempt: [{ test: () => true }] }, "`exempt` must contain regular expressions"],
    ] as const
  ) {
    await t.step(Deno.inspect(options), () => {
      const error = assertThrows(() => new CsrfMiddleware(options as unknown as CsrfOptions), TypeError, message);
      // The advice must be an origin that is accepted.
      const [, advice] = /; write "(.+?)"; received /.exec(error.message) ?? [];
      if (advice !== undefined) new CsrfMiddleware({ trustedOrigins: [advice] });
    });
  }
  new CsrfMiddleware({ trustedOrigins: ["https://other.example", "http://[::1]:8000"], exempt: [/x/] });
  new CsrfMiddleware({ trustedOrigins: undefined, exempt: undefined });
});
