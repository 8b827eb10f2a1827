/**
 * Counts the visits of each visitor.
 *
 * An application imports `@alosaur/session`; the examples import `../../mod.ts` instead.
 *
 * @module
 */
import { ActionParam, type ActionResult, App, Area, Controller, Ctx, Get, Post, Redirect } from "alosaur/mod.ts";
import { Context, MemoryStore, SecurityContext, SessionMiddleware } from "../../mod.ts";
import { html, page } from "../_page.ts";
import { listen, secret } from "../_server.ts";

@Controller("")
class CounterController {
  @Get("/")
  @ActionParam(0, Ctx())
  async show(context: SecurityContext): Promise<Response> {
    const { session } = context.security;
    // update() is atomic, so that concurrent requests of one visitor are all counted.
    const visits = await session.update("visits", (n = 0) => n + 1);

    return page(
      "Visit counter",
      html`
        <p class="count" id="visits">${visits}</p>
        <p class="quiet">Visits in this session. Reload the page to count one more.</p>
        <dl>
          <dt>Session</dt>
          <dd id="state">${session.isNew ? "new" : "not new"}</dd>
          <dt>Ends</dt>
          <dd><time datetime="${session.expiresAt?.toISOString()}">${session.expiresAt?.toUTCString()}</time></dd>
        </dl>
        <form method="post" action="/clear"><button>Start again</button></form>
      `,
    );
  }

  @Post("/clear")
  @ActionParam(0, Ctx())
  async clear(context: SecurityContext): Promise<ActionResult> {
    await context.security.session.destroy();
    return Redirect("/");
  }
}

@Area({ controllers: [CounterController] })
class CounterArea {}

const store = new MemoryStore();
await store.init();

const app = new App({
  areas: [CounterArea],
  logging: false,
  // Actions receive a SecurityContext.
  providers: [{ token: Context, useClass: SecurityContext }],
});
app.use(/\//, new SessionMiddleware(store, { secret: secret() }));
await listen(app, store);
