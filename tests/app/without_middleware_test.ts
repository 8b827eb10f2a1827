/** An Alosaur application that has the provider, and no `SessionMiddleware` for its paths. */
import { ActionParam, App, Area, Controller, Ctx, Get } from "alosaur/mod.ts";
import { CookiesAuthentication } from "alosaur/src/security/authentication/cookies/mod.ts";
import { AuthMiddleware, Authorize } from "alosaur/src/security/authorization/mod.ts";
import { OAuthMiddleware } from "alosaur/src/security/oauth/base/oauth-middleware.ts";
import { assertEquals, assertInstanceOf, assertMatch } from "../helpers/assert.ts";
import { serve } from "../helpers/serve.ts";
import { Context, SecurityContext, SessionError } from "../../mod.ts";

const scheme = CookiesAuthentication.DefaultScheme;

@Controller("")
class Pages {
  @Get("/open")
  @ActionParam(0, Ctx())
  open(context: SecurityContext): string {
    return `${context.security.auth.identity()}`;
  }

  @Get("/members")
  @Authorize(scheme)
  members(): string {
    return "members";
  }

  @Get("/cart")
  @ActionParam(0, Ctx())
  async cart(context: SecurityContext): Promise<string> {
    return await context.security.session.get("cart", "nothing");
  }
}

@Area({ controllers: [Pages] })
class MainArea {}

Deno.test("without SessionMiddleware, only an action that uses the session fails", async (t) => {
  const app = new App({
    areas: [MainArea],
    logging: false,
    providers: [{ token: Context, useClass: SecurityContext }],
  });
  app.use(/\//, new AuthMiddleware([scheme]));
  const errors: unknown[] = [];
  app.error((_context, error) => void errors.push(error));
  await using served = await serve(app);

  await t.step("AuthMiddleware finds nobody signed in", async () => {
    assertEquals((await served.request("/open")).text, "undefined");
  });
  await t.step("Authorize redirects to the login page", async () => {
    const { status, headers } = await served.request("/members");
    assertEquals([status, headers.get("location")], [302, "/account/login"]);
  });
  // Alosaur reports an error of its own whenever a hook answers.
  errors.length = 0;
  await t.step("an action that uses the session gets an error that says what to do", async () => {
    const { status, text } = await served.request("/cart");
    assertEquals([status, text], [500, "{}"]);
    const [error, ...others] = errors;
    assertInstanceOf(error, SessionError);
    assertMatch(
      error.message,
      /^Cannot use `session.get`: no SessionMiddleware ran .*; register SessionMiddleware before/,
    );
    assertEquals(others, []);
  });
});

Deno.test("without SessionMiddleware, Alosaur's OAuth redirects to its error page, and the error says what to do", async () => {
  const real = globalThis.fetch;
  globalThis.fetch = () => Promise.resolve(Response.json({ access_token: "token", id: 5 }));
  try {
    const context = new SecurityContext(new Request("http://localhost/signin-test?code=1"));
    await new OAuthMiddleware({
      hostname: "http://localhost",
      callbackPath: "signin-test",
      clientId: "client",
      clientSecret: "client's secret",
      authorizationEndpoint: "http://provider/authorize",
      tokenEndpoint: "http://provider/token",
      userInformationEndpoint: "http://provider/user",
      successLoginPath: "/success",
      errorLoginPath: "/error",
    }).onPreRequest(context);
    assertInstanceOf(context.response.error, SessionError);
    const response = context.response.getMergedResult();
    assertEquals(new Headers(response.headers).get("location"), "/error");
  } finally {
    globalThis.fetch = real;
  }
});
