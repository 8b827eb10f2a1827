import { ActionParam, App, Area, Body, Content, Controller, Ctx, Get, Post } from "alosaur/mod.ts";
import { CsrfMiddleware, type CsrfOptions } from "@alosaur/session/csrf";
import { assert, assertEquals, assertMatch, assertNotEquals, assertThrows } from "./helpers/assert.ts";
import { FakeClock } from "./helpers/clock.ts";
import { onlyCookie, SECRET, signUp, start, visit } from "./helpers/request.ts";
import { serve } from "./helpers/serve.ts";
import { probe } from "./helpers/stores.ts";
import { Context, MemoryStore, SecurityContext, SessionMiddleware } from "../mod.ts";

const LINE = /^Refused \(CSRF\): [a-zA-Z ,]+\.$/;

/** The part of a request that is left out is as a program without a browser sends it: no body, no header. */
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

/** What the middleware makes of a request: nothing, or its refusal. */
async function check(sent: Sent, options?: CsrfOptions, sessions?: SessionMiddleware): Promise<Response | undefined> {
  const context = contextOf(sent);
  await sessions?.onPreRequest(context);
  const csrf = new CsrfMiddleware(options);
  const refusal = await csrf.onPreRequest(context);
  csrf.onPostRequest(context);
  return refusal;
}

/** Whether a request passes; a refusal must be a whole one. */
async function passes(sent: Sent, options?: CsrfOptions, sessions?: SessionMiddleware): Promise<boolean> {
  const refusal = await check(sent, options, sessions);
  if (refusal === undefined) return true;
  assertEquals([refusal.status, refusal.headers.get("content-type")], [403, "text/plain; charset=utf-8"]);
  assertMatch(await refusal.text(), LINE);
  return false;
}

/** The token that a page of this client's session carries. */
async function tokenOf(sessions: SessionMiddleware, cookie: string): Promise<string> {
  let token = "";
  await visit(sessions, { cookie }, async ({ security }) => token = await security.session.csrfToken());
  return token;
}

/** Gives a client's session a new id; returns its new Cookie header. */
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

Deno.test("CsrfMiddleware lets safe methods pass, and no other", async (t) => {
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
      // Methods are case-sensitive, so these are others, which nobody said are safe.
      ["get", false],
      ["Head", false],
      ["tRaCe", false],
      ["GET ", false],
      ["", false],
    ] as const
  ) {
    await t.step(JSON.stringify(method), async () => {
      const context = contextOf({ headers: { "sec-fetch-site": "cross-site" } });
      // `Request` knows no TRACE and writes some in upper case; a server gets them as they were sent.
      Object.defineProperty(context.request, "method", { value: method });
      assertEquals(await new CsrfMiddleware().onPreRequest(context) === undefined, safe);
    });
  }
});

Deno.test("CsrfMiddleware believes Sec-Fetch-Site first", async (t) => {
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
      // The Origin's host is asked for only where there is no Sec-Fetch-Site: here it says that the scheme or the port differs.
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
    assertEquals(await passes({ cookie, headers: { ...headers, origin: "null" } }, {}, sessions), false);
  });
});

