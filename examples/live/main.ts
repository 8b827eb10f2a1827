/**
 * A page with an event stream and a WebSocket, which end with the session.
 *
 * @module
 */
import { setTimeout } from "node:timers/promises";
import { ActionParam, type ActionResult, App, Area, Body, Controller, Ctx, Get, Post, Redirect } from "alosaur/mod.ts";
import { Context, MemoryStore, SecurityContext, SessionMiddleware } from "../../mod.ts";
import { CsrfMiddleware } from "../../src/csrf_middleware.ts";
import { PostgresStore } from "../../src/stores/postgres_store.ts";
import { RedisStore } from "../../src/stores/redis_store.ts";
import { field, html, page } from "../_page.ts";
import { listen, secret } from "../_server.ts";
import script from "./page.js" with { type: "text" };

/** How often the stream sends the time, in milliseconds. */
const INTERVAL_MS = 1000;

/** The status with which the socket is closed when the session has ended. Any from 4000 to 4999. */
const SESSION_ENDED = 4001;

const store = createStore(Deno.env.get("STORE_URL"));
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
        <p class="notice" role="status">The stream says: <span id="time">…</span></p>
        <p class="notice" role="status">The socket is <span id="socket">not open</span>.</p>
        <form method="post" action="/sign-out">${token}<button>Sign out</button></form>
        <form method="post" action="/sign-out-everywhere">${token}<button>Sign out on all devices</button></form>
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
      ReadableStream.from(events(session.signal)).pipeThrough(new TextEncoderStream()),
      {
        headers: { "content-type": "text/event-stream", "cache-control": "no-store" },
      },
    );
  }

  @Get("/socket")
  @ActionParam(0, Ctx())
  socket({ request: { serverRequest }, security: { session } }: SecurityContext): Response {
    // A browser sends the cookie with a socket of another site's page too.
    const { headers, url } = serverRequest;
    const isSameOrigin = headers.get("origin") === new URL(url).origin;
    if (session.principal === undefined || !isSameOrigin) return new Response(null, { status: 403 });
    if (headers.get("upgrade")?.toLowerCase() !== "websocket") return new Response(null, { status: 426 });
    const { socket, response } = Deno.upgradeWebSocket(serverRequest);
    const { signal } = session;
    const end = (): void => socket.close(SESSION_ENDED, "The session has ended");
    socket.onopen = () => {
      if (signal.aborted) end();
      else signal.addEventListener("abort", end);
    };
    socket.onmessage = ({ data }) => socket.send(data);
    socket.onclose = () => signal.removeEventListener("abort", end);
    return response;
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

  @Post("/sign-out-everywhere")
  @ActionParam(0, Ctx())
  async signOutEverywhere({ security: { session } }: SecurityContext): Promise<ActionResult> {
    if (session.principal !== undefined) await middleware.sessions.revokeAll(session.principal);
    return Redirect("/");
  }
}

/**
 * Yields an event every second until the session has ended, and then one that says so. If the
 * client leaves, the stream ends this generator.
 */
async function* events(signal: AbortSignal): AsyncGenerator<string> {
  while (!signal.aborted) {
    yield `data: ${new Date().toLocaleTimeString("en-GB", { timeZone: "UTC" })}\n\n`;
    // It rejects at once if the session ends.
    await setTimeout(INTERVAL_MS, undefined, { signal }).catch(() => {});
  }
  yield "event: ended\ndata:\n\n";
}

/** Without a URL, the sessions are in the memory of this process. */
function createStore(url: string | undefined): MemoryStore | RedisStore | PostgresStore {
  if (!url) return new MemoryStore();
  return url.startsWith("postgres") ? new PostgresStore(url) : new RedisStore(url);
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
