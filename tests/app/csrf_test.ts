/** `CsrfMiddleware` in an Alosaur application, over HTTP. */
import { ActionParam, App, Area, Body, Content, Controller, Ctx, Get, Post } from "alosaur/mod.ts";
import { CsrfMiddleware } from "@alosaur/session/csrf";
import { assert, assertEquals, assertMatch, assertNotEquals } from "../helpers/assert.ts";
import { REFUSALS } from "../helpers/csrf.ts";
import { onlyCookie, SECRET } from "../helpers/request.ts";
import { serve } from "../helpers/serve.ts";
import { probe } from "../helpers/stores.ts";
import { Context, MemoryStore, SecurityContext, SessionMiddleware } from "../../mod.ts";

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

Deno.test("CsrfMiddleware in an application", async (t) => {
  await using served = await serve(app);
  const form = await served.request("/form");
  const { name, value } = onlyCookie(form.headers);
  const cookie = `${name}=${value}`;
  const token = form.text;
  assertMatch(token, /^[\w-]{86}$/);
  const post = (
    path: string,
    headers: Record<string, string> = {},
    body?: BodyInit,
  ): ReturnType<typeof served.request> => served.request(path, { method: "POST", headers, body });
  const urlencoded = { "content-type": "application/x-www-form-urlencoded" };

  await t.step("a refusal is a 403 with one line, and no later middleware or action runs", async () => {
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
      assert(REFUSALS.includes(answer.text));
      assertEquals(answer.headers.get("content-type"), "text/plain; charset=utf-8");
      assertEquals(answer.cookies, []);
    }
    assertEquals((await post("/nowhere", { "sec-fetch-site": "cross-site" })).status, 403);
  });

  await t.step("a request from the same or a trusted origin, or with the token, reaches the action", async () => {
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
        { cookie, "x-csrf-token": token, origin: "null" },
      ] as Record<string, string>[]
    ) assertEquals((await post("/raw", headers, "body")).text, "body");
    const again = await served.request("/form", { headers: { "sec-fetch-site": "cross-site", cookie } });
    assertNotEquals(again.text, token);
    assertEquals((await post("/raw", { cookie, "x-csrf-token": again.text }, "body")).text, "body");
  });

  await t.step("a webhook is exempt on every request", async () => {
    for (let i = 0; i < 3; i++) {
      assertEquals((await post("/webhooks/pay", { "sec-fetch-site": "cross-site" })).text, "paid");
    }
  });

  await t.step("a visitor without a session causes no call of the store", async () => {
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

  await t.step("the action's own parser is used", async () => {
    const data = new FormData();
    data.append("_csrf", token);
    assertEquals((await post("/parser", { cookie }, data)).text, "parsed by the application: string");
  });

  await t.step("a form that an earlier middleware has read is checked", async () => {
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

  await t.step("a malformed body is answered with 403", async () => {
    for (
      const type of ["multipart/form-data", "multipart/form-data; boundary=b", "application/x-www-form-urlencoded"]
    ) {
      for (const body of ["", "garbage", "--b\r\n\r\n--b", "_csrf=%", new Uint8Array([0xff, 0x00])]) {
        const answer = await post("/body", { cookie, "content-type": type }, body);
        assertEquals([answer.status, answer.errors], [403, []]);
      }
    }
  });

  await t.step("unusual requests are checked too", async () => {
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

  await t.step("a request over HTTP/2, which has no Host", async () => {
    using client = Deno.createHttpClient({ http1: false, http2: true });
    for (const [origin, status] of [[served.url, 200], ["https://evil.example", 403]] as const) {
      const response = await fetch(`${served.url}/raw`, { method: "POST", headers: { origin }, client });
      await response.body?.cancel();
      assertEquals(response.status, status);
    }
  });

  await t.step("a form from before a change of the id is refused", async () => {
    const renewed = await served.request("/renew", { headers: { cookie } });
    const { name, value } = onlyCookie(renewed.headers);
    const next = `${name}=${value}`;
    assertEquals((await post("/body", { cookie: next, ...urlencoded }, `_csrf=${token}`)).status, 403);
    assertEquals((await post("/body", { cookie, ...urlencoded }, `_csrf=${token}`)).status, 403);
    assertEquals((await post("/body", { cookie: next, ...urlencoded }, `_csrf=${renewed.text}`)).status, 200);
  });
});
