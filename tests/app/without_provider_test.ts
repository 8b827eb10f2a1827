/**
 * Sessions in an Alosaur application that provides no context class, or one that Alosaur ignores.
 */
import { ActionParam, App, Area, Controller, Ctx, Get } from "alosaur/mod.ts";
import { Context as TheirContext } from "alosaur/src/models/context.ts";
import { assertEquals } from "../helpers/assert.ts";
import { onlyCookie, SECRET } from "../helpers/request.ts";
import { serve } from "../helpers/serve.ts";
import { MemoryStore, SecurityContext, SessionMiddleware } from "../../mod.ts";

@Controller("")
class Pages {
  @Get("/count")
  @ActionParam(0, Ctx())
  async count(context: SecurityContext): Promise<string> {
    const n = await context.security.session.get("n", 0) + 1;
    await context.security.session.set("n", n);
    return `${n} ${context instanceof SecurityContext}`;
  }
}

@Area({ controllers: [Pages] })
class MainArea {}

for (
  const [name, providers] of [
    ["without a provider", undefined],
    ["with Alosaur's own Context as the token, which Alosaur never looks up", [
      { token: TheirContext, useClass: SecurityContext },
    ]],
  ] as const
) {
  Deno.test(`SessionMiddleware works ${name}`, async () => {
    const app = new App({ areas: [MainArea], logging: false, providers: providers && [...providers] });
    app.use(/\//, new SessionMiddleware(new MemoryStore(), { secret: SECRET }));
    await using served = await serve(app);
    const first = await served.request("/count");
    assertEquals(first.text, "1 false");
    const { name, value } = onlyCookie(first.headers);
    assertEquals((await served.request("/count", { headers: { cookie: `${name}=${value}` } })).text, "2 false");
  });
}
