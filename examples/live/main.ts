/**
 * A page that Server-Sent Events keep up to date, until its session ends.
 *
 * @module
 */
import { ActionParam, type ActionResult, App, Area, Body, Controller, Ctx, Get, Post, Redirect } from "alosaur/mod.ts";
import { Context, MemoryStore, SecurityContext, type Session, SessionMiddleware } from "../../mod.ts";
import { CsrfMiddleware } from "../../src/csrf_middleware.ts";
import { field, html, page } from "../_page.ts";
import { listen, secret } from "../_server.ts";
import script from "./page.js" with { type: "text" };

/** How often the stream reads the session again, in milliseconds. */
const INTERVAL_MS = 1000;

const store = new MemoryStore();
await store.init();
const middleware = new SessionMiddleware(store, { secret: secret(), maxAge: 8 * 60 * 60 });

@Controller("")
class LiveController {
  @Get("/")
  @ActionParam(0, Ctx())
  async index({ security: { session } }: SecurityContext): Promise<Response> {
    const user = session.principal;
    const token = html`<input type="hidden" name="_csrf" value="${await session.csrfToken()}">`;
    if (user === undefined) {
      return page(
        "Sign in",
        html`
          <form method="post" action="/sign-in">
            ${token}
            <label for="name">Name</label>
            <input id="name" name="name" required maxlength="100" autocomplete="username">
            <button>Sign in</button>
          </form>
        `,
      );
    }
    return page(
      "Live",
      html`
        <p>You are signed in as <strong id="user">${user}</strong>.</p>
        <p class="notice" role="status">The server says: <span id="time">…</span></p>
        <form method="post" action="/sign-out">${token}<button>Sign out</button></form>
        <script src="/page.js"></script>
      `,
      { scripts: true },
    );
  }

  @Get("/page.js")
  script(): Response {
    return new Response(script, { headers: { "content-type": "text/javascript; charset=utf-8" } });
  }

  @Get("/events")
  @ActionParam(0, Ctx())
  events({ security: { session } }: SecurityContext): Response {
    // An EventSource does not connect again after this status.
    if (session.principal === undefined) return new Response(null, { status: 204 });
    return new Response(
      ReadableStream.from(events(session)).pipeThrough(new TextEncoderStream()),
      {
        headers: { "content-type": "text/event-stream", "cache-control": "no-store" },
      },
    );
  }

  @Post("/sign-in")
  @ActionParam(0, Ctx())
  @ActionParam(1, Body())
  async signIn({ security: { session } }: SecurityContext, form: unknown): Promise<ActionResult> {
    const user = field(form, "name").trim().slice(0, 100).toWellFormed();
    if (user !== "") await session.regenerate({ principal: user });
    return Redirect("/");
  }

  @Post("/sign-out")
  @ActionParam(0, Ctx())
  async signOut({ security: { session } }: SecurityContext): Promise<ActionResult> {
    await session.destroy();
    return Redirect("/");
  }
}

/**
 * Yields an event every second while the user is signed in, and one that says that the session has
 * ended. If the client leaves, the stream ends this generator.
 */
async function* events(session: Session): AsyncGenerator<string> {
  const user = session.principal;
  while (true) {
    yield `data: ${new Date().toLocaleTimeString("en-GB", { timeZone: "UTC" })}\n\n`;
    await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
    // Other requests may have ended the session, and another process may keep it.
    await session.reload();
    if (session.principal === user) continue;
    yield "event: ended\ndata:\n\n";
    return;
  }
}

@Area({ controllers: [LiveController] })
class LiveArea {}

const app = new App({
  areas: [LiveArea],
  logging: false,
  providers: [{ token: Context, useClass: SecurityContext }],
});
app.use(/\//, middleware);
app.use(/\//, new CsrfMiddleware());
await listen(app, store);
