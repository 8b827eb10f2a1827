/** Responses that a middleware returns by itself, and bodies that are streamed. */
import { ActionParam, App, Area, Controller, Ctx, Get, type HttpContext, type MiddlewareTarget } from "alosaur/mod.ts";
import { assertEquals, assertStringIncludes } from "../helpers/assert.ts";
import { SECRET } from "../helpers/request.ts";
import { serve } from "../helpers/serve.ts";
import { CsrfMiddleware } from "../../src/csrf_middleware.ts";
import { Context, MemoryStore, SecurityContext, type SessionEvent, SessionMiddleware } from "../../mod.ts";

@Controller("")
class Pages {
  @Get("/notice")
  @ActionParam(0, Ctx())
  async notice({ security: { session } }: SecurityContext): Promise<unknown> {
    return await session.take("notice") ?? "none";
  }

  @Get("/streamed")
  @ActionParam(0, Ctx())
  streamed({ security: { session } }: SecurityContext): Response {
    return new Response(
      new ReadableStream({
        async start(controller): Promise<void> {
          // The headers leave first.
          await new Promise((resolve) => setTimeout(resolve, 20));
          const text = await session.set("notice", "streamed").then(() => "written", (error) => error.name);
          controller.enqueue(new TextEncoder().encode(text));
          controller.close();
        },
      }),
    );
  }
}

@Area({ controllers: [Pages] })
class MainArea {}

/** Answers some paths by itself. */
class Gate implements MiddlewareTarget {
  async onPreRequest(context: HttpContext): Promise<Response | undefined> {
    if (!(context instanceof SecurityContext)) throw new Error("the provider was not looked up");
    const { session } = context.security;
    const { pathname } = context.request.parserUrl;
    if (!pathname.startsWith("/closed")) return undefined;
    await session.set("notice", "closed today");
    const response = Response.redirect("http://localhost/notice", 303);
    return pathname === "/closed" ? session.applyTo(response) : response;
  }

  onPostRequest(): void {}
}

Deno.test("SessionMiddleware in an application with responses that Alosaur does not merge", async (t) => {
  const events: SessionEvent[] = [];
  const app = new App({
    areas: [MainArea],
    logging: false,
    providers: [{ token: Context, useClass: SecurityContext }],
  });
  const options = { secret: SECRET, diagnose: false, renewalTimeout: 60, onEvent: (e: SessionEvent) => events.push(e) };
  app.use(/\//, new SessionMiddleware(new MemoryStore(), options));
  app.use(/\//, new CsrfMiddleware());
  app.use(/\//, new Gate());
  await using served = await serve(app);
  const cookieOf = (line = ""): string => line.split(";", 1)[0] ?? "";
  const realNow = Date.now;

  await t.step("a middleware's redirect carries the cookie that applyTo() added", async () => {
    const { status, cookies } = await served.request("/closed");
    assertEquals([status, cookies.length], [303, 1]);
    const { text } = await served.request("/notice", { headers: { cookie: cookieOf(cookies[0]) } });
    assertEquals(text, "closed today");
  });

  await t.step("a refusal of CsrfMiddleware carries the new cookie of a renewed session", async () => {
    const { cookies } = await served.request("/closed");
    const cookie = cookieOf(cookies[0]);
    try {
      Date.now = () => realNow() + 61_000;
      const headers = { cookie, "sec-fetch-site": "cross-site" };
      const refused = await served.request("/notice", { method: "POST", headers });
      assertEquals([refused.status, refused.cookies.length], [403, 1]);
      assertStringIncludes(refused.text, "Refused (CSRF)");
    } finally {
      Date.now = realNow;
    }
  });

  await t.step(
    "a middleware's redirect without applyTo() lost the cookie, and the next request reports it",
    async () => {
      const { status, cookies } = await served.request("/closed/lost");
      assertEquals([status, cookies], [303, []]);
      events.length = 0;
      try {
        Date.now = () => realNow() + 5_000;
        await served.request("/notice");
      } finally {
        Date.now = realNow;
      }
      assertEquals(events.map((event) => event.type === "cookieLost" && event.reason), ["unsent"]);
    },
  );

  await t.step("a streamed body cannot begin a session", async () => {
    const { text, cookies } = await served.request("/streamed");
    assertEquals([text, cookies], ["HeadersSentError", []]);
  });
});
