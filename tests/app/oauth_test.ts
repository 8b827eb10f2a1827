/** Sessions together with Alosaur's OAuth. */
import { OAuthMiddleware } from "alosaur/src/security/oauth/base/oauth-middleware.ts";
import { assert, assertEquals } from "../helpers/assert.ts";
import { contextOf, cookieOf, merged, read, start } from "../helpers/request.ts";

Deno.test("Alosaur's OAuth saves the login in the session, although it does not await the write", async () => {
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
    const login = await read(middleware, cookieOf(response), "external_login_signin-test");
    assertEquals(login, { access_token: "token", id: 5 });
  } finally {
    globalThis.fetch = real;
  }
});
