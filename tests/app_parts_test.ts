/** Sessions beside what Alosaur itself brings: its response cache and its OAuth. */
import { ActionParam, App, Area, Content, Controller, Ctx, Get } from "alosaur/mod.ts";
import {
  MemoryResponseCacheStore,
  ResponseCache,
  ResponseCacheStoreToken,
} from "alosaur/src/hooks/response-cache/mod.ts";
import { OAuthMiddleware } from "alosaur/src/security/oauth/base/oauth-middleware.ts";
import { assert, assertEquals, assertNotEquals } from "./helpers/assert.ts";
import { contextOf, cookieOf, merged, read, SECRET, start } from "./helpers/request.ts";
import { serve } from "./helpers/serve.ts";
import { Context, MemoryStore, SecurityContext, SessionMiddleware } from "../mod.ts";

@Controller("")
class Pages {
  @ResponseCache({ duration: 60_000 })
  @Get("/cached")
  @ActionParam(0, Ctx())
  async cached({ security: { session } }: SecurityContext): Promise<unknown> {
    await session.set("user", "whoever was first");
    return Content("page");
  }
}

@Area({ controllers: [Pages] })
class MainArea {}

Deno.test("Alosaur's response cache never gives one client the cookie of another", async () => {
  const app = new App({
    areas: [MainArea],
    logging: false,
    providers: [
      { token: Context, useClass: SecurityContext },
      { token: ResponseCacheStoreToken, useValue: new MemoryResponseCacheStore() },
    ],
  });
  app.use(/\//, new SessionMiddleware(new MemoryStore(), { secret: SECRET }));
  await using served = await serve(app);
  const first = await served.request("/cached");
  assertEquals([first.text, first.cookies.length], ["page", 1]);
  for (let i = 0; i < 3; i++) {
    const next = await served.request("/cached");
    assertEquals([next.text, next.cookies], ["page", []]);
  }
});

Deno.test("Alosaur's OAuth, which awaits no write, keeps what it learned", async () => {
  const options = {
    hostname: "http://localhost",
    callbackPath: "signin-test",
    clientId: "client",
    clientSecret: "client's secret",
    authorizationEndpoint: "http://provider/authorize",
    tokenEndpoint: "http://provider/token",
    userInformationEndpoint: "http://provider/user",
    successLoginPath: "/success",
    errorLoginPath: "/error",
  };
  const real = globalThis.fetch;
  globalThis.fetch = () => Promise.resolve(Response.json({ access_token: "token", id: 5 }));
  try {
    const middleware = start();
    const context = contextOf({ url: "http://localhost/signin-test?code=1" });
    await middleware.onPreRequest(context);
    await new OAuthMiddleware(options).onPreRequest(context);
    assert(context.response.isImmediately());
    const response = merged(context);
    assertEquals(response.headers.get("location"), "/success");
    const kept = await read(middleware, cookieOf(response), "external_login_signin-test");
    assertNotEquals(kept, undefined);
  } finally {
    globalThis.fetch = real;
  }
});
