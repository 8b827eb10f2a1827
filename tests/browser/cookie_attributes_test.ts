/** The options `partitioned`, `priority` and `name`, in Chromium. */
import { ActionParam, App, Area, Controller, Ctx, Get, Post } from "alosaur/mod.ts";
import { assertEquals } from "../helpers/assert.ts";
import { type Browser, type BrowserContext, launch, type Page } from "../helpers/chromium.ts";
import { SECRET } from "../helpers/request.ts";
import { serve } from "../helpers/serve.ts";
import { Context, MemoryStore, SecurityContext, SessionMiddleware, type SessionOptions } from "../../mod.ts";

function html(markup: string): Response {
  return new Response(`<!DOCTYPE html>${markup}`, { headers: { "content-type": "text/html; charset=utf-8" } });
}

@Controller("")
class Widget {
  @Get("/:variant/visits")
  @ActionParam(0, Ctx())
  async visits({ security: { session } }: SecurityContext): Promise<Response> {
    const visits = await session.update<number>("visits", (n = 0) => n + 1);
    return html(`<p>${visits}</p><form method="post" action="sign-out"><button>Sign out</button></form>`);
  }

  @Post("/:variant/sign-out")
  @ActionParam(0, Ctx())
  async signOut({ security: { session } }: SecurityContext): Promise<Response> {
    await session.destroy();
    return html("<p>signed out</p>");
  }
}

@Area({ controllers: [Widget] })
class WidgetArea {}

const app = new App({
  areas: [WidgetArea],
  logging: false,
  providers: [{ token: Context, useClass: SecurityContext }],
});

/** The first segment of the path chooses the options. */
const VARIANTS: Record<string, Partial<SessionOptions>> = {
  partitioned: { name: "partitioned", sameSite: "None", partitioned: true },
  shared: { name: "shared", sameSite: "None" },
  high: { name: "high", priority: "High" },
  prefixed: { name: "__Host-Http-sid" },
};
for (const [path, options] of Object.entries(VARIANTS)) {
  const middleware = new SessionMiddleware(new MemoryStore(), { secret: SECRET, diagnose: false, ...options });
  app.use(new RegExp(`^/${path}/`), middleware);
}

/** Serves pages of other sites that show the widget in a frame. */
class Sites implements AsyncDisposable {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor(frame: string) {
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen(): void {} }, ({ url }): Response => {
      return html(`<iframe src="${frame}${new URL(url).pathname}/visits"></iframe>`);
    });
  }

  /** Opens the page of a site; returns what the widget shows. */
  async open(tab: Page, site: string, variant: string): Promise<string | null> {
    await tab.goto(`http://${site}:${this.#server.addr.port}/${variant}`);
    return await shown(tab);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#server.shutdown();
  }
}

function shown(tab: Page): Promise<string | null> {
  return tab.frameLocator("iframe").locator("p").textContent();
}

/**
 * Chromium accepts Secure cookies from http://localhost, which is another site than *.example. A
 * context of Playwright blocks third-party cookies, as a private window does.
 */
function launchSites(): Promise<Browser> {
  return launch("--host-resolver-rules=MAP *.example 127.0.0.1");
}

Deno.test("Chromium keeps a partitioned session for each site that shows it in a frame", async (t) => {
  await using served = await serve(app);
  await using sites = new Sites(served.url.replace("127.0.0.1", "localhost"));
  await using browser = await launchSites();
  const tab = await (await browser.newContext()).newPage();

  await t.step("it survives a reload", async () => {
    assertEquals(await sites.open(tab, "shop.example", "partitioned"), "1");
    await tab.reload();
    assertEquals(await shown(tab), "2");
  });

  await t.step("it is another one on another site", async () => {
    assertEquals(await sites.open(tab, "news.example", "partitioned"), "1");
    assertEquals(await sites.open(tab, "shop.example", "partitioned"), "3");
  });

  await t.step("destroy() clears its cookie, and that of no other site", async () => {
    await tab.frameLocator("iframe").getByRole("button").click();
    await tab.frameLocator("iframe").getByText("signed out").waitFor();
    const asked = tab.waitForRequest((request) => request.url().endsWith("/partitioned/visits"));
    assertEquals(await sites.open(tab, "shop.example", "partitioned"), "1");
    assertEquals((await (await asked).allHeaders()).cookie, undefined);
    assertEquals(await sites.open(tab, "news.example", "partitioned"), "2");
  });
});

Deno.test("Chromium keeps no other session in a frame where it blocks third-party cookies", async () => {
  await using served = await serve(app);
  await using sites = new Sites(served.url.replace("127.0.0.1", "localhost"));
  await using browser = await launchSites();
  const tab = await (await browser.newContext()).newPage();
  for (let i = 0; i < 2; i++) assertEquals(await sites.open(tab, "shop.example", "shared"), "1");
});

/** Returns the cookies of a browser with the attributes that only its own protocol shows. */
async function cookiesOf(context: BrowserContext, tab: Page): Promise<Record<string, unknown>[]> {
  const protocol = await context.newCDPSession(tab);
  return (await protocol.send("Network.getCookies")).cookies.map(({ name, priority, httpOnly, secure, path }) => {
    return { name, priority, httpOnly, secure, path };
  });
}

Deno.test("Chromium reads the option priority", async () => {
  await using served = await serve(app);
  await using browser = await launchSites();
  const context = await browser.newContext();
  const tab = await context.newPage();
  await tab.goto(`${served.url.replace("127.0.0.1", "localhost")}/high/visits`);
  assertEquals(await cookiesOf(context, tab), [
    { name: "high", priority: "High", httpOnly: true, secure: false, path: "/" },
  ]);
});

Deno.test("Chromium accepts a cookie named __Host-Http-sid from SessionMiddleware, and from no script", async () => {
  await using served = await serve(app);
  await using browser = await launchSites();
  const context = await browser.newContext();
  const tab = await context.newPage();
  const url = `${served.url.replace("127.0.0.1", "localhost")}/prefixed/visits`;
  await tab.goto(url);
  await tab.evaluate(`document.cookie = "__Host-Http-other=1; Secure; Path=/"`);
  assertEquals(await cookiesOf(context, tab), [
    { name: "__Host-Http-sid", priority: "Medium", httpOnly: true, secure: true, path: "/" },
  ]);
  await tab.goto(url);
  assertEquals(await tab.textContent("p"), "2");
});
