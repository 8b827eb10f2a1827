/** The statements of docs/browsers.md and docs/security.md about browsers, in Chromium. */
import { ActionParam, type ActionResult, App, Area, Controller, Ctx, Get, Post, Redirect } from "alosaur/mod.ts";
import { assert, assertEquals } from "../helpers/assert.ts";
import { launch } from "../helpers/chromium.ts";
import { SECRET } from "../helpers/request.ts";
import { serve } from "../helpers/serve.ts";
import { Context, MemoryStore, SecurityContext, SessionMiddleware } from "../../mod.ts";

function page(title: string, markup = "", headers: Record<string, string> = {}): Response {
  return new Response(`<!DOCTYPE html><title>${title}</title><p>${title}</p>${markup}`, {
    headers: { "content-type": "text/html; charset=utf-8", ...headers },
  });
}

const CLEAR = { "clear-site-data": '"cache", "storage"' };

/** Resolved when a page has been loaded that nobody has visited yet. */
let speculated = Promise.withResolvers<void>();

@Controller("")
class Pages {
  @Get("/sign-in-as-ada")
  @ActionParam(0, Ctx())
  async signInAsAda({ security: { session } }: SecurityContext): Promise<string> {
    await session.regenerate({ principal: "ada" });
    return "signed in";
  }

  @Get("/members")
  @ActionParam(0, Ctx())
  members(context: SecurityContext): Response | ActionResult {
    const { session } = context.security;
    if (session.principal === undefined) return Redirect("/sign-in");
    const url = context.request.parserUrl;
    const headers: Record<string, string> = url.searchParams.has("no-store") ? { "cache-control": "no-store" } : {};
    return page(
      "Members",
      `<form method="post" action="/sign-out${url.search}"><button>Sign out</button></form>`,
      headers,
    );
  }

  @Post("/sign-out")
  @ActionParam(0, Ctx())
  async signOut({ security: { session }, request }: SecurityContext): Promise<Response> {
    await session.destroy();
    const { search, searchParams } = request.parserUrl;
    const headers = { location: `/signed-out${search}`, ...(searchParams.has("clear") ? CLEAR : {}) };
    return new Response(null, { status: 303, headers });
  }

  @Get("/signed-out")
  @ActionParam(0, Ctx())
  signedOut({ request }: SecurityContext): Response {
    return page("Signed out", "", request.parserUrl.searchParams.has("clear") ? CLEAR : {});
  }

  @Get("/sign-in")
  signIn(): Response {
    return page("Sign in");
  }

  @Get("/save")
  @ActionParam(0, Ctx())
  async save({ security: { session }, request }: SecurityContext): Promise<Response> {
    await session.set("notice", "Saved.");
    const rules = JSON.stringify({
      prefetch: [{ urls: [request.parserUrl.searchParams.get("next")], eagerness: "immediate" }],
    });
    return page("Save", `<script type="speculationrules">${rules}</script>`);
  }

  @Get("/notice")
  @ActionParam(0, Ctx())
  async notice({ security: { session } }: SecurityContext): Promise<Response> {
    const notice = await session.take<string>("notice");
    speculated.resolve();
    return page(notice ?? "No notice");
  }

  @Get("/guarded/notice")
  @ActionParam(0, Ctx())
  guardedNotice(context: SecurityContext): Promise<Response> {
    return this.notice(context);
  }

  @Get("/begin")
  @ActionParam(0, Ctx())
  async begin({ security: { session } }: SecurityContext): Promise<string> {
    await session.set("state", "a state");
    return "begun";
  }

  @Post("/callback")
  callback(): Response {
    return new Response(null, { status: 303, headers: { location: "/callback?code=42" } });
  }

  @Get("/callback")
  @ActionParam(0, Ctx())
  async finish({ security: { session }, request }: SecurityContext): Promise<Response> {
    const state = await session.get("state", "no state");
    return page(`${state}, code ${request.parserUrl.searchParams.get("code")}`);
  }
}

@Area({ controllers: [Pages] })
class PagesArea {}

const app = new App({
  areas: [PagesArea],
  logging: false,
  providers: [{ token: Context, useClass: SecurityContext }],
});
app.use(/^\/guarded\//, {
  onPreRequest({ request }: Context): Response | undefined {
    if (!request.headers.get("sec-purpose")?.startsWith("prefetch")) return undefined;
    speculated.resolve();
    return new Response(null, { status: 503 });
  },
  onPostRequest: () => {},
});
app.use(/\//, new SessionMiddleware(new MemoryStore(), { secret: SECRET }));

Deno.test("Chromium on the back button after signing out", async (t) => {
  await using served = await serve(app);
  await using browser = await launch();
  const url = served.url.replace("127.0.0.1", "localhost");
  for (
    const [name, query, shown] of [
      ["shows the members' page if nothing prevents it", "", "Members"],
      ["does not show a page that says no-store", "no-store", "Sign in"],
      [
        "shows it in spite of Clear-Site-Data, which arrives before the page is in the back/forward cache",
        "clear",
        "Members",
      ],
    ] as const
  ) {
    await t.step(name, async () => {
      const tab = await (await browser.newContext()).newPage();
      await tab.goto(`${url}/sign-in-as-ada`);
      await tab.goto(`${url}/members?${query}`);
      await tab.getByRole("button").click();
      await tab.waitForURL("**/signed-out*");
      await tab.evaluate("history.back()");
      await tab.waitForFunction('document.title !== "Signed out"');
      assertEquals(await tab.title(), shown);
    });
  }
});

Deno.test("Chromium takes a notice with a prefetch, unless the prefetch is refused", async (t) => {
  await using served = await serve(app);
  await using browser = await launch();
  const url = served.url.replace("127.0.0.1", "localhost");
  for (const [path, expected] of [["/notice", "No notice"], ["/guarded/notice", "Saved."]] as const) {
    await t.step(path, async () => {
      const context = await browser.newContext();
      speculated = Promise.withResolvers();
      await (await context.newPage()).goto(`${url}/save?next=${path}`);
      await speculated.promise;
      const tab = await context.newPage();
      await tab.goto(url + path);
      assertEquals(await tab.title(), expected);
    });
  }
});

Deno.test("Chromium sends a SameSite=Lax cookie with the redirect after a POST of another site, and not with the POST", async () => {
  await using served = await serve(app);
  await using browser = await launch("--host-resolver-rules=MAP *.example 127.0.0.1");
  const url = served.url.replace("127.0.0.1", "app.example");
  const tab = await (await browser.newContext()).newPage();
  await tab.goto(`${url}/begin`);

  await using provider = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen(): void {} }, (): Response => {
    return page(
      "Provider",
      `<form method="post" action="${url}/callback"></form><script>document.forms[0].submit()</script>`,
    );
  });
  const [posted, got] = [
    tab.waitForRequest((request) => request.method() === "POST"),
    tab.waitForRequest((request) => request.url().includes("code=42")),
  ];
  await tab.goto(`http://provider.example:${provider.addr.port}/`);
  assertEquals((await (await posted).allHeaders()).cookie, undefined);
  assert((await (await got).allHeaders()).cookie);
  await tab.waitForURL("**/callback?code=42");
  assertEquals(await tab.title(), "a state, code 42");
});
