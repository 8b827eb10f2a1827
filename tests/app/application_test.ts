/** Sessions in an Alosaur application, over HTTP. */
import {
  ActionParam,
  App,
  Area,
  Content,
  Controller,
  Ctx,
  Get,
  type HookTarget,
  type HttpContext,
  HttpError,
  Redirect,
  UseHook,
  View,
} from "alosaur/mod.ts";
import { AuthMiddleware, Authorize } from "alosaur/src/security/authorization/mod.ts";
import { CookiesAuthentication } from "alosaur/src/security/authentication/cookies/mod.ts";
import { assert, assertEquals, assertMatch, assertNotEquals, assertStringIncludes } from "../helpers/assert.ts";
import { onlyCookie, SECRET, setCookies } from "../helpers/request.ts";
import { serve } from "../helpers/serve.ts";
import { probe } from "../helpers/stores.ts";
import { Context, MemoryStore, SecurityContext, type SessionEvent, SessionMiddleware } from "../../mod.ts";

const scheme = CookiesAuthentication.DefaultScheme;
const shared = Content({ shared: true });

class NowHook implements HookTarget<unknown, void> {
  async onPreAction(context: HttpContext): Promise<void> {
    if (!(context instanceof SecurityContext)) throw new Error("the provider was not looked up");
    await context.security.session.set("user", "hook");
    context.response.result = Content("from the hook");
    context.response.setImmediately();
  }
}

@Controller("")
class Pages {
  @Get("/count")
  @ActionParam(0, Ctx())
  async count({ security: { session } }: SecurityContext): Promise<string> {
    const n = await session.get("n", 0) + 1;
    await session.set("n", n);
    return `${n}`;
  }

  @Get("/untouched")
  untouched(): string {
    return "ok";
  }

  // Alosaur's own example: it does not await the write.
  @Get("/seed")
  @ActionParam(0, Ctx())
  async seed(context: SecurityContext): Promise<unknown> {
    context.security.session.set("testValue", 1);
    const value = await context.security.session.get("testValue", 1);
    const sid = context.security.session.sessionId;
    return { value, exists: await context.security.session.store.exist(sid) };
  }

  @Get("/result/:kind")
  @ActionParam(0, Ctx())
  async result(context: SecurityContext): Promise<unknown> {
    await context.security.session.set("user", "ada");
    switch (new URL(context.request.url).pathname.split("/").at(-1)) {
      case "string":
        return "ok";
      case "object":
        return { ok: true };
      case "content":
        return Content("ok", 201);
      case "shared":
        return shared;
      case "view":
        return await View("page", { title: "A page" });
      case "redirect":
        return Redirect("/untouched");
      case "native":
        return new Response("ok", { status: 202 });
      case "immutable":
        return Response.redirect("http://localhost/untouched");
      case "fetched":
        return await fetch("data:text/plain,ok");
      case "nothing":
        return undefined;
      case "now":
        context.response.setImmediately();
        return Content("now");
    }
  }

  @Get("/hook")
  @UseHook(NowHook)
  hook(): string {
    return "never";
  }

  @Get("/throw")
  @ActionParam(0, Ctx())
  async throw({ security: { session } }: SecurityContext): Promise<never> {
    await session.set("user", "ada");
    throw new HttpError(418, "teapot");
  }

  @Get("/caught")
  @ActionParam(0, Ctx())
  async caught({ security: { session } }: SecurityContext): Promise<never> {
    await session.set("user", "ada");
    throw new HttpError(410, "answered by app.error()");
  }

  @Get("/throw/not-awaited")
  @ActionParam(0, Ctx())
  throwNotAwaited({ security: { session } }: SecurityContext): never {
    session.set("user", () => 1);
    throw new HttpError(418, "teapot");
  }

  @Get("/not-awaited")
  @ActionParam(0, Ctx())
  notAwaited({ security: { session } }: SecurityContext): string {
    session.set("user", "down");
    return "ok";
  }

  @Get("/not-awaited/now")
  @ActionParam(0, Ctx())
  notAwaitedNow({ security: { session }, response }: SecurityContext): string {
    session.set("user", "down");
    response.setImmediately();
    return "now";
  }