Deno.test("CsrfMiddleware compares the Origin's host with Host where there is no Sec-Fetch-Site", async (t) => {
  for (
    const [origin, host, expected] of [
      ["https://app.example", "app.example", true],
      ["http://app.example", "app.example", true],
      ["https://APP.example", "App.Example", true],
      ["https://app.example:8443", "app.example:8443", true],
      ["https://app.example:8443", "app.example", false],
      ["https://app.example", "app.example:8443", false],
      ["https://app.example:8443", "app.example:8444", false],
      // The port that the Origin's scheme has anyway may stand there or not.
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
      // Behind a proxy that ends TLS the request's own URL is http, or names the proxy's idea of the host.
      assertEquals(await passes({ headers: { origin, host } }), expected);
    });
  }

  await t.step("without Host, as in HTTP/2, the URL has it", async () => {
    assertEquals(await passes({ headers: { origin: "http://app.example" } }), true);
    assertEquals(
      await passes({ url: "https://app.example:8443/", headers: { origin: "https://app.example:8443" } }),
      true,
    );
    assertEquals(await passes({ headers: { origin: "http://evil.example" } }), false);
  });

  await t.step("Host wins over the URL", async () => {
    const url = "http://evil.example/order";
    assertEquals(await passes({ url, headers: { host: "app.example", origin: "http://evil.example" } }), false);
    assertEquals(await passes({ url, headers: { host: "app.example", origin: "https://app.example" } }), true);
  });

  await t.step("X-Forwarded-Host and Forwarded are not believed", async () => {
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

  await t.step("a trusted origin is trusted as a whole", async () => {
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

Deno.test("CsrfMiddleware asks for the session's token where the request says nothing of where it comes from", async (t) => {
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
      ["nothing at all", {}, false],
      ["the header", header(token), true],
      ["a field", field(`a=1&_csrf=${token}&b=2`, form), true],
      ["a field, with a charset", field(new URLSearchParams({ _csrf: token })), true],
      [
        "a field, with an odd spelling of its type",
        field(`_csrf=${token}`, `Application/X-WWW-Form-URLencoded ;charset=x`),
        true,
      ],
      ["a field of a multipart form", field(multipart({ a: new Blob(["file"]), _csrf: token })), true],
      ["another session's header", header(other), false],
      ["another session's field", field(`_csrf=${other}`, form), false],
      ["one character off", header(wrong), false],
      ["a character less", header(token.slice(0, -1)), false],
      ["a character more", header(`${token}A`), false],
      ["in another case", header(token.toLowerCase() === token ? token.toUpperCase() : token.toLowerCase()), false],
      ["twice", header(`${token}, ${token}`), false],
      ["an empty header", header(""), false],
      ["an empty field", field("_csrf=", form), false],
      ["of other characters", header("é".repeat(43)), false],
      ["a field of another name", field(`csrf=${token}`, form), false],
      ["the wrong one first", field(`_csrf=${wrong}&_csrf=${token}`, form), false],
      ["in a file", field(multipart({ _csrf: new Blob([token]) })), false],
      ["in JSON", field(JSON.stringify({ _csrf: token }), "application/json"), false],
      ["in plain text", field(`_csrf=${token}`, "text/plain"), false],
      ["in a body without type", field(new TextEncoder().encode(`_csrf=${token}`)), false],
      ["in the query", { url: `http://app.example/order?_csrf=${token}` }, false],
      ["in a cookie", { cookie: `${cookie}; _csrf=${token}; x-csrf-token=${token}` }, false],
      ["multipart without a boundary", field(`_csrf=${token}`, "multipart/form-data"), false],
      ["multipart with another boundary", field(`--a\r\n_csrf=${token}`, "multipart/form-data; boundary=b"), false],
      [
        "multipart that is cut off",
        field("--b\r\nContent-Disposition: form-data; name=", "multipart/form-data; boundary=b"),
        false,
      ],
      ["a body of no characters", field(new Uint8Array([0xff, 0xfe, 0x25, 0x00]), form), false],
      ["escapes of nothing", field("_csrf=%zz%", form), false],
      ["no body", { headers: { "content-type": form } }, false],
    ] as const satisfies [string, Sent, boolean][]
  ) {
    await t.step(name, async () => assertEquals(await passes({ cookie, ...sent }, {}, sessions), expected));
  }

  await t.step("a wrong header does not spoil a right field", async () => {
    const headers = { "content-type": form, "x-csrf-token": wrong };
    assertEquals(await passes({ cookie, headers, body: `_csrf=${token}` }, {}, sessions), true);
    assertEquals(await passes({ cookie, headers, body: `_csrf=${wrong}` }, {}, sessions), false);
  });

  await t.step("a body that breaks off is refused", async () => {
    const body = new ReadableStream({ pull: (controller) => controller.error(new Error("gone")) });
    const request = new Request("http://app.example/", {
      ...{ method: "POST", body, duplex: "half" },
      headers: { cookie, "content-type": form },
    });
    const context = new SecurityContext(request);
    await sessions.onPreRequest(context);
    assertEquals((await new CsrfMiddleware().onPreRequest(context))?.status, 403);
  });

  await t.step("who has no session has no token, and their body is left alone", async () => {
    for (const visitor of [undefined, "sid=forged", `sid=${cookie.slice(4, -1)}${cookie.endsWith("A") ? "B" : "A"}`]) {
      const context = contextOf({ cookie: visitor, ...field(`_csrf=${token}`, form) });
      await sessions.onPreRequest(context);
      const refusal = await new CsrfMiddleware().onPreRequest(context);
      assertMatch(await refusal?.text() ?? "", /has no session/);
      assertEquals(context.request.serverRequest.bodyUsed, false);
    }
  });

  await t.step("where no SessionMiddleware ran, or something else is in its place, it refuses", async () => {
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

Deno.test("CsrfMiddleware takes the token of the present id, and within a grace that of the old one", async (t) => {
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

  await t.step("a token outlives the rotation of the secret", async () => {
    const store = new MemoryStore();
    const before = start({ secret: "the older of two secrets" }, store);
    const cookie = await signUp(before);
    const token = await tokenOf(before, cookie);
    const after = start({ secret: ["the newer of two secrets", "the older of two secrets"] }, store);
    assertEquals(await passes(withToken(cookie, token), {}, after), true);
    assertEquals(await passes(withToken(cookie, token), {}, start({ secret: "quite another secret" }, store)), false);
  });
});

Deno.test("CsrfMiddleware keeps a new cookie on its refusal", async () => {
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

Deno.test("CsrfMiddleware keeps what the application has put on every response", async () => {
  const context = contextOf({ headers: { "sec-fetch-site": "cross-site" } });
  context.response.headers.set("strict-transport-security", "max-age=1");
  context.response.headers.set("content-type", "text/html");
  const refusal = await new CsrfMiddleware().onPreRequest(context);
  assertEquals(refusal?.headers.get("strict-transport-security"), "max-age=1");
  assertEquals(refusal?.headers.get("content-type"), "text/plain; charset=utf-8");
});

Deno.test("CsrfMiddleware repeats nothing of the request", async () => {
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
    assertMatch(text, LINE);
    assertEquals(text.includes(mark), false);
  }
});

Deno.test("CsrfMiddleware leaves exempt paths alone", async (t) => {
  const status = async (csrf: CsrfMiddleware, path: string): Promise<number | undefined> => {
    const context = contextOf({ url: `http://app.example${path}`, headers: { "sec-fetch-site": "cross-site" } });
    return (await csrf.onPreRequest(context))?.status;
  };
  for (const flags of ["", "g", "y", "gy", "i", "u"]) {
    await t.step(`/^\\/webhooks\\//${flags}`, async () => {
      const pattern = new RegExp("^/webhooks/", flags);
      const csrf = new CsrfMiddleware({ exempt: [/^\/never$/, pattern] });
      // What a match leaves behind in a global or sticky RegExp must not decide on the next request.
      for (let i = 0; i < 3; i++) {
        pattern.lastIndex = i;
        assertEquals(await status(csrf, "/webhooks/pay"), undefined);
        assertEquals(await status(csrf, "/account/webhooks/"), 403);
      }
      assertEquals(await status(csrf, "/WEBHOOKS/pay"), flags === "i" ? undefined : 403);
    });
  }

  await t.step("what counts is the path as it is routed", async () => {
    const csrf = new CsrfMiddleware({ exempt: [/^\/webhooks\//] });
    assertEquals(await status(csrf, "/webhooks/../order"), 403);
    assertEquals(await status(csrf, "/webhooks/%2e%2e/order"), 403);
    assertEquals(await status(csrf, "/order?/webhooks/"), 403);
    assertEquals(await status(csrf, "//webhooks/"), 403);
    assertEquals(await status(csrf, "/x/../webhooks/pay?x"), undefined);
  });

  await t.step("a sticky RegExp begins at the beginning", async () => {
    const csrf = new CsrfMiddleware({ exempt: [/\/webhooks\//y] });
    assertEquals(await status(csrf, "/webhooks/pay"), undefined);
    assertEquals(await status(csrf, "/account/webhooks/"), 403);
  });

  await t.step("changing the given array later changes nothing", async () => {
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
      [{ trustedOrigins: [new URL("https://other.example")] }, "`trustedOrigins` must hold strings"],
      [{ trustedOrigins: [/other/] }, "`trustedOrigins` must hold strings"],
      [{ trustedOrigins: ["https://other.example/"] }, 'is not: write "https://other.example"'],
      [{ trustedOrigins: ["https://other.example/path"] }, 'is not: write "https://other.example"'],
      [{ trustedOrigins: ["https://other.example:443"] }, 'is not: write "https://other.example"'],
      [{ trustedOrigins: ["http://other.example:80"] }, 'is not: write "http://other.example"'],
      [{ trustedOrigins: ["https://Other.example"] }, 'is not: write "https://other.example"'],
      [{ trustedOrigins: [" https://other.example"] }, 'is not: write "https://other.example"'],
      [{ trustedOrigins: ["https://user@other.example"] }, 'is not: write "https://other.example"'],
      [{ trustedOrigins: ["https://ü.example"] }, 'is not: write "https://xn--tda.example"'],
      [{ trustedOrigins: ["https://good.example", "other.example"] }, '"other.example" is not'],
      [{ trustedOrigins: ["null"] }, '"null" is not'],
      [{ trustedOrigins: [""] }, '"" is not'],
      [{ trustedOrigins: ["*"] }, '"*" is not'],
      [{ trustedOrigins: ["https://*.example"] }, '"https://*.example" is not'],
      [{ trustedOrigins: ["file:///x"] }, '"file:///x" is not'],
      [{ trustedOrigins: ["ftp://other.example"] }, '"ftp://other.example" is not'],
      [{ exempt: /^\/webhooks\// }, "`exempt` must be an array"],
      [{ exempt: ["/webhooks/"] }, "`exempt` must hold regular expressions"],
      [{ exempt: [{ test: () => true }] }, "`exempt` must hold regular expressions"],
    ] as const
  ) {
    await t.step(Deno.inspect(options), () => {
      assertThrows(() => new CsrfMiddleware(options as unknown as CsrfOptions), TypeError, message);
    });
  }
  new CsrfMiddleware({ trustedOrigins: ["https://other.example", "http://[::1]:8000"], exempt: [/x/] });
  new CsrfMiddleware({ trustedOrigins: undefined, exempt: undefined });
});

@Controller("")
class Forms {
  @Get("/form")
  @ActionParam(0, Ctx())
  form({ security: { session } }: SecurityContext): Promise<string> {
    return session.csrfToken();
  }

  @Get("/renew")
  @ActionParam(0, Ctx())
  async renew({ security: { session } }: SecurityContext): Promise<string> {
    await session.regenerate();
    return session.csrfToken();
  }

  @Post("/body")
  @ActionParam(0, Body())
  async body(form: unknown): Promise<unknown> {
    if (!(form instanceof FormData)) return { form };
    const file = form.get("file");
    return { name: form.get("name"), size: file instanceof File ? (await file.arrayBuffer()).byteLength : undefined };
  }

  @Post("/parser")
  @ActionParam(0, Body(undefined, { formData: { parser: (request) => request.text() } }))
  parser(form: unknown): string {
    return `parsed by the application: ${typeof form}`;
  }

  @Post("/raw")
  @ActionParam(0, Ctx())
  raw({ request }: SecurityContext): Promise<string> {
    return request.serverRequest.text();
  }

  @Post("/early")
  @ActionParam(0, Body())
  early(form: unknown): unknown {
    return { form };
  }

  @Post("/webhooks/pay")
  webhook(): string {
    return "paid";
  }
}

@Area({ controllers: [Forms] })
class FormsArea {}

const { store, probe: seen } = probe(new MemoryStore());
const later: string[] = [];
const app = new App({
  areas: [FormsArea],
  logging: false,
  providers: [{ token: Context, useClass: SecurityContext }],
});
app.use(/\//, new SessionMiddleware(store, { secret: SECRET }));
app.use(/^\/early$/, {
  async onPreRequest({ request }: Context): Promise<void> {
    await request.body();
  },
  onPostRequest: () => {},
});
app.use(/\//, new CsrfMiddleware({ trustedOrigins: ["https://other.example"], exempt: [/^\/webhooks\//g] }));
app.use(/\//, {
  onPreRequest({ request }: Context): void {
    later.push(`${request.method} ${request.parserUrl.pathname}`);
  },
  onPostRequest: () => {},
});
app.error((context: Context) => {
  context.response.result = Content("answered by app.error()", 200);
  context.response.setImmediately();
});

Deno.test("CSRF in an application", async (t) => {
  await using served = await serve(app);
  const form = await served.request("/form");
  const { name, value } = onlyCookie(form.headers);
  const cookie = `${name}=${value}`;
  const token = form.text;
  assertMatch(token, /^[\w-]{43}$/);
  const post = (
    path: string,
    headers: Record<string, string> = {},
    body?: BodyInit,
  ): ReturnType<typeof served.request> => served.request(path, { method: "POST", headers, body });
  const urlencoded = { "content-type": "application/x-www-form-urlencoded" };

  await t.step("a refusal is a 403 of one line, and nothing else runs", async () => {
    for (
      const headers of [
        { "sec-fetch-site": "cross-site" },
        { "sec-fetch-site": "same-site", cookie },
        { origin: "https://evil.example", cookie },
        { origin: "null", cookie },
        { cookie },
        {},
      ] as Record<string, string>[]
    ) {
      later.length = 0;
      const answer = await post("/raw", headers, "body");
      assertEquals([answer.status, later, answer.errors], [403, [], []]);
      assertMatch(answer.text, LINE);
      assertEquals(answer.headers.get("content-type"), "text/plain; charset=utf-8");
      assertEquals(answer.cookies, []);
    }
    assertEquals((await post("/nowhere", { "sec-fetch-site": "cross-site" })).status, 403);
  });

  await t.step("what passes, passes", async () => {
    const { host } = new URL(served.url);
    for (
      const headers of [
        { "sec-fetch-site": "same-origin" },
        { "sec-fetch-site": "none" },
        { "sec-fetch-site": "cross-site", origin: "https://other.example" },
        { origin: `http://${host}` },
        { origin: `https://${host}` },
        { origin: "https://other.example" },
        { cookie, "x-csrf-token": token },
      ] as Record<string, string>[]
    ) assertEquals((await post("/raw", headers, "body")).text, "body");
    assertEquals((await served.request("/form", { headers: { "sec-fetch-site": "cross-site", cookie } })).text, token);
  });

  await t.step("a webhook is exempt, every time", async () => {
    for (let i = 0; i < 3; i++) {
      assertEquals((await post("/webhooks/pay", { "sec-fetch-site": "cross-site" })).text, "paid");
    }
  });

  await t.step("who has no session costs the store nothing", async () => {
    seen.calls.length = 0;
    assertEquals((await post("/body", urlencoded, `_csrf=${token}`)).status, 403);
    assertEquals(seen.calls, []);
  });

  await t.step("the action still reads a form", async () => {
    const answer = await post("/body", { cookie, ...urlencoded }, `_csrf=${token}&name=ada`);
    assertEquals(JSON.parse(answer.text), { form: { _csrf: token, name: "ada" } });
  });

  await t.step("the action still reads a form that Alosaur does not parse", async () => {
    const body = new URLSearchParams({ _csrf: token, name: "ada" });
    assertEquals((await post("/raw", { cookie }, body)).text, `_csrf=${token}&name=ada`);
  });

  await t.step("the action still reads a multipart form, with a file of three megabytes", async () => {
    const data = new FormData();
    data.append("file", new Blob([new Uint8Array(3_000_000)]));
    data.append("name", "ada");
    assertEquals((await post("/body", { cookie }, data)).status, 403);
    data.append("_csrf", token);
    assertEquals(JSON.parse((await post("/body", { cookie }, data)).text), { name: "ada", size: 3_000_000 });
  });

  await t.step("the action's own way of parsing counts", async () => {
    const data = new FormData();
    data.append("_csrf", token);
    assertEquals((await post("/parser", { cookie }, data)).text, "parsed by the application: string");
  });

  await t.step("a form that a middleware before has read is read", async () => {
    const answer = await post("/early", { cookie, ...urlencoded }, `_csrf=${token}`);
    assertEquals(JSON.parse(answer.text), { form: { _csrf: token } });
    assertEquals((await post("/early", { cookie, ...urlencoded }, "_csrf=x")).status, 403);
    const data = new FormData();
    assertEquals((await post("/early", { cookie }, data)).status, 403);
    data.append("_csrf", token);
    assertEquals((await post("/early", { cookie }, data)).status, 200);
  });

  await t.step("JSON with the header is read by the action", async () => {
    const headers = { cookie, "x-csrf-token": token, "content-type": "application/json" };
    assertEquals(JSON.parse((await post("/body", headers, '{"a":1}')).text), { form: { a: 1 } });
  });

  await t.step("a malformed body is a 403 and no 500", async () => {
    for (
      const type of ["multipart/form-data", "multipart/form-data; boundary=b", "application/x-www-form-urlencoded"]
    ) {
      for (const body of ["", "garbage", "--b\r\n\r\n--b", "_csrf=%", new Uint8Array([0xff, 0x00])]) {
        const answer = await post("/body", { cookie, "content-type": type }, body);
        assertEquals([answer.status, answer.errors], [403, []]);
      }
    }
  });

  await t.step("odd requests get a 403 as well", async () => {
    const { port } = new URL(served.url);
    for (
      const [request, status] of [
        ["post /raw HTTP/1.1\r\nHost: app.example", 403],
        ["get /raw HTTP/1.1\r\nHost: app.example\r\nSec-Fetch-Site: cross-site", 403],
        ["TRACE /raw HTTP/1.1\r\nHost: app.example\r\nSec-Fetch-Site: cross-site", 404],
        ["POST /raw HTTP/1.0\r\nOrigin: https://app.example", 403],
        ["POST /raw HTTP/1.1\r\nHost:\r\nOrigin: https://app.example", 403],
        ["POST /raw HTTP/1.1\r\nHost: app.example\r\nOrigin: https://app.example", 200],
        ["POST /raw HTTP/1.1\r\nHost: app.example\r\nOrigin: https://app.example\r\nOrigin: https://app.example", 403],
        ["POST /raw HTTP/1.1\r\nHost: app.example\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site", 403],
        ["POST http://app.example/raw HTTP/1.1\r\nHost: app.example\r\nOrigin: http://evil.example", 403],
        ["POST http://evil.example/raw HTTP/1.1\r\nHost: app.example\r\nOrigin: http://evil.example", 403],
      ] as const
    ) {
      const connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
      await connection.write(new TextEncoder().encode(`${request}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`));
      const answer = await new Response(connection.readable).text();
      assertEquals(Number(answer.split(" ")[1]), status, request);
    }
  });

  await t.step("HTTP/2, which has no Host", async () => {
    using client = Deno.createHttpClient({ http1: false, http2: true });
    for (const [origin, status] of [[served.url, 200], ["https://evil.example", 403]] as const) {
      const response = await fetch(`${served.url}/raw`, { method: "POST", headers: { origin }, client });
      await response.body?.cancel();
      assertEquals(response.status, status);
    }
  });

  await t.step("a form from before a new id is refused", async () => {
    const renewed = await served.request("/renew", { headers: { cookie } });
    const { name, value } = onlyCookie(renewed.headers);
    const next = `${name}=${value}`;
    assertEquals((await post("/body", { cookie: next, ...urlencoded }, `_csrf=${token}`)).status, 403);
    assertEquals((await post("/body", { cookie, ...urlencoded }, `_csrf=${token}`)).status, 403);
    assertEquals((await post("/body", { cookie: next, ...urlencoded }, `_csrf=${renewed.text}`)).status, 200);
  });
});
