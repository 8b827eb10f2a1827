/** An Alosaur application with two middlewares: a shop, and an admin area with its own cookie. */
import { ActionParam, App, Area, Controller, Ctx, Get } from "alosaur/mod.ts";
import { assertEquals } from "../helpers/assert.ts";
import { SECRET, setCookies } from "../helpers/request.ts";
import { serve } from "../helpers/serve.ts";
import { Context, MemoryStore, SecurityContext, SessionError, SessionMiddleware } from "../../mod.ts";

const shop = new SessionMiddleware(new MemoryStore(), { secret: SECRET });
const admin = new SessionMiddleware(new MemoryStore(), { secret: SECRET, name: "admin_sid", path: "/admin" });

@Controller("")
class Pages {
  @Get("/cart")
  @ActionParam(0, Ctx())
  async cart(context: SecurityContext): Promise<string> {
    await shop.sessionOf(context).set("cart", ["apple"]);
    try {
      return admin.sessionOf(context).sessionKey;
    } catch (error) {
      return error instanceof SessionError ? error.operation : "another error";
    }
  }

  @Get("/admin")
  @ActionParam(0, Ctx())
  async admin(context: SecurityContext): Promise<string> {
    const session = admin.sessionOf(context);
    if (session.principal === undefined) await session.regenerate({ principal: "root" });
    const cart = await shop.sessionOf<{ cart: string[] }>(context).get("cart", []);
    return `${session.principal} ${cart} ${context.security.session === session}`;
  }
}

@Area({ controllers: [Pages] })
class MainArea {}

Deno.test("an application with two middlewares has the session of each, where its RegExp matches", async () => {
  const app = new App({
    areas: [MainArea],
    logging: false,
    providers: [{ token: Context, useClass: SecurityContext }],
  });
  app.use(/^\//, shop);
  app.use(/^\/admin/, admin);
  await using served = await serve(app);

  const first = await served.request("/cart");
  assertEquals(first.text, "sessionOf");
  const [sid, ...others] = setCookies(first.headers);
  assertEquals([sid?.name, others], ["sid", []]);

  const cookie = `sid=${sid?.value}`;
  const second = await served.request("/admin", { headers: { cookie } });
  assertEquals(second.text, "root apple true");
  const [adminSid, ...more] = setCookies(second.headers);
  assertEquals([adminSid?.name, adminSid?.attributes.path, more], ["admin_sid", "/admin", []]);

  const both = { headers: { cookie: `${cookie}; admin_sid=${adminSid?.value}` } };
  const third = await served.request("/admin", both);
  assertEquals([third.text, third.cookies], ["root apple true", []]);
});