  @Get("/gone")
  @ActionParam(0, Ctx())
  async gone({ security: { session } }: SecurityContext): Promise<string> {
    await session.destroy();
    await session.set("user", "ada");
    return "never";
  }

  @Get("/in")
  @ActionParam(0, Ctx())
  async in({ security }: SecurityContext): Promise<string> {
    await security.auth.signInAsync(scheme, { id: 1, data: {} });
    return "in";
  }

  @Get("/out")
  @ActionParam(0, Ctx())
  async out({ security }: SecurityContext): Promise<string> {
    await security.auth.signOutAsync(scheme);
    return "out";
  }

  @Authorize(scheme)
  @Get("/members")
  @ActionParam(0, Ctx())
  members({ security }: SecurityContext): string {
    return `member ${security.auth.identity()?.id}`;
  }
}

@Area({ controllers: [Pages] })
class MainArea {}

const { store, probe: seen } = probe(new MemoryStore());
const events: SessionEvent[] = [];
const app = new App({
  areas: [MainArea],
  logging: false,
  providers: [{ token: Context, useClass: SecurityContext }],
  viewRenderConfig: {
    type: "test",
    basePath: "/",
    getBody: (path: string, model: { title?: string }) => `<h1>${path}: ${model.title}</h1>`,
  },
  staticConfig: { root: `${import.meta.dirname}/../alosaur/`, baseRoute: "/static/" },
});
app.use(/\//, new SessionMiddleware(store, { secret: SECRET, onEvent: (event) => events.push(event) }));
app.use(/\//, new AuthMiddleware([scheme]));
app.error((context: HttpContext, error: Error) => {
  if (error.message !== "answered by app.error()") return;
  context.response.result = Content("answered", 410);
  context.response.setImmediately();
});

Deno.test({
  name: "SessionMiddleware in an application",
  fn: async (t) => {
    await using served = await serve(app);
    const get = (path: string, cookie?: string): ReturnType<typeof served.request> => {
      events.length = 0;
      seen.calls.length = 0;
      seen.before = () => {};
      return served.request(path, { headers: cookie === undefined ? {} : { cookie } });
    };
    const cookieOf = ({ headers }: { headers: Headers }): string => {
      const { name, value } = onlyCookie(headers);
      return `${name}=${value}`;
    };

    await t.step("a visitor keeps one session with one cookie", async () => {
      const first = await get("/count");
      assertEquals(first.text, "1");
      assertMatch(first.cookies[0] ?? "", /^sid=[\w-]{24}\.[\w-]{43}; HttpOnly; SameSite=Lax; Path=\/$/);
      const cookie = cookieOf(first);
      for (const n of ["2", "3"]) {
        const next = await get("/count", cookie);
        assertEquals([next.text, next.cookies], [n, []]);
      }
      assertEquals((await get("/count")).text, "1");
    });

    await t.step("an action that does not await its write works", async () => {
      const answer = await get("/seed");
      assertEquals(JSON.parse(answer.text), { value: 1, exists: true });
      assertEquals(answer.cookies.length, 1);
    });

    await t.step("a request that does not use the session calls no store and sets no cookie", async () => {
      for (const path of ["/untouched", "/not there"]) {
        const answer = await get(path);
        assertEquals([answer.cookies, seen.calls], [[], []]);
      }
    });

    for (
      const [kind, status] of [
        ["string", 200],
        ["object", 200],
        ["content", 201],
        ["shared", 200],
        ["view", 200],
        ["redirect", 302],
        ["native", 202],
        ["immutable", 302],
        ["fetched", 200],
        ["nothing", 404],
        ["now", 200],
      ] as const
    ) {
      await t.step(`the cookie arrives once with ${kind}`, async () => {
        for (let i = 0; i < 2; i++) {
          const answer = await get(`/result/${kind}`);
          assertEquals(answer.status, status);
          assertEquals(answer.headers.get("cache-control"), "no-store");
          assertEquals((await get("/count", cookieOf(answer))).cookies, []);
        }
      });
    }

    await t.step("the cookie arrives once from a hook that calls setImmediately()", async () => {
      const answer = await get("/hook");
      assertEquals(answer.text, "from the hook");
      assertEquals(setCookies(answer.headers).length, 1);
    });

    await t.step("a static file sets no cookie", async () => {
      const answer = await get("/static/README.md");
      assertEquals([answer.status, answer.cookies], [200, []]);
    });

    await t.step("garbage in the Cookie header is no session and no error", async () => {
      for (const cookie of ["=;;;=", "sid", "sid=;sid=%00", "sid=" + "x".repeat(4000), "é=ü; sid=\u00ff"]) {
        const answer = await get("/count", cookie);
        assertEquals([answer.status, answer.text, answer.cookies.length], [200, "1", 1]);
        assert(!answer.headers.get("set-cookie")?.includes("xxx"));
      }
    });

    await t.step("an uncaught error loses the cookie, which is a limit of Alosaur", async () => {
      const answer = await get("/throw");
      assertEquals([answer.status, answer.cookies], [418, []]);
    });

    await t.step("an error that app.error() answers keeps the cookie", async () => {
      const answer = await get("/caught");
      assertEquals([answer.status, answer.text], [410, "answered"]);
      assertEquals((await get("/count", cookieOf(answer))).status, 200);
    });

    await t.step("the client gets the application's own error, and not that of a write beside it", async () => {
      const answer = await get("/throw/not-awaited");
      assertEquals(answer.status, 418);
      assertEquals(events.map(({ type }) => type), ["writeFailed"]);
    });

    await t.step("a failed write that is not awaited fails the request", async () => {
      const cookie = cookieOf(await get("/count"));
      events.length = 0;
      seen.before = (_, args) => {
        if (args.includes("down")) throw new Error("down");
      };
      const answer = await served.request("/not-awaited", { headers: { cookie } });
      assertEquals([answer.status, answer.text], [503, "{}"]);
      assertEquals(events.map(({ type }) => type), ["storeFailed"]);

      const now = await served.request("/not-awaited/now", { headers: { cookie } });
      assertEquals([now.status, now.text], [200, "now"]);
      assertEquals(events.map(({ type }) => type), ["storeFailed", "storeFailed"]);
    });

    await t.step("a store that is down causes a 503 for visitors with a session only", async () => {
      const cookie = cookieOf(await get("/count"));
      seen.before = () => Promise.reject(new Error("down"));
      const answer = await served.request("/untouched", { headers: { cookie } });
      assertEquals([answer.status, answer.text], [503, "{}"]);
      assertEquals((await served.request("/untouched")).status, 200);
      assertEquals((await get("/count", cookie)).text, "2");
    });

    await t.step("a write to a destroyed session is answered with 409", async () => {
      const answer = await get("/gone", cookieOf(await get("/count")));
      assertEquals([answer.status, answer.text], [409, "{}"]);
    });

    await t.step("Alosaur's Authorize redirects a visitor who is not signed in to its login page", async () => {
      const answer = await get("/members");
      assertEquals(answer.status, 302);
      assertStringIncludes(answer.headers.get("location") ?? "", "/account/login");
      assertEquals(answer.cookies, []);
    });

    await t.step("Alosaur's AuthMiddleware, CookiesScheme and Authorize work", async () => {
      const before = cookieOf(await get("/count"));
      const after = cookieOf(await get("/in", before));
      assertNotEquals(after, before);
      assertEquals((await get("/members", after)).text, "member 1");
      assertEquals((await get("/members", before)).status, 302);
      assertEquals((await get("/count", after)).text, "2");

      const out = await get("/out", after);
      const own = setCookies(out.headers).filter(({ name }) => name === "sid");
      assertEquals(own.length, 1);
      assertEquals([own[0]?.value, own[0]?.attributes.path, own[0]?.attributes["max-age"]], ["", "/", "0"]);
      assertEquals((await get("/members", after)).status, 302);
      assertEquals((await get("/count", after)).text, "1");
    });
  },
});
