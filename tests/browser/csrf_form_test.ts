/** `CsrfMiddleware` with the forms that Chromium sends. */
import { ActionParam, App, Area, Body, Controller, Ctx, Get, Post } from "alosaur/mod.ts";
import { CsrfMiddleware } from "@alosaur/session/csrf";
import { assert, assertEquals, assertMatch } from "../helpers/assert.ts";
import { launch } from "../helpers/chromium.ts";
import { SECRET } from "../helpers/request.ts";
import { serve } from "../helpers/serve.ts";
import { Context, MemoryStore, SecurityContext, SessionMiddleware } from "../../mod.ts";

/** A page whose browser does not say where its form comes from. */
function page(markup: string): Response {
  const headers = { "content-type": "text/html; charset=utf-8", "referrer-policy": "no-referrer" };
  return new Response(`<!DOCTYPE html>${markup}`, { headers });
}

/** A form that sends itself. */
function form(action: string, token: string): string {
  return `<form method="post" action="${action}"><input name="_csrf" value="${token}"></form>
    <script>document.forms[0].submit()</script>`;
}

@Controller("")
class Forms {
  @Get("/form")
  @ActionParam(0, Ctx())
  async form({ security: { session } }: SecurityContext): Promise<Response> {
    return page(form("/order", await session.csrfToken()));
  }

  @Get("/form-without-token")
  formWithoutToken(): Response {
    return page(form("/order", ""));
  }

  @Post("/order")
  @ActionParam(0, Body())
  order(): string {
    return "ordered";
  }
}

@Area({ controllers: [Forms] })
class FormsArea {}

const app = new App({
  areas: [FormsArea],
  logging: false,
  providers: [{ token: Context, useClass: SecurityContext }],
});
app.use(/\//, new SessionMiddleware(new MemoryStore(), { secret: SECRET }));
app.use(/\//, new CsrfMiddleware());

Deno.test("CsrfMiddleware accepts the site's own form under Referrer-Policy: no-referrer, over http", async (t) => {
  await using served = await serve(app);
  const { port } = new URL(served.url);
  // A host that Chromium does not consider secure, so that it sends no Sec-Fetch-Site.
  await using browser = await launch("--host-resolver-rules=MAP *.example 127.0.0.1");
  const context = await browser.newContext();

  /** Opens a page whose form sends itself; returns what it sent and the text of the answer. */
  async function submit(url: string): Promise<{ sent: Record<string, string>; text: string }> {
    const tab = await context.newPage();
    const posted = tab.waitForRequest((request) => request.method() === "POST");
    await tab.goto(url);
    const sent = await (await posted).allHeaders();
    await tab.waitForURL("**/order");
    const text = await tab.textContent("body") ?? "";
    await tab.close();
    return { sent, text };
  }

  await t.step("with the token it passes, although its Origin is null", async () => {
    const { sent, text } = await submit(`http://app.example:${port}/form`);
    assertEquals([sent["sec-fetch-site"], sent.origin], [undefined, "null"]);
    assert(sent.cookie);
    assertEquals(text, "ordered");
  });

  await t.step("without the token it is refused", async () => {
    const { sent, text } = await submit(`http://app.example:${port}/form-without-token`);
    assertEquals([sent["sec-fetch-site"], sent.origin], [undefined, "null"]);
    assert(sent.cookie);
    assertMatch(text, /^Refused \(CSRF\): /);
  });

  await t.step("a form of another origin of the same site, which knows no token, is refused", async () => {
    await using attacker = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen(): void {} }, (): Response => {
      return page(form(`http://app.example:${port}/order`, "guessed"));
    });
    const { sent, text } = await submit(`http://app.example:${attacker.addr.port}/`);
    assertEquals([sent["sec-fetch-site"], sent.origin], [undefined, "null"]);
    assert(sent.cookie);
    assertMatch(text, /^Refused \(CSRF\): /);
  });
});
