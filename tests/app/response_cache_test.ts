/** Sessions together with Alosaur's response cache. */
import { ActionParam, App, Area, Content, Controller, Ctx, Get } from "alosaur/mod.ts";
import {
  MemoryResponseCacheStore,
  ResponseCache,
  ResponseCacheStoreToken,
} from "alosaur/src/hooks/response-cache/mod.ts";
import { assertEquals } from "../helpers/assert.ts";
import { SECRET } from "../helpers/request.ts";
import { serve } from "../helpers/serve.ts";
import { Context, MemoryStore, SecurityContext, SessionMiddleware } from "../../mod.ts";

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

Deno.test("Alosaur's response cache never sends one client's cookie to another", async () => {
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
